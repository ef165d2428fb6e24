//! The protocol holds in every scenario of seconds, and each shortcut breaks.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use protocol_model::{explore, scenarios};

/// More states than any of these scenarios has.
const MOST: usize = 1_000_000;

#[test]
fn the_protocol_holds_whatever_the_order_of_requests() {
    for scenario in scenarios::protocol() {
        let found = explore(&scenario, MOST);
        let name = scenario.name;
        assert!(found.violation.is_none(), "{name}: {:#?}", found.violation);
        assert!(found.is_complete, "{name} has more than {MOST} states");
        assert!(found.whole > 0, "{name} never gets through");
    }
}

#[test]
fn each_shortcut_breaks_it() {
    for scenario in scenarios::shortcuts() {
        let found = explore(&scenario, MOST);
        assert!(
            found.violation.is_some(),
            "{} breaks nothing",
            scenario.name
        );
    }
}

#[test]
fn the_shortest_way_to_a_violation_is_told() {
    let all = scenarios::shortcuts();
    let hasty = |name: &str| name == "delete-without-looking";
    let scenario = all.iter().find(|scenario| hasty(scenario.name)).unwrap();
    let trace = explore(scenario, MOST).violation.unwrap();
    assert_eq!(
        trace.violation,
        "commit 2 lists e0, which is neither staged nor published"
    );
    let last = &trace.steps[trace.steps.len() - 2..];
    assert_eq!(
        last,
        [
            "run 0: copies e0: done, says the store, and nothing is there",
            "run 0: deletes staged e0"
        ]
    );
}

//! Killed in the middle, started again.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use auditlake::sim::genesys::{DatasetSpec, endpoint};
use chrono::{DateTime, Utc};

use super::support::{EVENING, World, one_day, until};

const BACKFILL: [&str; 7] = [
    "backfill",
    "--job",
    "audits",
    "--from",
    "2026-03-02",
    "--to",
    "2026-03-03",
];

/// The ranges that the log says were pulled to their last page, by stream, in order.
fn finished(commits: &[serde_json::Value]) -> BTreeMap<String, Vec<[DateTime<Utc>; 2]>> {
    let mut ranges = BTreeMap::<String, Vec<_>>::new();
    for pulled in commits
        .iter()
        .flat_map(|commit| commit["pulled"].as_array().unwrap())
    {
        if pulled["finished"] == true {
            let range = serde_json::from_value(pulled["range"].clone()).unwrap();
            ranges
                .entry(pulled["stream"].to_string())
                .or_default()
                .push(range);
        }
    }
    ranges.values_mut().for_each(|ranges| ranges.sort());
    ranges
}

/// Windows of an hour in them.
fn hours(ranges: &BTreeMap<String, Vec<[DateTime<Utc>; 2]>>) -> i64 {
    ranges
        .values()
        .flatten()
        .map(|[from, to]| (*to - *from).num_hours())
        .sum()
}

#[tokio::test]
async fn a_backfill_goes_on_from_the_last_commit_after_kill_9() {
    let records = DatasetSpec {
        records: 12_000,
        ..one_day()
    };
    let world = World::new(&records, EVENING).await;
    world.provider.set_latency(Duration::from_millis(4));
    let lake = world.lake();

    let data_commits = || {
        let commits = lake.commits("audits");
        commits
            .iter()
            .filter(|commit| commit["kind"] == "data")
            .count()
    };
    let process = world.start(&BACKFILL);
    until("two commits with files", async || data_commits() >= 2).await;
    assert_eq!(process.signalled("KILL").await.code, None);

    let before = finished(&lake.commits("audits"));
    assert!(hours(&before) > 0);
    let landed = lake.rows();
    let distinct: BTreeSet<&String> = landed.iter().map(|(id, ..)| id).collect();
    assert!(landed.len() < 12_000);
    assert_eq!(
        distinct.len(),
        landed.len(),
        "doubled rows between the two runs"
    );
    let calls = world.provider.counters().calls(endpoint::SUBMIT);

    world.run(&BACKFILL).await.assert_code(0);
    world.assert_all_landed();
    let all = finished(&lake.commits("audits"));
    assert_eq!((all.len(), hours(&all)), (8, 8 * 24));
    for ranges in all.values() {
        let gapless = ranges.windows(2).all(|pair| pair[0][1] == pair[1][0]);
        assert!(gapless, "each range was finished once: {ranges:?}");
    }
    let again = world.provider.counters().calls(endpoint::SUBMIT) - calls;
    let left = u64::try_from(8 * 24 - hours(&before)).unwrap();
    assert!(again <= left, "{again} queries for {left} windows");
}

#[tokio::test]
async fn killed_again_and_again_at_any_moment() {
    let world = World::new(&one_day(), EVENING).await;
    world.provider.set_latency(Duration::from_millis(1));
    for after in [1, 2, 5, 10, 20, 50, 100, 150, 200] {
        let counters = world.provider.counters();
        let target = counters.total_calls() + after;
        let process = world.start(&BACKFILL);
        until("so many calls", async || {
            counters.total_calls() >= target || process.stderr().contains(": 100 %")
        })
        .await;
        process.signalled("KILL").await;
    }
    world.run(&BACKFILL).await.assert_code(0);
    world.assert_all_landed();
}

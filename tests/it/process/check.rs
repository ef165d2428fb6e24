//! `check` as a user sees it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use auditlake::sim::everyware;
use auditlake::sim::genesys::{DatasetSpec, endpoint};
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use serde_json::Value;

use super::support::{EVENING, Ended, World, files, now, one_day};

async fn world() -> World {
    let records = DatasetSpec {
        records: 50,
        ..one_day()
    };
    World::new(&records, EVENING).await
}

/// How each probe came out, by its name.
fn outcomes(ended: &Ended) -> Vec<(String, String)> {
    let lines: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    lines
        .iter()
        .map(|line| (text(&line["probe"]), text(&line["outcome"])))
        .collect()
}

#[tokio::test]
async fn all_is_tried_and_nothing_is_left_in_the_lake() {
    let world = world().await;
    let ended = world.run(&["check"]).await.assert_code(0);
    assert_eq!(ended.stdout.lines().count(), 9, "{}", ended.stdout);
    for line in ended.stdout.lines() {
        assert!(line.starts_with("ok      "), "{line}");
    }
    assert_eq!(files(&world.path().join("lake")).len(), 0);
    // a page is enough: it asks once for what a window holds
    assert_eq!(world.provider.counters().calls(endpoint::SUBMIT), 0);
    let again = world.run(&["check", "--json"]).await.assert_code(0);
    let outcomes = outcomes(&again);
    assert!(outcomes.iter().all(|(_, outcome)| outcome == "ok"));
}

#[tokio::test]
async fn what_fails_is_told_with_what_to_do_and_the_rest_is_tried() {
    let world = world().await;
    world.change("client_secret: sim-secret", "client_secret: wrong");
    let ended = world.run(&["check"]).await.assert_code(1);
    ended
        .assert_says("ok      lake `file://./lake`: delete: ")
        .assert_says("FAILED  connection `main`: sign in (auth): ")
        .assert_says("; check the credentials of connection `main`")
        .assert_says("untried connection `main`: read a page: it isn't signed in");

    world.change("client_secret: wrong", "client_secret: sim-secret");
    world.change("file://./lake", "file://./jobs.yaml/lake"); // a folder in a file
    let ended = world.run(&["check"]).await.assert_code(1);
    ended
        .assert_says("FAILED  lake `file://./jobs.yaml/lake`: open (config): ")
        .assert_says("; there is a file instead of a folder")
        .assert_says("ok      connection `main`: read a page: ");
    let ended = world.run(&["check", "--json"]).await.assert_code(1);
    let told = |(probe, outcome): &(&str, &str)| (probe.to_string(), outcome.to_string());
    let expected = [("open", "failed"), ("sign in", "ok"), ("read a page", "ok")];
    assert_eq!(
        outcomes(&ended),
        expected.iter().map(told).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn an_unknown_job_is_a_usage_mistake() {
    let ended = world().await.run(&["check", "--job", "nope"]).await;
    ended
        .assert_code(2)
        .assert_says("there is no job `nope`; the jobs are `audits`");
}

/// The bounds that `check` says it has asked a page for.
pub(super) fn asked_bounds(message: &str) -> (DateTime<Utc>, DateTime<Utc>) {
    let (_, asked) = message
        .split_once(", asked for ")
        .unwrap_or_else(|| panic!("{message}"));
    let (from, rest) = asked.split_once("..").unwrap();
    let (to, _) = rest.split_once([',', ' ']).unwrap();
    (from.parse().unwrap(), to.parse().unwrap())
}

/// What was really asked for, not the window that it was asked because of.
#[tokio::test]
async fn the_bounds_that_were_asked_are_told_as_they_were_asked() {
    let before = now();
    let checked = world().await.run(&["check"]).await.assert_code(0);
    let (from, to) = asked_bounds(&checked.stdout);
    // a second more on both sides, as its bounds aren't exact
    assert_eq!(to - from, TimeDelta::seconds(62), "{}", checked.stdout);
    let end = to - TimeDelta::seconds(1) + TimeDelta::minutes(2);
    assert!((end - before).abs() < TimeDelta::minutes(1), "{end}");
    assert!(!checked.stdout.contains("whole days"), "{}", checked.stdout);

    let records = everyware::DatasetSpec {
        records: 10,
        ..everyware::DatasetSpec::default()
    };
    let provider = everyware::start(
        everyware::EverywareSettings::default(),
        everyware::Dataset::generate(&records),
    );
    let provider = provider.await.unwrap();
    let world = world().await;
    let yaml = format!(
        "lake: {{url: 'file://./lake'}}
connections:
  edc:
    provider: everyware_cloud
    base_url: {}
    allow_http: true
    username: sim-user
    password: sim-secret
    account_id: acme
jobs:
  - {{name: audits, connection: edc, schedule: '@hourly', start: 2026-03-01}}
",
        provider.base_url()
    );
    world.configure(&yaml);
    let checked = world.run(&["check"]).await;
    let told = (checked.stdout.lines()).find(|line| line.contains("read a page"));
    let told = told.unwrap_or_else(|| panic!("{checked:?}"));
    let (from, to) = asked_bounds(told);
    // from the first midnight of any zone to the last one
    let hours = (from.hour(), to.hour());
    assert_eq!(hours, (10, 12), "{told}");
    assert!(to - from >= TimeDelta::days(1), "{told}");
    assert!(
        told.contains(", as it takes whole days only, has "),
        "{told}"
    );
}

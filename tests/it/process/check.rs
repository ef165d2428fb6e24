//! `check` as a user sees it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;

use super::support::{EVENING, Ended, World, files, one_day};
use auditlake::sim::genesys::{DatasetSpec, endpoint};

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
        .assert_says("; a file stands where the lake needs a folder")
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

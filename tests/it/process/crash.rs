//! Killed in the middle, started again.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::time::Duration;

use auditlake::sim::genesys::{DatasetSpec, endpoint};

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

/// The ranges that the log says were pulled to their last page, with their streams.
fn finished(commits: &[serde_json::Value]) -> Vec<String> {
    let pulled = commits
        .iter()
        .flat_map(|commit| commit["pulled"].as_array().unwrap());
    pulled
        .filter(|pulled| pulled["finished"] == true)
        .map(|pulled| format!("{} {}", pulled["stream"], pulled["range"]))
        .collect()
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
    assert!(!before.is_empty());
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
    let windows: BTreeSet<&String> = all.iter().collect();
    assert_eq!(
        (windows.len(), all.len()),
        (24 * 8, 24 * 8),
        "each window was finished once"
    );
    let again = world.provider.counters().calls(endpoint::SUBMIT) - calls;
    let left = (24 * 8 - before.len()) as u64;
    assert!(again <= left, "{again} queries for {left} windows");
    assert!(
        lake.0
            .join("_auditlake/jobs/audits/staging")
            .read_dir()
            .map_or(0, Iterator::count)
            == 0
    );
}

#[tokio::test]
async fn killed_again_and_again_at_any_moment() {
    let world = World::new(&one_day(), EVENING).await;
    world.provider.set_latency(Duration::from_millis(1));
    let mut after = 1;
    loop {
        let process = world.start(&BACKFILL);
        let counters = world.provider.counters();
        let target = counters.total_calls() + after;
        let killed = async {
            while counters.total_calls() < target {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = killed => {
                process.signalled("KILL").await;
                after *= 3;
            }
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("stuck:\n{}", process.stderr()),
        }
        if after > 2_000 {
            break;
        }
    }
    world.run(&BACKFILL).await.assert_code(0);
    world.assert_all_landed();
}

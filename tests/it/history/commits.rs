//! What the commits say.

use auditlake::lake::{Commit, CommitKind, Work};
use auditlake::model::FailureKind;
use auditlake::run::{self, RunMode, RunOptions};
use auditlake::sim::Fault;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::support::*;
use crate::support::provider::{self, Event, Provider};
use crate::support::rig::lake_in_memory;

#[tokio::test]
async fn the_last_commit_says_how_the_run_ended() {
    let rig = rig().await;
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    refuse_one(&rig);
    rig.run(at("2026-03-02T06:00:00Z")).await;
    rig.sim.faults().clear();
    rig.tick(at("2026-03-02T06:00:00Z")).await;
    rig.tick(at("2026-03-02T06:00:00Z")).await; // nothing is new: its only commit of data is its last
    let log = log(&rig.job.lake).await;
    assert_eq!(log.last().unwrap().kind, CommitKind::Data);
    let [first, second, ..] = &log
        .iter()
        .filter_map(|commit| commit.ended.clone())
        .collect::<Vec<_>>()[..]
    else {
        panic!("{log:#?}");
    };
    assert_eq!(first.started_at, log[0].at);
    assert!(first.failures.is_empty());
    let [failed] = &second.failures[..] else {
        panic!("{second:?}");
    };
    assert_eq!(failed.stream.as_deref(), Some("match/QUEUE"));
    assert_eq!(failed.kind, Some(FailureKind::Auth));
    assert_eq!(failed.work, Some(Work::Pull));
    assert!(failed.error.contains("403 Forbidden"), "{failed:?}");
    let origin = log.last().unwrap().origin.clone().unwrap();
    assert_eq!(origin.provider.as_deref(), Some("avaya_axp"));
    let ends = |commit: &Commit| commit.claim.is_none() == commit.ended.is_some();
    assert!(log.iter().all(ends), "{log:#?}");
}

#[tokio::test]
async fn a_run_that_fails_as_a_whole_says_so() {
    let mut rig = rig().await;
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    rig.job.connection = "other".to_owned();
    rig.job.partition_by = vec![auditlake::model::PartitionColumn::Connection];
    let options = RunOptions::new(CancellationToken::new());
    let error = run::run(&rig.job, RunMode::Due, &options)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), FailureKind::Config);
    let newest = rig.newest().await;
    let ended = newest.ended.unwrap();
    let [failed] = &ended.failures[..] else {
        panic!("{ended:?}");
    };
    assert_eq!(
        (&failed.stream, failed.kind),
        (&None, Some(FailureKind::Config))
    );
    assert_eq!(failed.error, error.to_string());
}

/// Two jobs share a connection, and its calls fail occasionally: each call is counted once, for its own job.
#[tokio::test]
async fn every_request_is_counted_once() {
    let rig = rig().await;
    let mut other = rig.job.clone();
    // another account, as far as the lake can tell: two jobs of one would be refused
    for field in [
        &mut other.name,
        &mut other.log,
        &mut other.connection,
        &mut other.account_id,
    ] {
        "other".clone_into(field);
    }
    other.memory = run::RunCache::default();
    let failing = Fault::Status {
        status: 503,
        retry_after: None,
    };
    rig.sim.faults().at_random(5, 0.2, vec![failing]);
    for hour in ["2026-03-01T12:00:00Z", "2026-03-03T12:00:00Z"] {
        rig.sim.set_now(at(hour));
        let options = RunOptions {
            clock: auditlake::clock::Clock::AsOf(at(hour)),
            ..RunOptions::new(CancellationToken::new())
        };
        let (one, two) = tokio::join!(
            run::run(&rig.job, RunMode::Due, &options),
            run::run(&other, RunMode::Due, &options)
        );
        one.unwrap();
        two.unwrap();
    }
    let now = auditlake::clock::real_now();
    let known = auditlake::history::History::load(&rig.job.lake, now).await;
    assert_eq!(known.problems, [""; 0]);
    let sums = Sums::of_rows(&known.history.rows);
    let made = Sums::of_lake(&rig).await;
    assert!(made.retries > 5, "{made:?}");
    assert_eq!((sums.calls, sums.retries), (made.calls, made.retries));
    assert_eq!(sums.new, made.new);
    for job in [JOB, "other"] {
        let rows = known.history.rows.iter().filter(|row| row.job == job);
        assert!(rows.map(|row| row.calls).sum::<u64>() > 10);
    }
}

/// What a version writes that is older or newer than this one.
#[tokio::test]
async fn commits_of_other_versions_are_read() {
    let rig = rig().await;
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    for commit in log(&rig.job.lake).await {
        rewrite(&rig.job.lake, commit.version, |commit| {
            commit.as_object_mut().unwrap().remove("ended");
            commit["mood"] = json!({ "good": true });
            for pulled in commit["pulled"].as_array_mut().unwrap() {
                let pulled = pulled.as_object_mut().unwrap();
                for name in ["days", "delays", "calls", "retries"] {
                    pulled.remove(name);
                }
                pulled.insert("weather".to_owned(), json!("fair"));
            }
        })
        .await;
    }
    let before = Sums::of_lake(&rig).await;
    rig.tick(at("2026-03-03T12:00:00Z")).await;
    let after = Sums::of_lake(&rig).await;
    let now = auditlake::clock::real_now();
    let known = auditlake::history::History::load(&rig.job.lake, now).await;
    let sums = Sums::of_rows(&known.history.rows);
    assert_eq!(sums.new, after.new);
    assert_eq!(sums.calls, after.calls - before.calls);
    assert_eq!(
        sums.days.values().sum::<u64>(),
        after.new - before.new,
        "{sums:?}"
    );
}

/// A range of many pages, each of them a commit, whose calls fail occasionally.
#[tokio::test]
async fn every_request_of_a_range_in_many_commits_is_counted_once() {
    let log =
        (0..40).map(|minute| Event::new(&format!("event-{minute}"), provider::at(23, minute)));
    let provider = Provider::start(log.collect()).await;
    let (lake, _) = lake_in_memory().await;
    let job = provider.job(lake.clone(), 1);
    let options = RunOptions {
        clock: auditlake::clock::Clock::AsOf(provider::at(25, 0)),
        ..RunOptions::new(CancellationToken::new())
    };
    run::run(&job, RunMode::Due, &options).await.unwrap();
    let mut runs = auditlake::history::RunFold::default();
    for version in auditlake::lake::versions(&lake, "job", 0).await.unwrap() {
        let commit = auditlake::lake::commit(&lake, "job", version.number).await;
        runs.take(commit.unwrap().unwrap());
    }
    let rows: Vec<_> = runs.rows(auditlake::clock::real_now()).collect();
    let newest = auditlake::lake::newest(&lake, "job")
        .await
        .unwrap()
        .unwrap();
    assert!(newest.version > 5, "{newest:?}");
    let sums = Sums::of_rows(&rows);
    assert_eq!(sums.new, 40);
    assert_eq!(sums.calls, job.source.client.requests().sent);
}

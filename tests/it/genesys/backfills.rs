//! Backfills next to due windows, and streams that come and go.

use auditlake::clock::Clock;
use auditlake::model::{FailureKind, PartitionColumn};
use auditlake::providers::genesys::Mode;
use auditlake::run::plan::Policy;
use auditlake::run::{self, RunMode, RunOptions};
use auditlake::sim::genesys::endpoint::{REALTIME, SUBMIT};
use auditlake::sim::{Fault, FaultRule};
use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::support::*;

const NOW: &str = "2026-03-02T01:00:00Z";

/// Begins in the middle of the day.
fn from_noon() -> Policy {
    Policy {
        start: at("2026-03-01T12:00:00Z"),
        ..policy()
    }
}

#[tokio::test]
async fn a_backfill_pulls_what_is_missing_and_a_refetch_adds_nothing() {
    let services = options(Mode::Auto, &[FIRST, ASYNC_ONLY]);
    let rig = Rig::with(&day(), prompt(), services, from_noon()).await;
    rig.tick(at(NOW)).await;
    rig.assert_exact(at("2026-03-01T12:00:00Z"), at("2026-03-02"), at(NOW))
        .await;
    let realtime = rig.sim.counters().calls(REALTIME);

    let whole = range("2026-03-01", "2026-03-02");
    let report = rig.backfill(whole, false, at(NOW)).await;
    assert_eq!(failures(&report), "");
    rig.assert_exact(whole.from(), whole.to(), at(NOW)).await;
    // two windows of two services; realtime knows only one of the services
    assert_eq!(report.totals.windows, 4);
    assert_eq!(report.totals.counts.duplicate, 0);
    assert_eq!(rig.sim.counters().calls(REALTIME), realtime + 3); // one has two pages
    assert_eq!(rig.sim.counters().calls(SUBMIT), 3 + 2);

    let report = rig.backfill(whole, false, at(NOW)).await;
    assert_eq!(report.totals.windows, 0, "nothing is missing");

    let rows = rig.rows().await;
    let report = rig.backfill(whole, true, at(NOW)).await;
    assert_eq!(report.totals.windows, 8);
    assert_eq!(report.totals.counts.new, 0);
    assert_eq!(report.totals.counts.duplicate, rows.len() as u64);
    assert_eq!(rig.rows().await, rows);
    assert!(
        rig.newest().await.progress.values().all(|progress| progress
            .refetch
            .as_ref()
            .unwrap()
            .left
            .is_empty())
    );
}

#[tokio::test]
async fn a_refetch_that_is_stopped_goes_on_where_it_was() {
    let rig = Rig::new(&day(), prompt(), options(Mode::Async, &[FIRST])).await;
    rig.tick(at(NOW)).await;
    let rows = rig.rows().await;
    let submitted = rig.sim.counters().calls(SUBMIT);

    let (stop, hold) = (CancellationToken::new(), CancellationToken::new());
    let range = range("2026-03-01", "2026-03-02");
    let mode = RunMode::Backfill {
        range,
        refetch: true,
        turn: TimeDelta::hours(1),
    };
    rig.sim.faults().inject(FaultRule {
        endpoint: Some(SUBMIT),
        skip: 5,
        times: 1,
        fault: Fault::Hold(hold.clone()),
    });
    // four windows at a time, and four in all: a smaller window makes more of them
    let mut job = rig.job.clone();
    job.policy.window = TimeDelta::hours(2);
    let stopping = async {
        rig.sim.counters().reached(SUBMIT, submitted + 6).await;
        stop.cancel();
        hold.cancel();
    };
    let options = auditlake::run::RunOptions {
        clock: auditlake::clock::Clock::AsOf(at(NOW)),
        ..auditlake::run::RunOptions::new(stop.clone())
    };
    let (ran, ()) = tokio::join!(auditlake::run::run(&job, mode, &options), stopping);
    let auditlake::run::RunOutcome::Ran(report) = ran.unwrap() else {
        panic!("held");
    };
    assert!(report.unfinished);
    let refetch = rig.newest().await.progress[FIRST].refetch.clone().unwrap();
    assert_eq!(refetch.range, range);
    let left: TimeDelta = refetch.left.iter().map(|range| range.length()).sum();
    assert!(
        left < TimeDelta::hours(24) && left > TimeDelta::zero(),
        "{left}"
    );

    // what is due meanwhile doesn't disturb it
    rig.tick(at("2026-03-02T01:30:00Z")).await;
    let report = rig.backfill(range, true, at("2026-03-02T01:30:00Z")).await;
    assert!(!report.unfinished);
    assert_eq!(report.totals.covered, left);
    assert_eq!(rig.rows().await, rows);
}

#[tokio::test]
async fn a_backfill_whose_turn_is_over_leaves_the_rest() {
    let rig = Rig::with(
        &day(),
        prompt(),
        options(Mode::Async, &[FIRST]),
        from_noon(),
    )
    .await;
    let mode = RunMode::Backfill {
        range: range("2026-03-01", "2026-03-02"),
        refetch: false,
        turn: TimeDelta::zero(),
    };
    let report = rig.mode(mode, at(NOW), &CancellationToken::new()).await;
    assert!(report.unfinished);
    assert_eq!(report.totals.windows, 0);
}

#[tokio::test]
async fn a_stream_that_appears_later_begins_at_the_start() {
    let mut rig = Rig::new(&day(), prompt(), options(Mode::Auto, &[FIRST])).await;
    rig.tick(at(NOW)).await;
    rig.set_options(options(Mode::Auto, &[FIRST, ASYNC_ONLY]));
    let report = rig.tick(at("2026-03-02T02:00:00Z")).await;
    assert_eq!(
        report.totals.counts.late, 0,
        "a first pull's records aren't late"
    );
    rig.assert_exact(at("2026-03-01"), at("2026-03-02"), at(NOW))
        .await;
    let commit = rig.newest().await;
    let marks: Vec<_> = commit
        .progress
        .values()
        .map(|progress| progress.watermark)
        .collect();
    assert_eq!(marks, [Some(at("2026-03-02T01:58:00Z")); 2]);
}

/// A failed window is pulled at the next tick; nothing behind it is skipped meanwhile.
#[tokio::test]
async fn a_watermark_never_passes_a_gap() {
    let rig = Rig::new(&day(), prompt(), options(Mode::Async, &[FIRST])).await;
    rig.sim.end_next_queries_as("Cancelled", 1);
    let report = rig.run(at(NOW)).await;
    assert_eq!(report.failures.len(), 1);
    let gap = report.failures[0].range;
    let progress = &rig.newest().await.progress[FIRST];
    assert!(progress.watermark.is_none_or(|mark| mark <= gap.from()));
    assert!(progress.coverage.within(gap).is_empty());
    rig.tick(at(NOW)).await;
    rig.assert_exact_for(Some(FIRST), at("2026-03-01"), at("2026-03-02"), at(NOW))
        .await;
}

/// What happened before the start, or the backfill's own, isn't asked for: the second before it stays out.
#[tokio::test]
async fn nothing_before_the_start_lands() {
    let spec = auditlake::sim::genesys::DatasetSpec {
        records: 1_000,
        to: at("2026-03-01T00:01:00Z"),
        ..day()
    };
    let policy = Policy {
        start: at("2026-03-01T00:00:30Z"),
        ..policy()
    };
    let rig = Rig::with(&spec, prompt(), options(Mode::Async, &[]), policy).await;
    rig.tick(at(NOW)).await;
    let to = at("2026-03-01T00:01:00Z");
    rig.assert_exact(at("2026-03-01T00:00:30Z"), to, at(NOW))
        .await;
    rig.backfill(
        range("2026-03-01T00:00:20Z", "2026-03-01T00:00:40Z"),
        false,
        at(NOW),
    )
    .await;
    rig.assert_exact(at("2026-03-01T00:00:20Z"), to, at(NOW))
        .await;
}

/// The id of what was landed is looked up where it would land now.
#[tokio::test]
async fn an_account_that_is_in_the_path_can_t_be_renamed_under_a_job() {
    let rig = Rig::new(&day(), prompt(), options(Mode::Async, &[FIRST])).await;
    let mut job = rig.job.clone();
    job.partition_by = vec![PartitionColumn::AccountId, PartitionColumn::EventDate];
    let options = || RunOptions {
        clock: Clock::AsOf(at(NOW)),
        ..RunOptions::new(CancellationToken::new())
    };
    run::run(&job, RunMode::Due, &options()).await.unwrap();
    let was = std::mem::replace(&mut job.account_id, "renamed".to_owned());
    let error = run::run(&job, RunMode::Due, &options()).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Config);
    let message = error.to_string();
    assert!(
        message.contains(&format!("`account_id={was}`"))
            && message.contains("`account_id=renamed`"),
        "{message}"
    );

    job.partition_by = vec![PartitionColumn::EventDate];
    run::run(&job, RunMode::Due, &options())
        .await
        .expect("it isn't in the path");
}

#[tokio::test]
async fn whoever_follows_a_run_sees_each_window_before_its_commit() {
    let services = options(Mode::Async, &[FIRST]);
    let rig = Rig::with(&day(), prompt(), services, policy()).await;
    rig.sim.set_now(at(NOW));
    let options = RunOptions {
        clock: Clock::AsOf(at(NOW)),
        at_a_time: 1,
        ..RunOptions::new(CancellationToken::new())
    };
    // the second window isn't let through until the first one was seen
    let hold = CancellationToken::new();
    rig.sim.faults().inject(FaultRule {
        endpoint: Some(SUBMIT),
        skip: 1,
        times: 1,
        fault: Fault::Hold(hold.clone()),
    });
    let mut told = options.totals.subscribe();
    let following = async {
        let patience = std::time::Duration::from_mins(1);
        let first = tokio::time::timeout(patience, told.wait_for(|totals| totals.windows > 0));
        let seen = first.await.map(|seen| seen.map(|seen| *seen).unwrap());
        hold.cancel();
        seen
    };
    let (_, seen) = tokio::join!(run::run(&rig.job, RunMode::Due, &options), following);
    let seen = seen.expect("the first window is never told of");
    assert_eq!((seen.windows, seen.commits), (1, 0));
    assert!(seen.counts.new > 0);
}

//! The table `audit_runs`.

use std::sync::Arc;

use auditlake::clock::real_now;
use auditlake::history::{self, MARGIN};
use auditlake::lake::{self, Lake, LakeError};
use auditlake::model::Timestamp;
use auditlake::scheduler::Scheduler;
use chrono::{Days, NaiveDate, NaiveTime, TimeDelta};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::support::*;
use crate::support::store::{Answer, Fault, FaultStore};

fn day(at: Timestamp) -> NaiveDate {
    at.date_naive()
}

/// The first instant at which `day` may be written.
fn over(day: NaiveDate) -> Timestamp {
    let next = day.checked_add_days(Days::new(1)).unwrap();
    next.and_time(NaiveTime::MIN).and_utc() + MARGIN
}

async fn build(lake: &Lake, now: Timestamp) -> Vec<NaiveDate> {
    let built = history::build(lake, now).await.unwrap();
    built.into_iter().map(|built| built.day).collect()
}

/// The days on which the log's commits were made: one, unless the test runs over midnight.
async fn days(lake: &Lake) -> Vec<NaiveDate> {
    let mut days: Vec<NaiveDate> = log(lake)
        .await
        .iter()
        .map(|commit| day(commit.at))
        .collect();
    days.dedup();
    days
}

#[tokio::test]
async fn a_day_of_runs_is_a_file_that_adds_up_to_what_is_in_the_lake() {
    let rig = rig().await;
    live(&rig).await;
    let lake = &rig.job.lake;
    let days = days(lake).await;
    let now = over(*days.last().unwrap());
    assert_eq!(
        build(lake, now - TimeDelta::microseconds(1)).await,
        days[..days.len() - 1]
    );
    assert_eq!(build(lake, now).await, days[days.len() - 1..]);
    assert_eq!(build(lake, now).await, []);
    assert_eq!(files(lake).await.len(), days.len());

    let cells = cells(lake).await;
    let truth = Sums::of_lake(&rig).await;
    assert!(
        truth.late > 10 && truth.retries > 1 && truth.days.len() > 1,
        "{truth:?}"
    );
    assert_eq!(Sums::of_cells(&cells), truth);

    let with = |outcome: &str| {
        let rows = cells.iter().filter(|row| row["outcome"] == outcome);
        rows.collect::<Vec<_>>()
    };
    let [failed] = with("failed")[..] else {
        panic!("{:#?}", with("failed"));
    };
    assert_eq!(failed["stream"], "match/QUEUE");
    assert_eq!(failed["kind"], "pull");
    assert_eq!(failed["error_kind"], "auth");
    assert!(failed["error"].as_str().unwrap().contains("403 Forbidden"));
    assert_eq!(failed["range_from"], "2026-03-01 11:58:00 UTC");
    assert_eq!(failed["calls"], 1);
    let [lost] = with("lost")[..] else {
        panic!("{:#?}", with("lost"));
    };
    assert_eq!(lost["stream"], json!(null));
    assert_eq!(lost["calls"], 0);
    for row in &cells {
        assert_eq!(row["job"], JOB);
        let may_say_nothing = row["outcome"] == "lost";
        assert!(may_say_nothing || row["provider"] == "avaya_axp", "{row:?}");
    }
    let kinds = ["pull", "settle", "backfill"];
    for kind in kinds {
        assert!(cells.iter().any(|row| row["kind"] == kind), "{kind}");
    }
    // what is read back is what was written
    let known = history::History::load(lake, now).await;
    let rows = &known.history.rows;
    assert_eq!(Sums::of_rows(rows), truth);
    assert_eq!(rows.len(), cells.len());
}

#[tokio::test]
async fn two_who_write_the_same_day_leave_one_file() {
    let rig = rig().await;
    live(&rig).await;
    let lake = &rig.job.lake;
    let days = days(lake).await;
    let now = over(*days.last().unwrap());
    let process = || {
        let process = FaultStore::new(&lake.store, &Arc::default(), Fault::None);
        process.skewed(TimeDelta::zero()).in_turns()
    };
    let ((one, mut of_one), (other, mut of_other)) = (process(), process());
    let taking_turns = async {
        // call by call, so that neither sees the other's file before it writes its own
        let mut is_ones = true;
        loop {
            let turn = if is_ones {
                tokio::select! { biased; turn = of_one.recv() => turn, turn = of_other.recv() => turn }
            } else {
                tokio::select! { biased; turn = of_other.recv() => turn, turn = of_one.recv() => turn }
            };
            is_ones = !is_ones;
            turn.unwrap().take(Answer::Arrives).await;
        }
    };
    let (one, other) = (one.lake(), other.lake());
    let (one, other) = tokio::select! {
        built = async { tokio::join!(build(&one, now), build(&other, now)) } => built,
        () = taking_turns => panic!("it takes turns for ever"),
    };
    assert_eq!(one.len() + other.len(), days.len());
    assert_eq!(files(lake).await.len(), days.len());
    assert_eq!(
        Sums::of_cells(&cells(lake).await),
        Sums::of_lake(&rig).await
    );
}

/// A replica's clock is behind: it commits to a day whose file is there already.
#[tokio::test]
async fn every_commit_is_in_one_file_whatever_its_writers_clock_said() {
    let rig = rig().await;
    let lake = &rig.job.lake;
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    age(lake, TimeDelta::days(3)).await;
    let first = day(real_now() - TimeDelta::days(3));
    let built = build(lake, real_now()).await;
    assert!(built.contains(&first), "{built:?}");

    rig.tick(at("2026-03-02T12:00:00Z")).await;
    let behind = log(lake)
        .await
        .into_iter()
        .filter(|commit| day(commit.at) > first);
    for commit in behind.collect::<Vec<_>>() {
        rewrite(lake, commit.version, |text| {
            text["at"] = serde_json::to_value(commit.at - TimeDelta::days(3)).unwrap();
        })
        .await;
    }
    rig.tick(at("2026-03-03T12:00:00Z")).await;
    let now = over(day(real_now()));
    assert!(!build(lake, now).await.contains(&first));
    let files = files(lake).await;
    assert!(files.len() >= 2);
    assert_eq!(
        Sums::of_cells(&cells(lake).await),
        Sums::of_lake(&rig).await
    );
}

/// A replica's clock is a year ahead for one run: the job's rows don't wait for that date.
#[tokio::test]
async fn a_commit_from_the_future_is_taken_as_of_the_day_that_is_written() {
    let rig = rig().await;
    let lake = &rig.job.lake;
    let ahead = async |versions: std::ops::Range<usize>| {
        for commit in &log(lake).await[versions] {
            rewrite(lake, commit.version, |text| {
                text["at"] = serde_json::to_value(commit.at + TimeDelta::days(365)).unwrap();
            })
            .await;
        }
    };
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    age(lake, TimeDelta::days(3)).await;
    let all = log(lake).await.len();
    ahead(0..all).await; // nothing but such commits
    let today = day(real_now());
    let last = today - Days::new(1);
    assert_eq!(build(lake, over(last)).await, [last]);
    assert_eq!(build(lake, over(last)).await, []);

    rig.tick(at("2026-03-02T12:00:00Z")).await;
    let from = all;
    let all = log(lake).await.len();
    ahead(from..all).await;
    rig.tick(at("2026-03-03T12:00:00Z")).await;
    let now = over(day(real_now()));
    assert!(build(lake, now).await.contains(&today));
    assert_eq!(
        Sums::of_cells(&cells(lake).await),
        Sums::of_lake(&rig).await
    );
}

/// A clock far ahead, or a person, left a file of a future day: files of past days are written all the same.
#[tokio::test]
async fn a_file_of_a_day_to_come_is_passed_over() {
    let rig = rig().await;
    let lake = &rig.job.lake;
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    let to_come = lake.layout.runs_of(day(real_now()) + Days::new(900));
    lake.store.put(&to_come, "no file".into()).await.unwrap();
    age(lake, TimeDelta::days(26)).await;
    let lost = async || history::about_to_be_lost(lake, real_now()).await.unwrap();
    assert!(lost().await.is_some());
    let known = history::History::load(lake, real_now()).await;
    assert_eq!(known.problems, [""; 0]);
    let written = day(log(lake).await[0].at);
    assert_eq!(build(lake, real_now()).await.first(), Some(&written));
    assert_eq!(lost().await, None);
    lake.store.delete(&to_come).await.unwrap();
    assert_eq!(
        Sums::of_cells(&cells(lake).await),
        Sums::of_lake(&rig).await
    );
}

/// A commit comes late, after one replica has found its day without any: it is in the next day's file, and another
/// replica that is still at its day starts over.
#[tokio::test]
async fn who_is_overtaken_by_another_begins_anew() {
    let rig = rig().await;
    let lake = &rig.job.lake;
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    age(lake, TimeDelta::days(3)).await;
    build(lake, real_now()).await;
    let written = log(lake).await.len();
    rig.tick(at("2026-03-02T12:00:00Z")).await;
    let unwritten = log(lake).await.split_off(written);
    let now = over(day(real_now()));
    let process = FaultStore::new(&lake.store, &Arc::default(), Fault::None);
    let (process, mut turns) = process.skewed(TimeDelta::zero()).in_turns();
    let slow = process.lake();
    let overtaking = async {
        turns.recv().await.unwrap().take(Answer::Arrives).await; // it has listed the table
        let next = turns.recv().await.unwrap();
        assert!(!build(lake, now).await.is_empty());
        for commit in unwritten {
            rewrite(lake, commit.version, |text| {
                text["at"] = serde_json::to_value(commit.at - TimeDelta::days(1)).unwrap();
            })
            .await;
        }
        next.take(Answer::Arrives).await;
        while let Some(turn) = turns.recv().await {
            turn.take(Answer::Arrives).await;
        }
    };
    let built = tokio::select! {
        built = build(&slow, now) => built,
        () = overtaking => panic!("it makes calls for ever"),
    };
    assert_eq!(built, []);
    assert_eq!(
        Sums::of_cells(&cells(lake).await),
        Sums::of_lake(&rig).await
    );
}

/// Days without a commit have no file, and none is looked for.
#[tokio::test]
async fn days_that_nobody_wrote_are_made_up_for() {
    let rig = rig().await;
    let lake = &rig.job.lake;
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    age(lake, TimeDelta::days(4)).await;
    rig.tick(at("2026-03-02T12:00:00Z")).await;
    age(lake, TimeDelta::days(5)).await;
    rig.tick(at("2026-03-03T12:00:00Z")).await;
    let committed = days(lake).await;
    assert!(committed.len() >= 3, "{committed:?}");
    assert_eq!(
        build(lake, over(*committed.last().unwrap())).await,
        committed
    );
    assert_eq!(
        Sums::of_cells(&cells(lake).await),
        Sums::of_lake(&rig).await
    );
}

/// The log was deleted, and has grown beyond what it was.
#[tokio::test]
async fn a_log_that_begins_anew_is_gone_on_with() {
    let rig = rig().await;
    let lake = &rig.job.lake;
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    age(lake, TimeDelta::days(2)).await;
    build(lake, real_now()).await;
    let before = Sums::of_cells(&cells(lake).await);
    let old = log(lake).await.len();
    for key in keys(lake, &lake.layout.jobs()).await {
        lake.store.delete(&key).await.unwrap();
    }
    let calls = rig.sim.counters().total_calls();
    while log(lake).await.len() <= old + 1 {
        rig.tick(at("2026-03-01T12:00:00Z")).await;
    }
    build(lake, over(day(real_now()))).await;
    let after = Sums::of_cells(&cells(lake).await);
    let made = rig.sim.counters().total_calls() - calls;
    assert!(made > 0);
    assert_eq!(after.calls, before.calls + made);
    assert_eq!(after.new, before.new); // they are all duplicates now
}

/// The folder of a job's log is away while a day is written, and comes back.
#[tokio::test]
async fn a_log_that_was_away_for_a_day_is_gone_on_with() {
    let rig = rig().await;
    let lake = &rig.job.lake;
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    age(lake, TimeDelta::days(3)).await;
    build(lake, real_now()).await;
    let mut away = Vec::new();
    for key in keys(lake, &lake.layout.jobs()).await {
        let bytes = lake.store.get(&key).await.unwrap().bytes().await.unwrap();
        lake.store.delete(&key).await.unwrap();
        away.push((key, bytes));
    }
    let run = lake::LogRun::new("other", TimeDelta::zero());
    lake::JobLog::claim(lake, run).await.unwrap();
    let today = day(real_now());
    assert!(build(lake, over(today)).await.contains(&today));
    for (key, bytes) in away {
        lake.store.put(&key, bytes.into()).await.unwrap();
    }
    rig.tick(at("2026-03-02T12:00:00Z")).await;
    build(lake, over(day(real_now()) + Days::new(1))).await;
    assert_eq!(
        Sums::of_cells(&cells(lake).await),
        Sums::of_lake(&rig).await
    );
}

/// The newest commits are gone with the disk; what the table has of them stays, and what it has of the others isn't
/// there twice.
#[tokio::test]
async fn a_log_from_an_older_copy_is_gone_on_with() {
    let rig = rig().await;
    let lake = &rig.job.lake;
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    age(lake, TimeDelta::days(1)).await;
    let copied = log(lake).await.len();
    rig.tick(at("2026-03-02T12:00:00Z")).await;
    age(lake, TimeDelta::days(2)).await;
    build(lake, real_now()).await;
    let before = Sums::of_cells(&cells(lake).await);
    for commit in &log(lake).await[copied..] {
        let key = lake.layout.job(JOB).commit(commit.version);
        lake.store.delete(&key).await.unwrap();
    }
    let calls = rig.sim.counters().total_calls();
    rig.tick(at("2026-03-03T12:00:00Z")).await;
    let made = rig.sim.counters().total_calls() - calls;
    assert!(made > 0);
    build(lake, over(day(real_now()))).await;
    let after = Sums::of_cells(&cells(lake).await);
    assert_eq!(after.calls, before.calls + made);
}

/// Its claim is over by the time that the first day is written, but its next commits are the next day's.
#[tokio::test]
async fn a_run_over_midnight_is_not_lost() {
    let rig = rig().await;
    let lake = &rig.job.lake;
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    let all = log(lake).await;
    assert!(all.len() > 2);
    let today = day(real_now());
    for commit in &all[..2] {
        rewrite(lake, commit.version, |text| {
            let claim = commit.claim.as_ref().unwrap();
            let yesterday = TimeDelta::days(1);
            text["at"] = serde_json::to_value(commit.at - yesterday).unwrap();
            text["claim"]["expires_at"] =
                serde_json::to_value(claim.expires_at - yesterday).unwrap();
        })
        .await;
    }
    let built = build(lake, over(day(real_now()))).await;
    assert_eq!(built[..2], [today - Days::new(1), today]);
    let cells = cells(lake).await;
    assert!(cells.iter().all(|row| row["outcome"] != "lost"));
    assert_eq!(Sums::of_cells(&cells), Sums::of_lake(&rig).await);
}

/// What was pruned before a file was made of it is missing there, and does no other harm.
#[tokio::test]
async fn a_log_that_was_pruned_meanwhile_costs_no_more_than_what_was_pruned() {
    let rig = rig().await;
    let lake = &rig.job.lake;
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    age(lake, TimeDelta::days(2)).await;
    build(lake, real_now()).await;
    let before = Sums::of_cells(&cells(lake).await);
    rig.tick(at("2026-03-02T12:00:00Z")).await;
    let pruned = log(lake).await;
    rig.tick(at("2026-03-03T12:00:00Z")).await;
    let left: u64 = log(lake).await[pruned.len()..]
        .iter()
        .flat_map(|commit| &commit.pulled)
        .map(|pulled| pulled.counts.new)
        .sum();
    for commit in pruned {
        let key = lake.layout.job(JOB).commit(commit.version);
        lake.store.delete(&key).await.unwrap();
    }
    build(lake, over(day(real_now()))).await;
    let after = Sums::of_cells(&cells(lake).await);
    assert_eq!(after.new, before.new + left);
}

#[tokio::test]
async fn a_commit_that_is_damaged_hides_no_other_and_one_of_a_newer_format_is_waited_for() {
    let rig = rig().await;
    let lake = &rig.job.lake;
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    rig.tick(at("2026-03-02T12:00:00Z")).await;
    let all = log(lake).await;
    let now = over(day(real_now()));
    let newer = all[1].version;
    rewrite(lake, newer, |text| text["format"] = json!(2)).await;
    let error = history::build(lake, now).await.unwrap_err();
    assert!(
        matches!(
            error,
            history::BuildError::Lake(LakeError::NewerFormat { .. })
        ),
        "{error:?}"
    );
    assert!(files(lake).await.is_empty());
    let key = lake.layout.job(JOB).commit(newer);
    lake.store.put(&key, "{\"format\":1,".into()).await.unwrap();
    build(lake, now).await;
    let counted = |commit: &auditlake::lake::Commit| {
        commit
            .pulled
            .iter()
            .map(|pulled| pulled.counts.new)
            .sum::<u64>()
    };
    let lacking = counted(&all[1]);
    assert!(lacking > 0);
    let new = all.iter().map(counted).sum::<u64>();
    assert_eq!(Sums::of_cells(&cells(lake).await).new, new - lacking);
}

/// The daemon writes what is missing at its start.
#[tokio::test]
async fn the_daemon_writes_the_days_that_are_missing() {
    let rig = rig().await;
    live(&rig).await;
    let store = &rig.job.lake.store;
    age(&rig.job.lake, TimeDelta::days(2)).await;
    let process = FaultStore::new(store, &Arc::default(), Fault::None);
    let noticing = process.skewed(TimeDelta::zero()).noted(0, &Arc::default());
    let stop = CancellationToken::new();
    let scheduler = Scheduler::start(Vec::new(), stop).await.unwrap();
    scheduler.keep_history(noticing.lake());
    let table = Path::from("audit_runs");
    while keys(&rig.job.lake, &table).await.is_empty() {
        tokio::task::yield_now().await;
    }
    scheduler.stop().await; // ends with it
    assert_eq!(
        Sums::of_cells(&cells(&rig.job.lake).await),
        Sums::of_lake(&rig).await
    );
}

#[tokio::test]
async fn days_that_are_about_to_be_lost_are_told() {
    let rig = rig().await;
    let lake = &rig.job.lake;
    let lost = async || history::about_to_be_lost(lake, real_now()).await.unwrap();
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    assert_eq!(lost().await, None);
    age(lake, TimeDelta::days(26)).await;
    let first = log(lake).await[0].at;
    assert_eq!(lost().await, Some(first));
    build(lake, real_now()).await;
    assert_eq!(lost().await, None); // nothing was committed since
    rig.tick(at("2026-03-02T12:00:00Z")).await;
    assert_eq!(lost().await, None); // but today
    assert_eq!(lake::jobs(lake).await.unwrap(), [JOB]);
}

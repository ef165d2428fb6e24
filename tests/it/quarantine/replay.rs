//! Replay: what can be read now is landed once, whatever else shows it, and its lines are done with.

use std::collections::BTreeSet;
use std::sync::Arc;

use auditlake::lake::{ClaimOutcome, Commit, JobLog, Lake, LogRun, Work};
use auditlake::model::Timestamp;
use auditlake::run::{self, LineOutcome, RunOptions, RunOutcome};
use chrono::TimeDelta;
use object_store::ObjectStoreExt;
use tokio_util::sync::CancellationToken;

use super::world::{World, as_if_learned_before, open};
use crate::support::provider::{Event, Provider, at};
use crate::support::rig::{Rig, Simulator};
use crate::support::store::Fault;

/// Two garbled ones among others, and one that nobody will ever be able to read.
fn log() -> Vec<Event> {
    vec![
        Event::new("first-1", at(23, 30)),
        Event::garbled("bad-1", at(23, 40)),
        Event::garbled("bad-2", at(24, 10)),
        Event::new("first-2", at(24, 20)),
        Event::unreadable("worst", at(24, 25)),
        Event::new("late-1", at(23, 50)).late(),
        Event::new("second-1", at(25, 10)),
    ]
}

/// Twins: two on one page at first, a third that shows up later.
fn twins() -> Vec<Event> {
    vec![
        Event::garbled("twin", at(23, 40)),
        Event::garbled("twin", at(23, 40)),
        Event::garbled("twin", at(23, 40)).late(),
        Event::new("first-1", at(24, 10)),
        Event::new("first-1", at(24, 10)),
        Event::new("second-1", at(25, 10)),
    ]
}

#[tokio::test]
async fn what_can_be_read_now_is_landed_and_its_lines_are_done_with() {
    for has_ids in [true, false] {
        let world = World::new(log(), has_ids).await;
        world.pull(25, false).await;
        assert_eq!(world.counts().await, open(3, 0));
        let (rows, before) = (world.rows().await.len(), world.newest().await);

        let became = world.replay(None).await;
        let landed = became
            .iter()
            .filter(|became| **became == LineOutcome::Landed);
        assert_eq!((landed.count(), became.len()), (2, 3), "{became:?}");
        let still = |became: &&LineOutcome| matches!(became, LineOutcome::Unreadable(why) if why.contains("missing field"));
        assert_eq!(became.iter().filter(still).count(), 1, "{became:?}");
        assert_eq!(world.counts().await, open(1, 2));
        let after = world.rows().await;
        assert_eq!(after.len(), rows + 2);
        assert!(
            after.iter().all(|row| !row.late),
            "an earlier pull did see it"
        );

        // where the job stands is no matter of a replay
        let newest = world.newest().await;
        assert_eq!(newest.progress, before.progress);
        assert_eq!(
            (&newest.streams, newest.planned_at),
            (&before.streams, before.planned_at)
        );
        assert_eq!(newest.claim, None);

        // the settle pass shows all of it again
        world.provider.show_late(true);
        world.pull(28, true).await;
        assert_eq!(
            world.events().await,
            as_if_learned_before(&world.provider, has_ids, 28).await
        );
        assert_eq!(world.counts().await, open(1, 2));
        assert_eq!(world.replay(None).await.len(), 1);
    }
}

#[tokio::test]
async fn a_replay_that_can_read_nothing_leaves_everything_as_it_was() {
    let world = World::new(vec![Event::unreadable("worst", at(23, 25))], true).await;
    world.pull(25, false).await;
    let newest = world.newest().await;
    for _ in 0..2 {
        let became = world.replay(None).await;
        assert!(
            matches!(&became[..], [LineOutcome::Unreadable(_)]),
            "{became:?}"
        );
        assert_eq!(world.counts().await, open(1, 0));
        assert_eq!(world.newest().await.progress, newest.progress);
        assert_eq!(world.rows().await, []);
    }
}

#[tokio::test]
async fn the_commit_of_a_replay_says_what_it_landed() {
    let world = World::new(log(), true).await;
    world.pull(25, false).await;
    let version = world.newest().await.version;
    world.replay(None).await;
    let mut pulled = Vec::new();
    for version in version + 1..=world.newest().await.version {
        let key = world.lake().layout.job("job").commit(version);
        let commit = world.store.get(&key).await.unwrap();
        let commit: Commit = serde_json::from_slice(&commit.bytes().await.unwrap()).unwrap();
        pulled.extend(commit.pulled);
    }
    let new: u64 = pulled.iter().map(|pulled| pulled.counts.new).sum();
    assert_eq!(new, 2, "{pulled:?}");
    for pulled in pulled {
        assert_eq!((pulled.work, pulled.finished), (Work::Replay, false));
        assert_eq!(
            (pulled.stream.as_str(), pulled.range.from()),
            ("all", at(23, 0))
        );
    }
}

#[tokio::test]
async fn a_pull_that_was_faster_than_the_replay_makes_duplicates_of_its_lines() {
    for has_ids in [true, false] {
        for log in [log(), twins()] {
            let world = World::new(log, has_ids).await;
            world.pull(25, false).await;
            let lines = world.counts().await.open;
            world.provider.show_late(true);
            world.pull(28, true).await;
            let rows = world.rows().await;
            let became = world.replay(None).await;
            assert!(!became.contains(&LineOutcome::Landed), "{became:?}");
            assert_eq!(world.rows().await, rows);
            assert_eq!(became.len() as u64, lines);
        }
    }
}

#[tokio::test]
async fn equal_records_without_ids_land_as_often_as_they_are_there_in_whatever_order_they_are_replayed()
 {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        let world = World::new(twins(), false).await;
        world.pull(25, false).await;
        world.provider.show_late(true);
        world.pull(27, false).await;
        assert_eq!(
            world.counts().await,
            open(3, 0),
            "the third is found by the settle pass"
        );
        let lines = world.lines().await;
        for index in order {
            let one = BTreeSet::from([lines[index].0.clone()]);
            assert_eq!(
                world.replay(Some(&one)).await,
                [LineOutcome::Landed],
                "{order:?}"
            );
            assert_eq!(world.replay(Some(&one)).await, [], "it is done with");
        }
        let truth = as_if_learned_before(&world.provider, false, 27).await;
        assert_eq!(world.events().await, truth, "{order:?}");
        world.pull(30, true).await;
        assert_eq!(world.events().await.len(), truth.len());
        assert_eq!(world.counts().await, open(0, 3));
    }
}

#[tokio::test]
async fn a_re_read_adds_no_line_again_after_it_was_put_aside_but_one_more_of_it_is_open() {
    for has_ids in [true, false] {
        let world = World::new(twins(), has_ids).await;
        world.pull(25, false).await;
        let lines = world.lines().await;
        world.ack(&lines).await;
        assert_eq!(world.counts().await, open(0, 2));
        world.provider.show_late(true);
        let report = world.pull(27, false).await;
        assert_eq!(world.counts().await, open(1, 2));
        assert_eq!(report.totals.counts.quarantined, 1);
        // acknowledging what is acknowledged changes nothing
        world.ack(&lines).await;
        assert_eq!(world.counts().await, open(1, 2));
        assert_eq!(world.replay(None).await, [LineOutcome::Landed]);
        assert_eq!(world.counts().await, open(0, 3));
    }
}

#[tokio::test]
async fn a_job_that_another_run_holds_is_left_to_it() {
    let world = World::new(log(), true).await;
    world.pull(25, false).await;
    let lake = Lake::in_store("memory:///", Arc::clone(&world.store), "".into());
    let run = LogRun::new("job", TimeDelta::minutes(1));
    let ClaimOutcome::Mine(log) = JobLog::claim(&lake, run).await.unwrap() else {
        panic!("nobody else runs this job");
    };
    // in the faulty store's eyes every claim has expired, so this one looks for itself
    world.provider.learn(true);
    let (job, options) = (world.job(lake), RunOptions::new(CancellationToken::new()));
    let held = run::replay(&job, None, &options).await.unwrap();
    assert!(matches!(held, RunOutcome::Held(_)), "{held:?}");
    assert_eq!(world.counts().await, open(3, 0));
    log.release(None).await.unwrap();
    let ran = run::replay(&job, None, &options).await.unwrap();
    assert!(matches!(ran, RunOutcome::Ran(_)), "{ran:?}");
    assert_eq!(world.counts().await, open(1, 2));
}

#[tokio::test]
async fn a_replay_that_is_stopped_leaves_the_rest_open() {
    let world = World::new(log(), true).await;
    world.pull(25, false).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let options = RunOptions::new(stop);
    let job = world.job(world.process(Fault::None).lake());
    let RunOutcome::Ran(replayed) = run::replay(&job, None, &options).await.unwrap() else {
        panic!("nobody else runs this job");
    };
    assert!(replayed.unfinished && replayed.lines.is_empty());
    assert_eq!(world.counts().await, open(3, 0));
}

impl Simulator for Provider {
    fn set_now(&self, _: Timestamp) {}
}

#[tokio::test]
async fn a_replayed_row_was_ingested_when_its_line_was_pulled() {
    let provider = Provider::start(log()).await;
    let (lake, _) = crate::support::rig::lake_in_memory().await;
    let rig = Rig {
        job: provider.job(lake, 1 << 20),
        sim: provider,
    };
    rig.tick(at(25, 0)).await;
    rig.sim.learn(true);
    let options = RunOptions::new(CancellationToken::new());
    run::replay(&rig.job, None, &options).await.unwrap();
    let lines = rig.quarantine().await;
    for id in ["bad-1", "bad-2"] {
        let rows = rig.rows().await;
        let row = rows.iter().find(|row| row.id == id).unwrap();
        let line = lines.iter().find(|line| line["raw"] == row.raw).unwrap();
        let pulled_at: Timestamp = line["pulled_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(row.ingested_at, pulled_at.timestamp_micros());
        assert_eq!(row.late_by_ms, None);
    }
}

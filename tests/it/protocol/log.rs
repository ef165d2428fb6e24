//! The log is damaged, deleted, pruned, or shares its folder.

use auditlake::lake::{ClaimOutcome, JobLog, LogRun};
use auditlake::model::FailureKind;
use auditlake::run::RunOutcome;
use chrono::TimeDelta;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::crash::{Lived, live, suffer};
use super::world::{
    COMMITS, STEPS, Step, World, copy_of, lake, lake_of_the_dead, long_lake, provider,
    short_provider, with_commits,
};
use crate::support::reader::keys;
use crate::support::store::Fault;

const LATEST: &str = "_auditlake/jobs/job/latest.json";

fn commit(version: u64) -> Path {
    Path::from(format!("{COMMITS}/{version:020}.json"))
}

async fn put(store: &(impl ObjectStore + ?Sized), key: impl Into<Path>, text: &'static str) {
    store.put(&key.into(), text.into()).await.unwrap();
}

#[tokio::test]
async fn foreign_objects_are_left_alone_and_mislead_nobody() {
    let provider = provider().await;
    let store = lake().await;
    let foreign = [
        "readme.txt",
        "1.json",
        "00000000000000000009.json.bak",
        "99999999999999999999.json",
        "backup/00000000000000000009.json",
    ]
    .map(|name| Path::from(format!("{COMMITS}/{name}")));
    for key in &foreign {
        put(&store, key.clone(), "foreign").await;
    }
    put(&store, "_auditlake/jobs/job/staging/foreign", "foreign").await;
    let world = World::of(&provider, store).await;
    for step in STEPS {
        world.run_clean(step, "with foreign objects").await;
    }
    world.check(Step::Settle, "with foreign objects").await;
    for key in &foreign {
        let bytes = world.store.get(key).await.unwrap().bytes().await.unwrap();
        assert_eq!(bytes, "foreign", "{key}");
    }
}

/// A commit that can't be read stops the job with a message that names it; once it is moved away the job continues.
#[tokio::test]
async fn a_damaged_or_newer_commit_stops_the_job_and_costs_nothing() {
    let provider = provider().await;
    let damaged = [
        (
            r#"{"format":1,"version":4,"id":"01"#,
            FailureKind::Data,
            "is not what auditlake writes there",
        ),
        ("", FailureKind::Data, "is not what auditlake writes there"),
        (
            r#"{"format":2,"anything":"else"}"#,
            FailureKind::Config,
            "has format 2, this auditlake reads up to 1",
        ),
    ];
    for lived in live(&provider).await {
        for (text, kind, message) in damaged {
            let world = World::of(&provider, lived.before.fork()).await;
            world
                .live(&world.process(Fault::DieAfter(lived.calls / 2)), lived.step)
                .await;
            let next = commit(world.newest().await.version + 1);
            put(&*world.store, next.clone(), text).await;
            let before = keys(&world.store, "").await;

            let error = world
                .run(&world.process(Fault::None), lived.step)
                .await
                .unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            let text = error.to_string();
            assert!(
                text.contains(next.as_ref()) && text.contains(message),
                "{text}"
            );
            assert_eq!(keys(&world.store, "").await, before);

            world.store.delete(&next).await.unwrap();
            world.run_clean(lived.step, "moved away").await;
            world.check_lake(lived.step, "moved away").await;
        }
    }
}

/// A commit whose files are still to be published is gone: no run may continue as if its rows were there.
#[tokio::test]
async fn a_gap_in_the_log_stops_the_job_until_the_log_is_moved_away() {
    let provider = provider().await;
    let lived = live(&provider).await.remove(0);
    let mut gaps = 0;
    for n in 1..=lived.calls {
        let world = World::of(&provider, lived.before.fork()).await;
        // the second process dies with its claim just made
        for fault in [Fault::DieAfter(n), Fault::DieAfter(4)] {
            world.live(&world.process(fault), lived.step).await;
        }
        let newest = world.newest().await;
        if newest.published_through + 1 >= newest.version {
            continue;
        }
        gaps += 1;
        world
            .store
            .delete(&commit(newest.published_through + 1))
            .await
            .unwrap();
        let error = world
            .run(&world.process(Fault::None), lived.step)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), FailureKind::Data, "{n}: {error}");
        for key in keys(&world.store, COMMITS).await {
            world.store.delete(&key).await.unwrap();
        }
        world.run_clean(lived.step, "moved away").await;
        world.check_lake(lived.step, "moved away").await;
    }
    assert!(gaps > 0);
}

#[tokio::test]
async fn a_deleted_log_begins_anew_and_doubles_nothing() {
    let provider = provider().await;
    let lived = live(&provider).await.remove(0);
    for n in (1..=lived.calls).step_by(2) {
        for hint in [None, Some(r#"{"version":64}"#)] {
            let context = format!("deleted after {n}, {hint:?}");
            let world = World::of(&provider, lived.before.fork()).await;
            world
                .live(&world.process(Fault::DieAfter(n)), lived.step)
                .await;
            for key in keys(&world.store, COMMITS).await {
                world.store.delete(&key).await.unwrap();
            }
            if let Some(hint) = hint {
                put(&*world.store, LATEST, hint).await;
            }
            world.run_clean(lived.step, &context).await;
            world.check_lake(lived.step, &context).await;
            assert!(world.store.head(&commit(1)).await.is_ok(), "{context}");
        }
    }
}

/// All commits of a log have its epoch; a log that starts again has another one.
#[tokio::test]
async fn a_log_has_an_epoch_of_its_own() {
    let provider = provider().await;
    let lived = live(&provider).await.remove(0);
    let world = World::of(&provider, lived.before.fork()).await;
    let epoch = async || {
        world.run_clean(lived.step, "").await;
        let commits = world.commits().await;
        assert!(commits.len() > 1);
        let files = commits.iter().flat_map(|commit| &commit.files);
        for file in files.filter(|file| file.key.ends_with(".parquet")) {
            assert!(file.min_event_time <= file.max_event_time && file.min_event_time.is_some());
        }
        let mut epochs: Vec<_> = commits.iter().map(|commit| commit.epoch.unwrap()).collect();
        epochs.dedup();
        assert_eq!(epochs.len(), 1);
        epochs[0]
    };
    let first = epoch().await;
    assert_eq!(epoch().await, first);
    for key in keys(&world.store, COMMITS).await {
        world.store.delete(&key).await.unwrap();
    }
    assert_ne!(epoch().await, first);
}

#[tokio::test]
async fn a_hint_is_only_a_hint() {
    let provider = provider().await;
    for hint in [
        "not json",
        "",
        "{}",
        r#"{"version":-1}"#,
        r#"{"version":0}"#,
        r#"{"version":1}"#,
        r#"{"version":1000}"#,
        r#"{"version":18446744073709551615}"#,
    ] {
        for lived in live(&provider).await {
            let world = World::of(&provider, lived.before.fork()).await;
            put(&*world.store, LATEST, hint).await;
            world
                .live(&world.process(Fault::DieAfter(lived.calls / 2)), lived.step)
                .await;
            world.run_clean(lived.step, hint).await;
            world.check(lived.step, hint).await;
        }
    }
}

/// A hint that is too far ahead is mended as soon as one is written, and keeps nobody from pruning until then.
#[tokio::test]
async fn a_hint_that_is_ahead_is_mended() {
    let provider = short_provider().await;
    let store = with_commits(lake().await, 60).await;
    put(&store, LATEST, r#"{"version":18446744073709551615}"#).await;
    let world = World::of(&provider, store).await;
    world.run_clean(Step::FirstPull, "ahead").await;
    world.check(Step::FirstPull, "ahead").await;
    let bytes = world
        .store
        .get(&Path::from(LATEST))
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let hint: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        hint["version"].as_u64().unwrap(),
        world.newest().await.version
    );
}

/// The process dies at every call of a run that prunes the log at its end.
#[tokio::test]
async fn pruning_never_takes_what_is_still_to_be_published() {
    let provider = short_provider().await;
    let before = with_commits(lake().await, 60).await;
    let world = World::of(&provider, before.fork()).await;
    let process = world.process(Fault::None);
    let Ok(RunOutcome::Ran(_)) = world.run(&process, Step::FirstPull).await else {
        panic!("nobody else is there");
    };
    let left = keys(&world.store, COMMITS).await.len();
    assert!(left < 10, "{left} commits: this run was meant to prune");
    let lived = Lived::of(Step::FirstPull, before, process.calls(), &world).await;
    for n in (1..30).chain(lived.calls - 20..=lived.calls) {
        suffer(&provider, &lived, Fault::DieAfter(n), 1).await;
    }
    // and what was pruned is missed by nobody
    let world = World::of(&provider, copy_of(&world.store).await).await;
    world.run_clean(Step::FirstPull, "pruned").await;
    world.check(Step::FirstPull, "pruned").await;
}

/// A run finishes what a dead one committed, gets no further, and keeps house at its end; the process dies at every call of
/// that.
#[tokio::test]
async fn a_run_that_only_recovers_prunes_nothing_that_its_successor_has_to_read() {
    let provider = short_provider().await;
    let before = lake_of_the_dead(&provider, long_lake().await).await;
    let recover = async |fault| {
        let world = World::of(&provider, before.fork()).await;
        let process = world.process(fault);
        tokio::select! {
            biased;
            () = process.died() => {}
            () = async {
                let run = LogRun::new("job", TimeDelta::seconds(30));
                let ClaimOutcome::Mine(log) = JobLog::claim(&process.lake(), run).await.unwrap() else {
                    panic!("nobody else is there");
                };
                log.recover().await.unwrap();
                log.release(None).await.unwrap();
            } => {}
        }
        let context = format!("only recovers, {fault:?}");
        world.run_clean(Step::FirstPull, &context).await;
        world.check(Step::FirstPull, &context).await;
        process.calls()
    };
    let calls = recover(Fault::None).await;
    for n in 1..=calls {
        recover(Fault::DieBefore(n)).await;
        recover(Fault::DieAfter(n)).await;
    }
    println!("tried: death in a run that recovers, {calls} calls, before and after");
}

/// What is older than a month by this machine's clock, and isn't by the store's, stays.
#[tokio::test]
async fn a_clock_that_is_ahead_prunes_nothing() {
    let provider = short_provider().await;
    let before = with_commits(lake().await, 60).await;
    let left = async |store_behind: TimeDelta| {
        let world = World::of(&provider, before.fork()).await;
        // a month ahead of the writer of the log
        let lake = world.process(Fault::None).lake();
        let shown = auditlake::clock::real_now() - store_behind;
        (lake.clock).note(shown, TimeDelta::zero(), std::time::Instant::now());
        let Ok(RunOutcome::Ran(_)) = world.run_in(lake, Step::FirstPull).await else {
            panic!("nobody else is there");
        };
        keys(&world.store, COMMITS).await.len()
    };
    let with_right_clocks = left(TimeDelta::zero()).await;
    assert!(
        with_right_clocks < 10,
        "{with_right_clocks}: meant to prune"
    );
    assert!(left(TimeDelta::days(31)).await > 60);
}

//! A process that has run before goes by what it kept: how it left the log, and which ids the lake has. It must not, once
//! anybody else has committed, or its own run has failed.

use std::sync::Arc;

use auditlake::model::FailureKind;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use super::world::{COMMITS, Step, World, copy_of, lake, provider, with_commits};
use crate::support::provider::{Provider, at};
use crate::support::reader::{Row, keys};
use crate::support::store::{Answer, Fault, FaultStore};

/// What a process does before the run that is attacked.
const BEFORE: [Step; 2] = [Step::FirstPull, Step::Backfill];

/// Lives up to the settle pass, in one process.
async fn warmed_up(provider: &Provider, fault: Fault) -> (World, FaultStore) {
    let world = World::of(provider, lake().await).await;
    let process = world.process(fault).noted(0, &Arc::default());
    for step in BEFORE {
        world.run_on(&process, step, "before").await;
    }
    (world, process)
}

/// The calls that a process makes until the settle pass, and those that it makes in it.
async fn calls(provider: &Provider) -> (u64, u64) {
    let (world, process) = warmed_up(provider, Fault::None).await;
    let before = process.calls();
    world.run_on(&process, Step::Settle, "warm").await;
    world.check(Step::Settle, "warm").await;
    let told = process.told().split_off(usize::try_from(before).unwrap());
    let not_warm = |call: &&String| {
        let reads = call.starts_with("get") || call.starts_with("read");
        let lists = call.starts_with("list audit_events") || call.contains("/staging: ");
        (reads || lists) && !call.contains("/quarantine/")
    };
    assert_eq!(told.iter().find(not_warm), None, "{told:#?}");
    assert!(told.len() > 10, "too short to tell: {told:#?}");
    (before, process.calls() - before)
}

#[tokio::test]
async fn a_crash_at_any_call_of_a_warm_run_leaves_what_the_next_process_finishes() {
    let provider = provider().await;
    let (before, calls) = calls(&provider).await;
    for n in before + 1..=before + calls {
        for fault in [Fault::DieBefore(n), Fault::DieAfter(n)] {
            let context = format!("warm, {fault:?}");
            let (world, process) = warmed_up(&provider, fault).await;
            assert!(
                world.live(&process, Step::Settle).await.is_none(),
                "{context}"
            );
            world.run_clean(Step::Settle, &context).await;
            world.check(Step::Settle, &context).await;
        }
    }
    println!("tried: death at each call of a warm run: {calls} calls, before and after");
}

/// The process lives on after a run of its own that failed: nothing that this one had pulled counts as landed.
#[tokio::test]
async fn a_warm_run_that_failed_at_any_call_leaves_nothing_that_its_process_goes_by() {
    let provider = provider().await;
    let (before, calls) = calls(&provider).await;
    for n in before + 1..=before + calls {
        let mut faults = vec![Fault::FailBefore(n), Fault::LoseAnswer(n)];
        if n % 3 == 0 {
            faults.extend([Fault::Exists(n), Fault::LandLate(n, 2)]);
        }
        for fault in faults {
            let context = format!("warm, {fault:?}");
            let (world, process) = warmed_up(&provider, fault).await;
            let failed = world.run(&process, Step::Settle).await.is_err();
            if failed {
                world.run_on(&process, Step::Settle, &context).await;
                world.check(Step::Settle, &context).await;
            }
            // and once more, when it is warm again
            world.run_on(&process, Step::Refetch, &context).await;
            world.check(Step::Refetch, &context).await;
        }
    }
    println!("tried: each call of a warm run goes wrong, {calls} calls");
}

/// Another process takes the job in between and dies at any of its calls, or finishes. Then the first one continues.
#[tokio::test]
async fn what_a_process_kept_is_void_once_a_rival_has_committed() {
    let provider = provider().await;
    let world = World::of(&provider, lake().await).await;
    for step in BEFORE {
        world.run_clean(step, "").await;
    }
    let rival = world.process(Fault::None);
    world.run_on(&rival, Step::Settle, "").await;
    let calls = rival.calls();
    for n in 1..=calls + 1 {
        let context = format!("a rival that died after {n} calls");
        let (world, process) = warmed_up(&provider, Fault::None).await;
        world
            .live(&world.process(Fault::DieAfter(n)), Step::Settle)
            .await;
        world.run_on(&process, Step::Settle, &context).await;
        world.check(Step::Settle, &context).await;
        world.run_on(&process, Step::Refetch, &context).await;
        world.check(Step::Refetch, &context).await;
    }
    println!("tried: a rival between two runs of one process, dead after each of {calls} calls");
}

/// Vice versa: a run that a rival overtook at any of its calls, and its process's next run.
#[tokio::test]
async fn a_warm_run_that_a_rival_overtakes_leaves_nothing_that_its_process_goes_by() {
    let provider = provider().await;
    let (_, calls) = calls(&provider).await;
    for pause in 0..calls {
        let context = format!("overtaken after {pause} calls");
        let (world, process) = warmed_up(&provider, Fault::None).await;
        let (process, mut turns) = process.in_turns();
        {
            let mut paused = Box::pin(world.run(&process, Step::Settle));
            let mut go = async |calls: u64| {
                for _ in 0..calls {
                    let turn = turns.recv().await?;
                    turn.take(Answer::Arrives).await;
                }
                Some(())
            };
            tokio::select! {
                biased;
                ended = &mut paused => panic!("{context}: {ended:?}"),
                _ = go(pause) => {}
            }
            world.run_clean(Step::Settle, &context).await;
            // it wakes up
            tokio::select! {
                biased;
                ended = &mut paused => {
                    let lost = ended.is_err_and(|error| error.kind() == FailureKind::Conflict);
                    assert!(lost || pause < 2, "{context}");
                }
                _ = go(u64::MAX) => panic!("{context}"),
            }
        }
        let again = async {
            world.run_on(&process, Step::Refetch, &context).await;
        };
        let go = async {
            while let Some(turn) = turns.recv().await {
                turn.take(Answer::Arrives).await;
            }
        };
        tokio::select! {
            () = again => {}
            () = go => {}
        }
        world.check(Step::Refetch, &context).await;
    }
    println!("tried: a warm run overtaken after each of {calls} calls");
}

/// Someone deletes the log, or restores an older one, or one of the same length, while the process runs: it doesn't
/// continue as if its own were there.
#[tokio::test]
async fn a_log_that_was_deleted_or_brought_back_isnt_gone_on_with() {
    let provider = provider().await;
    let older = {
        let world = World::of(&provider, lake().await).await;
        world.run_clean(Step::FirstPull, "older").await;
        copy_of(&world.store).await
    };
    let (world, _) = warmed_up(&provider, Fault::None).await;
    let version = world.newest().await.version;
    let as_long = with_commits(lake().await, version).await;
    for back in [InMemory::new(), older, as_long] {
        let (world, process) = warmed_up(&provider, Fault::None).await;
        for key in keys(&world.store, COMMITS).await {
            world.store.delete(&key).await.unwrap();
        }
        let back: Arc<dyn ObjectStore> = Arc::new(back);
        for key in keys(&back, COMMITS).await {
            let bytes = back.get(&key).await.unwrap();
            let bytes = bytes.bytes().await.unwrap();
            world.store.put(&key, bytes.into()).await.unwrap();
        }
        world.run_on(&process, Step::Settle, "brought back").await;
        // the backfill isn't in that log, so nobody says that it was done
        let newest = world.newest().await;
        let coverage = &newest.progress["all"].coverage;
        assert!(!coverage.contains(at(22, 30)));
        assert_eq!(world.reader.violations(), [""; 0]);
        let ids = |rows: Vec<Row>| rows.into_iter().map(|row| row.event_id);
        let truth = world.truth(Step::Settle);
        assert!(ids(world.reader.rows()).eq(ids(truth)));
    }
}

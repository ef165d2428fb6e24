//! The process dies at every single call to the store while it replays, before and after its effect.

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;

use super::world::{World, as_if_learned_before, open};
use crate::support::provider::{Event, Provider, at};
use crate::support::reader::{Row, keys};
use crate::support::store::Fault;

/// Five garbled ones, twins among them, in two partitions: several commits of a replay.
fn log() -> Vec<Event> {
    vec![
        Event::garbled("twin", at(23, 40)),
        Event::garbled("twin", at(23, 40)),
        Event::new("first-1", at(23, 30)),
        Event::garbled(&"bad-1".repeat(80), at(24, 10)),
        Event::garbled(&"bad-2".repeat(80), at(23, 50)),
        Event::new("first-2", at(24, 20)),
        Event::garbled(&"bad-3".repeat(80), at(24, 40)),
    ]
}

async fn copy_of(world: &World) -> InMemory {
    let copy = InMemory::new();
    for key in keys(&world.store, "").await {
        let bytes = world.store.get(&key).await.unwrap().bytes().await.unwrap();
        copy.put(&key, bytes.into()).await.unwrap();
    }
    copy
}

/// A lake with open lines, and what a replay makes of it.
struct Open {
    provider: Provider,
    has_ids: bool,
    lake: InMemory,
    /// How many calls a replay takes.
    calls: u64,
    truth: Vec<Row>,
}

/// Replays in a process that dies; then again, without a fault. Ends with each record landed once and its line done with.
async fn suffer(before: &Open, faults: &[Fault]) {
    let context = format!("{faults:?}, has_ids {}", before.has_ids);
    let world = World::of(&before.provider, before.lake.fork(), before.has_ids);
    for fault in faults {
        let process = world.process(*fault);
        tokio::select! {
            biased;
            () = process.died() => {}
            _ = world.replay_in(&process, None) => {}
        }
    }
    world.replay(None).await;
    assert_eq!(world.counts().await, open(0, 5), "{context}");
    assert_eq!(world.rows().await, before.truth, "{context}");
    assert_eq!(
        keys(&world.store, "_auditlake/jobs/job/staging").await,
        [],
        "{context}"
    );
    assert_eq!(world.replay(None).await, [], "{context}");
    // and a re-read of all of it finds nothing new
    if matches!(faults, [Fault::DieAfter(n)] if n % 4 == 0) {
        world.pull(28, true).await;
        assert_eq!(world.rows().await, before.truth, "{context}");
    }
}

async fn before(has_ids: bool) -> Open {
    let world = World::new(log(), has_ids).await;
    world.pull(25, false).await;
    let lake = copy_of(&world).await;
    let clean = World::of(&world.provider, lake.fork(), has_ids);
    let process = clean.process(Fault::None);
    clean.replay_in(&process, None).await.unwrap();
    assert_eq!(clean.counts().await, open(0, 5));
    let calls = process.calls();
    assert!(calls > 25, "{calls} calls: too few to tell");
    Open {
        truth: as_if_learned_before(&world.provider, has_ids, 25).await,
        provider: world.provider,
        has_ids,
        lake,
        calls,
    }
}

#[tokio::test]
async fn a_crash_before_any_call_of_a_replay_leaves_what_the_next_one_finishes() {
    for has_ids in [true, false] {
        let before = before(has_ids).await;
        for n in 1..=before.calls {
            suffer(&before, &[Fault::DieBefore(n)]).await;
        }
    }
}

#[tokio::test]
async fn a_crash_after_any_call_of_a_replay_leaves_what_the_next_one_finishes() {
    for has_ids in [true, false] {
        let before = before(has_ids).await;
        for n in 1..=before.calls {
            suffer(&before, &[Fault::DieAfter(n)]).await;
        }
    }
}

#[tokio::test]
async fn a_call_of_a_replay_that_fails_or_whose_answer_is_lost_does_no_harm() {
    for has_ids in [true, false] {
        let before = before(has_ids).await;
        for n in (1..=before.calls).step_by(2) {
            suffer(&before, &[Fault::FailBefore(n)]).await;
            suffer(&before, &[Fault::LoseAnswer(n)]).await;
        }
    }
}

#[tokio::test]
async fn a_replay_that_finishes_another_may_die_too() {
    let before = before(false).await;
    for n in (1..=before.calls).step_by(4) {
        for again in (5..=before.calls).step_by(9) {
            let faults = [Fault::DieAfter(n), Fault::DieBefore(again)];
            suffer(&before, &faults).await;
        }
    }
}

//! The process dies at every single call to the store, before and after its effect.

use std::collections::BTreeMap;

use auditlake::lake::Progress;
use object_store::ObjectStoreExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use super::world::{STEPS, Step, World, lake, litter, provider};
use crate::support::provider::Provider;
use crate::support::reader::keys;
use crate::support::store::Fault;

/// A step of a life in which nothing went wrong.
pub(super) struct Lived {
    pub(super) step: Step,
    /// The lake before it.
    pub(super) before: InMemory,
    /// How many calls it took.
    pub(super) calls: u64,
    /// Where the job stands after it.
    progress: BTreeMap<String, Progress>,
}

impl Lived {
    /// A step that took so many calls and made `world` of `before`.
    pub(super) async fn of(step: Step, before: InMemory, calls: u64, world: &World) -> Self {
        Self {
            step,
            before,
            calls,
            progress: world.progress().await,
        }
    }
}

/// Lives the job's life without a fault.
pub(super) async fn live(provider: &Provider) -> Vec<Lived> {
    let mut lived = Vec::new();
    let mut store = lake().await;
    for step in STEPS {
        let before = store.fork();
        let world = World::of(provider, store.fork()).await;
        let process = world.process(Fault::None);
        world.run(&process, step).await.unwrap();
        world.check(step, "without a fault").await;
        store = copy_of(&world).await;
        lived.push(Lived::of(step, before, process.calls(), &world).await);
    }
    lived
}

/// A copy of a world's lake.
pub(super) async fn copy_of(world: &World) -> InMemory {
    let copy = InMemory::new();
    for key in keys(&world.store, "").await {
        let bytes = world.store.get(&key).await.unwrap().bytes().await.unwrap();
        copy.put(&key, bytes.into()).await.unwrap();
    }
    copy
}

/// Runs a step with a fault in it; what it leaves, the next run finishes: then the lake and the log stand as if nothing
/// had gone wrong.
pub(super) async fn suffer(provider: &Provider, lived: &Lived, fault: Fault, at_a_time: usize) {
    let context = format!("{:?}, {fault:?}", lived.step);
    let mut world = World::of(provider, lived.before.fork()).await;
    world.at_a_time = at_a_time;
    world.live(&world.process(fault), lived.step).await;
    world.run_clean(lived.step, &context).await;
    world.check(lived.step, &context).await;
    assert_eq!(world.progress().await, lived.progress, "{context}");
}

#[tokio::test]
async fn a_crash_before_any_call_leaves_what_the_next_run_finishes() {
    let provider = provider().await;
    for lived in live(&provider).await {
        for n in 1..=lived.calls {
            suffer(&provider, &lived, Fault::DieBefore(n), 1).await;
        }
    }
}

#[tokio::test]
async fn a_crash_after_any_call_leaves_what_the_next_run_finishes() {
    let provider = provider().await;
    let mut calls = 0;
    for lived in live(&provider).await {
        calls += lived.calls;
        for n in 1..=lived.calls {
            suffer(&provider, &lived, Fault::DieAfter(n), 1).await;
        }
    }
    assert!(
        calls > 100,
        "{calls} calls: the life has become too short to tell"
    );
}

/// With several windows in flight the order of calls is no longer the same each time: any will do.
#[tokio::test]
async fn a_crash_with_several_windows_in_flight_leaves_what_the_next_run_finishes() {
    let provider = provider().await;
    for lived in live(&provider).await {
        for n in (1..=lived.calls).step_by(3) {
            suffer(&provider, &lived, Fault::DieAfter(n), 4).await;
        }
    }
}

/// The process that finishes dies, too.
#[tokio::test]
async fn two_crashes_leave_what_the_next_run_finishes() {
    let provider = provider().await;
    for lived in live(&provider).await {
        for n in (1..=lived.calls).step_by(5) {
            for again in (3..30).step_by(7) {
                let context = format!("{:?}, after {n}, again before {again}", lived.step);
                let world = World::of(&provider, lived.before.fork()).await;
                for fault in [Fault::DieAfter(n), Fault::DieBefore(again)] {
                    world.live(&world.process(fault), lived.step).await;
                }
                world.run_clean(lived.step, &context).await;
                world.check(lived.step, &context).await;
            }
        }
    }
}

#[tokio::test]
async fn a_crash_on_a_local_disk_leaves_what_the_next_run_finishes() {
    let provider = provider().await;
    for n in (1..120).step_by(11) {
        for fault in [Fault::DieBefore(n), Fault::DieAfter(n + 3)] {
            let folder = tempfile::tempdir().unwrap();
            let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
            let store = store.with_automatic_cleanup(true);
            litter(&store).await;
            let world = World::of(&provider, store).await;
            let context = format!("{fault:?}");
            let process = world.process(fault);
            for step in STEPS {
                if world.live(&process, step).await.is_none() {
                    world.run_clean(step, &context).await;
                }
            }
            world.check(Step::Settle, &context).await;
            // engines that read whole folders see what is no `*.parquet`, too
            let table = files(&folder.path().join("audit_events"));
            assert!(
                table.iter().all(|name| name.ends_with(".parquet")),
                "{context}: {table:?}"
            );
        }
    }
}

/// The names of all files below a folder.
fn files(folder: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(files(&path));
        } else {
            names.push(path.display().to_string());
        }
    }
    names
}

//! The process dies at every single call to the store, before and after its effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use auditlake::lake::{CommitKind, Progress};
use chrono::TimeDelta;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use super::world::{
    COMMITS, STEPS, Step, World, copy_of, lake, lake_of_the_dead, litter, long_lake, provider,
    short_provider,
};
use crate::support::provider::Provider;
use crate::support::store::Fault;

/// A step of a life in which nothing went wrong.
pub(super) struct Lived {
    pub(super) step: Step,
    /// The lake before it.
    pub(super) before: InMemory,
    /// How many calls it took.
    pub(super) calls: u64,
    /// Where the job stands after it.
    pub(super) progress: BTreeMap<String, Progress>,
}

impl Lived {
    /// A step that took `calls` calls and turned `before` into `world`.
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
        store = copy_of(&world.store).await;
        lived.push(Lived::of(step, before, process.calls(), &world).await);
    }
    lived
}

/// Runs a step with a fault in it; what it leaves, the next run finishes: then the lake and the log stand as if nothing
/// had gone wrong.
pub(super) async fn suffer(provider: &Provider, lived: &Lived, fault: Fault, at_a_time: usize) {
    let context = format!("{:?}, {fault:?}", lived.step);
    let mut world = World::of(provider, lived.before.fork()).await;
    world.at_a_time = at_a_time;
    let process = world.process(fault);
    world.live(&process, lived.step).await;
    match fault {
        // a daemon lives on
        Fault::FailBefore(_) => world.run_on(&process, lived.step, &context).await,
        _ => world.run_clean(lived.step, &context).await,
    }
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
        println!(
            "tried: death at each call of {:?}: {} calls, before and after",
            lived.step, lived.calls
        );
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
        calls > 90,
        "{calls} calls: the life has become too short to tell"
    );
}

/// What a run that finds a dead one's commit does, and one that keeps house at its end: it rolls forward, sweeps, writes
/// the hint and prunes.
pub(super) async fn live_after_the_dead(provider: &Provider) -> Lived {
    let before = lake_of_the_dead(provider, long_lake().await).await;
    let world = World::of(provider, before.fork()).await;
    let process = world.process(Fault::None).noted(0, &Arc::default());
    world.run_on(&process, Step::FirstPull, "").await;
    let told = process.told();
    let did = |what: &str| told.iter().any(|call| call.starts_with(what));
    let claimed = told
        .iter()
        .position(|call| call.starts_with("put"))
        .unwrap();
    let copied = told
        .iter()
        .position(|call| call.starts_with("copy"))
        .unwrap();
    let pulled = told
        .iter()
        .position(|call| call.starts_with("list audit_events"))
        .unwrap();
    assert!(
        claimed < copied && copied < pulled,
        "no roll-forward: {told:?}"
    );
    assert!(
        did("put _auditlake/jobs/job/latest.json"),
        "no hint: {told:?}"
    );
    assert!(
        did(&format!("delete {COMMITS}")),
        "nothing pruned: {told:?}"
    );
    assert!(
        did("delete _auditlake/jobs/job/staging/"),
        "nothing swept: {told:?}"
    );
    Lived::of(Step::FirstPull, before, process.calls(), &world).await
}

#[tokio::test]
async fn a_crash_at_any_call_of_a_run_that_rolls_forward_and_prunes_leaves_what_the_next_run_finishes()
 {
    let provider = provider().await;
    let lived = live_after_the_dead(&provider).await;
    for n in 1..=lived.calls {
        suffer(&provider, &lived, Fault::DieBefore(n), 1).await;
        suffer(&provider, &lived, Fault::DieAfter(n), 1).await;
    }
    println!(
        "tried: death in a run that prunes, {} calls, before and after",
        lived.calls
    );
}

/// The claim is renewed while a page is awaited; the process dies at every call all the same.
#[tokio::test]
async fn a_crash_at_any_call_of_a_run_that_renews_its_claim_leaves_what_the_next_run_finishes() {
    let renewing = async |fault| {
        let provider = short_provider().await;
        let mut world = World::of(&provider, lake().await).await;
        world.claim_life = TimeDelta::seconds(8);
        provider.open.send_replace(false);
        let process = world.process(fault);
        let meanwhile = async {
            process.sends(CommitKind::Renewal).await;
            provider.open.send_replace(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = world.live(&process, Step::FirstPull) => {}
            () = meanwhile => {}
        }
        provider.open.send_replace(true);
        let context = format!("{fault:?}");
        if fault != Fault::None {
            world.run_clean(Step::FirstPull, &context).await;
        }
        world.check(Step::FirstPull, &context).await;
        process.calls()
    };
    let calls = renewing(Fault::None).await;
    let faults = (1..=calls).flat_map(|n| [Fault::DieBefore(n), Fault::DieAfter(n)]);
    // most of their time they wait for their claims' half-life
    let tried = futures_util::future::join_all(faults.map(renewing)).await;
    println!(
        "tried: death while a claim is renewed, {} points",
        tried.len()
    );
    assert!(tried.len() > 40);
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
            // engines that read whole folders also see objects other than `*.parquet`
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

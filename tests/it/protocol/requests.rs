//! The requests that runs of a daemon make to the store, one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use auditlake::clock::real_now;
use auditlake::lake::{Commit, CommitKind};
use auditlake::model::PartitionColumn;
use auditlake::scheduler::Scheduler;
use auditlake::setup::ScheduledJob;
use chrono::TimeDelta;
use object_store::ObjectStoreExt;
use tokio_util::sync::CancellationToken;

use super::world::{COMMITS, World, lake};
use crate::support::provider::{Event, Provider};
use crate::support::reader::keys;
use crate::support::store::Fault;

/// The calls of each run, by what the run committed, the first one's first. A run ends with the commit that gives its
/// claim up.
async fn by_run(world: &World, told: Vec<String>) -> Vec<(Commit, Vec<String>)> {
    let mut commits = BTreeMap::new();
    for key in keys(&world.store, COMMITS).await {
        let bytes = world.store.get(&key).await.unwrap().bytes().await.unwrap();
        let commit: Commit = serde_json::from_slice(&bytes).unwrap();
        commits.insert(format!("put {key}: done"), commit);
    }
    let mut runs = Vec::new();
    let (mut calls, mut data) = (Vec::new(), None);
    for call in told {
        let commit = commits.get(&call).cloned();
        calls.push(call);
        let ends = commit.as_ref().is_some_and(|commit| commit.claim.is_none());
        data = commit
            .filter(|commit| commit.kind == CommitKind::Data)
            .or(data);
        if ends {
            runs.push((data.take().unwrap(), std::mem::take(&mut calls)));
        }
    }
    runs
}

/// A daemon ticks each second. Nothing is new for some ticks, then one record is, of a time that was pulled before; of a
/// partition that is there already, or of a new one.
#[tokio::test]
async fn figures_of_runs_in_a_running_daemon() {
    // midnight is no matter
    let same = (PartitionColumn::Provider, TimeDelta::minutes(20));
    let other = (PartitionColumn::EventDate, TimeDelta::days(3));
    let (new, none) = most_requests(same).await;
    let (new_partition, none_of_dates) = most_requests(other).await;
    println!("figure: store_requests_new {new}");
    println!("figure: store_requests_new_partition {new_partition}");
    println!("figure: store_requests_none {none}");
    assert_eq!((none, none_of_dates), (4, 4));
    assert_eq!((new, new_partition), (10, 11));
}

/// The most requests of a run that lands a record of so long ago, and of one that lands none.
async fn most_requests((partition, ago): (PartitionColumn, TimeDelta)) -> (usize, usize) {
    let now = real_now();
    let log = vec![
        Event::new("first", now - TimeDelta::minutes(30)),
        Event::new("second", now - ago).late().stray(),
    ];
    let provider = Provider::start(log).await;
    let world = World::of(&provider, lake().await).await;
    let process = world.process(Fault::None).noted(0, &Arc::default());
    let mut job = provider.job(process.lake(), 1 << 20);
    job.policy.start = now - TimeDelta::hours(1);
    job.partition_by = vec![partition];
    let each_second = ScheduledJob {
        schedule: "* * * * * *".parse().unwrap(),
        job,
        max_staleness: None,
    };
    let scheduler = Scheduler::start(vec![each_second], CancellationToken::new()).await;
    let scheduler = scheduler.unwrap();
    let of = |calls: &[String], what: &str| {
        let of = calls.iter().filter(|call| call.starts_with(what));
        of.count()
    };
    let commits = format!("put {COMMITS}");
    process.hears(|calls| of(calls, &commits) >= 8).await;
    provider.show_late(true);
    process.hears(|calls| of(calls, "copy") == 2).await;
    let so_far = of(&process.told(), &commits);
    process
        .hears(|calls| of(calls, &commits) >= so_far + 6)
        .await;
    scheduler.stop().await;

    let runs = by_run(&world, process.told()).await;
    let running = &runs[1..]; // the first one begins with nothing
    let most = |files: usize| {
        let of = (running.iter()).filter(|(commit, _)| commit.files.len() == files);
        of.map(|(_, calls)| calls.len()).max().unwrap()
    };
    let (new, none) = (most(1), most(0));
    assert!(new <= 11 && none <= 4, "{runs:#?}");
    assert_eq!(world.reader.rows().len(), 2);
    assert_eq!(world.reader.violations(), [""; 0]);
    (new, none)
}

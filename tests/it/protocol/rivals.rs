//! Two and three runs of one job at the same time, each taking the others' claims for expired: the test says whose next
//! call to the store goes ahead.

use std::pin::pin;

use auditlake::model::Kind;
use auditlake::pipeline::{Outcome, RunError};
use object_store::memory::InMemory;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc::UnboundedReceiver;

use super::log::with_commits;
use super::world::{Step, World, lake, provider, short_provider};
use crate::support::provider::Provider;
use crate::support::store::{Fault, FaultStore, Turn};

type Ended = Result<Outcome, RunError>;

/// Runs `step` in one process for each fault. Before each call `choose` says whose it is, of those that are not done
/// yet; with nobody chosen, all are left where they are, as if they had died.
async fn interleave(
    world: &World,
    step: Step,
    faults: &[Fault],
    mut choose: impl FnMut(&[usize]) -> Option<usize>,
) -> Vec<Option<Ended>> {
    let mut processes: Vec<(FaultStore, UnboundedReceiver<Turn>)> = Vec::new();
    for fault in faults {
        processes.push(FaultStore::in_turns(&world.store, &world.reader, *fault));
    }
    let (stores, mut turns): (Vec<_>, Vec<_>) = processes.into_iter().unzip();
    let mut runs: Vec<_> = stores
        .iter()
        .map(|store| Box::pin(world.run(store, step)))
        .collect();
    let mut ended: Vec<Option<Ended>> = runs.iter().map(|_| None).collect();
    let mut waiting: Vec<Option<Turn>> = runs.iter().map(|_| None).collect();
    loop {
        for run in 0..runs.len() {
            if ended[run].is_none() && waiting[run].is_none() {
                tokio::select! {
                    biased;
                    turn = turns[run].recv() => waiting[run] = turn,
                    result = &mut runs[run] => ended[run] = Some(result),
                }
            }
        }
        let live: Vec<usize> = (0..runs.len())
            .filter(|&run| ended[run].is_none())
            .collect();
        let Some(run) = (!live.is_empty()).then(|| choose(&live)).flatten() else {
            return ended;
        };
        let mut taken = pin!(waiting[run].take().unwrap().take());
        tokio::select! {
            biased;
            () = &mut taken => {}
            result = &mut runs[run] => ended[run] = Some(result),
        }
    }
}

/// Whatever rivals did to each other: a run lost the job or went through, and the next one finishes.
async fn check(world: &World, step: Step, ended: &[Option<Ended>], context: &str) {
    for result in ended.iter().flatten() {
        match result {
            Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{context}: {error:?}"),
            Ok(Outcome::Held(_)) => {}
            Ok(Outcome::Ran(report)) => {
                assert!(report.failures.is_empty(), "{context}: {report:?}");
            }
        }
    }
    world.run_clean(step, context).await;
    world.check(step, context).await;
}

/// How many calls a run of `step` takes alone.
async fn calls(provider: &Provider, before: &InMemory, step: Step) -> usize {
    let world = World::of(provider, before.fork()).await;
    let process = world.process(Fault::None);
    world.run(&process, step).await.unwrap();
    usize::try_from(process.calls()).unwrap()
}

/// One run is paused before each of its calls in turn; another one does the whole job; the first one wakes up, its claim
/// long gone.
#[tokio::test]
async fn a_run_that_slept_past_its_claim_does_no_harm() {
    let provider = short_provider().await;
    let empty = lake().await;
    // the other one prunes the log: then the number that the first one takes next is free again
    let long = with_commits(lake().await, 62).await;
    let calls = calls(&provider, &empty, Step::FirstPull).await;
    for (before, pause) in [empty, long]
        .iter()
        .flat_map(|store| (0..calls).map(move |n| (store, n)))
    {
        let context = format!("paused after {pause} calls");
        let world = World::of(&provider, before.fork()).await;
        let mut done = 0;
        let ended = interleave(&world, Step::FirstPull, &[Fault::None; 2], |live| {
            done += 1;
            if done <= pause {
                Some(live[0])
            } else {
                live.last().copied()
            }
        })
        .await;
        check(&world, Step::FirstPull, &ended, &context).await;
    }
}

/// Schedules of two runs in which the job changes hands twice: the first run is paused after each number of calls, the
/// second one after every other number of calls, then the first one goes on to its end.
#[tokio::test]
async fn two_changes_of_hands_are_harmless_wherever_they_are() {
    let provider = short_provider().await;
    let before = lake().await;
    let calls = calls(&provider, &before, Step::FirstPull).await;
    for first in 1..=calls {
        for second in (1 + first % 2..=calls).step_by(2) {
            let context = format!("{first} calls, then {second} of the other");
            let world = World::of(&provider, before.fork()).await;
            let mut done = 0;
            let ended = interleave(&world, Step::FirstPull, &[Fault::None; 2], |live| {
                done += 1;
                let wanted = usize::from(done > first && done <= first + second);
                Some(if live.contains(&wanted) {
                    wanted
                } else {
                    live[0]
                })
            })
            .await;
            check(&world, Step::FirstPull, &ended, &context).await;
        }
    }
}

/// Random schedules, crashes and lost answers; a seed that fails is in the message.
async fn at_random(seeds: std::ops::Range<u64>, runs: usize) {
    let short = short_provider().await;
    let long = provider().await;
    for seed in seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let provider = if random.random_bool(0.7) {
            &short
        } else {
            &long
        };
        // with so many commits that the log is about to be pruned, or with none
        let commits = if random.random_bool(0.4) {
            random.random_range(40..64)
        } else {
            0
        };
        let world = World::of(provider, with_commits(lake().await, commits).await).await;
        let mut step = Step::FirstPull;
        // what a run finds: nothing, what a crash left, or a job that is well under way
        if random.random_bool(0.7) {
            let fault = Fault::DieAfter(random.random_range(5..60));
            world.live(&world.process(fault), step).await;
        }
        if random.random_bool(0.3) {
            world.run_clean(step, "").await;
            step = Step::Settle;
        }
        let faults: Vec<Fault> = (0..runs)
            .map(|_| match random.random_range(0..4) {
                0 => Fault::LoseAnswer(random.random_range(1..50)),
                1 => Fault::Exists(random.random_range(1..50)),
                _ => Fault::None,
            })
            .collect();
        let context = format!("seed {seed}: {step:?}, {faults:?}");
        // runs of calls of one process, longer or shorter; and perhaps an end for all
        let stay = random.random_range(0.0..0.95);
        let end = random.random_range(10..300);
        let (mut last, mut done) = (0, 0);
        let ended = interleave(&world, step, &faults, |live| {
            done += 1;
            if !live.contains(&last) || !random.random_bool(stay) {
                last = *live.choose(&mut random)?;
            }
            (done < end).then_some(last)
        })
        .await;
        for result in ended.iter().flatten() {
            let fine = result
                .as_ref()
                .err()
                .is_none_or(|error| matches!(error.kind(), Kind::Conflict | Kind::Transient));
            assert!(fine, "{context}: {result:?}");
        }
        world.run_clean(step, &context).await;
        if provider.log().len() > 5 && step == Step::Settle {
            world.run_clean(Step::Backfill, &context).await;
        }
        world.check(step, &context).await;
    }
}

#[tokio::test]
async fn random_schedules_of_two_runs_are_harmless() {
    at_random(0..200, 2).await;
}

#[tokio::test]
async fn random_schedules_of_three_runs_are_harmless() {
    at_random(1_000..1_060, 3).await;
}

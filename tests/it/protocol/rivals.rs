//! Two and three runs of one job at the same time, each taking the others' claims for expired.

use auditlake::model::FailureKind;
use chrono::TimeDelta;
use object_store::memory::InMemory;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::chaos::seeds;
use super::turns::{check, interleave, take_turns};
use super::world::{
    Step, World, lake, lake_of_the_dead, long_lake, provider, short_provider, with_commits,
};
use crate::support::provider::{Event, Provider, at};
use crate::support::store::{Answer, Fault};

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
    let long = long_lake().await;
    let dead = lake_of_the_dead(&provider, long_lake().await).await;
    let calls = calls(&provider, &dead, Step::FirstPull).await;
    for (before, pause) in [empty, long, dead]
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

/// A process runs, another one lands what came late, and the first one reads it all again: it must not go by what it
/// knew.
#[tokio::test]
async fn a_process_that_goes_on_after_another_one_doubles_nothing() {
    let provider = provider().await;
    let world = World::of(&provider, lake().await).await;
    let process = world.process(Fault::None);
    for step in [Step::FirstPull, Step::Backfill] {
        world.run_on(&process, step, "").await;
    }
    world.run_clean(Step::Settle, "another one").await;
    world.run_on(&process, Step::Refetch, "goes on").await;
    world.check(Step::Refetch, "goes on").await;
}

/// A provider shows a record in every requested range.
#[tokio::test]
async fn a_record_that_two_windows_of_a_run_show_is_landed_once() {
    let log = vec![
        Event::new("first", at(24, 10)),
        Event::new("stray", at(24, 30)).stray(),
        Event::new("last", at(27, 10)),
    ];
    let provider = Provider::start(log).await;
    for at_a_time in [1, 3] {
        let mut world = World::of(&provider, lake().await).await;
        world.at_a_time = at_a_time;
        world.target = 1 << 20; // all of it is one commit
        world.run_clean(Step::Settle, "three windows").await;
        world.check(Step::Settle, "three windows").await;
    }
}

/// Schedules of two runs in which the claim changes owner twice: the first run is paused after each number of calls,
/// the second one after every second number of calls, then the first one continues to its end.
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
async fn at_random(seeds: Vec<u64>, runs: usize) {
    let short = short_provider().await;
    let long = provider().await;
    for seed in seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let provider = if random.random_bool(0.7) {
            &short
        } else {
            &long
        };
        // with as many commits as make the log due to be pruned, or with none
        let commits = if random.random_bool(0.4) {
            random.random_range(40..64)
        } else {
            0
        };
        let store = match commits {
            62.. => lake_of_the_dead(provider, long_lake().await).await,
            _ => with_commits(lake().await, commits).await,
        };
        let mut world = World::of(provider, store).await;
        if random.random_bool(0.3) {
            world.at_a_time = 3;
        }
        let mut step = Step::FirstPull;
        // the state that a run finds: nothing, the remains of a crash, or a job with a history
        if random.random_bool(0.7) {
            let fault = Fault::DieAfter(random.random_range(5..60));
            world.live(&world.process(fault), step).await;
        }
        if random.random_bool(0.3) {
            world.run_clean(step, "").await;
            step = Step::Settle;
        }
        let faults: Vec<Fault> = (0..runs)
            .map(|_| match random.random_range(0..16) {
                0..4 => Fault::LoseAnswer(random.random_range(1..50)),
                4..8 => Fault::Exists(random.random_range(1..50)),
                8 => Fault::LandLate(random.random_range(1..50), random.random_range(1..9)),
                _ => Fault::None,
            })
            .collect();
        let skews: Vec<i64> = (faults.iter())
            .map(|_| match random.random_range(0..3) {
                0 => random.random_range(-10..=10),
                _ => 0,
            })
            .collect();
        let context = format!(
            "AUDITLAKE_CHAOS_SEED={seed}: {step:?}, {faults:?}, clocks off by {skews:?} minutes, {} windows at a time",
            world.at_a_time
        );
        let processes = (faults.iter().zip(skews))
            .map(|(fault, skew)| match skew {
                0 => world.process(*fault),
                skew => world.process(*fault).skewed(TimeDelta::minutes(skew)),
            })
            .collect();
        // runs of calls of one process, longer or shorter; and perhaps an end for all
        let stay = random.random_range(0.0..0.95);
        let end = random.random_range(10..300);
        let (mut last, mut done) = (0, 0);
        let ended = take_turns(&world, step, processes, |_, live| {
            done += 1;
            if live.iter().all(|next| next.run != last) || !random.random_bool(stay) {
                last = live.choose(&mut random)?.run;
            }
            (done < end).then_some((last, Answer::Arrives))
        })
        .await;
        for result in ended.iter().flatten() {
            let fine = result.as_ref().err().is_none_or(|error| {
                matches!(error.kind(), FailureKind::Conflict | FailureKind::Transient)
            });
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
    Box::pin(at_random(seeds(0, 120), 2)).await;
}

#[tokio::test]
async fn random_schedules_of_three_runs_are_harmless() {
    Box::pin(at_random(seeds(1_000_000, 60), 3)).await;
}

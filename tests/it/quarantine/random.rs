//! Random lives: pulls, refetches, replays of some or all lines, and acknowledgements, by an adapter that is improved
//! at some time. However it goes, the lake ends as if the adapter had known how to read all of it from the beginning.

use std::collections::BTreeSet;

use auditlake::run::LineOutcome;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng as _, SeedableRng as _};

use super::world::{World, as_if_learned_before};
use crate::support::provider::{Event, at};
use crate::support::store::Fault;

const LIVES: u64 = 40;

fn log(random: &mut StdRng) -> Vec<Event> {
    let mut log = Vec::new();
    for n in 0..random.random_range(3..14) {
        let when = at(23, random.random_range(0..300));
        let event = match random.random_range(0..3) {
            0 => Event::new(&format!("e{n}"), when),
            _ => Event::garbled(&format!("g{n}"), when),
        };
        // twins stand side by side, and no more of them than surely fit on a page
        for _ in 0..random.random_range(1..3) {
            let late = random.random_bool(0.3);
            log.push(if late {
                event.clone().late()
            } else {
                event.clone()
            });
        }
    }
    log
}

async fn live(seed: u64, has_ids: bool) {
    let mut random = StdRng::seed_from_u64(seed);
    let context = format!("seed {seed}, has_ids {has_ids}");
    let world = World::new(log(&mut random), has_ids).await;
    let (mut hour, mut learned) = (25, false);
    world.pull(hour, learned).await;
    for _ in 0..random.random_range(2..7) {
        match random.random_range(0..5) {
            0 => {
                hour += random.random_range(1..3);
                world.provider.show_late(random.random_bool(0.5));
                world.pull(hour, learned).await;
            }
            1 => learned = true,
            2 => {
                let lines = world.lines().await;
                let some: BTreeSet<_> = lines.into_iter().map(|(place, _)| place).collect();
                let some: BTreeSet<_> = some
                    .into_iter()
                    .filter(|_| random.random_bool(0.5))
                    .collect();
                world.replay(Some(&some)).await;
            }
            3 => {
                let call = random.random_range(1..40);
                let before = random.random_bool(0.5);
                let fault = if before {
                    Fault::DieBefore(call)
                } else {
                    Fault::DieAfter(call)
                };
                let process = world.process(fault);
                tokio::select! {
                    biased;
                    () = process.died() => {}
                    _ = world.replay_in(&process, None) => {}
                }
            }
            _ => {
                let lines = world.lines().await;
                if let Some(line) = lines.choose(&mut random) {
                    world.ack(std::slice::from_ref(line)).await;
                }
            }
        }
        world.assert_landed_what_was_replayed(&context).await;
    }
    // lines acknowledged unread are found by a refetch
    world.provider.show_late(true);
    world.pull(31, true).await;
    world.refetch(31).await;
    let became = world.replay(None).await;
    assert!(
        became
            .iter()
            .all(|became| !matches!(became, LineOutcome::Unreadable(_))),
        "{context}: {became:?}"
    );
    assert_eq!(world.counts().await.open, 0, "{context}");
    let truth = as_if_learned_before(&world.provider, has_ids, 31).await;
    assert_eq!(world.events().await, truth, "{context}");
}

#[tokio::test]
async fn a_lake_ends_as_if_all_could_be_read_from_the_beginning() {
    for seed in 0..LIVES {
        live(seed, seed % 2 == 0).await;
    }
}

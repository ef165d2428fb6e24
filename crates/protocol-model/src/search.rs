//! A breadth-first search over every order in which the steps can be made.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::scenario::Scenario;
use crate::steps::steps;
use crate::world::World;

/// What a search found.
#[derive(Debug, Clone)]
pub struct Found {
    /// How many states it visited.
    pub states: usize,
    /// How many of them hold, published, everything that the provider shows: the search gets to the end.
    pub whole: usize,
    /// Whether every reachable state was visited.
    pub is_complete: bool,
    /// The first invariant that doesn't hold, with the shortest way there.
    pub violation: Option<Trace>,
}

/// A way to a violation.
#[derive(Debug, Clone)]
pub struct Trace {
    /// What doesn't hold.
    pub violation: String,
    /// The steps.
    pub steps: Vec<String>,
}

/// Explores a scenario until a violation, the end, or `most` states.
pub fn explore(scenario: &Scenario, most: usize) -> Found {
    let start = World::new(scenario);
    let mut seen = HashSet::from([fingerprint(&start)]);
    let mut parents: Vec<(usize, usize)> = vec![(0, 0)];
    let mut queue = VecDeque::from([(0, start)]);
    let everything = (scenario.tasks.iter().copied().flatten()).fold(0, |all, page| all | page);
    let mut whole = 0;
    while let Some((at, world)) = queue.pop_front() {
        for (which, step) in steps(&world, scenario).into_iter().enumerate() {
            let is_new = seen.insert(fingerprint(&step.world));
            let violation = match step.violation {
                None if is_new => step.world.violation(scenario),
                violation => violation,
            };
            if let Some(violation) = violation {
                let steps = replay(scenario, &parents, at, which);
                return Found {
                    states: parents.len(),
                    whole,
                    is_complete: false,
                    violation: Some(Trace { violation, steps }),
                };
            }
            if is_new {
                let newest = step.world.newest();
                let is_through = newest.is_some_and(|newest| {
                    usize::from(newest.progress.task) == scenario.tasks.len()
                });
                whole += usize::from(is_through && step.world.ids() == everything);
                parents.push((at, which));
                queue.push_back((parents.len() - 1, step.world));
            }
        }
        if parents.len() >= most {
            break;
        }
    }
    Found {
        states: parents.len(),
        whole,
        is_complete: queue.is_empty(),
        violation: None,
    }
}

/// Two hashes of 64 bits: a state is mistaken for another only if both hashes collide.
fn fingerprint(world: &World) -> (u64, u64) {
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        world.hash(&mut hasher);
        hasher.finish()
    };
    (hash(0), hash(1))
}

/// The labels of the steps that lead to step `which` of the state `at`.
fn replay(
    scenario: &Scenario,
    parents: &[(usize, usize)],
    mut at: usize,
    which: usize,
) -> Vec<String> {
    let mut path = vec![which];
    while at != 0 {
        let (parent, which) = parents[at];
        path.push(which);
        at = parent;
    }
    let mut world = World::new(scenario);
    let mut labels = Vec::new();
    for which in path.into_iter().rev() {
        let step = steps(&world, scenario).swap_remove(which);
        labels.push(step.label);
        world = step.world;
    }
    labels
}

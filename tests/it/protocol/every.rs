//! Every schedule of two runs of one job, call by call, for jobs that are small enough.
//!
//! A run is a function of the answers to its calls: the same answers so far mean the same next call. So two schedules
//! have led to the same state if the lake is the same and each run got the same answers, with ids replaced by names and
//! times left out. From each state every next step is tried once: the call of either run, where permitted with its
//! answer lost. To return to a state, its schedule is executed again in a new process; each time the test checks that
//! it leads to the same state.
//!
//! In every state all runs may die: for each lake that there ever is, a clean run follows. A run that dies alone is one
//! that has no further turn.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::FutureExt;
use object_store::memory::InMemory;
use sha2::{Digest, Sha256};

use super::chaos::unless_full;
use super::turns::{check_ends, take_turns};
use super::world::{Step, World, copy_of, lake, lake_of_the_dead, long_lake};
use crate::support::provider::{Event, Provider, at};
use crate::support::reader::Names;
use crate::support::store::{Answer, Fault, FaultStore};

type State = [u8; 32];
type Schedule = Vec<(usize, Answer)>;

/// What is searched.
struct Case<'a> {
    name: &'a str,
    provider: &'a Provider,
    before: InMemory,
    step: Step,
    runs: usize,
    /// What the first of them has done before, if its process has run already.
    warm: Option<Step>,
    /// How many creates of a commit may have their answer lost.
    lost: usize,
    /// The number of times that the turn may pass to another run while the current one could continue; unlimited in the
    /// full search.
    switches: Option<usize>,
}

fn hash(text: &str) -> State {
    Sha256::digest(text).into()
}

/// Tries every schedule.
#[expect(clippy::too_many_lines, reason = "one loop, from top to bottom")]
async fn every_schedule(case: Case<'_>) {
    let mut states: HashSet<State> = HashSet::new();
    let mut lakes: HashSet<State> = HashSet::new();
    // schedules still to be extended, each with the state before its last step
    let mut open: Vec<(Schedule, Option<State>)> = vec![(Vec::new(), None)];
    let (mut executed, mut ends, mut longest) = (0_u64, 0_u64, 0);
    while let Some((mut schedule, from)) = open.pop() {
        executed += 1;
        let world = World::of(case.provider, case.before.fork()).await;
        let names = Arc::<Names>::default();
        let processes: Vec<FaultStore> = (0..case.runs)
            .map(|run| world.process(Fault::None).noted(run, &names))
            .collect();
        if let Some(before) = case.warm {
            world.run_on(&processes[0], before, case.name).await;
        }
        let mut new_lakes = Vec::new();
        let (mut done, mut switched) = (0_usize, 0);
        let ended = take_turns(&world, case.step, processes, |stores, live| {
            let last = done.checked_sub(1).map(|last| schedule[last].0);
            let goes_on = live.iter().any(|next| Some(next.run) == last);
            let is_switch = |run| usize::from(goes_on && Some(run) != last);
            if done + 1 < schedule.len() {
                switched += is_switch(schedule[done].0);
                done += 1;
                return Some(schedule[done - 1]);
            }
            let lake = names.store(&world.store).now_or_never().unwrap();
            let turn = case.switches.map(|_| (switched, last));
            let told: Vec<_> = stores.iter().map(FaultStore::told).collect();
            let unheard = lost(&schedule[..done]);
            let state = hash(&format!("{lake}\n{unheard} {turn:?} {told:?}"));
            if done < schedule.len() {
                assert_eq!(
                    Some(state),
                    from,
                    "{}: {schedule:?}: not the same",
                    case.name
                );
                switched += is_switch(schedule[done].0);
                done += 1;
                return Some(schedule[done - 1]);
            }
            if !states.insert(state) {
                return None;
            }
            if lakes.insert(hash(&lake)) {
                let lake = copy_of(&world.store).now_or_never().unwrap();
                new_lakes.push((schedule.clone(), lake));
            }
            let mut steps = Vec::new();
            for next in live {
                let most = case.switches.unwrap_or(usize::MAX);
                // at first, whose turn it is is a matter of names
                if switched + is_switch(next.run) > most || last.is_none() && next.run > 0 {
                    continue;
                }
                steps.push((next.run, Answer::Arrives));
                if next.commits && unheard < case.lost {
                    steps.push((next.run, Answer::IsLost));
                }
            }
            let same = steps.iter().position(|(run, _)| Some(*run) == last);
            let first = steps.remove(same.unwrap_or(0));
            for step in steps {
                let mut other = schedule.clone();
                other.push(step);
                open.push((other, Some(state)));
            }
            switched += is_switch(first.0);
            schedule.push(first);
            done += 1;
            longest = longest.max(done);
            Some(first)
        })
        .await;
        let context = format!("{}: {schedule:?}", case.name);
        assert_eq!(world.reader.violations(), [""; 0], "{context}");
        check_ends(&ended, &context);
        if ended.iter().all(Option::is_some) {
            ends += 1;
            if lakes.insert(hash(&names.store(&world.store).await)) {
                new_lakes.push((schedule, copy_of(&world.store).await));
            }
        }
        for (schedule, lake) in new_lakes {
            let context = format!("{}: all die after {schedule:?}", case.name);
            let world = World::of(case.provider, lake).await;
            world.run_clean(case.step, &context).await;
            world.check(case.step, &context).await;
        }
    }
    println!(
        "tried: every schedule of {}: {} {} states, {} lakes, {executed} executions, {ends} ends, the longest schedule has {longest} calls",
        case.name,
        (case.switches).map_or("complete:".to_owned(), |most| format!(
            "all with up to {most} switches:"
        )),
        states.len(),
        lakes.len(),
    );
    assert!(
        states.len() > 100,
        "{}: too small a search to tell",
        case.name
    );
}

fn lost(schedule: &[(usize, Answer)]) -> usize {
    schedule
        .iter()
        .filter(|(_, answer)| *answer == Answer::IsLost)
        .count()
}

/// A provider with this number of records, all on one date, and three per page.
async fn tiny(records: i64) -> Provider {
    let log = (1..=records).map(|n| Event::new(&format!("event-{n}"), at(24, n)));
    Provider::start(log.collect()).await
}

#[tokio::test]
async fn every_schedule_of_two_runs_is_harmless() {
    let provider = tiny(1).await;
    every_schedule(Case {
        name: "two runs",
        provider: &provider,
        before: lake().await,
        step: Step::FirstPull,
        runs: 2,
        warm: None,
        lost: 0,
        switches: None,
    })
    .await;
}

#[tokio::test]
async fn schedules_of_two_runs_that_prune_are_harmless() {
    let provider = tiny(1).await;
    every_schedule(Case {
        name: "two runs that prune",
        provider: &provider,
        before: long_lake().await,
        step: Step::FirstPull,
        runs: 2,
        warm: None,
        lost: 0,
        switches: unless_full(2),
    })
    .await;
}

#[tokio::test]
async fn schedules_of_two_runs_that_roll_forward_and_prune_are_harmless() {
    let provider = tiny(1).await;
    every_schedule(Case {
        name: "two runs that roll forward and prune",
        provider: &provider,
        before: lake_of_the_dead(&provider, long_lake().await).await,
        step: Step::FirstPull,
        runs: 2,
        warm: None,
        lost: 0,
        switches: unless_full(2),
    })
    .await;
}

#[tokio::test]
async fn schedules_of_two_runs_with_a_lost_answer_are_harmless() {
    let provider = tiny(1).await;
    every_schedule(Case {
        name: "two runs, a lost answer",
        provider: &provider,
        before: lake().await,
        step: Step::FirstPull,
        runs: 2,
        warm: None,
        lost: 1,
        switches: unless_full(1),
    })
    .await;
}

#[tokio::test]
async fn schedules_of_two_runs_with_a_cursor_are_harmless() {
    let provider = tiny(4).await;
    every_schedule(Case {
        name: "two runs, a cursor in between",
        provider: &provider,
        before: lake().await,
        step: Step::FirstPull,
        runs: 2,
        warm: None,
        lost: 0,
        switches: unless_full(1),
    })
    .await;
}

/// The first of them goes by what it kept of an earlier run; both land what came late.
#[tokio::test]
async fn every_schedule_of_a_warm_run_and_a_rival_is_harmless() {
    let log = vec![
        Event::new("event", at(24, 1)),
        Event::new("late", at(24, 2)).late(),
    ];
    let provider = Provider::start(log).await;
    every_schedule(Case {
        name: "a warm run and a rival",
        provider: &provider,
        before: lake().await,
        step: Step::Settle,
        runs: 2,
        warm: Some(Step::FirstPull),
        lost: 0,
        switches: unless_full(2),
    })
    .await;
}

//! Several runs of one job at the same time: the test says whose next call to the store goes ahead.

use std::pin::pin;

use auditlake::model::FailureKind;
use auditlake::run::{RunError, RunOutcome};

use super::world::{Step, World};
use crate::support::store::{Answer, Fault, FaultStore, Turn};

pub(super) type Ended = Result<RunOutcome, RunError>;

/// Runs `step` in one process for each fault. Before each call `choose` says whose it is, of those that are not done
/// yet; with nobody chosen, all are left where they are, as if they had died.
pub(super) async fn interleave(
    world: &World,
    step: Step,
    faults: &[Fault],
    mut choose: impl FnMut(&[usize]) -> Option<usize>,
) -> Vec<Option<Ended>> {
    let processes = faults.iter().map(|fault| world.process(*fault)).collect();
    let choose = |_: &[FaultStore], live: &[Next]| {
        let live: Vec<usize> = live.iter().map(|next| next.run).collect();
        choose(&live).map(|run| (run, Answer::Arrives))
    };
    take_turns(world, step, processes, choose).await
}

/// A run whose next call waits.
pub(super) struct Next {
    pub(super) run: usize,
    /// Whether that call may create a commit.
    pub(super) commits: bool,
}

/// Runs `step` in each process. Before each call `choose` says whose it is, and whether that one learns what came of it.
pub(super) async fn take_turns(
    world: &World,
    step: Step,
    processes: Vec<FaultStore>,
    mut choose: impl FnMut(&[FaultStore], &[Next]) -> Option<(usize, Answer)>,
) -> Vec<Option<Ended>> {
    let (stores, mut turns): (Vec<_>, Vec<_>) =
        processes.into_iter().map(FaultStore::in_turns).unzip();
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
        let live: Vec<Next> = waiting
            .iter()
            .enumerate()
            .filter_map(|(run, turn)| {
                let commits = turn.as_ref()?.commits;
                Some(Next { run, commits })
            })
            .collect();
        let chosen = (!live.is_empty()).then(|| choose(&stores, &live));
        let Some((run, answer)) = chosen.flatten() else {
            return ended;
        };
        let mut taken = pin!(waiting[run].take().unwrap().take(answer));
        tokio::select! {
            biased;
            () = &mut taken => {}
            result = &mut runs[run] => ended[run] = Some(result),
        }
    }
}

/// Whatever rivals did to each other: a run lost the job or went through, and the next one finishes.
pub(super) async fn check(world: &World, step: Step, ended: &[Option<Ended>], context: &str) {
    check_ends(ended, context);
    world.run_clean(step, context).await;
    world.check(step, context).await;
}

/// A run ends well, or because another one has the job.
pub(super) fn check_ends(ended: &[Option<Ended>], context: &str) {
    for result in ended.iter().flatten() {
        match result {
            Err(error) => assert_eq!(error.kind(), FailureKind::Conflict, "{context}: {error:?}"),
            Ok(RunOutcome::Held(_)) => {}
            Ok(RunOutcome::Ran(report)) => {
                assert!(report.failures.is_empty(), "{context}: {report:?}");
            }
        }
    }
}

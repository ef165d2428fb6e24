//! Planning: pure functions of a stream's progress, the time, and the job's policy.

mod gaps;
mod grid;
mod outcome;
mod policy;
#[cfg(test)]
pub(super) mod tests;
mod windows;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::TimeDelta;

use crate::clocks::TOLERANCE;
use crate::lake::{FailedRange, OpenRange, Progress, Work};
use crate::model::{Range, RangeSet, Timestamp};

use grid::{cell_end, on_grid, seconds};
use windows::Windows;

pub use gaps::{gaps, lost, stream_gaps, watermark};
pub use outcome::{begin_refetch, fail, failed_at, finish, give_up, uncover};
pub use policy::Policy;
pub use windows::{Plan, Task};

/// Returns the work of a scheduled run on one stream, most urgent first: the rests of unfinished ranges, everything
/// from the start up to `now - lag` that was never pulled, the settle passes that are due, and the ranges that failed
/// earlier and whose back-off has ended.
pub fn due(progress: &Progress, now: Timestamp, policy: &Policy) -> Plan {
    let mut missing = match Range::new(policy.start, policy.horizon(now)) {
        Some(range) => progress.passed().missing(range),
        None => RangeSet::default(),
    };
    let mut again = settle_due(progress, now, policy);
    let mut rest = Vec::new();
    let mut failed: Vec<(&FailedRange, Vec<Task>, RangeSet)> = (progress.failed.iter())
        .map(|failed| (failed, Vec::new(), RangeSet::default()))
        .collect();
    for open in &progress.open {
        match open.work {
            Work::Pull => missing.remove(open.range),
            Work::Settle => again.remove(open.range),
            Work::Backfill | Work::Replay => continue,
        }
        let of = |(failed, ..): &&mut (&FailedRange, Vec<Task>, RangeSet)| {
            failed.work == open.work && failed.range.intersection(&open.range).is_some()
        };
        match failed.iter_mut().find(of) {
            Some((_, rest, _)) => rest.push(Task::rest_of(open)),
            None => rest.push(Task::rest_of(open)),
        }
    }
    // failed ranges wait for the end of their back-off
    for (failed, _, left) in &mut failed {
        let ranges = match failed.work {
            Work::Pull => &mut missing,
            Work::Settle => &mut again,
            Work::Backfill | Work::Replay => continue,
        };
        *left = ranges.within(failed.range);
        ranges.remove(failed.range);
    }
    if policy.is_grained() {
        // a request that is sent anyway also covers failed ranges within the same grain
        let cells = |ranges: &RangeSet| -> Vec<Timestamp> {
            let cells = on_grid(ranges.clone(), policy.cell());
            cells
                .map(|cell| cell_end(cell.from(), policy.cell()))
                .collect()
        };
        let asked: BTreeSet<Timestamp> = cells(&missing).into_iter().chain(cells(&again)).collect();
        for (failed, _, left) in &mut failed {
            let ranges = match failed.work {
                Work::Pull => &mut missing,
                _ => &mut again,
            };
            for piece in on_grid(left.clone(), policy.cell()) {
                if asked.contains(&cell_end(piece.from(), policy.cell())) {
                    ranges.insert(piece);
                    left.remove(piece);
                }
            }
        }
    }
    failed.retain(|(failed, ..)| failed.retry_at <= now || failed_at(failed) > now + TOLERANCE);
    failed.sort_by_key(|(failed, ..)| failed.retry_at);
    let mut failed_windows = Vec::new();
    for (failed, rest, left) in failed {
        failed_windows.push(Windows::Listed(rest.into()).again());
        failed_windows.push(windows(left, failed.work, policy).again());
    }
    if policy.is_grained() {
        let (pulls, settles) = cells(&missing, &again, policy);
        return Plan::new(
            rest,
            Windows::Listed(pulls),
            Windows::Listed(settles),
            failed_windows,
        );
    }
    let pulls = windows(missing, Work::Pull, policy);
    let settles = windows(again, Work::Settle, policy);
    Plan::new(rest, pulls, settles, failed_windows)
}

/// Splits ranges of one kind of work into windows.
fn windows(ranges: RangeSet, work: Work, policy: &Policy) -> Windows {
    if policy.is_grained() {
        let (mut cells, _) = cells(&ranges, &RangeSet::default(), policy);
        cells.iter_mut().for_each(|task| task.work = work);
        return Windows::Listed(cells);
    }
    Windows::cut(ranges, policy.window, work == Work::Settle, work)
}

/// Splits the work for a provider that accepts only whole days: everything due within one grain becomes one request,
/// whether it was never pulled or is re-read. Requests with first pulls are returned separately.
fn cells(
    missing: &RangeSet,
    again: &RangeSet,
    policy: &Policy,
) -> (VecDeque<Task>, VecDeque<Task>) {
    let mut due: BTreeMap<Timestamp, Task> = BTreeMap::new();
    for (ranges, work) in [(missing, Work::Pull), (again, Work::Settle)] {
        for range in on_grid(ranges.clone(), policy.cell()) {
            due.entry(cell_end(range.from(), policy.cell()))
                .and_modify(|task| task.range = task.range.hull(&range))
                .or_insert_with(|| Task::fresh(range, work));
        }
    }
    due.into_values().partition(|task| task.work == Work::Pull)
}

/// Returns the work of `backfill` on one stream for `range`: the parts that were never pulled, or, for a refetch, the
/// parts that it hasn't read yet (see [`begin_refetch`]).
pub fn backfill(
    progress: &Progress,
    range: Range,
    refetch: bool,
    now: Timestamp,
    policy: &Policy,
) -> Plan {
    let is_ours = |open: &&OpenRange| {
        open.work == Work::Backfill && open.range.intersection(&range) == Some(open.range)
    };
    let rest: Vec<Task> = progress
        .open
        .iter()
        .filter(is_ours)
        .map(Task::rest_of)
        .collect();
    let within = Range::new(range.from(), range.to().min(policy.horizon(now)));
    let mut left = match (within, &progress.refetch) {
        (Some(within), _) if !refetch => progress.passed().missing(within),
        (Some(within), Some(of)) if of.range == range => of.left.within(within),
        _ => RangeSet::default(),
    };
    rest.iter().for_each(|task| left.remove(task.range));
    let windows = windows(left, Work::Backfill, policy);
    Plan::new(rest, windows, Windows::default(), Vec::new())
}

/// Returns the requests for re-reading `ranges`: windows aligned to the epoch, in whole grains.
pub fn look_again(ranges: RangeSet, policy: &Policy) -> Plan {
    let windows = Windows::cut(ranges, policy.cell(), true, Work::Backfill);
    Plan::new(Vec::new(), windows, Windows::default(), Vec::new())
}

/// Splits `range` into pieces of a UTC day, or of a window if that is longer. `verify` compares one piece at a time.
pub fn days_or_windows(range: Range, policy: &Policy) -> impl Iterator<Item = Range> + use<> {
    let length = policy.cell().max(TimeDelta::days(1));
    on_grid([range].into_iter().collect(), length)
}

/// Returns the ranges of the due settle passes: a window's pass is due when its delay has elapsed since the window's
/// end. One read completes every pass that is due.
fn settle_due(progress: &Progress, now: Timestamp, policy: &Policy) -> RangeSet {
    let mut due = RangeSet::default();
    for (&delay, unsettled) in &progress.unsettled {
        let delay = seconds(delay);
        if policy.settle.contains(&delay) {
            // the end of the last whole window that is old enough
            let through = cell_end(now - delay, policy.window) - policy.window;
            for range in unsettled.iter() {
                if let Some(old) = Range::new(range.from(), range.to().min(through)) {
                    due.insert(old);
                }
            }
        }
    }
    due
}

//! What the end of a range changes in the progress of its stream.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::grid::{cell_end, seconds};
use super::policy::Policy;
use crate::lake::{FailedRange, OpenRange, Progress, Refetch, Work};
use crate::model::{FailureKind, Range, RangeSet, Timestamp};
use crate::providers::Stream;

/// The back-off of a range after its second failure, doubled with each further failure up to the second value. After
/// its first failure a range is retried with the next run.
const RETRY_AFTER: (TimeDelta, TimeDelta) = (TimeDelta::minutes(1), TimeDelta::hours(6));
/// The maximum number of failed ranges in a stream's progress; beyond it, neighbours are merged.
pub(super) const FAILED_AT_MOST: usize = 100;

/// Records that the streams are to be re-read over `range`. If a refetch of exactly that range is unfinished, it
/// continues. Otherwise a new one begins, and unfinished ranges of earlier backfills are dropped.
pub fn begin_refetch(progress: &mut BTreeMap<String, Progress>, streams: &[Stream], range: Range) {
    let of_range = |refetch: &&Refetch| refetch.range == range;
    let under_way = streams
        .iter()
        .filter_map(|stream| progress.get(&stream.id)?.refetch.as_ref().filter(of_range))
        .any(|refetch| !refetch.left.is_empty());
    for stream in streams {
        let progress = progress.entry(stream.id.clone()).or_default();
        if !(under_way
            && progress
                .refetch
                .as_ref()
                .is_some_and(|refetch| refetch.range == range))
        {
            progress.refetch = Some(Refetch {
                range,
                left: [range].into_iter().collect(),
            });
            let is_void = |open: &OpenRange| {
                open.work == Work::Backfill && open.range.intersection(&range).is_some()
            };
            progress.open.retain(|open| !is_void(open));
        }
    }
}

/// Records that `range` was pulled to its last page, with a first answer at `asked_at`. Returns the part that counts as
/// pulled: the part that is less than the lag before that answer still has to be pulled.
///
/// A range that was first pulled later than a settle pass's delay doesn't need that pass, and a range that is re-read
/// that late has completed it.
pub fn finish(
    progress: &mut Progress,
    range: Range,
    asked_at: Timestamp,
    policy: &Policy,
) -> Option<Range> {
    let range = Range::new(range.from(), range.to().min(policy.horizon(asked_at)))?;
    let first_time = progress.coverage.missing(range);
    progress.coverage.insert(range);
    progress.unobtainable.remove(range);
    progress.watermark = Some(progress.passed().contiguous_end(policy.start));
    // the parts of an unfinished range that another range has covered meanwhile are dropped
    progress.open.retain(|open| {
        !progress.coverage.covers(open.range) || open.range.intersection(&range).is_none()
    });
    progress
        .unsettled
        .retain(|&delay, _| policy.settle.contains(&seconds(delay)));
    for &delay in &policy.settle {
        let unsettled = progress
            .unsettled
            .entry(delay.num_seconds().unsigned_abs())
            .or_default();
        first_time.iter().for_each(|new| unsettled.insert(new));
        let late_enough = asked_at - delay;
        let through = if range.to() <= late_enough {
            range.to()
        } else {
            cell_end(late_enough, policy.window) - policy.window // in whole windows, so that no fragments are left
        };
        if let Some(settled) = Range::new(range.from(), range.to().min(through)) {
            unsettled.remove(settled);
        }
    }
    progress.unsettled.retain(|_, ranges| !ranges.is_empty());
    if let Some(refetch) = &mut progress.refetch {
        refetch.left.remove(range);
    }
    forget_failures(progress);
    Some(range)
}

/// Records that `range` failed at `at` while other ranges of the stream could be pulled. It is retried with increasing
/// back-off. Failures of a backfill aren't recorded, as repeating the command finds the missing parts.
pub fn fail(
    progress: &mut Progress,
    range: Range,
    work: Work,
    at: Timestamp,
    kind: FailureKind,
    error: &str,
) {
    if !matches!(work, Work::Pull | Work::Settle) {
        return;
    }
    let mut attempts = 1;
    let mut failed = Vec::new();
    for have in std::mem::take(&mut progress.failed) {
        if have.work != work || have.range.intersection(&range).is_none() {
            failed.push(have);
            continue;
        }
        attempts = attempts.max(have.attempts.saturating_add(1));
        for left in [
            Range::new(have.range.from(), range.from()),
            Range::new(range.to(), have.range.to()),
        ] {
            failed.extend(left.map(|range| FailedRange {
                range,
                ..have.clone()
            }));
        }
    }
    failed.push(FailedRange {
        range,
        work,
        attempts,
        retry_at: at + retry_after(attempts),
        kind: Some(kind),
        error: error.to_owned(),
    });
    failed.sort_by_key(|failed| (failed.work, failed.range));
    progress.failed = failed;
    forget_failures(progress);
    while progress.failed.len() > FAILED_AT_MOST && join_nearest(&mut progress.failed) {}
}

/// Returns the back-off of a range after this number of failures in a row.
fn retry_after(attempts: u32) -> TimeDelta {
    let (first, longest) = RETRY_AFTER;
    match attempts.checked_sub(2) {
        None => TimeDelta::zero(),
        Some(doublings) => (first * 2_i32.pow(doublings.min(12))).min(longest),
    }
}

/// Returns when the range failed last. An instant in the future was written by a wrong clock and isn't waited for.
pub fn failed_at(failed: &FailedRange) -> Timestamp {
    failed.retry_at - retry_after(failed.attempts)
}

/// Merges the two neighbours that are nearest to each other.
fn join_nearest(failed: &mut Vec<FailedRange>) -> bool {
    let nearest = (1..failed.len())
        .filter(|&at| failed[at - 1].work == failed[at].work)
        .min_by_key(|&at| failed[at].range.from() - failed[at - 1].range.to());
    let Some(at) = nearest else {
        return false;
    };
    let later = failed.remove(at);
    let joined = &mut failed[at - 1];
    joined.range = joined.range.hull(&later.range);
    joined.attempts = joined.attempts.max(later.attempts);
    joined.retry_at = joined.retry_at.min(later.retry_at);
    true
}

/// Removes failed ranges that were pulled completely, by any kind of work, or that can't be pulled.
fn forget_failures(progress: &mut Progress) {
    if progress.failed.is_empty() {
        return;
    }
    let passed = progress.passed();
    let mut unsettled = RangeSet::default();
    (progress.unsettled.values())
        .flat_map(RangeSet::iter)
        .for_each(|range| unsettled.insert(range));
    progress.failed.retain_mut(|failed| {
        let left = match failed.work {
            Work::Pull => passed.missing(failed.range),
            Work::Settle => unsettled.within(failed.range),
            Work::Backfill | Work::Replay => RangeSet::default(),
        };
        let Some((first, last)) = left.iter().next().zip(left.iter().next_back()) else {
            return false;
        };
        failed.range = first.hull(&last);
        true
    });
}

/// Records that the provider no longer serves `range`, as it is too old: the parts that were never pulled are lost, and
/// the others aren't re-read.
pub fn give_up(progress: &mut Progress, range: Range, policy: &Policy) {
    let lost = progress.coverage.missing(range);
    lost.iter()
        .for_each(|range| progress.unobtainable.insert(range));
    progress.watermark = Some(progress.passed().contiguous_end(policy.start));
    let is_over = |open: &OpenRange| range.intersection(&open.range) == Some(open.range);
    progress.open.retain(|open| !is_over(open));
    (progress.unsettled.values_mut()).for_each(|unsettled| unsettled.remove(range));
    progress.unsettled.retain(|_, ranges| !ranges.is_empty());
    if let Some(refetch) = &mut progress.refetch {
        refetch.left.remove(range);
    }
    forget_failures(progress);
}

/// Revokes the coverage of `range`, because committed rows of it are lost. The parts that were covered `before` that
/// commit are settled again, so that their records still count as late; the rest is pulled again.
pub fn uncover(progress: &mut Progress, range: Range, before: &RangeSet, policy: &Policy) {
    let again = if policy.settle.is_empty() {
        RangeSet::default()
    } else {
        before.within(range)
    };
    let mut lost: RangeSet = [range].into_iter().collect();
    again.iter().for_each(|again| lost.remove(again));
    for lost in lost.iter() {
        progress.coverage.remove(lost);
        let unsettled = progress.unsettled.values_mut();
        unsettled.for_each(|ranges| ranges.remove(lost));
    }
    for delay in &policy.settle {
        let delay = delay.num_seconds().unsigned_abs();
        let unsettled = progress.unsettled.entry(delay).or_default();
        again.iter().for_each(|again| unsettled.insert(again));
    }
    progress.unsettled.retain(|_, ranges| !ranges.is_empty());
    // a cursor in the range has passed the lost rows
    (progress.open).retain(|open| open.range.intersection(&range).is_none());
    progress.watermark = Some(progress.passed().contiguous_end(policy.start));
    if let Some(refetch) = &mut progress.refetch
        && let Some(lost) = range.intersection(&refetch.range)
    {
        refetch.left.insert(lost);
    }
}

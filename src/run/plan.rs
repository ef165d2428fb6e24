//! Planning: pure functions of a stream's progress, the time, and the job's policy.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, TimeDelta};

use crate::clocks::TOLERANCE;
use crate::lake::{Commit, FailedRange, OpenRange, Progress, Refetch, Work};
use crate::model::{FailureKind, Range, RangeSet, Timestamp};
use crate::providers::Stream;

/// The back-off of a range after its second failure, doubled with each further failure up to the second value. After
/// its first failure a range is retried with the next run.
const RETRY_AFTER: (TimeDelta, TimeDelta) = (TimeDelta::minutes(1), TimeDelta::hours(6));
/// The maximum number of failed ranges in a stream's progress; beyond it, neighbours are merged.
const FAILED_AT_MOST: usize = 100;

/// How a job's ranges are split into windows, and when they are re-read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The start of a stream.
    pub start: Timestamp,
    /// The length of windows.
    pub window: TimeDelta,
    /// The minimum length of a halved window.
    pub min_window: TimeDelta,
    /// The distance from now at which a first pull ends.
    pub lag: TimeDelta,
    /// The delays after a window's end at which it is re-read for late arrivals, ascending.
    pub settle: Vec<TimeDelta>,
    /// The provider's grain: requested bounds have to be multiples of it, counted from the epoch. Zero if any bounds
    /// are possible.
    pub grain: TimeDelta,
}

impl Policy {
    /// Returns the end of first pulls, in whole seconds, as providers accept no finer bounds.
    pub fn horizon(&self, now: Timestamp) -> Timestamp {
        let second = (now - self.lag).timestamp();
        DateTime::from_timestamp(second, 0).unwrap_or(now - self.lag)
    }

    /// Returns the length of requests to a provider with a grain: the window, rounded to whole grains.
    fn cell(&self) -> TimeDelta {
        let grain = self.grain.num_seconds().max(1);
        let grains = (self.window.num_seconds() + grain - 1) / grain;
        TimeDelta::seconds(grains.max(1) * grain)
    }

    fn is_grained(&self) -> bool {
        self.grain > TimeDelta::zero()
    }

    /// Returns the start of the last grain before `at`; `at` itself if the provider has no grain.
    pub fn last_cell(&self, at: Timestamp) -> Timestamp {
        if self.is_grained() {
            cell_end(at, self.grain) - self.grain
        } else {
            at
        }
    }

    /// Returns the first half of a range, if the provider's grain and `min_window` permit it.
    pub fn first_half(&self, range: Range) -> Option<Range> {
        if !self.is_grained() {
            return range.first_half(self.min_window);
        }
        let middle = cell_end(range.from() + range.length() / 2, self.grain) - self.grain;
        let to = middle.max(cell_end(range.from(), self.grain));
        let long_enough =
            |half: &Range| self.min_window <= self.grain || half.length() >= self.min_window;
        Range::new(range.from(), to).filter(|half| half.to() < range.to() && long_enough(half))
    }

    /// Returns the first piece of `[from, to)`, which is about as long as `length`.
    pub fn first_piece(&self, from: Timestamp, to: Timestamp, length: TimeDelta) -> Option<Range> {
        let end = match (from + length).min(to) {
            end if end < to && self.is_grained() => {
                cell_end(end - TimeDelta::microseconds(1), self.grain)
            }
            end => end,
        };
        Range::new(from, end.min(to))
    }
}

/// One range to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The range.
    pub range: Range,
    /// The kind of work.
    pub work: Work,
    /// The cursor of an earlier run, and when that run began the range.
    pub resume: Option<OpenRange>,
    /// Whether it failed in an earlier run that could pull other ranges of the stream.
    pub again: bool,
}

impl Task {
    fn fresh(range: Range, work: Work) -> Self {
        Self {
            range,
            work,
            resume: None,
            again: false,
        }
    }

    fn rest_of(open: &OpenRange) -> Self {
        Self {
            range: open.range,
            work: open.work,
            resume: Some(open.clone()),
            again: false,
        }
    }
}

/// The due work of one stream, most urgent first. Windows are generated on demand, as a first load may have many.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The rests of unfinished ranges.
    rest: VecDeque<Task>,
    /// The first pulls, or the windows of a backfill.
    pulls: Windows,
    settles: Windows,
    /// The ranges that failed in earlier runs.
    again: VecDeque<Windows>,
    /// The end of the newest window of `pulls`, or of `settles` if there are no pulls, before any window was taken.
    newest_to: Option<Timestamp>,
}

/// The windows of one kind of work, in the order of time.
#[derive(Debug, Clone)]
enum Windows {
    Listed(VecDeque<Task>),
    Cut {
        ranges: VecDeque<Range>,
        length: TimeDelta,
        /// Whether windows are aligned to the epoch, so that a settle pass reads an hour once instead of once per pull.
        /// Otherwise they begin at the start of each range.
        on_grid: bool,
        work: Work,
        again: bool,
    },
}

impl Default for Windows {
    fn default() -> Self {
        Self::Listed(VecDeque::new())
    }
}

impl Windows {
    fn cut(ranges: RangeSet, length: TimeDelta, on_grid: bool, work: Work) -> Self {
        Self::Cut {
            ranges: Vec::from(ranges).into(),
            length,
            on_grid,
            work,
            again: false,
        }
    }

    /// Marks the windows as failed in earlier runs.
    fn again(mut self) -> Self {
        match &mut self {
            Self::Listed(tasks) => tasks.iter_mut().for_each(|task| task.again = true),
            Self::Cut { again, .. } => *again = true,
        }
        self
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Listed(tasks) => tasks.is_empty(),
            Self::Cut { ranges, .. } => ranges.is_empty(),
        }
    }

    fn to(&self) -> Option<Timestamp> {
        match self {
            Self::Listed(tasks) => tasks.back().map(|task| task.range.to()),
            Self::Cut { ranges, .. } => ranges.back().map(Range::to),
        }
    }

    fn oldest(&mut self) -> Option<Task> {
        match self {
            Self::Listed(tasks) => tasks.pop_front(),
            Self::Cut {
                ranges,
                length,
                on_grid,
                work,
                again,
            } => {
                let range = ranges.pop_front()?;
                let end = if *on_grid {
                    cell_end(range.from(), *length)
                } else {
                    range.from() + *length
                };
                let piece = Range::new(range.from(), range.to().min(end))?;
                if let Some(left) = Range::new(piece.to(), range.to()) {
                    ranges.push_front(left);
                }
                Some(Task {
                    again: *again,
                    ..Task::fresh(piece, *work)
                })
            }
        }
    }

    /// Takes the window that [`Windows::oldest`] would return last.
    fn newest(&mut self) -> Option<Task> {
        match self {
            Self::Listed(tasks) => tasks.pop_back(),
            Self::Cut {
                ranges,
                length,
                on_grid,
                work,
                again,
            } => {
                let range = ranges.pop_back()?;
                let instant = TimeDelta::microseconds(1);
                let from = if *on_grid {
                    cell_end(range.to() - instant, *length) - *length
                } else {
                    let micros = |length: TimeDelta| length.num_microseconds().unwrap_or(i64::MAX);
                    let over = micros(range.length() - instant) % micros(*length).max(1);
                    range.to() - instant - TimeDelta::microseconds(over)
                };
                let piece = Range::new(range.from().max(from), range.to())?;
                if let Some(left) = Range::new(range.from(), piece.from()) {
                    ranges.push_back(left);
                }
                Some(Task {
                    again: *again,
                    ..Task::fresh(piece, *work)
                })
            }
        }
    }

    fn skip_before(&mut self, oldest: Timestamp) {
        let left = |range: Range| Range::new(range.from().max(oldest), range.to());
        match self {
            Self::Listed(tasks) => tasks.retain_mut(|task| {
                let left = left(task.range);
                task.range = left.unwrap_or(task.range);
                left.is_some()
            }),
            Self::Cut { ranges, .. } => {
                *ranges = ranges.drain(..).filter_map(left).collect();
            }
        }
    }
}

impl Plan {
    fn new(rest: Vec<Task>, pulls: Windows, settles: Windows, again: Vec<Windows>) -> Self {
        Self {
            newest_to: pulls.to().or_else(|| settles.to()),
            rest: rest.into(),
            pulls,
            settles,
            again: again.into(),
        }
    }

    /// Returns whether no work is left.
    pub fn is_empty(&self) -> bool {
        self.has_only_failed() && self.again.iter().all(Windows::is_empty)
    }

    /// Returns whether only ranges that failed in earlier runs are left.
    pub fn has_only_failed(&self) -> bool {
        self.rest.is_empty() && self.pulls.is_empty() && self.settles.is_empty()
    }

    /// Takes the newest window first: a first pull if there is one, otherwise a settle pass.
    pub fn newest(&mut self) -> Option<Task> {
        self.pulls.newest().or_else(|| self.settles.newest())
    }

    /// Returns whether the task ends with the newest window of the initial plan.
    pub fn is_newest(&self, task: &Task) -> bool {
        !task.again && self.newest_to.is_none_or(|to| task.range.to() >= to)
    }

    /// Removes everything before `oldest`.
    pub fn skip_before(&mut self, oldest: Timestamp) {
        self.rest.retain(|task| task.range.from() >= oldest);
        self.pulls.skip_before(oldest);
        self.settles.skip_before(oldest);
        let again = self.again.iter_mut();
        again.for_each(|windows| windows.skip_before(oldest));
    }

    /// Removes the ranges that failed in earlier runs.
    pub fn skip_failed(&mut self) {
        self.again.clear();
    }
}

impl Iterator for Plan {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        if let Some(task) = (self.rest.pop_front())
            .or_else(|| self.pulls.oldest())
            .or_else(|| self.settles.oldest())
        {
            return Some(task);
        }
        while let Some(windows) = self.again.front_mut() {
            if let Some(task) = windows.oldest() {
                return Some(task);
            }
            self.again.pop_front();
        }
        None
    }
}

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

/// Returns the ranges from the job's start on that the provider refused as too old, each with its stream and with the
/// oldest instant that the provider served at that time.
pub fn lost<'a>(
    commit: &'a Commit,
    policy: &'a Policy,
) -> impl Iterator<Item = (&'a String, Range, Timestamp)> {
    commit.current().flat_map(|(stream, progress)| {
        let oldest = progress
            .unobtainable
            .iter()
            .next_back()
            .map(|last| last.to());
        let wanted = oldest.and_then(|oldest| Range::new(policy.start, oldest));
        let lost = wanted.map(|wanted| progress.unobtainable.within(wanted));
        let ranges: Vec<Range> = lost.unwrap_or_default().into();
        let with_oldest = move |range| oldest.map(|oldest| (stream, range, oldest));
        ranges.into_iter().filter_map(with_oldest)
    })
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

/// Returns the holes in a stream's coverage: the ranges between the job's start and the end of the coverage that
/// weren't pulled, although the last run that completed its plan had planned them, or that failed in a run that could
/// pull others.
///
/// After that instant, the windows of a current or interrupted run end in any order, so missing ranges there are still
/// to be pulled. The age of the watermark shows how long that takes.
pub fn holes(progress: &Progress, planned_at: Option<Timestamp>, policy: &Policy) -> RangeSet {
    let Some(last) = progress.coverage.iter().next_back().map(|last| last.to()) else {
        return RangeSet::default();
    };
    let passed = progress.passed();
    let planned = planned_at.map(|at| policy.horizon(at));
    let mut holes = planned
        .and_then(|planned| Range::new(policy.start, last.min(planned)))
        .map(|whole| passed.missing(whole))
        .unwrap_or_default();
    let failed = progress
        .failed
        .iter()
        .filter(|failed| failed.work == Work::Pull);
    failed
        .filter_map(|failed| {
            let from = failed.range.from().max(policy.start);
            Range::new(from, failed.range.to().min(last))
        })
        .flat_map(|failed| Vec::from(passed.missing(failed)))
        .for_each(|hole| holes.insert(hole));
    holes
}

/// Returns the holes of every current stream of the job as of `commit`, each with its stream.
pub fn gaps<'a>(
    commit: &'a Commit,
    policy: &'a Policy,
) -> impl Iterator<Item = (&'a String, Range)> {
    commit.current().flat_map(move |(stream, progress)| {
        let holes: Vec<Range> = holes(progress, commit.planned_at, policy).iter().collect();
        holes.into_iter().map(move |hole| (stream, hole))
    })
}

/// Returns the watermark of the slowest stream, counted from the job's current start, which may differ from that of its
/// commits; `None` if the job was never pulled and has no streams.
pub fn watermark<'a>(
    streams: impl Iterator<Item = (&'a String, &'a Progress)>,
    policy: &Policy,
) -> Option<Timestamp> {
    let ends = streams.map(|(_, progress)| progress.passed().contiguous_end(policy.start));
    ends.min()
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

/// Extends ranges to whole windows, aligned to the epoch.
fn on_grid(ranges: RangeSet, window: TimeDelta) -> impl Iterator<Item = Range> + Send {
    Vec::from(ranges).into_iter().flat_map(move |range| {
        let mut from = range.from();
        std::iter::from_fn(move || {
            let piece = Range::new(from, range.to().min(cell_end(from, window)))?;
            from = piece.to();
            Some(piece)
        })
    })
}

/// Returns the end of the window that contains `instant`, with windows aligned to the epoch.
fn cell_end(instant: Timestamp, window: TimeDelta) -> Timestamp {
    let into = instant
        .timestamp_micros()
        .rem_euclid(window.num_microseconds().unwrap_or(i64::MAX).max(1));
    instant + (window - TimeDelta::microseconds(into))
}

fn seconds(delay: u64) -> TimeDelta {
    TimeDelta::seconds(i64::try_from(delay).unwrap_or(i64::MAX / 1_000_000))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::providers::Cursor;

    pub(crate) fn at(second: i64) -> Timestamp {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    pub(crate) fn range(from: i64, to: i64) -> Range {
        Range::new(at(from), at(to)).unwrap()
    }

    pub(crate) fn policy() -> Policy {
        Policy {
            start: at(0),
            window: TimeDelta::seconds(60),
            min_window: TimeDelta::seconds(1),
            lag: TimeDelta::seconds(10),
            grain: TimeDelta::zero(),
            settle: vec![TimeDelta::seconds(100), TimeDelta::seconds(1_000)],
        }
    }

    /// Completes all work that is due at `now`.
    fn run(progress: &mut Progress, now: i64, policy: &Policy) -> Vec<Task> {
        let tasks: Vec<Task> = due(progress, at(now), policy).collect();
        for task in &tasks {
            finish(progress, task.range, at(now), policy);
        }
        tasks
    }

    fn ranges(tasks: &[Task], work: Work) -> Vec<Range> {
        tasks
            .iter()
            .filter(|task| task.work == work)
            .map(|task| task.range)
            .collect()
    }

    #[test]
    fn first_pulls_go_from_the_start_to_the_lag_in_windows() {
        let mut progress = Progress::default();
        let tasks = run(&mut progress, 160, &policy());
        assert_eq!(
            ranges(&tasks, Work::Pull),
            [range(0, 60), range(60, 120), range(120, 150)]
        );
        assert_eq!(progress.watermark, Some(at(150)));
    }

    #[test]
    fn a_settle_pass_reads_whole_windows_once_their_delay_has_passed() {
        let mut progress = Progress::default();
        run(&mut progress, 40, &policy());
        run(&mut progress, 70, &policy());
        assert_eq!(
            ranges(&run(&mut progress, 159, &policy()), Work::Settle),
            []
        );
        assert_eq!(
            ranges(&run(&mut progress, 160, &policy()), Work::Settle),
            [range(0, 60)]
        );
        assert_eq!(
            ranges(&run(&mut progress, 161, &policy()), Work::Settle),
            []
        );
    }

    #[test]
    fn one_reading_serves_every_pass_that_is_due() {
        let mut progress = Progress::default();
        run(&mut progress, 70, &policy());
        let tasks = run(&mut progress, 1_060, &policy());
        assert_eq!(ranges(&tasks, Work::Settle), [range(0, 60)]);
        assert_eq!(
            ranges(&run(&mut progress, 1_100, &policy()), Work::Settle),
            []
        );
    }

    #[test]
    fn a_first_load_is_read_once() {
        let mut progress = Progress::default();
        run(&mut progress, 100_000, &policy());
        let again = run(&mut progress, 100_000 + 2_000, &policy());
        // only ranges pulled within a pass's delay of their end are re-read
        assert!(
            ranges(&again, Work::Settle)
                .iter()
                .all(|range| range.to() > at(100_000 - 1_000))
        );
    }

    #[test]
    fn an_unfinished_range_goes_on_first_and_is_not_pulled_twice() {
        let open = |from, to, work| OpenRange {
            range: range(from, to),
            work,
            asked_at: at(70),
            cursor: Cursor("c".into()),
        };
        let progress = Progress {
            open: vec![open(60, 120, Work::Pull), open(-60, 0, Work::Backfill)],
            ..Progress::default()
        };
        let tasks: Vec<Task> = due(&progress, at(190), &policy()).collect();
        assert_eq!(tasks[0].resume.as_ref().unwrap().cursor, Cursor("c".into()));
        assert_eq!(
            ranges(&tasks, Work::Pull),
            [range(60, 120), range(0, 60), range(120, 180)]
        );
        let tasks: Vec<Task> =
            backfill(&progress, range(-120, 30), false, at(190), &policy()).collect();
        assert_eq!(
            ranges(&tasks, Work::Backfill),
            [range(-60, 0), range(-120, -60), range(0, 30)]
        );
    }

    #[test]
    fn a_backfill_pulls_what_is_missing() {
        let mut progress = Progress::default();
        finish(&mut progress, range(60, 120), at(5_000), &policy());
        let tasks: Vec<Task> =
            backfill(&progress, range(0, 180), false, at(5_000), &policy()).collect();
        assert_eq!(
            ranges(&tasks, Work::Backfill),
            [range(0, 60), range(120, 180)]
        );
    }

    fn streams(ids: &[&str]) -> Vec<Stream> {
        ids.iter().map(|&id| Stream::new(id)).collect()
    }

    fn refetches(all: &BTreeMap<String, Progress>, id: &str, of: Range) -> Vec<Range> {
        let tasks: Vec<Task> = backfill(&all[id], of, true, at(5_000), &policy()).collect();
        ranges(&tasks, Work::Backfill)
    }

    #[test]
    fn a_refetch_goes_on_until_every_stream_is_through_and_then_begins_anew() {
        let (of, both) = (range(0, 120), streams(&["a", "b"]));
        let mut all = BTreeMap::new();
        begin_refetch(&mut all, &both, of);
        assert_eq!(refetches(&all, "a", of), [range(0, 60), range(60, 120)]);
        for (id, done) in [
            ("a", range(0, 60)),
            ("a", range(60, 120)),
            ("b", range(0, 60)),
        ] {
            finish(all.get_mut(id).unwrap(), done, at(5_000), &policy());
        }
        begin_refetch(&mut all, &both, of); // the next turn, or the repeated command
        assert_eq!(refetches(&all, "a", of), []);
        assert_eq!(refetches(&all, "b", of), [range(60, 120)]);
        finish(
            all.get_mut("b").unwrap(),
            range(60, 120),
            at(5_000),
            &policy(),
        );
        assert_eq!(refetches(&all, "b", of), []);
        begin_refetch(&mut all, &both, of); // all streams were complete: a new refetch
        assert_eq!(refetches(&all, "a", of), [range(0, 60), range(60, 120)]);
    }

    #[test]
    fn a_refetch_doesn_t_go_on_from_a_backfill_s_cursor() {
        let open = OpenRange {
            range: range(0, 60),
            work: Work::Backfill,
            asked_at: at(70),
            cursor: Cursor("c".into()),
        };
        let mut all = BTreeMap::from([(
            "a".to_owned(),
            Progress {
                open: vec![open],
                ..Progress::default()
            },
        )]);
        begin_refetch(&mut all, &streams(&["a"]), range(0, 60));
        let tasks: Vec<Task> =
            backfill(&all["a"], range(0, 60), true, at(5_000), &policy()).collect();
        assert_eq!(tasks, [Task::fresh(range(0, 60), Work::Backfill)]);
    }

    #[test]
    fn a_pass_that_is_no_longer_wanted_is_forgotten() {
        let mut progress = Progress::default();
        run(&mut progress, 70, &policy());
        let calm = Policy {
            settle: vec![],
            ..policy()
        };
        assert_eq!(ranges(&run(&mut progress, 10_000, &calm), Work::Settle), []);
        assert!(progress.unsettled.is_empty());
    }

    #[test]
    fn a_hole_is_what_a_whole_plan_left_out_before_something_that_was_pulled() {
        let mut progress = Progress::default();
        let holes = |progress: &Progress, planned_at: Option<i64>| -> Vec<Range> {
            let found = super::holes(progress, planned_at.map(at), &policy());
            found.iter().collect()
        };
        assert_eq!(holes(&progress, Some(1_000)), []);
        // a first load in progress: its second window ends before its first
        finish(&mut progress, range(60, 120), at(500), &policy());
        assert_eq!(holes(&progress, None), []);
        // it completed its plan, and the first window failed
        assert_eq!(holes(&progress, Some(500)), [range(0, 60)]);
        finish(&mut progress, range(180, 240), at(500), &policy());
        assert_eq!(holes(&progress, Some(500)), [range(0, 60), range(120, 180)]);
        // the next run is in progress: the ranges that it has yet to pull aren't holes
        assert_eq!(holes(&progress, Some(130)), [range(0, 60)]);
        finish(&mut progress, range(0, 60), at(500), &policy());
        finish(&mut progress, range(-60, -30), at(500), &policy());
        assert_eq!(holes(&progress, Some(130)), []);
        // nothing was pulled up to the plan's end: only the watermark shows that
        assert_eq!(holes(&progress, Some(5_000)), [range(120, 180)]);
    }

    fn fail(progress: &mut Progress, range: Range, now: i64) {
        super::fail(
            progress,
            range,
            Work::Pull,
            at(now),
            FailureKind::Data,
            "poison",
        );
    }

    #[test]
    fn a_range_that_failed_comes_after_fresh_ones_each_time_later() {
        let mut progress = Progress::default();
        finish(&mut progress, range(60, 120), at(150), &policy());
        fail(&mut progress, range(0, 60), 150);
        let again = |progress: &Progress, now: i64| -> Vec<Range> {
            let tasks = due(progress, at(now), &policy()).filter(|task| task.again);
            tasks.map(|task| task.range).collect()
        };
        // with the next run, then after a minute, two, four
        assert_eq!(again(&progress, 150), [range(0, 60)]);
        let tasks: Vec<Task> = due(&progress, at(190), &policy()).collect();
        assert_eq!(ranges(&tasks, Work::Pull), [range(120, 180), range(0, 60)]);
        let mut now = 150;
        for pause in [60, 120, 240] {
            fail(&mut progress, range(0, 60), now);
            assert_eq!(again(&progress, now + pause - 1), []);
            now += pause;
            assert_eq!(again(&progress, now), [range(0, 60)]);
        }
        for _ in 0..40 {
            fail(&mut progress, range(0, 60), now);
        }
        assert_eq!(again(&progress, now + 6 * 3_600 - 1), []);
        assert_eq!(again(&progress, now + 6 * 3_600), [range(0, 60)]);
        // an instant written by a clock that was ahead isn't waited for
        fail(&mut progress, range(0, 60), now + 100_000);
        assert_eq!(again(&progress, now + 90_000), [range(0, 60)]);
        // any kind of work completes it
        finish(&mut progress, range(-10, 30), at(now), &policy());
        assert_eq!(progress.failed[0].range, range(30, 60));
        finish(&mut progress, range(30, 60), at(now), &policy());
        assert_eq!(progress.failed, []);
    }

    #[test]
    fn a_failed_range_is_a_gap_once_later_ones_were_pulled() {
        let mut progress = Progress::default();
        let holes = |progress: &Progress| -> Vec<Range> {
            super::holes(progress, None, &policy()).iter().collect()
        };
        fail(&mut progress, range(60, 120), 150);
        assert_eq!(holes(&progress), []);
        finish(&mut progress, range(0, 60), at(150), &policy());
        assert_eq!(holes(&progress), []);
        finish(&mut progress, range(120, 180), at(190), &policy());
        assert_eq!(holes(&progress), [range(60, 120)]);
    }

    #[test]
    fn an_unfinished_range_that_failed_waits_for_its_time_and_goes_on_from_its_cursor() {
        let open = OpenRange {
            range: range(0, 60),
            work: Work::Pull,
            asked_at: at(70),
            cursor: Cursor("c".into()),
        };
        let mut progress = Progress {
            open: vec![open],
            ..Progress::default()
        };
        finish(&mut progress, range(60, 120), at(150), &policy());
        fail(&mut progress, range(0, 60), 150);
        fail(&mut progress, range(0, 60), 150);
        assert_eq!(due(&progress, at(160), &policy()).count(), 1); // 120 to 150
        let tasks: Vec<Task> = due(&progress, at(210), &policy()).collect();
        let last = tasks.last().unwrap();
        assert_eq!((last.range, last.again), (range(0, 60), true));
        assert_eq!(last.resume.as_ref().unwrap().cursor, Cursor("c".into()));
    }

    #[test]
    fn a_settle_pass_that_failed_waits_for_its_time() {
        let mut progress = Progress::default();
        run(&mut progress, 70, &policy());
        let settle = |progress: &Progress, now: i64| {
            let tasks: Vec<Task> = due(progress, at(now), &policy()).collect();
            ranges(&tasks, Work::Settle)
        };
        assert_eq!(settle(&progress, 170), [range(0, 60)]);
        for _ in 0..2 {
            let failed = range(0, 60);
            super::fail(
                &mut progress,
                failed,
                Work::Settle,
                at(170),
                FailureKind::Data,
                "",
            );
        }
        assert_eq!(settle(&progress, 220), []);
        assert_eq!(settle(&progress, 230), [range(0, 60)]);
        assert_eq!(progress.watermark, Some(at(60)));
        let calm = Policy {
            settle: vec![],
            ..policy()
        };
        finish(&mut progress, range(60, 90), at(230), &calm);
        assert_eq!(progress.failed, []); // that pass is no longer configured
    }

    #[test]
    fn what_failed_of_a_day_is_asked_for_with_the_rest_of_that_day() {
        let mut progress = Progress::default();
        finish(&mut progress, range(3_600, 7_200), at(7_300), &by_day());
        for _ in 0..9 {
            fail(&mut progress, range(0, 3_600), 7_300);
        }
        let tasks: Vec<Task> = due(&progress, at(10_860), &by_day()).collect();
        assert_eq!(ranges(&tasks, Work::Pull), [range(0, 10_800)]);
        // alone, it waits
        let unsettled = Policy {
            settle: vec![],
            ..by_day()
        };
        finish(&mut progress, range(7_200, DAY), at(DAY + 60), &unsettled);
        let pulls = |progress: &Progress, now: i64| {
            let tasks: Vec<Task> = due(progress, at(now), &unsettled).collect();
            ranges(&tasks, Work::Pull)
        };
        assert_eq!(pulls(&progress, 7_300 + 128 * 60 - 1), []);
        assert_eq!(pulls(&progress, 7_300 + 128 * 60), [range(0, 3_600)]);
    }

    #[test]
    fn what_is_too_old_is_passed_and_is_not_asked_for_again() {
        let mut progress = Progress::default();
        let settled = range(0, 30);
        finish(&mut progress, settled, at(40), &policy());
        fail(&mut progress, range(30, 60), 70);
        give_up(&mut progress, range(-60, 120), &policy());
        assert_eq!(progress.watermark, Some(at(120)));
        let lost: Vec<Range> = progress.unobtainable.iter().collect();
        assert_eq!(lost, [range(-60, 0), range(30, 120)]);
        assert_eq!(progress.failed, []);
        assert_eq!(progress.unsettled, BTreeMap::new());
        let tasks: Vec<Task> = due(&progress, at(190), &policy()).collect();
        assert_eq!(ranges(&tasks, Work::Pull), [range(120, 180)]);
        let by_hand = |progress: &Progress, refetch| -> Vec<Range> {
            let tasks = backfill(progress, range(0, 60), refetch, at(190), &policy());
            tasks.map(|task| task.range).collect()
        };
        assert_eq!(by_hand(&progress, false), []);
        let mut all = BTreeMap::from([("a".to_owned(), progress)]);
        begin_refetch(&mut all, &streams(&["a"]), range(0, 60));
        let mut progress = all.remove("a").unwrap();
        assert_eq!(by_hand(&progress, true), [range(0, 60)]);
        // a range that is served after all is no longer lost
        finish(&mut progress, range(0, 60), at(190), &policy());
        let lost: Vec<Range> = progress.unobtainable.iter().collect();
        assert_eq!(lost, [range(-60, 0), range(60, 120)]);
        assert_eq!(progress.watermark, Some(at(120)));
    }

    #[test]
    fn the_newest_window_can_be_taken_out_of_its_turn() {
        for grain in [0, 45] {
            let policy = Policy {
                grain: TimeDelta::seconds(grain),
                ..policy()
            };
            let mut progress = Progress::default();
            finish(&mut progress, range(40, 70), at(80), &policy);
            let whole: Vec<Task> = due(&progress, at(600), &policy).collect();
            for taken in 0..whole.len() {
                let mut plan = due(&progress, at(600), &policy);
                let mut tasks: Vec<Task> = plan.by_ref().take(taken).collect();
                let newest: Vec<Task> = std::iter::from_fn(|| plan.newest()).collect();
                // unless it was already taken
                let mut first = tasks.iter().chain(newest.first());
                assert!(first.any(|task| plan.is_newest(task)), "{grain} {taken}");
                assert!(plan.is_empty());
                tasks.extend(newest.into_iter().rev());
                tasks.sort_by_key(|task| (task.work, task.range));
                let mut whole = whole.clone();
                whole.sort_by_key(|task| (task.work, task.range));
                assert_eq!(tasks, whole, "{grain} {taken}");
            }
        }
    }

    const DAY: i64 = 86_400;

    fn by_day() -> Policy {
        Policy {
            window: TimeDelta::hours(1),
            min_window: TimeDelta::minutes(1),
            lag: TimeDelta::seconds(60),
            settle: vec![
                TimeDelta::hours(1),
                TimeDelta::hours(24),
                TimeDelta::hours(72),
            ],
            grain: TimeDelta::days(1),
            ..policy()
        }
    }

    #[test]
    fn what_is_due_within_a_day_is_one_question_for_a_provider_that_knows_days_only() {
        let mut progress = Progress::default();
        let ticks = 24 * 7;
        let mut asked = 0;
        for hour in 1..=ticks {
            let now = hour * 3_600 + 120;
            let tasks = run(&mut progress, now, &by_day());
            let mut days: Vec<i64> = (tasks.iter())
                .map(|task| task.range.from().timestamp().div_euclid(DAY))
                .collect();
            asked += days.len();
            days.dedup();
            assert_eq!(days.len(), tasks.len(), "{tasks:?}");
            for task in &tasks {
                let last = task.range.to() - TimeDelta::seconds(1);
                assert_eq!(
                    task.range.from().timestamp().div_euclid(DAY),
                    last.timestamp().div_euclid(DAY)
                );
            }
            assert_eq!(tasks[0].work, Work::Pull);
            assert_eq!(progress.watermark, Some(at(now - 60)));
        }
        // today's hour with the pass an hour later, the pass of a day ago, the pass of three days ago
        assert!(asked <= 3 * usize::try_from(ticks).unwrap() + 14, "{asked}");
        let state = progress
            .unsettled
            .values()
            .map(|ranges| ranges.iter().count());
        assert!(state.sum::<usize>() <= 4, "{progress:?}");
    }

    #[test]
    fn what_is_lost_is_pulled_again_or_settled_again() {
        let policy = policy();
        let mut progress = Progress::default();
        finish(&mut progress, range(0, 600), at(610), &policy);
        let before = progress.coverage.clone();
        finish(&mut progress, range(600, 1_200), at(1_210), &policy);
        progress.open = vec![OpenRange {
            range: range(1_200, 1_800),
            work: Work::Pull,
            asked_at: at(1_810),
            cursor: Cursor("x".to_owned()),
        }];
        // ranges first pulled with the lost commit are missing again; ranges that it re-read are to be settled
        uncover(&mut progress, range(540, 720), &before, &policy);
        assert_eq!(progress.watermark, Some(at(600)));
        assert_eq!(
            Vec::from(progress.coverage.clone()),
            [range(0, 600), range(720, 1_200)]
        );
        assert_eq!(progress.open.len(), 1);
        let tasks: Vec<Task> = due(&progress, at(2_000), &policy).collect();
        let pulls = ranges(&tasks, Work::Pull);
        assert!(pulls.contains(&range(600, 660)) && pulls.contains(&range(660, 720)));
        assert!(ranges(&tasks, Work::Settle).contains(&range(540, 600)));
        // a cursor in the lost range is dropped
        uncover(&mut progress, range(1_500, 1_800), &before, &policy);
        assert!(progress.open.is_empty());
        // without settle passes, it is pulled
        let never = Policy {
            settle: vec![],
            ..policy
        };
        uncover(&mut progress, range(0, 60), &before, &never);
        assert_eq!(progress.watermark, Some(at(0)));
    }

    #[test]
    fn windows_of_days_are_halved_between_days() {
        let policy = by_day();
        let halves = |from, to| -> Vec<Range> {
            std::iter::successors(policy.first_half(range(from, to)), |half| {
                policy.first_half(*half)
            })
            .collect()
        };
        assert_eq!(halves(0, 7 * DAY), [range(0, 3 * DAY), range(0, DAY)]);
        assert_eq!(halves(DAY / 2, 2 * DAY), [range(DAY / 2, DAY)]);
        assert_eq!(halves(DAY / 2, DAY + 60), [range(DAY / 2, DAY)]);
        // a part of a day is requested as a whole day, so it may be shorter than `min_window`
        assert_eq!(halves(DAY - 30, 2 * DAY), [range(DAY - 30, DAY)]);
        assert_eq!(halves(60, DAY), []);
        let coarse = Policy {
            min_window: TimeDelta::days(2),
            ..policy.clone()
        };
        assert_eq!(coarse.first_half(range(0, 3 * DAY)), None);
        assert_eq!(
            coarse.first_half(range(0, 4 * DAY)),
            Some(range(0, 2 * DAY))
        );
        // the range after a half also ends between days
        let piece =
            |from, length| policy.first_piece(at(from), at(7 * DAY), TimeDelta::seconds(length));
        assert_eq!(piece(DAY / 2, DAY), Some(range(DAY / 2, 2 * DAY)));
        assert_eq!(piece(DAY, DAY), Some(range(DAY, 2 * DAY)));
        assert_eq!(piece(6 * DAY + 1, DAY), Some(range(6 * DAY + 1, 7 * DAY)));
    }

    #[test]
    fn a_first_load_by_days_is_read_once_and_a_backfill_asks_days() {
        let mut progress = Progress::default();
        let tasks = run(&mut progress, 30 * DAY + 7_200, &by_day());
        assert_eq!(tasks.len(), 31);
        assert!(ranges(&tasks, Work::Settle).is_empty());
        let asked: Vec<Task> = backfill(
            &Progress::default(),
            range(3_600, 2 * DAY + 60),
            false,
            at(30 * DAY),
            &by_day(),
        )
        .collect();
        assert_eq!(
            ranges(&asked, Work::Backfill),
            [
                range(3_600, DAY),
                range(DAY, 2 * DAY),
                range(2 * DAY, 2 * DAY + 60)
            ]
        );
        let weeks = Policy {
            window: TimeDelta::days(7),
            ..by_day()
        };
        let asked: Vec<Task> = due(&Progress::default(), at(14 * DAY + 60), &weeks).collect();
        assert_eq!(
            ranges(&asked, Work::Pull),
            [range(0, 7 * DAY), range(7 * DAY, 14 * DAY)]
        );
    }

    proptest! {
        /// With any ticks, nothing up to the lag is left out, nothing is first-pulled twice, and each instant that was
        /// first pulled before a pass's delay is re-read after it.
        #[test]
        fn nothing_is_left_out(
            mut ticks in prop::collection::vec(1_i64..3_000, 1..30),
            window in 1_i64..200,
            lag in 0_i64..50,
            grain in prop_oneof![Just(0_i64), 1_i64..400],
        ) {
            let policy = Policy {
                window: TimeDelta::seconds(window),
                lag: TimeDelta::seconds(lag),
                grain: TimeDelta::seconds(grain),
                ..policy()
            };
            ticks.sort_unstable();
            let mut progress = Progress::default();
            let mut first = RangeSet::default();
            let mut reads: Vec<(i64, Range)> = vec![];
            for &now in &ticks {
                for task in run(&mut progress, now, &policy) {
                    let longest = if grain > 0 { policy.cell() } else { policy.window };
                    prop_assert!(task.range.length() <= longest);
                    prop_assert!(task.range.to() <= at(now) - policy.lag);
                    if task.work == Work::Pull {
                        prop_assert!(grain > 0 || first.within(task.range).is_empty());
                        first.insert(task.range);
                    }
                    reads.push((now, task.range));
                }
                prop_assert_eq!(progress.watermark.unwrap_or(at(0)), at(0).max(at(now) - policy.lag));
            }
            let last = *ticks.last().unwrap();
            for second in (0..last).step_by(7) {
                let times: Vec<i64> =
                    reads.iter().filter(|(_, range)| range.contains(at(second))).map(|(now, _)| *now).collect();
                for delay in &policy.settle {
                    let cell = cell_end(at(second), policy.window).timestamp() + delay.num_seconds();
                    if first.contains(at(second)) && ticks.iter().any(|&now| now >= cell) {
                        prop_assert!(times.iter().any(|&now| now >= second + delay.num_seconds()), "{second} {delay}");
                    }
                }
            }
        }

        /// With any failures of any duration: fresh windows come first, failed ranges wait for their back-off, nothing
        /// is forgotten or requested twice in a run, the progress stays small, and everything is pulled when the
        /// provider has recovered.
        #[test]
        fn what_fails_is_pulled_in_the_end(
            mut ticks in prop::collection::vec(1_i64..9_000, 1..40),
            poison in prop::collection::vec((0_i64..9_000, 1_i64..400), 0..6),
            too_old in prop::option::of(0_i64..500),
            grain in prop_oneof![Just(0_i64), 100_i64..400],
        ) {
            let policy = Policy { grain: TimeDelta::seconds(grain), ..policy() };
            let poison: RangeSet = poison.into_iter().map(|(from, length)| range(from, from + length)).collect();
            ticks.sort_unstable();
            let mut progress = Progress::default();
            if let Some(oldest) = too_old.filter(|oldest| *oldest > 0) {
                give_up(&mut progress, range(0, oldest), &policy);
            }
            for &now in &ticks {
                let before = progress.clone();
                let mut again = false;
                let mut seen = RangeSet::default();
                for task in due(&before, at(now), &policy) {
                    prop_assert!(task.again || !again, "fresh ones come first");
                    again |= task.again;
                    if task.work == Work::Pull && grain == 0 {
                        prop_assert!(seen.within(task.range).is_empty());
                        prop_assert!(before.unobtainable.within(task.range).is_empty());
                        seen.insert(task.range);
                    }
                    let waits = |failed: &&FailedRange| {
                        failed.work == task.work && failed.range.intersection(&task.range).is_some()
                    };
                    for failed in before.failed.iter().filter(waits) {
                        prop_assert!(grain > 0 || (task.again && failed.retry_at <= at(now)), "{failed:?}");
                    }
                    if poison.within(task.range).is_empty() {
                        finish(&mut progress, task.range, at(now), &policy);
                    } else {
                        super::fail(&mut progress, task.range, task.work, at(now), FailureKind::Data, "");
                    }
                }
                prop_assert!(progress.failed.len() <= FAILED_AT_MOST);
                let horizon = at(now) - policy.lag;
                if let Some(wanted) = Range::new(at(0), horizon) {
                    let mut known = progress.passed();
                    progress.failed.iter().for_each(|failed| known.insert(failed.range));
                    prop_assert!(known.covers(wanted), "nothing is forgotten");
                }
                for failed in &progress.failed {
                    prop_assert!(failed.work == Work::Settle || !progress.passed().covers(failed.range));
                }
            }
            // a day later the provider has recovered
            let now = 200_000;
            run(&mut progress, now, &policy);
            prop_assert_eq!(&progress.failed, &[]);
            prop_assert_eq!(progress.watermark, Some(at(now) - policy.lag));
        }

        /// With any number of failed windows, the progress holds a bounded number of ranges that includes all of them.
        #[test]
        fn the_state_of_many_failures_is_bounded(seeds in prop::collection::vec(0_i64..2_000, 150..400)) {
            let mut progress = Progress::default();
            for &seed in &seeds {
                fail(&mut progress, range(seed * 100, seed * 100 + 60), seed);
            }
            prop_assert!(progress.failed.len() <= FAILED_AT_MOST);
            for &seed in &seeds {
                let failed = range(seed * 100, seed * 100 + 60);
                prop_assert!(progress.failed.iter().any(|have| have.range.intersection(&failed) == Some(failed)));
            }
        }

        /// A stream's state doesn't grow with time.
        #[test]
        fn the_state_stays_small(step in 1_i64..500) {
            let mut progress = Progress::default();
            for tick in 1..100 {
                run(&mut progress, tick * step, &policy());
            }
            prop_assert!(progress.coverage.iter().count() <= 1);
            prop_assert!(progress.unsettled.values().all(|ranges| ranges.iter().count() <= 1));
        }
    }
}

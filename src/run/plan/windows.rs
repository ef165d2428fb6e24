//! The due work of a stream as windows, which are generated on demand.

use std::collections::VecDeque;

use chrono::TimeDelta;

use super::grid::cell_end;
use crate::lake::{OpenRange, Work};
use crate::model::{Range, RangeSet, Timestamp};

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
    pub(super) fn fresh(range: Range, work: Work) -> Self {
        Self {
            range,
            work,
            resume: None,
            again: false,
        }
    }

    pub(super) fn rest_of(open: &OpenRange) -> Self {
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
pub(super) enum Windows {
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
    pub(super) fn cut(ranges: RangeSet, length: TimeDelta, on_grid: bool, work: Work) -> Self {
        Self::Cut {
            ranges: Vec::from(ranges).into(),
            length,
            on_grid,
            work,
            again: false,
        }
    }

    /// Marks the windows as failed in earlier runs.
    pub(super) fn again(mut self) -> Self {
        match &mut self {
            Self::Listed(tasks) => tasks.iter_mut().for_each(|task| task.again = true),
            Self::Cut { again, .. } => *again = true,
        }
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Listed(tasks) => tasks.is_empty(),
            Self::Cut { ranges, .. } => ranges.is_empty(),
        }
    }

    pub(super) fn to(&self) -> Option<Timestamp> {
        match self {
            Self::Listed(tasks) => tasks.back().map(|task| task.range.to()),
            Self::Cut { ranges, .. } => ranges.back().map(Range::to),
        }
    }

    pub(super) fn oldest(&mut self) -> Option<Task> {
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
    pub(super) fn newest(&mut self) -> Option<Task> {
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

    pub(super) fn skip_before(&mut self, oldest: Timestamp) {
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
    pub(super) fn new(
        rest: Vec<Task>,
        pulls: Windows,
        settles: Windows,
        again: Vec<Windows>,
    ) -> Self {
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

//! How a job's ranges are split into windows, and when they are re-read.

use chrono::{DateTime, TimeDelta};

use super::grid::cell_end;
use crate::model::{Range, Timestamp};

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
    pub(super) fn cell(&self) -> TimeDelta {
        let grain = self.grain.num_seconds().max(1);
        let grains = (self.window.num_seconds() + grain - 1) / grain;
        TimeDelta::seconds(grains.max(1) * grain)
    }

    pub(super) fn is_grained(&self) -> bool {
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

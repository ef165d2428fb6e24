//! The ranges that were re-read from the provider, and those that couldn't be.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::watch;
use tokio::time::Instant;

use super::verification::Verification;
use crate::model::{FailureKind, Range, RangeSet, Timestamp};
use crate::providers::Stream;
use crate::run::event::{InFlight, TooOld};
use crate::run::{RunError, RunTotals, StreamFailure};

/// The number of pieces in a row without an answer after which a stream is skipped.
const PATIENCE: u32 = 2;
/// The interval of progress reports.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// The state of re-reading the range.
pub(super) struct Reading {
    /// The ranges that were re-read to their last page, by stream.
    pub(super) read: BTreeMap<String, RangeSet>,
    pub(super) narrowed: BTreeMap<String, TimeDelta>,
    /// The current ranges by slot.
    pub(super) in_flight: HashMap<usize, InFlight>,
    /// The number of pieces in a row without an answer, by stream; [`PATIENCE`] if the stream is skipped.
    silent: BTreeMap<String, u32>,
    /// The oldest instant that the provider serves, by stream, as far as it is known.
    forgotten: BTreeMap<String, Timestamp>,
    pub(super) totals: RunTotals,
    reported_at: Instant,
}

impl Reading {
    pub(super) fn new(narrowed: BTreeMap<String, TimeDelta>) -> Self {
        Self {
            read: BTreeMap::new(),
            narrowed,
            in_flight: HashMap::new(),
            silent: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            totals: RunTotals::default(),
            reported_at: Instant::now(),
        }
    }

    /// Records that the range of a slot was read to its last page.
    pub(super) fn finish(
        &mut self,
        slot: usize,
        narrowed: Option<TimeDelta>,
        observer: &watch::Sender<RunTotals>,
    ) {
        let Some(window) = self.in_flight.remove(&slot) else {
            return;
        };
        match narrowed {
            Some(length) => self.narrowed.insert(window.stream.clone(), length),
            None => self.narrowed.remove(&window.stream),
        };
        self.totals.windows += 1;
        self.totals.covered += window.range.length();
        if self.reported_at.elapsed() >= REPORT_EVERY {
            self.reported_at = Instant::now();
            observer.send_replace(self.totals);
        }
        let read = self.read.entry(window.stream).or_default();
        read.insert(window.range);
    }

    pub(super) fn forget(&mut self, TooOld { stream, range, .. }: TooOld) {
        self.forgotten.insert(stream, range.to());
    }

    /// Returns whether all these streams were re-read at an instant.
    pub(super) fn covers(&self, streams: &[Stream], at: Timestamp) -> bool {
        streams.iter().all(|stream| {
            let read = self.read.get(&stream.id);
            read.is_some_and(|read| read.contains(at))
        })
    }

    /// Removes the ranges that were re-read.
    pub(super) fn take_off_read(&self, left: &mut BTreeMap<String, RangeSet>) {
        left.retain(|stream, left| {
            let read = self.read.get(stream);
            read.iter()
                .flat_map(|read| read.iter())
                .for_each(|read| left.remove(read));
            !left.is_empty()
        });
    }

    /// Removes the ranges that the provider no longer serves, which can't be verified.
    pub(super) fn take_off_forgotten(
        &self,
        left: &mut BTreeMap<String, RangeSet>,
        verification: &mut Verification,
    ) {
        for (stream, left) in left.iter_mut() {
            let Some(&oldest) = self.forgotten.get(stream) else {
                continue;
            };
            let Some(before) = left
                .iter()
                .next()
                .and_then(|first| Range::new(first.from(), oldest))
            else {
                continue;
            };
            let forgotten = left.within(before);
            left.remove(before);
            verification.leave_unverified(
                Some(stream.clone()),
                forgotten,
                RunError::Forgotten { oldest },
            );
        }
        left.retain(|_, left| !left.is_empty());
    }

    /// Removes streams with permanent failures; their ranges are also unverified.
    pub(super) fn take_off_silent(
        &self,
        left: &mut BTreeMap<String, RangeSet>,
        verification: &mut Verification,
    ) {
        left.retain(|stream, ranges| {
            let is_alone = (self.silent.get(stream)).is_some_and(|times| *times >= PATIENCE);
            let failed = (verification.unverified.iter_mut().rev())
                .find(|failed| is_alone && failed.stream.as_deref() == Some(stream));
            if let Some(failed) = failed {
                ranges.iter().for_each(|range| failed.ranges.insert(range));
            }
            !is_alone
        });
    }

    /// Removes failed ranges: one that can't be parsed, or the rest of a stream without answers.
    pub(super) fn take_off_failed(
        &mut self,
        left: &mut BTreeMap<String, RangeSet>,
        failures: Vec<StreamFailure>,
        verification: &mut Verification,
    ) {
        self.silent
            .retain(|stream, times| *times >= PATIENCE || left.contains_key(stream));
        for StreamFailure {
            stream,
            range,
            error,
            ..
        } in failures
        {
            let Some(left) = left.get_mut(&stream).filter(|left| !left.is_empty()) else {
                continue;
            };
            let unverified = match error.kind() {
                FailureKind::Data => {
                    left.remove(range);
                    [range].into_iter().collect()
                }
                FailureKind::Transient => {
                    *self.silent.entry(stream.clone()).or_default() += 1;
                    std::mem::take(left)
                }
                FailureKind::RateLimited
                | FailureKind::Auth
                | FailureKind::Config
                | FailureKind::Conflict => {
                    self.silent.insert(stream.clone(), PATIENCE);
                    std::mem::take(left)
                }
            };
            verification.leave_unverified(Some(stream), unverified, error);
        }
    }
}

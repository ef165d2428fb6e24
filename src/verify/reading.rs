//! What was read again from the provider, and what it gives no answer about.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::watch;
use tokio::time::Instant;

use super::verification::Verification;
use crate::model::{FailureKind, Range, RangeSet, Timestamp};
use crate::providers::Stream;
use crate::run::worker::{InFlight, TooOld};
use crate::run::{RunError, RunTotals, StreamFailure};

/// A stream that gets no answer in so many pieces in a row is left alone.
const PATIENCE: u32 = 2;
/// How often progress is reported.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// The state of reading the range again.
pub(super) struct Reading {
    /// What has been read again to its last page, by stream.
    pub(super) read: BTreeMap<String, RangeSet>,
    pub(super) narrowed: BTreeMap<String, TimeDelta>,
    /// By slot.
    pub(super) in_flight: HashMap<usize, InFlight>,
    /// In how many pieces in a row a stream got no answer; [`PATIENCE`] if it is left alone.
    silent: BTreeMap<String, u32>,
    /// Before what the provider gives nothing any more, by stream, as far as that is known.
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

    /// Notes that the range of a slot was read to its last page.
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

    /// Whether all these streams were read again at an instant.
    pub(super) fn covers(&self, streams: &[Stream], at: Timestamp) -> bool {
        streams.iter().all(|stream| {
            let read = self.read.get(&stream.id);
            read.is_some_and(|read| read.contains(at))
        })
    }

    /// Takes off what has been read again.
    pub(super) fn take_off_read(&self, left: &mut BTreeMap<String, RangeSet>) {
        left.retain(|stream, left| {
            let read = self.read.get(stream);
            read.iter()
                .flat_map(|read| read.iter())
                .for_each(|read| left.remove(read));
            !left.is_empty()
        });
    }

    /// Takes off what the provider no longer gives, which can't be verified.
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

    /// Takes off streams that have failed in a way that is no better a day later; their ranges are unverified too.
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

    /// Takes off what failed: a range that can't be understood, or all that is left of a stream that gives no answer.
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

//! The progress of every stream, as the next commit records it, apart from the windows in flight.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::event::{InFlight, TooOld};
use super::future;
use super::job::{Job, RunMode};
use super::overlap::first_of;
use super::plan;
use super::queue::FailedRange;
use crate::lake::{Commit, Origin, Progress, Work};
use crate::model::{FailureKind, Range, Timestamp};
use crate::providers::Stream;

/// The progress of every stream.
pub(super) struct ProgressTracker<'a> {
    job: &'a Job,
    /// The streams that the job pulls.
    streams: Vec<String>,
    by_stream: BTreeMap<String, Progress>,
    /// The job's start. Earlier records aren't requested, although the first window's bounds may return them.
    wanted_from: Timestamp,
    /// The instant from which the log was checked for overlaps with other logs of its account.
    checked_from: Option<Timestamp>,
    /// The run's "now" in planning.
    now: Timestamp,
    /// The range of a backfill.
    backfill: Option<Range>,
    /// Whether a failed or unobtainable range isn't committed yet.
    has_failed_ranges: bool,
}

/// The relation of a record to the requested range and to earlier pulls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admission {
    /// Whether an earlier pull of its range did not see it.
    pub(super) late: bool,
    /// Whether it is outside the requested bounds.
    pub(super) outside: bool,
}

impl<'a> ProgressTracker<'a> {
    /// Creates the progress recorded by the newest commit.
    pub(super) fn new(job: &'a Job, newest: Commit) -> Self {
        Self {
            job,
            streams: newest.streams,
            by_stream: newest.progress,
            wanted_from: job.policy.start,
            checked_from: newest.origin.and_then(|origin| origin.from),
            now: job.policy.start,
            backfill: None,
            has_failed_ranges: false,
        }
    }

    pub(super) fn by_stream(&self) -> &BTreeMap<String, Progress> {
        &self.by_stream
    }

    pub(super) fn streams(&self) -> &[String] {
        &self.streams
    }

    /// The account of the log, for the next commit.
    pub(super) fn origin(&self) -> Origin {
        Origin {
            from: self.checked_from,
            ..self.job.origin()
        }
    }

    /// Removes entries after `now`, which a wrong clock wrote.
    pub(super) fn void(&mut self, now: Timestamp) {
        future::void(&mut self.by_stream, now, &self.job.policy);
    }

    /// Begins a run over these streams. Every stream gets an entry in its first run; a refetch is recorded, so that a
    /// repeated one continues.
    pub(super) fn begin(&mut self, streams: &[Stream], mode: RunMode) {
        self.streams.clear();
        for stream in streams {
            self.by_stream.entry(stream.id.clone()).or_default();
            self.streams.push(stream.id.clone());
        }
        self.streams.sort();
        let first = first_of(self.job, &mode);
        self.checked_from = Some(self.checked_from.map_or(first, |from| from.min(first)));
        if let RunMode::Backfill { range, refetch, .. } = mode {
            self.wanted_from = self.wanted_from.min(range.from());
            self.backfill = Some(range);
            if refetch {
                plan::begin_refetch(&mut self.by_stream, streams, range);
            }
        }
    }

    /// Records the run's "now" in planning; the back-off of failed ranges counts from it.
    pub(super) fn plans_at(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Records that a window begins. Cursors of a restarted range, or of a larger range that was halved, are dropped.
    pub(super) fn begin_window(&mut self, window: &InFlight) {
        let progress = self.by_stream.entry(window.stream.clone()).or_default();
        progress
            .open
            .retain(|open| open.range.intersection(&window.range).is_none());
    }

    /// Records that a window is no longer pulled; the next run continues from its position.
    pub(super) fn leave_open(&mut self, window: &InFlight) {
        let progress = self.by_stream.entry(window.stream.clone()).or_default();
        progress.open.extend(window.unfinished());
    }

    /// Records that a window was pulled to its last page. Returns the range that counts as pulled, if any.
    pub(super) fn finish_window(
        &mut self,
        window: &InFlight,
        narrowed: Option<TimeDelta>,
    ) -> Option<Range> {
        let progress = self.by_stream.entry(window.stream.clone()).or_default();
        let counts = plan::finish(progress, window.range, window.as_of, &self.job.policy);
        progress.window = narrowed.map(|length| length.num_seconds().unsigned_abs());
        counts
    }

    /// Records that a range failed although its provider works.
    pub(super) fn note_failure(&mut self, failed: &FailedRange) {
        let FailedRange {
            stream,
            range,
            work,
            kind,
            error,
        } = failed;
        let progress = self.by_stream.entry(stream.clone()).or_default();
        plan::fail(progress, *range, *work, self.now, *kind, error);
        self.has_failed_ranges = true;
    }

    /// Records that the provider serves nothing before the end of a range, for all ranges that the run wants.
    pub(super) fn pass_over(&mut self, too_old: &TooOld) {
        let TooOld {
            stream,
            work,
            range,
            doubt,
        } = too_old;
        let oldest = range.to();
        let wanted = match self.backfill {
            Some(backfill) => Range::new(backfill.from(), backfill.to().min(oldest)),
            None => Range::new(range.from().min(self.job.policy.start), oldest),
        };
        let wanted = wanted.unwrap_or(*range);
        let progress = self.by_stream.entry(stream.clone()).or_default();
        self.has_failed_ranges = true;
        if let Some(doubt) = doubt {
            let pull = if self.backfill.is_some() {
                Work::Backfill
            } else {
                Work::Pull
            };
            for range in progress.passed().missing(wanted).iter() {
                plan::fail(progress, range, pull, self.now, FailureKind::Data, doubt);
            }
            if *work == Work::Settle {
                plan::fail(progress, *range, *work, self.now, FailureKind::Data, doubt);
            }
            return;
        }
        let lost = progress.passed().missing(wanted);
        plan::give_up(progress, wanted, &self.job.policy);
        for range in lost.iter() {
            tracing::warn!(
                stream,
                %range,
                start = %self.job.policy.start,
                "the provider gives nothing older than this range's end: the range is lost"
            );
        }
    }

    /// Returns whether a record of this time may be written now; `None` if it waits for its own range.
    pub(super) fn admits(&self, window: &InFlight, at: Timestamp) -> Option<Admission> {
        let outside = !window.requested.contains(at);
        let progress = self.by_stream.get(&window.stream);
        let late = progress.is_some_and(|progress| progress.coverage.contains(at));
        let never = progress.is_some_and(|progress| progress.unobtainable.contains(at));
        // a record before the range, or in a pulled range, doesn't wait: a provider that files a record a moment after
        // its event time doesn't return it for the range of that time
        let to_come = at >= window.range.to() || at < self.wanted_from;
        (!to_come || late || never || outside).then_some(Admission { late, outside })
    }

    pub(super) fn has_failed_ranges(&self) -> bool {
        self.has_failed_ranges
    }

    /// Returns the progress for a commit.
    pub(super) fn snapshot(&mut self) -> BTreeMap<String, Progress> {
        self.has_failed_ranges = false;
        self.by_stream.clone()
    }

    /// Returns the watermark of the slowest stream.
    pub(super) fn watermark(&self) -> Option<Timestamp> {
        let current = (self.by_stream.iter()).filter(|(stream, _)| self.streams.contains(stream));
        plan::watermark(current, &self.job.policy)
    }
}

//! Verification: compares a range of the lake with the provider's current records. Neither claims nor writes.
//!
//! The range is read from the provider by the workers of a run, and only then from the lake, so that an event that a
//! run lands meanwhile isn't missing; by its time of receipt, it isn't extra either. A piece is a day, or a window if
//! that is longer. Two consecutive pieces are held at a time: a provider may file an event under a time other than its
//! own, and the answer for a day may contain the end of the previous day.

mod comparison;
mod page;
mod pieces;
mod reading;
mod rows;
mod scope;
mod strays;
mod unreadable;
mod verification;

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::Instrument;

pub use comparison::{ComparedDay, Discrepancies, Example};
use comparison::{MissingRow, ProviderEvent, days};
use page::{ComparisonPage, ComparisonReader};
use pieces::OpenPieces;
use reading::Reading;
use rows::{event_of, rows_of};
use scope::Scope;
use strays::Strays;
use unreadable::{Unreadable, UnreadableRecords};
pub use verification::{Unverified, Verification};

use crate::clock::{Clock, real_now};
use crate::lake;
use crate::model::{Range, RangeSet, Timestamp};
use crate::run::compute::CpuPool;
use crate::run::event::{InFlight, WorkerEvent};
use crate::run::queue::{self, WindowQueue};
use crate::run::time::Time;
use crate::run::worker::Workers;
use crate::run::{Job, RunError, RunOptions, StreamFailure, plan};

/// Compares the lake's rows in `range` with the provider's records.
///
/// If a stream or a file can't be read, its part stays unverified and the rest continues. Fails only if the job's log
/// or the provider's list of streams can't be read.
pub async fn verify(
    job: &Job,
    range: Range,
    options: &RunOptions,
) -> Result<Verification, RunError> {
    let span = tracing::info_span!("verify", job = job.name, %range);
    async {
        let mut verifier = Verifier::new(job, range, options).await?;
        let mut asked = 0;
        while asked < verifier.scope.pieces.len() && !verifier.verification.unfinished {
            verifier.ask(asked).await?;
            // the answer for a piece may contain events of the previous one
            if asked > 0 {
                verifier.compare(asked - 1).await;
            }
            asked += 1;
        }
        if asked > 0 {
            verifier.compare(asked - 1).await;
        }
        Ok(verifier.end())
    }
    .instrument(span)
    .await
}

struct Verifier<'a> {
    job: &'a Job,
    options: &'a RunOptions,
    /// When it began. Rows landed later may be newer than the provider's answers.
    began: Timestamp,
    scope: Scope,
    reading: Reading,
    pieces: OpenPieces,
    strays: Strays,
    unreadable: UnreadableRecords,
    verification: Verification,
}

impl<'a> Verifier<'a> {
    async fn new(job: &'a Job, asked: Range, options: &'a RunOptions) -> Result<Self, RunError> {
        // a `Date` has whole seconds, so its clock may be almost a second later
        let judged = Time::of(job, Clock::System).now() + chrono::TimeDelta::seconds(1);
        let began = real_now().min(judged);
        let newest = lake::newest(&job.lake, &job.log).await?;
        if let Some(newest) = &newest {
            job.refuse_if_moved(newest)?;
        }
        let streams = job.source.streams(&options.stop).await?;
        let horizon = job.policy.horizon(Time::of(job, options.clock).now());
        let progress = newest.as_ref().map(|newest| &newest.progress);
        let narrowed = progress.map(|progress| queue::narrowed(&streams, progress));
        let (scope, verification) =
            Scope::of(job, asked, horizon, streams, newest.as_ref()).await?;
        Ok(Self {
            job,
            options,
            began,
            scope,
            reading: Reading::new(narrowed.unwrap_or_default()),
            pieces: OpenPieces::default(),
            strays: Strays::default(),
            unreadable: UnreadableRecords::default(),
            verification,
        })
    }

    fn end(mut self) -> Verification {
        self.scope.explain(&mut self.verification);
        self.verification
    }

    /// Reads the pulled ranges of each stream in a piece from the provider. Ranges that can't be parsed are skipped.
    async fn ask(&mut self, piece: usize) -> Result<(), RunError> {
        let mut left = self.scope.pulled_of(self.scope.pieces[piece]);
        (self.reading).take_off_forgotten(&mut left, &mut self.verification);
        (self.reading).take_off_silent(&mut left, &mut self.verification);
        while !left.is_empty() {
            let failures = self.read_again(&left, piece).await?;
            self.reading.take_off_read(&mut left);
            (self.reading).take_off_forgotten(&mut left, &mut self.verification);
            (self.reading).take_off_failed(&mut left, failures, &mut self.verification);
            if self.verification.unfinished {
                break;
            }
            left.retain(|_, left| !left.is_empty());
        }
        self.look_strays_up(piece).await;
        Ok(())
    }

    /// Reads these ranges from the provider, as far as possible.
    async fn read_again(
        &mut self,
        ranges: &BTreeMap<String, RangeSet>,
        piece: usize,
    ) -> Result<Vec<StreamFailure>, RunError> {
        let tasks = self.scope.streams.iter().filter_map(|stream| {
            let ranges = ranges.get(&stream.id)?.clone();
            Some((stream.clone(), plan::look_again(ranges, &self.job.policy)))
        });
        let queue = WindowQueue::of(tasks.collect(), self.reading.narrowed.clone());
        let queue = Arc::new(queue);
        let mut workers = Workers::spawn(
            &self.job.source.yielding(),
            self.job,
            &queue,
            self.options,
            ComparisonReader(Arc::clone(&self.job.source.adapter)),
            &CpuPool::new(self.options.at_a_time),
        );
        while let Some(event) = workers.next().await? {
            self.take(event, piece).await?;
        }
        let leftovers = queue.leftovers();
        self.verification.unfinished |= leftovers.unfinished;
        Ok(leftovers.failures)
    }

    async fn take(
        &mut self,
        event: WorkerEvent<ComparisonPage>,
        piece: usize,
    ) -> Result<(), RunError> {
        match event {
            WorkerEvent::Began(slot, window) => {
                self.unreadable.begin(slot);
                self.reading.in_flight.insert(slot, window);
            }
            WorkerEvent::Page { slot, page, .. } => {
                let Some(window) = self.reading.in_flight.remove(&slot) else {
                    return Ok(());
                };
                let records = page.events().len() + page.unreadable.len();
                self.reading.totals.counts.fetched += records as u64;
                for event in page.events() {
                    self.shown(event, &window, piece);
                }
                for id in page.unreadable {
                    self.unreadable(slot, &window, &id, page.received_at, piece)
                        .await?;
                }
                self.reading.in_flight.insert(slot, window);
            }
            WorkerEvent::Finished { slot, narrowed } => {
                self.reading.finish(slot, narrowed, &self.options.totals);
            }
            WorkerEvent::TooOld(too_old) => self.reading.forget(too_old),
            // a failed range is also among the failures, and the time of an answer only matters for coverage
            WorkerEvent::Failed(_) | WorkerEvent::Answered(..) => {}
        }
        Ok(())
    }

    /// Returns whether the lake has to contain an event: one inside the requested bounds if its range was pulled, one
    /// outside of them always, as it doesn't wait for its own range.
    fn shown(&mut self, event: ProviderEvent<'_>, window: &InFlight, piece: usize) {
        let is_outside = !window.requested.contains(event.at);
        let owner = (self.scope.pieces).partition_point(|piece| piece.to() <= event.at);
        if self.scope.range.contains(event.at) && self.pieces.is_open(owner) {
            let pulled = self.scope.pulled.get(&window.stream);
            let is_pulled = pulled.is_some_and(|pulled| pulled.contains(event.at));
            let shown_by = (is_outside && owner != piece).then_some(piece);
            (self.pieces).show(owner, event, is_pulled || is_outside, shown_by);
        } else if is_outside {
            self.strays.add(event);
        }
    }

    /// Checks a record that can't be parsed, which should be in quarantine if it was visible to a pull.
    async fn unreadable(
        &mut self,
        slot: usize,
        window: &InFlight,
        id: &str,
        received_at: Timestamp,
        piece: usize,
    ) -> Result<(), RunError> {
        let Unreadable { is_new, is_missing } = self
            .unreadable
            .add(self.job, slot, window, id, received_at)
            .await?;
        // it may have any time within the request, including a range that wasn't pulled yet
        let may_be_of = Range::new(window.range.from(), window.requested.to());
        let is_owed = (self.scope.pulled.get(&window.stream).zip(may_be_of))
            .is_some_and(|(pulled, may_be_of)| pulled.covers(may_be_of));
        let day = window.range.from().date_naive();
        let day = self.verification.days.entry(day).or_default();
        day.unreadable += u64::from(is_new);
        if is_missing && is_owed {
            day.missing.add(None, id);
            self.verification.to_repair.insert(self.scope.pieces[piece]);
        }
        Ok(())
    }

    /// Reads a piece from the lake and compares it with the provider's events.
    async fn compare(&mut self, piece: usize) {
        let range = self.scope.pieces[piece];
        let mut comparison = self.pieces.take(piece);
        let (reading, scope) = (&self.reading, &self.scope);
        // a row has no stream, so it is extra only if all streams were read at its time
        let is_judged = |at: Timestamp| {
            !scope.streams.is_empty()
                && !scope.former.contains(at)
                && reading.covers(&scope.streams, at)
        };
        let (began, adapter) = (self.began, &self.job.source.adapter);
        let rows = rows_of(self.job, days(range), |row| {
            if !range.contains(row.event_time) {
                return;
            }
            comparison.row(event_of(adapter.as_ref(), &row), || match row {
                row if row.ingested_at >= began => MissingRow::Landed,
                row if is_judged(row.event_time) => MissingRow::Extra,
                _ => MissingRow::Unjudged,
            });
        });
        if let Err(error) = rows.await {
            let ranges = [range].into_iter().collect();
            return self.verification.leave_unverified(None, ranges, error);
        }
        self.pieces.remember(comparison.extras());
        let found = comparison.end();
        if found.values().any(|day| day.missing.count > 0) {
            for piece in self.pieces.shown_by(piece) {
                self.verification.to_repair.insert(self.scope.pieces[piece]);
            }
        }
        for (date, day) in found {
            *self.verification.days.entry(date).or_default() += &day;
        }
    }

    /// Looks up strays in the partition of their own day. They don't count among that day's rows, as the day may be
    /// outside the range or already counted. Events that counted as extra no longer do.
    async fn look_strays_up(&mut self, piece: usize) {
        let Some((mut strays, stray_days)) = self.strays.take() else {
            return;
        };
        let piece = self.scope.pieces[piece];
        let adapter = &self.job.source.adapter;
        let rows = rows_of(self.job, stray_days.into_iter(), |row| {
            if strays.shows(row.event_id) {
                strays.row(event_of(adapter.as_ref(), &row), || MissingRow::Landed);
            }
        });
        if let Err(error) = rows.await {
            let ranges = [piece].into_iter().collect();
            return self.verification.leave_unverified(None, ranges, error);
        }
        for (id, at) in strays.found() {
            if self.pieces.is_shown_after_all(id) {
                let day = self.verification.days.entry(at.date_naive());
                let day = day.or_default();
                day.extra.take_back(at, id);
                day.shown += 1;
            }
        }
        for (date, day) in strays.end() {
            if !day.differs() {
                continue;
            }
            if day.missing.count > 0 {
                self.verification.to_repair.insert(piece);
            }
            let counted = ComparedDay {
                shown: 0,
                rows: 0,
                ..day
            };
            *self.verification.days.entry(date).or_default() += &counted;
        }
    }
}

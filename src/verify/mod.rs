//! A range of the lake, held against what the provider shows of it now. Claims nothing, writes nothing.
//!
//! The range is read from the provider as a run reads it, by the same workers, and only then from the lake: what a run
//! lands meanwhile is no missing event, and by the time it was pulled it is known for no extra one. A day is held at a
//! time (a window where that is longer), and the day after it: a provider may file an event under another time than it
//! shows, and what is asked of a day may show the end of the day before.

mod comparison;
mod page;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use object_store::path::Path;
use tokio::time::Instant;
use tracing::Instrument;

pub use comparison::{ComparedDay, Discrepancies, Example};
use comparison::{Comparison, MissingRow, ProviderEvent, days};
use page::{ComparisonPage, ComparisonReader};

use crate::clock::Clock;
use crate::lake::{self, Commit, LakeError};
use crate::model::{FailureKind, PartitionColumn, Range, RangeSet, Timestamp};
use crate::providers::{Adapter, Stream};
use crate::run::compute::CpuPool;
use crate::run::dedup::files_of;
use crate::run::quarantine::HeldRecords;
use crate::run::queue::{self, WindowQueue};
use crate::run::time::Time;
use crate::run::worker::{InFlight, TooOld, WorkerEvent, Workers};
use crate::run::{Job, RunError, RunOptions, RunTotals, StreamFailure, identity, plan};
use crate::table::{EventIdHash, StoredRow, partition_path, read_rows};

/// A stream that gets no answer in so many days one after the other is left alone.
const PATIENCE: u32 = 2;

/// How often it is told how far the verification is.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// How many extra events are remembered, in case a later day's asking shows one of them after all; 16 bytes each.
const REMEMBERED: usize = 1_000_000;

/// What a verification came to.
#[derive(Debug)]
pub struct Verification {
    /// What was to be verified.
    pub range: Range,
    /// What was found, by UTC day of event time; days of which nothing is known are not in it.
    pub days: BTreeMap<NaiveDate, ComparedDay>,
    /// What of the range the job should have pulled and hasn't, and of which streams. Nothing there was compared.
    pub not_pulled: BTreeMap<Range, Vec<String>>,
    /// The same, of what lies before the job's start.
    pub before_start: BTreeMap<Range, Vec<String>>,
    /// What of the range lies after now (by the conduct's clock) less the job's lag: no run was to pull it yet.
    pub too_new: Option<Range>,
    /// What could not be verified, and why.
    pub unverified: Vec<Unverified>,
    /// What has to be read again to land what is missing.
    pub to_repair: RangeSet,
    /// What has to be verified again once `not_pulled` was pulled: whole days of it.
    pub to_pull: RangeSet,
    /// What a reader of the counts should know.
    pub notes: Vec<String>,
    /// Whether it was stopped before its end.
    pub unfinished: bool,
}

/// A part of the range that could not be verified.
#[derive(Debug)]
pub struct Unverified {
    /// The stream that could not be read; nothing if it was the lake.
    pub stream: Option<String>,
    /// The part.
    pub ranges: RangeSet,
    /// Why, the first time.
    pub error: RunError,
}

impl Verification {
    /// All days together.
    pub fn total(&self) -> ComparedDay {
        let mut total = ComparedDay::default();
        self.days.values().for_each(|day| total += day);
        total
    }

    /// Whether the lake is not what it should be.
    pub fn found_something(&self) -> bool {
        self.days.values().any(ComparedDay::differs) || !self.not_pulled.is_empty()
    }

    /// What a repair has changed.
    pub fn ranges_to_verify_again(&self) -> RangeSet {
        let ranges = self.to_repair.iter().chain(self.to_pull.iter());
        ranges.collect()
    }

    /// What is to be said after a repair, `again` being the verifications of what it has changed. All that was missing
    /// is of those ranges; what is extra, altered or doubled elsewhere stays so.
    #[must_use]
    pub fn after_repair(mut self, again: Vec<Self>) -> Self {
        for verified in &again {
            for day in days(verified.range) {
                self.days.remove(&day);
            }
            for part in &mut self.unverified {
                part.ranges.remove(verified.range);
            }
        }
        if !again.is_empty() {
            self.days
                .values_mut()
                .for_each(|day| day.missing = Discrepancies::default());
            self.not_pulled.clear();
            self.notes.clear();
        }
        self.unverified.retain(|part| !part.ranges.is_empty());
        (self.to_repair, self.to_pull) = (RangeSet::default(), RangeSet::default());
        for verified in again {
            for (date, day) in &verified.days {
                *self.days.entry(*date).or_default() += day;
            }
            self.not_pulled.extend(verified.not_pulled);
            self.unverified.extend(verified.unverified);
            for (all, more) in [
                (&mut self.to_repair, verified.to_repair),
                (&mut self.to_pull, verified.to_pull),
            ] {
                more.iter().for_each(|range| all.insert(range));
            }
            self.notes.extend(verified.notes);
            self.unfinished |= verified.unfinished;
        }
        self.notes.sort();
        self.notes.dedup();
        self
    }

    /// Whether a part of the range could not be verified.
    pub fn is_partial(&self) -> bool {
        self.unfinished || !self.unverified.is_empty()
    }
}

/// Holds what the lake has of `range` against what the provider shows of it.
///
/// A stream or a file that can't be read leaves its part unverified; the rest goes on. The error is of what all of it
/// needs: the job's log, the provider's list of streams.
pub async fn verify(
    job: &Job,
    range: Range,
    conduct: &RunOptions,
) -> Result<Verification, RunError> {
    let span = tracing::info_span!("verify", job = job.name, %range);
    async {
        let mut verifier = Verifier::new(job, range, conduct).await?;
        let mut asked = 0;
        while asked < verifier.pieces.len() && !verifier.verification.unfinished {
            verifier.ask(asked).await?;
            // what is asked of a piece may show what belongs to the one before
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
    conduct: &'a RunOptions,
    /// When it began: what was landed later may be newer than what the provider was asked.
    began: Timestamp,
    range: Range,
    /// What is held against the lake at a time.
    pieces: Vec<Range>,
    streams: Vec<Stream>,
    /// What was pulled, by stream.
    pulled: BTreeMap<String, RangeSet>,
    /// What of the range was pulled of streams that the job no longer has.
    former: RangeSet,
    /// What of the range settle passes have still to read again.
    unsettled: RangeSet,
    /// What has been read again to its last page, by stream.
    read: BTreeMap<String, RangeSet>,
    narrowed: BTreeMap<String, TimeDelta>,
    slots: HashMap<usize, InFlight>,
    /// What the provider shows of pieces that are not compared yet.
    open: BTreeMap<usize, Comparison>,
    compared: usize,
    /// For a piece: others whose asking has shown events of it.
    shown_by: BTreeMap<usize, BTreeSet<usize>>,
    /// What the provider files elsewhere than under the time that it shows, and that is in no open piece.
    strays: Comparison,
    stray_days: BTreeSet<NaiveDate>,
    known_strays: HashSet<EventIdHash>,
    /// What counts as extra so far.
    extras: HashSet<EventIdHash>,
    /// The job's quarantine, once an unreadable record was met.
    quarantine: Option<HeldRecords>,
    /// The unreadable records that were met.
    unreadable: HeldRecords,
    /// In how many pieces running a stream got no answer; [`PATIENCE`] if it is left alone.
    silent: BTreeMap<String, u32>,
    /// Before what the provider gives nothing any more, by stream, as far as that is known.
    forgotten: BTreeMap<String, Timestamp>,
    tally: RunTotals,
    told_at: Instant,
    verification: Verification,
}

impl<'a> Verifier<'a> {
    #[expect(
        clippy::too_many_lines,
        reason = "it gathers what the comparison needs"
    )]
    async fn new(job: &'a Job, asked: Range, conduct: &'a RunOptions) -> Result<Self, RunError> {
        let began = Time::of(job, Clock::System).now();
        let newest = lake::newest(&job.lake, &job.log).await?;
        if let Some(newest) = &newest {
            job.refuse_if_moved(newest)?;
        }
        let streams = job.source.streams(&conduct.stop).await?;
        let horizon = job.policy.horizon(Time::of(job, conduct.clock).now());
        let mut verification = Verification {
            range: asked,
            days: BTreeMap::new(),
            not_pulled: BTreeMap::new(),
            before_start: BTreeMap::new(),
            too_new: Range::new(asked.from().max(horizon), asked.to()),
            unverified: Vec::new(),
            to_repair: RangeSet::default(),
            to_pull: RangeSet::default(),
            notes: Vec::new(),
            unfinished: false,
        };
        let due = Range::new(asked.from(), asked.to().min(horizon));
        let range = due.unwrap_or(asked);
        let progress = newest
            .as_ref()
            .map(|newest| newest.progress.clone())
            .unwrap_or_default();
        let mut pulled = BTreeMap::new();
        for stream in &streams {
            let coverage = progress.get(&stream.id).map(|of| of.coverage.clone());
            let coverage = coverage.unwrap_or_default();
            let lost = progress.get(&stream.id).map(|of| of.unobtainable.clone());
            let lost = lost.unwrap_or_default();
            let mut passed = coverage.clone();
            for lost in due.iter().flat_map(|due| Vec::from(lost.within(*due))) {
                passed.insert(lost);
                verification.notes.push(format!(
                    "`{lost}` of `{}` was never pulled and is lost: the provider refused it as too old",
                    stream.id
                ));
            }
            for missing in due.iter().flat_map(|due| Vec::from(passed.missing(*due))) {
                let (from, to, start) = (missing.from(), missing.to(), job.policy.start);
                for (part, list) in [
                    (
                        Range::new(from, to.min(start)),
                        &mut verification.before_start,
                    ),
                    (
                        Range::new(from.max(start), to),
                        &mut verification.not_pulled,
                    ),
                ] {
                    if let Some(part) = part {
                        list.entry(part).or_default().push(stream.id.clone());
                    }
                }
            }
            pulled.insert(stream.id.clone(), coverage);
        }
        let unsettled = (streams.iter())
            .filter_map(|stream| progress.get(&stream.id))
            .flat_map(|of| of.unsettled.values())
            .flat_map(|ranges| Vec::from(ranges.within(range)));
        let is_former = |id: &String| streams.iter().all(|stream| stream.id != *id);
        let former = progress.iter().filter(|(id, _)| is_former(id));
        let former = former.flat_map(|(_, of)| Vec::from(of.coverage.within(range)));
        verification
            .notes
            .extend(note_on_log(job, newest.as_ref()).await?);
        let pieces: Vec<Range> = due
            .into_iter()
            .flat_map(|due| plan::days_or_windows(due, &job.policy))
            .collect();
        let touches = |piece: &&Range| {
            let mut lacking = verification.not_pulled.keys();
            lacking.any(|range| range.intersection(piece).is_some())
        };
        verification.to_pull = pieces.iter().filter(touches).copied().collect();
        Ok(Self {
            pieces,
            narrowed: queue::narrowed(&streams, &progress),
            former: former.collect(),
            unsettled: unsettled.collect(),
            job,
            conduct,
            began,
            range,
            streams,
            pulled,
            read: BTreeMap::new(),
            slots: HashMap::new(),
            open: BTreeMap::new(),
            compared: 0,
            shown_by: BTreeMap::new(),
            strays: Comparison::default(),
            stray_days: BTreeSet::new(),
            known_strays: HashSet::new(),
            extras: HashSet::new(),
            quarantine: None,
            unreadable: HeldRecords::default(),
            silent: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            tally: RunTotals::default(),
            told_at: Instant::now(),
            verification,
        })
    }

    /// What the log says that explains what was found.
    fn end(mut self) -> Verification {
        let total = self.verification.total();
        if total.missing.count > 0 && !self.unsettled.is_empty() {
            self.verification.notes.push(
                "settle passes have still to read parts of the range again: what is missing may have come late, and be \
                 found by them"
                    .to_owned(),
            );
        }
        if total.unjudged > 0 && !self.former.is_empty() {
            self.verification.notes.push(
                "the job has also pulled streams that it no longer has: rows that the provider doesn't show may be of \
                 those, and don't count as extra"
                    .to_owned(),
            );
        }
        self.verification
    }

    /// Reads a piece from the provider: of each stream what was pulled. A range that can't be understood is passed over.
    async fn ask(&mut self, piece: usize) -> Result<(), RunError> {
        let of_piece = self.pieces[piece];
        let mut left: BTreeMap<String, RangeSet> = (self.pulled.iter())
            .map(|(stream, pulled)| (stream.clone(), pulled.within(of_piece)))
            .filter(|(_, ranges)| !ranges.is_empty())
            .collect();
        self.leave_forgotten(&mut left);
        left.retain(|stream, ranges| !self.is_left_alone(stream, ranges));
        while !left.is_empty() {
            let failures = self.read_again(&left, piece).await?;
            left.retain(|stream, left| {
                let read = self.read.get(stream);
                read.iter()
                    .flat_map(|read| read.iter())
                    .for_each(|read| left.remove(read));
                !left.is_empty()
            });
            self.leave_forgotten(&mut left);
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
                self.leave_unverified(Some(stream), unverified, error);
            }
            if self.verification.unfinished {
                break;
            }
            left.retain(|_, left| !left.is_empty());
        }
        self.look_strays_up(piece).await;
        Ok(())
    }

    /// What the provider no longer gives can't be verified.
    fn leave_forgotten(&mut self, left: &mut BTreeMap<String, RangeSet>) {
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
            self.leave_unverified(
                Some(stream.clone()),
                forgotten,
                RunError::Forgotten { oldest },
            );
        }
        left.retain(|_, left| !left.is_empty());
    }

    /// Whether a stream has failed in a way that is no better a day later; its ranges are then unverified too.
    fn is_left_alone(&mut self, stream: &str, ranges: &RangeSet) -> bool {
        let is_alone = (self.silent.get(stream)).is_some_and(|times| *times >= PATIENCE);
        let failed = (self.verification.unverified.iter_mut().rev())
            .find(|failed| is_alone && failed.stream.as_deref() == Some(stream));
        if let Some(failed) = failed {
            ranges.iter().for_each(|range| failed.ranges.insert(range));
        }
        is_alone
    }

    /// Reads these ranges from the provider, as far as they can be read.
    async fn read_again(
        &mut self,
        ranges: &BTreeMap<String, RangeSet>,
        piece: usize,
    ) -> Result<Vec<StreamFailure>, RunError> {
        let tasks = self.streams.iter().filter_map(|stream| {
            let ranges = ranges.get(&stream.id)?.clone();
            Some((stream.clone(), plan::look_again(ranges, &self.job.policy)))
        });
        let queue = Arc::new(WindowQueue::of(tasks.collect(), self.narrowed.clone()));
        let mut workers = Workers::spawn(
            &self.job.source.yielding(),
            self.job,
            &queue,
            self.conduct,
            ComparisonReader(Arc::clone(&self.job.source.adapter)),
            &CpuPool::new(self.conduct.at_a_time),
        );
        while let Some(event) = workers.next().await? {
            self.take(event, piece).await?;
        }
        let leftovers = queue.leftovers();
        self.verification.unfinished |= leftovers.unfinished;
        Ok(leftovers.failures)
    }

    /// What fails alike is told once.
    fn leave_unverified(&mut self, stream: Option<String>, ranges: RangeSet, error: RunError) {
        let said = crate::telemetry::error_chain(&error);
        let list = &mut self.verification.unverified;
        let alike = list.iter_mut().find(|have| {
            have.stream == stream && crate::telemetry::error_chain(&have.error) == said
        });
        match alike {
            Some(have) => ranges.iter().for_each(|range| have.ranges.insert(range)),
            None => list.push(Unverified {
                stream,
                ranges,
                error,
            }),
        }
    }

    async fn take(
        &mut self,
        arrival: WorkerEvent<ComparisonPage>,
        piece: usize,
    ) -> Result<(), RunError> {
        match arrival {
            WorkerEvent::Began(slot, window) => {
                self.unreadable.begin(slot);
                if let Some(quarantine) = &mut self.quarantine {
                    quarantine.begin(slot);
                }
                self.slots.insert(slot, window);
            }
            WorkerEvent::Page { slot, page, .. } => {
                let Some(window) = self.slots.remove(&slot) else {
                    return Ok(());
                };
                self.tally.counts.fetched += (page.events().len() + page.unreadable.len()) as u64;
                for event in page.events() {
                    self.shown(event, &window, piece);
                }
                for id in page.unreadable {
                    self.quarantined(slot, &window, &id, page.received_at, piece)
                        .await?;
                }
                self.slots.insert(slot, window);
            }
            WorkerEvent::Finished { slot, narrowed } => {
                let Some(window) = self.slots.remove(&slot) else {
                    return Ok(());
                };
                match narrowed {
                    Some(length) => self.narrowed.insert(window.stream.clone(), length),
                    None => self.narrowed.remove(&window.stream),
                };
                self.tally.windows += 1;
                self.tally.covered += window.range.length();
                if self.told_at.elapsed() >= TELL_EVERY {
                    self.told_at = Instant::now();
                    self.conduct.tally.send_replace(self.tally);
                }
                let read = self.read.entry(window.stream).or_default();
                read.insert(window.range);
            }
            WorkerEvent::TooOld(TooOld { stream, range, .. }) => {
                self.forgotten.insert(stream, range.to());
            }
            // a failed range is among the failures, too; an answer's time matters only to what counts as pulled
            WorkerEvent::Missed(_) | WorkerEvent::Answered(..) => {}
        }
        Ok(())
    }

    /// What lies within the bounds that were asked is owed if it was pulled; what lies outside of them always is: it
    /// waits for no range of its own.
    fn shown(&mut self, event: ProviderEvent<'_>, window: &InFlight, piece: usize) {
        let is_outside = !window.asked.contains(event.at);
        let owner = (self.pieces).partition_point(|piece| piece.to() <= event.at);
        if self.range.contains(event.at) && owner >= self.compared {
            let pulled = self.pulled.get(&window.stream);
            let is_pulled = pulled.is_some_and(|pulled| pulled.contains(event.at));
            let comparison = self.open.entry(owner).or_default();
            comparison.show(event, is_pulled || is_outside);
            if is_outside && owner != piece {
                self.shown_by.entry(owner).or_default().insert(piece);
            }
        } else if is_outside && self.known_strays.insert(EventIdHash::of(event.id)) {
            self.stray_days.insert(event.at.date_naive());
            self.strays.show(event, true);
        }
    }

    /// A record that can't be read should be in quarantine, if it was there to be pulled.
    async fn quarantined(
        &mut self,
        slot: usize,
        window: &InFlight,
        id: &str,
        received_at: Timestamp,
        piece: usize,
    ) -> Result<(), RunError> {
        if self.quarantine.is_none() {
            let mut held = HeldRecords::default();
            held.read(&self.job.lake, &self.job.log).await?;
            self.quarantine = Some(held);
        }
        let day = self
            .verification
            .days
            .entry(window.range.from().date_naive());
        let day = day.or_default();
        // it may be of any time that was asked for: if not all of that was pulled, of one that is still to come
        let may_be_of = Range::new(window.range.from(), window.asked.to());
        let is_owed = (self.pulled.get(&window.stream).zip(may_be_of))
            .is_some_and(|(pulled, may_be_of)| pulled.covers(may_be_of));
        if self.unreadable.adds(slot, window, id, received_at) {
            day.unreadable += 1;
        }
        if let Some(quarantine) = &mut self.quarantine
            && quarantine.adds(slot, window, id, received_at)
            && is_owed
        {
            day.missing.add(None, id);
            self.verification.to_repair.insert(self.pieces[piece]);
        }
        Ok(())
    }

    /// Reads a piece from the lake and holds it against what the provider has shown of it.
    async fn compare(&mut self, piece: usize) {
        let range = self.pieces[piece];
        let mut comparison = self.open.remove(&piece).unwrap_or_default();
        self.compared = piece + 1;
        let (read, former, streams) = (&self.read, &self.former, &self.streams);
        // a row doesn't tell its stream: it is extra only if all of them were read there
        let is_judged = |at: Timestamp| {
            !streams.is_empty()
                && !former.contains(at)
                && (streams.iter())
                    .all(|stream| read.get(&stream.id).is_some_and(|read| read.contains(at)))
        };
        let (began, adapter) = (self.began, &self.job.source.adapter);
        let reading = rows_of(self.job, days(range), |row| {
            if !range.contains(row.event_time) {
                return;
            }
            comparison.row(event_of(adapter.as_ref(), &row), || match row {
                row if row.ingested_at >= began => MissingRow::Landed,
                row if is_judged(row.event_time) => MissingRow::Extra,
                _ => MissingRow::Unjudged,
            });
        });
        if let Err(error) = reading.await {
            return self.leave_unverified(None, [range].into_iter().collect(), error);
        }
        let left = REMEMBERED.saturating_sub(self.extras.len());
        self.extras.extend(comparison.extras().take(left));
        let found = comparison.end();
        if found.values().any(|day| day.missing.count > 0) {
            let shown_by = self.shown_by.remove(&piece).unwrap_or_default();
            for piece in shown_by.into_iter().chain([piece]) {
                self.verification.to_repair.insert(self.pieces[piece]);
            }
        }
        for (date, day) in found {
            *self.verification.days.entry(date).or_default() += &day;
        }
    }

    /// What is filed elsewhere is looked for in its own day's partition. It doesn't count among that day's rows: the day
    /// needn't be of the range, or is counted already. What counted as extra is not.
    async fn look_strays_up(&mut self, piece: usize) {
        if self.strays.is_empty() {
            return;
        }
        let mut strays = std::mem::take(&mut self.strays);
        let stray_days = std::mem::take(&mut self.stray_days);
        let adapter = &self.job.source.adapter;
        let reading = rows_of(self.job, stray_days.into_iter(), |row| {
            if strays.shows(row.event_id) {
                strays.row(event_of(adapter.as_ref(), &row), || MissingRow::Landed);
            }
        });
        if let Err(error) = reading.await {
            let ranges = [self.pieces[piece]].into_iter().collect();
            return self.leave_unverified(None, ranges, error);
        }
        for (id, at) in strays.found() {
            if self.extras.remove(&EventIdHash::of(id)) {
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
                self.verification.to_repair.insert(self.pieces[piece]);
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

/// A row as an event to be compared.
fn event_of<'r>(adapter: &dyn Adapter, row: &StoredRow<'r>) -> ProviderEvent<'r> {
    ProviderEvent {
        id: row.event_id,
        at: row.event_time,
        content: identity::content(adapter, row.raw),
    }
}

/// Gives each row of the job in the partitions of these days to `take`.
async fn rows_of(
    job: &Job,
    days: impl Iterator<Item = NaiveDate> + Send,
    mut take: impl FnMut(StoredRow<'_>) + Send,
) -> Result<(), RunError> {
    let mut done = HashSet::new();
    for day in days {
        for folder in folders(job, day).await? {
            if !done.insert(folder.clone()) {
                continue; // partitions may be longer than days
            }
            for file in files_of(&job.lake, &job.log, &folder).await? {
                let store = Arc::clone(&job.lake.files);
                read_rows(store, &file.location, file.size, &mut take).await?;
            }
        }
    }
    Ok(())
}

/// The folders of the table that may hold the job's rows of a day. A record may name an account of its own, so all
/// accounts' folders count; within a day's folder, all hours'.
async fn folders(job: &Job, day: NaiveDate) -> Result<Vec<Path>, RunError> {
    let midnight = day.and_time(NaiveTime::MIN).and_utc();
    let mut folders = vec![job.lake.layout.table()];
    let mut columns = job.partition_by.as_slice();
    while let [rest @ .., PartitionColumn::EventHour] = columns {
        columns = rest;
    }
    for column in columns {
        let mut below = Vec::new();
        for folder in folders {
            match column {
                PartitionColumn::AccountId => {
                    let found = job.lake.store.list_with_delimiter(Some(&folder)).await;
                    let found = found.map_err(LakeError::at("list", &folder))?;
                    below.extend(found.common_prefixes);
                }
                PartitionColumn::EventHour => {
                    for hour in 0..24 {
                        let at = midnight + TimeDelta::hours(hour);
                        below.push(child(job, &folder, *column, at)?);
                    }
                }
                _ => below.push(child(job, &folder, *column, midnight)?),
            }
        }
        folders = below;
    }
    Ok(folders)
}

fn child(
    job: &Job,
    folder: &Path,
    column: PartitionColumn,
    at: Timestamp,
) -> Result<Path, RunError> {
    let name = partition_path(&[column], job.provider, &job.connection, "", at);
    let path = Path::parse(format!("{folder}/{name}"));
    Ok(path.map_err(|error| LakeError::Unreadable {
        key: name,
        reason: error.to_string(),
    })?)
}

/// What a reader should know of the log.
async fn note_on_log(job: &Job, newest: Option<&Commit>) -> Result<Option<String>, LakeError> {
    let Some(newest) = newest else {
        return Ok(Some(format!(
            "no run of this job has ever begun in the lake `{}`; is it the one that is meant?",
            job.lake.url()
        )));
    };
    let unpublished = lake::unpublished(&job.lake, newest).await?;
    Ok(note_on_unpublished(&unpublished))
}

fn note_on_unpublished(commits: &[Commit]) -> Option<String> {
    let (first, last) = (commits.first()?.version, commits.last()?.version);
    let which = if first == last {
        format!("commit {first} lists")
    } else {
        format!("commits {first} to {last} list")
    };
    Some(format!(
        "{which} files that were not published when this began: a run is at it, or has died; their rows count as \
         missing until the job's next run publishes them"
    ))
}

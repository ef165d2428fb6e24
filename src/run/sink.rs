//! Steps 3 to 5 of a run: what arrives is de-duplicated, appended to the open part of its partition, staged, committed
//! and published.
//!
//! All windows in flight share one landing. A commit is a cut through everything that has arrived: it lists every open
//! part and says of each window how far it is, so no cursor passes a record that no commit lists, and a record that two
//! windows show is landed by one of them and committed before either counts as pulled.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, PutPayload};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument;

use super::compute::CpuPool;
use super::decode::{DecodedPage, Decoder, RowKey};
use super::dedup::RunIds;
use super::error::RunError;
use super::job::{Job, RunMode};
use super::memory::RunShare;
use super::overlap::first_of;
use super::quarantine::RunQuarantine;
use super::queue::MissedRange;
use super::report::RunTotals;
use super::summary::SummaryBuilder;
use super::worker::{InFlight, TooOld, WorkerEvent};
use super::writers::FanoutWriter;
use crate::lake::{
    self, Commit, CommitChange, CommittedFile, JobLog, LakeError, OpenRange, Origin, Progress,
    Pulled, RecordCounts, Work,
};
use crate::metrics::CommitTotals;
use crate::model::{FailureKind, Range, Timestamp};
use crate::providers::Stream;
use crate::run::future;
use crate::run::plan;
use crate::table::{self, PartSpec};

/// How old the last commit gets while there is something to commit: what a crash may cost.
const COMMIT_EVERY: Duration = Duration::from_secs(30);
/// What the allocator takes beside what is counted: a third, as measured over row groups that come and go.
const ALLOCATOR: usize = 3;
/// How many parts are uploaded at a time.
const UPLOADS: usize = 4;

/// Where one run's pages land.
pub(super) struct Sink<'a> {
    job: &'a Job,
    log: &'a JobLog,
    ids: RunIds,
    quarantine: RunQuarantine,
    /// The streams that the job pulls.
    streams: Vec<String>,
    /// Every stream, as the next commit will say; windows in flight aside.
    progress: BTreeMap<String, Progress>,
    slots: BTreeMap<usize, WindowStats>,
    /// What happened before is not asked for, though the first window's bounds may show it.
    wanted_from: Timestamp,
    /// What windows that are no longer in flight have added since the last commit.
    pulled: Vec<Pulled>,
    decoder: Decoder,
    parts: FanoutWriter,
    running: RunShare,
    /// The next file's number.
    n: u64,
    committed_at: Instant,
    /// Since the last commit.
    windows: u64,
    covered: TimeDelta,
    told: watch::Sender<RunTotals>,
    tally: RunTotals,
    /// From where on the log was checked against others of its account.
    checked_from: Option<Timestamp>,
    /// What the run takes for now in planning.
    now: Timestamp,
    /// The range of a backfill.
    backfill: Option<Range>,
    /// Whether something that failed, or can't be had, is not committed yet.
    has_missed: bool,
}

/// What became of a record that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    /// It is in the open part of this date.
    New(NaiveDate),
    /// The lake has it, or the open part.
    Duplicate,
    /// It can't be a row; why.
    Refused(String),
}

/// A record that may land, if the lake lacks it.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    key: RowKey,
    /// Whether an earlier pull of its range did not see it.
    late: bool,
    /// Whether it lies outside the bounds that were asked.
    outside: bool,
}

/// A window in flight, and what it has added since the last commit.
struct WindowStats {
    window: InFlight,
    counts: RecordCounts,
    total: Option<u64>,
    /// What an operator should know.
    remarks: Vec<String>,
    /// The new rows by date, and the late ones by how late they were.
    days: BTreeMap<NaiveDate, u64>,
    delays: BTreeMap<u64, u64>,
}

impl WindowStats {
    fn new(window: InFlight) -> Self {
        Self {
            window,
            counts: RecordCounts::default(),
            total: None,
            remarks: Vec::new(),
            days: BTreeMap::new(),
            delays: BTreeMap::new(),
        }
    }

    fn remark(&mut self, text: String) {
        tracing::warn!(stream = self.window.stream, range = %self.window.range, "{text}");
        if !self.remarks.contains(&text) {
            self.remarks.push(text);
        }
    }

    fn has_something(&self) -> bool {
        self.counts != RecordCounts::default() || !self.remarks.is_empty()
    }

    /// What has been added since the last commit, also by a range that then fails or is begun again: what lies outside
    /// is no news to its next reading.
    fn pulled(&mut self, finished: bool) -> Pulled {
        if self.counts.outside > 0 {
            self.remark(format!(
                "{} new records lie outside the bounds that were asked",
                self.counts.outside
            ));
        }
        let (calls, retries) = self.window.calls.take();
        Pulled {
            stream: self.window.stream.clone(),
            range: self.window.range,
            work: self.window.work,
            finished,
            counts: std::mem::take(&mut self.counts),
            provider_total: self.total,
            remarks: std::mem::take(&mut self.remarks),
            days: std::mem::take(&mut self.days),
            delays: std::mem::take(&mut self.delays),
            calls,
            retries,
        }
    }
}

impl<'a> Sink<'a> {
    pub(super) async fn new(
        job: &'a Job,
        log: &'a JobLog,
        cores: CpuPool,
        told: watch::Sender<RunTotals>,
    ) -> Self {
        let newest = log.newest().await;
        let spec = PartSpec {
            partition_by: job.partition_by.clone(),
            job: job.log.clone(),
            run: log.run().id.to_string(),
        };
        Self {
            ids: RunIds::new(job.lake.clone(), &job.log, log.run().id, job.memory.clone()),
            quarantine: RunQuarantine::new(job.lake.clone(), &job.log),
            streams: newest.streams,
            progress: newest.progress,
            slots: BTreeMap::new(),
            wanted_from: job.policy.start,
            pulled: Vec::new(),
            decoder: Decoder::new(job),
            parts: FanoutWriter::new(spec, cores),
            n: 0,
            committed_at: Instant::now(),
            windows: 0,
            covered: TimeDelta::zero(),
            tally: RunTotals::default(),
            told,
            running: job.budget.run(),
            checked_from: newest.origin.and_then(|origin| origin.from),
            now: job.policy.start,
            backfill: None,
            has_missed: false,
            job,
            log,
        }
    }

    /// Where every stream stands.
    pub(super) fn progress(&self) -> &BTreeMap<String, Progress> {
        &self.progress
    }

    /// How the job's ranges are cut.
    pub(super) fn policy(&self) -> &plan::Policy {
        &self.job.policy
    }

    /// Takes out of it what lies beyond `now`, which a wrong clock wrote. Returns whether there was anything.
    pub(super) fn void(&mut self, now: Timestamp) -> bool {
        future::void(&mut self.progress, now, &self.job.policy)
    }

    /// What has been committed.
    pub(super) fn tally(&self) -> RunTotals {
        self.tally
    }

    /// Every stream has an entry from its first run on; a refetch is noted, so that repeating it goes on.
    pub(super) fn begin(&mut self, streams: &[Stream], lane: RunMode) {
        self.streams.clear();
        for stream in streams {
            self.progress.entry(stream.id.clone()).or_default();
            self.streams.push(stream.id.clone());
        }
        self.streams.sort();
        let first = first_of(self.job, &lane);
        self.checked_from = Some(self.checked_from.map_or(first, |from| from.min(first)));
        if let RunMode::Backfill { range, refetch, .. } = lane {
            self.wanted_from = self.wanted_from.min(range.from());
            self.backfill = Some(range);
            if refetch {
                plan::begin_refetch(&mut self.progress, streams, range);
            }
        }
    }

    /// The run plans as of this instant: what fails is tried again some time after it.
    pub(super) fn plans_at(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Takes what a worker brings.
    pub(super) async fn take(&mut self, arrival: WorkerEvent<DecodedPage>) -> Result<(), RunError> {
        match arrival {
            WorkerEvent::Began(slot, window) => {
                self.put_down(slot);
                // a place in a range that is begun anew, or in a larger one that it was halved from, is void
                let progress = self.progress.entry(window.stream.clone()).or_default();
                progress
                    .open
                    .retain(|open| open.range.intersection(&window.range).is_none());
                self.quarantine.begin(slot);
                self.slots.insert(slot, WindowStats::new(window));
            }
            WorkerEvent::Answered(slot, at) => {
                if let Some(slot) = self.slots.get_mut(&slot) {
                    slot.window.asked_at = at;
                }
            }
            WorkerEvent::Page {
                slot,
                page,
                total,
                remark,
                cursor,
                held: _held,
            } => {
                self.land(slot, page).await?;
                if let Some(of) = self.slots.get_mut(&slot) {
                    of.total = total.or(of.total);
                    of.window.cursor = cursor;
                    remark.into_iter().for_each(|remark| of.remark(remark));
                }
            }
            WorkerEvent::Finished { slot, narrowed } => {
                if let Some(mut slot) = self.slots.remove(&slot) {
                    let window = &slot.window;
                    let progress = self.progress.entry(window.stream.clone()).or_default();
                    let counts =
                        plan::finish(progress, window.range, window.asked_at, &self.job.policy);
                    progress.window = narrowed.map(|length| length.num_seconds().unsigned_abs());
                    if let Some(pulled) = counts {
                        self.windows += 1;
                        self.covered += pulled.length();
                        slot.window.range = pulled;
                    }
                    let pulled = slot.pulled(counts.is_some());
                    self.note(pulled);
                    self.tell();
                }
            }
            WorkerEvent::Missed(missed) => self.miss(&missed),
            WorkerEvent::TooOld(too_old) => self.pass_over(&too_old),
        }
        Ok(())
    }

    /// Notes that a range failed though its provider is alive.
    pub(super) fn miss(&mut self, missed: &MissedRange) {
        let MissedRange {
            stream,
            range,
            work,
            kind,
            error,
        } = missed;
        let progress = self.progress.entry(stream.clone()).or_default();
        plan::fail(progress, *range, *work, self.now, *kind, error);
        self.has_missed = true;
    }

    /// Notes that the provider gives nothing before the end of a range: of all that the run wants of that.
    fn pass_over(&mut self, too_old: &TooOld) {
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
        let progress = self.progress.entry(stream.clone()).or_default();
        self.has_missed = true;
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

    /// The slowest stream's watermark.
    pub(super) fn watermark(&self) -> Option<Timestamp> {
        let current = (self.progress.iter()).filter(|(stream, _)| self.streams.contains(stream));
        plan::watermark(current, &self.job.policy)
    }

    /// Tells whoever follows what is pulled, committed or not.
    fn tell(&self) {
        let mut pulled = self.tally;
        pulled.windows += self.windows;
        pulled.covered += self.covered;
        (self.pulled.iter()).for_each(|range| pulled.counts += range.counts);
        self.told.send_replace(pulled);
    }

    /// When the last commit is so old that what there is has to be committed.
    pub(super) fn deadline(&self) -> Instant {
        self.committed_at + COMMIT_EVERY
    }

    /// Whether the open parts are full.
    pub(super) fn is_full(&self) -> bool {
        let open = self.parts.bytes() + self.quarantine.bytes();
        let open = open + open / ALLOCATOR;
        let share = self.running.share(self.job.target_file_size);
        u64::try_from(open).is_ok_and(|open| open >= share)
    }

    /// Stages every open part and the quarantine, commits them with where every window stands, and publishes them.
    pub(super) async fn commit(&mut self, summary: &mut SummaryBuilder) -> Result<(), RunError> {
        self.committed_at = Instant::now();
        if self.has_something() {
            self.commit_all(None, false, summary).await?;
        }
        Ok(())
    }

    /// Makes the run's last commit. `plan` is set once a scheduled run has completed its plan: its "now", and this
    /// machine's clock at that time if that was wrong.
    pub(super) async fn finish(
        &mut self,
        plan: Option<(Timestamp, Option<Timestamp>)>,
        summary: &mut SummaryBuilder,
    ) -> Result<(), RunError> {
        if plan.is_some() || self.has_something() {
            self.commit_all(plan, true, summary).await?;
        }
        self.ids.leave();
        Ok(())
    }

    async fn commit_all(
        &mut self,
        plan: Option<(Timestamp, Option<Timestamp>)>,
        is_last: bool,
        summary: &mut SummaryBuilder,
    ) -> Result<(), RunError> {
        self.has_missed = false;
        let files = self.stage().await?;
        let mut pulled = std::mem::take(&mut self.pulled);
        let mut progress = self.progress.clone();
        for slot in self.slots.values_mut() {
            progress
                .entry(slot.window.stream.clone())
                .or_default()
                .open
                .extend(slot.window.unfinished());
            if slot.has_something() || is_last {
                pulled.push(slot.pulled(false));
            }
        }
        pulled.retain(says_something);
        let end = is_last.then(|| summary.end(&pulled));
        let change = CommitChange {
            origin: Some(Origin {
                from: self.checked_from,
                ..self.job.origin()
            }),
            streams: self.streams.clone(),
            pulled,
            files,
            progress,
            planned_at: plan.map(|(planned_at, _)| planned_at),
            planned_by: plan.and_then(|(_, planned_by)| planned_by),
            end,
        };
        let span = tracing::trace_span!("commit", files = change.files.len());
        let commit = self.log.commit(change).instrument(span).await?;
        self.ids.committed();
        summary.committed(&commit.pulled);

        let mut counts = RecordCounts::default();
        commit
            .pulled
            .iter()
            .for_each(|pulled| counts += pulled.counts);
        self.tally.counts += counts;
        self.tally.windows += std::mem::take(&mut self.windows);
        self.tally.covered += std::mem::take(&mut self.covered);
        self.tally.commits += 1;
        self.told.send_replace(self.tally);
        self.tell_metrics(&commit, counts);
        tracing::info!(
            version = commit.version,
            ranges = commit.pulled.len(),
            files = commit.files.len(),
            fetched = counts.fetched,
            new = counts.new,
            duplicate = counts.duplicate,
            quarantined = counts.quarantined,
            late = counts.late,
            "committed"
        );
        Ok(())
    }

    fn tell_metrics(&self, commit: &Commit, counts: RecordCounts) {
        let (metrics, policy) = (&self.job.metrics, &self.job.policy);
        metrics.committed(CommitTotals {
            new: counts.new,
            duplicate: counts.duplicate,
            quarantined: counts.quarantined,
            waiting: counts.waiting,
            late: counts.late,
            files: commit.files.len() as u64,
            bytes: commit.files.iter().map(|file| file.bytes).sum(),
        });
        let gaps = plan::gaps(commit, policy).count();
        metrics.stands(plan::watermark(commit.current(), policy), gaps);
    }

    /// Ranges of one stream that touch become one entry: the commit of a first load would list thousands.
    fn note(&mut self, pulled: Pulled) {
        let goes_on = |have: &&mut Pulled| {
            have.stream == pulled.stream
                && have.work == pulled.work
                && have.finished
                && (have.range.to() == pulled.range.from()
                    || pulled.range.to() == have.range.from())
        };
        let Some(have) = self.pulled.iter_mut().find(goes_on) else {
            return self.pulled.push(pulled);
        };
        have.range = have.range.hull(&pulled.range);
        have.counts += pulled.counts;
        have.calls += pulled.calls;
        have.retries += pulled.retries;
        add(&mut have.days, pulled.days);
        add(&mut have.delays, pulled.delays);
        have.remarks.extend(pulled.remarks);
        have.remarks.sort();
        have.remarks.dedup();
        have.provider_total = have
            .provider_total
            .zip(pulled.provider_total)
            .map(|(a, b)| a + b);
    }

    fn has_something(&self) -> bool {
        self.has_missed
            || self.pulled.iter().any(is_worth_a_commit)
            || self.slots.values().any(WindowStats::has_something)
    }

    /// A window that is no longer pulled: what it added is kept, and where it stood, so that the next run goes on.
    fn put_down(&mut self, slot: usize) {
        let Some(mut slot) = self.slots.remove(&slot) else {
            return;
        };
        let progress = self.progress.entry(slot.window.stream.clone()).or_default();
        progress.open.extend(slot.window.unfinished());
        let pulled = slot.pulled(false);
        if says_something(&pulled) {
            self.pulled.push(pulled);
        }
    }

    /// Lands a page: what its window may land, and the lake lacks, goes to the open parts.
    async fn land(&mut self, slot: usize, page: DecodedPage) -> Result<(), RunError> {
        let Some(mut of) = self.slots.remove(&slot) else {
            return Ok(());
        };
        of.counts.fetched += (page.keys.len() + page.refused.len()) as u64;
        for refused in &page.refused {
            let is_new = (self.quarantine)
                .take(slot, &of.window, refused, page.received_at)
                .await?;
            if is_new {
                of.counts.quarantined += 1;
            } else {
                of.counts.duplicate += 1;
            }
        }
        for (number, partition) in page.partitions.iter().enumerate() {
            let of_this =
                |(row, key): (u32, &RowKey)| (key.partition == number).then_some((row, *key));
            let lands: Vec<(u32, Candidate)> = (0..)
                .zip(&page.keys)
                .filter_map(of_this)
                .filter_map(|(row, key)| Some((row, self.may_land(&mut of, key)?)))
                .collect();
            let late = |lands: &Candidate| {
                (lands.late).then(|| (page.received_at - lands.key.event_time).num_milliseconds())
            };
            let mut new = Vec::with_capacity(lands.len());
            if !lands.is_empty() {
                let ids = self.ids.of(partition).await?;
                new.extend(lands.iter().filter(|(_, lands)| ids.take(lands.key.id)));
            }
            of.counts.duplicate += (lands.len() - new.len()) as u64;
            of.counts.new += new.len() as u64;
            of.counts.late += new.iter().filter(|(_, lands)| lands.late).count() as u64;
            count_days(
                &mut of.days,
                new.iter().map(|(_, lands)| lands.key.event_time),
            );
            for late in new.iter().filter_map(|(_, lands)| late(lands)) {
                *of.delays.entry(lake::delay(late)).or_default() += 1;
            }
            of.counts.outside += new.iter().filter(|(_, lands)| lands.outside).count() as u64;
            let rows: Vec<_> = new.iter().map(|(row, lands)| (*row, late(lands))).collect();
            self.append(partition, &page, &rows).await?;
        }
        self.slots.insert(slot, of);
        Ok(())
    }

    /// Whether a record may land now, or waits for its own range.
    fn may_land(&self, of: &mut WindowStats, key: RowKey) -> Option<Candidate> {
        let (window, at) = (&of.window, key.event_time);
        let outside = !window.asked.contains(at);
        let progress = self.progress.get(&window.stream);
        let late = progress.is_some_and(|progress| progress.coverage.contains(at));
        let never = progress.is_some_and(|progress| progress.unobtainable.contains(at));
        // what lies before the range, or in a range that was pulled, isn't waited for: whoever files a record a moment
        // after the time that it shows doesn't show it to that time's own range
        let to_come = at >= window.range.to() || at < self.wanted_from;
        if to_come && !late && !never && !outside {
            of.counts.waiting += 1;
            return None;
        }
        Some(Candidate { key, late, outside })
    }

    /// Appends some of a page's rows to the open part of their partition.
    async fn append(
        &mut self,
        partition: &str,
        page: &DecodedPage,
        rows: &[(u32, Option<i64>)],
    ) -> Result<(), RunError> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows = table::pick(&page.rows, rows)?;
        self.parts.push(partition, rows).await
    }

    /// Lands a record that was in quarantine: the `number`th of those equal to it, where records have no ids. It wasn't
    /// late: an earlier pull did see it. What is refused can still not be read, and nothing has become of it.
    pub(super) async fn land_again(
        &mut self,
        raw: &str,
        number: usize,
        pulled_at: Timestamp,
    ) -> Result<WriteOutcome, RunError> {
        let page = self.decoder.again(raw, number, pulled_at)?;
        if let Some(refused) = page.refused.into_iter().next() {
            return Ok(WriteOutcome::Refused(refused.reason));
        }
        let mut day = pulled_at.date_naive(); // whatever: there is a row
        for (key, partition) in page.keys.iter().zip(&page.partitions) {
            day = key.event_time.date_naive();
            if !self.ids.of(partition).await?.take(key.id) {
                return Ok(WriteOutcome::Duplicate);
            }
            let row = table::pick(&page.rows, &[(0, None)])?;
            self.parts.push(partition, row).await?;
        }
        Ok(WriteOutcome::New(day))
    }

    /// What was done under a claim beside pulling; the next commit says so.
    pub(super) fn note_all(&mut self, pulled: impl IntoIterator<Item = Pulled>) {
        self.pulled.extend(pulled);
    }

    /// Every open part and the quarantine, under keys that are this run's alone.
    async fn stage(&mut self) -> Result<Vec<CommittedFile>, RunError> {
        let run = self.log.run().id;
        let keys = self.job.lake.layout.job(&self.job.log);
        let mut staged = Vec::new();
        for (partition, part) in self.parts.finish().await? {
            let key = self
                .job
                .lake
                .layout
                .published(&partition, &self.job.log, run, self.n);
            let key = key.map_err(|error| LakeError::Unreadable {
                key: partition,
                reason: error.to_string(),
            })?;
            staged.push((self.n, key, part.rows, part.payload));
            self.n += 1;
        }
        if let Some((lines, count)) = self.quarantine.flush() {
            staged.push((
                self.n,
                keys.quarantined(run, self.n),
                count,
                PutPayload::from(lines),
            ));
            self.n += 1;
        }
        let lake = &self.job.lake;
        stream::iter(staged)
            .map(|(n, key, rows, payload)| {
                let staged = keys.staged(run, n);
                async move {
                    let bytes = payload.content_length() as u64;
                    lake.files
                        .put(&staged, payload)
                        .await
                        .map_err(LakeError::at("write", &staged))?;
                    Ok(CommittedFile {
                        staged: staged.to_string(),
                        key: key.to_string(),
                        rows,
                        bytes,
                    })
                }
            })
            .buffered(UPLOADS)
            .try_collect()
            .await
    }
}

/// Whether there is a reason to commit it now: requests alone are none.
fn is_worth_a_commit(pulled: &Pulled) -> bool {
    pulled.finished || pulled.counts != RecordCounts::default() || !pulled.remarks.is_empty()
}

fn says_something(pulled: &Pulled) -> bool {
    is_worth_a_commit(pulled) || pulled.calls > 0
}

/// Counts times by their UTC date; most of a page are of the same.
fn count_days(days: &mut BTreeMap<NaiveDate, u64>, times: impl Iterator<Item = Timestamp>) {
    const DAY_MICROS: i64 = 86_400_000_000;
    let mut run: Option<(i64, Timestamp, u64)> = None;
    let mut note = |run: Option<(i64, Timestamp, u64)>| {
        if let Some((_, at, rows)) = run {
            *days.entry(at.date_naive()).or_default() += rows;
        }
    };
    for at in times {
        let day = at.timestamp_micros().div_euclid(DAY_MICROS);
        match &mut run {
            Some((of, _, rows)) if *of == day => *rows += 1,
            _ => note(run.replace((day, at, 1))),
        }
    }
    note(run);
}

fn add<K: Ord>(sums: &mut BTreeMap<K, u64>, more: BTreeMap<K, u64>) {
    for (key, rows) in more {
        *sums.entry(key).or_default() += rows;
    }
}

impl InFlight {
    /// Where to go on, if its provider has a place to go on from.
    fn unfinished(&self) -> Option<OpenRange> {
        Some(OpenRange {
            range: self.range,
            work: self.work,
            asked_at: self.asked_at,
            cursor: self.cursor.clone()?,
        })
    }
}

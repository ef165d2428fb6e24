//! Steps 3 to 5 of a run: what arrives is de-duplicated, appended to the open part of its partition, staged, committed
//! and published.
//!
//! All windows in flight share one landing. A commit is a cut through everything that has arrived: it lists every open
//! part and says of each window how far it is, so no cursor passes a record that no commit lists, and a record that two
//! windows show is landed by one of them and committed before either counts as pulled.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, PutPayload};
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::RunError;
use super::identity::{self, Twins};
use super::ids::Ids;
use super::pull::{Arrival, InFlight};
use super::quarantine::Quarantine;
use super::{Job, Lane, Tally};
use crate::lake::{Change, CommittedFile, Counts, JobLog, LakeError, Open, Progress, Pulled};
use crate::model::{Record, Timestamp};
use crate::plan;
use crate::providers::{Page, Stream};
use crate::table::{EventIdHash, Part, PartSpec, RowContext, RowError, partition_path};

/// How old the last commit gets while there is something to commit: what a crash may cost.
const COMMIT_EVERY: Duration = Duration::from_secs(30);
/// How many records are decoded at a time: they borrow from the page, their rows don't.
const AT_A_TIME: usize = 1_000;
/// How many parts are uploaded at a time.
const UPLOADS: usize = 4;

/// Where one run's pages land.
pub(super) struct Landing<'a> {
    job: &'a Job,
    log: &'a JobLog,
    ids: Ids,
    quarantine: Quarantine,
    /// The streams that the job pulls.
    streams: Vec<String>,
    /// Every stream, as the next commit will say; windows in flight aside.
    progress: BTreeMap<String, Progress>,
    slots: BTreeMap<usize, Slot>,
    /// What happened before is not asked for, though the first window's bounds may show it.
    wanted_from: Timestamp,
    /// What windows that are no longer in flight have added since the last commit.
    pulled: Vec<Pulled>,
    parts: HashMap<String, Part>,
    /// The next file's number.
    n: u64,
    committed_at: Instant,
    /// Since the last commit.
    windows: u64,
    covered: TimeDelta,
    told: watch::Sender<Tally>,
    tally: Tally,
    /// Whether nothing lands any more.
    is_last: bool,
}

/// What became of a record that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Put {
    /// It is in the open part.
    New,
    /// The lake has it, or the open part.
    Duplicate,
    /// It can't be a row; why.
    Refused(String),
}

/// A window in flight, and what it has added since the last commit.
struct Slot {
    window: InFlight,
    counts: Counts,
    total: Option<u64>,
    /// What an operator should know.
    remarks: Vec<String>,
    /// Of the records without id in the present answer.
    twins: Twins,
}

impl Slot {
    fn new(window: InFlight) -> Self {
        Self {
            window,
            counts: Counts::default(),
            total: None,
            remarks: Vec::new(),
            twins: Twins::new(),
        }
    }

    fn remark(&mut self, text: String) {
        tracing::warn!(stream = self.window.stream, range = %self.window.range, "{text}");
        if !self.remarks.contains(&text) {
            self.remarks.push(text);
        }
    }

    fn has_something(&self) -> bool {
        self.counts != Counts::default() || !self.remarks.is_empty()
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
        Pulled {
            stream: self.window.stream.clone(),
            range: self.window.range,
            work: self.window.work,
            finished,
            counts: std::mem::take(&mut self.counts),
            provider_total: self.total,
            remarks: std::mem::take(&mut self.remarks),
        }
    }
}

impl<'a> Landing<'a> {
    pub(super) async fn new(job: &'a Job, log: &'a JobLog, told: watch::Sender<Tally>) -> Self {
        let newest = log.newest().await;
        Self {
            ids: Ids::new(
                job.lake.clone(),
                &job.name,
                log.run().id,
                job.memory.clone(),
            ),
            quarantine: Quarantine::new(job.lake.clone(), &job.name),
            streams: newest.streams,
            progress: newest.progress,
            slots: BTreeMap::new(),
            wanted_from: job.policy.start,
            pulled: Vec::new(),
            parts: HashMap::new(),
            n: 0,
            committed_at: Instant::now(),
            windows: 0,
            covered: TimeDelta::zero(),
            tally: Tally::default(),
            told,
            is_last: false,
            job,
            log,
        }
    }

    /// Where every stream stands.
    pub(super) fn progress(&self) -> &BTreeMap<String, Progress> {
        &self.progress
    }

    /// What has been committed.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Every stream has an entry from its first run on; a refetch is noted, so that repeating it goes on.
    pub(super) fn begin(&mut self, streams: &[Stream], lane: Lane) {
        self.streams.clear();
        for stream in streams {
            self.progress.entry(stream.id.clone()).or_default();
            self.streams.push(stream.id.clone());
        }
        self.streams.sort();
        if let Lane::Backfill { range, refetch, .. } = lane {
            self.wanted_from = self.wanted_from.min(range.from());
            if refetch {
                plan::begin_refetch(&mut self.progress, streams, range);
            }
        }
    }

    /// Takes what a worker brings.
    pub(super) async fn take(&mut self, arrival: Arrival) -> Result<(), RunError> {
        match arrival {
            Arrival::Began(slot, window) => {
                self.put_down(slot);
                // a place in a range that is begun anew, or in a larger one that it was halved from, is void
                let progress = self.progress.entry(window.stream.clone()).or_default();
                progress
                    .open
                    .retain(|open| open.range.intersection(&window.range).is_none());
                self.quarantine.begin(slot);
                self.slots.insert(slot, Slot::new(window));
            }
            Arrival::Page {
                slot,
                page,
                ids,
                begins,
                received_at,
            } => {
                if begins && let Some(slot) = self.slots.get_mut(&slot) {
                    slot.twins.clear();
                }
                self.land(slot, &page, &ids, received_at).await?;
            }
            Arrival::Finished { slot, narrowed } => {
                if let Some(mut slot) = self.slots.remove(&slot) {
                    let window = &slot.window;
                    let progress = self.progress.entry(window.stream.clone()).or_default();
                    plan::finish(progress, window.range, window.asked_at, &self.job.policy);
                    progress.window = narrowed.map(|length| length.num_seconds().unsigned_abs());
                    self.windows += 1;
                    self.covered += window.range.length();
                    let pulled = slot.pulled(true);
                    self.note(pulled);
                }
            }
        }
        Ok(())
    }

    /// When the last commit is so old that what there is has to be committed.
    pub(super) fn deadline(&self) -> Instant {
        self.committed_at + COMMIT_EVERY
    }

    /// Whether the open parts are full.
    pub(super) fn is_full(&self) -> bool {
        let open = self.parts.values().map(Part::bytes).sum::<usize>() + self.quarantine.bytes();
        u64::try_from(open).is_ok_and(|open| open >= self.job.target_file_size)
    }

    /// Stages every open part and the quarantine, commits them with where every window stands, and publishes them.
    pub(super) async fn commit(&mut self, planned_at: Option<Timestamp>) -> Result<(), RunError> {
        self.committed_at = Instant::now();
        if !self.has_something(planned_at) {
            return Ok(());
        }
        let files = self.stage().await?;
        let mut pulled = std::mem::take(&mut self.pulled);
        let mut progress = self.progress.clone();
        for slot in self.slots.values_mut() {
            progress
                .entry(slot.window.stream.clone())
                .or_default()
                .open
                .extend(slot.window.unfinished());
            if slot.has_something() {
                pulled.push(slot.pulled(false));
            }
        }
        let change = Change {
            origin: Some(self.job.origin()),
            streams: self.streams.clone(),
            pulled,
            files,
            progress,
            planned_at,
            is_last: self.is_last,
        };
        let commit = self.log.commit(change).await?;
        self.ids.committed();

        let mut counts = Counts::default();
        commit
            .pulled
            .iter()
            .for_each(|pulled| counts += pulled.counts);
        self.tally.counts += counts;
        self.tally.windows += std::mem::take(&mut self.windows);
        self.tally.covered += std::mem::take(&mut self.covered);
        self.tally.commits += 1;
        self.told.send_replace(self.tally);
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

    /// The run's last commit.
    pub(super) async fn finish(&mut self, planned_at: Option<Timestamp>) -> Result<(), RunError> {
        self.is_last = true;
        self.commit(planned_at).await?;
        self.ids.leave();
        Ok(())
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
        have.remarks.extend(pulled.remarks);
        have.remarks.sort();
        have.remarks.dedup();
        have.provider_total = have
            .provider_total
            .zip(pulled.provider_total)
            .map(|(a, b)| a + b);
    }

    fn has_something(&self, planned_at: Option<Timestamp>) -> bool {
        planned_at.is_some()
            || !self.pulled.is_empty()
            || self.slots.values().any(Slot::has_something)
    }

    /// A window that is no longer pulled: what it added is kept, and where it stood, so that the next run goes on.
    fn put_down(&mut self, slot: usize) {
        let Some(mut slot) = self.slots.remove(&slot) else {
            return;
        };
        let progress = self.progress.entry(slot.window.stream.clone()).or_default();
        progress.open.extend(slot.window.unfinished());
        if slot.has_something() {
            self.pulled.push(slot.pulled(false));
        }
    }

    /// Lands a page, some records at a time.
    async fn land(
        &mut self,
        slot: usize,
        page: &Page,
        ids: &[Option<String>],
        received_at: Timestamp,
    ) -> Result<(), RunError> {
        let Some(mut of) = self.slots.remove(&slot) else {
            return Ok(());
        };
        let mut ids = ids.iter();
        for spans in page.records.chunks(AT_A_TIME) {
            let mut records = Vec::with_capacity(spans.len());
            for span in spans {
                of.counts.fetched += 1;
                let id = ids.next().and_then(Option::as_deref);
                let adapter = self.job.source.adapter.as_ref();
                match identity::read(adapter, &page.text[span.clone()], id, &mut of.twins) {
                    Ok(record) => records.push((span, record)),
                    Err(reason) => {
                        of.counts.quarantined += 1;
                        self.quarantine
                            .take(slot, &of.window, &page.text, span, reason, received_at)
                            .await?;
                    }
                }
            }
            for (span, record) in records {
                let raw = &page.text[span.clone()];
                if let Err(reason) = self.append(&mut of, &record, raw, received_at).await? {
                    of.counts.quarantined += 1;
                    self.quarantine
                        .take(slot, &of.window, &page.text, span, reason, received_at)
                        .await?;
                }
            }
        }
        of.total = page.total.or(of.total);
        if let Some(remark) = &page.remark {
            of.remark(remark.clone());
        }
        of.window.cursor = page.next.clone().filter(|_| page.resumable);
        self.slots.insert(slot, of);
        Ok(())
    }

    /// Appends a record to the open part of its partition, unless the lake has it or it waits for its own range. The
    /// inner error is why it can't be a row.
    async fn append(
        &mut self,
        of: &mut Slot,
        record: &Record<'_>,
        raw: &str,
        ingested_at: Timestamp,
    ) -> Result<Result<(), String>, RunError> {
        let window = &of.window;
        let at = record.event_time;
        let outside = !window.asked.contains(at);
        let covered = (self.progress.get(&window.stream))
            .is_some_and(|progress| progress.coverage.contains(at));
        // what lies before the range, or in a range that was pulled, isn't waited for: whoever files a record a moment
        // after the time that it shows doesn't show it to that time's own range
        let to_come = at >= window.range.to() || at < self.wanted_from;
        if to_come && !covered && !outside {
            of.counts.waiting += 1;
            return Ok(Ok(()));
        }
        let late_by_ms = covered.then(|| (ingested_at - at).num_milliseconds());
        match self.put(record, raw, ingested_at, late_by_ms).await? {
            Put::Duplicate => of.counts.duplicate += 1,
            Put::Refused(reason) => return Ok(Err(reason)),
            Put::New => {
                of.counts.new += 1;
                of.counts.late += u64::from(covered);
                of.counts.outside += u64::from(outside);
            }
        }
        Ok(Ok(()))
    }

    /// Appends a record to the open part of its partition, unless the lake has it.
    async fn put(
        &mut self,
        record: &Record<'_>,
        raw: &str,
        ingested_at: Timestamp,
        late_by_ms: Option<i64>,
    ) -> Result<Put, RunError> {
        let job = self.job;
        let context = RowContext {
            provider: job.provider,
            connection: &job.connection,
            account_id: &job.account_id,
            job: &job.name,
            ingested_at,
        };
        let partition = partition_path(
            &job.partition_by,
            job.provider,
            &job.connection,
            context.account_id(record),
            record.event_time,
        );
        let ids = self.ids.of(&partition).await?;
        let id = EventIdHash::of(&record.event_id);
        if !ids.take(id) {
            return Ok(Put::Duplicate);
        }
        let run = self.log.run().id;
        let part = self.parts.entry(partition).or_insert_with(|| {
            Part::new(PartSpec {
                partition_by: job.partition_by.clone(),
                job: job.name.clone(),
                run: run.to_string(),
            })
        });
        match part.push(record, &context, raw, late_by_ms) {
            Ok(()) => Ok(Put::New),
            Err(error @ RowError::TooLarge { .. }) => {
                ids.forget(id); // neither the lake nor the part has it
                Ok(Put::Refused(error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Lands a record that was in quarantine: the `number`th of those equal to it, where records have no ids. It wasn't
    /// late: an earlier pull did see it. What is refused can still not be read, and nothing has become of it.
    pub(super) async fn land_again(
        &mut self,
        raw: &str,
        number: usize,
        pulled_at: Timestamp,
    ) -> Result<Put, RunError> {
        match identity::read_again(self.job.source.adapter.as_ref(), raw, number) {
            Ok(record) => self.put(&record, raw, pulled_at, None).await,
            Err(reason) => Ok(Put::Refused(reason)),
        }
    }

    /// What was done under a claim beside pulling; the next commit says so.
    pub(super) fn note_all(&mut self, pulled: impl IntoIterator<Item = Pulled>) {
        self.pulled.extend(pulled);
    }

    /// Every open part and the quarantine, under keys that are this run's alone.
    async fn stage(&mut self) -> Result<Vec<CommittedFile>, RunError> {
        let run = self.log.run().id;
        let keys = self.job.lake.layout.job(&self.job.name);
        let mut staged = Vec::new();
        for (partition, part) in std::mem::take(&mut self.parts) {
            let Some(part) = part.finish()? else { continue };
            let key = self
                .job
                .lake
                .layout
                .published(&partition, &self.job.name, run, self.n);
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

impl InFlight {
    /// Where to go on, if its provider has a place to go on from.
    fn unfinished(&self) -> Option<Open> {
        Some(Open {
            range: self.range,
            work: self.work,
            asked_at: self.asked_at,
            cursor: self.cursor.clone()?,
        })
    }
}

//! The sink of a run: writes new rows of the workers' pages to open Parquet files, and commits these.
//!
//! All windows in flight share the sink. A commit is a consistent snapshot of everything that has arrived: it lists every open
//! part and the progress of each window. Therefore no cursor passes a record that no commit lists, and a record that
//! occurs in two windows is written once and committed before either window counts as pulled.

use std::time::Duration;

use chrono::NaiveDate;
use tokio::sync::watch;
use tokio::time::Instant;

use super::commit::Committer;
use super::compute::CpuPool;
use super::decode::{DecodedPage, Decoder};
use super::dedup::RunIds;
use super::error::RunError;
use super::event::WorkerEvent;
use super::job::Job;
use super::memory::RunShare;
use super::progress::ProgressTracker;
use super::quarantine::RunQuarantine;
use super::report::RunTotals;
use super::summary::SummaryBuilder;
use super::time::CompletedPlan;
use super::window::{Candidate, Windows};
use super::writers::FanoutWriter;
use crate::lake::{CommitChange, JobLog, Pulled};
use crate::model::Timestamp;
use crate::table::{self, PartSpec};

/// The maximum age of the last commit while there is something to commit, which bounds the work lost in a crash.
const COMMIT_EVERY: Duration = Duration::from_secs(30);
/// The allocator's overhead is one part in this many of the counted bytes, as measured with row groups of changing
/// sizes.
const ALLOCATOR_SHARE: usize = 3;

/// Writes the pages of one run.
pub(super) struct Sink<'a> {
    job: &'a Job,
    pub(super) progress: ProgressTracker<'a>,
    windows: Windows,
    ids: RunIds,
    quarantine: RunQuarantine,
    decoder: Decoder,
    writer: FanoutWriter,
    running: RunShare,
    committer: Committer<'a>,
    committed_at: Instant,
}

/// The outcome of a record that can be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    /// It was written to the open part of this date.
    New(NaiveDate),
    /// The lake or an open part has it already.
    Duplicate,
    /// It can't become a row, for this reason.
    Refused(String),
}

impl<'a> Sink<'a> {
    pub(super) fn new(
        job: &'a Job,
        log: &'a JobLog,
        progress: ProgressTracker<'a>,
        cpu: CpuPool,
        observer: watch::Sender<RunTotals>,
    ) -> Self {
        let run = log.run().id;
        let spec = PartSpec {
            partition_by: job.partition_by.clone(),
            job: job.log.clone(),
            run: run.to_string(),
        };
        Self {
            progress,
            windows: Windows::default(),
            ids: RunIds::new(job.lake.clone(), &job.log, run, job.memory.clone()),
            quarantine: RunQuarantine::new(job.lake.clone(), &job.log),
            decoder: Decoder::new(job),
            writer: FanoutWriter::new(spec, cpu),
            running: job.budget.run(),
            committer: Committer::new(job, log, observer),
            committed_at: Instant::now(),
            job,
        }
    }

    /// The committed totals.
    pub(super) fn totals(&self) -> RunTotals {
        self.committer.totals()
    }

    /// Handles an event of a worker.
    pub(super) async fn handle(&mut self, event: WorkerEvent<DecodedPage>) -> Result<(), RunError> {
        match event {
            WorkerEvent::Began(slot, window) => {
                if let Some(before) = self.windows.remove(slot) {
                    self.progress.leave_open(&before.in_flight);
                    self.windows.put_down(before);
                }
                self.progress.begin_window(&window);
                self.quarantine.begin(slot);
                self.windows.begin(slot, window);
            }
            WorkerEvent::Answered(slot, at) => {
                if let Some(window) = self.windows.get_mut(slot) {
                    window.in_flight.as_of = at;
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
                self.write(slot, page).await?;
                if let Some(window) = self.windows.get_mut(slot) {
                    window.total = total.or(window.total);
                    window.in_flight.cursor = cursor;
                    remark.into_iter().for_each(|remark| window.remark(remark));
                }
            }
            WorkerEvent::Finished { slot, narrowed } => {
                if let Some(window) = self.windows.remove(slot) {
                    let covered = self.progress.finish_window(&window.in_flight, narrowed);
                    self.windows.finish(window, covered);
                    self.committer.report(self.windows.uncommitted());
                }
            }
            WorkerEvent::Failed(range) => self.progress.note_failure(&range),
            WorkerEvent::TooOld(too_old) => self.progress.pass_over(&too_old),
        }
        Ok(())
    }

    /// Writes the rows of a page that belong to its window and aren't in the lake to the open parts.
    async fn write(&mut self, slot: usize, page: DecodedPage) -> Result<(), RunError> {
        let Some(of) = self.windows.get_mut(slot) else {
            return Ok(());
        };
        of.counts.fetched += (page.keys.len() + page.refused.len()) as u64;
        for refused in &page.refused {
            let is_new = (self.quarantine)
                .record(slot, &of.in_flight, refused, page.received_at)
                .await?;
            if is_new {
                of.counts.quarantined += 1;
            } else {
                of.counts.duplicate += 1;
            }
        }
        for (number, partition) in page.partitions.iter().enumerate() {
            let mut rows: Vec<Candidate> = Vec::new();
            for (row, &key) in (0..).zip(&page.keys) {
                if key.partition != number {
                    continue;
                }
                match self.progress.admits(&of.in_flight, key.event_time) {
                    Some(admission) => rows.push(Candidate {
                        row,
                        key,
                        admission,
                    }),
                    None => of.counts.waiting += 1,
                }
            }
            if rows.is_empty() {
                continue;
            }
            let candidates = rows.len();
            let ids = self.ids.of(partition).await?;
            rows.retain(|row| ids.insert(row.key.id));
            of.counts.duplicate += (candidates - rows.len()) as u64;
            of.count_new(&rows, page.received_at);
            if !rows.is_empty() {
                let rows: Vec<_> = (rows.iter())
                    .map(|row| (row.row, row.delay(page.received_at)))
                    .collect();
                let rows = table::pick(&page.rows, &rows)?;
                self.writer.push(partition, rows).await?;
            }
        }
        Ok(())
    }

    /// Lands a quarantined record. `number` counts equal records, if records have no ids. It doesn't count as late, as
    /// an earlier pull has seen it. A refused record still can't be parsed and stays as it was.
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
        let mut day = pulled_at.date_naive(); // always replaced, as there is a row
        for (key, partition) in page.keys.iter().zip(&page.partitions) {
            day = key.event_time.date_naive();
            if !self.ids.of(partition).await?.insert(key.id) {
                return Ok(WriteOutcome::Duplicate);
            }
            let row = table::pick(&page.rows, &[(0, None)])?;
            self.writer.push(partition, row).await?;
        }
        Ok(WriteOutcome::New(day))
    }

    /// Records work done under the claim other than pulling, for the next commit.
    pub(super) fn note_all(&mut self, pulled: impl IntoIterator<Item = Pulled>) {
        self.windows.add_all(pulled);
    }

    /// Returns when the last commit is so old that pending work has to be committed.
    pub(super) fn deadline(&self) -> Instant {
        self.committed_at + COMMIT_EVERY
    }

    /// Returns whether the open parts are full.
    pub(super) fn is_full(&self) -> bool {
        let open = self.writer.bytes() + self.quarantine.bytes();
        let open = open + open / ALLOCATOR_SHARE;
        let share = self.running.share(self.job.target_file_size);
        u64::try_from(open).is_ok_and(|open| open >= share)
    }

    /// Commits every open part and the quarantine with the progress of every window, if there is anything to commit.
    pub(super) async fn commit(&mut self, summary: &mut SummaryBuilder) -> Result<(), RunError> {
        self.committed_at = Instant::now();
        if self.has_uncommitted() {
            self.commit_all(None, false, summary).await?;
        }
        Ok(())
    }

    /// Makes the run's last commit. `plan` is set once a scheduled run has completed its plan.
    pub(super) async fn finish(
        &mut self,
        plan: Option<CompletedPlan>,
        summary: &mut SummaryBuilder,
    ) -> Result<(), RunError> {
        if plan.is_some() || self.has_uncommitted() {
            self.commit_all(plan, true, summary).await?;
        }
        self.ids.leave();
        Ok(())
    }

    fn has_uncommitted(&self) -> bool {
        self.progress.has_failed_ranges() || self.windows.has_uncommitted()
    }

    async fn commit_all(
        &mut self,
        plan: Option<CompletedPlan>,
        is_last: bool,
        summary: &mut SummaryBuilder,
    ) -> Result<(), RunError> {
        let parts = self.writer.finish().await?;
        let files = self.committer.stage(parts, self.quarantine.flush()).await?;
        let mut progress = self.progress.snapshot();
        let (pulled, totals) = self.windows.take_uncommitted(&mut progress, is_last);
        let change = CommitChange {
            origin: Some(self.progress.origin()),
            streams: self.progress.streams().to_vec(),
            end: is_last.then(|| summary.end(&pulled)),
            pulled,
            files,
            progress,
            planned_at: plan.map(|plan| plan.planned_at),
            planned_by: plan.and_then(|plan| plan.planned_by),
        };
        let commit = self.committer.commit(change, totals).await?;
        self.ids.committed();
        summary.committed(&commit.pulled);
        Ok(())
    }
}

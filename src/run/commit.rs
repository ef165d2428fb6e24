//! The commits of a run: stages, commits and publishes its files, and reports the totals.

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, PutPayload};
use tokio::sync::watch;
use tracing::Instrument;

use super::error::RunError;
use super::job::Job;
use super::plan;
use super::report::RunTotals;
use crate::lake::{Commit, CommitChange, CommittedFile, JobLog, LakeError, RecordCounts};
use crate::metrics::CommitTotals;
use crate::table::FinishedPart;

/// The number of parts that are uploaded concurrently.
const UPLOADS: usize = 4;

/// Makes a run's commits.
pub(super) struct Committer<'a> {
    job: &'a Job,
    log: &'a JobLog,
    /// The number of the next file.
    n: u64,
    /// The committed totals.
    totals: RunTotals,
    observer: watch::Sender<RunTotals>,
}

impl<'a> Committer<'a> {
    pub(super) fn new(job: &'a Job, log: &'a JobLog, observer: watch::Sender<RunTotals>) -> Self {
        Self {
            job,
            log,
            n: 0,
            totals: RunTotals::default(),
            observer,
        }
    }

    /// The committed totals.
    pub(super) fn totals(&self) -> RunTotals {
        self.totals
    }

    /// Reports the totals, including windows that aren't committed yet.
    pub(super) fn report(&self, uncommitted: RunTotals) {
        let mut totals = self.totals;
        totals += uncommitted;
        self.observer.send_replace(totals);
    }

    /// Stages parts and quarantine lines under keys that only this run uses.
    pub(super) async fn stage(
        &mut self,
        parts: Vec<(String, FinishedPart)>,
        quarantine: Option<(Vec<u8>, u64)>,
    ) -> Result<Vec<CommittedFile>, RunError> {
        let run = self.log.run().id;
        let keys = self.job.lake.layout.job(&self.job.log);
        let mut staged = Vec::new();
        for (partition, part) in parts {
            let key = self
                .job
                .lake
                .layout
                .published(&partition, &self.job.log, run, self.n);
            let key = key.map_err(|error| LakeError::Unreadable {
                key: partition,
                reason: error.to_string(),
            })?;
            staged.push((self.n, key, part.rows, part.payload, part.event_times));
            self.n += 1;
        }
        if let Some((lines, count)) = quarantine {
            staged.push((
                self.n,
                keys.quarantined(run, self.n),
                count,
                PutPayload::from(lines),
                None,
            ));
            self.n += 1;
        }
        let lake = &self.job.lake;
        stream::iter(staged)
            .map(|(n, key, rows, payload, event_times)| {
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
                        min_event_time: event_times.map(|(least, _)| least),
                        max_event_time: event_times.map(|(_, greatest)| greatest),
                    })
                }
            })
            .buffered(UPLOADS)
            .try_collect()
            .await
    }

    /// Commits a change and publishes its files. `totals` are those of the windows that it lists.
    pub(super) async fn commit(
        &mut self,
        change: CommitChange,
        totals: RunTotals,
    ) -> Result<Commit, RunError> {
        let span = tracing::trace_span!("commit", files = change.files.len());
        let commit = self.log.commit(change).instrument(span).await?;
        let mut counts = RecordCounts::default();
        commit
            .pulled
            .iter()
            .for_each(|pulled| counts += pulled.counts);
        self.totals += RunTotals {
            counts,
            commits: 1,
            ..totals
        };
        self.observer.send_replace(self.totals);
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
        Ok(commit)
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
}

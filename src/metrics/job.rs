//! The metrics of a job.

use std::sync::Arc;
use std::time::Duration;

use super::families::{Counter, Families, Gauge, Histogram, Metric};
use super::{Metrics, ScrapedStatus, flag, seconds};
use crate::model::{FailureKind, Timestamp};

impl Families {
    /// The families of a job's metrics.
    pub(super) fn job(&self, name: &str, metrics: &Metrics) -> JobMetrics {
        JobMetrics(Arc::new(JobLabels {
            new: self.records.of(&[name, "new"]),
            duplicate: self.records.of(&[name, "duplicate"]),
            in_quarantine: self.records.of(&[name, "quarantined"]),
            waiting: self.records.of(&[name, "waiting"]),
            late: self.late.of(&[name]),
            quarantined: self.quarantined.of(&[name]),
            commits: self.commits.of(&[name]),
            files: self.files.of(&[name]),
            bytes: self.bytes.of(&[name]),
            running: self.running.of(&[name]),
            run_duration: self.run_duration.of(&[name]),
            runs: RunEnd::ALL.map(|ended| self.runs.of(&[name, ended.as_str()])),
            failures: FailureKind::ALL.map(|kind| self.failures.of(&[name, &kind.to_string()])),
            name: name.to_owned(),
            all: metrics.clone(),
        }))
    }

    #[expect(clippy::cast_precision_loss, reason = "there are never so many")]
    pub(super) fn stands(&self, name: &str, status: &dyn ScrapedStatus, now: Timestamp) {
        for (state, is_so) in status.states(now) {
            self.state.of(&[name, state]).set(flag(is_so));
        }
        for (kind, findings) in status.findings(now) {
            self.findings.of(&[name, kind]).set(findings as f64);
        }
        match status.open_records() {
            Some(open) => {
                self.open.of(&[name]).set(open as f64);
            }
            None => self.open.forget(&[name]),
        }
        let failed = status.failed_runs();
        self.failed_runs.of(&[name]).set(failed as f64);
    }

    pub(super) fn lags(&self, name: &str, lag: f64) {
        self.lag.of(&[name]).set(lag);
    }
}

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// Nothing failed, and all work was done.
    Succeeded,
    /// A stream or the whole run failed.
    Failed,
    /// It was stopped early.
    Unfinished,
    /// Another process holds the job, so it didn't begin.
    Held,
}

impl RunEnd {
    const ALL: [Self; 4] = [Self::Succeeded, Self::Failed, Self::Unfinished, Self::Held];

    fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unfinished => "unfinished",
            Self::Held => "held",
        }
    }
}

/// The additions of a commit.
#[derive(Debug, Clone, Copy, Default)]
pub struct CommitTotals {
    /// The records that weren't in the lake.
    pub new: u64,
    /// The records that were already in the lake.
    pub duplicate: u64,
    /// The records that can't be parsed.
    pub quarantined: u64,
    /// The records that belong to another range.
    pub waiting: u64,
    /// The new records that an earlier pull of their range didn't return.
    pub late: u64,
    /// The number of files.
    pub files: u64,
    /// The size of the files in bytes.
    pub bytes: u64,
}

/// The metrics of a job. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub struct JobMetrics(Arc<JobLabels>);

#[derive(Debug)]
struct JobLabels {
    all: Metrics,
    name: String,
    new: Counter,
    duplicate: Counter,
    in_quarantine: Counter,
    waiting: Counter,
    late: Counter,
    quarantined: Counter,
    commits: Counter,
    files: Counter,
    bytes: Counter,
    running: Gauge,
    run_duration: Histogram,
    /// In the order of [`RunEnd::ALL`].
    runs: [Counter; 4],
    /// In the order of [`FailureKind::ALL`].
    failures: [Counter; 6],
}

/// Metrics that aren't exported.
impl Default for JobMetrics {
    fn default() -> Self {
        Metrics::default().job("")
    }
}

impl JobMetrics {
    /// Records a commit.
    pub fn committed(&self, landed: CommitTotals) {
        let job = &*self.0;
        job.commits.inc();
        job.new.inc_by(landed.new);
        job.duplicate.inc_by(landed.duplicate);
        job.in_quarantine.inc_by(landed.quarantined);
        job.waiting.inc_by(landed.waiting);
        job.quarantined.inc_by(landed.quarantined);
        job.late.inc_by(landed.late);
        job.files.inc_by(landed.files);
        job.bytes.inc_by(landed.bytes);
    }

    /// Sets the watermark of the slowest stream and the number of gaps.
    pub fn stands(&self, watermark: Option<Timestamp>, gaps: usize) {
        let (all, name) = (&self.0.all, &*self.0.name);
        let families = all.families();
        let Some(watermark) = watermark else { return };
        all.note_watermark(name, watermark);
        families.watermark.of(&[name]).set(seconds(watermark));
        #[expect(clippy::cast_precision_loss, reason = "there are never so many")]
        families.gaps.of(&[name]).set(gaps as f64);
    }

    /// Sets the status of the job.
    pub fn shows(&self, status: Arc<dyn ScrapedStatus>) {
        self.0.all.note_status(&self.0.name, status);
    }

    /// Sets the time of the last successful run, by the log.
    pub fn succeeded_at(&self, at: Option<Timestamp>) {
        self.at(|all| &all.last_success, at);
    }

    /// Sets the instant after which the watermark is too old.
    pub fn fresh_until(&self, until: Option<Timestamp>) {
        self.at(|all| &all.fresh_until, until);
    }

    /// Sets when the job runs next, if ever.
    pub fn next_run(&self, at: Option<Timestamp>) {
        self.at(|all| &all.next_run, at);
    }

    /// Marks the job as running in this process until the result is dropped.
    pub fn running(&self) -> impl Drop + Send + use<> {
        self.0.running.set(1.0);
        RunningGuard(self.0.running.clone())
    }

    /// Records the end and the duration of a run.
    pub fn ended(&self, ended: RunEnd, after: Duration, now: Timestamp) {
        let job = &*self.0;
        job.runs[ended as usize].inc();
        if ended != RunEnd::Held {
            job.run_duration.observe(after.as_secs_f64());
        }
        if ended == RunEnd::Succeeded {
            self.at(|all| &all.last_success, Some(now));
        }
    }

    /// Records the failure of a stream or a whole run.
    pub fn failed(&self, kind: FailureKind) {
        let of_kind = FailureKind::ALL.iter().position(|of| *of == kind);
        if let Some(failures) = of_kind.and_then(|at| self.0.failures.get(at)) {
            failures.inc();
        }
    }

    fn at(&self, metric: impl Fn(&Families) -> &Metric<Gauge>, instant: Option<Timestamp>) {
        let metric = metric(self.0.all.families());
        match instant {
            Some(instant) => {
                metric.of(&[&self.0.name]).set(seconds(instant));
            }
            None => metric.forget(&[&self.0.name]),
        }
    }
}

struct RunningGuard(Gauge);

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.0.set(0.0);
    }
}

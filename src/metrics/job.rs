//! What is counted of a job.

use std::sync::Arc;
use std::time::Duration;

use super::families::{Counter, Families, Gauge, Histogram, Metric};
use super::{Metrics, ScrapedStatus, flag, seconds};
use crate::model::{FailureKind, Timestamp};

impl Families {
    /// A job's own. Its counters are there from now on, at zero.
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

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// Nothing failed, and all was done.
    Succeeded,
    /// A stream failed, or the whole.
    Failed,
    /// It was stopped on the way.
    Unfinished,
    /// Another process holds the job: it was not begun.
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

/// What a commit adds.
#[derive(Debug, Clone, Copy, Default)]
pub struct CommitTotals {
    /// Records that the lake did not have.
    pub new: u64,
    /// Those that it had.
    pub duplicate: u64,
    /// Those that can't be read.
    pub quarantined: u64,
    /// Those that belong to another range.
    pub waiting: u64,
    /// Of the new ones: an earlier pull of their range did not see them.
    pub late: u64,
    /// Files.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
}

/// What is counted of one job. Cheap to clone; clones share it.
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

/// Counts for nobody.
impl Default for JobMetrics {
    fn default() -> Self {
        Metrics::default().job("")
    }
}

impl JobMetrics {
    /// A commit was made.
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

    /// So the job stands: its slowest stream's watermark, and how many ranges were left out.
    pub fn stands(&self, watermark: Option<Timestamp>, gaps: usize) {
        let (all, name) = (&self.0.all, &*self.0.name);
        let families = all.families();
        let Some(watermark) = watermark else { return };
        all.note_watermark(name, watermark);
        families.watermark.of(&[name]).set(seconds(watermark));
        #[expect(clippy::cast_precision_loss, reason = "there are never so many")]
        families.gaps.of(&[name]).set(gaps as f64);
    }

    /// So the job stands as a whole, from now on.
    pub fn shows(&self, status: Arc<dyn ScrapedStatus>) {
        self.0.all.note_status(&self.0.name, status);
    }

    /// A run succeeded then, as the log has it.
    pub fn succeeded_at(&self, at: Option<Timestamp>) {
        self.at(|all| &all.last_success, at);
    }

    /// Until then the watermark is young enough.
    pub fn fresh_until(&self, until: Option<Timestamp>) {
        self.at(|all| &all.fresh_until, until);
    }

    /// Then the job runs next, or never.
    pub fn next_run(&self, at: Option<Timestamp>) {
        self.at(|all| &all.next_run, at);
    }

    /// This process runs the job until what is returned is dropped.
    pub fn running(&self) -> impl Drop + Send + use<> {
        self.0.running.set(1.0);
        RunningGuard(self.0.running.clone())
    }

    /// A run ended so after that time.
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

    /// A stream, or a whole run, failed so.
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

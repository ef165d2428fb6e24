//! What is counted of a job.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use super::family::{Counter, Gauge, Metric, MetricRegistry};
use super::{Metrics, ScrapedStatus, flag, seconds};
use crate::model::{FailureKind, Timestamp};

/// Upper bounds of a run's length, in seconds: from a look that finds nothing to a first load of half a day.
const RUN_BUCKETS: [f64; 8] = [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0];
const JOB: &[&str] = &["job_name"];

/// The families of all jobs.
#[derive(Debug)]
pub(super) struct JobFamilies {
    records: Metric<Counter>,
    late: Metric<Counter>,
    quarantined: Metric<Counter>,
    commits: Metric<Counter>,
    files: Metric<Counter>,
    bytes: Metric<Counter>,
    runs: Metric<Counter>,
    failures: Metric<Counter>,
    run_duration: Metric<Histogram>,
    running: Metric<Gauge>,
    watermark: Metric<Gauge>,
    lag: Metric<Gauge>,
    fresh_until: Metric<Gauge>,
    gaps: Metric<Gauge>,
    last_success: Metric<Gauge>,
    next_run: Metric<Gauge>,
    state: Metric<Gauge>,
    findings: Metric<Gauge>,
    open: Metric<Gauge>,
    failed_runs: Metric<Gauge>,
}

impl JobFamilies {
    pub(super) fn enter(all: &mut MetricRegistry) -> Self {
        Self {
            records: all.counter(
                "auditlake_records_total",
                &["job_name", "result"],
                "Records that were fetched and committed, by what became of them: `new`, `duplicate`, `quarantined`, or \
                 `waiting` for the range that they belong to.",
            ),
            late: all.counter(
                "auditlake_late_records_total",
                JOB,
                "New records that an earlier pull of their range had not seen.",
            ),
            quarantined: all.counter(
                "auditlake_quarantined_records_total",
                JOB,
                "Records that can't be read and were put in quarantine; one that is there already isn't counted again.",
            ),
            commits: all.counter("auditlake_commits_total", JOB, "Commits that landed something or moved a job on."),
            files: all.counter("auditlake_committed_files_total", JOB, "Files that commits list."),
            bytes: all.counter("auditlake_committed_bytes_total", JOB, "Size of the files that commits list."),
            runs: all.counter(
                "auditlake_runs_total",
                &["job_name", "outcome"],
                "Runs by how they ended: `succeeded`, `failed` (a stream or the whole), `unfinished` (stopped on the \
                 way), or `held` by another process and not begun.",
            ),
            failures: all.counter(
                "auditlake_run_failures_total",
                &["job_name", "kind"],
                "Failures of streams or whole runs by kind: `transient`, `rate_limited`, `auth`, `config`, `data`, \
                 `conflict`.",
            ),
            run_duration: all.histogram(
                "auditlake_run_duration_seconds",
                JOB,
                || Histogram::new(RUN_BUCKETS),
                "How long runs took.",
            ),
            running: all.gauge("auditlake_job_running", JOB, "1 while this process runs the job, else 0."),
            watermark: all.gauge(
                "auditlake_watermark_timestamp_seconds",
                JOB,
                "Up to which event time every stream of the job was pulled without a gap; absent until the job was \
                 pulled.",
            ),
            lag: all.gauge(
                "auditlake_watermark_lag_seconds",
                JOB,
                "How far behind now the watermark is; absent until the job was pulled.",
            ),
            fresh_until: all.gauge(
                "auditlake_fresh_until_timestamp_seconds",
                JOB,
                "Until when the watermark is young enough, by `max_staleness` or an hour after the run that should have \
                 moved it.",
            ),
            gaps: all.gauge(
                "auditlake_gaps",
                JOB,
                "Ranges of streams between the job's start and its last plan that were never pulled; absent until the \
                 job was pulled.",
            ),
            last_success: all.gauge(
                "auditlake_last_success_timestamp_seconds",
                JOB,
                "When a run of the job last succeeded: in this process, or before its start as the job's log has it; absent \
                 if that is not known.",
            ),
            next_run: all.gauge(
                "auditlake_next_run_timestamp_seconds",
                JOB,
                "When the job runs next, its pause after failures included; absent if never.",
            ),
            state: all.gauge(
                "auditlake_job_state",
                &["job_name", "state"],
                "1 for the state that the job is in, else 0: `unreadable`, `failing`, `running`, `never_ran`, \
                 `interrupted`, `due` or `idle`. The first that is true counts; a job that fails stays `failing` while \
                 its next run is under way.",
            ),
            findings: all.gauge(
                "auditlake_findings",
                &["job_name", "kind"],
                "Problems that need attention, as `status --check` lists them, by kind.",
            ),
            open: all.gauge(
                "auditlake_quarantine_open_records",
                JOB,
                "Records in quarantine that were neither replayed nor acknowledged, when that was last looked at: at the \
                 daemon's start, after a run while there are any, and when somebody opens a page.",
            ),
            failed_runs: all.gauge(
                "auditlake_failed_runs",
                JOB,
                "Scheduled runs that failed in a row, up to the last one; 0 once one succeeds.",
            ),
        }
    }

    /// A job's own. Its counters are there from now on, at zero.
    pub(super) fn of(&self, name: &str, metrics: &Metrics) -> JobMetrics {
        let families = self;
        JobMetrics(Arc::new(JobLabels {
            new: families.records.of(&[name, "new"]),
            duplicate: families.records.of(&[name, "duplicate"]),
            in_quarantine: families.records.of(&[name, "quarantined"]),
            waiting: families.records.of(&[name, "waiting"]),
            late: families.late.of(&[name]),
            quarantined: families.quarantined.of(&[name]),
            commits: families.commits.of(&[name]),
            files: families.files.of(&[name]),
            bytes: families.bytes.of(&[name]),
            running: families.running.of(&[name]),
            run_duration: families.run_duration.of(&[name]),
            runs: RunEnd::ALL.map(|ended| families.runs.of(&[name, ended.as_str()])),
            failures: FailureKind::ALL.map(|kind| families.failures.of(&[name, &kind.to_string()])),
            name: name.to_owned(),
            all: metrics.clone(),
        }))
    }

    pub(super) fn forget(&self, name: &str, status: Option<&dyn ScrapedStatus>) {
        if let Some(status) = status {
            let long_ago = Timestamp::UNIX_EPOCH;
            for (state, _) in status.states(long_ago) {
                self.state.forget(&[name, state]);
            }
            for (kind, _) in status.findings(long_ago) {
                self.findings.forget(&[name, kind]);
            }
        }
        for result in ["new", "duplicate", "quarantined", "waiting"] {
            self.records.forget(&[name, result]);
        }
        for metric in [
            &self.late,
            &self.quarantined,
            &self.commits,
            &self.files,
            &self.bytes,
        ] {
            metric.forget(&[name]);
        }
        for ended in RunEnd::ALL {
            self.runs.forget(&[name, ended.as_str()]);
        }
        for kind in FailureKind::ALL {
            self.failures.forget(&[name, &kind.to_string()]);
        }
        self.run_duration.forget(&[name]);
        for metric in [
            &self.running,
            &self.watermark,
            &self.lag,
            &self.fresh_until,
            &self.gaps,
            &self.last_success,
            &self.next_run,
            &self.open,
            &self.failed_runs,
        ] {
            metric.forget(&[name]);
        }
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
        let families = all.job_families();
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

    fn at(&self, metric: impl Fn(&JobFamilies) -> &Metric<Gauge>, instant: Option<Timestamp>) {
        let metric = metric(self.0.all.job_families());
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

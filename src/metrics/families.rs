//! The table of all metrics: families of series, with one series for each set of label values.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::family::Family;
pub(super) use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric, counter, gauge};
use prometheus_client::registry::{self, Registry};

use super::MetricHelp;

pub(super) type Counter = counter::Counter;
pub(super) type Seconds = counter::Counter<f64, AtomicU64>;
pub(super) type Gauge = gauge::Gauge<f64, AtomicU64>;
type Labels = Vec<(&'static str, String)>;

/// A family of series, with one for each set of label values.
#[derive(Debug)]
pub(super) struct Metric<M> {
    labels: &'static [&'static str],
    family: Family<Labels, M, fn() -> M>,
    /// The sets of label values that have a series.
    known: Mutex<BTreeSet<Vec<String>>>,
}

impl<M: Clone + TypedMetric> Metric<M> {
    /// Returns the series of these values.
    pub(super) fn of(&self, values: &[&str]) -> M {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        let set = self.set(&values);
        self.known().insert(values);
        self.family.get_or_create_owned(&set)
    }

    /// Removes all series whose first labels have these values.
    pub(super) fn forget(&self, values: &[&str]) {
        self.known().retain(|known| {
            let stays = !values
                .iter()
                .zip(known)
                .all(|(value, known)| value == known);
            if !stays {
                self.family.remove(&self.set(known));
            }
            stays
        });
    }

    fn set(&self, values: &[String]) -> Labels {
        self.labels
            .iter()
            .copied()
            .zip(values.iter().cloned())
            .collect()
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<Vec<String>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registry of metrics.
#[derive(Debug, Default)]
pub(super) struct MetricRegistry {
    pub(super) registry: Registry,
    pub(super) catalogue: Vec<MetricHelp>,
}

impl MetricRegistry {
    pub(super) fn enter<M>(&mut self, about: MetricHelp, make: fn() -> M) -> Metric<M>
    where
        M: Clone + TypedMetric,
        Family<Labels, M, fn() -> M>: registry::Metric,
    {
        let family = Family::new_with_constructor(make);
        // the encoder adds the suffix of a counter
        let name = about.name.strip_suffix("_total").unwrap_or(about.name);
        let help = about.help.trim_end_matches('.');
        self.registry.register(name, help, family.clone());
        let labels = about.labels;
        self.catalogue.push(about);
        Metric {
            labels,
            family,
            known: Mutex::default(),
        }
    }
}

/// Declares the table of all metrics: `field: kind, name, labels, help`. The kind of a histogram has its bounds.
macro_rules! families {
    ($($field:ident: $kind:ident $(($bounds:expr))?, $name:literal, $labels:expr, $help:literal;)*) => {
        /// The families of all metrics.
        #[derive(Debug)]
        pub(super) struct Families {
            $(pub(super) $field: Metric<$kind>,)*
        }

        impl Families {
            pub(super) fn enter(all: &mut MetricRegistry) -> Self {
                Self {
                    $($field: {
                        let make = || families!(@make $kind $(($bounds))?);
                        let (name, kind) = ($name, kind::<$kind>());
                        all.enter(MetricHelp { name, kind, labels: $labels, help: $help }, make)
                    },)*
                }
            }

            /// Removes all series whose first labels are these, with these values.
            pub(super) fn forget(&self, labels: &[&str], values: &[&str]) {
                $(if self.$field.labels.starts_with(labels) {
                    self.$field.forget(values);
                })*
            }
        }
    };
    (@make $kind:ident) => { $kind::default() };
    (@make $kind:ident ($bounds:expr)) => { $kind::new($bounds) };
}

/// Upper bounds of a run's duration in seconds: from a run without work to a first load of half a day.
const RUN_BUCKETS: [f64; 8] = [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0];
/// Upper bounds of a request's duration in seconds.
const REQUEST_BUCKETS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];
/// The labels of a job.
pub(super) const JOB: &[&str] = &["job_name"];
/// The labels of a connection.
pub(super) const CONNECTION: &[&str] = &["provider", "connection"];

families! {
    info: Gauge, "auditlake_build_info", &["version"],
        "Always 1; the label is the running version.";
    ready: Gauge, "auditlake_ready", &[],
        "1 if the scheduler is up and the lake answered the last check of `/readyz`, otherwise 0.";
    reloaded: Gauge, "auditlake_config_last_reload_successful", &[],
        "1 if the configuration was valid when it was last read, otherwise 0.";
    log_lines_dropped: Counter, "auditlake_log_lines_dropped_total", &[],
        "Dropped log lines: stderr wasn't read fast enough or couldn't be written.";

    records: Counter, "auditlake_records_total", &["job_name", "result"],
        "Records that were fetched and committed, by result: `new`, `duplicate`, `quarantined`, or `waiting` for \
         their own range.";
    late: Counter, "auditlake_late_records_total", JOB,
        "New records that an earlier pull of their range didn't return.";
    quarantined: Counter, "auditlake_quarantined_records_total", JOB,
        "Unreadable records put in quarantine; one that is there already isn't counted again.";
    commits: Counter, "auditlake_commits_total", JOB,
        "Commits that landed rows or advanced a job.";
    files: Counter, "auditlake_committed_files_total", JOB,
        "Files listed in commits.";
    bytes: Counter, "auditlake_committed_bytes_total", JOB,
        "Size of the files listed in commits.";
    runs: Counter, "auditlake_runs_total", &["job_name", "outcome"],
        "Runs by outcome: `succeeded`, `failed` (a stream or the whole run), `unfinished` (stopped before the end), \
         or `held` (not begun because another process holds the job).";
    failures: Counter, "auditlake_run_failures_total", &["job_name", "kind"],
        "Failures of streams or whole runs by kind: `transient`, `rate_limited`, `auth`, `config`, `data`, \
         `conflict`.";
    run_duration: Histogram(RUN_BUCKETS), "auditlake_run_duration_seconds", JOB,
        "Duration of runs.";
    running: Gauge, "auditlake_job_running", JOB,
        "1 while this process runs the job, else 0.";
    watermark: Gauge, "auditlake_watermark_timestamp_seconds", JOB,
        "The event time up to which every stream of the job was pulled without a gap; absent until the job has \
         pulled.";
    lag: Gauge, "auditlake_watermark_lag_seconds", JOB,
        "Time between the watermark and now; absent until the job has pulled.";
    fresh_until: Gauge, "auditlake_fresh_until_timestamp_seconds", JOB,
        "The time at which the watermark becomes stale: by `max_staleness`, or an hour after the run that should have \
         advanced it.";
    gaps: Gauge, "auditlake_gaps", JOB,
        "Ranges of streams between the job's start and its last plan that were never pulled; absent until the job has \
         pulled.";
    last_success: Gauge, "auditlake_last_success_timestamp_seconds", JOB,
        "The time of the job's last successful run, in this process or, before its start, by the job's log; absent if \
         unknown.";
    next_run: Gauge, "auditlake_next_run_timestamp_seconds", JOB,
        "The time of the job's next run, including its pause after failures; absent if there is none.";
    state: Gauge, "auditlake_job_state", &["job_name", "state"],
        "1 for the job's current state, otherwise 0: `unreadable`, `failing`, `running`, `never_ran`, `interrupted`, \
         `due` or `idle`. The first that applies counts; a failing job stays `failing` during its next run.";
    findings: Gauge, "auditlake_findings", &["job_name", "kind"],
        "Problems that need attention, as `status --check` lists them, by kind.";
    open: Gauge, "auditlake_quarantine_open_records", JOB,
        "Records in quarantine that were neither replayed nor acknowledged, as of the last count: at the daemon's \
         start, after a run while there are any, and when a page is opened.";
    failed_runs: Gauge, "auditlake_failed_runs", JOB,
        "Consecutive failed scheduled runs; 0 after a success.";

    requests: Counter, "auditlake_requests_total", &["provider", "connection", "status"],
        "Requests sent to providers by the answer's status, `none` without an answer; includes each attempt, sign-ins \
         and downloads.";
    request_duration: Histogram(REQUEST_BUCKETS), "auditlake_request_duration_seconds", CONNECTION,
        "Duration of requests, to the last byte of the answer, or to the first if it is streamed.";
    retries: Counter, "auditlake_request_retries_total", CONNECTION,
        "Requests sent again after a temporary failure.";
    sign_ins: Counter, "auditlake_sign_ins_total", CONNECTION,
        "Sign-ins, including failed ones.";
    budget_wait: Seconds, "auditlake_rate_budget_wait_seconds_total", CONNECTION,
        "Time that requests waited for the rate budget, including queueing and pauses.";
    budget_rate: Gauge, "auditlake_rate_budget_requests_per_second", CONNECTION,
        "The sustained rate of requests permitted to this process, by the configuration or, if lower, by the \
         provider.";
    budget_left: Gauge, "auditlake_rate_budget_left_requests", CONNECTION,
        "Requests left in this process's share of the rate budget at the time of the scrape; 0 during a pause.";
    budget_paused_until: Gauge, "auditlake_rate_budget_paused_until_timestamp_seconds", CONNECTION,
        "End of the pause that the provider requested; 0 if it never requested one.";

    store_requests: Counter, "auditlake_store_requests_total", &["operation"],
        "Requests to the lake's store: `get`, `put`, `list`, `copy`, `delete`.";
    store_errors: Counter, "auditlake_store_errors_total", &["operation"],
        "Requests to the lake's store that failed after all retries. A missing or already existing object isn't a \
         failure.";
}

/// The name of a metric's kind.
fn kind<M: TypedMetric>() -> &'static str {
    match M::TYPE {
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Histogram => "histogram",
        _ => "unknown",
    }
}

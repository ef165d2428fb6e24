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
    /// Returns the sets of label values that have a series.
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
        "Always 1; the label says which version runs.";
    ready: Gauge, "auditlake_ready", &[],
        "1 while the scheduler is up and the lake answered when `/readyz` last looked, else 0.";
    reloaded: Gauge, "auditlake_config_last_reload_successful", &[],
        "1 if the configuration was taken when it was last read, else 0.";
    log_lines_dropped: Counter, "auditlake_log_lines_dropped_total", &[],
        "Log lines that were dropped, as stderr wasn't read fast enough or couldn't be written.";

    records: Counter, "auditlake_records_total", &["job_name", "result"],
        "Records that were fetched and committed, by what became of them: `new`, `duplicate`, `quarantined`, or \
         `waiting` for the range that they belong to.";
    late: Counter, "auditlake_late_records_total", JOB,
        "New records that an earlier pull of their range had not seen.";
    quarantined: Counter, "auditlake_quarantined_records_total", JOB,
        "Records that can't be read and were put in quarantine; one that is there already isn't counted again.";
    commits: Counter, "auditlake_commits_total", JOB,
        "Commits that landed something or moved a job on.";
    files: Counter, "auditlake_committed_files_total", JOB,
        "Files that commits list.";
    bytes: Counter, "auditlake_committed_bytes_total", JOB,
        "Size of the files that commits list.";
    runs: Counter, "auditlake_runs_total", &["job_name", "outcome"],
        "Runs by how they ended: `succeeded`, `failed` (a stream or the whole), `unfinished` (stopped on the \
         way), or `held` by another process and not begun.";
    failures: Counter, "auditlake_run_failures_total", &["job_name", "kind"],
        "Failures of streams or whole runs by kind: `transient`, `rate_limited`, `auth`, `config`, `data`, \
         `conflict`.";
    run_duration: Histogram(RUN_BUCKETS), "auditlake_run_duration_seconds", JOB,
        "How long runs took.";
    running: Gauge, "auditlake_job_running", JOB,
        "1 while this process runs the job, else 0.";
    watermark: Gauge, "auditlake_watermark_timestamp_seconds", JOB,
        "Up to which event time every stream of the job was pulled without a gap; absent until the job was \
         pulled.";
    lag: Gauge, "auditlake_watermark_lag_seconds", JOB,
        "How far behind now the watermark is; absent until the job was pulled.";
    fresh_until: Gauge, "auditlake_fresh_until_timestamp_seconds", JOB,
        "Until when the watermark is young enough, by `max_staleness` or an hour after the run that should have \
         moved it.";
    gaps: Gauge, "auditlake_gaps", JOB,
        "Ranges of streams between the job's start and its last plan that were never pulled; absent until the \
         job was pulled.";
    last_success: Gauge, "auditlake_last_success_timestamp_seconds", JOB,
        "When a run of the job last succeeded: in this process, or before its start as the job's log has it; absent \
         if that is not known.";
    next_run: Gauge, "auditlake_next_run_timestamp_seconds", JOB,
        "When the job runs next, its pause after failures included; absent if never.";
    state: Gauge, "auditlake_job_state", &["job_name", "state"],
        "1 for the state that the job is in, else 0: `unreadable`, `failing`, `running`, `never_ran`, \
         `interrupted`, `due` or `idle`. The first that is true counts; a job that fails stays `failing` while \
         its next run is under way.";
    findings: Gauge, "auditlake_findings", &["job_name", "kind"],
        "Problems that need attention, as `status --check` lists them, by kind.";
    open: Gauge, "auditlake_quarantine_open_records", JOB,
        "Records in quarantine that were neither replayed nor acknowledged, when that was last looked at: at the \
         daemon's start, after a run while there are any, and when somebody opens a page.";
    failed_runs: Gauge, "auditlake_failed_runs", JOB,
        "Scheduled runs that failed in a row, up to the last one; 0 once one succeeds.";

    requests: Counter, "auditlake_requests_total", &["provider", "connection", "status"],
        "Requests sent to providers, each attempt, sign-ins and downloads included, by the answer's status; \
         `none` without an answer.";
    request_duration: Histogram(REQUEST_BUCKETS), "auditlake_request_duration_seconds", CONNECTION,
        "How long requests took, to the last byte of an answer that is read whole, to the first of one that is \
         streamed.";
    retries: Counter, "auditlake_request_retries_total", CONNECTION,
        "Requests sent again after a passing failure.";
    sign_ins: Counter, "auditlake_sign_ins_total", CONNECTION,
        "Sign-ins begun.";
    budget_wait: Seconds, "auditlake_rate_budget_wait_seconds_total", CONNECTION,
        "Time that requests spent waiting for the rate budget, queueing and pauses included.";
    budget_rate: Gauge, "auditlake_rate_budget_requests_per_second", CONNECTION,
        "How many requests this process may send in the long run, by the configuration or, where that is less, \
         by what the provider says.";
    budget_left: Gauge, "auditlake_rate_budget_left_requests", CONNECTION,
        "How many requests are left of this process's share of the rate budget at the time of the scrape; 0 \
         during a pause.";
    budget_paused_until: Gauge, "auditlake_rate_budget_paused_until_timestamp_seconds", CONNECTION,
        "Until when nothing is sent, as the provider asked; 0 if it never did.";

    store_requests: Counter, "auditlake_store_requests_total", &["operation"],
        "Requests to the lake's store: `get`, `put`, `list`, `copy`, `delete`.";
    store_errors: Counter, "auditlake_store_errors_total", &["operation"],
        "Of these, those that failed after all retries. What is absent, or there already, is no failure.";
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

//! The daemon's metrics in Prometheus' text format.
//!
//! [`Metrics`] are passed down to the callers; there is no global registry. All label values are bounded: names in the
//! configuration, and fixed values. A scrape makes no request to the lake and shows the values recorded by runs.

mod connection;
mod families;
mod job;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

pub use self::connection::ConnectionMetrics;
pub use self::job::{CommitTotals, JobMetrics, RunEnd};
pub use self::store::{Operation, StoreMetrics};

use self::families::{CONNECTION, Families, JOB, MetricRegistry};
use crate::model::Timestamp;

/// All metrics. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<MetricsInner>);

/// The description of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricHelp {
    /// The name in samples; those of a histogram add `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// The help text.
    pub help: &'static str,
}

#[derive(Debug)]
struct MetricsInner {
    registry: Registry,
    catalogue: Vec<MetricHelp>,
    /// The jobs with metrics.
    jobs: Mutex<BTreeMap<String, ScrapedJob>>,
    connections: Mutex<BTreeSet<(&'static str, String)>>,

    families: Families,
}

/// The values of a job that are computed for each scrape, as they change with time.
#[derive(Debug, Default)]
struct ScrapedJob {
    watermark: Option<Timestamp>,
    status: Option<Arc<dyn ScrapedStatus>>,
}

/// The status of a job at the time of a scrape, from the model shared by all surfaces.
pub trait ScrapedStatus: std::fmt::Debug + Send + Sync {
    /// Every state, and whether the job is in it.
    fn states(&self, now: Timestamp) -> Vec<(&'static str, bool)>;
    /// Every kind of finding with its number.
    fn findings(&self, now: Timestamp) -> Vec<(&'static str, u64)>;
    /// The number of open quarantine records; `None` if unknown.
    fn open_records(&self) -> Option<u64>;
    /// The number of failed scheduled runs in a row.
    fn failed_runs(&self) -> u64;
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = MetricRegistry::default();
        let inner = MetricsInner {
            families: Families::enter(&mut all),
            jobs: Mutex::default(),
            connections: Mutex::default(),
            registry: all.registry,
            catalogue: all.catalogue,
        };
        let metrics = Self(Arc::new(inner));
        let info = &metrics.0.families.info;
        info.of(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        metrics.ready(false);
        metrics.reloaded(true);
        metrics.log_lines_dropped(0);
        metrics
    }
}

impl Metrics {
    /// Returns the descriptions of all metrics.
    pub fn catalogue(&self) -> &[MetricHelp] {
        &self.0.catalogue
    }

    /// Sets whether the daemon can work.
    pub fn ready(&self, is_ready: bool) {
        self.0.families.ready.of(&[]).set(flag(is_ready));
    }

    /// Sets whether the configuration was accepted when it was last loaded.
    pub fn reloaded(&self, was_taken: bool) {
        self.0.families.reloaded.of(&[]).set(flag(was_taken));
    }

    /// Sets the number of log lines dropped so far.
    pub fn log_lines_dropped(&self, until_now: u64) {
        let counter = self.0.families.log_lines_dropped.of(&[]);
        counter.inc_by(until_now.saturating_sub(counter.get()));
    }

    /// Returns the metrics of a job. Its counters exist from then on, at zero.
    pub fn job(&self, name: &str) -> JobMetrics {
        self.0.jobs().entry(name.to_owned()).or_default();
        self.0.families.job(name, self)
    }

    /// Returns the metrics of a connection.
    pub fn connection(&self, provider: &'static str, name: &str) -> ConnectionMetrics {
        self.0.connections().insert((provider, name.to_owned()));
        self.0.families.connection(provider, name, self)
    }

    /// Returns the metrics of the lake's store.
    pub fn store(&self) -> StoreMetrics {
        self.0.families.store()
    }

    /// Removes the metrics of all jobs and connections except these, which are in the configuration.
    pub fn keep(&self, jobs: &BTreeSet<&str>, connections: &BTreeSet<(&'static str, &str)>) {
        let all = &*self.0;
        all.jobs().retain(|name, _| {
            let stays = jobs.contains(name.as_str());
            if !stays {
                all.families.forget(JOB, &[name]);
            }
            stays
        });
        all.connections().retain(|(provider, name)| {
            let stays = connections.contains(&(*provider, name.as_str()));
            if !stays {
                all.families.forget(CONNECTION, &[provider, name]);
            }
            stays
        });
    }

    /// Returns all metrics at this time in Prometheus' text format 0.0.4.
    pub fn text(&self, now: Timestamp) -> String {
        let all = &*self.0;
        for (name, shown) in &*all.jobs() {
            if let Some(watermark) = shown.watermark {
                all.families.lags(name, seconds(now) - seconds(watermark));
            }
            if let Some(status) = &shown.status {
                all.families.stands(name, &**status, now);
            }
        }
        let mut open_metrics = String::new();
        // writing to a string doesn't fail
        let _ = text::encode_registry(&mut open_metrics, &all.registry);
        let counters: BTreeSet<&str> = (all.catalogue.iter())
            .filter_map(|about| about.name.strip_suffix("_total"))
            .collect();
        let mut text = String::with_capacity(open_metrics.len());
        // OpenMetrics names a family of counters without the suffix of its samples, the text format with it
        for line in open_metrics.lines() {
            let head = ["# HELP ", "# TYPE "].iter().find_map(|head| {
                let (name, rest) = line.strip_prefix(head)?.split_once(' ')?;
                counters.contains(name).then_some((head, name, rest))
            });
            let bare = line
                .split_once("{} ")
                .filter(|(name, _)| !name.contains('"'));
            let _ = match (head, bare) {
                (Some((head, name, rest)), _) => writeln!(text, "{head}{name}_total {rest}"),
                (None, Some((name, value))) => writeln!(text, "{name} {value}"),
                (None, None) => writeln!(text, "{line}"),
            };
        }
        text
    }

    fn families(&self) -> &Families {
        &self.0.families
    }

    /// Sets the watermark from which the lag grows; ignored for a removed job.
    fn note_watermark(&self, job: &str, watermark: Timestamp) {
        if let Some(shown) = self.0.jobs().get_mut(job) {
            shown.watermark = Some(watermark);
        }
    }

    fn note_status(&self, job: &str, status: Arc<dyn ScrapedStatus>) {
        if let Some(shown) = self.0.jobs().get_mut(job) {
            shown.status = Some(status);
        }
    }
}

impl MetricsInner {
    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, ScrapedJob>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, BTreeSet<(&'static str, String)>> {
        (self.connections.lock()).unwrap_or_else(PoisonError::into_inner)
    }
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

/// Returns the seconds since 1970.
#[expect(
    clippy::cast_precision_loss,
    reason = "to the microsecond until the year 2255"
)]
fn seconds(instant: Timestamp) -> f64 {
    instant.timestamp_micros() as f64 / 1e6
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::FailureKind;

    const NOW: &str = "2026-03-02T12:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A job whose runs fail, with two gaps and records in quarantine.
    #[derive(Debug)]
    struct FailingJob;

    impl ScrapedStatus for FailingJob {
        fn states(&self, _: Timestamp) -> Vec<(&'static str, bool)> {
            vec![("failing", true), ("idle", false)]
        }
        fn findings(&self, _: Timestamp) -> Vec<(&'static str, u64)> {
            vec![("failing", 1), ("gap", 2)]
        }
        fn open_records(&self) -> Option<u64> {
            Some(6)
        }
        fn failed_runs(&self) -> u64 {
            4
        }
    }

    /// Records one of each event.
    fn full() -> Metrics {
        let metrics = Metrics::default();
        let job = metrics.job("audits");
        job.committed(CommitTotals {
            new: 5,
            duplicate: 4,
            quarantined: 3,
            waiting: 2,
            late: 1,
            files: 6,
            bytes: 7,
        });
        job.stands(Some(at("2026-03-02T11:58:30.5Z")), 2);
        job.fresh_until(Some(at("2026-03-02T13:00:00Z")));
        job.next_run(Some(at("2026-03-02T12:15:00Z")));
        job.ended(RunEnd::Succeeded, Duration::from_secs(2), at(NOW));
        job.failed(FailureKind::Auth);
        job.shows(Arc::new(FailingJob));
        let connection = metrics.connection("genesys_cloud", "main");
        connection.sent(Some(200), Duration::from_millis(200));
        connection.paused_until(at(NOW));
        metrics.store().asked(Operation::Put);
        metrics
    }

    fn has(text: &str, sample: &str) -> bool {
        text.lines().any(|line| line == sample)
    }

    #[test]
    fn samples_say_what_was_told() {
        let metrics = full();
        let running = metrics.job("audits").running();
        let text = metrics.text(at(NOW));
        for sample in [
            "# TYPE auditlake_records_total counter",
            "auditlake_ready 0.0",
            "auditlake_records_total{job_name=\"audits\",result=\"new\"} 5",
            "auditlake_records_total{job_name=\"audits\",result=\"duplicate\"} 4",
            "auditlake_records_total{job_name=\"audits\",result=\"quarantined\"} 3",
            "auditlake_records_total{job_name=\"audits\",result=\"waiting\"} 2",
            "auditlake_quarantined_records_total{job_name=\"audits\"} 3",
            "auditlake_late_records_total{job_name=\"audits\"} 1",
            "auditlake_committed_files_total{job_name=\"audits\"} 6",
            "auditlake_committed_bytes_total{job_name=\"audits\"} 7",
            "auditlake_commits_total{job_name=\"audits\"} 1",
            "auditlake_watermark_timestamp_seconds{job_name=\"audits\"} 1772452710.5",
            "auditlake_watermark_lag_seconds{job_name=\"audits\"} 89.5",
            "auditlake_fresh_until_timestamp_seconds{job_name=\"audits\"} 1772456400.0",
            "auditlake_gaps{job_name=\"audits\"} 2.0",
            "auditlake_job_state{job_name=\"audits\",state=\"failing\"} 1.0",
            "auditlake_job_state{job_name=\"audits\",state=\"idle\"} 0.0",
            "auditlake_findings{job_name=\"audits\",kind=\"gap\"} 2.0",
            "auditlake_quarantine_open_records{job_name=\"audits\"} 6.0",
            "auditlake_failed_runs{job_name=\"audits\"} 4.0",
            "auditlake_last_success_timestamp_seconds{job_name=\"audits\"} 1772452800.0",
            "auditlake_next_run_timestamp_seconds{job_name=\"audits\"} 1772453700.0",
            "auditlake_runs_total{job_name=\"audits\",outcome=\"succeeded\"} 1",
            "auditlake_runs_total{job_name=\"audits\",outcome=\"failed\"} 0",
            "auditlake_run_failures_total{job_name=\"audits\",kind=\"auth\"} 1",
            "auditlake_run_failures_total{job_name=\"audits\",kind=\"data\"} 0",
            "auditlake_run_duration_seconds_bucket{le=\"1.0\",job_name=\"audits\"} 0",
            "auditlake_run_duration_seconds_bucket{le=\"5.0\",job_name=\"audits\"} 1",
            "auditlake_job_running{job_name=\"audits\"} 1.0",
            "auditlake_requests_total{provider=\"genesys_cloud\",connection=\"main\",status=\"200\"} 1",
            "auditlake_request_retries_total{provider=\"genesys_cloud\",connection=\"main\"} 0",
            "auditlake_store_requests_total{operation=\"put\"} 1",
            "auditlake_store_requests_total{operation=\"get\"} 0",
            "auditlake_store_errors_total{operation=\"put\"} 0",
        ] {
            assert!(has(&text, sample), "no `{sample}` in\n{text}");
        }
        drop(running);
        let later = metrics.text(at("2026-03-02T12:00:10Z"));
        assert!(has(
            &later,
            "auditlake_watermark_lag_seconds{job_name=\"audits\"} 99.5"
        ));
        assert!(has(
            &later,
            "auditlake_job_running{job_name=\"audits\"} 0.0"
        ));
    }

    #[test]
    fn what_is_not_known_is_not_shown() {
        let metrics = Metrics::default();
        metrics.job("audits").stands(None, 0);
        let text = metrics.text(at(NOW));
        for absent in [
            "watermark",
            "gaps",
            "last_success",
            "next_run",
            "fresh_until",
        ] {
            let shown = text
                .lines()
                .any(|line| !line.starts_with('#') && line.contains(absent));
            assert!(!shown, "{absent} in\n{text}");
        }
    }

    #[test]
    fn what_is_no_longer_configured_is_forgotten() {
        let metrics = full();
        metrics
            .connection("genesys_cloud", "other")
            .sent(Some(999), Duration::ZERO);
        metrics
            .connection("genesys_cloud", "other")
            .sent(None, Duration::ZERO);
        metrics.job("other").committed(CommitTotals::default());
        metrics.keep(
            &BTreeSet::from(["other"]),
            &BTreeSet::from([("genesys_cloud", "main")]),
        );
        let text = metrics.text(at(NOW));
        assert!(!text.contains("job_name=\"audits\""), "{text}");
        assert!(!text.contains("connection=\"other\""), "{text}");
        assert!(
            text.contains("job_name=\"other\"") && text.contains("connection=\"main\""),
            "{text}"
        );
        metrics.keep(&BTreeSet::new(), &BTreeSet::new());
        let text = metrics.text(at(NOW));
        assert!(
            !text.contains("job_name=") && !text.contains("connection="),
            "{text}"
        );
    }

    #[test]
    fn a_provider_cant_make_up_labels() {
        let metrics = Metrics::default();
        let connection = metrics.connection("genesys_cloud", "main");
        for status in (0..=u16::MAX).map(Some).chain([None]) {
            connection.sent(status, Duration::ZERO);
        }
        let text = metrics.text(at(NOW));
        let series = text
            .lines()
            .filter(|line| line.starts_with("auditlake_requests_total{"));
        assert_eq!(series.count(), 500 + 2);
    }

    #[test]
    fn the_catalogue_is_what_a_scrape_shows() {
        let metrics = full();
        let text = metrics.text(at(NOW));
        let mut shown: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
            .collect();
        shown.sort_unstable();
        let mut known: Vec<_> = metrics
            .catalogue()
            .iter()
            .map(|about| (about.name, about.kind))
            .collect();
        known.sort_unstable();
        assert_eq!(shown, known);
        for about in metrics.catalogue() {
            assert!(about.help.ends_with('.'), "{}", about.name);
            let sample = text.lines().find(|line| {
                let name = line.split(['{', ' ']).next().unwrap();
                name == about.name || name.strip_suffix("_count") == Some(about.name)
            });
            let sample = sample.unwrap_or_else(|| panic!("no sample of {}", about.name));
            for label in about.labels {
                assert!(
                    sample.contains(&format!("{label}=\"")),
                    "{label} in {sample}"
                );
            }
        }
    }
}

//! What is counted of a connection to a provider.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use super::family::{Counter, Gauge, Metric, MetricRegistry, Seconds};
use super::{MetricHelp, Metrics, seconds};
use crate::model::Timestamp;

/// Upper bounds of a request's length, in seconds.
const REQUEST_BUCKETS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];
const CONNECTION: &[&str] = &["provider", "connection"];

/// The families of all connections.
#[derive(Debug)]
pub(super) struct ConnectionFamilies {
    requests: Metric<Counter>,
    request_duration: Metric<Histogram>,
    retries: Metric<Counter>,
    sign_ins: Metric<Counter>,
    budget_wait: Metric<Seconds>,
    budget_rate: Metric<Gauge>,
    budget_left: Metric<Gauge>,
    budget_paused_until: Metric<Gauge>,
}

impl ConnectionFamilies {
    pub(super) fn enter(all: &mut MetricRegistry) -> Self {
        Self {
            requests: all.counter(
                "auditlake_requests_total",
                &["provider", "connection", "status"],
                "Requests sent to providers, each attempt, sign-ins and downloads included, by the answer's status; \
                 `none` without an answer.",
            ),
            request_duration: all.histogram(
                "auditlake_request_duration_seconds",
                CONNECTION,
                || Histogram::new(REQUEST_BUCKETS),
                "How long requests took, to the last byte of an answer that is read whole, to the first of one that is \
                 streamed.",
            ),
            retries: all.counter(
                "auditlake_request_retries_total",
                CONNECTION,
                "Requests sent again after a passing failure.",
            ),
            sign_ins: all.counter("auditlake_sign_ins_total", CONNECTION, "Sign-ins begun."),
            budget_wait: all.enter(
                MetricHelp {
                    name: "auditlake_rate_budget_wait_seconds_total",
                    kind: "counter",
                    labels: CONNECTION,
                    help: "Time that requests spent waiting for the rate budget, queueing and pauses included.",
                },
                Seconds::default,
            ),
            budget_rate: all.gauge(
                "auditlake_rate_budget_requests_per_second",
                CONNECTION,
                "How many requests this process may send in the long run, by the configuration or, where that is less, \
                 by what the provider says.",
            ),
            budget_left: all.gauge(
                "auditlake_rate_budget_left_requests",
                CONNECTION,
                "How many requests are left of this process's share of the rate budget at the time of the scrape; 0 \
                 during a pause.",
            ),
            budget_paused_until: all.gauge(
                "auditlake_rate_budget_paused_until_timestamp_seconds",
                CONNECTION,
                "Until when nothing is sent, as the provider asked; 0 if it never did.",
            ),
        }
    }

    /// A connection's own.
    pub(super) fn of(
        &self,
        provider: &'static str,
        name: &str,
        metrics: &Metrics,
    ) -> ConnectionMetrics {
        let values = [provider, name];
        ConnectionMetrics(Arc::new(OfConnection {
            request_duration: self.request_duration.of(&values),
            retries: self.retries.of(&values),
            sign_ins: self.sign_ins.of(&values),
            budget_wait: self.budget_wait.of(&values),
            budget_rate: self.budget_rate.of(&values),
            budget_left: self.budget_left.of(&values),
            budget_paused_until: self.budget_paused_until.of(&values),
            provider,
            name: name.to_owned(),
            all: metrics.clone(),
        }))
    }

    pub(super) fn forget(&self, provider: &str, name: &str) {
        let values = [provider, name];
        for status in statuses() {
            self.requests.forget(&[provider, name, &status]);
        }
        self.request_duration.forget(&values);
        self.retries.forget(&values);
        self.sign_ins.forget(&values);
        self.budget_wait.forget(&values);
        self.budget_rate.forget(&values);
        self.budget_left.forget(&values);
        self.budget_paused_until.forget(&values);
    }
}

/// What is counted of one connection. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct ConnectionMetrics(Arc<OfConnection>);

#[derive(Debug)]
struct OfConnection {
    all: Metrics,
    provider: &'static str,
    name: String,
    request_duration: Histogram,
    retries: Counter,
    sign_ins: Counter,
    budget_wait: Seconds,
    budget_rate: Gauge,
    budget_left: Gauge,
    budget_paused_until: Gauge,
}

/// Counts for nobody.
impl Default for ConnectionMetrics {
    fn default() -> Self {
        Metrics::default().connection("", "")
    }
}

impl ConnectionMetrics {
    /// A request was sent, and answered with this status or not at all.
    pub fn sent(&self, status: Option<u16>, took: Duration) {
        let of = &*self.0;
        let status = status_label(status);
        of.all
            .connection_families()
            .requests
            .of(&[of.provider, &of.name, &status])
            .inc();
        of.request_duration.observe(took.as_secs_f64());
    }

    /// A request is sent again.
    pub fn retried(&self) {
        self.0.retries.inc();
    }

    /// A sign-in begins.
    pub fn signs_in(&self) {
        self.0.sign_ins.inc();
    }

    /// A request has waited so long for the rate budget.
    pub fn waited(&self, time: Duration) {
        self.0.budget_wait.inc_by(time.as_secs_f64());
    }

    /// So many requests may be sent a second.
    pub fn pace(&self, per_second: f64) {
        self.0.budget_rate.set(per_second);
    }

    /// So many requests are left now.
    pub fn left(&self, requests: u32) {
        self.0.budget_left.set(requests.into());
    }

    /// Nothing is sent until then.
    pub fn paused_until(&self, instant: Timestamp) {
        self.0.budget_paused_until.set(seconds(instant));
    }
}

/// What the providers' statuses are called: those that HTTP knows classes of, and one word for all others.
fn status_label(status: Option<u16>) -> String {
    match status {
        None => "none".to_owned(),
        Some(status @ 100..=599) => status.to_string(),
        Some(_) => "other".to_owned(),
    }
}

fn statuses() -> impl Iterator<Item = String> {
    let known = (100..=600).map(|status| status_label(Some(status)));
    known.chain([status_label(None)])
}

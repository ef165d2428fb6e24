//! The metrics of a connection to a provider.

use std::sync::Arc;
use std::time::Duration;

use super::families::{Counter, Families, Gauge, Histogram, Seconds};
use super::{Metrics, seconds};
use crate::model::Timestamp;

impl Families {
    /// The families of a connection's metrics.
    pub(super) fn connection(
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
}

/// The metrics of a connection. Cheap to clone; clones share them.
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

/// Metrics that aren't exported.
impl Default for ConnectionMetrics {
    fn default() -> Self {
        Metrics::default().connection("", "")
    }
}

impl ConnectionMetrics {
    /// Records a request that was answered with this status, or not at all.
    pub fn sent(&self, status: Option<u16>, took: Duration) {
        let of = &*self.0;
        let status = status_label(status);
        of.all
            .families()
            .requests
            .of(&[of.provider, &of.name, &status])
            .inc();
        of.request_duration.observe(took.as_secs_f64());
    }

    /// Records a retry.
    pub fn retried(&self) {
        self.0.retries.inc();
    }

    /// Records a sign-in.
    pub fn signs_in(&self) {
        self.0.sign_ins.inc();
    }

    /// Records how long a request waited for the rate budget.
    pub fn waited(&self, time: Duration) {
        self.0.budget_wait.inc_by(time.as_secs_f64());
    }

    /// Sets the permitted requests per second.
    pub fn pace(&self, per_second: f64) {
        self.0.budget_rate.set(per_second);
    }

    /// Sets the requests that are currently left.
    pub fn left(&self, requests: u32) {
        self.0.budget_left.set(requests.into());
    }

    /// Sets the instant until which no request is sent.
    pub fn paused_until(&self, instant: Timestamp) {
        self.0.budget_paused_until.set(seconds(instant));
    }
}

/// Returns the label of a status: itself, or one value for all statuses outside HTTP's classes.
fn status_label(status: Option<u16>) -> String {
    match status {
        None => "none".to_owned(),
        Some(status @ 100..=599) => status.to_string(),
        Some(_) => "other".to_owned(),
    }
}

//! Families of series: one for each set of values of a metric's labels.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{TypedMetric, counter, gauge};
use prometheus_client::registry::{self, Registry};

use super::MetricHelp;

pub(super) type Counter = counter::Counter;
pub(super) type Seconds = counter::Counter<f64, AtomicU64>;
pub(super) type Gauge = gauge::Gauge<f64, AtomicU64>;
type Labels = Vec<(&'static str, String)>;

/// A family of series, one for each set of values of its labels.
#[derive(Debug)]
pub(super) struct Metric<M> {
    labels: &'static [&'static str],
    family: Family<Labels, M, fn() -> M>,
}

impl<M: Clone + TypedMetric> Metric<M> {
    pub(super) fn of(&self, values: &[&str]) -> M {
        self.family.get_or_create_owned(&self.set(values))
    }

    pub(super) fn forget(&self, values: &[&str]) {
        self.family.remove(&self.set(values));
    }

    fn set(&self, values: &[&str]) -> Labels {
        let values = values.iter().map(|value| (*value).to_owned());
        self.labels.iter().copied().zip(values).collect()
    }
}

/// Where metrics are entered before anything is counted.
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
        // the suffix of a counter is the encoder's to add
        let name = about.name.strip_suffix("_total").unwrap_or(about.name);
        let help = about.help.trim_end_matches('.');
        self.registry.register(name, help, family.clone());
        let labels = about.labels;
        self.catalogue.push(about);
        Metric { labels, family }
    }

    pub(super) fn counter(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Metric<Counter> {
        let kind = "counter";
        self.enter(
            MetricHelp {
                name,
                kind,
                labels,
                help,
            },
            Counter::default,
        )
    }

    pub(super) fn gauge(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Metric<Gauge> {
        let kind = "gauge";
        self.enter(
            MetricHelp {
                name,
                kind,
                labels,
                help,
            },
            Gauge::default,
        )
    }

    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        make: fn() -> Histogram,
        help: &'static str,
    ) -> Metric<Histogram> {
        let kind = "histogram";
        self.enter(
            MetricHelp {
                name,
                kind,
                labels,
                help,
            },
            make,
        )
    }
}

//! The simulator as one of several, for jobs.yaml.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use super::{Dataset, DatasetSpec, Everyware, EverywareSettings, start};
use crate::providers::UNLIMITED;
use crate::{Faults, ProvidersSpec, SimError, Simulated};

/// Starts it with so many records, and without anything in its way.
pub(crate) fn demo(
    spec: ProvidersSpec,
) -> BoxFuture<'static, Result<Box<dyn Simulated>, SimError>> {
    Box::pin(async move {
        let dataset = Dataset::generate(&DatasetSpec {
            records: spec.records,
            from: spec.from,
            to: spec.to,
            ..DatasetSpec::default()
        });
        let settings = EverywareSettings {
            clock: spec.clock(),
            latency: spec.latency,
            ..EverywareSettings::default()
        };
        Ok(Box::new(start(settings, dataset).await?) as Box<dyn Simulated>)
    })
}

impl Simulated for Everyware {
    fn title(&self) -> &'static str {
        "Everyware Cloud"
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let settings = EverywareSettings::default();
        vec![
            ("EVERYWARE_API_URL", self.base_url()),
            ("EVERYWARE_USERNAME", settings.username),
            ("EVERYWARE_PASSWORD", settings.password),
            ("EVERYWARE_RATE_LIMIT", UNLIMITED.to_owned()),
        ]
    }

    fn faults(&self) -> &Faults {
        self.faults()
    }

    fn set_now(&self, now: DateTime<Utc>) {
        self.set_now(now);
    }
}

//! The simulator as one of several, for jobs.yaml.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use super::{Dataset, DatasetSpec, LivePerson, LivePersonSettings, start};
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
        let settings = LivePersonSettings {
            clock: spec.clock(),
            latency: spec.latency,
            token_lifetime: ProvidersSpec::EVER,
            ..LivePersonSettings::default()
        };
        Ok(Box::new(start(settings, dataset).await?) as Box<dyn Simulated>)
    })
}

impl Simulated for LivePerson {
    fn title(&self) -> &'static str {
        "LivePerson"
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let settings = LivePersonSettings::default();
        vec![
            ("LIVEPERSON_DOMAIN_URL", self.domain_url()),
            (
                "LIVEPERSON_ACCOUNT_ID",
                self.dataset().account_id().to_owned(),
            ),
            ("LIVEPERSON_CLIENT_ID", settings.client_id),
            ("LIVEPERSON_CLIENT_SECRET", settings.client_secret),
            ("LIVEPERSON_RATE_LIMIT", UNLIMITED.to_owned()),
        ]
    }

    fn faults(&self) -> &Faults {
        self.faults()
    }

    fn set_now(&self, now: DateTime<Utc>) {
        self.set_now(now);
    }
}

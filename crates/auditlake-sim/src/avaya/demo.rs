//! The simulator as one of several, for jobs.yaml.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use super::{Avaya, AvayaSettings, Dataset, DatasetSpec, start};
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
        let settings = AvayaSettings {
            clock: spec.clock(),
            latency: spec.latency,
            token_lifetime: ProvidersSpec::EVER,
            ..AvayaSettings::default()
        };
        Ok(Box::new(start(settings, dataset).await?) as Box<dyn Simulated>)
    })
}

impl Simulated for Avaya {
    fn title(&self) -> &'static str {
        "Avaya AXP"
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let settings = AvayaSettings::default();
        vec![
            ("AVAYA_API_URL", self.base_url()),
            ("AVAYA_ACCOUNT_ID", settings.account_id),
            ("AVAYA_APP_KEY", settings.app_key),
            ("AVAYA_CLIENT_ID", settings.client_id),
            ("AVAYA_CLIENT_SECRET", settings.client_secret),
            ("AVAYA_RATE_LIMIT", UNLIMITED.to_owned()),
        ]
    }

    fn faults(&self) -> &Faults {
        self.faults()
    }

    fn set_now(&self, now: DateTime<Utc>) {
        self.set_now(now);
    }
}

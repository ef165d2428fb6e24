//! The simulator as one of several, for jobs.yaml.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use super::{Dataset, DatasetSpec, Genesys, GenesysSettings, start};
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
        let settings = GenesysSettings {
            clock: spec.clock(),
            latency: spec.latency,
            running_polls: 0,
            token_lifetime: ProvidersSpec::EVER,
            ..GenesysSettings::default()
        };
        Ok(Box::new(start(settings, dataset).await?) as Box<dyn Simulated>)
    })
}

impl Simulated for Genesys {
    fn title(&self) -> &'static str {
        "Genesys Cloud"
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let settings = GenesysSettings::default();
        vec![
            ("GENESYS_API_URL", self.base_url()),
            ("GENESYS_LOGIN_URL", self.login_url()),
            ("GENESYS_CLIENT_ID", settings.client_id),
            ("GENESYS_CLIENT_SECRET", settings.client_secret),
            ("GENESYS_RATE_LIMIT", UNLIMITED.to_owned()),
        ]
    }

    fn faults(&self) -> &Faults {
        self.faults()
    }

    fn set_now(&self, now: DateTime<Utc>) {
        self.set_now(now);
    }
}

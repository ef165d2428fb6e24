//! The simulator as one of [`Providers`](crate::Providers), for jobs.yaml.

use super::{Dataset, DatasetSpec, GenesysProvider, GenesysSettings};
use crate::providers::{Demo, UNLIMITED};
use crate::{ProvidersSpec, Simulator};

impl Demo for GenesysProvider {
    const TITLE: &'static str = "Genesys Cloud";

    fn dataset(spec: &ProvidersSpec) -> Dataset {
        Dataset::generate(&DatasetSpec {
            records: spec.records,
            from: spec.from,
            to: spec.to,
            ..DatasetSpec::default()
        })
    }

    fn settings(spec: &ProvidersSpec) -> GenesysSettings {
        GenesysSettings {
            clock: spec.clock(),
            latency: spec.latency,
            running_polls: 0,
            token_lifetime: ProvidersSpec::EVER,
            ..GenesysSettings::default()
        }
    }

    fn environment(simulator: &Simulator<Self>) -> Vec<(&'static str, String)> {
        let settings = GenesysSettings::default();
        vec![
            ("GENESYS_API_URL", simulator.base_url()),
            ("GENESYS_LOGIN_URL", simulator.login_url()),
            ("GENESYS_CLIENT_ID", settings.client_id),
            ("GENESYS_CLIENT_SECRET", settings.client_secret),
            ("GENESYS_RATE_LIMIT", UNLIMITED.to_owned()),
        ]
    }
}

//! The simulator as one of [`Providers`](crate::Providers), for jobs.yaml.

use super::{Dataset, DatasetSpec, LivePersonProvider, LivePersonSettings};
use crate::providers::{Demo, UNLIMITED};
use crate::{ProvidersSpec, Simulator};

impl Demo for LivePersonProvider {
    const TITLE: &'static str = "LivePerson";

    fn dataset(spec: &ProvidersSpec) -> Dataset {
        Dataset::generate(&DatasetSpec {
            records: spec.records,
            from: spec.from,
            to: spec.to,
            ..DatasetSpec::default()
        })
    }

    fn settings(spec: &ProvidersSpec) -> LivePersonSettings {
        LivePersonSettings {
            clock: spec.clock(),
            latency: spec.latency,
            token_lifetime: ProvidersSpec::EVER,
            ..LivePersonSettings::default()
        }
    }

    fn environment(simulator: &Simulator<Self>) -> Vec<(&'static str, String)> {
        let settings = LivePersonSettings::default();
        vec![
            ("LIVEPERSON_DOMAIN_URL", simulator.domain_url()),
            (
                "LIVEPERSON_ACCOUNT_ID",
                simulator.dataset().account_id().to_owned(),
            ),
            ("LIVEPERSON_CLIENT_ID", settings.client_id),
            ("LIVEPERSON_CLIENT_SECRET", settings.client_secret),
            ("LIVEPERSON_RATE_LIMIT", UNLIMITED.to_owned()),
        ]
    }
}

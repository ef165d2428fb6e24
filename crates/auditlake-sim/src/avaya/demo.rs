//! The simulator as one of [`Providers`](crate::Providers), for jobs.yaml.

use super::{AvayaProvider, AvayaSettings, Dataset, DatasetSpec};
use crate::providers::{Demo, UNLIMITED};
use crate::{ProvidersSpec, Simulator};

impl Demo for AvayaProvider {
    const TITLE: &'static str = "Avaya AXP";

    fn dataset(spec: &ProvidersSpec) -> Dataset {
        Dataset::generate(&DatasetSpec {
            records: spec.records,
            from: spec.from,
            to: spec.to,
            ..DatasetSpec::default()
        })
    }

    fn settings(spec: &ProvidersSpec) -> AvayaSettings {
        AvayaSettings {
            clock: spec.clock(),
            latency: spec.latency,
            token_lifetime: ProvidersSpec::EVER,
            ..AvayaSettings::default()
        }
    }

    fn environment(simulator: &Simulator<Self>) -> Vec<(&'static str, String)> {
        let settings = AvayaSettings::default();
        vec![
            ("AVAYA_API_URL", simulator.base_url()),
            ("AVAYA_ACCOUNT_ID", settings.account_id),
            ("AVAYA_APP_KEY", settings.app_key),
            ("AVAYA_CLIENT_ID", settings.client_id),
            ("AVAYA_CLIENT_SECRET", settings.client_secret),
            ("AVAYA_RATE_LIMIT", UNLIMITED.to_owned()),
        ]
    }
}

//! The simulator as one of [`Providers`](crate::Providers), for jobs.yaml.

use super::{Dataset, DatasetSpec, EverywareProvider, EverywareSettings};
use crate::providers::{Demo, UNLIMITED};
use crate::{ProvidersSpec, Simulator};

impl Demo for EverywareProvider {
    const TITLE: &'static str = "Everyware Cloud";

    fn dataset(spec: &ProvidersSpec) -> Dataset {
        Dataset::generate(&DatasetSpec {
            records: spec.records,
            from: spec.from,
            to: spec.to,
            ..DatasetSpec::default()
        })
    }

    fn settings(spec: &ProvidersSpec) -> EverywareSettings {
        EverywareSettings {
            clock: spec.clock(),
            latency: spec.latency,
            ..EverywareSettings::default()
        }
    }

    fn environment(simulator: &Simulator<Self>) -> Vec<(&'static str, String)> {
        let settings = EverywareSettings::default();
        vec![
            ("EVERYWARE_API_URL", simulator.base_url()),
            ("EVERYWARE_USERNAME", settings.username),
            ("EVERYWARE_PASSWORD", settings.password),
            ("EVERYWARE_RATE_LIMIT", UNLIMITED.to_owned()),
        ]
    }
}

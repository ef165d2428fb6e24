//! All simulated providers together, for the repository's jobs.yaml.

use std::fmt::Debug;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, try_join_all};

use super::avaya::AvayaProvider;
use super::everyware::EverywareProvider;
use super::genesys::GenesysProvider;
use super::liveperson::LivePersonProvider;
use super::stage::Provider;
use super::{Clock, Counters, Dataset, Faults, SimError, Simulator, start};

/// Every simulated provider: its start function and its share of [`ProvidersSpec::records`].
const ALL: [(Start, usize); 4] = [
    (start_one::<GenesysProvider>, 1),
    (start_one::<AvayaProvider>, 5),
    (start_one::<LivePersonProvider>, 5),
    (start_one::<EverywareProvider>, 5),
];

/// A rate limit that no job reaches.
pub(super) const UNLIMITED: &str = "1000000/s";

/// Generates a provider's records and starts it.
type Start = fn(ProvidersSpec) -> BoxFuture<'static, Result<Box<dyn Simulated>, SimError>>;

/// A running simulator, whatever the provider; stops when it is dropped.
pub trait Simulated: Debug + Send + Sync {
    /// The provider's display name.
    fn title(&self) -> &'static str;

    /// The environment variables with which jobs.yaml reaches the simulator, without a rate limit.
    fn environment(&self) -> Vec<(&'static str, String)>;

    /// The faults to inject.
    fn faults(&self) -> &Faults;

    /// The calls so far.
    fn counters(&self) -> &Counters;

    /// Sets the simulator's clock.
    fn set_now(&self, now: DateTime<Utc>);
}

/// A provider that can be one of [`Providers`].
pub trait Demo: Provider<Settings: Send, Content: 'static> + Debug {
    /// The provider's display name.
    const TITLE: &'static str;

    /// Generates the records that it holds.
    fn dataset(spec: &ProvidersSpec) -> Dataset<Self::Content>;

    /// Returns settings under which nothing slows a puller down.
    fn settings(spec: &ProvidersSpec) -> Self::Settings;

    /// Returns the environment variables with which jobs.yaml reaches the simulator, without a rate limit.
    fn environment(simulator: &Simulator<Self>) -> Vec<(&'static str, String)>;
}

fn start_one<P: Demo>(
    spec: ProvidersSpec,
) -> BoxFuture<'static, Result<Box<dyn Simulated>, SimError>> {
    Box::pin(async move {
        let simulator = start(P::settings(&spec), P::dataset(&spec)).await?;
        Ok(Box::new(simulator) as Box<dyn Simulated>)
    })
}

impl<P: Demo> Simulated for Simulator<P> {
    fn title(&self) -> &'static str {
        P::TITLE
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        P::environment(self)
    }

    fn faults(&self) -> &Faults {
        self.faults()
    }

    fn counters(&self) -> &Counters {
        self.counters()
    }

    fn set_now(&self, now: DateTime<Utc>) {
        self.set_now(now);
    }
}

/// One simulator of each provider, with the same clock.
#[derive(Debug)]
pub struct Providers(Vec<Box<dyn Simulated>>);

/// The records of the providers, and how they answer.
#[derive(Debug, Clone, Copy)]
pub struct ProvidersSpec {
    /// The number of records of the first provider; each other provider has a fifth of that.
    pub records: usize,
    /// The earliest possible event time.
    pub from: DateTime<Utc>,
    /// The end of the range of event times, exclusive.
    pub to: DateTime<Utc>,
    /// The initial time.
    pub now: DateTime<Utc>,
    /// The delay of every answer.
    pub latency: Duration,
}

impl ProvidersSpec {
    /// The lifetime of a token: setting the clock days ahead must not expire it.
    pub(super) const EVER: Duration = Duration::from_hours(24 * 365);

    pub(super) fn clock(&self) -> Clock {
        Clock::Fixed(self.now)
    }
}

impl Providers {
    /// Generates the records and starts the simulators.
    pub async fn start(spec: ProvidersSpec) -> Result<Self, SimError> {
        let start = |(start, share): (Start, usize)| {
            start(ProvidersSpec {
                records: spec.records / share,
                ..spec
            })
        };
        try_join_all(ALL.map(start)).await.map(Self)
    }

    /// The simulators, the one with the most records first.
    pub fn all(&self) -> &[Box<dyn Simulated>] {
        &self.0
    }

    /// Returns the environment variables with which jobs.yaml reaches the simulators, without rate limits.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let own = self.0.iter().flat_map(|provider| provider.environment());
        let all = ("AUDITLAKE_ALLOW_HTTP", "true".to_owned());
        std::iter::once(all).chain(own).collect()
    }

    /// Sets the clock of all simulators.
    pub fn set_now(&self, now: DateTime<Utc>) {
        for provider in &self.0 {
            provider.set_now(now);
        }
    }
}

//! All simulated providers at once, for whoever runs the repository's own jobs.yaml.

use std::fmt::Debug;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, try_join_all};

use super::{Clock, Faults, SimError, avaya, everyware, genesys, liveperson};

/// Every simulated provider: how it is started, and its share of [`ProvidersSpec::records`].
const ALL: [(Start, usize); 4] = [
    (genesys::demo, 1),
    (avaya::demo, 5),
    (liveperson::demo, 5),
    (everyware::demo, 5),
];

/// A rate limit that no job reaches.
pub(super) const UNLIMITED: &str = "1000000/s";

/// Generates what a provider holds and starts it.
type Start = fn(ProvidersSpec) -> BoxFuture<'static, Result<Box<dyn Simulated>, SimError>>;

/// A running simulator, whatever the provider; stops when it is dropped.
pub trait Simulated: Debug + Send + Sync {
    /// The provider's name, for people.
    fn title(&self) -> &'static str;

    /// The variables by which jobs.yaml finds it and asks as often as it can.
    fn environment(&self) -> Vec<(&'static str, String)>;

    /// What is to go wrong.
    fn faults(&self) -> &Faults;

    /// Sets the simulator's clock.
    fn set_now(&self, now: DateTime<Utc>);
}

/// One of each provider, on one clock.
#[derive(Debug)]
pub struct Providers(Vec<Box<dyn Simulated>>);

/// What the providers hold, and how they answer.
#[derive(Debug, Clone, Copy)]
pub struct ProvidersSpec {
    /// How many audits the first provider holds; each of the others holds a fifth of that.
    pub records: usize,
    /// No event happened before this instant.
    pub from: DateTime<Utc>,
    /// All events happened before this instant.
    pub to: DateTime<Utc>,
    /// The present, until it is set.
    pub now: DateTime<Utc>,
    /// By how much every answer is delayed.
    pub latency: Duration,
}

impl ProvidersSpec {
    /// How long a sign-in lasts: a clock that is set on by days must not end it.
    pub(super) const EVER: Duration = Duration::from_hours(24 * 365);

    pub(super) fn clock(&self) -> Clock {
        Clock::Fixed(self.now)
    }
}

impl Providers {
    /// Generates what they hold and starts them.
    pub async fn start(spec: ProvidersSpec) -> Result<Self, SimError> {
        let start = |(start, share): (Start, usize)| {
            start(ProvidersSpec {
                records: spec.records / share,
                ..spec
            })
        };
        try_join_all(ALL.map(start)).await.map(Self)
    }

    /// All of them, the one with the most records first.
    pub fn all(&self) -> &[Box<dyn Simulated>] {
        &self.0
    }

    /// The variables that jobs.yaml takes from the environment, so that it finds these and asks as often as it can.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let own = self.0.iter().flat_map(|provider| provider.environment());
        let all = ("AUDITLAKE_ALLOW_HTTP", "true".to_owned());
        std::iter::once(all).chain(own).collect()
    }

    /// Makes this the present for all of them.
    pub fn set_now(&self, now: DateTime<Utc>) {
        for provider in &self.0 {
            provider.set_now(now);
        }
    }
}

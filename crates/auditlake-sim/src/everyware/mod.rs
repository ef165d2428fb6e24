//! A simulator of the audit log of Eurotech Everyware Cloud (REST API v2).
//!
//! One host, one call: `GET /v2/audit`. Each account has a log of its own, which only its own login shows.

mod body;
mod dataset;
pub mod endpoint;
mod generate;
mod huge;
mod request;
mod settings;
#[cfg(test)]
mod tests;
mod world;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use self::world::World;
use super::server::{Bound, Server};
use super::stage::router;
use super::{Counters, Faults, SimError, lock};

pub use self::dataset::{Dataset, DatasetSpec, Poison, PoisonKind, TimeForm, Truth};
pub use self::huge::HugeDay;
pub use self::settings::{Dates, Empty, ErrorForm, EverywareSettings, Form, Stray};

/// A running simulator; stops when it is dropped.
#[derive(Debug)]
pub struct Everyware {
    world: Arc<World>,
    api: Server,
}

/// Starts the simulator; it answers from the moment this returns.
pub async fn start(
    settings: EverywareSettings,
    dataset: impl Into<Arc<Dataset>>,
) -> Result<Everyware, SimError> {
    let api = Bound::new(settings.port).await?;
    let world = Arc::new(World::new(settings, dataset.into()));
    let gone = world.stage.gone.clone();
    Ok(Everyware {
        api: api.serve(router(&world, ()), gone),
        world,
    })
}

impl Everyware {
    /// Where the API is: scheme, host, port, and `/v2`.
    pub fn base_url(&self) -> String {
        format!("{}/v2", self.api.url())
    }

    /// The records that are served.
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.world.dataset
    }

    /// What was asked and answered so far.
    pub fn counters(&self) -> &Counters {
        &self.world.stage.counters
    }

    /// What is to go wrong.
    pub fn faults(&self) -> &Faults {
        &self.world.stage.faults
    }

    /// The present on the simulator's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.world.stage.clock.now()
    }

    /// Sets the simulator's clock; a system clock stands still from then on.
    pub fn set_now(&self, now: DateTime<Utc>) {
        self.world.stage.clock.set(now);
    }

    /// Moves the simulator's clock on; a system clock stands still from then on.
    pub fn advance(&self, by: Duration) {
        self.world.stage.clock.advance(by);
    }

    /// Changes what the provider does from the next call on; the port and the clock stay.
    pub fn change(&self, change: impl FnOnce(&mut EverywareSettings)) {
        change(&mut lock(&self.world.settings));
    }

    /// Delays every answer from now on by this much.
    pub fn set_latency(&self, latency: Duration) {
        self.world.stage.set_latency(latency);
    }

    /// The fewest calls that read this many days, each by itself: one a day.
    pub fn calls_needed(&self, days: u64) -> u64 {
        days
    }

    /// Takes no more calls, waits a moment for those in flight, and frees the port.
    pub async fn shutdown(self) {
        self.api.shutdown().await;
    }
}

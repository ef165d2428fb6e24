//! A simulator of the audit search of Avaya Experience Platform (AXP).
//!
//! One host, as the provider has it: the sign-in, and six services that share one call. Everything that nobody knows of
//! the provider is a setting, and everything that its own examples get wrong (links, default page sizes) is wrong here.

mod catalogue;
mod dataset;
pub mod endpoint;
mod generate;
mod page;
mod problem;
mod record;
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

pub use self::dataset::{Dataset, DatasetSpec, Poison, PoisonKind, Truth};
pub use self::settings::{
    AvayaSettings, Bound as DateBound, DateForms, Links, Pagination, Ties, TokenAnswer,
};

/// A running simulator; stops when it is dropped.
#[derive(Debug)]
pub struct Avaya {
    world: Arc<World>,
    api: Server,
}

/// Starts the simulator; it answers from the moment this returns.
pub async fn start(
    settings: AvayaSettings,
    dataset: impl Into<Arc<Dataset>>,
) -> Result<Avaya, SimError> {
    let bound = Bound::new(settings.port).await?;
    let world = Arc::new(World::new(settings, dataset.into(), bound.url()));
    let gone = world.stage.gone.clone();
    Ok(Avaya {
        api: bound.serve(router(&world, ()), gone),
        world,
    })
}

impl Avaya {
    /// Where the API is, sign-in included: scheme, host and port.
    pub fn base_url(&self) -> String {
        self.api.url()
    }

    /// The records that are served.
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.world.dataset
    }

    /// What was asked and answered so far.
    pub fn counters(&self) -> &Counters {
        &self.world.stage.counters
    }

    /// How often any service was searched.
    pub fn searches(&self) -> u64 {
        let counters = self.counters();
        endpoint::SEARCHES
            .iter()
            .map(|name| counters.calls(name))
            .sum()
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

    /// Makes every token that was issued so far invalid.
    pub fn revoke_tokens(&self) {
        self.world.tokens.revoke_all();
    }

    /// Replaces the application key that calls must show.
    pub fn set_app_key(&self, app_key: &str) {
        app_key.clone_into(&mut lock(&self.world.app_key));
    }

    /// Refuses the next `calls` searches because the tenant's quota is used up.
    pub fn exhaust_quota(&self, calls: u32) {
        *lock(&self.world.quota_refusals) = calls;
    }

    /// Takes the permission for a service away.
    pub fn forbid_service(&self, service: &str) {
        lock(&self.world.forbidden).insert(service.to_owned());
    }

    /// Gives the permission for a service back.
    pub fn allow_service(&self, service: &str) {
        lock(&self.world.forbidden).remove(service);
    }

    /// Delays every answer from now on by this much.
    pub fn set_latency(&self, latency: Duration) {
        self.world.stage.set_latency(latency);
    }

    /// Takes no more calls, waits a moment for those in flight, and frees the port.
    pub async fn shutdown(self) {
        self.api.shutdown().await;
    }
}

//! A simulator of the Genesys Cloud audit API.
//!
//! Three hosts, as the provider has them: the API, the sign-in, and the store of large results. Each is a port of the
//! loopback address, so that a client which mixes them up, or takes its token along to the store, is found out.

mod answer;
mod catalogue;
mod dataset;
mod downloads;
pub mod endpoint;
mod generate;
mod page;
mod people;
mod record;
mod request;
mod settings;
#[cfg(test)]
mod tests;
mod transactions;
mod world;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use self::endpoint::Host;
use self::world::World;
use super::server::{Bound, Server};
use super::stage::router;
use super::{Counters, Faults, SimError, lock};

pub use self::dataset::{Dataset, DatasetSpec, Poison, PoisonKind, Truth};
pub use self::settings::{
    Compression, DownloadAddress, DownloadShape, GenesysSettings, IntervalBound, Totals,
};

/// A running simulator; stops when it is dropped.
#[derive(Debug)]
pub struct Genesys {
    world: Arc<World>,
    api: Server,
    login: Server,
    downloads: Server,
}

/// Starts the simulator; it answers from the moment this returns.
pub async fn start(
    settings: GenesysSettings,
    dataset: impl Into<Arc<Dataset>>,
) -> Result<Genesys, SimError> {
    let api = Bound::new(settings.port).await?;
    let login = Bound::new(settings.login_port).await?;
    let downloads = Bound::new(0).await?;
    let world = Arc::new(World::new(settings, dataset.into(), downloads.url()));
    let gone = world.stage.gone.clone();
    Ok(Genesys {
        api: api.serve(router(&world, Host::Api), gone.clone()),
        login: login.serve(router(&world, Host::Login), gone.clone()),
        downloads: downloads.serve(router(&world, Host::Downloads), gone),
        world,
    })
}

impl Genesys {
    /// Where the API is: scheme, host and port.
    pub fn base_url(&self) -> String {
        self.api.url()
    }

    /// Where the sign-in is: scheme, host and port; the token's path is `/oauth/token`.
    pub fn login_url(&self) -> String {
        self.login.url()
    }

    /// Where downloads are: scheme, host and port.
    pub fn download_url(&self) -> String {
        self.downloads.url()
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

    /// Makes every token that was issued so far invalid.
    pub fn revoke_tokens(&self) {
        self.world.tokens.revoke_all();
    }

    /// Forgets every query that was submitted so far.
    pub fn expire_transactions(&self) {
        lock(&self.world.transactions).expire_all();
    }

    /// Makes every cursor that was issued so far invalid; the queries stay.
    pub fn expire_cursors(&self) {
        lock(&self.world.transactions).expire_cursors();
    }

    /// Makes the next `times` queries end in this state (`Failed`, `Cancelled`, or one unheard of) rather than in success.
    pub fn end_next_queries_as(&self, state: &str, times: usize) {
        let states = std::iter::repeat_n(state.to_owned(), times);
        lock(&self.world.transactions).outcomes.extend(states);
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

    /// Takes no more calls, waits a moment for those in flight, and frees the ports.
    pub async fn shutdown(self) {
        tokio::join!(
            self.api.shutdown(),
            self.login.shutdown(),
            self.downloads.shutdown()
        );
    }
}

//! A simulator of LivePerson's audit trail.
//!
//! Four hosts, as the provider has them: the look-up, the sentinel (OAuth 2.0), the login service, and the
//! configuration service that the audit trail is asked of. Each is a port of the loopback address, and the look-up is
//! the only one that a client may know of beforehand.

mod answer;
mod dataset;
pub mod endpoint;
mod generate;
mod question;
mod row;
mod settings;
mod signed_in;
#[cfg(test)]
mod tests;
mod world;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};

use self::endpoint::Host;
use self::world::World;
use super::server::{Bound, Server};
use super::stage::router;
use super::{Counters, Faults, SimError, lock};

pub use self::dataset::{Dataset, DatasetSpec, PoisonKind, Truth, calls_needed};
pub use self::settings::{
    DayZone, ListForm, LivePersonSettings, LookUpForm, Order, Ties, TotalCount, UserKey,
};

const CONFIGURATION: &str = "accountConfigReadOnly";
const SENTINEL: &str = "sentinel";
const LOGIN: &str = "agentVep";

/// A running simulator; stops when it is dropped.
#[derive(Debug)]
pub struct LivePerson {
    world: Arc<World>,
    look_up: Server,
    sentinel: Server,
    login: Server,
    configuration: Mutex<Option<Server>>,
}

/// Starts the simulator; it answers from the moment this returns.
pub async fn start(
    settings: LivePersonSettings,
    dataset: impl Into<Arc<Dataset>>,
) -> Result<LivePerson, SimError> {
    let look_up = Bound::new(settings.port).await?;
    let sentinel = Bound::new(0).await?;
    let login = Bound::new(0).await?;
    let configuration = Bound::new(0).await?;
    let hosts = BTreeMap::from([
        (SENTINEL, host(&sentinel.url())),
        (LOGIN, host(&login.url())),
        (CONFIGURATION, host(&configuration.url())),
        ("accountConfigReadWrite", host(&configuration.url())),
    ]);
    let world = Arc::new(World::new(settings, dataset.into(), hosts));
    let gone = world.stage.gone.clone();
    let serve = |bound: Bound, host: Host| bound.serve(router(&world, host), gone.clone());
    // one that moves away must not take the others' calls with it
    let movable = configuration.serve(router(&world, Host::Configuration), gone.child_token());
    Ok(LivePerson {
        look_up: serve(look_up, Host::LookUp),
        sentinel: serve(sentinel, Host::Sentinel),
        login: serve(login, Host::Login),
        configuration: Mutex::new(Some(movable)),
        world,
    })
}

impl LivePerson {
    /// Where the look-up is: scheme, host and port.
    pub fn domain_url(&self) -> String {
        self.look_up.url()
    }

    /// Where the sentinel is: scheme, host and port.
    pub fn sentinel_url(&self) -> String {
        self.sentinel.url()
    }

    /// Where the login service is: scheme, host and port.
    pub fn login_url(&self) -> String {
        self.login.url()
    }

    /// Where the configuration service is now: scheme, host and port.
    pub fn configuration_url(&self) -> String {
        let hosts = lock(&self.world.hosts);
        let host = hosts.get(CONFIGURATION).map(String::as_str);
        format!("http://{}", host.unwrap_or_default())
    }

    /// The rows that are served.
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

    /// Makes every token and every session invalid.
    pub fn sign_all_out(&self) {
        self.world.signed_in.sign_all_out();
    }

    /// Moves the configuration service to another port. The old one is free afterwards, and nobody answers there.
    pub async fn move_configuration(&self) -> Result<(), SimError> {
        let bound = Bound::new(0).await?;
        let url = host(&bound.url());
        let gone = self.world.stage.gone.child_token();
        let server = bound.serve(router(&self.world, Host::Configuration), gone);
        let old = lock(&self.configuration).replace(server);
        {
            let mut hosts = lock(&self.world.hosts);
            hosts.insert(CONFIGURATION, url.clone());
            hosts.insert("accountConfigReadWrite", url);
        }
        if let Some(old) = old {
            old.shutdown().await;
        }
        Ok(())
    }

    /// Makes the look-up of a service fail with this status; 200 makes it well again.
    pub fn fail_look_up(&self, service: &str, status: u16) {
        let mut failing = lock(&self.world.failing);
        if status == 200 {
            failing.remove(service);
        } else {
            failing.insert(service.to_owned(), status);
        }
    }

    /// Makes the look-up name a host for a service that isn't the simulator's.
    pub fn name_host(&self, service: &str, host: &str) {
        let mut hosts = lock(&self.world.hosts);
        if let Some(named) = hosts.get_mut(service) {
            host.clone_into(named);
        }
    }

    /// Takes the privilege for the audit trail away.
    pub fn forbid(&self) {
        self.world.forbidden.store(true, Ordering::Relaxed);
    }

    /// Makes the next pages come with half of their rows, and with errors.
    pub fn make_partial(&self, pages: u32) {
        self.world.partial.store(pages, Ordering::Relaxed);
    }

    /// Delays every answer from now on by this much.
    pub fn set_latency(&self, latency: Duration) {
        self.world.stage.set_latency(latency);
    }

    /// Takes no more calls, waits a moment for those in flight, and frees the ports.
    pub async fn shutdown(self) {
        let configuration = lock(&self.configuration).take();
        let stop = async {
            if let Some(configuration) = configuration {
                configuration.shutdown().await;
            }
        };
        tokio::join!(
            self.look_up.shutdown(),
            self.sentinel.shutdown(),
            self.login.shutdown(),
            stop
        );
    }
}

/// Host and port of a base: the look-up names no scheme.
fn host(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

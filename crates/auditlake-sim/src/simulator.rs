//! A running simulator of any provider.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio_util::sync::DropGuard;

use super::server::{Port, Server};
use super::stage::{Provider, Settings, Stage, router};
use super::{Counters, Dataset, Faults, SimError, lock};

/// A running simulator; stops when it is dropped.
#[derive(Debug)]
pub struct Simulator<P> {
    pub(crate) provider: Arc<P>,
    /// In the order of [`Provider::HOSTS`].
    servers: Mutex<Vec<Server>>,
    _gone: DropGuard,
}

/// Starts the simulator with these settings. It answers as soon as this function returns.
pub async fn start<S: Settings>(
    settings: S,
    dataset: impl Into<Arc<Dataset<<S::Provider as Provider>::Content>>>,
) -> Result<Simulator<S::Provider>, SimError> {
    let (port, clock, latency) = settings.basics();
    let mut ports = Vec::new();
    for number in 0..<S::Provider as Provider>::HOSTS.len() {
        ports.push(Port::open(if number == 0 { port } else { 0 }).await?);
    }
    let urls: Vec<String> = ports.iter().map(Port::url).collect();
    let stage = Stage::new(dataset.into(), clock, latency);
    let gone = stage.gone.clone().drop_guard();
    let provider = Arc::new(S::Provider::new(settings, stage, &urls));
    let hosts = <S::Provider as Provider>::HOSTS.iter();
    let servers = hosts.zip(ports);
    let servers = servers.map(|(host, port)| port.serve(router(&provider, *host)));
    Ok(Simulator {
        servers: Mutex::new(servers.collect()),
        provider,
        _gone: gone,
    })
}

impl<P: Provider> Simulator<P> {
    /// The records that the simulator serves.
    pub fn dataset(&self) -> &Arc<Dataset<P::Content>> {
        &self.provider.stage().dataset
    }

    /// The counts of calls and answers.
    pub fn counters(&self) -> &Counters {
        &self.provider.stage().counters
    }

    /// The faults to inject.
    pub fn faults(&self) -> &Faults {
        &self.provider.stage().faults
    }

    /// The time of the simulator's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.provider.stage().clock.now()
    }

    /// Sets the simulator's clock. A system clock becomes a fixed one.
    pub fn set_now(&self, now: DateTime<Utc>) {
        self.provider.stage().clock.set(now);
    }

    /// Advances the simulator's clock. A system clock becomes a fixed one.
    pub fn advance(&self, by: Duration) {
        self.provider.stage().clock.advance(by);
    }

    /// Sets the delay of every later answer.
    pub fn set_latency(&self, latency: Duration) {
        self.provider.stage().set_latency(latency);
    }

    /// Stops accepting calls, waits briefly for those in flight, and frees the ports.
    pub async fn shutdown(self) {
        let servers = std::mem::take(&mut *lock(&self.servers));
        join_all(servers.into_iter().map(Server::shutdown)).await;
    }

    /// The URL of a host: scheme, host and port.
    pub(crate) fn url_of(&self, host: P::Host) -> String {
        let place = P::HOSTS.iter().position(|(known, _)| *known == host);
        let servers = lock(&self.servers);
        let server = place.and_then(|place| servers.get(place));
        server.map(Server::url).unwrap_or_default()
    }

    /// Moves a host to another port and passes its new URL to `announce`. Afterwards the old port is free, and connections
    /// to it are refused.
    pub(crate) async fn move_host(
        &self,
        host: P::Host,
        announce: impl FnOnce(String),
    ) -> Result<(), SimError> {
        let port = Port::open(0).await?;
        announce(port.url());
        let place = P::HOSTS.iter().position(|(known, _)| *known == host);
        let place = place.unwrap_or_default();
        let mut server = port.serve(router(&self.provider, P::HOSTS[place]));
        if let Some(old) = lock(&self.servers).get_mut(place) {
            std::mem::swap(old, &mut server);
        }
        server.shutdown().await;
        Ok(())
    }
}

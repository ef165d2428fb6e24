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

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use self::answer::Answer;
use self::endpoint::{Host, Target};
use self::world::{Call, World};
use super::server::{Bound, Server};
use super::socket::Breaker;
use super::{Counters, Fault, Faults, SimError, lock};

pub use self::dataset::{Dataset, DatasetSpec, Poison, PoisonKind, Truth};
pub use self::settings::{
    Compression, DownloadAddress, DownloadShape, GenesysSettings, IntervalBound, Totals,
};

/// The largest request body that the provider reads.
const LARGEST_BODY: usize = 512_000;

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
    let gone = CancellationToken::new();
    let world = Arc::new(World::new(
        settings,
        dataset.into(),
        downloads.url(),
        gone.clone(),
    ));
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
        &self.world.counters
    }

    /// What is to go wrong.
    pub fn faults(&self) -> &Faults {
        &self.world.faults
    }

    /// The present on the simulator's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.world.clock.now()
    }

    /// Sets the simulator's clock; a system clock stands still from then on.
    pub fn set_now(&self, now: DateTime<Utc>) {
        self.world.clock.set(now);
    }

    /// Moves the simulator's clock on; a system clock stands still from then on.
    pub fn advance(&self, by: Duration) {
        self.world.clock.advance(by);
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
        *lock(&self.world.latency) = latency;
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

fn router(world: &Arc<World>, host: Host) -> Router {
    let world = Arc::clone(world);
    Router::new().fallback(
        move |ConnectInfo(breaker): ConnectInfo<Breaker>, request: Request<Body>| {
            let world = Arc::clone(&world);
            async move {
                tokio::select! {
                    response = respond(&world, host, &breaker, request) => response,
                    () = world.gone.cancelled() => Answer::html(503).into_response(),
                }
            }
        },
    )
}

/// One call from its first byte to its answer.
async fn respond(
    world: &World,
    host: Host,
    breaker: &Breaker,
    request: Request<Body>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let target = Target::of(host, parts.method.as_str(), parts.uri.path());
    let _in_flight = world.counters.enter(target.name());
    let fault = world.faults.take(target.name());
    if let Some(Fault::Hold(until)) = &fault {
        until.cancelled().await;
    }
    let answer = match (&fault, to_bytes(body, LARGEST_BODY).await) {
        (
            Some(Fault::Status {
                status,
                retry_after,
            }),
            _,
        ) => world.fault(target, *status, retry_after.as_deref()),
        (Some(Fault::Html { status }), _) => Answer::html(*status),
        (_, Err(_)) => world.fault(target, 413, None),
        (_, Ok(body)) => world.answer(&Call {
            target,
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            body: &body,
        }),
    };
    let latency = *lock(&world.latency);
    let latency = latency
        + if let Some(Fault::Delay(by)) = &fault {
            *by
        } else {
            Duration::ZERO
        };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    world.counters.answered(answer.status);
    spoil(answer, fault.as_ref(), breaker).into_response()
}

/// Does to an answer what a fault does on its way.
fn spoil(mut answer: Answer, fault: Option<&Fault>, breaker: &Breaker) -> Answer {
    match fault {
        Some(Fault::TruncatedBody) => answer.body.truncate(answer.body.len() / 2),
        // Enough for the headers, and never for all of a body that is padded to twice that.
        Some(Fault::CutBody) => {
            answer
                .body
                .resize(answer.body.len() + 2 * HEADERS_AT_MOST, b' ');
            breaker.close_after(HEADERS_AT_MOST + answer.body.len() / 4);
        }
        Some(Fault::Reset) => breaker.reset(),
        _ => {}
    }
    answer
}

/// More than the headers of any answer.
const HEADERS_AT_MOST: usize = 2_048;

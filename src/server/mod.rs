//! The daemon's HTTP server: is it alive, is it ready, where do its jobs stand. It only reads.

mod api;
pub mod board;
mod health;
mod host;
mod pages;
mod problem;
mod scrape;
mod serving;
#[cfg(test)]
mod surfaces;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

pub use board::StatusCache;
pub use host::AllowedHosts;

use self::problem::ApiProblem;
use crate::foreign::OutputForm;
use crate::metrics::Metrics;

/// How long an answer may take to be made.
const ANSWER: Duration = Duration::from_secs(30);
/// How many are made at a time; who comes beyond that is sent away.
const AT_A_TIME: usize = 64;
/// What each answer says of itself. A page may use its own style, script and images, and ask this server again.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// What still keeps the daemon from doing its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing: the configuration is read, the lake answers, the scheduler is up.
    Ready,
    /// This.
    NotYet(String),
}

/// What answers are made of. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Site {
    /// What is known of the jobs; another one once the configuration was read again.
    pub board: watch::Receiver<Arc<StatusCache>>,
    /// Whether the daemon can work.
    pub readiness: watch::Receiver<Readiness>,
    /// The names by which the server may be called.
    pub hosts: watch::Receiver<Arc<AllowedHosts>>,
    /// What is counted.
    pub metrics: Metrics,
}

impl Site {
    /// What is known of the jobs of the configuration as it is now.
    pub fn board(&self) -> Arc<StatusCache> {
        Arc::clone(&self.board.borrow())
    }
}

/// The listening address is taken, or not this machine's.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on `{address}`; set `server.listen` to another address")]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Listens; nothing is answered before [`serve`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ListenError { address, source })
}

/// Answers until `stop` is cancelled.
pub async fn serve(listener: TcpListener, site: Site, stop: CancellationToken) {
    serving::serve(&listener, &router(site), &serving::Bounds::default(), &stop).await;
}

/// All that the server answers.
pub fn router(site: Site) -> Router {
    let hosts = site.hosts.clone();
    Router::new()
        .merge(api::routes())
        .merge(pages::routes())
        .layer(from_fn_with_state(
            Arc::new(Semaphore::new(AT_A_TIME)),
            in_bounds,
        ))
        // whoever asks whether the daemon is alive doesn't queue behind those who look at pages
        .merge(health::routes())
        .merge(scrape::routes())
        .with_state(site)
        .layer(from_fn(only_reads))
        .layer(from_fn_with_state(hosts, host::check))
        .layer(from_fn(fit_to_show))
        .layer(from_fn(with_headers))
}

/// Nothing can be changed here.
async fn only_reads(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let allow = [(ALLOW, "GET, HEAD")];
    let problem = ApiProblem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this server only reads: use GET or HEAD",
    );
    (allow, problem).into_response()
}

/// Few at a time, and none for long.
async fn in_bounds(State(free): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let refuse = |said: &'static str| {
        let soon = [(RETRY_AFTER, "5")];
        (soon, ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, said)).into_response()
    };
    let Ok(_place) = free.try_acquire() else {
        return refuse("too many requests are under way; try again in a moment");
    };
    tokio::time::timeout(ANSWER, next.run(request))
        .await
        .unwrap_or_else(|_| refuse("the answer took too long; try again in a moment"))
}

/// What is shown was written by whoever: it steers nothing, on a page or on the terminal of one who asks by `curl`.
async fn fit_to_show(request: Request, next: Next) -> Response {
    let (mut head, body) = next.run(request).await.into_parts();
    let kind = head.headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let shown = if kind.starts_with("text/html") || kind.starts_with("text/plain") {
        OutputForm::Text
    } else if kind.starts_with("application/") && kind.contains("json") {
        OutputForm::Json
    } else {
        return Response::from_parts(head, body);
    };
    // every body here was made whole before it was answered with
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let text = String::from_utf8_lossy(&bytes);
    let body = match shown.of(&text) {
        Cow::Borrowed(_) => Body::from(bytes),
        Cow::Owned(text) => {
            head.headers.remove(CONTENT_LENGTH); // counted anew
            Body::from(text)
        }
    };
    Response::from_parts(head, body)
}

async fn with_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

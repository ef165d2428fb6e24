//! The daemon's HTTP server: health, readiness, and the status of jobs. Read-only.

mod api;
pub(crate) mod board;
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

pub(crate) use board::StatusCache;
pub(crate) use host::AllowedHosts;

use self::problem::ApiProblem;
use crate::foreign::OutputForm;
use crate::metrics::Metrics;

/// The timeout of a request.
const ANSWER: Duration = Duration::from_secs(30);
/// The number of concurrent requests; further requests get 503.
const AT_A_TIME: usize = 64;
/// The headers of every answer. A page may use its own style, script and images, and send requests to this server.
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

/// The readiness of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Ready: the configuration is loaded, the lake answers, and the scheduler runs.
    Ready,
    /// Not ready, for this reason.
    NotYet(String),
}

/// The state of the server. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The status of the jobs; replaced when the configuration is reloaded.
    pub board: watch::Receiver<Arc<StatusCache>>,
    /// The readiness of the daemon.
    pub readiness: watch::Receiver<Readiness>,
    /// The accepted host names.
    pub hosts: watch::Receiver<Arc<AllowedHosts>>,
    /// The metrics.
    pub metrics: Metrics,
}

impl Site {
    /// Returns the status cache of the current configuration.
    pub(crate) fn board(&self) -> Arc<StatusCache> {
        Arc::clone(&self.board.borrow())
    }
}

/// The listening address is in use or isn't local.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on `{address}`; set `server.listen` to another address")]
pub(crate) struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Binds the address. Nothing is answered before [`serve`].
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ListenError { address, source })
}

/// Serves requests until `stop` is cancelled.
pub(crate) async fn serve(listener: TcpListener, site: Site, stop: CancellationToken) {
    serving::serve(&listener, &router(site), &serving::Bounds::default(), &stop).await;
}

/// Returns the routes of the server.
pub(crate) fn router(site: Site) -> Router {
    let hosts = site.hosts.clone();
    Router::new()
        .merge(api::routes())
        .merge(pages::routes())
        .layer(from_fn_with_state(
            Arc::new(Semaphore::new(AT_A_TIME)),
            in_bounds,
        ))
        // health checks don't wait for page requests
        .merge(health::routes())
        .merge(scrape::routes())
        .with_state(site)
        .layer(from_fn(only_reads))
        .layer(from_fn_with_state(hosts, host::check))
        .layer(from_fn(fit_to_show))
        .layer(from_fn(with_headers))
}

/// Refuses methods that aren't read-only.
async fn only_reads(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let allow = [(ALLOW, "GET, HEAD")];
    let problem = ApiProblem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this server is read-only: use GET or HEAD",
    );
    (allow, problem).into_response()
}

/// Limits the number and the duration of requests.
async fn in_bounds(State(free): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let refuse = |message: &'static str| {
        let soon = [(RETRY_AFTER, "5")];
        (
            soon,
            ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, message),
        )
            .into_response()
    };
    let Ok(_place) = free.try_acquire() else {
        return refuse("too many concurrent requests; try again in a moment");
    };
    tokio::time::timeout(ANSWER, next.run(request))
        .await
        .unwrap_or_else(|_| refuse("the answer took too long; try again in a moment"))
}

/// Sanitises bodies, which contain external text, for pages as well as for the terminal of a `curl` user.
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
    // every body was completed before the answer began
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let text = String::from_utf8_lossy(&bytes);
    let body = match shown.of(&text) {
        Cow::Borrowed(_) => Body::from(bytes),
        Cow::Owned(text) => {
            head.headers.remove(CONTENT_LENGTH); // computed again
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

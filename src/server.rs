//! The daemon's HTTP server: is it alive, is it ready. It only reads.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What still keeps the daemon from doing its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing: the configuration is read, the lake answers, the scheduler is up.
    Ready,
    /// This.
    NotYet(String),
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

/// Answers `/healthz` (200 while the process lives) and `/readyz` (200 once it is ready, else 503 and why), until
/// `stop` is cancelled.
pub async fn serve(
    listener: TcpListener,
    readiness: watch::Receiver<Readiness>,
    stop: CancellationToken,
) {
    let ended = axum::serve(listener, router(readiness))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    if let Err(error) = ended {
        tracing::error!(error = %error, "the status server ended");
    }
}

fn router(readiness: watch::Receiver<Readiness>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(readiness)
}

async fn readyz(State(readiness): State<watch::Receiver<Readiness>>) -> (StatusCode, String) {
    match &*readiness.borrow() {
        Readiness::Ready => (StatusCode::OK, "ready\n".to_owned()),
        Readiness::NotYet(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {reason}\n"),
        ),
    }
}

//! Limits on connections. Without them, clients could exhaust the process's file descriptors, which pulls need too.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry::error_chain;

/// The limits on connections.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// The maximum number of open connections; others wait to be accepted.
    pub(super) connections: usize,
    /// The timeout for receiving a request, and for an idle connection.
    pub(super) request: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 256,
            request: Duration::from_secs(10),
        }
    }
}

/// The pause after a connection couldn't be accepted, most likely because no file descriptor is left.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves until `stop` is cancelled and the current requests are answered.
pub(super) async fn serve(
    listener: &TcpListener,
    router: &Router,
    bounds: &Bounds,
    stop: &CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.request);
    let places = Arc::new(Semaphore::new(bounds.connections));
    let open = TaskTracker::new();
    let serving = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await; // never closed
            let stream = accept(listener).await;
            let service = TowerToHyperService::new(router.clone());
            let connection = http.serve_connection(TokioIo::new(stream), service);
            let stop = stop.clone();
            open.spawn(async move {
                let mut connection = pin!(connection);
                let ended = tokio::select! {
                    ended = &mut connection => ended,
                    () = stop.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                };
                if let Err(error) = ended {
                    tracing::debug!(
                        error = error_chain(&error),
                        "a connection to the status server broke"
                    );
                }
                drop(place);
            });
        }
    };
    tokio::select! {
        () = serving => {}
        () = stop.cancelled() => {}
    }
    open.close();
    open.wait().await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(
                    error = error_chain(&error),
                    "the status server can't accept a connection; trying again"
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn who_says_nothing_makes_room_for_who_asks() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let bounds = Bounds {
            connections: 1,
            request: Duration::from_millis(50),
        };
        let server = {
            let stop = stop.clone();
            let router = Router::new().route("/", get(async || "here"));
            tokio::spawn(async move { serve(&listener, &router, &bounds, &stop).await })
        };
        // a client that sends half a request, and one that stays connected after its answer
        for message in [
            "GET / HTTP/1.1\r\nHost: 127",
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        ] {
            let mut first = TcpStream::connect(address).await.unwrap();
            first.write_all(message.as_bytes()).await.unwrap();
            let mut second = TcpStream::connect(address).await.unwrap();
            second
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
            let mut answer = String::new();
            second.read_to_string(&mut answer).await.unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"),
                "{answer}"
            );
        }
        stop.cancel();
        server.await.unwrap();
    }
}

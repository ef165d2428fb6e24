//! A server on the loopback address that starts, stops, and stops when dropped.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::socket::{Breaker, Sockets};

/// How long a stop waits for calls in flight before it gives them up.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Why a simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The port could not be opened.
    #[error("cannot listen on port `{port}` of the loopback address")]
    Listen {
        /// The port asked for; 0 is any.
        port: u16,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A port that nothing answers on yet, so that a provider can know its own address.
#[derive(Debug)]
pub(super) struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

/// A server that answers until it is stopped or dropped.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Port {
    /// Takes a port of the loopback address, any for 0.
    pub(super) async fn open(port: u16) -> Result<Self, SimError> {
        let listen = |source| SimError::Listen { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { listener, address })
    }

    /// Scheme, host and port, without a slash at the end.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until stopped.
    pub(super) fn serve(self, router: Router) -> Server {
        let stop = CancellationToken::new();
        let service = router.into_make_service_with_connect_info::<Breaker>();
        let serve = axum::serve(Sockets(self.listener), service)
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let task = tokio::spawn(async move {
            if let Err(error) = serve.await {
                tracing::warn!(%error, "simulator stopped");
            }
        });
        Server {
            address: self.address,
            stop,
            task: Some(task),
        }
    }
}

impl Server {
    /// Scheme, host and port, without a slash at the end.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes no more calls, and waits a moment for those in flight. The port is free afterwards.
    pub(super) async fn shutdown(mut self) {
        self.stop.cancel();
        let Some(mut task) = self.task.take() else {
            return;
        };
        if tokio::time::timeout(STOP_GRACE, &mut task).await.is_err() {
            task.abort();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

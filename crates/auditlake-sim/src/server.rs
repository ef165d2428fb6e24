//! A server on the loopback address that starts, stops, and stops when dropped.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::socket::{Breaker, Sockets};

/// How long a stop waits for calls in flight before it cancels them.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// The reason why a simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The port could not be opened.
    #[error("cannot listen on port `{port}` of the loopback address")]
    Listen {
        /// The requested port; 0 for any.
        port: u16,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// A reserved port that doesn't answer yet, so that a provider can be given its own address.
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
    /// Reserves a port on the loopback address; 0 for any.
    pub(super) async fn open(port: u16) -> Result<Self, SimError> {
        let listen = |source| SimError::Listen { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { listener, address })
    }

    /// The scheme, host and port, without a trailing slash.
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
    /// The scheme, host and port, without a trailing slash.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops accepting calls and waits briefly for those in flight. Afterwards the port is free.
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

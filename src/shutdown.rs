//! Signals: the first requests a clean stop, and the second ends the process.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The signals that the process has received.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown {
    /// Cancelled by the first SIGTERM or SIGINT.
    pub stop: CancellationToken,
    /// Cancelled by the second signal: callers stop waiting for a clean end.
    pub now: CancellationToken,
    code: watch::Receiver<Option<u8>>,
}

impl Shutdown {
    /// Starts listening for signals.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let (mut term, mut int) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let (stop, now) = (CancellationToken::new(), CancellationToken::new());
        let (sender, code) = watch::channel(None);
        let shutdown = Self {
            stop: stop.clone(),
            now: now.clone(),
            code,
        };
        tokio::spawn(async move {
            let first = either(&mut term, &mut int).await;
            sender.send_replace(Some(first));
            tracing::info!(
                "stopping: the current pages finish, and a run commits them; a second signal stops at once"
            );
            stop.cancel();
            either(&mut term, &mut int).await;
            now.cancel();
        });
        Ok(shutdown)
    }

    /// Returns the exit code of an interrupted command: 130 for SIGINT, 143 for SIGTERM; `None` without a signal.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        *self.code.borrow()
    }
}

async fn either(term: &mut Signal, int: &mut Signal) -> u8 {
    tokio::select! {
        _ = term.recv() => 143,
        _ = int.recv() => 130,
    }
}

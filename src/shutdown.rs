//! Signals: the first asks to stop, and a second one means it.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the process was told.
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// Cancelled by the first SIGTERM or SIGINT.
    pub stop: CancellationToken,
    /// Cancelled by the second: whoever waits for a clean end stops waiting.
    pub now: CancellationToken,
    code: watch::Receiver<Option<u8>>,
}

impl Shutdown {
    /// Listens from now on.
    pub fn listen() -> std::io::Result<Self> {
        let (mut term, mut int) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let (stop, now) = (CancellationToken::new(), CancellationToken::new());
        let (told, code) = watch::channel(None);
        let shutdown = Self {
            stop: stop.clone(),
            now: now.clone(),
            code,
        };
        tokio::spawn(async move {
            let first = either(&mut term, &mut int).await;
            told.send_replace(Some(first));
            tracing::info!(
                "stopping: the current pages finish, and a run commits them; a second signal stops at once"
            );
            stop.cancel();
            either(&mut term, &mut int).await;
            now.cancel();
        });
        Ok(shutdown)
    }

    /// The exit code of an interrupted command: 130 for SIGINT, 143 for SIGTERM; none if there was no signal.
    pub fn exit_code(&self) -> Option<u8> {
        *self.code.borrow()
    }
}

async fn either(term: &mut Signal, int: &mut Signal) -> u8 {
    tokio::select! {
        _ = term.recv() => 143,
        _ = int.recv() => 130,
    }
}

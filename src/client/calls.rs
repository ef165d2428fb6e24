//! What one run, or one window of it, has sent: a connection serves several at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// Counts the requests that are sent for somebody: calls, downloads, and the sign-ins and look-ups that a call of theirs
/// was the first to need. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<CallCounts>);

#[derive(Debug, Default)]
struct CallCounts {
    sent: AtomicU64,
    retries: AtomicU64,
    taken: Mutex<(u64, u64)>,
    whole: Option<Calls>,
}

impl Calls {
    /// A part of these: what it counts, these count, too.
    pub(super) fn part(&self) -> Self {
        Self(Arc::new(CallCounts {
            whole: Some(self.clone()),
            ..CallCounts::default()
        }))
    }

    /// How many were sent, each attempt counted, and how many of these were sent again after a passing failure.
    pub fn all(&self) -> (u64, u64) {
        let CallCounts { sent, retries, .. } = &*self.0;
        (
            sent.load(Ordering::Relaxed),
            retries.load(Ordering::Relaxed),
        )
    }

    /// The same of those that were not taken yet; each is taken once.
    pub fn take(&self) -> (u64, u64) {
        let CallCounts {
            sent,
            retries,
            taken,
            ..
        } = &*self.0;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all = (
            sent.load(Ordering::Relaxed),
            retries.load(Ordering::Relaxed),
        );
        let (sent, retries) = std::mem::replace(&mut *taken, all);
        (all.0 - sent, all.1 - retries)
    }

    pub(super) fn count(&self, again: bool) {
        self.0.sent.fetch_add(1, Ordering::Relaxed);
        (self.0.retries).fetch_add(u64::from(again), Ordering::Relaxed);
        if let Some(whole) = &self.0.whole {
            whole.count(again);
        }
    }
}

/// On whose behalf a request is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller<'a> {
    /// Cancelled when they no longer want it.
    pub(super) stop: &'a CancellationToken,
    pub(super) calls: Option<&'a Calls>,
}

//! Counts of the requests of a run or a window, as a connection serves several at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// Counts the requests of a caller: calls, downloads, and the sign-ins and look-ups that its calls were the first to
/// need. Clones share the counts.
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
    /// Returns a part of these counts; its requests are also counted here.
    pub(super) fn part(&self) -> Self {
        Self(Arc::new(CallCounts {
            whole: Some(self.clone()),
            ..CallCounts::default()
        }))
    }

    /// Returns the number of requests, including retries, and the number of retries.
    pub fn all(&self) -> (u64, u64) {
        let CallCounts { sent, retries, .. } = &*self.0;
        (
            sent.load(Ordering::Relaxed),
            retries.load(Ordering::Relaxed),
        )
    }

    /// Takes the same numbers since the last call.
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

/// The caller of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller<'a> {
    /// Cancelled when the caller no longer needs the answer.
    pub(super) stop: &'a CancellationToken,
    pub(super) calls: Option<&'a Calls>,
}

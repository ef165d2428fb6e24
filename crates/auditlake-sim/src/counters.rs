//! Counts of a simulator's calls and answers, for tests.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::Notify;

use super::lock;

/// Counts of calls and answers, including refused calls.
#[derive(Debug, Default)]
pub struct Counters {
    counts: Mutex<Counts>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    calls: BTreeMap<&'static str, u64>,
    answers: BTreeMap<u16, u64>,
}

impl Counters {
    /// The number of calls to this endpoint.
    pub fn calls(&self, endpoint: &str) -> u64 {
        lock(&self.counts).calls.get(endpoint).copied().unwrap_or(0)
    }

    /// The number of calls to all endpoints.
    pub fn total_calls(&self) -> u64 {
        lock(&self.counts).calls.values().sum()
    }

    /// The number of answers with this status.
    pub fn answers(&self, status: u16) -> u64 {
        lock(&self.counts)
            .answers
            .get(&status)
            .copied()
            .unwrap_or(0)
    }

    /// The number of calls refused with 429.
    pub fn rate_limited(&self) -> u64 {
        self.answers(429)
    }

    /// Waits until this endpoint has been called at least `calls` times since the start.
    pub async fn reached(&self, endpoint: &str, calls: u64) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.calls(endpoint) >= calls {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn called(&self, endpoint: &'static str) {
        *lock(&self.counts).calls.entry(endpoint).or_default() += 1;
        self.changed.notify_waiters();
    }

    pub(super) fn answered(&self, status: u16) {
        *lock(&self.counts).answers.entry(status).or_default() += 1;
    }
}

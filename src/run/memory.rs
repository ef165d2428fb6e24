//! The memory budget of all runs of a process, which bounds the bytes that they hold together with any volume and any
//! number of concurrent jobs.
//!
//! Received pages wait for room before they are decoded. A sink never waits for room, so that pages always get it
//! eventually. Open parts are committed when they fill their run's share, so more concurrent runs have smaller files.
//! An answer that is being received isn't counted; it takes at most [`body_cap`](crate::client::ClientLimits::body_cap)
//! for each window in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The maximum text of all pages from their arrival until they are written, in KiB.
const PAGES_KIB: u32 = 64 << 10;
/// The maximum size of the open parts of all runs in bytes, unless `target_file_size` is larger.
const PARTS: u64 = 256 << 20;

/// The memory budget. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryBudget(Arc<BudgetState>);

#[derive(Debug)]
struct BudgetState {
    pages: Arc<Semaphore>,
    pages_kib: u32,
    /// The overdraft: a holder that needs more than is available may take it, one at a time. Otherwise several holders
    /// could wait for each other.
    overdraft: Arc<Semaphore>,
    runs: AtomicU64,
}

/// Reserved bytes of the budget; returned on drop.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: MemoryBudget,
    permits: Option<OwnedSemaphorePermit>,
    overdraft: Option<OwnedSemaphorePermit>,
}

/// A registered run; unregistered on drop.
#[derive(Debug)]
pub(super) struct RunShare(MemoryBudget);

impl Default for MemoryBudget {
    fn default() -> Self {
        Self::of(PAGES_KIB)
    }
}

impl MemoryBudget {
    fn of(pages_kib: u32) -> Self {
        Self(Arc::new(BudgetState {
            pages: Arc::new(Semaphore::new(pages_kib as usize)),
            pages_kib,
            overdraft: Arc::new(Semaphore::new(1)),
            runs: AtomicU64::new(0),
        }))
    }

    /// Waits until `bytes` are available. A request for more than the whole budget gets all of it alone.
    pub(super) async fn hold(&self, bytes: usize) -> Reservation {
        let permits = kib(bytes).min(self.0.pages_kib);
        let permits = Arc::clone(&self.0.pages).acquire_many_owned(permits).await;
        Reservation {
            permits: permits.ok(), // never closed
            ..self.nothing()
        }
    }

    /// Returns a reservation of no bytes.
    pub(super) fn nothing(&self) -> Reservation {
        Reservation {
            budget: self.clone(),
            permits: None,
            overdraft: None,
        }
    }

    /// Registers a run.
    pub(super) fn run(&self) -> RunShare {
        self.0.runs.fetch_add(1, Ordering::Relaxed);
        RunShare(self.clone())
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

impl Reservation {
    /// Enlarges the reservation. If there is no room, waits for the overdraft; with the overdraft, the reservation gets
    /// everything it needs.
    pub(super) async fn grow(&mut self, bytes: usize) {
        if self.overdraft.is_some() {
            return;
        }
        let shared = &self.budget.0;
        match Arc::clone(&shared.pages).try_acquire_many_owned(kib(bytes)) {
            Ok(more) => match &mut self.permits {
                Some(permits) => permits.merge(more),
                None => self.permits = Some(more),
            },
            Err(_) => self.overdraft = Arc::clone(&shared.overdraft).acquire_owned().await.ok(),
        }
    }
}

impl RunShare {
    /// Returns the maximum size of this run's open parts for this target file size, in bytes.
    pub(super) fn share(&self, target_file_size: u64) -> u64 {
        let runs = self.0.0.runs.load(Ordering::Relaxed).max(1);
        target_file_size.min(PARTS.max(target_file_size) / runs)
    }
}

impl Drop for RunShare {
    fn drop(&mut self) {
        self.0.0.runs.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const MIB: usize = 1 << 20;

    #[tokio::test]
    async fn a_page_waits_for_room_and_one_that_is_too_large_for_all_of_it() {
        let budget = MemoryBudget::of(4 << 10);
        let first = budget.hold(3 * MIB).await;
        let second = budget.hold(MIB).await;
        assert!(budget.hold(1).now_or_never().is_none());
        drop(second);
        assert!(budget.hold(MIB).now_or_never().is_some());
        assert!(budget.hold(100 * MIB).now_or_never().is_none());
        drop(first);
        let large = budget.hold(100 * MIB).now_or_never();
        assert!(large.is_some());
        assert!(budget.hold(1).now_or_never().is_none());
    }

    #[tokio::test]
    async fn ranges_that_grow_don_t_wait_for_each_other_for_ever() {
        let budget = MemoryBudget::of(4 << 10);
        let (mut one, mut other) = (budget.nothing(), budget.nothing());
        one.grow(2 * MIB).await;
        other.grow(2 * MIB).await;
        one.grow(MIB).await; // beyond the budget
        one.grow(50 * MIB).await;
        assert!(other.grow(MIB).now_or_never().is_none());
        drop(one);
        assert!(other.grow(2 * MIB).now_or_never().is_some());
        assert!(budget.hold(1).now_or_never().is_none());
        drop(other);
        assert!(budget.hold(4 * MIB).now_or_never().is_some());
    }

    #[test]
    fn runs_share_what_open_parts_may_have() {
        let budget = MemoryBudget::default();
        let target = 128 << 20;
        let first = budget.run();
        assert_eq!(first.share(target), target);
        assert_eq!(first.share(1 << 30), 1 << 30);
        let others: Vec<RunShare> = (0..7).map(|_| budget.run()).collect();
        assert_eq!(first.share(target), 32 << 20);
        assert_eq!(first.share(1 << 20), 1 << 20);
        drop(others);
        assert_eq!(first.share(target), target);
    }
}

//! The CPU pool of a run, on which pages are decoded and row groups encoded: threads for blocking work.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::error::RunError;

/// Bounds the number of concurrent tasks of a run. Clones share the bound.
#[derive(Debug, Clone)]
pub(crate) struct CpuPool(Arc<Semaphore>);

/// Work that has begun on the pool. It runs to its end even if this value is dropped.
#[derive(Debug)]
pub(super) struct ComputeTask<T>(JoinHandle<Result<T, RunError>>);

impl CpuPool {
    pub(crate) fn new(at_a_time: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_a_time.max(1))))
    }

    /// Starts `work` as soon as there is room.
    pub(super) fn begin<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> ComputeTask<T>
    where
        T: Send + 'static,
        E: Send + 'static,
        RunError: From<E>,
    {
        let room = Arc::clone(&self.0);
        ComputeTask(tokio::spawn(async move {
            let _permit = room.acquire_owned().await; // never closed
            Ok(tokio::task::spawn_blocking(work).await??)
        }))
    }
}

impl<T> ComputeTask<T> {
    pub(super) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for the result. Fails with [`RunError::Panicked`] if the work panicked.
    pub(super) async fn result(self) -> Result<T, RunError> {
        self.0.await?
    }
}

//! A store with metrics of its requests.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::{Error, ObjectStore, Result};

use super::wrapped::{StoreHooks, WrappedStore};
use crate::metrics::{Operation, StoreMetrics};

/// Wraps a store so that its requests are counted, each once regardless of retries. The parts of an upload aren't
/// counted separately.
pub(super) fn metered(
    store: Arc<dyn ObjectStore>,
    metrics: StoreMetrics,
) -> WrappedStore<StoreMetrics> {
    WrappedStore::new(store, metrics)
}

impl StoreHooks for StoreMetrics {
    async fn request<T: Send>(
        &self,
        operation: Operation,
        request: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        self.asked(operation);
        let ended = request.await;
        note(self, operation, &ended);
        ended
    }

    fn stream<T: Send + 'static>(
        &self,
        operation: Operation,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let metrics = self.clone();
        metrics.asked(operation);
        stream
            .inspect(move |item| note(&metrics, operation, item))
            .boxed()
    }
}

/// missing and existing objects are regular answers for the commit log
fn note<T>(metrics: &StoreMetrics, operation: Operation, ended: &Result<T>) {
    match ended {
        Ok(_)
        | Err(
            Error::NotFound { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. },
        ) => {}
        Err(_) => metrics.failed(operation),
    }
}

//! A store whose requests are counted.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::{Error, ObjectStore, Result};

use super::wrapped::{StoreHooks, WrappedStore};
use crate::metrics::{Operation, StoreMetrics};

/// A store behind which requests are counted, each once, however often the store tried it. An upload's parts aren't
/// counted one by one.
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

/// What the commit log asks about may be absent, or there already: that is an answer.
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

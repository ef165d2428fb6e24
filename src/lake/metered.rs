//! A store whose requests are counted.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use crate::metrics::{self, Operation};

/// A store behind which requests are counted, each once, however often the store tried it.
#[derive(Debug)]
pub(super) struct MeteredStore {
    store: Arc<dyn ObjectStore>,
    metrics: metrics::StoreMetrics,
}

impl MeteredStore {
    pub(super) fn new(store: Arc<dyn ObjectStore>, metrics: metrics::StoreMetrics) -> Self {
        Self { store, metrics }
    }

    async fn count<T>(
        &self,
        operation: Operation,
        request: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        self.metrics.asked(operation);
        let ended = request.await;
        note(&self.metrics, operation, &ended);
        ended
    }

    fn count_all<T: 'static>(
        &self,
        operation: Operation,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let metrics = self.metrics.clone();
        metrics.asked(operation);
        stream
            .inspect(move |item| note(&metrics, operation, item))
            .boxed()
    }
}

/// What the commit log asks about may be absent, or there already: that is an answer.
fn note<T>(metrics: &metrics::StoreMetrics, operation: Operation, ended: &Result<T>) {
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

impl fmt::Display for MeteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

/// Every method is passed on: the store's own ways of doing them are the fast ones.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for MeteredStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let put = self.store.put_opts(location, payload, options);
        self.count(Operation::Put, put).await
    }

    /// The upload's parts aren't counted one by one.
    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.store.put_multipart_opts(location, options);
        self.count(Operation::Put, begun).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let got = self.store.get_opts(location, options);
        self.count(Operation::Get, got).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<Bytes>> {
        let got = self.store.get_ranges(location, ranges);
        self.count(Operation::Get, got).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.count_all(Operation::Delete, self.store.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count_all(Operation::List, self.store.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count_all(Operation::List, self.store.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let listed = self.store.list_with_delimiter(prefix);
        self.count(Operation::List, listed).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copied = self.store.copy_opts(from, to, options);
        self.count(Operation::Copy, copied).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let renamed = self.store.rename_opts(from, to, options);
        self.count(Operation::Copy, renamed).await
    }
}

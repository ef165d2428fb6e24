//! A store with hooks around every request: the delegation shared by [`super::redacting`] and [`super::metered`].

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use crate::metrics::Operation;

/// The hooks around the requests to a store.
pub(super) trait StoreHooks: fmt::Debug + Send + Sync + 'static {
    /// Sends a request.
    fn request<T: Send>(
        &self,
        operation: Operation,
        request: impl Future<Output = Result<T>> + Send,
    ) -> impl Future<Output = Result<T>> + Send;

    /// Wraps the stream of a listing.
    fn stream<T: Send + 'static>(
        &self,
        operation: Operation,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>>;

    /// Wraps the body of an object.
    fn body(&self, body: BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<Bytes>> {
        body
    }

    /// Wraps an upload.
    fn upload(&self, upload: Box<dyn MultipartUpload>) -> Box<dyn MultipartUpload> {
        upload
    }
}

/// A store with hooks around every request.
#[derive(Debug)]
pub(super) struct WrappedStore<H> {
    store: Arc<dyn ObjectStore>,
    hooks: H,
}

impl<H> WrappedStore<H> {
    pub(super) fn new(store: Arc<dyn ObjectStore>, hooks: H) -> Self {
        Self { store, hooks }
    }
}

impl<H> fmt::Display for WrappedStore<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

/// Delegates every method, as the store's own implementations are faster than the defaults.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<H: StoreHooks> ObjectStore for WrappedStore<H> {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let put = self.store.put_opts(location, payload, options);
        self.hooks.request(Operation::Put, put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.store.put_multipart_opts(location, options);
        let upload = self.hooks.request(Operation::Put, begun).await?;
        Ok(self.hooks.upload(upload))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let got = self.store.get_opts(location, options);
        let mut got = self.hooks.request(Operation::Get, got).await?;
        if let GetResultPayload::Stream(body) = got.payload {
            got.payload = GetResultPayload::Stream(self.hooks.body(body));
        }
        Ok(got)
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<Bytes>> {
        let got = self.store.get_ranges(location, ranges);
        self.hooks.request(Operation::Get, got).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let deleted = self.store.delete_stream(locations);
        self.hooks.stream(Operation::Delete, deleted)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        (self.hooks).stream(Operation::List, self.store.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.store.list_with_offset(prefix, offset);
        self.hooks.stream(Operation::List, listed)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let listed = self.store.list_with_delimiter(prefix);
        self.hooks.request(Operation::List, listed).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copied = self.store.copy_opts(from, to, options);
        self.hooks.request(Operation::Copy, copied).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let renamed = self.store.rename_opts(from, to, options);
        self.hooks.request(Operation::Copy, renamed).await
    }
}

//! The event ids of files that are already in the lake: what de-duplication is held against.

use std::{fmt, ops::Range, sync::Arc};

use arrow::{
    array::{Array, AsArray},
    datatypes::DataType,
};
use bytes::Bytes;
use futures_util::{FutureExt, TryFutureExt, TryStreamExt, future::BoxFuture};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use parquet::{
    arrow::{
        ParquetRecordBatchStreamBuilder, ProjectionMask, arrow_reader::ArrowReaderOptions,
        async_reader::AsyncFileReader,
    },
    errors::ParquetError,
    file::metadata::{ParquetMetaData, ParquetMetaDataReader},
};
use sha2::{Digest, Sha256};

use crate::model::Kind;

const EVENT_ID: &str = "event_id";

/// Read from a file's end at once; holds the footer of most files.
const FOOTER_BYTES: usize = 64 << 10;

/// Rows decoded at once.
const BATCH_ROWS: usize = 8_192;

/// What stands for an event id in memory: the first 128 bits of its SHA-256.
///
/// Ids come from outside; nobody can make two that collide, which would hide one of the events.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventIdHash([u8; 16]);

impl EventIdHash {
    /// The hash of an id.
    pub fn of(event_id: &str) -> Self {
        let digest = Sha256::digest(event_id);
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        Self(hash)
    }
}

impl fmt::Debug for EventIdHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A file of the lake could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It isn't one of this table's files.
    #[error("`{path}` has no column `event_id` of strings, so it isn't a file of this table")]
    NoEventId {
        /// Where it is.
        path: Path,
    },
    /// The store failed, or the file is damaged.
    #[error("can't read the event ids of `{path}`")]
    Parquet {
        /// Where it is.
        path: Path,
        /// Why not.
        source: ParquetError,
    },
}

impl ReadError {
    /// What it means for the next try.
    pub fn kind(&self) -> Kind {
        let Self::Parquet { source, .. } = self else {
            return Kind::Data;
        };
        let ParquetError::External(source) = source else {
            return Kind::Data;
        };
        match source.downcast_ref() {
            Some(
                object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. },
            ) => Kind::Auth,
            Some(_) => Kind::Transient,
            None => Kind::Data,
        }
    }
}

/// Gives each event id of the file at `path`, `size` bytes long, to `take`, and says how many there were.
///
/// Reads the footer and the one column, one row group after another, and holds no more than that column of one row
/// group. Any file with a column `event_id` will do, whatever version its schema has.
pub async fn read_event_ids(
    store: Arc<dyn ObjectStore>,
    path: &Path,
    size: u64,
    mut take: impl FnMut(&str),
) -> Result<u64, ReadError> {
    let failed = |source| ReadError::Parquet {
        path: path.clone(),
        source,
    };
    let reader = StoredFile {
        store,
        path: path.clone(),
        size,
    };
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchStreamBuilder::new_with_options(reader, options)
        .await
        .map_err(failed)?;
    let missing = || ReadError::NoEventId { path: path.clone() };
    match builder.schema().field_with_name(EVENT_ID) {
        Ok(field) if *field.data_type() == DataType::Utf8 => {}
        _ => return Err(missing()),
    }
    let only_ids = ProjectionMask::columns(builder.parquet_schema(), [EVENT_ID]);
    let mut batches = builder
        .with_projection(only_ids)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(failed)?;
    let mut count = 0;
    while let Some(batch) = batches.try_next().await.map_err(failed)? {
        let ids = (batch.column_by_name(EVENT_ID))
            .and_then(|ids| ids.as_string_opt::<i32>())
            .ok_or_else(missing)?;
        ids.iter().flatten().for_each(&mut take);
        count += (ids.len() - ids.null_count()) as u64;
    }
    Ok(count)
}

/// A Parquet file in the store, as the Parquet reader wants it.
struct StoredFile {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        let bytes = self.store.get_range(&self.path, range);
        bytes.map_err(external).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move {
            let bytes = self.store.get_ranges(&self.path, &ranges).await;
            bytes.map_err(external)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let size = self.size;
            let metadata = ParquetMetaDataReader::new()
                .with_arrow_reader_options(options)
                .with_prefetch_hint(Some(FOOTER_BYTES))
                .load_and_finish(self, size)
                .await?;
            Ok(Arc::new(metadata))
        }
        .boxed()
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

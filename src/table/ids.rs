//! Reading files of the lake: the ids for de-duplication, and the records for `verify`.

use std::{fmt, ops::Range, sync::Arc};

use arrow::{
    array::{AsArray, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::TimestampMicrosecondType,
};
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, TryFutureExt, TryStreamExt, future::BoxFuture};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use parquet::{
    arrow::{
        ParquetRecordBatchStreamBuilder, ProjectionMask,
        arrow_reader::ArrowReaderOptions,
        async_reader::{AsyncFileReader, ParquetRecordBatchStream},
    },
    errors::ParquetError,
    file::metadata::{ParquetMetaData, ParquetMetaDataReader},
};
use sha2::{Digest, Sha256};

use crate::model::{FailureKind, Timestamp};

const EVENT_ID: &str = "event_id";
const EVENT_TIME: &str = "event_time";
const RAW: &str = "raw";
const INGESTED_AT: &str = "ingested_at";

/// The bytes read from a file's end at first, which contain the footer of most files.
const FOOTER_BYTES: usize = 64 << 10;

/// The number of rows that are decoded together.
const BATCH_ROWS: usize = 8_192;

/// The representation of an event id in memory: the first 128 bits of its SHA-256.
///
/// As ids are external, the hash has to be collision-resistant: a collision would hide an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventIdHash([u8; 16]);

impl EventIdHash {
    /// Returns the hash of an id.
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

/// A file of the lake couldn't be read.
#[derive(Debug, thiserror::Error)]
pub enum RowReadError {
    /// It isn't a file of this table.
    #[error("`{path}` has no column `{column}` as this table has it, so it isn't one of its files")]
    NoColumn {
        /// The file's path.
        path: Path,
        /// The part that is missing, null, or of another type.
        column: &'static str,
    },
    /// The store failed, or the file is damaged.
    #[error("can't read `{path}`")]
    Parquet {
        /// The file's path.
        path: Path,
        /// The cause.
        source: ParquetError,
    },
}

impl RowReadError {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        let Self::Parquet { source, .. } = self else {
            return FailureKind::Data;
        };
        let ParquetError::External(source) = source else {
            return FailureKind::Data;
        };
        match source.downcast_ref() {
            Some(
                object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. },
            ) => FailureKind::Auth,
            Some(_) => FailureKind::Transient,
            None => FailureKind::Data,
        }
    }
}

/// The parts of a row that `verify` compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRow<'a> {
    /// The event's id.
    pub event_id: &'a str,
    /// When it happened.
    pub event_time: Timestamp,
    /// The record's JSON.
    pub raw: &'a str,
    /// When it was pulled.
    pub ingested_at: Timestamp,
}

/// A file of the lake. Only its footer and the column `event_id` are read. Supports any schema version with
/// that column.
pub struct StoredIds {
    path: Path,
    rows: usize,
    batches: Batches,
}

impl fmt::Debug for StoredIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ids of `{}`, {} rows", self.path, self.rows)
    }
}

impl StoredIds {
    /// Reads the footer of the file at `path`, `size` bytes long.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        path: Path,
        size: u64,
    ) -> Result<Self, RowReadError> {
        let (rows, batches) = open(store, &path, size, &[EVENT_ID]).await?;
        // each id takes at least a byte, so a damaged footer can't cause an excessive allocation
        let rows = usize::try_from(rows.min(size)).unwrap_or(0);
        Ok(Self {
            path,
            rows,
            batches,
        })
    }

    /// Returns the number of rows according to the footer, at most the plausible one.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Reads the ids, one row group after another, holding at most that column of one row group.
    pub fn hashes(self) -> impl Stream<Item = Result<Vec<EventIdHash>, RowReadError>> + Send {
        let Self { path, batches, .. } = self;
        batches.map(move |batch| {
            let batch = batch.map_err(|source| unreadable(&path, source))?;
            let ids = texts(&batch, &path, EVENT_ID)?;
            Ok(ids.iter().flatten().map(EventIdHash::of).collect())
        })
    }
}

/// Passes each row of the file at `path` with `size` bytes to `take`, in the order of the file.
///
/// Reads four columns, one row group after another.
pub async fn read_rows(
    store: Arc<dyn ObjectStore>,
    path: &Path,
    size: u64,
    mut take: impl FnMut(StoredRow<'_>),
) -> Result<(), RowReadError> {
    let columns = [EVENT_ID, EVENT_TIME, RAW, INGESTED_AT];
    let (_, mut batches) = open(store, path, size, &columns).await?;
    while let Some(batch) = next(&mut batches, path).await? {
        let ids = texts(&batch, path, EVENT_ID)?;
        let raws = texts(&batch, path, RAW)?;
        let times = times(&batch, path, EVENT_TIME)?;
        let ingested = self::times(&batch, path, INGESTED_AT)?;
        for (((id, time), raw), ingested) in ids.iter().zip(times).zip(raws).zip(ingested) {
            let instant = |micros: Option<i64>| micros.and_then(Timestamp::from_timestamp_micros);
            take(StoredRow {
                event_id: id.ok_or_else(|| no_column(path, EVENT_ID))?,
                event_time: instant(time).ok_or_else(|| no_column(path, EVENT_TIME))?,
                raw: raw.ok_or_else(|| no_column(path, RAW))?,
                ingested_at: instant(ingested).ok_or_else(|| no_column(path, INGESTED_AT))?,
            });
        }
    }
    Ok(())
}

type Batches = ParquetRecordBatchStream<StoredFile>;

/// Returns the number of rows and the column chunks of the file.
async fn open(
    store: Arc<dyn ObjectStore>,
    path: &Path,
    size: u64,
    columns: &[&'static str],
) -> Result<(u64, Batches), RowReadError> {
    let file = StoredFile {
        store,
        path: path.clone(),
        size,
    };
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchStreamBuilder::new_with_options(file, options)
        .await
        .map_err(|source| unreadable(path, source))?;
    for &column in columns {
        if builder.schema().field_with_name(column).is_err() {
            return Err(no_column(path, column));
        }
    }
    let only = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let rows = builder.metadata().file_metadata().num_rows();
    let batches = builder
        .with_projection(only)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|source| unreadable(path, source))?;
    Ok((u64::try_from(rows).unwrap_or(0), batches))
}

async fn next(batches: &mut Batches, path: &Path) -> Result<Option<RecordBatch>, RowReadError> {
    let batch = batches.try_next().await;
    batch.map_err(|source| unreadable(path, source))
}

fn texts<'a>(
    batch: &'a RecordBatch,
    path: &Path,
    column: &'static str,
) -> Result<&'a StringArray, RowReadError> {
    (batch.column_by_name(column))
        .and_then(|texts| texts.as_string_opt())
        .ok_or_else(|| no_column(path, column))
}

fn times<'a>(
    batch: &'a RecordBatch,
    path: &Path,
    column: &'static str,
) -> Result<&'a TimestampMicrosecondArray, RowReadError> {
    (batch.column_by_name(column))
        .and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or_else(|| no_column(path, column))
}

fn no_column(path: &Path, column: &'static str) -> RowReadError {
    RowReadError::NoColumn {
        path: path.clone(),
        column,
    }
}

fn unreadable(path: &Path, source: ParquetError) -> RowReadError {
    RowReadError::Parquet {
        path: path.clone(),
        source,
    }
}

/// A Parquet file in the store, as input for the Parquet reader.
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::error::Error as _;

    use arrow::{
        array::Int64Array,
        datatypes::{DataType, Field, Schema},
    };
    use object_store::memory::InMemory;
    use parquet::arrow::ArrowWriter;

    use super::*;
    use crate::table::{
        PartSpec, PartWriter,
        testing::{context, record, row},
    };

    async fn stored(bytes: Vec<u8>) -> (Arc<dyn ObjectStore>, Path, u64) {
        let store = InMemory::new();
        let path = Path::from("one.parquet");
        let size = bytes.len() as u64;
        store.put(&path, bytes.into()).await.unwrap();
        (Arc::new(store), path, size)
    }

    async fn read(bytes: Vec<u8>) -> Result<Vec<EventIdHash>, RowReadError> {
        let (store, path, size) = stored(bytes).await;
        let file = StoredIds::open(store, path, size).await?;
        let rows = file.rows();
        let ids: Vec<Vec<EventIdHash>> = file.hashes().try_collect().await?;
        let ids = ids.concat();
        assert_eq!(rows, ids.len());
        Ok(ids)
    }

    fn hashes(ids: &[String]) -> Vec<EventIdHash> {
        ids.iter().map(|id| EventIdHash::of(id)).collect()
    }

    /// Returns a file with two row groups and ordered ids.
    fn file() -> (Vec<u8>, Vec<String>) {
        let mut part = PartWriter::new(PartSpec {
            partition_by: Vec::new(),
            job: "job".to_owned(),
            run: "run".to_owned(),
        })
        .with_group_rows(1_500);
        let ids: Vec<String> = (0..3_000).map(|index| format!("id {index} é")).collect();
        for (second, id) in (0..).zip(&ids) {
            part.push(row(&record(id, second), &[], "{}", None));
        }
        let bytes: Bytes = part.finish().unwrap().unwrap().payload.into();
        (bytes.to_vec(), ids)
    }

    #[tokio::test]
    async fn all_ids_come_back_and_nothing_but_their_column_is_looked_at() {
        let (mut bytes, ids) = file();
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(&Bytes::from(bytes.clone()))
            .unwrap();
        assert_eq!(metadata.num_row_groups(), 2);
        for group in metadata.row_groups() {
            for column in group.columns() {
                let (start, length) = column.byte_range();
                let range =
                    usize::try_from(start).unwrap()..usize::try_from(start + length).unwrap();
                if column.column_path().string() != EVENT_ID {
                    bytes[range].fill(0xff);
                }
            }
        }
        assert_eq!(read(bytes).await.unwrap(), hashes(&ids));
    }

    #[tokio::test]
    async fn rows_come_back_in_the_order_of_the_file() {
        let (bytes, ids) = file();
        let (store, path, size) = stored(bytes).await;
        let mut rows = Vec::new();
        let reading = read_rows(store, &path, size, |row| {
            assert_eq!(row.raw, "{}");
            assert_eq!(row.ingested_at, context().ingested_at);
            rows.push((row.event_time.timestamp(), row.event_id.to_owned()));
        });
        let on_any_thread: BoxFuture<'_, _> = reading.boxed();
        on_any_thread.await.unwrap();
        assert!(rows.into_iter().eq((0..).zip(ids)));
    }

    #[tokio::test]
    async fn a_file_without_ids_is_named() {
        let schema = Schema::new(vec![Field::new(EVENT_ID, DataType::Int64, false)]);
        let batch =
            RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(vec![1]))])
                .unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let error = read(writer.into_inner().unwrap()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "`one.parquet` has no column `event_id` as this table has it, so it isn't one of its files"
        );
        assert_eq!(error.kind(), FailureKind::Data);
    }

    #[tokio::test]
    async fn a_damaged_or_missing_file_is_an_error_with_its_kind() {
        let (bytes, _) = file();
        for damaged in [
            Vec::new(),
            b"PAR1".to_vec(),
            bytes[..bytes.len() / 2].to_vec(),
        ] {
            let error = read(damaged).await.unwrap_err();
            assert_eq!(error.to_string(), "can't read `one.parquet`");
            assert_eq!(error.kind(), FailureKind::Data);
            assert!(error.source().is_some());
        }
        let (store, ..) = stored(bytes).await;
        let gone = StoredIds::open(store, Path::from("gone"), 1_000).await;
        assert_eq!(gone.unwrap_err().kind(), FailureKind::Transient);
    }

    #[test]
    fn hashes_are_the_first_half_of_sha_256() {
        let hash = EventIdHash::of("abc");
        assert_eq!(format!("{hash:?}"), "ba7816bf8f01cfea414140de5dae2223");
        assert_eq!(size_of_val(&hash), 16);
        assert_ne!(hash, EventIdHash::of("abC"));
    }
}

//! One Parquet file, made in memory.

use std::{fmt, io};

use object_store::{PutPayload, PutPayloadMut};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};

use super::{
    rows::{RowBuilder, RowContext, RowError},
    schema::{self, SCHEMA_VERSION},
};
use crate::model::{PartitionColumn, Record, Timestamp};

/// The most rows of a row group.
const GROUP_ROWS: usize = 32_768;

/// How full the buffer gets before it becomes a row group, but for the record that makes it full.
const GROUP_BYTES: usize = 16 << 20;

/// In which blocks the file grows.
const BLOCK_BYTES: usize = 256 << 10;

/// What all parts of one run share.
#[derive(Debug, Clone)]
pub struct PartSpec {
    /// The columns in the path, which the file leaves out.
    pub partition_by: Vec<PartitionColumn>,
    /// The job that pulls; goes into the footer.
    pub job: String,
    /// The run that pulls; goes into the footer.
    pub run: String,
}

/// An open Parquet file of one partition.
///
/// Rows wait until they fill a row group, are sorted by `event_time` in it, and from then on are held encoded. Filling
/// a row group encodes it at once, some tens of milliseconds of work.
pub struct Part {
    spec: PartSpec,
    waiting: RowBuilder,
    writer: Option<ArrowWriter<Blocks>>,
    rows: u64,
    event_times: Option<(Timestamp, Timestamp)>,
}

/// A whole Parquet file.
#[derive(Debug, Clone)]
pub struct FinishedPart {
    /// Its bytes, in the blocks in which they were made: one run of memory would need twice as much on the way.
    pub payload: PutPayload,
    /// How many rows it has, at least one.
    pub rows: u64,
    /// The first `event_time` in it.
    pub min_event_time: Timestamp,
    /// The last `event_time` in it.
    pub max_event_time: Timestamp,
}

impl FinishedPart {
    /// The file's size in bytes.
    pub fn size(&self) -> usize {
        self.payload.content_length()
    }
}

impl Part {
    /// A file without rows; it holds next to no memory.
    pub fn new(spec: PartSpec) -> Self {
        Self {
            waiting: RowBuilder::new(&spec.partition_by),
            spec,
            writer: None,
            rows: 0,
            event_times: None,
        }
    }

    /// Adds a row. After [`RowError::TooLarge`] the part is as it was; any other error spoils it.
    pub fn push(
        &mut self,
        record: &Record<'_>,
        context: &RowContext<'_>,
        raw: &str,
        late_by_ms: Option<i64>,
    ) -> Result<(), RowError> {
        self.waiting.push(record, context, raw, late_by_ms)?;
        self.rows += 1;
        let time = record.event_time;
        let (min, max) = self.event_times.unwrap_or((time, time));
        self.event_times = Some((min.min(time), max.max(time)));
        if self.waiting.len() >= GROUP_ROWS || self.waiting.filled() >= GROUP_BYTES {
            self.write_group()?;
        }
        Ok(())
    }

    /// The memory that it holds: what is encoded and what waits. The finished file is never larger than this by more
    /// than its footer.
    pub fn bytes(&self) -> usize {
        self.waiting.bytes() + self.encoded_bytes()
    }

    /// How large the file is so far, without the rows that wait for their row group.
    pub fn encoded_bytes(&self) -> usize {
        self.writer
            .as_ref()
            .map_or(0, |writer| writer.bytes_written() + writer.memory_size())
    }

    /// How many rows were pushed.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The first `event_time` so far.
    pub fn min_event_time(&self) -> Option<Timestamp> {
        self.event_times.map(|(min, _)| min)
    }

    /// The last `event_time` so far.
    pub fn max_event_time(&self) -> Option<Timestamp> {
        self.event_times.map(|(_, max)| max)
    }

    /// The whole file; nothing if no row was pushed.
    pub fn finish(mut self) -> Result<Option<FinishedPart>, RowError> {
        if !self.waiting.is_empty() {
            self.write_group()?;
        }
        let Some((writer, (min_event_time, max_event_time))) = self.writer.zip(self.event_times)
        else {
            return Ok(None);
        };
        Ok(Some(FinishedPart {
            payload: writer.into_inner()?.0.freeze(),
            rows: self.rows,
            min_event_time,
            max_event_time,
        }))
    }

    fn write_group(&mut self) -> Result<(), RowError> {
        let batch = self.waiting.finish()?;
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.open()?,
        };
        writer.write(&batch)?;
        writer.flush()?;
        self.writer = Some(writer);
        Ok(())
    }

    /// Without Arrow's own copy of the schema in the footer: engines that know Arrow then read the types from the
    /// Parquet schema, as all the others do.
    fn open(&self) -> Result<ArrowWriter<Blocks>, RowError> {
        let options = ArrowWriterOptions::new()
            .with_properties(self.properties()?)
            .with_skip_arrow_metadata(true);
        Ok(ArrowWriter::try_new_with_options(
            Blocks(PutPayloadMut::new().with_block_size(BLOCK_BYTES)),
            self.waiting.schema().clone(),
            options,
        )?)
    }

    fn properties(&self) -> Result<WriterProperties, RowError> {
        let column = |name: &str| ColumnPath::new(vec![name.to_owned()]);
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("auditlake ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(self.footer()))
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_sorting_columns(sorting_columns(&self.spec.partition_by))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_column_statistics_enabled(column("event_time"), EnabledStatistics::Page)
            .set_column_statistics_enabled(column("raw"), EnabledStatistics::None)
            .set_column_bloom_filter_enabled(column("event_id"), true)
            .set_column_bloom_filter_fpp(column("event_id"), 0.01)
            .set_column_bloom_filter_max_ndv(column("event_id"), GROUP_ROWS as u64);
        for name in ["event_id", "message", "raw"] {
            properties = properties.set_column_dictionary_enabled(column(name), false);
        }
        Ok(properties.build())
    }

    fn footer(&self) -> Vec<KeyValue> {
        vec![
            KeyValue::new("auditlake.job".to_owned(), self.spec.job.clone()),
            KeyValue::new("auditlake.run".to_owned(), self.spec.run.clone()),
            KeyValue::new(
                "auditlake.schema_version".to_owned(),
                SCHEMA_VERSION.to_string(),
            ),
            KeyValue::new(
                "auditlake.version".to_owned(),
                env!("CARGO_PKG_VERSION").to_owned(),
            ),
        ]
    }
}

/// `event_time`, ascending. No column before it nests, so its place among the columns is its place among the leaves.
fn sorting_columns(partition_by: &[PartitionColumn]) -> Option<Vec<SortingColumn>> {
    let place = schema::file_columns(partition_by).position(|column| column.name == "event_time");
    let column_idx = place.and_then(|place| i32::try_from(place).ok())?;
    Some(vec![SortingColumn {
        column_idx,
        descending: false,
        nulls_first: false,
    }])
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("spec", &self.spec)
            .field("rows", &self.rows)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

/// The file's bytes, never moved once written.
struct Blocks(PutPayloadMut);

impl io::Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

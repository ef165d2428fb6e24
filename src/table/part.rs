//! Writing a Parquet file in memory.

use std::{collections::VecDeque, fmt, io};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::interleave,
    datatypes::{SchemaRef, TimestampMicrosecondType},
};
use chrono::DateTime;
use object_store::{PutPayload, PutPayloadMut};
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_writer::{
            ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions,
            compute_leaves,
        },
    },
    basic::{Compression, ZstdLevel},
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::types::ColumnPath,
};

use super::{
    rows::RowError,
    schema::{self, SCHEMA_VERSION},
};
use crate::model::{PartitionColumn, Timestamp};

/// The maximum number of rows of a row group.
const GROUP_ROWS: usize = 32_768;

/// The buffer's size at which it becomes a row group, excluding the record that fills it.
const GROUP_BYTES: usize = 16 << 20;

/// The size of a column's pages. The encoder holds several times that and copies it: a quarter of the usual 1 MiB saves
/// 5 % of a run's memory, with files that are 1 % larger.
const PAGE_BYTES: usize = 256 << 10;

/// The number of rows below which a file has no dictionaries, no Bloom filter, no page index, and statistics of
/// `event_time` only. They take 3 kB, which is 40 % of a file of one row and a quarter of one of 100, and no reader gains
/// from them, as it reads such a file in one request.
const SMALL_ROWS: usize = 1_000;

/// The size of the blocks in which the file grows.
const BLOCK_BYTES: usize = 256 << 10;

/// The attributes shared by all parts of a run.
#[derive(Debug, Clone)]
pub struct PartSpec {
    /// The columns in the path, which the file omits.
    pub partition_by: Vec<PartitionColumn>,
    /// The job, for the footer.
    pub job: String,
    /// The run, for the footer.
    pub run: String,
}

/// An open Parquet file of one partition.
///
/// Rows wait until they fill a row group. [`PartWriter::group`] then returns it for encoding on any thread, and
/// [`PartWriter::add`] takes it back. Row groups may be encoded concurrently, and are added in the order in which they
/// were returned.
pub struct PartWriter {
    spec: PartSpec,
    schema: SchemaRef,
    waiting: VecDeque<BufferedRows>,
    waiting_rows: usize,
    waiting_bytes: usize,
    file: Option<PartFile>,
    rows: u64,
    /// The least and the greatest `event_time` of its rows, in microseconds.
    times: Option<(i64, i64)>,
    group_rows: usize,
    group_bytes: usize,
}

/// Rows that wait for their row group, with their memory.
struct BufferedRows {
    rows: RecordBatch,
    bytes: usize,
}

/// The file, once it has a row group.
struct PartFile {
    writer: SerializedFileWriter<Blocks>,
    columns: ArrowRowGroupWriterFactory,
    /// The number of row groups that were returned for encoding.
    groups: usize,
}

/// The rows of a row group to encode, which takes tens of milliseconds.
pub struct Group {
    schema: SchemaRef,
    rows: Vec<RecordBatch>,
    writers: Vec<ArrowColumnWriter>,
    bytes: usize,
}

/// An encoded row group.
pub struct EncodedGroup {
    columns: Vec<ArrowColumnChunk>,
}

/// A complete Parquet file.
#[derive(Debug, Clone)]
pub struct FinishedPart {
    /// Its bytes in the blocks in which they were written. Contiguous memory would temporarily need twice as much.
    pub payload: PutPayload,
    /// The number of rows, at least one.
    pub rows: u64,
    /// The least and the greatest `event_time` of its rows.
    pub event_times: Option<(Timestamp, Timestamp)>,
}

impl PartWriter {
    /// Creates a file without rows, which holds almost no memory.
    pub fn new(spec: PartSpec) -> Self {
        Self {
            schema: schema::written_schema(&spec.partition_by),
            spec,
            waiting: VecDeque::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
            file: None,
            rows: 0,
            times: None,
            group_rows: GROUP_ROWS,
            group_bytes: GROUP_BYTES,
        }
    }

    /// Limits the number of rows of row groups.
    #[cfg(test)]
    pub(super) fn with_group_rows(self, group_rows: usize) -> Self {
        Self { group_rows, ..self }
    }

    /// Adds rows, as built by [`RowBuilder`](super::RowBuilder) for this partitioning. They keep shared larger arrays
    /// alive.
    pub fn push(&mut self, rows: RecordBatch) {
        self.rows += rows.num_rows() as u64;
        let times = times(&rows);
        let bounds = times.iter().min().copied().zip(times.iter().max().copied());
        self.times = match (self.times, bounds) {
            (Some(all), Some(new)) => Some((all.0.min(new.0), all.1.max(new.1))),
            (before, bounds) => before.or(bounds),
        };
        self.waiting_rows += rows.num_rows();
        let bytes = rows.get_array_memory_size();
        self.waiting_bytes += bytes;
        self.waiting.push_back(BufferedRows { rows, bytes });
    }

    /// Returns the rows of the next row group for encoding, if there are enough.
    pub fn group(&mut self) -> Result<Option<Group>, RowError> {
        if self.is_full() {
            self.next_group()
        } else {
            Ok(None)
        }
    }

    /// Returns whether the waiting rows make a row group.
    fn is_full(&self) -> bool {
        self.waiting_rows >= self.group_rows || self.waiting_bytes >= self.group_bytes
    }

    /// Returns the rows of the next row group for encoding, with any number of rows; `None` if no row waits.
    pub fn next_group(&mut self) -> Result<Option<Group>, RowError> {
        // if the first row group isn't full, it is the only one
        let is_small = self.waiting_rows < SMALL_ROWS && !self.is_full();
        let (mut rows, mut bytes, mut room) = (Vec::new(), 0, self.group_rows);
        while room > 0
            && let Some(mut next) = self.waiting.pop_front()
        {
            let all = next.rows.num_rows();
            if all > room && !rows.is_empty() && all <= self.group_rows {
                self.waiting.push_front(next); // whole pages are usually in the order of time
                break;
            }
            if all > room {
                let rest = next.rows.slice(room, all - room);
                let share = next.bytes / all * room;
                self.waiting.push_front(BufferedRows {
                    rows: rest,
                    bytes: next.bytes - share,
                });
                next = BufferedRows {
                    rows: next.rows.slice(0, room),
                    bytes: share,
                };
            }
            room -= next.rows.num_rows();
            bytes += next.bytes;
            rows.push(next.rows);
        }
        self.waiting_bytes -= bytes;
        self.waiting_rows -= rows.iter().map(RecordBatch::num_rows).sum::<usize>();
        if rows.is_empty() {
            return Ok(None);
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open(is_small)?,
        };
        let writers = file.columns.create_column_writers(file.groups)?;
        file.groups += 1;
        self.file = Some(file);
        Ok(Some(Group {
            schema: self.schema.clone(),
            rows,
            writers,
            bytes,
        }))
    }

    /// Adds an encoded row group. Row groups are added in the order in which they were returned.
    pub fn add(&mut self, group: EncodedGroup) -> Result<(), RowError> {
        let Some(file) = &mut self.file else {
            return Ok(()); // it belongs to another part
        };
        let mut writer = file.writer.next_row_group()?;
        for column in group.columns {
            column.append_to_row_group(&mut writer)?;
        }
        writer.close()?;
        Ok(())
    }

    /// Returns the memory held by its rows, except those returned for encoding. The finished file, including encoded
    /// row groups, is larger than this only by its footer.
    pub fn bytes(&self) -> usize {
        self.waiting_bytes + self.encoded_bytes()
    }

    /// Returns the size of the file so far.
    pub fn encoded_bytes(&self) -> usize {
        self.file
            .as_ref()
            .map_or(0, |file| file.writer.bytes_written())
    }

    /// Returns the complete file; `None` if no row was pushed. Encodes waiting rows.
    pub fn finish(mut self) -> Result<Option<FinishedPart>, RowError> {
        while let Some(group) = self.next_group()? {
            self.add(group.encode()?)?;
        }
        let Some(file) = self.file else {
            return Ok(None);
        };
        let at = DateTime::from_timestamp_micros;
        let bounds = self.times;
        Ok(Some(FinishedPart {
            payload: file.writer.into_inner()?.0.freeze(),
            rows: self.rows,
            event_times: bounds.and_then(|(least, greatest)| at(least).zip(at(greatest))),
        }))
    }

    /// Opens the file without Arrow's own copy of the schema in the footer, so that engines that support Arrow read the
    /// types from the Parquet schema, like all others.
    fn open(&self, is_small: bool) -> Result<PartFile, RowError> {
        let options = ArrowWriterOptions::new()
            .with_properties(self.properties(is_small)?)
            .with_skip_arrow_metadata(true);
        let blocks = Blocks(PutPayloadMut::new().with_block_size(BLOCK_BYTES));
        let writer = ArrowWriter::try_new_with_options(blocks, self.schema.clone(), options)?;
        let (writer, columns) = writer.into_serialized_writer()?;
        Ok(PartFile {
            writer,
            columns,
            groups: 0,
        })
    }

    fn properties(&self, is_small: bool) -> Result<WriterProperties, RowError> {
        let column = |name: &str| ColumnPath::new(vec![name.to_owned()]);
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("auditlake ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(self.footer()))
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_data_page_size_limit(PAGE_BYTES)
            .set_sorting_columns(sorting_columns(&self.spec.partition_by));
        if is_small {
            return Ok(properties
                .set_dictionary_enabled(false)
                .set_statistics_enabled(EnabledStatistics::None)
                .set_column_statistics_enabled(column("event_time"), EnabledStatistics::Chunk)
                .set_offset_index_disabled(true)
                .build());
        }
        properties = properties
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_column_statistics_enabled(column("event_time"), EnabledStatistics::Page)
            .set_column_statistics_enabled(column("raw"), EnabledStatistics::None)
            .set_column_bloom_filter_enabled(column("event_id"), true)
            .set_column_bloom_filter_fpp(column("event_id"), 0.01)
            .set_column_bloom_filter_max_ndv(column("event_id"), GROUP_ROWS as u64);
        for name in ["event_id", "transaction_id", "message", "raw"] {
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

impl Group {
    /// Returns the memory held by its rows.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Encodes the rows, sorted by `event_time`; rows with equal times keep their order. If they have to be sorted,
    /// holds one column twice at a time, and frees each column when it is encoded.
    pub fn encode(self) -> Result<EncodedGroup, RowError> {
        let order = order(&self.rows.iter().map(times).collect::<Vec<_>>());
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.schema.fields().len()];
        for rows in self.rows {
            let (_, arrays, _) = rows.into_parts();
            for (column, array) in columns.iter_mut().zip(arrays) {
                column.push(array);
            }
        }
        let mut writers = self.writers.into_iter();
        let mut encoded = Vec::new();
        for (field, arrays) in self.schema.fields().iter().zip(columns) {
            let arrays = in_order(&arrays, &order)?;
            let mut open: Vec<ArrowColumnWriter> = Vec::new();
            for array in &arrays {
                let leaves = compute_leaves(field, array)?;
                if open.is_empty() {
                    open.extend(writers.by_ref().take(leaves.len()));
                }
                for (writer, leaf) in open.iter_mut().zip(&leaves) {
                    writer.write(leaf)?;
                }
            }
            for writer in open {
                encoded.push(writer.close()?);
            }
        }
        Ok(EncodedGroup { columns: encoded })
    }
}

/// The order in which rows are written.
enum Order {
    /// Batch after batch, in this order.
    Batches(Vec<usize>),
    /// Row after row, each with the index of its batch and its index there.
    Rows(Vec<(usize, usize)>),
}

/// Returns the order of time; rows with equal times keep their order. Pages are usually in order, each by itself and
/// within their window, so that nothing has to be copied.
fn order(times: &[&[i64]]) -> Order {
    let mut batches: Vec<usize> = (0..times.len()).collect();
    batches.sort_by_key(|&batch| times[batch].first());
    let meet_in_order = batches.windows(2).all(|pair| {
        let last = (times[pair[0]].last(), pair[0]);
        last <= (times[pair[1]].first(), pair[1])
    });
    if meet_in_order && times.iter().all(|times| times.is_sorted()) {
        return Order::Batches(batches);
    }
    let mut rows: Vec<(i64, usize, usize)> = (times.iter().enumerate())
        .flat_map(|(batch, times)| {
            (times.iter().enumerate()).map(move |(row, &at)| (at, batch, row))
        })
        .collect();
    rows.sort_unstable();
    Order::Rows(
        rows.into_iter()
            .map(|(_, batch, row)| (batch, row))
            .collect(),
    )
}

fn in_order(arrays: &[ArrayRef], order: &Order) -> Result<Vec<ArrayRef>, RowError> {
    Ok(match order {
        Order::Batches(batches) => batches.iter().map(|&batch| arrays[batch].clone()).collect(),
        Order::Rows(rows) => {
            let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
            vec![interleave(&arrays, rows)?]
        }
    })
}

/// Returns the `event_time`s of rows built by [`RowBuilder`](super::RowBuilder), which always have that column.
fn times(rows: &RecordBatch) -> &[i64] {
    (rows.column_by_name("event_time"))
        .and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>())
        .map_or(&[], |times| times.values())
}

/// Returns `event_time`, ascending. No column before it is nested, so its index among the columns is that among the
/// leaves.
fn sorting_columns(partition_by: &[PartitionColumn]) -> Option<Vec<SortingColumn>> {
    let place = schema::file_columns(partition_by).position(|column| column.name == "event_time");
    let column_idx = place.and_then(|place| i32::try_from(place).ok())?;
    Some(vec![SortingColumn {
        column_idx,
        descending: false,
        nulls_first: false,
    }])
}

impl fmt::Debug for PartWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartWriter")
            .field("spec", &self.spec)
            .field("rows", &self.rows)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for EncodedGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedGroup").finish_non_exhaustive()
    }
}

/// The file's bytes, which are never moved.
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use bytes::Bytes;
    use insta::assert_snapshot;
    use parquet::{
        arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
        basic::Repetition,
        file::{
            properties::ReaderProperties,
            reader::{FileReader, SerializedFileReader},
            serialized_reader::ReadOptionsBuilder,
        },
    };
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::model::PartitionColumn::{AccountId, Connection, EventDate, EventHour, Provider};
    use crate::model::Record;
    use crate::table::RowBuilder;
    use crate::table::testing::{any_record, any_text, context, expected, record, row, rows_of};

    fn part(partition_by: &[PartitionColumn]) -> PartWriter {
        PartWriter::new(PartSpec {
            partition_by: partition_by.to_vec(),
            job: "genesys-audits".to_owned(),
            run: "0193".to_owned(),
        })
    }

    fn bytes_of(part: PartWriter) -> Bytes {
        part.finish().unwrap().unwrap().payload.into()
    }

    fn file(records: &[Record<'_>], partition_by: &[PartitionColumn]) -> Bytes {
        let mut part = part(partition_by);
        for record in records {
            part.push(row(record, partition_by, r#"{"a": 1}"#, None));
        }
        bytes_of(part)
    }

    fn reader(file: &Bytes) -> ParquetRecordBatchReaderBuilder<Bytes> {
        ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap()
    }

    fn rows_of_group(file: &Bytes, group: usize) -> Vec<Value> {
        let batches = reader(file).with_row_groups(vec![group]).build().unwrap();
        batches.flat_map(|batch| rows_of(&batch.unwrap())).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_pushed_is_read_back_field_by_field(
            records in prop::collection::vec((any_record(), any_text(), any::<Option<i64>>()), 1..20),
            group_rows in 1_usize..8,
        ) {
            let mut part = part(&[]).with_group_rows(group_rows);
            for (record, raw, late) in &records {
                part.push(row(record, &[], raw, *late));
            }
            let finished = part.finish().unwrap().unwrap();
            prop_assert_eq!(finished.rows, records.len() as u64);
            let file: Bytes = finished.payload.into();

            let chunks = records.chunks(group_rows);
            prop_assert_eq!(reader(&file).metadata().num_row_groups(), chunks.len());
            for (group, chunk) in chunks.enumerate() {
                let mut sorted: Vec<_> = chunk.iter().collect();
                sorted.sort_by_key(|(record, ..)| record.event_time);
                let sorted: Vec<Value> = (sorted.into_iter())
                    .map(|(record, raw, late)| expected(record, raw, *late))
                    .collect();
                prop_assert_eq!(rows_of_group(&file, group), sorted);
            }
        }
    }

    #[test]
    fn many_rows_make_row_groups_by_rows_and_by_bytes() {
        let mut part = part(&[]);
        part.group_bytes = 100_000;
        for index in 0..500_i64 {
            let record = record(&index.to_string(), (index * 7_919) % 500);
            part.push(row(&record, &[], &"x".repeat(300), None));
            if let Some(group) = part.group().unwrap() {
                assert!(group.bytes() >= 100_000);
                let before = part.encoded_bytes();
                part.add(group.encode().unwrap()).unwrap();
                assert!(part.encoded_bytes() > before);
            }
            assert!(part.waiting_bytes < part.group_bytes);
            assert!(part.bytes() >= part.encoded_bytes() + 300 * part.waiting_rows);
        }
        let file = bytes_of(part);
        let groups = reader(&file).metadata().num_row_groups();
        assert!((4..60).contains(&groups), "{groups}");
        let mut count = 0;
        for group in 0..groups {
            let rows = rows_of_group(&file, group);
            assert!(rows.is_sorted_by_key(|row| row["event_time"].as_i64()));
            count += rows.len();
        }
        assert_eq!(count, 500);
    }

    proptest! {
        /// Batches of any size and order, with row groups encoded when full or all at the end.
        #[test]
        fn rows_of_a_group_are_in_order_of_time_and_those_of_one_time_in_order_of_arrival(
            batches in prop::collection::vec((prop::collection::vec(0_i64..6, 1..9), any::<bool>()), 1..9),
            group_rows in 1_usize..20,
        ) {
            let mut part = part(&[]).with_group_rows(group_rows);
            let mut seconds = Vec::new();
            let mut open = VecDeque::new();
            for (batch, sorted) in batches {
                let mut rows = RowBuilder::new(&[]);
                let mut batch = batch;
                if sorted {
                    batch.sort_unstable();
                }
                for second in batch {
                    let id = seconds.len().to_string();
                    rows.push(&record(&id, second), &context(), "{}", None).unwrap();
                    seconds.push(second);
                }
                part.push(rows.finish().unwrap());
                while let Some(group) = part.group().unwrap() {
                    open.push_back(group);
                }
            }
            for group in open {
                part.add(group.encode().unwrap()).unwrap();
            }
            let file = bytes_of(part);
            let mut seen = 0;
            for group in 0..reader(&file).metadata().num_row_groups() {
                let rows = rows_of_group(&file, group);
                prop_assert!(rows.len() <= group_rows);
                let ids: Vec<usize> = rows.iter().map(|row| row["event_id"].as_str().unwrap().parse().unwrap()).collect();
                let mut expected: Vec<usize> = (seen..seen + rows.len()).collect();
                seen += rows.len();
                expected.sort_by_key(|&id| seconds[id]);
                prop_assert_eq!(ids, expected);
            }
            prop_assert_eq!(seen, seconds.len());
        }
    }

    #[test]
    fn lists_and_maps_are_empty_not_null() {
        let file = file(&[record("id", 0)], &[]);
        let row = &rows_of_group(&file, 0)[0];
        for name in ["client_ips", "changes", "attributes"] {
            assert_eq!(row[name], Value::Array(Vec::new()), "{name}");
        }
        assert_eq!(row["message"], Value::Null);
    }

    #[test]
    fn text_survives_byte_for_byte() {
        let raw = "{\"a\":\t\"\\u0000 \u{0} ü 漢 😀 \u{feff}\u{202e} \r\n\" }  ";
        let mut part = part(&[]);
        part.push(row(&record("nul \0 in id", 0), &[], raw, Some(-5)));
        let row = &rows_of_group(&bytes_of(part), 0)[0];
        assert_eq!(row["raw"].as_str().unwrap().as_bytes(), raw.as_bytes());
        assert_eq!(row["event_id"], "nul \0 in id");
        assert_eq!(row["late_by_ms"], -5);
    }

    #[test]
    fn ten_megabytes_of_raw_work() {
        let raw = format!("\"{}\"", "x".repeat(10_000_000));
        let mut part = part(&[]);
        for second in 0..4 {
            part.push(row(&record("id", second), &[], &raw, None));
            if let Some(group) = part.group().unwrap() {
                part.add(group.encode().unwrap()).unwrap();
            }
        }
        let file = bytes_of(part);
        assert_eq!(reader(&file).metadata().num_row_groups(), 2);
        assert_eq!(rows_of_group(&file, 1)[1]["raw"].as_str().unwrap(), raw);
    }

    #[test]
    fn a_part_can_be_filled_and_its_groups_encoded_on_any_thread() {
        let mut part = part(&[]);
        let filled = std::thread::spawn(move || {
            part.push(row(&record("id", 0), &[], "{}", None));
            let group = part.next_group().unwrap().unwrap();
            let encoded = std::thread::spawn(|| group.encode().unwrap());
            part.add(encoded.join().unwrap()).unwrap();
            part
        });
        let file = filled.join().unwrap().finish().unwrap().unwrap();
        assert_eq!(file.rows, 1);
    }

    #[test]
    fn a_part_without_rows_is_no_file() {
        let part = part(&[]);
        assert_eq!(part.bytes(), 0);
        assert!(part.finish().unwrap().is_none());
    }

    #[test]
    fn columns_of_the_path_are_not_in_the_file() {
        for partition_by in [
            vec![],
            vec![Provider, EventDate],
            vec![Connection, AccountId, EventDate, EventHour],
        ] {
            let file = file(&[record("id", 0)], &partition_by);
            let schema = reader(&file).schema().clone();
            for column in PartitionColumn::ALL {
                let only_in_path = matches!(column.as_str(), "event_month" | "event_hour");
                let in_file = !only_in_path && !partition_by.contains(&column);
                assert_eq!(schema.column_with_name(column.as_str()).is_some(), in_file);
            }
        }
    }

    #[test]
    fn the_file_reads_with_the_schema_it_was_written_with() {
        let file = file(&[record("id", 0)], &[Provider]);
        let written = schema::written_schema(&[Provider]);
        assert_eq!(reader(&file).schema().fields(), written.fields());
        let metadata = reader(&file).metadata().clone();
        let footer = metadata.file_metadata().key_value_metadata().unwrap();
        let footer: Vec<(&str, &str)> = (footer.iter())
            .map(|entry| (entry.key.as_str(), entry.value.as_deref().unwrap()))
            .collect();
        assert_eq!(
            footer,
            [
                ("auditlake.job", "genesys-audits"),
                ("auditlake.run", "0193"),
                ("auditlake.schema_version", "2"),
                ("auditlake.version", env!("CARGO_PKG_VERSION")),
            ]
        );
    }

    #[test]
    fn a_small_file_leaves_out_what_pays_in_large_ones() {
        let size = |rows: usize| {
            let records: Vec<_> = (0..rows).map(|n| record(&format!("id-{n}"), 1)).collect();
            let file = file(&records, &[Provider]);
            let metadata = reader(&file).metadata().clone();
            for chunk in metadata.row_group(0).columns() {
                let is_time = chunk.column_path().string() == "event_time";
                assert_eq!(chunk.statistics().is_some(), is_time);
                assert_eq!(chunk.dictionary_page_offset(), None);
                assert_eq!(chunk.bloom_filter_offset(), None);
                assert_eq!(chunk.offset_index_offset(), None);
            }
            file.len()
        };
        assert!(size(1) < 5_000, "{}", size(1));
        size(SMALL_ROWS - 1);
    }

    #[test]
    fn few_large_rows_make_no_small_file() {
        let mut part = part(&[]);
        part.group_bytes = 1;
        part.push(row(&record("id", 1), &[], "{}", None));
        let group = part.group().unwrap().unwrap();
        part.add(group.encode().unwrap()).unwrap();
        part.push(row(&record("id", 2), &[], "{}", None));
        let metadata = reader(&bytes_of(part)).metadata().clone();
        let ids = metadata.row_group(0).column(0);
        assert!(ids.bloom_filter_offset().is_some() && ids.statistics().is_some());
    }

    #[test]
    fn the_bounds_are_those_of_all_rows() {
        let mut part = part(&[]).with_group_rows(2);
        for second in [5, -3, 9, 4, 0] {
            part.push(row(&record("id", second), &[], "{}", None));
        }
        let (least, greatest) = part.finish().unwrap().unwrap().event_times.unwrap();
        assert_eq!((least.timestamp(), greatest.timestamp()), (-3, 9));
    }

    #[test]
    fn columns_have_the_ids_of_their_place() {
        let file = file(&[record("id", 0)], &[Provider]);
        let schema = reader(&file).metadata().file_metadata().schema_descr_ptr();
        let mut lines = Vec::new();
        describe(schema.root_schema(), 0, &mut lines);
        assert_snapshot!(lines.join("\n"));
    }

    fn describe(kind: &parquet::schema::types::Type, depth: usize, lines: &mut Vec<String>) {
        let info = kind.get_basic_info();
        let id = if info.has_id() { info.id() } else { 0 };
        let optional = if depth > 0 && info.repetition() == Repetition::OPTIONAL {
            "optional"
        } else {
            ""
        };
        lines.push(format!(
            "{}{} {optional} {id}",
            "  ".repeat(depth),
            kind.name()
        ));
        if kind.is_group() {
            for field in kind.get_fields() {
                describe(field, depth + 1, lines);
            }
        }
    }

    #[test]
    fn encodings_statistics_and_sorting_are_as_promised() {
        let mut records = vec![record("a", 1), record("b", 2)];
        records[0].message = Some("text".into());
        records[0].action = Some("Update".into());
        records.resize_with(SMALL_ROWS, || record("b", 2));
        let file = file(&records, &[]);
        let reader = SerializedFileReader::new(file.clone()).unwrap();
        let metadata = reader.metadata();
        for chunk in metadata.row_group(0).columns() {
            let name = chunk.column_path().string();
            assert_eq!(
                chunk.compression(),
                Compression::ZSTD(ZstdLevel::try_new(1).unwrap())
            );
            let plain = ["event_id", "transaction_id", "message", "raw"].contains(&name.as_str());
            assert_eq!(chunk.dictionary_page_offset().is_none(), plain, "{name}");
            assert_eq!(chunk.statistics().is_none(), name == "raw", "{name}");
            assert_eq!(chunk.bloom_filter_offset().is_some(), name == "event_id");
            assert!(chunk.bloom_filter_length().unwrap_or(0) < 1_024);
            assert_eq!(chunk.column_index_offset().is_some(), name == "event_time");
        }
        assert_eq!(
            metadata.row_group(0).sorting_columns().unwrap(),
            &vec![SortingColumn {
                column_idx: 1,
                descending: false,
                nulls_first: false
            }]
        );
        assert_eq!(
            metadata.row_group(0).column(1).column_path().string(),
            "event_time"
        );
        let properties = ReaderProperties::builder()
            .set_read_bloom_filter(true)
            .build();
        let options = ReadOptionsBuilder::new()
            .with_reader_properties(properties)
            .build();
        let reader = SerializedFileReader::new_with_options(file, options).unwrap();
        let group = reader.get_row_group(0).unwrap();
        let bloom = group.get_column_bloom_filter(0).unwrap();
        assert!(bloom.check(&"a") && bloom.check(&"b") && !bloom.check(&"c"));
    }
}

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
    group_rows: usize,
    group_bytes: usize,
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
            group_rows: GROUP_ROWS,
            group_bytes: GROUP_BYTES,
        }
    }

    /// With row groups of at most so many rows.
    #[cfg(test)]
    pub(super) fn with_group_rows(self, group_rows: usize) -> Self {
        Self { group_rows, ..self }
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
        if self.waiting.len() >= self.group_rows || self.waiting.filled() >= self.group_bytes {
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use bytes::Bytes;
    use parquet::{
        arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
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
    use crate::table::testing::{any_record, any_text, context, expected, record, rows_of};

    fn part(partition_by: &[PartitionColumn]) -> Part {
        Part::new(PartSpec {
            partition_by: partition_by.to_vec(),
            job: "genesys-audits".to_owned(),
            run: "0193".to_owned(),
        })
    }

    fn bytes_of(part: Part) -> Bytes {
        part.finish().unwrap().unwrap().payload.into()
    }

    fn file(records: &[Record<'_>], partition_by: &[PartitionColumn]) -> Bytes {
        let mut part = part(partition_by);
        for record in records {
            part.push(record, &context(), r#"{"a": 1}"#, None).unwrap();
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
                part.push(record, &context(), raw, *late).unwrap();
            }
            let times = || records.iter().map(|(record, ..)| record.event_time);
            prop_assert_eq!(part.rows(), records.len() as u64);
            prop_assert_eq!(part.min_event_time(), times().min());
            prop_assert_eq!(part.max_event_time(), times().max());
            let finished = part.finish().unwrap().unwrap();
            prop_assert_eq!(finished.rows, records.len() as u64);
            prop_assert_eq!(Some(finished.min_event_time), times().min());
            prop_assert_eq!(Some(finished.max_event_time), times().max());
            let size = finished.size();
            let file: Bytes = finished.payload.into();
            prop_assert_eq!(file.len(), size);

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
        part.group_bytes = 40_000;
        for index in 0..500_i64 {
            let record = record(&index.to_string(), (index * 7_919) % 500);
            part.push(&record, &context(), &"x".repeat(300), None)
                .unwrap();
            assert!(part.waiting.filled() < part.group_bytes);
            assert!(part.bytes() >= part.encoded_bytes() + part.waiting.filled());
        }
        let file = bytes_of(part);
        let groups = reader(&file).metadata().num_row_groups();
        assert!((4..20).contains(&groups), "{groups}");
        let mut count = 0;
        for group in 0..groups {
            let rows = rows_of_group(&file, group);
            assert!(rows.is_sorted_by_key(|row| row["event_time"].as_i64()));
            count += rows.len();
        }
        assert_eq!(count, 500);
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
        part.push(&record("nul \0 in id", 0), &context(), raw, Some(-5))
            .unwrap();
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
            part.push(&record("id", second), &context(), &raw, None)
                .unwrap();
        }
        let file = bytes_of(part);
        assert_eq!(reader(&file).metadata().num_row_groups(), 2);
        assert_eq!(rows_of_group(&file, 1)[1]["raw"].as_str().unwrap(), raw);
    }

    #[test]
    fn a_part_can_be_filled_on_any_thread() {
        let mut part = part(&[]);
        let filled = std::thread::spawn(move || {
            part.push(&record("id", 0), &context(), "{}", None).unwrap();
            part
        });
        assert_eq!(filled.join().unwrap().rows(), 1);
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
        let written = schema::file_schema(&[Provider]);
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
                ("auditlake.schema_version", "1"),
                ("auditlake.version", env!("CARGO_PKG_VERSION")),
            ]
        );
    }

    #[test]
    fn encodings_statistics_and_sorting_are_as_promised() {
        let mut records = vec![record("a", 1), record("b", 2)];
        records[0].message = Some("text".into());
        records[0].action = Some("Update".into());
        let file = file(&records, &[]);
        let reader = SerializedFileReader::new(file.clone()).unwrap();
        let metadata = reader.metadata();
        for chunk in metadata.row_group(0).columns() {
            let name = chunk.column_path().string();
            assert_eq!(
                chunk.compression(),
                Compression::ZSTD(ZstdLevel::try_new(1).unwrap())
            );
            let plain = ["event_id", "message", "raw"].contains(&name.as_str());
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

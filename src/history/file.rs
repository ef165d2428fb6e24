//! The table `audit_runs`: its columns, and the file of a day.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    StructArray, StructBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{
    DataType, Date32Type, Field, Fields, Int64Type, SchemaRef, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use bytes::Bytes;
use chrono::NaiveDate;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{RangeOutcome, RunRow};
use crate::lake::layout::RUNS_TABLE;
use crate::lake::{Commit, RecordCounts, Work};
use crate::model::{FailureKind, Range, Timestamp};
use crate::table::column::{self, Column, ColumnSource, element, list_of};
use crate::table::ddl::{self, DdlColumn, PathColumn, Table};

/// The version of the schema, increased with each added column. Columns are never changed or removed.
const SCHEMA_VERSION: u32 = 1;

/// The maximum number of rows of a row group.
const GROUP_ROWS: usize = 32_768;

/// The key in the footer of the last commit of each job whose rows are in the file.
const THROUGH: &str = "auditlake.through";

/// The source of a column's value; its variant determines the column's type.
#[derive(Debug)]
enum RunValue {
    Text(fn(&RunRow) -> Option<String>),
    Time(fn(&RunRow) -> Option<Timestamp>),
    Count(fn(&RunRow) -> u64),
    Texts(fn(&RunRow) -> &[String]),
    Days(fn(&RunRow) -> &BTreeMap<NaiveDate, u64>),
    Delays(fn(&RunRow) -> &BTreeMap<u64, u64>),
}

/// The table's columns, in order. The day, `run_date`, is in the path.
static COLUMNS: [Column<RunValue>; 26] = [
    Column::required(
        "run_id",
        "Id of the run, in order of time",
        RunValue::Text(|row| Some(row.run.to_string())),
    ),
    Column::required(
        "job",
        "Name of the job",
        RunValue::Text(|row| Some(row.job.clone())),
    ),
    Column::optional(
        "provider",
        "Kind of provider",
        RunValue::Text(|row| row.provider.clone()),
    ),
    Column::optional(
        "connection",
        "Name of the connection",
        RunValue::Text(|row| row.connection.clone()),
    ),
    Column::optional(
        "stream",
        "Part of the feed; null for the run as a whole",
        RunValue::Text(|row| row.stream.clone()),
    ),
    Column::optional(
        "range_from",
        "First instant of the pulled range of event time",
        RunValue::Time(|row| Some(row.range?.from())),
    ),
    Column::optional(
        "range_to",
        "First instant after the range",
        RunValue::Time(|row| Some(row.range?.to())),
    ),
    Column::optional(
        "kind",
        "Kind of work: pull, settle, backfill or replay",
        RunValue::Text(|row| Some(row.work?.as_str().to_owned())),
    ),
    Column::required(
        "outcome",
        "Outcome: finished, unfinished, failed or lost",
        RunValue::Text(|row| Some(row.outcome.as_str().to_owned())),
    ),
    Column::required(
        "fetched",
        "Records received: the sum of new, duplicate, quarantined and waiting",
        RunValue::Count(|row| row.counts.fetched),
    ),
    Column::required(
        "new",
        "Records landed: rows of audit_events",
        RunValue::Count(|row| row.counts.new),
    ),
    Column::required(
        "duplicate",
        "Records that were already in the lake",
        RunValue::Count(|row| row.counts.duplicate),
    ),
    Column::required(
        "quarantined",
        "Records that could not be read",
        RunValue::Count(|row| row.counts.quarantined),
    ),
    Column::required(
        "waiting",
        "Records of a neighbouring range, with which they land",
        RunValue::Count(|row| row.counts.waiting),
    ),
    Column::required(
        "outside",
        "New records outside the requested bounds",
        RunValue::Count(|row| row.counts.outside),
    ),
    Column::required(
        "late",
        "New records that an earlier pull of their range did not return",
        RunValue::Count(|row| row.counts.late),
    ),
    Column::required(
        "calls",
        "Requests sent, including retries",
        RunValue::Count(|row| row.calls),
    ),
    Column::required(
        "retries",
        "Retries after a transient failure",
        RunValue::Count(|row| row.retries),
    ),
    Column::required(
        "started_at",
        "When the run claimed the job",
        RunValue::Time(|row| Some(row.started_at)),
    ),
    Column::required(
        "ended_at",
        "When the run released the job, or its last commit that day",
        RunValue::Time(|row| Some(row.ended_at)),
    ),
    Column::required(
        "duration_ms",
        "ended_at minus started_at",
        RunValue::Count(|row| {
            let duration = (row.ended_at - row.started_at).num_milliseconds();
            u64::try_from(duration).unwrap_or_default()
        }),
    ),
    Column::optional(
        "error_kind",
        "Kind of failure: transient, rate_limited, auth, config, data or conflict",
        RunValue::Text(|row| Some(row.error_kind?.to_string())),
    ),
    Column::optional(
        "error",
        "The failure with its causes",
        RunValue::Text(|row| row.error.clone()),
    ),
    Column::required(
        "remarks",
        "Remarks for the operator",
        RunValue::Texts(|row| &row.remarks),
    ),
    Column::required(
        "rows_by_day",
        "The new records by the UTC date of their event_time",
        RunValue::Days(|row| &row.days),
    ),
    Column::required(
        "rows_by_delay",
        "The late records by delay: at most this number of seconds, null for more than a week",
        RunValue::Delays(|row| &row.delays),
    ),
];

impl ColumnSource for RunValue {
    fn data_type(&self) -> DataType {
        match self {
            Self::Text(_) => DataType::Utf8,
            Self::Time(_) => column::timestamp(),
            Self::Count(_) => DataType::Int64,
            Self::Texts(_) => list_of(DataType::Utf8),
            Self::Days(_) => list_of(DataType::Struct(day_fields())),
            Self::Delays(_) => list_of(DataType::Struct(delay_fields())),
        }
    }
}

impl RunValue {
    fn array(&self, rows: &[RunRow]) -> ArrayRef {
        match *self {
            Self::Text(get) => {
                let mut texts = StringBuilder::new();
                rows.iter().for_each(|row| texts.append_option(get(row)));
                Arc::new(texts.finish())
            }
            Self::Time(get) => {
                let mut times = TimestampMicrosecondBuilder::new().with_timezone("UTC");
                rows.iter().for_each(|row| {
                    times.append_option(get(row).map(|at| at.timestamp_micros()));
                });
                Arc::new(times.finish())
            }
            Self::Count(get) => {
                let mut counts = Int64Builder::new();
                (rows.iter()).for_each(|row| counts.append_value(signed(get(row))));
                Arc::new(counts.finish())
            }
            Self::Texts(get) => {
                let mut lists =
                    ListBuilder::new(StringBuilder::new()).with_field(element(DataType::Utf8));
                for row in rows {
                    get(row)
                        .iter()
                        .for_each(|text| lists.values().append_value(text));
                    lists.append(true);
                }
                Arc::new(lists.finish())
            }
            Self::Days(get) => {
                let days = Date32Builder::new();
                sums(day_fields(), days, rows, get, |days, day| {
                    days.append_value(Date32Type::from_naive_date(*day));
                })
            }
            Self::Delays(get) => {
                let delays = Int64Builder::new();
                sums(delay_fields(), delays, rows, get, |delays, delay| {
                    delays.append_option((*delay != u64::MAX).then(|| signed(*delay)));
                })
            }
        }
    }
}

/// A list of structs per row: each key with its number of records.
fn sums<K, B: arrow::array::ArrayBuilder>(
    fields: Fields,
    keys: B,
    rows: &[RunRow],
    get: fn(&RunRow) -> &BTreeMap<K, u64>,
    append: impl Fn(&mut B, &K),
) -> ArrayRef {
    let entry = element(DataType::Struct(fields.clone()));
    let columns: Vec<Box<dyn arrow::array::ArrayBuilder>> =
        vec![Box::new(keys), Box::new(Int64Builder::new())];
    let mut lists = ListBuilder::new(StructBuilder::new(fields, columns)).with_field(entry);
    for row in rows {
        for (key, records) in get(row) {
            let entry = lists.values();
            if let Some(keys) = entry.field_builder::<B>(0) {
                append(keys, key);
            }
            if let Some(numbers) = entry.field_builder::<Int64Builder>(1) {
                numbers.append_value(signed(*records));
            }
            entry.append(true);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn day_fields() -> Fields {
    Fields::from(vec![
        Field::new("event_date", DataType::Date32, false),
        Field::new("records", DataType::Int64, false),
    ])
}

fn delay_fields() -> Fields {
    Fields::from(vec![
        Field::new("within_s", DataType::Int64, true),
        Field::new("records", DataType::Int64, false),
    ])
}

/// Returns the DDL of the table in `location` whose first day is `since` or later.
pub fn table(location: String, since: NaiveDate) -> Table {
    let run_date = PathColumn {
        name: "run_date",
        data_type: DataType::Date32,
        meaning: "UTC date of its commits",
        projection: ddl::days_since(since),
    };
    Table {
        name: RUNS_TABLE,
        schema_version: SCHEMA_VERSION,
        columns: COLUMNS.iter().map(DdlColumn::of).collect(),
        path: vec![run_date],
        location,
    }
}

/// The last commit of a job whose rows are in a file. The next file continues from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CommitMark {
    pub(super) version: u64,
    /// The commit's id. A different commit with that version means that the log was restarted.
    pub(super) id: Uuid,
    pub(super) at: Timestamp,
}

impl CommitMark {
    pub(super) fn of(commit: &Commit) -> Self {
        Self {
            version: commit.version,
            id: commit.id,
            at: commit.at,
        }
    }
}

/// The last commit of each job.
pub(super) type CommitMarks = BTreeMap<String, CommitMark>;

/// A day's file can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It isn't valid Parquet.
    #[error("the file isn't a Parquet file of the table `audit_runs`")]
    Parquet(#[from] ParquetError),
    /// Its columns don't have the expected types.
    #[error("the file's columns are not those of the table `audit_runs`")]
    Arrow(#[from] ArrowError),
    /// Its footer has no last commits.
    #[error("the file's footer doesn't contain the last commits")]
    Footer,
}

/// A day's file under construction. It holds the rows of one row group, and the encoded bytes of the others.
pub(super) struct RunFileWriter {
    parquet: ArrowWriter<Vec<u8>>,
    schema: SchemaRef,
    pub(super) rows: usize,
}

impl RunFileWriter {
    /// Creates the file without Arrow's own copy of the schema in the footer, so that engines that support Arrow read
    /// the types from the Parquet schema, like all others.
    pub(super) fn new() -> Result<Self, FileError> {
        let properties = WriterProperties::builder()
            .set_created_by(concat!("auditlake ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        let schema = column::schema(COLUMNS.iter());
        Ok(Self {
            parquet: ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options)?,
            schema,
            rows: 0,
        })
    }

    pub(super) fn push(&mut self, rows: &[RunRow]) -> Result<(), FileError> {
        if rows.is_empty() {
            return Ok(());
        }
        let columns = (COLUMNS.iter())
            .map(|column| column.value.array(rows))
            .collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.parquet.write(&batch)?;
        self.rows += rows.len();
        Ok(())
    }

    pub(super) fn finish(mut self, through: &CommitMarks) -> Result<Vec<u8>, FileError> {
        let through = serde_json::to_string(through).map_err(|_| FileError::Footer)?;
        let footer = [
            ("auditlake.schema_version", SCHEMA_VERSION.to_string()),
            ("auditlake.version", env!("CARGO_PKG_VERSION").to_owned()),
            (THROUGH, through),
        ];
        for (key, value) in footer {
            (self.parquet).append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        Ok(self.parquet.into_inner()?)
    }
}

/// Returns the last commits in a file's footer.
pub(super) fn through(file: Bytes) -> Result<CommitMarks, FileError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let footer = reader.metadata().file_metadata().key_value_metadata();
    let through = footer
        .and_then(|footer| footer.iter().find(|entry| entry.key == THROUGH))
        .and_then(|entry| serde_json::from_str(entry.value.as_ref()?).ok());
    through.ok_or(FileError::Footer)
}

/// Reads the rows of a file, including one with more or fewer columns. Rows without a run are skipped.
pub(super) fn rows(file: Bytes) -> Result<Vec<RunRow>, FileError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch?;
        let batch = RunBatch(&batch);
        rows.extend((0..batch.0.num_rows()).filter_map(|row| batch.row(row)));
    }
    Ok(rows)
}

/// The known columns of a file.
struct RunBatch<'a>(&'a RecordBatch);

impl RunBatch<'_> {
    fn row(&self, row: usize) -> Option<RunRow> {
        let outcome = self.text("outcome", row)?;
        let work = self.text("kind", row);
        let kind = self.text("error_kind", row);
        let range = self.time("range_from", row).zip(self.time("range_to", row));
        Some(RunRow {
            job: self.text("job", row)?,
            provider: self.text("provider", row),
            connection: self.text("connection", row),
            run: Uuid::try_parse(&self.text("run_id", row)?).ok()?,
            started_at: self.time("started_at", row)?,
            ended_at: self.time("ended_at", row)?,
            stream: self.text("stream", row),
            range: range.and_then(|(from, to)| Range::new(from, to)),
            work: work.and_then(|work| Work::ALL.into_iter().find(|is| is.as_str() == work)),
            outcome: (RangeOutcome::ALL.into_iter()).find(|is| is.as_str() == outcome)?,
            counts: RecordCounts {
                fetched: self.count("fetched", row),
                new: self.count("new", row),
                duplicate: self.count("duplicate", row),
                quarantined: self.count("quarantined", row),
                waiting: self.count("waiting", row),
                outside: self.count("outside", row),
                late: self.count("late", row),
            },
            calls: self.count("calls", row),
            retries: self.count("retries", row),
            days: self.sums("rows_by_day", row, |keys, entry| {
                let days = keys.as_primitive_opt::<Date32Type>()?.value(entry);
                date(days)
            }),
            delays: self.sums("rows_by_delay", row, |keys, entry| {
                let delay = keys.as_primitive_opt::<Int64Type>()?.value(entry);
                if keys.is_null(entry) {
                    return Some(u64::MAX);
                }
                u64::try_from(delay).ok()
            }),
            error_kind: kind.and_then(|kind| {
                FailureKind::ALL
                    .into_iter()
                    .find(|is| is.to_string() == kind)
            }),
            error: self.text("error", row),
            remarks: self.texts("remarks", row),
        })
    }

    fn column(&self, name: &str, row: usize) -> Option<&ArrayRef> {
        let column = self.0.column_by_name(name)?;
        column.is_valid(row).then_some(column)
    }

    fn text(&self, name: &str, row: usize) -> Option<String> {
        let column = self.column(name, row)?.as_string_opt::<i32>()?;
        Some(column.value(row).to_owned())
    }

    fn time(&self, name: &str, row: usize) -> Option<Timestamp> {
        let column = self.column(name, row)?;
        let column = column.as_primitive_opt::<TimestampMicrosecondType>()?;
        Timestamp::from_timestamp_micros(column.value(row))
    }

    fn count(&self, name: &str, row: usize) -> u64 {
        let count = || {
            let column = self.column(name, row)?.as_primitive_opt::<Int64Type>()?;
            u64::try_from(column.value(row)).ok()
        };
        count().unwrap_or_default()
    }

    fn list(&self, name: &str, row: usize) -> Option<ArrayRef> {
        Some(self.column(name, row)?.as_list_opt::<i32>()?.value(row))
    }

    fn texts(&self, name: &str, row: usize) -> Vec<String> {
        let list = self.list(name, row);
        let texts = list.as_ref().and_then(|list| list.as_string_opt::<i32>());
        let texts = texts.into_iter().flatten().flatten();
        texts.map(str::to_owned).collect()
    }

    fn sums<K: Ord>(
        &self,
        name: &str,
        row: usize,
        key: impl Fn(&ArrayRef, usize) -> Option<K>,
    ) -> BTreeMap<K, u64> {
        let list = self.list(name, row);
        let entries: Option<&StructArray> = list.as_ref().and_then(|list| list.as_struct_opt());
        let Some(entries) = entries.filter(|entries| entries.num_columns() >= 2) else {
            return BTreeMap::new();
        };
        let numbers = entries.column(1).as_primitive_opt::<Int64Type>();
        let entry = |entry| {
            let records = u64::try_from(numbers?.value(entry)).ok()?;
            Some((key(entries.column(0), entry)?, records))
        };
        (0..entries.len()).filter_map(entry).collect()
    }
}

fn date(days_since_epoch: i32) -> Option<NaiveDate> {
    NaiveDate::from_epoch_days(days_since_epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// every engine has a name for each type, and none of the types is Arrow's own
    #[test]
    fn table_in_words() {
        let since = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default();
        let table = table("s3://lake/audit_runs".to_owned(), since);
        insta::assert_snapshot!(ddl::as_text(&table));
        insta::assert_snapshot!(ddl::ddl(ddl::Engine::Athena, &table));
        insta::assert_snapshot!(ddl::ddl(ddl::Engine::ClickHouse, &table));
    }
}

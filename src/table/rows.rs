//! The conversion of records to Arrow columns.

use std::{borrow::Cow, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, Date32Array, Int64Array, ListArray, MapArray, NullBufferBuilder,
        StringArray, StructArray, TimestampMicrosecondArray, UInt32Array,
    },
    buffer::{Buffer, OffsetBuffer},
    compute::take_record_batch,
    datatypes::SchemaRef,
    error::ArrowError,
    record_batch::RecordBatch,
};
use chrono::Datelike;

use super::column;
use super::row::{RowContext, TableRow};
use super::schema::{self, Attribute, ColumnValue};
use crate::model::{FailureKind, PartitionColumn, PropertyChange, Record, Timestamp};

/// The maximum text in a builder in bytes, far below the 2 GiB limit of 32-bit offsets in a column.
const MAX_BYTES: usize = 1 << 30;

/// The largest page for which capacity is reserved, in bytes.
const MOST_ROOM: usize = 4 << 20;

/// The maximum number of texts per list for which capacity is reserved.
const MOST_TEXTS: usize = 16;

/// The size of a cell in addition to its text: its offset.
const CELL_BYTES: usize = size_of::<u32>();

/// Rows couldn't be built or encoded.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The record is too large for the columns and wasn't added.
    #[error(
        "the record `{event_id}` takes {bytes} bytes as a row: at most {most} bytes of rows fit together"
    )]
    TooLarge {
        /// The record's id, shortened.
        event_id: String,
        /// The record's size as a row.
        bytes: usize,
        /// The maximum size.
        most: usize,
    },
    /// The columns don't match the schema, which is a bug.
    #[error("the rows don't make a batch")]
    Arrow(#[from] ArrowError),
    /// The batch couldn't be encoded, which is a bug.
    #[error("the rows don't make a Parquet file")]
    Parquet(#[from] parquet::errors::ParquetError),
}

impl RowError {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        FailureKind::Data
    }
}

/// The capacity used by rows.
#[derive(Debug, Clone, Default)]
pub struct Room {
    rows: usize,
    /// The number of texts and their total size in bytes for each text column, including nested ones.
    texts: Vec<(usize, usize)>,
}

/// A builder of a batch of rows.
#[derive(Debug)]
pub struct RowBuilder {
    schema: SchemaRef,
    columns: Vec<(&'static ColumnValue, Cells)>,
    rows: usize,
    filled: usize,
    max_bytes: usize,
}

impl RowBuilder {
    /// Creates a builder for files whose path has `partition_by`. Holds almost no memory until the first row.
    pub fn new(partition_by: &[PartitionColumn]) -> Self {
        Self {
            schema: schema::file_schema(partition_by),
            columns: schema::file_columns(partition_by)
                .map(|column| (&column.value, Cells::new(&column.value)))
                .collect(),
            rows: 0,
            filled: 0,
            max_bytes: MAX_BYTES,
        }
    }

    /// Reserves capacity for this number of rows and bytes of JSON, assuming that they are similar to those of another
    /// builder, as pages of one feed are. Reserves at most as much as their JSON could fill, and nothing for a very
    /// large page.
    #[must_use]
    pub fn with_room(mut self, rows: usize, raw_bytes: usize, like: &Room) -> Self {
        if raw_bytes > MOST_ROOM {
            return self;
        }
        let share = |count: usize| (count.saturating_mul(rows)) / like.rows.max(1);
        let texts = self.columns.iter_mut().flat_map(|(_, cells)| cells.texts());
        for (text, &(count, bytes)) in texts.zip(&like.texts) {
            text.lengths.0.reserve(share(count).min(MOST_TEXTS * rows));
            text.joined.reserve(share(bytes).min(raw_bytes));
        }
        self
    }

    /// Returns the capacity used by its rows.
    pub fn room(&mut self) -> Room {
        let texts = self.columns.iter_mut().flat_map(|(_, cells)| cells.texts());
        Room {
            texts: texts
                .map(|text| (text.lengths.0.len(), text.joined.len()))
                .collect(),
            rows: self.rows,
        }
    }

    /// Adds a row. If that fails, the builder is unchanged.
    pub fn push(
        &mut self,
        record: &Record<'_>,
        context: &RowContext<'_>,
        raw: &str,
        late_by_ms: Option<i64>,
    ) -> Result<(), RowError> {
        let row = TableRow {
            record,
            context,
            raw,
            late_by_ms,
        };
        let size = self.size_of(&row);
        if self.filled.saturating_add(size) > self.max_bytes {
            return Err(RowError::TooLarge {
                event_id: record.event_id.chars().take(100).collect(),
                bytes: size,
                most: self.max_bytes,
            });
        }
        for (value, cells) in &mut self.columns {
            cells.push(value, &row);
        }
        self.rows += 1;
        self.filled += size;
        Ok(())
    }

    /// Takes the rows as a batch, in the order in which they were pushed.
    pub fn finish(&mut self) -> Result<RecordBatch, RowError> {
        self.filled = 0;
        self.rows = 0;
        let arrays: Result<Vec<ArrayRef>, ArrowError> = (self.columns.iter_mut())
            .map(|(value, cells)| std::mem::replace(cells, Cells::new(value)).finish())
            .collect();
        Ok(RecordBatch::try_new(self.schema.clone(), arrays?)?)
    }

    fn size_of(&self, row: &TableRow<'_>) -> usize {
        (self.columns.iter())
            .map(|(value, _)| CELL_BYTES + size_of_value(value, row))
            .sum()
    }
}

/// Returns the rows of a batch with these indices in this order, each with its `late_by_ms`. If all rows are picked and
/// none is late, they are shared instead of copied.
pub fn pick(rows: &RecordBatch, picked: &[(u32, Option<i64>)]) -> Result<RecordBatch, RowError> {
    let late: Int64Array = picked.iter().map(|&(_, late)| late).collect();
    let all = (0..).zip(picked).all(|(row, &(this, _))| this == row);
    let chosen = if all && picked.len() == rows.num_rows() {
        rows.clone()
    } else {
        let numbers: UInt32Array = picked.iter().map(|&(row, _)| row).collect();
        take_record_batch(rows, &numbers)?
    };
    if late.null_count() == late.len() {
        return Ok(chosen);
    }
    let place = chosen.schema().index_of("late_by_ms")?;
    let (schema, mut columns, _) = chosen.into_parts();
    columns[place] = Arc::new(late);
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn size_of_value(value: &ColumnValue, row: &TableRow<'_>) -> usize {
    match value {
        ColumnValue::Text(get) => get(row).map_or(0, str::len),
        ColumnValue::Time(_) | ColumnValue::Integer(_) => size_of::<i64>(),
        ColumnValue::Date(_) => size_of::<i32>(),
        ColumnValue::Texts(get) => size_of_texts(get(row)),
        ColumnValue::Changes(get) => (get(row).iter())
            .map(|change| {
                let texts = [&change.property, &change.entity_type, &change.entity_id];
                let texts: usize = texts
                    .iter()
                    .map(|text| text.as_ref().map_or(0, |text| text.len()))
                    .sum();
                let values = size_of_texts(&change.old_values) + size_of_texts(&change.new_values);
                5 * CELL_BYTES + texts + values
            })
            .sum(),
        ColumnValue::Attributes(get) => (get(row).iter())
            .map(|(key, value)| 2 * CELL_BYTES + key.len() + value.len())
            .sum(),
    }
}

fn size_of_texts(texts: &[Cow<'_, str>]) -> usize {
    texts.iter().map(|text| CELL_BYTES + text.len()).sum()
}

/// The cells of a column so far, in the variant of its [`ColumnValue`].
///
/// Arrow's own builders aren't used, because they don't report their memory, and reserve 1024 rows per column, which is
/// too much for many open partitions.
#[derive(Debug)]
enum Cells {
    Text(TextCells),
    Time(Vec<i64>),
    Date(Vec<i32>),
    Integer(Vec<i64>, NullBufferBuilder),
    Texts(TextListCells),
    Changes(Box<Changes>),
    Attributes(Attributes),
}

impl Cells {
    fn new(value: &ColumnValue) -> Self {
        match value {
            ColumnValue::Text(_) => Self::Text(TextCells::default()),
            ColumnValue::Time(_) => Self::Time(Vec::new()),
            ColumnValue::Date(_) => Self::Date(Vec::new()),
            ColumnValue::Integer(_) => Self::Integer(Vec::new(), NullBufferBuilder::new(0)),
            ColumnValue::Texts(_) => Self::Texts(TextListCells::default()),
            ColumnValue::Changes(_) => Self::Changes(Box::default()),
            ColumnValue::Attributes(_) => Self::Attributes(Attributes::default()),
        }
    }

    fn texts(&mut self) -> Vec<&mut TextCells> {
        match self {
            Self::Text(cells) => vec![cells],
            Self::Time(_) | Self::Date(_) | Self::Integer(..) => Vec::new(),
            Self::Texts(cells) => vec![&mut cells.elements],
            Self::Changes(cells) => vec![
                &mut cells.property,
                &mut cells.entity_type,
                &mut cells.entity_id,
                &mut cells.old_values.elements,
                &mut cells.new_values.elements,
            ],
            Self::Attributes(cells) => vec![&mut cells.keys, &mut cells.values],
        }
    }

    fn push(&mut self, value: &ColumnValue, row: &TableRow<'_>) {
        match (self, value) {
            (Self::Text(cells), ColumnValue::Text(get)) => cells.push(get(row)),
            (Self::Time(cells), ColumnValue::Time(get)) => cells.push(get(row).timestamp_micros()),
            (Self::Date(cells), ColumnValue::Date(get)) => cells.push(days_since_epoch(get(row))),
            (Self::Integer(cells, valid), ColumnValue::Integer(get)) => {
                let value = get(row);
                cells.push(value.unwrap_or_default());
                valid.append(value.is_some());
            }
            (Self::Texts(cells), ColumnValue::Texts(get)) => cells.push(get(row)),
            (Self::Changes(cells), ColumnValue::Changes(get)) => cells.push(get(row)),
            (Self::Attributes(cells), ColumnValue::Attributes(get)) => cells.push(get(row)),
            // both come from the same `Value`; otherwise, the batch would be refused because of a short column
            _ => {}
        }
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Text(cells) => cells.finish()?,
            Self::Time(cells) => {
                Arc::new(TimestampMicrosecondArray::from(cells).with_timezone("UTC"))
            }
            Self::Date(cells) => Arc::new(Date32Array::from(cells)),
            Self::Integer(cells, valid) => {
                Arc::new(Int64Array::try_new(cells.into(), valid.build())?)
            }
            Self::Texts(cells) => cells.finish()?,
            Self::Changes(cells) => cells.finish()?,
            Self::Attributes(cells) => cells.finish()?,
        })
    }
}

/// Returns the UTC date as in Arrow: days since 1970-01-01.
fn days_since_epoch(time: Timestamp) -> i32 {
    const EPOCH_DAY_FROM_CE: i32 = 719_163;
    time.date_naive().num_days_from_ce() - EPOCH_DAY_FROM_CE
}

/// The length of each cell; converted to offsets at the end.
#[derive(Debug, Default)]
struct Lengths(Vec<u32>);

impl Lengths {
    /// Adds a length. One beyond 32 bits, which [`MAX_BYTES`] prevents, would be refused in `finish`.
    fn push(&mut self, length: usize) {
        self.0.push(u32::try_from(length).unwrap_or(u32::MAX));
    }

    fn finish(self) -> Result<OffsetBuffer<i32>, ArrowError> {
        let lengths = self.0.into_iter().map(|length| length as usize);
        OffsetBuffer::try_from_lengths(lengths)
            .map_err(|overflow| ArrowError::InvalidArgumentError(overflow.to_string()))
    }
}

#[derive(Debug)]
struct TextCells {
    lengths: Lengths,
    joined: String,
    valid: NullBufferBuilder,
}

impl Default for TextCells {
    fn default() -> Self {
        Self {
            lengths: Lengths::default(),
            joined: String::new(),
            valid: NullBufferBuilder::new(0),
        }
    }
}

impl TextCells {
    fn push(&mut self, text: Option<&str>) {
        let value = text.unwrap_or_default();
        self.joined.push_str(value);
        self.lengths.push(value.len());
        self.valid.append(text.is_some());
    }

    fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        self.joined.shrink_to_fit(); // rows may wait a long time for their row group
        let joined = Buffer::from_vec(self.joined.into_bytes());
        Ok(Arc::new(StringArray::try_new(
            self.lengths.finish()?,
            joined,
            self.valid.build(),
        )?))
    }
}

#[derive(Debug, Default)]
struct TextListCells {
    lengths: Lengths,
    elements: TextCells,
}

impl TextListCells {
    fn push(&mut self, texts: &[Cow<'_, str>]) {
        self.lengths.push(texts.len());
        for text in texts {
            self.elements.push(Some(text));
        }
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        list(self.lengths, self.elements.finish()?)
    }
}

#[derive(Debug, Default)]
struct Changes {
    lengths: Lengths,
    property: TextCells,
    entity_type: TextCells,
    entity_id: TextCells,
    old_values: TextListCells,
    new_values: TextListCells,
}

impl Changes {
    fn push(&mut self, changes: &[PropertyChange<'_>]) {
        self.lengths.push(changes.len());
        for change in changes {
            self.property.push(change.property.as_deref());
            self.entity_type.push(change.entity_type.as_deref());
            self.entity_id.push(change.entity_id.as_deref());
            self.old_values.push(&change.old_values);
            self.new_values.push(&change.new_values);
        }
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        let changes = StructArray::try_new(
            schema::change_fields(),
            vec![
                self.property.finish()?,
                self.entity_type.finish()?,
                self.entity_id.finish()?,
                self.old_values.finish()?,
                self.new_values.finish()?,
            ],
            None,
        )?;
        list(self.lengths, Arc::new(changes))
    }
}

#[derive(Debug, Default)]
struct Attributes {
    lengths: Lengths,
    keys: TextCells,
    values: TextCells,
    /// The order of a row's keys while it is pushed.
    order: Vec<usize>,
}

impl Attributes {
    /// Adds keys in order, each once: if a key is repeated, its last value counts, as in most JSON parsers.
    fn push(&mut self, attributes: &[Attribute<'_>]) {
        let key = |index: usize| &attributes[index].0;
        self.order.clear();
        self.order.extend(0..attributes.len());
        self.order
            .sort_by(|&left, &right| key(left).cmp(key(right)));
        let mut length = 0;
        for (place, &index) in self.order.iter().enumerate() {
            let next = self.order.get(place + 1);
            if next.is_some_and(|&next| key(next) == key(index)) {
                continue;
            }
            self.keys.push(Some(key(index)));
            self.values.push(Some(&attributes[index].1));
            length += 1;
        }
        self.lengths.push(length);
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        let columns = vec![self.keys.finish()?, self.values.finish()?];
        let entries = StructArray::try_new(schema::attribute_fields(), columns, None)?;
        Ok(Arc::new(MapArray::try_new(
            Arc::new(schema::attribute_entry()),
            self.lengths.finish()?,
            entries,
            None,
            false,
        )?))
    }
}

fn list(lengths: Lengths, elements: ArrayRef) -> Result<ArrayRef, ArrowError> {
    let field = Arc::new(column::element(elements.data_type().clone()));
    Ok(Arc::new(ListArray::try_new(
        field,
        lengths.finish()?,
        elements,
        None,
    )?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::table::testing::{self, CONTEXT_ACCOUNT, context, record};

    fn build(records: &[Record<'_>], partition_by: &[PartitionColumn]) -> RecordBatch {
        let mut rows = RowBuilder::new(partition_by);
        for record in records {
            rows.push(record, &context(), "{}", None).unwrap();
        }
        rows.finish().unwrap()
    }

    proptest! {
        #[test]
        fn what_it_counts_as_filled_covers_its_text(texts in prop::collection::vec(".{0,300}", 1..50)) {
            let mut rows = RowBuilder::new(&[]);
            for text in &texts {
                rows.push(&record("id", 0), &context(), text, None).unwrap();
            }
            prop_assert!(texts.iter().map(String::len).sum::<usize>() < rows.filled);
            prop_assert_eq!(rows.rows, texts.len());
            rows.finish().unwrap();
            prop_assert_eq!((rows.rows, rows.filled), (0, 0));
        }
    }

    #[test]
    fn a_key_that_comes_twice_keeps_its_last_value() {
        let mut twice = record("id", 0);
        twice.attributes = [("b", "1"), ("a", "2"), ("b", "3")]
            .map(|(key, value)| (key.into(), value.into()))
            .to_vec();
        let rows = testing::rows_of(&build(&[twice], &[]));
        assert_eq!(
            rows[0]["attributes"],
            serde_json::json!([["a", "2"], ["b", "3"]])
        );
    }

    #[test]
    fn the_account_is_the_records_own_if_it_says_so() {
        let mut own = record("id", 0);
        own.account_id = Some("its own".into());
        let rows = testing::rows_of(&build(&[own, record("other", 1)], &[]));
        assert_eq!(rows[0]["account_id"], "its own");
        assert_eq!(rows[1]["account_id"], CONTEXT_ACCOUNT);
    }

    #[test]
    fn a_record_that_does_not_fit_changes_nothing() {
        let mut rows = RowBuilder::new(&[]);
        rows.max_bytes = 1_000;
        rows.push(&record("one", 0), &context(), "{}", None)
            .unwrap();
        let before = (rows.rows, rows.filled);
        let error = rows
            .push(&record("two", 0), &context(), &"x".repeat(1_000), None)
            .unwrap_err();
        assert!(error.to_string().starts_with("the record `two` takes 1"));
        assert_eq!((rows.rows, rows.filled), before);
        assert_eq!(testing::rows_of(&rows.finish().unwrap()).len(), 1);
    }

    #[test]
    fn what_is_picked_of_rows_are_those_rows_with_how_late_they_were() {
        let records = [record("a", 5), record("b", 4), record("c", 3)];
        let all = build(&records, &[]);
        let shown = |picked: &[(u32, Option<i64>)]| {
            let rows = testing::rows_of(&pick(&all, picked).unwrap());
            let shown = rows.iter().map(|row| {
                let id = row["event_id"].as_str().unwrap().to_owned();
                (id, row["late_by_ms"].as_i64())
            });
            shown.collect::<Vec<_>>()
        };
        let row = |id: &str, late| (id.to_owned(), late);
        assert_eq!(
            shown(&[(0, None), (1, None), (2, None)]),
            [row("a", None), row("b", None), row("c", None)]
        );
        assert_eq!(
            shown(&[(0, None), (1, Some(7)), (2, None)]),
            [row("a", None), row("b", Some(7)), row("c", None)]
        );
        assert_eq!(
            shown(&[(0, Some(-1)), (2, None)]),
            [row("a", Some(-1)), row("c", None)]
        );
        assert_eq!(shown(&[(1, None)]), [row("b", None)]);
    }

    #[test]
    fn dates_are_those_of_utc_also_before_1970() {
        for (second, day) in [(0, 0), (86_399, 0), (86_400, 1), (-1, -1), (-86_401, -2)] {
            let time = chrono::DateTime::from_timestamp(second, 0).unwrap();
            assert_eq!(days_since_epoch(time), day);
        }
    }
}

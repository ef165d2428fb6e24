//! The columns of the lake's tables: what both tables share.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// A column: its name, its meaning, and the source of its values.
#[derive(Debug)]
pub(crate) struct Column<V> {
    /// The name in engines.
    pub(crate) name: &'static str,
    /// The meaning in one sentence, without an apostrophe.
    pub(crate) meaning: &'static str,
    /// Whether it is never null. Lists and maps never are; they are empty instead.
    pub(crate) required: bool,
    /// The source of its values.
    pub(crate) value: V,
}

/// The source of a column's values; its variant determines the column's type.
pub(crate) trait ColumnSource {
    /// Returns the Arrow type of the values.
    fn data_type(&self) -> DataType;
}

impl<V> Column<V> {
    /// Returns a column that is never null.
    pub(crate) const fn required(name: &'static str, meaning: &'static str, value: V) -> Self {
        Self {
            name,
            meaning,
            required: true,
            value,
        }
    }

    /// Returns a column that may be null.
    pub(crate) const fn optional(name: &'static str, meaning: &'static str, value: V) -> Self {
        Self {
            name,
            meaning,
            required: false,
            value,
        }
    }
}

impl<V: ColumnSource> Column<V> {
    fn field(&self) -> Field {
        Field::new(self.name, self.value.data_type(), !self.required)
    }
}

/// Returns the Arrow schema of these columns.
pub(crate) fn schema<'a, V: ColumnSource + 'a>(
    columns: impl Iterator<Item = &'a Column<V>>,
) -> SchemaRef {
    let fields: Vec<Field> = columns.map(Column::field).collect();
    Arc::new(Schema::new(fields))
}

/// Returns the type of an instant.
pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Returns the field of a list's elements, named as in the Parquet format; never null.
pub(crate) fn element(data_type: DataType) -> Field {
    Field::new("element", data_type, false)
}

/// Returns the type of a list.
pub(crate) fn list_of(data_type: DataType) -> DataType {
    DataType::List(Arc::new(element(data_type)))
}

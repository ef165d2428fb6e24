//! What the columns of every table of the lake have in common.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// One column: its name, what it means, and where its value comes from.
#[derive(Debug)]
pub(crate) struct Column<V> {
    /// As engines see it.
    pub(crate) name: &'static str,
    /// In one sentence, without an apostrophe.
    pub(crate) meaning: &'static str,
    /// Never null. Lists and maps always are: they are empty instead.
    pub(crate) required: bool,
    /// Where its value comes from.
    pub(crate) value: V,
}

/// Where a column's value comes from; the kind of value fixes the column's type.
pub(crate) trait ColumnSource {
    /// Returns the Arrow type of the values.
    fn data_type(&self) -> DataType;
}

impl<V> Column<V> {
    /// A column that is never null.
    pub(crate) const fn required(name: &'static str, meaning: &'static str, value: V) -> Self {
        Self {
            name,
            meaning,
            required: true,
            value,
        }
    }

    /// A column that may be null.
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

/// The type of an instant.
pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Field of a list's elements, named as the Parquet format has it; never null.
pub(crate) fn element(data_type: DataType) -> Field {
    Field::new("element", data_type, false)
}

/// The type of a list.
pub(crate) fn list_of(data_type: DataType) -> DataType {
    DataType::List(Arc::new(element(data_type)))
}

//! Rows of the table as plain values, to be shown and compared.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use chrono::DateTime;
use serde_json::{Value, json};

/// The rows of a batch, every column: times as text, maps as objects.
pub(crate) fn cells(batch: &RecordBatch) -> Vec<BTreeMap<String, Value>> {
    let schema = batch.schema();
    (0..batch.num_rows())
        .map(|row| {
            let columns = schema.fields().iter().zip(batch.columns());
            columns
                .map(|(field, array)| (field.name().clone(), cell(array, row)))
                .collect()
        })
        .collect()
}

fn cell(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    let all = |array: &dyn Array| (0..array.len()).map(|row| cell(array, row)).collect();
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Timestamp(..) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            json!(DateTime::from_timestamp_micros(micros).unwrap().to_string())
        }
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::List(_) => all(&array.as_list::<i32>().value(row)),
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let entry = |row| {
                let key = cell(keys, row).as_str().unwrap().to_owned();
                (key, cell(values, row))
            };
            Value::Object((0..entries.len()).map(entry).collect())
        }
        DataType::Struct(fields) => (fields.iter())
            .zip(array.as_struct().columns())
            .map(|(field, column)| (field.name().clone(), cell(column, row)))
            .collect(),
        other => panic!("no column has the type {other}"),
    }
}

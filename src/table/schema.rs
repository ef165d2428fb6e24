//! The columns of `audit_events`: the only list, from which files, DDL and documentation are derived.

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};

use super::column::{self, Column, ColumnSource, list_of};
use super::row::TableRow;
use crate::model::{PartitionColumn, PropertyChange, Timestamp};

/// The table's name in engines, and its folder in the lake.
pub const TABLE_NAME: &str = "audit_events";

/// The version of the schema, increased with each added column. Columns are never changed or removed.
pub const SCHEMA_VERSION: u32 = 2;

type TextOf = for<'a> fn(&'a TableRow<'a>) -> Option<&'a str>;

/// A key with its value.
pub(super) type Attribute<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The source of a column's values; its variant determines the column's type.
#[derive(Debug)]
pub(super) enum ColumnValue {
    Text(TextOf),
    Time(for<'a> fn(&'a TableRow<'a>) -> Timestamp),
    Date(for<'a> fn(&'a TableRow<'a>) -> Timestamp),
    Integer(for<'a> fn(&'a TableRow<'a>) -> Option<i64>),
    Texts(for<'a> fn(&'a TableRow<'a>) -> &'a [Cow<'a, str>]),
    Changes(for<'a> fn(&'a TableRow<'a>) -> &'a [PropertyChange<'a>]),
    Attributes(for<'a> fn(&'a TableRow<'a>) -> &'a [Attribute<'a>]),
}

const fn text(name: &'static str, meaning: &'static str, get: TextOf) -> Column<ColumnValue> {
    Column::optional(name, meaning, ColumnValue::Text(get))
}

/// The table's columns in order. Files omit the columns of their path.
pub(super) static COLUMNS: [Column<ColumnValue>; 33] = [
    Column::required(
        "event_id",
        "Id of the event, unique within a job: as the provider gives it, else a hash of the record",
        ColumnValue::Text(|row| Some(&row.record.event_id)),
    ),
    Column::required(
        "event_time",
        "When the event happened",
        ColumnValue::Time(|row| row.record.event_time),
    ),
    Column::required(
        "event_date",
        "UTC date of event_time",
        ColumnValue::Date(|row| row.record.event_time),
    ),
    Column::required(
        "provider",
        "Kind of API that the event was pulled from",
        ColumnValue::Text(|row| Some(row.context.provider)),
    ),
    Column::required(
        "account_id",
        "Account whose log has the event",
        ColumnValue::Text(|row| Some(row.context.account_id(row.record))),
    ),
    Column::required(
        "connection",
        "Name of the connection that the event was pulled through",
        ColumnValue::Text(|row| Some(row.context.connection)),
    ),
    Column::required(
        "job",
        "Name of the job that pulled the event",
        ColumnValue::Text(|row| Some(row.context.job)),
    ),
    text("action", "Verb that the provider uses", |row| {
        row.record.action.as_deref()
    }),
    Column::required(
        "activity",
        "The verb, normalised: create, read, update, delete, login, logout, enable, disable or other",
        ColumnValue::Text(|row| Some(row.record.activity.as_str())),
    ),
    Column::required(
        "outcome",
        "How it ended: success, failure, warning or unknown",
        ColumnValue::Text(|row| Some(row.record.outcome.as_str())),
    ),
    text("outcome_reason", "Why it ended so", |row| {
        row.record.outcome_reason.as_deref()
    }),
    text("service", "Part of the provider that was touched", |row| {
        row.record.service.as_deref()
    }),
    text("entity_type", "Type of what was touched", |row| {
        row.record.entity_type.as_deref()
    }),
    text("entity_id", "Id of what was touched", |row| {
        row.record.entity_id.as_deref()
    }),
    text("entity_name", "Name of what was touched", |row| {
        row.record.entity_name.as_deref()
    }),
    text("actor_id", "Id of who did it", |row| {
        row.record.actor_id.as_deref()
    }),
    text("actor_name", "Display name of who did it", |row| {
        row.record.actor_name.as_deref()
    }),
    text("actor_login", "Login name of who did it", |row| {
        row.record.actor_login.as_deref()
    }),
    text(
        "actor_type",
        "Kind of who did it: user, client, system or vendor",
        |row| row.record.actor_type,
    ),
    text(
        "client_id",
        "API client or application key that was used",
        |row| row.record.client_id.as_deref(),
    ),
    text("user_agent", "Browser or program that was used", |row| {
        row.record.user_agent.as_deref()
    }),
    text("session_id", "Session that it belongs to", |row| {
        row.record.session_id.as_deref()
    }),
    text(
        "transaction_id",
        "What ties the events of one action together",
        |row| row.record.transaction_id.as_deref(),
    ),
    Column::required(
        "client_ips",
        "Addresses that it came from",
        ColumnValue::Texts(|row| &row.record.client_ips),
    ),
    text("message", "Human text", |row| row.record.message.as_deref()),
    Column::required(
        "changes",
        "What changed: properties with their values before and after",
        ColumnValue::Changes(|row| &row.record.changes),
    ),
    Column::required(
        "attributes",
        "The remaining context that the provider gives, with unique keys",
        ColumnValue::Attributes(|row| &row.record.attributes),
    ),
    Column::required(
        "raw",
        "The JSON of the record, byte for byte as received",
        ColumnValue::Text(|row| Some(row.raw)),
    ),
    Column::required(
        "ingested_at",
        "When the event was pulled",
        ColumnValue::Time(|row| row.context.ingested_at),
    ),
    Column::optional(
        "late_by_ms",
        "Only for an event that an earlier pull of its range did not see: ingested_at minus event_time",
        ColumnValue::Integer(|row| row.late_by_ms),
    ),
    text(
        "actor",
        "Who did it, as one text: the login name, else the display name, else the id",
        |row| row.record.actor(),
    ),
    text("actor_email", "E-mail address of who did it", |row| {
        row.record.actor_email()
    }),
    text(
        "category",
        "Kind of event, normalised: authentication, access, configuration, data or other",
        |row| Some(row.record.category().as_str()),
    ),
];

/// The columns that are never null in the files' schema. Other columns without nulls are optional there, so that a later
/// version can leave them out.
const NEVER_NULL: [&str; 2] = ["event_id", "event_time"];

/// The key in a field's metadata from which Parquet's field id is written.
const FIELD_ID: &str = "PARQUET:field_id";

impl ColumnSource for ColumnValue {
    fn data_type(&self) -> DataType {
        match self {
            Self::Text(_) => DataType::Utf8,
            Self::Time(_) => column::timestamp(),
            Self::Date(_) => DataType::Date32,
            Self::Integer(_) => DataType::Int64,
            Self::Texts(_) => list_of(DataType::Utf8),
            Self::Changes(_) => list_of(DataType::Struct(change_fields())),
            Self::Attributes(_) => DataType::Map(Arc::new(attribute_entry()), false),
        }
    }
}

/// Returns the fields of the struct in `changes`, in the order of [`PropertyChange`].
pub(super) fn change_fields() -> Fields {
    Fields::from(vec![
        Field::new("property", DataType::Utf8, true),
        Field::new("entity_type", DataType::Utf8, true),
        Field::new("entity_id", DataType::Utf8, true),
        Field::new("old_values", list_of(DataType::Utf8), false),
        Field::new("new_values", list_of(DataType::Utf8), false),
    ])
}

/// Returns an entry of `attributes`, named as in the Parquet format.
pub(super) fn attribute_entry() -> Field {
    Field::new("key_value", DataType::Struct(attribute_fields()), false)
}

/// Returns the fields of an entry of `attributes`, named as in the Parquet format.
pub(super) fn attribute_fields() -> Fields {
    Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, false),
    ])
}

/// Returns the columns of a file whose path has `partition_by`.
pub(super) fn file_columns(
    partition_by: &[PartitionColumn],
) -> impl Iterator<Item = &'static Column<ColumnValue>> {
    (COLUMNS.iter()).filter(|column| !is_in_path(column, partition_by))
}

fn is_in_path(column: &Column<ColumnValue>, partition_by: &[PartitionColumn]) -> bool {
    partition_by
        .iter()
        .any(|other| other.as_str() == column.name)
}

/// Returns the Arrow schema of a file whose path has `partition_by`.
pub fn file_schema(partition_by: &[PartitionColumn]) -> SchemaRef {
    column::schema(file_columns(partition_by))
}

/// Returns the schema that is written to a file whose path has `partition_by`: that of its rows, with all columns but
/// [`NEVER_NULL`] optional, and with a field id for every column and nested field, by which Iceberg identifies them.
///
/// A column's id is its number in [`COLUMNS`], from 1; ids of its nested fields are a hundred times that plus their number
/// in depth-first order. Columns are only ever added at the end, and structs never grow, so ids never change.
pub(super) fn written_schema(partition_by: &[PartitionColumn]) -> SchemaRef {
    let fields: Vec<Field> = (1..)
        .zip(&COLUMNS)
        .filter(|(_, column)| !is_in_path(column, partition_by))
        .map(|(id, column)| {
            let data_type = with_field_ids(&column.value.data_type(), &mut (id * 100));
            let nullable = !NEVER_NULL.contains(&column.name);
            with_field_id(Field::new(column.name, data_type, nullable), id)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn with_field_id(field: Field, id: usize) -> Field {
    field.with_metadata(HashMap::from([(FIELD_ID.to_owned(), id.to_string())]))
}

/// Returns the type with ids for its nested fields. `last` is the last id given.
fn with_field_ids(data_type: &DataType, last: &mut usize) -> DataType {
    let numbered = |field: &FieldRef, last: &mut usize| {
        *last += 1;
        let id = *last;
        let data_type = with_field_ids(field.data_type(), last);
        Arc::new(with_field_id(
            Field::new(field.name(), data_type, field.is_nullable()),
            id,
        ))
    };
    match data_type {
        DataType::List(element) => DataType::List(numbered(element, last)),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| numbered(field, last)).collect())
        }
        // Iceberg has ids for key and value, not for the entry
        DataType::Map(entry, sorted) => {
            let entry = Field::new(
                entry.name(),
                with_field_ids(entry.data_type(), last),
                entry.is_nullable(),
            );
            DataType::Map(Arc::new(entry), *sorted)
        }
        other => other.clone(),
    }
}

/// Formats a type as in the documentation: `list<string>`, `timestamp(us, UTC)`.
pub(super) struct TypeName<'a>(pub(super) &'a DataType);

impl fmt::Display for TypeName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DataType::Utf8 => f.write_str("string"),
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
                write!(f, "timestamp(us, {zone})")
            }
            DataType::Date32 => f.write_str("date"),
            DataType::Int32 => f.write_str("int32"),
            DataType::Int64 => f.write_str("int64"),
            DataType::List(element) => write!(f, "list<{}>", TypeName(element.data_type())),
            DataType::Struct(fields) => {
                f.write_str("struct<")?;
                for (index, field) in fields.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(
                        f,
                        "{comma}{}: {}",
                        field.name(),
                        TypeName(field.data_type())
                    )?;
                }
                f.write_str(">")
            }
            DataType::Map(entry, _) => match entry.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => write!(
                    f,
                    "map<{}, {}>",
                    TypeName(fields[0].data_type()),
                    TypeName(fields[1].data_type())
                ),
                other => write!(f, "map<{other}>"),
            },
            other => write!(f, "{other}"),
        }
    }
}

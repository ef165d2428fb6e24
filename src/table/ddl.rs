//! The table as others read it: text, JSON, and the statements that create it in a query engine.

use std::fmt::Write as _;

use arrow::datatypes::DataType;
use chrono::NaiveDate;
use serde_json::{Value, json};

use super::schema::{self, COLUMNS, SCHEMA_VERSION, TABLE_NAME, TypeName};
use crate::model::PartitionColumn;

/// A query engine with a language of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// `DuckDB`: a view.
    DuckDb,
    /// Spark SQL: an external table.
    Spark,
    /// Trino with a Hive catalog named `hive`: an external table.
    Trino,
    /// Athena: an external table whose partitions are computed, never crawled.
    Athena,
}

/// Where the table lies and how it is split.
#[derive(Debug, Clone)]
pub struct TableLayout<'a> {
    /// The folder `audit_events`, as a URL or a path that the engine understands.
    pub location: &'a str,
    /// The columns in the path, outermost first.
    pub partition_by: &'a [PartitionColumn],
    /// Values that a partition column can have, where they are known. Athena lists them; for a column of unknown values
    /// it demands a value in each query.
    pub known_values: &'a [(PartitionColumn, Vec<String>)],
    /// Before which Athena looks for no event.
    pub since: NaiveDate,
}

impl TableLayout<'_> {
    fn location(&self) -> &str {
        self.location.trim_end_matches('/')
    }
}

/// The columns as text, one per line.
pub fn as_text(partition_by: &[PartitionColumn]) -> String {
    let rows: Vec<[String; 4]> = (COLUMNS.iter())
        .map(|column| {
            let place = if schema::file_columns(partition_by).any(|own| own.name == column.name) {
                "file"
            } else {
                "path"
            };
            let type_name = TypeName(&column.data_type()).to_string();
            let required = if column.required { " required" } else { "" };
            [
                column.name.to_owned(),
                format!("{type_name}{required}"),
                place.to_owned(),
                column.meaning.to_owned(),
            ]
        })
        .chain(path_only(partition_by).map(|column| {
            [
                column.as_str().to_owned(),
                format!("{} required", TypeName(&path_type(column))),
                "path".to_owned(),
                path_meaning(column).to_owned(),
            ]
        }))
        .collect();
    let mut text = format!("{TABLE_NAME}, schema version {SCHEMA_VERSION}\n\n");
    for [name, type_name, place, meaning] in rows {
        // writing to a string doesn't fail
        let _ = writeln!(text, "{name:<15} {type_name} ({place})\n    {meaning}");
    }
    text
}

/// The columns as JSON.
pub fn as_json(partition_by: &[PartitionColumn]) -> String {
    let mut columns: Vec<Value> = (COLUMNS.iter())
        .map(|column| {
            json!({
                "name": column.name,
                "type": TypeName(&column.data_type()).to_string(),
                "required": column.required,
                "meaning": column.meaning,
            })
        })
        .collect();
    columns.extend(path_only(partition_by).map(|column| {
        json!({
            "name": column.as_str(),
            "type": TypeName(&path_type(column)).to_string(),
            "required": true,
            "meaning": path_meaning(column),
        })
    }));
    let partition_by: Vec<&str> = partition_by.iter().map(|column| column.as_str()).collect();
    let table = json!({
        "table": TABLE_NAME,
        "schema_version": SCHEMA_VERSION,
        "partition_by": partition_by,
        "columns": columns,
    });
    format!("{table:#}\n")
}

/// The statements that make the table known to an engine.
pub fn ddl(engine: Engine, layout: &TableLayout<'_>) -> String {
    match engine {
        Engine::DuckDb => duckdb(layout),
        Engine::Spark => spark(layout),
        Engine::Trino => trino(layout),
        Engine::Athena => athena(layout),
    }
}

fn path_only(partition_by: &[PartitionColumn]) -> impl Iterator<Item = PartitionColumn> {
    (partition_by.iter().copied())
        .filter(|column| COLUMNS.iter().all(|own| own.name != column.as_str()))
}

/// The type that engines are told for a column in the path. Never leave it to them to guess: `account_id=007` would
/// become a number.
fn path_type(column: PartitionColumn) -> DataType {
    match column {
        PartitionColumn::Provider
        | PartitionColumn::Connection
        | PartitionColumn::AccountId
        | PartitionColumn::EventMonth => DataType::Utf8,
        PartitionColumn::EventDate => DataType::Date32,
        PartitionColumn::EventHour => DataType::Int32,
    }
}

fn path_meaning(column: PartitionColumn) -> &'static str {
    match column {
        PartitionColumn::EventMonth => "UTC month of event_time, as in 2026-11",
        PartitionColumn::EventHour => "UTC hour of event_time, 0 to 23",
        _ => (COLUMNS.iter())
            .find(|own| own.name == column.as_str())
            .map_or("", |own| own.meaning),
    }
}

/// How an engine writes an Arrow type.
fn type_in(engine: Engine, data_type: &DataType) -> String {
    use Engine::{Athena, DuckDb, Spark, Trino};
    match (data_type, engine) {
        (DataType::Utf8, Athena) => "string".to_owned(),
        (DataType::Utf8, Spark) => "STRING".to_owned(),
        (DataType::Utf8, DuckDb | Trino) => "VARCHAR".to_owned(),
        (DataType::Timestamp(..), Athena) => "timestamp".to_owned(),
        (DataType::Timestamp(..), Spark) => "TIMESTAMP".to_owned(),
        (DataType::Timestamp(..), Trino) => "TIMESTAMP(6)".to_owned(),
        (DataType::Timestamp(..), DuckDb) => "TIMESTAMPTZ".to_owned(),
        (DataType::Date32, Athena) => "date".to_owned(),
        (DataType::Date32, _) => "DATE".to_owned(),
        (DataType::Int32, Athena) => "int".to_owned(),
        (DataType::Int32, Spark) => "INT".to_owned(),
        (DataType::Int32, _) => "INTEGER".to_owned(),
        (DataType::Int64, Athena) => "bigint".to_owned(),
        (DataType::Int64, _) => "BIGINT".to_owned(),
        (DataType::List(element), _) => {
            let element = type_in(engine, element.data_type());
            match engine {
                Athena => format!("array<{element}>"),
                Spark => format!("ARRAY<{element}>"),
                Trino => format!("ARRAY({element})"),
                DuckDb => format!("{element}[]"),
            }
        }
        (DataType::Map(entry, _), _) => match (entry.data_type(), engine) {
            (DataType::Struct(fields), Athena) => format!("map<{}>", list_in(engine, fields, ",")),
            (DataType::Struct(fields), Spark) => format!("MAP<{}>", list_in(engine, fields, ", ")),
            (DataType::Struct(fields), _) => format!("MAP({})", list_in(engine, fields, ", ")),
            (other, _) => other.to_string(),
        },
        (DataType::Struct(fields), _) => {
            let named = |colon: &str, comma: &str| {
                let fields: Vec<String> = (fields.iter())
                    .map(|field| {
                        let type_name = type_in(engine, field.data_type());
                        format!("{}{colon}{type_name}", field.name())
                    })
                    .collect();
                fields.join(comma)
            };
            match engine {
                Athena => format!("struct<{}>", named(":", ",")),
                Spark => format!("STRUCT<{}>", named(": ", ", ")),
                Trino => format!("ROW({})", named(" ", ", ")),
                DuckDb => format!("STRUCT({})", named(" ", ", ")),
            }
        }
        (other, _) => other.to_string(),
    }
}

fn list_in(engine: Engine, fields: &arrow::datatypes::Fields, comma: &str) -> String {
    let types: Vec<String> = (fields.iter())
        .map(|field| type_in(engine, field.data_type()))
        .collect();
    types.join(comma)
}

/// A string literal of standard SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A string literal of Hive and Spark.
fn hive_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().collect::<Vec<_>>().join(",\n")
}

fn duckdb(layout: &TableLayout<'_>) -> String {
    let files = quoted(&format!("{}/**/*.parquet", layout.location()));
    let mut options = String::new();
    if !layout.partition_by.is_empty() {
        let types: Vec<String> = (layout.partition_by.iter())
            .map(|&column| {
                format!(
                    "'{column}': {}",
                    type_in(Engine::DuckDb, &path_type(column))
                )
            })
            .collect();
        options = format!(
            ",\n  hive_partitioning = true,\n  hive_types = {{{}}}",
            types.join(", ")
        );
    }
    format!(
        "CREATE OR REPLACE VIEW {TABLE_NAME} AS\n\
         SELECT * FROM read_parquet(\n  {files}{options}\n);\n"
    )
}

fn spark(layout: &TableLayout<'_>) -> String {
    let column = |name: &str, data_type: &DataType, required: bool, meaning: &str| {
        let type_name = type_in(Engine::Spark, data_type);
        let required = if required { " NOT NULL" } else { "" };
        format!(
            "  {name} {type_name}{required} COMMENT {}",
            hive_quoted(meaning)
        )
    };
    let columns = (schema::file_columns(layout.partition_by))
        .map(|own| column(own.name, &own.data_type(), own.required, own.meaning))
        .chain(
            layout
                .partition_by
                .iter()
                .map(|&own| column(own.as_str(), &path_type(own), false, path_meaning(own))),
        );
    let columns = lines(columns);
    let location = hive_quoted(layout.location());
    if layout.partition_by.is_empty() {
        return format!(
            "CREATE TABLE IF NOT EXISTS {TABLE_NAME} (\n{columns}\n)\nUSING PARQUET\nLOCATION {location};\n"
        );
    }
    let names: Vec<&str> = (layout.partition_by.iter())
        .map(|column| column.as_str())
        .collect();
    format!(
        "CREATE TABLE IF NOT EXISTS {TABLE_NAME} (\n{columns}\n)\nUSING PARQUET\nPARTITIONED BY ({})\n\
         LOCATION {location};\n\
         -- again whenever there are new partitions\n\
         MSCK REPAIR TABLE {TABLE_NAME};\n",
        names.join(", ")
    )
}

fn trino(layout: &TableLayout<'_>) -> String {
    let column = |name: &str, data_type: &DataType, meaning: &str| {
        let type_name = type_in(Engine::Trino, data_type);
        format!("  {name} {type_name} COMMENT {}", quoted(meaning))
    };
    let columns = (schema::file_columns(layout.partition_by))
        .map(|own| column(own.name, &own.data_type(), own.meaning))
        .chain(
            (layout.partition_by.iter())
                .map(|&own| column(own.as_str(), &path_type(own), path_meaning(own))),
        );
    let mut properties = vec![
        "  format = 'PARQUET'".to_owned(),
        format!("  external_location = {}", quoted(layout.location())),
    ];
    let mut repair = String::new();
    if !layout.partition_by.is_empty() {
        let names: Vec<String> = (layout.partition_by.iter())
            .map(|column| format!("'{column}'"))
            .collect();
        properties.push(format!("  partitioned_by = ARRAY[{}]", names.join(", ")));
        repair = format!(
            "-- again whenever there are new partitions\n\
             CALL hive.system.sync_partition_metadata('default', '{TABLE_NAME}', 'ADD');\n"
        );
    }
    format!(
        "-- times are in UTC, with microseconds\n\
         SET SESSION hive.timestamp_precision = 'MICROSECONDS';\n\
         CREATE TABLE IF NOT EXISTS hive.default.{TABLE_NAME} (\n{}\n)\nWITH (\n{}\n);\n{repair}",
        lines(columns),
        lines(properties)
    )
}

fn athena(layout: &TableLayout<'_>) -> String {
    let column = |name: &str, data_type: &DataType, meaning: &str| {
        let type_name = type_in(Engine::Athena, data_type);
        format!("  `{name}` {type_name} COMMENT {}", hive_quoted(meaning))
    };
    let columns = (schema::file_columns(layout.partition_by))
        .map(|own| column(own.name, &own.data_type(), own.meaning));
    let mut statement = format!(
        "CREATE EXTERNAL TABLE IF NOT EXISTS `{TABLE_NAME}` (\n{}\n)\n",
        lines(columns)
    );
    let location = layout.location();
    let mut properties = vec!["  'parquet.compression' = 'ZSTD'".to_owned()];
    if !layout.partition_by.is_empty() {
        let partitions = (layout.partition_by.iter())
            .map(|&own| column(own.as_str(), &path_type(own), path_meaning(own)));
        // writing to a string doesn't fail
        let _ = writeln!(statement, "PARTITIONED BY (\n{}\n)", lines(partitions));
        properties.push("  'projection.enabled' = 'true'".to_owned());
        for &column in layout.partition_by {
            for (key, value) in projection(column, layout) {
                let value = hive_quoted(&value);
                properties.push(format!("  'projection.{column}.{key}' = {value}"));
            }
        }
        let mut template = location.to_owned();
        for column in layout.partition_by {
            let _ = write!(template, "/{column}=${{{column}}}");
        }
        let template = hive_quoted(&template);
        properties.push(format!("  'storage.location.template' = {template}"));
    }
    let _ = write!(
        statement,
        "STORED AS PARQUET\nLOCATION {}\nTBLPROPERTIES (\n{}\n);\n",
        hive_quoted(&format!("{location}/")),
        lines(properties)
    );
    statement
}

/// How Athena finds a column's partitions. A provider's clock may be ahead, so a day more than now.
fn projection(column: PartitionColumn, layout: &TableLayout<'_>) -> Vec<(&'static str, String)> {
    let known = (layout.known_values.iter()).find(|(known, _)| *known == column);
    match column {
        PartitionColumn::EventDate => vec![
            ("type", "date".to_owned()),
            ("format", "yyyy-MM-dd".to_owned()),
            ("range", format!("{},NOW+1DAYS", layout.since)),
            ("interval", "1".to_owned()),
            ("interval.unit", "DAYS".to_owned()),
        ],
        PartitionColumn::EventMonth => vec![
            ("type", "date".to_owned()),
            ("format", "yyyy-MM".to_owned()),
            (
                "range",
                format!("{},NOW+1MONTHS", layout.since.format("%Y-%m")),
            ),
            ("interval", "1".to_owned()),
            ("interval.unit", "MONTHS".to_owned()),
        ],
        PartitionColumn::EventHour => vec![
            ("type", "integer".to_owned()),
            ("range", "0,23".to_owned()),
            ("digits", "2".to_owned()),
        ],
        PartitionColumn::Provider | PartitionColumn::Connection | PartitionColumn::AccountId => {
            match known {
                // a value with a comma can't be listed
                Some((_, values)) if values.iter().all(|value| !value.contains(',')) => {
                    vec![("type", "enum".to_owned()), ("values", values.join(","))]
                }
                _ => vec![("type", "injected".to_owned())],
            }
        }
    }
}

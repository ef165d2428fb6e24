//! Descriptions of the tables: text, JSON, and the statements that create them in query engines.

use std::fmt::Write as _;

use arrow::datatypes::{DataType, Field, Fields};
use chrono::NaiveDate;
use serde_json::{Value, json};

use super::column::{Column, ColumnSource};
use super::schema::{COLUMNS, SCHEMA_VERSION, TABLE_NAME, TypeName};
use crate::model::PartitionColumn;

/// A query engine with its own SQL dialect.
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
    /// `ClickHouse`: a table over the files, which are listed for each query.
    ClickHouse,
}

/// A table and its location.
#[derive(Debug, Clone)]
pub struct Table {
    /// The name in engines, and the folder in the lake.
    pub name: &'static str,
    /// The version of its schema.
    pub schema_version: u32,
    /// Its columns in order. Files omit the columns of their path.
    pub columns: Vec<DdlColumn>,
    /// The columns in the path, outermost first; some exist only there.
    pub path: Vec<PathColumn>,
    /// Its folder as a URL or path for the engine.
    pub location: String,
}

/// A column.
#[derive(Debug, Clone)]
pub struct DdlColumn {
    /// The name in engines.
    pub name: &'static str,
    /// The column's type.
    pub data_type: DataType,
    /// Whether it is never null.
    pub required: bool,
    /// The meaning in one sentence, without an apostrophe.
    pub meaning: &'static str,
}

impl DdlColumn {
    pub(crate) fn of<V: ColumnSource>(column: &Column<V>) -> Self {
        Self {
            name: column.name,
            data_type: column.value.data_type(),
            required: column.required,
            meaning: column.meaning,
        }
    }
}

/// A column in the path.
#[derive(Debug, Clone)]
pub struct PathColumn {
    /// The name in engines.
    pub name: &'static str,
    /// The declared type. It is never inferred by engines, as `account_id=007` would become a number.
    pub data_type: DataType,
    /// The meaning in one sentence, without an apostrophe.
    pub meaning: &'static str,
    /// How Athena determines its values: the keys of its projection.
    pub projection: Vec<(&'static str, String)>,
}

/// The location and partitioning of the table `audit_events`.
#[derive(Debug, Clone)]
pub struct TableLayout<'a> {
    /// Its folder as a URL or path for the engine.
    pub location: &'a str,
    /// The columns in the path, outermost first.
    pub partition_by: &'a [PartitionColumn],
    /// The possible values of a partition column, if known. Athena lists them; for a column with unknown values, it
    /// requires a value in each query.
    pub known_values: &'a [(PartitionColumn, Vec<String>)],
    /// The instant before which Athena searches for no event.
    pub since: NaiveDate,
}

impl Table {
    /// Returns the table `audit_events`.
    pub fn events(layout: &TableLayout<'_>) -> Self {
        let path = layout.partition_by.iter().map(|&column| PathColumn {
            name: column.as_str(),
            data_type: path_type(column),
            meaning: path_meaning(column),
            projection: projection(column, layout),
        });
        Self {
            name: TABLE_NAME,
            schema_version: SCHEMA_VERSION,
            columns: COLUMNS.iter().map(DdlColumn::of).collect(),
            path: path.collect(),
            location: layout.location.to_owned(),
        }
    }

    fn location(&self) -> &str {
        self.location.trim_end_matches('/')
    }

    fn is_in_path(&self, column: &DdlColumn) -> bool {
        self.path.iter().any(|own| own.name == column.name)
    }

    fn file_columns(&self) -> impl Iterator<Item = &DdlColumn> {
        (self.columns.iter()).filter(|column| !self.is_in_path(column))
    }

    /// Returns the names of the columns in the path.
    fn path_names(&self) -> Vec<&'static str> {
        self.path.iter().map(|column| column.name).collect()
    }

    /// Returns the columns of the files, and those that only the path has.
    fn described(&self) -> impl Iterator<Item = Described> {
        let path_only = (self.path.iter())
            .filter(|own| self.columns.iter().all(|column| column.name != own.name));
        (self.columns.iter())
            .map(|column| Described {
                name: column.name,
                type_name: TypeName(&column.data_type).to_string(),
                required: column.required,
                in_path: self.is_in_path(column),
                meaning: column.meaning,
            })
            .chain(path_only.map(|column| Described {
                name: column.name,
                type_name: TypeName(&column.data_type).to_string(),
                required: true,
                in_path: true,
                meaning: column.meaning,
            }))
    }
}

/// Returns how Athena determines the days of a column: from `since` to one day after now, as a clock may be ahead.
pub fn days_since(since: NaiveDate) -> Vec<(&'static str, String)> {
    vec![
        ("type", "date".to_owned()),
        ("format", "yyyy-MM-dd".to_owned()),
        ("range", format!("{since},NOW+1DAYS")),
        ("interval", "1".to_owned()),
        ("interval.unit", "DAYS".to_owned()),
    ]
}

/// The description of a column.
struct Described {
    name: &'static str,
    type_name: String,
    required: bool,
    in_path: bool,
    meaning: &'static str,
}

/// Returns the columns as text, two lines for each.
pub fn as_text(table: &Table) -> String {
    let mut text = format!(
        "{}, schema version {}\n\n",
        table.name, table.schema_version
    );
    for column in table.described() {
        let required = if column.required { " required" } else { "" };
        let place = if column.in_path { "path" } else { "file" };
        // writing to a string doesn't fail
        let _ = writeln!(
            text,
            "{:<15} {}{required} ({place})\n    {}",
            column.name, column.type_name, column.meaning
        );
    }
    text
}

/// Returns the columns as a Markdown table.
pub fn as_markdown(table: &Table) -> String {
    let mut text = "| column | type | null | meaning |\n|---|---|---|---|\n".to_owned();
    for column in table.described() {
        let null = if column.required { "never" } else { "" };
        let in_path = if column.in_path {
            "; in the path, not in the files"
        } else {
            ""
        };
        // writing to a string doesn't fail
        let _ = writeln!(
            text,
            "| `{}` | `{}` | {null} | {}{in_path} |",
            column.name, column.type_name, column.meaning
        );
    }
    text
}

/// Returns the columns as JSON.
pub fn as_json(table: &Table) -> String {
    let columns: Vec<Value> = (table.described())
        .map(|column| {
            json!({
                "name": column.name,
                "type": column.type_name,
                "required": column.required,
                "meaning": column.meaning,
            })
        })
        .collect();
    let described = json!({
        "table": table.name,
        "schema_version": table.schema_version,
        "partition_by": table.path_names(),
        "columns": columns,
    });
    format!("{described:#}\n")
}

/// Returns the statements that create the table in an engine.
pub fn ddl(engine: Engine, table: &Table) -> String {
    match engine {
        Engine::DuckDb => duckdb(table),
        Engine::Spark => spark(table),
        Engine::Trino => trino(table),
        Engine::Athena => athena(table),
        Engine::ClickHouse => clickhouse(table),
    }
}

/// Returns the declared type of a column in the path. It is never inferred by engines, as `account_id=007` would become
/// a number.
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

/// Returns an engine's name for an Arrow type.
fn type_in(engine: Engine, data_type: &DataType) -> String {
    use Engine::{Athena, ClickHouse, DuckDb, Spark, Trino};
    let nested = |field: &Field| type_in(engine, field.data_type());
    match (data_type, engine) {
        (_, ClickHouse) => clickhouse_type(data_type, false),
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
        (DataType::List(element), Athena) => format!("array<{}>", nested(element)),
        (DataType::List(element), Spark) => format!("ARRAY<{}>", nested(element)),
        (DataType::List(element), Trino) => format!("ARRAY({})", nested(element)),
        (DataType::List(element), DuckDb) => format!("{}[]", nested(element)),
        (DataType::Map(entry, _), _) => match (entry.data_type(), engine) {
            (DataType::Struct(fields), Athena) => format!("map<{}>", list_in(engine, fields, ",")),
            (DataType::Struct(fields), Spark) => format!("MAP<{}>", list_in(engine, fields, ", ")),
            (DataType::Struct(fields), _) => format!("MAP({})", list_in(engine, fields, ", ")),
            (other, _) => other.to_string(),
        },
        (DataType::Struct(fields), Athena) => {
            format!("struct<{}>", named_in(engine, fields, ":", ","))
        }
        (DataType::Struct(fields), Spark) => {
            format!("STRUCT<{}>", named_in(engine, fields, ": ", ", "))
        }
        (DataType::Struct(fields), Trino) => {
            format!("ROW({})", named_in(engine, fields, " ", ", "))
        }
        (DataType::Struct(fields), DuckDb) => {
            format!("STRUCT({})", named_in(engine, fields, " ", ", "))
        }
        (other, _) => other.to_string(),
    }
}

fn named_in(engine: Engine, fields: &Fields, colon: &str, comma: &str) -> String {
    let fields: Vec<String> = (fields.iter())
        .map(|field| {
            let type_name = type_in(engine, field.data_type());
            format!("{}{colon}{type_name}", field.name())
        })
        .collect();
    fields.join(comma)
}

fn list_in(engine: Engine, fields: &Fields, comma: &str) -> String {
    let types: Vec<String> = (fields.iter())
        .map(|field| type_in(engine, field.data_type()))
        .collect();
    types.join(comma)
}

/// Returns the name of an Arrow type in `ClickHouse`, where nullable types are marked, and lists, maps and structs
/// can't be null.
fn clickhouse_type(data_type: &DataType, nullable: bool) -> String {
    let of = |field: &Field| clickhouse_type(field.data_type(), field.is_nullable());
    let plain = match data_type {
        DataType::List(element) => return format!("Array({})", of(element)),
        DataType::Map(entry, _) => {
            return match entry.data_type() {
                DataType::Struct(fields) => {
                    let types: Vec<String> = fields.iter().map(|field| of(field)).collect();
                    format!("Map({})", types.join(", "))
                }
                other => other.to_string(),
            };
        }
        DataType::Struct(fields) => {
            let fields: Vec<String> = (fields.iter())
                .map(|field| format!("{} {}", field.name(), of(field)))
                .collect();
            return format!("Tuple({})", fields.join(", "));
        }
        DataType::Utf8 => "String".to_owned(),
        DataType::Timestamp(..) => "DateTime64(6, 'UTC')".to_owned(),
        DataType::Date32 => "Date32".to_owned(),
        other => other.to_string(),
    };
    if nullable {
        format!("Nullable({plain})")
    } else {
        plain
    }
}

/// Returns a string literal of standard SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns a string literal of Hive and Spark.
fn hive_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().collect::<Vec<_>>().join(",\n")
}

fn duckdb(table: &Table) -> String {
    let name = table.name;
    let files = quoted(&format!("{}/**/*.parquet", table.location()));
    let mut options = String::new();
    if !table.path.is_empty() {
        let types: Vec<String> = (table.path.iter())
            .map(|column| {
                let type_name = type_in(Engine::DuckDb, &column.data_type);
                format!("'{}': {type_name}", column.name)
            })
            .collect();
        options = format!(
            ",\n  hive_partitioning = true,\n  hive_types = {{{}}}",
            types.join(", ")
        );
    }
    format!(
        "CREATE OR REPLACE VIEW {name} AS\n\
         SELECT * FROM read_parquet(\n  {files}{options}\n);\n"
    )
}

fn spark(table: &Table) -> String {
    let name = table.name;
    // without NOT NULL: a required column that is added later is null for the files before it
    let column = |name: &str, data_type: &DataType, meaning: &str| {
        let type_name = type_in(Engine::Spark, data_type);
        format!("  {name} {type_name} COMMENT {}", hive_quoted(meaning))
    };
    let columns = (table.file_columns())
        .map(|own| column(own.name, &own.data_type, own.meaning))
        .chain((table.path.iter()).map(|own| column(own.name, &own.data_type, own.meaning)));
    let columns = lines(columns);
    // Hadoop's own S3 client only supports `s3a`, and services with `s3` accept that too
    let location = match table.location().strip_prefix("s3://") {
        Some(rest) => hive_quoted(&format!("s3a://{rest}")),
        None => hive_quoted(table.location()),
    };
    if table.path.is_empty() {
        return format!(
            "CREATE TABLE IF NOT EXISTS {name} (\n{columns}\n)\nUSING PARQUET\nLOCATION {location};\n"
        );
    }
    let names = table.path_names();
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (\n{columns}\n)\nUSING PARQUET\nPARTITIONED BY ({})\n\
         LOCATION {location};\n\
         -- again whenever there are new partitions\n\
         MSCK REPAIR TABLE {name};\n",
        names.join(", ")
    )
}

fn trino(table: &Table) -> String {
    let name = table.name;
    let column = |name: &str, data_type: &DataType, meaning: &str| {
        let type_name = type_in(Engine::Trino, data_type);
        format!("  {name} {type_name} COMMENT {}", quoted(meaning))
    };
    let columns = (table.file_columns())
        .map(|own| column(own.name, &own.data_type, own.meaning))
        .chain((table.path.iter()).map(|own| column(own.name, &own.data_type, own.meaning)));
    let mut properties = vec![
        "  format = 'PARQUET'".to_owned(),
        format!("  external_location = {}", quoted(table.location())),
    ];
    let mut repair = String::new();
    if !table.path.is_empty() {
        let names: Vec<String> = (table.path_names().iter())
            .map(|name| format!("'{name}'"))
            .collect();
        properties.push(format!("  partitioned_by = ARRAY[{}]", names.join(", ")));
        repair = format!(
            "-- again whenever there are new partitions\n\
             CALL hive.system.sync_partition_metadata('default', '{name}', 'ADD');\n"
        );
    }
    format!(
        "-- times are in UTC, with microseconds\n\
         SET SESSION hive.timestamp_precision = 'MICROSECONDS';\n\
         CREATE TABLE IF NOT EXISTS hive.default.{name} (\n{}\n)\nWITH (\n{}\n);\n{repair}",
        lines(columns),
        lines(properties)
    )
}

fn athena(table: &Table) -> String {
    let name = table.name;
    let column = |name: &str, data_type: &DataType, meaning: &str| {
        let type_name = type_in(Engine::Athena, data_type);
        format!("  `{name}` {type_name} COMMENT {}", hive_quoted(meaning))
    };
    let columns = (table.file_columns()).map(|own| column(own.name, &own.data_type, own.meaning));
    let mut statement = format!(
        "CREATE EXTERNAL TABLE IF NOT EXISTS `{name}` (\n{}\n)\n",
        lines(columns)
    );
    let location = table.location();
    let mut properties = vec!["  'parquet.compression' = 'ZSTD'".to_owned()];
    if !table.path.is_empty() {
        let partitions = table.path.iter().map(|own| {
            // a projected date is a string column in all of Athena's documentation
            let data_type = match &own.data_type {
                DataType::Date32 => &DataType::Utf8,
                other => other,
            };
            column(own.name, data_type, own.meaning)
        });
        // writing to a string doesn't fail
        let _ = writeln!(statement, "PARTITIONED BY (\n{}\n)", lines(partitions));
        properties.push("  'projection.enabled' = 'true'".to_owned());
        let mut template = location.to_owned();
        for PathColumn {
            name, projection, ..
        } in &table.path
        {
            for (key, value) in projection {
                let value = hive_quoted(value);
                properties.push(format!("  'projection.{name}.{key}' = {value}"));
            }
            let _ = write!(template, "/{name}=${{{name}}}");
        }
        // with its slash, as `account_id=a` would also match `account_id=ab`
        template.push('/');
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

fn clickhouse(table: &Table) -> String {
    let name = table.name;
    let column = |name: &str, type_name: String, meaning: &str| {
        format!("  {name} {type_name} COMMENT {}", hive_quoted(meaning))
    };
    let columns = (table.file_columns())
        .map(|own| {
            let type_name = clickhouse_type(&own.data_type, !own.required);
            column(own.name, type_name, own.meaning)
        })
        .chain((table.path.iter()).map(|own| {
            let type_name = clickhouse_type(&own.data_type, false);
            column(own.name, type_name, own.meaning)
        }));
    let location = table.location();
    let location = location.strip_prefix("file://").unwrap_or(location);
    let engine = match location.split_once("://") {
        // the values of the account are unknown
        Some(("az", rest)) => {
            let (container, path) = rest.split_once('/').unwrap_or((rest, ""));
            format!(
                "AzureBlobStorage('put the connection string here', {}, {}, 'Parquet')",
                hive_quoted(container),
                hive_quoted(&format!("{path}/**/*.parquet"))
            )
        }
        Some((scheme, rest)) => {
            let scheme = if scheme == "s3a" { "s3" } else { scheme };
            let files = hive_quoted(&format!("{scheme}://{rest}/**/*.parquet"));
            format!("S3({files}, 'Parquet')")
        }
        None => format!(
            "File(Parquet, {})",
            hive_quoted(&format!("{location}/**/*.parquet"))
        ),
    };
    let settings = if table.path.is_empty() {
        ""
    } else {
        "\nSETTINGS use_hive_partitioning = 1"
    };
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (\n{}\n)\nENGINE = {engine}{settings};\n",
        lines(columns)
    )
}

/// Returns how Athena determines a column's partitions, up to a day after now, as a provider's clock may be ahead.
fn projection(column: PartitionColumn, layout: &TableLayout<'_>) -> Vec<(&'static str, String)> {
    let known = (layout.known_values.iter()).find(|(known, _)| *known == column);
    match column {
        PartitionColumn::EventDate => days_since(layout.since),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PartitionColumn::{AccountId, EventDate, EventHour, EventMonth, Provider};

    fn table(
        partition_by: &[PartitionColumn],
        known_values: &[(PartitionColumn, Vec<String>)],
    ) -> Table {
        Table::events(&TableLayout {
            location: "s3://lake/it's/audit_events/",
            partition_by,
            known_values,
            since: NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default(),
        })
    }

    fn by_default(engine: Engine) -> String {
        let known = [(
            Provider,
            vec!["avaya_axp".to_owned(), "genesys_cloud".to_owned()],
        )];
        ddl(engine, &table(&[Provider, EventDate], &known))
    }

    #[test]
    fn text() {
        insta::assert_snapshot!(as_text(&table(&[Provider, EventHour], &[])), @"
        audit_events, schema version 2

        event_id        string required (file)
            Id of the event, unique within a job: as the provider gives it, else a hash of the record
        event_time      timestamp(us, UTC) required (file)
            When the event happened
        event_date      date required (file)
            UTC date of event_time
        provider        string required (path)
            Kind of API that the event was pulled from
        account_id      string required (file)
            Account whose log has the event
        connection      string required (file)
            Name of the connection that the event was pulled through
        job             string required (file)
            Name of the job that pulled the event
        action          string (file)
            Verb that the provider uses
        activity        string required (file)
            The verb, normalised: create, read, update, delete, login, logout, enable, disable or other
        outcome         string required (file)
            How it ended: success, failure, warning or unknown
        outcome_reason  string (file)
            Why it ended so
        service         string (file)
            Part of the provider that was touched
        entity_type     string (file)
            Type of what was touched
        entity_id       string (file)
            Id of what was touched
        entity_name     string (file)
            Name of what was touched
        actor_id        string (file)
            Id of who did it
        actor_name      string (file)
            Display name of who did it
        actor_login     string (file)
            Login name of who did it
        actor_type      string (file)
            Kind of who did it: user, client, system or vendor
        client_id       string (file)
            API client or application key that was used
        user_agent      string (file)
            Browser or program that was used
        session_id      string (file)
            Session that it belongs to
        transaction_id  string (file)
            What ties the events of one action together
        client_ips      list<string> required (file)
            Addresses that it came from
        message         string (file)
            Human text
        changes         list<struct<property: string, entity_type: string, entity_id: string, old_values: list<string>, new_values: list<string>>> required (file)
            What changed: properties with their values before and after
        attributes      map<string, string> required (file)
            The remaining context that the provider gives, with unique keys
        raw             string required (file)
            The JSON of the record, byte for byte as received
        ingested_at     timestamp(us, UTC) required (file)
            When the event was pulled
        late_by_ms      int64 (file)
            Only for an event that an earlier pull of its range did not see: ingested_at minus event_time
        actor           string (file)
            Who did it, as one text: the login name, else the display name, else the id
        actor_email     string (file)
            E-mail address of who did it
        category        string (file)
            Kind of event, normalised: authentication, access, configuration, data or other
        event_hour      int32 required (path)
            UTC hour of event_time, 0 to 23
        ");
    }

    #[test]
    fn json() {
        let text = as_json(&table(&[Provider, EventMonth], &[]));
        let described: Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!(described["schema_version"], SCHEMA_VERSION);
        assert_eq!(
            described["partition_by"],
            json!(["provider", "event_month"])
        );
        let columns = described["columns"].as_array().cloned().unwrap_or_default();
        assert_eq!(columns.len(), COLUMNS.len() + 1);
        insta::assert_snapshot!(columns[0], @r#"{"meaning":"Id of the event, unique within a job: as the provider gives it, else a hash of the record","name":"event_id","required":true,"type":"string"}"#);
        insta::assert_snapshot!(columns[COLUMNS.len()], @r#"{"meaning":"UTC month of event_time, as in 2026-11","name":"event_month","required":true,"type":"string"}"#);
    }

    #[test]
    fn duckdb() {
        insta::assert_snapshot!(by_default(Engine::DuckDb), @r"
        CREATE OR REPLACE VIEW audit_events AS
        SELECT * FROM read_parquet(
          's3://lake/it''s/audit_events/**/*.parquet',
          hive_partitioning = true,
          hive_types = {'provider': VARCHAR, 'event_date': DATE}
        );
        ");
    }

    #[test]
    fn spark() {
        insta::assert_snapshot!(by_default(Engine::Spark), @r"
        CREATE TABLE IF NOT EXISTS audit_events (
          event_id STRING COMMENT 'Id of the event, unique within a job: as the provider gives it, else a hash of the record',
          event_time TIMESTAMP COMMENT 'When the event happened',
          account_id STRING COMMENT 'Account whose log has the event',
          connection STRING COMMENT 'Name of the connection that the event was pulled through',
          job STRING COMMENT 'Name of the job that pulled the event',
          action STRING COMMENT 'Verb that the provider uses',
          activity STRING COMMENT 'The verb, normalised: create, read, update, delete, login, logout, enable, disable or other',
          outcome STRING COMMENT 'How it ended: success, failure, warning or unknown',
          outcome_reason STRING COMMENT 'Why it ended so',
          service STRING COMMENT 'Part of the provider that was touched',
          entity_type STRING COMMENT 'Type of what was touched',
          entity_id STRING COMMENT 'Id of what was touched',
          entity_name STRING COMMENT 'Name of what was touched',
          actor_id STRING COMMENT 'Id of who did it',
          actor_name STRING COMMENT 'Display name of who did it',
          actor_login STRING COMMENT 'Login name of who did it',
          actor_type STRING COMMENT 'Kind of who did it: user, client, system or vendor',
          client_id STRING COMMENT 'API client or application key that was used',
          user_agent STRING COMMENT 'Browser or program that was used',
          session_id STRING COMMENT 'Session that it belongs to',
          transaction_id STRING COMMENT 'What ties the events of one action together',
          client_ips ARRAY<STRING> COMMENT 'Addresses that it came from',
          message STRING COMMENT 'Human text',
          changes ARRAY<STRUCT<property: STRING, entity_type: STRING, entity_id: STRING, old_values: ARRAY<STRING>, new_values: ARRAY<STRING>>> COMMENT 'What changed: properties with their values before and after',
          attributes MAP<STRING, STRING> COMMENT 'The remaining context that the provider gives, with unique keys',
          raw STRING COMMENT 'The JSON of the record, byte for byte as received',
          ingested_at TIMESTAMP COMMENT 'When the event was pulled',
          late_by_ms BIGINT COMMENT 'Only for an event that an earlier pull of its range did not see: ingested_at minus event_time',
          actor STRING COMMENT 'Who did it, as one text: the login name, else the display name, else the id',
          actor_email STRING COMMENT 'E-mail address of who did it',
          category STRING COMMENT 'Kind of event, normalised: authentication, access, configuration, data or other',
          provider STRING COMMENT 'Kind of API that the event was pulled from',
          event_date DATE COMMENT 'UTC date of event_time'
        )
        USING PARQUET
        PARTITIONED BY (provider, event_date)
        LOCATION 's3a://lake/it\'s/audit_events';
        -- again whenever there are new partitions
        MSCK REPAIR TABLE audit_events;
        ");
    }

    #[test]
    fn trino() {
        insta::assert_snapshot!(by_default(Engine::Trino), @"
        -- times are in UTC, with microseconds
        SET SESSION hive.timestamp_precision = 'MICROSECONDS';
        CREATE TABLE IF NOT EXISTS hive.default.audit_events (
          event_id VARCHAR COMMENT 'Id of the event, unique within a job: as the provider gives it, else a hash of the record',
          event_time TIMESTAMP(6) COMMENT 'When the event happened',
          account_id VARCHAR COMMENT 'Account whose log has the event',
          connection VARCHAR COMMENT 'Name of the connection that the event was pulled through',
          job VARCHAR COMMENT 'Name of the job that pulled the event',
          action VARCHAR COMMENT 'Verb that the provider uses',
          activity VARCHAR COMMENT 'The verb, normalised: create, read, update, delete, login, logout, enable, disable or other',
          outcome VARCHAR COMMENT 'How it ended: success, failure, warning or unknown',
          outcome_reason VARCHAR COMMENT 'Why it ended so',
          service VARCHAR COMMENT 'Part of the provider that was touched',
          entity_type VARCHAR COMMENT 'Type of what was touched',
          entity_id VARCHAR COMMENT 'Id of what was touched',
          entity_name VARCHAR COMMENT 'Name of what was touched',
          actor_id VARCHAR COMMENT 'Id of who did it',
          actor_name VARCHAR COMMENT 'Display name of who did it',
          actor_login VARCHAR COMMENT 'Login name of who did it',
          actor_type VARCHAR COMMENT 'Kind of who did it: user, client, system or vendor',
          client_id VARCHAR COMMENT 'API client or application key that was used',
          user_agent VARCHAR COMMENT 'Browser or program that was used',
          session_id VARCHAR COMMENT 'Session that it belongs to',
          transaction_id VARCHAR COMMENT 'What ties the events of one action together',
          client_ips ARRAY(VARCHAR) COMMENT 'Addresses that it came from',
          message VARCHAR COMMENT 'Human text',
          changes ARRAY(ROW(property VARCHAR, entity_type VARCHAR, entity_id VARCHAR, old_values ARRAY(VARCHAR), new_values ARRAY(VARCHAR))) COMMENT 'What changed: properties with their values before and after',
          attributes MAP(VARCHAR, VARCHAR) COMMENT 'The remaining context that the provider gives, with unique keys',
          raw VARCHAR COMMENT 'The JSON of the record, byte for byte as received',
          ingested_at TIMESTAMP(6) COMMENT 'When the event was pulled',
          late_by_ms BIGINT COMMENT 'Only for an event that an earlier pull of its range did not see: ingested_at minus event_time',
          actor VARCHAR COMMENT 'Who did it, as one text: the login name, else the display name, else the id',
          actor_email VARCHAR COMMENT 'E-mail address of who did it',
          category VARCHAR COMMENT 'Kind of event, normalised: authentication, access, configuration, data or other',
          provider VARCHAR COMMENT 'Kind of API that the event was pulled from',
          event_date DATE COMMENT 'UTC date of event_time'
        )
        WITH (
          format = 'PARQUET',
          external_location = 's3://lake/it''s/audit_events',
          partitioned_by = ARRAY['provider', 'event_date']
        );
        -- again whenever there are new partitions
        CALL hive.system.sync_partition_metadata('default', 'audit_events', 'ADD');
        ");
    }

    #[test]
    fn athena() {
        insta::assert_snapshot!(by_default(Engine::Athena), @r"
        CREATE EXTERNAL TABLE IF NOT EXISTS `audit_events` (
          `event_id` string COMMENT 'Id of the event, unique within a job: as the provider gives it, else a hash of the record',
          `event_time` timestamp COMMENT 'When the event happened',
          `account_id` string COMMENT 'Account whose log has the event',
          `connection` string COMMENT 'Name of the connection that the event was pulled through',
          `job` string COMMENT 'Name of the job that pulled the event',
          `action` string COMMENT 'Verb that the provider uses',
          `activity` string COMMENT 'The verb, normalised: create, read, update, delete, login, logout, enable, disable or other',
          `outcome` string COMMENT 'How it ended: success, failure, warning or unknown',
          `outcome_reason` string COMMENT 'Why it ended so',
          `service` string COMMENT 'Part of the provider that was touched',
          `entity_type` string COMMENT 'Type of what was touched',
          `entity_id` string COMMENT 'Id of what was touched',
          `entity_name` string COMMENT 'Name of what was touched',
          `actor_id` string COMMENT 'Id of who did it',
          `actor_name` string COMMENT 'Display name of who did it',
          `actor_login` string COMMENT 'Login name of who did it',
          `actor_type` string COMMENT 'Kind of who did it: user, client, system or vendor',
          `client_id` string COMMENT 'API client or application key that was used',
          `user_agent` string COMMENT 'Browser or program that was used',
          `session_id` string COMMENT 'Session that it belongs to',
          `transaction_id` string COMMENT 'What ties the events of one action together',
          `client_ips` array<string> COMMENT 'Addresses that it came from',
          `message` string COMMENT 'Human text',
          `changes` array<struct<property:string,entity_type:string,entity_id:string,old_values:array<string>,new_values:array<string>>> COMMENT 'What changed: properties with their values before and after',
          `attributes` map<string,string> COMMENT 'The remaining context that the provider gives, with unique keys',
          `raw` string COMMENT 'The JSON of the record, byte for byte as received',
          `ingested_at` timestamp COMMENT 'When the event was pulled',
          `late_by_ms` bigint COMMENT 'Only for an event that an earlier pull of its range did not see: ingested_at minus event_time',
          `actor` string COMMENT 'Who did it, as one text: the login name, else the display name, else the id',
          `actor_email` string COMMENT 'E-mail address of who did it',
          `category` string COMMENT 'Kind of event, normalised: authentication, access, configuration, data or other'
        )
        PARTITIONED BY (
          `provider` string COMMENT 'Kind of API that the event was pulled from',
          `event_date` string COMMENT 'UTC date of event_time'
        )
        STORED AS PARQUET
        LOCATION 's3://lake/it\'s/audit_events/'
        TBLPROPERTIES (
          'parquet.compression' = 'ZSTD',
          'projection.enabled' = 'true',
          'projection.provider.type' = 'enum',
          'projection.provider.values' = 'avaya_axp,genesys_cloud',
          'projection.event_date.type' = 'date',
          'projection.event_date.format' = 'yyyy-MM-dd',
          'projection.event_date.range' = '2026-01-01,NOW+1DAYS',
          'projection.event_date.interval' = '1',
          'projection.event_date.interval.unit' = 'DAYS',
          'storage.location.template' = 's3://lake/it\'s/audit_events/provider=${provider}/event_date=${event_date}/'
        );
        ");
    }

    #[test]
    fn clickhouse() {
        insta::assert_snapshot!(by_default(Engine::ClickHouse), @r"
        CREATE TABLE IF NOT EXISTS audit_events (
          event_id String COMMENT 'Id of the event, unique within a job: as the provider gives it, else a hash of the record',
          event_time DateTime64(6, 'UTC') COMMENT 'When the event happened',
          account_id String COMMENT 'Account whose log has the event',
          connection String COMMENT 'Name of the connection that the event was pulled through',
          job String COMMENT 'Name of the job that pulled the event',
          action Nullable(String) COMMENT 'Verb that the provider uses',
          activity String COMMENT 'The verb, normalised: create, read, update, delete, login, logout, enable, disable or other',
          outcome String COMMENT 'How it ended: success, failure, warning or unknown',
          outcome_reason Nullable(String) COMMENT 'Why it ended so',
          service Nullable(String) COMMENT 'Part of the provider that was touched',
          entity_type Nullable(String) COMMENT 'Type of what was touched',
          entity_id Nullable(String) COMMENT 'Id of what was touched',
          entity_name Nullable(String) COMMENT 'Name of what was touched',
          actor_id Nullable(String) COMMENT 'Id of who did it',
          actor_name Nullable(String) COMMENT 'Display name of who did it',
          actor_login Nullable(String) COMMENT 'Login name of who did it',
          actor_type Nullable(String) COMMENT 'Kind of who did it: user, client, system or vendor',
          client_id Nullable(String) COMMENT 'API client or application key that was used',
          user_agent Nullable(String) COMMENT 'Browser or program that was used',
          session_id Nullable(String) COMMENT 'Session that it belongs to',
          transaction_id Nullable(String) COMMENT 'What ties the events of one action together',
          client_ips Array(String) COMMENT 'Addresses that it came from',
          message Nullable(String) COMMENT 'Human text',
          changes Array(Tuple(property Nullable(String), entity_type Nullable(String), entity_id Nullable(String), old_values Array(String), new_values Array(String))) COMMENT 'What changed: properties with their values before and after',
          attributes Map(String, String) COMMENT 'The remaining context that the provider gives, with unique keys',
          raw String COMMENT 'The JSON of the record, byte for byte as received',
          ingested_at DateTime64(6, 'UTC') COMMENT 'When the event was pulled',
          late_by_ms Nullable(Int64) COMMENT 'Only for an event that an earlier pull of its range did not see: ingested_at minus event_time',
          actor Nullable(String) COMMENT 'Who did it, as one text: the login name, else the display name, else the id',
          actor_email Nullable(String) COMMENT 'E-mail address of who did it',
          category Nullable(String) COMMENT 'Kind of event, normalised: authentication, access, configuration, data or other',
          provider String COMMENT 'Kind of API that the event was pulled from',
          event_date Date32 COMMENT 'UTC date of event_time'
        )
        ENGINE = S3('s3://lake/it\'s/audit_events/**/*.parquet', 'Parquet')
        SETTINGS use_hive_partitioning = 1;
        ");
    }

    #[test]
    fn clickhouse_reads_any_store() {
        let engine = |location| {
            let table = Table {
                location: String::from(location),
                ..table(&[], &[])
            };
            let statement = ddl(Engine::ClickHouse, &table);
            let place = statement.find("ENGINE").unwrap_or(0);
            statement[place..].to_owned()
        };
        insta::assert_snapshot!(engine("/lake/audit_events"), @"ENGINE = File(Parquet, '/lake/audit_events/**/*.parquet');");
        insta::assert_snapshot!(engine("file:///lake/audit_events"), @"ENGINE = File(Parquet, '/lake/audit_events/**/*.parquet');");
        insta::assert_snapshot!(engine("s3a://bucket/audit_events"), @"ENGINE = S3('s3://bucket/audit_events/**/*.parquet', 'Parquet');");
        insta::assert_snapshot!(engine("gs://bucket/audit_events"), @"ENGINE = S3('gs://bucket/audit_events/**/*.parquet', 'Parquet');");
        insta::assert_snapshot!(engine("http://127.0.0.1:8333/bucket/audit_events"), @"ENGINE = S3('http://127.0.0.1:8333/bucket/audit_events/**/*.parquet', 'Parquet');");
        insta::assert_snapshot!(engine("az://container/audit_events"), @"ENGINE = AzureBlobStorage('put the connection string here', 'container', 'audit_events/**/*.parquet', 'Parquet');");
    }

    #[test]
    fn clickhouse_types_say_what_may_be_null() {
        let list = |field: Field| DataType::List(field.into());
        assert_eq!(
            clickhouse_type(&list(Field::new("element", DataType::Int64, true)), true),
            "Array(Nullable(Int64))"
        );
        assert_eq!(clickhouse_type(&path_type(EventHour), false), "Int32");
    }

    #[test]
    fn markdown() {
        let text = as_markdown(&table(&[Provider, EventHour], &[]));
        assert_eq!(text.lines().count(), 2 + COLUMNS.len() + 1);
        assert!(text.lines().all(|line| line.matches('|').count() == 5));
        let lines: Vec<&str> = text.lines().collect();
        insta::assert_snapshot!(lines[..6].join("\n"), @r"
        | column | type | null | meaning |
        |---|---|---|---|
        | `event_id` | `string` | never | Id of the event, unique within a job: as the provider gives it, else a hash of the record |
        | `event_time` | `timestamp(us, UTC)` | never | When the event happened |
        | `event_date` | `date` | never | UTC date of event_time |
        | `provider` | `string` | never | Kind of API that the event was pulled from; in the path, not in the files |
        ");
        insta::assert_snapshot!(lines[lines.len() - 1], @"| `event_hour` | `int32` | never | UTC hour of event_time, 0 to 23; in the path, not in the files |");
    }

    #[test]
    fn athena_projects_every_partition_column() {
        let partition_by = [AccountId, EventMonth, EventHour];
        let statement = ddl(Engine::Athena, &table(&partition_by, &[]));
        let properties = &statement[statement.find("TBLPROPERTIES").unwrap_or(0)..];
        insta::assert_snapshot!(properties, @r"
        TBLPROPERTIES (
          'parquet.compression' = 'ZSTD',
          'projection.enabled' = 'true',
          'projection.account_id.type' = 'injected',
          'projection.event_month.type' = 'date',
          'projection.event_month.format' = 'yyyy-MM',
          'projection.event_month.range' = '2026-01,NOW+1MONTHS',
          'projection.event_month.interval' = '1',
          'projection.event_month.interval.unit' = 'MONTHS',
          'projection.event_hour.type' = 'integer',
          'projection.event_hour.range' = '0,23',
          'projection.event_hour.digits' = '2',
          'storage.location.template' = 's3://lake/it\'s/audit_events/account_id=${account_id}/event_month=${event_month}/event_hour=${event_hour}/'
        );
        ");
    }

    #[test]
    fn a_table_that_is_not_partitioned_has_no_partitions() {
        for engine in [
            Engine::DuckDb,
            Engine::Spark,
            Engine::Trino,
            Engine::Athena,
            Engine::ClickHouse,
        ] {
            let statement = ddl(engine, &table(&[], &[])).to_lowercase();
            for word in ["partition", "projection", "hive_types", "repair"] {
                assert!(!statement.contains(word), "{statement}");
            }
            assert!(engine == Engine::DuckDb || statement.contains("provider"));
        }
    }

    #[test]
    fn meanings_are_one_sentence_that_needs_no_escaping() {
        for column in &COLUMNS {
            assert!(column.meaning.len() < 255, "Athena takes no more");
            assert!(
                !column.meaning.contains(['\'', '\\', '\n', ';', '|']),
                "{}",
                column.meaning
            );
            assert!(!column.meaning.ends_with('.'));
        }
    }
}

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
    // without NOT NULL: a required column that is added later is null for the files before it
    let column = |name: &str, data_type: &DataType, meaning: &str| {
        let type_name = type_in(Engine::Spark, data_type);
        format!("  {name} {type_name} COMMENT {}", hive_quoted(meaning))
    };
    let columns = (schema::file_columns(layout.partition_by))
        .map(|own| column(own.name, &own.data_type(), own.meaning))
        .chain(
            layout
                .partition_by
                .iter()
                .map(|&own| column(own.as_str(), &path_type(own), path_meaning(own))),
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
        let partitions = layout.partition_by.iter().map(|&own| {
            // a projected date is a string column in all that Athena documents
            let data_type = match path_type(own) {
                DataType::Date32 => DataType::Utf8,
                other => other,
            };
            column(own.as_str(), &data_type, path_meaning(own))
        });
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
        // with its slash, or `account_id=a` finds what is in `account_id=ab`
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PartitionColumn::{AccountId, EventDate, EventHour, EventMonth, Provider};

    fn layout<'a>(
        partition_by: &'a [PartitionColumn],
        known_values: &'a [(PartitionColumn, Vec<String>)],
    ) -> TableLayout<'a> {
        TableLayout {
            location: "s3://lake/it's/audit_events/",
            partition_by,
            known_values,
            since: NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default(),
        }
    }

    fn by_default(engine: Engine) -> String {
        let known = [(
            Provider,
            vec!["avaya_axp".to_owned(), "genesys_cloud".to_owned()],
        )];
        ddl(engine, &layout(&[Provider, EventDate], &known))
    }

    #[test]
    fn text() {
        insta::assert_snapshot!(as_text(&[Provider, EventHour]), @r"
        audit_events, schema version 1

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
        event_hour      int32 required (path)
            UTC hour of event_time, 0 to 23
        ");
    }

    #[test]
    fn json() {
        let text = as_json(&[Provider, EventMonth]);
        let table: Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!(table["schema_version"], SCHEMA_VERSION);
        assert_eq!(table["partition_by"], json!(["provider", "event_month"]));
        let columns = table["columns"].as_array().cloned().unwrap_or_default();
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
          provider STRING COMMENT 'Kind of API that the event was pulled from',
          event_date DATE COMMENT 'UTC date of event_time'
        )
        USING PARQUET
        PARTITIONED BY (provider, event_date)
        LOCATION 's3://lake/it\'s/audit_events';
        -- again whenever there are new partitions
        MSCK REPAIR TABLE audit_events;
        ");
    }

    #[test]
    fn trino() {
        insta::assert_snapshot!(by_default(Engine::Trino), @r"
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
          `late_by_ms` bigint COMMENT 'Only for an event that an earlier pull of its range did not see: ingested_at minus event_time'
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
    fn athena_projects_every_partition_column() {
        let partition_by = [AccountId, EventMonth, EventHour];
        let statement = ddl(Engine::Athena, &layout(&partition_by, &[]));
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
        for engine in [Engine::DuckDb, Engine::Spark, Engine::Trino, Engine::Athena] {
            let statement = ddl(engine, &layout(&[], &[])).to_lowercase();
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
                !column.meaning.contains(['\'', '\\', '\n', ';']),
                "{}",
                column.meaning
            );
            assert!(!column.meaning.ends_with('.'));
        }
    }
}

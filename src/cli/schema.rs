//! `schema`: descriptions of the tables, and the JSON Schema of jobs.yaml.

use std::path::Path;

use chrono::NaiveDate;
use clap::{Args, ValueEnum};

use super::report::{CommandError, Out};
use crate::config::{self, Config, ConfigSource};
use crate::history;
use crate::lake::layout::{RUNS_TABLE, TABLE};
use crate::model::PartitionColumn;
use crate::providers::PROVIDERS;
use crate::table::ddl::{Engine, Table, TableLayout, as_json, as_markdown, as_text, ddl};

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// The table
    #[arg(long, value_enum, default_value_t)]
    table: TableName,

    /// The output format
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,

    /// The lake's location for DDL; by default the configured one, or ./lake
    #[arg(long, value_name = "URL")]
    lake: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum TableName {
    /// The audit events
    #[default]
    AuditEvents,
    /// The history of runs
    AuditRuns,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    #[default]
    Text,
    Json,
    Duckdb,
    Spark,
    Trino,
    Athena,
    Clickhouse,
    /// The columns as a table
    Markdown,
    /// The JSON Schema of jobs.yaml, for editors
    Config,
}

impl OutputFormat {
    fn engine(self) -> Option<Engine> {
        match self {
            Self::Duckdb => Some(Engine::DuckDb),
            Self::Spark => Some(Engine::Spark),
            Self::Trino => Some(Engine::Trino),
            Self::Athena => Some(Engine::Athena),
            Self::Clickhouse => Some(Engine::ClickHouse),
            Self::Text | Self::Json | Self::Markdown | Self::Config => None,
        }
    }
}

pub(super) fn run(
    source: &ConfigSource,
    args: &SchemaArgs,
    out: &mut Out,
) -> Result<u8, CommandError> {
    if args.format == OutputFormat::Config {
        out.json_line(&format!("{:#}", config::schema()));
        return Ok(0);
    }
    let (partition_by, url) = configured(source, args)?;
    let lake = for_engines(&url)?;
    let folder = |table: &str| format!("{}/{table}", lake.trim_end_matches('/'));
    let since = NaiveDate::from_ymd_opt(2020, 1, 1).unwrap_or_default();
    let table = match args.table {
        TableName::AuditRuns => history::table(folder(RUNS_TABLE), since),
        TableName::AuditEvents => {
            let providers = PROVIDERS.iter().map(|spec| spec.name.to_owned()).collect();
            Table::events(&TableLayout {
                location: &folder(TABLE),
                partition_by: &partition_by,
                known_values: &[(PartitionColumn::Provider, providers)],
                since,
            })
        }
    };
    out.text(match (args.format.engine(), args.format) {
        (Some(engine), _) => ddl(engine, &table),
        (None, OutputFormat::Json) => as_json(&table),
        (None, OutputFormat::Markdown) => as_markdown(&table),
        (None, _) => as_text(&table),
    });
    Ok(0)
}

/// Returns the lake's location for engines. A folder becomes an absolute path, as Spark resolves relative ones within
/// its own warehouse. Locations of engines (`s3a://`, an `https://` endpoint) are kept.
fn for_engines(url: &str) -> Result<String, CommandError> {
    let path = match url.split_once("://") {
        Some(("file", path)) => path,
        Some(("s3" | "gs" | "az" | "memory", _)) => {
            let one_form = config::lake_url(url);
            return one_form.map_err(|why| CommandError::usage(format!("`{url}` {why}")));
        }
        Some(_) => return Ok(url.to_owned()),
        None => url,
    };
    let path = std::path::absolute(path).map_err(|error| CommandError::run(error.to_string()))?;
    Ok(path.display().to_string())
}

/// Returns the layout and the location of the lake: as configured, or the defaults without a configuration.
fn configured(
    source: &ConfigSource,
    args: &SchemaArgs,
) -> Result<(Vec<PartitionColumn>, String), CommandError> {
    let there = match source {
        ConfigSource::File(path) => Path::exists(path),
        ConfigSource::Stdin => true,
    };
    if args.lake.is_some() || !there {
        let url = args.lake.clone().unwrap_or_else(|| "lake".to_owned());
        return Ok((
            vec![PartitionColumn::Provider, PartitionColumn::EventDate],
            url,
        ));
    }
    let lake = Config::load_lake(source).map_err(CommandError::config)?;
    Ok((lake.partition_by, lake.url))
}

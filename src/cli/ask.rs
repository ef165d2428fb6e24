//! `services` and `related`: queries of a provider other than its feed, as JSON lines.

use clap::Args;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::report::{self, CommandError, Out};
use crate::config::Config;
use crate::providers::{Call, Page, ProviderSpec, SideQueries, provider};
use crate::run::feed::{Feed, FeedError};
use crate::setup;
use crate::telemetry::error_chain;

#[derive(Debug, Args)]
pub(super) struct ServicesArgs {
    /// The connection
    #[arg(long, value_name = "NAME")]
    connection: String,
}

#[derive(Debug, Args)]
pub(super) struct RelatedArgs {
    /// The connection
    #[arg(long, value_name = "NAME")]
    connection: String,

    /// The audit id
    #[arg(long, value_name = "ID")]
    audit_id: String,

    /// The trustor organisation, for audits of a trustee's user there
    #[arg(long, value_name = "ID")]
    trustor_org_id: Option<String>,
}

pub(super) async fn services(
    config: &Config,
    args: &ServicesArgs,
    out: &mut Out,
) -> Result<u8, CommandError> {
    let (spec, source) = source(config, &args.connection)?;
    let queries = spec
        .side_queries
        .ok_or_else(|| CommandError::usage(format!("`{}` has no list of services", spec.name)))?;
    for (name, call) in queries.catalogue_calls() {
        let page = page(&args.connection, &source, queries, &call).await?;
        for entry in &page.records {
            let entry = one_line(&page.text[entry.clone()]);
            out.json_line(&format!(r#"{{"mapping":"{name}","service":{entry}}}"#));
        }
    }
    Ok(0)
}

pub(super) async fn related(
    config: &Config,
    args: &RelatedArgs,
    out: &mut Out,
) -> Result<u8, CommandError> {
    let (spec, source) = source(config, &args.connection)?;
    let queries = spec.side_queries.ok_or_else(|| {
        CommandError::usage(format!("`{}` can't be asked for related audits", spec.name))
    })?;
    let call = queries.related_call(&args.audit_id, args.trustor_org_id.as_deref());
    let page = page(&args.connection, &source, queries, &call).await?;
    for entry in &page.records {
        out.json_line(&one_line(&page.text[entry.clone()]));
    }
    Ok(0)
}

/// Returns the connection's provider, and its feed with default options.
fn source(config: &Config, name: &str) -> Result<(&'static ProviderSpec, Feed), CommandError> {
    let connection = config.connections.get(name).ok_or_else(|| {
        let known: Vec<&str> = config.connections.keys().map(String::as_str).collect();
        CommandError::usage(format!(
            "there is no connection `{name}`; the connections are `{}`",
            known.join("`, `")
        ))
    })?;
    let spec = provider(connection.provider).ok_or_else(|| {
        CommandError::usage(format!("there is no provider `{}`", connection.provider))
    })?;
    let client = setup::client(connection, &config.server)
        .map_err(|error| CommandError::usage(error_chain(&error)))?;
    Ok((spec, Feed::new((spec.default_adapter)(), client)))
}

async fn page(
    connection: &str,
    source: &Feed,
    queries: &dyn SideQueries,
    call: &Call,
) -> Result<Page, CommandError> {
    let failed = |error: FeedError| {
        let what_to_do = report::what_to_do(error.kind(), connection);
        CommandError::run(format!(
            "connection `{connection}`: {}{what_to_do}",
            error_chain(&error)
        ))
    };
    let stop = CancellationToken::new();
    let entries = source.entries(queries, call, &stop);
    entries.await.map_err(failed)
}

/// Returns JSON without line breaks. Strings can't contain unescaped ones, so only white space between tokens changes.
fn one_line(json: &str) -> String {
    match serde_json::from_str::<&RawValue>(json) {
        Ok(value) if !value.get().contains(['\n', '\r']) => value.get().to_owned(),
        _ => json.lines().map(str::trim).collect(),
    }
}

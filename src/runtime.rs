//! From a configuration to jobs that can run: one client a connection, one lake, one source a job.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::client::{Client, ClientError, Limits, Settings};
use crate::config::{self, Config};
use crate::lake::{Lake, LakeError};
use crate::model::PartitionColumn;
use crate::pipeline;
use crate::plan::Policy;
use crate::schedule::Schedule;
use crate::source::Source;

/// A configured job and when it is due.
#[derive(Debug, Clone)]
pub struct ScheduledJob {
    /// When.
    pub schedule: Schedule,
    /// What.
    pub job: pipeline::Job,
}

/// A client can't be made of a connection, or the lake can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The connection.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

impl SetupError {
    /// What it means.
    pub fn kind(&self) -> crate::model::Kind {
        match self {
            Self::Client(error) => error.kind(),
            Self::Lake(error) => error.kind(),
        }
    }
}

/// The client of one connection. All jobs of the connection must share it, as they share its rate budget.
pub fn client(
    connection: &config::Connection,
    server: &config::Server,
) -> Result<Client, ClientError> {
    Client::new(client_settings(connection, server))
}

/// What that client is made of.
pub fn client_settings(connection: &config::Connection, server: &config::Server) -> Settings {
    Settings {
        connection: connection.name.clone(),
        provider: connection.provider,
        endpoint: connection.endpoint.clone(),
        rate_limit: (
            connection.rate_limit.requests.get(),
            connection.rate_limit.per,
        ),
        replicas: server.replicas,
        proxy: connection.proxy.clone(),
        ca_file: connection.ca_file.clone(),
        allow_http: connection.allow_http,
        limits: Limits::default(),
    }
}

/// The configured lake. Makes no request.
pub fn lake(lake: &config::Lake) -> Result<Lake, LakeError> {
    Lake::at(&lake.url, &lake.storage_options)
}

/// The lake's layout, as its layout file has it.
pub fn layout(lake: &config::Lake) -> Vec<String> {
    lake.partition_by
        .iter()
        .map(|column: &PartitionColumn| column.as_str().to_owned())
        .collect()
}

/// The jobs that `wanted` names (all, if it names none), ready to run on `lake`. Makes no request.
pub fn jobs(
    config: &Config,
    lake: &Lake,
    wanted: &[String],
) -> Result<Vec<ScheduledJob>, SetupError> {
    let mut clients: BTreeMap<&str, Client> = BTreeMap::new();
    let mut jobs = Vec::new();
    for job in &config.jobs {
        let Some(connection) = config.connections.get(&job.connection) else {
            continue;
        };
        if !wanted.is_empty() && !wanted.contains(&job.name) {
            continue;
        }
        let client = if let Some(client) = clients.get(job.connection.as_str()) {
            client.clone()
        } else {
            let client = client(connection, &config.server)?;
            clients.insert(&job.connection, client.clone());
            client
        };
        jobs.push(ScheduledJob {
            schedule: job.schedule.clone(),
            job: pipeline::Job {
                name: job.name.clone(),
                connection: connection.name.clone(),
                provider: connection.provider,
                account_id: connection
                    .account_id
                    .clone()
                    .unwrap_or_else(|| connection.name.clone()),
                policy: policy(job),
                source: Source {
                    adapter: Arc::clone(&job.adapter),
                    client,
                },
                lake: lake.clone(),
                partition_by: config.lake.partition_by.clone(),
                target_file_size: config.lake.target_file_size,
            },
        });
    }
    Ok(jobs)
}

/// How a job's ranges are cut.
pub fn policy(job: &config::Job) -> Policy {
    Policy {
        start: job.start,
        window: job.window,
        min_window: job.min_window,
        lag: job.lag,
        settle: job.settle.clone(),
        grain: job.adapter.grain(),
    }
}

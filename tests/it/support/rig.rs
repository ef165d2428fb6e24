//! A job on a lake in memory, run as of any time; and the lake's rows, read back without the code under test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use auditlake::client::{Client, ClientLimits, ClientSettings};
use auditlake::clock::Clock;
use auditlake::config::Config;
use auditlake::lake::{self, Commit, Lake};
use auditlake::model::{PartitionColumn, Range, Timestamp};
use auditlake::run::feed::Feed;
use auditlake::run::{
    self, Job, MemoryBudget, Neighbours, RunCache, RunMode, RunOptions, RunOutcome, RunReport,
};
use auditlake::setup;
use auditlake::sim::Simulated;
use chrono::{DateTime, NaiveDate, TimeDelta};
use futures_util::TryStreamExt;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// `2026-03-01` or `2026-03-01T00:20:00Z`.
pub(crate) fn at(text: &str) -> Timestamp {
    let text = if text.contains('T') {
        text.to_owned()
    } else {
        format!("{text}T00:00:00Z")
    };
    DateTime::parse_from_rfc3339(&text).unwrap().to_utc()
}

pub(crate) fn range(from: &str, to: &str) -> Range {
    Range::new(at(from), at(to)).unwrap()
}

/// Retries without noticeable waits.
pub(crate) fn hasty() -> ClientLimits {
    ClientLimits {
        first_backoff: Duration::from_millis(2),
        longest_backoff: Duration::from_millis(20),
        drain: Duration::from_millis(500),
        ..ClientLimits::default()
    }
}

/// A jobs.yaml with one connection and one job, whose lines are indented by four.
pub(crate) fn jobs(provider: &str, connection: &str, job: &str) -> String {
    format!(
        "lake: {{url: memory://}}
connections:
  prod:
    provider: {provider}
    allow_http: true
    rate_limit: 1000000/s
{connection}
jobs:
  - name: audits
    connection: prod
{job}
"
    )
}

/// An empty lake in memory, with folders by provider and date.
pub(crate) async fn lake_in_memory() -> (Lake, Vec<PartitionColumn>) {
    let lake = Lake::at("memory://", &BTreeMap::new()).unwrap();
    let partition_by = vec![PartitionColumn::Provider, PartitionColumn::EventDate];
    let names: Vec<String> = partition_by.iter().map(|c| c.as_str().to_owned()).collect();
    lake.prepare(&names).await.unwrap();
    (lake, partition_by)
}

/// A simulator with a clock of its own.
pub(crate) trait Simulator {
    fn set_now(&self, now: Timestamp);
}

impl<S: Simulated> Simulator for S {
    fn set_now(&self, now: Timestamp) {
        Simulated::set_now(self, now);
    }
}

/// A simulator, and a job that pulls it.
pub(crate) struct Rig<S> {
    pub(crate) sim: S,
    pub(crate) job: Job,
}

impl<S: Simulator> Rig<S> {
    /// The first job of a configuration, on a lake in memory whatever that says, with hasty retries.
    pub(crate) async fn of(sim: S, yaml: &str) -> Self {
        let config =
            Config::parse("jobs.yaml", yaml, &|_| None).unwrap_or_else(|error| panic!("{error}"));
        let job = &config.jobs[0];
        let connection = &config.connections[&job.connection];
        let client = Client::new(ClientSettings {
            limits: hasty(),
            ..setup::client_settings(connection, &config.server)
        });
        let (lake, partition_by) = lake_in_memory().await;
        Self {
            sim,
            job: Job {
                name: job.name.clone(),
                log: job.name.clone(),
                connection: connection.name.clone(),
                provider: connection.provider,
                account_id: connection
                    .account_id
                    .clone()
                    .unwrap_or_else(|| connection.name.clone()),
                policy: setup::policy(job),
                source: Feed::new(job.adapter.clone(), client.unwrap()),
                lake,
                partition_by,
                target_file_size: 64 << 20,
                memory: RunCache::default(),
                budget: MemoryBudget::default(),
                neighbours: Neighbours::default(),
                metrics: auditlake::metrics::JobMetrics::default(),
            },
        }
    }

    /// Both clocks at `now`, and all that is due.
    pub(crate) async fn run(&self, now: Timestamp) -> RunReport {
        self.mode(RunMode::Due, now, &CancellationToken::new())
            .await
    }

    pub(crate) async fn mode(
        &self,
        mode: RunMode,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> RunReport {
        self.sim.set_now(now);
        let options = RunOptions {
            clock: Clock::AsOf(now),
            ..RunOptions::new(stop.clone())
        };
        let mut job = self.job.clone();
        if let RunMode::Backfill { .. } = mode {
            job.memory = RunCache::default(); // a command is a process of its own
        }
        match Box::pin(run::run(&job, mode, &options)).await.unwrap() {
            RunOutcome::Ran(report) => report,
            RunOutcome::Held(claim) => panic!("nobody else runs this job: {claim:?}"),
        }
    }

    /// A run in which nothing fails and nothing is left.
    pub(crate) async fn tick(&self, now: Timestamp) -> RunReport {
        let report = self.run(now).await;
        assert_eq!(failures(&report), "");
        assert!(!report.unfinished);
        report
    }

    pub(crate) async fn backfill(&self, range: Range, refetch: bool, now: Timestamp) -> RunReport {
        let turn = TimeDelta::hours(1);
        let mode = RunMode::Backfill {
            range,
            refetch,
            turn,
        };
        self.mode(mode, now, &CancellationToken::new()).await
    }

    pub(crate) async fn newest(&self) -> Commit {
        lake::newest(&self.job.lake, &self.job.name)
            .await
            .unwrap()
            .unwrap()
    }

    /// Every row that a glob shows, by time and id.
    pub(crate) async fn rows(&self) -> Vec<Row> {
        let store = &self.job.lake.store;
        let folder = self.job.lake.layout.table();
        let files: Vec<_> = store.list(Some(&folder)).try_collect().await.unwrap();
        let mut rows = Vec::new();
        for file in files {
            let bytes = store
                .get(&file.location)
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
            for batch in reader.build().unwrap() {
                rows.extend(Row::of(&batch.unwrap(), file.location.as_ref()));
            }
        }
        rows.sort();
        rows
    }

    /// Every line of quarantine.
    pub(crate) async fn quarantine(&self) -> Vec<Value> {
        let store = &self.job.lake.store;
        let folder = self.job.lake.layout.job(&self.job.name).quarantine();
        let files: Vec<_> = store.list(Some(&folder)).try_collect().await.unwrap();
        let mut lines = Vec::new();
        for file in files {
            let bytes = store
                .get(&file.location)
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            lines.extend(
                text.lines()
                    .map(|line| serde_json::from_str::<Value>(line).unwrap()),
            );
        }
        lines
    }

    /// The lake holds exactly these records, given by time in microseconds and raw text: each as often as it is there,
    /// in its day's folder.
    pub(crate) async fn assert_holds(&self, truth: impl IntoIterator<Item = (i64, String)>) {
        let mut truth: Vec<(i64, String)> = truth.into_iter().collect();
        truth.sort();
        let rows = self.rows().await;
        let mut ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), rows.len(), "an event_id is there twice");
        for row in &rows {
            let day = DateTime::from_timestamp_micros(row.time)
                .unwrap()
                .format("event_date=%Y-%m-%d/")
                .to_string();
            assert!(row.file.contains(&day), "{row:?}");
        }
        let mut rows: Vec<(i64, String)> =
            rows.into_iter().map(|row| (row.time, row.raw)).collect();
        rows.sort();
        if rows != truth {
            let lost: Vec<_> = exceeding(&truth, &rows);
            let doubled: Vec<_> = exceeding(&rows, &truth);
            panic!(
                "{} rows, {} true; lost {:?}, doubled or altered {:?}",
                rows.len(),
                truth.len(),
                &lost[..lost.len().min(3)],
                &doubled[..doubled.len().min(3)]
            );
        }
    }
}

/// What a sorted list has more often than another.
pub(crate) fn exceeding<'a, T: Ord>(list: &'a [T], other: &[T]) -> Vec<&'a T> {
    let mut left = other.iter().peekable();
    let mut more = Vec::new();
    for item in list {
        while left.next_if(|next| *next < item).is_some() {}
        if left.next_if(|next| *next == item).is_none() {
            more.push(item);
        }
    }
    more
}

/// Each failure as `stream range kind: message`, with its causes, without the parts that differ from run to run.
pub(crate) fn failures(report: &RunReport) -> String {
    let mut text = String::new();
    for failure in &report.failures {
        let mut chain = failure.error.to_string();
        let mut cause = std::error::Error::source(&failure.error);
        while let Some(error) = cause {
            write!(chain, ": {error}").unwrap();
            cause = error.source();
        }
        if let Some((message, _)) = chain.split_once(", correlation id") {
            chain.truncate(message.len());
        }
        let (stream, range, kind) = (&failure.stream, failure.range, failure.error.kind());
        writeln!(text, "{stream} {range} {kind}: {chain}").unwrap();
    }
    text
}

/// What tests look at of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) time: i64,
    pub(crate) id: String,
    pub(crate) raw: String,
    pub(crate) ingested_at: i64,
    pub(crate) late_by_ms: Option<i64>,
    pub(crate) file: String,
}

impl Row {
    fn of(batch: &RecordBatch, file: &str) -> Vec<Self> {
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>();
        let time = |name: &str| {
            batch
                .column_by_name(name)
                .unwrap()
                .as_primitive::<TimestampMicrosecondType>()
        };
        let late = batch
            .column_by_name("late_by_ms")
            .unwrap()
            .as_primitive::<Int64Type>();
        (0..batch.num_rows())
            .map(|row| Self {
                time: time("event_time").value(row),
                id: text("event_id").value(row).to_owned(),
                raw: text("raw").value(row).to_owned(),
                ingested_at: time("ingested_at").value(row),
                late_by_ms: late.is_valid(row).then(|| late.value(row)),
                file: file.to_owned(),
            })
            .collect()
    }

    pub(crate) fn into_key(self) -> (i64, String, String) {
        (self.time, self.id, self.raw)
    }
}

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
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            json!(NaiveDate::from_epoch_days(days).unwrap().to_string())
        }
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

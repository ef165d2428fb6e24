//! A job, wired to a simulator and to a lake in memory; and the lake's rows, read back without the code under test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use auditlake::client::{Client, Limits, Settings};
use auditlake::clock::Clock;
use auditlake::lake::{self, Commit, Lake};
use auditlake::model::{PartitionColumn, Range, Timestamp};
use auditlake::pipeline::{self, Conduct, Job, Lane, Outcome, Report};
use auditlake::plan::Policy;
use auditlake::providers::genesys::{Genesys, Mode, Options};
use auditlake::providers::{Endpoint, Place, SentIn, SignIn};
use auditlake::secret::Secret;
use auditlake::sim;
use auditlake::sim::genesys::{Dataset, DatasetSpec, GenesysSettings};
use auditlake::source::Source;
use chrono::{DateTime, TimeDelta};
use futures_util::TryStreamExt;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(super) const JOB: &str = "genesys-audits";
/// The most used service, which the realtime query knows, and one that it doesn't know.
pub(super) const FIRST: &str = "PeoplePermissions";
pub(super) const ASYNC_ONLY: &str = "Routing";

pub(super) fn at(text: &str) -> Timestamp {
    let text = if text.contains('T') {
        text.to_owned()
    } else {
        format!("{text}T00:00:00Z")
    };
    DateTime::parse_from_rfc3339(&text).unwrap().to_utc()
}

pub(super) fn range(from: &str, to: &str) -> Range {
    Range::new(at(from), at(to)).unwrap()
}

pub(super) fn fixture(name: &str) -> String {
    let path = format!(
        "{}/tests/fixtures/genesys/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(path).unwrap()
}

/// A day of two services, one of which the realtime query knows; all of it can be seen soon.
pub(super) fn day() -> DatasetSpec {
    DatasetSpec {
        records: 1_500,
        from: at("2026-03-01"),
        to: at("2026-03-02"),
        services: vec![FIRST.to_owned(), ASYNC_ONLY.to_owned()],
        quiet_services: vec!["Billing".to_owned()],
        late_share: 0.0,
        ..DatasetSpec::default()
    }
}

/// A provider that answers a query at once; its clock stands where a test puts it.
pub(super) fn prompt() -> GenesysSettings {
    GenesysSettings {
        clock: sim::Clock::Fixed(at("2026-03-02T01:00:00Z")),
        running_polls: 0,
        token_lifetime: Duration::from_hours(24 * 365),
        ..GenesysSettings::default()
    }
}

pub(super) fn options(mode: Mode, services: &[&str]) -> Options {
    Options {
        mode,
        services: services.iter().map(|&name| name.to_owned()).collect(),
        ..Options::default()
    }
}

pub(super) fn policy() -> Policy {
    Policy {
        start: at("2026-03-01"),
        window: TimeDelta::hours(6),
        min_window: TimeDelta::minutes(1),
        lag: TimeDelta::minutes(2),
        settle: vec![],
    }
}

/// Retries without noticeable waits.
pub(super) fn hasty() -> Limits {
    Limits {
        first_backoff: Duration::from_millis(2),
        longest_backoff: Duration::from_millis(20),
        drain: Duration::from_millis(500),
        ..Limits::default()
    }
}

pub(super) struct Rig {
    pub(super) sim: sim::genesys::Genesys,
    pub(super) job: Job,
}

impl Rig {
    pub(super) async fn new(
        spec: &DatasetSpec,
        settings: GenesysSettings,
        options: Options,
    ) -> Self {
        Self::with(spec, settings, options, policy()).await
    }

    pub(super) async fn with(
        spec: &DatasetSpec,
        settings: GenesysSettings,
        options: Options,
        policy: Policy,
    ) -> Self {
        let secret = settings.client_secret.clone();
        let sim = sim::genesys::start(settings, Dataset::generate(spec))
            .await
            .unwrap();
        let lake = Lake::at("memory://", &BTreeMap::new()).unwrap();
        let partition_by = vec![PartitionColumn::Provider, PartitionColumn::EventDate];
        let names: Vec<String> = partition_by.iter().map(|c| c.as_str().to_owned()).collect();
        lake.prepare(&names).await.unwrap();
        let client = client(&sim, &secret, (1_000_000, Duration::from_secs(1)));
        let job = Job {
            name: JOB.to_owned(),
            connection: "genesys-prod".to_owned(),
            provider: "genesys_cloud",
            account_id: "acme".to_owned(),
            policy,
            source: Source {
                adapter: Arc::new(Genesys { options }),
                client,
            },
            lake,
            partition_by,
            target_file_size: 64 << 20,
        };
        Self { sim, job }
    }

    pub(super) fn set_options(&mut self, options: Options) {
        self.job.source.adapter = Arc::new(Genesys { options });
    }

    /// Both clocks at `now`, and all that is due.
    pub(super) async fn run(&self, now: Timestamp) -> Report {
        self.lane(Lane::Due, now, &CancellationToken::new()).await
    }

    pub(super) async fn lane(
        &self,
        lane: Lane,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Report {
        self.sim.set_now(now);
        let conduct = Conduct {
            clock: Clock::AsOf(now),
            ..Conduct::new(stop.clone())
        };
        match pipeline::run(&self.job, lane, &conduct).await.unwrap() {
            Outcome::Ran(report) => report,
            Outcome::Held(claim) => panic!("nobody else runs this job: {claim:?}"),
        }
    }

    /// A run in which nothing fails and nothing is left.
    pub(super) async fn tick(&self, now: Timestamp) -> Report {
        let report = self.run(now).await;
        assert_eq!(failures(&report), "");
        assert!(!report.unfinished);
        report
    }

    pub(super) async fn backfill(&self, range: Range, refetch: bool, now: Timestamp) -> Report {
        let turn = TimeDelta::hours(1);
        let lane = Lane::Backfill {
            range,
            refetch,
            turn,
        };
        self.lane(lane, now, &CancellationToken::new()).await
    }

    pub(super) async fn newest(&self) -> Commit {
        lake::newest(&self.job.lake, JOB).await.unwrap().unwrap()
    }

    /// Every row that a glob shows, by time and id.
    pub(super) async fn rows(&self) -> Vec<Row> {
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
                rows.extend(Row::of(&batch.unwrap()));
            }
        }
        rows.sort();
        rows
    }

    /// Every line of quarantine.
    pub(super) async fn quarantine(&self) -> Vec<Value> {
        let store = &self.job.lake.store;
        let folder = self.job.lake.layout.job(JOB).quarantine();
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

    /// The lake holds exactly what the provider shows at `seen_at` of `[from, to)`, byte for byte, and nothing twice.
    pub(super) async fn assert_exact(&self, from: Timestamp, to: Timestamp, seen_at: Timestamp) {
        self.assert_exact_for(None, from, to, seen_at).await;
    }

    pub(super) async fn assert_exact_for(
        &self,
        service: Option<&str>,
        from: Timestamp,
        to: Timestamp,
        seen_at: Timestamp,
    ) {
        let rows = self.rows().await;
        self.compare(rows, service, from, to, seen_at);
    }

    /// The same, rows aside whose record has no id.
    pub(super) async fn assert_exact_but_for_nameless(
        &self,
        from: Timestamp,
        to: Timestamp,
        seen_at: Timestamp,
    ) {
        let mut rows = self.rows().await;
        rows.retain(|row| {
            let raw: Value = serde_json::from_str(&row.raw).unwrap();
            raw["id"].is_string()
        });
        self.compare(rows, None, from, to, seen_at);
    }

    fn compare(
        &self,
        rows: Vec<Row>,
        service: Option<&str>,
        from: Timestamp,
        to: Timestamp,
        seen_at: Timestamp,
    ) {
        let mut truth: Vec<(i64, String, String)> = self
            .sim
            .dataset()
            .truth(from, to, service, seen_at)
            .into_iter()
            .map(|truth| (truth.event_time_micros, truth.id, truth.raw.to_owned()))
            .collect();
        truth.sort();
        assert!(!truth.is_empty());
        let rows: Vec<_> = rows.into_iter().map(Row::into_key).collect();
        let missing: Vec<_> = truth
            .iter()
            .filter(|key| rows.binary_search(key).is_err())
            .take(3)
            .collect();
        let extra: Vec<_> = rows
            .iter()
            .filter(|key| truth.binary_search(key).is_err())
            .take(3)
            .collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "missing {missing:?}, extra {extra:?}"
        );
        assert_eq!(rows.len(), truth.len(), "a row is there twice");
    }
}

pub(super) fn client(sim: &sim::genesys::Genesys, secret: &str, rate: (u32, Duration)) -> Client {
    let url = |text: String| text.parse().unwrap();
    Client::new(Settings {
        connection: "genesys-prod".to_owned(),
        provider: "genesys_cloud",
        endpoint: Endpoint::new(
            url(sim.base_url()),
            SignIn::ClientCredentials {
                token_url: Place::At(url(format!("{}/oauth/token", sim.login_url()))),
                client_id: Secret::text("sim-client"),
                client_secret: Secret::text(secret),
                sent: SentIn::Header,
            },
            vec!["127.0.0.1".to_owned()],
        ),
        rate_limit: rate,
        replicas: NonZeroU32::MIN,
        proxy: None,
        ca_file: None,
        allow_http: true,
        limits: hasty(),
    })
    .unwrap()
}

/// Each failure as `stream range kind: message`, with its causes, but for what differs from run to run.
pub(super) fn failures(report: &Report) -> String {
    let mut text = String::new();
    for failure in &report.failures {
        let mut chain = failure.error.to_string();
        let mut cause = std::error::Error::source(&failure.error);
        while let Some(error) = cause {
            write!(chain, ": {error}").unwrap();
            cause = error.source();
        }
        if let Some((said, _)) = chain.split_once(", correlation id") {
            chain.truncate(said.len());
        }
        let (stream, range, kind) = (&failure.stream, failure.range, failure.error.kind());
        writeln!(text, "{stream} {range} {kind}: {chain}").unwrap();
    }
    text
}

/// What tests look at of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) time: i64,
    pub(super) id: String,
    pub(super) raw: String,
    pub(super) ingested_at: i64,
    pub(super) late_by_ms: Option<i64>,
}

impl Row {
    fn of(batch: &RecordBatch) -> Vec<Self> {
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
            })
            .collect()
    }

    fn into_key(self) -> (i64, String, String) {
        (self.time, self.id, self.raw)
    }
}

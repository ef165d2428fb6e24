//! A job with a history: late records, a stream that fails, runs that die.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use auditlake::history::RunRow;
use auditlake::lake::{self, Commit, JobLog, Lake, LogRun, RecordCounts};
use auditlake::model::Timestamp;
use auditlake::sim::avaya::{Avaya, AvayaSettings, Dataset, DatasetSpec};
use auditlake::sim::{Clock, Fault, avaya};
use chrono::{NaiveDate, TimeDelta};
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::support::rig;
pub(super) use crate::support::rig::{at, range};

pub(super) type Rig = rig::Rig<Avaya>;

pub(super) const JOB: &str = "audits";

/// A job over two days of two streams, whose records are seen up to six hours late.
pub(super) async fn rig() -> Rig {
    let data = Dataset::generate(&DatasetSpec {
        records: 600,
        to: at("2026-03-03"),
        types: vec!["USER".to_owned(), "QUEUE".to_owned()],
        late_share: 0.2,
        ..DatasetSpec::default()
    });
    let settings = AvayaSettings {
        clock: Clock::Fixed(at("2026-03-03T01:00:00Z")),
        ..AvayaSettings::default()
    };
    let sim = avaya::start(settings, data).await.unwrap();
    let connection = format!(
        "    base_url: {}
    account_id: ABCDEF
    app_key: sim-app-key
    client_id: sim-client
    client_secret: sim-secret",
        sim.base_url()
    );
    let job = "    schedule: '@hourly'
    start: 2026-03-01
    lag: 2m
    window: 6h
    settle: [12h]
    options: {types: [USER, QUEUE]}";
    Rig::of(sim, &rig::jobs("avaya_axp", &connection, job)).await
}

/// One of the two streams is refused from now on, until all faults are forgotten.
pub(super) fn refuse_one(rig: &Rig) {
    let refused = Fault::Status {
        status: 403,
        retry_after: None,
    };
    rig.sim.faults().always(avaya::endpoint::MATCH, refused);
}

/// A run takes the job and dies with it.
pub(super) async fn die(rig: &Rig) {
    let run = LogRun::new(JOB, TimeDelta::zero()); // nobody has to wait for its claim
    JobLog::claim(&rig.job.lake, run).await.unwrap();
}

/// Every commit of the job's log.
pub(super) async fn log(lake: &Lake) -> Vec<Commit> {
    let mut commits = Vec::new();
    for version in lake::versions(lake, JOB, 0).await.unwrap() {
        commits.push(
            lake::commit(lake, JOB, version.number)
                .await
                .unwrap()
                .unwrap(),
        );
    }
    commits
}

/// Changes what a commit says, as it lies in the lake.
pub(super) async fn rewrite(lake: &Lake, version: u64, change: impl FnOnce(&mut Value)) {
    let key = lake.layout.job(JOB).commit(version);
    let bytes = lake.store.get(&key).await.unwrap().bytes().await.unwrap();
    let mut commit: Value = serde_json::from_slice(&bytes).unwrap();
    change(&mut commit);
    let text = commit.to_string();
    lake.store.put(&key, text.into()).await.unwrap();
}

/// Makes all commits so far so much older.
pub(super) async fn age(lake: &Lake, by: TimeDelta) {
    for commit in log(lake).await {
        rewrite(lake, commit.version, |text| {
            text["at"] = serde_json::to_value(commit.at - by).unwrap();
            if let Some(claim) = &commit.claim {
                text["claim"]["expires_at"] = serde_json::to_value(claim.expires_at - by).unwrap();
            }
            if let Some(ended) = &commit.ended {
                text["ended"]["started_at"] = serde_json::to_value(ended.started_at - by).unwrap();
            }
        })
        .await;
    }
}

/// The keys below a folder.
pub(super) async fn keys(lake: &Lake, folder: &Path) -> Vec<Path> {
    let listing = lake.store.list(Some(folder));
    let keys: Vec<_> = listing.try_collect().await.unwrap();
    keys.into_iter().map(|object| object.location).collect()
}

/// The table's files by day, as bytes.
pub(super) async fn files(lake: &Lake) -> BTreeMap<NaiveDate, bytes::Bytes> {
    let mut files = BTreeMap::new();
    for key in keys(lake, &lake.layout.runs_table()).await {
        let day = lake.layout.date_of_runs(&key);
        let bytes = lake.store.get(&key).await.unwrap().bytes().await.unwrap();
        files.insert(day.unwrap(), bytes);
    }
    files
}

/// The batches of a file, read by nothing of ours.
pub(super) fn batches(file: &bytes::Bytes) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

/// The cells of all files.
pub(super) async fn cells(lake: &Lake) -> Vec<BTreeMap<String, Value>> {
    let files = files(lake).await;
    let batches = files.values().flat_map(batches);
    batches.flat_map(|batch| rig::cells(&batch)).collect()
}

/// What is of interest of the table, or of rows: what runs did, summed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) new: u64,
    pub(super) late: u64,
    pub(super) calls: u64,
    pub(super) retries: u64,
    /// New rows by event date.
    pub(super) days: BTreeMap<String, u64>,
    pub(super) delays: BTreeMap<Option<u64>, u64>,
}

impl Sums {
    pub(super) fn of_cells(cells: &[BTreeMap<String, Value>]) -> Self {
        let mut sums = Self::default();
        for row in cells {
            let count = |name: &str| row[name].as_u64().unwrap();
            sums.new += count("new");
            sums.late += count("late");
            sums.calls += count("calls");
            sums.retries += count("retries");
            for day in row["rows_by_day"].as_array().unwrap() {
                let date = day["event_date"].as_str().unwrap().to_owned();
                *sums.days.entry(date).or_default() += day["records"].as_u64().unwrap();
            }
            for delay in row["rows_by_delay"].as_array().unwrap() {
                let within = delay["within_s"].as_u64();
                *sums.delays.entry(within).or_default() += delay["records"].as_u64().unwrap();
            }
        }
        sums
    }

    pub(super) fn of_rows(rows: &[RunRow]) -> Self {
        let mut sums = Self::default();
        for row in rows {
            let RecordCounts { new, late, .. } = row.counts;
            sums.new += new;
            sums.late += late;
            sums.calls += row.calls;
            sums.retries += row.retries;
            for (day, rows) in &row.days {
                *sums.days.entry(day.to_string()).or_default() += rows;
            }
            for (delay, rows) in &row.delays {
                let within = (*delay != u64::MAX).then_some(*delay);
                *sums.delays.entry(within).or_default() += rows;
            }
        }
        sums
    }

    /// What the lake's own rows, and the provider's counters, say of it.
    pub(super) async fn of_lake(rig: &Rig) -> Self {
        let mut sums = Self::default();
        for row in rig.rows().await {
            sums.new += 1;
            let at = Timestamp::from_timestamp_micros(row.time).unwrap();
            *sums.days.entry(at.date_naive().to_string()).or_default() += 1;
            if let Some(late) = row.late_by_ms {
                sums.late += 1;
                let late = late.unsigned_abs();
                let within = [60, 300, 900, 3_600, 21_600, 86_400, 259_200, 604_800];
                let within = within.into_iter().find(|within| late <= within * 1_000);
                *sums.delays.entry(within).or_default() += 1;
            }
        }
        sums.calls = rig.sim.counters().total_calls();
        sums.retries = rig.job.source.client.requests().retries;
        sums
    }
}

/// Two days of a job: ticks, a stream that fails, a run that dies, late records found, a backfill.
pub(super) async fn live(rig: &Rig) {
    rig.tick(at("2026-03-01T12:00:00Z")).await;
    refuse_one(rig);
    let report = rig.run(at("2026-03-02T06:00:00Z")).await;
    assert_eq!(report.failures.len(), 1, "{report:?}");
    rig.sim.faults().clear();
    die(rig).await;
    let unavailable = Fault::Status {
        status: 503,
        retry_after: None,
    };
    rig.sim.faults().next_any(2, unavailable);
    rig.tick(at("2026-03-02T18:00:00Z")).await;
    rig.tick(at("2026-03-03T12:00:00Z")).await; // settles what came late
    let report = rig
        .backfill(range("2026-03-01", "2026-03-02"), true, at("2026-03-04"))
        .await;
    assert!(report.failures.is_empty());
}

//! A job, wired to a simulator and to a lake in memory.

use auditlake::lake::{Commit, RecordCounts};
use auditlake::sim;
use auditlake::sim::everyware::{Dataset, DatasetSpec, Everyware, EverywareSettings};
use chrono::DateTime;
use futures_util::TryStreamExt;
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use crate::support::rig::{self, at};

pub(super) type Rig = rig::Rig<Everyware>;

/// Three days, some of it late by hours.
pub(super) fn three_days() -> DatasetSpec {
    DatasetSpec {
        records: 900,
        from: at("2026-03-01"),
        to: at("2026-03-04"),
        late_share: 0.1,
        ..DatasetSpec::default()
    }
}

/// A provider whose clock stands where a test puts it.
pub(super) fn settings() -> EverywareSettings {
    EverywareSettings {
        clock: sim::Clock::Fixed(at("2026-03-01")),
        pieces: vec![1_000, 1, 37, 4_096],
        ..EverywareSettings::default()
    }
}

impl Rig {
    /// A job from 2026-03-01 on unless its keys say otherwise, with these keys in addition to the required ones.
    pub(super) async fn new(spec: &DatasetSpec, settings: EverywareSettings, job: &str) -> Self {
        Self::of_account(spec, settings, "account_id: acme", job).await
    }

    /// The same, with a key of the connection in addition to the required ones.
    pub(super) async fn of_account(
        spec: &DatasetSpec,
        settings: EverywareSettings,
        connection: &str,
        job: &str,
    ) -> Self {
        let job = if job.contains("start:") {
            job.to_owned()
        } else {
            format!("start: 2026-03-01\n    {job}")
        };
        let sim = sim::everyware::start(settings, Dataset::generate(spec))
            .await
            .unwrap();
        let base_url = sim.base_url();
        let yaml = format!(
            "\
lake: {{url: memory://}}
connections:
  edc:
    provider: everyware_cloud
    base_url: {base_url}
    allow_http: true
    username: sim-user
    password: sim-secret
    rate_limit: 100000/s
    {connection}
jobs:
  - name: everyware-audits
    connection: edc
    schedule: '@hourly'
    {job}
"
        );
        Self::of(sim, &yaml).await
    }

    /// The lake holds what the provider shows now of the user's own account, each record once and byte for byte.
    pub(super) async fn assert_exact(&self) {
        self.assert_exact_for(self.sim.dataset().accounts()[0])
            .await;
    }

    pub(super) async fn assert_exact_for(&self, account: &str) {
        let (from, to) = (
            DateTime::<chrono::Utc>::MIN_UTC,
            DateTime::<chrono::Utc>::MAX_UTC,
        );
        let truth = self
            .sim
            .dataset()
            .truth_of(account, from, to, self.sim.now());
        assert!(!truth.is_empty());
        let truth = truth
            .into_iter()
            .map(|truth| (truth.event_time_micros, truth.raw.to_owned()));
        self.assert_holds(truth).await;
    }

    /// The whole log, oldest first.
    pub(super) async fn log(&self) -> Vec<Commit> {
        let store = &self.job.lake.store;
        let folder = self.job.lake.layout.job(&self.job.name).commits();
        let mut files: Vec<_> = store.list(Some(&folder)).try_collect().await.unwrap();
        files.sort_by(|a, b| a.location.cmp(&b.location));
        let mut log = Vec::new();
        for file in files {
            let bytes = store
                .get(&file.location)
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            // the hint next to the log isn't a commit
            log.extend(serde_json::from_slice(&bytes).ok());
        }
        log
    }

    /// What the log remarks, each once.
    pub(super) async fn remarks(&self) -> Vec<String> {
        let log = self.log().await;
        let mut remarks: Vec<String> = log
            .into_iter()
            .flat_map(|commit| commit.pulled)
            .flat_map(|pulled| pulled.remarks)
            .collect();
        remarks.sort();
        remarks.dedup();
        remarks
    }

    /// What became of all records that were ever received.
    pub(super) async fn counts(&self) -> RecordCounts {
        let mut counts = RecordCounts::default();
        for pulled in self
            .log()
            .await
            .into_iter()
            .flat_map(|commit| commit.pulled)
        {
            counts += pulled.counts;
        }
        counts
    }
}

//! What the tests of Genesys Cloud share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use auditlake::client::{Client, ClientSettings};
use auditlake::model::Timestamp;
use auditlake::providers::genesys::{Genesys, GenesysOptions, Mode};
use auditlake::providers::{Endpoint, SentIn, ServiceHost, SignIn};
use auditlake::run::feed::Feed;
use auditlake::run::plan::Policy;
use auditlake::run::{Job, MemoryBudget, Neighbours, RunCache};
use auditlake::secret::Secret;
use auditlake::sim;
use auditlake::sim::genesys::{Dataset, DatasetSpec, GenesysSettings};
use chrono::TimeDelta;
use serde_json::Value;

pub(super) use crate::support::rig::{Row, at, cells, failures, hasty, lake_in_memory, range};

pub(super) const JOB: &str = "genesys-audits";
/// The most used service, which the realtime query knows, and one that it doesn't know.
pub(super) const FIRST: &str = "PeoplePermissions";
pub(super) const ASYNC_ONLY: &str = "Routing";

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

pub(super) fn options(mode: Mode, services: &[&str]) -> GenesysOptions {
    GenesysOptions {
        mode,
        services: services.iter().map(|&name| name.to_owned()).collect(),
        ..GenesysOptions::default()
    }
}

pub(super) fn policy() -> Policy {
    Policy {
        start: at("2026-03-01"),
        window: TimeDelta::hours(6),
        min_window: TimeDelta::minutes(1),
        lag: TimeDelta::minutes(2),
        settle: vec![],
        grain: TimeDelta::zero(),
    }
}

pub(super) type Rig = crate::support::rig::Rig<sim::genesys::Genesys>;

impl Rig {
    pub(super) async fn new(
        spec: &DatasetSpec,
        settings: GenesysSettings,
        options: GenesysOptions,
    ) -> Self {
        Self::with(spec, settings, options, policy()).await
    }

    pub(super) async fn with(
        spec: &DatasetSpec,
        settings: GenesysSettings,
        options: GenesysOptions,
        policy: Policy,
    ) -> Self {
        let secret = settings.client_secret.clone();
        let sim = sim::genesys::start(settings, Dataset::generate(spec))
            .await
            .unwrap();
        let (lake, partition_by) = lake_in_memory().await;
        let client = client(&sim, &secret, (1_000_000, Duration::from_secs(1)));
        let job = Job {
            name: JOB.to_owned(),
            log: JOB.to_owned(),
            connection: "genesys-prod".to_owned(),
            provider: "genesys_cloud",
            account_id: "acme".to_owned(),
            policy,
            source: Feed::new(Arc::new(Genesys::new(options)), client),
            lake,
            partition_by,
            target_file_size: 64 << 20,
            memory: RunCache::default(),
            budget: MemoryBudget::default(),
            neighbours: Neighbours::default(),
            metrics: auditlake::metrics::JobMetrics::default(),
        };
        Self { sim, job }
    }

    pub(super) fn set_options(&mut self, options: GenesysOptions) {
        self.job.source = Feed::new(
            Arc::new(Genesys::new(options)),
            self.job.source.client.clone(),
        );
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
        let truth = self.sim.dataset().truth(from, to, seen_at);
        let mut truth: Vec<(i64, String, String)> = (truth.into_iter())
            .filter(|truth| service.is_none_or(|wanted| wanted == truth.log))
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
    Client::new(ClientSettings {
        connection: "genesys-prod".to_owned(),
        provider: "genesys_cloud",
        endpoint: Endpoint::new(
            url(sim.base_url()),
            SignIn::ClientCredentials {
                token_url: ServiceHost::At(url(format!("{}/oauth/token", sim.login_url()))),
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
        metrics: auditlake::metrics::ConnectionMetrics::default(),
        limits: hasty(),
    })
    .unwrap()
}

/// Makes it a job of its own, of another account as far as the lake can tell.
pub(crate) fn rename(job: &mut Job, name: &str) {
    for field in [
        &mut job.name,
        &mut job.log,
        &mut job.connection,
        &mut job.account_id,
    ] {
        name.clone_into(field);
    }
}

//! What the tests of AXP share.

use std::fmt::Write as _;
use std::sync::Arc;

use auditlake::config::{Config, ConnectionConfig};
use auditlake::model::Timestamp;
use auditlake::providers::avaya::{Avaya, AvayaOptions};
use auditlake::providers::{
    Adapter as _, Answer, Call, Cursor, Page, PageRequest, Refusal, Stream, Target,
};
use auditlake::sim;
use auditlake::sim::avaya::{AvayaSettings, Dataset, DatasetSpec};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

pub(super) use crate::support::rig::{Simulator, at, cells, failures, range};

pub(super) type Rig = crate::support::rig::Rig<sim::avaya::Avaya>;

pub(super) fn fixture(name: &str) -> String {
    let path = format!(
        "{}/tests/fixtures/avaya_axp/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(path).unwrap()
}

pub(super) fn ask(stream: &str) -> PageRequest {
    PageRequest::new(
        Stream::new(stream),
        range("2026-03-01", "2026-03-02"),
        at("2026-03-03T00:10:00Z"),
    )
}

pub(super) fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: body.into(),
    }
}

pub(super) fn sample(status: u16, name: &str) -> Answer {
    answer(status, fixture(name))
}

/// The position of a page, with the number of records on the pages before it.
pub(super) fn place(page: u32, received: u64) -> Cursor {
    Cursor(format!(
        r#"{{"page":{page},"size":50,"received":{received}}}"#
    ))
}

/// A call on a line, and its body on the next.
pub(super) fn shown(call: &Call) -> String {
    let Target::Api { path, query } = &call.target else {
        panic!("{call:?}");
    };
    let mut text = format!("{} {path}", call.method);
    for (name, value) in query {
        write!(text, " {name}={value}").unwrap();
    }
    write!(text, "\n{}", call.body.as_deref().unwrap()).unwrap();
    text
}

pub(super) fn body(call: &Call) -> Value {
    serde_json::from_str(call.body.as_deref().unwrap()).unwrap()
}

/// The call for a page of the stream `user/PROFILE`.
pub(super) fn call(cursor: Option<&Cursor>) -> Call {
    let adapter = Avaya::default();
    adapter.call(&ask("user/PROFILE"), cursor).unwrap()
}

/// What a page says besides its records.
pub(super) fn outline(page: &Result<Page, Refusal>) -> String {
    let page = match page {
        Ok(page) => page,
        Err(refusal) => return format!("{}: {refusal}", refusal.kind()),
    };
    assert!(!page.resumable, "no cursor outlives its run");
    let mut text = format!("{} records", page.records.len());
    if let Some(total) = page.total {
        write!(text, " of {total}").unwrap();
    }
    match &page.next {
        Some(next) => write!(text, ", next {}", next.0).unwrap(),
        None => text.push_str(", end"),
    }
    text
}

/// Two days of users and queues, seen soon, no date shared by many.
pub(super) fn two_days() -> DatasetSpec {
    DatasetSpec {
        records: 600,
        to: at("2026-03-03"),
        types: vec!["USER".to_owned(), "QUEUE".to_owned()],
        late_share: 0.0,
        ..DatasetSpec::default()
    }
}

/// A clock that stands where a test puts it.
pub(super) fn settings() -> AvayaSettings {
    AvayaSettings {
        clock: sim::Clock::Fixed(at("2026-03-03T01:00:00Z")),
        ..AvayaSettings::default()
    }
}

/// A configuration with one job over the API at `base_url`; `job` are more of its keys.
pub(super) fn yaml(base_url: &str, job: &str) -> String {
    let window = if job.contains("window:") {
        ""
    } else {
        "window: 6h"
    };
    format!(
        "lake: {{url: memory://}}
connections:
  avaya-prod:
    provider: avaya_axp
    base_url: {base_url}
    account_id: ABCDEF
    app_key: sim-app-key
    client_id: sim-client
    client_secret: sim-secret
    allow_http: true
    rate_limit: 1000000/s
jobs:
  - name: avaya-audits
    connection: avaya-prod
    schedule: '@hourly'
    start: 2026-03-01
    lag: 2m
    {window}
    {job}
"
    )
}

pub(super) async fn rig(spec: &DatasetSpec, settings: AvayaSettings, job: &str) -> Rig {
    let sim = sim::avaya::start(settings, Dataset::generate(spec))
        .await
        .unwrap();
    let yaml = yaml(&sim.base_url(), job);
    Rig::of(sim, &yaml).await
}

/// No settle passes, and the two types that [`two_days`] has.
pub(super) const SETTLED: &str = "settle: []\n    options: {types: [USER, QUEUE]}";

impl Rig {
    /// The lake holds what the provider shows at `seen_at` of `[from, to)`, each record as often as it is there.
    pub(super) async fn assert_exact(&self, from: Timestamp, to: Timestamp, seen_at: Timestamp) {
        let truth = self.sim.dataset().truth(from, to, seen_at);
        assert!(!truth.is_empty());
        let truth = truth
            .into_iter()
            .map(|truth| (truth.event_time_micros, truth.raw.to_owned()));
        self.assert_holds(truth).await;
    }

    /// Both days are due and pulled.
    pub(super) async fn pull_two_days(&self) {
        self.tick(at("2026-03-03T01:00:00Z")).await;
        let seen_at = at("2026-03-03T01:00:00Z");
        self.assert_exact(at("2026-03-01"), at("2026-03-03"), seen_at)
            .await;
    }
}

/// The only connection of a configuration.
pub(super) fn connection(yaml: &str) -> ConnectionConfig {
    let config = Config::parse("jobs.yaml", yaml, &|_| None).unwrap();
    config.connections.into_values().next().unwrap()
}

pub(super) fn with_options(options: AvayaOptions) -> Arc<Avaya> {
    Arc::new(Avaya { options })
}

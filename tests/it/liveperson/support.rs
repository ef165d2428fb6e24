//! What the tests of LivePerson share.

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

use auditlake::config::Config;
use auditlake::providers::liveperson::{FIELDS, LivePerson, LivePersonOptions};
use auditlake::providers::{
    Adapter, Answer, Call, Cursor, Learned, Page, PageRequest, Refusal, Stream, Target,
};
use auditlake::sim;
use auditlake::sim::liveperson::{Dataset, DatasetSpec, LivePersonSettings};
use bytes::Bytes;
use chrono_tz::Tz;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

pub(super) use crate::support::rig::{at, cells, failures, range};

pub(super) const JOB: &str = "liveperson-audits";
pub(super) const ACCOUNT: &str = "le12345678";

pub(super) fn fixture(name: &str) -> String {
    let path = format!(
        "{}/tests/fixtures/liveperson/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(path).unwrap()
}

pub(super) fn adapter() -> Taught {
    Taught::new(LivePersonOptions::default())
}

/// An adapter, and what its answers have taught it: as the feed of a job has them.
#[derive(Debug)]
pub(super) struct Taught {
    adapter: LivePerson,
    learned: RefCell<Learned>,
}

impl Taught {
    pub(super) fn new(options: LivePersonOptions) -> Self {
        Self {
            adapter: LivePerson::new(options),
            learned: RefCell::default(),
        }
    }

    pub(super) fn call(&self, ask: &PageRequest, at: Option<&Cursor>) -> Result<Call, Refusal> {
        self.adapter.call(&self.knowing(ask), at)
    }

    pub(super) fn page(
        &self,
        ask: &PageRequest,
        at: Option<&Cursor>,
        answer: Answer,
    ) -> Result<Page, Refusal> {
        let page = self.adapter.page(&self.knowing(ask), at, answer)?;
        self.learned.borrow_mut().update(page.learned.clone());
        Ok(page)
    }

    fn knowing(&self, ask: &PageRequest) -> PageRequest {
        PageRequest {
            learned: self.learned.borrow().clone(),
            ..ask.clone()
        }
    }
}

impl Deref for Taught {
    type Target = LivePerson;

    fn deref(&self) -> &LivePerson {
        &self.adapter
    }
}

/// The first of March, read for the `reading`th time.
pub(super) fn ask(reading: u32) -> PageRequest {
    let day = range("2026-03-01", "2026-03-02");
    PageRequest {
        reading,
        ..PageRequest::new(Stream::new("audit"), day, at("2026-03-03"))
    }
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

/// A page of this number of rows.
pub(super) fn rows(count: usize) -> Answer {
    let row =
        |number: usize| format!(r#"{{"element":"{number}","changeDate":"2026-03-01 13:05:46.0"}}"#);
    let rows: Vec<String> = (0..count).map(row).collect();
    answer(
        200,
        format!(r#"{{"data":{{"auditData":[{}]}}}}"#, rows.join(",")),
    )
}

/// The GraphQL text of a call.
pub(super) fn query_of(call: &Call) -> String {
    let Target::Api { path, query } = &call.target else {
        panic!("a call to the API");
    };
    assert_eq!(path, "/api/account/{account}/configuration/metadata/audit");
    assert_eq!((call.method.as_str(), query.len()), ("POST", 0));
    let body: Value = serde_json::from_str(call.body.as_deref().unwrap()).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    body["query"].as_str().unwrap().to_owned()
}

/// The text of the call with which the read of a range continues.
pub(super) fn query(adapter: &Taught, ask: &PageRequest, cursor: Option<&Cursor>) -> String {
    query_of(&adapter.call(ask, cursor).unwrap())
}

/// What a page says besides its records.
pub(super) fn outline(page: &Result<Page, Refusal>) -> String {
    match page {
        Ok(page) => {
            let mut text = format!("{} records", page.records.len());
            if let Some(total) = page.total {
                text = format!("{text} of {total}");
            }
            if let Some(remark) = &page.remark {
                text = format!("{text} ({remark})");
            }
            match &page.next {
                Some(next) => format!("{text}, next {}", next.0),
                None => format!("{text}, end"),
            }
        }
        Err(refusal) => format!("{}: {refusal}", refusal.kind()),
    }
}

pub(super) type Rig = crate::support::rig::Rig<sim::liveperson::LivePerson>;

/// Three days; some rows arrive up to a day late.
pub(super) fn three_days() -> DatasetSpec {
    DatasetSpec {
        records: 900,
        from: at("2026-03-01"),
        to: at("2026-03-04"),
        late_share: 0.1,
        latest: std::time::Duration::from_hours(24),
        ..DatasetSpec::default()
    }
}

/// A file with one job that pulls the simulator; the connection's credentials, and the job's options.
pub(super) fn yaml(domain_url: &str, credentials: &str, options: &str) -> String {
    format!(
        "\
lake: {{url: memory://}}
connections:
  cloud:
    provider: liveperson
    account_id: {ACCOUNT}
    domain_url: {domain_url}
    allow_http: true
    rate_limit: 1000000/s
    {credentials}
jobs:
  - name: {JOB}
    connection: cloud
    schedule: '@hourly'
    start: 2026-03-01
    lag: 2m
    settle: [1h, 24h]
    options: {{{options}}}
"
    )
}

pub(super) const APP: &str = "client_id: sim-client\n    client_secret: sim-secret";
pub(super) const USER: &str = "auth: login\n    username: svc-audit\n    password: sim-password";

impl Rig {
    pub(super) async fn new(spec: &DatasetSpec, settings: LivePersonSettings) -> Self {
        Self::with(spec, settings, APP, "").await
    }

    pub(super) async fn with(
        spec: &DatasetSpec,
        settings: LivePersonSettings,
        credentials: &str,
        options: &str,
    ) -> Self {
        let dataset = Arc::new(Dataset::generate(spec));
        let sim = sim::liveperson::start(settings, dataset).await.unwrap();
        let text = yaml(&sim.domain_url(), credentials, options);
        Self::of(sim, &text).await
    }

    /// What the provider shows now of `[from, to)`, by time and bytes.
    pub(super) fn truth(&self, from: &str, to: &str, zone: Tz) -> Vec<(i64, String)> {
        let dataset = self.sim.dataset();
        let truth = dataset.truth(at(from), at(to), self.sim.now(), &FIELDS, zone);
        assert!(!truth.is_empty());
        let key = |row: sim::liveperson::Truth<'_>| (row.event_time_micros, row.raw);
        truth.into_iter().map(key).collect()
    }

    /// Pulls at an interval in hours until everything has arrived and settled; the lake then holds the truth.
    pub(super) async fn pull_three_days(&self, hours: i64) {
        let mut now = at("2026-03-01");
        while now < at("2026-03-06") {
            now += chrono::TimeDelta::hours(hours);
            self.tick(now).await;
        }
        let truth = self.truth("2026-03-01", "2026-03-04", Tz::UTC);
        assert_eq!(truth.len(), 900);
        self.assert_holds(truth).await;
    }
}

/// What the only connection of a file came to.
pub(super) fn connection(text: &str) -> auditlake::config::ConnectionConfig {
    let config = Config::parse("jobs.yaml", text, &|_| None);
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    config.connections.into_values().next().unwrap()
}

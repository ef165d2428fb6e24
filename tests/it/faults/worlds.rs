//! The four providers by one measure: a job on each, and how a run of it ended.

use std::sync::Arc;
use std::time::Duration;

use auditlake::client::{Client, ClientLimits, ClientSettings};
use auditlake::clock::Clock;
use auditlake::config::Config;
use auditlake::model::{FailureKind, Range, Timestamp};
use auditlake::run::{self, RunMode, RunOptions, RunOutcome, RunReport};
use auditlake::setup;
use auditlake::sim::{
    self, Asked, Counters, Fault, Faults, avaya as axp, everyware as edc, genesys as cloud,
    liveperson as lp,
};
use auditlake::telemetry;
use chrono::TimeDelta;
use chrono_tz::Tz;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::rig::{Rig, Simulator, at, hasty};

/// A day, and the moment from which on all of it is due, in one window.
pub(super) const FROM: &str = "2026-03-01";
pub(super) const TO: &str = "2026-03-02";
pub(super) const NOW: &str = "2026-03-02T00:02:00Z";

/// One provider.
pub(super) trait World: Simulator + Sized {
    /// As in jobs.yaml.
    const NAME: &str;
    /// The call whose answers hold the records that [`World::job`] pulls.
    const DATA: &str;
    /// The call that says which range is wanted.
    const ASKS: &str;
    /// The sign-in, where there is one.
    const SIGN_IN: Option<&str>;

    /// One that holds so many records of the day, all to be seen soon.
    async fn start(records: usize) -> Self;
    /// The connection's keys.
    fn connection(&self) -> String;
    /// The job's options.
    fn options() -> &'static str;
    fn faults(&self) -> &Faults;
    fn counters(&self) -> &Counters;
    /// What it shows of the day, by time and bytes.
    fn truth(&self) -> Vec<(i64, String)>;
    /// The bounds that a call asks for, whole days as instants in UTC; nothing if it names none.
    fn asked(asked: Asked<'_>) -> Option<Range>;
    /// The body of a refusal.
    fn refusal(said: &str) -> String;
    /// The body of a first page with these records, each JSON; nothing if another page was asked for.
    fn page(asked: Asked<'_>, records: &[String]) -> Option<String>;
    /// A record with this id and this time, each JSON, and these members (`,"a":1`); with no time if that is empty.
    fn record(id: &str, time: &str, more: &str) -> String;
}

fn says(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

fn member(name: &str, value: &str) -> String {
    if value.is_empty() {
        return String::new();
    }
    format!(r#""{name}":{value},"#)
}

/// A clock that stands where a test puts it.
fn clock() -> sim::Clock {
    sim::Clock::Fixed(at(FROM))
}

const EVER: Duration = Duration::from_hours(24 * 365);

impl World for cloud::Genesys {
    const NAME: &str = "genesys_cloud";
    const DATA: &str = cloud::endpoint::RESULTS;
    const ASKS: &str = cloud::endpoint::SUBMIT;
    const SIGN_IN: Option<&str> = Some(cloud::endpoint::TOKEN);

    async fn start(records: usize) -> Self {
        let data = cloud::Dataset::generate(&cloud::DatasetSpec {
            records,
            from: at(FROM),
            to: at(TO),
            services: vec!["PeoplePermissions".to_owned()],
            quiet_services: vec![],
            late_share: 0.0,
            ..cloud::DatasetSpec::default()
        });
        let settings = cloud::GenesysSettings {
            clock: clock(),
            running_polls: 0,
            token_lifetime: EVER,
            ..cloud::GenesysSettings::default()
        };
        cloud::start(settings, data).await.unwrap()
    }
    fn connection(&self) -> String {
        format!(
            "base_url: {}\n    login_url: {}\n    client_id: sim-client\n    client_secret: sim-secret",
            self.base_url(),
            self.login_url()
        )
    }
    fn options() -> &'static str {
        "mode: async, services: [PeoplePermissions]"
    }
    fn faults(&self) -> &Faults {
        self.faults()
    }
    fn counters(&self) -> &Counters {
        self.counters()
    }
    fn truth(&self) -> Vec<(i64, String)> {
        let truth = self.dataset().truth(at(FROM), at(TO), at(NOW));
        let key = |truth: &cloud::Truth<'_>| (truth.event_time_micros, truth.raw.to_owned());
        truth.iter().map(key).collect()
    }
    fn asked(asked: Asked<'_>) -> Option<Range> {
        let body: Value = serde_json::from_slice(asked.body).ok()?;
        let (from, to) = body["interval"].as_str()?.split_once('/')?;
        // a second more is asked for
        Range::new(at(from) + TimeDelta::seconds(1), at(to))
    }
    fn refusal(said: &str) -> String {
        json!({ "message": said, "code": "bad.request", "status": 400 }).to_string()
    }
    fn page(asked: Asked<'_>, records: &[String]) -> Option<String> {
        if asked.query.contains("cursor=") {
            return None;
        }
        let list = records.join(",");
        Some(format!(
            r#"{{"id":"q","pageSize":500,"entities":[{list}]}}"#
        ))
    }
    fn record(id: &str, time: &str, more: &str) -> String {
        let (id, time) = (member("id", id), member("eventDate", time));
        format!(r#"{{{id}{time}"action":"Update"{more}}}"#)
    }
}

impl World for axp::Avaya {
    const NAME: &str = "avaya_axp";
    const DATA: &str = axp::endpoint::MATCH;
    const ASKS: &str = Self::DATA;
    const SIGN_IN: Option<&str> = Some(axp::endpoint::TOKEN);

    async fn start(records: usize) -> Self {
        let data = axp::Dataset::generate(&axp::DatasetSpec {
            records,
            from: at(FROM),
            to: at(TO),
            types: vec!["QUEUE".to_owned()],
            late_share: 0.0,
            ..axp::DatasetSpec::default()
        });
        let settings = axp::AvayaSettings {
            clock: clock(),
            token_lifetime: EVER,
            ..axp::AvayaSettings::default()
        };
        axp::start(settings, data).await.unwrap()
    }
    fn connection(&self) -> String {
        format!(
            "base_url: {}\n    account_id: ABCDEF\n    app_key: sim-app-key\n    client_id: sim-client\n    client_secret: sim-secret",
            self.base_url()
        )
    }
    fn options() -> &'static str {
        "services: [match], types: [QUEUE]"
    }
    fn faults(&self) -> &Faults {
        self.faults()
    }
    fn counters(&self) -> &Counters {
        self.counters()
    }
    fn truth(&self) -> Vec<(i64, String)> {
        let truth = self.dataset().truth(at(FROM), at(TO), at(NOW));
        let key = |truth: &axp::Truth<'_>| (truth.event_time_micros, truth.raw.to_owned());
        truth.iter().map(key).collect()
    }
    fn asked(asked: Asked<'_>) -> Option<Range> {
        let body: Value = serde_json::from_slice(asked.body).ok()?;
        let (from, to) = (body["startDate"].as_str()?, body["endDate"].as_str()?);
        Range::new(at(from) + TimeDelta::seconds(1), at(to))
    }
    fn refusal(said: &str) -> String {
        json!({ "title": "Bad Request", "detail": said, "status": 400 }).to_string()
    }
    fn page(asked: Asked<'_>, records: &[String]) -> Option<String> {
        if !asked.query.contains("pageNumber=1&") {
            return None;
        }
        let (list, total) = (records.join(","), records.len());
        Some(format!(
            r#"{{"pagination":{{"pageNumber":1,"pageSize":50,"total":{total}}},"auditRecords":[{list}]}}"#
        ))
    }
    fn record(id: &str, time: &str, more: &str) -> String {
        let (id, time) = (member("author", id), member("date", time));
        format!(r#"{{{id}{time}"event":"UPDATED","type":"QUEUE"{more}}}"#)
    }
}

impl World for lp::LivePerson {
    const NAME: &str = "liveperson";
    const DATA: &str = lp::endpoint::AUDIT;
    const ASKS: &str = Self::DATA;
    const SIGN_IN: Option<&str> = Some(lp::endpoint::TOKEN);

    async fn start(records: usize) -> Self {
        let data = lp::Dataset::generate(&lp::DatasetSpec {
            records,
            from: at(FROM),
            to: at(TO),
            late_share: 0.0,
            ..lp::DatasetSpec::default()
        });
        let settings = lp::LivePersonSettings {
            clock: clock(),
            token_lifetime: EVER,
            ties: lp::Ties::ByPage,
            ..lp::LivePersonSettings::default()
        };
        lp::start(settings, Arc::new(data)).await.unwrap()
    }
    fn connection(&self) -> String {
        format!(
            "domain_url: {}\n    account_id: le12345678\n    client_id: sim-client\n    client_secret: sim-secret",
            self.domain_url()
        )
    }
    fn options() -> &'static str {
        ""
    }
    fn faults(&self) -> &Faults {
        self.faults()
    }
    fn counters(&self) -> &Counters {
        self.counters()
    }
    fn truth(&self) -> Vec<(i64, String)> {
        let fields = auditlake::providers::liveperson::FIELDS;
        let truth = self
            .dataset()
            .truth(at(FROM), at(TO), at(NOW), &fields, Tz::UTC);
        let key = |truth: lp::Truth<'_>| (truth.event_time_micros, truth.raw);
        truth.into_iter().map(key).collect()
    }
    fn asked(asked: Asked<'_>) -> Option<Range> {
        let body = String::from_utf8_lossy(asked.body).replace('\\', "");
        let day = |name: &str| {
            let (_, rest) = body.split_once(&format!("{name}:\""))?;
            Some(at(rest.get(..10)?))
        };
        Range::new(day("fromDate")?, day("toDate")? + TimeDelta::days(1))
    }
    fn refusal(said: &str) -> String {
        json!({ "error": { "message": said } }).to_string()
    }
    fn page(asked: Asked<'_>, records: &[String]) -> Option<String> {
        if !says(asked.body, "offset:0,") {
            return None;
        }
        let list = records.join(",");
        Some(format!(r#"{{"data":{{"auditData":[{list}]}}}}"#))
    }
    fn record(id: &str, time: &str, more: &str) -> String {
        let (id, time) = (member("element", id), member("changeDate", time));
        format!(r#"{{{id}{time}"objectType":"Users"{more}}}"#)
    }
}

impl World for edc::Everyware {
    const NAME: &str = "everyware_cloud";
    const DATA: &str = edc::endpoint::AUDIT;
    const ASKS: &str = Self::DATA;
    const SIGN_IN: Option<&str> = None;

    async fn start(records: usize) -> Self {
        let data = edc::Dataset::generate(&edc::DatasetSpec {
            records,
            from: at(FROM),
            to: at(TO),
            late_share: 0.0,
            ..edc::DatasetSpec::default()
        });
        let settings = edc::EverywareSettings {
            clock: clock(),
            pieces: vec![1_000, 1, 37, 4_096],
            ..edc::EverywareSettings::default()
        };
        edc::start(settings, data).await.unwrap()
    }
    fn connection(&self) -> String {
        format!(
            "base_url: {}\n    account_id: acme\n    username: sim-user\n    password: sim-secret",
            self.base_url()
        )
    }
    fn options() -> &'static str {
        ""
    }
    fn faults(&self) -> &Faults {
        self.faults()
    }
    fn counters(&self) -> &Counters {
        self.counters()
    }
    fn truth(&self) -> Vec<(i64, String)> {
        let truth = self.dataset().truth(at(FROM), at(TO), at(NOW));
        let key = |truth: &edc::Truth<'_>| (truth.event_time_micros, truth.raw.to_owned());
        truth.iter().map(key).collect()
    }
    fn asked(asked: Asked<'_>) -> Option<Range> {
        let day = |name: &str| {
            let (_, rest) = asked.query.split_once(&format!("{name}="))?;
            let day = rest.split('&').next()?.replace("%2F", "/");
            let mut parts = day.split('/');
            let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
            Some(at(&format!("{year}-{month}-{day}")))
        };
        Range::new(day("startDate")?, day("stopDate")? + TimeDelta::days(1))
    }
    fn refusal(said: &str) -> String {
        json!({ "message": said }).to_string()
    }
    fn page(_: Asked<'_>, records: &[String]) -> Option<String> {
        Some(format!(r#"{{"audit":[{}]}}"#, records.join(",")))
    }
    fn record(id: &str, time: &str, more: &str) -> String {
        let (id, time) = (member("id", id), member("occurredOn", time));
        format!(r#"{{{id}{time}"eventType":"UPDATE"{more}}}"#)
    }
}

/// A file with a job over the whole day.
pub(super) fn yaml<W: World>(sim: &W, rate: &str, job: &str) -> String {
    format!(
        "lake: {{url: memory://}}
connections:
  prod:
    provider: {}
    allow_http: true
    rate_limit: {rate}
    {}
jobs:
  - name: audits
    connection: prod
    schedule: '@hourly'
    start: {FROM}
    lag: 2m
    settle: []
    options: {{{}}}
    {job}
",
        W::NAME,
        sim.connection(),
        W::options(),
    )
}

/// A provider with so many records, and a job that asks for a whole day at once.
pub(super) async fn rig<W: World>(records: usize) -> Rig<W> {
    let sim = W::start(records).await;
    let yaml = yaml(&sim, "1000000/s", "window: 1d");
    let mut rig = Rig::of(sim, &yaml).await;
    renew(&mut rig, impatient());
    rig
}

/// Retries without noticeable waits, also where the provider is to be left alone: a longer pause is the caller's.
pub(super) fn impatient() -> ClientLimits {
    ClientLimits {
        longest_wait: Duration::from_millis(20),
        ..hasty()
    }
}

/// The job's client anew: it knows of no pause and no token.
pub(super) fn renew<W: World>(rig: &mut Rig<W>, limits: ClientLimits) {
    let yaml = yaml(&rig.sim, "1000000/s", "window: 1d");
    rig.job.source.client = client(&yaml, limits);
}

/// Every answer to a call for data is made of these records; the others, of the provider's own.
pub(super) fn feed<W: World>(sim: &W, records: Vec<String>) {
    sim.faults().clear();
    let fault = Fault::rewritten(move |asked, answer| {
        if let Some(page) = W::page(asked, &records) {
            answer.body = page.into_bytes();
        }
    });
    sim.faults().always(W::DATA, fault);
}

/// The client of a file's only connection.
pub(super) fn client(yaml: &str, limits: ClientLimits) -> Client {
    let config = Config::parse("jobs.yaml", yaml, &|_| None).unwrap();
    let connection = config.connections.values().next().unwrap();
    Client::new(ClientSettings {
        limits,
        ..setup::client_settings(connection, &config.server)
    })
    .unwrap()
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) kinds: Vec<FailureKind>,
    /// Each failure as `kind: message`, a line each, without what differs from run to run.
    pub(super) said: String,
    /// Nothing if the run failed as a whole.
    pub(super) report: Option<RunReport>,
}

/// Runs all that is due, and doesn't mind if it fails.
pub(super) async fn attempt<S: Simulator>(rig: &Rig<S>, now: Timestamp) -> Ended {
    attempted(rig, now, false).await
}

/// The same, and what failed earlier is tried again at once: as `run --once` does.
pub(super) async fn attempt_all<S: Simulator>(rig: &Rig<S>, now: Timestamp) -> Ended {
    attempted(rig, now, true).await
}

async fn attempted<S: Simulator>(rig: &Rig<S>, now: Timestamp, at_once: bool) -> Ended {
    rig.sim.set_now(now);
    let conduct = RunOptions {
        clock: Clock::AsOf(now),
        at_once,
        ..RunOptions::new(CancellationToken::new())
    };
    let (kinds, said, report) = match run::run(&rig.job, RunMode::Due, &conduct).await {
        Ok(RunOutcome::Ran(report)) => {
            let errors = || report.failures.iter().map(|failure| &failure.error);
            let said: Vec<String> = errors()
                .map(|error| format!("{}: {}", error.kind(), telemetry::error_chain(error)))
                .collect();
            (
                errors().map(run::RunError::kind).collect(),
                said.join("\n"),
                Some(report),
            )
        }
        Ok(RunOutcome::Held(claim)) => panic!("nobody else runs this job: {claim:?}"),
        Err(error) => {
            let said = format!("{}: {}", error.kind(), telemetry::error_chain(&error));
            (vec![error.kind()], said, None)
        }
    };
    Ended {
        kinds,
        said: steady(&said),
        report,
    }
}

/// Without ports, ids and times that differ from run to run.
pub(super) fn steady(text: &str) -> String {
    let mut words = Vec::new();
    for word in text.split(' ') {
        let mut word = word.to_owned();
        if let Some(at) = word.find("127.0.0.1:") {
            let from = at + "127.0.0.1:".len();
            let digits = word[from..].bytes().take_while(u8::is_ascii_digit).count();
            word.replace_range(from..from + digits, "PORT");
        }
        // a UUID: of a transaction in a path, of a context in a message
        let hex = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        let mut from = 0;
        while from < word.len() {
            let run = word.as_bytes()[from..]
                .iter()
                .take_while(|byte| hex(**byte))
                .count();
            if run == 36 {
                word.replace_range(from..from + run, "UUID");
            }
            from += run.max(1);
            while !word.is_char_boundary(from.min(word.len())) {
                from += 1;
            }
        }
        words.push(word);
    }
    for index in 1..words.len() {
        // "after 8 attempts in 0.1 s", "another 7 s"
        let is_time = words[index].starts_with('s')
            && words[index].trim_end_matches([':', ',']) == "s"
            && words[index - 1].parse::<f64>().is_ok();
        // "after 4096 bytes": how many came, the system's buffers say
        let is_size = words[index].starts_with("bytes") && words[index - 1].parse::<u64>().is_ok();
        if is_time {
            "T".clone_into(&mut words[index - 1]);
        } else if is_size {
            "N".clone_into(&mut words[index - 1]);
        }
    }
    words.join(" ")
}

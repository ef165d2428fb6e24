//! All providers by one measure: a job on each, and how a run of it ended.

use std::time::Duration;

use auditlake::client::{Client, ClientLimits, ClientSettings};
use auditlake::clock::Clock;
use auditlake::config::Config;
use auditlake::model::{FailureKind, Range, Timestamp};
use auditlake::run::{self, RunMode, RunOptions, RunOutcome, RunReport};
use auditlake::setup;
use auditlake::sim::{self, Asked, Fault, Simulated};
use auditlake::telemetry;
use tokio_util::sync::CancellationToken;

use crate::support::rig::{Rig, Simulator, at, hasty};

/// A day, and the moment from which on all of it is due, in one window.
pub(crate) const FROM: &str = "2026-03-01";
pub(crate) const TO: &str = "2026-03-02";
pub(crate) const NOW: &str = "2026-03-02T00:02:00Z";

/// One provider.
pub(crate) trait World: Simulated + Sized {
    /// As in jobs.yaml.
    const NAME: &str;
    /// The call whose answers hold the records that [`World::job`] pulls.
    const DATA: &str;
    /// The call that says which range is wanted.
    const ASKS: &str;
    /// The sign-in, where there is one.
    const SIGN_IN: Option<&str>;

    /// A data set with this number of records on the day, all visible soon.
    async fn start(records: usize) -> Self;
    /// The connection's keys.
    fn connection(&self) -> String;
    /// The job's options.
    fn options() -> &'static str;
    /// What it shows of the day, by time and bytes.
    fn truth(&self) -> Vec<(i64, String)>;
    /// The bounds that a call asks for, whole days as instants in UTC; nothing if it names none.
    fn asked(asked: Asked<'_>) -> Option<Range>;
    /// The body of a refusal.
    fn refusal(message: &str) -> String;
    /// The body of a first page with these records, each JSON; empty if another page was requested.
    fn page(asked: Asked<'_>, records: &[String]) -> Option<String>;
    /// A record with this id and this time, each JSON, and these members (`,"a":1`); with no time if that is empty.
    fn record(id: &str, time: &str, more: &str) -> String;
}

pub(crate) fn says(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

pub(crate) fn member(name: &str, value: &str) -> String {
    if value.is_empty() {
        return String::new();
    }
    format!(r#""{name}":{value},"#)
}

/// A clock that stands where a test puts it.
pub(crate) fn clock() -> sim::Clock {
    sim::Clock::Fixed(at(FROM))
}

pub(crate) const EVER: Duration = Duration::from_hours(24 * 365);

/// Makes a test for each provider of a function that is generic over its world, in a module of the function's name.
macro_rules! every_provider {
    (async fn $run:ident) => {
        crate::faults::worlds::every_provider! { @all $run [tokio::test] [async] [.await] }
    };
    (fn $run:ident) => {
        crate::faults::worlds::every_provider! { @all $run [test] [] [] }
    };
    (@all $run:ident $test:tt $is:tt $wait:tt) => {
        mod $run {
            use crate::faults::worlds::every_provider;
            every_provider! { @one genesys_cloud(genesys::Genesys) $run $test $is $wait }
            every_provider! { @one avaya_axp(avaya::Avaya) $run $test $is $wait }
            every_provider! { @one liveperson(liveperson::LivePerson) $run $test $is $wait }
            every_provider! { @one everyware_cloud(everyware::Everyware) $run $test $is $wait }
        }
    };
    (@one $name:ident($($world:tt)*) $run:ident [$($test:tt)*] [$($is:tt)*] [$($wait:tt)*]) => {
        #[$($test)*]
        $($is)* fn $name() {
            super::$run::<auditlake::sim::$($world)*>()$($wait)*;
        }
    };
}
pub(super) use every_provider;

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

/// A provider with this number of records, and a job that requests a whole day at once.
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

/// A new client for the job, without a pause or a token.
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
    pub(super) message: String,
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
    let options = RunOptions {
        clock: Clock::AsOf(now),
        at_once,
        ..RunOptions::new(CancellationToken::new())
    };
    let (kinds, message, report) = match run::run(&rig.job, RunMode::Due, &options).await {
        Ok(RunOutcome::Ran(report)) => {
            let errors = || report.failures.iter().map(|failure| &failure.error);
            let message: Vec<String> = errors()
                .map(|error| format!("{}: {}", error.kind(), telemetry::error_chain(error)))
                .collect();
            (
                errors().map(run::RunError::kind).collect(),
                message.join("\n"),
                Some(report),
            )
        }
        Ok(RunOutcome::Held(claim)) => panic!("nobody else runs this job: {claim:?}"),
        Err(error) => {
            let message = format!("{}: {}", error.kind(), telemetry::error_chain(&error));
            (vec![error.kind()], message, None)
        }
    };
    Ended {
        kinds,
        message: steady(&message),
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

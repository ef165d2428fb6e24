//! `/metrics` of a real daemon, compared with the records of its provider and its lake.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use auditlake::sim::Fault;
use auditlake::sim::genesys::endpoint;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::support::{Process, World, get, lately, now, until};
use crate::watching::promtool;

/// Each sample of a scrape: its name with its labels, and its value.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    async fn of(address: &str) -> Self {
        let (status, text) = get(address, "/metrics").await;
        assert_eq!(status, 200, "{text}");
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        };
        Self(samples.map(sample).collect())
    }

    #[track_caller]
    fn value(&self, name: &str) -> f64 {
        let found = self.0.get(name).copied();
        found.unwrap_or_else(|| panic!("no {name} in {:#?}", self.0))
    }

    #[track_caller]
    fn count(&self, name: &str) -> u64 {
        whole(self.value(name))
    }

    /// Of all that begin so.
    fn sum(&self, begin: &str) -> u64 {
        let all = self.0.iter().filter(|(name, _)| name.starts_with(begin));
        whole(all.map(|(_, value)| value).sum())
    }

    fn of_job(&self, name: &str) -> f64 {
        self.value(&format!("auditlake_{name}{{job_name=\"audits\"}}"))
    }

    fn of_connection(&self, name: &str) -> f64 {
        self.value(&format!("auditlake_{name}{{{CONNECTION}}}"))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count"
)]
fn whole(value: f64) -> u64 {
    assert!(value.fract() == 0.0 && value >= 0.0, "{value}");
    value as u64
}

#[expect(clippy::cast_precision_loss, reason = "to the microsecond")]
fn seconds(instant: DateTime<Utc>) -> f64 {
    instant.timestamp_micros() as f64 / 1e6
}

const CONNECTION: &str = "provider=\"genesys_cloud\",connection=\"main\"";

/// A provider that is busy three times and shows one record torn, and a daemon whose one run is over: the job is due
/// once a year.
async fn after_one_run() -> (World, Process, String) {
    let world = World::live(&lately()).await;
    world.change("*/2 * * * * *", "0 0 1 1 *");
    let faults = world.provider.faults();
    let busy = |status| Fault::Status {
        status,
        retry_after: Some("0".to_owned()),
    };
    faults.next(endpoint::TOKEN, 1, busy(503));
    faults.next(endpoint::REALTIME, 2, busy(429));
    let torn = AtomicBool::new(false);
    let tear = Fault::rewritten(move |_, answer| {
        let text = String::from_utf8(answer.body.clone()).unwrap();
        let date = "\"eventDate\":\"";
        if text.contains(date) && !torn.swap(true, Ordering::Relaxed) {
            answer.body = text.replacen(date, &format!("{date}x"), 1).into();
        }
    });
    faults.always(endpoint::REALTIME, tear);
    let daemon = world.start(&["run"]);
    let address = daemon.address().await;
    until("the run and what follows are told", async || {
        let scrape = Scrape::of(&address).await;
        scrape.sum("auditlake_runs_total{job_name=\"audits\"") > 0
            && scrape.of_job("next_run_timestamp_seconds") > seconds(now())
    })
    .await;
    (world, daemon, address)
}

#[tokio::test]
async fn they_say_what_was_asked_of_the_provider() {
    let (world, daemon, address) = after_one_run().await;
    let scrape = Scrape::of(&address).await;
    let counters = world.provider.counters();
    for status in [200, 202, 429, 503] {
        let name = format!("auditlake_requests_total{{{CONNECTION},status=\"{status}\"}}");
        assert_eq!(scrape.sum(&name), counters.answers(status), "{name}");
    }
    let calls = counters.total_calls();
    assert_eq!(scrape.sum("auditlake_requests_total{"), calls);
    let timed = scrape.of_connection("request_duration_seconds_count");
    assert_eq!(whole(timed), calls);
    let retries = scrape.of_connection("request_retries_total");
    assert_eq!(whole(retries), 3);
    assert_eq!(whole(scrape.of_connection("sign_ins_total")), 1);
    let pace = scrape.of_connection("rate_budget_requests_per_second");
    assert!((900.0..1_000.0).contains(&pace), "{pace}");
    let waited = scrape.of_connection("rate_budget_wait_seconds_total");
    assert!(waited > 0.0, "{waited}");
    daemon.signalled("TERM").await.assert_code(0);
}

#[tokio::test]
async fn they_say_what_landed() {
    let (world, daemon, address) = after_one_run().await;
    let scrape = Scrape::of(&address).await;
    let records = |result| {
        scrape.count(&format!(
            "auditlake_records_total{{job_name=\"audits\",result=\"{result}\"}}"
        ))
    };
    assert_eq!((records("new"), records("quarantined")), (499, 1));
    assert_eq!(whole(scrape.of_job("quarantined_records_total")), 1);
    assert_eq!(world.lake().rows().len(), 499);
    let succeeded = "auditlake_runs_total{job_name=\"audits\",outcome=\"succeeded\"}";
    assert_eq!(
        (scrape.count(succeeded), scrape.sum("auditlake_runs_total{")),
        (1, 1)
    );
    assert_eq!(scrape.sum("auditlake_run_failures_total{"), 0);
    assert_eq!(whole(scrape.of_job("run_duration_seconds_count")), 1);
    assert_eq!(whole(scrape.of_job("job_running")), 0);

    let commits = world.lake().commits("audits");
    let data = commits.iter().filter(|commit| commit["kind"] == "data");
    let files = data
        .clone()
        .flat_map(|commit| commit["files"].as_array().unwrap());
    let bytes = files.clone().map(|file| file["bytes"].as_u64().unwrap());
    for (metric, expected) in [
        ("commits_total", data.count() as u64),
        ("committed_files_total", files.count() as u64),
        ("committed_bytes_total", bytes.sum()),
    ] {
        assert!(expected > 0);
        assert_eq!(whole(scrape.of_job(metric)), expected, "{metric}");
    }
    daemon.signalled("TERM").await.assert_code(0);
}

#[tokio::test]
async fn they_say_where_the_job_stands_and_ask_the_lake_for_nothing() {
    let (world, daemon, address) = after_one_run().await;
    let scrape = Scrape::of(&address).await;
    let status = world.run(&["status", "--json"]).await.assert_code(0).stdout;
    let status: Value = serde_json::from_str(&status).unwrap();
    let status = status.as_array().map_or(&status, |all| &all[0]);
    for (metric, key) in [
        ("watermark_timestamp_seconds", "watermark"),
        ("fresh_until_timestamp_seconds", "fresh_until"),
        ("next_run_timestamp_seconds", "next_run"),
    ] {
        let instant = status[key].as_str().unwrap().parse().unwrap();
        let off = scrape.of_job(metric) - seconds(instant);
        assert!(off.abs() < 1e-6, "{metric}: {off}");
    }
    let lag = scrape.of_job("watermark_lag_seconds");
    let behind = seconds(now()) - scrape.of_job("watermark_timestamp_seconds");
    assert!(lag > 0.0 && lag <= behind, "{lag} {behind}");
    assert_eq!(whole(scrape.of_job("gaps")), 0);
    assert!(scrape.of_job("last_success_timestamp_seconds") <= seconds(now()));

    // nothing is running: what the lake is asked from here on would be asked by the scrape
    let asked = scrape.sum("auditlake_store_requests_total{");
    assert!(asked > 0);
    let again = Scrape::of(&address).await;
    assert_eq!(again.sum("auditlake_store_requests_total{"), asked);
    assert_eq!(again.sum("auditlake_store_errors_total{"), 0);
    assert_eq!(again.count("auditlake_ready"), 1);

    // what it knows after a restart comes from the log, without a run
    daemon.signalled("TERM").await.assert_code(0);
    let daemon = world.start(&["run"]);
    let address = daemon.address().await;
    let watermark = "auditlake_watermark_timestamp_seconds{job_name=\"audits\"}";
    until("the watermark is told", async || {
        let told = Scrape::of(&address).await;
        told.0.get(watermark) == scrape.0.get(watermark)
    })
    .await;
    assert_eq!(Scrape::of(&address).await.sum("auditlake_runs_total{"), 0);
    daemon.signalled("TERM").await.assert_code(0);
}

#[tokio::test]
#[ignore = "needs promtool: make check-alerts"]
async fn promtool_takes_a_scrape() {
    let (world, daemon, address) = after_one_run().await;
    let (_, text) = get(&address, "/metrics").await;
    promtool(world.path(), &["check", "metrics"], Some(&text));
    daemon.signalled("TERM").await.assert_code(0);
}

#[tokio::test]
async fn they_say_how_runs_fail_and_forget_what_is_no_longer_configured() {
    let world = World::live(&lately()).await;
    let refuse = Fault::rewritten(|_, answer| {
        answer.status = 401;
        answer.body = br#"{"error":"invalid_client"}"#.to_vec();
    });
    world.provider.faults().always(endpoint::TOKEN, refuse);
    let daemon = world.start(&["run"]);
    let address = daemon.address().await;
    let failed = "auditlake_runs_total{job_name=\"audits\",outcome=\"failed\"}";
    until("a run failed", async || {
        Scrape::of(&address).await.value(failed) > 0.0
    })
    .await;
    let scrape = Scrape::of(&address).await;
    let kinds = scrape.sum("auditlake_run_failures_total{job_name=\"audits\",kind=\"auth\"}");
    assert!(kinds > 0);
    assert_eq!(scrape.sum("auditlake_run_failures_total{"), kinds);
    assert!(
        !scrape
            .0
            .contains_key("auditlake_watermark_timestamp_seconds{job_name=\"audits\"}")
    );

    // another process says the same, and when the next attempt is
    let failing = "auditlake_job_state{job_name=\"audits\",state=\"failing\"}";
    until("the job is failing", async || {
        Scrape::of(&address).await.value(failing) > 0.0
    })
    .await;
    let checked = world.run(&["status", "--check"]).await.assert_code(3);
    let lines: Vec<&str> = checked.stdout.lines().collect();
    assert!(
        lines[0].starts_with("refused: audits can't be pulled: the credentials of connection "),
        "{}",
        checked.stdout
    );
    assert!(
        lines[1].starts_with("failing: audits failed in its last run, since "),
        "{}",
        checked.stdout
    );
    let status = world.run(&["status", "--json"]).await.assert_code(0);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status[0]["state"], "failing");
    assert_eq!(status[0]["failing"]["kind"], "auth");
    let next: chrono::DateTime<chrono::Utc> =
        serde_json::from_value(status[0]["next_run"].clone()).unwrap();
    let at: chrono::DateTime<chrono::Utc> =
        serde_json::from_value(status[0]["failing"]["at"].clone()).unwrap();
    assert!(next - at >= chrono::TimeDelta::minutes(1), "{at} {next}");
    let armed = "auditlake_next_run_timestamp_seconds{job_name=\"audits\"}";
    let armed = Scrape::of(&address).await.value(armed);
    let next = std::time::Duration::from_micros(u64::try_from(next.timestamp_micros()).unwrap());
    assert!((armed - next.as_secs_f64()).abs() < 0.001);
    let (_, api) = get(&address, "/api/v1/jobs").await;
    let api: serde_json::Value = serde_json::from_str(&api).unwrap();
    assert_eq!(api["jobs"][0]["findings"], status[0]["findings"]);
    assert_eq!(
        api["jobs"][0]["standing"]["next_run"],
        status[0]["next_run"]
    );

    world.change("schedule:", "shedule:");
    daemon.signal("HUP").await;
    daemon.says("the old configuration stays").await;
    let reloaded = "auditlake_config_last_reload_successful";
    until("that is told", async || {
        Scrape::of(&address).await.value(reloaded) == 0.0
    })
    .await;
    world.change("shedule:", "schedule:");
    world.change("- name: audits", "- name: second");
    daemon.signal("HUP").await;
    daemon.says("the configuration was reloaded").await;
    until("the old job is forgotten", async || {
        let scrape = Scrape::of(&address).await;
        scrape.count(reloaded) == 1 && !scrape.0.keys().any(|name| name.contains("\"audits\""))
    })
    .await;
    let scrape = Scrape::of(&address).await;
    assert!(
        scrape
            .0
            .keys()
            .any(|name| name.contains("job_name=\"second\""))
    );
    daemon.signalled("TERM").await.assert_code(0);
}

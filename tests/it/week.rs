//! A week of each provider, pulled hourly: events arrive up to three days late, some are equal, some can't be read.
//!
//! Each test prints a line for its provider: how many records there were, how many calls were made, how many a client
//! would need that knows all in advance, and what was lost or doubled.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "the figures are for people")]

use std::time::Duration;

use auditlake::lake;
use auditlake::model::Timestamp;
use auditlake::run::plan::{self, Task};
use auditlake::sim::{Clock, avaya, everyware, genesys, liveperson as lp};
use chrono::TimeDelta;
use chrono_tz::Tz;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::support::rig::{self, Rig, Simulator, at, exceeding};

const LATEST: Duration = Duration::from_hours(72);
const LATE_SHARE: f64 = 0.15;
const POISON: usize = 12;
const EVER: Duration = Duration::from_hours(24 * 365);

pub(crate) fn clock() -> Clock {
    Clock::Fixed(at("2026-03-01"))
}

/// A jobs.yaml with one connection and one job.
pub(crate) fn jobs(provider: &str, connection: &str) -> String {
    let job = "    schedule: '@hourly'
    start: 2026-03-01
    window: 1h
    lag: 2m
    settle: [1h, 24h, 72h]";
    rig::jobs(provider, connection, job)
}

/// What the week came to.
pub(crate) struct Week {
    pub(crate) rows: Vec<(i64, String)>,
    pub(crate) quarantine: Vec<String>,
    /// What a perfect client would have called.
    pub(crate) perfect: u64,
}

impl Week {
    /// The lines in quarantine except for `null`; some of those must be there. They can't be distinguished, so they
    /// can't be counted if days are requested several times.
    fn without_nulls(&mut self) -> Vec<String> {
        let all = self.quarantine.len();
        self.quarantine.retain(|raw| raw != "null");
        assert!(self.quarantine.len() < all);
        self.quarantine.sort();
        self.quarantine.clone()
    }
}

/// Runs a job every hour, until the last pass over the last hour is due. `needed` says how many calls the tasks of a
/// stream take at least.
pub(crate) async fn run<S: Simulator>(
    rig: &Rig<S>,
    needed: impl Fn(&S, &str, bool, &Task, Timestamp) -> u64,
) -> Week {
    let stop = CancellationToken::new();
    let streams = rig.job.source.streams(&stop).await.unwrap();
    let (mut now, end) = (at("2026-03-01T01:05:00Z"), at("2026-03-11T08:05:00Z"));
    let mut perfect = 0;
    while now <= end {
        rig.sim.set_now(now);
        let newest = lake::newest(&rig.job.lake, &rig.job.name).await.unwrap();
        let progress = newest.map(|commit| commit.progress).unwrap_or_default();
        for stream in &streams {
            let at = progress.get(&stream.id).cloned().unwrap_or_default();
            perfect += plan::due(&at, now, &rig.job.policy)
                .map(|task| {
                    needed(
                        &rig.sim,
                        &stream.id,
                        stream.note == Some("realtime"),
                        &task,
                        now,
                    )
                })
                .sum::<u64>();
        }
        rig.tick(now).await;
        // what happened has been pulled; what is left are the passes
        let is_over = now > at("2026-03-08T02:00:00Z");
        now += TimeDelta::hours(if is_over { 6 } else { 1 });
    }
    let rows = rig.rows().await;
    let mut ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), rows.len(), "an event_id is there twice");
    for row in &rows {
        let day = chrono::DateTime::from_timestamp_micros(row.time).unwrap();
        let folder = day.format("event_date=%Y-%m-%d/").to_string();
        assert!(row.file.contains(&folder), "{row:?}");
    }
    let quarantine = rig.quarantine().await;
    let raw = |line: &Value| line["raw"].as_str().unwrap().to_owned();
    Week {
        rows: rows.into_iter().map(|row| (row.time, row.raw)).collect(),
        quarantine: quarantine.iter().map(raw).collect(),
        perfect,
    }
}

/// Compares as multisets, prints the provider's line, and fails if a record was lost, doubled or altered.
pub(crate) fn judge(
    provider: &str,
    mut week: Week,
    truth: impl IntoIterator<Item = (i64, String)>,
    poison: impl IntoIterator<Item = String>,
    made: u64,
) {
    let mut truth: Vec<(i64, String)> = truth.into_iter().collect();
    let mut poison: Vec<String> = poison.into_iter().collect();
    truth.sort();
    poison.sort();
    week.rows.sort();
    week.quarantine.sort();
    let lost = exceeding(&truth, &week.rows);
    let doubled = exceeding(&week.rows, &truth);
    println!(
        "| {provider} | {} | {made} | {} | {:.3} | {} | {} |",
        truth.len(),
        week.perfect,
        ratio(made, week.perfect),
        lost.len(),
        doubled.len()
    );
    assert!(truth.len() > 2_000);
    assert!(made <= week.perfect + week.perfect / 10, "{made} calls");
    assert!(
        lost.is_empty() && doubled.is_empty(),
        "lost {:?}, doubled or altered {:?}",
        &lost[..lost.len().min(3)],
        &doubled[..doubled.len().min(3)]
    );
    assert_eq!(
        week.quarantine, poison,
        "what can't be read is in quarantine, once"
    );
}

#[expect(clippy::cast_precision_loss, reason = "thousands of calls")]
fn ratio(made: u64, perfect: u64) -> f64 {
    made as f64 / perfect as f64
}

pub(crate) fn pages(records: usize, size: usize) -> u64 {
    records.div_ceil(size).max(1) as u64
}

#[tokio::test]
async fn genesys_cloud() {
    let data = genesys::Dataset::generate(&genesys::DatasetSpec {
        records: 2_500,
        late_share: LATE_SHARE,
        latest: LATEST,
        ..genesys::DatasetSpec::default()
    });
    let settings = genesys::GenesysSettings {
        clock: clock(),
        running_polls: 0,
        empty_page_every: 0,
        open_ends: false,
        token_lifetime: EVER,
        ..genesys::GenesysSettings::default()
    };
    let sim = genesys::start(settings, data).await.unwrap();
    let keys = format!(
        "    base_url: {}\n    login_url: {}\n    client_id: sim-client\n    client_secret: sim-secret",
        sim.base_url(),
        sim.login_url()
    );
    let rig = Rig::of(sim, &jobs("genesys_cloud", &keys)).await;
    let before = rig.sim.counters().total_calls();
    let mut week = run(&rig, |sim, service, realtime, task, now| {
        let shown = sim
            .dataset()
            .truth_of(service, task.range.from(), task.range.to(), now);
        u64::from(!realtime) + pages(shown.len(), 500)
    })
    .await;
    week.perfect += 2; // which services there are
    let made = rig.sim.counters().total_calls()
        - before
        - rig.sim.counters().calls(genesys::endpoint::TOKEN);
    let truth = rig
        .sim
        .dataset()
        .truth(at("2026-03-01"), at("2026-03-08"), rig.sim.now());
    let truth: Vec<_> = truth
        .into_iter()
        .map(|truth| (truth.event_time_micros, truth.raw.to_owned()))
        .collect();
    judge("genesys_cloud", week, truth, [], made);
}

#[tokio::test]
async fn avaya_axp() {
    let data = avaya::Dataset::generate(&avaya::DatasetSpec {
        records: 2_500,
        late_share: LATE_SHARE,
        latest: LATEST,
        twin_share: 0.1,
        poison: POISON,
        ..avaya::DatasetSpec::default()
    });
    let settings = avaya::AvayaSettings {
        clock: clock(),
        token_lifetime: EVER,
        ties: avaya::Ties::ByPage,
        ..avaya::AvayaSettings::default()
    };
    let account = settings.account_id.clone();
    let sim = avaya::start(settings, data).await.unwrap();
    let keys = format!(
        "    base_url: {}\n    account_id: {account}\n    app_key: sim-app-key\n    client_id: sim-client\n    client_secret: sim-secret",
        sim.base_url(),
    );
    let rig = Rig::of(sim, &jobs("avaya_axp", &keys)).await;
    // every type has the same tasks: what all of them need is counted with the first
    let week = run(&rig, |sim, stream, _, task, now| {
        if stream != "user/PROFILE" {
            return 0;
        }
        sim.dataset()
            .calls_needed(task.range.from(), task.range.to(), now)
    })
    .await;
    let truth = rig
        .sim
        .dataset()
        .truth(at("2026-03-01"), at("2026-03-08"), rig.sim.now());
    let truth: Vec<_> = truth
        .into_iter()
        .map(|truth| (truth.event_time_micros, truth.raw.to_owned()))
        .collect();
    let poison: Vec<_> = rig
        .sim
        .dataset()
        .poison(rig.sim.now())
        .into_iter()
        .map(|poison| poison.raw.to_owned())
        .collect();
    judge("avaya_axp", week, truth, poison, rig.sim.searches());
}

#[tokio::test]
async fn liveperson() {
    let data = lp::Dataset::generate(&lp::DatasetSpec {
        records: 2_500,
        late_share: LATE_SHARE,
        latest: LATEST,
        twin_share: 0.1,
        poison: POISON,
        ..lp::DatasetSpec::default()
    });
    let settings = lp::LivePersonSettings {
        clock: clock(),
        token_lifetime: EVER,
        ties: lp::Ties::ByPage,
        ..lp::LivePersonSettings::default()
    };
    let account = data.account_id().to_owned();
    let sim = lp::start(settings, data).await.unwrap();
    let keys = format!(
        "    domain_url: {}\n    account_id: {account}\n    client_id: sim-client\n    client_secret: sim-secret",
        sim.domain_url(),
    );
    let rig = Rig::of(sim, &jobs("liveperson", &keys)).await;
    let mut week = run(&rig, |sim, _, _, task, now| {
        let day = TimeDelta::days(1);
        let (first, last) = (
            task.range.from() - day,
            task.range.to() + day - TimeDelta::seconds(1),
        );
        let shown = sim
            .dataset()
            .rows_of_days(first.date_naive(), last.date_naive(), Tz::UTC, now);
        lp::calls_needed(shown, 500) as u64
    })
    .await;
    let fields = auditlake::providers::liveperson::FIELDS;
    let truth = rig.sim.dataset().truth(
        at("2026-03-01"),
        at("2026-03-08"),
        rig.sim.now(),
        &fields,
        Tz::UTC,
    );
    let truth: Vec<_> = truth
        .into_iter()
        .map(|truth| (truth.event_time_micros, truth.raw))
        .collect();
    let made = rig.sim.counters().calls(lp::endpoint::AUDIT);
    // which text a row has that can't be read depends on the question; a third of them are `null`
    let told_apart = week.without_nulls();
    let mut distinct = told_apart.clone();
    distinct.dedup();
    assert_eq!(distinct.len(), rig.sim.dataset().poison() * 2 / 3);
    judge("liveperson", week, truth, told_apart, made);
}

#[tokio::test]
async fn everyware_cloud() {
    let data = everyware::Dataset::generate(&everyware::DatasetSpec {
        records: 2_500,
        late_share: LATE_SHARE,
        latest: LATEST,
        times: everyware::TimeForm::Mixed,
        poison: POISON,
        ..everyware::DatasetSpec::default()
    });
    let settings = everyware::EverywareSettings {
        clock: clock(),
        timezone: Tz::America__New_York,
        pieces: vec![1, 7, 1_000, 65_536],
        ..everyware::EverywareSettings::default()
    };
    let sim = everyware::start(settings, data).await.unwrap();
    let keys = format!(
        "    base_url: {}\n    username: sim-user\n    password: sim-secret",
        sim.base_url()
    );
    let rig = Rig::of(sim, &jobs("everyware_cloud", &keys)).await;
    let mut week = run(&rig, |_, _, _, _, _| 1).await;
    let truth = rig
        .sim
        .dataset()
        .truth(at("2026-03-01"), at("2026-03-08"), rig.sim.now());
    let truth: Vec<_> = truth
        .into_iter()
        .map(|truth| (truth.event_time_micros, truth.raw.to_owned()))
        .collect();
    let poison = rig.sim.dataset().poison(rig.sim.now());
    let poison = poison.into_iter().map(|poison| poison.raw.to_owned());
    let poison: Vec<String> = poison.filter(|raw| raw != "null").collect();
    week.without_nulls();
    let made = rig.sim.counters().total_calls();
    judge("everyware_cloud", week, truth, poison, made);
}

//! The number of calls, compared with a client that knows everything in advance: it has the same windows, but requests
//! only full pages, none of them twice, and nothing to find something out.
//!
//! Five days of each provider, in windows of four hours: a first load of two of them, three days' ticks with their
//! passes, and a backfill of two days before. Time is simulated, so that tokens and what is kept in memory grow old.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "the figures are for people")]

use std::time::Duration;

use auditlake::lake;
use auditlake::model::{Range, Timestamp};
use auditlake::run::plan::{self, Task};
use auditlake::sim::genesys::endpoint::{REALTIME, RESULTS, SERVICES, STATUS, SUBMIT, TOKEN};
use auditlake::sim::{Clock, avaya, everyware, genesys, liveperson as lp};
use chrono::TimeDelta;
use chrono_tz::Tz;
use tokio_util::sync::CancellationToken;

use crate::support::rig::{self, Rig, Simulator, at, failures, range};

/// How much more than a perfect client's.
const AT_MOST: f64 = 1.02;

fn clock() -> Clock {
    Clock::Fixed(at("2026-03-01"))
}

/// The days that the data sets are of.
fn all() -> Range {
    range("2026-03-01", "2026-03-08")
}

/// A jobs.yaml with one connection and one job.
fn jobs(provider: &str, connection: &str) -> String {
    let job = "    schedule: '0 */4 * * *'
    start: 2026-03-03
    window: 4h
    min_window: 1m
    lag: 2m
    settle: [4h, 24h]";
    rig::jobs(provider, connection, job)
}

/// Pulls all of it; returns how many calls the windows take at least, by `needed`, and how many ticks there were.
async fn pull<S: Simulator>(
    rig: &Rig<S>,
    needed: impl Fn(&S, &str, &Task, Timestamp) -> u64,
) -> (u64, u64) {
    let stop = CancellationToken::new();
    let (mut now, end) = (at("2026-03-05T00:05:00Z"), at("2026-03-08T00:05:00Z"));
    let (mut perfect, mut ticks) = (0, 0);
    let before = range("2026-03-01", "2026-03-03");
    loop {
        let is_backfill = now > end;
        rig.sim.set_now(now);
        let streams = rig.job.source.streams(&stop).await.unwrap();
        let newest = lake::newest(&rig.job.lake, &rig.job.name).await.unwrap();
        let progress = newest.map(|commit| commit.progress).unwrap_or_default();
        for stream in &streams {
            let at = progress.get(&stream.id).cloned().unwrap_or_default();
            let policy = &rig.job.policy;
            let tasks: Vec<Task> = if is_backfill {
                plan::backfill(&at, before, false, now, policy).collect()
            } else {
                plan::due(&at, now, policy).collect()
            };
            assert!(!tasks.is_empty());
            let calls = tasks
                .iter()
                .map(|task| needed(&rig.sim, &stream.id, task, now));
            perfect += calls.sum::<u64>();
        }
        ticks += 1;
        if is_backfill {
            let report = rig.backfill(before, false, now).await;
            assert_eq!(failures(&report), "");
            assert!(!report.unfinished);
            return (perfect, ticks);
        }
        rig.tick(now).await;
        let hours = 4;
        now += TimeDelta::hours(hours);
        tokio::time::advance(Duration::from_hours(hours.unsigned_abs())).await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "thousands of calls")]
fn judge(provider: &str, made: u64, perfect: u64) {
    let ratio = made as f64 / perfect as f64;
    println!("{provider}: {made} calls, a perfect client's {perfect}");
    println!("figure: calls_ratio_{provider} {ratio:.3}");
    assert!(perfect > 40);
    assert!(ratio <= AT_MOST, "{ratio}");
}

fn pages(records: usize, size: usize) -> u64 {
    records.div_ceil(size).max(1) as u64
}

/// Realtime is one call a page; a query is submitted, found done by one question, and read page by page. Of the services
/// that realtime knows, it lacks a type of one. A query takes three seconds.
#[tokio::test(start_paused = true)]
async fn figures_genesys_cloud() {
    let data = genesys::Dataset::generate(&genesys::DatasetSpec {
        records: 40_000,
        from: all().from(),
        to: all().to(),
        late_share: 0.0,
        ..genesys::DatasetSpec::default()
    });
    let settings = genesys::GenesysSettings {
        clock: clock(),
        running_polls: 0,
        running_time: Duration::from_secs(3),
        empty_page_every: 0,
        open_ends: false, // a cursor that leads to an empty page has to be followed by whomever
        realtime_lacks: vec!["Prompt".to_owned()],
        token_lifetime: Duration::from_hours(24),
        ..genesys::GenesysSettings::default()
    };
    let sim = genesys::start(settings, data).await.unwrap();
    let keys = format!(
        "    base_url: {}\n    login_url: {}\n    client_id: sim-client\n    client_secret: sim-secret",
        sim.base_url(),
        sim.login_url()
    );
    let rig = Rig::of(sim, &jobs("genesys_cloud", &keys)).await;
    let (mut perfect, _) = pull(&rig, |sim, service, task, now| {
        let shown = sim
            .dataset()
            .truth_of(service, task.range.from(), task.range.to(), now);
        let realtime = matches!(service, "PeoplePermissions" | "ContactCenter");
        let around = if realtime { 0 } else { 2 };
        around + pages(shown.len(), 500)
    })
    .await;
    // at the beginning, and after each of three days: a sign-in, and which services there are by either way
    perfect += 4 * (1 + 2);
    let counters = rig.sim.counters();
    for endpoint in [TOKEN, SERVICES, SUBMIT, STATUS, RESULTS, REALTIME] {
        println!("{endpoint}: {}", counters.calls(endpoint));
    }
    judge("genesys", counters.total_calls(), perfect);
    let shown = rig
        .sim
        .dataset()
        .truth(at("2026-03-01"), at("2026-03-08"), rig.sim.now());
    let truth = shown
        .into_iter()
        .map(|truth| (truth.event_time_micros, truth.raw.to_owned()));
    rig.assert_holds(truth.collect::<Vec<_>>()).await;
}

/// No equal records, and none that moves between pages: these may have to be read again.
#[tokio::test(start_paused = true)]
async fn figures_avaya_axp() {
    let data = avaya::Dataset::generate(&avaya::DatasetSpec {
        records: 20_000,
        from: all().from(),
        to: all().to(),
        twin_share: 0.0,
        ..avaya::DatasetSpec::default()
    });
    let settings = avaya::AvayaSettings {
        clock: clock(),
        ties: avaya::Ties::Stable,
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
    let (mut perfect, ticks) = pull(&rig, |sim, stream, task, now| {
        if stream != "user/PROFILE" {
            return 0;
        }
        sim.dataset()
            .calls_needed(task.range.from(), task.range.to(), now)
    })
    .await;
    perfect += ticks - 1; // a token lives for a quarter of an hour; the backfill comes right after a tick
    judge("avaya", rig.sim.counters().total_calls(), perfect);
}

/// The page that closes a walk counts for both. No equal rows: these may have to be read again.
#[tokio::test(start_paused = true)]
async fn figures_liveperson() {
    let data = lp::Dataset::generate(&lp::DatasetSpec {
        records: 10_000,
        from: all().from(),
        to: all().to(),
        twin_share: 0.0,
        ..lp::DatasetSpec::default()
    });
    let settings = lp::LivePersonSettings {
        clock: clock(),
        ..lp::LivePersonSettings::default()
    };
    let account = data.account_id().to_owned();
    let sim = lp::start(settings, data).await.unwrap();
    let keys = format!(
        "    domain_url: {}\n    account_id: {account}\n    client_id: sim-client\n    client_secret: sim-secret",
        sim.domain_url(),
    );
    let rig = Rig::of(sim, &jobs("liveperson", &keys)).await;
    let (mut perfect, ticks) = pull(&rig, |sim, _, task, now| {
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
    // two hosts are looked up; a token lives for an hour; the backfill comes right after a tick
    perfect += 2 + ticks - 1;
    judge("liveperson", rig.sim.counters().total_calls(), perfect);
}

#[tokio::test(start_paused = true)]
async fn figures_everyware_cloud() {
    let data = everyware::Dataset::generate(&everyware::DatasetSpec {
        records: 5_000,
        from: all().from(),
        to: all().to(),
        ..everyware::DatasetSpec::default()
    });
    let settings = everyware::EverywareSettings {
        clock: clock(),
        ..everyware::EverywareSettings::default()
    };
    let sim = everyware::start(settings, data).await.unwrap();
    let keys = format!(
        "    base_url: {}\n    username: sim-user\n    password: sim-secret",
        sim.base_url()
    );
    let rig = Rig::of(sim, &jobs("everyware_cloud", &keys)).await;
    let (perfect, _) = pull(&rig, |_, _, _, _| 1).await;
    judge("everyware", rig.sim.counters().total_calls(), perfect);
}

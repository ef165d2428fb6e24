//! Clocks that are wrong, as a run judges them: this machine's, the store's and the API's.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use auditlake::clock::Clock;
use auditlake::clocks::{ClockOwner, IgnoredBecause, Skew};
use auditlake::model::Timestamp;
use auditlake::run::{self, RunMode, RunOptions, RunOutcome, RunReport};
use auditlake::sim::Fault;
use auditlake::sim::genesys::{self, Dataset, DatasetSpec, Genesys, GenesysSettings};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::rig::{self, failures};

type Rig = rig::Rig<Genesys>;

#[expect(
    clippy::disallowed_methods,
    reason = "what is tested keeps to the real clock"
)]
fn now() -> Timestamp {
    Utc::now()
}

/// A job over five days up to now, whose provider's clock is off by so much.
async fn off_by(api: TimeDelta) -> Rig {
    let now = DateTime::from_timestamp(now().timestamp(), 0).unwrap();
    let spec = DatasetSpec {
        records: 400,
        from: now - TimeDelta::days(5),
        to: now + TimeDelta::hours(1),
        services: vec!["Routing".to_owned()],
        quiet_services: vec![],
        late_share: 0.0,
        ..DatasetSpec::default()
    };
    let settings = GenesysSettings {
        clock: auditlake::sim::Clock::RunningFrom(now + api),
        running_polls: 0,
        token_lifetime: Duration::from_hours(5_000),
        ..GenesysSettings::default()
    };
    let sim = genesys::start(settings, Dataset::generate(&spec))
        .await
        .unwrap();
    let connection = format!(
        "    base_url: {}\n    login_url: {}\n    client_id: sim-client\n    client_secret: sim-secret",
        sim.base_url(),
        sim.login_url()
    );
    let job = format!(
        "    schedule: '@hourly'\n    start: {}\n    options: {{services: [Routing]}}",
        spec.from.to_rfc3339()
    );
    Rig::of(sim, &rig::jobs("genesys_cloud", &connection, &job)).await
}

/// A run by this machine's clock, with a store whose clock is off by so much.
async fn run(rig: &Rig, store: Option<TimeDelta>) -> RunReport {
    match store {
        Some(store) => rig
            .job
            .lake
            .clock
            .note(now() + store, TimeDelta::zero(), Instant::now()),
        None => rig.job.lake.clock.forget(),
    }
    let options = RunOptions::new(CancellationToken::new());
    assert_eq!(options.clock, Clock::System);
    match run::run(&rig.job, RunMode::Due, &options).await.unwrap() {
        RunOutcome::Ran(report) => {
            assert_eq!(failures(&report), "");
            report
        }
        RunOutcome::Held(claim) => panic!("nobody else runs this job: {claim:?}"),
    }
}

/// How far behind now the job was pulled, in minutes, and which clocks were found to be off.
async fn pulled(rig: &Rig) -> (i64, Vec<(ClockOwner, Option<IgnoredBecause>)>) {
    let newest = rig.newest().await;
    let watermark = newest.progress["Routing"].watermark.unwrap();
    let off = |skew: &Skew| (skew.clock, skew.ignored);
    let behind = (now() - watermark).num_seconds();
    (
        (behind + 30).div_euclid(60),
        newest.clocks.iter().map(off).collect(),
    )
}

#[tokio::test]
async fn a_range_counts_up_to_the_earliest_clock_and_what_is_off_is_named() {
    let (minutes, days) = (TimeDelta::minutes, TimeDelta::days);
    let day = 24 * 60;
    for (api, store, behind, found) in [
        (minutes(0), Some(minutes(0)), 2, vec![]),
        (minutes(-10), None, 12, vec![(ClockOwner::Local, None)]),
        (minutes(10), None, 2, vec![(ClockOwner::Local, None)]),
        (
            minutes(0),
            Some(minutes(-10)),
            12,
            vec![(ClockOwner::Store, None)],
        ),
        (
            minutes(0),
            Some(minutes(10)),
            2,
            vec![(ClockOwner::Store, None)],
        ),
        // this machine's clock is ahead of both, or behind both
        (
            days(-2),
            Some(days(-2)),
            2 * day + 2,
            vec![(ClockOwner::Local, None)],
        ),
        (
            minutes(10),
            Some(minutes(10)),
            2,
            vec![(ClockOwner::Local, None)],
        ),
        (
            days(2),
            Some(days(2)),
            -2 * day + 2,
            vec![(ClockOwner::Local, Some(IgnoredBecause::FarBehind))],
        ),
        // alone against two
        (
            days(-2),
            Some(minutes(0)),
            2,
            vec![(ClockOwner::Api, Some(IgnoredBecause::FarBehind))],
        ),
        (
            days(-2_000),
            None,
            2,
            vec![(ClockOwner::Api, Some(IgnoredBecause::BeforeBuild))],
        ),
    ] {
        let rig = off_by(api).await;
        run(&rig, store).await;
        assert_eq!(
            pulled(&rig).await,
            (behind, found),
            "API {api}, store {store:?}"
        );
    }
}

#[tokio::test]
async fn each_range_counts_up_to_its_first_answer_though_the_clocks_were_believed_before() {
    let rig = off_by(TimeDelta::zero()).await;
    run(&rig, None).await;
    // the next answer's server is half an hour behind, and nobody could know
    rig.sim.set_now(now() - TimeDelta::minutes(30));
    run(&rig, None).await;
    let (behind, _) = pulled(&rig).await;
    assert!(
        (2..=3).contains(&behind),
        "what was pulled before stays: {behind}"
    );
    rig.sim.set_now(now() + TimeDelta::hours(1));
    run(&rig, None).await;
    let end = rig.newest().await.progress["Routing"]
        .coverage
        .contiguous_end(rig.job.policy.start);
    rig.assert_holds(
        rig.sim
            .dataset()
            .truth(rig.job.policy.start, end, rig.sim.now())
            .into_iter()
            .map(|row| (row.event_time_micros, row.raw.to_owned())),
    )
    .await;
}

/// A host that is a day ahead, and knows of no other clock before its first answer, asks for what hasn't happened.
#[tokio::test]
async fn where_a_provider_refuses_the_future_the_past_is_asked_for() {
    let mut rig = off_by(TimeDelta::days(-1)).await;
    rig.job.policy.start =
        DateTime::from_timestamp(now().timestamp(), 0).unwrap() - TimeDelta::hours(25);
    rig.job.policy.window = TimeDelta::hours(1);
    let latest = rig.sim.now();
    let refuse = Fault::rewritten(move |asked, written| {
        let body: serde_json::Value = serde_json::from_slice(asked.body).unwrap();
        let (_, to) = body["interval"].as_str().unwrap().split_once('/').unwrap();
        if to.parse::<Timestamp>().unwrap() > latest {
            written.status = 400;
            let refusal = json!({ "message": "the interval ends in the future", "code": "bad.request", "status": 400 });
            written.body = refusal.to_string().into_bytes();
        }
    });
    rig.sim.faults().always(genesys::endpoint::SUBMIT, refuse);
    run(&rig, None).await;
    let (behind, _) = pulled(&rig).await;
    assert_eq!(behind, 24 * 60 + 2);
    assert!(rig.sim.counters().calls(genesys::endpoint::SUBMIT) <= 6);
}

#[tokio::test]
async fn where_the_store_alone_tells_the_time_it_is_believed() {
    let day = 24 * 60;
    for (store, behind) in [
        (TimeDelta::minutes(-10), 12),
        (TimeDelta::days(-3), 3 * day + 2),
    ] {
        let rig = off_by(TimeDelta::zero()).await;
        let age = vec![("age", "3".to_owned())];
        for endpoint in [
            genesys::endpoint::SERVICES,
            genesys::endpoint::REALTIME_SERVICES,
            genesys::endpoint::SUBMIT,
            genesys::endpoint::STATUS,
            genesys::endpoint::RESULTS,
            genesys::endpoint::REALTIME,
        ] {
            let cached = Fault::Headers(age.clone());
            rig.sim.faults().always(endpoint, cached);
        }
        run(&rig, Some(store)).await;
        assert_eq!(
            pulled(&rig).await,
            (behind, vec![(ClockOwner::Local, None)]),
            "{store}"
        );
    }
}

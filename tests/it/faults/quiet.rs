//! While things fail, the provider is called no oftener than it allows.

use std::time::Instant;

use auditlake::clock::real_now;
use auditlake::model::Timestamp;
use auditlake::scheduler::Scheduler;
use auditlake::setup::ScheduledJob;
use auditlake::sim::{Fault, avaya, everyware, genesys, liveperson};
use tokio_util::sync::CancellationToken;

use super::worlds::*;
use crate::support::rig::{Rig, at};

/// Runs that fail follow one another without a pause: their calls stay inside the rate budget, retries and sign-ins
/// included. Slow machines call less, so only the most is looked at.
async fn keeps_its_budget<W: World>() {
    const PER_SECOND: f64 = 40.0;
    for fault in [
        Fault::Status {
            status: 500,
            retry_after: None,
        },
        Fault::ResetBefore,
        Fault::CutBody,
        Fault::TruncatedBody,
        Fault::Html { status: 200 },
    ] {
        let sim = W::start(60).await;
        let yaml = yaml(&sim, "40/s", "window: 1h");
        let mut rig: Rig<W> = Rig::of(sim, &yaml).await;
        rig.job.source.client = client(&yaml, impatient());
        rig.sim.faults().always(W::DATA, fault);
        let began = Instant::now();
        for _ in 0..3 {
            let ended = attempt(&rig, at(NOW)).await;
            assert!(!ended.kinds.is_empty());
        }
        let calls = rig.sim.counters().total_calls();
        let allowed = PER_SECOND * began.elapsed().as_secs_f64() + 2.0;
        assert!(calls >= 3, "{calls}");
        let calls = f64::from(u32::try_from(calls).unwrap());
        assert!(calls <= allowed, "{calls} calls, {allowed} are allowed");
    }
}

every_provider!(async fn keeps_its_budget);

/// Refused credentials are tried once, however often a run asks, until they change or a minute has passed.
async fn signs_in_once<W: World>(endpoint: &'static str, status: u16) {
    let rig: Rig<W> = rig(60).await;
    let refused = Fault::rewritten(move |_, answer| {
        answer.status = status;
        answer.body = br#"{"error":"invalid_client"}"#.to_vec();
    });
    rig.sim.faults().always(endpoint, refused);
    let began = Instant::now();
    for _ in 0..10 {
        attempt(&rig, at(NOW)).await;
    }
    let minutes = began.elapsed().as_secs() / 60;
    let calls = rig.sim.counters().calls(endpoint);
    assert!(calls <= 1 + minutes, "{calls} in {minutes} min");
}

#[tokio::test]
async fn refused_credentials_are_not_tried_again_and_again() {
    signs_in_once::<genesys::Genesys>(genesys::endpoint::TOKEN, 401).await;
    signs_in_once::<avaya::Avaya>(avaya::endpoint::TOKEN, 400).await;
    signs_in_once::<liveperson::LivePerson>(liveperson::endpoint::TOKEN, 403).await;
    signs_in_once::<everyware::Everyware>(everyware::endpoint::AUDIT, 401).await;
}

/// A good token that every call refuses is renewed once, not once a call.
#[tokio::test]
async fn a_token_that_is_always_refused_is_renewed_once() {
    let rig: Rig<genesys::Genesys> = rig(60).await;
    let refused = Fault::Status {
        status: 401,
        retry_after: None,
    };
    rig.sim.faults().always(genesys::endpoint::SUBMIT, refused);
    let began = Instant::now();
    for _ in 0..10 {
        attempt(&rig, at(NOW)).await;
    }
    let minutes = began.elapsed().as_secs() / 60;
    let calls = rig.sim.counters().calls(genesys::endpoint::TOKEN);
    assert!((2..=2 + 2 * minutes).contains(&calls), "{calls}");
}

/// A job that is due every second, of a provider that has nothing to show.
async fn every_second(
    start: Timestamp,
    fault: Option<Fault>,
) -> (Rig<everyware::Everyware>, ScheduledJob) {
    let sim = <everyware::Everyware as World>::start(0).await;
    sim.set_now(start);
    let start = start.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let yaml = yaml(&sim, "1000000/s", "window: 1d").replace(FROM, &start);
    let rig = Rig::of(sim, &yaml).await;
    if let Some(fault) = fault {
        rig.sim.faults().always(everyware::endpoint::AUDIT, fault);
    }
    let scheduled = ScheduledJob {
        max_staleness: None,
        schedule: "* * * * * *".parse().unwrap(),
        job: rig.job.clone(),
    };
    (rig, scheduled)
}

/// A job that is due every second stays away for ten and more once it fails, and doesn't keep another from its ticks.
#[tokio::test]
async fn a_daemon_whose_provider_fails_backs_off() {
    let start = real_now() - chrono::TimeDelta::minutes(10);
    let status = |status| Fault::Status {
        status,
        retry_after: None,
    };
    let (well, job) = every_second(start, None).await;
    let mut jobs = vec![job];
    let mut failing = Vec::new();
    for fault in [
        status(500),
        status(429),
        status(401),
        status(400),
        Fault::Html { status: 200 },
        Fault::CutBody,
    ] {
        let (rig, job) = every_second(start, Some(fault)).await;
        jobs.push(job);
        failing.push(rig);
    }
    let began = Instant::now();
    let scheduler = Scheduler::start(jobs, CancellationToken::new())
        .await
        .unwrap();
    for rig in &failing {
        rig.sim
            .counters()
            .reached(everyware::endpoint::AUDIT, 1)
            .await;
    }
    let calls = well.sim.counters().calls(everyware::endpoint::AUDIT);
    well.sim
        .counters()
        .reached(everyware::endpoint::AUDIT, calls + 5)
        .await;
    scheduler.stop().await;
    let tens = began.elapsed().as_secs() / 10;
    for (number, rig) in failing.iter().enumerate() {
        let calls = rig.sim.counters().calls(everyware::endpoint::AUDIT);
        // eight attempts a run
        assert!(calls <= 8 * (1 + tens), "fault {number}: {calls} calls");
    }
}

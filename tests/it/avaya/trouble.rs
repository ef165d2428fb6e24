//! What the provider may refuse, and what comes of it.

use std::time::Duration;

use auditlake::client::{Client, ClientLimits};
use auditlake::config::Config;
use auditlake::setup;
use auditlake::sim::avaya::endpoint;
use auditlake::sim::{Fault, RateLimit};

use super::support::*;

const NOW: &str = "2026-03-03T01:00:00Z";

/// Retries without noticeable waits, also where the provider is to be left alone.
fn impatient(rig: &mut Rig) {
    let yaml = yaml(&rig.sim.base_url(), SETTLED);
    let config = Config::parse("jobs.yaml", &yaml, &|_| None).unwrap();
    let settings = setup::client_settings(&config.connections["avaya-prod"], &config.server);
    rig.job.source.client = Client::new(auditlake::client::ClientSettings {
        limits: ClientLimits {
            longest_wait: Duration::from_millis(20),
            ..crate::support::rig::hasty()
        },
        ..settings
    })
    .unwrap();
}

/// No token helps against a refused application key, so none is fetched.
#[tokio::test]
async fn a_refused_app_key_is_no_expired_token() {
    let rig = rig(
        &two_days(),
        settings(),
        "settle: []\n    options: {services: [match], types: [QUEUE]}",
    )
    .await;
    rig.tick(at("2026-03-01T12:02:00Z")).await;
    let tokens = rig.sim.counters().calls(endpoint::TOKEN);
    rig.sim.set_app_key("rotated");
    let report = rig.run(at("2026-03-01T18:02:00Z")).await;
    let message = failures(&report).replace(&rig.sim.base_url(), "https://api");
    insta::assert_snapshot!(message, @"match/QUEUE 2026-03-01T12:00:00Z..2026-03-01T18:00:00Z auth: POST `https://api/api/admin/match/v1/accounts/ABCDEF/audit-records:search` was refused: status 401, the provider says `Missing or invalid credentials(Appkey)`");
    assert_eq!(rig.sim.counters().calls(endpoint::TOKEN), tokens);
    rig.sim.set_app_key("sim-app-key");
    let report = rig.run(at("2026-03-02T00:02:00Z")).await;
    assert_eq!(failures(&report), "");
}

#[tokio::test]
async fn both_kinds_of_429_are_waited_out() {
    let mut rig = rig(&two_days(), settings(), SETTLED).await;
    impatient(&mut rig);
    rig.sim.exhaust_quota(2);
    let spike = Fault::Status {
        status: 429,
        retry_after: None,
    };
    rig.sim.faults().next(endpoint::MATCH, 2, spike);
    rig.pull_two_days().await;
    assert_eq!(rig.sim.counters().rate_limited(), 4);
}

#[tokio::test]
async fn rate_limit_headers_are_heeded_where_there_are_some() {
    let settings = auditlake::sim::avaya::AvayaSettings {
        rate_headers: true,
        spike_limit: RateLimit {
            calls: 30,
            per: Duration::from_secs(1),
        },
        ..settings()
    };
    rig(&two_days(), settings, SETTLED)
        .await
        .pull_two_days()
        .await;
}

#[tokio::test]
async fn a_forbidden_service_blocks_only_itself() {
    let rig = rig(&two_days(), settings(), "settle: []").await;
    rig.sim.forbid_service("account");
    let report = rig.run(at(NOW)).await;
    insta::assert_snapshot!(failures(&report), @"account/ACCOUNT 2026-03-01T00:00:00Z..2026-03-01T06:00:00Z auth: the provider answered 403 Forbidden: The caller lacks permission for this account or resource");
    rig.assert_exact(at("2026-03-01"), at("2026-03-03"), at(NOW))
        .await;
    rig.sim.allow_service("account");
    rig.tick(at("2026-03-03T02:00:00Z")).await;
}

#[tokio::test]
async fn passing_failures_of_every_kind_leave_no_trace() {
    let rig = rig(&two_days(), settings(), SETTLED).await;
    let faults = rig.sim.faults();
    faults.next(
        endpoint::TOKEN,
        1,
        Fault::Status {
            status: 500,
            retry_after: None,
        },
    );
    faults.next(endpoint::USER, 1, Fault::Html { status: 502 });
    faults.next(
        endpoint::USER,
        1,
        Fault::Status {
            status: 503,
            retry_after: Some("0".to_owned()),
        },
    );
    faults.next(endpoint::USER, 1, Fault::Reset);
    faults.next(endpoint::MATCH, 1, Fault::CutBody);
    rig.pull_two_days().await;
}

/// A 504 says that the range is too large for the provider.
#[tokio::test]
async fn a_gateway_that_gives_up_gets_smaller_ranges() {
    let rig = rig(&two_days(), settings(), SETTLED).await;
    rig.sim
        .faults()
        .next(endpoint::USER, 3, Fault::Html { status: 504 });
    rig.pull_two_days().await;
}

#[tokio::test]
async fn half_an_answer_is_asked_for_again() {
    let rig = rig(
        &two_days(),
        settings(),
        "settle: []\n    options: {services: [match], types: [QUEUE]}",
    )
    .await;
    rig.sim
        .faults()
        .next(endpoint::MATCH, 1, Fault::TruncatedBody);
    let before = rig.sim.counters().calls(endpoint::MATCH);
    let report = rig.run(at("2026-03-01T06:02:00Z")).await;
    assert_eq!(failures(&report), "");
    assert!(
        rig.sim.counters().calls(endpoint::MATCH) >= before + 2,
        "it is asked for again"
    );
}

//! Failures and their messages; nothing is lost by any of them.

use auditlake::sim::liveperson::{DatasetSpec, LivePersonSettings, endpoint};
use auditlake::sim::{Clock, Fault};
use chrono_tz::Tz;

use super::support::{Rig, USER, at, failures, three_days};

fn settings() -> LivePersonSettings {
    LivePersonSettings {
        clock: Clock::Fixed(at("2026-03-01")),
        ..LivePersonSettings::default()
    }
}

/// Rows that come with errors aren't a page: none of them lands, and the next run gets all.
#[tokio::test]
async fn partial_data_moves_nothing() {
    let rig = Rig::new(&three_days(), settings()).await;
    rig.sim.make_partial(1_000);
    let report = rig.run(at("2026-03-06")).await;
    let message = failures(&report);
    assert!(message.contains("transient: the provider answered with rows, and with errors: Exception while fetching data (/auditData[1]/objectName)"), "{message}");
    assert!(rig.rows().await.is_empty());
    rig.sim.make_partial(0);
    rig.tick(at("2026-03-06T00:10:00Z")).await;
    rig.assert_holds(rig.truth("2026-03-01", "2026-03-04", Tz::UTC))
        .await;
}

/// Only what says that the question isn't valid is asked in other words; all else would be asked in vain.
#[tokio::test]
async fn errors_in_a_200_are_what_they_say() {
    for (errors, kind) in [
        (
            r#"[{"message":"slow down","extensions":{"code":"THROTTLED"}}]"#,
            "rate_limited",
        ),
        (r#"[{"message":"Rate limit exceeded"}]"#, "rate_limited"),
        (
            r#"[{"message":"no","extensions":{"code":"429"}}]"#,
            "rate_limited",
        ),
        (
            r#"[{"message":"no","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]"#,
            "transient",
        ),
        (r#"[{"message":"oops","path":["auditData"]}]"#, "transient"),
        (r#"["oops"]"#, "transient"),
        (r#"{"message":"oops"}"#, "transient"),
        (
            r#"[{"message":"no","extensions":{"code":"UNAUTHENTICATED"}}]"#,
            "auth",
        ),
        (
            r#"[{"message":"no","extensions":{"code":"FORBIDDEN"}}]"#,
            "auth",
        ),
    ] {
        for data in [
            r#""data":null,"#,
            r#""data":{"auditData":null},"#,
            "",
            r#""data":{"auditData":[]},"#,
        ] {
            let rig = Rig::new(&three_days(), settings()).await;
            let body = format!(r#"{{{data}"errors":{errors}}}"#).into_bytes();
            let fault = Fault::rewritten(move |_, answer| answer.body.clone_from(&body));
            rig.sim.faults().always(endpoint::AUDIT, fault);
            let report = rig.run(at("2026-03-01T20:00:00Z")).await;
            let message = failures(&report);
            assert!(
                message.contains(&format!(" {kind}: ")),
                "{errors}: {message}"
            );
            let calls = rig.sim.counters().calls(endpoint::AUDIT);
            let failures = report.failures.len() as u64;
            if errors.contains("UNAUTHENTICATED") {
                // another one after a new sign-in, but not forever
                assert!(
                    calls > failures && calls <= 2 * failures,
                    "{calls}: {message}"
                );
                assert_eq!(rig.sim.counters().calls(endpoint::TOKEN), 2);
            } else {
                assert_eq!(calls, failures, "one for each window: {message}");
                assert_eq!(rig.sim.counters().calls(endpoint::TOKEN), 1);
            }
            assert!(rig.rows().await.is_empty());
        }
    }
    let rig = Rig::new(&three_days(), settings()).await;
    let invalid =
        r#"{"errors":[{"message":"no","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}"#;
    let fault = Fault::rewritten(|_, answer| answer.body = invalid.as_bytes().to_vec());
    rig.sim.faults().always(endpoint::AUDIT, fault);
    let message = failures(&rig.run(at("2026-03-01T20:00:00Z")).await);
    assert!(message.contains(" config: "), "{message}");
    assert!(rig.sim.counters().calls(endpoint::AUDIT) > 1);
}

/// A token that is refused in an answer's body is renewed, and the call is made again, as after a 401.
#[tokio::test]
async fn a_token_refused_in_a_200_is_renewed() {
    for (status, errors) in [
        (
            200,
            r#"[{"message":"no","extensions":{"code":"UNAUTHENTICATED"}}]"#,
        ),
        (
            200,
            r#"[{"message":"no","extensions":{"http":{"status":401}}}]"#,
        ),
        (200, r#"[{"message":"Your token has expired"}]"#),
        (
            200,
            r#"[{"message":"x","errorType":"UnauthorizedException"}]"#,
        ),
        (400, r#"[{"message":"Invalid token"}]"#),
    ] {
        let rig = Rig::new(&three_days(), settings()).await;
        let body = format!(r#"{{"data":null,"errors":{errors}}}"#).into_bytes();
        let fault = Fault::rewritten(move |_, answer| {
            answer.status = status;
            answer.body.clone_from(&body);
        });
        rig.sim.faults().next(endpoint::AUDIT, 1, fault);
        rig.tick(at("2026-03-06")).await;
        assert_eq!(rig.sim.counters().calls(endpoint::TOKEN), 2, "{errors}");
        rig.assert_holds(rig.truth("2026-03-01", "2026-03-04", Tz::UTC))
            .await;
    }
}

/// A pause that an answer's body asks for is the connection's, as that of a `Retry-After` is.
#[tokio::test]
async fn a_pause_in_an_answers_body_rests_the_connection() {
    let throttled = r#"{"errors":[{"message":"slow down","extensions":{"code":"THROTTLED","retryAfter":3600}}]}"#;
    let rig = Rig::new(&three_days(), settings()).await;
    let fault = Fault::rewritten(|_, answer| answer.body = throttled.as_bytes().to_vec());
    rig.sim.faults().always(endpoint::AUDIT, fault);
    let message = failures(&rig.run(at("2026-03-06")).await);
    assert!(message.contains("rate_limited: "), "{message}");
    let pause = rig.job.source.client.budget().pause;
    assert!(pause.as_secs() > 3_500, "{pause:?}");
    let calls = rig.sim.counters().calls(endpoint::AUDIT);
    rig.run(at("2026-03-06")).await;
    assert_eq!(rig.sim.counters().calls(endpoint::AUDIT), calls);
}

/// Requested pauses are made, a few times in a row.
#[tokio::test]
async fn a_pause_that_an_error_asks_for_is_made() {
    let throttled = r#"{"data":null,"errors":[{"message":"slow down","extensions":{"code":"THROTTLED","retryAfter":0.3}}]}"#;
    let fault = || Fault::rewritten(|_, answer| answer.body = throttled.as_bytes().to_vec());
    let rig = Rig::new(&three_days(), settings()).await;
    rig.sim.faults().next(endpoint::AUDIT, 2, fault());
    let began = std::time::Instant::now();
    rig.tick(at("2026-03-06")).await;
    assert!(began.elapsed().as_millis() >= 300);
    rig.assert_holds(rig.truth("2026-03-01", "2026-03-04", Tz::UTC))
        .await;

    let rig = Rig::new(&three_days(), settings()).await;
    rig.sim.faults().always(endpoint::AUDIT, fault());
    let report = rig.run(at("2026-03-01T20:00:00Z")).await;
    let message = failures(&report);
    assert!(
        message
            .contains("rate_limited: the provider answered with errors: slow down (`THROTTLED`)"),
        "{message}"
    );
    let calls = rig.sim.counters().calls(endpoint::AUDIT);
    assert_eq!(calls, 4 * report.failures.len() as u64);
}

#[tokio::test]
async fn a_missing_privilege_is_told() {
    let rig = Rig::new(&three_days(), settings()).await;
    rig.sim.forbid();
    let message = failures(&rig.run(at("2026-03-06")).await);
    assert!(message.contains("auth: "), "{message}");
    assert!(
        message.contains("Missing privilege for audit trail"),
        "{message}"
    );
}

/// A service whose look-up fails is named, also where another one's goes well.
#[tokio::test]
async fn a_look_up_that_fails_says_of_which_service() {
    for (credentials, service) in [
        (super::support::APP, "sentinel"),
        (super::support::APP, "accountConfigReadOnly"),
        (USER, "agentVep"),
    ] {
        let rig = Rig::with(&three_days(), settings(), credentials, "").await;
        rig.sim.fail_look_up(service, 400);
        let message = failures(&rig.run(at("2026-03-06")).await);
        assert!(
            message.contains(&format!("`{service}`")),
            "{service}: {message}"
        );
        assert!(rig.rows().await.is_empty());
        rig.sim.fail_look_up(service, 200);
        // a sign-in that failed for good isn't tried again at once
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_hours(1)).await;
        tokio::time::resume();
        rig.tick(at("2026-03-06T00:10:00Z")).await;
        rig.assert_holds(rig.truth("2026-03-01", "2026-03-04", Tz::UTC))
            .await;
    }
}

/// Neither a password nor a token goes to a host that the look-up may not name.
#[tokio::test]
async fn a_foreign_host_gets_no_credentials() {
    for service in ["sentinel", "accountConfigReadOnly"] {
        let rig = Rig::new(&three_days(), settings()).await;
        rig.sim.name_host(service, "evil.example.com");
        let message = failures(&rig.run(at("2026-03-06")).await);
        assert!(message.contains("evil.example.com"), "{message}");
        assert_eq!(rig.sim.counters().calls(endpoint::AUDIT), 0);
    }
}

#[tokio::test]
async fn what_cannot_be_read_waits_in_quarantine_once() {
    let spec = DatasetSpec {
        poison: 9,
        ..three_days()
    };
    let rig = Rig::new(&spec, settings()).await;
    let mut counted = 0;
    for now in ["2026-03-05", "2026-03-06", "2026-03-07"] {
        counted += rig.tick(at(now)).await.totals.counts.quarantined;
    }
    rig.assert_holds(rig.truth("2026-03-01", "2026-03-04", Tz::UTC))
        .await;
    let lines = rig.quarantine().await;
    // the neighbouring days show a record, too
    assert_eq!(counted, lines.len() as u64);
    let mut reasons: Vec<&str> = lines
        .iter()
        .map(|line| line["reason"].as_str().unwrap())
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(
        reasons,
        [
            "`changeDate` is no date: `0000-00-00 00:00:00.0`",
            "the record has no `changeDate`",
            "the record is not a JSON object",
        ]
    );
}

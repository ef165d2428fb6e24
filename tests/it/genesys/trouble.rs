//! What goes wrong on the way: the lake holds the truth all the same, or the run says what it lacks.

use std::time::{Duration, Instant};

use auditlake::model::FailureKind;
use auditlake::providers::genesys::{GenesysOptions, Mode};
use auditlake::run::plan::Policy;
use auditlake::run::{self, RunMode, RunOptions};
use auditlake::sim::genesys::endpoint::{REALTIME, RESULTS, SERVICES, STATUS, SUBMIT, TOKEN};
use auditlake::sim::genesys::{DatasetSpec, GenesysSettings, PoisonKind};
use auditlake::sim::{Fault, FaultRule};
use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::support::*;

const NOW: &str = "2026-03-02T01:00:00Z";

/// One window with several pages.
fn wide() -> Policy {
    Policy {
        window: TimeDelta::days(2),
        ..policy()
    }
}

async fn async_only(settings: GenesysSettings) -> Rig {
    Rig::with(&day(), settings, options(Mode::Async, &[FIRST]), wide()).await
}

async fn assert_first_exact(rig: &Rig) {
    rig.assert_exact_for(Some(FIRST), at("2026-03-01"), at("2026-03-02"), at(NOW))
        .await;
}

/// Runs while `meddle` has its way at the moment when `endpoint` is called for the `nth` time.
async fn run_and_meddle(
    rig: &Rig,
    endpoint: &'static str,
    nth: u32,
    stop: &CancellationToken,
    meddle: impl FnOnce(),
) -> run::RunReport {
    let hold = CancellationToken::new();
    rig.sim.faults().inject(FaultRule {
        endpoint: Some(endpoint),
        skip: nth - 1,
        times: 1,
        fault: Fault::Hold(hold.clone()),
    });
    let meddling = async {
        rig.sim.counters().reached(endpoint, nth.into()).await;
        meddle();
        hold.cancel();
    };
    let (report, ()) = tokio::join!(rig.mode(RunMode::Due, at(NOW), stop), meddling);
    report
}

#[tokio::test]
async fn cursors_that_expire_in_the_middle_cost_a_new_query() {
    let rig = async_only(prompt()).await;
    let stop = CancellationToken::new();
    let report = run_and_meddle(&rig, RESULTS, 3, &stop, || rig.sim.expire_cursors()).await;
    assert_eq!(failures(&report), "");
    assert_first_exact(&rig).await;
    assert_eq!(rig.sim.counters().calls(SUBMIT), 2);
    assert!(report.totals.counts.duplicate > 0);
}

#[tokio::test]
async fn transactions_that_expire_cost_a_new_query() {
    for (endpoint, nth) in [(STATUS, 1), (RESULTS, 1), (RESULTS, 2)] {
        let settings = GenesysSettings {
            running_polls: 1,
            ..prompt()
        };
        let rig = async_only(settings).await;
        let stop = CancellationToken::new();
        let report =
            run_and_meddle(&rig, endpoint, nth, &stop, || rig.sim.expire_transactions()).await;
        assert_eq!(failures(&report), "");
        assert_first_exact(&rig).await;
        assert_eq!(rig.sim.counters().calls(SUBMIT), 2);
    }
}

#[tokio::test]
async fn a_provider_that_forgets_every_query_is_a_passing_failure() {
    let settings = GenesysSettings {
        transaction_lifetime: Duration::from_secs(1),
        ..prompt()
    };
    let rig = async_only(settings).await;
    let forget = async {
        let mut calls = 0;
        loop {
            calls += 1;
            rig.sim.counters().reached(SUBMIT, calls).await;
            rig.sim.advance(Duration::from_mins(1));
        }
    };
    let report = tokio::select! {
        report = rig.run(at(NOW)) => report,
        () = forget => unreachable!(),
    };
    let failure = &report.failures[0];
    assert_eq!(
        failure.error.kind(),
        FailureKind::Transient,
        "{}",
        failures(&report)
    );
    assert!(rig.sim.counters().calls(SUBMIT) <= 5);
}

#[tokio::test]
async fn a_token_revoked_in_the_middle_is_renewed_once() {
    let rig = async_only(prompt()).await;
    let stop = CancellationToken::new();
    let report = run_and_meddle(&rig, RESULTS, 2, &stop, || rig.sim.revoke_tokens()).await;
    assert_eq!(failures(&report), "");
    assert_first_exact(&rig).await;
    assert_eq!(rig.sim.counters().calls(TOKEN), 2);
    assert_eq!(rig.sim.counters().calls(SUBMIT), 1);
}

#[tokio::test]
async fn a_stopped_run_goes_on_from_its_cursor() {
    let rig = async_only(prompt()).await;
    let stop = CancellationToken::new();
    let report = run_and_meddle(&rig, RESULTS, 2, &stop, || stop.cancel()).await;
    assert!(report.unfinished);
    assert_eq!(failures(&report), "");
    let landed = rig.rows().await.len() as u64;
    assert_eq!((landed > 0, report.totals.counts.new), (true, landed));
    let commit = rig.newest().await;
    assert_eq!(commit.progress[FIRST].open.len(), 1);
    assert_eq!(commit.planned_at, None);

    let report = rig.tick(at(NOW)).await;
    assert_first_exact(&rig).await;
    assert_eq!(rig.sim.counters().calls(SUBMIT), 1, "it began again");
    assert_eq!(report.totals.counts.duplicate, 0);
    assert_eq!(
        report.totals.counts.new + landed,
        rig.rows().await.len() as u64
    );
    assert!(rig.newest().await.progress[FIRST].open.is_empty());
}

#[tokio::test]
async fn a_stopped_run_whose_cursor_expires_begins_its_range_again() {
    let rig = async_only(prompt()).await;
    let stop = CancellationToken::new();
    run_and_meddle(&rig, RESULTS, 2, &stop, || stop.cancel()).await;
    let landed = rig.rows().await.len() as u64;
    rig.sim.expire_transactions();
    let report = rig.tick(at(NOW)).await;
    assert_first_exact(&rig).await;
    assert_eq!(report.totals.counts.duplicate, landed);
    assert!(rig.rows().await.iter().all(|row| row.late_by_ms.is_none()));
}

/// A fifth of all calls goes wrong, each in another way.
#[tokio::test]
async fn whatever_fails_now_and_then_the_lake_becomes_exact() {
    let status = |status: u16, retry_after: Option<&str>| Fault::Status {
        status,
        retry_after: retry_after.map(str::to_owned),
    };
    let faults = [
        status(429, Some("0")),
        status(500, None),
        Fault::TruncatedBody,
        status(503, Some("0")),
        Fault::CutBody,
        Fault::Html { status: 502 },
        Fault::Reset,
        Fault::Html { status: 200 },
        status(408, None),
        Fault::Html { status: 504 },
    ];
    for mode in [Mode::Auto, Mode::Async] {
        let settings = GenesysSettings {
            large_results_over: Some(150),
            ..prompt()
        };
        let rig = Rig::new(&day(), settings, options(mode, &[FIRST, ASYNC_ONLY])).await;
        for (nth, fault) in (0..).zip(faults.iter().cycle().take(400)) {
            rig.sim.faults().inject(FaultRule {
                endpoint: None,
                skip: 4 * nth + 1,
                times: 1,
                fault: fault.clone(),
            });
        }
        let (mut runs, mut new) = (0, 0);
        loop {
            runs += 1;
            assert!(runs < 60, "no progress");
            rig.sim.set_now(at(NOW));
            let options = RunOptions {
                clock: auditlake::clock::Clock::AsOf(at(NOW)),
                at_once: true,
                ..RunOptions::new(CancellationToken::new())
            };
            // the list of services can fail, too, and with it the run
            let report = match run::run(&rig.job, RunMode::Due, &options).await {
                Ok(run::RunOutcome::Ran(report)) => report,
                Ok(held) => panic!("{held:?}"),
                Err(error) => {
                    assert!(
                        matches!(error.kind(), FailureKind::Data | FailureKind::Transient),
                        "{error}"
                    );
                    continue;
                }
            };
            new += report.totals.counts.new;
            for failure in &report.failures {
                let kind = failure.error.kind();
                assert!(
                    matches!(kind, FailureKind::Data | FailureKind::Transient),
                    "{}",
                    failures(&report)
                );
            }
            if report.failures.is_empty() {
                break;
            }
        }
        rig.assert_exact(at("2026-03-01"), at("2026-03-02"), at(NOW))
            .await;
        assert_eq!(new, rig.rows().await.len() as u64);
        assert_eq!(rig.quarantine().await.len(), 0);
    }
}

#[tokio::test]
async fn a_pause_that_the_provider_asks_for_is_kept() {
    let rig = async_only(prompt()).await;
    let fault = Fault::Status {
        status: 429,
        retry_after: Some("1".to_owned()),
    };
    rig.sim.faults().next(RESULTS, 1, fault);
    let began = Instant::now();
    rig.tick(at(NOW)).await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_first_exact(&rig).await;
}

#[tokio::test]
async fn a_forbidden_service_blocks_only_itself() {
    let rig = Rig::with(&day(), prompt(), GenesysOptions::default(), wide()).await;
    rig.sim.forbid_service(ASYNC_ONLY);
    let report = rig.run(at(NOW)).await;
    insta::assert_snapshot!(failures(&report));
    assert_eq!(report.failures[0].error.kind(), FailureKind::Auth);
    assert_eq!(rig.sim.counters().answers(403), 1, "it insisted");
    assert_first_exact(&rig).await;

    // once it is allowed, it is pulled from where it stands: the start
    rig.sim.allow_service(ASYNC_ONLY);
    rig.tick(at(NOW)).await;
    rig.assert_exact(at("2026-03-01"), at("2026-03-02"), at(NOW))
        .await;
}

#[tokio::test]
async fn wrong_credentials_are_not_tried_again_and_again() {
    for services in [&[][..], &[FIRST, ASYNC_ONLY]] {
        let mut rig = Rig::new(&day(), prompt(), options(Mode::Async, services)).await;
        let wrong = client(&rig.sim, "not-the-secret", (1_000, Duration::from_secs(1)));
        rig.job.source.client = wrong;
        let options = RunOptions::new(CancellationToken::new());
        match run::run(&rig.job, RunMode::Due, &options).await {
            Err(error) => assert_eq!(error.kind(), FailureKind::Auth),
            Ok(run::RunOutcome::Ran(report)) => {
                assert_eq!(report.failures.len(), 2);
                for failure in &report.failures {
                    assert_eq!(failure.error.kind(), FailureKind::Auth);
                }
                assert!(!failures(&report).contains("not-the-secret"));
            }
            Ok(held) => panic!("{held:?}"),
        }
        assert_eq!(rig.sim.counters().calls(TOKEN), 1);
        assert_eq!(rig.sim.counters().calls(SERVICES), 0);
        assert_eq!(rig.rows().await, []);
    }
}

#[tokio::test]
async fn a_window_that_is_too_large_is_halved_and_grows_again() {
    for mode in [Mode::Realtime, Mode::Async] {
        // the one answers 504 beyond an hour, the other 400 about the interval
        let settings = GenesysSettings {
            realtime_longest_interval: Duration::from_hours(1),
            longest_interval: Duration::from_hours(1),
            ..prompt()
        };
        let rig = Rig::new(&day(), settings, options(mode, &[FIRST])).await;
        let report = rig.tick(at(NOW)).await;
        assert_first_exact(&rig).await;
        let refused = rig.sim.counters().answers(504) + rig.sim.counters().answers(400);
        assert!(refused > 3, "{refused}");
        // 6 h is halved to 45 min; each success doubles what is tried next
        let asked = rig.sim.counters().calls(REALTIME) + rig.sim.counters().calls(SUBMIT);
        assert!(asked < 120, "{asked}");
        assert!(report.totals.windows >= 24);
        let commit = rig.newest().await;
        assert!(
            commit.progress[FIRST]
                .window
                .is_some_and(|seconds| seconds < 6 * 3600)
        );
    }
}

#[tokio::test]
async fn a_window_that_stays_too_large_is_a_failure_that_says_what_to_do() {
    let settings = GenesysSettings {
        longest_interval: Duration::from_mins(10),
        ..prompt()
    };
    let policy = Policy {
        min_window: TimeDelta::minutes(15),
        ..wide()
    };
    let rig = Rig::with(&day(), settings, options(Mode::Async, &[FIRST]), policy).await;
    let report = rig.run(at(NOW)).await;
    assert_eq!(report.failures[0].error.kind(), FailureKind::Data);
    insta::assert_snapshot!(failures(&report));
    assert_eq!(rig.newest().await.progress[FIRST].watermark, None);
}

#[tokio::test]
async fn a_query_that_fails_is_halved_and_one_that_is_cancelled_waits_for_the_next_tick() {
    let rig = async_only(prompt()).await;
    rig.sim.end_next_queries_as("Failed", 1);
    rig.tick(at(NOW)).await;
    assert_first_exact(&rig).await;
    assert_eq!(rig.sim.counters().calls(SUBMIT), 3);

    let rig = async_only(prompt()).await;
    rig.sim.end_next_queries_as("Cancelled", 1);
    let report = rig.run(at(NOW)).await;
    assert_eq!(report.failures[0].error.kind(), FailureKind::Transient);
    rig.tick(at(NOW)).await;
    assert_first_exact(&rig).await;
}

fn poisoned() -> DatasetSpec {
    DatasetSpec {
        poison: 60,
        ..day()
    }
}

#[tokio::test]
async fn unreadable_records_wait_in_quarantine_and_the_others_land() {
    let policy = Policy {
        window: TimeDelta::hours(1),
        settle: vec![TimeDelta::hours(2), TimeDelta::hours(6)],
        ..policy()
    };
    let rig = Rig::with(&poisoned(), prompt(), GenesysOptions::default(), policy).await;
    let mut now = at("2026-03-01T01:00:00Z");
    let mut counted = 0;
    while now < at("2026-03-02T09:00:00Z") {
        let report = rig.tick(now).await;
        counted += report.totals.counts.quarantined;
        now += TimeDelta::hours(1);
    }
    let dataset = rig.sim.dataset();
    let poison = dataset.poison(now);
    let mut expected: Vec<&str> = poison
        .iter()
        .filter(|poison| poison.kind != PoisonKind::NoId)
        .map(|poison| poison.raw)
        .collect();
    expected.sort_unstable();
    let lines = rig.quarantine().await;
    let mut waiting: Vec<&str> = lines
        .iter()
        .map(|line| line["raw"].as_str().unwrap())
        .collect();
    waiting.sort_unstable();
    assert_eq!(waiting, expected);
    assert_eq!(
        counted,
        expected.len() as u64,
        "what a settle pass shows again isn't counted again"
    );
    for line in &lines {
        for key in ["id", "reason", "stream", "from", "to", "pulled_at"] {
            assert!(line[key].is_string(), "{line}");
        }
    }

    // a record without an id lands under a hash, once
    let rows = rig.rows().await;
    let nameless: Vec<&Row> = rows
        .iter()
        .filter(|row| poison.iter().any(|poison| poison.raw == row.raw))
        .collect();
    assert_eq!(nameless.len(), poison.len() - expected.len());
    assert!(!nameless.is_empty() && nameless.iter().all(|row| row.id.len() == 32));
    rig.assert_exact_but_for_nameless(at("2026-03-01"), at("2026-03-02"), now)
        .await;
}

#[tokio::test]
async fn a_range_that_is_begun_again_quarantines_nothing_twice() {
    let expected = {
        let rig = Rig::with(
            &poisoned(),
            prompt(),
            options(Mode::Async, &[FIRST]),
            wide(),
        )
        .await;
        rig.tick(at(NOW)).await;
        rig.quarantine().await.len()
    };
    assert!(expected > 10);
    let stop = CancellationToken::new();

    // its cursor is gone, in the same run
    let rig = Rig::with(
        &poisoned(),
        prompt(),
        options(Mode::Async, &[FIRST]),
        wide(),
    )
    .await;
    run_and_meddle(&rig, RESULTS, 3, &stop, || rig.sim.expire_cursors()).await;
    assert_eq!(rig.quarantine().await.len(), expected);

    // it is halved in the middle
    let rig = Rig::with(
        &poisoned(),
        prompt(),
        options(Mode::Async, &[FIRST]),
        wide(),
    )
    .await;
    let too_large = Fault::Status {
        status: 413,
        retry_after: None,
    };
    rig.sim.faults().inject(FaultRule {
        endpoint: Some(RESULTS),
        skip: 2,
        times: 1,
        fault: too_large,
    });
    rig.tick(at(NOW)).await;
    assert!(rig.sim.counters().calls(SUBMIT) > 1);
    assert_eq!(rig.quarantine().await.len(), expected);

    // the run is stopped, and the next one continues
    let rig = Rig::with(
        &poisoned(),
        prompt(),
        options(Mode::Async, &[FIRST]),
        wide(),
    )
    .await;
    run_and_meddle(&rig, RESULTS, 2, &stop, || stop.cancel()).await;
    assert!(rig.quarantine().await.len() < expected);
    rig.tick(at(NOW)).await;
    assert_eq!(rig.quarantine().await.len(), expected);
}

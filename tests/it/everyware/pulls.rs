//! The pipeline against the simulator: zones, late arrivals, dates that mean nothing, caps, bodies that break off.

use std::collections::BTreeMap;

use auditlake::sim::Fault;
use auditlake::sim::everyware::{
    DatasetSpec, Dates, Empty, EverywareSettings, Form, TimeForm, endpoint,
};
use chrono::TimeDelta;
use chrono_tz::Tz;

use super::support::{Rig, settings, three_days};
use crate::support::rig::{Row, at, failures, range};

const SETTLE: &str = "settle: [1h, 24h]";

/// Runs at an interval in hours until everything is settled.
async fn pull_through(rig: &Rig, hours: usize) {
    for hour in (hours..=120).step_by(hours) {
        let hour = i64::try_from(hour).unwrap();
        rig.tick(at("2026-03-01") + TimeDelta::hours(hour)).await;
    }
}

#[tokio::test]
async fn every_zone_of_the_server_gives_the_same_lake_known_or_not() {
    for zone in [
        Tz::UTC,
        Tz::America__New_York,
        Tz::Europe__Rome,
        Tz::Pacific__Kiritimati,
    ] {
        let mut calls = BTreeMap::new();
        for options in [String::new(), format!("options: {{timezone: {zone}}}")] {
            let settings = EverywareSettings {
                timezone: zone,
                ..settings()
            };
            let spec = DatasetSpec {
                times: TimeForm::Mixed,
                ..three_days()
            };
            let rig = Rig::new(&spec, settings, &format!("{SETTLE}\n    {options}")).await;
            pull_through(&rig, 12).await;
            rig.assert_exact().await;
            let counts = rig.counts().await;
            assert_eq!(
                (counts.outside, counts.quarantined),
                (0, 0),
                "{zone} {options}"
            );
            assert!(counts.late > 0, "{counts:?}");
            assert_eq!(rig.remarks().await, [""; 0]);
            calls.insert(
                options,
                (rig.sim.counters().calls(endpoint::AUDIT), counts.fetched),
            );
        }
        let known = calls.pop_last().unwrap().1;
        let unknown = calls.pop_last().unwrap().1;
        // as many calls, with fewer records in them
        assert_eq!(known.0, unknown.0, "{zone}");
        assert!(known.1 < unknown.1, "{zone} {known:?} {unknown:?}");
    }
}

#[tokio::test]
async fn a_record_that_a_day_did_not_show_is_landed_late_and_says_so() {
    let rig = Rig::new(&three_days(), settings(), SETTLE).await;
    pull_through(&rig, 6).await;
    rig.assert_exact().await;
    let rows = rig.rows().await;
    let late: Vec<_> = rows.iter().filter(|row| row.late_by_ms.is_some()).collect();
    assert!(late.len() > 20);
    for row in late {
        let by = row.late_by_ms.unwrap();
        assert_eq!(by, (row.ingested_at - row.time) / 1_000);
        assert!(by > 60_000, "{row:?}");
    }
}

#[tokio::test]
async fn dates_that_mean_nothing_are_noticed_and_the_lake_is_exact_all_the_same() {
    let settings = EverywareSettings {
        dates: Dates::Ignored,
        ..settings()
    };
    let spec = DatasetSpec {
        to: at("2026-03-08"),
        ..three_days()
    };
    let rig = Rig::new(&spec, settings, "").await;
    let report = rig.tick(at("2026-03-10")).await;
    assert!(
        report.totals.counts.outside > 300,
        "{:?}",
        report.totals.counts
    );
    rig.assert_exact().await;
    let remarks = rig.remarks().await;
    assert!(
        remarks
            .iter()
            .any(|remark| remark.ends_with("new records outside the requested bounds")),
        "{remarks:?}"
    );
}

#[tokio::test]
async fn what_a_day_shows_of_others_lands_if_they_were_pulled_and_not_before_the_start() {
    let rig = Rig::new(
        &three_days(),
        settings(),
        "settle: []\n    start: 2026-03-02",
    )
    .await;
    rig.tick(at("2026-03-03T06:00:00Z")).await;
    let truth = |to: &str| {
        let truth = rig
            .sim
            .dataset()
            .truth_of("acme", at("2026-03-02"), at(to), rig.sim.now());
        truth
            .into_iter()
            .map(|truth| (truth.event_time_micros, truth.raw.to_owned()))
            .collect::<Vec<_>>()
    };
    rig.assert_holds(truth("2026-03-03T05:58:00Z")).await;
    // all is visible; the day before and the one behind are shown with the one that is read again
    let before = rig.rows().await.len();
    rig.backfill(range("2026-03-02", "2026-03-03"), true, at("2026-03-08"))
        .await;
    rig.assert_holds(truth("2026-03-03T05:58:00Z")).await;
    let rows = rig.rows().await;
    let late =
        |row: &&Row| row.late_by_ms.is_some() && row.time >= at("2026-03-03").timestamp_micros();
    assert!(
        rows.iter().filter(late).count() > 0,
        "{before} rows, now {}",
        rows.len()
    );
}

#[tokio::test]
async fn what_lies_outside_is_told_of_though_the_answer_broke_off_behind_it() {
    let settings = EverywareSettings {
        dates: Dates::Ignored,
        ..settings()
    };
    let rig = Rig::new(&three_days(), settings, "start: 2026-03-08").await;
    rig.sim.faults().next(endpoint::AUDIT, 100, Fault::CutBody);
    let report = rig.run(at("2026-03-09")).await;
    assert!(failures(&report).contains("broke off"));
    let outside: u64 = (rig.remarks().await.iter())
        .filter_map(|remark| remark.strip_suffix(" new records outside the requested bounds"))
        .map(|count| count.parse::<u64>().unwrap())
        .sum();
    assert!(outside > 100, "{outside}");
    assert_eq!(outside, rig.counts().await.outside);
}

#[tokio::test]
async fn a_hidden_cap_is_told_of_and_a_known_one_stops_the_day() {
    let spec = DatasetSpec {
        late_share: 0.0,
        ..three_days()
    };
    let capped = || EverywareSettings {
        hidden_cap: Some(100),
        ..settings()
    };
    let rig = Rig::new(&spec, capped(), "options: {timezone: UTC}").await;
    let report = rig.tick(at("2026-03-05")).await;
    assert_eq!(report.totals.counts.new, 300);
    let remarks = rig.remarks().await;
    assert!(remarks[0].contains("exactly 100 records"), "{remarks:?}");
    let rig = Rig::new(&spec, capped(), "options: {timezone: UTC, max_rows: 100}").await;
    let report = rig.run(at("2026-03-05")).await;
    let message = failures(&report);
    assert!(
        message.contains(" data: ")
            && message.contains("has 100 records, and from 100 (`max_rows`) on"),
        "{message}"
    );
    let newest = rig.newest().await;
    let progress = newest.progress.get("audit");
    let watermark = progress.and_then(|progress| progress.watermark);
    assert!(watermark.is_none_or(|watermark| watermark == at("2026-03-01")));
    // a job that asks for less at once gets all of it
    let mut found = 0;
    for (action, result) in [
        ("LOGIN", "TRUE"),
        ("LOGIN", "FALSE"),
        ("CREATE", "TRUE"),
        ("DELETE", "TRUE"),
    ] {
        let options = format!(
            "options: {{timezone: UTC, max_rows: 100, action: {action}, result_code: {result}}}"
        );
        let rig = Rig::new(&spec, capped(), &options).await;
        found += rig.tick(at("2026-03-05")).await.totals.counts.new;
    }
    assert!(found > 400, "{found}");
}

#[tokio::test]
async fn a_provider_that_says_it_shows_too_little_is_believed() {
    let settings = EverywareSettings {
        hidden_cap: Some(77),
        tells_limit: true,
        ..settings()
    };
    let rig = Rig::new(&three_days(), settings, "").await;
    let report = rig.run(at("2026-03-10")).await;
    let message = failures(&report);
    assert!(message.contains("the range is too large for the provider: it says that a limit is exceeded, and shows 77 records"), "{message}");
    rig.sim.change(|settings| settings.hidden_cap = None);
    rig.tick(at("2026-03-10")).await;
    rig.assert_exact().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_read_again_and_nothing_is_twice() {
    let rig = Rig::new(&three_days(), settings(), "").await;
    for fault in [
        Fault::CutBody,
        Fault::TruncatedBody,
        Fault::Reset,
        Fault::CutBody,
    ] {
        rig.sim.faults().next(endpoint::AUDIT, 1, fault);
    }
    rig.tick(at("2026-03-10")).await;
    rig.assert_exact().await;
    assert_eq!(rig.sim.counters().calls(endpoint::AUDIT), 9 + 4);
}

#[tokio::test]
async fn a_body_that_always_breaks_off_fails_its_day_for_now() {
    for (fault, says) in [
        (Fault::CutBody, "the answer broke off"),
        (Fault::TruncatedBody, "the answer ended in the middle"),
    ] {
        let rig = Rig::new(&three_days(), settings(), "").await;
        rig.sim.faults().next(endpoint::AUDIT, 1_000, fault);
        let report = rig.run(at("2026-03-10")).await;
        let message = failures(&report);
        assert!(
            message.contains(" transient: ") && message.contains(says),
            "{message}"
        );
        rig.sim.faults().clear();
        rig.tick(at("2026-03-10")).await;
        rig.assert_exact().await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_waits_in_quarantine_and_stops_nothing() {
    let spec = DatasetSpec {
        poison: 60,
        late_share: 0.0,
        ..three_days()
    };
    let rig = Rig::new(&spec, settings(), SETTLE).await;
    pull_through(&rig, 12).await;
    rig.assert_exact().await;
    let quarantine = rig.quarantine().await;
    // each day is shown by the pulls of its neighbours, too, and again by settle passes
    let counts = rig.counts().await;
    assert_eq!(counts.quarantined, quarantine.len() as u64);
    assert_eq!(
        counts.fetched,
        counts.new + counts.duplicate + counts.quarantined + counts.waiting
    );
    for poison in rig.sim.dataset().poison(rig.sim.now()) {
        assert!(
            quarantine.iter().any(|line| line["raw"] == poison.raw),
            "{poison:?}"
        );
    }
    let reasons: std::collections::BTreeSet<&str> = quarantine
        .iter()
        .map(|line| line["reason"].as_str().unwrap())
        .collect();
    insta::assert_snapshot!(reasons.into_iter().collect::<Vec<_>>().join("\n"), @"
    `occurredOn` is no date: `the day before` (premature end of input)
    the record has no `occurredOn`
    the record is not a JSON object
    ");
}

#[tokio::test]
async fn every_form_of_an_answer_is_the_same_log() {
    for (empty, lone_object, default_form) in [
        (Empty::List, false, Form::Json),
        (Empty::Null, true, Form::Xml),
        (Empty::Object, true, Form::Json),
        (Empty::NoContent, true, Form::Json),
    ] {
        let settings = EverywareSettings {
            empty,
            lone_object,
            default_form,
            ..settings()
        };
        // some days have one record, some none
        let spec = DatasetSpec {
            records: 6,
            to: at("2026-03-20"),
            late_share: 0.0,
            ..three_days()
        };
        let rig = Rig::new(&spec, settings, "options: {timezone: UTC}").await;
        rig.tick(at("2026-03-22")).await;
        rig.assert_exact().await;
    }
}

#[tokio::test]
async fn jobs_of_different_actions_or_accounts_share_nothing() {
    let spec = DatasetSpec {
        accounts: vec!["acme".to_owned(), "plant-2".to_owned()],
        late_share: 0.0,
        ..three_days()
    };
    let mut found = 0;
    for filter in [
        "action: LOGIN",
        "action: CREATE",
        "action: UPDATE",
        "action: DELETE",
    ] {
        let rig = Rig::new(&spec, settings(), &format!("options: {{{filter}}}")).await;
        rig.tick(at("2026-03-10")).await;
        found += rig.rows().await.len();
    }
    let rig = Rig::new(&spec, settings(), "").await;
    rig.tick(at("2026-03-10")).await;
    rig.assert_exact().await;
    let all = rig.rows().await.len();
    assert!(
        found < all,
        "the four actions leave some out: {found} of {all}"
    );
    let child = Rig::of_account(&spec, settings(), "child_account: plant-2", "").await;
    child.tick(at("2026-03-10")).await;
    child.assert_exact_for("plant-2").await;
    assert_eq!(all + child.rows().await.len(), spec.records);
}

/// The error of the first day that fails. Days are requested in parallel, so it may be any of them.
async fn refusal(rig: &Rig) -> String {
    let message = failures(&rig.run(at("2026-03-10")).await);
    message.trim().splitn(3, ' ').last().unwrap().to_owned()
}

#[tokio::test]
async fn a_refusal_tells_its_kind() {
    let rig = Rig::new(&three_days(), settings(), "").await;
    rig.sim
        .change(|settings| settings.forbidden_accounts = vec!["acme".to_owned()]);
    insta::assert_snapshot!(refusal(&rig).await, @"auth: the provider answered 403 Forbidden: The current user is not allowed to perform this operation");
    rig.sim
        .change(|settings| settings.forbidden_accounts.clear());
    rig.sim
        .faults()
        .next(endpoint::AUDIT, 1_000, Fault::Html { status: 404 });
    insta::assert_snapshot!(refusal(&rig).await, @"config: the provider answered 404 Not Found: `404`; is `base_url` right, up to and with `/v2`?");
    rig.sim.faults().clear();
    rig.sim.change(|settings| {
        settings.password = "another".to_owned();
    });
    let message = refusal(&rig).await;
    assert!(
        message.starts_with("auth: ") && !message.contains("sim-secret"),
        "{message}"
    );
}

#[tokio::test]
async fn a_backfill_reads_each_day_again_and_lands_nothing_twice() {
    let rig = Rig::new(&three_days(), settings(), "").await;
    rig.tick(at("2026-03-10")).await;
    let report = rig
        .backfill(range("2026-03-01", "2026-03-04"), true, at("2026-03-10"))
        .await;
    assert_eq!(failures(&report), "");
    assert_eq!(report.totals.counts.new, 0);
    rig.assert_exact().await;
}

//! Whatever is not known of the provider, the lake holds each record as often as it is there.

use std::time::Duration;

use auditlake::sim::avaya::{
    AvayaSettings, DatasetSpec, DateBound, DateForms, Pagination, Ties, TokenAnswer, endpoint,
};
use chrono::TimeDelta;

use super::support::*;
use crate::support::rig::exceeding;

#[tokio::test]
async fn late_records_twins_and_ties_land_once_each_and_poison_waits() {
    let spec = DatasetSpec {
        records: 900,
        types: DatasetSpec::default().types,
        late_share: 0.1,
        latest: Duration::from_hours(20),
        twin_share: 0.1,
        poison: 12,
        ..two_days()
    };
    let rig = rig(&spec, settings(), "settle: [1h, 24h]").await;
    let mut now = at("2026-03-01T00:07:00Z");
    while now < at("2026-03-04T08:00:00Z") {
        rig.tick(now).await;
        now += TimeDelta::hours(3);
    }
    rig.assert_exact(at("2026-03-01"), at("2026-03-03"), now)
        .await;
    let rows = rig.rows().await;
    assert!(rows.iter().any(|row| row.id.ends_with("#2")), "twins");
    assert!(
        rows.iter().any(|row| row.late_by_ms.is_some()),
        "late arrivals"
    );
    let mut waiting: Vec<String> = (rig.quarantine().await.iter())
        .map(|line| line["raw"].as_str().unwrap().to_owned())
        .collect();
    let mut poison: Vec<String> = (rig.sim.dataset().poison(now).iter())
        .map(|poison| poison.raw.to_owned())
        .collect();
    waiting.sort();
    poison.sort();
    assert_eq!(waiting, poison);
}

#[tokio::test]
async fn records_of_one_instant_may_come_in_any_order() {
    let spec = DatasetSpec {
        largest_tie: 30,
        twin_share: 0.1,
        ..two_days()
    };
    for ties in [Ties::Stable, Ties::ByPage, Ties::Shuffled] {
        let settings = AvayaSettings { ties, ..settings() };
        rig(&spec, settings, SETTLED).await.pull_two_days().await;
    }
}

/// No page holds 60 records of one instant. Records that pages repeat must not compensate for records that pages skip:
/// the range fails with a message, and no row lands that doesn't exist.
#[tokio::test]
async fn more_records_of_one_instant_than_fit_on_a_page_are_never_guessed_at() {
    let spec = DatasetSpec {
        largest_tie: 60,
        twin_share: 0.0,
        ..two_days()
    };
    let rig = rig(&spec, settings(), SETTLED).await;
    let report = rig.run(at("2026-03-03T01:00:00Z")).await;
    let message = failures(&report);
    assert!(
        message.contains(" data: ") && message.contains("3 reads of it disagree"),
        "{message}"
    );
    let truth = rig
        .sim
        .dataset()
        .truth(at("2026-03-01"), at("2026-03-03"), rig.sim.now());
    let mut truth: Vec<(i64, String)> = truth
        .into_iter()
        .map(|truth| (truth.event_time_micros, truth.raw.to_owned()))
        .collect();
    let mut rows: Vec<(i64, String)> = (rig.rows().await.into_iter())
        .map(|row| (row.time, row.raw))
        .collect();
    truth.sort();
    rows.sort();
    assert!(rows.len() > 300 && rows.len() <= truth.len() - 60);
    assert_eq!(exceeding(&rows, &truth), Vec::<&(i64, String)>::new());
}

#[tokio::test]
async fn bounds_may_be_inclusive_or_not() {
    // more than one record a second, and windows that end on whole minutes
    let spec = DatasetSpec {
        records: 700,
        to: at("2026-03-01T00:10:00Z"),
        types: vec!["USER".to_owned()],
        late_share: 0.0,
        ..DatasetSpec::default()
    };
    for start in [DateBound::Inclusive, DateBound::Exclusive] {
        for end in [DateBound::Inclusive, DateBound::Exclusive] {
            let settings = AvayaSettings {
                start,
                end,
                ..settings()
            };
            let rig = rig(
                &spec,
                settings,
                "window: 1m\n    settle: []\n    options: {types: [USER]}",
            )
            .await;
            let now = at("2026-03-01T00:20:00Z");
            rig.tick(now).await;
            rig.assert_exact(at("2026-03-01"), at("2026-03-01T00:10:00Z"), now)
                .await;
        }
    }
}

#[tokio::test]
async fn a_range_whose_count_changes_is_read_again() {
    let spec = DatasetSpec {
        records: 400,
        to: at("2026-03-02"),
        types: vec!["USER".to_owned()],
        usual_delay: Duration::from_mins(10),
        late_share: 0.0,
        ..DatasetSpec::default()
    };
    // each call is a minute later, and the day's last records become visible meanwhile
    let settings = AvayaSettings {
        advance_per_call: Duration::from_mins(1),
        ..settings()
    };
    let rig = rig(
        &spec,
        settings,
        "window: 1d\n    settle: []\n    options: {types: [USER]}",
    )
    .await;
    rig.tick(at("2026-03-02T00:02:00Z")).await;
    // nine other streams would take a call each
    let whole_day = (at("2026-03-01"), at("2026-03-02"));
    let dataset = rig.sim.dataset();
    let needed = dataset.calls_needed(whole_day.0, whole_day.1, rig.sim.now()) - 9;
    let made = rig.sim.searches();
    assert!(made > needed, "{made} calls, {needed} needed");
    let held = rig.rows().await.len();
    let seen = |at| rig.sim.dataset().truth(spec.from, spec.to, at).len();
    assert!(held >= seen(at("2026-03-02T00:02:00Z")) && held <= seen(rig.sim.now()));
}

#[tokio::test]
async fn a_walk_outlives_its_token() {
    let settings = AvayaSettings {
        advance_per_call: Duration::from_mins(3),
        token_answer: TokenAnswer::Minimal,
        ..settings()
    };
    // A single stream: calls of another could use up a token before the call that it was fetched for is repeated.
    let spec = DatasetSpec {
        types: vec!["USER".to_owned()],
        ..two_days()
    };
    let rig = rig(&spec, settings, "settle: []\n    options: {types: [USER]}").await;
    rig.pull_two_days().await;
    assert!(
        rig.sim.counters().answers(401) > 3,
        "tokens ran out on the way"
    );
    let tokens = rig.sim.counters().calls(endpoint::TOKEN);
    assert!(
        tokens > 3 && tokens <= rig.sim.counters().answers(401) + 1,
        "{tokens}"
    );
}

#[tokio::test]
async fn a_record_whose_date_changes_its_form_is_the_same_record() {
    let settings = AvayaSettings {
        date_forms: DateForms::ByCall,
        ..settings()
    };
    let rig = rig(
        &two_days(),
        settings,
        "settle: [1h, 24h]\n    options: {types: [USER, QUEUE]}",
    )
    .await;
    let mut now = at("2026-03-01T06:07:00Z");
    while now < at("2026-03-04T08:00:00Z") {
        rig.tick(now).await;
        now += TimeDelta::hours(5);
    }
    let truth = rig
        .sim
        .dataset()
        .truth(at("2026-03-01"), at("2026-03-03"), now);
    let form = |raw: &str| raw.replacen("+00:00\"", "Z\"", 1);
    let mut shown: Vec<String> = truth.iter().map(|truth| form(truth.raw)).collect();
    let mut held: Vec<String> = (rig.rows().await.iter())
        .map(|row| form(&row.raw))
        .collect();
    shown.sort();
    held.sort();
    assert_eq!(held.len(), shown.len());
    assert!(held == shown);
}

#[tokio::test]
async fn pages_may_be_smaller_and_say_less() {
    for settings in [
        AvayaSettings {
            largest_page: 20,
            ..settings()
        },
        AvayaSettings {
            pagination: Pagination::WithoutTotal,
            ..settings()
        },
        AvayaSettings {
            pagination: Pagination::LeftOut,
            ..settings()
        },
        AvayaSettings {
            pagination: Pagination::LeftOut,
            largest_page: 20,
            ..settings()
        },
    ] {
        rig(&two_days(), settings, SETTLED)
            .await
            .pull_two_days()
            .await;
    }
}

#[tokio::test]
async fn a_range_that_is_too_large_is_halved() {
    for settings in [
        AvayaSettings {
            longest_interval: Some(Duration::from_hours(2)),
            ..settings()
        },
        AvayaSettings {
            most_records: Some(40),
            ..settings()
        },
        // without a message, except that it counts more than it returns
        AvayaSettings {
            deepest: Some(40),
            ..settings()
        },
    ] {
        rig(&two_days(), settings, SETTLED)
            .await
            .pull_two_days()
            .await;
    }
}

/// Other filters make another stream, which holds what the provider finds.
#[tokio::test]
async fn filters_are_the_providers_to_evaluate() {
    let rig = rig(
        &two_days(),
        settings(),
        "settle: []\n    options: {services: [match], event: CREATED}",
    )
    .await;
    rig.tick(at("2026-03-03T01:00:00Z")).await;
    let truth = rig
        .sim
        .dataset()
        .truth(at("2026-03-01"), at("2026-03-03"), rig.sim.now());
    let wanted = truth
        .iter()
        .filter(|truth| truth.kind == "QUEUE" && truth.raw.contains(r#""CREATED""#));
    let wanted: Vec<_> = wanted
        .map(|truth| (truth.event_time_micros, truth.raw.to_owned()))
        .collect();
    assert!(!wanted.is_empty());
    rig.assert_holds(wanted).await;
    let commit = rig.newest().await;
    assert_eq!(commit.streams.len(), 2);
}

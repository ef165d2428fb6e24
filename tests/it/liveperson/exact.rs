//! The lake holds what the provider shows, whatever of it nobody knows.

use std::time::Duration;

use auditlake::sim::Clock;
use auditlake::sim::liveperson::{
    DatasetSpec, DayZone, ListForm, LivePersonSettings, LookUpForm, Order, Ties, TotalCount,
    calls_needed, endpoint,
};
use chrono::{NaiveDate, TimeDelta};
use chrono_tz::Tz;

use super::support::{APP, Rig, USER, at, three_days};

fn settings() -> LivePersonSettings {
    LivePersonSettings {
        clock: Clock::Fixed(at("2026-03-01")),
        ..LivePersonSettings::default()
    }
}

/// Late arrivals, twins, ties that move, pages cut short; by default.
#[tokio::test]
async fn late_arrivals_and_twins_are_there_once_each() {
    let rig = Rig::new(&three_days(), settings()).await;
    rig.pull_three_days(6).await;
    assert!(rig.rows().await.iter().any(|row| row.id.ends_with("#2")));
    assert!(rig.rows().await.iter().any(|row| row.late_by_ms.is_some()));
}

#[tokio::test]
async fn ties_that_move_across_pages_lose_and_double_nothing() {
    for ties in [Ties::Shuffled, Ties::ByPage] {
        let settings = LivePersonSettings {
            ties,
            largest_page: 120,
            ..settings()
        };
        Rig::new(&three_days(), settings)
            .await
            .pull_three_days(24)
            .await;
    }
}

#[tokio::test]
async fn days_may_be_the_accounts_own() {
    for zone in [Tz::Pacific__Kiritimati, Tz::Etc__GMTPlus12] {
        let settings = LivePersonSettings {
            day_zone: DayZone::Account,
            account_zone: zone,
            ..settings()
        };
        Rig::new(&three_days(), settings)
            .await
            .pull_three_days(24)
            .await;
    }
}

/// That the last day is shown is inferred, not documented. Where it isn't, a day's last rows come with the next day.
#[tokio::test]
async fn the_last_day_may_be_left_out() {
    for zone in [Tz::UTC, Tz::Pacific__Kiritimati] {
        let settings = LivePersonSettings {
            last_day_included: false,
            day_zone: DayZone::Account,
            account_zone: zone,
            ..settings()
        };
        Rig::new(&three_days(), settings)
            .await
            .pull_three_days(24)
            .await;
    }
}

#[tokio::test]
async fn every_dialect_is_found() {
    for (list_form, refused, status) in [
        (ListForm::Words, &[][..], 200),
        (ListForm::Words, &["UTC"][..], 400),
        (ListForm::Strings, &["UTC", "Etc/UTC"][..], 200),
    ] {
        let settings = LivePersonSettings {
            list_form,
            refused_timezones: refused.iter().map(|&zone| zone.to_owned()).collect(),
            refusal_status: status,
            look_up_form: LookUpForm::Many,
            total_count: TotalCount::All,
            order: Order::WallTime,
            ..settings()
        };
        Rig::new(&three_days(), settings)
            .await
            .pull_three_days(60)
            .await;
    }
}

/// Rows arrive between the pages of every walk.
#[tokio::test]
async fn rows_that_arrive_during_a_walk_are_no_twins() {
    let settings = LivePersonSettings {
        page_takes: Duration::from_secs(40),
        largest_page: 150,
        ties: Ties::Stable,
        token_lifetime: Duration::from_hours(24 * 30),
        ..settings()
    };
    let spec = DatasetSpec {
        late_share: 0.3,
        ..three_days()
    };
    Rig::new(&spec, settings).await.pull_three_days(12).await;
}

/// A token ends in the middle of a walk: each page takes a quarter of its life.
#[tokio::test]
async fn a_token_that_ends_in_a_walk_is_renewed() {
    let settings = LivePersonSettings {
        page_takes: Duration::from_mins(15),
        largest_page: 50,
        ties: Ties::Stable,
        ..settings()
    };
    let rig = Rig::new(&three_days(), settings).await;
    rig.tick(at("2026-03-06")).await;
    rig.assert_holds(rig.truth("2026-03-01", "2026-03-04", Tz::UTC))
        .await;
    assert!(rig.sim.counters().calls(endpoint::TOKEN) > 5);
    assert!(rig.sim.counters().answers(401) > 5);
}

/// A session is kept up while it is used, and a new one begun where it died.
#[tokio::test]
async fn a_session_is_kept_up_or_begun_anew() {
    let rig = Rig::with(&three_days(), settings(), USER, "").await;
    rig.tick(at("2026-03-02T00:10:00Z")).await;
    assert_eq!(rig.sim.counters().calls(endpoint::LOGIN), 1);
    // five minutes on the client's clock, and on the provider's
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(5)).await;
    tokio::time::resume();
    rig.tick(at("2026-03-02T00:15:00Z")).await;
    assert_eq!(rig.sim.counters().calls(endpoint::REFRESH), 1);
    assert_eq!(rig.sim.counters().calls(endpoint::LOGIN), 1);
    assert_eq!(rig.sim.counters().answers(401), 0);
    // days, on the provider's clock only: the session is dead
    rig.tick(at("2026-03-06")).await;
    assert!(rig.sim.counters().answers(401) > 0);
    assert_eq!(rig.sim.counters().calls(endpoint::LOGIN), 2);
    rig.assert_holds(rig.truth("2026-03-01", "2026-03-04", Tz::UTC))
        .await;
    assert_eq!(rig.sim.counters().calls(endpoint::TOKEN), 0);
}

/// The host moves between two pulls: it is looked up again, and nothing else is.
#[tokio::test]
async fn a_host_that_moves_is_found_again() {
    let rig = Rig::new(&three_days(), settings()).await;
    rig.tick(at("2026-03-02T00:10:00Z")).await;
    assert_eq!(rig.sim.counters().calls(endpoint::LOOK_UP), 2);
    rig.tick(at("2026-03-02T00:15:00Z")).await;
    assert_eq!(rig.sim.counters().calls(endpoint::LOOK_UP), 2);
    rig.sim.move_configuration().await.unwrap();
    rig.tick(at("2026-03-06")).await;
    assert_eq!(rig.sim.counters().calls(endpoint::LOOK_UP), 3);
    rig.assert_holds(rig.truth("2026-03-01", "2026-03-04", Tz::UTC))
        .await;
}

/// With a zone that folds, all rows are there with their bytes; those of the second hour are an hour early.
#[tokio::test]
async fn a_zone_with_folds_loses_nothing() {
    let spec = DatasetSpec {
        records: 600,
        from: at("2026-11-01"),
        to: at("2026-11-02"),
        late_share: 0.0,
        ..DatasetSpec::default()
    };
    for day_zone in [DayZone::Argument, DayZone::Account] {
        let settings = LivePersonSettings {
            clock: Clock::Fixed(at("2026-11-01")),
            order: Order::WallTime,
            day_zone,
            ..LivePersonSettings::default()
        };
        let known = day_zone == DayZone::Argument;
        let options = format!("timezone: US/Eastern, days_in_timezone: {known}");
        let rig = Rig::with(&spec, settings, APP, &options).await;
        for hour in [6, 12, 18, 24, 48] {
            rig.mode(
                auditlake::run::RunMode::Backfill {
                    range: super::support::range("2026-11-01", "2026-11-02"),
                    refetch: false,
                    turn: TimeDelta::hours(1),
                },
                at("2026-11-01") + TimeDelta::hours(hour),
                &tokio_util::sync::CancellationToken::new(),
            )
            .await;
        }
        let mut truth = rig.truth("2026-11-01", "2026-11-02", Tz::US__Eastern);
        let hour = 3_600_000_000;
        let fold = at("2026-11-01T06:00:00Z").timestamp_micros();
        let mut in_fold = 0;
        for (time, _) in &mut truth {
            if (fold..fold + hour).contains(time) {
                *time -= hour;
                in_fold += 1;
            }
        }
        assert!(in_fold > 5);
        rig.assert_holds(truth).await;
    }
}

#[tokio::test]
async fn filters_are_the_providers_to_evaluate() {
    let options = "users: [user7@example.com, user9@example.com], component_types: [ACUserObject]";
    let rig = Rig::with(&three_days(), settings(), APP, options).await;
    rig.tick(at("2026-03-06")).await;
    let mut truth = rig.truth("2026-03-01", "2026-03-04", Tz::UTC);
    truth.retain(|(_, raw)| {
        let of =
            |user: &str| raw.contains(&format!(r#""originatorLoginName":"{user}@example.com""#));
        (of("user7") || of("user9")) && raw.contains(r#""objectType":"Users""#)
    });
    assert!(truth.len() > 3, "{}", truth.len());
    rig.assert_holds(truth).await;
}

/// Days that stand still cost what a perfect client would need: full pages, and the empty one that ends them.
#[tokio::test]
async fn no_call_is_made_twice_where_nothing_moves() {
    let settings = LivePersonSettings {
        ties: Ties::Stable,
        ..settings()
    };
    let spec = DatasetSpec {
        late_share: 0.0,
        largest_tie: 0,
        twin_share: 0.0,
        ..three_days()
    };
    let rig = Rig::with(&spec, settings, APP, "days_in_timezone: true").await;
    rig.tick(at("2026-03-06")).await;
    rig.assert_holds(rig.truth("2026-03-01", "2026-03-04", Tz::UTC))
        .await;
    let dataset = rig.sim.dataset();
    let calls = (1..=5).map(|day| {
        let day = NaiveDate::from_ymd_opt(2026, 3, day).unwrap();
        let rows = dataset.rows_of_days(day, day, Tz::UTC, rig.sim.now());
        calls_needed(rows, 500)
    });
    let needed = calls.sum::<usize>();
    let made = rig.sim.counters().calls(endpoint::AUDIT);
    assert_eq!(made, u64::try_from(needed).unwrap());
}

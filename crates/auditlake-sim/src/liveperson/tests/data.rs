//! The rows themselves: zones, days, ties, twins, arrivals.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use chrono_tz::Tz;

use super::*;
use crate::liveperson::{DayZone, Order, Ties, TotalCount, calls_needed};

const FIRST: &str = "2026-03-01T00:00:00Z";
const LAST: &str = "2026-03-08T00:00:00Z";
const ASCENDING: &str = r#"orderBy:["changeTimestamp"],orderDirection:["ASC"],first:500,"#;

/// Every row that a walk in ascending order gets, byte for byte.
async fn walk(client: &Client, arguments: &str) -> Vec<String> {
    let mut rows = Vec::new();
    loop {
        let arguments = format!("{ASCENDING}offset:{},{arguments}", rows.len());
        let page = client.ask_with(&arguments).await.raw_rows();
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

fn truth(client: &Client, zone: Tz) -> Vec<String> {
    let dataset = client.sim.dataset();
    let truth = dataset.truth(at(FIRST), at(LAST), client.sim.now(), ALL, zone);
    truth.into_iter().map(|row| row.raw).collect()
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort_unstable();
    rows
}

#[test]
fn the_same_specification_gives_the_same_bytes() {
    let bytes = |seed: u64| {
        let spec = DatasetSpec { seed, ..small() };
        let dataset = Dataset::generate(&spec);
        dataset.truth(at(FIRST), at(LAST), DateTime::<Utc>::MAX_UTC, ALL, Tz::UTC)
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
    assert_eq!(bytes(1).len(), 400);
}

#[tokio::test]
async fn a_walk_without_ties_in_motion_shows_the_truth_in_any_zone() {
    for zone in [Tz::UTC, Tz::US__Eastern, Tz::Asia__Kolkata] {
        let settings = LivePersonSettings {
            ties: Ties::Stable,
            largest_page: 150,
            ..settled()
        };
        let client = Client::new(
            settings,
            &DatasetSpec {
                rows: 900,
                ..small()
            },
        )
        .await;
        let rows = walk(&client, &format!(r#"timezone:"{}","#, zone.name())).await;
        assert_eq!(sorted(rows), sorted(truth(&client, zone)), "{zone}");
    }
}

#[tokio::test]
async fn there_are_true_twins_and_busy_seconds() {
    let client = Client::new(settled(), &small()).await;
    let rows = truth(&client, Tz::UTC);
    let distinct: BTreeSet<&String> = rows.iter().collect();
    assert!(rows.len() - distinct.len() >= 5, "{}", distinct.len());
    let mut seconds = BTreeMap::<String, usize>::new();
    for row in &rows {
        let row: Value = serde_json::from_str(row).unwrap();
        *seconds
            .entry(row["changeDate"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    assert!(seconds.values().any(|rows| *rows >= 60));
}

#[tokio::test]
async fn a_day_is_one_of_the_argument_or_of_the_account() {
    for (day_zone, bounds) in [
        (
            DayZone::Argument,
            ("2026-03-03T00:00:00Z", "2026-03-04T00:00:00Z"),
        ),
        // Athens is two hours ahead
        (
            DayZone::Account,
            ("2026-03-02T22:00:00Z", "2026-03-03T22:00:00Z"),
        ),
    ] {
        let settings = LivePersonSettings {
            day_zone,
            ..settled()
        };
        let client = Client::new(settings, &small()).await;
        let day = r#"fromDate:"2026-03-03",toDate:"2026-03-03",timezone:"UTC","#;
        let rows = client
            .ask_with(&format!("{ASCENDING}{day}"))
            .await
            .raw_rows();
        let (from, to) = (at(bounds.0), at(bounds.1));
        let dataset = client.sim.dataset();
        let truth = dataset.truth(from, to, client.sim.now(), ALL, Tz::UTC);
        let truth: Vec<String> = truth.into_iter().map(|row| row.raw).collect();
        assert!(truth.len() > 20);
        assert_eq!(sorted(rows), sorted(truth), "{day_zone:?}");
    }
}

#[tokio::test]
async fn in_the_fold_the_wall_time_is_no_order_and_no_instant() {
    let spec = DatasetSpec {
        rows: 200,
        from: at("2026-11-01T05:00:00Z"),
        to: at("2026-11-01T07:00:00Z"),
        largest_tie: 0,
        ..DatasetSpec::default()
    };
    for order in [Order::WallTime, Order::Instant] {
        let settings = LivePersonSettings {
            clock: Clock::Fixed(at("2026-11-05T00:00:00Z")),
            order,
            ..LivePersonSettings::default()
        };
        let client = Client::new(settings, &spec).await;
        let rows = client.ask_with(ASCENDING).await.rows();
        let dates: Vec<&str> = rows
            .iter()
            .map(|row| row["changeDate"].as_str().unwrap())
            .collect();
        assert!(dates.iter().all(|date| date.starts_with("2026-11-01 01:")));
        let by_wall: Vec<&str> = dates.iter().map(|date| &date[..19]).collect();
        assert_eq!(by_wall.is_sorted(), order == Order::WallTime, "{order:?}");
    }
}

#[tokio::test]
async fn ties_move_unless_they_are_stable() {
    for (ties, same_again, same_by_page) in [
        (Ties::Stable, true, true),
        (Ties::ByPage, true, false),
        (Ties::Shuffled, false, false),
    ] {
        let settings = LivePersonSettings { ties, ..settled() };
        let client = Client::new(settings, &small()).await;
        let ask = async |first: u32| {
            let arguments = ASCENDING.replace("500", &first.to_string());
            client.ask_with(&arguments).await.raw_rows()
        };
        let (one, two, three) = (ask(400).await, ask(400).await, ask(500).await);
        assert_eq!(one == two, same_again, "{ties:?}");
        assert_eq!(one == three, same_by_page, "{ties:?}");
        assert_eq!(sorted(one), sorted(three));
    }
}

#[tokio::test]
async fn rows_arrive_late_and_between_pages() {
    let spec = DatasetSpec {
        late_share: 0.5,
        ..small()
    };
    let settings = LivePersonSettings {
        clock: Clock::Fixed(at(LAST)),
        page_takes: Duration::from_hours(1),
        token_lifetime: Duration::from_hours(24),
        ties: Ties::Stable,
        largest_page: 100,
        total_count: TotalCount::All,
        ..LivePersonSettings::default()
    };
    let client = Client::new(settings, &spec).await;
    let mut counts = Vec::new();
    for page in 0..5 {
        let reply = client
            .ask_with(&format!("{ASCENDING}offset:{},", page * 100))
            .await;
        counts.push(reply.headers["x-total-count"].parse::<usize>().unwrap());
    }
    assert!(counts.is_sorted() && counts[0] < counts[4], "{counts:?}");
    assert_eq!(client.sim.now(), at(LAST) + TimeDelta::hours(5));
    let visible = truth(&client, Tz::UTC).len();
    assert!(visible >= counts[4]);
}

#[tokio::test]
async fn some_rows_cannot_be_read_and_some_pages_are_partial() {
    let client = Client::new(
        settled(),
        &DatasetSpec {
            poison: 9,
            ..small()
        },
    )
    .await;
    assert_eq!(client.sim.dataset().poison(), 9);
    let rows = client.ask_with("first:500,").await.rows();
    assert_eq!(rows.len(), 409);
    let of = |wanted: fn(&Value) -> bool| rows.iter().filter(|row| wanted(row)).count();
    assert_eq!(of(Value::is_null), 3);
    assert_eq!(of(|row| row.is_object() && row["changeDate"].is_null()), 3);
    assert_eq!(of(|row| row["changeDate"] == "0000-00-00 00:00:00.0"), 3);

    client.sim.make_partial(1);
    let json = client.ask_with("first:500,").await.json();
    assert_eq!(json["data"]["auditData"].as_array().unwrap().len(), 204);
    assert_eq!(json["errors"].as_array().unwrap().len(), 1);
    assert_eq!(client.ask_with("first:500,").await.rows().len(), 409);
}

#[tokio::test]
async fn types_speak_the_language_asked_for() {
    let client = Client::new(settled(), &small()).await;
    let rows = client
        .ask_with(r#"first:500,language:"de-DE","#)
        .await
        .rows();
    assert!(rows.iter().any(|row| row["objectType"] == "Benutzer"));
    assert!(rows.iter().all(|row| row["objectType"] != "Users"));
}

#[test]
fn calls_are_full_pages_and_an_empty_one() {
    for (rows, size, calls) in [(0, 500, 1), (1, 500, 2), (500, 500, 2), (501, 500, 3)] {
        assert_eq!(calls_needed(rows, size), calls);
    }
    let dataset = Dataset::generate(&small());
    let day = |day: u32| NaiveDate::from_ymd_opt(2026, 3, day).unwrap();
    let rows = dataset.rows_of_days(day(1), day(7), Tz::UTC, DateTime::<Utc>::MAX_UTC);
    assert_eq!(rows, 400);
}

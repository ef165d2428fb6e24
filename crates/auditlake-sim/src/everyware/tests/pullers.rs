//! What bad habits cost, and that care gets everything.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, TimeDelta};
use chrono_tz::Tz;

use super::*;

/// Three busy days.
fn busy() -> DatasetSpec {
    DatasetSpec {
        records: 3_000,
        from: at("2026-03-02T00:00:00Z"),
        to: at("2026-03-05T00:00:00Z"),
        late_share: 0.05,
        ..DatasetSpec::default()
    }
}

/// A server in New York whose clock a test sets.
fn live() -> EverywareSettings {
    EverywareSettings {
        timezone: Tz::America__New_York,
        clock: Clock::Fixed(at("2026-03-02T00:00:00Z")),
        ..EverywareSettings::default()
    }
}

fn written(day: NaiveDate) -> String {
    day.format("%m/%d/%Y").to_string()
}

fn id_of(raw: &str) -> u64 {
    let record: Value = serde_json::from_str(raw).unwrap();
    record["id"].as_u64().unwrap()
}

/// What of the truth is lost, and what is held twice.
fn compare(client: &Client, pulled: &[u64]) -> (usize, usize) {
    let spec = busy();
    let truth = client
        .sim
        .dataset()
        .truth(spec.from, spec.to, None, DateTime::<Utc>::MAX_UTC);
    let distinct: BTreeSet<u64> = pulled.iter().copied().collect();
    let lost = truth
        .iter()
        .filter(|truth| !distinct.contains(&truth.id.parse().unwrap()))
        .count();
    (lost, pulled.len() - distinct.len())
}

/// Every hour until two days after the last record.
fn hours() -> impl Iterator<Item = DateTime<Utc>> {
    let spec = busy();
    (1..)
        .map(move |hour| spec.from + TimeDelta::hours(hour))
        .take_while(move |now| *now < spec.to + TimeDelta::days(2))
}

#[tokio::test]
async fn a_puller_that_takes_only_greater_ids_loses_records() {
    let client = Client::new(live(), &busy()).await;
    let (mut greatest, mut pulled) = (0, Vec::new());
    for now in hours() {
        client.sim.set_now(now);
        let day = now.date_naive();
        let (first, stop) = (day - TimeDelta::days(1), day + TimeDelta::days(1));
        let ids = client.days(&written(first), &written(stop)).await;
        let new: Vec<u64> = ids
            .iter()
            .map(|raw| id_of(raw))
            .filter(|id| *id > greatest)
            .collect();
        greatest = new.iter().copied().max().unwrap_or(greatest);
        pulled.extend(new);
    }
    let (lost, doubled) = compare(&client, &pulled);
    assert!(lost > 1_000 && doubled == 0, "{lost} {doubled}");
}

#[tokio::test]
async fn a_puller_that_forgets_that_both_ends_belong_to_a_day_doubles() {
    let client = Client::new(live(), &busy()).await;
    let mut pulled = Vec::new();
    // each day once it is over, from the day before, as both ends belong to it
    for now in hours().filter(|now| now.format("%H").to_string() == "00") {
        client.sim.set_now(now);
        let day = now.date_naive() - TimeDelta::days(1);
        let ids = client
            .days(&written(day - TimeDelta::days(1)), &written(day))
            .await;
        pulled.extend(ids.iter().map(|raw| id_of(raw)));
    }
    let (_, doubled) = compare(&client, &pulled);
    assert!(doubled > 1_000, "{doubled}");
}

#[tokio::test]
async fn a_puller_without_an_overlap_misses_what_is_yesterday_over_there() {
    let client = Client::new(live(), &busy()).await;
    let mut pulled = Vec::new();
    for now in hours().filter(|now| now.format("%H").to_string() == "00") {
        client.sim.set_now(now);
        let day = written(now.date_naive() - TimeDelta::days(1));
        pulled.extend(client.days(&day, &day).await.iter().map(|raw| id_of(raw)));
    }
    let (lost, doubled) = compare(&client, &pulled);
    assert!(lost > 300 && doubled == 0, "{lost} {doubled}");
}

#[tokio::test]
async fn a_puller_that_reads_ids_as_doubles_takes_some_for_others() {
    let client = Client::new(live(), &busy()).await;
    client.sim.set_now(at("2026-03-09T00:00:00Z"));
    let mut held = BTreeMap::new();
    for raw in client.get("").await.records() {
        #[expect(clippy::cast_precision_loss, reason = "the mistake that this shows")]
        held.insert((id_of(&raw) as f64).to_bits(), raw);
    }
    assert!(held.len() < 2_500, "{}", held.len());
}

#[tokio::test]
async fn a_careful_puller_gets_everything_once_and_to_the_byte() {
    let client = Client::new(live(), &busy()).await;
    let mut held = BTreeMap::new();
    for now in hours().step_by(6).chain([at("2026-03-09T00:00:00Z")]) {
        client.sim.set_now(now);
        // the days of the last three, and one more on each side
        let (first, stop) = (now - TimeDelta::days(8), now + TimeDelta::days(1));
        for raw in client
            .days(&written(first.date_naive()), &written(stop.date_naive()))
            .await
        {
            held.insert(id_of(&raw), raw);
        }
    }
    let spec = busy();
    assert_eq!(sorted(held.into_values()), {
        let truth = client
            .sim
            .dataset()
            .truth(spec.from, spec.to, None, client.sim.now());
        assert_eq!(truth.len(), 3_000);
        sorted(truth.iter().map(|truth| truth.raw.to_owned()))
    });
}

//! What bad habits cost, and that care gets everything.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{SecondsFormat, TimeDelta};

use super::*;
const SERVICE: &str = "PeoplePermissions";
const FROM: &str = "2026-03-01T00:00:00Z";
const TO: &str = "2026-03-02T00:00:00Z";

/// A busy day.
fn busy() -> DatasetSpec {
    DatasetSpec {
        records: 3_000,
        from: at(FROM),
        to: at(TO),
        late_share: 0.05,
        ..DatasetSpec::default()
    }
}

fn live() -> GenesysSettings {
    GenesysSettings {
        clock: Clock::Fixed(at(FROM)),
        running_polls: 0,
        token_lifetime: std::time::Duration::from_hours(24 * 365),
        ..GenesysSettings::default()
    }
}

fn seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// How a puller reads one interval.
#[derive(Clone, Copy)]
struct Habits {
    stops_at_an_empty_page: bool,
    page_size: &'static str,
}

const CARELESS: Habits = Habits {
    stops_at_an_empty_page: true,
    page_size: "",
};
const CAREFUL: Habits = Habits {
    stops_at_an_empty_page: false,
    page_size: "pageSize=500&expand=user",
};

/// Ids and times of all records of an interval, as these habits see them.
async fn pull(
    client: &Client,
    service: &str,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    habits: Habits,
) -> Vec<(String, DateTime<Utc>)> {
    let id = client
        .run_query(&query(service, &seconds(from), &seconds(to)))
        .await;
    let (mut records, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = client.page(&id, cursor.as_deref(), habits.page_size).await;
        assert_eq!(page.status, 200);
        let entities = page.entities();
        if entities.is_empty() && habits.stops_at_an_empty_page {
            return records;
        }
        records.extend(entities.iter().map(|record| {
            let time = at(record["eventDate"].as_str().unwrap());
            (record["id"].as_str().unwrap().to_owned(), time)
        }));
        cursor = match page.json()["cursor"].as_str() {
            Some(next) if !next.is_empty() => Some(next.to_owned()),
            _ => return records,
        };
    }
}

/// What of the truth is lost, and what is held twice.
fn compare(client: &Client, pulled: &[String]) -> (usize, usize) {
    let dataset = client.sim.dataset();
    let truth = dataset.truth(at(FROM), at(TO), Some(SERVICE), DateTime::<Utc>::MAX_UTC);
    let distinct: BTreeSet<&str> = pulled.iter().map(String::as_str).collect();
    let lost = truth
        .iter()
        .filter(|record| !distinct.contains(record.id.as_str()))
        .count();
    (lost, pulled.len() - distinct.len())
}

/// Pulls every quarter of an hour from the newest time seen, plus `step`, up to now.
async fn pull_from_newest(client: &Client, habits: Habits, step: TimeDelta) -> Vec<String> {
    let (mut checkpoint, mut pulled) = (at(FROM), Vec::new());
    let mut now = at(FROM);
    while now < at(TO) + TimeDelta::hours(12) {
        now += TimeDelta::minutes(15);
        client.sim.set_now(now);
        for (id, time) in pull(client, SERVICE, checkpoint, now, habits).await {
            checkpoint = checkpoint.max(time + step);
            pulled.push(id);
        }
    }
    pulled
}

#[tokio::test]
async fn a_naive_puller_loses_records() {
    let client = Client::new(live(), &busy()).await;
    let pulled = pull_from_newest(&client, CARELESS, TimeDelta::seconds(1)).await;
    let (lost, _) = compare(&client, &pulled);
    assert!(lost > 20, "{lost}");
}

#[tokio::test]
async fn a_puller_that_stops_at_an_empty_page_loses_records_of_a_settled_day() {
    let client = Client::new(live(), &busy()).await;
    client.sim.set_now(at("2026-03-05T00:00:00Z"));
    let pulled = pull(&client, SERVICE, at(FROM), at(TO), CARELESS).await;
    let pulled: Vec<String> = pulled.into_iter().map(|(id, _)| id).collect();
    assert!(compare(&client, &pulled).0 > 500);
}

#[tokio::test]
async fn a_puller_without_a_settle_pass_loses_late_arrivals() {
    let client = Client::new(live(), &busy()).await;
    let pulled = pull_from_newest(&client, CAREFUL, TimeDelta::seconds(1)).await;
    let (lost, _) = compare(&client, &pulled);
    assert!(lost > 10, "{lost}");
}

#[tokio::test]
async fn a_puller_that_starts_again_at_the_newest_record_doubles() {
    let client = Client::new(live(), &busy()).await;
    let pulled = pull_from_newest(&client, CAREFUL, TimeDelta::zero()).await;
    let (_, doubled) = compare(&client, &pulled);
    assert!(doubled > 0, "{doubled}");
}

#[tokio::test]
async fn a_careful_puller_gets_everything_once_and_to_the_byte() {
    let settings = GenesysSettings {
        repeat_records: true,
        ..live()
    };
    let client = Client::new(settings, &busy()).await;
    let dataset = Arc::clone(client.sim.dataset());
    let mut lake = BTreeMap::<String, BTreeSet<String>>::new();
    let mut texts = String::new();
    // A first pass by the hour, two minutes behind; then a settle pass when all is visible.
    let mut passes: Vec<_> = (0..24)
        .map(|hour| {
            let from = at(FROM) + TimeDelta::hours(hour);
            let to = from + TimeDelta::hours(1);
            (to + TimeDelta::minutes(2), from, to)
        })
        .collect();
    passes.push((at("2026-03-05T00:00:00Z"), at(FROM), at(TO)));
    for (now, from, to) in passes {
        client.sim.set_now(now);
        for service in dataset.services() {
            let id = client
                .run_query(&query(service, &seconds(from), &seconds(to)))
                .await;
            let mut cursor = None::<String>;
            loop {
                let page = client.page(&id, cursor.as_deref(), CAREFUL.page_size).await;
                for record in page.entities() {
                    let id = record["id"].as_str().unwrap().to_owned();
                    lake.entry(service.to_owned()).or_default().insert(id);
                }
                texts.push_str(page.text());
                cursor = match page.json()["cursor"].as_str() {
                    Some(next) if !next.is_empty() => Some(next.to_owned()),
                    _ => break,
                };
            }
        }
    }
    for service in dataset.services() {
        let truth = dataset.truth(at(FROM), at(TO), Some(service), client.sim.now());
        let wanted: BTreeSet<String> = truth.iter().map(|record| record.id.clone()).collect();
        assert_eq!(
            lake.remove(service).unwrap_or_default(),
            wanted,
            "{service}"
        );
        for record in truth {
            assert!(texts.contains(record.raw));
        }
    }
}

#[tokio::test]
async fn a_careful_puller_of_the_realtime_query_gets_everything_too() {
    let client = Client::new(live(), &busy()).await;
    client.sim.set_now(at("2026-03-05T00:00:00Z"));
    let mut body = query(SERVICE, FROM, TO);
    body["pageSize"] = Value::from(500);
    let mut pulled = Vec::new();
    for number in 1.. {
        body["pageNumber"] = Value::from(number);
        let page = client.post(REALTIME, &body).await;
        pulled.extend(
            page.entities()
                .iter()
                .map(|record| record["id"].as_str().unwrap().to_owned()),
        );
        if page.json()["pageCount"] == number {
            break;
        }
    }
    assert_eq!(compare(&client, &pulled), (0, 0));
}

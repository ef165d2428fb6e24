//! What bad habits cost, and that care gets everything.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::*;

const TO: &str = "2026-03-02T00:00:00Z";
const SETTLED: &str = "2026-03-05T00:00:00Z";
/// The page that a careful puller asks for.
const FULL: &str = "pageSize=500&expand=user";

/// A busy day, whose clock a test sets.
async fn busy() -> Client {
    Client::new(
        |it| (it.running_polls, it.token_lifetime) = (0, EVER),
        |it| {
            (it.records, it.late_share) = (3_000, 0.05);
            it.to = at(TO);
        },
    )
    .await
}

/// All records of an interval, byte for byte; a careless puller takes pages as they come and stops at an empty one.
async fn pull(
    client: &Client,
    service: &str,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    careless: bool,
) -> Vec<String> {
    let seconds = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let id = client
        .run(&query(service, &seconds(from), &seconds(to)))
        .await;
    let more = if careless { "expand=user" } else { FULL };
    let pages = client.pages(&id, more).await;
    let pages = pages.iter().map(|page| page.raw_list(&["entities"]));
    pages
        .take_while(|page| !(careless && page.is_empty()))
        .flatten()
        .collect()
}

/// What a puller loses and doubles that pulls every quarter of an hour from the newest time seen, plus `step`, up to now.
async fn pull_from_newest(careless: bool, step: TimeDelta) -> (usize, usize) {
    let client = busy().await;
    let (mut checkpoint, mut pulled) = (at(FROM), Vec::new());
    for quarter in 1..=144 {
        let now = at(FROM) + TimeDelta::minutes(15 * quarter);
        client.sim.set_now(now);
        for raw in pull(&client, SERVICE, (checkpoint, now), careless).await {
            let record: Value = serde_json::from_str(&raw).unwrap();
            checkpoint = checkpoint.max(at(record["eventDate"].as_str().unwrap()) + step);
            pulled.push(raw);
        }
    }
    client.sim.set_now(at(SETTLED));
    compare(client.truth(SERVICE), pulled)
}

#[tokio::test]
async fn a_naive_puller_loses_records() {
    let (lost, _) = pull_from_newest(true, TimeDelta::seconds(1)).await;
    assert!(lost > 20, "{lost}");
}

#[tokio::test]
async fn a_puller_without_a_settle_pass_loses_late_arrivals() {
    let (lost, _) = pull_from_newest(false, TimeDelta::seconds(1)).await;
    assert!(lost > 10, "{lost}");
}

#[tokio::test]
async fn a_puller_that_starts_again_at_the_newest_record_doubles() {
    let (_, doubled) = pull_from_newest(false, TimeDelta::zero()).await;
    assert!(doubled > 0, "{doubled}");
}

#[tokio::test]
async fn a_puller_that_stops_at_an_empty_page_loses_records_of_a_settled_day() {
    let client = busy().await;
    client.sim.set_now(at(SETTLED));
    let pulled = pull(&client, SERVICE, (at(FROM), at(TO)), true).await;
    assert!(compare(client.truth(SERVICE), pulled).0 > 500);
}

/// A first pass by the hour, two minutes behind; then a settle pass when all is visible.
#[tokio::test]
async fn a_careful_puller_gets_everything_once_and_to_the_byte() {
    let client = busy().await;
    let mut passes: Vec<_> = (0..24)
        .map(|hour| {
            let from = at(FROM) + TimeDelta::hours(hour);
            let to = from + TimeDelta::hours(1);
            (to + TimeDelta::minutes(2), (from, to))
        })
        .collect();
    passes.push((at(SETTLED), (at(FROM), at(TO))));
    for (service, _) in client.sim.dataset().listed() {
        let mut lake = std::collections::BTreeSet::new();
        for (now, range) in &passes {
            client.sim.set_now(*now);
            lake.extend(pull(&client, service, *range, false).await);
        }
        assert_eq!(compare(client.truth(service), lake), (0, 0), "{service}");
    }
}

#[tokio::test]
async fn a_careful_puller_of_the_realtime_query_gets_everything_too() {
    let client = busy().await;
    client.sim.set_now(at(SETTLED));
    let mut pulled = Vec::new();
    for number in 1.. {
        let body = with(query(SERVICE, FROM, TO), "pageSize", json!(500));
        let body = with(body, "pageNumber", json!(number));
        let page = client.post(&format!("{REALTIME}?expand=user"), &body).await;
        pulled.extend(page.raw_list(&["entities"]));
        if page.at("/pageCount") == number {
            break;
        }
    }
    assert_eq!(compare(client.truth(SERVICE), pulled), (0, 0));
}

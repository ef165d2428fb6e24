//! What bad habits cost, and that care gets everything.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Ties;
use super::*;

fn users() -> DatasetSpec {
    DatasetSpec {
        records: 300,
        types: vec!["USER".to_owned()],
        late_share: 0.05,
        largest_tie: 20,
        ..DatasetSpec::default()
    }
}

/// How often each text is there.
fn counted(texts: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for text in texts {
        *counts.entry(text).or_default() += 1;
    }
    counts
}

/// What of the truth is lost, and what is there too often.
fn compare(client: &Client, pulled: &BTreeMap<String, usize>) -> (usize, usize) {
    let dataset = client.sim.dataset();
    let truth = dataset.truth(at(FROM), at(TO), DateTime::<Utc>::MAX_UTC);
    let truth = counted(truth.iter().map(|record| record.raw.to_owned()));
    let more = |ours: &BTreeMap<String, usize>, theirs: &BTreeMap<String, usize>| {
        ours.iter()
            .map(|(text, count)| count.saturating_sub(theirs.get(text).copied().unwrap_or(0)))
            .sum()
    };
    (more(&truth, pulled), more(pulled, &truth))
}

async fn page(client: &Client, number: u64, size: usize) -> Vec<String> {
    let query = format!("?pageNumber={number}&pageSize={size}&orderBy=date%20asc");
    client.users(&query).await.texts()
}

#[tokio::test]
async fn a_puller_that_follows_links_goes_in_circles_and_loses_records() {
    let client = Client::new(settled(), &users()).await;
    let (mut query, mut seen, mut pulled) = (String::new(), BTreeSet::new(), Vec::new());
    while seen.insert(query.clone()) {
        let reply = client.users(&query).await;
        pulled.extend(reply.texts());
        let next = reply.json()["links"]["next"].as_str().unwrap().to_owned();
        query = next
            .split_once('?')
            .map(|(_, query)| format!("?{query}"))
            .unwrap_or_default();
    }
    let (lost, doubled) = compare(&client, &counted(pulled));
    // the first page, the second, and the first again
    assert_eq!(client.sim.searches(), 3);
    assert!(lost >= 285, "{lost}");
    assert!(doubled > 0);
}

#[tokio::test]
async fn a_puller_that_takes_equal_records_for_one_loses_twins() {
    let settings = AvayaSettings {
        ties: Ties::Kept,
        ..settled()
    };
    let client = Client::new(settings, &users()).await;
    let mut pulled = BTreeSet::new();
    for number in 1..=6 {
        pulled.extend(page(&client, number, 50).await);
    }
    let (lost, doubled) = compare(&client, &counted(pulled));
    assert!(lost > 5, "{lost}");
    assert_eq!(doubled, 0);
}

#[tokio::test]
async fn a_puller_that_believes_one_walk_loses_and_doubles_shuffled_records() {
    let spec = DatasetSpec {
        largest_tie: 60,
        ..users()
    };
    let client = Client::new(settled(), &spec).await;
    let mut pulled = Vec::new();
    for number in 1..=6 {
        pulled.extend(page(&client, number, 50).await);
    }
    assert_eq!(pulled.len(), 300);
    let (lost, doubled) = compare(&client, &counted(pulled));
    assert!(lost > 0, "{lost}");
    assert_eq!(lost, doubled);
}

#[tokio::test]
async fn a_puller_that_reads_each_hour_once_loses_late_records() {
    let settings = AvayaSettings {
        clock: Clock::Fixed(at(FROM)),
        ..settled()
    };
    let client = Client::new(settings, &users()).await;
    let mut pulled = Vec::new();
    let (mut from, hour) = (at(FROM), chrono::TimeDelta::hours(1));
    while from < at(TO) {
        client.sim.set_now(from + hour);
        let body = json!({ "startDate": from, "endDate": from + hour, "type": "USER" });
        pulled.extend(client.search(USER, "?pageSize=50", &body).await.texts());
        from += hour;
    }
    let (lost, doubled) = compare(&client, &counted(pulled));
    assert!(lost > 5, "{lost}");
    assert_eq!(doubled, 0);
}

#[tokio::test]
async fn a_careful_puller_gets_everything_once() {
    let client = Client::new(settled(), &users()).await;
    // ranges so small that a page holds each: nothing can move between pages
    let (mut from, hour) = (at(FROM), chrono::TimeDelta::hours(1));
    let mut pulled = Vec::new();
    while from < at(TO) {
        let body = json!({ "startDate": from, "endDate": from + hour, "type": "USER" });
        let reply = client
            .search(USER, "?pageSize=50&orderBy=date%20asc", &body)
            .await;
        assert!(reply.json()["pagination"]["total"].as_u64().unwrap() <= 50);
        pulled.extend(reply.texts());
        from += hour;
    }
    assert_eq!(compare(&client, &counted(pulled)), (0, 0));
}

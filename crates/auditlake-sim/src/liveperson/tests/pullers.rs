//! What bad habits cost, and that care gets everything.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::*;
use crate::liveperson::Ties;

const FROM: &str = "2026-03-01T00:00:00Z";
const TO: &str = "2026-03-03T00:00:00Z";

/// Two busy days.
fn busy() -> DatasetSpec {
    DatasetSpec {
        rows: 1_500,
        from: at(FROM),
        to: at(TO),
        late_share: 0.05,
        ..DatasetSpec::default()
    }
}

fn live() -> LivePersonSettings {
    LivePersonSettings {
        clock: Clock::Fixed(at(FROM)),
        token_lifetime: std::time::Duration::from_hours(24 * 365),
        ties: Ties::ByPage,
        ..LivePersonSettings::default()
    }
}

/// How many rows of the truth are missing, and how many are there more often than they should be.
fn compare(client: &Client, pulled: &[String], zone: Tz) -> (usize, usize) {
    let dataset = client.sim.dataset();
    let truth = dataset.truth(at(FROM), at(TO), DateTime::<Utc>::MAX_UTC, ALL, zone);
    let mut counts = BTreeMap::<String, i64>::new();
    for row in truth {
        *counts.entry(row.raw).or_default() += 1;
    }
    for row in pulled {
        *counts.entry(row.clone()).or_default() -= 1;
    }
    let sum = |keep: fn(i64) -> bool| {
        let kept = counts.values().filter(|count| keep(**count));
        usize::try_from(kept.map(|count| count.abs()).sum::<i64>()).unwrap()
    };
    (sum(|count| count > 0), sum(|count| count < 0))
}

/// The provider's defaults, times taken for UTC, and a checkpoint one second after the newest row, every hour.
#[tokio::test]
async fn a_naive_puller_loses_rows() {
    let client = Client::new(live(), &busy()).await;
    let (mut pulled, mut checkpoint) = (Vec::new(), FROM.replace('T', " "));
    let mut now = at(FROM);
    while now < at("2026-03-04T00:00:00Z") {
        now += TimeDelta::hours(1);
        client.sim.set_now(now);
        let from = &checkpoint[..10];
        let query = format!("{{auditData(fromDate:\"{from}\"){{{}}}}}", ALL.join(" "));
        let reply = client.ask(&query).await;
        let mut newest = checkpoint.clone();
        for (row, raw) in reply.rows().iter().zip(reply.raw_rows()) {
            let date = row["changeDate"].as_str().unwrap();
            if date < checkpoint.as_str() {
                continue;
            }
            pulled.push(raw);
            let second = at(&format!("{}Z", date[..19].replace(' ', "T"))) + TimeDelta::seconds(1);
            let next = second.format("%Y-%m-%d %H:%M:%S").to_string();
            newest = newest.max(next);
        }
        checkpoint = newest;
    }
    let (lost, _) = compare(&client, &pulled, Tz::US__Eastern);
    assert!(lost > 200, "{lost} of 1500");
}

/// Everything is asked for, in ascending order; but a page that isn't full is taken for the last.
#[tokio::test]
async fn a_puller_that_stops_at_a_short_page_loses_rows() {
    let client = Client::new(live(), &busy()).await;
    client.sim.set_now(at("2026-03-06T00:00:00Z"));
    let mut pulled = Vec::new();
    loop {
        let offset = pulled.len();
        let page = client
            .ask_with(&format!(
                r#"first:1000,offset:{offset},orderBy:["changeTimestamp"],orderDirection:["ASC"],timezone:"UTC","#
            ))
            .await
            .raw_rows();
        let short = page.len() < 1_000;
        pulled.extend(page);
        if short {
            break;
        }
    }
    let (lost, _) = compare(&client, &pulled, Tz::UTC);
    assert_eq!(lost, 1_000);
}

/// The newest come first, so that each arrival pushes rows onto the next page.
#[tokio::test]
async fn a_puller_in_descending_order_doubles_rows() {
    let settings = LivePersonSettings {
        page_takes: std::time::Duration::from_mins(30),
        ties: Ties::Stable,
        largest_page: 50,
        ..live()
    };
    let client = Client::new(settings, &busy()).await;
    client.sim.set_now(at("2026-03-02T12:00:00Z"));
    let mut pulled = Vec::new();
    loop {
        let offset = pulled.len();
        let arguments = format!(r#"offset:{offset},timezone:"UTC","#);
        let page = client.ask_with(&arguments).await.raw_rows();
        if page.is_empty() {
            break;
        }
        pulled.extend(page);
    }
    let (_, doubled) = compare(&client, &pulled, Tz::UTC);
    assert!(doubled > 50, "{doubled}");
}

/// Pages cut within a second lose some of its rows and double others where ties move; without ties in motion, a walk
/// to the empty page gets everything.
#[tokio::test]
async fn a_careful_puller_must_look_at_ties() {
    for (ties, exact) in [
        (Ties::Stable, true),
        (Ties::ByPage, false),
        (Ties::Shuffled, false),
    ] {
        let settings = LivePersonSettings {
            largest_page: 20,
            ties,
            ..live()
        };
        let client = Client::new(settings, &busy()).await;
        client.sim.set_now(at("2026-03-06T00:00:00Z"));
        let mut pulled = Vec::new();
        loop {
            let arguments = format!(
                r#"first:20,offset:{},orderBy:["changeTimestamp"],orderDirection:["ASC"],timezone:"UTC","#,
                pulled.len()
            );
            let page = client.ask_with(&arguments).await.raw_rows();
            if page.is_empty() {
                break;
            }
            pulled.extend(page);
        }
        let (lost, doubled) = compare(&client, &pulled, Tz::UTC);
        assert_eq!(lost == 0, exact, "{ties:?}: {lost}");
        // the pages have as many places as there are rows
        assert_eq!(lost, doubled, "{ties:?}");
    }
}

//! The data set: what it holds, and that its truth is what the searches show.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{PoisonKind, Ties, endpoint};
use super::*;

const ALWAYS: DateTime<Utc> = DateTime::<Utc>::MAX_UTC;

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let texts = |seed| {
        let dataset = Dataset::generate(&DatasetSpec { seed, ..small() });
        let truth = dataset.truth(at(FROM), at(TO), ALWAYS);
        truth
            .iter()
            .map(|truth| truth.raw.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(7), texts(7));
    assert_ne!(texts(7), texts(8));
    assert_eq!(texts(7).len(), 600);
}

#[test]
fn it_holds_what_pullers_stumble_over() {
    let dataset = Dataset::generate(&DatasetSpec::default());
    let truth = dataset.truth(at(FROM), at(TO), ALWAYS);
    let mut texts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ties: BTreeMap<(i64, &str), usize> = BTreeMap::new();
    for record in &truth {
        *texts.entry(record.raw).or_default() += 1;
        *ties
            .entry((record.event_time_micros, record.kind))
            .or_default() += 1;
        let parsed: Value = serde_json::from_str(record.raw).unwrap();
        assert!(parsed.get("id").is_none(), "records have no id");
        let shown = at(parsed["date"].as_str().unwrap());
        assert_eq!(shown.timestamp_micros(), record.event_time_micros);
        assert!(record.visible_at_micros >= record.event_time_micros);
        if record.service != "user" {
            assert_eq!(parsed.get("previousData"), None);
        }
    }
    assert!(
        texts.values().filter(|count| **count > 1).count() > 50,
        "true twins"
    );
    assert!(ties.values().any(|count| *count >= 8), "a tie");
    let holding = |part: &str| {
        truth
            .iter()
            .filter(|record| record.raw.contains(part))
            .count()
    };
    for part in [
        "Z\"",
        "+00:00\"",
        "previousData",
        "\"ipAddress\":null",
        "12345678901234567890",
        "SOMETHING_NEW",
    ] {
        assert!(holding(part) > 0, "{part}");
    }
    let late = truth
        .iter()
        .filter(|record| record.visible_at_micros > record.event_time_micros + 60_000_000);
    assert!(late.count() > 30);
}

#[test]
fn poison_is_no_truth_and_comes_in_each_kind() {
    let spec = DatasetSpec {
        poison: 12,
        ..small()
    };
    let dataset = Dataset::generate(&spec);
    assert_eq!(dataset.truth(at(FROM), at(TO), ALWAYS).len(), 600);
    let poison = dataset.poison(ALWAYS);
    assert_eq!(poison.len(), 12);
    for kind in [
        PoisonKind::NoDate,
        PoisonKind::GarbledDate,
        PoisonKind::NotAnObject,
    ] {
        assert_eq!(
            poison.iter().filter(|poison| poison.what == kind).count(),
            4
        );
    }
}

#[tokio::test]
async fn a_careful_walk_shows_exactly_the_truth_in_the_calls_needed() {
    let settings = AvayaSettings {
        ties: Ties::Kept,
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    let mut walked = Vec::new();
    for (base, kinds) in [
        (
            USER,
            vec![
                "USER",
                "PROFILE",
                "RESOURCE_PARTITION",
                "USERS_DEFAULT_RESOURCE",
            ],
        ),
        ("/api/admin/match/v1", vec!["QUEUE", "ATTRIBUTE"]),
        ("/api/admin/account/v1", vec!["ACCOUNT"]),
        ("/api/admin/inventory/v1", vec!["ELEMENT"]),
        ("/api/admin/group/v1", vec!["GROUP"]),
        ("/api/business-hours/v1", vec!["TIMETABLE"]),
    ] {
        for kind in kinds {
            for number in 1.. {
                let query = format!("?pageNumber={number}&pageSize=50&orderBy=date%20asc");
                let page = client.search(base, &query, &week(kind)).await;
                walked.extend(page.texts());
                if number * 50 >= page.json()["pagination"]["total"].as_u64().unwrap() {
                    break;
                }
            }
        }
    }
    let dataset = client.sim.dataset();
    let mut truth: Vec<&str> = dataset
        .truth(at(FROM), at(TO), client.sim.now())
        .iter()
        .map(|truth| truth.raw)
        .collect();
    truth.sort_unstable();
    walked.sort_unstable();
    assert_eq!(walked, truth);
    let needed = dataset.calls_needed(at(FROM), at(TO), client.sim.now());
    assert_eq!(client.sim.searches(), needed);
    let services: BTreeSet<u64> = endpoint::SEARCHES
        .map(|name| client.sim.counters().calls(name))
        .into();
    assert!(!services.contains(&0));
}

#[test]
fn a_search_for_nothing_is_still_a_call() {
    let dataset = Dataset::generate(&small());
    let before = at("2020-01-01T00:00:00Z");
    assert_eq!(dataset.calls_needed(before, before, ALWAYS), 10);
}

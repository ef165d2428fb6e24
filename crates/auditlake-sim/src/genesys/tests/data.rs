//! What the data set holds.

use std::collections::BTreeSet;

use super::super::{PoisonKind, Truth};
use super::*;

const ALWAYS: DateTime<Utc> = DateTime::<Utc>::MAX_UTC;

fn everything(dataset: &Dataset) -> Vec<Truth<'_>> {
    dataset.truth(DateTime::<Utc>::MIN_UTC, ALWAYS, None, ALWAYS)
}

fn has(dataset: &Dataset, wanted: impl Fn(&Value, &str) -> bool) -> bool {
    everything(dataset)
        .iter()
        .any(|record| wanted(&serde_json::from_str(record.raw).unwrap(), record.raw))
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let spec = small();
    let (one, same) = (Dataset::generate(&spec), Dataset::generate(&spec));
    assert_eq!(everything(&one), everything(&same));
    let other = DatasetSpec { seed: 2, ..spec };
    assert_ne!(everything(&one), everything(&Dataset::generate(&other)));
}

#[test]
fn every_record_is_json_with_its_own_id_and_the_time_it_is_told_by() {
    let spec = DatasetSpec {
        awkward_share: 0.5,
        newlines: true,
        ..DatasetSpec::default()
    };
    let dataset = Dataset::generate(&spec);
    let truth = everything(&dataset);
    assert_eq!(truth.len(), spec.records);
    let ids: BTreeSet<&str> = truth.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(ids.len(), truth.len());
    for record in &truth {
        let parsed: Value = serde_json::from_str(record.raw).unwrap();
        assert_eq!(parsed["id"], record.id.as_str());
        let shown = at(parsed["eventDate"].as_str().unwrap());
        assert_eq!(shown.timestamp_micros(), record.event_time_micros);
        assert!(spec.from <= shown && shown < spec.to);
    }
}

#[test]
fn it_holds_all_that_is_awkward() {
    let spec = DatasetSpec {
        newlines: true,
        ..DatasetSpec::default()
    };
    let dataset = Dataset::generate(&spec);
    let text = |needle: &'static str| has(&dataset, move |_, raw| raw.contains(needle));
    for needle in [
        "9007199254740993",
        "123456789012345678901234567890.000000000000000010",
        "\\u2028",
        "\u{2028}",
        "\\ud83d\\ude00",
        "👩‍💻",
        "ליין",
        "漢字",
        "\\\"",
        "\\/",
        "\\u0000",
        "\"PARTNER\"",
        "\"PARTIAL\"",
        "Transmogrify",
        "RenamedService2027",
        "BrandNewService2027",
        "{\"id\":\"\"}",
        "\"initiatingAction\":{}",
        "\"client\":null",
        "\"context\":null",
        "\"propertyChanges\":null",
        "\"remoteIp\":null",
        "\n",
        "\t",
    ] {
        assert!(text(needle), "{needle}");
    }
    for missing in [
        "client",
        "userHomeOrgId",
        "user",
        "message",
        "transactionInitiator",
    ] {
        assert!(
            has(&dataset, |record, _| record.get(missing).is_none()),
            "{missing}"
        );
        assert!(
            has(&dataset, |record, _| record.get(missing).is_some()),
            "{missing}"
        );
    }
    assert!(has(&dataset, |_, raw| !raw
        .trim_start_matches(['{', ' ', '\t', '\n'])
        .starts_with("\"id\"")));
}

#[test]
fn times_are_shown_in_every_precision() {
    let dataset = Dataset::generate(&DatasetSpec::default());
    for (length, ending) in [(20, "Z"), (24, ".000Z"), (24, "Z"), (27, "Z")] {
        assert!(
            has(&dataset, |record, _| {
                let time = record["eventDate"].as_str().unwrap();
                time.len() == length && time.ends_with(ending)
            }),
            "{length} {ending}"
        );
    }
}

#[test]
fn many_records_share_an_instant_and_one_tie_exceeds_the_largest_page() {
    let dataset = Dataset::generate(&DatasetSpec::default());
    let mut counts = BTreeMap::<(i64, &str), usize>::new();
    for record in everything(&dataset) {
        *counts
            .entry((record.event_time_micros, record.service))
            .or_default() += 1;
    }
    assert!(counts.values().any(|count| *count >= 700));
    assert!(counts.values().filter(|count| **count > 1).count() > 500);
}

#[test]
fn late_arrivals_are_as_many_and_as_late_as_asked_for() {
    let spec = DatasetSpec {
        late_share: 0.1,
        ..DatasetSpec::default()
    };
    let dataset = Dataset::generate(&spec);
    let records = everything(&dataset);
    let seen_after = |minutes: i64| {
        let delays = records
            .iter()
            .map(|record| record.visible_at_micros - record.event_time_micros);
        delays.filter(|delay| *delay > minutes * 60_000_000).count()
    };
    let late = seen_after(1);
    assert!((700..1_300).contains(&late), "{late}");
    let very_late = seen_after(120);
    assert!(very_late > 100 && very_late < late, "{very_late}");
    assert_eq!(seen_after(6 * 60), 0);
    let seen_at = at("2026-03-04T00:00:00Z");
    let visible = dataset.truth(DateTime::<Utc>::MIN_UTC, ALWAYS, None, seen_at);
    let wanted = records
        .iter()
        .filter(|record| record.visible_at_micros <= seen_at.timestamp_micros());
    assert_eq!(visible.len(), wanted.count());
    assert!(visible.len() > 1_000 && visible.len() < records.len());
}

#[test]
fn poison_and_misfiled_records_come_only_when_asked_for() {
    let none = Dataset::generate(&small());
    assert!(none.poison(ALWAYS).is_empty());
    let spec = DatasetSpec {
        poison: 12,
        misfiled: 20,
        ..small()
    };
    let dataset = Dataset::generate(&spec);
    assert_eq!(everything(&dataset).len(), 400);
    let poison = dataset.poison(ALWAYS);
    assert_eq!(poison.len(), 12);
    for bad in poison {
        let parsed: Value = serde_json::from_str(bad.raw).unwrap();
        let time = parsed["eventDate"]
            .as_str()
            .map(str::parse::<DateTime<Utc>>);
        match bad.kind {
            PoisonKind::NoEventDate => {
                assert!(parsed.get("eventDate").is_none() && parsed["id"].is_string());
            }
            PoisonKind::GarbledEventDate => {
                assert!(parsed.get("eventDate").is_some() && time.is_none_or(|time| time.is_err()));
            }
            PoisonKind::NotAnObject => assert!(!parsed.is_object()),
            PoisonKind::NoId => assert!(parsed.get("id").is_none() && time.unwrap().is_ok()),
        }
    }
}

#[tokio::test]
async fn misfiled_records_are_found_under_the_time_they_are_filed_by() {
    let spec = DatasetSpec {
        misfiled: 200,
        ..small()
    };
    let settings = GenesysSettings {
        empty_page_every: 0,
        ..settled()
    };
    let client = Client::new(settings, &spec).await;
    let (from, to) = ("2026-03-03T00:00:00Z", "2026-03-05T00:00:00Z");
    let id = client
        .run_query(&query("PeoplePermissions", from, to))
        .await;
    let found = client.page(&id, None, "pageSize=500").await.entities();
    let outside = found.iter().filter(|record| {
        let time = at(record["eventDate"].as_str().unwrap());
        time < at(from) || time >= at(to)
    });
    assert!(outside.count() > 0);
}

#[tokio::test]
async fn poison_is_served_among_the_rest() {
    let spec = DatasetSpec {
        poison: 60,
        ..small()
    };
    let settings = GenesysSettings {
        empty_page_every: 0,
        ..settled()
    };
    let client = Client::new(settings, &spec).await;
    let id = client.run_query(&week("PeoplePermissions")).await;
    let page = client.page(&id, None, "pageSize=500&expand=user").await;
    let dataset = Arc::clone(client.sim.dataset());
    let poison = dataset.poison(client.sim.now());
    let mine: Vec<_> = poison
        .iter()
        .filter(|bad| bad.service == "PeoplePermissions")
        .collect();
    assert!(mine.len() > 5);
    assert!(mine.iter().all(|bad| page.text().contains(bad.raw)));
}

#[test]
fn the_truth_can_be_written_as_json_lines() {
    let dataset = Dataset::generate(&small());
    let path = std::env::temp_dir().join(format!("truth-{}.jsonl", uuid::Uuid::now_v7()));
    dataset.write_truth(&path, ALWAYS).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let truth = everything(&dataset);
    assert_eq!(text.lines().count(), truth.len());
    for (line, record) in text.lines().zip(&truth) {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["id"], record.id.as_str());
        assert_eq!(row["service"], record.service);
        assert_eq!(row["raw"], record.raw);
        let time = row["event_time"].as_str().unwrap();
        assert_eq!(time.len(), "2026-03-02T09:14:05.318000Z".len());
        assert_eq!(at(time).timestamp_micros(), record.event_time_micros);
    }
}

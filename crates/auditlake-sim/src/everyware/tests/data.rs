//! The invented audits.

use std::collections::BTreeSet;

use super::super::TimeForm;
use super::*;

fn all(dataset: &Dataset) -> Vec<super::super::Truth<'_>> {
    dataset.truth(
        DateTime::<Utc>::MIN_UTC,
        DateTime::<Utc>::MAX_UTC,
        None,
        DateTime::<Utc>::MAX_UTC,
    )
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let texts = |seed| {
        let dataset = Dataset::generate(&DatasetSpec { seed, ..small() });
        all(&dataset)
            .iter()
            .map(|truth| truth.raw.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(1), texts(1));
    assert_ne!(texts(1), texts(2));
}

#[test]
fn ids_are_unique_without_order_and_too_many_for_a_double() {
    let dataset = Dataset::generate(&small());
    let truth = all(&dataset);
    let ids: Vec<u64> = truth
        .iter()
        .map(|truth| truth.id.parse().unwrap())
        .collect();
    let distinct: BTreeSet<u64> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), 600);
    assert!(!ids.is_sorted());
    #[expect(clippy::cast_precision_loss, reason = "the loss is what is looked for")]
    let doubles: BTreeSet<u64> = ids.iter().map(|id| (*id as f64).to_bits()).collect();
    assert!(doubles.len() < 600);
}

#[test]
fn some_share_a_millisecond_and_every_form_of_time_is_there() {
    let spec = DatasetSpec {
        times: TimeForm::Mixed,
        ..small()
    };
    let dataset = Dataset::generate(&spec);
    let truth = all(&dataset);
    let times: BTreeSet<i64> = truth.iter().map(|truth| truth.event_time_micros).collect();
    assert!(times.len() <= 600 - spec.largest_tie + 1);
    let mut forms = BTreeSet::new();
    for truth in truth {
        let record: Value = serde_json::from_str(truth.raw).unwrap();
        let millis = truth.event_time_micros / 1_000;
        forms.insert(match &record["occurredOn"] {
            Value::Number(number) => {
                assert_eq!(number.as_i64(), Some(millis));
                "number"
            }
            Value::String(text) if text.contains('T') => {
                assert_eq!(at(text).timestamp_millis(), millis);
                "iso"
            }
            Value::String(text) => {
                assert_eq!(text.parse(), Ok(millis));
                "text"
            }
            other => unreachable!("{other}"),
        });
        assert_eq!(
            record["id"].as_u64().map(|id| id.to_string()),
            Some(truth.id)
        );
    }
    assert_eq!(forms.len(), 3);
}

#[test]
fn truth_is_cut_by_time_account_and_sight() {
    let spec = DatasetSpec {
        accounts: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
        poison: 9,
        ..small()
    };
    let dataset = Dataset::generate(&spec);
    let (never, always) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let middle = at("2026-03-04T00:00:00Z");
    let count = |from, to, account, seen| dataset.truth(from, to, account, seen).len();
    assert_eq!(
        count(never, middle, None, always) + count(middle, always, None, always),
        600
    );
    let each = dataset
        .accounts()
        .iter()
        .map(|name| count(never, always, Some(name), always))
        .sum::<usize>();
    assert_eq!(each, 600);
    assert_eq!(count(never, always, None, never), 0);
    let seen = count(never, always, None, middle);
    assert!((1..600).contains(&seen));
    assert_eq!(dataset.poison(always).len(), 9);
    let last = DateTime::from_timestamp_micros(dataset.all_visible_micros()).unwrap();
    assert_eq!(count(never, always, None, last), 600);
}

#[test]
fn truth_is_written_as_lines() {
    let dataset = Dataset::generate(&small());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("truth.jsonl");
    dataset
        .write_truth(&path, DateTime::<Utc>::MAX_UTC)
        .unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let truth = all(&dataset);
    assert_eq!(lines.len(), truth.len());
    for (line, truth) in lines.iter().zip(truth) {
        assert_eq!(
            (line["id"].as_str(), line["raw"].as_str()),
            (Some(truth.id.as_str()), Some(truth.raw))
        );
    }
}

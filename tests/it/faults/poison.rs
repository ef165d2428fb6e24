//! Records that nobody should write: each lands or waits in quarantine, byte for byte, and none stops a run.

use auditlake::sim::Fault;
use base64::Engine as _;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use super::worlds::*;
use crate::support::rig::{Rig, at, exceeding, range};

/// Pulls these records. Returns the number of those that landed and of those in quarantine.
///
/// No record is lost, altered or invented: one that neither landed nor is in quarantine is in the lake already, by its
/// id, or belongs to another range.
async fn pull<W: World>(rig: &Rig<W>, records: Vec<String>) -> (u64, u64) {
    let mut sent = records.clone();
    feed(&rig.sim, records);
    let report = rig.tick(at(NOW)).await;
    let counts = report.totals.counts;
    assert_eq!(counts.fetched, sent.len() as u64);
    let left_out = counts.duplicate + counts.waiting;
    assert_eq!(counts.fetched, counts.new + counts.quarantined + left_out);
    let mut found: Vec<String> = rig.rows().await.into_iter().map(|row| row.raw).collect();
    assert_eq!(found.len() as u64, counts.new);
    for line in rig.quarantine().await {
        assert!(
            line["reason"]
                .as_str()
                .is_some_and(|reason| reason.len() < 1_000)
        );
        found.push(line["raw"].as_str().unwrap().to_owned());
    }
    assert_eq!(found.len() as u64, counts.new + counts.quarantined);
    sent.sort();
    found.sort();
    let short = |list: Vec<&String>| -> Vec<String> {
        list.into_iter()
            .map(|raw| raw.chars().take(200).collect())
            .collect()
    };
    let made_up = short(exceeding(&found, &sent));
    assert!(made_up.is_empty(), "altered: {made_up:?}");
    let lost = short(exceeding(&sent, &found));
    assert_eq!(lost.len() as u64, left_out, "lost: {lost:?}");
    (counts.new, counts.quarantined)
}

/// The same for records that are all distinct.
async fn keeps_each<W: World>(records: Vec<String>) -> (u64, u64) {
    let rig: Rig<W> = rig(0).await;
    let all = records.len() as u64;
    let (landed, quarantined) = pull(&rig, records).await;
    assert_eq!(landed + quarantined, all);
    (landed, quarantined)
}

/// A time that each provider's records may show.
fn good_time<W: World>() -> &'static str {
    match W::NAME {
        "liveperson" => r#""2026-03-01 10:00:00.0""#,
        "everyware_cloud" => "1772359200000",
        _ => r#""2026-03-01T10:00:00Z""#,
    }
}

fn text(text: &str) -> String {
    Value::from(text).to_string()
}

fn not_objects() -> Vec<String> {
    let list = [
        "null",
        "true",
        "0",
        "-0.0",
        "1e999",
        "9007199254740993",
        r#""text""#,
        r#""""#,
        "[]",
        "[[],{}]",
        "{}",
        r#""\ud800""#,
        r#"" ""#,
        "null",
    ];
    list.map(str::to_owned).to_vec()
}

/// Times, as JSON; an empty text is none at all.
const TIMES: &[&str] = &[
    "",
    "null",
    r#""""#,
    "true",
    "[]",
    "{}",
    "0",
    "-1",
    "1772359200000",
    "1772359200",
    r#""1772359200000""#,
    "1.5",
    "1e400",
    "-1e400",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999999999",
    "253402300800000",
    r#""yesterday""#,
    r#""２０２６-03-01T10:00:00Z""#,
    r#""2026-03-01""#,
    r#""2026-03-01 10:00:00.0""#,
    r#""2026-03-01T10:00:00Z""#,
    r#""2026-03-01T10:00:00.123456789Z""#,
    r#""2026-03-01T10:00:00.123456789123456789Z""#,
    r#""2026-03-01T10:00:00-00:00""#,
    r#""2026-03-01T10:00:00-11:59""#,
    r#""2026-03-01T10:00:00+99:99""#,
    r#""2026-03-01T25:61:61Z""#,
    r#""2026-02-30T10:00:00Z""#,
    r#""2016-12-31T23:59:60Z""#,
    r#""2016-12-31 23:59:60.0""#,
    r#""0000-00-00T00:00:00Z""#,
    r#""0000-01-01T00:00:00Z""#,
    r#""0000-01-01T00:00:00+14:00""#,
    r#""0000-01-01 00:00:00.0""#,
    r#""-0001-01-01T00:00:00Z""#,
    r#""1582-10-10T00:00:00Z""#,
    r#""9999-12-31T23:59:59.999999Z""#,
    r#""9999-12-31T23:59:59-14:00""#,
    r#""9999-12-31 23:59:59.0""#,
    r#""10000-01-01T00:00:00Z""#,
    r#""+10000-01-01T00:00:00Z""#,
    r#""\ud800""#,
    r#""2026-03-01T10:00:00Z\u0000""#,
];

const IDS: &[&str] = &[
    "",
    "null",
    r#""""#,
    "true",
    "[]",
    "{}",
    "9007199254740992",
    "9007199254740993",
    "9007199254740992.0",
    "9007199254740993.0",
    "18446744073709551615",
    "18446744073709551616",
    "18446744073709551617",
    "-1",
    "1e300",
    "1.0e300",
    r#"" ""#,
    r#""\u0000""#,
    r#""nul\u0000in""#,
    r#""\ud800""#,
    r#""\udc00\ud800""#,
    r#""\ud83d\ude00""#,
    r#""../../etc/passwd""#,
    r##""#2""##,
];

/// Members that stand behind the others.
fn members() -> Vec<String> {
    let own = [
        "event_id",
        "event_time",
        "raw",
        "ingested_at",
        "late_by_ms",
        "provider",
        "_auditlake",
        "event_date",
        "__HIVE_DEFAULT_PARTITION__",
        "#2",
        "$serde_json::private::RawValue",
        "$serde_json::private::Number",
        "__proto__",
        "",
        " ",
        "\u{0}",
        "id",
        "é",
        "\u{feff}",
    ];
    let mut all: Vec<String> = own
        .iter()
        .map(|name| format!(",{}:1", text(name)))
        .collect();
    let fields = [
        "context",
        "user",
        "entity",
        "propertyChanges",
        "entityChanges",
        "remoteIp",
        "message",
        "auditData",
        "previousData",
        "ipAddress",
        "oldValue",
        "newValue",
        "accountId",
        "eventInput1",
        "eventResultCode",
        "entityId",
    ];
    let values = [
        "null".to_owned(),
        "1e999".to_owned(),
        r#""\ud800""#.to_owned(),
        "[null,[[]],{}]".to_owned(),
        r#"{"a":1,"a":2,"":{"a":[]}}"#.to_owned(),
        r#"[{"property":1,"oldValues":{"a":1},"newValues":"x"},7]"#.to_owned(),
        format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)),
        format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000)),
        text(&"../".repeat(2_000)),
    ];
    for field in fields {
        all.extend(values.iter().map(|value| format!(",\"{field}\":{value}")));
    }
    // a key that is there twice, of those that are read and of those that aren't
    all.extend(
        [
            r#","x":1,"x":2"#,
            r#","id":"twice","id":"thrice""#,
            r#","context":{},"context":{}"#,
        ]
        .map(str::to_owned),
    );
    all
}

async fn survives_poison<W: World>() {
    let time = good_time::<W>();
    let mut sets = vec![not_objects()];
    let numbered = |number: usize| text(&format!("r{number}"));
    sets.push(
        TIMES
            .iter()
            .enumerate()
            .map(|(number, time)| W::record(&numbered(number), time, ""))
            .collect(),
    );
    sets.push(IDS.iter().map(|id| W::record(id, time, "")).collect());
    sets.push(
        members()
            .iter()
            .enumerate()
            .map(|(number, more)| W::record(&numbered(number), time, more))
            .collect(),
    );
    for set in sets {
        let all = set.len();
        let (landed, quarantined) = keeps_each::<W>(set).await;
        println!(
            "tried: poison, {}: {all} sent, {landed} landed, {quarantined} quarantined",
            W::NAME
        );
    }
}

every_provider!(async fn survives_poison);

/// Ten megabytes in one text, in one list and in one object; an id of one; and thousands of records on a page.
async fn survives_much<W: World>() {
    let time = good_time::<W>();
    let long = text(&"x".repeat(10 << 20));
    let wide = format!(
        "[{}1]",
        format!("{},", text(&"y".repeat(1_000))).repeat(10_000)
    );
    let keys: Vec<String> = (0..20_000)
        .map(|key| format!("\"key {key}\":{key}"))
        .collect();
    let big = |id: &str, value: &str| W::record(&text(id), time, &format!(",\"big\":{value}"));
    let mut records = vec![
        big("long", &long),
        big("wide", &wide),
        big("keys", &format!("{{{}}}", keys.join(","))),
        W::record(&text(&"i".repeat(1 << 20)), time, ""),
        W::record(&text(&"é".repeat(1 << 19)), time, ""),
    ];
    let many = (0..3_000).map(|number| W::record(&text(&format!("r{number}")), time, ""));
    records.extend(many);
    let (_, quarantined) = keeps_each::<W>(records).await;
    assert_eq!(quarantined, 0);
}

every_provider!(async fn survives_much);

/// A record that isn't UTF-8 waits in quarantine, byte for byte, and the others land.
async fn survives_bytes<W: World>() {
    let rig: Rig<W> = rig(0).await;
    let fault = Fault::rewritten(|asked, answer| {
        let records = [
            W::record("\"a\"", good_time::<W>(), ",\"x\":\"@@\""),
            W::record("\"b\"", good_time::<W>(), ""),
        ];
        if let Some(page) = W::page(asked, &records) {
            answer.body = page.into_bytes();
            for byte in &mut answer.body {
                if *byte == b'@' {
                    *byte = 0xff;
                }
            }
        }
    });
    rig.sim.faults().always(W::DATA, fault);
    let report = rig.tick(at(NOW)).await;
    let counts = report.totals.counts;
    assert_eq!((counts.new, counts.quarantined), (1, 1));
    rig.backfill(range(FROM, TO), true, at(NOW)).await;
    assert_eq!(rig.rows().await.len(), 1);
    let lines = rig.quarantine().await;
    assert_eq!(lines.len(), 1);
    let mut sent = W::record("\"a\"", good_time::<W>(), ",\"x\":\"@@\"").into_bytes();
    for byte in &mut sent {
        if *byte == b'@' {
            *byte = 0xff;
        }
    }
    let waits = lines[0]["raw_base64"].as_str().unwrap();
    let waits = base64::prelude::BASE64_STANDARD.decode(waits).unwrap();
    assert_eq!(waits, sent);
    let reason = lines[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("the record is not UTF-8"), "{reason}");
}

every_provider!(async fn survives_bytes);

/// Any JSON.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        4 => prop::sample::select(vec![
            "id", "eventDate", "date", "changeDate", "occurredOn", "context", "propertyChanges", "auditData",
            "previousData", "user", "entity", "remoteIp", "accountId", "element", "type",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(TIMES.to_vec())
            .prop_map(|time| serde_json::from_str(time).unwrap_or(Value::Null)),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A record of the provider's own, with bytes changed; still JSON, as else the page is none.
fn mutated(real: Vec<String>) -> impl Strategy<Value = String> {
    let byte = prop_oneof![
        prop::sample::select(b"{}[]\",:\\0123456789eE+-.truefalsn \t".to_vec()),
        any::<u8>(),
    ];
    let cuts = prop::collection::vec((any::<prop::sample::Index>(), byte, 0..3_u8), 1..8);
    (prop::sample::select(real), cuts).prop_map(|(record, cuts)| {
        let mut text = record.clone();
        for (index, byte, how) in cuts {
            let mut bytes = text.clone().into_bytes();
            let at = index.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => {
                    bytes.remove(at);
                }
            }
            let changed = String::from_utf8(bytes).ok();
            let is_json = |text: &String| {
                let json = serde_json::from_str::<&RawValue>(text);
                json.is_ok_and(|json| json.get() == text)
            };
            if let Some(changed) = changed.filter(is_json) {
                text = changed;
            }
        }
        text
    })
}

fn keeps_anything<W: World>() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (rig, real) = runtime.block_on(async {
        let full = W::start(60).await;
        full.set_now(at(NOW));
        let real = full.truth().into_iter().map(|(_, raw)| raw);
        (rig::<W>(0).await, real.collect::<Vec<String>>())
    });
    let record = prop_oneof![
        2 => any_json().prop_map(|value| value.to_string()),
        2 => any_json().prop_map(|value| {
            let record = W::record("\"own\"", good_time::<W>(), "");
            let mut record: Value = serde_json::from_str(&record).unwrap();
            match value {
                Value::Object(members) => record.as_object_mut().unwrap().extend(members),
                other => record["other"] = other,
            }
            record.to_string()
        }),
        3 => mutated(real),
    ];
    let records = prop::collection::vec(record, 1..25);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let rig = tokio::sync::Mutex::new(rig);
    runner
        .run(&records, |records| {
            runtime.block_on(async {
                let mut rig = rig.lock().await;
                let (lake, partition_by) = crate::support::rig::lake_in_memory().await;
                (rig.job.lake, rig.job.partition_by) = (lake, partition_by);
                pull(&*rig, records).await;
            });
            Ok(())
        })
        .unwrap();
}

every_provider!(fn keeps_anything);

//! The provider's pitfalls, one by one; records that no documentation foresees, and answers that nobody wrote.

use auditlake::model::{FailureKind, Outcome, Range};
use auditlake::providers::everyware::{Action, EverywareOptions, ResultCode};
use auditlake::providers::{Adapter, Cursor, Page, PageRequest, Refusal, Target};
use chrono_tz::Tz;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::golden::{adapter, answer, ask, at, fixture, page_of, raws, refused, with};

/// The query of a call.
fn query(options: EverywareOptions, from: &str, to: &str) -> String {
    let adapter = with(options);
    let ask = PageRequest {
        range: Range::new(at(from), at(to)).unwrap(),
        ..ask(&adapter)
    };
    let call = adapter.call(&ask, None).unwrap();
    assert_eq!((call.method.as_str(), call.body), ("GET", None));
    let Target::Api { path, query } = call.target else {
        unreachable!("a call of the API");
    };
    let query: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!(
        "{path} {} | asked {}",
        query.join(" "),
        adapter.asked(ask.range)
    )
}

fn zone(zone: Tz) -> EverywareOptions {
    EverywareOptions {
        timezone: Some(zone),
        ..EverywareOptions::default()
    }
}

#[test]
fn pitfall_1_dates_are_month_day_year_with_every_zero() {
    let day = |options| query(options, "2026-03-05T00:00:00Z", "2026-03-06T00:00:00Z");
    insta::assert_snapshot!(day(EverywareOptions::default()), @"/audit startDate=03/04/2026 stopDate=03/06/2026 | asked 2026-03-03T10:00:00Z..2026-03-07T12:00:00Z");
    insta::assert_snapshot!(day(zone(Tz::UTC)), @"/audit startDate=03/05/2026 stopDate=03/05/2026 | asked 2026-03-05T00:00:00Z..2026-03-06T00:00:00Z");
    insta::assert_snapshot!(day(zone(Tz::Europe__Rome)), @"/audit startDate=03/05/2026 stopDate=03/06/2026 | asked 2026-03-04T23:00:00Z..2026-03-06T23:00:00Z");
    // the year turns on one side only
    insta::assert_snapshot!(query(EverywareOptions::default(), "2026-12-31T12:00:00Z", "2026-12-31T13:00:00Z"), @"/audit startDate=12/30/2026 stopDate=01/01/2027 | asked 2026-12-29T10:00:00Z..2027-01-02T12:00:00Z");
}

#[test]
fn pitfall_2_days_overlap_and_ids_tell_records_apart() {
    assert!(adapter().has_ids());
    let page = page_of(200, fixture("audit_result_unordered_same_millisecond")).unwrap();
    let ids: Vec<String> = raws(&page)
        .into_iter()
        .map(|raw| adapter().record(raw).unwrap().event_id.into_owned())
        .collect();
    assert_eq!(ids, ["100009", "100007", "100008"]);
}

#[test]
fn pitfall_3_ids_and_times_have_64_bits() {
    let page = page_of(200, fixture("audit_awkward_records")).unwrap();
    let record = adapter().record(raws(&page)[3]).unwrap();
    // as a double, it would end in 2
    assert_eq!(record.event_id, "9007199254740993");
    assert_eq!(record.event_time, at("9999-12-31T23:59:59.999Z"));
}

#[test]
fn pitfall_4_names_are_spelled_as_the_query_has_them() {
    let options = EverywareOptions {
        action: Some(Action::Delete),
        result_code: Some(ResultCode::False),
        user_name: Some("ops admin&x".to_owned()),
        timezone: Some(Tz::UTC),
        max_rows: None,
    };
    insta::assert_snapshot!(
        query(options, "2026-03-05T00:00:00Z", "2026-03-06T00:00:00Z"),
        @"/audit startDate=03/05/2026 stopDate=03/05/2026 action=DELETE resultCode=FALSE userName=ops admin&x | asked 2026-03-05T00:00:00Z..2026-03-06T00:00:00Z"
    );
    let record = adapter().record(r#"{"id":1,"occurredOn":0,"userName":"no","username":"yes"}"#);
    assert_eq!(record.unwrap().actor_login.as_deref(), Some("yes"));
}

// Pitfalls 5 (https, no foreign host) and 8 (child accounts) are tested in config.rs. Pitfall 6 is about other clients.

#[test]
fn pitfall_7_inputs_are_kept_word_by_word_and_no_message_tells_them() {
    let raw = r#"{"id":1,"occurredOn":0,"eventInput1":"{\"password\":\"hunter2\"}","eventInput2":"a \"b\"","eventOutput3":"x"}"#;
    let record = adapter().record(raw).unwrap();
    let attributes: Vec<(&str, &str)> = record
        .attributes
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_ref()))
        .collect();
    assert_eq!(
        attributes,
        [
            ("event_input1", r#"{"password":"hunter2"}"#),
            ("event_input2", r#"a "b""#),
            ("event_output3", "x"),
        ]
    );
    for body in [
        format!(r#"{{"audit":[{raw}"#),
        format!(r#"{{"audit":[{raw}}}"#),
        format!(r#"{{"audit":[{raw}],}}"#),
        format!("[{raw}]"),
    ] {
        let message = refused(page_of(200, body));
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn filters_make_another_stream_and_a_cap_or_a_zone_do_not() {
    let id = |options| adapter_id(&with(options));
    let plain = id(EverywareOptions::default());
    assert_eq!(plain, "audit");
    let capped = EverywareOptions {
        max_rows: Some(50),
        ..zone(Tz::UTC)
    };
    assert_eq!(id(capped), "audit");
    let of = |name: &str| EverywareOptions {
        user_name: Some(name.to_owned()),
        ..EverywareOptions::default()
    };
    assert_eq!(id(of("a")), id(of("a")));
    assert_ne!(id(of("a")), id(of("b")));
    assert!(id(of("a")).starts_with("audit#"));
}

fn adapter_id(adapter: &impl Adapter) -> String {
    adapter.streams(&[]).unwrap().remove(0).id
}

#[test]
fn there_is_nothing_to_go_on_from() {
    let adapter = adapter();
    let cursor = Cursor("7".to_owned());
    let refusal = adapter.call(&ask(&adapter), Some(&cursor)).unwrap_err();
    assert!(matches!(refusal, Refusal::CursorGone(_)), "{refusal}");
}

#[test]
fn errors_are_read_in_whatever_form_they_come() {
    let html = "<html>\n<head><title>404 Not Found</title></head><body>x</body></html>";
    let xml = r#"<?xml version="1.0"?><errorBean><message>Bad &amp; date</message></errorBean>"#;
    let mut lines = Vec::new();
    for (status, body) in [
        (400, fixture("error_400_bad_date").as_str()),
        (400, xml),
        (401, html),
        (403, ""),
        (404, html),
        (404, r#"{"message":"No such resource","code":"NOT_FOUND"}"#),
        (406, r#"{"message":null}"#),
        (413, "too much"),
        (429, r#"{"message":"slow down"}"#),
        (302, ""),
        (500, "<p>\n  oh</p>"),
        (502, html),
        (200, html),
        (200, xml),
        (200, r#"{"message":"maintenance"}"#),
    ] {
        lines.push(refused(page_of(status, body.to_owned())));
    }
    insta::assert_snapshot!(lines.join("\n"));
    assert!(page_of(204, "").unwrap().records.is_empty());
}

#[test]
fn a_known_cap_fails_the_range_and_a_round_count_is_told_of() {
    let rows = |count: usize, max_rows: Option<u64>| -> Result<Page, Refusal> {
        let adapter = with(EverywareOptions {
            max_rows,
            ..EverywareOptions::default()
        });
        let body = json!({ "audit": vec![json!({ "id": 1 }); count] }).to_string();
        adapter.page(&ask(&adapter), None, answer(200, body))
    };
    for count in [50, 100, 1_000] {
        let remark = rows(count, None).unwrap().remark.unwrap();
        assert!(
            remark.contains(&format!("exactly {count} records")),
            "{remark}"
        );
        assert_eq!(rows(count + 1, None).unwrap().remark, None);
    }
    let refusal = rows(70, Some(70)).unwrap_err();
    assert!(matches!(refusal, Refusal::TooLarge(_)));
    assert_eq!(refusal.kind(), FailureKind::Data);
    let text = refusal.to_string();
    for word in [
        "70",
        "`max_rows`",
        "`timezone`",
        "`action`",
        "`result_code`",
    ] {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(rows(69, Some(70)).unwrap().records.len(), 69);
}

#[test]
fn a_time_is_read_or_is_the_reason() {
    let mut lines = Vec::new();
    for time in [
        "1772352061000",
        r#""1772352061000""#,
        "-1",
        "0",
        "1772352061000.25",
        "1.772352061E12",
        r#""2026-03-01T09:10:32Z""#,
        r#""2026-03-01T09:10:32.123456789+02:00""#,
        r#""2026-03-01T09:10:32.5+0000""#,
        r#""2026-03-01T09:10:32-0530""#,
        r#""2026-03-01T09:10:32""#,
        r#""03/01/2026""#,
        r#""the day before""#,
        "253402300800000",
        "9223372036854775807",
        "1e999",
        "true",
        r#""""#,
        "null",
        "[]",
        r#"{"time":1}"#,
    ] {
        let raw = format!(r#"{{"id":1,"occurredOn":{time}}}"#);
        let read = match adapter().record(&raw) {
            Ok(record) => record.event_time.to_string(),
            Err(reason) => format!("! {reason}"),
        };
        lines.push(format!("{time:<40} {read}"));
    }
    for raw in [
        "null",
        "17",
        r#""text""#,
        "[1]",
        "{}",
        r#"{"id":1}"#,
        r#"{"id":1,"id":2,"occurredOn":0}"#,
        r#"{"id":1,"occurredOn":0,"username":"\ud800"}"#,
        r#"{"id":1 "occurredOn":0}"#,
    ] {
        lines.push(format!(
            "{raw:<40} ! {}",
            adapter().record(raw).unwrap_err()
        ));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn results_are_read_in_any_case_and_else_unknown() {
    for (code, outcome) in [
        (r#""TRUE""#, Outcome::Success),
        (r#""true""#, Outcome::Success),
        ("true", Outcome::Success),
        (r#""False""#, Outcome::Failure),
        ("false", Outcome::Failure),
        (r#""PARTIAL""#, Outcome::Unknown),
        ("1", Outcome::Unknown),
        ("null", Outcome::Unknown),
        (r#""""#, Outcome::Unknown),
    ] {
        let raw = format!(r#"{{"id":1,"occurredOn":0,"eventResultCode":{code}}}"#);
        assert_eq!(adapter().record(&raw).unwrap().outcome, outcome, "{code}");
    }
}

#[test]
fn no_type_of_any_other_field_keeps_a_record_out() {
    let values = [
        json!(null),
        json!(true),
        json!(-1.5),
        json!("text"),
        json!(""),
        json!([]),
        json!([null, {}, "x"]),
        json!({ "id": [] }),
    ];
    for field in [
        "id",
        "accountId",
        "userId",
        "username",
        "sessionId",
        "entityId",
        "eventType",
        "eventResultCode",
        "eventResultFailure",
        "eventInput1",
        "eventInput3",
        "eventOutput1",
        "eventOutput3",
        "neverHeardOf",
    ] {
        for value in &values {
            let mut record: Value = json!({ "id": 1, "occurredOn": 1_000 });
            record[field] = value.clone();
            let raw = record.to_string();
            let record = adapter().record(&raw).unwrap();
            assert_eq!(record.event_time, at("1970-01-01T00:00:01Z"), "{raw}");
        }
    }
    // what has no id is known by its text
    assert_eq!(
        adapter().record(r#"{"occurredOn":0}"#).unwrap().event_id,
        ""
    );
}

proptest! {
    #[test]
    fn whatever_comes_is_survived(body in prop::collection::vec(any::<u8>(), 0..80), raw in "\\PC{0,40}", status in 200_u16..600) {
        let _ = page_of(status, body);
        let _ = adapter().record(&raw);
    }
}

//! The walk over pages, call by call; the streams; the record's two forms.

use std::fmt::Write as _;

use auditlake::model::FailureKind;
use auditlake::providers::avaya::{Avaya, AvayaOptions};
use auditlake::providers::{Adapter as _, PageRequest, Refusal};
use serde_json::{Value, json};

use super::support::*;

/// A page of `records` records, with this `pagination`.
fn page(count: usize, pagination: &Value) -> String {
    let records = vec![json!({ "date": "2026-03-01T10:00:00Z" }); count];
    json!({ "pagination": pagination, "auditRecords": records }).to_string()
}

fn after(place: Option<(u32, u64)>, text: &str) -> String {
    let cursor = place.map(|(page, received)| super::support::place(page, received));
    outline(&Avaya::default().page(
        &ask("user/USER"),
        cursor.as_ref(),
        answer(200, text.to_owned()),
    ))
}

#[test]
fn pages_are_counted_from_the_total() {
    let full =
        |page: u32, total: u64| json!({ "pageNumber": page, "pageSize": 50, "total": total });
    for (place, count, pagination, outline) in [
        (None, 50, full(1, 50), "50 records of 50, end"),
        (
            None,
            50,
            full(1, 51),
            r#"50 records of 51, next {"page":2,"size":50,"received":50}"#,
        ),
        (Some((2, 50)), 1, full(2, 51), "1 records of 51, end"),
        (
            Some((2, 50)),
            50,
            full(2, 120),
            r#"50 records of 120, next {"page":3,"size":50,"received":100}"#,
        ),
        // an empty page ends it, whatever the total
        (Some((2, 50)), 0, full(2, 120), "0 records of 120, end"),
        (None, 0, full(1, 3), "0 records of 3, end"),
        // a server that returns fewer than requested, with or without saying so
        (
            Some((3, 40)),
            20,
            json!({ "pageSize": 20, "total": 70 }),
            r#"20 records of 70, next {"page":4,"size":50,"received":60}"#,
        ),
        (
            Some((4, 60)),
            10,
            json!({ "pageSize": 20, "total": 70 }),
            "10 records of 70, end",
        ),
        (
            Some((2, 20)),
            20,
            full(2, 70),
            r#"20 records of 70, next {"page":3,"size":50,"received":40}"#,
        ),
        // more than one page for as many records as fit on one: nothing may be left behind
        (
            Some((2, 48)),
            40,
            full(2, 90),
            r#"40 records of 90, next {"page":3,"size":50,"received":88}"#,
        ),
        // without a total, on to an empty page
        (
            None,
            50,
            json!({}),
            r#"50 records, next {"page":2,"size":50,"received":50}"#,
        ),
        (
            None,
            3,
            json!(null),
            r#"3 records, next {"page":2,"size":50,"received":3}"#,
        ),
        (Some((2, 3)), 0, json!(null), "0 records, end"),
        // numbers may come as text, and nonsense is as good as nothing
        (None, 5, json!({ "total": "5" }), "5 records of 5, end"),
        (
            None,
            5,
            json!({ "total": -1, "pageSize": 0 }),
            r#"5 records, next {"page":2,"size":50,"received":5}"#,
        ),
        (
            None,
            5,
            json!("none"),
            r#"5 records, next {"page":2,"size":50,"received":5}"#,
        ),
    ] {
        assert_eq!(
            after(place, &page(count, &pagination)),
            outline,
            "{place:?} {pagination}"
        );
    }
}

#[test]
fn what_is_no_page_or_another_one_ends_nothing() {
    for (text, message) in [
        (
            "{}",
            "data: the answer has neither `auditRecords` nor `pagination`, so it isn't a page",
        ),
        (
            r#"{"auditRecords":{}}"#,
            "data: the answer isn't the expected JSON, at line 1 column 16",
        ),
        (
            "<html>",
            "data: the answer is a page, not JSON; is there a proxy?",
        ),
        (
            r#"{"auditRecords":[],"pagination":{"pageNumber":7}}"#,
            "data: page 1 was requested, but the answer is page 7",
        ),
    ] {
        assert_eq!(after(None, text), message);
    }
    // nulls are nothing, not no page
    assert_eq!(
        after(None, r#"{"auditRecords":null,"pagination":{"total":0}}"#),
        "0 records of 0, end"
    );
    let gone = Avaya::default().call(
        &ask("user/USER"),
        Some(&auditlake::providers::Cursor("x".to_owned())),
    );
    assert!(
        gone.unwrap_err()
            .to_string()
            .starts_with("the provider no longer accepts the cursor")
    );
}

#[test]
fn each_further_reading_cuts_its_pages_elsewhere() {
    let adapter = Avaya::default();
    let sizes = (0..3).map(|reading| {
        let ask = PageRequest {
            reading,
            ..ask("user/USER")
        };
        let call = shown(&adapter.call(&ask, None).unwrap());
        let size = call.split_once("pageSize=").unwrap().1;
        let size: u32 = size.split_once(' ').unwrap().0.parse().unwrap();
        // as many records as the page has, and one more
        let text = page(
            size as usize,
            &json!({ "pageNumber": 1, "pageSize": size, "total": size + 1 }),
        );
        assert!(outline(&adapter.page(&ask, None, answer(200, text))).contains("next"));
        let text = page(
            size as usize,
            &json!({ "pageNumber": 1, "pageSize": size, "total": size }),
        );
        assert!(outline(&adapter.page(&ask, None, answer(200, text))).ends_with("end"));
        size
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [50, 42, 36]);
    let late = PageRequest {
        reading: u32::MAX,
        ..ask("user/USER")
    };
    assert!(shown(&adapter.call(&late, None).unwrap()).contains("pageSize=5 "));
}

/// A server with smaller pages than requested would split a confirming read at the same records as the one before.
#[test]
fn a_confirming_reading_cuts_below_what_the_server_gives() {
    let adapter = Avaya::default();
    let begun = |reading, count, pagination: &Value| {
        let ask = PageRequest {
            reading,
            ..ask("user/USER")
        };
        outline(&adapter.page(&ask, None, answer(200, page(count, pagination))))
    };
    let given = |size: u32, total: u32| json!({ "pageSize": size, "total": total });
    for (reading, count, pagination, outline) in [
        (
            0,
            20,
            given(20, 70),
            r#"20 records of 70, next {"page":2,"size":50,"received":20}"#,
        ),
        (
            1,
            20,
            given(20, 70),
            r#"0 records of 70, next {"page":1,"size":17,"received":0}"#,
        ),
        (
            2,
            20,
            given(20, 70),
            r#"0 records of 70, next {"page":1,"size":15,"received":0}"#,
        ),
        (
            1,
            7,
            given(7, 70),
            r#"0 records of 70, next {"page":1,"size":6,"received":0}"#,
        ),
        (
            2,
            7,
            given(7, 70),
            r#"0 records of 70, next {"page":1,"size":5,"received":0}"#,
        ),
        (
            1,
            7,
            json!(null),
            r#"0 records, next {"page":1,"size":6,"received":0}"#,
        ),
        // all is there
        (1, 20, given(20, 20), "20 records of 20, end"),
        (
            1,
            42,
            given(42, 90),
            r#"42 records of 90, next {"page":2,"size":42,"received":42}"#,
        ),
        (1, 0, json!(null), "0 records, end"),
    ] {
        assert_eq!(
            begun(reading, count, &pagination),
            outline,
            "{reading} {pagination}"
        );
    }
}

#[test]
fn bounds_are_widened_never_narrowed() {
    let adapter = Avaya::default();
    let bounds = |from: &str, to: &str| {
        let ask = PageRequest {
            range: range(from, to),
            ..ask("user/USER")
        };
        let body = body(&adapter.call(&ask, None).unwrap());
        [body["startDate"].clone(), body["endDate"].clone()]
    };
    assert_eq!(
        bounds("2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z"),
        ["2026-02-28T23:59:59.000Z", "2026-03-01T01:00:00.000Z"]
    );
    assert_eq!(
        bounds("2026-03-01T00:00:00.5Z", "2026-03-01T01:00:00.000001Z"),
        ["2026-02-28T23:59:59.500Z", "2026-03-01T01:00:00.001Z"]
    );
    let asked = adapter.asked(range("2026-03-01", "2026-03-02"));
    assert_eq!(asked, range("2026-02-28T23:59:59Z", "2026-03-02T00:00:01Z"));
}

#[test]
fn every_service_and_type_is_a_stream() {
    let ids = |options: AvayaOptions| {
        let adapter = Avaya { options };
        assert!(adapter.stream_calls().is_empty());
        let streams = adapter.streams(&[]).unwrap();
        assert_eq!(streams, adapter.listed_streams());
        streams
            .into_iter()
            .map(|stream| stream.id)
            .collect::<Vec<_>>()
            .join(" ")
    };
    insta::assert_snapshot!(ids(AvayaOptions::default()), @"user/PROFILE user/USER user/RESOURCE_PARTITION user/USERS_DEFAULT_RESOURCE account/ACCOUNT inventory/ELEMENT group/GROUP match/QUEUE match/ATTRIBUTE business_hours/TIMETABLE");
    let match_only = AvayaOptions {
        services: vec!["match"],
        ..AvayaOptions::default()
    };
    insta::assert_snapshot!(ids(match_only), @"match/QUEUE match/ATTRIBUTE");
    let types = AvayaOptions {
        types: vec!["USER", "GROUP"],
        ..AvayaOptions::default()
    };
    insta::assert_snapshot!(ids(types), @"user/USER group/GROUP");
}

#[test]
fn each_stream_asks_its_own_service() {
    let adapter = Avaya::default();
    let calls: Vec<String> = adapter
        .listed_streams()
        .into_iter()
        .map(|stream| {
            let call = adapter.call(&ask(&stream.id), None).unwrap();
            let shown = shown(&call);
            let path = shown.split(' ').nth(1).unwrap().to_owned();
            format!("{} {path} {}", stream.id, body(&call)["type"])
        })
        .collect();
    insta::assert_snapshot!(calls.join("\n"), @r#"
    user/PROFILE /api/admin/user/v1/accounts/{account}/audit-records:search "PROFILE"
    user/USER /api/admin/user/v1/accounts/{account}/audit-records:search "USER"
    user/RESOURCE_PARTITION /api/admin/user/v1/accounts/{account}/audit-records:search "RESOURCE_PARTITION"
    user/USERS_DEFAULT_RESOURCE /api/admin/user/v1/accounts/{account}/audit-records:search "USERS_DEFAULT_RESOURCE"
    account/ACCOUNT /api/admin/account/v1/accounts/{account}/audit-records:search "ACCOUNT"
    inventory/ELEMENT /api/admin/inventory/v1/accounts/{account}/audit-records:search "ELEMENT"
    group/GROUP /api/admin/group/v1/accounts/{account}/audit-records:search "GROUP"
    match/QUEUE /api/admin/match/v1/accounts/{account}/audit-records:search "QUEUE"
    match/ATTRIBUTE /api/admin/match/v1/accounts/{account}/audit-records:search "ATTRIBUTE"
    business_hours/TIMETABLE /api/business-hours/v1/accounts/{account}/audit-records:search "TIMETABLE"
    "#);
    let stray = adapter.call(&ask("user/QUEUE"), None);
    assert_eq!(
        stray.unwrap_err().to_string(),
        "`user/QUEUE` isn't a stream of this job"
    );
}

#[test]
fn both_forms_of_a_date_are_one_record() {
    let adapter = Avaya::default();
    let record = |date: &str| {
        format!(
            r#"{{ "event":"X", "date": {date} ,"auditData":{{"date":"2026-03-01T10:00:00Z"}}}}"#
        )
    };
    let one = record("\"2026-03-01T10:00:00.100Z\"");
    assert_eq!(adapter.stable_content(&one), one);
    for date in [
        "2026-03-01T10:00:00.1Z",
        "2026-03-01T10:00:00.100+00:00",
        "2026-03-01T11:00:00.1000+01:00",
    ] {
        assert_eq!(
            adapter.stable_content(&record(&format!("\"{date}\""))),
            one,
            "{date}"
        );
    }
    let other = record("\"2026-03-01T10:00:00.1001Z\"");
    assert_ne!(adapter.stable_content(&other), one);
    for odd in ["null", "1772323200", "\"yesterday\"", "{}"] {
        let odd = record(odd);
        assert_eq!(adapter.stable_content(&odd), odd);
    }
    for odd in ["[]", "\"x\"", "{", "{}"] {
        assert_eq!(adapter.stable_content(odd), odd);
    }
}

#[test]
fn a_time_is_read_or_is_the_reason() {
    let adapter = Avaya::default();
    let mut text = String::new();
    for record in [
        r#"{"date":"2021-11-14T09:24:05.234Z"}"#,
        r#"{"date":"2021-06-24T19:03:01.463+00:00"}"#,
        r#"{"date":"2021-06-24T19:03:01+05:30"}"#,
        r#"{"event":"CREATED"}"#,
        r#"{"date":null}"#,
        r#"{"date":""}"#,
        r#"{"date":1772323200}"#,
        r#"{"date":"2026-03-01T10:00:00"}"#,
        r#"{"date":"2026-13-45T99:99:99Z"}"#,
        r#"{"date":"9999999-01-01T00:00:00Z"}"#,
        r#"{"date":"2026-03-01T10:00:00Z","date":"2026-03-02T10:00:00Z"}"#,
        r#""a record""#,
        "null",
        "[]",
    ] {
        let read = adapter
            .record(record)
            .map(|record| record.event_time.to_string());
        let read = read.unwrap_or_else(|reason| reason);
        writeln!(text, "{record}\n  {read}").unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn any_type_of_any_field_is_survived() {
    let adapter = Avaya::default();
    for value in [
        "null",
        "true",
        "-1.5",
        r#""x""#,
        r#""""#,
        "[]",
        "[1,null,{}]",
        "{}",
        r#"{"id":{"a":[]}}"#,
    ] {
        let record = format!(
            r#"{{"date":"2026-03-01T10:00:00Z","event":{value},"author":{value},"ipAddress":{value},"type":{value},"auditData":{value},"previousData":{value},"new":{value}}}"#
        );
        let record = adapter.record(&record).unwrap();
        assert!(record.changes.is_empty());
        assert!(!record.client_ips.iter().any(|ip| ip.is_empty()), "{value}");
    }
}

/// What was deleted may show only what it was.
#[test]
fn an_object_that_is_gone_is_named_by_its_earlier_state() {
    let adapter = Avaya::default();
    for now in ["null", "{}"] {
        let record = format!(
            r#"{{"date":"2026-03-01T10:00:00Z","event":"DELETED","type":"USER","auditData":{now},"previousData":{{"userId":"u-1","name":"Ada"}}}}"#
        );
        let record = adapter.record(&record).unwrap();
        assert_eq!(record.entity_id.as_deref(), Some("u-1"));
        assert_eq!(record.entity_name.as_deref(), Some("Ada"));
        assert_eq!(record.changes.len(), 2);
        assert!(record.attributes.is_empty());
    }
}

/// Failures that a smaller range may cure are distinguished from the others.
#[test]
fn only_a_violation_about_the_intervals_length_halves_the_range() {
    let refusal = |status, field: &str, code: &str| {
        let body = json!({ "violations": [{ "field": field, "message": "no", "code": code }] });
        let answer = answer(status, body.to_string());
        let page = Avaya::default().page(&ask("user/USER"), None, answer);
        match page {
            Err(Refusal::TooLarge(_)) => true,
            Err(message @ Refusal::BadRange { .. }) => message.kind() == FailureKind::Data,
            _ => false,
        }
    };
    for field in ["interval", "startDate", "endDate"] {
        assert!(refusal(400, field, "20009"), "{field}");
        assert!(!refusal(400, field, "20002"), "{field}");
        assert!(!refusal(400, field, "20006"), "{field}");
        assert!(!refusal(403, field, "20009"), "{field}");
    }
    assert!(refusal(400, "anything", "20007"));
    assert!(!refusal(400, "pageSize", "20009"));
}

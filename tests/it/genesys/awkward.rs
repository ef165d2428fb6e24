//! Records that no documentation foresees, and answers that nobody wrote.

use auditlake::providers::genesys::{
    AuditCatalogue, Filter, FilterProperty, Genesys, GenesysOptions, Mode,
};
use auditlake::providers::{Adapter, PageRequest, SideQueries as _};
use auditlake::table::canonical_hash;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::golden::{adapter, answer, ask, cursor, polling, results};
use super::support::at;

fn genesys() -> Genesys {
    adapter(Mode::Auto)
}

/// A record with these members instead of others.
fn with(members: &Value) -> String {
    let mut record = json!({ "id": "1", "eventDate": "2026-03-02T10:00:00Z", "action": "Update" });
    for (name, value) in members.as_object().unwrap() {
        record[name] = value.clone();
    }
    record.to_string()
}

#[test]
fn a_time_is_read_or_is_the_reason() {
    let mut lines = Vec::new();
    for date in [
        r#""2026-03-02T10:00:00Z""#,
        r#""2026-03-02T10:00:00.123456789+02:00""#,
        r#""2026-12-31T23:59:60Z""#,
        r#""0000-01-01T00:00:00Z""#,
        r#""9999-12-31T23:59:59.999999Z""#,
        r#""2026-03-02T10:00:00""#,
        r#""2026-03-02""#,
        r#""2026-02-30T10:00:00Z""#,
        r#""+12026-03-02T10:00:00Z""#,
        r#""""#,
        "null",
        "1772323200",
        "{}",
        "true",
    ] {
        let raw = format!(r#"{{"id":"1","eventDate":{date}}}"#);
        let read = match genesys().record(&raw) {
            Ok(record) => record.event_time.to_string(),
            Err(reason) => format!("! {reason}"),
        };
        lines.push(format!("{date:<40} {read}"));
    }
    for raw in [
        "{}",
        r#"{"id":"1"}"#,
        "null",
        r#""text""#,
        r#"["list"]"#,
        "17",
        r#"{"id":"a","id":"b","eventDate":"2026-03-02T10:00:00Z"}"#,
        r#"{"id":"1","eventDate":"2026-03-02T10:00:00Z","action":"\ud800"}"#,
        r#"{"id":"1","eventDate":"2026-03-02T10:00:00Z","action":1e400}"#,
        r#"{"id":"1","eventDate":"2026-03-02T10:00:00Z""#,
    ] {
        let reason = genesys().record(raw).unwrap_err();
        lines.push(format!("{raw:<40} ! {reason}"));
    }
    insta::assert_snapshot!(lines.join("\n"));
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
        json!([null, {}, [[]], "x", 7]),
        json!({}),
        json!({ "id": [], "name": {}, "message": 1, "transactionId": null, "x": { "y": [] } }),
    ];
    for field in [
        "id",
        "userHomeOrgId",
        "user",
        "client",
        "remoteIp",
        "serviceName",
        "level",
        "message",
        "action",
        "entity",
        "entityType",
        "status",
        "application",
        "initiatingAction",
        "transactionInitiator",
        "propertyChanges",
        "context",
        "entityChanges",
        "neverHeardOf",
    ] {
        for value in &values {
            let raw = with(&json!({ field: value }));
            let record = genesys().record(&raw).unwrap();
            assert_eq!(record.event_time, at("2026-03-02T10:00:00Z"), "{raw}");
        }
    }
}

#[test]
fn what_is_empty_is_nothing() {
    let raw = with(&json!({
        "client": { "id": "" }, "application": "", "entity": { "id": "", "name": "" }, "initiatingAction": {},
        "remoteIp": [], "propertyChanges": [], "context": {}, "user": { "id": "" }, "level": "", "status": "",
    }));
    let record = genesys().record(&raw).unwrap();
    for text in [
        &record.client_id,
        &record.entity_id,
        &record.entity_name,
        &record.transaction_id,
        &record.actor_id,
    ] {
        assert_eq!(*text, None);
    }
    assert_eq!(record.actor_type, None);
    assert_eq!(record.attributes, []);
}

#[test]
fn unknown_values_pass_through() {
    let raw = with(&json!({
        "action": "Reticulate", "status": "PARTIAL", "level": "PARTNER", "serviceName": "新しい", "entityType": "é\u{0}",
    }));
    let record = genesys().record(&raw).unwrap();
    assert_eq!(record.action.as_deref(), Some("Reticulate"));
    assert_eq!(record.activity.as_str(), "other");
    assert_eq!(record.outcome.as_str(), "unknown");
    assert_eq!(record.service.as_deref(), Some("新しい"));
    assert_eq!(record.entity_type.as_deref(), Some("é\u{0}"));
    assert_eq!(record.attributes, [("level".into(), "PARTNER".into())]);
}

#[test]
fn who_acted_is_told_from_level_user_and_client() {
    let actor = |members: Value| {
        let raw = with(&members);
        genesys().record(&raw).unwrap().actor_type
    };
    let (user, client) = (json!({ "id": "u" }), json!({ "id": "c" }));
    assert_eq!(
        actor(json!({ "level": "SYSTEM", "user": user })),
        Some("system")
    );
    assert_eq!(
        actor(json!({ "level": "GENESYS_INTERNAL" })),
        Some("vendor")
    );
    assert_eq!(
        actor(json!({ "level": "USER", "user": user, "client": client })),
        Some("user")
    );
    assert_eq!(
        actor(json!({ "level": "USER", "client": client })),
        Some("client")
    );
    assert_eq!(actor(json!({ "level": "USER" })), Some("user"));
    assert_eq!(actor(json!({ "level": "PARTNER" })), None);
}

/// Where the table has no place for it, whatever the provider sends is in `raw`, and nothing of it is touched.
#[test]
fn extreme_values_in_unknown_fields_stay_as_they_are() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for extra in [
        "9007199254740993",
        "-123456789012345678901234567890.10",
        "1e400",
        r#""\ud800""#,
        r#"{"a":1,"a":2}"#,
        &deep,
    ] {
        let raw = format!(
            r#"{{"id":"1","eventDate":"2026-03-02T10:00:00Z","extra":{extra},"context":{{"n":9007199254740993}}}}"#
        );
        let record = genesys().record(&raw).unwrap();
        assert_eq!(
            record.attributes,
            [("context.n".into(), "9007199254740993".into())]
        );
        let body = format!(r#"{{"entities":[{raw}, {raw}],"pageSize":500}}"#);
        let page = genesys()
            .page(&ask("A"), Some(&results(None)), answer(200, body))
            .unwrap();
        for span in page.records {
            assert_eq!(page.text[span], raw);
        }
    }
    // too deep in a field that is read: nothing overflows
    let deep = format!(
        r#"{{"id":{deep},"eventDate":"2026-03-02T10:00:00Z","context":{deep},"user":{deep}}}"#
    );
    assert_eq!(genesys().record(&deep).unwrap().event_id, "");
}

/// `expand=user` shows the name that the user has now.
#[test]
fn a_renamed_user_is_no_other_record() {
    let hash = |raw: &str| canonical_hash(&genesys().stable_content(raw)).unwrap();
    let of = |user: Value| {
        json!({ "eventDate": "2026-03-02T10:00:00Z", "n": 1, "user": user }).to_string()
    };
    let before = of(json!({ "id": "u", "name": "Dana Whitfield" }));
    let after = of(json!({ "name": "Dana Smith", "id": "u" }));
    assert_eq!(hash(&before), hash(&after));
    assert_eq!(hash(&before), hash(&of(json!({ "id": "u" }))));
    assert_ne!(
        hash(&before),
        hash(&of(json!({ "id": "v", "name": "Dana Whitfield" })))
    );
    // exact numbers next to it
    let number = |n: &str| format!(r#"{{"n":{n},"user":{{"id":"u","name":"D"}}}}"#);
    assert_ne!(
        hash(&number("9007199254740993")),
        hash(&number("9007199254740992"))
    );
    for raw in [
        "null",
        "[]",
        "{}",
        r#"{"user":null}"#,
        r#"{"user":"Dana"}"#,
        "{",
    ] {
        assert_eq!(genesys().stable_content(raw), raw);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("2026-03-02T10:00:00Z")),
    ];
    let key = prop_oneof![
        prop::sample::select(vec![
            "id",
            "eventDate",
            "user",
            "name",
            "client",
            "entity",
            "context",
            "message",
            "state",
            "entities",
            "cursor",
            "remoteIp",
            "propertyChanges",
            "oldValues",
            "initiatingAction",
            "downloadUrl",
            "pageSize",
            "pageCount",
            "services",
            "level",
        ])
        .prop_map(str::to_owned),
        ".{0,6}",
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn every_state() -> Vec<Option<auditlake::providers::Cursor>> {
    let download = r#"{"download":{"url":"https://x","page":{"results":{"transaction":"t","cursor":null,"redirect":false}},"next":null}}"#;
    // not one that the adapter would make
    let odd = r#"{"download":{"url":"","page":{"realtime":{"page":4294967295}},"next":"x"}}"#;
    let last = r#"{"realtime":{"page":4294967295}}"#;
    let worn = r#"{"poll":{"transaction":"","polls":4294967295,"waited_ms":18446744073709551615}}"#;
    let mut states = vec![None, Some(polling()), Some(results(None))];
    states.extend([download, odd, last, worn].map(|text| Some(cursor(text))));
    states
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_json_makes_the_adapter_panic(value in any_json(), status in prop::sample::select(vec![200_u16, 202, 302, 400, 404])) {
        let text = value.to_string();
        let _ = genesys().record(&text);
        let _ = genesys().stable_content(&text);
        for at in every_state() {
            let read = genesys().page(&ask("A"), at.as_ref(), answer(status, text.clone()));
            for span in read.iter().flat_map(|page| &page.records) {
                let _ = genesys().record(&read.as_ref().unwrap().text[span.clone()]);
            }
        }
        let _ = AuditCatalogue.entries(answer(status, text.clone()));
        let _ = genesys().streams(&[answer(status, text.clone()), answer(status, text)]);
    }

    #[test]
    fn no_bytes_make_the_adapter_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), status in 100_u16..600) {
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = genesys().record(text);
            let _ = genesys().stable_content(text);
        }
        for at in every_state() {
            let _ = genesys().page(&ask("A"), at.as_ref(), answer(status, bytes.clone()));
            let gzip = [&[0x1f, 0x8b][..], &bytes].concat();
            let _ = genesys().page(&ask("A"), at.as_ref(), answer(200, gzip));
        }
    }

    #[test]
    fn no_cursor_makes_the_adapter_panic(text in ".{0,60}", id in ".{0,20}", polls in any::<u32>()) {
        let poll = json!({ "poll": { "transaction": id, "polls": polls, "waited_ms": 0 } }).to_string();
        let place = json!({ "results": { "transaction": id, "cursor": text, "redirect": true } }).to_string();
        for cursor in [text, poll, place].map(auditlake::providers::Cursor) {
            let _ = genesys().call(&ask("A"), Some(&cursor));
            let _ = genesys().page(&ask("A"), Some(&cursor), answer(200, r#"{"id":"t","state":"Queued"}"#));
        }
    }
}

#[test]
fn a_service_is_asked_for_by_its_own_name() {
    let filter = Filter {
        property: FilterProperty::ClientId,
        value: "Update".to_owned(),
    };
    for filters in [vec![], vec![filter]] {
        let mut ids = Vec::new();
        for name in [
            "Architect",
            "a#b",
            "a#",
            "#",
            "a#b#c",
            "a/b",
            "a:b",
            "a|b",
            "a%23b",
            "é#☃",
            "",
        ] {
            let adapter = Genesys::new(GenesysOptions {
                services: vec![name.to_owned()],
                filters: filters.clone(),
                ..GenesysOptions::default()
            });
            let [stream] = adapter.listed_streams().try_into().unwrap();
            ids.push(stream.id.clone());
            let ask = PageRequest {
                stream,
                ..ask(name)
            };
            let body = adapter.call(&ask, None).unwrap().body.unwrap();
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["serviceName"], name);
        }
        ids.dedup();
        assert_eq!(ids.len(), 11);
        // what is stored of such a stream stays valid
        let expected = if filters.is_empty() {
            "Architect"
        } else {
            "Architect#"
        };
        assert!(
            ids[0].starts_with(expected) && ids[0].len() <= expected.len() + 8,
            "{}",
            ids[0]
        );
    }
}

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::providers::salvage::tests::{AMBIGUOUS, BROKEN};

/// Feeds the pieces: the records, and what the end said.
fn split(
    splitter: &mut AuditSplitter,
    pieces: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> (Vec<String>, Result<Page, Refusal>) {
    split_of(splitter, pieces, false)
}

/// The same of a body that is known to be whole, or not.
fn split_of(
    splitter: &mut AuditSplitter,
    pieces: impl IntoIterator<Item = impl AsRef<[u8]>>,
    is_whole: bool,
) -> (Vec<String>, Result<Page, Refusal>) {
    let mut records = Vec::new();
    let mut keep = |page: &Page| {
        let spans = page.records.iter();
        records.extend(spans.map(|span| page.text[span.clone()].to_owned()));
    };
    let mut end = Ok(Page::default());
    for piece in pieces {
        end = splitter.feed(piece.as_ref()).inspect(&mut keep);
        if end.is_err() {
            break;
        }
    }
    let end = end.and_then(|_| splitter.end(is_whole)).inspect(&mut keep);
    (records, end)
}

/// In one piece and byte by byte, which must not differ: the records, or the refusal.
fn read(body: impl AsRef<[u8]>) -> String {
    let body = body.as_ref();
    let shown = |(records, end): (Vec<String>, Result<Page, Refusal>)| match end {
        Ok(page) => format!("{records:?}{}", page.remark.unwrap_or_default()),
        Err(refusal) => format!("{records:?} {}: {refusal}", refusal.kind()),
    };
    let bytes = split(&mut AuditSplitter::new(None), body.chunks(1));
    let bytes = shown(bytes);
    let (records, end) = split(&mut AuditSplitter::new(None), [body]);
    match end {
        // records before a fault may be lost with the piece that holds it, but the refusal is the same
        Err(refusal) => {
            let message = format!("] {}: {refusal}", refusal.kind());
            assert!(bytes.ends_with(&message), "{message}");
        }
        end => assert_eq!(shown((records, end)), bytes),
    }
    bytes
}

#[test]
fn every_form_of_nothing_and_of_one_is_known() {
    for (body, records) in [
        (r#"{"audit":[]}"#, "[]"),
        (r#"{"audit":[ ]}"#, "[]"),
        (r#"{"audit":null}"#, "[]"),
        (r#"{"audit":""}"#, "[]"),
        ("{}", "[]"),
        (" \r\n{ } \n", "[]"),
        (r#"{"limitExceeded":false}"#, "[]"),
        (r#"{"message":null}"#, "[]"),
        (r#"{"message":"","error":false}"#, "[]"),
        (r#"{"audit":{"id":1}}"#, r#"["{\"id\":1}"]"#),
        (r#"{"audit":[{"id":1}]}"#, r#"["{\"id\":1}"]"#),
        (r#"{ "audit" : [ { "id" : 1 } ] }"#, r#"["{ \"id\" : 1 }"]"#),
        (r#"{"\u0061udit":[{}]}"#, r#"["{}"]"#),
        (
            r#"{"a":{"audit":[1]},"b":[{"]":"}"}],"audit":[{}],"c":-1.5e3,"d":"\\\"]","e":true}"#,
            r#"["{}"]"#,
        ),
        (
            r#"{"audit":[1,null,"a]\"",[[]],NaN]}"#,
            r#"["1", "null", "\"a]\\\"\"", "[[]]", "NaN"]"#,
        ),
        ("\u{feff}{\"audit\":[{}]}", r#"["{}"]"#),
    ] {
        assert_eq!(read(body), records, "{body}");
    }
}

#[test]
fn what_is_no_answer_is_refused_with_a_reason() {
    let mut lines = Vec::new();
    for body in [
        "",
        "   ",
        "{",
        r#"{"audit":[{"id":1},{"id":2}"#,
        r#"{"audit":[{"id":1}]"#,
        r#"{"audit":12"#,
        r#"{"aud"#,
        "[{\"id\":1}]",
        "<html>\r\n<head><title>502</title></head></html>",
        "<?xml version=\"1.0\"?><auditResult/>",
        "null",
        r#"{"audit":[{"id":1}}]}"#,
        r#"{"audit":[{"id":1} {"id":2}]}"#,
        r#"{"audit":[{"id":1},]}"#,
        r#"{"audit":[,]}"#,
        r#"{"audit":[<p>]}"#,
        r#"{"audit" [1]}"#,
        r#"{"audit":[]} x"#,
        "{audit:[]}",
        r#"{"audit":false}"#,
        r#"{"audit":"none"}"#,
        r#"{"message":"Session expired"}"#,
        r#"{"message":{"text":"Session expired"}}"#,
        r#"{"error":"Session expired","code":7}"#,
        r#"{"audit":[{"id":1}],"limitExceeded":true}"#,
    ] {
        lines.push(format!("{body:<46} {}", read(body)));
    }
    let long = format!("<p>{}", "x y ".repeat(1_000));
    lines.push(format!("{:<46} {}", "a long page", read(long)));
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn bytes_that_are_no_text_cost_no_more_than_their_record() {
    let mut body = br#"{"audit":[{"id":1},{"id":2,"username":"a"#.to_vec();
    body.extend([0xff, 0xc3]);
    body.extend(br#"b"},{"id":3}]}"#);
    assert_eq!(
        read(&body),
        r#"["{\"id\":1}", "{\"id\":2,\"username\":\"a??b\"}", "{\"id\":3}"]"#
    );
    let page = AuditSplitter::new(None).whole(&body, false).unwrap();
    assert_eq!(
        page.foreign,
        [(1, b"{\"id\":2,\"username\":\"a\xff\xc3b\"}".to_vec())].into()
    );
}

#[test]
fn a_record_has_its_cap() {
    let fits = format!(r#"{{"x":"{}"}}"#, "y".repeat(90));
    let body = format!(
        r#"{{"audit":[{fits},{fits}],"other":"{}"}}"#,
        "z".repeat(1_000)
    );
    let (records, end) = split(&mut AuditSplitter::capped(100), body.as_bytes().chunks(7));
    assert_eq!(records, [fits.clone(), fits]);
    assert!(end.is_ok());
    let body = format!(r#"{{"audit":[{{}},{{"x":"{}"}}]}}"#, "y".repeat(1_000));
    let (_, end) = split(&mut AuditSplitter::capped(100), body.as_bytes().chunks(7));
    insta::assert_snapshot!(end.unwrap_err(), @"the answer holds a record of more than 100 bytes, record 2 of it");
}

#[test]
fn nesting_stops_nothing_and_has_a_cap_all_the_same() {
    let deep = format!(
        r#"{{"id":1,"occurredOn":0,"x":{}{}}}"#,
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    let body = format!(r#"{{"audit":[{deep},{{}}]}}"#);
    let (records, end) = split(&mut AuditSplitter::new(None), [body]);
    assert_eq!(records, [deep, "{}".to_owned()]);
    assert!(end.is_ok());
    let body = format!(r#"{{"other":{}"#, "[".repeat(RECORD_CAP + 1));
    let (_, end) = split(&mut AuditSplitter::new(None), [body]);
    insta::assert_snapshot!(end.unwrap_err(), @"the answer is not the JSON that was expected, at byte 67108874");
}

#[test]
fn no_more_is_held_than_one_record() {
    let record = format!(r#"{{"id":1,"x":"{}"}}"#, "y".repeat(500));
    let mut splitter = AuditSplitter::new(None);
    splitter.feed(br#"{"audit":["#).unwrap();
    for _ in 0..2_000 {
        for piece in record.as_bytes().chunks(64) {
            splitter.feed(piece).unwrap();
        }
        splitter.feed(b",").unwrap();
        assert!(splitter.kept.capacity() < 4 * record.len());
    }
    // the last one is taken once it is known what follows
    assert_eq!(splitter.records, 1_999);
}

#[test]
fn round_counts_are_told_of_and_a_known_cap_is_too_many() {
    let mut lines = Vec::new();
    for (rows, max_rows) in [
        (0, None),
        (49, None),
        (50, None),
        (51, None),
        (100, None),
        (1_000, None),
        (50, Some(100)),
        (99, Some(100)),
        (100, Some(100)),
        (101, Some(100)),
    ] {
        let body = format!(r#"{{"audit":[{}]}}"#, vec!["{}"; rows].join(","));
        let (records, end) = split(&mut AuditSplitter::new(max_rows), [body]);
        // the last one comes with the end
        assert_eq!(records.len(), rows - usize::from(end.is_err()));
        let end = match end {
            Ok(page) => page.remark.unwrap_or_default(),
            Err(refusal) => format!("{}: {refusal}", refusal.kind()),
        };
        lines.push(format!("{rows} of {max_rows:?}: {end}"));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

/// In pieces of any length, a record that isn't JSON affects no other.
#[test]
fn one_broken_record_costs_itself_and_no_other() {
    let good =
        |id: u32| format!(r#"{{"id":{id},"occurredOn":1772359200000,"eventInput1":"x, y"}}"#);
    for broken in BROKEN {
        for place in 0..4 {
            let mut records: Vec<String> = (10..13).map(good).collect();
            records.insert(place, (*broken).to_owned());
            let body = format!(r#"{{"audit":[{}],"n":1}}"#, records.join(","));
            let mut found = Vec::new();
            for length in [1, 7, 64, body.len()] {
                let pieces = body.as_bytes().chunks(length);
                let (records, end) = split_of(&mut AuditSplitter::new(None), pieces, true);
                found.push(end.map(|_| records));
            }
            found.push(
                AuditSplitter::new(None)
                    .whole(body.as_bytes(), true)
                    .map(|page| {
                        let spans = page.records.iter();
                        spans
                            .map(|span| page.text[span.clone()].to_owned())
                            .collect()
                    }),
            );
            found.dedup();
            assert_eq!(found.len(), 1, "{body}: {found:?}");
            if *broken == AMBIGUOUS && place == 3 {
                assert!(found[0].is_err());
                continue;
            }
            let expected: Vec<String> = records
                .iter()
                .map(|record| record.trim().to_owned())
                .collect();
            assert_eq!(found[0], Ok(expected), "{body}");
        }
    }
}

/// A text that isn't closed seems to continue to the end of an answer of any length.
#[test]
fn a_record_without_an_end_ends_before_the_next() {
    let good = r#"{"id":1,"occurredOn":1772359200000,"eventInput1":"x"}"#;
    let broken = r#"{"id":2,"eventInput1":"C:\"}"#.replace('\\', r"");
    let body = format!(
        r#"{{"audit":[{good},{broken},{}]}}"#,
        vec![good; 200].join(",")
    );
    for splitter in [
        &mut AuditSplitter::new(None),
        &mut AuditSplitter::capped(4_000),
    ] {
        let (records, end) = split(splitter, body.as_bytes().chunks(100));
        assert!(end.is_ok(), "{end:?}");
        assert_eq!(records.len(), 202);
        assert_eq!(records[1], broken);
        assert!(records.iter().filter(|record| *record != good).count() == 1);
    }
}

/// Any JSON value, as text with whitespace of all sorts.
fn json(depth: u32) -> impl Strategy<Value = String> {
    let text = prop::collection::vec(
        prop_oneof![
            Just("a".to_owned()),
            Just("\\\"".to_owned()),
            Just("\\\\".to_owned()),
            Just("\\u00e9\\ud83d\\ude00".to_owned()),
            Just("]}{[,:".to_owned()),
            "[^\"\\\\\u{0}-\u{1f}]{0,4}",
        ],
        0..4,
    )
    .prop_map(|parts| format!("\"{}\"", parts.concat()));
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-12.5e-3".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        text.clone(),
    ];
    let space = "[ \r\n\t]{0,2}";
    leaf.prop_recursive(depth, 24, 4, move |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..4), space).prop_map(|(items, space)| {
                format!(
                    "[{space}{}{space}]",
                    items.join(&format!("{space},{space}"))
                )
            }),
            (prop::collection::vec((text.clone(), inner), 0..4), space).prop_map(
                |(members, space)| {
                    let members: Vec<String> = members
                        .into_iter()
                        .map(|(name, value)| format!("{name}{space}:{space}{value}"))
                        .collect();
                    format!("{{{space}{}{space}}}", members.join(&format!("{space},")))
                }
            ),
        ]
    })
}

#[derive(serde::Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    audit: Vec<&'a RawValue>,
}

proptest! {
    #[test]
    fn however_it_is_cut_it_holds_what_a_whole_reader_finds(
        before in prop::option::of(json(3)),
        records in prop::collection::vec(json(4), 0..6),
        after in prop::option::of(json(3)),
        space in "[ \r\n\t]{0,2}",
        cuts in prop::collection::vec(1_usize..20, 1..40),
    ) {
        let before = before.map(|value| format!(r#""x":{value},"#)).unwrap_or_default();
        let after = after.map(|value| format!(r#","y":{value}"#)).unwrap_or_default();
        let records = records.join(&format!("{space},{space}"));
        let body = format!(r#"{space}{{{before}"audit"{space}:[{space}{records}{space}]{after}}}{space}"#);
        let whole: Whole = serde_json::from_str(&body).unwrap();
        let whole: Vec<&str> = whole.audit.iter().map(|record| record.get()).collect();
        let mut rest = body.as_bytes();
        let pieces = cuts.iter().cycle().map_while(|cut| {
            let (piece, more) = rest.split_at((*cut).min(rest.len()));
            rest = more;
            (!piece.is_empty()).then_some(piece)
        });
        let (found, end) = split(&mut AuditSplitter::new(None), pieces);
        prop_assert!(end.is_ok());
        prop_assert_eq!(found, whole);
    }

    #[test]
    fn a_body_that_lacks_its_end_never_passes(
        records in prop::collection::vec(json(3), 1..4), cut in any::<prop::sample::Index>(),
    ) {
        let body = format!(r#"{{"audit":[{}]}}"#, records.join(","));
        let cut = &body.as_bytes()[..cut.index(body.len())];
        let (_, end) = split(&mut AuditSplitter::new(None), [cut]);
        prop_assert_eq!(end.unwrap_err().kind(), FailureKind::Transient);
    }

    #[test]
    fn whatever_comes_is_survived(bytes in prop::collection::vec(prop::sample::select(
        b"{}[]\",:\\au audit 1tn<\xff".to_vec()), 0..60), cut in 1_usize..9) {
        for prefix in ["", r#"{"audit":["#, r#"{"audit":[{"a":"#] {
            let whole = [prefix.as_bytes(), &bytes].concat();
            let _ = split(&mut AuditSplitter::new(None), whole.chunks(cut));
        }
    }
}

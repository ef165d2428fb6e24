#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]

use proptest::prelude::*;

use super::*;

/// Records of these tests have a number.
fn is_record(raw: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Numbered {
        #[serde(rename = "id")]
        _id: u64,
    }
    serde_json::from_str::<Numbered>(raw).is_ok()
}

fn page(records: &[String]) -> String {
    let list = records.join(",");
    format!(r#"{{"first":[1,{{"list":[]}}],"data":{{"n":"]","list":[{list}]}},"next":"]}}"}}"#)
}

fn good(id: usize) -> String {
    format!(r#"{{"id":{id},"name":"x, {{y}}]","list":[{{"a":[1]}},{{"b":"}}"}}],"last":"z"}}"#)
}

/// What isn't JSON, as one record among others.
pub(in crate::providers) const BROKEN: &[&str] = &[
    r#"{"id":3,"name":"x",}"#,
    "{\"id\":3,\"name\":\"two\nlines\"}",
    "{\"id\":3,\"name\":\"bell\u{7} tab\t nul\u{0}\"}",
    r#"{"id":3,"name":NaN}"#,
    r#"{"id":3,"name":Infinity}"#,
    r#"{"id":3,"name":-Infinity}"#,
    r#"{"id":3,"name":undefined}"#,
    r#"{"id":3,"name":None,"is":True}"#,
    r#"{"id":03}"#,
    r#"{"id":+3}"#,
    r#"{"id":3,"name":.5}"#,
    r#"{"id":3,"name":5.}"#,
    r#"{"id":3,"name":0x1F}"#,
    r#"{"id":3,"name":1e}"#,
    r#"{"id":3,"name":"C:\x"}"#,
    r#"{"id":3,"name":"C:\u12"}"#,
    r#"{"id":3,"name":"C:\","last":"z"}"#,
    r#"{"id":3,"name":"C:\"}"#,
    r"{'id':3,'name':'x'}",
    r#"{'id':3,'name':'it\'s }, ] a 5" disk'}"#,
    r#"{id:3,name:"x"}"#,
    r#"{"id":3 "name":"x"}"#,
    r#"{"id":3,,"name":"x"}"#,
    r#"{"id" 3}"#,
    r#"{"id":3,"name"}"#,
    r#"{"id":3 /* not "5}" nor , {"id":7} */,"name":"x"}"#,
    "{\"id\":3, // the \"third\" }\n\"name\":\"x\"}",
    r#"{"id":3,"name":"a "quoted" word"}"#,
    r#"{"id":3,"name":"a 5" disk"}"#,
    r#"{"id":3,"name":"5", large","last":"z"}"#,
    r#"{"id":3,"name":"x","list":[1,2,]}"#,
    r#"{"id":3,"name":"x","list":[1,2}"#,
    r#"{"id":3,"name":"x","more":{"a":1}"#,
    r#"{"id":3,"name":"x","more":{"a":[1}"#,
    r#"{"id":3,"name":"x"}}"#,
    r#"{"id":3,"name":"x"}]}"#,
    r#"{"id":3,"name":"x" "#,
    r#"{"id":3,"name":"#,
    r#"{"id":3,"nam"#,
    r#"{"id":3,"name":"x"#,
    r#"{"id":3,"name":"x"});"#,
    "{",
    "<p>503</p>",
    "oops",
    "NaN",
    "'x'",
    "]",
    "}",
    r#"{"id":3]}"#,
    r#"{"id":3,"name":"x"]}"#,
    r#"{"id":3,"name":"x"]"#,
    r#"{"id":3,"name":"x"}]"#,
    r#"{"id":3,]"name":"x"}"#,
    r#"{"id":3,"list":[1]],"name":"x"}"#,
    r#"{"id":3}}},"name":"x"}"#,
    r#"{"id":3,"list":[[1],"name":"x"}"#,
    r#"{"id":3,{"name":"x"}"#,
    r#"{"id":3,"name:"x"}"#,
    r#"{"id":3,name":"x"}"#,
    r#"{"id":3,"name":x"}"#,
    r#"{"id":3,"name":"x}"#,
    r#"{"id":3,"name":"x","list":[1,2"#,
    "{\"id\":3,\u{feff}\"name\":\"x\"}",
    "{\"id\":3,\"name\":\"x\u{feff}\"\u{a0}}",
];

/// Those that are, up to some point, a whole list.
const CLOSING: &[&str] = &[
    r#"{"id":3,"name":"x"}]}"#,
    r#"{"id":3,"name":"x"}]"#,
    "]",
    r#"{"id":3]}"#,
    r#"{"id":3,"name":"x"]}"#,
    r#"{"id":3,"name":"x"]"#,
    r#"{"id":3,]"name":"x"}"#,
    r#"{"id":3,"list":[1]],"name":"x"}"#,
];

/// As the last record of a member of an object, it may as well be what is left of a page that was cut.
pub(in crate::providers) const AMBIGUOUS: &str = r#"{"id":3,"name":"x","list":[1,2"#;

fn texts<'a>(text: &'a str, spans: &[Range<usize>]) -> Vec<&'a str> {
    spans.iter().map(|span| &text[span.clone()]).collect()
}

#[test]
fn one_broken_record_costs_itself_and_no_other() {
    let mut lost = Vec::new();
    for broken in BROKEN {
        for place in 0..4 {
            for extent in [Extent::Received, Extent::Sent] {
                let mut records: Vec<String> = (10..13).map(good).collect();
                records.insert(place, (*broken).to_owned());
                let text = page(&records);
                let Some(found) = salvage(&text, &["data", "list"], extent, &is_record) else {
                    lost.push((*broken, place, extent));
                    continue;
                };
                let expected: Vec<&str> = records.iter().map(|record| record.trim()).collect();
                assert_eq!(texts(&text, &found.records), expected, "{place}");
                assert_eq!(found.envelope, page(&[]));
            }
        }
    }
    // at the list's end, nothing says that a text or an object is over, unless the answer is known to be whole
    let open = [
        r#"{"id":3,"name":"C:\"}"#,
        r#"{"id" 3}"#,
        r#"{"id":3,"nam"#,
        r#"{"id":3,"name":"x"#,
        r#"{"id":3,"name":"x}"#,
        r#"{"id":3,"name":x"}"#,
        AMBIGUOUS,
        "{\"id\":3,\"name\":\"x\u{feff}\"\u{a0}}",
    ];
    let expected: Vec<_> = (BROKEN.iter().copied())
        .filter(|broken| open.contains(broken))
        .map(|broken| (broken, 3, Extent::Received))
        .collect();
    assert_eq!(lost, expected);
}

/// A whole answer, of a provider that gives its list alone or first.
#[test]
fn what_ends_a_list_is_told_by_what_follows() {
    for broken in BROKEN {
        for place in 0..4 {
            let mut records: Vec<String> = (10..13).map(good).collect();
            records.insert(place, (*broken).to_owned());
            let expected: Vec<&str> = records.iter().map(|record| record.trim()).collect();
            for rest in [
                "",
                r#","next":"]}""#,
                r#","warnings":[],"next":null"#,
                r#","page":{"list":[{"id":7}],"size":4}"#,
            ] {
                let text = format!(r#"{{"list":[{}]{rest}}}"#, records.join(","));
                let found = salvage(&text, &["list"], Extent::Sent, &is_record);
                if *broken == AMBIGUOUS && place == 3 {
                    assert_eq!(found, None);
                    continue;
                }
                let found = found.unwrap_or_else(|| panic!("{text}"));
                assert_eq!(texts(&text, &found.records), expected, "{text}");
                assert_eq!(found.envelope, format!(r#"{{"list":[]{rest}}}"#));
            }
        }
    }
}

/// Of an answer that was cut and announced as whole, only what is cut inside a text, or inside damage, passes.
#[test]
fn a_whole_record_does_not_end_a_list() {
    for cut in [
        r#"{"list":[{"id":1,"list":[2]}"#,
        r#"{"list":[{"id":NaN},{"id":1,"list":[2]}"#,
        r#"{"list":[{"id":NaN},{"id":1,"list":[2],"size":3}"#,
        r#"{"list":[{"id":NaN},{"id":1,"list":[{"a":2}]"#,
        r#"{"list":[{"id":NaN},{"id":1},"#,
        r#"{"list":[{"id":NaN},{"id":1}"#,
    ] {
        let found = salvage(cut, &["list"], Extent::Sent, &is_record);
        assert_eq!(found, None, "{cut}");
    }
}

#[test]
fn separators_too_many_or_too_few_lose_nothing() {
    for (list, records) in [
        (r#"{"id":1},{"id":2},"#, 2),
        (r#",{"id":1},,{"id":2} , , "#, 2),
        (r#"{"id":1}{"id":2}"#, 2),
        ("{\"id\":1}\n{\"id\":2}", 2),
        (",", 0),
        (r#"{"id":1},{"id":2}{"id":NaN}{"id":4},"#, 4),
        (r#"1,,null,"a]","#, 3),
    ] {
        let text = page(&[list.to_owned()]);
        let found = salvage(&text, &["data", "list"], Extent::Received, &is_record).unwrap();
        assert_eq!(found.records.len(), records, "{list}");
        assert_eq!(found.envelope, page(&[]), "{list}");
    }
}

#[test]
fn several_broken_records_cost_themselves() {
    for one in BROKEN {
        for other in BROKEN {
            // one lacks a bracket and the other has it: together they are a record that holds a list of records
            if *one == AMBIGUOUS && CLOSING.contains(other) {
                continue;
            }
            let records = [
                good(1),
                (*one).to_owned(),
                good(2),
                (*other).to_owned(),
                good(4),
            ];
            let text = page(&records);
            let found = salvage(&text, &["data", "list"], Extent::Received, &is_record).unwrap();
            let expected: Vec<&str> = records.iter().map(|record| record.trim()).collect();
            assert_eq!(texts(&text, &found.records), expected);
        }
    }
}

#[test]
fn a_broken_envelope_is_no_page() {
    let list = r#"{"id":1},{"id":NaN}"#;
    for text in [
        format!(r#"{{"data":{{"list":[{list}]}}"#),
        format!(r#"{{"data":{{"list":[{list}]"#),
        format!(r#"{{"data":{{"list":[{list}"#),
        format!(r#"{{"data":{{"list":[{list}]}},}}"#),
        format!(r#"{{"data":{{"list":[{list}]}},"next":NaN}}"#),
        format!(r#"{{"data":{{"list":[{list}]}}}} x"#),
        format!(r#"{{"n":01,"data":{{"list":[{list}]}}}}"#),
        format!(r#"{{data:{{"list":[{list}]}}}}"#),
        format!(r#"{{"data":{{"lists":[{list}]}}}}"#),
        format!(r#"{{"data":[{{"list":[{list}]}}]}}"#),
        format!(r#"{{"data":{{"list":{{"a":[{list}]}}}}}}"#),
        format!(r"[{list}]"),
        String::new(),
    ] {
        assert_eq!(
            salvage(&text, &["data", "list"], Extent::Received, &is_record),
            None,
            "{text}"
        );
    }
}

/// A body that was cut short is never a page, whatever is broken in it.
#[test]
fn a_text_that_lacks_its_end_is_no_page() {
    for broken in BROKEN {
        for place in 0..3 {
            let mut records: Vec<String> = (10..12).map(good).collect();
            records.insert(place, (*broken).to_owned());
            let text = page(&records);
            for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                let found = salvage(
                    &text[..cut],
                    &["data", "list"],
                    Extent::Received,
                    &is_record,
                );
                assert_eq!(found, None, "{}", &text[..cut]);
                let list = records.join(",");
                let cut = cut.min(list.len());
                if !list.is_char_boundary(cut) {
                    continue;
                }
                let found = array(&format!("[{}", &list[..cut]), Extent::Received, &is_record);
                // one of them ends a list by itself
                assert!(found.is_none() || CLOSING.contains(broken), "{list} {cut}");
            }
        }
    }
}

#[test]
fn arrays_and_lines_are_split_likewise() {
    let records = [good(1), r#"{"id":3,"name":NaN}"#.to_owned(), good(2)];
    let list = format!(" [{}] ", records.join(","));
    let found = array(&list, Extent::Received, &is_record).unwrap();
    assert_eq!(texts(&list, &found), records);
    for end in ["", "\n", "\r\n", "\n\n"] {
        for between in ["\n", "\r\n", "\n\n", "\n\u{feff}", ",\n"] {
            let text = format!("\u{feff}{}{end}", records.join(between));
            let found = lines(&text, Extent::Received, &is_record).unwrap();
            assert_eq!(texts(&text, &found), records, "{text}");
        }
    }
    // a line that was cut is over where the next record begins; the last may have been cut with the text
    let cut = format!("{}\n{{\"id\":3,\"name\":\"x\n{}", good(1), good(2));
    let found = lines(&cut, Extent::Received, &is_record).unwrap();
    assert_eq!(
        texts(&cut, &found),
        [good(1).as_str(), "{\"id\":3,\"name\":\"x", &good(2)]
    );
    let cut = format!("{}\n{{\"id\":3,\"name\":\"x", good(1));
    assert_eq!(lines(&cut, Extent::Received, &is_record), None);
    let garbage = format!("{}\noops\n{}", good(1), good(2));
    assert_eq!(
        lines(&garbage, Extent::Received, &is_record).unwrap().len(),
        3
    );
}

#[test]
fn deep_and_long_records_take_no_time() {
    let deep = format!(
        r#"{{"id":3,"x":NaN,"y":{}{}}}"#,
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    let wide = format!(
        r#"{{"id":4,"x":NaN,"y":[{}1]}}"#,
        r#"{"id":1},"#.repeat(100_000)
    );
    let text = page(&[good(1), deep.clone(), wide.clone(), good(2)]);
    let found = salvage(&text, &["data", "list"], Extent::Received, &is_record).unwrap();
    assert_eq!(
        texts(&text, &found.records),
        [good(1).as_str(), &deep, &wide, &good(2)]
    );
}

proptest! {
    /// Whatever comes, records don't overlap, none is empty, and nothing but separators lies between them.
    #[test]
    fn nothing_lies_between_records(
        pieces in prop::collection::vec(prop_oneof![
            4 => prop::sample::select(BROKEN.to_vec()).prop_map(str::to_owned),
            3 => (0_usize..20).prop_map(good),
            3 => prop::sample::select(vec![",", "{", "}", "[", "]", "\"", "'", "\\", "/*", "*/", "//", "\n", " ", "é"])
                .prop_map(str::to_owned),
        ], 0..12),
    ) {
        let text = page(&[pieces.concat()]);
        if let Some(found) = salvage(&text, &["data", "list"], Extent::Received, &is_record) {
            let from = r#"{"first":[1,{"list":[]}],"data":{"n":"]","list":["#.len();
            let mut at = from;
            for record in &found.records {
                prop_assert!(record.start >= at && record.end > record.start);
                let between = &text[at..record.start];
                prop_assert!(between.chars().all(|letter| matches!(letter, ',' | '\u{feff}') || letter.is_whitespace()), "{}", between);
                at = record.end;
            }
            prop_assert!(is_json(found.envelope.as_bytes()));
        }
        let _ = lines(&pieces.concat(), Extent::Received, &is_record);
        let _ = first(pieces.concat().as_bytes(), Extent::Received, &is_record);
    }
}

//! The adapter's state machine, answer by answer.

use auditlake::model::FailureKind;
use auditlake::providers::genesys::{Genesys, GenesysOptions, Mode};
use auditlake::providers::{Adapter, Answer, Cursor, Page, PageRequest, Refusal, Stream, Target};
use chrono::TimeDelta;
use http::HeaderValue;
use http::header::LOCATION;

use super::golden::{adapter, answer, ask, cursor, outline, polling, results, sample, shown};
use super::support::{at, range};

const RECORD: &str = r#"{"id":"1","eventDate":"2026-03-02T10:00:00Z"}"#;

fn page(at: Option<&Cursor>, answer: Answer) -> Result<Page, Refusal> {
    adapter(Mode::Async).page(&ask("A"), at, answer)
}

fn call(at: Option<&Cursor>) -> String {
    shown(&adapter(Mode::Async).call(&ask("A"), at).unwrap())
}

/// The raw records of a page.
fn records(page: &Page) -> Vec<&str> {
    let span = |span: &std::ops::Range<usize>| &page.text[span.clone()];
    page.records.iter().map(span).collect()
}

#[test]
fn a_query_goes_from_submission_to_the_last_page() {
    let mut steps = vec![call(None)];
    let mut at = None;
    for (status, body) in [
        (202, r#"{"id":"t/1?","state":"Queued"}"#.to_owned()),
        (200, r#"{"id":"t/1?","state":"Running"}"#.to_owned()),
        (200, r#"{"id":"t/1?","state":"Succeeded"}"#.to_owned()),
        (200, format!(r#"{{"entities":[{RECORD}],"cursor":"a+/="}}"#)),
        (200, r#"{"entities":[],"cursor":"b"}"#.to_owned()),
        (200, format!(r#"{{"entities":[{RECORD}],"cursor":""}}"#)),
    ] {
        let page = page(at.as_ref(), answer(status, body));
        steps.push(format!("  {}", outline(&page)));
        at = page.unwrap().next;
        if at.is_some() {
            steps.push(call(at.as_ref()));
        }
    }
    insta::assert_snapshot!(steps.join("\n"));
}

#[test]
fn a_cursor_that_is_null_or_empty_or_absent_ends_the_range() {
    for end in ["", r#","cursor":null"#, r#","cursor":"""#] {
        let body = format!(r#"{{"entities":[{RECORD}]{end}}}"#);
        let page = page(Some(&results(Some("x"))), answer(200, body)).unwrap();
        assert_eq!((page.next.as_ref(), page.resumable), (None, false), "{end}");
        assert_eq!(records(&page), [RECORD]);
    }
}

#[test]
fn a_cursor_given_twice_is_an_error() {
    let again = page(
        Some(&results(Some("x"))),
        answer(200, r#"{"entities":[],"cursor":"x"}"#),
    );
    insta::assert_snapshot!(outline(&again), @"data: the provider gave the cursor `x` twice");
}

#[test]
fn an_answer_that_is_no_page_does_not_end_a_range() {
    // what it says instead isn't repeated: it may be anything
    let message = "data: the answer has neither `entities` nor a `pageSize`, so it isn't a page";
    for body in ["{}", r#"{"message":"come back later"}"#] {
        let refused = page(Some(&results(None)), answer(200, body));
        assert_eq!(outline(&refused), message);
        let refused = adapter(Mode::Realtime).page(&ask("A"), None, answer(200, body));
        assert_eq!(outline(&refused), message);
    }
    for body in ["", "null", "[]", "<html></html>", "{\"entities\":[{\"id\""] {
        let refused = page(Some(&results(None)), answer(200, body)).unwrap_err();
        assert_eq!(refused.kind().to_string(), "data", "{body}");
    }
    let refused = page(None, answer(200, r#"{"state":"Succeeded"}"#));
    insta::assert_snapshot!(outline(&refused), @"data: the provider's answer to a query has no transaction `id`");
}

#[test]
fn a_query_that_takes_too_long_counts_as_too_large() {
    let (mut at, mut polls, mut waited) = (polling(), 0, std::time::Duration::ZERO);
    let refused = loop {
        match page(Some(&at), answer(200, r#"{"id":"t","state":"Archived"}"#)) {
            Ok(page) => {
                assert!(!page.resumable);
                let wait = page.wait.unwrap();
                assert!(wait <= std::time::Duration::from_mins(1));
                (polls, waited) = (polls + 1, waited + wait);
                at = page.next.unwrap();
            }
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, Refusal::TooLarge(_)));
    insta::assert_snapshot!(format!("{polls} polls, {waited:?}: {refused}"), @"24 polls, 625.873s: the range is too large for the provider: the query is still `Archived` after 625 s");
}

#[test]
fn a_large_result_is_found_wherever_its_address_stands() {
    let at = results(None);
    let located = |status, body: &'static str| {
        let mut answer = answer(status, body);
        answer.headers.insert(
            LOCATION,
            HeaderValue::from_static("https://there.example/y"),
        );
        answer
    };
    let in_body = r#"{"pageSize":500,"downloadUrl":"https://there.example/x"}"#;
    for (answer, next) in [
        (
            answer(302, in_body),
            "GET (download) https://there.example/x",
        ),
        (
            located(302, in_body),
            "GET (download) https://there.example/x",
        ),
        (located(302, ""), "GET (download) https://there.example/y"),
        (
            located(307, "<html>"),
            "GET (download) https://there.example/y",
        ),
        // the body's word, if the status should turn out to be another
        (
            answer(200, in_body),
            "GET (download) https://there.example/x",
        ),
        // a redirect to nowhere: inline then
        (
            answer(302, "{}"),
            "GET /api/v2/audits/query/3f0c1b7e/results pageSize=500 expand=user",
        ),
    ] {
        let page = page(Some(&at), answer).unwrap();
        assert!(!page.resumable, "the address holds a signature");
        assert_eq!(call(page.next.as_ref()), next);
    }
}

fn downloading(next: Option<&str>) -> Cursor {
    let body = serde_json::json!({ "downloadUrl": "https://there.example/x", "cursor": next });
    let page = page(Some(&results(None)), answer(302, body.to_string())).unwrap();
    page.next.unwrap()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_download_is_read_in_every_form() {
    let other = RECORD.replace(":\"1\"", ":\"2\"");
    for text in [
        format!(r#"{{"entities":[{RECORD},{other}],"cursor":"not this one"}}"#),
        format!("\n [{RECORD},\n{other}] \n"),
        format!("{RECORD}\n{other}\n"),
        format!("{RECORD}\r\n\r\n{other}"),
        format!("{{\"entities\":[{RECORD},{other}]}}\n"),
    ] {
        for body in [text.clone().into_bytes(), gzip(&text)] {
            let end = page(Some(&downloading(None)), answer(200, body.clone())).unwrap();
            assert_eq!(records(&end), [RECORD, &other], "{text}");
            assert_eq!(end.next, None);
            let part = page(Some(&downloading(Some("p2"))), answer(200, body)).unwrap();
            assert!(part.resumable);
            assert_eq!(
                call(part.next.as_ref()),
                "GET /api/v2/audits/query/3f0c1b7e/results pageSize=500 expand=user cursor=p2 allowRedirect=true"
            );
        }
    }
    let lone = page(Some(&downloading(None)), answer(200, RECORD)).unwrap();
    assert_eq!(records(&lone), [RECORD]);
    for nothing in ["[]", r#"{"entities":[]}"#] {
        let empty = page(Some(&downloading(None)), answer(200, nothing)).unwrap();
        assert_eq!((empty.records.len(), empty.next), (0, None));
    }
}

#[test]
fn a_download_that_cannot_be_read_is_asked_for_inline() {
    let cut = gzip(&format!("[{RECORD}]"));
    for (status, body) in [
        (200, b"PAR1\x15\xff".to_vec()),
        (200, b"<html></html>".to_vec()),
        (200, vec![]),
        (200, b"{}".to_vec()),
        (200, br#"{"entities":null}"#.to_vec()),
        (200, br#"{"message":"expired"}"#.to_vec()),
        (200, format!("{RECORD}\n{}", &RECORD[..20]).into_bytes()),
        (200, format!("{RECORD}\n\"text\"\n").into_bytes()),
        (200, cut[..cut.len() - 9].to_vec()),
        (403, b"<Error><Code>AccessDenied</Code></Error>".to_vec()),
        (404, vec![]),
    ] {
        let page = page(Some(&downloading(Some("p2"))), answer(status, body)).unwrap();
        assert_eq!((page.records.len(), page.resumable), (0, false));
        assert_eq!(
            call(page.next.as_ref()),
            "GET /api/v2/audits/query/3f0c1b7e/results pageSize=500 expand=user"
        );
    }
}

#[test]
fn realtime_pages_are_counted_until_the_last_or_an_empty_one() {
    let read = |number, body: &str| {
        let at = cursor(&format!(r#"{{"realtime":{{"page":{number}}}}}"#));
        outline(&adapter(Mode::Realtime).page(&ask("A"), Some(&at), answer(200, body.to_owned())))
    };
    let full = |rest: &str| format!(r#"{{"entities":[{RECORD}]{rest}}}"#);
    let next = r#"1 records, next {"realtime":{"page":3}}"#;
    assert_eq!(read(2, &full("")), next);
    assert_eq!(read(2, &full(r#","pageCount":3"#)), next);
    assert_eq!(read(2, &full(r#","pageCount":null,"total":null"#)), next);
    assert_eq!(read(2, &full(r#","pageCount":"three""#)), next);
    assert_eq!(read(3, &full(r#","pageCount":3"#)), "1 records, end");
    assert_eq!(read(9, &full(r#","pageCount":3"#)), "1 records, end");
    assert_eq!(read(2, r#"{"entities":[]}"#), "0 records, end");
    assert_eq!(
        read(2, r#"{"entities":[],"pageCount":9,"total":4000}"#),
        r#"0 records of 4000, next {"realtime":{"page":3}}"#,
        "an empty page is no end while the provider counts more"
    );
}

#[test]
fn realtime_beyond_its_reach_says_what_to_use() {
    let old = PageRequest {
        range: range("2026-02-01", "2026-02-02"),
        ..ask("A")
    };
    let refused = adapter(Mode::Realtime).call(&old, None).unwrap_err();
    insta::assert_snapshot!(format!("{}: {refused}", refused.kind()), @"config: the range `2026-02-01T00:00:00Z..2026-02-02T00:00:00Z` is older than the 14 days that realtime queries reach back; use `mode: auto`");
}

#[test]
fn auto_mode_takes_realtime_within_its_reach() {
    let now = at("2026-03-20T12:00:00Z");
    let aged = |age: TimeDelta| {
        let from = now - age;
        auditlake::model::Range::new(from, from + TimeDelta::hours(1)).unwrap()
    };
    let stream = |realtime| Stream {
        id: "A".to_owned(),
        note: Some(if realtime { "realtime" } else { "query" }),
    };
    let is_realtime = |mode, realtime, age| {
        let options = GenesysOptions {
            mode,
            ..GenesysOptions::default()
        };
        let ask = PageRequest::new(stream(realtime), aged(age), now);
        let adapter = Genesys::new(options);
        let call = shown(&adapter.call(&ask, None).unwrap());
        let realtime = call.starts_with("POST /api/v2/audits/query/realtime ");
        assert_eq!(adapter.least_calls(&ask), if realtime { 1 } else { 3 });
        realtime
    };
    let (hour, days) = (TimeDelta::hours(2), |days| TimeDelta::days(days));
    assert!(is_realtime(Mode::Auto, true, hour));
    assert!(is_realtime(Mode::Auto, true, days(13)));
    // the provider's clock decides, so an hour of margin
    let late = days(14) - TimeDelta::minutes(59);
    assert!(!is_realtime(Mode::Auto, true, late));
    assert!(!is_realtime(Mode::Auto, true, days(30)));
    assert!(
        !is_realtime(Mode::Auto, false, hour),
        "realtime doesn't show all of it"
    );
    assert!(!is_realtime(Mode::Async, true, hour));
    assert!(is_realtime(Mode::Realtime, false, hour));
    assert!(is_realtime(Mode::Realtime, true, days(13)));
}

/// Where the provider's own pages are small, a query job reads with fewer calls what is left, all of it.
#[test]
fn auto_mode_goes_over_to_a_query_where_realtime_has_many_small_pages() {
    let ask = recent("A");
    let pages = |count: u32, total: u32| {
        let body = format!(
            r#"{{"entities":[{RECORD}],"pageNumber":1,"pageCount":{count},"total":{total}}}"#
        );
        move |mode| adapter(mode).page(&ask, None, answer(200, body)).unwrap()
    };
    let page = pages.clone()(5, 500)(Mode::Auto);
    assert_eq!(records(&page), [""; 0], "the query brings them");
    let call = adapter(Mode::Auto).call(&recent("A"), page.next.as_ref());
    let Target::Api { path, .. } = call.unwrap().target else {
        panic!("a call to the API");
    };
    assert_eq!(path, "/api/v2/audits/query");
    for (count, total, mode) in [
        (4, 400, Mode::Auto), // three pages are left, and a query takes three calls
        (10, 5_000, Mode::Auto),
        (5, 500, Mode::Realtime),
    ] {
        assert_eq!(records(&pages.clone()(count, total)(mode)), [RECORD]);
    }
}

#[test]
fn a_cursor_of_another_version_is_gone_and_not_a_failure() {
    for text in ["", "{}", "null", r#"{"poll":{}}"#, r#"{"scan":{"page":1}}"#] {
        let refused = adapter(Mode::Auto)
            .call(&ask("A"), Some(&cursor(text)))
            .unwrap_err();
        assert!(matches!(refused, Refusal::CursorGone(_)), "{text}");
        let refused = page(Some(&cursor(text)), sample(200, "query_results_page1"));
        assert!(matches!(refused, Err(Refusal::CursorGone(_))), "{text}");
    }
}

#[test]
fn auto_mode_submits_a_query_for_what_realtime_finds_too_old_or_too_long() {
    let interval = r#"{"message":"The interval is too long","code":"bad.request"}"#;
    for (status, body) in [(400, interval), (504, "")] {
        let page = adapter(Mode::Auto)
            .page(&recent("A"), None, answer(status, body))
            .unwrap();
        let submit = page.next.unwrap();
        let call = adapter(Mode::Auto)
            .call(&recent("A"), Some(&submit))
            .unwrap();
        assert!(matches!(&call.target, Target::Api { path, .. } if path == "/api/v2/audits/query"));
        let page = adapter(Mode::Auto)
            .page(
                &recent("A"),
                Some(&submit),
                answer(202, r#"{"id":"t","state":"Queued"}"#),
            )
            .unwrap();
        assert!(page.wait.is_some());

        let refused = adapter(Mode::Realtime).page(&recent("A"), None, answer(status, body));
        assert!(
            matches!(
                refused,
                Err(Refusal::BadRange {
                    kind: FailureKind::Data,
                    ..
                } | Refusal::TooSlow(_))
            ),
            "nothing else may be asked"
        );
    }
}

#[test]
fn a_download_that_comes_though_none_was_wanted_is_halved_not_asked_for_for_ever() {
    let inline = cursor(r#"{"results":{"transaction":"t","cursor":null,"redirect":false}}"#);
    let large = r#"{"id":"t","pageSize":500,"downloadUrl":"https://files.example.net/x"}"#;
    let refused = page(Some(&inline), answer(302, large));
    assert!(matches!(refused, Err(Refusal::TooLarge(_))));
}

/// A range well within realtime's reach.
fn recent(service: &str) -> PageRequest {
    let ask = ask(service);
    let range = ask.range.first_half(TimeDelta::zero()).unwrap();
    PageRequest {
        now: range.to() + TimeDelta::hours(1),
        stream: Stream {
            note: Some("realtime"),
            ..ask.stream
        },
        range,
        ..ask
    }
}

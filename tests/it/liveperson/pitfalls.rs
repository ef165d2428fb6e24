//! What the fact sheet warns of, one by one, and the states of a walk.

use auditlake::model::Timestamp;
use auditlake::providers::liveperson::{LivePerson, LivePersonOptions};
use auditlake::providers::{Adapter, Cursor, Page, PageRequest, Refusal, TransientFailure};
use http::{HeaderValue, StatusCode};

use super::support::{
    ACCOUNT, APP, Taught, adapter, answer, ask, at, connection, outline, query, range, rows,
    sample, yaml,
};

fn options(change: impl FnOnce(&mut LivePersonOptions)) -> Taught {
    let mut options = LivePersonOptions::default();
    change(&mut options);
    Taught::new(options)
}

/// 1: the defaults hide rows.
#[test]
fn nothing_is_left_to_the_defaults() {
    insta::assert_snapshot!(query(&adapter(), &ask(0), None));
}

/// 2 and the fold: times are in the requested zone.
#[test]
fn a_time_is_read_in_the_zone_that_was_asked_for() {
    let raw = r#"{"changeDate":"2026-03-01 08:05:46.0"}"#;
    for (zone, instant) in [
        (None, "2026-03-01T08:05:46Z"),
        (Some(chrono_tz::US::Eastern), "2026-03-01T13:05:46Z"),
        (Some(chrono_tz::Asia::Tokyo), "2026-02-28T23:05:46Z"),
    ] {
        let adapter = options(|options| options.timezone = zone);
        assert_eq!(adapter.record(raw).unwrap().event_time, at(instant));
        let asked = zone.map_or("UTC", |zone| zone.name());
        let query = query(&adapter, &ask(0), None);
        assert!(query.contains(&format!(r#"timezone:"{asked}""#)), "{query}");
    }
}

/// 3 and 4: whole days are requested, with an extra day on each side unless their zone is known; nothing is counted
/// from the newest row.
#[test]
fn whole_days_are_asked_for() {
    let tokyo = Some(chrono_tz::Asia::Tokyo);
    for (adapter, from, to, days, asked) in [
        (
            adapter(),
            "2026-03-02",
            "2026-03-03",
            ("2026-03-01", "2026-03-03"),
            ("2026-02-28T10:00:00Z", "2026-03-04T12:00:00Z"),
        ),
        (
            adapter(),
            "2026-03-02T23:00:00Z",
            "2026-03-03T00:00:01Z",
            ("2026-03-01", "2026-03-04"),
            ("2026-02-28T10:00:00Z", "2026-03-05T12:00:00Z"),
        ),
        (
            options(|options| options.days_in_timezone = true),
            "2026-03-02",
            "2026-03-03",
            ("2026-03-02", "2026-03-02"),
            ("2026-03-02", "2026-03-03"),
        ),
        (
            options(|options| {
                options.days_in_timezone = true;
                options.timezone = tokyo;
            }),
            "2026-03-02",
            "2026-03-03",
            ("2026-03-02", "2026-03-03"),
            ("2026-03-01T15:00:00Z", "2026-03-03T15:00:00Z"),
        ),
    ] {
        let ask = PageRequest {
            range: range(from, to),
            ..ask(0)
        };
        let query = query(&adapter, &ask, None);
        let expected = format!(r#"(fromDate:"{}",toDate:"{}","#, days.0, days.1);
        assert!(query.contains(&expected), "{query}");
        assert_eq!(adapter.asked(ask.range), range(asked.0, asked.1));
    }
    assert_eq!(adapter().grain(), chrono::TimeDelta::days(1));
    assert!(!adapter().has_ids());
}

/// 3: a page error is a failure, and so is an answer that is something else.
#[test]
fn what_is_no_page_is_a_failure() {
    for body in [
        "[]",
        "{}",
        "null",
        "<html>",
        r#"{"data":null}"#,
        r#"{"data":[]}"#,
        r#"{"data":{}}"#,
        r#"{"data":{"auditData":{}}}"#,
        r#"{"data":{"auditData":"none"}}"#,
        r#"{"data":{"auditData":[]"#,
    ] {
        let page = adapter().page(&ask(0), None, answer(200, body));
        assert!(
            outline(&page).starts_with("data: the answer"),
            "{body}: {}",
            outline(&page)
        );
    }
    // without errors, a list is a list
    let fine = r#"{"data":{"auditData":[{}]},"errors":[]}"#;
    assert_eq!(
        adapter()
            .page(&ask(0), None, answer(200, fine))
            .unwrap()
            .records
            .len(),
        1
    );
    for errors in [
        r#"[{"message":"boom"}]"#,
        "[{}]",
        r#""boom""#,
        "{}",
        "[null]",
    ] {
        for list in ["[{}]", "[]"] {
            let body = format!(r#"{{"data":{{"auditData":{list}}},"errors":{errors}}}"#);
            let page = adapter().page(&ask(0), None, answer(200, body));
            assert!(
                outline(&page).starts_with("transient: "),
                "{errors}: {}",
                outline(&page)
            );
        }
    }
}

/// 4: a second's rows that come later are other rows, or further twins; the zone that a row was asked in makes no other.
#[test]
fn a_row_is_what_it_says_at_its_instant() {
    let utc = adapter();
    let eastern = options(|options| options.timezone = Some(chrono_tz::US::Eastern));
    let row =
        |date: &str, element: &str| format!(r#"{{"element":"{element}","changeDate":"{date}"}}"#);
    let one = row("2026-03-01 13:05:46.0", "Skills");
    let same = row("2026-03-01 08:05:46.0", "Skills");
    let other = row("2026-03-01 13:05:46.0", "Profiles");
    assert_eq!(utc.stable_content(&one), eastern.stable_content(&same));
    assert_ne!(utc.stable_content(&one), utc.stable_content(&other));
    let legacy = one.replace('}', r#","actionType":"Edit"}"#);
    assert_eq!(utc.stable_content(&one), utc.stable_content(&legacy));
    assert_eq!(utc.stable_content("null"), "null");
}

/// 5: nothing that a user writes is pasted into the text; what the file lets through is escaped all the same.
#[test]
fn users_are_escaped() {
    let adapter = options(|options| {
        options.users = vec!["o'brien@example.com".to_owned(), "a\"b{c}\\".to_owned()];
    });
    let query = query(&adapter, &ask(0), None);
    let expected = r#"users:["o'brien@example.com","a\"b{c}\\"],"#;
    assert!(query.contains(expected), "{query}");
    assert_ne!(
        adapter.listed_streams(),
        LivePerson::new(LivePersonOptions::default()).listed_streams()
    );
}

/// 6 is the client's (`sessionTTl`), see `sign_in.rs`; 7: each service is looked up by itself, see `trouble.rs`; 8: see
/// `exact.rs`; 9: see `config.rs`.
///
/// Offsets grow by the rows received, not by those requested, and the end is an empty page.
#[test]
fn a_short_page_is_not_the_last() {
    let adapter = adapter();
    let mut cursor: Option<Cursor> = None;
    for (received, offset) in [(100, 0), (7, 100), (1, 107)] {
        let query = query(&adapter, &ask(0), cursor.as_ref());
        assert!(
            query.contains(&format!("first:500,offset:{offset},")),
            "{query}"
        );
        let page = adapter
            .page(&ask(0), cursor.as_ref(), rows(received))
            .unwrap();
        assert_eq!(page.records.len(), received);
        assert!(!page.resumable);
        cursor = page.next;
        assert!(cursor.is_some());
    }
    for end in [rows(0), sample(200, "audit_null_list")] {
        let page = adapter.page(&ask(0), cursor.as_ref(), end).unwrap();
        assert_eq!((page.records.len(), page.next), (0, None));
    }
}

/// Rows of one second have no order among them: a page that may be cut within a second leaves that second to the next.
#[test]
fn no_page_ends_within_a_second() {
    let page = |dates: &[&str]| {
        let row = |date: &&str| format!(r#"{{"changeDate":"2026-03-01 13:05:{date}.0"}}"#);
        let rows: Vec<String> = dates.iter().map(row).collect();
        answer(
            200,
            format!(r#"{{"data":{{"auditData":[{}]}}}}"#, rows.join(",")),
        )
    };
    let adapter = options(|options| options.page_size = 4);
    let mut cursor = None;
    let mut taken = Vec::new();
    for dates in [
        &["01", "02", "03", "03"][..], // as many as asked for: the third second may go on
        &["03", "03", "03", "03"],     // it does, and nothing else is to be had
        &["03", "04"],                 // fewer than were shown before: the last, or so it seems
        &["05", "06", "06", "06"],
        &["06", "06", "06"],
        &[],
    ] {
        let result = adapter.page(&ask(0), cursor.as_ref(), page(dates)).unwrap();
        taken.push(result.records.len());
        cursor = result.next;
        let offset: usize = taken.iter().sum();
        if let Some(cursor) = &cursor {
            let query = query(&adapter, &ask(0), Some(cursor));
            assert!(query.contains(&format!("offset:{offset},")), "{query}");
        }
    }
    assert_eq!(cursor, None);
    assert_eq!(taken, [2, 4, 2, 1, 3, 0]);

    // what a page held counts, not what was taken of it
    let adapter = options(|options| options.page_size = 4);
    let first = adapter.page(&ask(0), None, page(&["01", "02", "03", "03"]));
    let cursor = first.unwrap().next;
    let second = adapter.page(&ask(0), cursor.as_ref(), page(&["03", "04"]));
    assert_eq!(second.unwrap().records.len(), 2);

    // a server with at most three rows per page, whatever the request, is detected at its second page
    let adapter = options(|options| options.page_size = 500);
    let mut cursor = None;
    let mut taken = Vec::new();
    for dates in [
        &["01", "02", "02"][..],
        &["02", "03", "03"],
        &["03", "03", "04"],
    ] {
        let result = adapter.page(&ask(0), cursor.as_ref(), page(dates)).unwrap();
        taken.push(result.records.len());
        cursor = result.next;
    }
    assert_eq!(taken, [3, 1, 2]);
    let query = query(&adapter, &ask(1), None);
    assert!(query.contains("first:1,"), "{query}");
}

#[test]
fn another_reading_cuts_its_pages_elsewhere() {
    for (page_size, reading, first) in [(500, 0, 500), (500, 1, 493), (500, 2, 486), (5, 1, 1)] {
        let adapter = options(|options| options.page_size = page_size);
        let query = query(&adapter, &ask(reading), None);
        assert!(query.contains(&format!("first:{first},")), "{query}");
    }
}

#[test]
fn the_count_of_rows_is_compared_and_not_trusted() {
    let adapter = adapter();
    let counted = |offset: usize, received: usize, count: &'static str| -> Page {
        let mut answer = rows(received);
        let count = HeaderValue::from_static(count);
        answer.headers.insert("x-total-count", count);
        let cursor = Cursor(format!(r#"{{"offset":{offset},"dialect":0}}"#));
        adapter.page(&ask(0), Some(&cursor), answer).unwrap()
    };
    for (offset, received, count, total, odd) in [
        (0, 3, "3", None, false),
        (0, 3, "9", Some(9), false),
        (6, 3, "3", None, false),
        (9, 0, "9", Some(9), false),
        (9, 0, "0", None, false),
        (9, 0, "12", None, true),
        (0, 3, "2", None, true),
        (0, 3, "many", None, false),
    ] {
        let page = counted(offset, received, count);
        assert_eq!(
            (page.total, page.remark.is_some()),
            (total, odd),
            "{count} of {received}"
        );
        assert!(!page.total_binds);
        assert_eq!(page.next.is_none(), received == 0, "the count ends nothing");
    }
}

/// The text of the next call after a refusal, until there is none.
fn dialects(
    adapter: &Taught,
    refusal: impl Fn() -> auditlake::providers::Answer,
) -> (Vec<String>, Refusal) {
    let mut tried = Vec::new();
    let mut cursor = None;
    loop {
        let query = query(adapter, &ask(0), cursor.as_ref());
        let list = query.split("orderDirection:").next().unwrap();
        let list = list.split("orderBy:").nth(1).unwrap().trim_end_matches(',');
        let zone = query
            .split("timezone:")
            .nth(1)
            .unwrap()
            .split(',')
            .next()
            .unwrap();
        tried.push(format!("{list} {zone}"));
        match adapter.page(&ask(0), cursor.as_ref(), refusal()) {
            Ok(page) => cursor = page.next,
            Err(refusal) => return (tried, refusal),
        }
    }
}

#[test]
fn lists_and_names_of_the_zone_are_tried_until_one_is_understood() {
    let errors = || sample(200, "error_200_graphql_errors");
    let (tried, refusal) = dialects(&adapter(), errors);
    assert_eq!(
        tried,
        [
            r#"["changeTimestamp"] "UTC""#,
            r#"[changeTimestamp] "UTC""#,
            r#"["changeTimestamp"] "Etc/UTC""#,
            r#"[changeTimestamp] "Etc/UTC""#,
            r#"["changeTimestamp"] "GMT""#,
            r#"[changeTimestamp] "GMT""#,
        ]
    );
    assert!(matches!(&refusal, Refusal::Failed { message, .. } if message.contains("actionTypo")));
    assert_eq!(refusal.kind().to_string(), "config");
    // a zone that was named is the only one; a 400 is as good as errors
    let named = options(|options| options.timezone = Some(chrono_tz::Europe::London));
    let (tried, _) = dialects(&named, || sample(400, "error_400"));
    assert_eq!(
        tried,
        [
            r#"["changeTimestamp"] "Europe/London""#,
            r#"[changeTimestamp] "Europe/London""#,
        ]
    );
    // component types may be strings where columns are words
    let typed = options(|options| options.component_types = vec!["ACUserObject".to_owned()]);
    assert_eq!(dialects(&typed, errors).0.len(), 9);
}

#[test]
fn what_was_understood_once_is_not_doubted_again() {
    let adapter = adapter();
    let refused = || sample(200, "error_200_graphql_errors");
    let page = adapter.page(&ask(0), None, refused()).unwrap();
    assert!(page.records.is_empty());
    let page = adapter.page(&ask(0), page.next.as_ref(), rows(2)).unwrap();
    // words, from the start of the next range on
    assert!(query(&adapter, &ask(0), None).contains("orderBy:[changeTimestamp]"));
    assert!(query(&adapter, &ask(0), page.next.as_ref()).contains("orderBy:[changeTimestamp]"));
    let later = adapter.page(&ask(0), page.next.as_ref(), refused());
    assert!(outline(&later).starts_with("config: the provider answered with errors"));
    // a range whose first call went out before is asked once more, in what is known by now
    let other = adapter.page(&ask(0), None, refused()).unwrap();
    let again = adapter.page(&ask(0), other.next.as_ref(), refused());
    assert!(
        outline(&again).starts_with("config: "),
        "{}",
        outline(&again)
    );
}

#[test]
fn the_first_dialect_is_neither_asked_twice_nor_given_up() {
    let adapter = adapter();
    let refused = || sample(200, "error_200_graphql_errors");
    // this range continues in words, while another one gets the requested language
    let astray = adapter.page(&ask(0), None, refused()).unwrap().next;
    assert!(query(&adapter, &ask(0), astray.as_ref()).contains("orderBy:[changeTimestamp]"));
    adapter.page(&ask(0), None, rows(2)).unwrap();
    let back = adapter.page(&ask(0), astray.as_ref(), refused());
    let back = back.unwrap().next;
    assert!(query(&adapter, &ask(0), back.as_ref()).contains(r#"orderBy:["changeTimestamp"]"#));
    for cursor in [None, back.as_ref()] {
        let page = adapter.page(&ask(0), cursor, refused());
        assert!(outline(&page).starts_with("config: "), "{}", outline(&page));
    }
}

#[test]
fn a_cursor_that_is_no_cursor_is_gone() {
    for text in ["", "{}", r#"{"offset":0,"dialect":99}"#] {
        let cursor = Cursor(text.to_owned());
        let call = adapter().call(&ask(0), Some(&cursor));
        assert!(
            matches!(call, Err(Refusal::CursorGone(_))),
            "{text}: {call:?}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_told_why() {
    let mut lines = Vec::new();
    for raw in [
        "null",
        r#""row""#,
        r#"{"element":"x"}"#,
        r#"{"changeDate":null}"#,
        r#"{"changeDate":"0000-00-00 00:00:00.0"}"#,
        r#"{"changeDate":"yesterday"}"#,
        r#"{"changeDate":["2026-03-01 13:05:46.0"]}"#,
        r#"{"changeDate":1772370346000}"#,
    ] {
        lines.push(format!("{raw}\n  {}", adapter().record(raw).unwrap_err()));
    }
    insta::assert_snapshot!(lines.join("\n"));
    // any other field may be anything
    let odd = r#"{"changeDate":"2026-03-01 13:05:46","accountId":12345678,"element":{},"oldValue":[],"newValue":7,"originatorIsLpa":"true","originator":null}"#;
    let record = adapter().record(odd).unwrap();
    assert_eq!(record.account_id.as_deref(), Some("12345678"));
    assert_eq!(record.changes[0].new_values, ["7"]);
    assert_eq!(record.actor_type, Some("vendor"));
}

#[test]
fn the_provider_is_left_alone_as_long_as_it_asks() {
    let endpoint = connection(&yaml("https://api.liveperson.net", APP, "")).endpoint;
    assert_eq!(endpoint.account.as_deref(), Some(ACCOUNT));
    let rest = |status: u16, times: u32, signing_in: bool| {
        let failed = TransientFailure {
            status: StatusCode::from_u16(status).unwrap(),
            body: b"",
            times,
            signing_in,
        };
        (endpoint.retry_hints.rest)(failed).as_secs()
    };
    assert_eq!((rest(429, 1, false), rest(429, 1, true)), (1, 5));
    let waits: Vec<u64> = (1..=7).map(|times| rest(503, times, false)).collect();
    assert_eq!(waits, [5, 10, 15, 120, 240, 480, 480]);
    assert_eq!(rest(408, 1, false), 0);
}

#[test]
fn a_day_that_ends_the_calendar_is_asked_for_all_the_same() {
    let end = Timestamp::MAX_UTC;
    let ask = PageRequest {
        range: auditlake::model::Range::new(end - chrono::TimeDelta::days(1), end).unwrap(),
        ..ask(0)
    };
    assert!(adapter().call(&ask, None).is_ok());
}

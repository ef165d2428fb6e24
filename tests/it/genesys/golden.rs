//! Every recorded sample has its expectation here: the calls made, the pages, the rows, the refusals.

use std::fmt::Write as _;

use auditlake::model::PartitionColumn;
use auditlake::providers::genesys::{
    AuditCatalogue, Filter, FilterProperty, Genesys, GenesysOptions, Mode,
};
use auditlake::providers::{
    Adapter, Answer, Call, Cursor, Page, PageRequest, Refusal, SideQueries as _, Stream, Target,
};
use auditlake::table::{RowBuilder, RowContext};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::support::{at, cells, fixture, options, range};

pub(super) const NOW: &str = "2026-03-03T00:10:00Z";

pub(super) fn ask(service: &str) -> PageRequest {
    PageRequest::new(
        Stream {
            id: service.to_owned(),
            note: Some("realtime"),
        },
        range("2026-03-02", "2026-03-03"),
        at(NOW),
    )
}

pub(super) fn adapter(mode: Mode) -> Genesys {
    Genesys::new(options(mode, &[]))
}

pub(super) fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: body.into(),
    }
}

pub(super) fn sample(status: u16, name: &str) -> Answer {
    answer(status, fixture(name))
}

pub(super) fn cursor(json: &str) -> Cursor {
    Cursor(json.to_owned())
}

pub(super) fn polling() -> Cursor {
    cursor(r#"{"poll":{"transaction":"3f0c1b7e","polls":0,"waited_ms":0}}"#)
}

pub(super) fn results(place: Option<&str>) -> Cursor {
    let place = serde_json::to_string(&place).unwrap();
    cursor(&format!(
        r#"{{"results":{{"transaction":"3f0c1b7e","cursor":{place},"redirect":true}}}}"#
    ))
}

/// A call on a line, and its body on the next.
pub(super) fn shown(call: &Call) -> String {
    let mut text = match &call.target {
        Target::Api { path, query } => {
            let mut text = format!("{} {path}", call.method);
            for (name, value) in query {
                write!(text, " {name}={value}").unwrap();
            }
            text
        }
        Target::Download { url } => format!("{} (download) {url}", call.method),
    };
    if let Some(body) = &call.body {
        write!(text, "\n{body}").unwrap();
    }
    text
}

/// What a page says besides its records.
pub(super) fn outline(page: &Result<Page, Refusal>) -> String {
    match page {
        Ok(page) => {
            let mut text = format!("{} records", page.records.len());
            if let Some(total) = page.total {
                write!(text, " of {total}").unwrap();
            }
            if let Some(wait) = page.wait {
                write!(text, ", wait {wait:?}").unwrap();
            }
            match &page.next {
                Some(next) => write!(text, ", next {}", next.0).unwrap(),
                None => text.push_str(", end"),
            }
            if page.resumable {
                text.push_str(" (resumable)");
            }
            text
        }
        Err(refusal) => format!("{}: {refusal}", refusal.kind()),
    }
}

/// The page's outline and every record as a row of the table, its `raw` and the columns of the job left out.
fn golden(page: &Result<Page, Refusal>) -> String {
    let mut text = outline(page);
    for span in page.iter().flat_map(|page| &page.records) {
        let raw = &page.as_ref().unwrap().text[span.clone()];
        let record = match adapter(Mode::Auto).record(raw) {
            Ok(record) => record,
            Err(reason) => {
                write!(text, "\n\nquarantine: {reason}").unwrap();
                continue;
            }
        };
        let context = RowContext {
            provider: "genesys_cloud",
            connection: "genesys-prod",
            account_id: "acme",
            job: "genesys-audits",
            ingested_at: at(NOW),
        };
        let mut rows = RowBuilder::new(&[PartitionColumn::Provider, PartitionColumn::EventDate]);
        rows.push(&record, &context, raw, None).unwrap();
        text.push('\n');
        for (name, value) in cells(&rows.finish().unwrap()).remove(0) {
            match name.as_str() {
                "raw" => assert_eq!(value.as_str(), Some(raw)),
                "connection" | "job" | "ingested_at" | "account_id" => {}
                _ => write!(text, "\n{name:<15} {value}").unwrap(),
            }
        }
    }
    text
}

macro_rules! golden {
    ($name:ident, $page:expr) => {
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), golden(&$page));
        }
    };
}

fn results_of(name: &str) -> Result<Page, Refusal> {
    adapter(Mode::Async).page(&ask("A"), Some(&results(None)), sample(200, name))
}

fn realtime_of(name: &str) -> Result<Page, Refusal> {
    adapter(Mode::Realtime).page(&ask("A"), None, sample(200, name))
}

fn realtime_page(page: u32, name: &str) -> Result<Page, Refusal> {
    let cursor = cursor(&format!(r#"{{"realtime":{{"page":{page}}}}}"#));
    adapter(Mode::Realtime).page(&ask("A"), Some(&cursor), sample(200, name))
}

golden!(query_results_page1, results_of("query_results_page1"));
golden!(
    query_results_last_page,
    results_of("query_results_last_page")
);
golden!(query_results_empty, results_of("query_results_empty"));
golden!(
    query_results_empty_page_with_cursor,
    results_of("query_results_empty_page_with_cursor")
);
golden!(query_results_awkward, results_of("query_results_awkward"));
golden!(realtime_page1, realtime_of("realtime_page1"));
golden!(realtime_page2_last, realtime_page(2, "realtime_page2_last"));
golden!(realtime_empty, realtime_of("realtime_empty"));
golden!(realtime_awkward, realtime_of("realtime_awkward"));
golden!(
    realtime_awkward_missing_entities,
    realtime_of("realtime_awkward_missing_entities")
);
golden!(
    realtime_past_last_page,
    realtime_page(9, "realtime_past_last_page")
);
golden!(
    realtime_related_response,
    AuditCatalogue.entries(sample(200, "realtime_related_response"))
);
golden!(
    realtime_related_empty,
    AuditCatalogue.entries(sample(200, "realtime_related_empty"))
);

#[test]
fn large_results_lead_to_their_download() {
    for name in [
        "query_results_large_download",
        "query_results_large_download_with_cursor",
    ] {
        let adapter = adapter(Mode::Async);
        let page = adapter.page(&ask("A"), Some(&results(None)), sample(302, name));
        insta::assert_snapshot!(name, outline(&page));
        let next = page.unwrap().next;
        let call = adapter.call(&ask("A"), next.as_ref()).unwrap();
        let sample: Value = serde_json::from_str(&fixture(name)).unwrap();
        assert_eq!(
            shown(&call),
            format!("GET (download) {}", sample["downloadUrl"].as_str().unwrap())
        );
    }
}

#[test]
fn every_state_of_a_query_has_its_meaning() {
    let mut text = String::new();
    for name in [
        "query_status_queued",
        "query_status_running",
        "query_status_succeeded",
        "query_status_failed",
        "query_status_cancelled",
        "query_status_awkward_minimal",
        "query_status_awkward_unknown_state",
    ] {
        // as the submission's own answer, and as a later one
        let adapter = adapter(Mode::Async);
        for cursor in [None, Some(polling())] {
            let page = adapter.page(&ask("A"), cursor.as_ref(), sample(202, name));
            writeln!(text, "{name}: {}", outline(&page)).unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn every_error_has_a_kind_and_says_what_the_provider_said() {
    let mut text = String::new();
    for (status, name) in [
        (400, "error_400_bad_interval"),
        (400, "error_400_service_required"),
        (401, "error_401_bad_credentials"),
        (403, "error_403_missing_permission"),
        (404, "error_404_transaction"),
        (429, "error_429_too_many_requests"),
        (429, "error_429_with_limit"),
        (500, "error_500_internal"),
        (504, "error_504_timeout"),
        (503, "error_awkward_nulls"),
        (401, "oauth_token_error"),
    ] {
        let submitted = adapter(Mode::Async).page(&ask("A"), None, sample(status, name));
        writeln!(text, "{name}\n  {}", outline(&submitted)).unwrap();
        let listed = adapter(Mode::Async).streams(&[sample(status, name)]);
        assert_eq!(listed.unwrap_err(), submitted.unwrap_err());
    }
    insta::assert_snapshot!(text);
}

/// In answer to a request for a page of results, statuses that are failures elsewhere mean that its cursor is gone.
#[test]
fn a_refused_place_is_gone() {
    let message = |cursor: &Cursor, status, name| {
        outline(&adapter(Mode::Async).page(&ask("A"), Some(cursor), sample(status, name)))
    };
    let later = results(Some("bmV4dA=="));
    for (cursor, status, name, gone) in [
        (&polling(), 404, "error_404_transaction", true),
        (&results(None), 404, "error_404_transaction", true),
        (&later, 404, "error_404_transaction", true),
        (&later, 410, "error_404_transaction", true),
        (&later, 400, "error_400_bad_interval", true),
        (&results(None), 400, "error_400_service_required", false),
    ] {
        let message = message(cursor, status, name);
        assert_eq!(
            message.starts_with("transient: the provider no longer accepts the cursor"),
            gone,
            "{message}"
        );
    }
}

#[test]
fn a_query_is_asked_for_as_the_samples_are() {
    let whole: Value = serde_json::from_str(&fixture("query_request")).unwrap();
    let call = adapter(Mode::Async)
        .call(&ask("ContactCenter"), None)
        .unwrap();
    let asked: Value = serde_json::from_str(call.body.as_deref().unwrap()).unwrap();
    // a second more on the left, as nobody knows whether the bounds are inclusive
    let mut expected = whole;
    expected["interval"] = "2026-03-01T23:59:59Z/2026-03-03T00:00:00Z".into();
    assert_eq!(asked, expected);
    insta::assert_snapshot!(shown(&call), @r#"
    POST /api/v2/audits/query
    {"filters":[],"interval":"2026-03-01T23:59:59Z/2026-03-03T00:00:00Z","serviceName":"ContactCenter","sort":[{"name":"Timestamp","sortOrder":"ascending"}]}
    "#);
}

#[test]
fn filters_are_asked_for_as_in_the_sample() {
    let filter = |property, value: &str| Filter {
        property,
        value: value.to_owned(),
    };
    let adapter = Genesys::new(GenesysOptions {
        mode: Mode::Async,
        services: vec!["PeoplePermissions".to_owned()],
        filters: vec![
            filter(FilterProperty::Action, "AuthenticationFailed"),
            filter(FilterProperty::EntityType, "AuthUser"),
            filter(
                FilterProperty::UserId,
                "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
            ),
        ],
        ..GenesysOptions::default()
    });
    let stream = adapter.listed_streams().remove(0);
    // the stream's name contains its filters; requests name only the service
    insta::assert_snapshot!(stream.id, @"PeoplePermissions#45836927");
    let ask = PageRequest {
        stream,
        ..ask("unused")
    };
    let call = adapter.call(&ask, None).unwrap();
    let asked: Value = serde_json::from_str(call.body.as_deref().unwrap()).unwrap();
    let sample: Value = serde_json::from_str(&fixture("query_request_filtered")).unwrap();
    assert_eq!(asked["filters"], sample["filters"]);
    assert_eq!(asked["serviceName"], sample["serviceName"]);
    // the sample's order is descending and its bounds have milliseconds: both are allowed, neither is needed
    assert_eq!(asked["sort"][0]["sortOrder"], "ascending");
}

#[test]
fn the_realtime_query_is_asked_for_as_in_the_sample() {
    let adapter = Genesys::new(GenesysOptions {
        mode: Mode::Realtime,
        realtime_page_size: 100,
        ..GenesysOptions::default()
    });
    let call = adapter.call(&ask("ContactCenter"), None).unwrap();
    let asked: Value = serde_json::from_str(call.body.as_deref().unwrap()).unwrap();
    let mut expected: Value = serde_json::from_str(&fixture("realtime_request")).unwrap();
    expected["interval"] = "2026-03-01T23:59:59Z/2026-03-03T00:00:00Z".into();
    assert_eq!(asked, expected);
    insta::assert_snapshot!(shown(&call).lines().next().unwrap(), @"POST /api/v2/audits/query/realtime expand=user");
    let second = adapter
        .call(
            &ask("ContactCenter"),
            Some(&cursor(r#"{"realtime":{"page":2}}"#)),
        )
        .unwrap();
    let second: Value = serde_json::from_str(second.body.as_deref().unwrap()).unwrap();
    expected["pageNumber"] = 2.into();
    assert_eq!(second, expected);
}

#[test]
fn related_audits_are_asked_for_as_in_the_samples() {
    let id = "e3a1c5d7-1111-4aaa-9bbb-000000000001";
    let call = AuditCatalogue.related_call(id, None);
    let asked: Value = serde_json::from_str(call.body.as_deref().unwrap()).unwrap();
    let sample: Value = serde_json::from_str(&fixture("realtime_related_request")).unwrap();
    assert_eq!(asked, sample);
    insta::assert_snapshot!(shown(&call).lines().next().unwrap(), @"POST /api/v2/audits/query/realtime/related expand=user");
    let org = "c0ffee00-1234-4abc-8def-001122334455";
    let call = AuditCatalogue.related_call(id, Some(org));
    let asked: Value = serde_json::from_str(call.body.as_deref().unwrap()).unwrap();
    let mut sample: Value =
        serde_json::from_str(&fixture("realtime_related_request_trustor")).unwrap();
    // the sample leaves the order to the provider, whose default nobody knows
    sample["sort"] = asked["sort"].clone();
    assert_eq!(asked, sample);
}

#[test]
fn a_mapping_lists_the_streams() {
    let ids = |mode, services: &[&str], answers: &[&str]| {
        let adapter = Genesys::new(options(mode, services));
        let calls: Vec<String> = adapter.stream_calls().iter().map(shown).collect();
        let answers: Vec<Answer> = answers.iter().map(|name| sample(200, name)).collect();
        assert_eq!(calls.len(), answers.len());
        let streams = adapter.streams(&answers);
        let streams: Result<Vec<String>, String> = streams
            .map(|streams| {
                streams
                    .iter()
                    .map(|stream| {
                        let note = stream.note.filter(|note| *note == "realtime");
                        let space = if note.is_some() { " " } else { "" };
                        format!("{}{space}{}", stream.id, note.unwrap_or_default())
                    })
                    .collect()
            })
            .map_err(|refusal| format!("{}: {refusal}", refusal.kind()));
        format!("{mode:?} {services:?} {calls:?}\n  {streams:?}\n")
    };
    let whole = "servicemapping_response";
    let realtime = "realtime_servicemapping_response";
    let text = [
        ids(Mode::Auto, &[], &[whole, realtime]),
        ids(Mode::Auto, &[], &[realtime, realtime]),
        ids(Mode::Auto, &["Architect", "GDPR"], &[whole, whole]),
        ids(Mode::Async, &[], &[whole]),
        ids(Mode::Async, &["GDPR"], &[]),
        ids(Mode::Realtime, &[], &[realtime]),
        ids(Mode::Realtime, &["GDPR"], &[]),
        ids(Mode::Async, &[], &["servicemapping_awkward"]),
        ids(Mode::Async, &[], &["realtime_empty"]),
        ids(Mode::Async, &["GDPR", "GDPR"], &[]),
    ]
    .concat();
    insta::assert_snapshot!(text);
}

#[test]
fn a_catalogue_is_shown_entry_by_entry() {
    let calls: Vec<String> = AuditCatalogue
        .catalogue_calls()
        .iter()
        .map(|(name, call)| format!("{name}: {}", shown(call)))
        .collect();
    insta::assert_snapshot!(calls.join("\n"), @r"
    query: GET /api/v2/audits/query/servicemapping
    realtime: GET /api/v2/audits/query/realtime/servicemapping
    ");
    for (name, count) in [
        ("servicemapping_response", 3),
        ("realtime_servicemapping_response", 2),
        ("servicemapping_awkward", 3),
    ] {
        let page = AuditCatalogue.entries(sample(200, name)).unwrap();
        assert_eq!(page.records.len(), count);
        for span in page.records {
            serde_json::from_str::<Value>(&page.text[span]).unwrap();
        }
    }
}

/// `oauth_token_response.json` is the client's business: `src/client/tests/sign_in.rs`.
#[test]
fn every_sample_is_looked_at() {
    let tests = include_str!("golden.rs");
    let folder = format!("{}/tests/fixtures/genesys", env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.strip_suffix(".json").unwrap();
        assert!(tests.contains(stem), "{stem}");
    }
}

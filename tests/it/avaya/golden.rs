//! Every recorded sample has its expectation here: the calls made, the pages, the rows, the refusals.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use auditlake::model::PartitionColumn;
use auditlake::providers::avaya::{Avaya, AvayaOptions, Filters};
use auditlake::providers::{Adapter as _, Page, Refusal};
use auditlake::table::{RowBuilder, RowContext};
use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use http::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;

use super::support::*;

/// The page's outline and every record as a row of the table: `raw`, empty columns and those of the job left out.
fn golden(page: &Result<Page, Refusal>) -> String {
    let mut text = outline(page);
    for span in page.iter().flat_map(|page| &page.records) {
        let raw = &page.as_ref().unwrap().text[span.clone()];
        let adapter = Avaya::default();
        let mut record = match adapter.record(raw) {
            Ok(record) => record,
            Err(reason) => {
                write!(text, "\n\nquarantine: {reason}").unwrap();
                continue;
            }
        };
        assert_eq!(record.event_id, "", "the pipeline gives it");
        record.event_id = "hash".into();
        let context = RowContext {
            provider: "avaya_axp",
            connection: "avaya-prod",
            account_id: "ABCDEF",
            job: "avaya-audits",
            ingested_at: at("2026-03-03"),
        };
        let mut rows = RowBuilder::new(&[PartitionColumn::Provider, PartitionColumn::EventDate]);
        rows.push(&record, &context, raw, None).unwrap();
        text.push('\n');
        for (name, value) in cells(&rows.finish().unwrap()).remove(0) {
            match name.as_str() {
                "raw" => assert_eq!(value.as_str(), Some(raw)),
                "connection" | "job" | "ingested_at" | "account_id" | "event_id" => {}
                _ if value.is_null() || value == Value::Array(vec![]) => {}
                _ => write!(text, "\n{name:<12} {value}").unwrap(),
            }
        }
    }
    text
}

fn page(name: &str) -> Result<Page, Refusal> {
    Avaya::default().page(&ask("user/PROFILE"), None, sample(200, name))
}

/// The samples' pages hold five records, so later pages are requested as from a server with that limit.
fn later_page(number: u32, received: u64, name: &str) -> Result<Page, Refusal> {
    let place = place(number, received);
    Avaya::default().page(&ask("user/PROFILE"), Some(&place), sample(200, name))
}

macro_rules! golden {
    ($name:ident, $page:expr) => {
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), golden(&$page));
        }
    };
}

golden!(search_page1, page("search_page1"));
golden!(
    search_page2_swapped_links,
    later_page(2, 5, "search_page2_swapped_links")
);
golden!(search_last_page, later_page(3, 10, "search_last_page"));
golden!(
    search_past_last_page,
    later_page(9, 12, "search_past_last_page")
);
golden!(search_empty, page("search_empty"));
golden!(search_resource_partition, page("search_resource_partition"));
golden!(
    search_user_with_previous_data,
    page("search_user_with_previous_data")
);
golden!(search_awkward_records, page("search_awkward_records"));
golden!(search_awkward_link_forms, page("search_awkward_link_forms"));
golden!(
    search_awkward_missing_sections,
    page("search_awkward_missing_sections")
);

#[test]
fn every_error_has_a_kind_and_says_what_the_provider_said() {
    let mut text = String::new();
    for (status, name) in [
        (400, "error_400_constraint_violation"),
        (400, "error_400_export_too_many_records"),
        (400, "error_400_malformed"),
        (400, "error_400_missing_type"),
        (400, "error_400_status_as_string"),
        (401, "error_401_access_token"),
        (401, "error_401_app_key"),
        (403, "error_403"),
        (404, "error_404"),
        (429, "error_429_spike_limit"),
        (429, "error_429_tenant_quota"),
        (500, "error_500"),
        (500, "error_awkward_nulls"),
    ] {
        let page = Avaya::default().page(&ask("user/PROFILE"), None, sample(status, name));
        writeln!(text, "{name}\n  {}", outline(&page)).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_search_is_asked_for_as_in_the_sample() {
    let call = call(None);
    let mut expected: Value = serde_json::from_str(&fixture("search_request")).unwrap();
    // a second more on the left, as nobody knows whether the bounds are inclusive
    expected["startDate"] = "2026-02-28T23:59:59.000Z".into();
    assert_eq!(body(&call), expected);
    insta::assert_snapshot!(shown(&call), @r#"
    POST /api/admin/user/v1/accounts/{account}/audit-records:search pageNumber=1 pageSize=50 orderBy=date asc
    {"endDate":"2026-03-02T00:00:00.000Z","startDate":"2026-02-28T23:59:59.000Z","type":"PROFILE"}
    "#);
}

#[test]
fn filters_are_asked_for_as_in_the_sample() {
    let text = |text: &str| Some(text.to_owned());
    let adapter = with_options(AvayaOptions {
        types: vec!["USER"],
        filters: Filters {
            event: text("UPDATED"),
            author: text("admin.one@example.com"),
            ip_address: text("203.0.113.60"),
            search_keyword: text("Tier 2"),
        },
        ..AvayaOptions::default()
    });
    let stream = adapter.listed_streams().remove(0);
    // the stream's name tells its filters from others
    insta::assert_snapshot!(stream.id, @"user/USER#a6fb5cf1");
    let call = adapter.call(&ask(&stream.id), None).unwrap();
    let mut expected: Value = serde_json::from_str(&fixture("search_request_all_filters")).unwrap();
    expected["startDate"] = "2026-02-28T23:59:59.000Z".into();
    assert_eq!(body(&call), expected);
}

/// A server that gives one sample as a token, and takes only that; it has nothing to show.
async fn server_with_token(name: &str) -> String {
    let token = fixture(name);
    let bearer: BTreeMap<String, Value> = serde_json::from_str(&token).unwrap();
    let bearer = format!("Bearer {}", bearer["access_token"].as_str().unwrap());
    let router = Router::new().fallback(async move |request: Request| {
        if request.uri().path().ends_with("/token") {
            return token.into_response();
        }
        let shown = request.headers().get("authorization");
        if shown.is_some_and(|shown| shown == bearer.as_str()) {
            return fixture("search_empty").into_response();
        }
        (StatusCode::UNAUTHORIZED, fixture("error_401_access_token")).into_response()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

#[tokio::test]
async fn a_token_is_taken_from_each_sample() {
    for name in [
        "token_response",
        "token_response_minimal",
        "token_response_awkward_extra",
    ] {
        let url = server_with_token(name).await;
        let rig = crate::support::rig::Rig::of(Still, &yaml(&url, SETTLED)).await;
        let report = rig.tick(at("2026-03-01T06:02:00Z")).await;
        assert_eq!(report.failures.len(), 0, "{name}");
    }
}

/// A server without a clock.
struct Still;

impl Simulator for Still {
    fn set_now(&self, _: auditlake::model::Timestamp) {}
}

#[test]
fn every_sample_is_looked_at() {
    let tests = include_str!("golden.rs");
    let folder = format!("{}/tests/fixtures/avaya_axp", env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.strip_suffix(".json").unwrap();
        assert!(tests.contains(&format!("\"{stem}\"")), "{stem}");
    }
}

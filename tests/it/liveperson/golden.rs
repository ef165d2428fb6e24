//! Every recorded sample has its expectation here: the rows, or the reason, or the error's kind and message.

use std::fmt::Write as _;

use auditlake::model::PartitionColumn;
use auditlake::providers::liveperson::{FIELDS, LivePerson, LivePersonOptions};
use auditlake::providers::{Adapter, Page, Refusal, ServiceHost, SignIn};
use auditlake::table::{RowBuilder, RowContext};
use serde_json::Value;

use super::support::{
    APP, Taught, USER, adapter, ask, at, cells, connection, fixture, outline, query, range, sample,
    yaml,
};

/// The page's outline and every record as a row of the table, its `raw` and the columns of the job left out, and the
/// columns that are null or empty.
fn golden(adapter: &LivePerson, page: &Result<Page, Refusal>) -> String {
    let mut text = outline(page);
    for span in page.iter().flat_map(|page| &page.records) {
        let raw = &page.as_ref().unwrap().text[span.clone()];
        let record = match adapter.record(raw) {
            Ok(record) => record,
            Err(reason) => {
                write!(text, "\n\nquarantine: {reason}").unwrap();
                continue;
            }
        };
        assert_eq!(record.event_id, "");
        let context = RowContext {
            provider: "liveperson",
            connection: "cloud",
            account_id: "acme",
            job: "liveperson-audits",
            ingested_at: at("2026-03-03"),
        };
        let mut rows = RowBuilder::new(&[PartitionColumn::Provider, PartitionColumn::EventDate]);
        rows.push(&record, &context, raw, None).unwrap();
        text.push('\n');
        for (name, value) in cells(&rows.finish().unwrap()).remove(0) {
            let empty = value.is_null()
                || value.as_array().is_some_and(Vec::is_empty)
                || value.as_object().is_some_and(serde_json::Map::is_empty);
            match name.as_str() {
                "raw" => assert_eq!(value.as_str(), Some(raw)),
                "connection" | "job" | "ingested_at" => {}
                _ if empty => {}
                _ => write!(text, "\n{name:<15} {value}").unwrap(),
            }
        }
    }
    text
}

macro_rules! golden {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let adapter = adapter();
            let page = adapter.page(&ask(0), None, sample(200, stringify!($name)));
            insta::assert_snapshot!(stringify!($name), golden(&adapter, &page));
        }
    )*};
}

golden!(
    audit_awkward_records
    audit_empty
    audit_null_list
    audit_page_full_fields
    audit_page_legacy_action_type
    audit_page_same_second_batch
    audit_page_selected_fields
);

/// Times of the provider's default zone are right only if that zone was requested.
#[test]
fn audit_page_default_timezone_desc() {
    let eastern = Taught::new(LivePersonOptions {
        timezone: Some(chrono_tz::US::Eastern),
        ..LivePersonOptions::default()
    });
    let page = eastern.page(
        &ask(0),
        None,
        sample(200, "audit_page_default_timezone_desc"),
    );
    insta::assert_snapshot!("audit_page_default_timezone_desc", golden(&eastern, &page));
}

/// Both rows of the hour that clocks show twice count as the earlier one.
#[test]
fn audit_page_dst_fold_us_eastern() {
    let eastern = Taught::new(LivePersonOptions {
        timezone: Some(chrono_tz::US::Eastern),
        ..LivePersonOptions::default()
    });
    let page = eastern.page(&ask(0), None, sample(200, "audit_page_dst_fold_us_eastern"));
    insta::assert_snapshot!("audit_page_dst_fold_us_eastern", golden(&eastern, &page));
}

#[test]
fn every_error_has_a_kind_and_says_what_the_provider_said() {
    let mut text = String::new();
    for (status, name) in [
        (200, "error_200_graphql_errors"),
        (200, "error_200_graphql_partial"),
        (400, "error_400"),
        (401, "error_401"),
        (403, "error_403"),
        (429, "error_429"),
        (500, "error_500"),
        (401, "oauth2_token_error"),
    ] {
        // the last dialect that is left to try
        let cursor = auditlake::providers::Cursor(r#"{"offset":0,"dialect":5}"#.to_owned());
        let page = adapter().page(&ask(0), Some(&cursor), sample(status, name));
        writeln!(text, "{name}\n  {}", outline(&page)).unwrap();
    }
    insta::assert_snapshot!(text);
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn audit_request_window() {
    let adapter = Taught::new(LivePersonOptions {
        page_size: 50,
        days_in_timezone: true,
        ..LivePersonOptions::default()
    });
    let two_days = auditlake::providers::PageRequest {
        range: range("2026-03-01", "2026-03-03"),
        ..ask(0)
    };
    let sample: Value = serde_json::from_str(&fixture("audit_request_window")).unwrap();
    assert_eq!(
        without_spaces(&query(&adapter, &two_days, None)),
        without_spaces(sample["query"].as_str().unwrap())
    );
}

#[test]
fn audit_request_minimal() {
    let sample: Value = serde_json::from_str(&fixture("audit_request_minimal")).unwrap();
    let selection = format!("{{{}}}}}", FIELDS.join(""));
    assert!(without_spaces(sample["query"].as_str().unwrap()).ends_with(&selection));
    assert!(without_spaces(&query(&adapter(), &ask(0), None)).ends_with(&selection));
}

/// The host that a sample names for the place.
fn host(place: &ServiceHost, name: &str) -> Option<String> {
    let ServiceHost::Named(named) = place else {
        panic!("a host that is looked up");
    };
    (named.host)(&fixture(name), named.service)
}

#[test]
fn domain_samples_name_the_hosts() {
    let app = connection(&yaml("https://api.liveperson.net", APP, "")).endpoint;
    let user = connection(&yaml("https://api.liveperson.net", USER, "")).endpoint;
    let SignIn::ClientCredentials { token_url, .. } = &app.sign_in else {
        panic!("an app");
    };
    let SignIn::Session { login, refresh, .. } = &user.sign_in else {
        panic!("a user");
    };
    for (place, name, expected) in [
        (
            &app.api,
            "domain_single_service",
            Some("va-a.acr.liveperson.net"),
        ),
        (
            &app.api,
            "domain_all_services",
            Some("va-a.acr.liveperson.net"),
        ),
        (&app.api, "domain_single_service_sentinel", None),
        (
            token_url,
            "domain_single_service_sentinel",
            Some("va.sentinel.liveperson.net"),
        ),
        (
            token_url,
            "domain_all_services",
            Some("va.sentinel.liveperson.net"),
        ),
        (
            login,
            "domain_all_services",
            Some("va.agentvep.liveperson.net"),
        ),
        (
            refresh,
            "domain_all_services",
            Some("va.agentvep.liveperson.net"),
        ),
        (login, "domain_single_service", None),
    ] {
        assert_eq!(host(place, name).as_deref(), expected, "{name}");
    }
}

/// None is forgotten: `sign_in.rs` has those of tokens and logins.
#[test]
fn every_sample_has_an_expectation() {
    let folder = format!("{}/tests/fixtures/liveperson", env!("CARGO_MANIFEST_DIR"));
    let here = [include_str!("golden.rs"), include_str!("sign_in.rs")].concat();
    let mut samples = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = name.trim_end_matches(".json");
        assert!(here.contains(name), "{name}");
        samples += 1;
    }
    assert_eq!(samples, 25);
}

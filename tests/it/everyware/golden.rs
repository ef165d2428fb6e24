//! Every recorded sample has its expectation here: the rows, or the refusal.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use auditlake::model::{PartitionColumn, Range, Timestamp};
use auditlake::providers::everyware::{Everyware, EverywareOptions};
use auditlake::providers::{Adapter, Answer, Page, PageRequest, Refusal};
use auditlake::table::{RowBuilder, RowContext};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::support::rig::cells;

const NOW: &str = "2026-03-03T00:10:00Z";

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn adapter() -> Everyware {
    Everyware::default()
}

pub(super) fn with(options: EverywareOptions) -> Everyware {
    Everyware { options }
}

/// A day of the adapter's only stream.
pub(super) fn ask(adapter: &Everyware) -> PageRequest {
    PageRequest::new(
        adapter.listed_streams().remove(0),
        Range::new(at("2026-03-01T00:00:00Z"), at("2026-03-02T00:00:00Z")).unwrap(),
        at(NOW),
    )
}

pub(super) fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: body.into(),
    }
}

fn folder() -> std::path::PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/everyware").into()
}

pub(super) fn fixture(name: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap()
}

pub(super) fn page_of(status: u16, body: impl Into<Bytes>) -> Result<Page, Refusal> {
    let adapter = adapter();
    adapter.page(&ask(&adapter), None, answer(status, body))
}

/// The kind and the message of a refusal.
pub(super) fn refused(page: Result<Page, Refusal>) -> String {
    let refusal = page.unwrap_err();
    format!("{}: {refusal}", refusal.kind())
}

/// Each record's text, as it was received.
pub(super) fn raws(page: &Page) -> Vec<&str> {
    page.records
        .iter()
        .map(|span| &page.text[span.clone()])
        .collect()
}

/// Every record as a row of the table, what is empty and the columns of the job left out.
pub(super) fn rows(page: &Page) -> String {
    let mut text = format!("{} records", page.records.len());
    for raw in raws(page) {
        let record = match adapter().record(raw) {
            Ok(record) => record,
            Err(reason) => {
                write!(text, "\n\nquarantine: {reason}").unwrap();
                continue;
            }
        };
        let context = RowContext {
            provider: "everyware_cloud",
            connection: "everyware-prod",
            account_id: "acme",
            job: "everyware-audits",
            ingested_at: at(NOW),
        };
        let mut rows = RowBuilder::new(&[PartitionColumn::Provider, PartitionColumn::EventDate]);
        rows.push(&record, &context, raw, None).unwrap();
        text.push('\n');
        for (name, value) in cells(&rows.finish().unwrap()).remove(0) {
            let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
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

/// What a sample becomes: whole, and fed in pieces, as it arrives.
fn golden(name: &str) -> String {
    let body = fixture(name);
    let page = page_of(200, body.clone()).unwrap();
    let adapter = adapter();
    let mut splitter = adapter.splitter(&ask(&adapter)).unwrap();
    let mut pieces: Vec<String> = Vec::new();
    for piece in body.as_bytes().chunks(13) {
        pieces.extend(
            raws(&splitter.feed(piece).unwrap())
                .into_iter()
                .map(str::to_owned),
        );
    }
    // the last one comes with the end
    let end = splitter.end(true).unwrap();
    pieces.extend(raws(&end).into_iter().map(str::to_owned));
    assert_eq!(pieces, raws(&page));
    assert_eq!((&page.next, page.remark.as_deref()), (&None, None));
    rows(&page)
}

const SAMPLES: [&str; 8] = [
    "audit_awkward_records",
    "audit_result",
    "audit_result_empty_list",
    "audit_result_empty_object",
    "audit_result_failures",
    "audit_result_null_list",
    "audit_result_single_object_tolerance",
    "audit_result_unordered_same_millisecond",
];

const ERRORS: [(u16, &str); 4] = [
    (400, "error_400_bad_date"),
    (401, "error_401"),
    (403, "error_403"),
    (500, "error_500"),
];

#[test]
fn every_sample_becomes_its_rows() {
    for name in SAMPLES {
        insta::assert_snapshot!(name, golden(name));
    }
}

#[test]
fn every_error_has_a_kind_and_says_what_the_provider_said() {
    let message = ERRORS
        .map(|(status, name)| format!("{name}\n  {}", refused(page_of(status, fixture(name)))));
    insta::assert_snapshot!(message.join("\n"));
}

#[test]
fn no_sample_is_left_out() {
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|file| {
            file.unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let named = SAMPLES.into_iter().chain(ERRORS.map(|(_, name)| name));
    assert_eq!(files, named.map(str::to_owned).collect());
}

//! Sorts the results of a search and selects a page.

use serde_json::{Value, json};

use super::dataset::AuditRecord;
use super::request::{OrderBy, Paging};
use super::settings::{Links, Pagination};
use crate::Ties;
use crate::dataset::Record;

/// The URL of a search, for its links.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkPlace<'a> {
    pub(super) host: &'a str,
    pub(super) endpoint: &'static str,
    pub(super) account: &'a str,
    /// Whether the service swaps its links instead of returning dead ones.
    pub(super) swaps: bool,
}

/// Sorts records in the requested order. `call` is the number of requests for this page so far.
pub(super) fn order(found: &mut [&Record<AuditRecord>], paging: Paging, ties: Ties, call: u64) {
    // sorted by the position in the log, so that equal records are shuffled too
    let page = (paging.number, paging.size);
    let mut numbered: Vec<_> = found
        .iter()
        .enumerate()
        .map(|(place, record)| (ties.key(place, page, call), *record))
        .collect();
    numbered.sort_by(|(a_tie, a), (b_tie, b)| {
        let by = match paging.order {
            OrderBy::Date => a.filed.cmp(&b.filed),
            OrderBy::Author => a.content.author.cmp(&b.content.author),
        };
        let by = if paging.ascending { by } else { by.reverse() };
        by.then(a_tie.cmp(b_tie))
    });
    for (place, (_, record)) in found.iter_mut().zip(numbered) {
        *place = record;
    }
}

/// Returns the answer's text; records keep their bytes.
pub(super) fn body(
    records: &[String],
    paging: Paging,
    total: usize,
    shape: Pagination,
    links: Option<Value>,
) -> String {
    let mut parts = Vec::new();
    let (number, size) = (paging.number, paging.size);
    match shape {
        Pagination::Shown => parts.push(format!(
            r#""pagination":{{"pageNumber":{number},"pageSize":{size},"total":{total}}}"#
        )),
        Pagination::WithoutTotal => parts.push(format!(
            r#""pagination":{{"pageNumber":{number},"pageSize":{size}}}"#
        )),
        Pagination::LeftOut => {}
    }
    parts.push(format!(r#""auditRecords":[{}]"#, records.join(",")));
    parts.extend(links.map(|links| format!(r#""links":{links}"#)));
    format!("{{{}}}", parts.join(","))
}

/// Returns links as in the provider's examples; none of them can be followed.
pub(super) fn links(
    kind: Links,
    paging: Paging,
    total: usize,
    place: LinkPlace<'_>,
) -> Option<Value> {
    let (number, size) = (paging.number, paging.size);
    let path = place.endpoint.trim_start_matches("POST ");
    let base_path = path.split("/accounts/").next().unwrap_or_default();
    let to = |page: usize| {
        let path = path.replace("{accountId}", place.account);
        let path = format!("{path}?pageNumber={page}&pageSize={size}");
        match kind {
            Links::Doubled => format!("{}{base_path}{path}", place.host),
            _ => path,
        }
    };
    let last = total.div_ceil(size).max(1);
    let link = |is_one: bool, page: usize| {
        if is_one { to(page) } else { String::new() }
    };
    let before = link(number > 1, number.saturating_sub(1));
    let after = link(number < last, number + 1);
    match kind {
        Links::LeftOut => None,
        Links::Blank => Some(json!({ "next": "", "prev": "" })),
        Links::AsPublished if place.swaps && number > 1 && number < last => {
            Some(json!({ "next": before, "prev": after }))
        }
        Links::AsPublished if place.swaps => Some(json!({ "next": after, "prev": before })),
        Links::AsPublished | Links::Doubled => {
            Some(json!({ "next": to(number + 1), "prev": before }))
        }
    }
}

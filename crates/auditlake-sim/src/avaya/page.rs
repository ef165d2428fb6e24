//! Orders what a search found, and cuts a page out of it.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use serde_json::{Value, json};

use super::dataset::Record;
use super::request::{OrderBy, Paging};
use super::settings::{Links, Pagination, Ties};

/// Where a search was asked for, for its links.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) host: &'a str,
    pub(super) base_path: &'a str,
    pub(super) account: &'a str,
    /// Whether the service swaps its links rather than showing dead ones.
    pub(super) swaps: bool,
}

/// Puts records into the order asked for. `nth` is how often this page has been asked for.
pub(super) fn order(found: &mut [&Record], paging: Paging, ties: Ties, nth: u64) {
    let salt = match ties {
        Ties::Kept => None,
        Ties::ByPage => Some((paging.number, paging.size, 0)),
        Ties::ByCall => Some((paging.number, paging.size, nth)),
    };
    // twins must be shuffled, too: it is the place in the log that counts
    let mut numbered: Vec<(u64, &Record)> = (0_u64..)
        .zip(found.iter())
        .map(|(place, record)| (salt.map_or(place, |salt| mixed(&(salt, place))), *record))
        .collect();
    numbered.sort_by(|(a_tie, a), (b_tie, b)| {
        let by = match paging.order {
            OrderBy::Date => a.filed.cmp(&b.filed),
            OrderBy::Author => a.author.cmp(&b.author),
        };
        let by = if paging.ascending { by } else { by.reverse() };
        by.then(a_tie.cmp(b_tie))
    });
    for (place, (_, record)) in found.iter_mut().zip(numbered) {
        *place = record;
    }
}

fn mixed(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The records of one page.
pub(super) fn cut<'r, 'a>(found: &'r [&'a Record], number: usize, size: usize) -> &'r [&'a Record] {
    let begin = number
        .saturating_sub(1)
        .saturating_mul(size)
        .min(found.len());
    &found[begin..begin.saturating_add(size).min(found.len())]
}

/// The answer's text, records as they are.
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

/// Links as the provider's examples have them: nothing that could be followed.
pub(super) fn links(kind: Links, paging: Paging, total: usize, place: Place<'_>) -> Option<Value> {
    let (number, size) = (paging.number, paging.size);
    let to = |page: usize| {
        let path = format!(
            "{}/accounts/{}/audit-records:search?pageNumber={page}&pageSize={size}",
            place.base_path, place.account
        );
        match kind {
            Links::Doubled => format!("{}{}{path}", place.host, place.base_path),
            _ => path,
        }
    };
    let last = total.div_ceil(size).max(1);
    let before = if number > 1 {
        to(number - 1)
    } else {
        String::new()
    };
    let after = if number < last {
        to(number + 1)
    } else {
        String::new()
    };
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

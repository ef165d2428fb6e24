//! One page of a search, and where the walk over pages stands.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::Kind;
use crate::providers::answer::{failed, number, parse, spans};
use crate::providers::json::{Object, Text};
use crate::providers::{Cursor, Refusal};

/// Which page is asked for: what the cursor holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// From 1 on.
    pub(super) page: u32,
    /// How many records the pages before it held.
    received: u64,
}

impl Place {
    /// No cursor means the first page.
    pub(super) fn of(cursor: Option<&Cursor>) -> Result<Self, Refusal> {
        let Some(cursor) = cursor else {
            return Ok(Self {
                page: 1,
                received: 0,
            });
        };
        serde_json::from_str(&cursor.0)
            .map_err(|error| Refusal::CursorGone(format!("it can't be read: {error}")))
    }

    /// Where to go on, unless these are the last records: links are never followed.
    ///
    /// The last page is the one that `total` ends on. A provider that gives fewer records than it says gives the rest
    /// later, and one that gives no total ends with an empty page.
    pub(super) fn next(self, results: &Results, asked_size: u32) -> Option<Cursor> {
        let count = u64::try_from(results.records.len()).unwrap_or(u64::MAX);
        if count == 0 {
            return None;
        }
        let received = self.received.saturating_add(count);
        let asked_size = u64::from(asked_size);
        let size = results.size.filter(|size| (1..asked_size).contains(size));
        let covered = u64::from(self.page).saturating_mul(size.unwrap_or(asked_size));
        let last = results
            .total
            .is_some_and(|total| covered >= total && received >= total);
        if last {
            return None;
        }
        let next = Self {
            page: self.page.checked_add(1)?,
            received,
        };
        serde_json::to_string(&next).ok().map(Cursor)
    }
}

/// What a page says.
#[derive(Debug)]
pub(super) struct Results {
    /// Where the records lie in its text.
    pub(super) records: Vec<std::ops::Range<usize>>,
    /// How many records all pages hold.
    pub(super) total: Option<u64>,
    /// How many records a page holds.
    size: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow, default)]
    pagination: Option<Object<Pagination<'a>>>,
    #[serde(borrow, default)]
    audit_records: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pagination<'a> {
    #[serde(borrow, default)]
    page_number: Text<'a>,
    #[serde(borrow, default)]
    page_size: Text<'a>,
    #[serde(borrow, default)]
    total: Text<'a>,
}

impl Results {
    /// An answer that isn't a page at all, or is another page than the one asked for, must not pass for it.
    pub(super) fn read(text: &str, page: u32) -> Result<Self, Refusal> {
        let envelope: Envelope = parse(text)?;
        if envelope.audit_records.is_none() && envelope.pagination.is_none() {
            return Err(failed(
                Kind::Data,
                "the answer has neither `auditRecords` nor `pagination`, so it is no page",
            ));
        }
        let Object(pagination) = envelope.pagination.unwrap_or_default();
        match number(&pagination.page_number) {
            Some(shown) if shown != u64::from(page) => {
                return Err(failed(
                    Kind::Data,
                    format!("page {page} was asked for, but the answer is page {shown}"),
                ));
            }
            _ => {}
        }
        Ok(Self {
            records: spans(text, envelope.audit_records.unwrap_or_default()),
            total: number(&pagination.total),
            size: number(&pagination.page_size),
        })
    }
}

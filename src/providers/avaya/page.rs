//! One page of a search, and where the walk over pages stands.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::FailureKind;
use crate::providers::answer::{AnswerText, Spans, failed, number, parse, read_page, spans};
use crate::providers::json::{Object, ScalarText};
use crate::providers::salvage::IsRecord;
use crate::providers::{Cursor, Refusal};

/// The documented maximum of a page, and ten times the default.
const LARGEST: u32 = 50;
/// The documented minimum.
const SMALLEST: u32 = 5;
/// By how much the pages of each reading are smaller than the largest. None of the first 250 records then lies within
/// six of a page's end in two readings, so that what shares an instant at one's end is whole in the next.
const CUT_BY: [u32; 3] = [0, 8, 14];

/// Which page is asked for: what the cursor holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PagePosition {
    /// From 1 on.
    pub(super) page: u32,
    /// How many records a page is to hold.
    pub(super) size: u32,
    /// How many records the pages before it held.
    received: u64,
}

impl PagePosition {
    /// No cursor means the first page.
    pub(super) fn of(cursor: Option<&Cursor>, reading: u32) -> Result<Self, Refusal> {
        let Some(cursor) = cursor else {
            return Ok(Self::first(cut(LARGEST, reading)));
        };
        cursor.state()
    }

    fn first(size: u32) -> Self {
        Self {
            page: 1,
            size,
            received: 0,
        }
    }

    /// Where to begin a confirming reading anew, its first page unused, because the provider gives smaller pages than
    /// it was asked for: those would end where the pages of the reading before ended.
    pub(super) fn cut_anew(self, results: &PageBody, reading: u32) -> Option<Cursor> {
        if reading == 0 || self.page > 1 {
            return None;
        }
        let count = u64::try_from(results.records.len()).unwrap_or(u64::MAX);
        let more = results.total.is_none_or(|total| total > count);
        let given = results.size.unwrap_or(count).min(count);
        let given = u32::try_from(given).ok()?;
        let size = cut(given, reading);
        (more && given > 0 && given < self.size && size < self.size)
            .then(|| Cursor::of(&Self::first(size)))
            .flatten()
    }

    /// Where to go on, unless these are the last records: links are never followed.
    ///
    /// The last page is the one with which `total` is reached. A provider that gives fewer records than it says gives
    /// the rest later, and one that gives no total ends with an empty page.
    pub(super) fn next(self, results: &PageBody) -> Option<Cursor> {
        let count = u64::try_from(results.records.len()).unwrap_or(u64::MAX);
        if count == 0 {
            return None;
        }
        let received = self.received.saturating_add(count);
        if results.total.is_some_and(|total| received >= total) {
            return None;
        }
        let next = Self {
            page: self.page.checked_add(1)?,
            received,
            ..self
        };
        Cursor::of(&next)
    }
}

/// The size of a reading's pages, where those of the first one held `most`: less in proportion, and by one at least.
fn cut(most: u32, reading: u32) -> u32 {
    let by = usize::try_from(reading)
        .ok()
        .and_then(|reading| CUT_BY.get(reading).copied())
        .unwrap_or(CUT_BY[CUT_BY.len() - 1]);
    let by = (most.saturating_mul(by) / LARGEST).max(reading);
    most.saturating_sub(by).max(SMALLEST)
}

/// What a page says.
#[derive(Debug)]
pub(super) struct PageBody {
    /// Where the records lie in its text.
    pub(super) records: Spans,
    /// How many records all pages hold.
    pub(super) total: Option<u64>,
    /// How many records a page holds.
    size: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AvayaEnvelope<'a> {
    #[serde(borrow, default)]
    pagination: Option<Object<Pagination<'a>>>,
    #[serde(borrow, default)]
    audit_records: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pagination<'a> {
    #[serde(borrow, default)]
    page_number: ScalarText<'a>,
    #[serde(borrow, default)]
    page_size: ScalarText<'a>,
    #[serde(borrow, default)]
    total: ScalarText<'a>,
}

impl PageBody {
    /// An answer that isn't a page at all, or is another page than the one asked for, must not pass for it.
    pub(super) fn read(
        answer: &AnswerText,
        page: u32,
        is_record: IsRecord<'_>,
    ) -> Result<Self, Refusal> {
        read_page(answer, &["auditRecords"], is_record, |text, records| {
            Self::of_json(text, page, records)
        })
    }

    fn of_json(text: &str, page: u32, records: Option<Spans>) -> Result<Self, Refusal> {
        let envelope: AvayaEnvelope = parse(text)?;
        if envelope.audit_records.is_none() && envelope.pagination.is_none() {
            return Err(failed(
                FailureKind::Data,
                "the answer has neither `auditRecords` nor `pagination`, so it is no page",
            ));
        }
        let Object(pagination) = envelope.pagination.unwrap_or_default();
        match number(&pagination.page_number) {
            Some(shown) if shown != u64::from(page) => {
                return Err(failed(
                    FailureKind::Data,
                    format!("page {page} was asked for, but the answer is page {shown}"),
                ));
            }
            _ => {}
        }
        Ok(Self {
            records: records
                .unwrap_or_else(|| spans(text, envelope.audit_records.unwrap_or_default())),
            total: number(&pagination.total),
            size: number(&pagination.page_size),
        })
    }
}

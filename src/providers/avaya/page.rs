//! Pages of a search, and the position in them.

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
/// By how much the pages of each read are smaller than the largest. Then none of the first 250 records is within six
/// records of a page's end in two reads, so that records of the same instant at a boundary are on one page in the next
/// read.
const CUT_BY: [u32; 3] = [0, 8, 14];

/// The requested page, which the cursor contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PagePosition {
    /// The page number from 1.
    pub(super) page: u32,
    /// The requested page size.
    pub(super) size: u32,
    /// The number of records on the previous pages.
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

    /// Returns where to restart a confirming read, without its first page, because the provider returns smaller pages
    /// than requested, whose boundaries would be those of the previous read.
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

    /// Returns the next page, unless these are the last records. Links are never followed.
    ///
    /// The last page is the one with which `total` is reached. A provider that returns fewer records than that returns
    /// the rest later, and without a total the end is an empty page.
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

/// Returns the page size of a read if the first page had `most` records: proportionally smaller, by at least one.
fn cut(most: u32, reading: u32) -> u32 {
    let by = usize::try_from(reading)
        .ok()
        .and_then(|reading| CUT_BY.get(reading).copied())
        .unwrap_or(CUT_BY[CUT_BY.len() - 1]);
    let by = (most.saturating_mul(by) / LARGEST).max(reading);
    most.saturating_sub(by).max(SMALLEST)
}

/// The content of a page.
#[derive(Debug)]
pub(super) struct PageBody {
    /// The positions of the records in the text.
    pub(super) records: Spans,
    /// The number of records on all pages.
    pub(super) total: Option<u64>,
    /// The page size.
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
    /// Parses a page. Fails for an answer that isn't a page, or not the requested one.
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
                "the answer has neither `auditRecords` nor `pagination`, so it isn't a page",
            ));
        }
        let Object(pagination) = envelope.pagination.unwrap_or_default();
        match number(&pagination.page_number) {
            Some(shown) if shown != u64::from(page) => {
                return Err(failed(
                    FailureKind::Data,
                    format!("page {page} was requested, but the answer is page {shown}"),
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

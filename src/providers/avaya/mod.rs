//! Avaya Experience Platform (AXP): the audit search shared by six of its services.
//!
//! Facts and their sources: `docs/providers/avaya_axp.md`. Four facts determine this adapter:
//! - a search is for exactly one type of object, so each type of each service is a stream;
//! - records have no id and no second sort key, so a range only counts as read if its pages agree, and a
//!   confirming read has different page boundaries;
//! - links are circular, so pages are numbered and counted by `total`;
//! - whether the bounds are inclusive is undocumented, so an additional second is requested on the left.

mod catalogue;
mod changes;
mod page;
mod problem;
mod record;
mod settings;

use std::borrow::Cow;

use chrono::{SecondsFormat, SubsecRound, TimeDelta};
use serde_json::json;

use super::answer::{failed, text_of};
use super::call::{a_second_wider, filters_suffix, post};
use super::{Adapter, Answer, Call, Cursor, Page, PageRequest, Refusal, Stream};
use crate::model::{FailureKind, Range, Record, Timestamp};
use catalogue::{AvayaService, searches};
use page::{PageBody, PagePosition};

pub use settings::{AvayaOptions, Filters, SPEC};

/// The precision of a search's bounds.
const BOUND: TimeDelta = TimeDelta::milliseconds(1);

/// The adapter of one job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Avaya {
    /// The job's options.
    pub options: AvayaOptions,
}

impl Adapter for Avaya {
    fn listed_streams(&self) -> Vec<Stream> {
        searches()
            .filter(|(service, kind)| self.options.takes(service.name, kind))
            .map(|(service, kind)| Stream::new(self.stream_id(service, kind)))
            .collect()
    }

    fn asked(&self, range: Range) -> Range {
        a_second_wider(range)
    }

    fn has_ids(&self) -> bool {
        false
    }

    fn call(&self, ask: &PageRequest, cursor: Option<&Cursor>) -> Result<Call, Refusal> {
        let (service, kind) = self.search(&ask.stream)?;
        let place = PagePosition::of(cursor, ask.reading)?;
        let query = vec![
            ("pageNumber", place.page.to_string()),
            ("pageSize", place.size.to_string()),
            // defaults differ between services
            ("orderBy", "date asc".to_owned()),
        ];
        let path = format!(
            "{}/accounts/{{account}}/audit-records:search",
            service.base_path
        );
        let mut body = json!({
            "startDate": instant(ask.range.from() - TimeDelta::seconds(1)),
            "endDate": instant(ask.range.to()),
            "type": kind,
        });
        for (name, value) in self.options.filters.members() {
            body[name] = value.into();
        }
        Ok(post(&path, query, body.to_string()))
    }

    fn page(
        &self,
        ask: &PageRequest,
        cursor: Option<&Cursor>,
        answer: Answer,
    ) -> Result<Page, Refusal> {
        problem::expect_success(&answer)?;
        let place = PagePosition::of(cursor, ask.reading)?;
        let text = text_of(answer)?;
        let results = PageBody::read(&text, place.page, &|raw| record::read(raw).is_ok())?;
        let mut page = Page {
            total: results.total,
            total_binds: true,
            ..Page::default()
        };
        if let Some(anew) = place.cut_anew(&results, ask.reading) {
            page.next = Some(anew);
        } else {
            page.next = place.next(&results);
            page.foreign = text.foreign(&results.records)?;
            page.records = results.records;
            page.text = text.text;
        }
        Ok(page)
    }

    fn record<'a>(&self, raw: &'a str) -> Result<Record<'a>, String> {
        record::read(raw)
    }

    /// Normalises the date, as both published forms mean the same record.
    fn stable_content<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        record::with_one_date_form(raw)
    }
}

impl Avaya {
    /// Returns the stream's id: the service and the type, and a hash of the filters, if any, as different filters make
    /// a different stream.
    fn stream_id(&self, service: &AvayaService, kind: &str) -> String {
        let filters = self.options.filters.members();
        let filters = (!filters.is_empty()).then(|| json!(filters));
        let suffix = filters_suffix(filters.as_ref());
        format!("{}/{kind}{suffix}", service.name)
    }

    fn search(&self, stream: &Stream) -> Result<(&'static AvayaService, &'static str), Refusal> {
        searches()
            .find(|(service, kind)| self.stream_id(service, kind) == stream.id)
            .ok_or_else(|| {
                failed(
                    FailureKind::Config,
                    format!("`{}` isn't a stream of this job", stream.id),
                )
            })
    }
}

/// Formats to the millisecond, rounded up, as an end that is rounded down would omit records.
fn instant(at: Timestamp) -> String {
    let floor = at.trunc_subsecs(3);
    let at = if floor == at { at } else { floor + BOUND };
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

//! Avaya Experience Platform (AXP): the audit search that six of its services share.
//!
//! Facts and their sources: `docs/providers/avaya_axp.md`. Four things shape this folder:
//! - a search takes exactly one type of object, so each type of each service is a stream;
//! - records have no id and dates have no second order, so a range counts as read only if its pages agree, and a
//!   reading that is to confirm another one cuts its pages elsewhere;
//! - links lead in circles, so pages are numbered and counted from `total`;
//! - whether the bounds are inclusive is not documented, so one second more is asked for on the left.

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

/// The finest bounds that a search takes.
const BOUND: TimeDelta = TimeDelta::milliseconds(1);

/// The adapter of one job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Avaya {
    /// What the job pulls.
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
            // defaults differ from service to service
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

    /// With its date in one form: both forms that are published mean the same record.
    fn lasting<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        record::with_one_date_form(raw)
    }
}

impl Avaya {
    /// The service and the type, and a hash of the filters where there are any: other filters make another stream.
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
                    format!("`{}` is no stream of this job", stream.id),
                )
            })
    }
}

/// To the millisecond, rounded up: an end that were rounded down would leave records out.
fn instant(at: Timestamp) -> String {
    let floor = at.trunc_subsecs(3);
    let at = if floor == at { at } else { floor + BOUND };
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

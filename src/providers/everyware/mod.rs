//! Eurotech Everyware Cloud: the audit log of the user's account by whole days, in one answer of unlimited size.
//!
//! Facts and their sources: `docs/providers/everyware_cloud.md`. Three facts determine this adapter:
//! - the zone of the provider's days is undocumented, so an additional day is requested on each side;
//! - an answer has no pages, so it is parsed while it arrives;
//! - a hidden limit on its records is possible, so round counts are reported.

mod days;
mod entry;
mod settings;
mod split;
mod value;

use chrono::TimeDelta;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::answer::{announces_end, error_text, failed, quoted, refused, too_old};
use super::call::{filters_suffix, get};
use super::json::{ScalarText, shortened};
use super::{Adapter, Answer, Call, Cursor, Page, PageRequest, Refusal, Splitter, Stream};
use crate::model::{FailureKind, Range, Record};
use days::{Days, written};
use entry::read_record;
use split::AuditSplitter;

pub use settings::{Action, EverywareOptions, ResultCode, SPEC};

/// The adapter of an Everyware Cloud job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Everyware {
    /// The job's options.
    pub options: EverywareOptions,
}

impl Adapter for Everyware {
    fn listed_streams(&self) -> Vec<Stream> {
        vec![Stream::new(self.stream_id())]
    }

    /// Returns all instants that the requested days may cover.
    fn asked(&self, range: Range) -> Range {
        let zone = self.options.timezone;
        (Days::touching(range, zone).instants(zone)).map_or(range, |asked| asked.hull(&range))
    }

    fn grain(&self) -> TimeDelta {
        TimeDelta::days(1)
    }

    fn call(&self, ask: &PageRequest, cursor: Option<&Cursor>) -> Result<Call, Refusal> {
        if let Some(Cursor(cursor)) = cursor {
            return Err(Refusal::CursorGone(format!(
                "its answers have no pages, so `{}` isn't a cursor",
                shortened(cursor)
            )));
        }
        Ok(get("/audit".to_owned(), self.query(ask)))
    }

    fn page(&self, ask: &PageRequest, _: Option<&Cursor>, answer: Answer) -> Result<Page, Refusal> {
        match answer.status {
            // a possible form of an empty result on a Java server
            StatusCode::NO_CONTENT => Ok(Page::default()),
            status if status.is_success() => {
                let mut splitter = AuditSplitter::new(self.options.max_rows);
                splitter.whole(&answer.body, announces_end(&answer.headers))
            }
            StatusCode::BAD_REQUEST => {
                let asked: Vec<String> = self
                    .query(ask)
                    .iter()
                    .map(|(name, value)| format!("{name} `{}`", shortened(value)))
                    .collect();
                let text = message_in(&answer);
                let asked = asked.join(", ");
                Err(
                    too_old(answer.status, &text).unwrap_or_else(|| Refusal::BadRange {
                        kind: FailureKind::Config,
                        message: format!(
                            "the provider answered {}: {text}; it was asked for {asked}",
                            answer.status,
                        ),
                    }),
                )
            }
            StatusCode::NOT_FOUND if too_old(answer.status, &message_in(&answer)).is_none() => {
                Err(failed(
                    FailureKind::Config,
                    format!(
                        "the provider answered {}: {}; is `base_url` right, up to and with `/v2`?",
                        answer.status,
                        message_in(&answer)
                    ),
                ))
            }
            status => Err(refused(status, &message_in(&answer))),
        }
    }

    fn splitter(&self, _: &PageRequest) -> Option<Box<dyn Splitter>> {
        Some(Box::new(AuditSplitter::new(self.options.max_rows)))
    }

    fn record<'a>(&self, raw: &'a str) -> Result<Record<'a>, String> {
        read_record(raw)
    }
}

impl Everyware {
    /// Always with dates, as the result without them is undocumented.
    fn query(&self, ask: &PageRequest) -> Vec<(&'static str, String)> {
        let days = Days::touching(ask.range, self.options.timezone);
        let mut query = vec![
            ("startDate", written(days.first)),
            ("stopDate", written(days.last)),
        ];
        query.extend(self.options.filters());
        query
    }

    /// Returns the stream's id: a name, and a hash of the filters, if any, as different filters make a different
    /// stream.
    fn stream_id(&self) -> String {
        let filters = self.options.filters();
        let filters = (!filters.is_empty()).then(|| json!(filters));
        format!("audit{}", filters_suffix(filters.as_ref()))
    }
}

/// `ErrorBean`. Only its `message` is known.
#[derive(Debug, Default, Deserialize)]
struct ErrorBean<'a> {
    #[serde(borrow, default)]
    message: ScalarText<'a>,
    #[serde(borrow, default)]
    code: ScalarText<'a>,
}

/// Returns the message of an error's body: JSON, or the HTML or XML of a proxy or container.
fn message_in(answer: &Answer) -> String {
    let text = error_text(answer);
    let bean: ErrorBean = serde_json::from_str(&text).unwrap_or_default();
    match (bean.message.as_deref(), bean.code.as_deref()) {
        (Some(message), None) => shortened(message).into_owned(),
        (Some(message), Some(code)) => {
            format!("{}, code `{}`", shortened(message), shortened(code))
        }
        (None, _) => ["message", "title"]
            .iter()
            .find_map(|name| element(&text, name))
            .map_or_else(|| quoted(&text), quoted),
    }
}

/// Returns the text of the first element with that name in HTML or XML; `None` if it is empty.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    let content = content.trim();
    (!content.is_empty()).then_some(content)
}

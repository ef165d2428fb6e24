//! LivePerson Conversational Cloud: the audit trail, queried with GraphQL.
//!
//! Facts and their sources: `docs/providers/liveperson.md`. Four facts determine this adapter:
//! - a row has no id, and its time is local to the requested zone, so that zone has no offset changes by default;
//! - filters use days of an undocumented zone, so an additional day is requested on each side;
//! - a server may return fewer rows than requested, so pages are read up to an empty one;
//! - rows of the same second have no defined order, perhaps a different one with each call, so no page ends within
//!   a second;
//! - the form of lists and the supported names of UTC are undocumented, so they are determined once.

mod answer;
mod graphql;
mod hosts;
mod query;
mod record;
mod settings;

use std::borrow::Cow;

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::failed;
use super::call::{filters_suffix, post};
use super::{Adapter, Answer, Call, Cursor, Learned, Page, PageRequest, Refusal, Stream};
use crate::model::{FailureKind, Range, Record, Timestamp};
use answer::{AnswerRows, Reply, read, total_count};
use query::{Lists, Question};
use record::{instant, read_record, rows_of_last_time, stable_content};

pub use query::FIELDS;
pub use settings::{LivePersonOptions, SPEC};

const PATH: &str = "/api/account/{account}/configuration/metadata/audit";
/// The names of UTC that a server may support, in the order in which they are tried.
const UTC_NAMES: [&str; 3] = ["UTC", "Etc/UTC", "GMT"];
/// Zones lie between twelve hours behind UTC and fourteen ahead of it.
const FARTHEST_BEHIND: TimeDelta = TimeDelta::hours(12);
const FARTHEST_AHEAD: TimeDelta = TimeDelta::hours(14);
/// The number of requested pauses in a row after which a range fails.
const PAUSES: u32 = 3;
/// By how much the pages of each further read are smaller, so that their boundaries differ.
const CUT_ELSEWHERE: u64 = 7;

/// The number of the dialect that is known to work, from 0.
const UNDERSTOOD: &str = "understood";
/// The number of rows of a page that wasn't the last, which may be the server's maximum.
const FULLEST: &str = "fullest";

/// The adapter of a job.
#[derive(Debug, Clone, Default)]
pub struct LivePerson {
    /// The job's options.
    pub options: LivePersonOptions,
}

/// A form of the query that the server may or may not support.
#[derive(Debug, Clone, Copy)]
struct Dialect<'a> {
    lists: Lists,
    timezone: &'a str,
}

/// The state of a range between two calls, which the cursor contains.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct OffsetCursor {
    /// The number of rows so far.
    offset: u64,
    /// The number of rows on the previous page.
    #[serde(default)]
    before: u64,
    /// The number of the dialect, from 0.
    dialect: usize,
    /// The number of requested pauses in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pauses: u32,
    /// The provider's messages about unsupported dialects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refusals: Vec<String>,
}

impl OffsetCursor {
    fn cursor(&self) -> Option<Cursor> {
        Cursor::of(self)
    }
}

impl Adapter for LivePerson {
    fn listed_streams(&self) -> Vec<Stream> {
        vec![Stream::new(self.stream_id())]
    }

    /// Returns whole days with their widest bounds: in an unknown zone they begin up to 14 hours before those in UTC,
    /// and end up to 12 hours after.
    fn asked(&self, range: Range) -> Range {
        let (from, to) = self.days(range);
        let to = to.succ_opt().unwrap_or(to);
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN);
        let bounds = if self.options.days_in_timezone {
            instant(midnight(from), self.zone()).zip(instant(midnight(to), self.zone()))
        } else {
            Some((
                midnight(from).and_utc() - FARTHEST_AHEAD,
                midnight(to).and_utc() + FARTHEST_BEHIND,
            ))
        };
        bounds
            .and_then(|(from, to)| Range::new(from, to))
            .unwrap_or(range)
    }

    fn grain(&self) -> TimeDelta {
        TimeDelta::days(1)
    }

    fn has_ids(&self) -> bool {
        false
    }

    /// The provider returns types and elements in this language.
    fn id_basis(&self) -> Option<String> {
        Some(format!("language: {}", self.options.language))
    }

    fn call(&self, ask: &PageRequest, cursor: Option<&Cursor>) -> Result<Call, Refusal> {
        let state = state(ask, cursor)?;
        let dialects = self.dialects();
        let dialect = dialects
            .get(state.dialect)
            .ok_or_else(|| Refusal::CursorGone("it is of other options".to_owned()))?;
        let (from, to) = self.days(ask.range);
        let question = Question {
            from,
            to,
            first: self.page_size(ask),
            offset: state.offset,
            lists: dialect.lists,
            timezone: dialect.timezone,
            language: &self.options.language,
            users: &self.options.users,
            component_types: &self.options.component_types,
        };
        let body = json!({ "query": question.text() }).to_string();
        Ok(Call {
            // a day can't be halved, so the client retries
            gateway_timeout_is_answer: false,
            ..post(PATH, Vec::new(), body)
        })
    }

    fn page(
        &self,
        ask: &PageRequest,
        cursor: Option<&Cursor>,
        answer: Answer,
    ) -> Result<Page, Refusal> {
        let state = state(ask, cursor)?;
        let count = total_count(&answer.headers);
        match read(answer, &|raw| self.record(raw).is_ok())? {
            Reply::Rows(rows) => Ok(self.taken(ask, &state, count, rows)),
            Reply::NotUnderstood(message) => {
                self.in_another_dialect(ask, state, message, cursor.is_some())
            }
            Reply::Later { pause, .. } if state.pauses < PAUSES => Ok(Page {
                next: OffsetCursor {
                    pauses: state.pauses + 1,
                    ..state
                }
                .cursor(),
                wait: Some(pause),
                ..Page::default()
            }),
            Reply::Later { refusal, .. } => Err(refusal),
        }
    }

    fn record<'a>(&self, raw: &'a str) -> Result<Record<'a>, String> {
        read_record(raw, self.zone())
    }

    /// Converts the time to an instant, and omits `actionType`, which only some revisions have.
    fn stable_content<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        stable_content(raw, self.zone()).map_or(Cow::Borrowed(raw), Cow::Owned)
    }
}

impl LivePerson {
    /// Creates the adapter of a job with these options.
    pub fn new(options: LivePersonOptions) -> Self {
        Self { options }
    }

    /// Returns the zone of times; without a configured one, all tried names mean UTC.
    fn zone(&self) -> Tz {
        self.options.timezone.unwrap_or(Tz::UTC)
    }

    /// Returns the stream's id. Different filters make a different stream, but language and zone don't: they change the
    /// text of rows, not the selection.
    fn stream_id(&self) -> String {
        let options = &self.options;
        let has_filters = !(options.users.is_empty() && options.component_types.is_empty());
        let filters = has_filters.then(|| json!([options.users, options.component_types]));
        format!("audit{}", filters_suffix(filters.as_ref()))
    }

    /// Returns all forms of the query in the order in which they are tried.
    fn dialects(&self) -> Vec<Dialect<'_>> {
        let timezones = match &self.options.timezone {
            Some(zone) => vec![zone.name()],
            None => UTC_NAMES.to_vec(),
        };
        let mut lists = vec![Lists::Strings, Lists::Words];
        if !self.options.component_types.is_empty() {
            lists.push(Lists::OrderWords);
        }
        let pairs = timezones.into_iter().flat_map(|timezone| {
            let with = move |&lists: &Lists| Dialect { lists, timezone };
            lists.iter().map(with).collect::<Vec<_>>()
        });
        pairs.collect()
    }

    /// Returns the first and the last day to request.
    fn days(&self, range: Range) -> (NaiveDate, NaiveDate) {
        let last = range.to() - TimeDelta::microseconds(1);
        if self.options.days_in_timezone {
            let day = |at: Timestamp| at.with_timezone(&self.zone()).date_naive();
            return (day(range.from()), day(last));
        }
        let (from, to) = (range.from().date_naive(), last.date_naive());
        (from.pred_opt().unwrap_or(from), to.succ_opt().unwrap_or(to))
    }

    fn page_size(&self, ask: &PageRequest) -> u64 {
        let wanted = u64::from(self.options.page_size);
        if ask.reading == 0 {
            return wanted;
        }
        // smaller than the server's maximum, as otherwise the page boundaries would be the same
        let shown = (ask.learned.get(FULLEST)).map_or(wanted, |fullest| wanted.min(fullest));
        let less = u64::from(ask.reading).saturating_mul(CUT_ELSEWHERE);
        shown.saturating_sub(less).max(1)
    }

    /// Returns a page of the received rows, without those of the last second if the page may end within it. These are
    /// requested again from the first one on.
    fn taken(
        &self,
        ask: &PageRequest,
        state: &OffsetCursor,
        count: Option<u64>,
        rows: AnswerRows,
    ) -> Page {
        let AnswerRows {
            text,
            mut records,
            mut foreign,
        } = rows;
        let rows = records.len() as u64;
        let mut learned = Learned::default();
        learned.set(UNDERSTOOD, state.dialect as u64);
        let mut fullest = ask.learned.get(FULLEST);
        if rows > 0 && state.before > fullest.unwrap_or(0) {
            fullest = Some(state.before);
            learned.set(FULLEST, state.before);
        }
        let may_be_cut =
            rows >= self.page_size(ask) || fullest.is_some_and(|fullest| rows >= fullest);
        let last = rows_of_last_time(&text, &records);
        if may_be_cut && last < records.len() {
            records.truncate(records.len() - last);
            foreign.retain(|number, _| *number < records.len());
        }
        let next = OffsetCursor {
            offset: state.offset.saturating_add(records.len() as u64),
            before: rows,
            dialect: state.dialect,
            pauses: 0,
            refusals: Vec::new(),
        };
        let (total, remark) = compared(count, state.offset, rows);
        Page {
            text,
            records,
            foreign,
            next: if rows == 0 { None } else { next.cursor() },
            total,
            remark,
            learned,
            ..Page::default()
        }
    }

    /// Returns the query in the next dialect, as long as none is known to work and one is left.
    fn in_another_dialect(
        &self,
        ask: &PageRequest,
        mut state: OffsetCursor,
        text: String,
        dialect_is_certain: bool,
    ) -> Result<Page, Refusal> {
        // the `state` of a range's first call is created again, as the call may have been sent before another range
        // determined the dialect
        let known = known(ask);
        let next = match known {
            Some(known) if known == state.dialect && (dialect_is_certain || known == 0) => None,
            Some(known) => Some(known),
            None => Some(state.dialect + 1).filter(|next| *next < self.dialects().len()),
        };
        state.refusals.push(text);
        if let Some(dialect) = next {
            state.dialect = dialect;
            return Ok(Page {
                next: state.cursor(),
                ..Page::default()
            });
        }
        let mut text = state.refusals;
        text.dedup();
        let message = text.join("; ");
        // a query in a form that was supported before is refused because of its content
        Err(match known {
            Some(_) => Refusal::BadRange {
                kind: FailureKind::Config,
                message,
            },
            None => failed(FailureKind::Config, message),
        })
    }
}

/// Returns the number of the dialect that is known to work, from 0.
fn known(ask: &PageRequest) -> Option<usize> {
    usize::try_from(ask.learned.get(UNDERSTOOD)?).ok()
}

fn state(ask: &PageRequest, cursor: Option<&Cursor>) -> Result<OffsetCursor, Refusal> {
    let Some(cursor) = cursor else {
        return Ok(OffsetCursor {
            dialect: known(ask).unwrap_or(0),
            ..OffsetCursor::default()
        });
    };
    cursor.state()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Returns the total of all pages, if the header contains it, and a remark about an implausible count.
///
/// Whether the header counts the rows of the page or of all pages is undocumented, so it proves nothing, but it has to
/// be one of the two. `before` rows were on earlier pages, `rows` on this one.
fn compared(count: Option<u64>, before: u64, rows: u64) -> (Option<u64>, Option<String>) {
    let Some(count) = count else {
        return (None, None);
    };
    let so_far = before.saturating_add(rows);
    let ended = rows == 0;
    let of_all = if ended {
        count == so_far
    } else {
        count >= so_far
    };
    // the first page's own count is unrelated to the others
    let certain = of_all && (ended || count > rows);
    let odd = !of_all && count != rows;
    let remark = odd.then(|| {
        format!(
            "`X-Total-Count` is {count} on a page of {rows} rows after {before}; it counts neither the page nor all pages"
        )
    });
    (certain.then_some(count), remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_of_the_page_or_of_all_pages_or_odd() {
        for (count, before, rows, total, odd) in [
            (None, 0, 5, None, false),
            (Some(5), 0, 5, None, false),
            (Some(12), 0, 5, Some(12), false),
            (Some(12), 5, 5, Some(12), false),
            (Some(5), 5, 5, None, false),
            (Some(0), 10, 0, None, false),
            (Some(10), 10, 0, Some(10), false),
            (Some(0), 0, 0, Some(0), false),
            (Some(3), 0, 5, None, true),
            (Some(9), 5, 5, None, true),
            (Some(11), 10, 0, None, true),
        ] {
            let (found, remark) = compared(count, before, rows);
            assert_eq!(
                (found, remark.is_some()),
                (total, odd),
                "{count:?} {before} {rows}"
            );
        }
    }
}

//! LivePerson Conversational Cloud: the audit trail, asked for in GraphQL.
//!
//! Facts and their sources: `docs/providers/liveperson.md`. Four things shape this file:
//! - a row has no id, and its time is local to a zone that is asked for, so that zone is one without folds by default;
//! - filters go by days of a zone that nobody names, so a day more is asked for on each side;
//! - a server may show fewer rows than asked for, so pages go on until an empty one;
//! - rows of one second come in no order, perhaps in another with each call, so no page ends within a second;
//! - how lists are written, and which names of UTC are known, is not documented, so it is found out once.

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
use record::{instant, lasting, read_record, rows_of_last_time};

pub use query::FIELDS;
pub use settings::{LivePersonOptions, SPEC};

const PATH: &str = "/api/account/{account}/configuration/metadata/audit";
/// The names under which a server may know the zone without folds, in the order in which they are tried.
const UTC_NAMES: [&str; 3] = ["UTC", "Etc/UTC", "GMT"];
/// Zones lie between twelve hours behind UTC and fourteen ahead of it.
const FARTHEST_BEHIND: TimeDelta = TimeDelta::hours(12);
const FARTHEST_AHEAD: TimeDelta = TimeDelta::hours(14);
/// How many pauses in a row the provider may ask for before its range fails.
const PAUSES: u32 = 3;
/// How much smaller the pages of each further reading are, so that they are cut elsewhere.
const CUT_ELSEWHERE: u64 = 7;

/// The number of the dialect that is known to work, counted from 0.
const UNDERSTOOD: &str = "understood";
/// The most rows of a page that wasn't the last: the server may show no more, whatever is asked for.
const FULLEST: &str = "fullest";

/// The adapter of one job.
#[derive(Debug, Clone, Default)]
pub struct LivePerson {
    /// What the job pulls, and how.
    pub options: LivePersonOptions,
}

/// A way of asking that the server may understand or not.
#[derive(Debug, Clone, Copy)]
struct Dialect<'a> {
    lists: Lists,
    timezone: &'a str,
}

/// Where a range stands between two calls: what the cursor holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct OffsetCursor {
    /// How many rows have been taken.
    offset: u64,
    /// How many rows the page before had.
    #[serde(default)]
    before: u64,
    /// The number of the dialect, counted from 0.
    dialect: usize,
    /// How often in a row the provider has asked for a pause.
    #[serde(default, skip_serializing_if = "is_zero")]
    pauses: u32,
    /// What the provider said to the dialects that it didn't understand.
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

    /// Whole days, as far as they may reach: in a zone that isn't known they begin up to 14 hours before they do in
    /// UTC, and end up to 12 hours after.
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

    /// The provider writes types and elements in that language.
    fn wording(&self) -> Option<String> {
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
            // a day can't be halved: the client tries again
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
            Reply::NotUnderstood(said) => {
                self.in_another_dialect(ask, state, said, cursor.is_some())
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

    /// With the time as an instant, and without `actionType`, which only some revisions show.
    fn lasting<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        lasting(raw, self.zone()).map_or(Cow::Borrowed(raw), Cow::Owned)
    }
}

impl LivePerson {
    /// The adapter of a job with these options.
    pub fn new(options: LivePersonOptions) -> Self {
        Self { options }
    }

    /// The zone that times are local to; each that is tried without being named is UTC.
    fn zone(&self) -> Tz {
        self.options.timezone.unwrap_or(Tz::UTC)
    }

    /// Other filters make another stream. Language and zone don't: they change how a row reads, not which rows there
    /// are.
    fn stream_id(&self) -> String {
        let options = &self.options;
        let has_filters = !(options.users.is_empty() && options.component_types.is_empty());
        let filters = has_filters.then(|| json!([options.users, options.component_types]));
        format!("audit{}", filters_suffix(filters.as_ref()))
    }

    /// Every way of asking, in the order in which they are tried.
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

    /// The first and the last day to ask for.
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
        // less than what the server shows at most, or the pages would be cut where they were
        let shown = (ask.learned.get(FULLEST)).map_or(wanted, |fullest| wanted.min(fullest));
        let less = u64::from(ask.reading).saturating_mul(CUT_ELSEWHERE);
        shown.saturating_sub(less).max(1)
    }

    /// A page of what has come, but for the rows of the last second where it may be cut within that: they are asked for
    /// again, from their first one on.
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

    /// Asks again, as long as no dialect is known to work and there is one left to try.
    fn in_another_dialect(
        &self,
        ask: &PageRequest,
        mut state: OffsetCursor,
        said: String,
        dialect_is_certain: bool,
    ) -> Result<Page, Refusal> {
        // `state` of a range's first call is made anew: the call may have gone out before another range's call found
        // the dialect
        let known = known(ask);
        let next = match known {
            Some(known) if known == state.dialect && (dialect_is_certain || known == 0) => None,
            Some(known) => Some(known),
            None => Some(state.dialect + 1).filter(|next| *next < self.dialects().len()),
        };
        state.refusals.push(said);
        if let Some(dialect) = next {
            state.dialect = dialect;
            return Ok(Page {
                next: state.cursor(),
                ..Page::default()
            });
        }
        let mut said = state.refusals;
        said.dedup();
        let message = said.join("; ");
        // what is written as it was before, and understood then, is refused for what it asks
        Err(match known {
            Some(_) => Refusal::BadRange {
                kind: FailureKind::Config,
                message,
            },
            None => failed(FailureKind::Config, message),
        })
    }
}

/// The dialect that is known to work, counted from 0.
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

/// The total of all pages, as far as the header's count is one, and what is odd about the count.
///
/// Whether the header counts the page's rows or all pages' is not documented, so it proves nothing; but it must be one
/// of the two. `before` rows came on earlier pages, `rows` on this one.
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
    // the first page's own count says nothing about the others
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

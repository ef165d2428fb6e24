//! The coverage calendar: the state of each day of a job, and its display.
//!
//! A day is complete, or a part of it is in a gap, isn't pulled yet, or is in the future. Colour shows the number of
//! rows; every other state also has a sign and a text.

use std::fmt::Write as _;

use chrono::{Datelike, Days, NaiveDate, TimeDelta};
use maud::{Markup, html};

use super::ledger::JobHistory;
use super::view::Look;
use super::words;
use crate::lake::Commit;
use crate::model::{Range, RangeSet, Timestamp};
use crate::run::plan;
use crate::text;

/// The number of days up to which cells are drawn larger.
const WIDE: usize = 42;
/// The number of streams listed in a cell.
const NAMED: usize = 3;

/// The state of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DayState {
    /// Before the job's start, and not pulled.
    Before,
    /// Not yet begun.
    Ahead,
    /// Nothing of it is due yet.
    ToCome,
    /// Pulled, as far as it has passed.
    Covered,
    /// A part was never pulled and can't be: the provider refused it as too old.
    Lost,
    /// A part isn't pulled, but should be.
    Behind,
    /// A part was passed over: later ranges were pulled.
    Gap,
}

/// A day of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CalendarDay {
    pub(super) date: NaiveDate,
    pub(super) state: DayState,
    /// The new rows of that day; `None` if the history doesn't reach back to its pull.
    pub(super) rows: Option<u64>,
    /// The duration that isn't pulled, up to the horizon; for a lost day, the duration that can't be.
    missing: TimeDelta,
    /// The number of affected streams.
    lacking: usize,
    /// The first few affected streams.
    named: Vec<String>,
    /// When the last settle pass over it is due, if any.
    settled_at: Option<Timestamp>,
}

impl CalendarDay {
    /// Returns the description of the day, for the cell's title.
    pub(super) fn words(&self) -> String {
        let mut words = format!("{}: ", self.date);
        let message = match self.state {
            DayState::Before => "before the job's start",
            DayState::Ahead => "still to come",
            DayState::ToCome if self.lacking > 0 => "not all pulled yet",
            DayState::ToCome => "not pulled yet",
            DayState::Covered if self.rows.is_none() => {
                "pulled; the number of rows is unknown, as the run history begins later"
            }
            DayState::Covered if self.rows == Some(0) => "pulled, no rows",
            DayState::Covered => "",
            DayState::Lost => "LOST, refused by the provider as too old",
            DayState::Behind => "BEHIND, not pulled in time",
            DayState::Gap => "GAP, passed over",
        };
        words += message;
        if let Some(rows) = self.rows.filter(|rows| *rows > 0) {
            if !message.is_empty() {
                words += "; ";
            }
            words += &text::counted(rows, "row");
        }
        if self.lacking > 0 {
            let _ = write!(
                words,
                "; {} {} of {}{}",
                text::length(self.missing),
                if self.state == DayState::Lost {
                    "lost"
                } else {
                    "missing"
                },
                self.named.join(", "),
                match self.lacking.saturating_sub(self.named.len()) {
                    0 => String::new(),
                    others => format!(" and {}", text::counted(others as u64, "other stream")),
                }
            );
        }
        if let Some(at) = self.settled_at {
            let _ = write!(
                words,
                "; unsettled: re-read for late rows until {}",
                words::minute(at)
            );
        }
        words
    }

    /// Returns the sign of its state; empty if colour and number are enough.
    pub(super) fn sign(&self) -> &'static str {
        match self.state {
            DayState::Gap => "!",
            DayState::Lost => "×",
            DayState::Behind => "–",
            DayState::Covered if self.rows.is_none() => "?",
            DayState::Covered if self.rows == Some(0) => "·",
            DayState::Before | DayState::Ahead | DayState::ToCome | DayState::Covered => "",
        }
    }

    /// Returns its CSS classes: the state, the number of rows relative to `most`, and whether it is unsettled.
    fn class(&self, most: u64) -> &'static str {
        let unsettled = self.settled_at.is_some();
        match (self.state, self.rows) {
            (DayState::Before, _) => "b",
            (DayState::Ahead, _) => "a",
            (DayState::ToCome, _) => "t",
            (DayState::Gap, _) => "h",
            (DayState::Lost, _) => "l",
            (DayState::Behind, _) => "e",
            (DayState::Covered, None) if unsettled => "q u",
            (DayState::Covered, None) => "q",
            (DayState::Covered, Some(rows)) => match (level(rows, most), unsettled) {
                (0, true) => "z u",
                (0, false) => "z",
                (1, true) => "r1 u",
                (1, false) => "r1",
                (2, true) => "r2 u",
                (2, false) => "r2",
                (3, true) => "r3 u",
                (3, false) => "r3",
                (_, true) => "r4 u",
                (_, false) => "r4",
            },
        }
    }
}

/// Returns a level from 0, no rows, to 4, `most` or more.
fn level(rows: u64, most: u64) -> u64 {
    (0..4)
        .find(|level| u128::from(rows) * 4 <= u128::from(most) * u128::from(*level))
        .unwrap_or(4)
}

/// Returns the days of `weeks` whole weeks, Monday to Sunday, ending with the week of `now`.
pub(super) fn span(now: Timestamp, weeks: u32) -> (NaiveDate, NaiveDate) {
    let today = now.date_naive();
    let monday = today - Days::new(today.weekday().num_days_from_monday().into());
    let first = monday - Days::new(7 * u64::from(weeks.saturating_sub(1)));
    (first, monday + Days::new(6))
}

fn midnight(date: NaiveDate) -> Timestamp {
    date.and_time(chrono::NaiveTime::MIN).and_utc()
}

fn whole(date: NaiveDate) -> Option<Range> {
    Range::new(midnight(date), midnight(date + Days::new(1)))
}

/// The state of a job's ranges, all streams together.
#[derive(Default)]
struct Coverage {
    /// The ranges that any stream has.
    any: RangeSet,
    /// The ranges that any stream lacks, from the start to the horizon.
    missing: RangeSet,
    /// The same ranges by stream.
    by_stream: Vec<(String, RangeSet)>,
    /// The missing ranges before a range that the stream has.
    inner: RangeSet,
    /// The ranges that were passed over.
    gaps: RangeSet,
    /// The ranges that the provider refused as too old, from the start on.
    lost: RangeSet,
    /// The same ranges by stream.
    lost_by_stream: Vec<(String, RangeSet)>,
    /// The ranges that any stream has yet to re-read, by settle delay in seconds.
    unsettled: Vec<(u64, RangeSet)>,
}

impl Coverage {
    fn of(look: &Look<'_>, now: Timestamp) -> Self {
        let mut all = Self::default();
        let Some(status) = look.last() else {
            return all;
        };
        let horizon = Range::new(look.policy.start, look.policy.horizon(now));
        let mut unsettled = std::collections::BTreeMap::<u64, RangeSet>::new();
        for (stream, progress) in status.newest.iter().flat_map(Commit::current) {
            progress
                .coverage
                .iter()
                .for_each(|range| all.any.insert(range));
            let missing = horizon
                .map(|horizon| progress.passed().missing(horizon))
                .unwrap_or_default();
            let last = progress.coverage.iter().next_back();
            for range in missing.iter() {
                all.missing.insert(range);
                if last.is_some_and(|last| range.from() < last.from()) {
                    all.inner.insert(range);
                }
            }
            if !missing.is_empty() {
                all.by_stream.push((stream.clone(), missing));
            }
            for (delay, ranges) in &progress.unsettled {
                let of_delay = unsettled.entry(*delay).or_default();
                ranges.iter().for_each(|range| of_delay.insert(range));
            }
        }
        let lost = (status.newest.iter()).flat_map(|newest| plan::lost(newest, look.policy));
        for (stream, range, _) in lost {
            all.lost.insert(range);
            match all.lost_by_stream.last_mut() {
                Some((newest, ranges)) if newest == stream => ranges.insert(range),
                _ => (all.lost_by_stream).push((stream.clone(), [range].into_iter().collect())),
            }
        }
        if all.by_stream.is_empty() && all.any.is_empty() && all.lost.is_empty() {
            horizon
                .into_iter()
                .for_each(|range| all.missing.insert(range)); // nothing was ever pulled
        }
        status
            .gaps
            .iter()
            .for_each(|(_, gap)| all.gaps.insert(*gap));
        all.unsettled = unsettled.into_iter().collect();
        all
    }

    fn settled_at(&self, day: Range) -> Option<Timestamp> {
        self.unsettled
            .iter()
            .filter_map(|(delay, ranges)| {
                let last = ranges.within(day).iter().next_back()?;
                let delay = TimeDelta::try_seconds(i64::try_from(*delay).ok()?)?;
                last.to().checked_add_signed(delay)
            })
            .max()
    }
}

/// Returns the days `first..=last` of a job.
pub(super) fn days(
    look: &Look<'_>,
    account: Option<&JobHistory<'_>>,
    (first, last): (NaiveDate, NaiveDate),
    now: Timestamp,
) -> Vec<CalendarDay> {
    let coverage = Coverage::of(look, now);
    let (is_stale, is_tail_late) = (look.is_stale(now), look.is_tail_late);
    let dates = first.iter_days().take_while(|date| *date <= last);
    dates
        .filter_map(|date| {
            let day = whole(date)?;
            let covered = coverage.any.within(day);
            let refused = coverage.lost.within(day);
            let missing = coverage.missing.within(day);
            let state = if !coverage.gaps.within(day).is_empty() {
                DayState::Gap
            } else if day.from() > now {
                DayState::Ahead
            } else if look.last().is_none() || (day.to() <= look.policy.start && covered.is_empty())
            {
                DayState::Before
            } else if !coverage.inner.within(day).is_empty() {
                // a run that catches up pulls windows in any order
                if is_stale {
                    DayState::Behind
                } else {
                    DayState::ToCome
                }
            } else if !missing.is_empty() && is_tail_late {
                DayState::Behind
            } else if !refused.is_empty() {
                DayState::Lost
            } else if covered.is_empty() {
                DayState::ToCome
            } else {
                DayState::Covered
            };
            let rows = account.and_then(|account| account.days.get(&date)).copied();
            let is_known = || account.is_some_and(|account| !account.known.within(day).is_empty());
            let is_partial = !covered.is_empty() && state == DayState::ToCome;
            let is_told =
                is_partial || matches!(state, DayState::Gap | DayState::Behind | DayState::Lost);
            let (missing, by_stream) = if state == DayState::Lost {
                (refused, &coverage.lost_by_stream)
            } else {
                (missing, &coverage.by_stream)
            };
            let lacking: Vec<&String> = (by_stream.iter())
                .filter(|(_, missing)| is_told && !missing.within(day).is_empty())
                .map(|(stream, _)| stream)
                .collect();
            Some(CalendarDay {
                date,
                state,
                rows: rows.or_else(|| is_known().then_some(0)),
                missing: missing.iter().map(|range| range.length()).sum(),
                lacking: lacking.len(),
                named: lacking.into_iter().take(NAMED).cloned().collect(),
                settled_at: coverage.settled_at(day),
            })
        })
        .collect()
}

/// Returns these days without the weeks before the first one with a state, but at least the last `least` weeks.
pub(super) fn since_start(days: &[CalendarDay], least: usize) -> &[CalendarDay] {
    let first_known = days.iter().position(|day| day.state != DayState::Before);
    let first = first_known.map_or(days.len(), |day| day / 7 * 7);
    &days[first.min(days.len().saturating_sub(7 * least))..]
}

/// Returns the number of rows of a busy day: one in ten of the days with rows has more. So a single large day doesn't
/// make all others pale.
fn busy(days: &[CalendarDay]) -> u64 {
    let mut rows: Vec<u64> = days
        .iter()
        .filter_map(|day| day.rows)
        .filter(|rows| *rows > 0)
        .collect();
    rows.sort_unstable();
    rows.get((rows.len() * 9 / 10).min(rows.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0)
}

/// Renders jobs as rows, each with its name's markup, and days as columns. Every row has the same days.
pub(super) fn of_jobs(rows: &[(Markup, Vec<CalendarDay>)]) -> Markup {
    let Some((_, days)) = rows.first() else {
        return html! {};
    };
    let mondays = days.iter().step_by(7);
    html! {
        div.scroll.latest tabindex="0" role="region" aria-label="Coverage calendar" {
            table.calendar.wide[days.len() <= WIDE] {
                thead { tr {
                    th scope="col" { "Job" }
                    @for day in mondays {
                        th scope="colgroup" colspan="7" { (day.date.format("%-d %b")) }
                    }
                } }
                tbody {
                    @for (name, days) in rows {
                        @let most = busy(days);
                        tr {
                            th scope="row" { (name) }
                            @for day in days {
                                td class=(day.class(most)) title=(day.words()) { (day.sign()) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Renders a job with weeks as rows, newest first, and weekdays as columns, with all numbers.
pub(super) fn of_job(days: &[CalendarDay]) -> Markup {
    let most = busy(days);
    html! {
        div.scroll tabindex="0" role="region" aria-label="Days of the job" {
            table.days {
                thead { tr {
                    th scope="col" { "Week of" }
                    @for name in ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] { th scope="col" { (name) } }
                } }
                tbody {
                    @for week in days.chunks(7).rev() {
                        tr {
                            th scope="row" { @if let Some(monday) = week.first() { (monday.date.format("%-d %b %Y")) } }
                            @for day in week {
                                td class=(day.class(most)) title=(day.words()) {
                                    span.date { (day.date.day()) }
                                    (in_cell(day))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns a day's numbers as a short text.
fn in_cell(day: &CalendarDay) -> Markup {
    html! {
        @match (day.state, day.rows) {
            (DayState::Before | DayState::Ahead | DayState::ToCome, _) => {}
            (DayState::Gap, _) => { strong { "! " (text::length(day.missing)) } span.hidden { " missing: a gap" } }
            (DayState::Lost, _) => { strong { "× " (text::length(day.missing)) } span.hidden { " lost: refused as too old" } }
            (DayState::Behind, _) => { strong { "– " (text::length(day.missing)) } span.hidden { " missing: behind" } }
            (DayState::Covered, None) => { "?" }
            (DayState::Covered, Some(0)) => { "·" span.hidden { "no rows" } }
            (DayState::Covered, Some(rows)) => { (text::count(rows)) }
        }
        @if day.settled_at.is_some() { span.hidden { " unsettled" } }
    }
}

/// Renders the legend of colours and signs.
pub(super) fn legend() -> Markup {
    let sign = |class: &str, sign: &str, words: &str| {
        html! { li { span class={ "cell " (class) } aria-hidden="true" { (sign) } " " (words) } }
    };
    html! {
        ul.legend aria-label="Legend of the calendar" {
            li.scale aria-hidden="true" {
                "fewer" "\u{a0}"
                @for class in ["r1", "r2", "r3", "r4"] { span class={ "cell " (class) } {} }
                "\u{a0}" "more rows, each job on its own scale"
            }
            (sign("z", "·", "pulled, no rows"))
            (sign("r2 u", "", "unsettled: still re-read for late rows"))
            (sign("h", "!", "gap: passed over"))
            (sign("e", "–", "behind: not pulled in time"))
            (sign("l", "×", "lost: refused by the provider as too old"))
            (sign("t", "", "not pulled yet"))
            (sign("q", "?", "pulled, rows unknown"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_day_doesnt_pale_all_others() {
        let day = |rows| CalendarDay {
            date: NaiveDate::MIN,
            state: DayState::Covered,
            rows: Some(rows),
            missing: TimeDelta::zero(),
            lacking: 0,
            named: Vec::new(),
            settled_at: None,
        };
        let mut days: Vec<CalendarDay> = (1..=20).map(|tens| day(10 * tens)).collect();
        days.push(day(1_000_000));
        let most = busy(&days);
        assert_eq!(most, 190);
        let levels = [0, 1, 48, 95, 142, 143, u64::MAX].map(|rows| level(rows, most));
        assert_eq!(levels, [0, 1, 2, 2, 3, 4, 4]);
        assert_eq!(level(0, busy(&[])), 0);
        assert_eq!(busy(&[day(0), day(7)]), 7);
    }
}

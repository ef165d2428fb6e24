//! Plots: SVG for shapes and HTML for text, so that both scale.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use maud::{Markup, html};

use super::arrivals::{self, Arrivals};
use crate::history::DELAYS;
use crate::model::Timestamp;
use crate::text;

/// The height of a plot of days in its own units.
const HEIGHT: u64 = 100;

/// Renders rows by day as bars over the days of `span`, with `gaps` marked over the whole height.
pub(super) fn days(
    days: &BTreeMap<NaiveDate, u64>,
    gaps: &[NaiveDate],
    (first, last): (NaiveDate, NaiveDate),
    now: Timestamp,
) -> Markup {
    let last = last.min(now.date_naive());
    let gaps: BTreeSet<&NaiveDate> = gaps.iter().collect();
    let dates: Vec<NaiveDate> = first.iter_days().take_while(|date| *date <= last).collect();
    let rows = |date: &NaiveDate| days.get(date).copied().unwrap_or(0);
    let most = dates.iter().map(rows).max().unwrap_or(0);
    let total: u64 = dates.iter().map(rows).sum();
    let top = round_up(most);
    let width = dates.len() * 10;
    let message = format!(
        "{} from {first} to {last}, {} at most in a day",
        text::counted(total, "row"),
        text::count(most)
    );
    html! {
        figure.days-plot {
            p.axis.most aria-hidden="true" { (text::count(top)) }
            svg viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(message) {
                line.grid x1="0" x2=(width) y1="0.5" y2="0.5" {}
                line.grid x1="0" x2=(width) y1="50" y2="50" {}
                @for (at, date) in dates.iter().enumerate() {
                    @let rows = rows(date);
                    @let height = scaled(rows, top);
                    g {
                        title { (date) ": " (text::counted(rows, "row")) @if gaps.contains(date) { ", with a gap" } }
                        @if gaps.contains(date) { rect.gap x=(at * 10) y="0" width="10" height=(HEIGHT) {} }
                        @else { rect.back x=(at * 10) y="0" width="10" height=(HEIGHT) {} }
                        rect.bar x=(at * 10 + 1) y=(HEIGHT - height) width="8" height=(height) {}
                    }
                }
                line.base x1="0" x2=(width) y1=(HEIGHT) y2=(HEIGHT) {}
            }
            p.axis aria-hidden="true" {
                span { (first.format("%-d %b")) }
                @if let Some(middle) = dates.get(dates.len() / 2).filter(|_| dates.len() > 20) { span { (middle.format("%-d %b")) } }
                span { (last.format("%-d %b")) }
            }
            figcaption { (text::counted(total, "row")) " in " (text::counted(dates.len() as u64, "day")) ", "
                (text::count(most)) " at most in one." }
        }
    }
}

/// Returns the height of a bar of `rows`, where `top` is the whole height; nonzero values are visible.
fn scaled(rows: u64, top: u64) -> u64 {
    if rows == 0 || top == 0 {
        return 0;
    }
    let height = u128::from(rows) * u128::from(HEIGHT) / u128::from(top);
    u64::try_from(height).unwrap_or(HEIGHT).clamp(2, HEIGHT)
}

/// Returns the next of 1, 2, 5, 10, 20, 50, …
fn round_up(number: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for step in [1, 2, 5] {
            let round = power.saturating_mul(step);
            if round >= number || round == u64::MAX {
                return round;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// Renders late rows by delay; `passes` are the delays of settle passes in seconds.
pub(super) fn delays(arrivals: &Arrivals, passes: &[u64]) -> Markup {
    let late = arrivals.late();
    let most = arrivals.delays.values().copied().max().unwrap_or(0);
    let in_time = arrivals.rows.saturating_sub(late);
    let mut from = 0;
    let steps: Vec<(u64, u64)> = DELAYS
        .into_iter()
        .chain([u64::MAX])
        .map(|to| (std::mem::replace(&mut from, to), to))
        .collect();
    html! {
        p.lead {
            @if arrivals.rows == 0 { "No row has landed in this time." }
            @else {
                strong { (arrivals::share(in_time, arrivals.rows)) } " of " (text::counted(arrivals.rows, "row"))
                " were there in the first pull; " strong { (text::count(late)) } " came late"
                @if late > 0 { " (" (arrivals::share(late, arrivals.rows)) ")" } "."
            }
        }
        table.delays {
            thead { tr { th scope="col" { "Late by" } th scope="col" { span.hidden { "As a bar" } } th.n scope="col" { "Rows" } } }
            tbody {
                @for (from, to) in steps {
                    @let rows = arrivals.delays.get(&to).copied().unwrap_or(0);
                    tr {
                        th scope="row" { (step(from, to)) }
                        td.bar {
                            svg viewBox={ "0 0 100 10" } preserveAspectRatio="none" aria-hidden="true" {
                                rect.back x="0" y="0" width="100" height="10" {}
                                rect.bar x="0" y="0" width=(bar(rows, most)) height="10" {}
                            }
                            @for pass in passes.iter().filter(|pass| from <= **pass && **pass < to) {
                                span.pass { "pass after " (arrivals::words(*pass)) }
                            }
                        }
                        td.n { (text::count(rows)) }
                    }
                }
            }
        }
    }
}

fn bar(rows: u64, most: u64) -> u64 {
    if rows == 0 || most == 0 {
        return 0;
    }
    u64::try_from(u128::from(rows) * 100 / u128::from(most))
        .unwrap_or(100)
        .max(1)
}

/// `1h to 6h`
fn step(from: u64, to: u64) -> String {
    match (from, to) {
        (0, to) => format!("up to {}", arrivals::words(to)),
        (from, u64::MAX) => format!("over {}", arrivals::words(from)),
        (from, to) => format!("{} to {}", arrivals::words(from), arrivals::words(to)),
    }
}

/// Returns the days of `span` with ranges that weren't pulled.
pub(super) fn marked(days: &[super::calendar::CalendarDay]) -> Vec<NaiveDate> {
    days.iter()
        .filter(|day| day.state == super::calendar::DayState::Gap)
        .map(|day| day.date)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_at_a_round_number_that_holds_all() {
        assert_eq!(
            [0, 1, 3, 10, 11, 4_999, 5_001, u64::MAX].map(round_up),
            [1, 1, 5, 10, 20, 5_000, 10_000, u64::MAX]
        );
    }

    #[test]
    fn what_isnt_nothing_is_seen_and_nothing_leaves_the_plot() {
        assert_eq!(scaled(0, 10), 0);
        assert_eq!(scaled(1, 1_000_000), 2);
        assert_eq!(scaled(u64::MAX, u64::MAX), HEIGHT);
        assert_eq!([bar(0, 5), bar(1, 1_000), bar(5, 5)], [0, 1, 100]);
    }

    #[test]
    fn a_pass_stands_beside_the_delays_that_it_finds() {
        let text = delays(&Arrivals::default(), &[3_600, 604_800]).into_string();
        let after = |what: &str| text.split_once(what).map(|(_, rest)| rest.to_owned());
        let row = after("1h to 6h").unwrap_or_default();
        assert!(
            row[..row.find("</tr>").unwrap_or(0)].contains("pass after 1h"),
            "{text}"
        );
        let row = after("over 7d").unwrap_or_default();
        assert!(
            row[..row.find("</tr>").unwrap_or(0)].contains("pass after 7d"),
            "{text}"
        );
    }
}

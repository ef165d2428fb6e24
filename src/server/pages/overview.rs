//! `/`: the overview of all jobs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::NaiveDate;
use maud::{Markup, html};

use super::arrivals::Arrivals;
use super::view::{Look, StateLabel, View};
use super::{calendar, frame, job, links, plot, words};
use crate::status::FindingKind;
use crate::text;

/// The number of jobs on a page.
const A_PAGE: usize = 200;
/// The number of weeks in the calendar, and the number of jobs up to which it applies; with more jobs, there are fewer
/// weeks, so that the page stays small.
const WEEKS: (u32, usize, u32) = (12, 50, 4);
/// The minimum number of weeks, also for jobs that began later.
const LEAST_WEEKS: usize = 4;
/// The number of findings at the top.
const FINDINGS: usize = 20;

/// The query of the page.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OverviewQuery {
    /// The page number from 1.
    pub(super) page: Option<usize>,
    pub(super) weeks: Option<u32>,
    /// Whether to show only jobs that need attention.
    pub(super) attention: bool,
}

impl OverviewQuery {
    fn link(self, page: usize) -> String {
        let mut link = format!("/?page={page}");
        if let Some(weeks) = self.weeks {
            let _ = write!(link, "&weeks={weeks}");
        }
        if self.attention {
            link += "&only=attention";
        }
        link
    }
}

pub(super) fn page(view: &View<'_>, choice: OverviewQuery) -> Markup {
    let now = view.now;
    let judged: Vec<(&Look<'_>, StateLabel)> = (view.jobs.iter())
        .map(|look| (look, look.verdict(now)))
        .collect();
    let looked_at = judged
        .iter()
        .filter(|(_, verdict)| verdict.needs_a_look())
        .count();
    let chosen: Vec<&(&Look<'_>, StateLabel)> = (judged.iter())
        .filter(|(_, verdict)| !choice.attention || verdict.needs_a_look())
        .collect();
    let pages = chosen.len().div_ceil(A_PAGE).max(1);
    let number = choice.page.unwrap_or(1).clamp(1, pages);
    let shown = chosen.chunks(A_PAGE).nth(number - 1).unwrap_or_default();
    let (weeks, many, fewer) = WEEKS;
    let weeks = choice
        .weeks
        .unwrap_or(if shown.len() > many { fewer } else { weeks });
    let span = calendar::span(now, weeks);
    let mut rows: Vec<_> = (shown.iter())
        .map(|(look, verdict)| {
            let days = calendar::days(look, view.ledger.job(look.log), span, now);
            let (sign, word) = verdict.words();
            let name = html! {
                a href=(links::job(look.name())) { (look.name()) }
                @if verdict.needs_a_look() { span class={ "mark " (verdict.class()) } title=(word) aria-hidden="true" { (sign) } }
            };
            (name, days)
        })
        .collect();

    // weeks before the start of all jobs are omitted, unless requested
    let shown_days = rows.iter().map(|(_, days)| match choice.weeks {
        Some(_) => days.len(),
        None => calendar::since_start(days, LEAST_WEEKS).len(),
    });
    let shown_days = shown_days.max().unwrap_or(0);
    for (_, days) in &mut rows {
        days.drain(..days.len() - shown_days);
    }
    let first = rows.first().and_then(|(_, days)| days.first());
    let span = first.map_or(span, |first| (first.date, span.1));

    let content = html! {
        h1.hidden { "All jobs" }
        (frame::unreadable(view, &view.jobs))
        (summary(view, judged.len(), looked_at, choice))
        (findings(view))
        section aria-labelledby="jobs" {
            h2 #jobs { "Jobs" }
            (table(view, shown))
            @if pages > 1 {
                nav.pages aria-label="Pages" {
                    @for page in 1..=pages {
                        @if page == number { span aria-current="page" { (page) } }
                        @else { a href=(choice.link(page)) { (page) } }
                    }
                }
            }
        }
        section aria-labelledby="coverage" {
            h2 #coverage { "Coverage" small { (text::counted(shown_days as u64 / 7, "week")) ", a cell a day" } }
            (calendar::of_jobs(&rows))
            (calendar::legend())
        }
        (figures(view, span))
    };
    frame::page("All jobs", view, &html! {}, &content)
}

/// Renders one sentence about whether the feed is complete.
fn summary(view: &View<'_>, jobs: usize, looked_at: usize, choice: OverviewQuery) -> Markup {
    let running = (view.jobs.iter())
        .filter(|look| {
            look.last()
                .is_some_and(|status| status.holder(view.now).is_some())
        })
        .count();
    html! {
        section.summary {
            @if jobs == 0 {
                p.verdict.quiet { "No job is configured." }
            } @else if looked_at == 0 {
                p.verdict.good { span.sign aria-hidden="true" { "✓" } " Nothing needs attention" }
            } @else {
                p.verdict.bad { span.sign aria-hidden="true" { "!" } " " (words::verb(looked_at, "job", "need")) " a look" }
            }
            p {
                (text::counted(jobs as u64, "job")) ", " (running) " running. "
                @if choice.attention { a href="/" { "Show all jobs" } }
                @else if looked_at > 0 && jobs > looked_at { a href="/?only=attention" { "Show only what needs attention" } }
            }
        }
    }
}

fn findings(view: &View<'_>) -> Markup {
    let all: Vec<_> = (view.jobs.iter())
        .flat_map(|look| look.status.findings(view.now))
        .filter(|finding| finding.kind != FindingKind::Unreadable) // shown once, above
        .collect();
    html! {
        @if !all.is_empty() {
            section aria-labelledby="findings" {
                h2 #findings { "Needs attention" }
                ul.findings {
                    @for finding in all.iter().take(FINDINGS) {
                        li { a href=(links::job(&finding.job)) { (finding.job) } " " (job::finding(finding)) }
                    }
                }
                @if all.len() > FINDINGS {
                    p { "and " (all.len() - FINDINGS) " more: each job's page has its own." }
                }
            }
        }
    }
}

fn table(view: &View<'_>, shown: &[&(&Look<'_>, StateLabel)]) -> Markup {
    let now = view.now;
    html! {
        table.jobs {
            thead { tr {
                th scope="col" { "Job" } th scope="col" { "State" } th scope="col" { "Watermark" }
                th.n scope="col" { "Behind now" } th.n scope="col" { "Last run" } th.n scope="col" { "Next run" }
                th.n scope="col" { "Rows, 24 h" } th.n scope="col" { "30 days" } th.n scope="col" { "Calls left" }
                th.n scope="col" { "Quarantine" }
            } }
            tbody {
                @for (look, verdict) in shown {
                    @let account = view.ledger.job(look.log);
                    @let status = look.last();
                    tr {
                        th scope="row" { a href=(links::job(look.name())) { (look.name()) } small { (look.provider) } }
                        td data-label="State" { (job::badge(*verdict)) " " (job::activity(look, now)) }
                        td data-label="Watermark" {
                            @if let Some(watermark) = status.and_then(|status| status.watermark) { (words::clock(watermark, now)) }
                            @else { "–" }
                        }
                        td.n data-label="Behind now" {
                            @if let Some(watermark) = status.and_then(|status| status.watermark) { (text::length(now - watermark)) }
                            @else { "–" }
                        }
                        td.n data-label="Last run" { (job::last_run(look, account, now)) }
                        td.n data-label="Next run" { (job::next_run(look, now)) }
                        td.n data-label="Rows, 24 h" { (lately(account.map(|account| account.lately.0))) }
                        td.n data-label="Rows, 30 days" { (lately(account.map(|account| account.lately.1))) }
                        td.n data-label="Calls left" { (job::budget(look)) }
                        td.n data-label="Quarantine" {
                            @match status.map(|status| status.quarantine.open) {
                                None => "–",
                                Some(0) => "0",
                                Some(open) => span.warn { (text::count(open)) },
                            }
                        }
                    }
                }
            }
        }
    }
}

fn lately(rows: Option<u64>) -> String {
    rows.map_or_else(|| "–".to_owned(), text::count)
}

/// Renders the rows per day and the delays of all jobs together.
fn figures(view: &View<'_>, span: (NaiveDate, NaiveDate)) -> Markup {
    let mut days: BTreeMap<NaiveDate, u64> = BTreeMap::new();
    let mut arrivals = Arrivals::default();
    for account in view
        .jobs
        .iter()
        .filter_map(|look| view.ledger.job(look.log))
    {
        for (day, rows) in account.days.range(span.0..=span.1) {
            *days.entry(*day).or_default() += rows;
        }
        arrivals.add(&account.arrivals);
    }
    html! {
        div.figures {
            section aria-labelledby="rows" {
                h2 #rows { "Rows a day" small { "all jobs, by event date" } }
                (plot::days(&days, &[], span, view.now))
            }
            section aria-labelledby="delays" {
                h2 #delays { "Arrival delay" small { "all jobs, runs of the last 30 days" } }
                (plot::delays(&arrivals, &[]))
                p.note { "Each job's page shows what its delays mean for its " code { "lag" } " and " code { "settle" } "." }
            }
        }
    }
}

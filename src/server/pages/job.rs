//! `/jobs/{name}`: the page of a job, and parts shared with the overview.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::arrivals::{self, AdviceTone};
use super::ledger::JobHistory;
use super::view::{Look, StateLabel, View};
use super::{calendar, frame, links, plot, run, words};
use crate::history::RecordedRun;
use crate::lake::{Commit, FailureStreak, OpenRange, Progress};
use crate::model::{Range, Timestamp};
use crate::status::{Finding, FindingKind, JobState, JobStatus};
use crate::text;

/// The number of weeks in the calendar.
const WEEKS: u32 = 26;
/// The minimum number of weeks, also for a job that began later.
const LEAST_WEEKS: usize = 4;
/// The number of streams that are shown initially.
const STREAMS: usize = 6;
/// The number of runs on a page.
const RUNS: usize = 50;
/// The number of characters above which a text is collapsed.
const LONG: usize = 400;

/// The query of the page.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct JobQuery {
    /// The page of runs, from 1.
    pub(super) page: Option<usize>,
    pub(super) weeks: Option<u32>,
}

pub(super) fn page(view: &View<'_>, look: &Look<'_>, choice: JobQuery) -> Markup {
    let now = view.now;
    let account = view.ledger.job(look.log);
    let span = calendar::span(now, choice.weeks.unwrap_or(WEEKS));
    let days = calendar::days(look, account, span, now);
    let days = match choice.weeks {
        Some(_) => &days,
        None => calendar::since_start(&days, LEAST_WEEKS),
    };
    let span = days.first().map_or(span, |first| (first.date, span.1));
    let crumbs =
        html! { span aria-hidden="true" { "/" } span aria-current="page" { (look.name()) } };
    let content = html! {
        (frame::unreadable(view, std::slice::from_ref(look)))
        div.title {
            h1 { (look.name()) }
            (badge(look.verdict(now))) " " (activity(look, now))
        }
        (facts(look, account, now))
        (failure(look, account, now))
        (todo(look, now))
        section aria-labelledby="coverage" {
            h2 #coverage { "Coverage" small { "new rows by event date; newest week first" } }
            (calendar::of_job(days))
            (calendar::legend())
        }
        div.figures {
            section aria-labelledby="rows" {
                h2 #rows { "Rows a day" small { "by event date" } }
                @let by_day: BTreeMap<_, _> = days.iter().map(|day| (day.date, day.rows.unwrap_or(0))).collect();
                (plot::days(&by_day, &plot::marked(days), span, now))
            }
            section aria-labelledby="delays" {
                h2 #delays { "Arrival delay" small { "runs of the last 30 days" } }
                (delays(look, account))
            }
        }
        @if let Some(status) = look.last() {
            (ranges(look, status, now))
            (streams(look, status, now))
            (quarantine(status))
        }
        (runs(look, account, choice))
    };
    frame::page(look.name(), view, &crumbs, &content)
}

/// Renders a job's badge: a sign and a word.
pub(super) fn badge(verdict: StateLabel) -> Markup {
    let (sign, word) = verdict.words();
    html! { span class={ "badge " (verdict.class()) } { span.sign aria-hidden="true" { (sign) } " " (word) } }
}

/// Renders the job's state.
pub(super) fn activity(look: &Look<'_>, now: Timestamp) -> Markup {
    let status = look.status.current();
    let is_held = status.is_some_and(|status| status.holder(now).is_some());
    html! {
        @match status.map(|status| status.state(now)) {
            _ if is_held => { span.activity.running { "running" } }
            // shown by the badge
            None | Some(JobState::Failing) => {}
            Some(state) => { span.activity { (state.as_str()) } }
        }
    }
}

pub(super) fn last_run(
    look: &Look<'_>,
    account: Option<&JobHistory<'_>>,
    now: Timestamp,
) -> Markup {
    let newest = account.and_then(|account| account.runs().next());
    let at = look
        .last()
        .and_then(|status| status.newest.as_ref())
        .map(|newest| newest.at);
    html! {
        @match (newest, at) {
            (Some(run), _) => { a href=(links::run(run.id)) { (words::moment(run.ended_at, now)) } }
            (None, Some(at)) => { (words::moment(at, now)) }
            (None, None) => { "–" }
        }
    }
}

pub(super) fn next_run(look: &Look<'_>, now: Timestamp) -> Markup {
    let next = look.last().and_then(|status| status.next_run);
    html! {
        @match next {
            None => "–",
            Some(next) if next <= now => "now",
            Some(next) => (words::moment(next, now)),
        }
    }
}

/// The rest of the connection's rate budget.
pub(super) fn budget(look: &Look<'_>) -> Markup {
    let budget = look.budget;
    let per = arrivals::words(budget.per.as_secs().max(1));
    let pause = (!budget.pause.is_zero()).then(|| arrivals::words(budget.pause.as_secs().max(1)));
    html! {
        span title=(format!("of {} calls in any {per}, which the connection `{}` shares", text::count(budget.limit.into()), look.status.connection)) {
            (text::count(budget.left.into())) " of " (text::count(budget.limit.into()))
        }
        @if let Some(pause) = pause { " " span.warn { "paused for " (pause) } }
    }
}

/// Renders a finding; a long text is collapsed.
pub(super) fn finding(finding: &Finding) -> Markup {
    html! {
        span class={ "kind " (if finding.kind.is_bad() { "bad" } else { "warn" }) } { (finding.kind) }
        " " (folded(&finding.what, &format!("{}-{}", finding.kind, finding.job))) "; "
        span.to-do { (code(&finding.to_do)) "." }
    }
}

/// Renders a text; a long one can be expanded.
fn folded(text: &str, id: &str) -> Markup {
    let cut = text.char_indices().nth(LONG).map(|(at, _)| at);
    html! {
        @match cut {
            None => span.said { (code(text)) },
            Some(cut) => details.said id={ "more-" (id) } {
                summary { (text[..cut]) "…" }
                (text[cut..])
            },
        }
    }
}

fn facts(look: &Look<'_>, account: Option<&JobHistory<'_>>, now: Timestamp) -> Markup {
    let status = look.last();
    let watermark = status.and_then(|status| status.watermark);
    html! {
        dl.facts {
            div { dt { "Watermark" } dd {
                @match watermark {
                    Some(at) => { (words::clock(at, now)) small { (text::length(now - at)) " behind now" } }
                    None => "–",
                }
            } }
            div { dt { "Last run" } dd { (last_run(look, account, now))
                @if let Some(run) = account.and_then(|account| account.runs().next()) { small { (run::outcome(run.outcome)) } }
            } }
            div { dt { "Next run" } dd { (next_run(look, now)) small { (look.schedule) } } }
            div { dt { "Rows landed" } dd {
                @match account { Some(account) => (text::count(account.lately.0)), None => "–" }
                small { "in 24 h; " @match account { Some(account) => (text::count(account.lately.1)), None => "–" } " in 30 days" }
            } }
            div { dt { "Calls left" } dd { (budget(look)) small { "in any " (arrivals::words(look.budget.per.as_secs().max(1))) ", connection " (look.status.connection) } } }
            div { dt { "Quarantine" } dd {
                @match status {
                    Some(JobStatus { quarantine, .. }) => {
                        (text::count(quarantine.open)) small { "open; " (text::count(quarantine.acknowledged)) " acknowledged" }
                    }
                    None => "–",
                }
            } }
            div { dt { "Pulls from" } dd { (words::minute(look.policy.start)) small { (look.provider) ", windows of " (text::length(look.policy.window)) } } }
            div { dt { "Lag and settle" } dd { (text::length(look.policy.lag)) small {
                @if look.policy.settle.is_empty() { "no settle pass" }
                @else { "passes after " (passes(look).into_iter().map(arrivals::words).collect::<Vec<_>>().join(", ")) }
            } } }
        }
    }
}

/// Returns the delays of the settle passes in seconds.
fn passes(look: &Look<'_>) -> Vec<u64> {
    let settle = look.policy.settle.iter();
    settle
        .map(|delay| delay.num_seconds().unsigned_abs())
        .collect()
}

/// Renders the newest failure in full, and what happened since.
fn failure(look: &Look<'_>, account: Option<&JobHistory<'_>>, now: Timestamp) -> Markup {
    if let Some(failing) = look.last().and_then(|status| status.failing.as_ref()) {
        return failing_now(look, failing, account, now);
    }
    let Some(failed) = account.and_then(JobHistory::failing) else {
        return html! {};
    };
    html! {
        section.notice.quiet aria-labelledby="error" {
            h2 #error {
                "Last error"
                small {
                    (words::relative(failed.at, now)) " in " a href=(links::run(failed.run)) { "this run" }
                    @if failed.in_a_row > 1 { "; " (failed.in_a_row) " runs in a row failed" }
                    "; " (text::counted(failed.well_since as u64, "run")) " since then succeeded"
                }
            }
            pre { @if let Some(kind) = failed.kind { (kind) ": " } (failed.error) }
        }
    }
}

/// Renders the streak of failed runs.
fn failing_now(
    look: &Look<'_>,
    failing: &FailureStreak,
    account: Option<&JobHistory<'_>>,
    now: Timestamp,
) -> Markup {
    // a run that couldn't be recorded has no page
    let has_page = account.is_some_and(|account| account.runs().any(|run| run.id == failing.run));
    html! {
        section.notice.bad aria-labelledby="error" {
            h2 #error {
                "Its last run failed"
                small {
                    (words::relative(failing.at, now))
                    @if has_page { " in " a href=(links::run(failing.run)) { "this run" } }
                    @if failing.runs > 1 {
                        "; " (failing.runs) " runs in a row failed, the first " (words::relative(failing.since, now))
                    }
                    "; next attempt " (next_run(look, now))
                }
            }
            @if let [first, ..] = &failing.streams[..] {
                p { "With stream " (first)
                    @if failing.failed_streams > 1 { " and " (text::counted(failing.failed_streams - 1, "other stream")) }
                }
            }
            pre { @if let Some(kind) = failing.kind { (kind) ": " } (failing.error) }
        }
    }
}

fn todo(look: &Look<'_>, now: Timestamp) -> Markup {
    let findings: Vec<Finding> = (look.status.findings(now).into_iter())
        .filter(|finding| !matches!(finding.kind, FindingKind::Failing | FindingKind::Unreadable)) // shown in full above
        .collect();
    html! {
        @if !findings.is_empty() {
            section aria-labelledby="findings" {
                h2 #findings { "Needs attention" }
                ul.findings { @for one in &findings { li { (finding(one)) } } }
            }
        }
    }
}

fn delays(look: &Look<'_>, account: Option<&JobHistory<'_>>) -> Markup {
    let none = arrivals::Arrivals::default();
    let seen = account.map_or(&none, |account| &account.arrivals);
    html! {
        (plot::delays(seen, &passes(look)))
        ul.advice {
            @for advice in arrivals::advise(look.policy, seen) {
                @let (class, sign, word) = match advice.tone {
                    AdviceTone::Fine => ("good", "✓", "Fine"),
                    AdviceTone::Consider => ("warn", "→", "Consider"),
                    AdviceTone::Unknown => ("quiet", "?", "Not known"),
                };
                li { span class={ "badge " (class) } { span.sign aria-hidden="true" { (sign) } " " (word) } " " (code(&advice.text)) }
            }
        }
        p.note { "Delays are upper bounds: the time from the event to the read that found it. Records that no pass re-reads aren't found." }
    }
}

/// Renders a text, with the parts between backticks as code.
fn code(text: &str) -> Markup {
    html! {
        @for (at, piece) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}

/// Renders gaps and unfinished ranges.
fn ranges(look: &Look<'_>, status: &JobStatus, now: Timestamp) -> Markup {
    let open: Vec<(&String, &OpenRange)> = (status.newest.iter())
        .flat_map(Commit::current)
        .flat_map(|(stream, progress)| progress.open.iter().map(move |open| (stream, open)))
        .collect();
    let mut gaps: BTreeMap<Range, Vec<&str>> = BTreeMap::new();
    for (stream, gap) in &status.gaps {
        gaps.entry(*gap).or_default().push(stream);
    }
    html! {
        @if !gaps.is_empty() {
            section aria-labelledby="gaps" {
                h2 #gaps { "Gaps" small { "passed over; later ranges were pulled" } }
                div.scroll tabindex="0" role="region" aria-label="Gaps" { table.plain {
                    thead { tr { th scope="col" { "From" } th scope="col" { "To" } th.n scope="col" { "Length" } th scope="col" { "Streams" } th scope="col" { "To fill it now" } } }
                    tbody { @for (gap, streams) in &gaps { tr {
                        td { (words::clock(gap.from(), now)) }
                        td { (words::clock(gap.to(), now)) }
                        td.n { (text::length(gap.length())) }
                        td { (folded(&streams.join(", "), &format!("gap-{}", gap.from().timestamp()))) }
                        td { code { "auditlake backfill --job " (look.name()) " --from " (text::time(gap.from())) " --to " (text::time(gap.to())) } }
                    } } }
                } }
            }
        }
        @if !open.is_empty() {
            section aria-labelledby="open" {
                h2 #open { "Begun and not finished" small { "continued from where it stopped" } }
                div.scroll tabindex="0" role="region" aria-label="Unfinished ranges" { table.plain {
                    thead { tr { th scope="col" { "Stream" } th scope="col" { "From" } th scope="col" { "To" } th scope="col" { "Why" } th.n scope="col" { "First requested" } } }
                    tbody { @for (stream, open) in &open { tr {
                        td.said { (stream) }
                        td { (words::clock(open.range.from(), now)) }
                        td { (words::clock(open.range.to(), now)) }
                        td { (open.work.as_str()) }
                        td.n { (words::moment(open.asked_at, now)) }
                    } } }
                } }
            }
        }
    }
}

/// Renders all streams, the slowest first.
fn streams(look: &Look<'_>, status: &JobStatus, now: Timestamp) -> Markup {
    let mut streams: Vec<(&String, &Progress)> =
        status.newest.iter().flat_map(Commit::current).collect();
    streams.sort_by_key(|(stream, progress)| {
        (progress.passed().contiguous_end(look.policy.start), *stream)
    });
    let (first, rest) = streams.split_at(streams.len().min(STREAMS));
    let rows = |streams: &[(&String, &Progress)]| {
        html! { @for (stream, progress) in streams {
            @let watermark = progress.passed().contiguous_end(look.policy.start);
            @let gaps = status.gaps.iter().filter(|(of, _)| of == *stream).count();
            tr {
                th.said scope="row" { (stream) }
                td { @if status.stale.contains(stream) { span.badge.warn { span.sign aria-hidden="true" { "…" } " behind" } " " } (words::clock(watermark, now)) }
                td.n { (text::length(now - watermark)) }
                td.n { @if gaps > 0 { span.bad { (gaps) } } @else { "0" } }
                td.n { (progress.open.len()) }
                td.n { (progress.unsettled.values().filter_map(|ranges| ranges.iter().next()).map(|range| range.from()).min().map_or_else(|| "–".to_owned(), words::minute)) }
            }
        } }
    };
    let head = html! { thead { tr {
        th scope="col" { "Stream" } th scope="col" { "Watermark" } th.n scope="col" { "Behind now" } th.n scope="col" { "Gaps" }
        th.n scope="col" { "Unfinished" } th.n scope="col" { "Unsettled since" }
    } } };
    html! {
        @if !streams.is_empty() {
            section aria-labelledby="streams" {
                h2 #streams { "Streams" small { (streams.len()) ", the slowest first" } }
                div.scroll tabindex="0" role="region" aria-label="Streams" { table.plain.fixed { (head) tbody { (rows(first)) } } }
                @if !rest.is_empty() {
                    details #streams-more {
                        summary { (text::counted(rest.len() as u64, "more stream")) }
                        div.scroll tabindex="0" role="region" aria-label="More streams" { table.plain.fixed { (head) tbody { (rows(rest)) } } }
                    }
                }
            }
        }
    }
}

fn quarantine(status: &JobStatus) -> Markup {
    let counts = &status.quarantine;
    let mut reasons: Vec<(&String, &u64)> = counts.reasons.iter().collect();
    reasons.sort_by_key(|(reason, lines)| (std::cmp::Reverse(**lines), *reason));
    let named: u64 = counts.reasons.values().sum();
    let others = counts.open.saturating_sub(named);
    html! {
        @if counts.open > 0 {
            section aria-labelledby="quarantine" {
                h2 #quarantine { "Quarantine" small { (text::counted(counts.open, "open line")) ", by reason" } }
                div.scroll tabindex="0" role="region" aria-label="Quarantine by reason" { table.plain {
                    thead { tr { th.n scope="col" { "Lines" } th scope="col" { "Reason" } } }
                    tbody {
                        @for (reason, lines) in reasons { tr { td.n { (text::count(*lines)) } td.said { (reason) } } }
                        @if others > 0 { tr { td.n { (text::count(others)) } td { "other reasons" } } }
                    }
                } }
            }
        }
    }
}

fn runs(look: &Look<'_>, account: Option<&JobHistory<'_>>, choice: JobQuery) -> Markup {
    let count = account.map_or(0, |account| account.runs().len());
    let pages = count.div_ceil(RUNS).max(1);
    let number = choice.page.unwrap_or(1).clamp(1, pages);
    let shown: Vec<&RecordedRun<'_>> = (account.into_iter())
        .flat_map(JobHistory::runs)
        .skip((number - 1) * RUNS)
        .take(RUNS)
        .collect();
    let to = |page: usize| match choice.weeks {
        Some(weeks) => format!("{}?page={page}&weeks={weeks}#runs", links::job(look.name())),
        None => format!("{}?page={page}#runs", links::job(look.name())),
    };
    html! {
        section aria-labelledby="runs" {
            h2 #runs { "Runs" small { (text::count(count as u64)) " known, newest first" } }
            @if shown.is_empty() { p { "No run is known." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="Runs" { table.plain {
                    thead { tr {
                        th scope="col" { "Began" } th scope="col" { "Outcome" } th.n scope="col" { "Took" } th scope="col" { "What" }
                        th.n scope="col" { "New" } th.n scope="col" { "Late" } th.n scope="col" { "Duplicate" } th.n scope="col" { "Quarantined" }
                        th.n scope="col" { "Calls" } th.n scope="col" { "Retries" } th scope="col" { "Error" }
                    } }
                    tbody { @for run in shown { tr {
                        td { a href=(links::run(run.id)) { (words::second(run.started_at)) } }
                        td { (run::outcome(run.outcome)) }
                        td.n { (run::took(run.ended_at - run.started_at)) }
                        td { (run.works()) }
                        td.n { (text::count(run.counts.new)) }
                        td.n { (text::count(run.counts.late)) }
                        td.n { (text::count(run.counts.duplicate)) }
                        td.n { (text::count(run.counts.quarantined)) }
                        td.n { (text::count(run.calls)) }
                        td.n { (text::count(run.retries)) }
                        td.clip { @if let Some((_, error)) = run.error() { span title=(error) { (error) } } }
                    } } }
                } }
            }
            @if pages > 1 {
                nav.pages aria-label="Pages of runs" {
                    @if number > 1 { a href=(to(number - 1)) { "Newer" } }
                    span { "page " (number) " of " (pages) }
                    @if number < pages { a href=(to(number + 1)) { "Older" } }
                }
            }
        }
    }
}

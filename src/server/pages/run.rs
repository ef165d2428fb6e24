//! `/runs/{run}`: the page of a run with its ranges.

use chrono::TimeDelta;
use maud::{Markup, html};

use super::view::View;
use super::{frame, links, words};
use crate::history::{RangeOutcome, RecordedRun, RunRow};
use crate::lake::Work;
use crate::text;

/// The number of ranges that are shown initially.
const RANGES: usize = 200;

/// Renders the outcome: a sign and a word.
pub(super) fn outcome(outcome: RangeOutcome) -> Markup {
    let (class, sign, word) = match outcome {
        RangeOutcome::Finished => ("good", "✓", "finished"),
        RangeOutcome::Unfinished => ("quiet", "…", "unfinished"),
        RangeOutcome::Lost => ("warn", "?", "lost"),
        RangeOutcome::Failed => ("bad", "✕", "failed"),
    };
    html! { span class={ "badge " (class) } { span.sign aria-hidden="true" { (sign) } " " (word) } }
}

/// `1m 2s`, `0.3s`
pub(super) fn took(length: TimeDelta) -> String {
    if length < TimeDelta::seconds(10) {
        let tenths = length.num_milliseconds().max(0) / 100;
        format!("{}.{}s", tenths / 10, tenths % 10)
    } else {
        text::length(length)
    }
}

pub(super) fn page(view: &View<'_>, job: &str, run: &RecordedRun<'_>) -> Markup {
    let now = view.now;
    let crumbs = html! {
        span aria-hidden="true" { "/" } a href=(links::job(job)) { (job) }
        span aria-hidden="true" { "/" } span aria-current="page" { "run" }
    };
    let counts = run.counts;
    let content = html! {
        (frame::unreadable(view, &[]))
        div.title { h1 { "Run of " a href=(links::job(job)) { (job) } } (outcome(run.outcome)) }
        dl.facts {
            div { dt { "Began" } dd { (words::clock(run.started_at, now)) small { (words::relative(run.started_at, now)) } } }
            div { dt { "Took" } dd { (took(run.ended_at - run.started_at)) small { "ended " (words::minute(run.ended_at)) } } }
            div { dt { "What" } dd { (run.works()) small { (text::counted(run.rows.len() as u64, "range")) } } }
            div { dt { "New rows" } dd { (text::count(counts.new)) small { (text::count(counts.late)) " late" } } }
            div { dt { "Fetched" } dd { (text::count(counts.fetched)) small { (text::count(counts.duplicate)) " duplicate, " (text::count(counts.waiting)) " waiting" } } }
            div { dt { "Quarantined" } dd { (text::count(counts.quarantined)) small { (text::count(counts.outside)) " outside the requested bounds" } } }
            div { dt { "Calls" } dd { (text::count(run.calls)) small { (text::counted(run.retries, "retry")) } } }
        }
        p.note { "Run " code { (run.id) } }
        (errors(run))
        (remarks(run))
        section aria-labelledby="ranges" {
            h2 #ranges { "Ranges" small { (text::count(run.rows.len() as u64)) } }
            (table(run, &run.rows[..run.rows.len().min(RANGES)], "Ranges"))
            @if let Some(rest) = run.rows.get(RANGES..).filter(|rest| !rest.is_empty()) {
                details #ranges-more {
                    summary { (text::counted(rest.len() as u64, "more range")) }
                    (table(run, rest, "More ranges"))
                }
            }
        }
    };
    frame::page(&format!("Run of {job}"), view, &crumbs, &content)
}

/// Renders each failure once, with its streams.
fn errors(run: &RecordedRun<'_>) -> Markup {
    let mut errors: Vec<(String, Vec<&str>)> = Vec::new();
    for row in &run.rows {
        let Some(error) = &row.error else { continue };
        let text = match row.error_kind {
            Some(kind) => format!("{kind}: {error}"),
            None => error.clone(),
        };
        let stream = row.stream.as_deref();
        match errors.iter_mut().find(|(known, _)| *known == text) {
            Some((_, streams)) => streams.extend(stream),
            None => errors.push((text, stream.into_iter().collect())),
        }
    }
    html! {
        @for (error, streams) in &errors {
            section.notice.bad {
                h2 { "Failed" @if !streams.is_empty() { small.said { (streams.join(", ")) } } }
                pre { (error) }
            }
        }
    }
}

fn remarks(run: &RecordedRun<'_>) -> Markup {
    let all: Vec<(&RunRow, &String)> = (run.rows.iter())
        .flat_map(|row| row.remarks.iter().map(move |remark| (*row, remark)))
        .collect();
    html! {
        @if !all.is_empty() {
            section aria-labelledby="remarks" {
                h2 #remarks { "Remarks" }
                ul.findings { @for (row, remark) in all {
                    li { @if let Some(stream) = &row.stream { strong.message { (stream) } " " } span.said { (remark) } }
                } }
            }
        }
    }
}

fn table(run: &RecordedRun<'_>, rows: &[&RunRow], label: &str) -> Markup {
    let failed = run.outcome == RangeOutcome::Failed;
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) { table.plain {
            thead { tr {
                th scope="col" { "Stream" } th scope="col" { "From" } th scope="col" { "To" } th scope="col" { "Why" } th scope="col" { "Outcome" }
                th.n scope="col" { "Fetched" } th.n scope="col" { "New" } th.n scope="col" { "Late" } th.n scope="col" { "Duplicate" } th.n scope="col" { "Quarantined" }
                th.n scope="col" { "Calls" } th.n scope="col" { "Retries" } @if failed { th scope="col" { "Error" } }
            } }
            tbody { @for row in rows { tr {
                th.said scope="row" { (row.stream.as_deref().unwrap_or("–")) }
                td { (row.range.map_or_else(|| "–".to_owned(), |range| words::second(range.from()))) }
                td { (row.range.map_or_else(|| "–".to_owned(), |range| words::second(range.to()))) }
                td { (row.work.map_or("–", Work::as_str)) }
                td { (outcome(row.outcome)) }
                td.n { (text::count(row.counts.fetched)) }
                td.n { (text::count(row.counts.new)) }
                td.n { (text::count(row.counts.late)) }
                td.n { (text::count(row.counts.duplicate)) }
                td.n { (text::count(row.counts.quarantined)) }
                td.n { (text::count(row.calls)) }
                td.n { (text::count(row.retries)) }
                @if failed { td { @if let Some(kind) = row.error_kind { (kind) } } }
            } } }
        } }
    }
}

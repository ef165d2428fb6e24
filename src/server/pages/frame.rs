//! The frame around every page.

use maud::{DOCTYPE, Markup, html};

use super::view::{Look, View};
use super::words;
use crate::text;

/// The interval in seconds at which a page reloads; longer without JavaScript, as a full reload loses the scroll
/// position.
const EVERY: (u32, u32) = (5, 30);
/// The number of problems with the history that are shown.
const PROBLEMS: usize = 3;

/// Renders a whole page.
pub(super) fn page(title: &str, view: &View<'_>, crumbs: &Markup, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · auditlake" }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/page.css";
                script src="/assets/refresh.js" defer data-every=(EVERY.0) {}
                noscript { meta http-equiv="refresh" content=(EVERY.1); }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    nav aria-label="Where you are" {
                        a.brand href="/" { "auditlake" }
                        (crumbs)
                    }
                    p #live role="status" { }
                }
                main #main tabindex="-1" {
                    (content)
                    p.foot {
                        "As of " time datetime=(text::time(view.now)) { (view.now.format("%Y-%m-%d %H:%M:%S")) } ". All times are UTC. Lake "
                        code { (view.lake) } "."
                    }
                }
                footer {
                    a href="/api/v1/jobs" { "JSON" } a href="/metrics" { "Metrics" } a href="/readyz" { "Ready?" }
                    span { "auditlake " (env!("CARGO_PKG_VERSION")) }
                }
            }
        }
    }
}

/// Renders which of these jobs can't be read now, and the age of the data shown instead.
pub(super) fn unreadable(view: &View<'_>, looks: &[Look<'_>]) -> Markup {
    let down: Vec<_> = (looks.iter())
        .filter_map(|look| Some((look, look.status.unreadable.as_deref()?)))
        .collect();
    html! {
        @if let Some((first, problem)) = down.first() {
            section.notice.bad role="alert" {
                h2 { "The lake can't be read" }
                p {
                    (text::counted(down.len() as u64, "job")) " can't be read"
                    @if let Some(read_at) = first.read_at {
                        "; what is shown of " (if down.len() == 1 { "it" } else { "them" }) " is as of "
                        (words::clock(read_at, view.now)) ", " (words::relative(read_at, view.now)) "."
                    } @else {
                        "; there is no earlier data."
                    }
                }
                pre { (problem) }
            }
        }
        @if !view.history_problems.is_empty() {
            section.notice.warn role="alert" {
                h2 { "Some of the run history can't be read" }
                p { "Rows, delays and runs are those read before, or incomplete." }
                @for problem in view.history_problems.iter().take(PROBLEMS) { pre { (problem) } }
                @if view.history_problems.len() > PROBLEMS { p { "and " (view.history_problems.len() - PROBLEMS) " more" } }
            }
        }
    }
}

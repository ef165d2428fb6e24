//! The formatting of times and numbers on pages.

use chrono::TimeDelta;
use maud::{Markup, html};

use crate::model::Timestamp;
use crate::text;

/// Formats a time in UTC, as on the whole page: `2026-11-20 08:00`.
pub(super) fn minute(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M").to_string()
}

/// Formats the distance from `now`: `3h 4m ago`, `in 12m 3s`.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    let length = at - now;
    if length.num_seconds().abs() == 0 {
        "now".to_owned()
    } else if length > TimeDelta::zero() {
        format!("in {}", text::length(length))
    } else {
        format!("{} ago", text::length(-length))
    }
}

/// Renders a time and its distance from now.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> Markup {
    html! {
        time datetime=(text::time(at)) title=(text::time(at)) { (relative(at, now)) }
    }
}

/// Renders a time to the minute, with its distance from now in the title.
pub(super) fn clock(at: Timestamp, now: Timestamp) -> Markup {
    html! {
        time datetime=(text::time(at)) title=(relative(at, now)) { (minute(at)) }
    }
}

/// `1 job needs`, `2 jobs need`
pub(super) fn verb(number: usize, what: &str, verb: &str) -> String {
    let s = if number == 1 { "s" } else { "" };
    format!("{} {verb}{s}", text::counted(number as u64, what))
}

/// `2026-11-20 08:00:07`
pub(super) fn second(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

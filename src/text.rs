//! The formatting of numbers, times and durations.

use chrono::{SecondsFormat, TimeDelta};

use crate::model::Timestamp;

/// Formats a time: `2026-11-20T08:00:00Z`.
pub(crate) fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Formats a duration with its two largest units: `3d 4h`, `2m 10s`; `-3d 4h` if it is negative.
pub(crate) fn length(length: TimeDelta) -> String {
    if length.num_seconds() < 0 {
        return format!("-{}", self::length(-length));
    }
    let seconds = length.num_seconds();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (name, size) in units {
        if left >= size {
            parts.push(format!("{}{name}", left / size));
            left %= size;
        }
    }
    parts.truncate(2);
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// Formats a number: `12,345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number with a noun: `1 job`, `12,345 jobs`, `2 retries`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    match what.strip_suffix("ry") {
        _ if number == 1 => format!("1 {what}"),
        Some(stem) => format!("{} {stem}ries", count(number)),
        None => format!("{} {what}s", count(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lengths_read_well() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(12_345_678)],
            ["0", "999", "1,000", "12,345,678"]
        );
        assert_eq!(
            [counted(0, "retry"), counted(1, "retry"), counted(2, "day")],
            ["0 retries", "1 retry", "2 days"]
        );
        assert_eq!(length(TimeDelta::seconds(0)), "0s");
        assert_eq!(length(TimeDelta::seconds(3_725)), "1h 2m");
        assert_eq!(length(TimeDelta::days(3) + TimeDelta::hours(4)), "3d 4h");
        assert_eq!(length(TimeDelta::seconds(-259_205)), "-3d 5s");
        assert_eq!(length(TimeDelta::milliseconds(-900)), "0s");
    }
}

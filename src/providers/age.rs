//! Providers' messages about ranges that they no longer serve. They are undocumented. Therefore a list of phrases is recognised,
//! and their meaning is verified by requests before it has consequences.

use chrono::{DateTime, Months, NaiveDate, NaiveTime, TimeDelta};
use http::StatusCode;

use crate::model::Timestamp;

/// Phrases about age.
const OF_AGE: [&str; 22] = [
    "too old",
    "too far in the past",
    "too far back",
    "too long ago",
    "older than",
    "earlier than",
    "retention",
    "retained",
    "no longer available",
    "no longer stored",
    "not available before",
    "earliest",
    "oldest",
    "look back",
    "lookback",
    "in the past",
    " ago",
    " the last ",
    "within the past",
    "for the past",
    "purged",
    "archived",
];
/// Phrases about the age of something other than the range.
const OF_ANOTHER: [&str; 9] = [
    "password",
    "token",
    "credential",
    "certificate",
    "signature",
    "api key",
    "api version",
    "client version",
    "request timestamp",
];
/// The maximum number of instants taken from a text.
const NAMED: usize = 3;

/// Returns whether a refusal is about the range's age.
pub(super) fn is_about_age(status: StatusCode, message: &str) -> bool {
    let may_be = matches!(status.as_u16(), 400 | 403 | 404 | 410 | 416 | 422);
    let message = message.to_lowercase().replace(['-', '_'], " ");
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    may_be && has(&OF_AGE) && !has(&OF_ANOTHER)
}

/// Returns the instants that a text may give as the oldest: ages such as `365 days` and dates, in the text's order.
pub fn oldest_in_message(text: &str, now: Timestamp) -> Vec<Timestamp> {
    let lower = text.to_lowercase();
    let mut found = Vec::new();
    let words: Vec<&str> = lower
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    for (place, word) in words.iter().enumerate() {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = word.split_at(digits);
        let number = number.parse().ok().or_else(|| number_of(word));
        let unit = match (unit, digits) {
            ("", _) | (_, 0) => words.get(place + 1).copied().unwrap_or_default(),
            (unit, _) => unit,
        };
        found.extend(number.and_then(|number| before(now, number, unit)));
    }
    found.extend(dates(text));
    found.dedup();
    found.truncate(NAMED);
    found
}

fn number_of(word: &str) -> Option<u32> {
    const WORDS: [&str; 13] = [
        "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve", "thirteen",
    ];
    let place = WORDS.iter().position(|known| *known == word)?;
    u32::try_from(place + 1).ok()
}

fn before(now: Timestamp, number: u32, unit: &str) -> Option<Timestamp> {
    let length = i64::from(number);
    let length = match unit {
        "h" | "hr" | "hrs" | "hour" | "hours" => TimeDelta::try_hours(length),
        "d" | "day" | "days" => TimeDelta::try_days(length),
        "w" | "week" | "weeks" => TimeDelta::try_weeks(length),
        "mo" | "month" | "months" => return now.checked_sub_months(Months::new(number)),
        "y" | "year" | "years" => {
            return now.checked_sub_months(Months::new(number.checked_mul(12)?));
        }
        _ => None,
    };
    now.checked_sub_signed(length?)
}

/// Returns dates as in RFC 3339, with or without a time.
fn dates(text: &str) -> impl Iterator<Item = Timestamp> {
    let of_date = |letter: char| letter.is_ascii_digit() || "TZtz:.+-".contains(letter);
    let words = text.split(move |letter| !of_date(letter));
    words.filter_map(|word| {
        let word = word.trim_end_matches(['.', ':', '-', '+']);
        if let Ok(at) = DateTime::parse_from_rfc3339(word) {
            return Some(at.to_utc());
        }
        let day = NaiveDate::parse_from_str(word.get(..10)?, "%Y-%m-%d").ok()?;
        Some(day.and_time(NaiveTime::MIN).and_utc())
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_an_old_range_is_known_by_many_words() {
        for message in [
            "Start date is older than 365 days",
            "The requested interval is beyond the retention period",
            "data available for the last 90 days",
            "`startDate` must be within the last 30 days",
            "startDate cannot be more than 12 months ago",
            "INTERVAL_TOO_OLD",
            "start date is too far in the past",
            "events before 2026-01-01 are no longer available",
            "Earliest available date is 2026-03-01T00:00:00Z",
        ] {
            assert!(is_about_age(StatusCode::BAD_REQUEST, message), "{message}");
            assert!(!is_about_age(StatusCode::BAD_GATEWAY, message), "{message}");
        }
        for message in [
            "the interval must not be longer than 30 days",
            "Too many records within the requested time interval",
            "the password is older than 90 days",
            "The payload could not be parsed",
            "this access token is too old",
        ] {
            assert!(!is_about_age(StatusCode::BAD_REQUEST, message), "{message}");
        }
    }

    #[test]
    fn ages_and_dates_are_read_from_a_text() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let message = |text: &str| -> Vec<String> {
            let found = oldest_in_message(text, now);
            found.iter().map(Timestamp::to_string).collect()
        };
        assert_eq!(message("older than 365 days"), ["2025-11-30 12:00:00 UTC"]);
        assert_eq!(message("a 90-day retention"), ["2026-09-01 12:00:00 UTC"]);
        assert_eq!(message("the last 24h"), ["2026-11-29 12:00:00 UTC"]);
        assert_eq!(
            message("more than twelve months ago"),
            ["2025-11-30 12:00:00 UTC"]
        );
        assert_eq!(
            message("interval 2020-01-01T00:00:00Z/2020-02-01T00:00:00Z: oldest is 2026-03-01."),
            [
                "2020-01-01 00:00:00 UTC",
                "2020-02-01 00:00:00 UTC",
                "2026-03-01 00:00:00 UTC"
            ]
        );
        assert_eq!(message("beyond retention, code 400, ü 2026-ü"), [""; 0]);
        assert_eq!(message("4294967295 years ago or 99999999999 days"), [""; 0]);
    }
}

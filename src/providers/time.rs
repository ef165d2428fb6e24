//! Times as providers write them.

use chrono::{DateTime, Datelike as _, SecondsFormat, Utc};

use super::json::shortened;
use crate::model::Timestamp;

/// To the second, in UTC, as RFC 3339.
pub(super) fn instant(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// What the field `name` of a record says in RFC 3339, with any offset; the error is a reason for quarantine.
pub(super) fn time_of(name: &str, text: &str) -> Result<Timestamp, String> {
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|error| format!("`{name}` is no date: `{}` ({error})", shortened(text)))?
        .with_timezone(&Utc);
    in_range(time.timestamp_micros())
        .ok_or_else(|| format!("`{name}` is out of range: `{}`", shortened(text)))
}

/// An instant in whole microseconds, which are what the table holds. What RFC 3339 can't write, no partition can be named
/// after: a year beyond 9999 is a date of four digits plus an offset, or minus one.
pub(super) fn in_range(micros: i64) -> Option<Timestamp> {
    DateTime::from_timestamp_micros(micros).filter(|time| (0..=9_999).contains(&time.year()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_have_four_digits() {
        for (text, is_good) in [
            ("0000-01-01T00:00:00Z", true),
            ("0000-01-01T00:00:00+00:01", false),
            ("9999-12-31T23:59:59.999999Z", true),
            ("9999-12-31T23:59:59-00:01", false),
        ] {
            assert_eq!(time_of("date", text).is_ok(), is_good, "{text}");
        }
    }
}

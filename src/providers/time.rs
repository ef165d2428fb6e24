//! Times as providers write them.

use chrono::{DateTime, SecondsFormat, Utc};

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
    // what the table's type can't hold is no date either; and whole microseconds are what it holds
    DateTime::from_timestamp_micros(time.timestamp_micros())
        .ok_or_else(|| format!("`{name}` is out of range: `{}`", shortened(text)))
}

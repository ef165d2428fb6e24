//! Parsers of durations, sizes, times and other single values.
//!
//! An error is a predicate of the text that says what is wrong and what would be valid. It doesn't contain the text,
//! which the caller adds.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, SubsecRound, TimeDelta};
use url::Url;

use crate::model::{RateLimit, Timestamp};

/// The longest duration in seconds. Sums of durations remain far within the calendar.
const MAX_SECONDS: u64 = 3_650 * 86_400;

/// Parses a duration in whole seconds: `90s`, `15m`, `1h`, `1d`, or several of them in descending order like `1h30m`.
pub fn duration(text: &str) -> Result<TimeDelta, String> {
    let invalid = || "isn't a duration; write `90s`, `15m`, `1h`, `1d` or `1h30m`".to_owned();
    let mut rest = text;
    let mut seconds: u64 = 0;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let count: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        let unit = match rest.as_bytes().get(digits) {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3_600,
            Some(b'd') => 86_400,
            _ => return Err(invalid()),
        };
        if unit >= last_unit {
            return Err(invalid());
        }
        last_unit = unit;
        seconds = seconds.saturating_add(count.saturating_mul(unit));
        rest = &rest[digits + 1..];
    }
    if text.is_empty() {
        return Err(invalid());
    }
    if seconds > MAX_SECONDS {
        return Err("is longer than ten years".to_owned());
    }
    i64::try_from(seconds)
        .ok()
        .and_then(TimeDelta::try_seconds)
        .ok_or_else(invalid)
}

/// Parses a [`duration`] of at least one second.
pub fn positive_duration(text: &str) -> Result<TimeDelta, String> {
    let duration = duration(text)?;
    if duration.is_zero() {
        return Err("is zero; write at least `1s`".to_owned());
    }
    Ok(duration)
}

/// Parses `true` or `false`.
pub fn flag(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err("is neither `true` nor `false`"),
    }
}

/// Parses a whole number within bounds.
pub fn whole<T>(text: &str, bounds: RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    let number = text.parse().ok().filter(|number| bounds.contains(number));
    let (least, most) = bounds.into_inner();
    number.ok_or_else(|| format!("isn't a whole number from {least} to {most}"))
}

/// Parses a size in bytes: `128MiB`, `64MB`, `1GiB` or a number of bytes.
pub fn size(text: &str) -> Result<u64, String> {
    let invalid = || "isn't a size; write `128MiB`, `64MB` or a number of bytes".to_owned();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let count: u64 = text[..digits].parse().map_err(|_| invalid())?;
    let unit: u64 = match text[digits..].trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(invalid()),
    };
    count.checked_mul(unit).ok_or_else(invalid)
}

/// Parses an instant: RFC 3339, or a UTC date, which stands for its midnight.
pub fn time(text: &str) -> Result<Timestamp, String> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .filter(|_| text.len() == "2026-01-01".len())
        .map(|date| date.and_time(NaiveTime::MIN).and_utc());
    let time = || {
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        Some(time.to_utc().trunc_subsecs(6))
    };
    date.or_else(time).ok_or_else(|| {
        "isn't a time; write a UTC date (`2026-01-01`) or RFC 3339 (`2026-01-01T08:00:00Z`)"
            .to_owned()
    })
}

/// Parses a rate: `300/min`, `10/s`, `5000/h`.
pub fn rate_limit(text: &str) -> Result<RateLimit, String> {
    let invalid = || "isn't a rate; write `300/min`, `10/s` or `5000/h`".to_owned();
    let (requests, unit) = text.split_once('/').ok_or_else(invalid)?;
    let seconds = match unit.trim() {
        "s" | "sec" | "second" => 1,
        "m" | "min" | "minute" => 60,
        "h" | "hour" => 3_600,
        _ => return Err(invalid()),
    };
    let requests = requests.trim().parse().map_err(|_| invalid())?;
    Ok(RateLimit::per_seconds(requests, seconds))
}

/// Parses an `http` or `https` URL without query and fragment. The result has no trailing slash unless its path is
/// empty.
///
/// Credentials in the URL aren't detected here; see [`has_userinfo`].
pub fn base_url(text: &str, allow_http: bool) -> Result<Url, String> {
    let mut url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or("isn't a URL; write `https://host` or `https://host/path`")?;
    if url.scheme() == "http" && !allow_http {
        return Err(
            "isn't https, so credentials would travel in the clear; write `https://`, or set `allow_http: true` on this connection"
                .to_owned(),
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(
            "has a query or a fragment; write `https://host` or `https://host/path`".to_owned(),
        );
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Returns whether a URL contains a user or a password.
pub fn has_userinfo(url: &str) -> bool {
    let authority = url.split_once("//").map_or(url, |(_, rest)| rest);
    let authority = authority
        .split(['/', '\\', '?', '#'])
        .next()
        .unwrap_or_default();
    authority.contains('@')
}

/// Parses a suffix of host names: `example.com` stands for itself and its subdomains.
pub fn host_suffix(text: &str) -> Result<String, String> {
    let host = text.trim_start_matches('.').to_ascii_lowercase();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if host.is_empty() || !host.chars().all(fits) || host.ends_with('.') || host.contains("..") {
        return Err(
            "isn't a host name; write `example.com`, which includes its subdomains".to_owned(),
        );
    }
    Ok(host)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        let seconds = |text: &str| duration(text).map(|duration| duration.num_seconds()).ok();
        for (text, expected) in [
            ("90s", 90),
            ("15m", 900),
            ("1h", 3_600),
            ("1d", 86_400),
            ("1h30m", 5_400),
            ("2d1h1s", 176_401),
            ("0s", 0),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "1",
            "1.5h",
            "h",
            "1w",
            "30m1h",
            "1h1h",
            "-1h",
            "1 h",
            "PT1H",
            "99999999999999999999s",
            "1000000d",
            "1é",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert!(positive_duration("0s").is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(size("128MiB"), Ok(128 << 20));
        assert_eq!(size("64MB"), Ok(64_000_000));
        assert_eq!(size("1 GiB"), Ok(1 << 30));
        assert_eq!(size("1048576"), Ok(1 << 20));
        for text in [
            "",
            "MiB",
            "1.5MiB",
            "-1",
            "1 mib",
            "99999999999999999999",
            "99999999999GiB",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        let shown = |text: &str| time(text).map(|time| time.to_rfc3339()).ok();
        assert_eq!(shown("2026-01-01").unwrap(), "2026-01-01T00:00:00+00:00");
        assert_eq!(
            shown("2026-01-01T02:00:00+02:00").unwrap(),
            "2026-01-01T00:00:00+00:00"
        );
        assert_eq!(
            shown("2026-01-01T00:00:00.1234567Z").unwrap(),
            "2026-01-01T00:00:00.123456+00:00"
        );
        for text in [
            "",
            "2026-1-1",
            "2026-02-30",
            "2026-01-01T00:00:00",
            "yesterday",
            "01.01.2026",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn rates() {
        let limit = |text: &str| rate_limit(text).map(|limit| limit.to_string()).ok();
        assert_eq!(limit("300/min").unwrap(), "300/min");
        assert_eq!(limit("10 / s").unwrap(), "10/s");
        assert_eq!(limit("5000/h").unwrap(), "5000/h");
        for text in ["", "300", "0/s", "-1/s", "1/d", "1.5/s", "/s"] {
            assert_eq!(limit(text), None, "{text}");
        }
    }

    #[test]
    fn urls() {
        let url = |text: &str| base_url(text, false).map(String::from);
        assert_eq!(
            url("https://api.example.com").unwrap(),
            "https://api.example.com/"
        );
        assert_eq!(url("https://h:8443/v2//").unwrap(), "https://h:8443/v2");
        assert_eq!(base_url("http://h/", true).unwrap().as_str(), "http://h/");
        for text in [
            "",
            "api.example.com",
            "ftp://h",
            "http://h",
            "https://",
            "https://h?x",
            "https://h#x",
        ] {
            assert!(url(text).is_err(), "{text}");
        }
        assert!(has_userinfo("https://user:pass@host/x"));
        assert!(has_userinfo("https://user@host"));
        assert!(!has_userinfo("https://host/@x"));
    }

    #[test]
    fn host_suffixes() {
        assert_eq!(host_suffix(".Example.com").unwrap(), "example.com");
        for text in [
            "",
            ".",
            "https://x",
            "*.x.com",
            "x:443",
            "x/y",
            "a..b",
            "a.",
        ] {
            assert!(host_suffix(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,24}", like in "[0-9smhdMiBGK/:.TZ+-]{0,24}") {
            for text in [text, like] {
                let _ = (duration(&text), size(&text), time(&text), rate_limit(&text));
                let _ = (base_url(&text, true), host_suffix(&text), has_userinfo(&text));
            }
        }
    }
}

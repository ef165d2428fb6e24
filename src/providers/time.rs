//! Times as providers write them.

use chrono::{
    DateTime, Datelike as _, FixedOffset, NaiveDate, NaiveTime, SecondsFormat, TimeDelta,
};

use super::json::shortened;
use crate::model::Timestamp;

/// Formats an instant in UTC to the second, as in RFC 3339.
pub(super) fn instant(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Parses the time in the field `name` of a record. The error is a reason for quarantine. See [`parsed`].
pub(super) fn time_of(name: &str, text: &str) -> Result<Timestamp, String> {
    let time = parsed(text)
        .map_err(|error| format!("`{name}` is no date: `{}` ({error})", shortened(text)))?;
    in_range(time.timestamp_micros())
        .ok_or_else(|| format!("`{name}` is out of range: `{}`", shortened(text)))
}

/// Parses an instant in RFC 3339 with any offset, or in another unambiguous form: ISO 8601 with an offset such as
/// `+0000` or `+00`, with a comma before the fraction, without seconds or in its basic form, `24:00`, an offset spelled
/// `UTC` or followed by the zone's name, or RFC 2822. Times without an offset are refused, as are numbers, whose unit
/// is unknown.
pub(super) fn parsed(text: &str) -> Result<Timestamp, chrono::ParseError> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .or_else(|error| unusual(text.trim()).ok_or(error))
}

fn unusual(text: &str) -> Option<Timestamp> {
    iso(text).or_else(|| Some(DateTime::parse_from_rfc2822(text).ok()?.to_utc()))
}

fn iso(text: &str) -> Option<Timestamp> {
    let (date, rest) = date(text)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, is_next_day, rest) = time(rest)?;
    let offset = offset(rest.trim_start())?;
    let local = date.and_time(time);
    let local = if is_next_day {
        local.checked_add_signed(TimeDelta::days(1))?
    } else {
        local
    };
    Some(local.and_local_timezone(offset).single()?.to_utc())
}

/// Parses `2026-03-01` or `20260301`.
fn date(text: &str) -> Option<(NaiveDate, &str)> {
    let (year, rest) = number(text, 4)?;
    let (month, day, rest) = if let Some(rest) = rest.strip_prefix('-') {
        let (month, rest) = number(rest, 2)?;
        let (day, rest) = number(rest.strip_prefix('-')?, 2)?;
        (month, day, rest)
    } else {
        let (month, rest) = number(rest, 2)?;
        let (day, rest) = number(rest, 2)?;
        (month, day, rest)
    };
    let year = i32::try_from(year).ok()?;
    Some((NaiveDate::from_ymd_opt(year, month, day)?, rest))
}

/// Parses `10:00`, `10:00:00`, `10:00:00.5`, `10:00:00,5` or the same without colons, and returns whether it is the end
/// of the day.
fn time(text: &str) -> Option<(NaiveTime, bool, &str)> {
    let (hour, rest) = number(text, 2)?;
    let colon = |text: &'_ str| -> Option<usize> { Some(usize::from(text.starts_with(':'))) };
    let (minute, mut rest) = number(rest.get(colon(rest)?..)?, 2)?;
    let (mut second, mut nanos) = (0, 0);
    if rest.starts_with(':') || rest.starts_with(|letter: char| letter.is_ascii_digit()) {
        (second, rest) = number(rest.get(colon(rest)?..)?, 2)?;
        if let Some(fraction) = rest.strip_prefix(['.', ',']) {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let nine: String = fraction
                .get(..digits)?
                .chars()
                .chain("000000000".chars())
                .take(9)
                .collect();
            nanos = nine.parse().ok().filter(|_| digits > 0)?;
            rest = fraction.get(digits..)?;
        }
    }
    if (hour, minute, second, nanos) == (24, 0, 0, 0) {
        return Some((NaiveTime::MIN, true, rest));
    }
    // a leap second is the previous second with an additional second in nanoseconds
    let (second, nanos) = if second == 60 {
        (59, nanos + 1_000_000_000)
    } else {
        (second, nanos)
    };
    Some((
        NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?,
        false,
        rest,
    ))
}

/// Parses `Z`, `UTC`, `GMT`, `+00`, `+0000` or `+00:00`, perhaps followed by the zone's name in brackets.
fn offset(text: &str) -> Option<FixedOffset> {
    let text = match text.split_once('[') {
        Some((offset, zone)) if zone.ends_with(']') => offset,
        Some(_) => return None,
        None => text,
    };
    if ["z", "utc", "gmt"]
        .iter()
        .any(|name| text.eq_ignore_ascii_case(name))
    {
        return FixedOffset::east_opt(0);
    }
    let sign = match text.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, rest) = number(text.get(1..)?, 2)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let (minutes, rest) = if rest.is_empty() {
        (0, rest)
    } else {
        number(rest, 2)?
    };
    if !rest.is_empty() || hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = i32::try_from(hours * 3_600 + minutes * 60).ok()?;
    FixedOffset::east_opt(sign * seconds)
}

/// Parses a number with this many digits at the start of a text.
fn number(text: &str, digits: usize) -> Option<(u32, &str)> {
    let (number, rest) = text.split_at_checked(digits)?;
    Some((number.parse().ok().filter(|_| is_digits(number))?, rest))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns an instant in whole microseconds, the precision of the table. Instants outside RFC 3339 are refused, as no
/// partition can be named after them.
pub(super) fn in_range(micros: i64) -> Option<Timestamp> {
    DateTime::from_timestamp_micros(micros).filter(|time| (0..=9_999).contains(&time.year()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
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

    #[test]
    fn every_form_that_means_one_instant_is_read() {
        for (text, instant) in [
            ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"),
            ("2026-03-01t10:00:00z", "2026-03-01T10:00:00Z"),
            ("2026-03-01 10:00:00Z", "2026-03-01T10:00:00Z"),
            ("2026-03-01T10:00:00.123Z", "2026-03-01T10:00:00.123Z"),
            ("2026-03-01T10:00:00,123Z", "2026-03-01T10:00:00.123Z"),
            (
                "2026-03-01T10:00:00.1234567891Z",
                "2026-03-01T10:00:00.123456Z",
            ),
            ("2026-03-01T10:00:00+0000", "2026-03-01T10:00:00Z"),
            ("2026-03-01T10:00:00.5+0530", "2026-03-01T04:30:00.500Z"),
            ("2026-03-01T10:00:00-0800", "2026-03-01T18:00:00Z"),
            ("2026-03-01T10:00:00+00", "2026-03-01T10:00:00Z"),
            ("2026-03-01T10:00:00-08", "2026-03-01T18:00:00Z"),
            ("2026-03-01T10:00:00 +0000", "2026-03-01T10:00:00Z"),
            ("2026-03-01 10:00:00 UTC", "2026-03-01T10:00:00Z"),
            ("2026-03-01T10:00:00GMT", "2026-03-01T10:00:00Z"),
            (
                "2026-03-01T10:00:00+01:00[Europe/Berlin]",
                "2026-03-01T09:00:00Z",
            ),
            ("2026-03-01T10:00Z", "2026-03-01T10:00:00Z"),
            ("20260301T100000Z", "2026-03-01T10:00:00Z"),
            ("20260301T100000.25+0100", "2026-03-01T09:00:00.250Z"),
            ("2026-02-28T24:00:00Z", "2026-03-01T00:00:00Z"),
            ("2026-12-31T24:00:00+0000", "2027-01-01T00:00:00Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
            ("2016-12-31T23:59:60+0000", "2017-01-01T00:00:00Z"),
            (" 2026-03-01T10:00:00Z\n", "2026-03-01T10:00:00Z"),
            ("Sun, 01 Mar 2026 10:00:00 GMT", "2026-03-01T10:00:00Z"),
        ] {
            let expected: Timestamp = instant.parse().unwrap();
            assert_eq!(time_of("date", text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_time_that_may_mean_another_instant_is_none() {
        for text in [
            "",
            " ",
            "yesterday",
            "2026-03-01",
            "2026-03-01T10:00:00",
            "2026-03-01 10:00:00.0",
            "2026-03-01T10:00:00 EST",
            "2026-03-01T10:00:00[Europe/Berlin]",
            "2026-03-01T10:00:00Z[Europe/Berlin",
            "2026-03-01T10:00:00+",
            "2026-03-01T10:00:00+1",
            "2026-03-01T10:00:00+24:00",
            "2026-03-01T10:00:00+00:60",
            "2026-03-01T10:00:00+000",
            "2026-03-01T10:00:00.Z",
            "2026-03-01T10:00:61Z",
            "2026-03-01T24:00:01Z",
            "2026-03-01T25:00:00+0000",
            "2026-02-30T10:00:00+0000",
            "2026-3-1T10:00:00+0000",
            "+026-03-01T10:00:00+0000",
            "03/01/2026 10:00:00",
            "２０２６-03-01T10:00:00+0000",
            "日本語日本語日本語",
            "0",
            "20260301",
            "177235920",
            "17723592000",
            "0772359200",
            "1772359200",
            "1772359200000",
            "1.7723592e9",
        ] {
            assert!(time_of("date", text).is_err(), "{text}");
        }
    }
}

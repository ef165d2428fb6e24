//! Parsing of requested pauses in headers, in all forms that servers use.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

use crate::model::Timestamp;

/// The maximum pause, which can safely be added to an instant.
const LONGEST: Duration = Duration::from_hours(24 * 365 * 10);

/// The context in which an answer's headers are parsed.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeaderContext<'h> {
    headers: &'h HeaderMap,
    /// The time of the answer: its own `Date`, so that the clocks don't have to agree, or the local clock.
    from: Timestamp,
    /// The pause for an unreadable value.
    unreadable: Duration,
}

impl<'h> HeaderContext<'h> {
    /// Returns the context of headers that arrived `now`.
    pub(super) fn new(headers: &'h HeaderMap, now: Timestamp, unreadable: Duration) -> Self {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        Self {
            headers,
            from: date.and_then(date_time).unwrap_or(now),
            unreadable,
        }
    }

    /// Returns `Retry-After`, if the answer has it.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.length(RETRY_AFTER.as_str())
    }

    /// Returns the longest pause in these headers of one name, in whole seconds, rounded up; `None` if there is none.
    ///
    /// Supported are seconds with or without a fraction or a unit, epoch seconds, milli-, micro- and nanoseconds, HTTP
    /// dates, RFC 3339, ISO 8601 durations and `h:mm:ss`, quoted or not, and lists of them. Past instants mean no
    /// pause. Unreadable values, including negative ones, mean the pause for unreadable values, as a pause was
    /// intended.
    pub(super) fn length(&self, name: &str) -> Option<Duration> {
        self.values(name).map(|value| self.length_of(&value)).max()
    }

    /// Returns the values of all headers of this name.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = Cow<'h, str>> {
        let values = self.headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()))
    }

    /// Returns the longest pause in a text: the value of a header, or of a member in one.
    pub(super) fn length_of(&self, text: &str) -> Duration {
        self.one(text)
            .or_else(|| self.several(text))
            .unwrap_or(self.unreadable)
    }

    /// Returns the longest pause in a list; a date also contains a comma.
    fn several(&self, text: &str) -> Option<Duration> {
        let mut parts = text.split(',').peekable();
        let mut longest = None;
        while let Some(part) = parts.next() {
            if part.trim().is_empty() {
                continue;
            }
            let joined = parts.peek().map(|next| format!("{part},{next}"));
            let date = joined.and_then(|both| self.until(&both));
            if date.is_some() {
                parts.next();
            }
            let wait = date.or_else(|| self.one(part)).unwrap_or(self.unreadable);
            longest = longest.max(Some(wait));
        }
        longest
    }

    fn one(&self, text: &str) -> Option<Duration> {
        let text = bare(text);
        if let Some(seconds) = seconds(text) {
            return Some(whole(self.without_epoch(seconds)));
        }
        self.until(text)
            .or_else(|| duration(&text.to_ascii_lowercase()).map(whole))
    }

    /// Returns the pause until a date, from the time of the answer.
    fn until(&self, text: &str) -> Option<Duration> {
        let wait = date_time(bare(text))? - self.from;
        Some(whole(wait.as_seconds_f64()))
    }

    /// Parses seconds that are an instant, because as a duration they would be decades.
    fn without_epoch(&self, seconds: f64) -> f64 {
        let now = self.from.timestamp_micros();
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds of this century fit"
        )]
        let now = now as f64 / 1e6;
        [1.0, 1e3, 1e6, 1e9]
            .into_iter()
            .map(|unit| seconds / unit)
            .find(|instant| EPOCH.contains(instant))
            .map_or(seconds, |instant| instant - now)
    }
}

/// The range of epoch seconds that are treated as instants: from 2001 to the end of the century.
const EPOCH: std::ops::Range<f64> = 1e9..4_102_444_800.0;

/// Returns seconds as a pause: rounded up to whole seconds, and zero if negative.
fn whole(seconds: f64) -> Duration {
    let bounded = seconds.ceil().clamp(0.0, LONGEST.as_secs_f64());
    Duration::from_secs_f64(bounded)
}

/// Returns the text without surrounding white space, quotes and parameters.
fn bare(text: &str) -> &str {
    let text = text.split(';').next().unwrap_or_default();
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`'))
}

/// Parses a non-negative number of seconds.
fn seconds(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    // `inf` and `nan` are also parsed as numbers
    if !digits.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-')) {
        return None;
    }
    digits.parse().ok().filter(|seconds: &f64| *seconds >= 0.0)
}

/// Parses durations such as `30s`, `1 min 30 sec`, `120 seconds`, `pt1m30s` and `0:01:30` into seconds.
fn duration(text: &str) -> Option<f64> {
    if text.contains(':') {
        let parts: Vec<f64> = text.split(':').map(seconds).collect::<Option<_>>()?;
        let fits = (2..=3).contains(&parts.len());
        return fits.then(|| parts.iter().fold(0.0, |sum, part| sum * 60.0 + part));
    }
    let iso = text.strip_prefix('p').map(|rest| rest.replace('t', " "));
    let mut rest = iso.as_deref().unwrap_or(text).trim_start();
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(rest.len());
        sum += number * unit(&rest[..letters])?;
        rest = rest[letters..].trim_start();
    }
    text.contains(|c: char| c.is_ascii_digit()).then_some(sum)
}

fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    })
}

/// Parses a date and time: HTTP's three forms and common variants, in any case and with any day of the week, and RFC
/// 3339 with a space or a `T`. Without a zone, it is UTC.
fn date_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Some(date.to_utc());
    }
    let upper = text.to_ascii_uppercase();
    // the date determines the day of the week
    let rest = match upper.find(|c: char| !c.is_ascii_alphabetic()) {
        Some(end) if is_weekday(&upper[..end]) => upper[end..].trim_start_matches([',', ' ']),
        _ => &upper,
    };
    let zoned = [
        "%d %b %Y %H:%M:%S%.f %z",
        "%Y-%m-%dT%H:%M:%S%.f%z",
        "%Y-%m-%d %H:%M:%S%.f %z",
    ];
    if let Some(date) = (zoned.iter()).find_map(|form| DateTime::parse_from_str(rest, form).ok()) {
        return Some(date.to_utc());
    }
    let plain = ["GMT", "UTC", "UT", "Z"]
        .into_iter()
        .find_map(|zone| rest.strip_suffix(zone))
        .unwrap_or(rest)
        .trim_end();
    [
        "%d %b %Y %H:%M:%S%.f",
        "%d-%b-%y %H:%M:%S",
        "%d-%b-%Y %H:%M:%S",
        "%b %e %H:%M:%S %Y",
        "%b %e %H:%M:%S GMT %Y",
        "%b %e %H:%M:%S UTC %Y",
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
    ]
    .into_iter()
    .find_map(|form| NaiveDateTime::parse_from_str(plain, form).ok())
    .map(|date| date.and_utc())
}

fn is_weekday(word: &str) -> bool {
    let days = [
        "MONDAY",
        "TUESDAY",
        "WEDNESDAY",
        "THURSDAY",
        "FRIDAY",
        "SATURDAY",
        "SUNDAY",
    ];
    word.len() >= 3 && days.iter().any(|day| day.starts_with(word))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNREADABLE: u64 = 77;

    /// Parses with a local clock that shows Sun, 06 Nov 1994 08:49:37 GMT.
    fn asked(pairs: &[(&'static str, &str)]) -> Option<u64> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let now = DateTime::from_timestamp(784_111_777, 0).unwrap();
        let reading = HeaderContext::new(&headers, now, Duration::from_secs(UNREADABLE));
        reading.retry_after().map(|wait| wait.as_secs())
    }

    fn after(text: &str) -> Option<u64> {
        asked(&[("retry-after", text)])
    }

    #[test]
    fn every_form_of_a_length_is_read_and_none_shortened() {
        for (text, seconds) in [
            ("120", 120),
            ("0", 0),
            ("8.5", 9),
            ("8.0", 8),
            (".5", 1),
            ("0.001", 1),
            ("+30", 30),
            ("  7  ", 7),
            ("\"30\"", 30),
            ("'30'", 30),
            ("30;comment=later", 30),
            ("1e2", 100),
            ("30s", 30),
            ("30 S", 30),
            ("120 seconds", 120),
            ("1 Minute", 60),
            ("1m30s", 90),
            ("1 min 30 sec", 90),
            ("1500ms", 2),
            ("2h", 7_200),
            ("1.5 hours", 5_400),
            ("PT30S", 30),
            ("PT1M30.2S", 91),
            ("P1DT1S", 86_401),
            ("00:01:30", 90),
            ("1:30", 90),
            ("50, 53", 53),
            ("53,50", 53),
            ("5, 6.2, ,7s", 7),
            ("99999999999999999999999", LONGEST.as_secs()),
            ("1e999", LONGEST.as_secs()),
        ] {
            assert_eq!(after(text), Some(seconds), "{text}");
        }
        assert_eq!(asked(&[]), None);
        let twice = [("retry-after", "5"), ("retry-after", "9")];
        assert_eq!(asked(&twice), Some(9));
    }

    #[test]
    fn every_form_of_an_instant_is_read_against_the_answers_own_clock() {
        for date in [
            "Sun, 06 Nov 1994 08:50:37 GMT",
            "Sunday, 06-Nov-94 08:50:37 GMT",
            "Sun Nov  6 08:50:37 1994",
            "sun, 06 nov 1994 08:50:37 gmt",
            "Mon, 6 Nov 1994 08:50:37 GMT",
            "06 Nov 1994 08:50:37 GMT",
            "Sun, 06 Nov 1994 08:50:37 UTC",
            "Sun, 06 Nov 1994 08:50:37",
            "Sun, 06 Nov 1994 09:50:37 +0100",
            "Sun, 06-Nov-1994 08:50:37 GMT",
            "\"Sun, 06 Nov 1994 08:50:37 GMT\"",
            "Sun Nov 6 08:50:37 UTC 1994",
            "1994-11-06T08:50:37Z",
            "1994-11-06t08:50:36.2z",
            "1994-11-06T09:50:37+01:00",
            "1994-11-06T09:50:37+0100",
            "1994-11-06 08:50:37",
            "Sun, 06 Nov 1994 08:50:37 GMT, Sun, 06 Nov 1994 08:50:00 GMT",
            "7, Sun, 06 Nov 1994 08:50:37 GMT",
        ] {
            assert_eq!(after(date), Some(60), "{date}");
        }
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "past");
        // the server's clock is 50 s ahead of the local one
        let date = ("date", "Sun, 06 Nov 1994 08:50:27 GMT");
        let until = ("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT");
        assert_eq!(asked(&[until, date]), Some(10));
        // epoch seconds, with a clock of this century
        let date = ("date", "2026-11-20T00:00:00Z");
        for epoch in [
            "1795132812",
            "1795132811.5",
            "1795132812000",
            "1795132812000000",
            "1795132812000000000",
        ] {
            assert_eq!(asked(&[("retry-after", epoch), date]), Some(12), "{epoch}");
        }
        assert_eq!(asked(&[("retry-after", "1700000000"), date]), Some(0));
    }

    #[test]
    fn what_cannot_be_read_was_meant_to_be_a_wait() {
        for nonsense in [
            "",
            " ",
            "soon",
            "-5",
            "-0.1",
            "NaN",
            "inf",
            "3x",
            "s",
            "5 6",
            "1:2:3:4",
            ",",
            "P",
            "Sun, 99 Nov 1994 08:50:37 GMT",
            "now()",
        ] {
            assert_eq!(after(nonsense), Some(UNREADABLE), "{nonsense:?}");
        }
        assert_eq!(after("5, soon"), Some(UNREADABLE));
        assert_eq!(after("500, soon"), Some(500));
    }

    proptest! {
        #[test]
        fn any_text_is_some_wait(text in "[ -~]{0,40}") {
            prop_assert!(after(&text).unwrap() <= LONGEST.as_secs());
        }

        #[test]
        fn a_number_is_never_shortened(seconds in 0.0..1e8_f64) {
            let wait = Duration::from_secs(after(&seconds.to_string()).unwrap());
            prop_assert!(wait.as_secs_f64() >= seconds);
        }
    }
}

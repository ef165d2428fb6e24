//! The wall clock, which is only read here, and the clocks of other machines.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use http::HeaderMap;
use http::header::{AGE, DATE};

use crate::clocks::{ClockReading, ClockReadings, JudgedTime, judge};
use crate::model::Timestamp;

/// An instant before this version was built: a clock that shows an earlier time is wrong.
///
/// Intentionally coarse: a clock that is a few days off is detected by the others. Moved forward with each release.
pub const BUILT: Timestamp = match DateTime::from_timestamp(1_767_225_600, 0) {
    Some(at) => at, // 2026-01-01
    None => DateTime::<Utc>::UNIX_EPOCH,
};

/// A clock: the real one, or a fixed instant (`--as-of`, demo, tests).
///
/// Only used for planning. Claims always use [`real_now`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// Always the same instant.
    AsOf(Timestamp),
}

/// Returns the time of the machine's clock in whole microseconds, the precision of the table and of the commit log.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn real_now() -> Timestamp {
    whole_micros(Utc::now())
}

/// Compares the local clock with the others, as far as they are known.
pub fn judged(store: Option<&RemoteClock>, api: Option<&RemoteClock>) -> JudgedTime {
    let (local, instant) = (real_now(), Instant::now());
    let at = |clock: Option<&RemoteClock>| clock.and_then(|clock| clock.at(instant));
    let readings = ClockReadings {
        local,
        store: at(store),
        api: at(api),
    };
    judge(&readings, BUILT)
}

fn whole_micros(at: Timestamp) -> Timestamp {
    at - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos() % 1_000))
}

/// The clock of another machine, as shown by its last answer. Between answers it advances by this machine's monotonic
/// clock, which can't be set. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct RemoteClock(Arc<Mutex<Option<ClockSample>>>);

/// The reading of a clock at a moment between two instants.
#[derive(Debug, Clone, Copy)]
struct ClockSample {
    shown: Timestamp,
    /// The amount by which `shown` may be rounded down.
    precision: TimeDelta,
    sent: Instant,
    received: Instant,
}

impl RemoteClock {
    /// Records the `Date` of an answer that was just received to a request sent at `sent`.
    pub fn hear(&self, headers: &HeaderMap, sent: Instant) {
        if let Some(shown) = date_of(headers) {
            self.note(shown, TimeDelta::seconds(1), sent);
        }
    }

    /// Records its reading at a moment between `sent` and now.
    pub fn note(&self, shown: Timestamp, precision: TimeDelta, sent: Instant) {
        *self.lock() = Some(ClockSample {
            shown: whole_micros(shown),
            precision,
            sent,
            received: Instant::now(),
        });
    }

    /// Drops the reading.
    pub fn forget(&self) {
        *self.lock() = None;
    }

    /// Returns its time at an instant before or after the reading; `None` without one.
    pub fn at(&self, instant: Instant) -> Option<ClockReading> {
        let heard = (*self.lock())?;
        Some(ClockReading {
            earliest: heard
                .shown
                .checked_add_signed(since(heard.received, instant))?,
            latest: (heard.shown + heard.precision)
                .checked_add_signed(since(heard.sent, instant))?,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<ClockSample>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the time from one instant to another, which may be earlier.
fn since(from: Instant, to: Instant) -> TimeDelta {
    let length = |length: Duration| {
        let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        TimeDelta::microseconds(micros)
    };
    match to.checked_duration_since(from) {
        Some(after) => length(after),
        None => -length(from.duration_since(to)),
    }
}

/// Returns the `Date` of an answer, unless a cache has stored the answer, as shown by `Age`.
pub fn date_of(headers: &HeaderMap) -> Option<Timestamp> {
    if headers.contains_key(AGE) {
        return None;
    }
    http_date(headers.get(DATE)?.to_str().ok()?)
}

/// Parses a date in any of HTTP's three forms.
fn http_date(text: &str) -> Option<Timestamp> {
    if let Ok(date) = DateTime::parse_from_rfc2822(text) {
        return Some(date.to_utc());
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .into_iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .map(|date| date.and_utc())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_clock_goes_on_between_answers_and_a_cache_s_answer_says_nothing() {
        let clock = RemoteClock::default();
        let sent = Instant::now();
        assert_eq!(clock.at(sent), None);
        clock.hear(
            &headers(&[("age", "3"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")]),
            sent,
        );
        clock.hear(&headers(&[("date", "yesterday")]), sent);
        assert_eq!(clock.at(sent), None);
        clock.hear(&headers(&[("date", "Sun, 06 Nov 1994 08:49:37 GMT")]), sent);
        let shown: Timestamp = "1994-11-06T08:49:37Z".parse().unwrap();
        let hour = Duration::from_hours(1);
        let later = clock.at(sent + hour).unwrap();
        assert_eq!(later.latest, shown + TimeDelta::seconds(3_601));
        assert!(later.earliest <= shown + TimeDelta::hours(1));
        assert!(later.earliest > shown + TimeDelta::minutes(59));
        let before = clock.at(sent.checked_sub(hour).unwrap()).unwrap();
        assert_eq!(before.latest, shown - TimeDelta::seconds(3_599));
    }

    /// [`BUILT`] has to be moved forward occasionally to be useful, and must never be in the future.
    #[test]
    fn what_is_taken_for_the_time_of_the_build_is_not_older_than_a_year_at_a_release() {
        assert!(BUILT < real_now());
        let released = include_str!("../CHANGELOG.md")
            .lines()
            .filter_map(|line| line.strip_prefix("## [")?.split_once("] - "))
            .filter_map(|(_, date)| date.trim().parse::<chrono::NaiveDate>().ok())
            .max();
        if let Some(released) = released {
            let days = (released - BUILT.date_naive()).num_days();
            assert!(
                (0..=366).contains(&days),
                "{days} days before the newest release"
            );
        }
    }
}

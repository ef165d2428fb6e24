//! The whole days requested for a range, and the instants that they may cover.

use chrono::{MappedLocalTime, NaiveDate, NaiveTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;

use crate::model::{Range, Timestamp};

/// The greatest offset of a zone ahead of UTC, and behind it.
const AHEAD: TimeDelta = TimeDelta::hours(14);
const BEHIND: TimeDelta = TimeDelta::hours(12);
/// More than any offset change, except at the date line, where a whole day was skipped.
const TURN: TimeDelta = TimeDelta::hours(25);

/// Consecutive days by the provider's clock, inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Days {
    pub(super) first: NaiveDate,
    pub(super) last: NaiveDate,
}

impl Days {
    /// Returns the days that overlap the range with any midnight of the provider: if its zone is unknown, an additional
    /// day on each side.
    pub(super) fn touching(range: Range, zone: Option<Tz>) -> Self {
        let last_instant = range.to() - TimeDelta::microseconds(1);
        let Some(zone) = zone else {
            return Self {
                first: before(range.from().date_naive()),
                last: after(last_instant.date_naive()),
            };
        };
        let first = range.from().with_timezone(&zone).date_naive();
        let last = last_instant.with_timezone(&zone).date_naive();
        // if midnight is ambiguous or skipped, servers differ in the day to which its hour belongs
        Self {
            first: if midnight(first, zone).single().is_some() {
                first
            } else {
                before(first)
            },
            last: if midnight(after(last), zone).single().is_some() {
                last
            } else {
                after(last)
            },
        }
    }

    /// Returns all instants that these days may cover.
    pub(super) fn instants(self, zone: Option<Tz>) -> Option<Range> {
        let end = after(self.last);
        let utc = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        let (from, to) = match zone {
            None => (utc(self.first) - AHEAD, utc(end) + BEHIND),
            Some(zone) => (
                (midnight(self.first, zone).earliest()).map_or(utc(self.first) - TURN, in_utc),
                (midnight(end, zone).latest()).map_or(utc(end) + TURN, in_utc),
            ),
        };
        Range::new(from, to)
    }
}

/// Formats as `mm/dd/yyyy`, zero-padded.
pub(super) fn written(day: NaiveDate) -> String {
    day.format("%m/%d/%Y").to_string()
}

fn in_utc(time: chrono::DateTime<Tz>) -> Timestamp {
    time.to_utc()
}

fn midnight(day: NaiveDate, zone: Tz) -> MappedLocalTime<chrono::DateTime<Tz>> {
    zone.from_local_datetime(&day.and_time(NaiveTime::MIN))
}

/// Returns the previous day; the calendar's first day is returned unchanged.
fn before(day: NaiveDate) -> NaiveDate {
    day.pred_opt().unwrap_or(day)
}

/// Returns the next day; the calendar's last day is returned unchanged.
fn after(day: NaiveDate) -> NaiveDate {
    day.succ_opt().unwrap_or(day)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(from: &str, to: &str) -> Range {
        Range::new(from.parse().unwrap(), to.parse().unwrap()).unwrap()
    }

    fn shown(zone: Option<&str>, from: &str, to: &str) -> String {
        let zone = zone.map(|zone| zone.parse().unwrap());
        let days = Days::touching(range(from, to), zone);
        format!(
            "{} to {}, {}",
            written(days.first),
            written(days.last),
            days.instants(zone).unwrap()
        )
    }

    #[test]
    fn a_day_is_asked_for_by_the_days_that_touch_it() {
        let day = |zone| shown(zone, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z");
        insta::assert_snapshot!(day(None), @"02/28/2026 to 03/02/2026, 2026-02-27T10:00:00Z..2026-03-03T12:00:00Z");
        insta::assert_snapshot!(day(Some("UTC")), @"03/01/2026 to 03/01/2026, 2026-03-01T00:00:00Z..2026-03-02T00:00:00Z");
        insta::assert_snapshot!(day(Some("America/New_York")), @"02/28/2026 to 03/01/2026, 2026-02-28T05:00:00Z..2026-03-02T05:00:00Z");
        insta::assert_snapshot!(day(Some("Pacific/Kiritimati")), @"03/01/2026 to 03/02/2026, 2026-02-28T10:00:00Z..2026-03-02T10:00:00Z");
        // Havana's midnight is ambiguous on 2026-11-01, Beirut's is skipped on 2026-03-29: an additional day is
        // requested
        insta::assert_snapshot!(shown(Some("America/Havana"), "2026-11-01T04:30:00Z", "2026-11-01T12:00:00Z"), @"10/31/2026 to 11/01/2026, 2026-10-31T04:00:00Z..2026-11-02T05:00:00Z");
        insta::assert_snapshot!(shown(Some("Asia/Beirut"), "2026-03-28T12:00:00Z", "2026-03-28T13:00:00Z"), @"03/28/2026 to 03/29/2026, 2026-03-27T22:00:00Z..2026-03-29T21:00:00Z");
    }

    proptest! {
        #[test]
        fn every_instant_of_a_range_lies_in_the_days_that_are_asked_for(
            from in 0_i64..4_000_000_000, length in 1_i64..400_000, offset in -12_i32..=14,
        ) {
            let at = |second| chrono::DateTime::from_timestamp(second, 0).unwrap();
            let range = Range::new(at(from), at(from + length)).unwrap();
            // POSIX names have the opposite sign
            let zone: Tz = format!("Etc/GMT{:+}", -offset).parse().unwrap();
            for known in [None, Some(zone)] {
                let days = Days::touching(range, known);
                let instants = days.instants(known).unwrap();
                for instant in [range.from(), range.to() - TimeDelta::microseconds(1)] {
                    let day = instant.with_timezone(&zone).date_naive();
                    prop_assert!(days.first <= day && day <= days.last);
                    prop_assert!(instants.contains(instant));
                }
                // and no returned record counts as outside
                let midnight = |day| midnight(day, zone).single().unwrap().to_utc();
                prop_assert!(instants.from() <= midnight(days.first));
                prop_assert!(instants.to() >= midnight(after(days.last)));
            }
        }
    }
}

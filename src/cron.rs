//! Schedules: a cron expression in a time zone.

use std::fmt;
use std::str::FromStr;

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone,
    Timelike,
};
use chrono_tz::Tz;
use croner::Cron;
use croner::errors::CronError;

use crate::model::Timestamp;

/// The nicknames and their expressions.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// How far ahead a match is searched. The rarest pattern, a 29 February on a given weekday, recurs within 40 years.
const SEARCH_YEARS: i32 = 41;

/// A cron expression in a time zone.
///
/// For changes of the zone's offset, there are two rules, as in Vixie cron:
///
/// - **Intervals** (seconds, minutes or hours begin with `*`, like `*/15 * * * *`) fire at every instant whose local
///   time matches. So `*/15` fires every 15 real minutes; a local time that occurs twice fires twice, and one that
///   doesn't exist doesn't fire.
/// - **Fixed times** (all else, like `30 2 * * *`) fire once for each local time. One that doesn't exist fires at the
///   first instant after the gap, together with all others in the gap; one that occurs twice fires at the first.
#[derive(Clone)]
pub struct CronSchedule {
    expression: String,
    cron: Cron,
    /// The matching hours, minutes and seconds, ascending.
    hours: Vec<u32>,
    minutes: Vec<u32>,
    seconds: Vec<u32>,
    zone: Tz,
}

/// An expression is invalid, or never fires. The message doesn't contain the expression, which the caller adds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It has neither five or six fields, nor is it a nickname.
    #[error(
        "isn't a cron expression of 5 or 6 fields (`*/15 * * * *`), nor one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly"
    )]
    Shape,
    /// A field can't be parsed.
    #[error("isn't a cron expression: {0}")]
    Field(String),
    /// No date matches.
    #[error("never fires: no date matches it")]
    Never,
}

impl FromStr for CronSchedule {
    type Err = ScheduleError;

    /// Parses a cron expression, with the zone UTC unless [`CronSchedule::in_zone`] is called.
    fn from_str(expression: &str) -> Result<Self, ScheduleError> {
        let expression = expression.trim();
        let nickname = NICKNAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(expression));
        let fields = nickname.map_or(expression, |(_, fields)| fields);
        if fields.contains('@') || !(5..=6).contains(&fields.split_whitespace().count()) {
            return Err(ScheduleError::Shape);
        }
        let cron = Cron::from_str(fields).map_err(|error| {
            ScheduleError::Field(match error {
                CronError::IllegalCharacters(_) => {
                    "a field has a character that doesn't belong there".to_owned()
                }
                CronError::ComponentError(why) => why.trim_end_matches('.').to_lowercase(),
                other => other.to_string(),
            })
        })?;
        let pattern = &cron.pattern;
        let schedule = Self {
            expression: expression.to_owned(),
            hours: matching(24, |hour| pattern.hour_match(hour)),
            minutes: matching(60, |minute| pattern.minute_match(minute)),
            seconds: matching(60, |second| pattern.second_match(second)),
            cron,
            zone: Tz::UTC,
        };
        let some_leap_day = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default();
        schedule
            .local_match(some_leap_day.and_time(NaiveTime::MIN))
            .ok_or(ScheduleError::Never)?;
        Ok(schedule)
    }
}

impl CronSchedule {
    /// Returns the expression in another zone.
    #[must_use]
    pub fn in_zone(mut self, zone: Tz) -> Self {
        self.zone = zone;
        self
    }

    /// Returns the expression as given.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Returns the first instant strictly after `instant` at which it fires; `None` only at the end of the calendar.
    pub fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        // Between two changes of the zone's offset, local time is continuous, so that matching local times is enough.
        // `least` is the first local time that may still fire in the current period.
        let mut from = DateTime::from_timestamp(instant.timestamp(), 0)?;
        let mut least = self
            .local(from)?
            .checked_add_signed(TimeDelta::seconds(1))?;
        if self.is_fixed()
            && let Some(turn) = from
                .checked_sub_days(Days::new(1))
                .and_then(|before| self.first_turn(before, from))
        {
            least = least.max(self.local_before(turn)?);
        }
        loop {
            let offset = self.offset(from);
            let candidate = self
                .local_match(least)?
                .checked_sub_signed(offset)?
                .and_utc();
            let Some(turn) = self.first_turn(from, candidate) else {
                return Some(candidate);
            };
            let (before, after) = (self.local_before(turn)?, self.local(turn)?);
            if !self.is_fixed() {
                least = after;
            } else if before < after {
                // From `least` on, which may be after `before`, nothing has fired so far.
                if self
                    .local_match(before.max(least))
                    .is_some_and(|at| at < after)
                {
                    return Some(turn);
                }
                least = after;
            } else {
                least = before.max(least);
            }
            from = turn;
        }
    }

    /// Returns whether it is a fixed time instead of an interval.
    fn is_fixed(&self) -> bool {
        let pattern = &self.cron.pattern;
        ![&pattern.seconds, &pattern.minutes, &pattern.hours]
            .iter()
            .any(|component| component.from_wildcard)
    }

    /// Returns the first matching local time from `least` on, even if it doesn't exist in the zone.
    fn local_match(&self, least: NaiveDateTime) -> Option<NaiveDateTime> {
        let last_year = least.year().checked_add(SEARCH_YEARS)?;
        let mut date = least.date();
        if let Some(time) = self.time_match(least.time())
            && self.date_matches(date)
        {
            return Some(date.and_time(time));
        }
        let first = self.time_match(NaiveTime::MIN)?;
        loop {
            date = if self.cron.pattern.month_match(date.month()).ok()? {
                date.succ_opt()?
            } else {
                let (year, month) = (date.year() + i32::from(date.month() == 12), date.month());
                NaiveDate::from_ymd_opt(year, month % 12 + 1, 1)?
            };
            if date.year() > last_year {
                return None;
            }
            if self.date_matches(date) {
                return Some(date.and_time(first));
            }
        }
    }

    fn date_matches(&self, date: NaiveDate) -> bool {
        let pattern = &self.cron.pattern;
        pattern.month_match(date.month()).unwrap_or(false)
            && pattern
                .day_match(date.year(), date.month(), date.day())
                .unwrap_or(false)
    }

    /// Returns the first matching time of day from `least` on.
    fn time_match(&self, least: NaiveTime) -> Option<NaiveTime> {
        let (hour, minute, second) = (least.hour(), least.minute(), least.second());
        let (&first_minute, &first_second) = (self.minutes.first()?, self.seconds.first()?);
        let in_minute = || Some((hour, minute, from(&self.seconds, second)?));
        let in_hour = || Some((hour, from(&self.minutes, minute + 1)?, first_second));
        let in_day = || Some((from(&self.hours, hour + 1)?, first_minute, first_second));
        let hour_matches = self.hours.contains(&hour);
        let minute_matches = hour_matches && self.minutes.contains(&minute);
        let (hour, minute, second) = None
            .or_else(|| minute_matches.then(in_minute).flatten())
            .or_else(|| hour_matches.then(in_hour).flatten())
            .or_else(in_day)?;
        NaiveTime::from_hms_opt(hour, minute, second)
    }

    fn offset(&self, instant: Timestamp) -> TimeDelta {
        let offset = self.zone.offset_from_utc_datetime(&instant.naive_utc());
        TimeDelta::seconds(i64::from(offset.fix().local_minus_utc()))
    }

    /// Returns the local time at `instant`.
    fn local(&self, instant: Timestamp) -> Option<NaiveDateTime> {
        instant.naive_utc().checked_add_signed(self.offset(instant))
    }

    /// Returns the local time at `turn` with the previous offset.
    fn local_before(&self, turn: Timestamp) -> Option<NaiveDateTime> {
        let offset = self.offset(turn.checked_sub_signed(TimeDelta::seconds(1))?);
        turn.naive_utc().checked_add_signed(offset)
    }

    /// Returns the first instant in `(from, to]` at which the zone's offset changes.
    fn first_turn(&self, from: Timestamp, to: Timestamp) -> Option<Timestamp> {
        let offset = self.offset(from);
        let mut unturned = from;
        loop {
            let mut turned = unturned
                .checked_add_days(Days::new(1))
                .unwrap_or(to)
                .min(to);
            if self.offset(turned) == offset {
                if turned == to {
                    return None;
                }
                unturned = turned;
                continue;
            }
            while (turned - unturned).num_seconds() > 1 {
                let half = unturned + TimeDelta::seconds((turned - unturned).num_seconds() / 2);
                if self.offset(half) == offset {
                    unturned = half;
                } else {
                    turned = half;
                }
            }
            return Some(turned);
        }
    }
}

/// Returns the matching values below `end`, ascending.
fn matching(end: u32, matches: impl Fn(u32) -> Result<bool, CronError>) -> Vec<u32> {
    (0..end)
        .filter(|value| matches(*value).unwrap_or(false))
        .collect()
}

/// Returns the first of the ascending values from `least` on.
fn from(values: &[u32], least: u32) -> Option<u32> {
    values.iter().copied().find(|value| *value >= least)
}

impl PartialEq for CronSchedule {
    fn eq(&self, other: &Self) -> bool {
        (&self.expression, self.zone) == (&other.expression, other.zone)
    }
}

impl Eq for CronSchedule {}

impl fmt::Debug for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CronSchedule({self})")
    }
}

/// Formats as `*/15 * * * * (Europe/Berlin)`.
impl fmt::Display for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.expression, self.zone)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use chrono::Utc;
    use proptest::prelude::*;

    use super::*;

    fn schedule(expression: &str, zone: &str) -> CronSchedule {
        let schedule: CronSchedule = expression.parse().unwrap();
        schedule.in_zone(zone.parse().unwrap())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Returns the local times with their offsets at which it fires in the day after `from`.
    fn day(expression: &str, zone: &str, from: &str) -> Vec<String> {
        let schedule = schedule(expression, zone);
        let mut now = at(from);
        let end = now + TimeDelta::days(1);
        let mut fired = Vec::new();
        while let Some(next) = schedule.next_after(now).filter(|next| *next <= end) {
            let local = next.with_timezone(&schedule.zone);
            fired.push(local.format("%H:%M:%S%:z").to_string());
            now = next;
        }
        fired
    }

    #[test]
    fn a_fixed_time_that_does_not_exist_fires_once_after_the_gap() {
        let spring = "2026-03-28T23:00:00Z"; // in Berlin 02:00 becomes 03:00 at 01:00Z
        assert_eq!(
            day("30 2 * * *", "Europe/Berlin", spring),
            ["03:00:00+02:00"]
        );
        assert_eq!(
            day("0,30 2 * * *", "Europe/Berlin", spring),
            ["03:00:00+02:00"]
        );
        assert_eq!(
            day("30 1,2,3 * * *", "Europe/Berlin", spring),
            ["01:30:00+01:00", "03:00:00+02:00", "03:30:00+02:00"]
        );
        assert_eq!(
            day("0 3 * * *", "Europe/Berlin", spring),
            ["03:00:00+02:00"]
        );
    }

    #[test]
    fn a_fixed_time_that_occurs_twice_fires_at_the_first() {
        let autumn = "2026-10-24T22:00:00Z"; // in Berlin 03:00 becomes 02:00 at 01:00Z
        assert_eq!(
            day("30 2 * * *", "Europe/Berlin", autumn),
            ["02:30:00+02:00"]
        );
        let within = at("2026-10-25T01:10:00Z"); // 02:10 for the second time
        let next = schedule("30 2 * * *", "Europe/Berlin").next_after(within);
        assert_eq!(next, Some(at("2026-10-26T01:30:00Z")));
    }

    #[test]
    fn intervals_keep_to_real_time() {
        let spring = day("0 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z");
        assert_eq!(spring[..2], ["03:00:00+02:00", "04:00:00+02:00"]);
        let autumn = day("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z");
        assert_eq!(
            autumn[..3],
            ["02:00:00+02:00", "02:00:00+01:00", "03:00:00+01:00"]
        );
    }

    #[test]
    fn a_day_that_a_zone_skipped_is_made_up_for() {
        let fired = day("0 12 * * *", "Pacific/Apia", "2011-12-30T00:00:00Z");
        assert_eq!(fired, ["00:00:00+14:00", "12:00:00+14:00"]);
    }

    #[test]
    fn six_fields_begin_with_seconds_and_nicknames_work() {
        let next =
            |expression: &str| schedule(expression, "UTC").next_after(at("2026-02-27T10:20:30.5Z"));
        assert_eq!(next("*/20 * * * * *"), Some(at("2026-02-27T10:20:40Z")));
        assert_eq!(next("@hourly"), Some(at("2026-02-27T11:00:00Z")));
        assert_eq!(next("@MONTHLY"), Some(at("2026-03-01T00:00:00Z")));
        assert_eq!(next("0 9 29 2 *"), Some(at("2028-02-29T09:00:00Z")));
        assert_eq!(next("0 9 29 2 +MON"), Some(at("2044-02-29T09:00:00Z")));
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        let why = |expression: &str| CronSchedule::from_str(expression).unwrap_err().to_string();
        assert_eq!(why("0 0 30 2 *"), "never fires: no date matches it");
        assert_eq!(why(", * * * *"), "never fires: no date matches it");
        insta::assert_snapshot!(why("every day"), @"isn't a cron expression of 5 or 6 fields (`*/15 * * * *`), nor one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly");
        insta::assert_snapshot!(why("@often"), @"isn't a cron expression of 5 or 6 fields (`*/15 * * * *`), nor one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly");
        insta::assert_snapshot!(why("61 * * * *"), @"isn't a cron expression: number out of bounds");
        insta::assert_snapshot!(why("a * * * *"), @"isn't a cron expression: a field has a character that doesn't belong there");
    }

    const ZONES: [&str; 8] = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
        "Pacific/Apia",
        "Africa/Casablanca",
    ];

    prop_compose! {
        fn any_instant()(second in 1_262_304_000_i64..2_240_611_200, micros in 0_u32..1_000_000) -> Timestamp {
            DateTime::from_timestamp(second, micros * 1_000).unwrap()
        }
    }

    /// Generates an instant within three hours of an offset change, in a zone that has one.
    fn near_a_turn() -> impl Strategy<Value = (&'static str, Timestamp)> {
        let away = -10_800_i64..10_800;
        (prop::sample::select(&ZONES[..]), any_instant(), away).prop_map(|(zone, instant, away)| {
            let schedule = schedule("@daily", zone);
            let turn = schedule.first_turn(instant, instant + TimeDelta::days(400));
            (zone, turn.unwrap_or(instant) + TimeDelta::seconds(away))
        })
    }

    fn any_expression() -> impl Strategy<Value = String> {
        let second = prop::sample::select(&["", "0 ", "*/20 ", "59 "][..]);
        let minute = prop::sample::select(&["*", "*/15", "0", "30", "7-50/9", "0,59"][..]);
        let hour = prop::sample::select(&["*", "*/6", "0", "1-3", "2", "23"][..]);
        let day = prop::sample::select(
            &[
                "* * *", "* * SUN", "1,15 * *", "L * *", "* 3,10 *", "29 2 *",
            ][..],
        );
        (second, minute, hour, day).prop_map(|(s, m, h, d)| format!("{s}{m} {h} {d}"))
    }

    /// Returns when each matching local time of the days around `instant` fires, by the rule for fixed times.
    fn local_times(schedule: &CronSchedule, instant: Timestamp) -> impl Iterator<Item = Timestamp> {
        let today = instant.with_timezone(&schedule.zone).date_naive();
        let dates = (-2..=2).map(move |day| today + TimeDelta::days(day));
        let dates = dates.filter(|date| schedule.date_matches(*date));
        dates.flat_map(move |date| {
            let minutes = schedule
                .hours
                .iter()
                .flat_map(|hour| schedule.minutes.iter().map(move |minute| (hour, minute)));
            minutes.filter_map(move |(hour, minute)| {
                let second = schedule.seconds[0];
                let mut local = date.and_hms_opt(*hour, *minute, second).unwrap();
                let mut fires = schedule.zone.from_local_datetime(&local).earliest();
                while fires.is_none() {
                    // all gaps of these years end on a whole minute
                    local = local.with_second(0).unwrap() + TimeDelta::minutes(1);
                    fires = schedule.zone.from_local_datetime(&local).earliest();
                }
                fires.map(|fires| fires.to_utc())
            })
        })
    }

    proptest! {
        #[test]
        fn it_is_strictly_later_and_matches_in_local_time(
            expression in any_expression(), (zone, instant) in near_a_turn(),
        ) {
            let schedule = schedule(&expression, zone);
            let mut now = instant;
            for _ in 0..5 {
                let next = schedule.next_after(now).unwrap();
                prop_assert!(next > now);
                let local = next.with_timezone(&schedule.zone);
                let after_gap = schedule.is_fixed()
                    && schedule.first_turn(next - TimeDelta::seconds(1), next).is_some();
                prop_assert!(after_gap || schedule.cron.is_time_matching(&local).unwrap(), "{local}");
                now = next;
            }
        }

        #[test]
        fn nothing_between_is_skipped(expression in any_expression(), (zone, instant) in near_a_turn()) {
            let schedule = schedule(&expression, zone);
            let next = schedule.next_after(instant).unwrap();
            if schedule.is_fixed() {
                let first = local_times(&schedule, instant).filter(|fires| *fires > instant).min();
                prop_assert_eq!(first.unwrap_or(next), next);
                prop_assert!(first.is_some() || next > instant + TimeDelta::days(1));
            } else {
                let first = DateTime::from_timestamp(instant.timestamp() + 1, 0).unwrap();
                let seconds = (0..10_800).map(|second| first + TimeDelta::seconds(second));
                for second in seconds.take_while(|second| *second < next) {
                    let local = second.with_timezone(&schedule.zone);
                    prop_assert!(!schedule.cron.is_time_matching(&local).unwrap(), "{local}");
                }
            }
        }

        #[test]
        fn the_same_instants_come_from_wherever_one_asks(
            expression in any_expression(), (zone, instant) in near_a_turn(), back in 1_i64..7_200,
        ) {
            let schedule = schedule(&expression, zone);
            let mut now = instant - TimeDelta::seconds(back);
            while let Some(next) = schedule.next_after(now).filter(|next| *next <= instant) {
                now = next;
            }
            prop_assert_eq!(schedule.next_after(now), schedule.next_after(instant));
        }

        #[test]
        fn every_quarter_hour_is_every_quarter_hour((zone, instant) in near_a_turn()) {
            let schedule = schedule("*/15 * * * *", zone);
            let mut now = schedule.next_after(instant).unwrap();
            for _ in 0..30 {
                let next = schedule.next_after(now).unwrap();
                prop_assert_eq!(next - now, TimeDelta::minutes(15));
                now = next;
            }
        }

        #[test]
        fn it_never_panics(expression in "[-*/,0-9@A-Z#?+ ]{0,24}", second in any::<i64>()) {
            if let Ok(schedule) = CronSchedule::from_str(&expression)
                && let Some(instant) = DateTime::<Utc>::from_timestamp(second % 8_000_000_000_000, 0)
            {
                let _ = schedule.in_zone(Tz::Europe__Berlin).next_after(instant);
            }
        }
    }
}

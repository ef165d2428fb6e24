//! Which clocks are believed: pure functions from what the clocks show at one instant to what a run takes for now.
//!
//! A run sees up to three clocks: this machine's, the store's and the API's. None of them is believed alone. Now is the
//! least of those that are believed, so that a range is never taken for pulled before its events have happened.

use std::fmt;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::model::Timestamp;
use crate::text;

/// Clocks that differ by no more than this agree: a `Date` has whole seconds, and answers take their time.
pub const TOLERANCE: TimeDelta = TimeDelta::minutes(1);
/// A clock that is further behind two others that agree is ignored.
const FAR_BEHIND: TimeDelta = TimeDelta::days(1);

/// Whose clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockOwner {
    /// This machine's.
    Local,
    /// That of the store in which the lake lies.
    Store,
    /// That of the provider's API.
    Api,
    /// One that a later version knows.
    #[serde(other)]
    Unknown,
}

/// `the local clock`, `the store's clock`, `the API's clock`.
impl fmt::Display for ClockOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "the local clock",
            Self::Store => "the store's clock",
            Self::Api => "the API's clock",
            Self::Unknown => "another clock",
        })
    }
}

/// What a clock shows at one instant, as closely as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The earliest time that it may show.
    pub earliest: Timestamp,
    /// The latest.
    pub latest: Timestamp,
}

impl ClockReading {
    /// The reading of a clock that is at hand.
    pub fn exact(at: Timestamp) -> Self {
        Self {
            earliest: at,
            latest: at,
        }
    }

    /// By how much this clock is certainly ahead of another; negative if it is behind, zero if neither is certain.
    fn ahead_of(self, other: Self) -> TimeDelta {
        let (ahead, behind) = (self.earliest - other.latest, other.earliest - self.latest);
        if ahead > TimeDelta::zero() {
            ahead
        } else {
            -behind.max(TimeDelta::zero())
        }
    }

    fn agrees_with(self, other: Self) -> bool {
        self.ahead_of(other).abs() <= TOLERANCE
    }
}

/// What the clocks show at one instant; nothing where one isn't known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReadings {
    /// This machine's.
    pub local: Timestamp,
    /// The store's.
    pub store: Option<ClockReading>,
    /// The API's.
    pub api: Option<ClockReading>,
}

/// Why a clock is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IgnoredBecause {
    /// It shows a time before the program was built.
    BeforeBuild,
    /// It is more than a day behind two others that agree.
    FarBehind,
    /// For a reason that a later version knows.
    #[serde(other)]
    Unknown,
}

/// A clock that is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skew {
    /// The clock.
    pub clock: ClockOwner,
    /// By how much it is ahead; negative if it is behind.
    pub ahead_seconds: i64,
    /// Of which clocks; of none if no other is known, and then of the day on which the program was built.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<ClockOwner>,
    /// Why it is ignored, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored: Option<IgnoredBecause>,
}

/// `the local clock is 3d ahead of the API's clock`, and what follows from it if it is ignored.
impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.ahead_seconds < 0 {
            "behind"
        } else {
            "ahead of"
        };
        // answers take their time: more than this can't be told
        let off = self.ahead_seconds.unsigned_abs();
        let unit = if off < 3_600 { 5 } else { 60 };
        let off = i64::try_from((off + unit / 2) / unit * unit).ok();
        let off = off.and_then(TimeDelta::try_seconds);
        let off = text::length(off.unwrap_or(TimeDelta::MAX));
        write!(f, "{} is {off} {way} ", self.clock)?;
        match self.of.as_slice() {
            [] => f.write_str("the day on which auditlake was built")?,
            [one] => write!(f, "{one}")?,
            [one, others @ ..] => {
                write!(f, "{one}")?;
                others
                    .iter()
                    .try_for_each(|other| write!(f, " and {other}"))?;
            }
        }
        match self.ignored {
            None => Ok(()),
            Some(IgnoredBecause::BeforeBuild) => {
                f.write_str("; it shows a time before auditlake was built, and is ignored")
            }
            Some(IgnoredBecause::FarBehind | IgnoredBecause::Unknown) => {
                f.write_str("; it is ignored")
            }
        }
    }
}

/// What to take for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedTime {
    /// The least of the clocks that are believed.
    pub now: Timestamp,
    /// The latest of the clocks that agree with another one: what lies beyond it hasn't happened.
    pub agreed: Option<Timestamp>,
    /// The clocks that are off.
    pub skews: Vec<Skew>,
}

impl JudgedTime {
    /// Whether this clock's time counts.
    pub fn believes(&self, clock: ClockOwner) -> bool {
        let is_ignored = |skew: &Skew| skew.clock == clock && skew.ignored.is_some();
        !self.skews.iter().any(is_ignored)
    }
}

/// Judges the clocks. `built` is a time at which the program wasn't built yet.
pub fn judge(readings: &ClockReadings, built: Timestamp) -> JudgedTime {
    let local = Some(ClockReading::exact(readings.local));
    let known = [
        (ClockOwner::Local, local),
        (ClockOwner::Store, readings.store),
        (ClockOwner::Api, readings.api),
    ];
    let known: Vec<(ClockOwner, ClockReading)> = known
        .into_iter()
        .filter_map(|(whose, reading)| Some((whose, reading?)))
        .collect();
    let (mut believed, too_early): (Vec<_>, Vec<_>) = (known.iter())
        .copied()
        .partition(|(_, reading)| reading.latest >= built);
    let mut skews = Vec::new();
    for (clock, reading) in too_early {
        let of = believed.iter().map(|(whose, _)| *whose).collect();
        let against = believed.first().map_or(built, |(_, other)| other.earliest);
        let ahead = ClockReading::exact(reading.latest).ahead_of(ClockReading::exact(against));
        skews.push(Skew {
            clock,
            ahead_seconds: ahead.num_seconds(),
            of,
            ignored: Some(IgnoredBecause::BeforeBuild),
        });
    }
    if let Some((at, skew)) = odd_one_out(&believed) {
        if skew.ignored.is_some() {
            believed.remove(at);
        }
        skews.push(skew);
    } else {
        skews.extend(differences(&believed));
    }
    let agreeing = believed.iter().filter(|(whose, reading)| {
        (believed.iter()).any(|(other, its)| other != whose && reading.agrees_with(*its))
    });
    let agreed = agreeing.map(|(_, reading)| reading.earliest).max();
    let least = believed.iter().map(|(_, reading)| reading.earliest).min();
    // if no clock can be right, the latest is nearest to it
    let latest = || known.iter().map(|(_, reading)| reading.earliest).max();
    JudgedTime {
        now: least.or_else(latest).unwrap_or(readings.local),
        agreed,
        skews,
    }
}

/// Of three clocks the one that is off while the others agree, with its place.
fn odd_one_out(clocks: &[(ClockOwner, ClockReading)]) -> Option<(usize, Skew)> {
    let [a, b, c] = clocks else { return None };
    for (at, odd, one, other) in [(0, a, b, c), (1, b, a, c), (2, c, a, b)] {
        let ahead = [odd.1.ahead_of(one.1), odd.1.ahead_of(other.1)];
        let is_off = ahead.iter().all(|ahead| ahead.abs() > TOLERANCE);
        if one.1.agrees_with(other.1) && is_off {
            let nearer = if ahead[0].abs() < ahead[1].abs() {
                ahead[0]
            } else {
                ahead[1]
            };
            let skew = Skew {
                clock: odd.0,
                ahead_seconds: nearer.num_seconds(),
                of: vec![one.0, other.0],
                ignored: (nearer < -FAR_BEHIND).then_some(IgnoredBecause::FarBehind),
            };
            return Some((at, skew));
        }
    }
    None
}

/// Each clock's difference to the first, where nobody can say which of them is off.
fn differences(clocks: &[(ClockOwner, ClockReading)]) -> Vec<Skew> {
    let Some(((first, reading), others)) = clocks.split_first() else {
        return Vec::new();
    };
    let off = others
        .iter()
        .filter(|(_, other)| !reading.agrees_with(*other));
    off.map(|(other, its)| Skew {
        clock: *first,
        ahead_seconds: reading.ahead_of(*its).num_seconds(),
        of: vec![*other],
        ignored: None,
    })
    .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400;
    /// An instant well after the program was built.
    const NOW: i64 = 10_000 * DAY;

    fn at(second: i64) -> Timestamp {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    /// Judges clocks that are off by so many seconds.
    fn judged(local: i64, store: Option<i64>, api: Option<i64>) -> JudgedTime {
        let reading = |off: i64| ClockReading::exact(at(NOW + off));
        let readings = ClockReadings {
            local: at(NOW + local),
            store: store.map(reading),
            api: api.map(reading),
        };
        judge(&readings, at(9_000 * DAY))
    }

    /// Now and the agreed now in seconds, and what is off.
    fn of(judged: &JudgedTime) -> (i64, Option<i64>, String) {
        let off = |at: Timestamp| at.timestamp() - NOW;
        let skews = judged.skews.iter().map(|skew| {
            let of: Vec<String> = skew.of.iter().map(|of| format!("{of:?}")).collect();
            let ignored = skew
                .ignored
                .map_or_else(String::new, |why| format!(" {why:?}"));
            format!(
                "{:?} {:+} {}{ignored}",
                skew.clock,
                skew.ahead_seconds,
                of.join("+")
            )
        });
        let skews: Vec<String> = skews.collect();
        (off(judged.now), judged.agreed.map(off), skews.join("; "))
    }

    #[test]
    fn now_is_the_least_and_what_is_off_is_named() {
        for (local, store, api, now, agreed, skews) in [
            (0, None, None, 0, None, ""),
            (0, None, Some(-30), -30, Some(0), ""),
            (0, Some(2), Some(-1), -1, Some(2), ""),
            (3 * DAY, None, Some(0), 0, None, "Local +259200 Api"),
            (-600, None, Some(0), -600, None, "Local -600 Api"),
            (600, Some(0), Some(1), 0, Some(1), "Local +599 Store+Api"),
            (0, Some(600), Some(0), 0, Some(0), "Store +600 Local+Api"),
            (
                0,
                Some(0),
                Some(-600),
                -600,
                Some(0),
                "Api -600 Local+Store",
            ),
            (
                0,
                Some(600),
                Some(1_200),
                0,
                None,
                "Local -600 Store; Local -1200 Api",
            ),
            // more than a day behind two others that agree
            (
                0,
                Some(5),
                Some(-2 * DAY),
                0,
                Some(5),
                "Api -172800 Local+Store FarBehind",
            ),
            (
                -2 * DAY,
                Some(0),
                Some(5),
                0,
                Some(5),
                "Local -172800 Store+Api FarBehind",
            ),
            // two others that don't agree prove nothing
            (
                0,
                Some(600),
                Some(-2 * DAY),
                -2 * DAY,
                None,
                "Local -600 Store; Local +172800 Api",
            ),
            // before the program was built
            (
                0,
                None,
                Some(-2_000 * DAY),
                0,
                None,
                "Api -172800000 Local BeforeBuild",
            ),
            (
                -2_000 * DAY,
                Some(0),
                Some(1),
                0,
                Some(1),
                "Local -172800000 Store+Api BeforeBuild",
            ),
        ] {
            let shown = of(&judged(local, store, api));
            assert_eq!(
                shown,
                (now, agreed, skews.to_owned()),
                "{local} {store:?} {api:?}"
            );
        }
    }

    #[test]
    fn a_clock_that_no_other_corrects_is_still_told_of() {
        let alone = judged(-2_000 * DAY, None, None);
        assert_eq!(of(&alone).2, "Local -86400000  BeforeBuild");
        assert_eq!(alone.now, at(NOW - 2_000 * DAY));
        // of two that can't be right, the later is nearer to it
        let both = judged(-2_000 * DAY, None, Some(-3_000 * DAY));
        assert_eq!(both.now, at(NOW - 2_000 * DAY));
        assert!(!both.believes(ClockOwner::Api) && both.agreed.is_none());
    }

    #[test]
    fn an_answer_that_took_long_proves_no_skew() {
        let slow = ClockReading {
            earliest: at(NOW - 90),
            latest: at(NOW + 5),
        };
        let readings = ClockReadings {
            local: at(NOW),
            store: None,
            api: Some(slow),
        };
        let judged = judge(&readings, at(0));
        assert_eq!(of(&judged), (-90, Some(0), String::new()));
    }

    #[test]
    fn words_of_a_later_version_are_read() {
        let text = r#"{"clock":"satellite","ahead_seconds":5,"of":["local"],"ignored":"too_far"}"#;
        let skew: Skew = serde_json::from_str(text).unwrap();
        assert_eq!(
            (skew.clock, skew.ignored),
            (ClockOwner::Unknown, Some(IgnoredBecause::Unknown))
        );
    }

    proptest! {
        /// Whatever one of three clocks shows, what is taken for now is never later than what the two others show, and
        /// earlier by more than a day only where these don't agree; what has happened by both is never void.
        #[test]
        fn one_wrong_clock_does_no_more_than_delay(
            wrong in -400 * DAY..400 * DAY,
            jitter in 0_i64..50,
            which in 0_u8..3,
        ) {
            let judged = match which {
                0 => judged(wrong, Some(0), Some(jitter)),
                1 => judged(0, Some(wrong), Some(jitter)),
                _ => judged(0, Some(jitter), Some(wrong)),
            };
            prop_assert!(judged.now <= at(NOW + jitter));
            prop_assert!(judged.now >= at(NOW - DAY - 60), "{judged:?}");
            prop_assert!(judged.agreed.unwrap() >= at(NOW + jitter));
            prop_assert!(judged.agreed.unwrap() <= at(NOW + jitter + 60));
            let is_told = judged.skews.iter().any(|skew| skew.ahead_seconds.abs() > 60);
            if !(-60..=60 + jitter).contains(&wrong) {
                prop_assert!(is_told, "{judged:?}");
            } else if (jitter - 60..=60).contains(&wrong) {
                prop_assert!(!is_told, "{judged:?}");
            }
        }

        /// Two clocks never void anything by disagreeing, and now is the earlier of them.
        #[test]
        fn of_two_clocks_the_earlier_counts(local in -400 * DAY..400 * DAY, api in -400 * DAY..400 * DAY) {
            let judged = judged(local, None, Some(api));
            prop_assert_eq!(judged.now, at(NOW + local.min(api)));
            prop_assert_eq!(judged.agreed.is_some(), (local - api).abs() <= 60);
            prop_assert_eq!(judged.skews.is_empty(), (local - api).abs() <= 60);
        }
    }
}

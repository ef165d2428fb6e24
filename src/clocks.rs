//! The trust in clocks: pure functions that derive a run's "now" from the readings of clocks at one instant.
//!
//! A run has up to three clocks: the local one, the store's and the API's. None of them is trusted alone. Now is the
//! earliest of the trusted clocks, so that a range never counts as pulled before its events have happened. See
//! docs/decisions/0007-three-clocks.md.

use std::fmt;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::model::Timestamp;
use crate::text;

/// The difference up to which clocks agree: a `Date` has whole seconds, and answers take time.
pub const TOLERANCE: TimeDelta = TimeDelta::minutes(1);
/// The difference above which a clock that is behind two agreeing ones is ignored.
const FAR_BEHIND: TimeDelta = TimeDelta::days(1);

/// The owner of a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockOwner {
    /// The local clock.
    Local,
    /// The clock of the lake's store.
    Store,
    /// The clock of the provider's API.
    Api,
    /// A clock of a later version.
    #[serde(other)]
    Unknown,
}

/// Formats as `the local clock`, `the store's clock`, `the API's clock`.
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

/// The reading of a clock at an instant, within known bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The earliest possible time.
    pub earliest: Timestamp,
    /// The latest possible time.
    pub latest: Timestamp,
}

impl ClockReading {
    /// Returns the reading of a local clock.
    pub fn exact(at: Timestamp) -> Self {
        Self {
            earliest: at,
            latest: at,
        }
    }

    /// Returns by how much this clock is certainly ahead of another; negative if it is behind, zero if neither is
    /// certain.
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

/// The readings of the clocks at an instant; `None` for unknown ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReadings {
    /// The local clock.
    pub local: Timestamp,
    /// The store's clock.
    pub store: Option<ClockReading>,
    /// The API's clock.
    pub api: Option<ClockReading>,
}

/// The reason why a clock is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IgnoredBecause {
    /// It shows a time before the program was built.
    BeforeBuild,
    /// It is more than a day behind two others that agree.
    FarBehind,
    /// A reason of a later version.
    #[serde(other)]
    Unknown,
}

/// A wrong clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skew {
    /// The clock.
    pub clock: ClockOwner,
    /// By how much it is ahead; negative if it is behind.
    pub ahead_seconds: i64,
    /// The clocks compared with it; empty if no other is known, and then compared with the build date.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<ClockOwner>,
    /// The reason why it is ignored, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored: Option<IgnoredBecause>,
}

/// Formats as `the local clock is 3d ahead of the API's clock`, with the consequence if it is ignored.
impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.ahead_seconds < 0 {
            "behind"
        } else {
            "ahead of"
        };
        // answers take time, so the precision is limited
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

/// The judgement of the clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedTime {
    /// The earliest of the trusted clocks.
    pub now: Timestamp,
    /// The latest of the clocks that agree with another one: later events haven't happened.
    pub agreed: Option<Timestamp>,
    /// The wrong clocks.
    pub skews: Vec<Skew>,
}

impl JudgedTime {
    /// Returns whether this clock is trusted.
    pub fn believes(&self, clock: ClockOwner) -> bool {
        let is_ignored = |skew: &Skew| skew.clock == clock && skew.ignored.is_some();
        !self.skews.iter().any(is_ignored)
    }
}

/// Judges the clocks. `built` is a time before the program was built.
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
    // if no clock can be right, the latest is nearest to the truth
    let latest = || known.iter().map(|(_, reading)| reading.earliest).max();
    JudgedTime {
        now: least.or_else(latest).unwrap_or(readings.local),
        agreed,
        skews,
    }
}

/// Returns the clock that is wrong while the other two agree, with its index.
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

/// Returns each clock's difference to the first, if it is unknown which one is wrong.
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

    /// Judges clocks with these errors in seconds.
    fn judged(local: i64, store: Option<i64>, api: Option<i64>) -> JudgedTime {
        let reading = |off: i64| ClockReading::exact(at(NOW + off));
        let readings = ClockReadings {
            local: at(NOW + local),
            store: store.map(reading),
            api: api.map(reading),
        };
        judge(&readings, at(9_000 * DAY))
    }

    /// Returns now and the agreed now in seconds, and the wrong clocks.
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
        // of two that can't be right, the later is nearer to the truth
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
        /// With any reading of one of three clocks, now is never later than the other two, and earlier by more than a
        /// day only if these don't agree; events that have happened by both are never void.
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

        /// Two disagreeing clocks void nothing, and now is the earlier of them.
        #[test]
        fn of_two_clocks_the_earlier_counts(local in -400 * DAY..400 * DAY, api in -400 * DAY..400 * DAY) {
            let judged = judged(local, None, Some(api));
            prop_assert_eq!(judged.now, at(NOW + local.min(api)));
            prop_assert_eq!(judged.agreed.is_some(), (local - api).abs() <= 60);
            prop_assert_eq!(judged.skews.is_empty(), (local - api).abs() <= 60);
        }
    }
}

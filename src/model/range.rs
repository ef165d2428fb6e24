//! Half-open ranges of event time, and sets of them: the algebra of planning and coverage.

use std::fmt;

use chrono::{SecondsFormat, TimeDelta};
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A half-open range `[from, to)` of event time. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "(Timestamp, Timestamp)", into = "(Timestamp, Timestamp)")]
pub struct Range {
    from: Timestamp,
    to: Timestamp,
}

/// A range's end is before its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a range must end after it begins: from `{from}` to `{to}`")]
pub struct EmptyRange {
    from: Timestamp,
    to: Timestamp,
}

impl TryFrom<(Timestamp, Timestamp)> for Range {
    type Error = EmptyRange;

    fn try_from((from, to): (Timestamp, Timestamp)) -> Result<Self, EmptyRange> {
        Self::new(from, to).ok_or(EmptyRange { from, to })
    }
}

impl From<Range> for (Timestamp, Timestamp) {
    fn from(range: Range) -> Self {
        (range.from, range.to)
    }
}

impl Range {
    /// Returns `[from, to)`; `None` if it is empty.
    pub fn new(from: Timestamp, to: Timestamp) -> Option<Self> {
        (from < to).then_some(Self { from, to })
    }

    /// Returns the first instant of the range.
    pub fn from(&self) -> Timestamp {
        self.from
    }

    /// Returns the first instant after the range.
    pub fn to(&self) -> Timestamp {
        self.to
    }

    /// Returns the length.
    pub fn length(&self) -> TimeDelta {
        self.to - self.from
    }

    /// Returns whether the range contains the instant.
    pub fn contains(&self, instant: Timestamp) -> bool {
        self.from <= instant && instant < self.to
    }

    /// Returns the intersection of both ranges.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        Self::new(self.from.max(other.from), self.to.min(other.to))
    }

    /// Returns the smallest range that contains both.
    #[must_use]
    pub fn hull(&self, other: &Self) -> Self {
        Self {
            from: self.from.min(other.from),
            to: self.to.max(other.to),
        }
    }

    /// Returns the first half, which ends on a whole second; `None` if the halves would be shorter than `least`.
    pub fn first_half(&self, least: TimeDelta) -> Option<Self> {
        let half = TimeDelta::seconds(self.length().num_seconds() / 2);
        (half >= least && half > TimeDelta::zero())
            .then(|| Self::new(self.from, self.from + half))
            .flatten()
    }

    /// Splits the range into consecutive pieces of at most `length`, from its start on.
    pub fn pieces(self, length: TimeDelta) -> impl Iterator<Item = Self> {
        let mut from = self.from;
        std::iter::from_fn(move || {
            let piece = Self::new(from, (from + length).min(self.to))?;
            from = piece.to;
            Some(piece)
        })
    }
}

/// `2026-11-20T00:00:00Z..2026-11-21T00:00:00Z`.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |at: Timestamp| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        write!(f, "{}..{}", text(self.from), text(self.to))
    }
}

/// A set of instants, as the smallest number of disjoint ranges in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Range>", into = "Vec<Range>")]
pub struct RangeSet {
    ranges: Vec<Range>,
}

impl From<Vec<Range>> for RangeSet {
    fn from(ranges: Vec<Range>) -> Self {
        ranges.into_iter().collect()
    }
}

impl From<RangeSet> for Vec<Range> {
    fn from(set: RangeSet) -> Self {
        set.ranges
    }
}

impl FromIterator<Range> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range>>(ranges: I) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

impl RangeSet {
    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the ranges in order, which are neither overlapping nor adjacent.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range> + '_ {
        self.ranges.iter().copied()
    }

    /// Returns whether the set contains the instant.
    pub fn contains(&self, instant: Timestamp) -> bool {
        let next = self.ranges.partition_point(|range| range.to <= instant);
        self.ranges
            .get(next)
            .is_some_and(|range| range.contains(instant))
    }

    /// Returns whether the set contains the whole range.
    pub fn covers(&self, range: Range) -> bool {
        self.within(range).iter().eq([range])
    }

    /// Returns the end of the contiguous range that begins at `from`; `from` itself if it isn't in the set.
    pub fn contiguous_end(&self, from: Timestamp) -> Timestamp {
        let next = self.ranges.partition_point(|range| range.to <= from);
        self.ranges
            .get(next)
            .filter(|range| range.contains(from))
            .map_or(from, |range| range.to)
    }

    /// Adds `range`.
    pub fn insert(&mut self, range: Range) {
        let first = self.ranges.partition_point(|have| have.to < range.from);
        let last = self.ranges.partition_point(|have| have.from <= range.to);
        let mut whole = range;
        for have in &self.ranges[first..last] {
            whole.from = whole.from.min(have.from);
            whole.to = whole.to.max(have.to);
        }
        self.ranges.splice(first..last, [whole]);
    }

    /// Removes `range`.
    pub fn remove(&mut self, range: Range) {
        self.ranges = self
            .ranges
            .iter()
            .flat_map(|have| {
                [
                    Range::new(have.from, have.to.min(range.from)),
                    Range::new(have.from.max(range.to), have.to),
                ]
            })
            .flatten()
            .collect();
    }

    /// Returns the parts of `range` that are in the set.
    #[must_use]
    pub fn within(&self, range: Range) -> Self {
        let ranges = self
            .ranges
            .iter()
            .filter_map(|have| have.intersection(&range))
            .collect();
        Self { ranges }
    }

    /// Returns the parts of `range` that aren't in the set.
    #[must_use]
    pub fn missing(&self, range: Range) -> Self {
        let mut missing = Self {
            ranges: vec![range],
        };
        for have in self.within(range).iter() {
            missing.remove(have);
        }
        missing
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn range(from: i64, to: i64) -> Range {
        Range::new(at(from), at(to)).unwrap()
    }

    prop_compose! {
        fn any_range()(from in 0_i64..60, length in 1_i64..12) -> Range { range(from, from + length) }
    }

    fn in_any(ranges: &[Range], instant: Timestamp) -> bool {
        ranges.iter().any(|range| range.contains(instant))
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_inserted_and_not_removed(
            steps in prop::collection::vec((any::<bool>(), any_range()), 0..20),
        ) {
            let mut set = RangeSet::default();
            let mut truth = [false; 80];
            for (insert, range) in steps {
                if insert { set.insert(range) } else { set.remove(range) }
                for second in range.from().timestamp()..range.to().timestamp() {
                    truth[usize::try_from(second).unwrap()] = insert;
                }
            }
            for (second, &held) in (0_i64..).zip(&truth) {
                prop_assert_eq!(set.contains(at(second)), held);
            }
            let ranges: Vec<Range> = set.iter().collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].to() < pair[1].from()));
        }

        #[test]
        fn missing_and_within_split_a_range(
            have in prop::collection::vec(any_range(), 0..8),
            of in any_range(),
        ) {
            let set: RangeSet = have.iter().copied().collect();
            for second in 0..80 {
                let inside = of.contains(at(second));
                let held = in_any(&have, at(second));
                prop_assert_eq!(set.within(of).contains(at(second)), inside && held);
                prop_assert_eq!(set.missing(of).contains(at(second)), inside && !held);
            }
            prop_assert_eq!(set.covers(of), set.missing(of).is_empty());
        }

        #[test]
        fn the_contiguous_end_is_the_first_instant_that_is_not_held(
            have in prop::collection::vec(any_range(), 0..8),
            from in 0_i64..60,
        ) {
            let set: RangeSet = have.iter().copied().collect();
            let first = (from..200).find(|&second| !in_any(&have, at(second))).unwrap();
            prop_assert_eq!(set.contiguous_end(at(from)), at(first));
        }

        #[test]
        fn pieces_join_up_to_the_range(of in any_range(), length in 1_i64..15) {
            let pieces: Vec<Range> = of.pieces(TimeDelta::seconds(length)).collect();
            prop_assert_eq!(pieces[0].from(), of.from());
            prop_assert_eq!(pieces[pieces.len() - 1].to(), of.to());
            prop_assert!(pieces.windows(2).all(|pair| pair[0].to() == pair[1].from()));
            prop_assert!(pieces.iter().all(|piece| piece.length() <= TimeDelta::seconds(length)));
        }

        #[test]
        fn a_half_is_never_smaller_than_the_least(of in any_range(), least in 1_i64..8) {
            match of.first_half(TimeDelta::seconds(least)) {
                Some(half) => {
                    prop_assert_eq!(half.from(), of.from());
                    prop_assert!(half.to() < of.to() && half.length() >= TimeDelta::seconds(least));
                }
                None => prop_assert!(of.length() < TimeDelta::seconds(2 * least)),
            }
        }
    }

    #[test]
    fn touching_ranges_become_one() {
        let set: RangeSet = [range(0, 5), range(10, 15), range(5, 10)]
            .into_iter()
            .collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [range(0, 15)]);
    }

    #[test]
    fn an_empty_range_is_refused_when_read_back() {
        let text = r#"["2026-01-02T00:00:00Z","2026-01-01T00:00:00Z"]"#;
        assert!(
            serde_json::from_str::<Range>(text)
                .unwrap_err()
                .to_string()
                .contains("must end after it begins")
        );
    }
}

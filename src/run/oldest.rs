//! The search for the oldest instant that a provider still serves, in few calls: its message may name the limit, and
//! most providers keep whole days.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta};

use crate::model::Timestamp;

/// The margin to a limit that moves with the clock, as clocks differ and reading a range takes time.
const MARGIN: TimeDelta = TimeDelta::seconds(30);
const DAY: TimeDelta = TimeDelta::days(1);
/// The maximum number of calls, more than any search needs.
const MOST: u32 = 40;

/// A search between an instant that was refused as too old and the newest that can be requested.
#[derive(Debug)]
pub(super) struct OldestSearch {
    refused: Timestamp,
    answered: Option<Timestamp>,
    newest: Timestamp,
    now: Timestamp,
    step: TimeDelta,
    hints: VecDeque<Timestamp>,
    asked: u32,
}

impl OldestSearch {
    /// `named` are instants that the refusal may name; `grain` is the provider's grain, zero if it has none.
    pub(super) fn new(
        refused: Timestamp,
        newest: Timestamp,
        now: Timestamp,
        grain: TimeDelta,
        named: &[Timestamp],
    ) -> Self {
        let second = TimeDelta::seconds(1);
        let now = floor(now, second);
        let hint = |&named: &Timestamp| {
            // an age is a limit that moves with the clock, a date is a fixed one
            let ago = now - floor(named, second);
            let is_age = is_whole(ago, TimeDelta::hours(1));
            let margin = if is_age {
                [MARGIN, -MARGIN]
            } else {
                [TimeDelta::zero(), -second]
            };
            margin.map(|margin| floor(named, second) + margin)
        };
        Self {
            refused,
            answered: None,
            newest,
            now,
            step: if grain > second { grain } else { second },
            hints: named.iter().flat_map(hint).collect(),
            asked: 0,
        }
    }

    /// Returns the instant to request next; `None` when the search has ended.
    pub(super) fn next(&mut self) -> Option<Timestamp> {
        if self.asked >= MOST {
            return None;
        }
        let next = self.candidate()?;
        self.asked += 1;
        Some(next)
    }

    fn candidate(&mut self) -> Option<Timestamp> {
        let below = self.answered.unwrap_or(self.newest);
        while let Some(hint) = self.hints.pop_front() {
            let hint = self.whole(hint);
            if self.refused < hint && hint < below {
                return Some(hint);
            }
        }
        let Some(answered) = self.answered else {
            return (self.refused < self.newest).then_some(self.newest);
        };
        let left = answered - self.refused;
        if left <= self.step || (self.is_of_age(answered) && left <= MARGIN * 2) {
            return None;
        }
        let between = |at: &Timestamp| self.refused < *at && *at < answered;
        let middle = self.refused + left / 2;
        let wanted = if left > DAY + TimeDelta::hours(1) {
            let days = (self.now - middle).num_days();
            self.now - TimeDelta::days(days) + MARGIN
        } else if self.is_of_age(answered) {
            answered - MARGIN * 2
        } else if answered == floor(answered, DAY) {
            answered - TimeDelta::seconds(1)
        } else {
            floor(answered, DAY)
        };
        let whole = Some(self.whole(wanted)).filter(between);
        let middle = Some(self.whole(middle)).filter(between);
        let next = self.refused + self.step;
        whole
            .or(middle)
            .or_else(|| Some(self.whole(next)).filter(between))
    }

    /// Records whether a request from this instant on was answered.
    pub(super) fn note(&mut self, at: Timestamp, is_answered: bool) {
        if is_answered {
            self.answered = Some(self.answered.map_or(at, |have| have.min(at)));
        } else {
            self.refused = self.refused.max(at);
        }
    }

    /// Returns the oldest instant that was answered.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.answered
    }

    /// Returns whether the instant is a whole number of days ago, with the margin.
    fn is_of_age(&self, at: Timestamp) -> bool {
        is_whole(self.now + MARGIN - at, DAY)
    }

    fn whole(&self, at: Timestamp) -> Timestamp {
        floor(at, self.step)
    }
}

fn is_whole(length: TimeDelta, of: TimeDelta) -> bool {
    length.num_milliseconds() % of.num_milliseconds() == 0
}

fn floor(at: Timestamp, step: TimeDelta) -> Timestamp {
    let step = step.num_seconds().max(1);
    let second = at.timestamp().div_euclid(step) * step;
    DateTime::from_timestamp(second, 0).unwrap_or(at)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const NOW: &str = "2026-11-30T12:34:56Z";
    const START: &str = "2025-06-01T00:00:00Z";

    /// Returns the oldest instant found and the number of calls.
    fn find(limit: Timestamp, grain: TimeDelta, named: &[Timestamp]) -> (Option<Timestamp>, u32) {
        let now = at(NOW);
        let mut search =
            OldestSearch::new(at(START), now - TimeDelta::minutes(3), now, grain, named);
        let mut calls = 0;
        while let Some(asked) = search.next() {
            calls += 1;
            search.note(asked, asked >= limit);
        }
        (search.oldest(), calls)
    }

    #[test]
    fn an_age_of_whole_days_is_found_in_a_dozen_calls_and_in_two_if_it_is_said() {
        let any = TimeDelta::zero();
        for days in [1, 7, 30, 90, 180, 365, 400] {
            let limit = at(NOW) - TimeDelta::days(days);
            let (oldest, calls) = find(limit, any, &[]);
            assert_eq!(oldest, Some(limit + MARGIN), "{days}");
            assert!(calls <= 12, "{days}: {calls}");
            let (oldest, calls) = find(limit, any, &[limit]);
            assert_eq!((oldest, calls), (Some(limit + MARGIN), 2), "{days}");
        }
    }

    #[test]
    fn a_date_is_found_exactly() {
        let any = TimeDelta::zero();
        let limit = at("2026-03-01T00:00:00Z");
        let (oldest, calls) = find(limit, any, &[]);
        assert_eq!(oldest, Some(limit));
        assert!(calls <= 14, "{calls}");
        assert_eq!(find(limit, any, &[limit]), (Some(limit), 2));
        // the message may be wrong
        let wrong = at("2026-01-01T00:00:00Z");
        assert_eq!(find(limit, any, &[wrong]).0, Some(limit));
        assert_eq!(
            find(limit, any, &[at("2026-06-01T00:00:00Z")]).0,
            Some(limit)
        );
    }

    #[test]
    fn a_provider_that_refuses_all_is_asked_once() {
        let (oldest, calls) = find(at(NOW), TimeDelta::zero(), &[]);
        assert_eq!((oldest, calls), (None, 1));
    }

    proptest! {
        /// With any limit and any message, the limit is found: nothing older counts as answered, and little that is
        /// newer is left out.
        #[test]
        fn the_limit_is_found(
            back in 300_i64..47_000_000,
            message in prop::collection::vec(0_i64..60_000_000, 0..3),
            grain in prop_oneof![Just(0_i64), Just(86_400)],
        ) {
            let now = at(NOW);
            let limit = now - TimeDelta::seconds(back);
            let message: Vec<Timestamp> = message.into_iter().map(|back| now - TimeDelta::seconds(back)).collect();
            let grain = TimeDelta::seconds(grain);
            let (oldest, calls) = find(limit, grain, &message);
            prop_assert!(calls <= 36, "{calls}");
            if let Some(oldest) = oldest {
                prop_assert!(oldest >= limit);
                prop_assert!(oldest - limit <= grain.max(MARGIN * 2), "{}", oldest - limit);
            } else {
                prop_assert!(grain > TimeDelta::zero() && back < 86_400 * 2);
            }
        }
    }
}

//! The times of requests for a query's state. Requests before the query is done are wasted, and the duration of queries
//! is undocumented, so it is learned from finished queries.

use std::time::Duration;

use crate::providers::Learned;

/// The first wait, while nothing is known.
const UNKNOWN_MS: u64 = 1_000;
/// The shortest and the longest wait.
const SHORTEST_MS: u64 = 250;
const LONGEST_MS: u64 = 60_000;
/// One in this number of queries is polled earlier than usual, to learn whether queries have become faster.
const TRIED: u64 = 64;
/// The usual duration of queries in milliseconds.
const USUAL_MS: &str = "usual_ms";
/// The number of submitted queries.
const QUERIES: &str = "queries";

/// The polls of a query so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PollCount {
    pub(super) polls: u32,
    /// The sum of the waits before them.
    pub(super) waited_ms: u64,
    /// Whether the first one was earlier than usual.
    pub(super) early: bool,
}

/// Returns how long to wait before a query's first poll, and whether that is earlier than usual. Counts the query.
pub(super) fn first_wait(learned: &mut Learned) -> (Duration, bool) {
    let number = learned.get(QUERIES).unwrap_or(0).wrapping_add(1);
    learned.set(QUERIES, number);
    let usual = learned.get(USUAL_MS);
    let early = usual.is_some() && number.is_multiple_of(TRIED);
    let wait = match usual {
        None => UNKNOWN_MS,
        Some(usual) if early => usual / 4 * 3,
        Some(usual) => usual,
    };
    (bounded(wait), early)
}

/// Returns how long to wait before the next poll: half of the waits so far.
pub(super) fn next_wait(waited_ms: u64) -> Duration {
    bounded(waited_ms / 2)
}

/// Records that a query was found done by the last poll.
///
/// The first query sets the usual duration. A query that takes longer raises it by half at most, as a single slow query
/// means little. A faster query lowers it.
pub(super) fn learn(learned: &mut Learned, asked: PollCount) {
    let PollCount {
        polls,
        waited_ms,
        early,
    } = asked;
    let usual = match learned.get(USUAL_MS) {
        None => waited_ms,
        Some(usual) if polls <= 1 && early => usual.min(waited_ms),
        Some(usual) if polls <= 1 || early => usual,
        Some(usual) => usual.max(waited_ms.min(usual + usual / 2)),
    };
    learned.set(USUAL_MS, usual.clamp(SHORTEST_MS, LONGEST_MS));
}

fn bounded(wait_ms: u64) -> Duration {
    Duration::from_millis(wait_ms.clamp(SHORTEST_MS, LONGEST_MS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(time: Duration) -> u64 {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    }

    /// Simulates a query of this duration. Returns the number of polls, and the time until it was found done.
    fn query(learned: &mut Learned, takes_ms: u64) -> (u32, u64) {
        let (wait, early) = first_wait(learned);
        let mut asked = PollCount {
            polls: 1,
            waited_ms: millis(wait),
            early,
        };
        while asked.waited_ms < takes_ms {
            asked.waited_ms += millis(next_wait(asked.waited_ms));
            asked.polls += 1;
        }
        learn(learned, asked);
        (asked.polls, asked.waited_ms)
    }

    proptest! {
        #[test]
        fn few_questions_are_asked_too_early_and_little_time_is_lost(
            usual in 1_u64..40_000,
            parts in prop::collection::vec(50_u64..=100, 50..100),
        ) {
            let mut learned = Learned::default();
            let mut queries = parts.iter().cycle().map(|part| usual * part / 100);
            queries.by_ref().take(200).for_each(|takes| {
                query(&mut learned, takes);
            });
            let (mut polls, mut longest) = (0, 0);
            for takes in queries.take(2_000) {
                let (asked, waited) = query(&mut learned, takes);
                polls += asked;
                longest = longest.max(waited);
            }
            // such a query takes three calls: 2 % of the 6,000 are 120
            prop_assert!(polls <= 2_000 + 120, "{polls}");
            prop_assert!(longest <= (usual * 2).max(UNKNOWN_MS), "{longest}");
        }
    }

    #[test]
    fn one_query_that_takes_long_does_not_make_all_wait() {
        let mut learned = Learned::default();
        query(&mut learned, 400);
        let (polls, waited) = query(&mut learned, 120_000);
        assert!(polls < 16 && waited <= 180_000, "{polls} {waited}");
        assert!(query(&mut learned, 400).1 <= 1_500);
    }

    #[test]
    fn queries_that_become_quicker_are_asked_for_sooner() {
        let mut learned = Learned::default();
        (0..10).for_each(|_| {
            query(&mut learned, 30_000);
        });
        (0..1_000).for_each(|_| {
            query(&mut learned, 500);
        });
        assert!(query(&mut learned, 500).1 <= 700);
    }
}

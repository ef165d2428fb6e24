//! Which of the two ways to read takes fewer calls.
//!
//! A realtime query takes a call a page. A query job takes two more: it is submitted, and its state is asked for. So
//! realtime is cheaper wherever it can answer all of what is asked, unless its pages are so much smaller that a job's
//! make up for these two.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::PAGE_SIZE;
use crate::model::Range;
use crate::model::Timestamp;

/// The calls of a query job besides its pages: it is submitted, and its state is asked for once.
pub(super) const AROUND_A_QUERY: u32 = 2;
/// Realtime queries over more than a day are known to time out, and a second more than the range is asked for.
const LONGEST: TimeDelta = TimeDelta::days(1);
/// How long before realtime's reach ends it is no longer trusted to reach so far: the provider's clock decides.
const MARGIN: TimeDelta = TimeDelta::hours(1);

/// What a service mapping lists of each service: pairs of an entity type and an action.
pub(super) type Mapping = BTreeMap<String, BTreeSet<(String, String)>>;

/// Whether realtime shows all that a query job shows of a service: the same entity types, and of each the same actions.
/// Nobody says what it does with the others.
pub(super) fn shows_all(service: &str, realtime: &Mapping, whole: &Mapping) -> bool {
    match (whole.get(service), realtime.get(service)) {
        (Some(whole), Some(realtime)) => whole.is_subset(realtime),
        _ => false,
    }
}

/// Whether realtime, which reaches back so many days, answers for the range.
pub(super) fn reaches(range: Range, now: Timestamp, days: u32) -> bool {
    let reach = TimeDelta::days(i64::from(days)) - MARGIN;
    now - range.from() < reach && range.length() < LONGEST
}

/// Whether a query job reads all `total` records with fewer calls than realtime needs for the `left` pages after its
/// first one.
pub(super) fn a_query_is_cheaper(left: u64, total: u64) -> bool {
    let pages = total.div_ceil(u64::from(PAGE_SIZE)).max(1);
    u64::from(AROUND_A_QUERY) + pages < left
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn mapping(entries: &[(&str, &[(&str, &str)])]) -> Mapping {
        let pair = |&(entity, action): &(&str, &str)| (entity.to_owned(), action.to_owned());
        entries
            .iter()
            .map(|(service, pairs)| ((*service).to_owned(), pairs.iter().map(pair).collect()))
            .collect()
    }

    #[test]
    fn realtime_shows_all_of_a_service_if_it_knows_each_entity_and_action() {
        let all = &[
            ("Flow", "Create"),
            ("Flow", "Publish"),
            ("Prompt", "Create"),
        ][..];
        let whole = mapping(&[("Architect", all), ("Billing", &[])]);
        let shows = |service, realtime: &[(&str, &[(&str, &str)])]| {
            shows_all(service, &mapping(realtime), &whole)
        };
        assert!(shows("Architect", &[("Architect", all)]));
        assert!(
            !shows("Architect", &[("Architect", &all[..2])]),
            "an entity"
        );
        assert!(
            !shows("Architect", &[("Architect", &[all[0], all[2]])]),
            "an action"
        );
        assert!(!shows("Architect", &[]));
        assert!(
            !shows("GDPR", &[("GDPR", all)]),
            "nobody knows what there is"
        );
        assert!(shows("Billing", &[("Billing", all)]));
    }

    #[test]
    fn realtime_reaches_recent_ranges_shorter_than_a_day() {
        let now: Timestamp = "2026-03-20T12:00:00Z".parse().unwrap();
        let (second, hour, day) = (
            TimeDelta::seconds(1),
            TimeDelta::hours(1),
            TimeDelta::days(1),
        );
        let reached = |age: TimeDelta, length: TimeDelta| {
            let from = now - age;
            reaches(Range::new(from, from + length).unwrap(), now, 14)
        };
        assert!(reached(hour * 2, hour));
        assert!(reached(day * 14 - hour - second, hour));
        assert!(!reached(day * 14 - hour, hour));
        assert!(reached(day * 2, day - second));
        assert!(!reached(day * 2, day));
    }

    /// Against the count of calls, for every number of records.
    #[test]
    fn a_query_is_taken_where_it_takes_fewer_calls_than_are_left() {
        for size in [1, 25, 100, 165, 250, 400, 500, 1_000] {
            for total in 0_u64..6_000 {
                let left = total.div_ceil(size).max(1) - 1;
                let query = 1 + 1 + total.div_ceil(500).max(1);
                assert_eq!(
                    a_query_is_cheaper(left, total),
                    query < left,
                    "{size} {total}"
                );
                if size >= 500 {
                    assert!(!a_query_is_cheaper(left, total), "{size} {total}");
                }
            }
        }
        assert!(!a_query_is_cheaper(3, 400) && a_query_is_cheaper(4, 500));
    }
}

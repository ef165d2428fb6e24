//! The choice between realtime queries and query jobs, by the number of calls.
//!
//! A realtime query takes one call per page. A query job takes two more, for its submission and its state. Realtime is
//! therefore cheaper if it can answer the whole request, unless a job's larger pages save more than two calls.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::PAGE_SIZE;
use crate::model::Range;
use crate::model::Timestamp;

/// The calls of a query job in addition to its pages: its submission, and one request for its state.
pub(super) const AROUND_A_QUERY: u32 = 2;
/// The longest realtime query: those over more than a day are known to time out, and an additional second is requested.
const LONGEST: TimeDelta = TimeDelta::days(1);
/// The margin at the end of realtime's reach, which is determined by the provider's clock.
const MARGIN: TimeDelta = TimeDelta::hours(1);

/// The entries of a service in a service mapping: pairs of an entity type and an action.
pub(super) type Mapping = BTreeMap<String, BTreeSet<(String, String)>>;

/// Returns whether realtime returns everything of a service that a query job returns: the same entity types with the
/// same actions. What it does with others is undocumented.
pub(super) fn shows_all(service: &str, realtime: &Mapping, whole: &Mapping) -> bool {
    match (whole.get(service), realtime.get(service)) {
        (Some(whole), Some(realtime)) => whole.is_subset(realtime),
        _ => false,
    }
}

/// Returns whether realtime, with this reach in days, covers the range.
pub(super) fn reaches(range: Range, now: Timestamp, days: u32) -> bool {
    let reach = TimeDelta::days(i64::from(days)) - MARGIN;
    now - range.from() < reach && range.length() < LONGEST
}

/// Returns whether a query job reads all `total` records with fewer calls than realtime needs for the `left` pages
/// after its first one.
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

    /// Compares with the count of calls for every number of records.
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

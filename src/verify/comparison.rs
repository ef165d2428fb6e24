//! The comparison of a provider's events with the lake's: pure counting without I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::AddAssign;

use chrono::NaiveDate;
use serde::Serialize;

use crate::model::{Range, Timestamp};
use crate::table::EventIdHash;

/// The number of examples per finding and day.
const EXAMPLES: usize = 5;
/// The maximum length of an id that is kept verbatim; a longer one is shortened and ends in a hash.
const LONGEST_ID: usize = 64;

/// An event with a discrepancy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Example {
    /// When it happened; `None` for a record that can't be parsed.
    pub event_time: Option<Timestamp>,
    /// Its id, shortened if it is very long; for a record that can't be parsed, its id in quarantine.
    pub event_id: String,
}

/// The number of events with one kind of discrepancy, and the first few.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Discrepancies {
    /// The number.
    pub count: u64,
    /// The first ones by time.
    pub examples: BTreeSet<Example>,
}

impl Discrepancies {
    /// Adds an event.
    pub(super) fn add(&mut self, event_time: Option<Timestamp>, event_id: &str) {
        self.count += 1;
        self.examples.insert(Example {
            event_time,
            event_id: event_id.to_owned(),
        });
        self.shorten();
    }

    /// Removes an event.
    pub(super) fn take_back(&mut self, event_time: Timestamp, event_id: &str) {
        self.count = self.count.saturating_sub(1);
        self.examples.remove(&Example {
            event_time: Some(event_time),
            event_id: event_id.to_owned(),
        });
    }

    fn shorten(&mut self) {
        while self.examples.len() > EXAMPLES {
            self.examples.pop_last();
        }
    }
}

impl AddAssign<&Discrepancies> for Discrepancies {
    fn add_assign(&mut self, other: &Discrepancies) {
        self.count += other.count;
        self.examples.extend(other.examples.iter().cloned());
        self.shorten();
    }
}

/// The findings for a UTC day of event time.
///
/// Every row matches a record of the provider, or is `extra`, `doubled`, `unjudged` or was landed meanwhile; every
/// record matches a row, or is `missing`. A row that matches by its id but not by its content is `altered`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ComparedDay {
    /// The provider's events in the pulled ranges.
    pub shown: u64,
    /// The rows in the lake.
    pub rows: u64,
    /// The provider's events that aren't in the lake.
    pub missing: Discrepancies,
    /// The lake's events that the provider doesn't return.
    pub extra: Discrepancies,
    /// The events whose content in the lake differs from the provider's.
    pub altered: Discrepancies,
    /// The excess rows: two for an event with three rows.
    pub doubled: Discrepancies,
    /// The records that can't be parsed; those that aren't in quarantine are also `missing`.
    pub unreadable: u64,
    /// The rows without a matching record, if not everything was read that could have contained it.
    pub unjudged: u64,
}

impl ComparedDay {
    /// Returns whether the lake differs from the provider.
    pub fn differs(&self) -> bool {
        self.missing.count > 0 || self.differs_for_good()
    }

    /// Returns whether there are differences that landing missing records doesn't repair.
    pub fn differs_for_good(&self) -> bool {
        self.extra.count + self.altered.count + self.doubled.count > 0
    }
}

/// Adds the counts of another day.
impl AddAssign<&ComparedDay> for ComparedDay {
    fn add_assign(&mut self, other: &ComparedDay) {
        self.shown += other.shown;
        self.rows += other.rows;
        self.missing += &other.missing;
        self.extra += &other.extra;
        self.altered += &other.altered;
        self.doubled += &other.doubled;
        self.unreadable += other.unreadable;
        self.unjudged += other.unjudged;
    }
}

/// An event of the provider.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProviderEvent<'a> {
    /// The event's id.
    pub(super) id: &'a str,
    /// When it happened.
    pub(super) at: Timestamp,
    /// The hash of its content.
    pub(super) content: u128,
}

/// The judgement of a row that the provider doesn't return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MissingRow {
    /// It is extra.
    Extra,
    /// It is unjudged: not everything was read that could have contained it.
    Unjudged,
    /// It is ignored: it was landed after the request to the provider.
    Landed,
}

/// The events of a piece of time: first all of the provider's, then all rows.
///
/// Holds ids and hashes, but no records.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    shown: HashMap<Box<str>, ShownEvent>,
    /// The rows that the provider doesn't return.
    unshown: HashMap<Box<str>, MissingRow>,
    days: BTreeMap<NaiveDate, ComparedDay>,
}

/// An event of the provider, with its state in the lake.
#[derive(Debug, Clone, Copy)]
struct ShownEvent {
    at: Timestamp,
    content: u128,
    /// Whether the lake has to contain it.
    owed: bool,
    in_lake: LakeEvent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LakeEvent {
    Not,
    Alike,
    Altered,
}

impl Comparison {
    /// Adds an event of the provider. `owed`: the lake has to contain it. A repeated event counts once.
    pub(super) fn show(&mut self, event: ProviderEvent<'_>, owed: bool) {
        let shown = self.shown.entry(key(event.id)).or_insert(ShownEvent {
            at: event.at,
            content: event.content,
            owed,
            in_lake: LakeEvent::Not,
        });
        shown.owed |= owed;
    }

    /// Returns whether the provider returned this event.
    pub(super) fn shows(&self, id: &str) -> bool {
        self.shown.contains_key(&*key(id))
    }

    /// Returns whether the provider returned any event.
    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Adds a row of the lake. `unshown` judges it if the provider didn't return it.
    pub(super) fn row(&mut self, row: ProviderEvent<'_>, unshown: impl FnOnce() -> MissingRow) {
        let key = key(row.id);
        let day = self.days.entry(row.at.date_naive()).or_default();
        day.rows += 1;
        let Some(shown) = self.shown.get_mut(&key) else {
            if self.unshown.contains_key(&key) {
                day.doubled.add(Some(row.at), &key);
                return;
            }
            let unshown = unshown();
            match unshown {
                MissingRow::Extra => day.extra.add(Some(row.at), &key),
                MissingRow::Unjudged => day.unjudged += 1,
                MissingRow::Landed => {}
            }
            self.unshown.insert(key, unshown);
            return;
        };
        if shown.in_lake != LakeEvent::Not {
            day.doubled.add(Some(row.at), &key);
        }
        if shown.content != row.content || shown.at != row.at {
            if shown.in_lake != LakeEvent::Altered {
                let day = self.days.entry(shown.at.date_naive()).or_default();
                day.altered.add(Some(shown.at), &key);
            }
            shown.in_lake = LakeEvent::Altered;
        } else if shown.in_lake == LakeEvent::Not {
            shown.in_lake = LakeEvent::Alike;
        }
    }

    /// Returns the events that count as extra.
    pub(super) fn extras(&self) -> impl Iterator<Item = EventIdHash> {
        let extras = (self.unshown.iter()).filter(|(_, unshown)| **unshown == MissingRow::Extra);
        extras.map(|(id, _)| EventIdHash::of(id))
    }

    /// Returns the events that both have, with their times.
    pub(super) fn found(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        let found = (self.shown.iter()).filter(|(_, shown)| shown.in_lake != LakeEvent::Not);
        found.map(|(id, shown)| (&**id, shown.at))
    }

    /// Returns the findings by day.
    pub(super) fn end(mut self) -> BTreeMap<NaiveDate, ComparedDay> {
        for (id, shown) in self.shown {
            if !shown.owed && shown.in_lake == LakeEvent::Not {
                continue;
            }
            let day = self.days.entry(shown.at.date_naive()).or_default();
            day.shown += 1;
            if shown.in_lake == LakeEvent::Not {
                day.missing.add(Some(shown.at), &id);
            }
        }
        self.days
    }
}

/// Returns the key of an id: the id itself, unless it is so long that a day of such ids wouldn't fit in memory.
fn key(id: &str) -> Box<str> {
    if id.len() <= LONGEST_ID {
        return id.into();
    }
    let beginning = id.floor_char_boundary(LONGEST_ID - 33);
    format!("{}~{:?}", &id[..beginning], EventIdHash::of(id)).into()
}

/// Returns the UTC days that overlap a range.
pub(super) fn days(range: Range) -> impl Iterator<Item = NaiveDate> {
    let first = range.from().date_naive();
    first
        .iter_days()
        .take_while(move |day| day.and_time(chrono::NaiveTime::MIN).and_utc() < range.to())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn at(hour: i64) -> Timestamp {
        DateTime::from_timestamp(hour * 3_600, 0).unwrap()
    }

    /// Three days' worth of ids, each with the hour at which it happened.
    fn hour_of(id: u8) -> i64 {
        i64::from(id) * 6
    }

    /// Id, content, and whether it is owed; or its judgement if it isn't returned.
    type Entry<T> = (u8, u8, T);

    fn entries<T: std::fmt::Debug + Clone>(
        of: impl Strategy<Value = T>,
    ) -> impl Strategy<Value = Vec<Entry<T>>> {
        prop::collection::vec((0_u8..12, 0_u8..2, of), 0..24)
    }

    fn standings() -> impl Strategy<Value = MissingRow> {
        prop_oneof![
            4 => Just(MissingRow::Extra),
            1 => Just(MissingRow::Unjudged),
            1 => Just(MissingRow::Landed),
        ]
    }

    fn compare(
        shown: &[Entry<bool>],
        rows: &[Entry<MissingRow>],
    ) -> BTreeMap<NaiveDate, ComparedDay> {
        let mut comparison = Comparison::default();
        let name = |id: u8| format!("event {id}");
        for (id, content, owed) in shown {
            let event = ProviderEvent {
                id: &name(*id),
                at: at(hour_of(*id)),
                content: u128::from(*content),
            };
            comparison.show(event, *owed);
        }
        for (id, content, standing) in rows {
            let event = ProviderEvent {
                id: &name(*id),
                at: at(hour_of(*id)),
                content: u128::from(*content),
            };
            comparison.row(event, || *standing);
        }
        comparison.end()
    }

    /// Shown, rows, missing, extra, altered, doubled, unjudged.
    type Counts = [u64; 7];

    fn counts(day: &ComparedDay) -> Counts {
        [
            day.shown,
            day.rows,
            day.missing.count,
            day.extra.count,
            day.altered.count,
            day.doubled.count,
            day.unjudged,
        ]
    }

    /// The same result, counted id by id in plain lists.
    fn naive(shown: &[Entry<bool>], rows: &[Entry<MissingRow>]) -> BTreeMap<NaiveDate, Counts> {
        let mut days: BTreeMap<NaiveDate, Counts> = BTreeMap::new();
        for id in 0..12 {
            let showings: Vec<_> = shown.iter().filter(|entry| entry.0 == id).collect();
            let rows: Vec<_> = rows.iter().filter(|entry| entry.0 == id).collect();
            let owed = showings.iter().any(|(_, _, owed)| *owed);
            let copies = rows.len() as u64;
            let mut of_id = [0; 7];
            of_id[0] = u64::from(owed || (!showings.is_empty() && copies > 0));
            of_id[1] = copies;
            of_id[2] = u64::from(owed && copies == 0);
            of_id[5] = copies.saturating_sub(1);
            match (showings.first(), rows.first()) {
                (Some(first), _) => {
                    of_id[4] = u64::from(rows.iter().any(|(_, content, _)| *content != first.1));
                }
                (None, Some((_, _, standing))) => {
                    of_id[3] = u64::from(*standing == MissingRow::Extra);
                    of_id[6] = u64::from(*standing == MissingRow::Unjudged);
                }
                (None, None) => {}
            }
            if of_id != [0; 7] {
                let day = days.entry(at(hour_of(id)).date_naive()).or_default();
                (0..7).for_each(|count| day[count] += of_id[count]);
            }
        }
        days
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_plain_lists_say(shown in entries(any::<bool>()), rows in entries(standings())) {
            let found = compare(&shown, &rows);
            for day in found.values() {
                for found in [&day.missing, &day.extra, &day.altered, &day.doubled] {
                    prop_assert!(found.examples.len() as u64 <= found.count);
                    prop_assert_eq!(found.examples.is_empty(), found.count == 0);
                }
            }
            let found: BTreeMap<NaiveDate, Counts> = found.iter().map(|(day, of)| (*day, counts(of))).collect();
            prop_assert_eq!(found, naive(&shown, &rows));
        }

        #[test]
        fn the_order_of_rows_makes_no_difference(shown in entries(any::<bool>()), rows in entries(Just(MissingRow::Extra))) {
            let backwards: Vec<_> = rows.iter().rev().copied().collect();
            prop_assert_eq!(compare(&shown, &rows), compare(&shown, &backwards));
        }
    }

    #[test]
    fn the_first_examples_by_time_are_kept() {
        let mut found = Discrepancies::default();
        for hour in [9, 3, 7, 1, 8, 2, 6] {
            found.add(Some(at(hour)), "x");
        }
        assert_eq!(found.count, 7);
        let kept: Vec<_> = found
            .examples
            .iter()
            .map(|example| example.event_time.unwrap())
            .collect();
        assert_eq!(kept, [1, 2, 3, 6, 7].map(at));
    }

    #[test]
    fn a_row_at_another_time_than_its_record_is_altered() {
        let mut comparison = Comparison::default();
        let event = |hour| ProviderEvent {
            id: "x",
            at: at(hour),
            content: 1,
        };
        comparison.show(event(1), true);
        comparison.row(event(2), || unreachable!());
        assert_eq!(
            comparison.end().values().map(counts).collect::<Vec<_>>(),
            [[1, 1, 0, 0, 1, 0, 0]]
        );
    }

    #[test]
    fn long_ids_are_told_apart_and_take_little_room() {
        let long = "é".repeat(10_000);
        let (one, other) = (key(&format!("{long}1")), key(&format!("{long}2")));
        assert!(one != other && one.len() <= LONGEST_ID && one.starts_with("éé"));
        assert_eq!(&*key("short"), "short");
    }

    #[test]
    fn the_days_of_a_range_are_those_that_it_touches() {
        let of = |from, to| days(Range::new(at(from), at(to)).unwrap()).count();
        assert_eq!([of(0, 24), of(23, 25), of(0, 25), of(1, 2)], [1, 2, 2, 1]);
    }
}

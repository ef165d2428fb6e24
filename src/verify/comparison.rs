//! What a provider shows, held against what the lake has: pure counting, no I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::AddAssign;

use chrono::NaiveDate;
use serde::Serialize;

use crate::model::{Range, Timestamp};
use crate::table::EventIdHash;

/// How many examples are kept of each finding and day.
const EXAMPLES: usize = 5;
/// The longest id that is kept as it is; a longer one keeps its beginning and ends in a hash.
const LONGEST_ID: usize = 64;

/// One event that was found to be wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Example {
    /// When it happened; nothing of a record that can't be read.
    pub event_time: Option<Timestamp>,
    /// Its id, shortened if it is very long; of a record that can't be read, the id that quarantine would give it.
    pub event_id: String,
}

/// How many events were found to be wrong in one way, and the first few.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Discrepancies {
    /// How many.
    pub count: u64,
    /// The first of them, by time.
    pub examples: BTreeSet<Example>,
}

impl Discrepancies {
    /// One more.
    pub(super) fn add(&mut self, event_time: Option<Timestamp>, event_id: &str) {
        self.count += 1;
        self.examples.insert(Example {
            event_time,
            event_id: event_id.to_owned(),
        });
        self.shorten();
    }

    /// One less.
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

/// What was found of one UTC day of event time.
///
/// Every row is what the provider shows, or `extra`, `doubled`, `unjudged` or landed meanwhile; every record that is
/// shown is a row, or `missing`. A row that is what the provider shows by its id, but not by its content, is `altered`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ComparedDay {
    /// Events that the provider shows, of what was pulled.
    pub shown: u64,
    /// Rows in the lake.
    pub rows: u64,
    /// Events that the provider shows and the lake lacks.
    pub missing: Discrepancies,
    /// Events that the lake has and the provider doesn't show.
    pub extra: Discrepancies,
    /// Events of which the lake says something else than the provider.
    pub altered: Discrepancies,
    /// Rows too many: of an event that has three rows, two.
    pub doubled: Discrepancies,
    /// Records that can't be read; `missing` has those that are not in quarantine.
    pub unreadable: u64,
    /// Rows that the provider wasn't seen to show, where not all was read that could have shown them.
    pub unjudged: u64,
}

impl ComparedDay {
    /// Whether the lake differs from what the provider shows.
    pub fn differs(&self) -> bool {
        self.missing.count > 0 || self.differs_for_good()
    }

    /// Whether it differs in a way that landing what is missing doesn't mend.
    pub fn differs_for_good(&self) -> bool {
        self.extra.count + self.altered.count + self.doubled.count > 0
    }
}

/// Several days together.
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

/// One event, as the provider shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProviderEvent<'a> {
    /// Its id.
    pub(super) id: &'a str,
    /// When it happened.
    pub(super) at: Timestamp,
    /// A hash of what it says.
    pub(super) content: u128,
}

/// What is to be concluded from a row that the provider doesn't show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MissingRow {
    /// It is extra.
    Extra,
    /// Nothing: not all was read that could have shown it.
    Unjudged,
    /// Nothing: it was landed after the provider was asked.
    Landed,
}

/// The events of one piece of time: first all that the provider shows, then all rows.
///
/// It holds ids and hashes, no records.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    shown: HashMap<Box<str>, ShownEvent>,
    /// Rows that the provider doesn't show.
    unshown: HashMap<Box<str>, MissingRow>,
    days: BTreeMap<NaiveDate, ComparedDay>,
}

/// An event that the provider shows, and what the lake has of it.
#[derive(Debug, Clone, Copy)]
struct ShownEvent {
    at: Timestamp,
    content: u128,
    /// Whether the lake must have it.
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
    /// The provider shows this. `owed`: the lake must have it. Shown again, it is still one event.
    pub(super) fn show(&mut self, event: ProviderEvent<'_>, owed: bool) {
        let shown = self.shown.entry(key(event.id)).or_insert(ShownEvent {
            at: event.at,
            content: event.content,
            owed,
            in_lake: LakeEvent::Not,
        });
        shown.owed |= owed;
    }

    /// Whether the provider was seen to show this.
    pub(super) fn shows(&self, id: &str) -> bool {
        self.shown.contains_key(&*key(id))
    }

    /// Whether the provider was seen to show anything.
    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// The lake has this row. `unshown` is asked if the provider doesn't show it.
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

    /// The events that count as extra.
    pub(super) fn extras(&self) -> impl Iterator<Item = EventIdHash> {
        let extras = (self.unshown.iter()).filter(|(_, unshown)| **unshown == MissingRow::Extra);
        extras.map(|(id, _)| EventIdHash::of(id))
    }

    /// The events that the provider shows and the lake has, and when they happened.
    pub(super) fn found(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        let found = (self.shown.iter()).filter(|(_, shown)| shown.in_lake != LakeEvent::Not);
        found.map(|(id, shown)| (&**id, shown.at))
    }

    /// What was found, by day.
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

/// What stands for an id: itself, unless it is so long that a day of them would not fit in memory.
fn key(id: &str) -> Box<str> {
    if id.len() <= LONGEST_ID {
        return id.into();
    }
    let beginning = id.floor_char_boundary(LONGEST_ID - 33);
    format!("{}~{:?}", &id[..beginning], EventIdHash::of(id)).into()
}

/// The UTC days that a range touches.
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

    /// Id, content, and whether it is owed; or how it stands if it isn't shown.
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

    /// The same, counted one id after another over plain lists.
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

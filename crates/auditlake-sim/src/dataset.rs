//! The skeleton of a data set: what it is generated from, its records in the order of their times, and the truth about
//! them.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// The least delay of a late record.
const LATE_FROM: Duration = Duration::from_mins(1);

/// Defines a provider's `DatasetSpec`: the fields that all have, with these defaults, and those of its own.
macro_rules! dataset_spec {
    (
        records: $records:literal, largest_tie: $tie:literal, awkward_share: $awkward:literal,
        $($(#[$doc:meta])* $field:ident: $type:ty = $default:expr,)*
    ) => {
        /// What a data set is generated from; the same values give the same bytes.
        #[derive(Debug, Clone, PartialEq)]
        pub struct DatasetSpec {
            /// Seed of all that is random.
            pub seed: u64,
            /// Number of readable records.
            pub records: usize,
            /// No record happened before this instant.
            pub from: chrono::DateTime<chrono::Utc>,
            /// All records happened before this instant.
            pub to: chrono::DateTime<chrono::Utc>,
            /// The longest time after which a record can usually be seen.
            pub usual_delay: std::time::Duration,
            /// Share of the records that can be seen much later than usual.
            pub late_share: f64,
            /// The longest delay of those; the shortest is a minute.
            pub latest: std::time::Duration,
            /// Size of the largest group of records of one log and one instant; at most a quarter of all.
            pub largest_tie: usize,
            /// Share of the records with nulls, gaps, unknown values, unusual text, turned order.
            pub awkward_share: f64,
            /// Number of unreadable records in addition to `records`; see [`PoisonKind`](crate::PoisonKind).
            pub poison: usize,
            $($(#[$doc])* pub $field: $type,)*
        }

        impl Default for DatasetSpec {
            fn default() -> Self {
                // 2026-03-01T00:00:00Z and a week later
                let at = |second| chrono::DateTime::from_timestamp(second, 0).unwrap_or_default();
                Self {
                    seed: 1,
                    records: $records,
                    from: at(1_772_323_200),
                    to: at(1_772_928_000),
                    usual_delay: std::time::Duration::from_secs(20),
                    late_share: 0.02,
                    latest: std::time::Duration::from_hours(6),
                    largest_tie: $tie,
                    awkward_share: $awkward,
                    poison: 0,
                    $($field: $default,)*
                }
            }
        }

        impl DatasetSpec {
            fn draws(&self) -> crate::dataset::Draws {
                crate::dataset::Draws::new(self.seed, self.from..self.to, crate::dataset::Lateness {
                    usual: self.usual_delay,
                    late_share: self.late_share,
                    latest: self.latest,
                })
            }
        }
    };
}
pub(crate) use dataset_spec;

/// Delays of records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lateness {
    pub(crate) usual: Duration,
    pub(crate) late_share: f64,
    pub(crate) latest: Duration,
}

/// The random choices that records of every provider need.
#[derive(Debug)]
pub(crate) struct Draws {
    pub(crate) rng: StdRng,
    /// In microseconds since 1970; never empty.
    range: Range<i64>,
    lateness: Lateness,
}

impl Draws {
    pub(crate) fn new(seed: u64, range: Range<DateTime<Utc>>, lateness: Lateness) -> Self {
        let from = range.start.timestamp_micros();
        Self {
            rng: StdRng::seed_from_u64(seed),
            range: from..range.end.timestamp_micros().max(from + 1),
            lateness,
        }
    }

    /// An instant of the range.
    pub(crate) fn instant(&mut self) -> i64 {
        self.rng.random_range(self.range.clone())
    }

    /// An instant of the range that is a multiple of `step`.
    pub(crate) fn instant_by(&mut self, step: i64) -> i64 {
        let range = self.range.start.div_euclid(step)..self.range.end.div_euclid(step);
        self.rng
            .random_range(range.start..range.end.max(range.start + 1))
            * step
    }

    /// This instant, or the range's begin if it lies before that.
    pub(crate) fn within(&self, instant: i64) -> i64 {
        instant.max(self.range.start)
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.rng.random_bool(share.clamp(0.0, 1.0))
    }

    /// The smaller of two draws: the first of `count` have the most.
    pub(crate) fn one_of_first(&mut self, count: usize) -> usize {
        let draw = self.rng.random_range(0..count);
        draw.min(self.rng.random_range(0..count))
    }

    /// When a record of this instant can be seen.
    pub(crate) fn seen_after(&mut self, instant: i64) -> i64 {
        let delay = if self.chance(self.lateness.late_share) {
            let least = micros(LATE_FROM);
            let most = micros(self.lateness.latest).max(least);
            // The minimum of two draws: most come within the first half, some near the end.
            let draw = self.rng.random_range(least..=most);
            draw.min(self.rng.random_range(least..=most))
        } else {
            self.rng.random_range(0..=micros(self.lateness.usual))
        };
        instant.saturating_add(delay)
    }
}

/// In microseconds.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The way in which a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoisonKind {
    /// It shows no time.
    NoTime,
    /// Its time is not a time.
    GarbledTime,
    /// It is a string, a list, a number or null.
    NotAnObject,
    /// It has a time, but no id.
    NoId,
}

/// One record as it should arrive. True twins are there as often as the provider shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth<'a, Text = &'a str> {
    /// Its id; empty where records have none.
    pub id: String,
    /// The time that it shows, in microseconds since 1970.
    pub event_time_micros: i64,
    /// The service or the account that shows it.
    pub log: &'a str,
    /// The type of object under which it is found, where the provider asks for one.
    pub kind: &'static str,
    /// Its bytes.
    pub raw: Text,
    /// The instant from which it can be seen, in microseconds since 1970.
    pub visible_at_micros: i64,
}

/// One unreadable record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poison<'a> {
    /// What is wrong with it.
    pub kind: PoisonKind,
    /// The service or the account that shows it.
    pub log: &'a str,
    /// Its bytes.
    pub raw: &'a str,
}

/// A provider's generated records. Never changes.
#[derive(Debug)]
pub struct Dataset<Content> {
    pub(crate) logs: Vec<Log<Content>>,
}

/// The records of one service, account or type of object.
#[derive(Debug)]
pub(crate) struct Log<Content> {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    /// In the order in which they are filed.
    pub(crate) records: Vec<Record<Content>>,
}

/// One record. All instants are in microseconds since 1970.
#[derive(Debug, Clone)]
pub(crate) struct Record<Content> {
    /// The instant under which it is found.
    pub(crate) filed: i64,
    /// The instant that it shows.
    pub(crate) shown: i64,
    pub(crate) visible_at: i64,
    pub(crate) poison: Option<PoisonKind>,
    pub(crate) content: Content,
}

/// A record whose bytes are fixed.
pub(crate) trait Fixed {
    /// Its id, where it has one.
    fn id(&self) -> String {
        String::new()
    }

    fn text(&self) -> &str;
}

impl<Content> Log<Content> {
    pub(crate) fn new(name: impl Into<String>, kind: &'static str) -> Self {
        let (name, records) = (name.into(), Vec::new());
        Self {
            name,
            kind,
            records,
        }
    }

    /// The records filed from `first` to `last`, both included, that can be seen at `now`, with their places.
    pub(crate) fn select(
        &self,
        first: i64,
        last: i64,
        now: i64,
    ) -> impl Iterator<Item = (usize, &Record<Content>)> {
        let begin = self.records.partition_point(|record| record.filed < first);
        let end = self.records.partition_point(|record| record.filed <= last);
        let found = (begin..).zip(&self.records[begin..end.max(begin)]);
        found.filter(move |(_, record)| record.visible_at <= now)
    }
}

impl<Content> Record<Content> {
    /// A readable record that is filed under the time that it shows.
    pub(crate) fn new(at: i64, visible_at: i64, content: Content) -> Self {
        Self {
            filed: at,
            shown: at,
            visible_at,
            poison: None,
            content,
        }
    }
}

impl<Content> Dataset<Content> {
    /// Puts each log in order; records of one instant stay as they were made up.
    pub(crate) fn new(mut logs: Vec<Log<Content>>) -> Self {
        for log in &mut logs {
            log.records.sort_by_key(|record| record.filed);
        }
        Self { logs }
    }

    /// The number of a log.
    pub(crate) fn log(&self, name: &str) -> Option<usize> {
        self.logs.iter().position(|log| log.name == name)
    }

    /// What shows a time in `[from, to)` and can be seen at `visible_at`, with its log.
    pub(crate) fn showing(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        visible_at: DateTime<Utc>,
    ) -> impl Iterator<Item = (&Log<Content>, &Record<Content>)> {
        let range = from.timestamp_micros()..to.timestamp_micros();
        let now = visible_at.timestamp_micros();
        let logs = self.logs.iter();
        logs.flat_map(|log| log.records.iter().map(move |record| (log, record)))
            .filter(move |(_, record)| range.contains(&record.shown) && record.visible_at <= now)
    }
}

#[expect(
    private_bounds,
    reason = "only the providers' own contents have fixed bytes"
)]
impl<Content: Fixed> Dataset<Content> {
    /// The readable records that show a time in `[from, to)` and can be seen at `visible_at`; by time, id and bytes.
    pub fn truth(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        visible_at: DateTime<Utc>,
    ) -> Vec<Truth<'_>> {
        sorted(self.showing(from, to, visible_at))
    }

    /// The truth of one log.
    pub fn truth_of(
        &self,
        name: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        visible_at: DateTime<Utc>,
    ) -> Vec<Truth<'_>> {
        let all = self.showing(from, to, visible_at);
        sorted(all.filter(|(log, _)| log.name == name))
    }

    /// The unreadable records that can be seen at `visible_at`.
    pub fn poison(&self, visible_at: DateTime<Utc>) -> Vec<Poison<'_>> {
        let (from, to) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        let all = self.showing(from, to, visible_at);
        all.filter_map(|(log, record)| {
            Some(Poison {
                kind: record.poison?,
                log: &log.name,
                raw: record.content.text(),
            })
        })
        .collect()
    }
}

fn sorted<'a, Content: Fixed + 'a>(
    records: impl Iterator<Item = (&'a Log<Content>, &'a Record<Content>)>,
) -> Vec<Truth<'a>> {
    let readable = records.filter(|(_, record)| record.poison.is_none());
    let mut all: Vec<Truth<'a>> = readable
        .map(|(log, record)| Truth {
            id: record.content.id(),
            event_time_micros: record.shown,
            log: &log.name,
            kind: log.kind,
            raw: record.content.text(),
            visible_at_micros: record.visible_at,
        })
        .collect();
    all.sort_by(|a, b| {
        (a.event_time_micros, &a.id, a.raw).cmp(&(b.event_time_micros, &b.id, b.raw))
    });
    all
}

//! The skeleton of a data set: its specification, its records ordered by time, and the expected result of pulling them.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// The least delay of a late record.
const LATE_FROM: Duration = Duration::from_mins(1);

/// Defines a provider's `DatasetSpec`: the fields common to all providers, with their defaults, and the provider's own.
macro_rules! dataset_spec {
    (
        records: $records:literal, largest_tie: $tie:literal, awkward_share: $awkward:literal,
        $($(#[$doc:meta])* $field:ident: $type:ty = $default:expr,)*
    ) => {
        /// The specification of a data set. The same values generate the same bytes.
        #[derive(Debug, Clone, PartialEq)]
        pub struct DatasetSpec {
            /// The seed of every random choice.
            pub seed: u64,
            /// The number of readable records.
            pub records: usize,
            /// The earliest possible event time.
            pub from: chrono::DateTime<chrono::Utc>,
            /// The end of the range of event times, exclusive.
            pub to: chrono::DateTime<chrono::Utc>,
            /// The longest usual delay until a record becomes visible.
            pub usual_delay: std::time::Duration,
            /// The share of records that become visible much later than usual.
            pub late_share: f64,
            /// The longest delay of late records; the shortest is a minute.
            pub latest: std::time::Duration,
            /// The size of the largest group of records with the same log and instant; at most a quarter of all
            /// records.
            pub largest_tie: usize,
            /// The share of records with nulls, missing members, unknown values, unusual text or reordered members.
            pub awkward_share: f64,
            /// The number of unreadable records in addition to `records`; see [`PoisonKind`](crate::PoisonKind).
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

/// The delays of records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lateness {
    pub(crate) usual: Duration,
    pub(crate) late_share: f64,
    pub(crate) latest: Duration,
}

/// The random choices needed for the records of every provider.
#[derive(Debug)]
pub(crate) struct Draws {
    pub(crate) rng: StdRng,
    /// In microseconds since 1970. Never empty.
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

    /// Returns a random instant of the range.
    pub(crate) fn instant(&mut self) -> i64 {
        self.rng.random_range(self.range.clone())
    }

    /// Returns a random instant of the range that is a multiple of `step`.
    pub(crate) fn instant_by(&mut self, step: i64) -> i64 {
        let range = self.range.start.div_euclid(step)..self.range.end.div_euclid(step);
        self.rng
            .random_range(range.start..range.end.max(range.start + 1))
            * step
    }

    /// Returns the instant, or the start of the range if that is later.
    pub(crate) fn within(&self, instant: i64) -> i64 {
        instant.max(self.range.start)
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.rng.random_bool(share.clamp(0.0, 1.0))
    }

    /// Returns the smaller of two draws below `count`, so that small numbers are more frequent.
    pub(crate) fn one_of_first(&mut self, count: usize) -> usize {
        let draw = self.rng.random_range(0..count);
        draw.min(self.rng.random_range(0..count))
    }

    /// Returns when a record of this instant becomes visible.
    pub(crate) fn seen_after(&mut self, instant: i64) -> i64 {
        let delay = if self.chance(self.lateness.late_share) {
            let least = micros(LATE_FROM);
            let most = micros(self.lateness.latest).max(least);
            // the minimum of two draws: most within the first half, some near the end
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

/// The reason why a record can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoisonKind {
    /// It has no time.
    NoTime,
    /// Its time can't be parsed.
    GarbledTime,
    /// It isn't an object, but a string, a list, a number or null.
    NotAnObject,
    /// It has a time, but no id.
    NoId,
}

/// One record as it should arrive. Equal records occur as often as the provider returns them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth<'a, Text = &'a str> {
    /// The record's id; empty if the provider's records have none.
    pub id: String,
    /// The time in the record, in microseconds since 1970.
    pub event_time_micros: i64,
    /// The service or account that returns the record.
    pub log: &'a str,
    /// The type of object under which it is found, for providers that require one.
    pub kind: &'static str,
    /// The record's bytes.
    pub raw: Text,
    /// The instant from which the record is visible, in microseconds since 1970.
    pub visible_at_micros: i64,
}

/// An unreadable record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poison<'a> {
    /// The reason why it can't be read.
    pub kind: PoisonKind,
    /// The service or account that returns the record.
    pub log: &'a str,
    /// The record's bytes.
    pub raw: &'a str,
}

/// A provider's generated records. Immutable.
#[derive(Debug)]
pub struct Dataset<Content> {
    pub(crate) logs: Vec<Log<Content>>,
}

/// The records of one service, account or type of object.
#[derive(Debug)]
pub(crate) struct Log<Content> {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    /// In the order of the instants under which they are found.
    pub(crate) records: Vec<Record<Content>>,
}

/// One record. All instants are in microseconds since 1970.
#[derive(Debug, Clone)]
pub(crate) struct Record<Content> {
    /// The instant under which it is found.
    pub(crate) filed: i64,
    /// The instant in the record.
    pub(crate) shown: i64,
    pub(crate) visible_at: i64,
    pub(crate) poison: Option<PoisonKind>,
    pub(crate) content: Content,
}

/// The content of a record whose bytes are fixed.
pub(crate) trait Fixed {
    /// Its id, if it has one.
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

    /// Returns the records found from `first` to `last`, inclusive, that are visible at `now`, with their positions.
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
    /// Returns a readable record that is found under its own time.
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
    /// Sorts each log by time; records of the same instant keep their order.
    pub(crate) fn new(mut logs: Vec<Log<Content>>) -> Self {
        for log in &mut logs {
            log.records.sort_by_key(|record| record.filed);
        }
        Self { logs }
    }

    /// Returns the number of a log.
    pub(crate) fn log(&self, name: &str) -> Option<usize> {
        self.logs.iter().position(|log| log.name == name)
    }

    /// Returns the records with a time in `[from, to)` that are visible at `visible_at`, with their logs.
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
    /// Returns the readable records with a time in `[from, to)` that are visible at `visible_at`, sorted by time, id
    /// and bytes.
    pub fn truth(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        visible_at: DateTime<Utc>,
    ) -> Vec<Truth<'_>> {
        sorted(self.showing(from, to, visible_at))
    }

    /// Returns the expected records of one log.
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

    /// Returns the unreadable records that are visible at `visible_at`.
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

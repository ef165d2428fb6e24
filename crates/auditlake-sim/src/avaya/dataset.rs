//! The invented audit records: generated from a seed, fixed to the byte, and the truth about them.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::catalogue;
use super::generate::Generator;
use super::record::Rendered;

/// The most records on a page.
const LARGEST_PAGE: u64 = 50;

/// What a data set is generated from; the same values give the same bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetSpec {
    /// Seed of all that is random.
    pub seed: u64,
    /// How many readable records there are.
    pub records: usize,
    /// No record happened before this instant.
    pub from: DateTime<Utc>,
    /// All records happened before this instant.
    pub to: DateTime<Utc>,
    /// Types of objects with records; the first have the most. The others have none.
    pub types: Vec<String>,
    /// The longest time after which a record can usually be seen.
    pub usual_delay: Duration,
    /// Share of the records that can be seen much later than usual.
    pub late_share: f64,
    /// The longest delay of those; the shortest is a minute.
    pub latest: Duration,
    /// Size of the largest group of records of one type and one instant; at most a quarter of all.
    pub largest_tie: usize,
    /// Share of the records that are there twice or more often, to the byte.
    pub twin_share: f64,
    /// Share of the records with nulls, gaps, unknown values, unusual text, turned order.
    pub awkward_share: f64,
    /// How many unreadable records there are beside `records`; see [`PoisonKind`].
    pub poison: usize,
}

impl Default for DatasetSpec {
    fn default() -> Self {
        Self {
            seed: 1,
            records: 4_000,
            // 2026-03-01T00:00:00Z and a week later.
            from: DateTime::from_timestamp(1_772_323_200, 0).unwrap_or_default(),
            to: DateTime::from_timestamp(1_772_928_000, 0).unwrap_or_default(),
            types: catalogue::logs()
                .map(|(_, kind)| kind.to_owned())
                .filter(|kind| kind != "GROUP")
                .collect(),
            usual_delay: Duration::from_secs(20),
            late_share: 0.02,
            latest: Duration::from_hours(6),
            largest_tie: 8,
            twin_share: 0.03,
            awkward_share: 0.15,
            poison: 0,
        }
    }
}

/// In what way a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoisonKind {
    /// It shows no date.
    NoDate,
    /// Its date is not a date.
    GarbledDate,
    /// It is a string, a list or null.
    NotAnObject,
}

/// One record as it should arrive. True twins are there as often as the provider shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truth<'a> {
    /// The time that the record shows, in microseconds since 1970.
    pub event_time_micros: i64,
    /// The service that shows it.
    pub service: &'static str,
    /// The type of object under which it is found.
    pub kind: &'static str,
    /// Its bytes, in its own form of date.
    pub raw: &'a str,
    /// The instant from which it can be seen, in microseconds since 1970.
    pub visible_at_micros: i64,
}

/// One unreadable record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poison<'a> {
    /// What is wrong with it.
    pub what: PoisonKind,
    /// The instant under which it is found, in microseconds since 1970.
    pub filed_micros: i64,
    /// The service that shows it.
    pub service: &'static str,
    /// The type of object under which it is found.
    pub kind: &'static str,
    /// Its bytes.
    pub raw: &'a str,
}

/// Generated audit records. Never changes.
#[derive(Debug)]
pub struct Dataset {
    logs: Vec<Log>,
}

/// The records of one type.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) service: &'static str,
    pub(super) kind: &'static str,
    /// In the order of their dates.
    pub(super) records: Vec<Record>,
}

#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) filed: i64,
    pub(super) visible_at: i64,
    pub(super) author: String,
    pub(super) poison: Option<PoisonKind>,
    pub(super) text: Rendered,
}

impl Dataset {
    /// Generates the records of a specification.
    pub fn generate(spec: &DatasetSpec) -> Self {
        Self {
            logs: Generator::new(spec).run(),
        }
    }

    /// The readable records that show a time in `[from, to)` and can be seen at `visible_at`, by time and text.
    pub fn truth(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        visible_at: DateTime<Utc>,
    ) -> Vec<Truth<'_>> {
        let mut all: Vec<Truth> = self
            .shown(from, to, visible_at)
            .filter(|(_, record)| record.poison.is_none())
            .map(|(log, record)| Truth {
                event_time_micros: record.filed,
                service: log.service,
                kind: log.kind,
                raw: &record.text.text,
                visible_at_micros: record.visible_at,
            })
            .collect();
        all.sort_by_key(|truth| (truth.event_time_micros, truth.raw));
        all
    }

    /// The unreadable records that can be seen at `visible_at`.
    pub fn poison(&self, visible_at: DateTime<Utc>) -> Vec<Poison<'_>> {
        let ever = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        self.shown(ever.0, ever.1, visible_at)
            .filter_map(|(log, record)| {
                Some(Poison {
                    what: record.poison?,
                    filed_micros: record.filed,
                    service: log.service,
                    kind: log.kind,
                    raw: &record.text.text,
                })
            })
            .collect()
    }

    /// How many searches a client needs that knows all in advance: for each service and type, full pages, and one to
    /// learn that there is nothing.
    pub fn calls_needed(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        visible_at: DateTime<Utc>,
    ) -> u64 {
        self.logs
            .iter()
            .map(|log| {
                let shown = self
                    .shown(from, to, visible_at)
                    .filter(|(other, _)| std::ptr::eq(*other, log));
                (shown.count() as u64).div_ceil(LARGEST_PAGE).max(1)
            })
            .sum()
    }

    /// The instant at which the last record can be seen, in microseconds since 1970; 0 without records.
    pub fn all_visible_micros(&self) -> i64 {
        let records = self.logs.iter().flat_map(|log| &log.records);
        records.map(|record| record.visible_at).max().unwrap_or(0)
    }

    /// What of one type is filed from `first` to `last`, both included, and can be seen at `now`: by date, ascending.
    pub(super) fn select(&self, kind: &str, first: i64, last: i64, now: i64) -> Vec<&Record> {
        let records = self.logs.iter().filter(|log| log.kind == kind);
        records
            .flat_map(|log| &log.records)
            .filter(|record| (first..=last).contains(&record.filed) && record.visible_at <= now)
            .collect()
    }

    fn shown(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        visible_at: DateTime<Utc>,
    ) -> impl Iterator<Item = (&Log, &Record)> {
        let (from, to) = (from.timestamp_micros(), to.timestamp_micros());
        let visible_at = visible_at.timestamp_micros();
        self.logs
            .iter()
            .flat_map(|log| log.records.iter().map(move |record| (log, record)))
            .filter(move |(_, record)| {
                (from..to).contains(&record.filed) && record.visible_at <= visible_at
            })
    }
}

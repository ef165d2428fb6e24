//! The invented rows: generated from a seed, fixed to the byte, and the truth about them.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use super::generate::Generator;
use super::row::{Column, Language, Row, wall_time};

/// No zone is farther from UTC, in microseconds; a day's rows lie within this of its bounds.
const FARTHEST: i64 = 15 * 3_600 * 1_000_000;
const DAY: i64 = 86_400 * 1_000_000;

/// What a data set is generated from; the same values give the same bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetSpec {
    /// Seed of all that is random.
    pub seed: u64,
    /// The account whose trail it is: 1 to 20 letters, digits or underscores.
    pub account_id: String,
    /// How many readable rows there are.
    pub rows: usize,
    /// No row is older than this instant.
    pub from: DateTime<Utc>,
    /// All rows are older than this instant.
    pub to: DateTime<Utc>,
    /// The longest time after which a row can usually be seen.
    pub usual_delay: Duration,
    /// Share of the rows that can be seen much later than usual, each for itself.
    pub late_share: f64,
    /// The longest delay of those; the shortest is a minute.
    pub latest: Duration,
    /// How many rows share the busiest second; at most a quarter of all.
    pub largest_tie: usize,
    /// Share of the rows that are the same as the one before, to the last byte.
    pub twin_share: f64,
    /// Share of the rows by the vendor's staff.
    pub staff_share: f64,
    /// Share of the rows by the system itself.
    pub automatic_share: f64,
    /// Share of the rows with nulls, unusual text, fractions of a second.
    pub awkward_share: f64,
    /// How many unreadable rows there are beside `rows`; see [`PoisonKind`].
    pub poison: usize,
}

impl Default for DatasetSpec {
    fn default() -> Self {
        Self {
            seed: 1,
            account_id: "le12345678".to_owned(),
            rows: 5_000,
            // 2026-03-01T00:00:00Z and a week later.
            from: DateTime::from_timestamp(1_772_323_200, 0).unwrap_or_default(),
            to: DateTime::from_timestamp(1_772_928_000, 0).unwrap_or_default(),
            usual_delay: Duration::from_secs(20),
            late_share: 0.02,
            latest: Duration::from_hours(6),
            largest_tie: 60,
            twin_share: 0.03,
            staff_share: 0.08,
            automatic_share: 0.08,
            awkward_share: 0.1,
            poison: 0,
        }
    }
}

/// In what way a row cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoisonKind {
    /// Its time is null.
    NoChangeDate,
    /// Its time is not a time.
    GarbledChangeDate,
    /// It is null.
    NotAnObject,
}

/// One row as it should arrive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Truth {
    /// When it happened, in microseconds since 1970.
    pub event_time_micros: i64,
    /// Its bytes.
    pub raw: String,
    /// The instant from which it can be seen, in microseconds since 1970.
    pub visible_at_micros: i64,
}

/// Generated rows. Never changes.
#[derive(Debug)]
pub struct Dataset {
    account_id: String,
    /// In the order in which they happened.
    rows: Vec<Row>,
}

impl Dataset {
    /// Generates the rows of a specification.
    pub fn generate(spec: &DatasetSpec) -> Self {
        Self {
            account_id: spec.account_id.clone(),
            rows: Generator::new(spec).run(),
        }
    }

    /// The account whose trail it is.
    pub fn account_id(&self) -> &str {
        &self.account_id
    }

    /// The readable rows of `[from, to)` that can be seen at `visible_at`, hidden ones too, as they are shown in that
    /// zone to whoever selects those fields in that order, in English; by time and bytes.
    ///
    /// # Panics
    /// If there is no such field.
    pub fn truth(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        visible_at: DateTime<Utc>,
        fields: &[&str],
        zone: Tz,
    ) -> Vec<Truth> {
        let columns: Vec<Column> = fields
            .iter()
            .filter_map(|name| Column::named(name))
            .collect();
        assert_eq!(columns.len(), fields.len(), "{fields:?}");
        let (from, to) = (from.timestamp_micros(), to.timestamp_micros());
        let visible_at = visible_at.timestamp_micros();
        let rows = self.rows.iter().filter(|row| {
            row.poison.is_none() && (from..to).contains(&row.at) && row.visible_at <= visible_at
        });
        let mut truth: Vec<Truth> = rows
            .map(|row| Truth {
                event_time_micros: row.at,
                raw: row.render(&self.account_id, &columns, zone, Language::English),
                visible_at_micros: row.visible_at,
            })
            .collect();
        truth.sort_unstable();
        truth
    }

    /// How many rows of these days of that zone can be seen at `visible_at`, unreadable ones too; both days included.
    pub fn rows_of_days(
        &self,
        from: NaiveDate,
        to: NaiveDate,
        zone: Tz,
        visible_at: DateTime<Utc>,
    ) -> usize {
        let now = visible_at.timestamp_micros();
        self.select(Some(from), Some(to), zone, now).count()
    }

    /// How many unreadable rows there are.
    pub fn poison(&self) -> usize {
        let rows = self.rows.iter();
        rows.filter(|row| row.poison.is_some()).count()
    }

    /// The instant at which the last row can be seen, in microseconds since 1970; 0 without rows.
    pub fn all_visible_micros(&self) -> i64 {
        let instants = self.rows.iter().map(|row| row.visible_at);
        instants.max().unwrap_or(0)
    }

    /// The rows of these days of that zone that can be seen at `now`, with their numbers.
    pub(super) fn select(
        &self,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
        zone: Tz,
        now: i64,
    ) -> impl Iterator<Item = (usize, &Row)> {
        let midnight = |day: NaiveDate| {
            let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc();
            midnight.timestamp_micros()
        };
        let least = from.map_or(i64::MIN, |day| midnight(day) - FARTHEST);
        let most = to.map_or(i64::MAX, |day| midnight(day) + DAY + FARTHEST);
        let begin = self.rows.partition_point(|row| row.at < least);
        let end = self.rows.partition_point(|row| row.at < most).max(begin);
        self.rows[begin..end]
            .iter()
            .zip(begin..)
            .map(|(row, number)| (number, row))
            .filter(move |(_, row)| {
                let day = wall_time(row.at, zone).date();
                row.visible_at <= now
                    && from.is_none_or(|from| from <= day)
                    && to.is_none_or(|to| day <= to)
            })
    }

    pub(super) fn at(&self, number: usize) -> &Row {
        &self.rows[number]
    }
}

/// The calls that a client needs to read so many rows: full pages, and the empty one that ends them.
pub fn calls_needed(rows_in_asked_days: usize, page_size: usize) -> usize {
    rows_in_asked_days.div_ceil(page_size.max(1)) + 1
}

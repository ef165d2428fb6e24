//! The invented audits: generated from a seed, fixed to the byte, and the truth about them.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::generate::Generator;

/// How a record shows its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    /// Milliseconds since 1970, as a number.
    Millis,
    /// Milliseconds since 1970, as text.
    MillisText,
    /// ISO 8601 in UTC.
    Iso,
    /// One record so, the next otherwise.
    Mixed,
}

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
    /// Accounts with a log; the first is the user's own, the others are its children. The first ones have the most.
    pub accounts: Vec<String>,
    /// The least of all ids. They follow one another without a gap, in no order, and a double confuses neighbours.
    pub first_id: u64,
    /// How records show their time.
    pub times: TimeForm,
    /// The longest time after which a record can usually be seen.
    pub usual_delay: Duration,
    /// Share of the records that can be seen much later than usual.
    pub late_share: f64,
    /// The longest delay of those; the shortest is a minute.
    pub latest: Duration,
    /// Size of the largest group of records of one millisecond; at most a quarter of all.
    pub largest_tie: usize,
    /// Share of the records with nulls, gaps, unknown values, unusual text, turned order.
    pub awkward_share: f64,
    /// How many unreadable records there are beside `records`; see [`PoisonKind`].
    pub poison: usize,
}

impl Default for DatasetSpec {
    fn default() -> Self {
        Self {
            seed: 1,
            records: 5_000,
            // 2026-03-01T00:00:00Z and a week later.
            from: DateTime::from_timestamp(1_772_323_200, 0).unwrap_or_default(),
            to: DateTime::from_timestamp(1_772_928_000, 0).unwrap_or_default(),
            accounts: vec!["acme".to_owned()],
            // 2^53 and a little less: the first records have ids that a double holds
            first_id: 9_007_199_254_740_900,
            times: TimeForm::Millis,
            usual_delay: Duration::from_secs(20),
            late_share: 0.02,
            latest: Duration::from_hours(6),
            largest_tie: 60,
            awkward_share: 0.15,
            poison: 0,
        }
    }
}

/// In what way a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoisonKind {
    /// It shows no time.
    NoOccurredOn,
    /// Its time is not a time.
    GarbledOccurredOn,
    /// It is a string, a list or a number.
    NotAnObject,
    /// It is null.
    Null,
}

/// One record as it should arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Truth<'a> {
    /// The record's id.
    pub id: String,
    /// The time that the record shows, in microseconds since 1970.
    #[serde(rename = "event_time", serialize_with = "time_text")]
    pub event_time_micros: i64,
    /// The account whose log it is in.
    pub account: &'a str,
    /// Its bytes.
    pub raw: &'a str,
    /// The instant from which it can be seen, in microseconds since 1970.
    #[serde(skip)]
    pub visible_at_micros: i64,
}

/// One unreadable record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poison<'a> {
    /// What is wrong with it.
    pub kind: PoisonKind,
    /// The instant under which it is found, in microseconds since 1970.
    pub filed_micros: i64,
    /// The account whose log it is in.
    pub account: &'a str,
    /// Its bytes.
    pub raw: &'a str,
}

/// Generated audits. Never changes.
#[derive(Debug)]
pub struct Dataset {
    logs: Vec<Log>,
}

/// The log of one account.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) account: String,
    /// By time.
    pub(super) records: Vec<Record>,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: u64,
    /// When it happened, in microseconds since 1970: whole milliseconds.
    pub(super) at: i64,
    pub(super) visible_at: i64,
    pub(super) action: &'static str,
    pub(super) success: bool,
    pub(super) user: String,
    pub(super) poison: Option<PoisonKind>,
    pub(super) text: Box<str>,
}

/// What is asked of a log.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) action: Option<String>,
    pub(super) success: Option<bool>,
    pub(super) user: Option<String>,
    /// Days, both included.
    pub(super) first: Option<NaiveDate>,
    pub(super) last: Option<NaiveDate>,
}

impl Dataset {
    /// Generates the records of a specification.
    pub fn generate(spec: &DatasetSpec) -> Self {
        Self {
            logs: Generator::new(spec).run(),
        }
    }

    /// The readable records that show a time in `[from, to)` and can be seen at `visible_at`, of one account or of
    /// all, by time and id.
    pub fn truth(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        account: Option<&str>,
        visible_at: DateTime<Utc>,
    ) -> Vec<Truth<'_>> {
        let (from, to) = (from.timestamp_micros(), to.timestamp_micros());
        let visible_at = visible_at.timestamp_micros();
        let mut found: Vec<(&Log, &Record)> = self
            .logs
            .iter()
            .filter(|log| account.is_none_or(|wanted| wanted == log.account))
            .flat_map(|log| log.records.iter().map(move |record| (log, record)))
            .filter(|(_, record)| {
                record.poison.is_none()
                    && (from..to).contains(&record.at)
                    && record.visible_at <= visible_at
            })
            .collect();
        found.sort_unstable_by_key(|(_, record)| (record.at, record.id));
        found
            .into_iter()
            .map(|(log, record)| Truth {
                id: record.id.to_string(),
                event_time_micros: record.at,
                account: &log.account,
                raw: &record.text,
                visible_at_micros: record.visible_at,
            })
            .collect()
    }

    /// The unreadable records that can be seen at `visible_at`.
    pub fn poison(&self, visible_at: DateTime<Utc>) -> Vec<Poison<'_>> {
        let visible_at = visible_at.timestamp_micros();
        let mut all = Vec::new();
        for log in &self.logs {
            for record in &log.records {
                let kind = record.poison.filter(|_| record.visible_at <= visible_at);
                all.extend(kind.map(|kind| Poison {
                    kind,
                    filed_micros: record.at,
                    account: &log.account,
                    raw: &record.text,
                }));
            }
        }
        all
    }

    /// Writes every readable record that can be seen at `visible_at` as JSON lines with the members `id`,
    /// `event_time` (UTC, microseconds), `account` and `raw` (the record's text, as a string).
    pub fn write_truth(&self, path: &Path, visible_at: DateTime<Utc>) -> io::Result<()> {
        let mut out = BufWriter::new(std::fs::File::create(path)?);
        let (from, to) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        for row in self.truth(from, to, None, visible_at) {
            serde_json::to_writer(&mut out, &row)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    /// The names of all accounts, the user's own first.
    pub fn accounts(&self) -> Vec<&str> {
        self.logs.iter().map(|log| log.account.as_str()).collect()
    }

    /// The instant at which the last record can be seen, in microseconds since 1970; 0 without records.
    pub fn all_visible_micros(&self) -> i64 {
        let records = self.logs.iter().flat_map(|log| &log.records);
        records.map(|record| record.visible_at).max().unwrap_or(0)
    }

    /// The number of the user's own account, or of a child.
    pub(super) fn log(&self, child: Option<&str>) -> Option<usize> {
        match child {
            None => (!self.logs.is_empty()).then_some(0),
            Some(name) => {
                let place = self.logs.iter().position(|log| log.account == name)?;
                (place > 0).then_some(place)
            }
        }
    }

    pub(super) fn account(&self, log: usize) -> &str {
        &self.logs[log].account
    }

    /// What a log shows at `now`, by time.
    pub(super) fn select(&self, log: usize, filter: &Filter, zone: Tz, now: i64) -> Vec<&Record> {
        let records = &self.logs[log].records;
        // days begin at another instant in each zone; those that may matter are looked at one by one
        let rough = |day: NaiveDate, by: i64| {
            let around = day.and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::days(by);
            around.timestamp_micros()
        };
        let begin = (filter.first).map_or(0, |day| {
            records.partition_point(|record| record.at < rough(day, -1))
        });
        let end = (filter.last).map_or(records.len(), |day| {
            records.partition_point(|record| record.at < rough(day, 3))
        });
        let in_days = |record: &Record| {
            let at = DateTime::from_timestamp_micros(record.at).unwrap_or_default();
            let day = at.with_timezone(&zone).date_naive();
            filter.first.is_none_or(|first| first <= day)
                && filter.last.is_none_or(|last| day <= last)
        };
        records[begin..end.max(begin)]
            .iter()
            .filter(|record| {
                record.visible_at <= now
                    && filter
                        .action
                        .as_ref()
                        .is_none_or(|wanted| wanted == record.action)
                    && filter.success.is_none_or(|wanted| wanted == record.success)
                    && filter
                        .user
                        .as_ref()
                        .is_none_or(|wanted| *wanted == record.user)
                    && in_days(record)
            })
            .collect()
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn time_text<S: serde::Serializer>(micros: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    let at = DateTime::from_timestamp_micros(*micros).unwrap_or_default();
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

//! The invented audits: generated from a seed, fixed to the byte, and the truth about them.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::generate::Generator;
use super::record::Rendered;

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
    /// Services with records; the first have the most. Names are plain ASCII.
    pub services: Vec<String>,
    /// Services in the mapping that never have a record.
    pub quiet_services: Vec<String>,
    /// The longest time after which a record can usually be seen.
    pub usual_delay: Duration,
    /// Share of the records that can be seen much later than usual.
    pub late_share: f64,
    /// The longest delay of those; the shortest is a minute.
    pub latest: Duration,
    /// Size of the largest group of records of one service and one instant; at most a quarter of all.
    pub largest_tie: usize,
    /// Share of the records with nulls, gaps, unknown values, unusual text, turned order.
    pub awkward_share: f64,
    /// How many records are filed, and thus found, under another time than the one that they show.
    pub misfiled: usize,
    /// How far from that time they are filed at most.
    pub misfiled_by: Duration,
    /// How many unreadable records there are beside `records`; see [`PoisonKind`].
    pub poison: usize,
    /// Whether some records hold line breaks between their fields; then JSON lines of them would be torn.
    pub newlines: bool,
}

impl Default for DatasetSpec {
    fn default() -> Self {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            seed: 1,
            records: 10_000,
            // 2026-03-01T00:00:00Z and a week later.
            from: DateTime::from_timestamp(1_772_323_200, 0).unwrap_or_default(),
            to: DateTime::from_timestamp(1_772_928_000, 0).unwrap_or_default(),
            services: texts(&[
                "PeoplePermissions",
                "ContactCenter",
                "Architect",
                "Routing",
                "Directory",
                "BrandNewService2027",
            ]),
            quiet_services: texts(&["Billing", "GDPR"]),
            usual_delay: Duration::from_secs(20),
            late_share: 0.02,
            latest: Duration::from_hours(6),
            largest_tie: 700,
            awkward_share: 0.15,
            misfiled: 0,
            misfiled_by: Duration::from_hours(24),
            poison: 0,
            newlines: false,
        }
    }
}

/// In what way a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoisonKind {
    /// It shows no time.
    NoEventDate,
    /// Its time is not a time.
    GarbledEventDate,
    /// It is a string, a list or null.
    NotAnObject,
    /// It has a time, but no id.
    NoId,
}

/// One record as it should arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Truth<'a> {
    /// The audit's id.
    pub id: String,
    /// The time that the record shows, in microseconds since 1970.
    #[serde(rename = "event_time", serialize_with = "time_text")]
    pub event_time_micros: i64,
    /// The service it is filed under.
    pub service: &'a str,
    /// Its bytes in the form with users expanded.
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
    /// The service it is filed under.
    pub service: &'a str,
    /// Its bytes.
    pub raw: &'a str,
}

/// Generated audits. Never changes.
#[derive(Debug)]
pub struct Dataset {
    /// Services without records come last.
    logs: Vec<Log>,
    /// How many services have records.
    busy: usize,
}

/// The records of one service.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) service: String,
    /// In the order in which they are filed.
    pub(super) records: Vec<Record>,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) filed: i64,
    pub(super) shown: i64,
    pub(super) visible_at: i64,
    pub(super) id: Uuid,
    pub(super) transaction: Option<u32>,
    pub(super) poison: Option<PoisonKind>,
    pub(super) text: Rendered,
}

/// Where a record lies: the number of its service, and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) service: usize,
    pub(super) index: u32,
}

/// Filing times asked for, in microseconds; both ends are included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Record {
    /// The two pieces that make up the record's text; the second is empty in the expanded form.
    pub(super) fn pieces(&self, expanded: bool) -> (&str, &str) {
        let Rendered { text, name } = &self.text;
        if expanded || name.is_empty() {
            (text, "")
        } else {
            (&text[..name.start], &text[name.end..])
        }
    }

    pub(super) fn expanded(&self) -> &str {
        &self.text.text
    }
}

impl Dataset {
    /// Generates the records of a specification.
    pub fn generate(spec: &DatasetSpec) -> Self {
        let (logs, busy) = Generator::new(spec).run();
        Self { logs, busy }
    }

    /// The readable records that show a time in `[from, to)` and can be seen at `visible_at`, of one service or of
    /// all, by time and id.
    pub fn truth(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        service: Option<&str>,
        visible_at: DateTime<Utc>,
    ) -> Vec<Truth<'_>> {
        let (from, to) = (from.timestamp_micros(), to.timestamp_micros());
        let visible_at = visible_at.timestamp_micros();
        let mut found: Vec<(&Log, &Record)> = self
            .logs
            .iter()
            .filter(|log| service.is_none_or(|wanted| wanted == log.service))
            .flat_map(|log| log.records.iter().map(move |record| (log, record)))
            .filter(|(_, record)| {
                record.poison.is_none()
                    && (from..to).contains(&record.shown)
                    && record.visible_at <= visible_at
            })
            .collect();
        found.sort_unstable_by_key(|(_, record)| (record.shown, record.id));
        found
            .into_iter()
            .map(|(log, record)| Truth {
                id: record.id.to_string(),
                event_time_micros: record.shown,
                service: &log.service,
                raw: record.expanded(),
                visible_at_micros: record.visible_at,
            })
            .collect()
    }

    /// The unreadable records that can be seen at `visible_at`.
    pub fn poison(&self, visible_at: DateTime<Utc>) -> Vec<Poison<'_>> {
        let visible_at = visible_at.timestamp_micros();
        let mut all = Vec::new();
        for log in &self.logs {
            for record in log
                .records
                .iter()
                .filter(|record| record.visible_at <= visible_at)
            {
                all.extend(record.poison.map(|kind| Poison {
                    kind,
                    filed_micros: record.filed,
                    service: &log.service,
                    raw: record.expanded(),
                }));
            }
        }
        all
    }

    /// Writes every readable record that can be seen at `visible_at` as JSON lines with the members `id`,
    /// `event_time` (UTC, microseconds), `service` and `raw` (the record's text, as a string).
    pub fn write_truth(&self, path: &Path, visible_at: DateTime<Utc>) -> io::Result<()> {
        let mut out = BufWriter::new(std::fs::File::create(path)?);
        for row in self.truth(
            DateTime::<Utc>::MIN_UTC,
            DateTime::<Utc>::MAX_UTC,
            None,
            visible_at,
        ) {
            serde_json::to_writer(&mut out, &row)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    /// Names of all services, those without records last.
    pub fn services(&self) -> Vec<&str> {
        self.listed().map(|(name, _)| name).collect()
    }

    /// The instant at which the last record can be seen, in microseconds since 1970; 0 without records.
    pub fn all_visible_micros(&self) -> i64 {
        let records = self.logs.iter().flat_map(|log| &log.records);
        records.map(|record| record.visible_at).max().unwrap_or(0)
    }

    /// Services, and whether each is without records.
    pub(super) fn listed(&self) -> impl Iterator<Item = (&str, bool)> {
        let numbered = self.logs.iter().enumerate();
        numbered.map(|(number, log)| (log.service.as_str(), number >= self.busy))
    }

    /// The number of a service.
    pub(super) fn service(&self, name: &str) -> Option<usize> {
        self.logs.iter().position(|log| log.service == name)
    }

    pub(super) fn at(&self, place: Place) -> &Record {
        &self.logs[place.service].records[place.index as usize]
    }

    /// What a service filed within a span and shows at `now`, in ascending order.
    pub(super) fn select(
        &self,
        service: usize,
        span: Span,
        now: i64,
        keep: impl Fn(&str) -> bool,
    ) -> Vec<u32> {
        let records = &self.logs[service].records;
        let begin = records.partition_point(|record| record.filed < span.first);
        let end = records
            .partition_point(|record| record.filed <= span.last)
            .max(begin);
        records[begin..end]
            .iter()
            .zip(begin..)
            .filter(|(record, _)| record.visible_at <= now && keep(record.expanded()))
            .filter_map(|(_, index)| u32::try_from(index).ok())
            .collect()
    }

    /// Every audit of the action that this audit belongs to, in ascending order, with the instant of the audit
    /// asked for; `None` if there is no such audit to be seen.
    pub(super) fn related(&self, id: Uuid, now: i64) -> Option<(i64, Vec<Place>)> {
        let visible = |record: &Record| record.visible_at <= now;
        let (place, asked) = self
            .places()
            .find(|(_, record)| record.id == id && visible(record) && record.poison.is_none())?;
        let Some(transaction) = asked.transaction else {
            return Some((asked.filed, vec![place]));
        };
        let mut places: Vec<Place> = self
            .places()
            .filter(|(_, record)| record.transaction == Some(transaction) && visible(record))
            .map(|(place, _)| place)
            .collect();
        places.sort_by_key(|place| self.at(*place).filed);
        Some((asked.filed, places))
    }

    fn places(&self) -> impl Iterator<Item = (Place, &Record)> {
        self.logs.iter().enumerate().flat_map(|(service, log)| {
            let numbered = (0_u32..).zip(&log.records);
            numbered.map(move |(index, record)| (Place { service, index }, record))
        })
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

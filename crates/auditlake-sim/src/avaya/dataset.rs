//! The audit records, generated from a seed: the same seed gives the same bytes.

use chrono::{DateTime, Utc};
use rand::Rng as _;

use super::Dataset;
use super::catalogue::{self, Service};
use super::record::{RecordFacts, author, render};
use crate::PoisonKind;
use crate::dataset::{Draws, Fixed, Log, Record, dataset_spec};
use crate::texts::{Precision, Rendered, pick, random_uuid};

/// The maximum page size.
const LARGEST_PAGE: u64 = 50;

dataset_spec! {
    records: 4_000, largest_tie: 8, awkward_share: 0.15,
    /// The number of types of objects with records; the first types have the most, and all others have none.
    types: Vec<String> = catalogue::logs()
        .map(|(_, kind)| kind.to_owned())
        .filter(|kind| kind != "GROUP")
        .collect(),
    /// The share of records that occur at least twice with the same bytes.
    twin_share: f64 = 0.03,
}

/// The content of a record.
#[derive(Debug, Clone)]
pub struct AuditRecord {
    pub(super) author: String,
    pub(super) text: Rendered,
}

impl Fixed for AuditRecord {
    fn text(&self) -> &str {
        &self.text.text
    }
}

impl Dataset {
    /// Generates the records of a specification.
    pub fn generate(spec: &DatasetSpec) -> Self {
        let logs = catalogue::logs().map(|(service, kind)| Log::new(service.name, kind));
        let place = |wanted: &String| {
            let mut logs = catalogue::logs().enumerate();
            let (place, (service, _)) = logs.find(|(_, (_, kind))| kind == wanted)?;
            Some((place, service))
        };
        let mut draws = spec.draws();
        let generator = AvayaGenerator {
            spec,
            busy: spec.types.iter().filter_map(place).collect(),
            authors: (0..40).map(|_| author(&mut draws.rng)).collect(),
            draws,
            logs: logs.collect(),
            made: 0,
        };
        Self::new(generator.run())
    }

    /// Returns the least number of searches for all records: full pages for each service and type, or one search for a
    /// type without records.
    pub fn calls_needed(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        visible_at: DateTime<Utc>,
    ) -> u64 {
        let (first, last) = (from.timestamp_micros(), to.timestamp_micros() - 1);
        let now = visible_at.timestamp_micros();
        let found = self
            .logs
            .iter()
            .map(|log| log.select(first, last, now).count() as u64);
        found.map(|found| found.div_ceil(LARGEST_PAGE).max(1)).sum()
    }

    /// Returns the records of one type that are found from `first` to `last`, inclusive, and are visible at `now`, in
    /// ascending order of date.
    pub(super) fn select(
        &self,
        kind: &str,
        first: i64,
        last: i64,
        now: i64,
    ) -> Vec<&Record<AuditRecord>> {
        let logs = self.logs.iter().filter(|log| log.kind == kind);
        logs.flat_map(|log| log.select(first, last, now))
            .map(|(_, record)| record)
            .collect()
    }
}

/// Generates records; the same specification gives the same bytes.
#[derive(Debug)]
struct AvayaGenerator<'a> {
    spec: &'a DatasetSpec,
    draws: Draws,
    logs: Vec<Log<AuditRecord>>,
    /// The logs with records and their services; the first log has the most.
    busy: Vec<(usize, &'static Service)>,
    authors: Vec<String>,
    made: usize,
}

impl AvayaGenerator<'_> {
    fn run(mut self) -> Vec<Log<AuditRecord>> {
        if !self.busy.is_empty() {
            self.tie();
            while self.made < self.spec.records {
                let size = match self.draws.rng.random_range(0..100) {
                    0..75 => 1,
                    75..95 => self.draws.rng.random_range(2..=4),
                    _ => self.draws.rng.random_range(5..=7),
                };
                self.action(size);
            }
            for number in 0..self.spec.poison {
                self.poison(number);
            }
        }
        self.logs
    }

    /// Generates the largest group of equal dates: unrelated records of the first type.
    fn tie(&mut self) {
        let (precision, filed) = (Precision::Seconds, self.instant(Precision::Seconds));
        let size = self.spec.largest_tie.min(self.spec.records / 4);
        for _ in 0..size {
            self.record(self.busy[0], filed, precision);
        }
    }

    /// Generates the records of one action, which have the same instant.
    fn action(&mut self, size: usize) {
        let precision = match self.draws.rng.random_range(0..10) {
            0..2 => Precision::Seconds,
            2 => Precision::SecondsWithZeros,
            3 => Precision::Tenths,
            _ => Precision::Millis,
        };
        let filed = self.instant(precision);
        let log = self.log();
        for _ in 0..size.min(self.spec.records - self.made) {
            self.record(log, filed, precision);
        }
    }

    /// Generates a record, and equal ones if it is to have them.
    fn record(&mut self, (place, service): (usize, &Service), filed: i64, precision: Precision) {
        let author = self.authors[self.draws.rng.random_range(0..self.authors.len())].clone();
        let awkward = self.draws.chance(self.spec.awkward_share);
        let facts = RecordFacts {
            filed,
            precision,
            kind: self.logs[place].kind,
            event: pick(&mut self.draws.rng, service.events),
            author: &author,
            shows_previous: service.shows_previous,
            awkward,
        };
        let text = render(&facts, &mut self.draws.rng);
        let copies = if self.draws.chance(self.spec.twin_share) {
            self.draws.rng.random_range(2..=3)
        } else {
            1
        };
        for _ in 0..copies.min(self.spec.records - self.made) {
            let content = AuditRecord {
                author: author.clone(),
                text: text.clone(),
            };
            let record = Record::new(filed, self.draws.seen_after(filed), content);
            self.logs[place].records.push(record);
            self.made += 1;
        }
    }

    fn poison(&mut self, number: usize) {
        let filed = self.instant(Precision::Millis);
        let (place, _) = self.log();
        let id = random_uuid(&mut self.draws.rng);
        let rest = format!(r#""event":"UPDATED","type":"USER","auditData":{{"userId":"{id}"}}"#);
        let (kind, text) = match number % 6 {
            0 => (PoisonKind::NoTime, format!("{{{rest}}}")),
            1 => (
                PoisonKind::GarbledTime,
                format!(r#"{{"date":"2026-13-45T99:99:99Z",{rest}}}"#),
            ),
            2 => (PoisonKind::NotAnObject, format!(r#""record {id}""#)),
            3 => (PoisonKind::NoTime, format!(r#"{{"date":null,{rest}}}"#)),
            4 => (
                PoisonKind::GarbledTime,
                format!(r#"{{"date":"2026-03-01T10:00:00",{rest}}}"#),
            ),
            _ => (PoisonKind::NotAnObject, format!(r#"["{id}",null]"#)),
        };
        let content = AuditRecord {
            author: String::new(),
            text: Rendered { text, part: 0..0 },
        };
        let mut record = Record::new(filed, self.draws.seen_after(filed), content);
        record.poison = Some(kind);
        self.logs[place].records.push(record);
    }

    fn instant(&mut self, precision: Precision) -> i64 {
        let instant = self.draws.instant();
        self.draws.within(precision.floor(instant))
    }

    fn log(&mut self) -> (usize, &'static Service) {
        self.busy[self.draws.one_of_first(self.busy.len())]
    }
}

//! The audits, generated from a seed: the same seed gives the same bytes.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use rand::Rng as _;
use serde_json::json;
use uuid::Uuid;

use super::record::{Actor, AuditFacts, people};
use super::{Dataset, catalogue};
use crate::PoisonKind;
use crate::dataset::{Draws, Fixed, Log, Record, dataset_spec, micros};
use crate::texts::{Precision, Rendered, pick, random_uuid};

dataset_spec! {
    records: 10_000, largest_tie: 700, awkward_share: 0.15,
    /// The services with records; the first have the most. Names are plain ASCII.
    services: Vec<String> = [
        "PeoplePermissions",
        "ContactCenter",
        "Architect",
        "Routing",
        "Directory",
        "BrandNewService2027",
    ].map(str::to_owned).to_vec(),
    /// The services in the mapping that never have a record.
    quiet_services: Vec<String> = ["Billing", "GDPR"].map(str::to_owned).to_vec(),
    /// The number of records that are found under a time other than their own.
    misfiled: usize = 0,
    /// The greatest difference between these times.
    misfiled_by: Duration = Duration::from_hours(24),
    /// Whether some records have line breaks between their fields, so that they can't be JSON lines.
    newlines: bool = false,
}

/// A log that never has a record.
const QUIET: &str = "quiet";

/// The content of an audit.
#[derive(Debug)]
pub struct ServiceAudit {
    id: Uuid,
    transaction: Option<u32>,
    text: Rendered,
}

impl Fixed for ServiceAudit {
    fn id(&self) -> String {
        self.id.to_string()
    }

    fn text(&self) -> &str {
        &self.text.text
    }
}

impl ServiceAudit {
    /// Returns the two pieces of the record's text; the second is empty in the expanded form.
    pub(super) fn pieces(&self, expanded: bool) -> (&str, &str) {
        let Rendered { text, part } = &self.text;
        if expanded || part.is_empty() {
            (text, "")
        } else {
            (&text[..part.start], &text[part.end..])
        }
    }
}

/// The position of a record: the number of its service, and its place in that log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RecordPlace {
    pub(super) service: usize,
    pub(super) index: u32,
}

/// A requested range of filing times in microseconds, inclusive.
#[derive(Debug, Clone, Copy)]
pub(super) struct FilingSpan {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Dataset {
    /// Generates the records of a specification.
    pub fn generate(spec: &DatasetSpec) -> Self {
        let mut draws = spec.draws();
        let busy = spec.services.iter().map(|service| Log::new(service, ""));
        let quiet = spec
            .quiet_services
            .iter()
            .map(|service| Log::new(service, QUIET));
        let generator = GenesysGenerator {
            spec,
            people: people(&mut draws.rng),
            clients: (0..12).map(|_| random_uuid(&mut draws.rng)).collect(),
            draws,
            logs: busy.chain(quiet).collect(),
            made: 0,
            actions: 0,
        };
        Self::new(generator.run())
    }

    /// Writes every readable record that is visible at `visible_at` as JSON lines with the members `id`, `event_time`
    /// (UTC, microseconds), `service` and `raw` (the record's text as a string).
    pub fn write_truth(&self, path: &Path, visible_at: DateTime<Utc>) -> io::Result<()> {
        let mut out = BufWriter::new(std::fs::File::create(path)?);
        let (from, to) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        for row in self.truth(from, to, visible_at) {
            let time = DateTime::from_timestamp_micros(row.event_time_micros).unwrap_or_default();
            let time = time.to_rfc3339_opts(SecondsFormat::Micros, true);
            let line =
                json!({ "id": row.id, "event_time": time, "service": row.log, "raw": row.raw });
            writeln!(out, "{line}")?;
        }
        out.flush()
    }

    /// Returns the services, and whether each has no records.
    pub(super) fn listed(&self) -> impl Iterator<Item = (&str, bool)> {
        let logs = self.logs.iter();
        logs.map(|log| (log.name.as_str(), log.kind == QUIET))
    }

    pub(super) fn at(&self, place: RecordPlace) -> &Record<ServiceAudit> {
        &self.logs[place.service].records[place.index as usize]
    }

    /// Returns the records of a service within a span that are visible at `now`, in ascending order.
    pub(super) fn select(
        &self,
        service: usize,
        span: FilingSpan,
        now: i64,
        keep: impl Fn(&str) -> bool,
    ) -> Vec<u32> {
        self.logs[service]
            .select(span.first, span.last, now)
            .filter(|(_, record)| keep(record.content.text()))
            .filter_map(|(index, _)| u32::try_from(index).ok())
            .collect()
    }

    /// Returns every audit of the action to which this audit belongs, in ascending order, with the instant of the
    /// requested audit; `None` if no such audit is visible.
    pub(super) fn related(&self, id: Uuid, now: i64) -> Option<(i64, Vec<RecordPlace>)> {
        let visible = |record: &Record<ServiceAudit>| record.visible_at <= now;
        let (place, asked) = self.places().find(|(_, record)| {
            record.content.id == id && visible(record) && record.poison.is_none()
        })?;
        let Some(transaction) = asked.content.transaction else {
            return Some((asked.filed, vec![place]));
        };
        let mut places: Vec<RecordPlace> = self
            .places()
            .filter(|(_, record)| {
                record.content.transaction == Some(transaction) && visible(record)
            })
            .map(|(place, _)| place)
            .collect();
        places.sort_by_key(|place| self.at(*place).filed);
        Some((asked.filed, places))
    }

    fn places(&self) -> impl Iterator<Item = (RecordPlace, &Record<ServiceAudit>)> {
        self.logs.iter().enumerate().flat_map(|(service, log)| {
            let numbered = (0_u32..).zip(&log.records);
            numbered.map(move |(index, record)| (RecordPlace { service, index }, record))
        })
    }
}

/// Generates records; the same specification gives the same bytes.
#[derive(Debug)]
struct GenesysGenerator<'a> {
    spec: &'a DatasetSpec,
    draws: Draws,
    people: Vec<Actor>,
    clients: Vec<Uuid>,
    logs: Vec<Log<ServiceAudit>>,
    made: usize,
    actions: u32,
}

/// Generates the audits of one user action, which have the same instant.
#[derive(Debug, Clone, Copy)]
struct UserAction {
    filed: i64,
    precision: Precision,
    service: usize,
    person: Option<usize>,
    transaction: (u32, Option<Uuid>),
}

impl GenesysGenerator<'_> {
    fn run(mut self) -> Vec<Log<ServiceAudit>> {
        if !self.spec.services.is_empty() {
            self.tie();
            while self.made < self.spec.records {
                self.action();
            }
            for number in 0..self.spec.poison {
                self.poison(number);
            }
            self.misfile();
        }
        self.logs
    }

    /// Generates the largest group of equal times: unrelated audits of the first service at a whole second.
    fn tie(&mut self) {
        let filed = self.instant(Precision::Seconds);
        for _ in 0..self.spec.largest_tie.min(self.spec.records / 4) {
            let person = self.person();
            self.actions += 1;
            self.audit(UserAction {
                filed,
                precision: Precision::Seconds,
                service: 0,
                person,
                transaction: (self.actions, None),
            });
        }
    }

    fn action(&mut self) {
        self.actions += 1;
        let size = match self.draws.rng.random_range(0..100) {
            0..60 => 1,
            60..90 => self.draws.rng.random_range(2..=4),
            90..99 => self.draws.rng.random_range(5..=12),
            _ => self.draws.rng.random_range(20..=40),
        };
        let precision = match self.draws.rng.random_range(0..10) {
            0..3 => Precision::Seconds,
            3 => Precision::SecondsWithZeros,
            4..8 => Precision::Millis,
            _ => Precision::Micros,
        };
        let mut action = UserAction {
            filed: self.instant(precision),
            precision,
            service: self.service(),
            person: self.person(),
            transaction: (self.actions, None),
        };
        for _ in 0..size.min(self.spec.records - self.made) {
            let first = self.audit(action);
            if action.transaction.1.is_none() && (size > 1 || self.draws.rng.random_bool(0.5)) {
                action.transaction.1 = Some(first);
            }
            if self.draws.rng.random_bool(0.2) {
                action.service = self.service();
            }
        }
    }

    /// Generates an audit of an action; the first of a group initiates it.
    fn audit(&mut self, action: UserAction) -> Uuid {
        let id = random_uuid(&mut self.draws.rng);
        let (number, begun_by) = action.transaction;
        let service = self.spec.services[action.service].as_str();
        let entities = catalogue::entities(service);
        let (entity_type, actions) = &entities[self.draws.rng.random_range(0..entities.len())];
        let awkward = self.draws.chance(self.spec.awkward_share);
        let silent = begun_by.is_none() && self.draws.rng.random_bool(0.2)
            || awkward && self.draws.rng.random_bool(0.2);
        let facts = AuditFacts {
            id,
            time_micros: action.filed,
            precision: action.precision,
            service,
            entity_type,
            action: if awkward && self.draws.rng.random_bool(0.1) {
                "Transmogrify"
            } else {
                pick(&mut self.draws.rng, actions)
            },
            person: action.person.map(|index| &self.people[index]),
            client: pick(&mut self.draws.rng, &self.clients),
            transaction: (!silent).then(|| begun_by.unwrap_or(id)),
            initiates: begun_by.is_none(),
            awkward,
            newlines: self.spec.newlines,
        };
        let text = facts.render(&mut self.draws.rng);
        let transaction = (!silent).then_some(number);
        let content = ServiceAudit {
            id,
            transaction,
            text,
        };
        let record = Record::new(action.filed, self.draws.seen_after(action.filed), content);
        self.logs[action.service].records.push(record);
        self.made += 1;
        id
    }

    fn poison(&mut self, number: usize) {
        let (filed, service) = (self.instant(Precision::Millis), self.service());
        let id = random_uuid(&mut self.draws.rng);
        let (kind, text) = match number % 6 {
            0 => (
                PoisonKind::NoTime,
                format!(r#"{{"id":"{id}","action":"Update","entityType":"Queue"}}"#),
            ),
            1 => (
                PoisonKind::GarbledTime,
                format!(r#"{{"id":"{id}","eventDate":"2026-13-45T99:99:99Z","action":"Update"}}"#),
            ),
            2 => (PoisonKind::NotAnObject, format!(r#""audit {id}""#)),
            3 => {
                let time = Precision::Millis.show(filed);
                let text =
                    format!(r#"{{"eventDate":"{time}Z","action":"Update","entityType":"{id}"}}"#);
                (PoisonKind::NoId, text)
            }
            4 => (
                PoisonKind::GarbledTime,
                format!(r#"{{"id":"{id}","eventDate":1772323200,"action":"Update"}}"#),
            ),
            _ => (PoisonKind::NotAnObject, format!(r#"["{id}",null]"#)),
        };
        let text = Rendered { text, part: 0..0 };
        let content = ServiceAudit {
            id,
            transaction: None,
            text,
        };
        let mut record = Record::new(filed, self.draws.seen_after(filed), content);
        record.poison = Some(kind);
        self.logs[service].records.push(record);
    }

    /// Files some records under a time other than their own, within the range.
    fn misfile(&mut self) {
        let most_by = micros(self.spec.misfiled_by);
        let (first, last) = (
            self.spec.from.timestamp_micros(),
            self.spec.to.timestamp_micros() - 1,
        );
        for _ in 0..self.spec.misfiled {
            let service = self.service();
            let Some(most) = self.logs[service].records.len().checked_sub(1) else {
                continue;
            };
            let index = self.draws.rng.random_range(0..=most);
            let by = self.draws.rng.random_range(-most_by..=most_by);
            let record = &mut self.logs[service].records[index];
            if record.poison.is_none() {
                record.filed = (record.shown + by).clamp(first, last.max(first));
                record.visible_at = record.visible_at.max(record.filed);
            }
        }
    }

    fn instant(&mut self, precision: Precision) -> i64 {
        let instant = self.draws.instant();
        self.draws.within(precision.floor(instant))
    }

    fn person(&mut self) -> Option<usize> {
        let index = self.draws.rng.random_range(0..self.people.len());
        self.draws.rng.random_bool(0.9).then_some(index)
    }

    fn service(&mut self) -> usize {
        self.draws.one_of_first(self.spec.services.len())
    }
}

//! How the invented audits are made up.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

use super::catalogue;
use super::dataset::{DatasetSpec, Log, PoisonKind, Record};
use super::people::{Person, people};
use super::record::{Facts, Precision, Rendered, Writer, show_time};
use crate::late::{Lateness, micros};
use crate::texts::{pick, random_uuid};

/// Makes up records; the same specification gives the same bytes.
#[derive(Debug)]
pub(super) struct Generator<'a> {
    spec: &'a DatasetSpec,
    rng: StdRng,
    writer: Writer,
    people: Vec<Person>,
    clients: Vec<Uuid>,
    logs: Vec<Log>,
    made: usize,
    actions: u32,
}

/// One user action, which leaves one or more audits of one instant.
#[derive(Debug, Clone, Copy)]
struct Action {
    filed: i64,
    precision: Precision,
    service: usize,
    person: Option<usize>,
    transaction: (u32, Option<Uuid>),
}

impl<'a> Generator<'a> {
    pub(super) fn new(spec: &'a DatasetSpec) -> Self {
        let mut rng = StdRng::seed_from_u64(spec.seed);
        let log = |service: &String| Log {
            service: service.clone(),
            records: Vec::new(),
        };
        Self {
            spec,
            people: people(&mut rng),
            clients: (0..12).map(|_| random_uuid(&mut rng)).collect(),
            rng,
            writer: Writer::default(),
            logs: spec
                .services
                .iter()
                .chain(&spec.quiet_services)
                .map(log)
                .collect(),
            made: 0,
            actions: 0,
        }
    }

    /// The logs of all services, and how many of them have records.
    pub(super) fn run(mut self) -> (Vec<Log>, usize) {
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
        for log in &mut self.logs {
            log.records.sort_by_key(|record| record.filed);
        }
        (self.logs, self.spec.services.len())
    }

    /// The largest group of equal times: unrelated audits of the first service at a whole second.
    fn tie(&mut self) {
        let filed = Precision::Seconds
            .floor(self.instant())
            .max(self.spec.from.timestamp_micros());
        for _ in 0..self.spec.largest_tie.min(self.spec.records / 4) {
            let person = self.person();
            self.actions += 1;
            self.audit(Action {
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
        let size = match self.rng.random_range(0..100) {
            0..60 => 1,
            60..90 => self.rng.random_range(2..=4),
            90..99 => self.rng.random_range(5..=12),
            _ => self.rng.random_range(20..=40),
        };
        let precision = match self.rng.random_range(0..10) {
            0..3 => Precision::Seconds,
            3 => Precision::SecondsWithZeros,
            4..8 => Precision::Millis,
            _ => Precision::Micros,
        };
        let mut action = Action {
            filed: precision
                .floor(self.instant())
                .max(self.spec.from.timestamp_micros()),
            precision,
            service: self.service(),
            person: self.person(),
            transaction: (self.actions, None),
        };
        for _ in 0..size.min(self.spec.records - self.made) {
            let first = self.audit(action);
            if action.transaction.1.is_none() && (size > 1 || self.rng.random_bool(0.5)) {
                action.transaction.1 = Some(first);
            }
            if self.rng.random_bool(0.2) {
                action.service = self.service();
            }
        }
    }

    /// Writes one audit of an action; the first of a group begins it.
    fn audit(&mut self, action: Action) -> Uuid {
        let id = random_uuid(&mut self.rng);
        let (number, begun_by) = action.transaction;
        let service = self.spec.services[action.service].as_str();
        let (entity_type, actions) = pick(&mut self.rng, catalogue::entities(service));
        let awkward = self
            .rng
            .random_bool(self.spec.awkward_share.clamp(0.0, 1.0));
        let silent =
            begun_by.is_none() && self.rng.random_bool(0.2) || awkward && self.rng.random_bool(0.2);
        let facts = Facts {
            id,
            time_micros: action.filed,
            precision: action.precision,
            service,
            entity_type,
            action: if awkward && self.rng.random_bool(0.1) {
                "Transmogrify"
            } else {
                pick(&mut self.rng, actions)
            },
            person: action.person.map(|index| &self.people[index]),
            client: pick(&mut self.rng, &self.clients),
            transaction: (!silent).then(|| begun_by.unwrap_or(id)),
            initiates: begun_by.is_none(),
            awkward,
            newlines: self.spec.newlines,
        };
        let text = self.writer.render(&facts, &mut self.rng);
        let transaction = (!silent).then_some(number);
        let delay = self.delay();
        self.logs[action.service].records.push(Record {
            filed: action.filed,
            shown: action.filed,
            visible_at: action.filed.saturating_add(delay),
            id,
            transaction,
            poison: None,
            text,
        });
        self.made += 1;
        id
    }

    fn poison(&mut self, number: usize) {
        let (filed, service) = (Precision::Millis.floor(self.instant()), self.service());
        let filed = filed.max(self.spec.from.timestamp_micros());
        let id = random_uuid(&mut self.rng);
        let (kind, text) = match number % 6 {
            0 => (
                PoisonKind::NoEventDate,
                format!(r#"{{"id":"{id}","action":"Update","entityType":"Queue"}}"#),
            ),
            1 => (
                PoisonKind::GarbledEventDate,
                format!(r#"{{"id":"{id}","eventDate":"2026-13-45T99:99:99Z","action":"Update"}}"#),
            ),
            2 => (PoisonKind::NotAnObject, format!(r#""audit {id}""#)),
            3 => {
                let mut time = String::new();
                show_time(&mut time, filed, Precision::Millis);
                let text =
                    format!(r#"{{"eventDate":{time},"action":"Update","entityType":"{id}"}}"#);
                (PoisonKind::NoId, text)
            }
            4 => (
                PoisonKind::GarbledEventDate,
                format!(r#"{{"id":"{id}","eventDate":1772323200,"action":"Update"}}"#),
            ),
            _ => (PoisonKind::NotAnObject, format!(r#"["{id}",null]"#)),
        };
        let visible_at = filed.saturating_add(self.delay());
        self.logs[service].records.push(Record {
            filed,
            shown: filed,
            visible_at,
            id,
            transaction: None,
            poison: Some(kind),
            text: Rendered {
                text: text.into(),
                name: 0..0,
            },
        });
    }

    /// Files some records away from the time that they show, within the range.
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
            let index = self.rng.random_range(0..=most);
            let by = self.rng.random_range(-most_by..=most_by);
            let record = &mut self.logs[service].records[index];
            if record.poison.is_none() {
                record.filed = (record.shown + by).clamp(first, last.max(first));
                record.visible_at = record.visible_at.max(record.filed);
            }
        }
    }

    fn instant(&mut self) -> i64 {
        let (from, to) = (
            self.spec.from.timestamp_micros(),
            self.spec.to.timestamp_micros(),
        );
        self.rng.random_range(from..to.max(from + 1))
    }

    fn person(&mut self) -> Option<usize> {
        let index = self.rng.random_range(0..self.people.len());
        self.rng.random_bool(0.9).then_some(index)
    }

    /// The smaller of two draws: the first services have the most.
    fn service(&mut self) -> usize {
        let count = self.spec.services.len();
        self.rng
            .random_range(0..count)
            .min(self.rng.random_range(0..count))
    }

    fn delay(&mut self) -> i64 {
        let lateness = Lateness {
            usual: self.spec.usual_delay,
            late_share: self.spec.late_share,
            latest: self.spec.latest,
        };
        lateness.draw(&mut self.rng)
    }
}

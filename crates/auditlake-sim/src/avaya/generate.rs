//! How the invented audit records are made up.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::catalogue::{self, Service};
use super::dataset::{DatasetSpec, Log, PoisonKind, Record};
use super::record::{Facts, Precision, Rendered, author, render};
use crate::late::{Lateness, micros};
use crate::texts::{pick, random_uuid};

/// Makes up records; the same specification gives the same bytes.
#[derive(Debug)]
pub(super) struct Generator<'a> {
    spec: &'a DatasetSpec,
    rng: StdRng,
    logs: Vec<Log>,
    /// The logs with records, the first having the most, each with its service.
    busy: Vec<(usize, &'static Service)>,
    authors: Vec<String>,
    made: usize,
}

impl<'a> Generator<'a> {
    pub(super) fn new(spec: &'a DatasetSpec) -> Self {
        let mut rng = StdRng::seed_from_u64(spec.seed);
        let logs: Vec<Log> = catalogue::logs()
            .map(|(service, kind)| Log {
                service: service.name,
                kind,
                records: Vec::new(),
            })
            .collect();
        let place = |wanted: &String| {
            catalogue::logs()
                .enumerate()
                .find(|(_, (_, kind))| kind == wanted)
                .map(|(place, (service, _))| (place, service))
        };
        Self {
            spec,
            busy: spec.types.iter().filter_map(place).collect(),
            authors: (0..40).map(|_| author(&mut rng)).collect(),
            rng,
            logs,
            made: 0,
        }
    }

    pub(super) fn run(mut self) -> Vec<Log> {
        if !self.busy.is_empty() {
            self.tie();
            while self.made < self.spec.records {
                let size = match self.rng.random_range(0..100) {
                    0..75 => 1,
                    75..95 => self.rng.random_range(2..=4),
                    _ => self.rng.random_range(5..=7),
                };
                self.action(size);
            }
            for number in 0..self.spec.poison {
                self.poison(number);
            }
        }
        for log in &mut self.logs {
            log.records.sort_by_key(|record| record.filed);
        }
        self.logs
    }

    /// The largest group of equal dates: unrelated records of the first type.
    fn tie(&mut self) {
        let (precision, filed) = (Precision::Seconds, self.instant(Precision::Seconds));
        let size = self.spec.largest_tie.min(self.spec.records / 4);
        for _ in 0..size {
            self.record(self.busy[0], filed, precision);
        }
    }

    /// One act, which leaves records of one instant.
    fn action(&mut self, size: usize) {
        let precision = match self.rng.random_range(0..10) {
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

    /// One record, and its twins if it is to have some.
    fn record(&mut self, (place, service): (usize, &Service), filed: i64, precision: Precision) {
        let author = self.authors[self.rng.random_range(0..self.authors.len())].clone();
        let awkward = self
            .rng
            .random_bool(self.spec.awkward_share.clamp(0.0, 1.0));
        let facts = Facts {
            filed,
            precision,
            kind: self.logs[place].kind,
            event: pick(&mut self.rng, service.events),
            author: &author,
            shows_previous: service.shows_previous,
            awkward,
        };
        let text = render(&facts, &mut self.rng);
        let copies = if self.rng.random_bool(self.spec.twin_share.clamp(0.0, 1.0)) {
            self.rng.random_range(2..=3)
        } else {
            1
        };
        for _ in 0..copies.min(self.spec.records - self.made) {
            let visible_at = filed.saturating_add(self.delay());
            self.logs[place].records.push(Record {
                filed,
                visible_at,
                author: author.clone(),
                poison: None,
                text: text.clone(),
            });
            self.made += 1;
        }
    }

    fn poison(&mut self, number: usize) {
        let filed = self.instant(Precision::Millis);
        let (place, _) = self.log();
        let id = random_uuid(&mut self.rng);
        let rest = format!(r#""event":"UPDATED","type":"USER","auditData":{{"userId":"{id}"}}"#);
        let (what, text) = match number % 6 {
            0 => (PoisonKind::NoDate, format!("{{{rest}}}")),
            1 => (
                PoisonKind::GarbledDate,
                format!(r#"{{"date":"2026-13-45T99:99:99Z",{rest}}}"#),
            ),
            2 => (PoisonKind::NotAnObject, format!(r#""record {id}""#)),
            3 => (PoisonKind::NoDate, format!(r#"{{"date":null,{rest}}}"#)),
            4 => (
                PoisonKind::GarbledDate,
                format!(r#"{{"date":"2026-03-01T10:00:00",{rest}}}"#),
            ),
            _ => (PoisonKind::NotAnObject, format!(r#"["{id}",null]"#)),
        };
        let visible_at = filed.saturating_add(self.delay());
        self.logs[place].records.push(Record {
            filed,
            visible_at,
            author: String::new(),
            poison: Some(what),
            text: Rendered { text, zone: 0..0 },
        });
    }

    fn instant(&mut self, precision: Precision) -> i64 {
        let (from, to) = (
            self.spec.from.timestamp_micros(),
            self.spec.to.timestamp_micros(),
        );
        let instant = self.rng.random_range(from..to.max(from + 1));
        precision.floor(instant).max(from)
    }

    /// The smaller of two draws: the first types have the most.
    fn log(&mut self) -> (usize, &'static Service) {
        let count = self.busy.len();
        let place = self.rng.random_range(0..count);
        self.busy[place.min(self.rng.random_range(0..count))]
    }

    fn delay(&mut self) -> i64 {
        let lateness = Lateness {
            usual: self.spec.usual_delay,
            late_share: self.spec.late_share,
            latest: self.spec.latest,
        };
        lateness
            .draw(&mut self.rng)
            .min(micros(self.spec.latest).max(micros(self.spec.usual_delay)))
    }
}

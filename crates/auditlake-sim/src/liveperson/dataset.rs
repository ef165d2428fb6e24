//! The rows, generated from a seed: the same seed gives the same bytes.

use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use rand::Rng as _;
use serde_json::Value;

use super::row::{Language, ObjectKind, Row, field, wall_time};
use super::{Dataset, Truth};
use crate::PoisonKind;
use crate::dataset::{Draws, Log, Record, dataset_spec};
use crate::texts::{AWKWARD_TEXTS, PLAIN_TEXTS, full_name, pick};

const SECOND: i64 = 1_000_000;
/// The greatest offset of any zone from UTC, in microseconds; a day's rows lie within this distance of its bounds.
const FARTHEST: i64 = 15 * 3_600 * SECOND;
const DAY: i64 = 86_400 * SECOND;

/// The English name, the German name, the component type, and the elements that can be changed.
const KINDS: &str = "\
Users|Benutzer|ACUserObject|Max concurrent chats,Skills,Profiles,Employee ID,Nickname,Email
Skills|Fähigkeiten|ACSkillObject|Name,Description,Routing
Profiles|Profile|ACProfileObject|Generate secure form token,Permissions,N/A
Agent Groups|Agentengruppen|ACAgentGroupObject|N/A,Parent group
Campaigns|Kampagnen|ACCampaignObject|N/A,Goal,Status,Weight
Predefined Content|Vordefinierte Inhalte|ACPredefinedContentObject|Text,Enabled,N/A";

static OBJECT_KINDS: LazyLock<Vec<ObjectKind>> = LazyLock::new(|| {
    let kind = |line: &'static str| {
        let mut parts = line.split('|');
        let mut part = || parts.next().unwrap_or_default();
        ObjectKind {
            english: part(),
            german: part(),
            component: part(),
            elements: part().split(',').collect(),
        }
    };
    KINDS.lines().map(kind).collect()
});

const USER_AGENTS: &[&str] = &[
    "\"Mozilla/5.0 (X11; Linux x86_64)\"",
    "\"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5)\"",
    "\"Java/17.0.9\"",
    "\"\"",
];

dataset_spec! {
    records: 5_000, largest_tie: 60, awkward_share: 0.1,
    /// The account: 1 to 20 letters, digits or underscores.
    account_id: String = "le12345678".to_owned(),
    /// The share of rows with the same bytes as the previous row.
    twin_share: f64 = 0.03,
    /// The share of rows by the vendor's staff.
    staff_share: f64 = 0.08,
    /// The share of rows by the system.
    automatic_share: f64 = 0.08,
}

impl Dataset {
    /// Generates the rows of a specification.
    pub fn generate(spec: &DatasetSpec) -> Self {
        let mut draws = spec.draws();
        let people = (0..40)
            .map(|number| Originator {
                name: Value::from(full_name(&mut draws.rng)).to_string(),
                login: format!("\"user{number}@example.com\""),
                id: format!("\"37053{number:05}\""),
            })
            .collect();
        let generator = RowGenerator {
            spec,
            draws,
            people,
            rows: Vec::new(),
        };
        let mut log = Log::new(spec.account_id.clone(), "");
        log.records = generator.run();
        Self::new(vec![log])
    }

    /// Returns the account.
    pub fn account_id(&self) -> &str {
        &self.trail().name
    }

    /// Returns the readable rows of `[from, to)` that are visible at `visible_at`, including hidden ones, as returned
    /// in that zone to a client that selects these fields in this order in English; sorted by time and bytes.
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
    ) -> Vec<Truth<'_>> {
        let columns: Vec<&str> = fields.iter().filter_map(|name| field(name)).collect();
        assert_eq!(columns.len(), fields.len(), "{fields:?}");
        let readable = self.showing(from, to, visible_at);
        let readable = readable.filter(|(_, row)| row.poison.is_none());
        let mut truth: Vec<Truth<'_>> = readable
            .map(|(log, row)| Truth {
                id: String::new(),
                event_time_micros: row.shown,
                log: &log.name,
                kind: log.kind,
                raw: row.render(&log.name, &columns, zone, Language::English),
                visible_at_micros: row.visible_at,
            })
            .collect();
        truth.sort_by(|a, b| (a.event_time_micros, &a.raw).cmp(&(b.event_time_micros, &b.raw)));
        truth
    }

    /// Returns the number of rows of these days (inclusive) of that zone that are visible at `visible_at`, including
    /// unreadable ones.
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

    /// Returns the number of unreadable rows.
    pub fn poison(&self) -> usize {
        let rows = self.trail().records.iter();
        rows.filter(|row| row.poison.is_some()).count()
    }

    /// Returns the rows of these days of that zone that are visible at `now`, with their numbers.
    pub(super) fn select(
        &self,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
        zone: Tz,
        now: i64,
    ) -> impl Iterator<Item = (usize, &Record<Row>)> {
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
        let first = from.map_or(i64::MIN, |day| midnight(day) - FARTHEST);
        let last = to.map_or(i64::MAX, |day| midnight(day) + DAY + FARTHEST);
        self.trail()
            .select(first, last, now)
            .filter(move |(_, row)| {
                let day = wall_time(row.shown, zone).date();
                from.is_none_or(|from| from <= day) && to.is_none_or(|to| day <= to)
            })
    }

    pub(super) fn trail(&self) -> &Log<Row> {
        &self.logs[0]
    }
}

/// Returns the number of calls for the rows of the requested days: full pages and the final empty one.
pub fn calls_needed(rows_in_asked_days: usize, page_size: usize) -> usize {
    rows_in_asked_days.div_ceil(page_size.max(1)) + 1
}
/// An originator; all values are JSON literals.
#[derive(Debug, Clone)]
struct Originator {
    name: String,
    login: String,
    id: String,
}

/// Generates rows; the same specification gives the same bytes.
#[derive(Debug)]
struct RowGenerator<'a> {
    spec: &'a DatasetSpec,
    draws: Draws,
    people: Vec<Originator>,
    rows: Vec<Record<Row>>,
}

impl RowGenerator<'_> {
    /// Generates all rows; rows of the same instant keep their order.
    fn run(mut self) -> Vec<Record<Row>> {
        let tie = self.spec.largest_tie.min(self.spec.records / 4);
        if tie > 0 {
            self.action(tie);
        }
        while self.rows.len() < self.spec.records {
            let size = match self.draws.rng.random_range(0..100) {
                0..55 => 1,
                55..90 => self.draws.rng.random_range(2..=6),
                _ => self.draws.rng.random_range(7..=20),
            };
            self.action(size.min(self.spec.records - self.rows.len()));
        }
        for number in 0..self.spec.poison {
            self.action(1);
            let kinds = [
                PoisonKind::NoTime,
                PoisonKind::GarbledTime,
                PoisonKind::NotAnObject,
            ];
            if let Some(row) = self.rows.last_mut() {
                row.poison = Some(kinds[number % kinds.len()]);
            }
        }
        self.rows
    }

    /// Adds an edit: `size` rows of the same second that differ at most in their element.
    fn action(&mut self, size: usize) {
        let kind = &OBJECT_KINDS[self.draws.rng.random_range(0..OBJECT_KINDS.len())];
        let person = self.people[self.draws.rng.random_range(0..self.people.len())].clone();
        let automatic = self.draws.chance(self.spec.automatic_share);
        let lpa = !automatic && self.draws.chance(self.spec.staff_share);
        let object_name = format!("\"object {}\"", self.draws.rng.random_range(0..500));
        let awkward = self.draws.chance(self.spec.awkward_share);
        let at = self.instant(awkward);
        let template = Row {
            kind,
            object_name,
            element: String::new(),
            old_value: String::new(),
            new_value: String::new(),
            originator: match (automatic, lpa) {
                (true, _) => "\"System\"".to_owned(),
                (_, true) => "\"LPA user\"".to_owned(),
                _ => person.name,
            },
            login: if automatic {
                "null".to_owned()
            } else {
                person.login
            },
            user_id: if automatic {
                "null".to_owned()
            } else {
                person.id
            },
            user_agent: pick(&mut self.draws.rng, USER_AGENTS).to_owned(),
            auth_type: pick(&mut self.draws.rng, &["\"BEARER\"", "\"SAML\"", "null"]).to_owned(),
            lpa,
            automatic,
        };
        for number in 0..size {
            let twin = number > 0 && self.draws.chance(self.spec.twin_share);
            let row = match self.rows.last() {
                Some(before) if twin => before.content.clone(),
                _ => self.changed(template.clone(), awkward),
            };
            let record = Record::new(at, self.draws.seen_after(at), row);
            self.rows.push(record);
        }
    }

    fn changed(&mut self, mut row: Row, awkward: bool) -> Row {
        let element = pick(&mut self.draws.rng, &row.kind.elements);
        row.element = format!("\"{element}\"");
        if element == "N/A" {
            row.old_value = "\"\"".into();
            row.new_value = "\"\"".into();
            return row;
        }
        row.old_value = pick(&mut self.draws.rng, PLAIN_TEXTS).into();
        row.new_value = format!("\"value {}\"", self.draws.rng.random_range(0..1_000_000));
        if !awkward {
            return row;
        }
        let text = pick(&mut self.draws.rng, AWKWARD_TEXTS).to_owned();
        match self.draws.rng.random_range(0..6) {
            0 => row.old_value = "null".into(),
            1 => row.new_value = text,
            2 => row.object_name = text,
            3 => row.user_agent = "null".into(),
            4 => row.element = text,
            _ => row.originator = text,
        }
        row
    }

    /// Returns an instant in whole seconds, as the provider returns them, or with a fraction if possible.
    fn instant(&mut self, fraction: bool) -> i64 {
        let at = self.draws.instant();
        let step = if fraction { 1_000 } else { SECOND };
        self.draws.within(at.div_euclid(step).saturating_mul(step))
    }
}

//! How the invented audits are made up.

use chrono::{DateTime, SecondsFormat};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::dataset::{DatasetSpec, Log, PoisonKind, Record, TimeForm};
use crate::late::Lateness;
use crate::texts::{AWKWARD_TEXTS, PLAIN_TEXTS, full_name, pick};

const ACTIONS: &[&str] = &["LOGIN", "LOGIN", "CREATE", "UPDATE", "UPDATE", "DELETE"];
/// Types that no value of the filter finds.
const OTHER_ACTIONS: &[&str] = &["IMPORT", "LOGOUT", "GRANT_ACCESS"];
const FAILURES: &[&str] = &[
    "Invalid username or password",
    "Not authorised",
    "Duplicate name",
];
/// Milliseconds in microseconds.
const MILLI: i64 = 1_000;

/// Makes up records; the same specification gives the same bytes.
#[derive(Debug)]
pub(super) struct Generator<'a> {
    spec: &'a DatasetSpec,
    rng: StdRng,
    users: Vec<(u32, String)>,
    ids: Vec<u64>,
    logs: Vec<Log>,
}

impl<'a> Generator<'a> {
    pub(super) fn new(spec: &'a DatasetSpec) -> Self {
        let mut rng = StdRng::seed_from_u64(spec.seed);
        let count = (spec.records + spec.poison) as u64;
        let mut ids: Vec<u64> = (spec.first_id..spec.first_id.saturating_add(count)).collect();
        ids.shuffle(&mut rng);
        let log = |account: &String| Log {
            account: account.clone(),
            records: Vec::new(),
        };
        Self {
            users: (0..40)
                .map(|number| (15_000 + number, full_name(&mut rng)))
                .collect(),
            rng,
            ids,
            logs: spec.accounts.iter().map(log).collect(),
            spec,
        }
    }

    pub(super) fn run(mut self) -> Vec<Log> {
        if self.logs.is_empty() {
            return self.logs;
        }
        let tie = self.instant();
        let tied = self.spec.largest_tie.min(self.spec.records / 4);
        for number in 0..self.spec.records {
            let (log, at) = if number < tied {
                (0, tie)
            } else {
                (self.account(), self.instant())
            };
            let record = self.record(log, at);
            self.logs[log].records.push(record);
        }
        for number in 0..self.spec.poison {
            let log = self.account();
            let record = self.poison(number);
            self.logs[log].records.push(record);
        }
        for log in &mut self.logs {
            log.records.sort_by_key(|record| record.at);
        }
        self.logs
    }

    fn record(&mut self, log: usize, at: i64) -> Record {
        let id = self.ids.pop().unwrap_or_default();
        let rng = &mut self.rng;
        let awkward = rng.random_bool(self.spec.awkward_share.clamp(0.0, 1.0));
        let action = if rng.random_bool(0.05) {
            pick(rng, OTHER_ACTIONS)
        } else {
            pick(rng, ACTIONS)
        };
        let success = rng.random_bool(0.9);
        let (user_id, user) = self.users[rng.random_range(0..self.users.len())].clone();
        let form = match self.spec.times {
            TimeForm::Mixed => pick(
                rng,
                &[TimeForm::Millis, TimeForm::MillisText, TimeForm::Iso],
            ),
            form => form,
        };
        let value = |rng: &mut StdRng| {
            let texts = if awkward { AWKWARD_TEXTS } else { PLAIN_TEXTS };
            pick(rng, texts).to_owned()
        };
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let failure = if success {
            r#""""#.to_owned()
        } else {
            quoted(pick(rng, FAILURES))
        };
        let result = match (success, awkward && rng.random_bool(0.2)) {
            (true, false) => r#""TRUE""#,
            (true, true) => r#""true""#,
            (false, _) => r#""FALSE""#,
        };
        let entity = if action == "LOGIN" {
            r#""""#.to_owned()
        } else {
            format!(r#""{}""#, rng.random_range(15_000..16_000))
        };
        let mut fields: Vec<(&str, String)> = vec![
            ("id", id.to_string()),
            ("accountId", (1_803 + log).to_string()),
            ("occurredOn", shown(at, form)),
            ("userId", user_id.to_string()),
            ("username", quoted(&user)),
            ("sessionId", quoted(&format!("4f7c2b9e-session-{id}"))),
            ("entityId", entity),
            ("eventType", quoted(action)),
            ("eventResultCode", result.to_owned()),
            ("eventResultFailure", failure),
            ("eventInput1", value(rng)),
            ("eventInput2", value(rng)),
            ("eventInput3", r#""""#.to_owned()),
            ("eventOutput1", value(rng)),
            ("eventOutput2", r#""""#.to_owned()),
            ("eventOutput3", r#""""#.to_owned()),
        ];
        if awkward {
            let needed = ["id", "occurredOn"];
            for (name, value) in &mut fields {
                if !needed.contains(name) && rng.random_bool(0.1) {
                    "null".clone_into(value);
                }
            }
            fields.retain(|(name, _)| needed.contains(name) || rng.random_bool(0.9));
            if rng.random_bool(0.3) {
                fields.push(("eventInput4", r#"{"unexpected":["]}",{}]}"#.to_owned()));
            }
            fields.shuffle(rng);
        }
        let (open, colon, comma, close) = if awkward && rng.random_bool(0.4) {
            ("{\n  ", " : ", " ,\n  ", "\n}")
        } else {
            ("{", ":", ",", "}")
        };
        let fields: Vec<String> = fields
            .into_iter()
            .map(|(name, value)| format!("\"{name}\"{colon}{value}"))
            .collect();
        let text = format!("{open}{}{close}", fields.join(comma));
        Record {
            id,
            at,
            visible_at: at.saturating_add(self.delay()),
            action,
            success,
            user,
            poison: None,
            text: text.into(),
        }
    }

    fn poison(&mut self, number: usize) -> Record {
        let id = self.ids.pop().unwrap_or_default();
        let at = self.instant();
        let (kind, text) = match number % 6 {
            0 => (
                PoisonKind::NoOccurredOn,
                format!(r#"{{"id":{id},"eventType":"LOGIN"}}"#),
            ),
            1 => (
                PoisonKind::GarbledOccurredOn,
                format!(r#"{{"id":{id},"occurredOn":"the day before","eventType":"LOGIN"}}"#),
            ),
            2 => (PoisonKind::NotAnObject, format!(r#""entry {id} }}]""#)),
            3 => (PoisonKind::NotAnObject, format!("[{id},null]")),
            4 => (
                PoisonKind::GarbledOccurredOn,
                format!(r#"{{"id":{id},"occurredOn":{{"time":{at}}}}}"#),
            ),
            _ => (PoisonKind::Null, "null".to_owned()),
        };
        Record {
            id,
            at,
            visible_at: at.saturating_add(self.delay()),
            action: "LOGIN",
            success: true,
            user: String::new(),
            poison: Some(kind),
            text: text.into(),
        }
    }

    /// A whole millisecond.
    fn instant(&mut self) -> i64 {
        let (from, to) = (
            self.spec.from.timestamp_millis(),
            self.spec.to.timestamp_millis(),
        );
        self.rng.random_range(from..to.max(from + 1)) * MILLI
    }

    /// The smaller of two draws: the first accounts have the most.
    fn account(&mut self) -> usize {
        let count = self.logs.len();
        let draw = self.rng.random_range(0..count);
        draw.min(self.rng.random_range(0..count))
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

/// A time as JSON.
fn shown(at: i64, form: TimeForm) -> String {
    let millis = at / MILLI;
    match form {
        TimeForm::MillisText => format!(r#""{millis}""#),
        TimeForm::Iso => {
            let time = DateTime::from_timestamp_millis(millis).unwrap_or_default();
            format!(r#""{}""#, time.to_rfc3339_opts(SecondsFormat::Millis, true))
        }
        TimeForm::Millis | TimeForm::Mixed => millis.to_string(),
    }
}

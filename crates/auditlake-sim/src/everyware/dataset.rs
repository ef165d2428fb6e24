//! The audits, generated from a seed: the same seed gives the same bytes.

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta};
use chrono_tz::Tz;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::Dataset;
use crate::PoisonKind;
use crate::dataset::{Draws, Fixed, Log, Record, dataset_spec};
use crate::texts::{AWKWARD_TEXTS, PLAIN, PLAIN_TEXTS, full_name, object, pick, quoted};

const ACTIONS: &[&str] = &["LOGIN", "LOGIN", "CREATE", "UPDATE", "UPDATE", "DELETE"];
/// Event types that no value of the filter matches.
const OTHER_ACTIONS: &[&str] = &["IMPORT", "LOGOUT", "GRANT_ACCESS"];
const FAILURES: &[&str] = &[
    "Invalid username or password",
    "Not authorised",
    "Duplicate name",
];
/// Microseconds per millisecond.
const MILLI: i64 = 1_000;

/// The form of a record's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    /// Milliseconds since 1970 as a number.
    Millis,
    /// Milliseconds since 1970 as text.
    MillisText,
    /// ISO 8601 in UTC.
    Iso,
    /// A different form for each record.
    Mixed,
}

dataset_spec! {
    records: 5_000, largest_tie: 60, awkward_share: 0.15,
    /// The number of accounts with a log. The first is the user's own, the others are its children; the first have the
    /// most records.
    accounts: Vec<String> = vec!["acme".to_owned()],
    /// The smallest id. Ids are contiguous but unordered, and as doubles, neighbours are equal.
    // slightly less than 2^53: a double can represent the first ids
    first_id: u64 = 9_007_199_254_740_900,
    /// The form of the records' times.
    times: TimeForm = TimeForm::Millis,
}

/// The content of an audit.
#[derive(Debug)]
pub struct Audit {
    id: u64,
    action: &'static str,
    success: bool,
    user: String,
    pub(super) text: Box<str>,
}

impl Fixed for Audit {
    fn id(&self) -> String {
        self.id.to_string()
    }

    fn text(&self) -> &str {
        &self.text
    }
}

/// A query of a log.
#[derive(Debug, Default)]
pub(super) struct AuditFilter {
    pub(super) action: Option<String>,
    pub(super) success: Option<bool>,
    pub(super) user: Option<String>,
    /// The first and last day, inclusive.
    pub(super) first: Option<NaiveDate>,
    pub(super) last: Option<NaiveDate>,
}

impl AuditFilter {
    pub(super) fn holds(&self, day: NaiveDate) -> bool {
        self.first.is_none_or(|first| first <= day) && self.last.is_none_or(|last| day <= last)
    }

    fn matches(&self, audit: &Audit) -> bool {
        self.action
            .as_ref()
            .is_none_or(|wanted| wanted == audit.action)
            && self.success.is_none_or(|wanted| wanted == audit.success)
            && self
                .user
                .as_ref()
                .is_none_or(|wanted| *wanted == audit.user)
    }
}

impl Dataset {
    /// Generates the records of a specification.
    pub fn generate(spec: &DatasetSpec) -> Self {
        let mut draws = spec.draws();
        let count = (spec.records + spec.poison) as u64;
        let mut ids: Vec<u64> = (spec.first_id..spec.first_id.saturating_add(count)).collect();
        ids.shuffle(&mut draws.rng);
        let mut ids = ids.into_iter().rev();
        let users: Vec<(u32, String)> = (0..40)
            .map(|number| (15_000 + number, full_name(&mut draws.rng)))
            .collect();
        let mut logs: Vec<Log<Audit>> = spec
            .accounts
            .iter()
            .map(|name| Log::new(name, ""))
            .collect();
        if logs.is_empty() {
            return Self::new(logs);
        }
        let tie = instant(&mut draws);
        let tied = spec.largest_tie.min(spec.records / 4);
        for number in 0..spec.records {
            let (log, at) = if number < tied {
                (0, tie)
            } else {
                (draws.one_of_first(logs.len()), instant(&mut draws))
            };
            let audit = audit(
                spec,
                &users,
                ids.next().unwrap_or_default(),
                log,
                at,
                &mut draws,
            );
            let record = Record::new(at, draws.seen_after(at), audit);
            logs[log].records.push(record);
        }
        for number in 0..spec.poison {
            let log = draws.one_of_first(logs.len());
            let (id, at) = (ids.next().unwrap_or_default(), instant(&mut draws));
            let (kind, text) = poison(number, id, at);
            let audit = Audit {
                id,
                action: "LOGIN",
                success: true,
                user: String::new(),
                text: text.into(),
            };
            let mut record = Record::new(at, draws.seen_after(at), audit);
            record.poison = Some(kind);
            logs[log].records.push(record);
        }
        Self::new(logs)
    }

    /// Returns the names of all accounts, the user's own first.
    pub fn accounts(&self) -> Vec<&str> {
        self.logs.iter().map(|log| log.name.as_str()).collect()
    }

    /// Returns the log of the user's own account, or of a child.
    pub(super) fn log_of(&self, child: Option<&str>) -> Option<usize> {
        match child {
            None => (!self.logs.is_empty()).then_some(0),
            Some(name) => self.log(name).filter(|place| *place > 0),
        }
    }

    /// Returns the records of a log that are visible at `now`, in the order of time.
    pub(super) fn select(
        &self,
        log: usize,
        filter: &AuditFilter,
        zone: Tz,
        now: i64,
    ) -> Vec<&Audit> {
        // days begin at a different instant in each zone, so candidates are checked one by one
        let rough = |day: NaiveDate, by: i64| {
            let around = day.and_time(NaiveTime::MIN).and_utc() + TimeDelta::days(by);
            around.timestamp_micros()
        };
        let first = filter.first.map_or(i64::MIN, |day| rough(day, -1));
        let last = filter.last.map_or(i64::MAX, |day| rough(day, 3));
        let day = |record: &Record<Audit>| {
            let at = DateTime::from_timestamp_micros(record.filed).unwrap_or_default();
            at.with_timezone(&zone).date_naive()
        };
        let records = self.logs[log].select(first, last, now);
        records
            .map(|(_, record)| record)
            .filter(|record| filter.matches(&record.content) && filter.holds(day(record)))
            .map(|record| &record.content)
            .collect()
    }
}

/// Returns the instant truncated to a millisecond.
fn instant(draws: &mut Draws) -> i64 {
    draws.instant_by(MILLI)
}

fn audit(
    spec: &DatasetSpec,
    users: &[(u32, String)],
    id: u64,
    log: usize,
    at: i64,
    draws: &mut Draws,
) -> Audit {
    let awkward = draws.chance(spec.awkward_share);
    let rng = &mut draws.rng;
    let action = if rng.random_bool(0.05) {
        pick(rng, OTHER_ACTIONS)
    } else {
        pick(rng, ACTIONS)
    };
    let success = rng.random_bool(0.9);
    let (user_id, user) = users[rng.random_range(0..users.len())].clone();
    let form = match spec.times {
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
    let style = if awkward && rng.random_bool(0.4) {
        ["{\n  ", " : ", " ,\n  ", "\n}"]
    } else {
        PLAIN
    };
    let text = object(&fields, style);
    Audit {
        id,
        action,
        success,
        user,
        text: text.into(),
    }
}

/// Returns an unreadable record.
fn poison(number: usize, id: u64, at: i64) -> (PoisonKind, String) {
    let garbled = |time: &str| {
        let text = format!(r#"{{"id":{id},"occurredOn":{time},"eventType":"LOGIN"}}"#);
        (PoisonKind::GarbledTime, text)
    };
    match number % 6 {
        0 => (
            PoisonKind::NoTime,
            format!(r#"{{"id":{id},"eventType":"LOGIN"}}"#),
        ),
        1 => garbled(r#""the day before""#),
        2 => (PoisonKind::NotAnObject, format!(r#""entry {id} }}]""#)),
        3 => (PoisonKind::NotAnObject, format!("[{id},null]")),
        4 => garbled(&format!(r#"{{"time":{at}}}"#)),
        _ => (PoisonKind::NotAnObject, "null".to_owned()),
    }
}

/// Returns a time as JSON.
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

//! The text of one record: fixed bytes, in the two forms in which the provider shows it.

use std::fmt::Write as _;
use std::ops::Range;

use chrono::{DateTime, Datelike as _, Timelike as _};
use rand::Rng;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::people::{HOME_ORG, PROPERTIES, Person};
use crate::texts::{AWKWARD_TEXTS, IPS, PLAIN_TEXTS, pick, random_uuid};

/// What a record's text is written from.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) id: Uuid,
    pub(super) time_micros: i64,
    pub(super) precision: Precision,
    pub(super) service: &'a str,
    pub(super) entity_type: &'a str,
    pub(super) action: &'a str,
    pub(super) person: Option<&'a Person>,
    pub(super) client: Uuid,
    /// The audit that began the action, if this record names it.
    pub(super) transaction: Option<Uuid>,
    pub(super) initiates: bool,
    pub(super) awkward: bool,
    pub(super) newlines: bool,
}

/// How finely a record shows its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    Seconds,
    SecondsWithZeros,
    Millis,
    Micros,
}

impl Precision {
    /// The finest instant at or before this one that can be shown.
    pub(super) fn floor(self, micros: i64) -> i64 {
        let unit = match self {
            Self::Seconds | Self::SecondsWithZeros => 1_000_000,
            Self::Millis => 1_000,
            Self::Micros => 1,
        };
        micros - micros.rem_euclid(unit)
    }
}

/// Text in both forms: `text` is the one with the user's name, and without `name` it is the other.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) text: Box<str>,
    pub(super) name: Range<usize>,
}

/// Writes records; keeps its buffers from one to the next.
#[derive(Debug, Default)]
pub(super) struct Writer {
    values: String,
    fields: Vec<(&'static str, Range<usize>)>,
    /// Where in `values` the user's name lies.
    name: Range<usize>,
    out: String,
}

#[derive(Debug, Clone, Copy)]
struct Style {
    open: &'static str,
    colon: &'static str,
    comma: &'static str,
    close: &'static str,
}

const STYLES: [Style; 4] = [
    Style {
        open: "{",
        colon: ":",
        comma: ",",
        close: "}",
    },
    Style {
        open: "{ ",
        colon: ": ",
        comma: ", ",
        close: " }",
    },
    Style {
        open: "{\t",
        colon: " :\t",
        comma: " ,\t",
        close: "\t}",
    },
    Style {
        open: "{\n  ",
        colon: ": ",
        comma: ",\n  ",
        close: "\n}",
    },
];

impl Writer {
    /// The text of a record; the same facts and the same state of `rng` give the same bytes.
    pub(super) fn render(&mut self, facts: &Facts<'_>, rng: &mut StdRng) -> Rendered {
        self.values.clear();
        self.fields.clear();
        self.name = 0..0;
        self.fields_of(facts, rng);
        self.order(facts.awkward, rng);
        let style = match rng.random_range(0..20) {
            0..16 => STYLES[0],
            16..18 => STYLES[1],
            18 => STYLES[2],
            _ if facts.newlines => STYLES[3],
            _ => STYLES[1],
        };
        self.join(style)
    }

    fn fields_of(&mut self, facts: &Facts<'_>, rng: &mut StdRng) {
        self.quoted("id", facts.id);
        let odd = facts.awkward;
        match odd.then(|| rng.random_range(0..4)) {
            Some(0) => {}
            Some(1) => self.field("userHomeOrgId", "null"),
            _ => self.quoted(
                "userHomeOrgId",
                facts.person.map_or(HOME_ORG, |person| person.org),
            ),
        }
        self.user(facts, rng);
        match odd.then(|| rng.random_range(0..4)) {
            Some(0) => self.field("client", r#"{"id":""}"#),
            Some(1) => self.field("client", "null"),
            Some(2) => {}
            _ => {
                let id = facts.client;
                self.put("client", |out| {
                    let _ = write!(
                        out,
                        r#"{{"id":"{id}","selfUri":"/api/v2/oauth/clients/{id}"}}"#
                    );
                });
            }
        }
        self.addresses(odd, rng);
        self.quoted("serviceName", shown_service(facts.service, odd, rng));
        let level = match rng.random_range(0..20) {
            0 if odd => "PARTNER",
            0..15 => "USER",
            15..19 => "SYSTEM",
            _ => "GENESYS_INTERNAL",
        };
        self.quoted("level", level);
        self.put("eventDate", |out| {
            show_time(out, facts.time_micros, facts.precision);
        });
        self.message(facts, rng);
        self.quoted("action", facts.action);
        self.entity(odd, rng);
        self.quoted("entityType", facts.entity_type);
        let status = match rng.random_range(0..20) {
            0 if odd => "PARTIAL",
            0..17 => "SUCCESS",
            17..19 => "FAILURE",
            _ => "WARNING",
        };
        self.quoted("status", status);
        match rng.random_range(0..5) {
            0 => self.quoted("application", ""),
            1 if odd => self.field("application", "null"),
            2 => self.quoted("application", facts.service),
            _ => self.quoted("application", "Admin UI"),
        }
        match facts.transaction {
            Some(id) => self.put("initiatingAction", |out| {
                let _ = write!(
                    out,
                    r#"{{"transactionId":"{id}","actionContext":"{}"}}"#,
                    facts.action
                );
            }),
            None if odd => self.field("initiatingAction", "null"),
            None => self.field("initiatingAction", "{}"),
        }
        if !odd || rng.random_bool(0.5) {
            self.field(
                "transactionInitiator",
                if facts.initiates { "true" } else { "false" },
            );
        }
        self.changes(odd, rng);
        if odd {
            self.extras(rng);
        }
    }

    fn user(&mut self, facts: &Facts<'_>, rng: &mut StdRng) {
        let Some(person) = facts.person else {
            if facts.awkward {
                self.field("user", "null");
            }
            return;
        };
        let begin = self.values.len();
        let _ = write!(self.values, r#"{{"id":"{}""#, person.id);
        if let Some(name) = &person.name {
            let name_begin = self.values.len();
            let _ = write!(self.values, r#","name":{name}"#);
            self.name = name_begin..self.values.len();
        }
        if !(facts.awkward && rng.random_bool(0.3)) {
            let _ = write!(self.values, r#","selfUri":"/api/v2/users/{}""#, person.id);
        }
        self.values.push('}');
        self.fields.push(("user", begin..self.values.len()));
    }

    fn addresses(&mut self, odd: bool, rng: &mut StdRng) {
        if odd && rng.random_bool(0.3) {
            self.field("remoteIp", "null");
            return;
        }
        let count = rng.random_range(0..=2);
        self.put("remoteIp", |out| {
            list(out, count, |out| quote(out, pick(rng, IPS)));
        });
    }

    fn message(&mut self, facts: &Facts<'_>, rng: &mut StdRng) {
        match rng.random_range(0..10) {
            0..6 => {}
            6 if facts.awkward => self.field("message", "null"),
            _ => {
                let text = if facts.awkward {
                    pick(rng, AWKWARD_TEXTS)
                } else {
                    pick(rng, PLAIN_TEXTS)
                };
                self.put("message", |out| {
                    let _ = write!(
                        out,
                        concat!(
                            r#"{{"localizableMessageCode":"audit.{}.{}","message":{},"#,
                            r#""messageWithParams":"{{name}} was changed","messageParams":{{"name":{}}}}}"#
                        ),
                        facts.entity_type, facts.action, text, text
                    );
                });
            }
        }
    }

    fn entity(&mut self, odd: bool, rng: &mut StdRng) {
        let id = random_uuid(rng);
        match rng.random_range(0..12) {
            0 if odd => self.field("entity", "null"),
            1 if odd => self.field("entity", r#"{"id":"","name":""}"#),
            2 if odd => self.put("entity", |out| {
                let _ = write!(
                    out,
                    r#"{{"name":{},"id":"ünïcode-{id}"}}"#,
                    pick(rng, AWKWARD_TEXTS)
                );
            }),
            0..4 => self.put("entity", |out| {
                let _ = write!(out, r#"{{"id":"{id}"}}"#);
            }),
            _ => self.put("entity", |out| {
                let name = pick(rng, PLAIN_TEXTS);
                let _ = write!(
                    out,
                    r#"{{"id":"{id}","name":{name},"selfUri":"/api/v2/things/{id}"}}"#
                );
            }),
        }
    }

    fn changes(&mut self, odd: bool, rng: &mut StdRng) {
        let texts = if odd { AWKWARD_TEXTS } else { PLAIN_TEXTS };
        let count = [0, 0, 0, 1, 2, 5][rng.random_range(0..6)];
        if odd && rng.random_bool(0.15) {
            self.field("propertyChanges", "null");
        } else {
            self.put("propertyChanges", |out| {
                list(out, count, |out| {
                    let _ = write!(out, r#"{{"property":"{}","#, pick(rng, PROPERTIES));
                    if odd && rng.random_bool(0.3) {
                        out.push_str(r#""oldValues":null,"#);
                    } else {
                        let _ = write!(out, r#""oldValues":[{}],"#, pick(rng, texts));
                    }
                    let _ = write!(
                        out,
                        r#""newValues":[{},{}]}}"#,
                        pick(rng, texts),
                        pick(rng, texts)
                    );
                });
            });
        }
        match rng.random_range(0..6) {
            0 if odd => self.field("context", "null"),
            0..3 => self.field("context", "{}"),
            3 => self.put("context", |out| {
                let _ = write!(out, r#"{{"divisionId":"{HOME_ORG}","automated":"true"}}"#);
            }),
            _ => self.put("context", |out| {
                let (first, second) = (pick(rng, texts), pick(rng, texts));
                let _ = write!(
                    out,
                    r#"{{"reason":{first},"emptyValue":"","ключ ключ":{second}}}"#
                );
            }),
        }
        match rng.random_range(0..8) {
            0 if odd => self.field("entityChanges", "null"),
            0..6 => self.field("entityChanges", "[]"),
            _ => self.put("entityChanges", |out| {
                let _ = write!(
                    out,
                    concat!(
                        r#"[{{"entityId":"{}","entityName":{},"entityType":"User","#,
                        r#""oldValues":[],"newValues":["joined"]}}]"#
                    ),
                    HOME_ORG,
                    pick(rng, texts)
                );
            }),
        }
    }

    /// Fields that no documentation names, numbers among them that no double holds.
    fn extras(&mut self, rng: &mut StdRng) {
        match rng.random_range(0..6) {
            0 => self.field("sequence", "9007199254740993"),
            1 => self.field("riskScore", r#"{"value":0.42,"model":"β-3"}"#),
            2 => self.field(
                "checksum",
                "123456789012345678901234567890.000000000000000010",
            ),
            3 => self.field(
                "weights",
                "[1.0,1,-0,1e2,0.1000000000000000055511151231257827]",
            ),
            4 => self.field("retryable", "false"),
            _ => {}
        }
    }

    /// Usually the documented order; awkward records come turned round.
    fn order(&mut self, awkward: bool, rng: &mut StdRng) {
        if awkward && rng.random_bool(0.6) {
            let by = rng.random_range(0..self.fields.len());
            self.fields.rotate_left(by);
            let (one, other) = (
                rng.random_range(0..self.fields.len()),
                rng.random_range(0..self.fields.len()),
            );
            self.fields.swap(one, other);
        }
    }

    fn join(&mut self, style: Style) -> Rendered {
        self.out.clear();
        let mut name = 0..0;
        for (index, (key, value)) in self.fields.iter().enumerate() {
            self.out
                .push_str(if index == 0 { style.open } else { style.comma });
            quote(&mut self.out, key);
            self.out.push_str(style.colon);
            if *key == "user" && !self.name.is_empty() {
                let begin = self.out.len() + self.name.start - value.start;
                name = begin..begin + self.name.len();
            }
            self.out.push_str(&self.values[value.clone()]);
        }
        self.out.push_str(style.close);
        Rendered {
            text: self.out.as_str().into(),
            name,
        }
    }

    fn field(&mut self, key: &'static str, value: &str) {
        self.put(key, |out| out.push_str(value));
    }

    fn quoted(&mut self, key: &'static str, value: impl std::fmt::Display) {
        self.put(key, |out| {
            let _ = write!(out, r#""{value}""#);
        });
    }

    fn put(&mut self, key: &'static str, write: impl FnOnce(&mut String)) {
        let begin = self.values.len();
        write(&mut self.values);
        self.fields.push((key, begin..self.values.len()));
    }
}

/// A record is filed under its service, but may show another name for it.
fn shown_service<'a>(service: &'a str, odd: bool, rng: &mut StdRng) -> &'a str {
    if odd && rng.random_bool(0.05) {
        "RenamedService2027"
    } else {
        service
    }
}

fn list(out: &mut String, count: usize, mut item: impl FnMut(&mut String)) {
    out.push('[');
    for index in 0..count {
        if index > 0 {
            out.push(',');
        }
        item(out);
    }
    out.push(']');
}

fn quote(out: &mut String, text: &str) {
    let _ = write!(out, r#""{text}""#);
}

/// Writes an instant as a quoted UTC time.
pub(super) fn show_time(out: &mut String, micros: i64, precision: Precision) {
    let at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    let _ = write!(
        out,
        r#""{:04}-{:02}-{:02}T{:02}:{:02}:{:02}"#,
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    let fraction = micros.rem_euclid(1_000_000);
    let _ = match precision {
        Precision::Seconds => Ok(()),
        Precision::SecondsWithZeros => write!(out, ".000"),
        Precision::Millis => write!(out, ".{:03}", fraction / 1_000),
        Precision::Micros => write!(out, ".{fraction:06}"),
    };
    out.push_str(r#"Z""#);
}

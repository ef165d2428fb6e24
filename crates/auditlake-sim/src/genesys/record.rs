//! The text of a record: fixed bytes in the provider's two forms.

use std::fmt::Display;

use rand::Rng as _;
use rand::rngs::StdRng;
use uuid::Uuid;

use crate::texts::{
    AWKWARD_TEXTS, IPS, PLAIN, PLAIN_TEXTS, Precision, Rendered, full_name, object, pick,
    random_uuid,
};

/// The organisation that is audited.
const HOME_ORG: &str = "b1d6f0aa-8c2e-4d0b-9f3c-5a7e1c9d4e21";
/// A partner organisation whose users act here as trustees.
const TRUSTEE_ORG: &str = "d2e7a1bb-9d3f-4e1c-8a4d-6b8f2d0e5f32";
/// An organisation in which users of the home organisation act as trustees.
pub(super) const TRUSTOR_ORG: &str = "c0ffee00-1234-4abc-8def-001122334455";

const PROPERTIES: &[&str] = &[
    "acwSettings.timeoutMs",
    "skillEvaluationMethod",
    "description",
    "tags",
    "owner",
    "mediaSettings.call.alertingTimeoutSeconds",
];

/// One actor.
#[derive(Debug)]
pub(super) struct Actor {
    id: Uuid,
    /// A JSON string literal; users of other organisations have no name.
    name: Option<String>,
    org: &'static str,
}

/// Returns a few hundred people; one in twenty belongs to the partner organization.
pub(super) fn people(rng: &mut StdRng) -> Vec<Actor> {
    (0..240_usize)
        .map(|index| {
            let foreign = index % 20 == 19;
            let name = full_name(rng);
            Actor {
                id: random_uuid(rng),
                name: (!foreign).then(|| serde_json::Value::from(name).to_string()),
                org: if foreign { TRUSTEE_ORG } else { HOME_ORG },
            }
        })
        .collect()
}

/// The content of a record's text.
#[derive(Debug)]
pub(super) struct AuditFacts<'a> {
    pub(super) id: Uuid,
    pub(super) time_micros: i64,
    pub(super) precision: Precision,
    pub(super) service: &'a str,
    pub(super) entity_type: &'a str,
    pub(super) action: &'a str,
    pub(super) person: Option<&'a Actor>,
    pub(super) client: Uuid,
    /// The audit that initiated the action, if this record names it.
    pub(super) transaction: Option<Uuid>,
    pub(super) initiates: bool,
    pub(super) awkward: bool,
    pub(super) newlines: bool,
}

/// The fields of a record under construction, each with its JSON.
#[derive(Debug, Default)]
struct Fields(Vec<(&'static str, String)>);

impl AuditFacts<'_> {
    /// Returns the text of the record; the same content and the same state of `rng` give the same bytes.
    pub(super) fn render(&self, rng: &mut StdRng) -> Rendered {
        let mut fields = Fields::default();
        fields.fill(self, rng);
        let mut fields = fields.0;
        // usually the documented order; reversed in awkward records
        if self.awkward && rng.random_bool(0.6) {
            let count = fields.len();
            fields.rotate_left(rng.random_range(0..count));
            let one = rng.random_range(0..count);
            fields.swap(one, rng.random_range(0..count));
        }
        let spaced = ["{ ", ": ", ", ", " }"];
        let style = match rng.random_range(0..20) {
            0..16 => PLAIN,
            18 => ["{\t", " :\t", " ,\t", "\t}"],
            19 if self.newlines => ["{\n  ", ": ", ",\n  ", "\n}"],
            _ => spaced,
        };
        let text = object(&fields, style);
        let name = self.person.and_then(Actor::name_member);
        let name = name.and_then(|name| Some(text.find(&name)?..text.find(&name)? + name.len()));
        Rendered {
            text,
            part: name.unwrap_or_default(),
        }
    }
}

impl Actor {
    /// Returns the additional members of the expanded form.
    fn name_member(&self) -> Option<String> {
        let name = self.name.as_ref()?;
        Some(format!(r#","name":{name}"#))
    }
}

impl Fields {
    fn put(&mut self, key: &'static str, value: impl Into<String>) {
        self.0.push((key, value.into()));
    }

    fn quoted(&mut self, key: &'static str, value: impl Display) {
        self.put(key, format!(r#""{value}""#));
    }

    fn fill(&mut self, facts: &AuditFacts<'_>, rng: &mut StdRng) {
        let odd = facts.awkward;
        self.quoted("id", facts.id);
        match odd.then(|| rng.random_range(0..4)) {
            Some(0) => {}
            Some(1) => self.put("userHomeOrgId", "null"),
            _ => {
                let org = facts.person.map_or(HOME_ORG, |person| person.org);
                self.quoted("userHomeOrgId", org);
            }
        }
        match facts.person {
            Some(person) => {
                let id = person.id;
                let name = person.name_member().unwrap_or_default();
                let uri = if odd && rng.random_bool(0.3) {
                    String::new()
                } else {
                    format!(r#","selfUri":"/api/v2/users/{id}""#)
                };
                self.put("user", format!(r#"{{"id":"{id}"{name}{uri}}}"#));
            }
            None if odd => self.put("user", "null"),
            None => {}
        }
        let id = facts.client;
        match odd.then(|| rng.random_range(0..4)) {
            Some(0) => self.put("client", r#"{"id":""}"#),
            Some(1) => self.put("client", "null"),
            Some(2) => {}
            _ => self.put(
                "client",
                format!(r#"{{"id":"{id}","selfUri":"/api/v2/oauth/clients/{id}"}}"#),
            ),
        }
        if odd && rng.random_bool(0.3) {
            self.put("remoteIp", "null");
        } else {
            let count = rng.random_range(0..=2);
            self.put(
                "remoteIp",
                list(count, || format!(r#""{}""#, pick(rng, IPS))),
            );
        }
        // a record is found under its service, but may name the service differently
        let renamed = odd && rng.random_bool(0.05);
        self.quoted(
            "serviceName",
            if renamed {
                "RenamedService2027"
            } else {
                facts.service
            },
        );
        let level = match rng.random_range(0..20) {
            0 if odd => "PARTNER",
            0..15 => "USER",
            15..19 => "SYSTEM",
            _ => "GENESYS_INTERNAL",
        };
        self.quoted("level", level);
        self.quoted("eventDate", facts.precision.show(facts.time_micros) + "Z");
        let texts = if odd { AWKWARD_TEXTS } else { PLAIN_TEXTS };
        match rng.random_range(0..10) {
            0..6 => {}
            6 if odd => self.put("message", "null"),
            _ => {
                let (kind, action, text) = (facts.entity_type, facts.action, pick(rng, texts));
                self.put(
                    "message",
                    format!(
                        r#"{{"localizableMessageCode":"audit.{kind}.{action}","message":{text},"messageWithParams":"{{name}} was changed","messageParams":{{"name":{text}}}}}"#
                    ),
                );
            }
        }
        self.action(facts, texts, rng);
    }

    /// Adds the action, its entity, and the remaining members.
    fn action(&mut self, facts: &AuditFacts<'_>, texts: &[&'static str], rng: &mut StdRng) {
        let odd = facts.awkward;
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
            1 if odd => self.put("application", "null"),
            2 => self.quoted("application", facts.service),
            _ => self.quoted("application", "Admin UI"),
        }
        let initiating = match facts.transaction {
            Some(id) => format!(
                r#"{{"transactionId":"{id}","actionContext":"{}"}}"#,
                facts.action
            ),
            None if odd => "null".to_owned(),
            None => "{}".to_owned(),
        };
        self.put("initiatingAction", initiating);
        if !odd || rng.random_bool(0.5) {
            self.put("transactionInitiator", facts.initiates.to_string());
        }
        self.changes(odd, texts, rng);
        // undocumented fields, including numbers that a double can't represent
        match odd.then(|| rng.random_range(0..6)) {
            Some(0) => self.put("sequence", "9007199254740993"),
            Some(1) => self.put("riskScore", r#"{"value":0.42,"model":"β-3"}"#),
            Some(2) => self.put(
                "checksum",
                "123456789012345678901234567890.000000000000000010",
            ),
            Some(3) => self.put(
                "weights",
                "[1.0,1,-0,1e2,0.1000000000000000055511151231257827]",
            ),
            Some(4) => self.put("retryable", "false"),
            _ => {}
        }
    }

    fn entity(&mut self, odd: bool, rng: &mut StdRng) {
        let id = random_uuid(rng);
        let entity = match rng.random_range(0..12) {
            0 if odd => "null".to_owned(),
            1 if odd => r#"{"id":"","name":""}"#.to_owned(),
            2 if odd => {
                let name = pick(rng, AWKWARD_TEXTS);
                format!(r#"{{"name":{name},"id":"ünïcode-{id}"}}"#)
            }
            0..4 => format!(r#"{{"id":"{id}"}}"#),
            _ => {
                let name = pick(rng, PLAIN_TEXTS);
                format!(r#"{{"id":"{id}","name":{name},"selfUri":"/api/v2/things/{id}"}}"#)
            }
        };
        self.put("entity", entity);
    }

    fn changes(&mut self, odd: bool, texts: &[&'static str], rng: &mut StdRng) {
        let count = [0, 0, 0, 1, 2, 5][rng.random_range(0..6)];
        if odd && rng.random_bool(0.15) {
            self.put("propertyChanges", "null");
        } else {
            let changes = list(count, || {
                let property = pick(rng, PROPERTIES);
                let old = if odd && rng.random_bool(0.3) {
                    "null".to_owned()
                } else {
                    format!("[{}]", pick(rng, texts))
                };
                let (new, more) = (pick(rng, texts), pick(rng, texts));
                format!(
                    r#"{{"property":"{property}","oldValues":{old},"newValues":[{new},{more}]}}"#
                )
            });
            self.put("propertyChanges", changes);
        }
        let context = match rng.random_range(0..6) {
            0 if odd => "null".to_owned(),
            0..3 => "{}".to_owned(),
            3 => format!(r#"{{"divisionId":"{HOME_ORG}","automated":"true"}}"#),
            _ => {
                let (first, second) = (pick(rng, texts), pick(rng, texts));
                format!(r#"{{"reason":{first},"emptyValue":"","ключ ключ":{second}}}"#)
            }
        };
        self.put("context", context);
        let changes = match rng.random_range(0..8) {
            0 if odd => "null".to_owned(),
            0..6 => "[]".to_owned(),
            _ => {
                let name = pick(rng, texts);
                format!(
                    r#"[{{"entityId":"{HOME_ORG}","entityName":{name},"entityType":"User","oldValues":[],"newValues":["joined"]}}]"#
                )
            }
        };
        self.put("entityChanges", changes);
    }
}

fn list(count: usize, item: impl FnMut() -> String) -> String {
    let items: Vec<String> = std::iter::repeat_with(item).take(count).collect();
    format!("[{}]", items.join(","))
}

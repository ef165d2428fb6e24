//! The JSON of a record.

use std::fmt::Write as _;

use rand::Rng as _;
use rand::rngs::StdRng;

use crate::texts::{
    self, AWKWARD_TEXTS, IPS, PLAIN, PLAIN_TEXTS, Precision, Rendered, full_name, pick, quoted,
    random_uuid,
};

/// The members of a record.
#[derive(Debug)]
pub(super) struct RecordFacts<'a> {
    /// In microseconds since 1970.
    pub(super) filed: i64,
    pub(super) precision: Precision,
    pub(super) kind: &'static str,
    pub(super) event: &'static str,
    pub(super) author: &'a str,
    pub(super) shows_previous: bool,
    pub(super) awkward: bool,
}

/// A user's login or an application's id.
pub(super) fn author(rng: &mut StdRng) -> String {
    match rng.random_range(0..10) {
        0 => "admin".to_owned(),
        1 => "provisioning-app".to_owned(),
        _ => format!("user.{}@example.com", rng.random_range(1..400)),
    }
}

pub(super) fn render(facts: &RecordFacts<'_>, rng: &mut StdRng) -> Rendered {
    let odd = |rng: &mut StdRng, chance: f64| facts.awkward && rng.random_bool(chance);
    let mut members: Vec<(&str, Option<String>)> = Vec::new();
    members.push((
        "event",
        Some(quoted(if odd(rng, 0.1) { "MERGED" } else { facts.event })),
    ));
    let author = if odd(rng, 0.1) {
        pick(rng, AWKWARD_TEXTS).to_owned()
    } else {
        quoted(facts.author)
    };
    members.push(("author", optional(author, odd(rng, 0.2), rng)));
    let ip = quoted(pick(rng, IPS));
    members.push(("ipAddress", optional(ip, odd(rng, 0.3), rng)));
    let kind = quoted(if odd(rng, 0.05) {
        "SOMETHING_NEW"
    } else {
        facts.kind
    });
    members.push(("type", Some(kind)));
    let mut object = object(facts.kind, rng);
    if facts.awkward {
        let at = rng.random_range(0..=object.len());
        object.insert(at, ("note", pick(rng, AWKWARD_TEXTS).to_owned()));
        object.push(("limits", pick(rng, NUMBERS).to_owned()));
    }
    let now = texts::object(&object, PLAIN);
    members.push(("auditData", optional(now, odd(rng, 0.1), rng)));
    if facts.shows_previous && facts.event == "UPDATED" && rng.random_bool(0.8) {
        let before = earlier(object, rng);
        members.push(("previousData", optional(before, odd(rng, 0.1), rng)));
    }
    if odd(rng, 0.2) {
        members.push(("correlationId", Some(quoted(&random_uuid(rng).to_string()))));
    }
    let date_first = !odd(rng, 0.3);
    assemble(facts, &members, date_first, rng)
}

/// Returns the JSON of the members, including the date.
fn assemble(
    facts: &RecordFacts<'_>,
    members: &[(&str, Option<String>)],
    date_first: bool,
    rng: &mut StdRng,
) -> Rendered {
    let space = if facts.awkward && rng.random_bool(0.3) {
        " "
    } else {
        ""
    };
    let date = facts.precision.show(facts.filed);
    let zone_text = if rng.random_bool(0.5) { "Z" } else { "+00:00" };
    let mut text = String::from("{");
    let mut part = 0..0;
    let mut write_date = |text: &mut String| {
        let _ = write!(text, r#""date":{space}"{date}"#);
        part = text.len()..text.len() + zone_text.len();
        let _ = write!(text, "{zone_text}\"");
    };
    if date_first {
        write_date(&mut text);
    }
    for (name, value) in members {
        let Some(value) = value else { continue };
        if text.len() > 1 {
            text.push(',');
        }
        let _ = write!(text, r#""{name}":{space}{value}"#);
    }
    if !date_first {
        text.push(',');
        write_date(&mut text);
    }
    text.push('}');
    Rendered { text, part }
}

/// Numbers that a double can't represent, or that are written in an unusual form.
const NUMBERS: &[&str] = &[
    "12345678901234567890",
    "0.1000000000000000055",
    "1e3",
    "-0.0",
    "9007199254740993",
    "1.50",
];

/// Returns the members of an object of this type, each with its JSON.
fn object(kind: &str, rng: &mut StdRng) -> Vec<(&'static str, String)> {
    let id = quoted(&random_uuid(rng).to_string());
    let name = quoted(&full_name(rng));
    let text = pick(rng, PLAIN_TEXTS).to_owned();
    let flag = rng.random_bool(0.5).to_string();
    let level = rng.random_range(1..=16);
    match kind {
        "PROFILE" => vec![
            ("profileId", format!("\"PRF{}\"", rng.random_range(1..999))),
            ("profileName", name),
            ("description", text),
            ("roles", r#"["Agent"]"#.to_owned()),
            ("memberOfGroups", format!("[{id}]")),
        ],
        "USER" => vec![
            ("userId", id),
            ("displayName", name),
            ("emailAddress", quoted(&author(rng))),
            ("enabled", flag),
            (
                "skills",
                format!(r#"[{{"name":"Billing","level":{level}}},{{"name":{text},"level":1}}]"#),
            ),
            ("address", r#"{"city":null,"lines":[]}"#.to_owned()),
        ],
        "RESOURCE_PARTITION" => vec![("name", text), ("types", r#"["CLID"]"#.to_owned())],
        "QUEUE" | "ATTRIBUTE" => vec![
            ("id", id),
            ("name", name),
            ("priority", level.to_string()),
            ("enabled", flag),
        ],
        _ => vec![("id", id), ("name", name), ("value", text)],
    }
}

/// Returns an earlier state of the object: with a different, a missing and an additional member.
fn earlier(mut object: Vec<(&'static str, String)>, rng: &mut StdRng) -> String {
    let last = object.len() - 1;
    let changed = rng.random_range(1..=last);
    pick(rng, PLAIN_TEXTS).clone_into(&mut object[changed].1);
    if rng.random_bool(0.3) {
        object.remove(rng.random_range(1..=last));
    }
    if rng.random_bool(0.3) {
        object.push(("retired", "true".to_owned()));
    }
    texts::object(&object, PLAIN)
}

/// Adds the member with the value, with null, or not at all.
fn optional(value: String, without: bool, rng: &mut StdRng) -> Option<String> {
    match (without, rng.random_bool(0.5)) {
        (false, _) => Some(value),
        (true, true) => Some("null".to_owned()),
        (true, false) => None,
    }
}

//! A row of the audit trail, and its JSON.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDateTime, Timelike as _};
use chrono_tz::Tz;

use crate::PoisonKind;
use crate::dataset::Record;

/// The fields of a row; the last one only in older revisions.
const FIELDS: [&str; 14] = [
    "accountId",
    "objectType",
    "objectName",
    "element",
    "oldValue",
    "newValue",
    "originator",
    "originatorLoginName",
    "originatorUserId",
    "originatorUserAgent",
    "originatorAuthType",
    "originatorIsLpa",
    "changeDate",
    "actionType",
];
/// The field of older revisions.
pub(super) const ACTION_TYPE: &str = "actionType";

/// Returns the field of this name, if there is one.
pub(super) fn field(name: &str) -> Option<&'static str> {
    FIELDS.into_iter().find(|known| *known == name)
}

/// A language for the names of object types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    German,
}

impl Language {
    pub(super) fn tagged(tag: &str) -> Option<Self> {
        match tag {
            "en-US" => Some(Self::English),
            "de-DE" => Some(Self::German),
            _ => None,
        }
    }
}

/// A type of object that can be changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ObjectKind {
    pub(super) english: &'static str,
    pub(super) german: &'static str,
    /// The type's name in `componentTypes`.
    pub(super) component: &'static str,
    pub(super) elements: Vec<&'static str>,
}

/// A row. Texts are JSON literals including their quotes; `null` is possible.
#[derive(Debug, Clone)]
pub struct Row {
    pub(super) kind: &'static ObjectKind,
    pub(super) object_name: String,
    pub(super) element: String,
    pub(super) old_value: String,
    pub(super) new_value: String,
    pub(super) originator: String,
    pub(super) login: String,
    pub(super) user_id: String,
    pub(super) user_agent: String,
    pub(super) auth_type: String,
    /// Whether it is by the vendor's staff, and hidden unless requested.
    pub(super) lpa: bool,
    /// Whether it is by the system, and hidden unless requested.
    pub(super) automatic: bool,
}

impl Record<Row> {
    /// Returns the row's JSON with these fields in this order.
    pub(super) fn render(
        &self,
        account: &str,
        columns: &[&str],
        zone: Tz,
        language: Language,
    ) -> String {
        if self.poison == Some(PoisonKind::NotAnObject) {
            return "null".to_owned();
        }
        let row = &self.content;
        let mut text = String::with_capacity(512);
        text.push('{');
        for (number, column) in columns.iter().enumerate() {
            if number > 0 {
                text.push(',');
            }
            // writing to a string doesn't fail
            let _ = write!(text, r#""{column}":"#);
            match *column {
                "accountId" => quoted(&mut text, account),
                "objectType" => quoted(
                    &mut text,
                    match language {
                        Language::English => row.kind.english,
                        Language::German => row.kind.german,
                    },
                ),
                "objectName" => text.push_str(&row.object_name),
                "element" => text.push_str(&row.element),
                "oldValue" => text.push_str(&row.old_value),
                "newValue" => text.push_str(&row.new_value),
                "originator" => text.push_str(&row.originator),
                "originatorLoginName" => text.push_str(&row.login),
                "originatorUserId" => text.push_str(&row.user_id),
                "originatorUserAgent" => text.push_str(&row.user_agent),
                "originatorAuthType" => text.push_str(&row.auth_type),
                "originatorIsLpa" => {
                    let _ = write!(text, "{}", row.lpa);
                }
                "changeDate" => match self.poison {
                    Some(PoisonKind::NoTime) => text.push_str("null"),
                    Some(_) => quoted(&mut text, "0000-00-00 00:00:00.0"),
                    None => quoted(&mut text, &shown_time(wall_time(self.shown, zone))),
                },
                _ => quoted(
                    &mut text,
                    match row.element.as_str() {
                        r#""N/A""# => "Add new",
                        _ => "Edit",
                    },
                ),
            }
        }
        text.push('}');
        text
    }
}

/// Returns the local time in that zone.
pub(super) fn wall_time(at_micros: i64, zone: Tz) -> NaiveDateTime {
    let at = DateTime::from_timestamp_micros(at_micros).unwrap_or_default();
    at.with_timezone(&zone).naive_local()
}

/// Formats a time with as many fraction digits as necessary, and at least one.
fn shown_time(time: NaiveDateTime) -> String {
    let micros = format!("{:06}", time.nanosecond() / 1_000);
    let digits = micros.trim_end_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    format!("{}.{digits}", time.format("%Y-%m-%d %H:%M:%S"))
}

/// Returns the literal of a text that needs no escaping.
fn quoted(text: &mut String, value: &str) {
    text.push('"');
    text.push_str(value);
    text.push('"');
}

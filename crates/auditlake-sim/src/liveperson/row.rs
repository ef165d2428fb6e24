//! One row of the audit trail, and the bytes that it is shown as.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDateTime, Timelike as _};
use chrono_tz::Tz;

use super::dataset::PoisonKind;

/// A field of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    AccountId,
    ObjectType,
    ObjectName,
    Element,
    OldValue,
    NewValue,
    Originator,
    OriginatorLoginName,
    OriginatorUserId,
    OriginatorUserAgent,
    OriginatorAuthType,
    OriginatorIsLpa,
    ChangeDate,
    ActionType,
}

impl Column {
    const ALL: [(&'static str, Self); 14] = [
        ("accountId", Self::AccountId),
        ("objectType", Self::ObjectType),
        ("objectName", Self::ObjectName),
        ("element", Self::Element),
        ("oldValue", Self::OldValue),
        ("newValue", Self::NewValue),
        ("originator", Self::Originator),
        ("originatorLoginName", Self::OriginatorLoginName),
        ("originatorUserId", Self::OriginatorUserId),
        ("originatorUserAgent", Self::OriginatorUserAgent),
        ("originatorAuthType", Self::OriginatorAuthType),
        ("originatorIsLpa", Self::OriginatorIsLpa),
        ("changeDate", Self::ChangeDate),
        ("actionType", Self::ActionType),
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, column)| *column)
    }

    fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, column)| *column == self);
        found.map_or("", |(name, _)| *name)
    }
}

/// A language that types of objects are shown in.
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

/// A kind of thing that can be changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) english: &'static str,
    pub(super) german: &'static str,
    /// Its name in `componentTypes`.
    pub(super) component: &'static str,
    pub(super) elements: &'static [&'static str],
}

/// One row. Texts are JSON literals, quotes included; `null` is one, too.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// When it happened, in microseconds since 1970.
    pub(super) at: i64,
    pub(super) visible_at: i64,
    pub(super) kind: &'static Kind,
    pub(super) object_name: String,
    pub(super) element: String,
    pub(super) old_value: String,
    pub(super) new_value: String,
    pub(super) originator: String,
    pub(super) login: String,
    pub(super) user_id: String,
    pub(super) user_agent: String,
    pub(super) auth_type: String,
    /// By the vendor's staff; hidden unless asked for.
    pub(super) lpa: bool,
    /// By the system itself; hidden unless asked for.
    pub(super) automatic: bool,
    pub(super) poison: Option<PoisonKind>,
}

impl Row {
    /// The row's bytes, with these fields in this order.
    pub(super) fn render(
        &self,
        account: &str,
        columns: &[Column],
        zone: Tz,
        language: Language,
    ) -> String {
        if self.poison == Some(PoisonKind::NotAnObject) {
            return "null".to_owned();
        }
        let mut text = String::with_capacity(512);
        text.push('{');
        for (number, column) in columns.iter().enumerate() {
            if number > 0 {
                text.push(',');
            }
            // writing to a string doesn't fail
            let _ = write!(text, r#""{}":"#, column.name());
            match column {
                Column::AccountId => quoted(&mut text, account),
                Column::ObjectType => quoted(
                    &mut text,
                    match language {
                        Language::English => self.kind.english,
                        Language::German => self.kind.german,
                    },
                ),
                Column::ObjectName => text.push_str(&self.object_name),
                Column::Element => text.push_str(&self.element),
                Column::OldValue => text.push_str(&self.old_value),
                Column::NewValue => text.push_str(&self.new_value),
                Column::Originator => text.push_str(&self.originator),
                Column::OriginatorLoginName => text.push_str(&self.login),
                Column::OriginatorUserId => text.push_str(&self.user_id),
                Column::OriginatorUserAgent => text.push_str(&self.user_agent),
                Column::OriginatorAuthType => text.push_str(&self.auth_type),
                Column::OriginatorIsLpa => {
                    let _ = write!(text, "{}", self.lpa);
                }
                Column::ChangeDate => match self.poison {
                    Some(PoisonKind::NoChangeDate) => text.push_str("null"),
                    Some(_) => quoted(&mut text, "0000-00-00 00:00:00.0"),
                    None => quoted(&mut text, &shown_time(wall_time(self.at, zone))),
                },
                Column::ActionType => quoted(
                    &mut text,
                    match self.element.as_str() {
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

/// What a clock on a wall of that zone showed.
pub(super) fn wall_time(at_micros: i64, zone: Tz) -> NaiveDateTime {
    let at = DateTime::from_timestamp_micros(at_micros).unwrap_or_default();
    at.with_timezone(&zone).naive_local()
}

/// With as many fraction digits as it takes, and at least one.
fn shown_time(time: NaiveDateTime) -> String {
    let micros = format!("{:06}", time.nanosecond() / 1_000);
    let digits = micros.trim_end_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    format!("{}.{digits}", time.format("%Y-%m-%d %H:%M:%S"))
}

/// Text that needs no escaping.
fn quoted(text: &mut String, value: &str) {
    text.push('"');
    text.push_str(value);
    text.push('"');
}

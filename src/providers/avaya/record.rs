//! An audit record of AXP, and its conversion to a row.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::SecondsFormat;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::catalogue::service_of;
use super::changes::{between, members, scalar};
use crate::model::{Activity, Outcome, Record};
use crate::providers::activity::activity_of;
use crate::providers::address::addresses;
use crate::providers::json::{OneOrMany, ScalarText, span};
use crate::providers::time::{parsed, time_of};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AuditRecord<'a> {
    #[serde(borrow)]
    date: ScalarText<'a>,
    #[serde(borrow)]
    event: ScalarText<'a>,
    #[serde(borrow)]
    author: ScalarText<'a>,
    #[serde(borrow)]
    ip_address: OneOrMany<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: ScalarText<'a>,
    #[serde(borrow)]
    audit_data: Option<&'a RawValue>,
    #[serde(borrow)]
    previous_data: Option<&'a RawValue>,
}

/// Parses a record. The error is the reason for quarantine.
pub(super) fn read(raw: &str) -> Result<Record<'_>, String> {
    if !raw.starts_with('{') {
        return Err("the record is not a JSON object".to_owned());
    }
    let record: AuditRecord =
        serde_json::from_str(raw).map_err(|error| format!("the record can't be read: {error}"))?;
    let event_time = match record.date.as_deref() {
        None => return Err("the record has no `date`".to_owned()),
        Some(text) => time_of("date", text)?,
    };
    let now = record.audit_data.map(members).unwrap_or_default();
    let before = record.previous_data.map(members).unwrap_or_default();
    // a deleted object may only have its earlier state
    let object = if now.is_empty() { &before } else { &now };
    let kind = record.kind.0;
    let service = kind.as_deref().and_then(service_of);
    let (entity_id, entity_name) = entity(kind.as_deref(), object);
    let (changes, left_out) = match record.previous_data {
        Some(before) if before.get() != "null" => between(before, record.audit_data),
        _ => (Vec::new(), 0),
    };
    let mut attributes: Vec<(Cow<str>, Cow<str>)> = now
        .iter()
        .filter_map(|(name, value)| {
            Some((Cow::Owned(format!("audit_data.{name}")), scalar(value)?))
        })
        .collect();
    if left_out > 0 {
        let count = Cow::Owned(left_out.to_string());
        attributes.push((Cow::Borrowed("changes_left_out"), count));
    }
    Ok(Record {
        event_id: Cow::Borrowed(""),
        event_time,
        account_id: None,
        activity: record.event.as_deref().map_or(Activity::Other, activity_of),
        action: record.event.0,
        outcome: Outcome::Unknown,
        outcome_reason: None,
        service: service.map(Cow::Borrowed),
        entity_type: kind,
        entity_id,
        entity_name,
        actor_id: None,
        actor_name: None,
        actor_login: record.author.0,
        actor_type: None,
        client_id: None,
        user_agent: None,
        session_id: None,
        transaction_id: None,
        client_ips: addresses(record.ip_address.0),
        message: None,
        changes,
        attributes,
    })
}

/// Returns the object's id and name: `id` and `name`, or members with the type's own name, such as `profileId` and
/// `profileName`.
fn entity<'a>(
    kind: Option<&str>,
    object: &BTreeMap<Cow<'a, str>, &'a RawValue>,
) -> (Option<Cow<'a, str>>, Option<Cow<'a, str>>) {
    let own = kind.map(camel_case).unwrap_or_default();
    let find = |general: &str, particular: &str| {
        let named = |name: &str| {
            object
                .get(name)
                .and_then(|value| scalar(value))
                .filter(|text| !text.is_empty())
        };
        named(general).or_else(|| named(&format!("{own}{particular}")))
    };
    (find("id", "Id"), find("name", "Name"))
}

/// Returns `RESOURCE_PARTITION` as `resourcePartition`.
fn camel_case(kind: &str) -> String {
    let mut name = String::new();
    let mut begins_word = false;
    for letter in kind.chars() {
        if letter == '_' {
            begins_word = !name.is_empty();
        } else if begins_word {
            name.extend(letter.to_uppercase());
            begins_word = false;
        } else {
            name.extend(letter.to_lowercase());
        }
    }
    name
}

/// Returns the record's text with its date as an instant in UTC, and otherwise unchanged.
pub(super) fn with_one_date_form(raw: &str) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct AvayaDate<'a> {
        #[serde(borrow)]
        date: &'a RawValue,
    }
    let one_form = || {
        let dated: AvayaDate = serde_json::from_str(raw).ok()?;
        let text: Cow<str> = scalar(dated.date)?;
        let instant = parsed(&text)
            .ok()?
            .to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let place = span(raw, dated.date.get());
        let (head, tail) = (raw.get(..place.start)?, raw.get(place.end..)?);
        (text != instant).then(|| format!("{head}\"{instant}\"{tail}"))
    };
    one_form().map_or(Cow::Borrowed(raw), Cow::Owned)
}

//! An audit of Genesys Cloud, and its conversion to a row.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::{Activity, Outcome, PropertyChange, Record};
use crate::providers::activity::activity_of;
use crate::providers::address::addresses;
use crate::providers::json::{Exact, Object, OneOrMany, ScalarText, TextEntries};
use crate::providers::time::time_of;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Audit<'a> {
    #[serde(borrow)]
    id: Exact<'a>,
    #[serde(borrow)]
    user_home_org_id: ScalarText<'a>,
    #[serde(borrow)]
    user: Object<NamedEntity<'a>>,
    #[serde(borrow)]
    client: Object<NamedEntity<'a>>,
    #[serde(borrow)]
    remote_ip: OneOrMany<Cow<'a, str>>,
    #[serde(borrow)]
    service_name: ScalarText<'a>,
    #[serde(borrow)]
    level: ScalarText<'a>,
    #[serde(borrow)]
    event_date: ScalarText<'a>,
    #[serde(borrow)]
    message: Object<Message<'a>>,
    #[serde(borrow)]
    action: ScalarText<'a>,
    #[serde(borrow)]
    entity: Object<NamedEntity<'a>>,
    #[serde(borrow)]
    entity_type: ScalarText<'a>,
    #[serde(borrow)]
    status: ScalarText<'a>,
    #[serde(borrow)]
    application: ScalarText<'a>,
    #[serde(borrow)]
    initiating_action: Object<InitiatingAction<'a>>,
    #[serde(borrow)]
    transaction_initiator: ScalarText<'a>,
    #[serde(borrow)]
    property_changes: OneOrMany<Object<AuditedProperty<'a>>>,
    #[serde(borrow)]
    context: TextEntries<'a>,
    #[serde(borrow)]
    entity_changes: OneOrMany<Object<EntityChange<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NamedEntity<'a> {
    #[serde(borrow)]
    id: ScalarText<'a>,
    #[serde(borrow)]
    name: ScalarText<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Message<'a> {
    #[serde(borrow)]
    localizable_message_code: ScalarText<'a>,
    #[serde(borrow)]
    message: ScalarText<'a>,
    #[serde(borrow)]
    message_with_params: ScalarText<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct InitiatingAction<'a> {
    #[serde(borrow)]
    transaction_id: ScalarText<'a>,
    #[serde(borrow)]
    action_context: ScalarText<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AuditedProperty<'a> {
    #[serde(borrow)]
    property: ScalarText<'a>,
    #[serde(borrow)]
    old_values: OneOrMany<Cow<'a, str>>,
    #[serde(borrow)]
    new_values: OneOrMany<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct EntityChange<'a> {
    #[serde(borrow)]
    entity_id: ScalarText<'a>,
    #[serde(borrow)]
    entity_name: ScalarText<'a>,
    #[serde(borrow)]
    entity_type: ScalarText<'a>,
    #[serde(borrow)]
    old_values: OneOrMany<Cow<'a, str>>,
    #[serde(borrow)]
    new_values: OneOrMany<Cow<'a, str>>,
}

/// Parses a record. The error is the reason for quarantine.
pub(super) fn read_record(raw: &str) -> Result<Record<'_>, String> {
    if !raw.starts_with('{') {
        return Err("the record is not a JSON object".to_owned());
    }
    let audit =
        serde_json::from_str(raw).map_err(|error| format!("the record can't be read: {error}"))?;
    record_of(audit)
}

fn record_of(audit: Audit<'_>) -> Result<Record<'_>, String> {
    let event_time = match audit.event_date.as_deref() {
        None => return Err("the record has no `eventDate`".to_owned()),
        Some(text) => time_of("eventDate", text)?,
    };
    let actor_type = match (
        audit.level.as_deref(),
        audit.user.0.id.as_deref(),
        audit.client.0.id.as_deref(),
    ) {
        (Some("SYSTEM"), ..) => Some("system"),
        (Some("GENESYS_INTERNAL"), ..) => Some("vendor"),
        (_, Some(_), _) | (Some("USER"), None, None) => Some("user"),
        (_, None, Some(_)) => Some("client"),
        _ => None,
    };
    let mut changes: Vec<PropertyChange> = audit
        .property_changes
        .0
        .into_iter()
        .map(|Object(change)| PropertyChange {
            property: change.property.0,
            old_values: change.old_values.0,
            new_values: change.new_values.0,
            ..PropertyChange::default()
        })
        .collect();
    changes.extend(
        audit
            .entity_changes
            .0
            .into_iter()
            .map(|Object(change)| PropertyChange {
                property: change.entity_name.0,
                entity_type: change.entity_type.0,
                entity_id: change.entity_id.0,
                old_values: change.old_values.0,
                new_values: change.new_values.0,
            }),
    );
    let outcome_reason = audit
        .context
        .0
        .iter()
        .find(|(key, value)| key == "errorCode" && !value.is_empty())
        .map(|(_, value)| value.clone());
    let named = [
        ("level", audit.level.0),
        ("application", audit.application.0),
        ("user_home_org_id", audit.user_home_org_id.0),
        ("transaction_initiator", audit.transaction_initiator.0),
        ("action_context", audit.initiating_action.0.action_context.0),
        ("message_code", audit.message.0.localizable_message_code.0),
    ];
    let mut attributes: Vec<(Cow<str>, Cow<str>)> = named
        .into_iter()
        .filter_map(|(name, value)| Some((Cow::Borrowed(name), value?)))
        .collect();
    attributes.extend(
        audit
            .context
            .0
            .into_iter()
            .map(|(key, value)| (Cow::Owned(format!("context.{key}")), value)),
    );

    Ok(Record {
        event_id: audit.id.0.unwrap_or_default(),
        event_time,
        account_id: None,
        activity: audit.action.as_deref().map_or(Activity::Other, activity_of),
        action: audit.action.0,
        outcome: match audit.status.as_deref() {
            Some("SUCCESS") => Outcome::Success,
            Some("FAILURE") => Outcome::Failure,
            Some("WARNING") => Outcome::Warning,
            _ => Outcome::Unknown,
        },
        outcome_reason,
        service: audit.service_name.0,
        entity_type: audit.entity_type.0,
        entity_id: audit.entity.0.id.0,
        entity_name: audit.entity.0.name.0,
        actor_id: audit.user.0.id.0,
        actor_name: audit.user.0.name.0,
        actor_login: None,
        actor_type,
        client_id: audit.client.0.id.0,
        user_agent: None,
        session_id: None,
        transaction_id: audit.initiating_action.0.transaction_id.0,
        client_ips: addresses(audit.remote_ip.0),
        message: audit
            .message
            .0
            .message
            .0
            .or(audit.message.0.message_with_params.0),
        changes,
        attributes,
    })
}

/// Returns the record without this name and otherwise unchanged; `None` if it has no such name.
pub(super) fn without_user_name(raw: &str) -> Option<String> {
    let mut record: BTreeMap<String, &RawValue> = serde_json::from_str(raw).ok()?;
    let mut user: BTreeMap<String, &RawValue> =
        serde_json::from_str(record.get("user")?.get()).ok()?;
    user.remove("name")?;
    let user = serde_json::value::to_raw_value(&user).ok()?;
    record.insert("user".to_owned(), &user);
    serde_json::to_string(&record).ok()
}

/// Returns whether it has members that only a record has.
pub(super) fn looks_like_a_record(raw: &str) -> bool {
    let audit = serde_json::from_str::<Audit>(raw).ok();
    audit.is_some_and(|audit| audit.id.0.is_some() || audit.event_date.0.is_some())
}

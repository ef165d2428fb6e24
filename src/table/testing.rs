//! Records for tests, and rows read back as JSON.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{borrow::Cow, collections::BTreeMap};

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType},
    record_batch::RecordBatch,
};
use chrono::DateTime;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{RowBuilder, RowContext};
use crate::model::{Activity, Outcome, PartitionColumn, PropertyChange, Record, Timestamp};

pub(super) const CONTEXT_ACCOUNT: &str = "org-1";

pub(super) fn at(second: i64) -> Timestamp {
    DateTime::from_timestamp(second, 0).unwrap()
}

pub(super) fn context() -> RowContext<'static> {
    RowContext {
        provider: "genesys_cloud",
        connection: "genesys-prod",
        account_id: CONTEXT_ACCOUNT,
        job: "genesys-audits",
        ingested_at: at(1_800_000_000),
    }
}

/// Returns a record with only a time.
pub(super) fn record(event_id: &str, second: i64) -> Record<'static> {
    Record {
        event_id: event_id.to_owned().into(),
        ..Record::at(at(second))
    }
}

/// Returns a record as a batch of one row.
pub(super) fn row(
    record: &Record<'_>,
    partition_by: &[PartitionColumn],
    raw: &str,
    late_by_ms: Option<i64>,
) -> RecordBatch {
    let mut rows = RowBuilder::new(partition_by);
    rows.push(record, &context(), raw, late_by_ms).unwrap();
    rows.finish().unwrap()
}

/// Generates any valid text, usually of a few characters: control characters, NUL, all planes of Unicode.
pub(super) fn any_text() -> impl Strategy<Value = Cow<'static, str>> {
    prop::collection::vec(any::<char>(), 0..12)
        .prop_map(|characters| Cow::Owned(characters.into_iter().collect()))
}

fn texts() -> impl Strategy<Value = Vec<Cow<'static, str>>> {
    prop::collection::vec(any_text(), 0..4)
}

prop_compose! {
    fn any_change()(
        texts in prop::array::uniform3(prop::option::of(any_text())),
        old_values in texts(),
        new_values in texts(),
    ) -> PropertyChange<'static> {
        let [property, entity_type, entity_id] = texts;
        PropertyChange { property, entity_type, entity_id, old_values, new_values }
    }
}

prop_compose! {
    pub(super) fn any_record()(
        event_id in any_text(),
        event_micros in -100_000_000_000_000_000_i64..100_000_000_000_000_000,
        activity in prop::sample::select(vec![Activity::Create, Activity::Login, Activity::Other]),
        outcome in prop::sample::select(vec![Outcome::Success, Outcome::Failure, Outcome::Unknown]),
        actor_type in prop::sample::select(vec![None, Some("user"), Some("system")]),
        texts in prop::collection::vec(prop::option::of(any_text()), 15),
        client_ips in texts(),
        changes in prop::collection::vec(any_change(), 0..4),
        attributes in prop::collection::vec((any_text(), any_text()), 0..4),
    ) -> Record<'static> {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().flatten();
        Record {
            event_id,
            event_time: DateTime::from_timestamp_micros(event_micros).unwrap(),
            account_id: text(),
            action: text(),
            activity,
            outcome,
            outcome_reason: text(),
            service: text(),
            entity_type: text(),
            entity_id: text(),
            entity_name: text(),
            actor_id: text(),
            actor_name: text(),
            actor_login: text(),
            actor_type,
            client_id: text(),
            user_agent: text(),
            session_id: text(),
            transaction_id: text(),
            client_ips,
            message: text(),
            changes,
            attributes,
        }
    }
}

/// Returns the expected row of a record, independent of the list of columns.
pub(super) fn expected(record: &Record<'_>, raw: &str, late_by_ms: Option<i64>) -> Value {
    let change = |change: &PropertyChange<'_>| {
        json!({
            "property": change.property,
            "entity_type": change.entity_type,
            "entity_id": change.entity_id,
            "old_values": change.old_values,
            "new_values": change.new_values,
        })
    };
    let attributes: BTreeMap<&str, &str> = (record.attributes.iter())
        .map(|(key, value)| (&**key, &**value))
        .collect();
    json!({
        "event_id": record.event_id,
        "event_time": record.event_time.timestamp_micros(),
        "event_date": record.event_time.timestamp().div_euclid(86_400),
        "provider": context().provider,
        "account_id": record.account_id.as_deref().unwrap_or(CONTEXT_ACCOUNT),
        "connection": context().connection,
        "job": context().job,
        "action": record.action,
        "activity": record.activity.as_str(),
        "outcome": record.outcome.as_str(),
        "outcome_reason": record.outcome_reason,
        "service": record.service,
        "entity_type": record.entity_type,
        "entity_id": record.entity_id,
        "entity_name": record.entity_name,
        "actor_id": record.actor_id,
        "actor_name": record.actor_name,
        "actor_login": record.actor_login,
        "actor_type": record.actor_type,
        "client_id": record.client_id,
        "user_agent": record.user_agent,
        "session_id": record.session_id,
        "transaction_id": record.transaction_id,
        "client_ips": record.client_ips,
        "message": record.message,
        "changes": record.changes.iter().map(change).collect::<Vec<_>>(),
        "attributes": attributes.into_iter().collect::<Vec<_>>(),
        "raw": raw,
        "ingested_at": context().ingested_at.timestamp_micros(),
        "late_by_ms": late_by_ms,
        "actor": record.actor(),
        "actor_email": record.actor_email(),
        "category": record.category().as_str(),
    })
}

/// Returns the rows of a batch, with times and dates as numbers and maps as lists of pairs.
pub(super) fn rows_of(batch: &RecordBatch) -> Vec<Value> {
    (0..batch.num_rows())
        .map(|row| {
            let schema = batch.schema();
            let cells = (schema.fields().iter())
                .zip(batch.columns())
                .map(|(field, array)| (field.name().clone(), cell(array, row)));
            Value::Object(cells.collect::<Map<_, _>>())
        })
        .collect()
}

fn cell(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    let all = |array: &dyn Array| (0..array.len()).map(|row| cell(array, row)).collect();
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Timestamp(..) => array
            .as_primitive::<TimestampMicrosecondType>()
            .value(row)
            .into(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::List(_) => all(&array.as_list::<i32>().value(row)),
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            (0..entries.len())
                .map(|entry| {
                    json!([
                        cell(entries.column(0), entry),
                        cell(entries.column(1), entry)
                    ])
                })
                .collect()
        }
        DataType::Struct(fields) => (fields.iter())
            .zip(array.as_struct().columns())
            .map(|(field, column)| (field.name().clone(), cell(column, row)))
            .collect(),
        other => panic!("no column has the type {other}"),
    }
}

//! A row of LivePerson's audit trail, and its conversion to a row of the table.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{LocalResult, NaiveDateTime, Offset as _, SecondsFormat, TimeDelta, TimeZone as _};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::{Activity, Outcome, PropertyChange, Record, Timestamp};
use crate::providers::activity::activity_of;
use crate::providers::json::{ScalarText, shortened};
use crate::providers::time::{in_range, time_of};

/// The value of `element` if no property changed.
const NO_ELEMENT: &str = "N/A";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AuditRow<'a> {
    #[serde(borrow)]
    account_id: ScalarText<'a>,
    #[serde(borrow)]
    object_type: ScalarText<'a>,
    #[serde(borrow)]
    object_name: ScalarText<'a>,
    #[serde(borrow)]
    element: ScalarText<'a>,
    #[serde(borrow)]
    old_value: ScalarText<'a>,
    #[serde(borrow)]
    new_value: ScalarText<'a>,
    #[serde(borrow)]
    originator: ScalarText<'a>,
    #[serde(borrow)]
    originator_login_name: ScalarText<'a>,
    #[serde(borrow)]
    originator_user_id: ScalarText<'a>,
    #[serde(borrow)]
    originator_user_agent: ScalarText<'a>,
    #[serde(borrow)]
    originator_auth_type: ScalarText<'a>,
    #[serde(borrow)]
    originator_is_lpa: ScalarText<'a>,
    #[serde(borrow)]
    change_date: ScalarText<'a>,
    /// A field of older revisions, never requested.
    #[serde(borrow)]
    action_type: ScalarText<'a>,
}

/// The fields of a row that determine its position.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RowDate<'a> {
    #[serde(borrow)]
    change_date: ScalarText<'a>,
}

/// Parses a row whose times are local to `zone`. The error is the reason for quarantine.
pub(super) fn read_record(raw: &str, zone: Tz) -> Result<Record<'_>, String> {
    if !raw.starts_with('{') {
        return Err("the record is not a JSON object".to_owned());
    }
    let row: AuditRow =
        serde_json::from_str(raw).map_err(|error| format!("the record can't be read: {error}"))?;
    let event_time = match row.change_date.as_deref() {
        None => return Err("the record has no `changeDate`".to_owned()),
        Some(text) => change_date(text, zone)?,
    };
    let has_actor = [
        &row.originator,
        &row.originator_login_name,
        &row.originator_user_id,
    ]
    .iter()
    .any(|text| text.0.is_some());
    let actor_type = match row.originator_is_lpa.as_deref() {
        Some("true") => Some("vendor"),
        _ if has_actor => Some("user"),
        _ => None,
    };
    let property = row.element.0.filter(|element| element != NO_ELEMENT);
    let (old_values, new_values): (Vec<_>, Vec<_>) = (
        row.old_value.0.into_iter().collect(),
        row.new_value.0.into_iter().collect(),
    );
    let any = property.is_some() || !old_values.is_empty() || !new_values.is_empty();
    let changes = any.then_some(PropertyChange {
        property,
        old_values,
        new_values,
        ..PropertyChange::default()
    });
    let activity = match row.action_type.as_deref() {
        Some(action) => activity_of(action),
        None if changes.is_some() => Activity::Update,
        None => Activity::Other,
    };
    let auth_type = row.originator_auth_type.0;
    let auth_type = auth_type.map(|kind| (Cow::Borrowed("originator_auth_type"), kind));
    Ok(Record {
        event_id: Cow::Borrowed(""),
        event_time,
        account_id: row.account_id.0,
        action: row.action_type.0,
        activity,
        outcome: Outcome::Unknown,
        outcome_reason: None,
        service: None,
        entity_type: row.object_type.0,
        entity_id: None,
        entity_name: row.object_name.0,
        actor_id: row.originator_user_id.0,
        actor_name: row.originator.0,
        actor_login: row.originator_login_name.0,
        actor_type,
        client_id: None,
        user_agent: row.originator_user_agent.0,
        session_id: None,
        transaction_id: None,
        client_ips: Vec::new(),
        message: None,
        changes: changes.into_iter().collect(),
        attributes: auth_type.into_iter().collect(),
    })
}

/// Returns the row with its time as an instant, so that its id doesn't depend on the requested zone, and without fields
/// of older revisions; `None` if its time can't be parsed.
pub(super) fn stable_content(raw: &str, zone: Tz) -> Option<String> {
    let mut row: BTreeMap<Cow<str>, &RawValue> = serde_json::from_str(raw).ok()?;
    let date: ScalarText = serde_json::from_str(row.get("changeDate")?.get()).ok()?;
    let instant = change_date(date.as_deref()?, zone).ok()?;
    let instant = instant.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let instant = serde_json::value::to_raw_value(&instant).ok()?;
    row.insert(Cow::Borrowed("changeDate"), &instant);
    row.remove("actionType");
    serde_json::to_string(&row).ok()
}

/// Returns how many rows at the end have the time of the last one.
pub(super) fn rows_of_last_time(text: &str, rows: &[std::ops::Range<usize>]) -> usize {
    let date = |row: &std::ops::Range<usize>| {
        let row: RowDate = serde_json::from_str(text.get(row.clone())?).ok()?;
        row.change_date.0
    };
    let last = rows.last().and_then(date);
    let same = rows.iter().rev().map(date).take_while(|date| *date == last);
    same.count()
}

/// Parses `2026-03-01 13:05:46.0`, with a fraction of up to nine digits or none, local to `zone`; a time with an offset
/// uses that.
fn change_date(text: &str, zone: Tz) -> Result<Timestamp, String> {
    let no_date = || format!("`changeDate` is no date: `{}`", shortened(text));
    let Some(local) = local(text) else {
        // a time with an offset uses that
        return time_of("changeDate", text).map_err(|_| no_date());
    };
    let instant = instant(local, zone).ok_or_else(no_date)?;
    in_range(instant.timestamp_micros()).ok_or_else(no_date)
}

/// A time without a zone.
fn local(text: &str) -> Option<NaiveDateTime> {
    let (date, time) = text.trim().split_once([' ', 'T', 't'])?;
    let (seconds, fraction) = time.split_once(['.', ',']).unwrap_or((time, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = date.len() == 10 && seconds.len() == 8 && !fraction.is_empty();
    if !plain || fraction.len() > 9 || !digits(fraction) {
        return None;
    }
    let text = format!("{date} {seconds}.{fraction}");
    NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok()
}

/// Converts a local time to an instant: the earlier one of an ambiguous time, and for a skipped time, that with the
/// previous offset.
pub(super) fn instant(local: NaiveDateTime, zone: Tz) -> Option<Timestamp> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Some(time.to_utc()),
        LocalResult::None => {
            let before = local.checked_sub_signed(TimeDelta::days(1))?;
            let offset = zone.offset_from_local_datetime(&before).earliest()?.fix();
            let offset = TimeDelta::seconds(i64::from(offset.local_minus_utc()));
            Some(local.checked_sub_signed(offset)?.and_utc())
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_its_zone() {
        let eastern = chrono_tz::US::Eastern;
        for (text, zone, instant) in [
            (
                "2026-03-01 13:05:46.0",
                Tz::UTC,
                Some("2026-03-01T13:05:46Z"),
            ),
            ("2026-03-01 13:05:46", Tz::UTC, Some("2026-03-01T13:05:46Z")),
            (
                "2026-03-01T13:05:46.123",
                Tz::UTC,
                Some("2026-03-01T13:05:46.123Z"),
            ),
            (
                "2026-03-01 13:05:46.123456789",
                Tz::UTC,
                Some("2026-03-01T13:05:46.123456Z"),
            ),
            (
                "2026-03-01T13:05:46Z",
                eastern,
                Some("2026-03-01T13:05:46Z"),
            ),
            (
                "2026-03-01T13:05:46.5+02:00",
                eastern,
                Some("2026-03-01T11:05:46.500Z"),
            ),
            (
                "2026-03-01 08:05:46.0",
                eastern,
                Some("2026-03-01T13:05:46Z"),
            ),
            (
                "2026-07-01 08:05:46.0",
                eastern,
                Some("2026-07-01T12:05:46Z"),
            ),
            // ambiguous: the earlier
            (
                "2026-11-01 01:30:00.0",
                eastern,
                Some("2026-11-01T05:30:00Z"),
            ),
            // skipped: the previous offset
            (
                "2026-03-08 02:30:00.0",
                eastern,
                Some("2026-03-08T07:30:00Z"),
            ),
            // a whole day skipped
            (
                "2011-12-30 12:00:00.0",
                chrono_tz::Pacific::Apia,
                Some("2011-12-30T22:00:00Z"),
            ),
            ("1772370346000", Tz::UTC, None),
            ("2026-02-30 13:05:46.0", Tz::UTC, None),
            ("2026-03-01", Tz::UTC, None),
            ("2026-03-01 13:05", Tz::UTC, None),
            ("2026-03-01 13:05:46.", Tz::UTC, None),
            ("2026-03-01 13:05:46.1234567890", Tz::UTC, None),
            ("2026-3-1 13:05:46.0", Tz::UTC, None),
            ("2026-03-01 13:05:46.0 EST", Tz::UTC, None),
            ("03/01/2026 13:05:46", Tz::UTC, None),
            (
                "2026-03-01t08:05:46,5",
                eastern,
                Some("2026-03-01T13:05:46.500Z"),
            ),
            (
                "2026-03-01 13:05:46.0+0000",
                eastern,
                Some("2026-03-01T13:05:46Z"),
            ),
            (
                "2026-03-01T13:05:46z",
                eastern,
                Some("2026-03-01T13:05:46Z"),
            ),
            ("日本語日本語日本語", Tz::UTC, None),
        ] {
            let read = change_date(text, zone).ok();
            let expected = instant.map(|text| text.parse::<Timestamp>().unwrap());
            assert_eq!(read, expected, "{text} in {zone}");
        }
    }

    #[test]
    fn what_lasts_is_the_instant() {
        let utc = r#"{"element":"a","changeDate":"2026-03-01 13:05:46.0","actionType":"Edit"}"#;
        let eastern = r#"{"changeDate":"2026-03-01 08:05:46.000","element":"a"}"#;
        let expected = r#"{"changeDate":"2026-03-01T13:05:46Z","element":"a"}"#;
        assert_eq!(stable_content(utc, Tz::UTC).unwrap(), expected);
        assert_eq!(
            stable_content(eastern, chrono_tz::US::Eastern).unwrap(),
            expected
        );
        assert_eq!(stable_content(r#"{"element":"a"}"#, Tz::UTC), None);
        assert_eq!(stable_content("[]", Tz::UTC), None);
    }
}

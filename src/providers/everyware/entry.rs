//! An entry of Everyware Cloud's audit log, and its conversion to a row.

use std::borrow::Cow;

use serde::Deserialize;

use crate::model::{Activity, Outcome, Record, Timestamp};
use crate::providers::activity::activity_of;
use crate::providers::json::{Exact, shortened};
use crate::providers::time::{in_range, time_of};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct EverywareEntry<'a> {
    #[serde(borrow)]
    id: Exact<'a>,
    #[serde(borrow)]
    account_id: Exact<'a>,
    #[serde(borrow)]
    occurred_on: Exact<'a>,
    #[serde(borrow)]
    user_id: Exact<'a>,
    #[serde(borrow)]
    username: Exact<'a>,
    #[serde(borrow)]
    session_id: Exact<'a>,
    #[serde(borrow)]
    entity_id: Exact<'a>,
    #[serde(borrow)]
    event_type: Exact<'a>,
    #[serde(borrow)]
    event_result_code: Exact<'a>,
    #[serde(borrow)]
    event_result_failure: Exact<'a>,
    #[serde(borrow)]
    event_input1: Exact<'a>,
    #[serde(borrow)]
    event_input2: Exact<'a>,
    #[serde(borrow)]
    event_input3: Exact<'a>,
    #[serde(borrow)]
    event_output1: Exact<'a>,
    #[serde(borrow)]
    event_output2: Exact<'a>,
    #[serde(borrow)]
    event_output3: Exact<'a>,
}

/// Parses a record. The error is the reason for quarantine.
pub(super) fn read_record(raw: &str) -> Result<Record<'_>, String> {
    if !raw.starts_with('{') {
        return Err("the record is not a JSON object".to_owned());
    }
    let entry: EverywareEntry =
        serde_json::from_str(raw).map_err(|error| format!("the record can't be read: {error}"))?;
    let event_time = match entry.occurred_on.0.as_deref() {
        None => return Err("the record has no `occurredOn`".to_owned()),
        Some(text) => occurred_on(text)?,
    };
    // user 0 doesn't exist: the log has it for logins with an unknown user
    let is_user = entry.user_id.0.as_deref().is_some_and(|id| id != "0");
    let attributes = [
        ("event_input1", entry.event_input1.0),
        ("event_input2", entry.event_input2.0),
        ("event_input3", entry.event_input3.0),
        ("event_output1", entry.event_output1.0),
        ("event_output2", entry.event_output2.0),
        ("event_output3", entry.event_output3.0),
    ];
    Ok(Record {
        event_id: entry.id.0.unwrap_or_default(),
        event_time,
        account_id: entry.account_id.0,
        activity: (entry.event_type.0.as_deref()).map_or(Activity::Other, activity_of),
        action: entry.event_type.0,
        outcome: match entry.event_result_code.0.as_deref() {
            Some(code) if code.eq_ignore_ascii_case("true") => Outcome::Success,
            Some(code) if code.eq_ignore_ascii_case("false") => Outcome::Failure,
            _ => Outcome::Unknown,
        },
        outcome_reason: entry.event_result_failure.0,
        service: None,
        entity_type: None,
        entity_id: entry.entity_id.0,
        entity_name: None,
        actor_id: entry.user_id.0,
        actor_name: None,
        actor_login: entry.username.0,
        actor_type: is_user.then_some("user"),
        client_id: None,
        user_agent: None,
        session_id: entry.session_id.0,
        transaction_id: None,
        client_ips: Vec::new(),
        message: None,
        changes: Vec::new(),
        attributes: attributes
            .into_iter()
            .filter_map(|(name, value)| Some((Cow::Borrowed(name), value?)))
            .collect(),
    })
}

/// Parses milliseconds since 1970, as a number or as text, or ISO 8601.
fn occurred_on(text: &str) -> Result<Timestamp, String> {
    if let Some(micros) = micros(text) {
        return in_range(micros)
            .ok_or_else(|| format!("`occurredOn` is out of range: `{}`", shortened(text)));
    }
    time_of("occurredOn", text)
}

/// Converts a decimal number of milliseconds exactly to whole microseconds, truncated, without a double; `None` for
/// other texts, and beyond the range of times.
fn micros(text: &str) -> Option<i64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || !all_digits(digits) || !all_digits(fraction) {
        return None;
    }
    let number: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = exponent
        .checked_add(3)?
        .checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = 10_i128.checked_pow(scale.unsigned_abs());
    let micros = if scale >= 0 {
        number.checked_mul(power?)?
    } else {
        // the fraction has more digits than a number can hold, so nothing is left of it
        power.map_or(0, |power| number.div_euclid(power))
    };
    i64::try_from(micros).ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_exactly() {
        for (text, micros) in [
            ("0", Some(0)),
            ("1772352061000", Some(1_772_352_061_000_000)),
            ("-1", Some(-1_000)),
            ("1772352061000.5", Some(1_772_352_061_000_500)),
            ("1772352061000.123456", Some(1_772_352_061_000_123)),
            ("-0.0005", Some(-1)),
            ("1.772352061E12", Some(1_772_352_061_000_000)),
            ("1772352061000000e-3", Some(1_772_352_061_000_000)),
            ("9007199254740993", Some(9_007_199_254_740_993_000)),
            ("99999999999999999999", None),
            ("1e400", None),
            ("", None),
            ("-", None),
            ("1 ", None),
            ("2026-03-01", None),
            ("0x10", None),
        ] {
            assert_eq!(super::micros(text), micros, "{text}");
        }
    }

    #[test]
    fn ids_of_any_size_keep_their_digits() {
        for id in [
            "9007199254740993",
            "18446744073709551616",
            "-1",
            "123456789012345678901234567890",
            "1.0",
        ] {
            let raw = format!(r#"{{"id":{id},"accountId":{id},"userId":{id},"occurredOn":0}}"#);
            let record = read_record(&raw).unwrap();
            assert_eq!(record.event_id, id);
            assert_eq!(record.account_id.as_deref(), Some(id));
            assert_eq!(record.actor_id.as_deref(), Some(id));
        }
    }
}

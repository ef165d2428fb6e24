//! Ids for records that have none: a hash of what the record says, however it is written.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// How deep a record may nest; `serde_json` itself allows as much.
const MAX_DEPTH: usize = 128;

/// A record has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// It isn't JSON, or has text that isn't Unicode (a lone surrogate).
    #[error("the record is not valid JSON")]
    Invalid(#[from] serde_json::Error),
    /// It nests too deep.
    #[error("the record nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// The hash of a record's canonical form: 32 hexadecimal digits, the first half of a SHA-256.
///
/// Equal for two texts if and only if they are the same JSON value: whitespace, the order of keys and the way a string
/// is escaped don't count. Numbers are equal if their exact decimal values are (`1`, `1.0`, `10e-1`; `0`, `-0`); none
/// goes through a double, so 9007199254740993 isn't 9007199254740992. An exponent beyond 64 bits is taken as written.
/// Of a key that occurs twice the last value counts. A missing key isn't a null, and `1` isn't `"1"`.
pub fn canonical_hash(raw: &str) -> Result<String, CanonicalError> {
    let mut canonical = String::with_capacity(raw.len());
    push_value(&mut canonical, serde_json::from_str(raw)?, 0)?;
    let digest = Sha256::digest(canonical);
    Ok(hex(&digest[..16]))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // writing to a string doesn't fail
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Each level is scanned anew, so the time is bounded by [`MAX_DEPTH`] times the length.
fn push_value(out: &mut String, value: &RawValue, depth: usize) -> Result<(), CanonicalError> {
    let text = value.get();
    if depth > MAX_DEPTH {
        return Err(CanonicalError::TooDeep);
    }
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            out.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_string(out, &key)?;
                out.push(':');
                push_value(out, value, depth + 1)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text)?;
            out.push('[');
            for (index, element) in elements.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_value(out, element, depth + 1)?;
            }
            out.push(']');
        }
        Some(b'"') => push_string(out, &serde_json::from_str::<String>(text)?)?,
        Some(b'-' | b'0'..=b'9') => push_number(out, text),
        _ => out.push_str(text),
    }
    Ok(())
}

fn push_string(out: &mut String, text: &str) -> Result<(), CanonicalError> {
    out.push_str(&serde_json::to_string(text)?);
    Ok(())
}

/// Writes `digits e exponent`, the digits without zeros at either end.
fn push_number(out: &mut String, text: &str) {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", text),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let without_end = digits.trim_end_matches('0');
    let significant = without_end.trim_start_matches('0');
    if significant.is_empty() {
        out.push('0');
        return;
    }
    let shift = |places: usize| i64::try_from(places).ok();
    let exponent = (exponent.parse().ok())
        .zip(shift(digits.len() - without_end.len()))
        .zip(shift(fraction.len()))
        .and_then(|((exponent, zeros), places): ((i64, i64), i64)| {
            exponent.checked_add(zeros)?.checked_sub(places)
        });
    match exponent {
        Some(exponent) => {
            // writing to a string doesn't fail
            let _ = write!(out, "{sign}{significant}e{exponent}");
        }
        None => out.push_str(text),
    }
}

//! Ids for records without one: a hash of the record's canonical form.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::model::hex;

/// The maximum nesting depth of a record, the same as in `serde_json`.
const MAX_DEPTH: usize = 128;

/// A record has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// It isn't JSON, or contains text that isn't Unicode (a lone surrogate).
    #[error("the record is not valid JSON")]
    Invalid(#[from] serde_json::Error),
    /// It nests too deep.
    #[error("the record nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// Returns the hash of a record's canonical form: 32 hexadecimal digits, the first half of a SHA-256.
///
/// The hashes of two texts are equal if and only if they are the same JSON value: white space, the order of keys and
/// the escaping of strings don't matter. Numbers are equal if their exact decimal values are (`1`, `1.0`, `10e-1`; `0`,
/// `-0`); they aren't converted to doubles, so 9007199254740993 isn't 9007199254740992. An exponent beyond 64 bits is
/// used verbatim. If a key is repeated, its last value counts. A missing key isn't a null, and `1` isn't `"1"`.
pub fn canonical_hash(raw: &str) -> Result<String, CanonicalError> {
    if is_too_deep(raw) {
        return Err(CanonicalError::TooDeep);
    }
    let mut canonical = String::with_capacity(raw.len());
    push_value(&mut canonical, serde_json::from_str(raw)?, 0)?;
    let digest = Sha256::digest(canonical);
    Ok(hex(&digest[..16]))
}

/// Returns whether brackets are nested too deeply, in one pass. Otherwise, all permitted levels would be scanned one by
/// one before the excess is found.
fn is_too_deep(raw: &str) -> bool {
    let (mut open, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in raw.bytes() {
        if escaped {
            escaped = false;
        } else if in_string {
            escaped = byte == b'\\';
            in_string = byte != b'"';
        } else {
            match byte {
                b'"' => in_string = true,
                b'{' | b'[' => open += 1,
                b'}' | b']' => open = open.saturating_sub(1),
                _ => {}
            }
            if open > MAX_DEPTH + 1 {
                return true;
            }
        }
    }
    false
}

/// Appends the canonical form. Each level is scanned again, so the time is bounded by [`MAX_DEPTH`] times the length.
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

/// Appends `digits e exponent`, with the digits without leading and trailing zeros.
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(left: &str, right: &str) -> bool {
        canonical_hash(left).unwrap() == canonical_hash(right).unwrap()
    }

    #[test]
    fn ways_to_write_one_value_are_one_hash() {
        for (left, right) in [
            ("1", "1.0"),
            ("1", "10e-1"),
            ("1", "0.001E+3"),
            ("-120", "-1.2e2"),
            ("0", "-0.000e9"),
            ("12300", "123e2"),
            ("1e400", "10e399"),
            (r#""é\n/""#, r#""\u00e9\u000a\/""#),
            (r#""😀""#, r#""\ud83d\ude00""#),
            (
                r#"{"a":1,"b":[]}"#,
                " { \"b\" : [ ] ,\r\n\"\\u0061\"\t:1.0 } ",
            ),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            ("1e99999999999999999999", " 1e99999999999999999999 "),
        ] {
            assert!(same(left, right), "{left} {right}");
        }
    }

    #[test]
    fn different_values_are_different_hashes() {
        let values = [
            "null",
            "true",
            "false",
            "0",
            "1",
            "-1",
            "10",
            "0.1",
            "9007199254740993",
            "9007199254740992",
            "9007199254740993.0000000001",
            "1e400",
            "1e401",
            "1e-400",
            "1e99999999999999999999",
            r#""""#,
            r#""1""#,
            r#""null""#,
            r#""1e0""#,
            r#""[]""#,
            "[]",
            "{}",
            "[[]]",
            "[null]",
            "[1,2]",
            "[2,1]",
            "[12]",
            r#"["1,2"]"#,
            r#"{"a":null}"#,
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"A":1}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":{"b":2}}"#,
            r#"{"a":2,"b":1}"#,
            r#""\u0000""#,
            r#"" ""#,
        ];
        for (index, left) in values.iter().enumerate() {
            for right in &values[index + 1..] {
                assert!(!same(left, right), "{left} {right}");
            }
        }
    }

    #[test]
    fn the_hash_never_changes_between_versions() {
        // ids in existing lakes depend on it
        let record = r#"{"b":[1.50,true,null],"a":"\u00e9 \"x\"","c":{"z":-0,"y":12e3}}"#;
        let canonical = r#"{"a":"é \"x\"","b":[15e-1,true,null],"c":{"y":12e3,"z":0}}"#;
        assert_eq!(
            canonical_hash(record).unwrap(),
            hex(&Sha256::digest(canonical)[..16])
        );
        insta::assert_snapshot!(canonical_hash(record).unwrap(), @"dd6e01120e9f503143fde111ace73854");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        canonical_hash(&nested(MAX_DEPTH)).unwrap();
        for depth in [MAX_DEPTH + 1, 10_000, 100_000] {
            let error = canonical_hash(&nested(depth)).unwrap_err();
            assert!(matches!(error, CanonicalError::TooDeep), "{error}");
        }
        let objects = format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
        assert!(matches!(
            canonical_hash(&objects),
            Err(CanonicalError::TooDeep)
        ));
    }

    #[test]
    fn what_is_not_json_has_no_hash() {
        for text in [
            "",
            "{",
            "01",
            "1 2",
            "nul",
            r#""\ud800""#,
            "[1,]",
            "\"\u{1}\"",
            "NaN",
        ] {
            assert!(matches!(
                canonical_hash(text),
                Err(CanonicalError::Invalid(_))
            ));
        }
    }

    #[derive(Debug, Clone, PartialEq)]
    enum Json {
        Literal(&'static str),
        Number(i64, i8),
        Text(String),
        List(Vec<Json>),
        Members(BTreeMap<String, Json>),
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            prop::sample::select(vec!["null", "true", "false"]).prop_map(Json::Literal),
            (any::<i64>(), -20_i8..20)
                .prop_map(|(digits, exponent)| Json::Number(digits, exponent)),
            any::<String>().prop_map(Json::Text),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::List),
                prop::collection::btree_map("[a-d\u{e9}]{0,2}", inner, 0..4)
                    .prop_map(Json::Members),
            ]
        })
    }

    /// Writes a value in a random form.
    fn written(json: &Json, coin: &mut impl FnMut() -> bool) -> String {
        let space = if coin() { " \n" } else { "" };
        let text = match json {
            Json::Literal(text) => (*text).to_owned(),
            Json::Number(digits, exponent) if coin() => format!("{digits}.00E{exponent:+}"),
            Json::Number(digits, exponent) => format!("{digits}0e{}", exponent - 1),
            Json::Text(text) => string(text, coin),
            Json::List(elements) => {
                let elements: Vec<String> = elements.iter().map(|one| written(one, coin)).collect();
                format!("[{space}{}]", elements.join(","))
            }
            Json::Members(members) => {
                let mut texts: Vec<String> = (members.iter())
                    .map(|(key, value)| {
                        format!("{}{space}:{}", string(key, coin), written(value, coin))
                    })
                    .collect();
                if coin() {
                    texts.reverse();
                }
                format!("{{{space}{}}}", texts.join(","))
            }
        };
        format!("{space}{text}{space}")
    }

    fn string(text: &str, coin: &mut impl FnMut() -> bool) -> String {
        if coin() {
            return serde_json::to_string(text).unwrap();
        }
        let units: Vec<String> = text
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04X}"))
            .collect();
        format!("\"{}\"", units.concat())
    }

    proptest! {
        #[test]
        fn only_the_value_counts(json in any_json(), coins in prop::collection::vec(any::<bool>(), 1..40)) {
            let mut next = 0;
            let mut coin = || {
                next += 1;
                coins[next % coins.len()]
            };
            let one = written(&json, &mut coin);
            let plain = written(&json, &mut || true);
            prop_assert!(same(&one, &plain), "{one} {plain}");
        }

        #[test]
        fn any_other_value_has_another_hash(left in any_json(), right in any_json()) {
            let equal = serde_json::from_str::<serde_json::Value>(&written(&left, &mut || true)).unwrap()
                == serde_json::from_str::<serde_json::Value>(&written(&right, &mut || true)).unwrap();
            prop_assume!(!equal);
            prop_assert!(!same(&written(&left, &mut || true), &written(&right, &mut || true)));
        }

        #[test]
        fn numbers_are_compared_as_exact_decimals(digits in any::<i64>(), zeros in 0_usize..5, other in any::<i64>()) {
            let padded = format!("{digits}{}e-{zeros}", "0".repeat(zeros));
            prop_assert!(same(&digits.to_string(), &padded));
            prop_assert_eq!(same(&digits.to_string(), &other.to_string()), digits == other);
            prop_assert!(!same(&digits.to_string(), &(i128::from(digits) + 1).to_string()));
        }
    }
}

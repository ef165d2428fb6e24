//! The differences of two states of an object without a schema.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::value::RawValue;

use crate::model::PropertyChange;
use crate::providers::json::FromJson;

/// The depth up to which an object is compared by its members; deeper values are compared as text.
const DEEPEST: usize = 16;
/// The maximum number of changes of a record.
const MOST: usize = 1_000;

/// A step from an object or a list to a member.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

/// The value at the end of each path: a scalar, or a list of scalars.
type Leaves<'a> = BTreeMap<Vec<Step<'a>>, Vec<Cow<'a, str>>>;

/// Returns the members that were removed, added or changed, in the order of their paths, and the number of omitted
/// changes beyond the limit.
pub(super) fn between<'a>(
    before: &'a RawValue,
    after: Option<&'a RawValue>,
) -> (Vec<PropertyChange<'a>>, usize) {
    let (mut old, mut new) = (Leaves::new(), Leaves::new());
    collect(before, &mut Vec::new(), &mut old);
    if let Some(after) = after {
        collect(after, &mut Vec::new(), &mut new);
    }
    let paths: BTreeSet<Vec<Step>> = old.keys().chain(new.keys()).cloned().collect();
    let mut changes: Vec<PropertyChange> = paths
        .into_iter()
        .filter_map(|path| {
            let old_values = old.remove(&path).unwrap_or_default();
            let new_values = new.remove(&path).unwrap_or_default();
            (old_values != new_values).then(|| PropertyChange {
                property: Some(Cow::Owned(shown(&path))),
                old_values,
                new_values,
                ..PropertyChange::default()
            })
        })
        .collect();
    let left_out = changes.len().saturating_sub(MOST);
    changes.truncate(MOST);
    (changes, left_out)
}

/// Returns the members of an object, with the last of equal names taking precedence; empty for anything else.
pub(super) fn members(value: &RawValue) -> BTreeMap<Cow<'_, str>, &RawValue> {
    serde_json::from_str::<Members>(value.get())
        .map(|members| members.0)
        .unwrap_or_default()
}

/// Returns a scalar as text, with numbers verbatim; `None` for null, lists and objects.
pub(super) fn scalar(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'"' => Cow::from_json(text),
        b'n' | b'[' | b'{' => None,
        _ => Some(Cow::Borrowed(text)),
    }
}

/// Null counts as no value, both before and after.
fn collect<'a>(value: &'a RawValue, path: &mut Vec<Step<'a>>, leaves: &mut Leaves<'a>) {
    let text = value.get();
    if let Some(scalar) = scalar(value) {
        leaves.insert(path.clone(), vec![scalar]);
        return;
    }
    if path.len() < DEEPEST {
        if text.starts_with('{') {
            for (name, member) in members(value) {
                path.push(Step::Key(name));
                collect(member, path, leaves);
                path.pop();
            }
        } else if text.starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
            let scalars: Option<Vec<_>> = items.iter().map(|item| scalar(item)).collect();
            if let Some(scalars) = scalars {
                leaves.insert(path.clone(), scalars);
                return;
            }
            for (index, item) in items.into_iter().enumerate() {
                path.push(Step::Index(index));
                collect(item, path, leaves);
                path.pop();
            }
        }
    } else if text != "null" {
        leaves.insert(path.clone(), vec![Cow::Borrowed(text)]);
    }
}

/// Formats a path such as `skills[2].level`. A name with characters other than letters, digits, `_` and `-` is quoted.
fn shown(path: &[Step<'_>]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Index(index) => {
                // writing to a string doesn't fail
                let _ = write!(text, "[{index}]");
            }
            Step::Key(name) => {
                let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
                if name.is_empty() || !name.chars().all(plain) {
                    let _ = write!(text, "[{}]", serde_json::Value::from(&**name));
                } else {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(name);
                }
            }
        }
    }
    text
}

/// An object's members with unparsed values.
#[derive(Debug)]
struct Members<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = BTreeMap<Cow<'de, str>, &'de RawValue>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    members.insert(Cow::Owned(name), map.next_value()?);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Visitor).map(Members)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn changes(before: &str, after: &str) -> Vec<String> {
        let (before, after) = (raw(before), raw(after));
        let (changes, left_out) = between(&before, Some(&after));
        assert_eq!(left_out, 0);
        let line = |change: PropertyChange| {
            let property = change.property.unwrap();
            format!(
                "{property}: {} -> {}",
                change.old_values.join("|"),
                change.new_values.join("|")
            )
        };
        changes.into_iter().map(line).collect()
    }

    #[test]
    fn paths_lead_to_what_changed_and_to_nothing_else() {
        let before = r#"{"b":1,"a":{"x":"same","y":"old"},"skills":[{"n":"p","level":1},{"n":"q","level":2}],
            "tags":["a","b"],"gone":true,"odd.name":1,"empty":{},"nothing":null}"#;
        let after = r#"{"a":{"y":"new","x":"same"},"b":1.0,"skills":[{"n":"p","level":1},{"n":"q","level":3},{"n":"r"}],
            "tags":["a"],"added":{"deep":[{"k":null,"v":"w"}]},"odd.name":2,"nothing":"something"}"#;
        assert_eq!(
            changes(before, after),
            [
                "a.y: old -> new",
                "added.deep[0].v:  -> w",
                "b: 1 -> 1.0",
                "gone: true -> ",
                "nothing:  -> something",
                "[\"odd.name\"]: 1 -> 2",
                "skills[1].level: 2 -> 3",
                "skills[2].n:  -> r",
                "tags: a|b -> a",
            ]
        );
    }

    #[test]
    fn a_value_may_change_its_kind() {
        assert_eq!(
            changes(r#"{"a":{"b":1}}"#, r#"{"a":"x"}"#),
            ["a:  -> x", "a.b: 1 -> "]
        );
        assert_eq!(
            changes(r#"{"a":[1]}"#, r#"{"a":[{"b":1}]}"#),
            ["a: 1 -> ", "a[0].b:  -> 1"]
        );
        assert_eq!(changes("null", r#"{"a":1}"#), ["a:  -> 1"]);
        assert_eq!(changes(r#"{"a":1}"#, "null"), ["a: 1 -> "]);
        assert!(changes(r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#).is_empty());
    }

    #[test]
    fn numbers_are_compared_as_they_are_written() {
        let before = r#"{"n":12345678901234567890123}"#;
        let after = r#"{"n":12345678901234567890124}"#;
        assert_eq!(
            changes(before, after),
            ["n: 12345678901234567890123 -> 12345678901234567890124"]
        );
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let nested = |leaf: &str| format!("{}{leaf}{}", r#"{"k":"#.repeat(60), "}".repeat(60));
        let found = changes(&nested("1"), &nested("2"));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("k.k.k.k.k.k.k.k.k.k.k.k.k.k.k.k: {"),
            "{found:?}"
        );
        let wide: Vec<String> = (0..1_200).map(|n| format!("\"k{n}\":1")).collect();
        let (before, after) = (raw("{}"), raw(&format!("{{{}}}", wide.join(","))));
        let (changes, left_out) = between(&before, Some(&after));
        assert_eq!((changes.len(), left_out), (MOST, 200));
    }
}

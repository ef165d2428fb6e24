//! Lenient JSON: parsing of a record doesn't fail if a provider changes a field's type. The record's own text is kept
//! anyway.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A scalar as text, borrowed if it needs no unescaping; anything else, and the empty string, is `None`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct ScalarText<'a>(pub(super) Option<Cow<'a, str>>);

impl ScalarText<'_> {
    pub(super) fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ScalarText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(TextVisitor)
            .map(|text| Self(text.filter(|text| !text.is_empty())))
    }
}

/// A scalar as text, with a number's digits verbatim, as ids may have more digits than a double or 64 bits can hold.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Exact<'a>(pub(super) Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Exact<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let text = match raw.as_bytes().first() {
            Some(b'"') => {
                let text: Borrowed = serde_json::from_str(raw).map_err(serde::de::Error::custom)?;
                Some(text.0).filter(|text| !text.is_empty())
            }
            None | Some(b'{' | b'[' | b'n') => None,
            Some(_) => Some(Cow::Borrowed(raw)),
        };
        Ok(Self(text))
    }
}

/// A string, borrowed if it needs no unescaping.
#[derive(Debug, serde::Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(if value { "true" } else { "false" })))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// A list. A single item counts as a list of one, and any other value as an empty list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: FromJson<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // the text is inspected first, as one visitor can't distinguish a list from a single item for all T
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        if raw == "[]" {
            return Ok(Self::default());
        }
        if raw.starts_with('[') {
            // usually every item can be parsed; others are skipped
            if let Ok(items) = serde_json::from_str::<Vec<T::Item>>(raw) {
                return Ok(Self(items.into_iter().filter_map(T::of).collect()));
            }
            let items: Vec<&RawValue> =
                serde_json::from_str(raw).map_err(serde::de::Error::custom)?;
            return Ok(Self(
                items
                    .into_iter()
                    .filter_map(|item| T::from_json(item.get()))
                    .collect(),
            ));
        }
        Ok(Self(T::from_json(raw).into_iter().collect()))
    }
}

/// An item of a [`OneOrMany`].
pub(super) trait FromJson<'a>: Sized {
    /// The representation of any value that may be an item.
    type Item: Deserialize<'a>;

    /// Returns the item; `None` if the value isn't one.
    fn of(value: Self::Item) -> Option<Self>;

    /// Parses an item; `None` if the text isn't one.
    fn from_json(raw: &'a str) -> Option<Self> {
        serde_json::from_str(raw).ok().and_then(Self::of)
    }
}

/// A list of texts keeps empty strings, which are values.
impl<'de: 'a, 'a> FromJson<'de> for Cow<'a, str> {
    type Item = AnyText<'a>;

    fn of(value: AnyText<'a>) -> Option<Self> {
        value.0
    }
}

/// A scalar as text, which may be empty; anything else is `None`.
pub(super) struct AnyText<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for AnyText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Self)
    }
}

/// An object's fields; empty for anything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = deserializer.deserialize_any(ObjectVisitor(PhantomData))?;
        Ok(Self(fields.unwrap_or_default()))
    }
}

impl<'de, T: Deserialize<'de>> FromJson<'de> for Object<T> {
    type Item = AnyObject<T>;

    fn of(value: AnyObject<T>) -> Option<Self> {
        value.0.map(Self)
    }
}

/// An object's fields; `None` for anything else.
pub(super) struct AnyObject<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for AnyObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(ObjectVisitor(PhantomData))
            .map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(entries)).map(Some)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// An object's entries as texts in order, with later keys taking precedence; values that aren't scalars are omitted, as
/// the raw text has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TextEntries<'a>(pub(super) Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for TextEntries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        if !raw.starts_with('{') {
            return Ok(Self::default());
        }
        serde_json::Deserializer::from_str(raw)
            .deserialize_map(TextsVisitor)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Vec<(Cow<'de, str>, Cow<'de, str>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries: Self::Value = Vec::new();
        while let Some(key) = map.next_key::<EntryKey>()? {
            let raw = map.next_value::<&'de RawValue>()?;
            let Some(value) = Cow::from_json(raw.get()) else {
                continue;
            };
            match entries.iter_mut().find(|(have, _)| *have == key.0) {
                Some(entry) => entry.1 = value,
                None => entries.push((key.0, value)),
            }
        }
        Ok(entries)
    }
}

struct EntryKey<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for EntryKey<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(TextVisitor)
            .map(|text| Self(text.unwrap_or_default()))
    }
}

/// Shortens a text for a message: long enough for providers' messages about missing permissions.
pub(super) fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(200) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Returns the position of `part`, a slice of `whole`.
pub(super) fn span(whole: &str, part: &str) -> std::ops::Range<usize> {
    let from = part.as_ptr().addr() - whole.as_ptr().addr();
    from..from + part.len()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    struct ProbeJson<'a> {
        #[serde(borrow, default)]
        text: ScalarText<'a>,
        #[serde(borrow, default)]
        list: OneOrMany<Cow<'a, str>>,
        #[serde(borrow, default)]
        map: TextEntries<'a>,
        #[serde(borrow, default)]
        object: Object<InnerJson<'a>>,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    struct InnerJson<'a> {
        #[serde(borrow, default)]
        id: ScalarText<'a>,
    }

    #[test]
    fn any_type_of_any_field_is_survived() {
        for value in [
            "null",
            "true",
            "1",
            "-1",
            "1.5",
            r#""x""#,
            "[]",
            "[1,null,{}]",
            "{}",
            r#"{"id":{}}"#,
        ] {
            let json = format!(
                r#"{{"text":{value},"list":{value},"map":{value},"object":{value},"new":{value}}}"#
            );
            serde_json::from_str::<ProbeJson>(&json).unwrap();
        }
        assert!(
            serde_json::from_str::<ProbeJson>("{}")
                .unwrap()
                .text
                .0
                .is_none()
        );
    }

    #[test]
    fn text_is_borrowed_unless_escaped() {
        let probe: ProbeJson =
            serde_json::from_str(r#"{"text":"plain","object":{"id":"a\nb"}}"#).unwrap();
        assert!(matches!(probe.text.0, Some(Cow::Borrowed("plain"))));
        assert_eq!(probe.object.0.id.as_deref(), Some("a\nb"));
        let probe: ProbeJson = serde_json::from_str(r#"{"text":""}"#).unwrap();
        assert_eq!(probe.text.0, None);
    }

    #[test]
    fn a_map_keeps_the_last_of_equal_keys_and_empty_values() {
        let probe: ProbeJson =
            serde_json::from_str(r#"{"map":{"a":"1","b":{},"c":"","a":2},"list":["x","",3]}"#)
                .unwrap();
        assert_eq!(
            probe.map.0,
            [("a".into(), "2".into()), ("c".into(), Cow::Borrowed(""))]
        );
        assert_eq!(probe.list.0, ["x", "", "3"]);
        assert_eq!(Cow::from_json(r#""lone""#), Some(Cow::Borrowed("lone")));
    }
}

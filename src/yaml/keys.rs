//! Declarations of the keys of jobs.yaml. The readers, the JSON Schema and the key tables of the documentation all use
//! the same ones.

use std::fmt::Write;

use serde_json::{Map, Value, json};

/// A pattern that any value with a `${…}` reference matches.
const REFERENCE: &str = r"\$\{";
/// The number of names that fit into the type column of a table.
const NAMES_IN_TYPE: usize = 4;

/// The declaration of one key of a mapping.
#[derive(Debug)]
pub struct Key {
    /// The name in the file.
    pub name: &'static str,
    /// The kind of value.
    pub kind: KeyKind,
    /// Whether the key can be left out.
    pub presence: Presence,
    default: KeyDefault,
    about: &'static str,
}

/// Whether a key can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It must be given.
    Required,
    /// It must be given, here or in `defaults`.
    RequiredOnce,
    /// It can be left out.
    Optional,
}

/// What applies if a key is left out.
#[derive(Debug, Clone, Copy)]
enum KeyDefault {
    None,
    /// A value as in the file; of a list, `[a, b]`.
    Value(&'static str),
    /// A value that isn't constant, in words.
    Described(&'static str),
}

/// The kind of value of a key. Every scalar may also be a reference to a variable or a file.
#[derive(Debug, Clone, Copy)]
pub enum KeyKind {
    /// A text, or a number taken as one; with its name in the documentation.
    Text(&'static str),
    /// A secret.
    Secret,
    /// An http or https URL.
    Url,
    /// `true` or `false`.
    Flag,
    /// A positive whole number.
    Whole,
    /// A duration.
    Duration,
    /// A size in bytes.
    Size,
    /// A UTC date or an RFC 3339 time.
    Time,
    /// A call rate.
    Rate,
    /// One of several names.
    Choice(fn() -> Vec<&'static str>),
    /// `TRUE` or `FALSE`, which a program that writes YAML may write as a boolean.
    UpperFlag,
    /// A list.
    List(&'static KeyKind),
    /// A mapping of names to secrets.
    Mapping,
    /// A mapping with these keys.
    Block(&'static [Key]),
}

impl Key {
    /// Declares a required key.
    pub const fn required(name: &'static str, kind: KeyKind, about: &'static str) -> Self {
        Self {
            presence: Presence::Required,
            ..Self::optional(name, kind, about)
        }
    }

    /// Declares a key that is required in a job or in `defaults`.
    pub const fn required_once(name: &'static str, kind: KeyKind, about: &'static str) -> Self {
        Self {
            presence: Presence::RequiredOnce,
            ..Self::optional(name, kind, about)
        }
    }

    /// Declares a key that can be left out.
    pub const fn optional(name: &'static str, kind: KeyKind, about: &'static str) -> Self {
        Self {
            name,
            kind,
            presence: Presence::Optional,
            default: KeyDefault::None,
            about,
        }
    }

    /// Adds the default, written as in the file: `2m`, `[1h, 24h]`.
    #[must_use]
    pub const fn with_default(mut self, text: &'static str) -> Self {
        self.default = KeyDefault::Value(text);
        self
    }

    /// Adds a description of the default, for one that isn't constant.
    #[must_use]
    pub const fn described_default(mut self, text: &'static str) -> Self {
        self.default = KeyDefault::Described(text);
        self
    }

    /// Returns the declared default, parsed like a value from the file; `None` if there is none. A test reads all of
    /// them.
    pub fn default_value<T, E>(&self, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        match self.default {
            KeyDefault::Value(text) => parse(text).ok(),
            KeyDefault::None | KeyDefault::Described(_) => None,
        }
    }

    /// Returns the items of a declared default that is a list, parsed like items from the file.
    pub fn default_items<T, E>(&self, parse: impl Fn(&str) -> Result<T, E>) -> Option<Vec<T>> {
        self.default_value(|list| items(list).map(parse).collect())
    }

    /// Returns the schema of the value.
    fn schema(&self) -> Value {
        let mut schema = self.kind.schema();
        if self.presence != Presence::Required && self.kind.is_nullable() {
            schema = nullable(schema);
        }
        let mut description = sentence(self.about);
        match self.default {
            KeyDefault::None => {}
            KeyDefault::Value(text) => schema["default"] = self.kind.json(text),
            KeyDefault::Described(text) => {
                let _ = write!(description, " Default: {}.", without_links(text));
            }
        }
        schema["description"] = json!(description);
        schema
    }

    /// Returns the row of the key in the documentation's table.
    fn row(&self) -> String {
        let default = match self.default {
            KeyDefault::None => String::new(),
            KeyDefault::Value(text) => format!("`{text}`"),
            KeyDefault::Described(text) => text.to_owned(),
        };
        let presence = match self.presence {
            Presence::Required => ", required",
            Presence::RequiredOnce => ", required (or in `defaults`)",
            Presence::Optional => "",
        };
        let names = match self.kind {
            KeyKind::Choice(names) if names().len() > NAMES_IN_TYPE => names(),
            KeyKind::List(KeyKind::Choice(names)) => names(),
            _ => Vec::new(),
        };
        let names = match names.as_slice() {
            [] => String::new(),
            names => format!(". Values: `{}`", names.join("`, `")),
        };
        let (name, kind, about) = (self.name, self.kind.word(), self.about);
        let cells = [
            format!("`{name}`"),
            format!("{kind}{presence}"),
            default,
            format!("{about}{names}"),
        ];
        format!("| {} |\n", cells.join(" | ")).replace("|  |", "| |")
    }
}

impl KeyKind {
    fn schema(self) -> Value {
        let text = |pattern: &str| json!({ "type": "string", "pattern": format!("{pattern}|{REFERENCE}") });
        match self {
            Self::Text(_) | Self::Secret => json!({ "type": ["string", "number"] }),
            Self::Url => text("^https?://"),
            Self::Flag => json!({ "anyOf": [{ "type": "boolean" }, text("^(true|false)$")] }),
            Self::Whole => {
                json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, text("^[0-9]+$")] })
            }
            Self::Duration => text("^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"),
            Self::Size => {
                json!({ "anyOf": [{ "type": "integer" }, text("^[0-9]+ ?([kKMG]?B|[KMG]iB)?$")] })
            }
            Self::Time => text("^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].*)?$"),
            Self::Rate => text("^[0-9]+ ?/ ?(s|sec|second|m|min|minute|h|hour)$"),
            Self::Choice(names) => {
                json!({ "anyOf": [{ "enum": names() }, { "type": "string", "pattern": REFERENCE }] })
            }
            Self::UpperFlag => json!({ "anyOf": [
                { "enum": ["TRUE", "FALSE", "true", "false"] },
                { "type": "boolean" },
                { "type": "string", "pattern": REFERENCE },
            ] }),
            Self::List(item) => json!({ "type": "array", "items": item.schema() }),
            Self::Mapping => mapping(&Self::Secret.schema()),
            Self::Block(keys) => object(keys),
        }
    }

    /// Returns whether the schema lets an optional key of this kind be null. Choices don't, so that editors offer only
    /// names.
    const fn is_nullable(self) -> bool {
        match self {
            Self::Choice(_) | Self::UpperFlag => false,
            Self::List(item) => item.is_nullable(),
            _ => true,
        }
    }

    /// Returns a declared default as JSON.
    fn json(self, text: &str) -> Value {
        match self {
            Self::List(item) => items(text).map(|text| item.json(text)).collect(),
            Self::Flag | Self::Whole | Self::Mapping => {
                serde_json::from_str(text).unwrap_or_default()
            }
            _ => json!(text),
        }
    }

    /// Returns the word in the type column of the documentation.
    fn word(self) -> String {
        match self {
            Self::Choice(names) if names().len() <= NAMES_IN_TYPE => {
                format!("`{}`", names().join("`, `"))
            }
            Self::Text(word) => word.to_owned(),
            Self::Secret => "secret".to_owned(),
            Self::Url => "URL".to_owned(),
            Self::Flag => "`true`, `false`".to_owned(),
            Self::UpperFlag => "`TRUE`, `FALSE`".to_owned(),
            Self::Whole => "number".to_owned(),
            Self::Duration => "duration".to_owned(),
            Self::Size => "size".to_owned(),
            Self::Time => "time".to_owned(),
            Self::Rate => "rate".to_owned(),
            Self::Choice(_) => "name".to_owned(),
            Self::List(Self::Duration) => "list of durations".to_owned(),
            Self::List(_) => "list".to_owned(),
            Self::Mapping | Self::Block(_) => "mapping".to_owned(),
        }
    }
}

/// Returns a parser for one of these names.
pub fn one_of<T>(
    choices: impl IntoIterator<Item = (&'static str, T)> + Clone,
) -> impl Fn(&str) -> Result<T, ()> {
    move |text| {
        let mut choices = choices.clone().into_iter();
        choices
            .find_map(|(name, choice)| (name == text).then_some(choice))
            .ok_or(())
    }
}

/// Returns the schema of a mapping with these keys; of two with the same name, the last one applies.
pub fn object<'k>(keys: impl IntoIterator<Item = &'k Key>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in keys {
        if key.presence == Presence::Required {
            required.push(key.name);
        }
        properties.insert(key.name.to_owned(), key.schema());
    }
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "patternProperties": { "^x-": true },
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// Returns the schema of a mapping of names to values with the schema `value`.
pub fn mapping(value: &Value) -> Value {
    json!({
        "type": "object",
        "patternProperties": { "^x-": true },
        "additionalProperties": value,
    })
}

/// Returns the documentation's table of these keys, in Markdown.
pub fn table<'k>(keys: impl IntoIterator<Item = &'k Key>) -> String {
    let rows = keys.into_iter().map(Key::row);
    let head = "| key | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    std::iter::once(head).chain(rows).collect()
}

/// Returns the items of a default that is a list, like `[1h, 24h]`.
fn items(list: &str) -> impl Iterator<Item = &str> {
    let inner = list.trim_start_matches('[').trim_end_matches(']');
    inner.split(", ").filter(|item| !item.is_empty())
}

fn nullable(mut schema: Value) -> Value {
    match schema.get_mut("type") {
        Some(Value::Array(types)) => types.push(json!("null")),
        Some(one) => *one = json!([one.clone(), "null"]),
        None => schema = json!({ "anyOf": [schema, { "type": "null" }] }),
    }
    schema
}

/// Returns a table's meaning as a sentence for the schema.
fn sentence(about: &str) -> String {
    let text = without_links(about);
    let mut rest = text.chars();
    let first = rest.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(rest).chain(['.']).collect()
}

/// Replaces Markdown links by their text.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, target)) = rest.split_once("](")
        && let Some((_, after)) = target.split_once(')')
        && let Some((before, label)) = before.rsplit_once('[')
    {
        plain.push_str(before);
        plain.push_str(label);
        rest = after;
    }
    plain + rest
}

//! Pieces of the file's JSON Schema that readers share. Each kind of value may also be written as a reference to a
//! variable or a file, so patterns and choices let everything with a `${` pass.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// What a value with a reference in it looks like.
const REFERENCE: &str = r"\$\{";

macro_rules! shape {
    ($(#[$doc:meta])* $name:ident, $schema:tt) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

shape!(
    /// A text; a number will do.
    Text, { "type": ["string", "number"] }
);
shape!(
    /// A secret.
    SecretText, { "type": ["string", "number"] }
);
shape!(
    /// `true` or `false`.
    Flag, { "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": r"^(true|false)$|\$\{" }] }
);
shape!(
    /// A whole number.
    Whole, { "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "pattern": r"^[0-9]+$|\$\{" }] }
);
shape!(
    /// A duration.
    DurationText, { "type": "string", "pattern": r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$|\$\{" }
);
shape!(
    /// A size.
    SizeText, { "anyOf": [{ "type": "integer" }, { "type": "string", "pattern": r"^[0-9]+ ?([kKMG]?B|[KMG]iB)?$|\$\{" }] }
);
shape!(
    /// A UTC date or an RFC 3339 time.
    TimeText, { "type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].*)?$|\$\{" }
);
shape!(
    /// A rate.
    RateText, { "type": "string", "pattern": r"^[0-9]+ ?/ ?(s|sec|second|m|min|minute|h|hour)$|\$\{" }
);
shape!(
    /// An http or https URL.
    UrlText, { "type": "string", "pattern": r"^https?://|\$\{" }
);

/// One of a few names.
pub fn choice<'c>(names: impl IntoIterator<Item = &'c str>) -> Schema {
    let names: Vec<&str> = names.into_iter().collect();
    json_schema!({ "anyOf": [{ "enum": names }, { "type": "string", "pattern": REFERENCE }] })
}

/// A list of some of a few names.
pub fn choices<'c>(names: impl IntoIterator<Item = &'c str>) -> Schema {
    json_schema!({ "type": "array", "items": choice(names) })
}

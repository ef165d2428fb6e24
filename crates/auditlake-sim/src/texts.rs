//! Names, texts and addresses of the generated records, including values that often break parsers.

use std::ops::Range;

use chrono::DateTime;
use rand::Rng;
use rand::rngs::StdRng;
use uuid::{Builder, Uuid};

const GIVEN: &[&str] = &[
    "Dana", "Søren", "山田", "Zoë", "محمد", "שרה", "Иван", "Ngọc", "Adaeze", "O'Brien", "José",
    "यश",
];
const FAMILY: &[&str] = &[
    "Whitfield",
    "Åkesson",
    "太郎 👩‍💻",
    "Müller-Lüdenscheidt",
    "الخوارزمي",
    "כהן",
    "Петрова",
    "Nguyễn",
    "Okafor",
    "\"Bobby\" Tables",
    "Peña",
    "शर्मा",
];

/// Values that often break parsers: JSON string literals including their quotes.
pub(super) const AWKWARD_TEXTS: &[&str] = &[
    r#""Приветствие — \"основной\" \\ поток\n(2)""#,
    r#""ליין ‏RTL‏ текст 𝒳""#,
    r#""line\u2028separator and \u2029 escaped""#,
    "\"line\u{2028}separator as it is\"",
    r#""\ud83d\ude00 escaped pair, 😀 plain""#,
    r#""a\/b\/c \b\f\r\t""#,
    r#""null\u0000inside""#,
    r#""家族👨‍👩‍👧‍👦 ｶﾅ 漢字""#,
    r#""<script>alert('x')</script> & co""#,
    r#""=HYPERLINK(\"http:\/\/example.net\")""#,
    r#""e\u0301 is not é""#,
    r#""  spaces kept  ""#,
    r#""""#,
    r#""null""#,
    r#""{\"nested\":true,\"deep\":[1,2,{\"a\":\"\\\"\"}]}""#,
];

/// Ordinary values: JSON string literals.
pub(super) const PLAIN_TEXTS: &[&str] = &[
    r#""Billing EMEA""#,
    r#""30000""#,
    r#""45000""#,
    r#""true""#,
    r#""ALL""#,
    r#""BEST""#,
    r#""Support Tier 2""#,
    r#""Renamed by a scheduled import""#,
    r#""2026-01-31""#,
];

pub(super) const IPS: &[&str] = &[
    "203.0.113.24",
    "198.51.100.7",
    "2001:db8::5:1",
    "192.0.2.255",
    "::ffff:203.0.113.9",
];

/// An invented person's name.
pub(super) fn full_name(rng: &mut StdRng) -> String {
    format!("{} {}", pick(rng, GIVEN), pick(rng, FAMILY))
}

pub(super) fn pick<T: Copy>(rng: &mut StdRng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

pub(super) fn random_uuid(rng: &mut StdRng) -> Uuid {
    Builder::from_random_bytes(rng.random()).into_uuid()
}

/// The precision of a record's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    Seconds,
    SecondsWithZeros,
    Tenths,
    Millis,
    Micros,
}

impl Precision {
    /// Returns `micros` truncated to this precision.
    pub(super) fn floor(self, micros: i64) -> i64 {
        let unit = match self {
            Self::Seconds | Self::SecondsWithZeros => 1_000_000,
            Self::Tenths => 100_000,
            Self::Millis => 1_000,
            Self::Micros => 1,
        };
        micros - micros.rem_euclid(unit)
    }

    /// Formats an instant in UTC, without a zone.
    pub(super) fn show(self, micros: i64) -> String {
        let at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
        let (pattern, shown) = match self {
            Self::Seconds => ("%Y-%m-%dT%H:%M:%S", 19),
            Self::Tenths => ("%Y-%m-%dT%H:%M:%S%.3f", 21),
            Self::SecondsWithZeros | Self::Millis => ("%Y-%m-%dT%H:%M:%S%.3f", 23),
            Self::Micros => ("%Y-%m-%dT%H:%M:%S%.6f", 26),
        };
        let mut text = at.format(pattern).to_string();
        text.truncate(shown);
        text
    }
}

/// A record's text, and the part of it that may be returned differently; empty if there is none.
#[derive(Debug, Clone)]
pub(super) struct Rendered {
    pub(super) text: String,
    pub(super) part: Range<usize>,
}

/// The white space before the first member, after a name, between members and after the last member.
pub(super) type Style = [&'static str; 4];

pub(super) const PLAIN: Style = ["{", ":", ",", "}"];

/// Formats an object with these members, whose values are JSON.
pub(super) fn object(members: &[(&str, String)], [open, colon, comma, close]: Style) -> String {
    let members = members
        .iter()
        .map(|(name, value)| format!("\"{name}\"{colon}{value}"));
    let members: Vec<String> = members.collect();
    format!("{open}{}{close}", members.join(comma))
}

/// Formats a text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

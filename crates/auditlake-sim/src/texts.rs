//! Names, texts and addresses that records are made of; some of them break what is not careful.

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

/// Values that tend to break what is not careful: JSON string literals, quotes included.
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

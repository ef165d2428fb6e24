//! The invented people, organisations and texts that records speak of.

use rand::Rng;
use rand::rngs::StdRng;
use uuid::{Builder, Uuid};

/// The organisation whose audits these are.
pub(super) const HOME_ORG: &str = "b1d6f0aa-8c2e-4d0b-9f3c-5a7e1c9d4e21";
/// A partner organisation whose users act here as trustees.
pub(super) const TRUSTEE_ORG: &str = "d2e7a1bb-9d3f-4e1c-8a4d-6b8f2d0e5f32";
/// An organisation in which users of the home organisation act as trustees.
pub(super) const TRUSTOR_ORG: &str = "c0ffee00-1234-4abc-8def-001122334455";

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

pub(super) const PROPERTIES: &[&str] = &[
    "acwSettings.timeoutMs",
    "skillEvaluationMethod",
    "description",
    "tags",
    "owner",
    "mediaSettings.call.alertingTimeoutSeconds",
];

pub(super) const IPS: &[&str] = &[
    "203.0.113.24",
    "198.51.100.7",
    "2001:db8::5:1",
    "192.0.2.255",
    "::ffff:203.0.113.9",
];

/// One actor.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) id: Uuid,
    /// A JSON string literal; users of other organisations show no name.
    pub(super) name: Option<String>,
    pub(super) org: &'static str,
}

/// A few hundred people, one in twenty of them of the partner organisation.
pub(super) fn people(rng: &mut StdRng) -> Vec<Person> {
    (0..240_usize)
        .map(|index| {
            let foreign = index % 20 == 19;
            let name = format!("{} {}", pick(rng, GIVEN), pick(rng, FAMILY));
            Person {
                id: random_uuid(rng),
                name: (!foreign).then(|| serde_json::Value::from(name).to_string()),
                org: if foreign { TRUSTEE_ORG } else { HOME_ORG },
            }
        })
        .collect()
}

pub(super) fn pick<T: Copy>(rng: &mut StdRng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

pub(super) fn random_uuid(rng: &mut StdRng) -> Uuid {
    Builder::from_random_bytes(rng.random()).into_uuid()
}

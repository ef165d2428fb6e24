//! The invented people and organisations that records speak of.

use rand::rngs::StdRng;
use uuid::Uuid;

use crate::texts::{full_name, random_uuid};

/// The organisation whose audits these are.
pub(super) const HOME_ORG: &str = "b1d6f0aa-8c2e-4d0b-9f3c-5a7e1c9d4e21";
/// A partner organisation whose users act here as trustees.
pub(super) const TRUSTEE_ORG: &str = "d2e7a1bb-9d3f-4e1c-8a4d-6b8f2d0e5f32";
/// An organisation in which users of the home organisation act as trustees.
pub(super) const TRUSTOR_ORG: &str = "c0ffee00-1234-4abc-8def-001122334455";

pub(super) const PROPERTIES: &[&str] = &[
    "acwSettings.timeoutMs",
    "skillEvaluationMethod",
    "description",
    "tags",
    "owner",
    "mediaSettings.call.alertingTimeoutSeconds",
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
            let name = full_name(rng);
            Person {
                id: random_uuid(rng),
                name: (!foreign).then(|| serde_json::Value::from(name).to_string()),
                org: if foreign { TRUSTEE_ORG } else { HOME_ORG },
            }
        })
        .collect()
}

//! Services, the entity types they audit, and the actions on them.

use serde_json::{Value, json};

/// Entity types of one service, each with its actions.
type Entities = &'static [(&'static str, &'static [&'static str])];

const KNOWN: &[(&str, Entities)] = &[
    (
        "Architect",
        &[
            (
                "Flow",
                &[
                    "Create", "Update", "Delete", "Publish", "Checkin", "Checkout", "Revert",
                ],
            ),
            ("Prompt", &["Create", "Update", "Delete"]),
        ],
    ),
    (
        "ContactCenter",
        &[
            (
                "Queue",
                &[
                    "Create",
                    "Update",
                    "Delete",
                    "MemberAdd",
                    "MemberUpdate",
                    "MemberRemove",
                ],
            ),
            ("WrapupCode", &["Create", "Delete"]),
        ],
    ),
    (
        "PeoplePermissions",
        &[
            ("OAuthClient", &["Create", "Update", "Delete"]),
            (
                "Role",
                &["Create", "Update", "Delete", "MemberAdd", "MemberRemove"],
            ),
            (
                "AuthUser",
                &["Authenticate", "AuthenticationFailed", "ChangePassword"],
            ),
        ],
    ),
    (
        "Routing",
        &[
            (
                "Skill",
                &["Create", "Update", "Delete", "Enable", "Disable"],
            ),
            ("EmailDomain", &["Create", "Delete", "View"]),
        ],
    ),
    (
        "Directory",
        &[
            (
                "User",
                &["Create", "Update", "Activate", "Deactivate", "Read"],
            ),
            ("Station", &["Assign", "Unassign"]),
        ],
    ),
];

/// What a service audits that the catalogue does not know: new services come without notice.
const UNKNOWN: Entities = &[
    ("Widget", &["Reticulate", "Create", "Update"]),
    ("Gadget", &["Defenestrate"]),
];

pub(super) fn entities(service: &str) -> Entities {
    KNOWN
        .iter()
        .find(|(name, _)| *name == service)
        .map_or(UNKNOWN, |(_, entities)| entities)
}

/// The mapping of these services, without the entity types that it lacks: services without records come without
/// entities, in each of the ways seen.
pub(super) fn mapping<'a>(
    services: impl Iterator<Item = (&'a str, bool)>,
    lacks: &[String],
) -> Value {
    let services: Vec<Value> = services
        .enumerate()
        .map(|(index, (name, quiet))| match (quiet, index % 3) {
            (true, 0) => json!({ "name": name }),
            (true, 1) => json!({ "name": name, "entities": [] }),
            (true, _) => json!({ "name": name, "entities": null }),
            (false, _) => json!({ "name": name, "entities": entity_list(entities(name), lacks) }),
        })
        .collect();
    json!({ "services": services })
}

fn entity_list(entities: Entities, lacks: &[String]) -> Vec<Value> {
    entities
        .iter()
        .filter(|(name, _)| !lacks.iter().any(|lacked| lacked == name))
        .map(|(name, actions)| json!({ "name": name, "actions": actions }))
        .collect()
}

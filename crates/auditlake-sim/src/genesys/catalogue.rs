//! Services, the entity types they audit, and the actions on them.

use std::sync::LazyLock;

use serde_json::{Value, json};

/// An entity type with its actions.
type Entity = (&'static str, Vec<&'static str>);

/// One line for each entity type with its service. Those without a service are audited by new services, which appear
/// without notice.
const KNOWN: &str = "\
Architect Flow Create Update Delete Publish Checkin Checkout Revert
Architect Prompt Create Update Delete
ContactCenter Queue Create Update Delete MemberAdd MemberUpdate MemberRemove
ContactCenter WrapupCode Create Delete
PeoplePermissions OAuthClient Create Update Delete
PeoplePermissions Role Create Update Delete MemberAdd MemberRemove
PeoplePermissions AuthUser Authenticate AuthenticationFailed ChangePassword
Routing Skill Create Update Delete Enable Disable
Routing EmailDomain Create Delete View
Directory User Create Update Activate Deactivate Read
Directory Station Assign Unassign
- Widget Reticulate Create Update
- Gadget Defenestrate";

static ENTITIES: LazyLock<Vec<(&str, Vec<Entity>)>> = LazyLock::new(|| {
    let mut services: Vec<(&str, Vec<Entity>)> = Vec::new();
    for line in KNOWN.lines() {
        let mut words = line.split(' ');
        let (service, name) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let entity = (name, words.collect());
        match services.last_mut() {
            Some((known, entities)) if *known == service => entities.push(entity),
            _ => services.push((service, vec![entity])),
        }
    }
    services
});

pub(super) fn entities(service: &str) -> &'static [Entity] {
    let known = ENTITIES.iter().find(|(name, _)| *name == service);
    known
        .or(ENTITIES.last())
        .map_or(&[], |(_, entities)| entities)
}

/// Returns the mapping of these services, without the omitted entity types. Services without records have no entities,
/// in each of the observed forms.
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

fn entity_list(entities: &[Entity], lacks: &[String]) -> Vec<Value> {
    entities
        .iter()
        .filter(|(name, _)| !lacks.iter().any(|lacked| lacked == name))
        .map(|(name, actions)| json!({ "name": name, "actions": actions }))
        .collect()
}

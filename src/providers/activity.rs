//! The table of verbs: a provider's own action → `activity`. All providers share it.

use crate::model::Activity;

/// Verbs in lower case, as whole words of an action.
const VERBS: &[(Activity, &[&str])] = &[
    (
        Activity::Login,
        &[
            "login",
            "logon",
            "authenticate",
            "authenticated",
            "authentication",
            "signin",
        ],
    ),
    (
        Activity::Logout,
        &["logout", "logoff", "deauthenticate", "signout"],
    ),
    (
        Activity::Enable,
        &[
            "enable",
            "enabled",
            "activate",
            "activated",
            "unlock",
            "unsuspend",
        ],
    ),
    (
        Activity::Disable,
        &[
            "disable",
            "disabled",
            "deactivate",
            "deactivated",
            "lock",
            "suspend",
        ],
    ),
    (
        Activity::Delete,
        &[
            "delete", "deleted", "remove", "removed", "purge", "purged", "erase", "unassign",
            "revoke",
        ],
    ),
    (
        Activity::Create,
        &[
            "create", "created", "add", "added", "insert", "inserted", "copy", "clone", "new",
        ],
    ),
    (
        Activity::Read,
        &[
            "read",
            "view",
            "viewed",
            "get",
            "list",
            "search",
            "download",
            "downloaded",
            "export",
            "exported",
            "query",
        ],
    ),
    (
        Activity::Update,
        &[
            "update", "updated", "edit", "edited", "modify", "modified", "change", "changed",
            "set", "replace", "assign", "assigned", "rename", "move", "merge", "patch", "save",
            "publish", "revert", "restore",
        ],
    ),
];

/// The normalised verb of an action like `Update`, `MemberAdd`, `AuthenticationFailed` or `CHANGE_PASSWORD`.
///
/// Adding a member to a group creates no entity and takes none away: an action on a part (`MemberAdd`) is an update of
/// the whole, so `add` and `remove` count as create and delete only where they come first.
pub(super) fn activity_of(action: &str) -> Activity {
    let words = words(action);
    let verb = |word: &String| {
        VERBS
            .iter()
            .find(|(_, verbs)| verbs.contains(&word.as_str()))
            .map(|(known, _)| *known)
    };
    let Some((at, known)) = words
        .iter()
        .enumerate()
        .find_map(|(at, word)| Some((at, verb(word)?)))
    else {
        return Activity::Other;
    };
    match known {
        Activity::Create | Activity::Delete
            if at > 0 && matches!(words[at].as_str(), "add" | "added" | "remove" | "removed") =>
        {
            Activity::Update
        }
        known => known,
    }
}

/// The words of `camelCase`, `PascalCase`, `snake_case`, `SCREAMING_CASE` and plain text, in lower case.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for letter in text.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && after_lower) {
            words.push(String::new());
        }
        after_lower = letter.is_lowercase() || letter.is_numeric();
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_found_in_every_spelling() {
        for (action, activity) in [
            ("Create", Activity::Create),
            ("UPDATE", Activity::Update),
            ("delete", Activity::Delete),
            ("MemberAdd", Activity::Update),
            ("MemberRemove", Activity::Update),
            ("Add", Activity::Create),
            ("AuthenticationFailed", Activity::Login),
            ("ChangePassword", Activity::Update),
            ("user_logged_out", Activity::Other),
            ("Logout", Activity::Logout),
            ("Enable", Activity::Enable),
            ("BulkDelete", Activity::Delete),
            ("Export", Activity::Read),
            ("Reticulate", Activity::Other),
            ("", Activity::Other),
            ("ß 山田", Activity::Other),
        ] {
            assert_eq!(activity_of(action), activity, "{action}");
        }
    }
}

//! The table of verbs, shared by all providers: a provider's own action → `activity`.

use crate::model::{Activity, words};

/// Verbs in lower case, matched as whole words of an action.
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
            "delete",
            "deleted",
            "remove",
            "removed",
            "purge",
            "purged",
            "erase",
            "unassign",
            "revoke",
            "revoked",
            "unregister",
        ],
    ),
    (
        Activity::Create,
        &[
            "create",
            "created",
            "add",
            "added",
            "insert",
            "inserted",
            "copy",
            "clone",
            "new",
            "import",
            "imported",
            "upload",
            "uploaded",
            "register",
            "registered",
            "grant",
            "granted",
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
            "update",
            "updated",
            "edit",
            "edited",
            "modify",
            "modified",
            "change",
            "changed",
            "set",
            "replace",
            "assign",
            "assigned",
            "rename",
            "renamed",
            "move",
            "moved",
            "merge",
            "merged",
            "patch",
            "save",
            "saved",
            "publish",
            "published",
            "unpublish",
            "revert",
            "reverted",
            "restore",
            "restored",
            "reset",
            "checkin",
            "checkout",
        ],
    ),
];

/// Returns the normalised verb of an action such as `Update`, `MemberAdd`, `AuthenticationFailed` or `CHANGE_PASSWORD`.
///
/// Adding a member to a group neither creates nor deletes an entity: an action on a part (`MemberAdd`) is an update of
/// the whole, so `add` and `remove` only count as create and delete if they are the first word.
pub(super) fn activity_of(action: &str) -> Activity {
    let known = words(action)
        .enumerate()
        .find_map(|(at, word)| Some((at, word, verb(word)?)));
    match known {
        None => Activity::Other,
        Some((at, word, Activity::Create | Activity::Delete))
            if at > 0 && is_one_of(word, &["add", "added", "remove", "removed"]) =>
        {
            Activity::Update
        }
        Some((_, _, known)) => known,
    }
}

fn verb(word: &str) -> Option<Activity> {
    let of_it = VERBS.iter().find(|(_, verbs)| is_one_of(word, verbs));
    of_it.map(|&(known, _)| known)
}

fn is_one_of(word: &str, verbs: &[&str]) -> bool {
    verbs.iter().any(|verb| verb.eq_ignore_ascii_case(word))
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
            ("MERGED", Activity::Update),
            ("IMPORT", Activity::Create),
            ("GRANT_ACCESS", Activity::Create),
            ("Checkin", Activity::Update),
            ("Reticulate", Activity::Other),
            ("", Activity::Other),
            ("ß 山田", Activity::Other),
        ] {
            assert_eq!(activity_of(action), activity, "{action}");
        }
    }
}

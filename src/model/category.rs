//! The kind of an event (column `category`), from its verb and from what was touched.

use super::record::{Activity, Record};
use super::words;

/// The kind of an event, normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// Someone signed in or out, or tried to.
    Authentication,
    /// Users, roles, groups, permissions or credentials were touched: who may do what.
    Access,
    /// Anything else was created, changed, deleted, enabled or disabled.
    Configuration,
    /// Something was viewed or exported.
    Data,
    /// The verb is unknown, and so is what was touched.
    Other,
}

/// Words in lower case that name a matter of access, at the beginning of a word of `entity_type` or `action`.
const OF_ACCESS: &[&str] = &[
    "account",
    "agent",
    "apikey",
    "auth",
    "certificate",
    "client",
    "credential",
    "division",
    "grant",
    "group",
    "identity",
    "idp",
    "login",
    "member",
    "mfa",
    "oauth",
    "otp",
    "password",
    "permission",
    "policy",
    "privilege",
    "profile",
    "revoke",
    "role",
    "saml",
    "scope",
    "secret",
    "session",
    "sso",
    "team",
    "token",
    "user",
];

impl Category {
    /// Returns the value of the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Access => "access",
            Self::Configuration => "configuration",
            Self::Data => "data",
            Self::Other => "other",
        }
    }

    /// Returns the kind of an event.
    pub(super) fn of(record: &Record<'_>) -> Self {
        let touched = [&record.entity_type, &record.action];
        let is_of_access = || touched.into_iter().flatten().any(|text| names_access(text));
        match record.activity {
            Activity::Login | Activity::Logout => Self::Authentication,
            Activity::Read => Self::Data,
            _ if is_of_access() => Self::Access,
            Activity::Other => Self::Other,
            _ => Self::Configuration,
        }
    }
}

/// Returns whether a word of the text, in any spelling, begins with one of [`OF_ACCESS`].
fn names_access(text: &str) -> bool {
    words(text).any(|word| OF_ACCESS.iter().any(|access| begins_with(word, access)))
}

/// Compares the first letter first, as this is called for every record.
fn begins_with(word: &str, access: &str) -> bool {
    let (word, access) = (word.as_bytes(), access.as_bytes());
    word[0] | 0x20 == access[0]
        && (word.get(..access.len())).is_some_and(|start| start.eq_ignore_ascii_case(access))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn an_event_has_a_category() {
        use Activity::{Create, Delete, Login, Other, Read, Update};
        for (activity, entity_type, action, category) in [
            (Login, None, "Authenticate", Category::Authentication),
            (Update, Some("Role"), "MemberAdd", Category::Access),
            (Create, Some("OAuthClient"), "Create", Category::Access),
            (Update, Some("AuthUser"), "ChangePassword", Category::Access),
            (Update, None, "CHANGE_PASSWORD", Category::Access),
            (Create, None, "GRANT_ACCESS", Category::Access),
            (
                Delete,
                Some("ACCESS_PERMISSION"),
                "DELETE",
                Category::Access,
            ),
            (Update, Some("Flow"), "Publish", Category::Configuration),
            (Delete, Some("CAMPAIGN"), "DELETE", Category::Configuration),
            (Read, Some("User"), "Export", Category::Data),
            (Other, Some("Widget"), "Reticulate", Category::Other),
            (Other, None, "", Category::Other),
        ] {
            let record = Record {
                activity,
                entity_type: entity_type.map(Into::into),
                action: Some(action.into()),
                ..Record::at(DateTime::UNIX_EPOCH)
            };
            assert_eq!(Category::of(&record), category, "{entity_type:?} {action}");
        }
    }
}

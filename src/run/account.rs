//! The accounts of logs: which logs of a lake belong to the account of a job.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::lake::Origin;

/// The attributes that distinguish a job's account, and the logs of its own configuration from others.
#[derive(Debug, Clone, Default)]
pub struct Neighbours {
    /// The host of the provider's API.
    pub host: Option<String>,
    /// A hash of the signed-in client or user, or of the named account.
    pub user: Option<String>,
    /// The logs of all jobs of the configuration. No two of these jobs pull the same stream, as `validate` has checked.
    pub logs: Arc<BTreeMap<String, Origin>>,
}

/// Returns whether two logs belong to the same account. If the account's own id is unknown, its name in the
/// configuration decides, at the same host or on a connection of the same name.
pub(super) fn is_same_account(one: &Origin, other: &Origin) -> bool {
    if let (Some(one), Some(other)) = (&one.provider, &other.provider)
        && one != other
    {
        return false;
    }
    let is_same_name = one.connection == other.connection;
    let is_same_id = one.account_id == other.account_id;
    let (one, other) = ((&one.host, &one.user), (&other.host, &other.user));
    let ((Some(_), Some(_)), (Some(_), Some(_))) = (one, other) else {
        return is_same_name || is_same_id; // one of them was written by an earlier version
    };
    one == other || is_same_id && (is_same_name || one.0 == other.0)
}

/// Returns the account's name in the configuration.
pub(super) fn account(of: &Origin) -> String {
    let provider = of.provider.as_deref().unwrap_or("a provider");
    let (connection, account) = (&of.connection, &of.account_id);
    format!("{provider}, connection `{connection}`, account `{account}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(keys: [&str; 4]) -> Origin {
        let [connection, account_id, host, user] = keys;
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Origin {
            provider: Some("genesys_cloud".to_owned()),
            connection: connection.to_owned(),
            account_id: account_id.to_owned(),
            id_basis: None,
            host: known(host),
            user: known(user),
            from: None,
        }
    }

    #[test]
    fn accounts_are_distinguished() {
        let ours = origin(["main", "main", "h", "u"]);
        for (other, is_same) in [
            (["main", "main", "h", "u"], true),
            (["other", "other", "h", "u"], true), // a renamed connection
            (["main", "acme", "h", "u"], true),   // another `account_id`
            (["main", "main", "h", "u2"], true),  // another client
            (["main", "main", "h2", "u"], true),  // another address
            (["other", "main", "h2", "u"], false),
            (["main", "acme", "h", "u2"], false), // the way out
            (["other", "other", "h", "u2"], false),
            (["other", "other", "h2", "u"], false),
            // written by an earlier version
            (["main", "main", "", ""], true),
            (["other", "main", "", ""], true),
            (["other", "other", "", ""], false),
        ] {
            let other = origin(other);
            assert_eq!(is_same_account(&ours, &other), is_same, "{other:?}");
            assert_eq!(is_same_account(&other, &ours), is_same, "{other:?}");
        }
        let provider = Some("everyware_cloud".to_owned());
        let other = Origin {
            provider,
            ..ours.clone()
        };
        assert!(!is_same_account(&ours, &other));
    }
}

//! Names of the endpoints, for counters and faults, and which of them a call is for.

use super::catalogue::{SERVICES, Service};

/// Sign-in.
pub const TOKEN: &str = "POST /api/auth/v1/{accountId}/protocol/openid-connect/token";
/// The audit search of the User service.
pub const USER: &str = "POST /api/admin/user/v1/accounts/{accountId}/audit-records:search";
/// The audit search of the Match service.
pub const MATCH: &str = "POST /api/admin/match/v1/accounts/{accountId}/audit-records:search";
/// The audit search of the Account service.
pub const ACCOUNT: &str = "POST /api/admin/account/v1/accounts/{accountId}/audit-records:search";
/// The audit search of the Element inventory service.
pub const INVENTORY: &str =
    "POST /api/admin/inventory/v1/accounts/{accountId}/audit-records:search";
/// The audit search of the Group service.
pub const GROUP: &str = "POST /api/admin/group/v1/accounts/{accountId}/audit-records:search";
/// The audit search of the Business hours service.
pub const BUSINESS_HOURS: &str =
    "POST /api/business-hours/v1/accounts/{accountId}/audit-records:search";
/// Whatever does not exist.
pub const OTHER: &str = "other";

/// The searches, in the order of the services.
pub(super) const SEARCHES: [&str; 6] = [USER, MATCH, ACCOUNT, INVENTORY, GROUP, BUSINESS_HOURS];

/// What a call is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    Token {
        account: &'a str,
    },
    Search {
        service: &'static Service,
        account: &'a str,
    },
    /// A path that exists, but not with this method.
    WrongMethod,
    Nothing,
}

impl<'a> Target<'a> {
    /// The path is taken as it came: a colon that was percent-encoded is no colon.
    pub(super) fn of(method: &str, path: &'a str) -> Self {
        let target = token(path).or_else(|| search(path));
        match target {
            Some(target) if method == "POST" => target,
            Some(_) => Self::WrongMethod,
            None => Self::Nothing,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Token { .. } => TOKEN,
            Self::Search { service, .. } => SERVICES
                .iter()
                .zip(SEARCHES)
                .find(|(known, _)| known.name == service.name)
                .map_or(OTHER, |(_, name)| name),
            Self::WrongMethod | Self::Nothing => OTHER,
        }
    }
}

fn token(path: &str) -> Option<Target<'_>> {
    let account = path
        .strip_prefix("/api/auth/v1/")?
        .strip_suffix("/protocol/openid-connect/token")?;
    is_segment(account).then_some(Target::Token { account })
}

fn search(path: &str) -> Option<Target<'_>> {
    SERVICES.iter().find_map(|service| {
        let account = path
            .strip_prefix(service.base_path)?
            .strip_prefix("/accounts/")?
            .strip_suffix("/audit-records:search")?;
        is_segment(account).then_some(Target::Search { service, account })
    })
}

fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
}

//! The names of the endpoints, for counters and faults, and their hosts.

pub use crate::stage::OTHER;

/// Looks up a service's host.
pub const LOOK_UP: &str = "GET /api/account/{accountId}/service/{serviceName}/baseURI.json";
/// Signs an app in.
pub const TOKEN: &str = "POST /sentinel/api/v2/account/{accountId}/app/token";
/// Signs a user in.
pub const LOGIN: &str = "POST /api/account/{accountId}/login";
/// Keeps a user's session alive.
pub const REFRESH: &str = "POST /api/account/{accountId}/refresh";
/// Queries the audit trail.
pub const AUDIT: &str = "POST /api/account/{accountId}/configuration/metadata/audit";
/// A host of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LivePersonHost {
    /// The look-up of services.
    LookUp,
    /// The sign-in of apps.
    Sentinel,
    /// The sign-in of users.
    Login,
    /// The audit trail.
    Configuration,
}

pub(super) const HOSTS: &[(LivePersonHost, &[&str])] = &[
    (LivePersonHost::LookUp, &[LOOK_UP]),
    (LivePersonHost::Sentinel, &[TOKEN]),
    (LivePersonHost::Login, &[LOGIN, REFRESH]),
    (LivePersonHost::Configuration, &[AUDIT]),
];

//! Names of the endpoints, for counters and faults, and the hosts that have them.

pub use crate::stage::OTHER;

/// Asks for a service's host.
pub const LOOK_UP: &str = "GET /api/account/{accountId}/service/{serviceName}/baseURI.json";
/// Signs an app in.
pub const TOKEN: &str = "POST /sentinel/api/v2/account/{accountId}/app/token";
/// Signs a user in.
pub const LOGIN: &str = "POST /api/account/{accountId}/login";
/// Keeps a user's session up.
pub const REFRESH: &str = "POST /api/account/{accountId}/refresh";
/// Asks for the audit trail.
pub const AUDIT: &str = "POST /api/account/{accountId}/configuration/metadata/audit";
/// Which of the hosts a call came to.
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

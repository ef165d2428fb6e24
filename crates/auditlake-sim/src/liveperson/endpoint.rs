//! Names of the endpoints, for counters and faults, and which of them a call is for.

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
/// Whatever does not exist.
pub const OTHER: &str = "other";

/// Which of the hosts a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    LookUp,
    Sentinel,
    Login,
    Configuration,
}

/// What a call is for; each has the account's id of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target<'a> {
    LookUp(&'a str, &'a str),
    Token(&'a str),
    Login(&'a str),
    Refresh(&'a str),
    Audit(&'a str),
    /// A path of this host, but not with this method.
    WrongMethod,
    /// No path of this host.
    Nothing,
}

impl<'a> Target<'a> {
    pub(super) fn of(host: Host, method: &str, path: &'a str) -> Self {
        let parts: Vec<&str> = path.split('/').collect();
        let (wanted, target) = match (host, parts.as_slice()) {
            (
                Host::LookUp,
                [
                    "",
                    "api",
                    "account",
                    account,
                    "service",
                    service,
                    "baseURI.json",
                ],
            ) => ("GET", Self::LookUp(account, service)),
            (
                Host::Sentinel,
                [
                    "",
                    "sentinel",
                    "api",
                    "v2",
                    "account",
                    account,
                    "app",
                    "token",
                ],
            ) => ("POST", Self::Token(account)),
            (Host::Login, ["", "api", "account", account, "login"]) => {
                ("POST", Self::Login(account))
            }
            (Host::Login, ["", "api", "account", account, "refresh"]) => {
                ("POST", Self::Refresh(account))
            }
            (
                Host::Configuration,
                [
                    "",
                    "api",
                    "account",
                    account,
                    "configuration",
                    "metadata",
                    "audit",
                ],
            ) => ("POST", Self::Audit(account)),
            _ => return Self::Nothing,
        };
        if method == wanted {
            target
        } else {
            Self::WrongMethod
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LookUp(..) => LOOK_UP,
            Self::Token(_) => TOKEN,
            Self::Login(_) => LOGIN,
            Self::Refresh(_) => REFRESH,
            Self::Audit(_) => AUDIT,
            Self::WrongMethod | Self::Nothing => OTHER,
        }
    }
}

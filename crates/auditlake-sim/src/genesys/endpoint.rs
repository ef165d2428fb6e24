//! Names of the endpoints, for counters and faults, and which of them a call is for.

/// Sign-in.
pub const TOKEN: &str = "POST /oauth/token";
/// All services.
pub const SERVICES: &str = "GET /api/v2/audits/query/servicemapping";
/// Services of the realtime query.
pub const REALTIME_SERVICES: &str = "GET /api/v2/audits/query/realtime/servicemapping";
/// Submits a query.
pub const SUBMIT: &str = "POST /api/v2/audits/query";
/// Status of a query.
pub const STATUS: &str = "GET /api/v2/audits/query/{transactionId}";
/// Results of a query.
pub const RESULTS: &str = "GET /api/v2/audits/query/{transactionId}/results";
/// The realtime query.
pub const REALTIME: &str = "POST /api/v2/audits/query/realtime";
/// Audits of the same action.
pub const RELATED: &str = "POST /api/v2/audits/query/realtime/related";
/// A large result.
pub const DOWNLOAD: &str = "GET /download/{name}";
/// Whatever does not exist.
pub const OTHER: &str = "other";

/// Which of the three hosts a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    Api,
    Login,
    Downloads,
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target<'a> {
    Token,
    Services,
    RealtimeServices,
    Submit,
    Status(&'a str),
    Results(&'a str),
    Realtime,
    Related,
    Download(&'a str),
    /// A path of the API, but not with this method.
    WrongMethod,
    /// A path of the API's host that does not exist.
    WrongPath,
    /// A path of another host that does not exist.
    Nothing,
}

impl<'a> Target<'a> {
    pub(super) fn of(host: Host, method: &str, path: &'a str) -> Self {
        match host {
            Host::Api => Self::of_api(method, path),
            Host::Login if (method, path) == ("POST", "/oauth/token") => Self::Token,
            Host::Downloads if method == "GET" => path
                .strip_prefix("/download/")
                .map_or(Self::Nothing, Self::Download),
            Host::Login | Host::Downloads => Self::Nothing,
        }
    }

    fn of_api(method: &str, path: &'a str) -> Self {
        let Some(rest) = path.strip_prefix("/api/v2/audits/query") else {
            return Self::WrongPath;
        };
        let (wanted, target) = match rest {
            "" => ("POST", Self::Submit),
            "/servicemapping" => ("GET", Self::Services),
            "/realtime/servicemapping" => ("GET", Self::RealtimeServices),
            "/realtime" => ("POST", Self::Realtime),
            "/realtime/related" => ("POST", Self::Related),
            _ => {
                let mut parts = rest.split('/');
                match (parts.next(), parts.next(), parts.next(), parts.next()) {
                    (Some(""), Some(id), None, None) if !id.is_empty() => ("GET", Self::Status(id)),
                    (Some(""), Some(id), Some("results"), None) if !id.is_empty() => {
                        ("GET", Self::Results(id))
                    }
                    _ => return Self::WrongPath,
                }
            }
        };
        if method == wanted {
            target
        } else {
            Self::WrongMethod
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Token => TOKEN,
            Self::Services => SERVICES,
            Self::RealtimeServices => REALTIME_SERVICES,
            Self::Submit => SUBMIT,
            Self::Status(_) => STATUS,
            Self::Results(_) => RESULTS,
            Self::Realtime => REALTIME,
            Self::Related => RELATED,
            Self::Download(_) => DOWNLOAD,
            Self::WrongMethod | Self::WrongPath | Self::Nothing => OTHER,
        }
    }

    pub(super) fn takes_json(self) -> bool {
        matches!(self, Self::Submit | Self::Realtime | Self::Related)
    }
}

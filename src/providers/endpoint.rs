//! Endpoints: the URLs and the sign-in of a connection, as data for the client.

use std::time::Duration;

use http::StatusCode;
use url::Url;

use super::Answer;
use crate::secret::Secret;

/// An account on a provider: the URL of its API and how to sign in.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The base URL of the API, without a trailing slash in its path.
    pub api: ServiceHost,
    /// The replacement of `{account}` in the path of a call.
    pub account: Option<String>,
    /// The sign-in.
    pub sign_in: SignIn,
    /// Headers of every call with credentials and of each sign-in, with names in lower case.
    pub headers: Vec<(&'static str, Secret)>,
    /// The suffixes of hosts that may receive credentials: the provider's own, and those of `allowed_hosts`.
    pub trusted_hosts: Vec<String>,
    /// The provider's retry rules beyond HTTP.
    pub retry_hints: RetryHints,
}

impl Endpoint {
    /// Returns an API at a fixed URL, without special rules.
    pub fn new(api: Url, sign_in: SignIn, trusted_hosts: Vec<String>) -> Self {
        Self {
            api: ServiceHost::At(api),
            account: None,
            sign_in,
            headers: Vec::new(),
            trusted_hosts,
            retry_hints: RetryHints::default(),
        }
    }
}

/// The location of a service.
#[derive(Debug, Clone)]
pub enum ServiceHost {
    /// A fixed URL.
    At(Url),
    /// On a host returned by a look-up.
    Named(DiscoveredHost),
}

impl ServiceHost {
    /// Returns the URL, if it is known without a look-up.
    pub fn known(&self) -> Option<&Url> {
        match self {
            Self::At(url) => Some(url),
            Self::Named(_) => None,
        }
    }
}

/// A host returned by a provider's look-up.
#[derive(Debug, Clone)]
pub struct DiscoveredHost {
    /// The name of the service, for messages. One look-up serves all callers with the same name.
    pub service: &'static str,
    /// The URL of the look-up, requested by GET without credentials. The returned host is used with its scheme.
    pub question: Url,
    /// Returns the host of the service in an answer's body, perhaps with a port.
    pub host: fn(body: &str, service: &str) -> Option<String>,
    /// The part after the host: empty, or a path that begins with a slash, perhaps with a query.
    pub path: String,
}

/// How the client obtains the credentials of calls.
#[derive(Debug, Clone)]
pub enum SignIn {
    /// OAuth 2.0 client credentials: a form body, answered with a bearer token.
    ClientCredentials {
        /// The token endpoint.
        token_url: ServiceHost,
        /// The client's id.
        client_id: Secret,
        /// The client's secret.
        client_secret: Secret,
        /// The place of id and secret in the request.
        sent: SentIn,
    },
    /// User and password with every call (HTTP Basic).
    Basic {
        /// The user.
        username: Secret,
        /// The user's password.
        password: Secret,
    },
    /// A user's login: JSON `username` and `password`, answered with JSON `bearer`, `csrf`, `sessionTTl` (milliseconds,
    /// as text) and a cookie. The session is refreshed by posting `csrf` with the cookie.
    Session {
        /// The login URL.
        login: ServiceHost,
        /// The URL for refreshing the session.
        refresh: ServiceHost,
        /// The user.
        username: Secret,
        /// The user's password.
        password: Secret,
    },
}

/// The place of the client's id and secret in a token request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentIn {
    /// HTTP Basic.
    Header,
    /// `client_id` and `client_secret` in the form.
    Form,
}

/// What a provider wants beyond what HTTP says.
#[derive(Debug, Clone, Copy)]
pub struct RetryHints {
    /// Returns the minimum pause after a transient failure whose headers contain none, to which the usual back-off is
    /// added.
    pub rest: fn(TransientFailure<'_>) -> Duration,
    /// Returns whether the body of a 401 may be about the token, so that a new one is tried.
    pub token_refused: fn(body: &[u8]) -> bool,
    /// Returns what the body of an answer other than a 401 says about the token and the rate.
    pub error_in_body: fn(&Answer) -> ErrorInBody,
    /// The provider's own rate limit headers, in addition to the standard ones.
    pub rate_headers: Option<RateHeaderNames>,
}

/// Information in an answer's body for which other providers use the status and the headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErrorInBody {
    /// Whether the token is refused, so that a new one is tried once.
    pub token_refused: bool,
    /// The requested pause.
    pub pause: Option<Duration>,
}

/// The names of a provider's own rate limit headers, in lower case.
#[derive(Debug, Clone, Copy)]
pub struct RateHeaderNames {
    /// The number of requests allowed per window.
    pub allowed: &'static str,
    /// The number of requests used in this window.
    pub used: &'static str,
    /// The seconds until the next window begins.
    pub reset: &'static str,
    /// The length of a window.
    pub window: Duration,
}

/// A call with a transient failure.
#[derive(Debug, Clone, Copy)]
pub struct TransientFailure<'a> {
    /// The answer's status.
    pub status: StatusCode,
    /// The first kilobytes of the answer's body.
    pub body: &'a [u8],
    /// The number of such failures of this call, 1 the first time; 429 is counted separately from other statuses.
    pub times: u32,
    /// Whether it is a sign-in.
    pub signing_in: bool,
}

impl Default for RetryHints {
    fn default() -> Self {
        Self {
            rest: |_| Duration::ZERO,
            token_refused: |_| true,
            error_in_body: |_| ErrorInBody::default(),
            rate_headers: None,
        }
    }
}

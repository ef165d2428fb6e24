//! Where a connection's calls go and how they are signed: data only, which the client acts on.

use std::time::Duration;

use http::StatusCode;
use url::Url;

use super::Answer;
use crate::secret::Secret;

/// One account on one provider: where its API is and how to sign in.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The API's base, without a trailing slash in its path.
    pub api: ServiceHost,
    /// What `{account}` in the path of a call stands for.
    pub account: Option<String>,
    /// How the client signs in.
    pub sign_in: SignIn,
    /// Headers that go with every signed call and with each sign-in, names in lower case.
    pub headers: Vec<(&'static str, Secret)>,
    /// Host suffixes that credentials may go to, the provider's own and those of `allowed_hosts`.
    pub trusted_hosts: Vec<String>,
    /// What the provider wants beyond what HTTP says.
    pub manners: RetryHints,
}

impl Endpoint {
    /// An API at a fixed place, with nothing particular about it.
    pub fn new(api: Url, sign_in: SignIn, trusted_hosts: Vec<String>) -> Self {
        Self {
            api: ServiceHost::At(api),
            account: None,
            sign_in,
            headers: Vec::new(),
            trusted_hosts,
            manners: RetryHints::default(),
        }
    }
}

/// Where something is.
#[derive(Debug, Clone)]
pub enum ServiceHost {
    /// There, for good.
    At(Url),
    /// On a host that the provider names when asked.
    Named(DiscoveredHost),
}

impl ServiceHost {
    /// The URL, where it is known without asking.
    pub fn known(&self) -> Option<&Url> {
        match self {
            Self::At(url) => Some(url),
            Self::Named(_) => None,
        }
    }
}

/// A host that the provider names when asked.
#[derive(Debug, Clone)]
pub struct DiscoveredHost {
    /// What is looked up; for messages, and one look-up serves all that ask for the same.
    pub service: &'static str,
    /// Asked by GET, without credentials. What it names takes its scheme.
    pub question: Url,
    /// The host that an answer's body names for the service, perhaps with a port.
    pub host: fn(body: &str, service: &str) -> Option<String>,
    /// What follows the host: empty, or a path that begins with a slash, perhaps with a query.
    pub path: String,
}

/// How the client obtains what signs a call.
#[derive(Debug, Clone)]
pub enum SignIn {
    /// OAuth 2.0 client credentials: a form body, a bearer token in return.
    ClientCredentials {
        /// Where the token is asked for.
        token_url: ServiceHost,
        /// The client's id.
        client_id: Secret,
        /// The client's secret.
        client_secret: Secret,
        /// Where id and secret stand.
        sent: SentIn,
    },
    /// User and password with every call (HTTP Basic).
    Basic {
        /// The user.
        username: Secret,
        /// The user's password.
        password: Secret,
    },
    /// A user's login: JSON `username` and `password`; in return JSON `bearer`, `csrf`, `sessionTTl` (milliseconds, as
    /// text) and a cookie. The session is kept up by posting `csrf` with the cookie.
    Session {
        /// Where to log in.
        login: ServiceHost,
        /// Where the session is kept up.
        refresh: ServiceHost,
        /// The user.
        username: Secret,
        /// The user's password.
        password: Secret,
    },
}

/// Where a token request holds the client's id and secret.
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
    /// The least time to leave the provider alone after a passing failure whose headers name none. The usual backoff
    /// comes on top of it.
    pub rest: fn(TransientFailure<'_>) -> Duration,
    /// Whether the body of a 401 may speak of the token: then a new one is tried.
    pub token_refused: fn(body: &[u8]) -> bool,
    /// What an answer that isn't a 401 says in its body of the token and of the rate.
    pub said: fn(&Answer) -> SaidInBody,
    /// Headers of the provider's own about its rate limit. Standard ones are read without being named.
    pub rate_headers: Option<RateHeaderNames>,
}

/// What an answer's body says where others use the status and the headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SaidInBody {
    /// Whether the token is refused: a new one is tried, once.
    pub token_refused: bool,
    /// How long the provider asks to be left alone.
    pub pause: Option<Duration>,
}

/// The names of a provider's own headers about its rate limit, in lower case.
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

/// A call that failed in a way that may pass.
#[derive(Debug, Clone, Copy)]
pub struct TransientFailure<'a> {
    /// The answer's status.
    pub status: StatusCode,
    /// The first kilobytes of the answer's body.
    pub body: &'a [u8],
    /// How often this call has failed so by now, 1 the first time; 429 is counted apart from all other statuses.
    pub times: u32,
    /// Whether it is a sign-in.
    pub signing_in: bool,
}

impl Default for RetryHints {
    fn default() -> Self {
        Self {
            rest: |_| Duration::ZERO,
            token_refused: |_| true,
            said: |_| SaidInBody::default(),
            rate_headers: None,
        }
    }
}

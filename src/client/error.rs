//! The failures of calls, and their kinds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use url::Url;

use crate::model::FailureKind;
use crate::secret::SecretError;

/// The reason why a call has no answer.
///
/// No variant contains a credential, a header's value or a URL's query, so all errors may be printed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The caller's token was cancelled.
    #[error("stopped")]
    Stopped,
    /// The connection's settings are invalid.
    #[error("connection `{connection}`: {problem}")]
    Settings {
        /// The connection's name.
        connection: String,
        /// The problem, with the value and what would be valid.
        problem: String,
        /// The underlying failure, if any.
        source: Option<Cause>,
    },
    /// A secret of the connection can't be read.
    #[error("connection `{connection}` can't read its credentials")]
    Secret {
        /// The connection's name.
        connection: String,
        /// The file and the cause.
        source: Arc<SecretError>,
    },
    /// The client may not send requests to the call's target. Nothing was sent.
    #[error("{problem}")]
    Forbidden {
        /// The problem with the target.
        problem: String,
    },
    /// The answer's body exceeds the size limit; a smaller range may succeed.
    #[error("the body of {request} is larger than {cap} bytes")]
    BodyTooLarge {
        /// The request.
        request: Request,
        /// The limit in bytes.
        cap: u64,
    },
    /// The provider requested a pause that is longer than a run waits.
    #[error("{request} has to wait another {} s, as requested by the provider{tried}", retry_after.as_secs_f64().ceil())]
    RateLimited {
        /// The request.
        request: Request,
        /// The rest of the pause.
        retry_after: Duration,
        /// The attempts; 0 if the pause was already known.
        tried: Attempts,
    },
    /// Every attempt failed with a transient error.
    #[error("gave up on {request}{tried}")]
    GaveUp {
        /// The request.
        request: Request,
        /// The attempts, and the result of the last one.
        tried: Attempts,
        /// The wait requested by the provider's last answer.
        retry_after: Option<Duration>,
        /// Whether it was a sign-in or a look-up, without which no call is possible.
        of_sign_in: bool,
        /// The reason why the last attempt has no answer, if so.
        source: Option<Cause>,
    },
    /// The sign-in was refused, or a call was refused with a fresh token.
    #[error("{request} was refused{tried}{}", blocked(tried))]
    Auth {
        /// The refused request.
        request: Request,
        /// The status and the provider's message.
        tried: Attempts,
    },
    /// The answer to a sign-in isn't a token response.
    #[error("the answer to {request} isn't a sign-in's{tried}")]
    SignIn {
        /// The request.
        request: Request,
        /// The status and an excerpt.
        tried: Attempts,
    },
    /// A streamed body broke off. Its received part is dropped.
    #[error("the answer to {request} broke off after {received} bytes")]
    Broken {
        /// The request.
        request: Request,
        /// The number of received bytes.
        received: u64,
        /// The cause.
        source: Cause,
    },
    /// The look-up of a service's host wasn't answered.
    #[error("the host of `{service}` can't be looked up")]
    LookUp {
        /// The service.
        service: &'static str,
        /// The cause.
        source: Arc<ClientError>,
    },
    /// The answer to the look-up of a service contains no host.
    #[error("the answer to {request} contains no host for `{service}`{tried}")]
    NoHost {
        /// The service.
        service: &'static str,
        /// The request.
        request: Request,
        /// The status and an excerpt.
        tried: Attempts,
    },
    /// A proxy refused the request.
    #[error("{request} is refused by the proxy{}, status {}: {advice}", named(proxy.as_deref()), status.as_u16())]
    Proxy {
        /// The request.
        request: Request,
        /// The proxy, if one is configured.
        proxy: Option<String>,
        /// The proxy's answer.
        status: StatusCode,
        /// The advice.
        advice: &'static str,
    },
    /// The answer is a redirect, which isn't followed.
    #[error("{request} is answered by a redirect {}, status {}; none is followed", leading(target.as_deref()), status.as_u16())]
    Redirected {
        /// The request.
        request: Request,
        /// The status, 3xx.
        status: StatusCode,
        /// The scheme, host and port of its target, if given.
        target: Option<String>,
    },
    /// The server's certificate isn't trusted, or isn't valid for this host.
    #[error("{request} can't be sent: the server's certificate isn't accepted; {advice}")]
    Certificate {
        /// The request.
        request: Request,
        /// The advice.
        advice: &'static str,
        /// The cause.
        source: Cause,
    },
}

/// The underlying failure; shared, because concurrent callers share the result of a sign-in.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

impl ClientError {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Stopped | Self::Broken { .. } => FailureKind::Transient,
            Self::LookUp { source, .. } => source.kind(),
            // if a gateway answered, the credentials weren't checked
            Self::SignIn { tried, .. } if tried.what == Some(PAGE) => FailureKind::Transient,
            Self::NoHost { tried, .. } => match tried.status {
                Some(status) if status.is_server_error() => FailureKind::Transient,
                _ => FailureKind::Config,
            },
            Self::Settings { .. }
            | Self::Secret { .. }
            | Self::SignIn { .. }
            | Self::Proxy { .. }
            | Self::Redirected { .. }
            | Self::Certificate { .. } => FailureKind::Config,
            Self::Forbidden { .. } | Self::BodyTooLarge { .. } => FailureKind::Data,
            Self::RateLimited { .. } => FailureKind::RateLimited,
            Self::GaveUp {
                tried, retry_after, ..
            } => {
                if retry_after.is_some() || tried.status == Some(StatusCode::TOO_MANY_REQUESTS) {
                    FailureKind::RateLimited
                } else {
                    FailureKind::Transient
                }
            }
            Self::Auth { .. } => FailureKind::Auth,
        }
    }

    /// Returns the wait requested by the provider, counted from the creation of this error.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            Self::GaveUp { retry_after, .. } => *retry_after,
            Self::LookUp { source, .. } => source.retry_after(),
            _ => None,
        }
    }
}

/// A request as shown in errors and logs: the method, and the URL without user, query and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request(Arc<str>);

impl Request {
    pub(super) fn new(method: &Method, url: &Url) -> Self {
        Self(format!("{method} `{}`", bare(url)).into())
    }
}

/// Formats as ``GET `https://api.example.com/v2/audits` ``.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the URL's scheme, host, port and path.
pub(super) fn bare(url: &Url) -> String {
    origin(url) + url.path()
}

/// Returns the URL's scheme, host and port.
pub(super) fn origin(url: &Url) -> String {
    let mut text = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    if let Some(port) = url.port() {
        text.push(':');
        text.push_str(&port.to_string());
    }
    text
}

/// The description of a gateway's answer.
pub(super) const PAGE: &str = "a web page";

/// The attempts of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// The number of requests sent.
    pub attempts: u32,
    /// The time since the first of them, including waits for the rate budget.
    pub elapsed: Duration,
    /// The status of the last answer, if there was one.
    pub status: Option<StatusCode>,
    /// A short, sanitised excerpt of that answer.
    pub message: Option<String>,
    /// The problem of an answer with a successful status, such as `an empty body`.
    pub what: Option<&'static str>,
}

/// Formats as ` after 3 attempts in 1.5 s: status 503, the provider says ...`; empty if there were no attempts.
impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.attempts > 1 {
            let seconds = self.elapsed.as_secs_f64();
            write!(f, " after {} attempts in {seconds:.1} s", self.attempts)?;
        }
        if let Some(status) = self.status {
            write!(f, ": status {}", status.as_u16())?;
        }
        if let Some(what) = self.what {
            write!(f, " with {what}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ", the provider says {message}")?;
        }
        Ok(())
    }
}

/// Returns the meaning of a refusal's status.
fn blocked(tried: &Attempts) -> &'static str {
    match tried.status {
        Some(StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS) => " (the account is blocked)",
        _ => "",
    }
}

/// Formats the target of a redirect.
fn leading(target: Option<&str>) -> String {
    match target {
        Some(target) => format!("to `{target}`"),
        None => "to nowhere".to_owned(),
    }
}

/// Formats a proxy's name.
fn named(proxy: Option<&str>) -> String {
    proxy.map_or_else(String::new, |proxy| format!(" `{proxy}`"))
}

//! What can go wrong with a call, and what that means for whoever schedules the next try.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use url::Url;

use crate::model::FailureKind;
use crate::secret::SecretError;

/// Why a call has no answer.
///
/// No variant holds a credential, a header's value or a URL's query: all of it may be printed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The caller's token was cancelled.
    #[error("stopped")]
    Stopped,
    /// The connection's settings can't work.
    #[error("connection `{connection}`: {problem}")]
    Settings {
        /// The connection's name.
        connection: String,
        /// What is wrong, with the value and what would be right.
        problem: String,
        /// The underlying failure, where there is one.
        source: Option<Cause>,
    },
    /// A secret of the connection can't be read.
    #[error("connection `{connection}` can't read its credentials")]
    Secret {
        /// The connection's name.
        connection: String,
        /// Which file, and why.
        source: Arc<SecretError>,
    },
    /// The call's target isn't one that the client may go to. Nothing was sent.
    #[error("{problem}")]
    Forbidden {
        /// What is wrong with the target.
        problem: String,
    },
    /// The answer's body is over the cap; whoever asked for a range asks for less.
    #[error("the body of {request} is larger than {cap} bytes")]
    BodyTooLarge {
        /// What was asked.
        request: Request,
        /// The cap in bytes.
        cap: u64,
    },
    /// The provider asked for a pause that is longer than a run should wait.
    #[error("{request} has to wait another {} s, as the provider asked{tried}", retry_after.as_secs_f64().ceil())]
    RateLimited {
        /// What was asked.
        request: Request,
        /// How long the pause still lasts.
        retry_after: Duration,
        /// What was tried; attempts are 0 if the pause was already known.
        tried: Attempts,
    },
    /// Every attempt failed in a way that may pass by itself.
    #[error("gave up on {request}{tried}")]
    GaveUp {
        /// What was asked.
        request: Request,
        /// What was tried, and how the last attempt ended.
        tried: Attempts,
        /// How long the provider's last answer asked to wait.
        retry_after: Option<Duration>,
        /// Whether it was a sign-in or a look-up, without which no call can be made.
        of_sign_in: bool,
        /// Why the last attempt has no answer, if it has none.
        source: Option<Cause>,
    },
    /// The sign-in was refused, or a call was refused with a fresh token.
    #[error("{request} was refused{tried}{}", blocked(tried))]
    Auth {
        /// What was refused.
        request: Request,
        /// The status and what the provider said.
        tried: Attempts,
    },
    /// The sign-in's answer isn't one of a token endpoint.
    #[error("{request} isn't answered like a sign-in{tried}")]
    SignIn {
        /// What was asked.
        request: Request,
        /// The status and what was said.
        tried: Attempts,
    },
    /// A streamed body ended before its end. What came of it counts for nothing.
    #[error("the answer to {request} broke off after {received} bytes")]
    Broken {
        /// What was asked.
        request: Request,
        /// How much had come.
        received: u64,
        /// How it broke.
        source: Cause,
    },
    /// The look-up of a service's host has no answer.
    #[error("the host of `{service}` can't be looked up")]
    LookUp {
        /// The service.
        service: &'static str,
        /// Why not.
        source: Arc<ClientError>,
    },
    /// The look-up of a service's host was answered, but not with a host.
    #[error("{request} names no host for `{service}`{tried}")]
    NoHost {
        /// The service.
        service: &'static str,
        /// What was asked.
        request: Request,
        /// The status and what was said.
        tried: Attempts,
    },
    /// A proxy refused.
    #[error("{request} is refused by the proxy{}, status {}: {advice}", named(proxy.as_deref()), status.as_u16())]
    Proxy {
        /// What was to be sent.
        request: Request,
        /// Which one, if one is set.
        proxy: Option<String>,
        /// What it answered.
        status: StatusCode,
        /// What may be done about it.
        advice: &'static str,
    },
    /// The answer leads elsewhere, where nothing is sent.
    #[error("{request} is answered by a redirect {}, status {}; none is followed", leading(target.as_deref()), status.as_u16())]
    Redirected {
        /// What was asked.
        request: Request,
        /// 3xx.
        status: StatusCode,
        /// Scheme, host and port of where it leads, as far as it says so.
        target: Option<String>,
    },
    /// The server's certificate isn't trusted, or isn't for this host.
    #[error("{request} can't be sent: the server's certificate isn't accepted; {advice}")]
    Certificate {
        /// What was to be sent.
        request: Request,
        /// What may be done about it.
        advice: &'static str,
        /// Why not.
        source: Cause,
    },
}

/// The failure underneath; shared, because concurrent callers share the outcome of one sign-in.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

impl ClientError {
    /// What the failure means for the scheduler.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Stopped | Self::Broken { .. } => FailureKind::Transient,
            Self::LookUp { source, .. } => source.kind(),
            // where a gateway answers, the credentials weren't looked at
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

    /// How long the provider asked to wait before the next call, counted from when this error was made.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            Self::GaveUp { retry_after, .. } => *retry_after,
            Self::LookUp { source, .. } => source.retry_after(),
            _ => None,
        }
    }
}

/// A request as errors and logs show it: the method, and the URL without user, query and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request(Arc<str>);

impl Request {
    pub(super) fn new(method: &Method, url: &Url) -> Self {
        Self(format!("{method} `{}`", bare(url)).into())
    }
}

/// GET `https://api.example.com/v2/audits`.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The URL's scheme, host, port and path.
pub(super) fn bare(url: &Url) -> String {
    origin(url) + url.path()
}

/// The URL's scheme, host and port.
pub(super) fn origin(url: &Url) -> String {
    let mut text = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    if let Some(port) = url.port() {
        text.push(':');
        text.push_str(&port.to_string());
    }
    text
}

/// What stands in the place of an answer where a gateway answers.
pub(super) const PAGE: &str = "a web page";

/// What was tried before giving up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How many requests were sent.
    pub attempts: u32,
    /// Since the first of them, pacing included.
    pub elapsed: Duration,
    /// Of the last answer, if there was one.
    pub status: Option<StatusCode>,
    /// A short, cleaned excerpt of what that answer said.
    pub said: Option<String>,
    /// What is odd about it, where its status says that all is well: `an empty body`.
    pub what: Option<&'static str>,
}

/// ` after 3 attempts in 1.5 s: status 503, the provider says ...`; nothing if nothing was tried.
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
        if let Some(said) = &self.said {
            write!(f, ", the provider says {said}")?;
        }
        Ok(())
    }
}

/// What a refusal's status says that its text may not.
fn blocked(tried: &Attempts) -> &'static str {
    match tried.status {
        Some(StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS) => " (the account is blocked)",
        _ => "",
    }
}

/// Where a redirect leads.
fn leading(target: Option<&str>) -> String {
    match target {
        Some(target) => format!("to `{target}`"),
        None => "to nowhere".to_owned(),
    }
}

/// A proxy's name behind its title.
fn named(proxy: Option<&str>) -> String {
    proxy.map_or_else(String::new, |proxy| format!(" `{proxy}`"))
}

//! The HTTP client of one connection: sign-in, rate budget, retries, caps, and where requests may go.
//!
//! [`Client::send`] is the whole of it. What may pass by itself is retried inside; what comes out is an answer for the
//! adapter or an error whose [`kind`](ClientError::kind) says what it means.

mod auth;
mod body;
mod error;
mod guard;
mod pacing;
mod retry;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio_util::sync::CancellationToken;
use url::Url;

pub use self::error::{Cause, ClientError, Request, Tried};

use self::auth::{Auth, Token};
use self::body::Hidden;
use self::pacing::Pacer;
use self::wire::{Counts, Outgoing, To, Wire};
use crate::providers::{Answer, Call, Endpoint, Place, SignIn, Target};
use crate::secret::Secret;
use crate::tls;

/// What a connection's client is made of.
#[derive(Clone)]
pub struct Settings {
    /// The connection's name, for logs and errors.
    pub connection: String,
    /// The provider's name, for logs.
    pub provider: &'static str,
    /// Where the API is, and how to sign in.
    pub endpoint: Endpoint,
    /// The account's whole rate budget: so many requests in any stretch of that length.
    pub rate_limit: (u32, Duration),
    /// How many daemons share that budget.
    pub replicas: NonZeroU32,
    /// An HTTP proxy's URL, read once; without it, the system's environment decides, except for an API on this host.
    pub proxy: Option<Secret>,
    /// A PEM file of certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether http and, for downloads, internal addresses are allowed.
    pub allow_http: bool,
    /// Time-outs, caps and retry limits.
    pub limits: Limits,
}

/// Where the client's patience ends.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For a connection to stand, TLS included.
    pub connect_timeout: Duration,
    /// Between two reads of an answer, its first included.
    pub read_timeout: Duration,
    /// For a request and its whole answer.
    pub total_timeout: Duration,
    /// How long a request under way may go on after the caller's stop.
    pub drain: Duration,
    /// The largest body, in bytes.
    pub body_cap: u64,
    /// How often a call is sent at most, the first time included.
    pub attempts: u32,
    /// How long a call's attempts and the waits between them take at most, queueing for the rate budget not included.
    pub elapsed: Duration,
    /// The first wait is uniform between zero and this; the cap doubles each time.
    pub first_backoff: Duration,
    /// The cap of that cap.
    pub longest_backoff: Duration,
    /// The longest pause that the provider may ask for and that is waited for; a longer one is the caller's.
    pub longest_wait: Duration,
    /// How long a refused sign-in isn't tried again with the same secrets.
    pub refusal_memory: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_mins(1),
            total_timeout: Duration::from_mins(2),
            drain: Duration::from_secs(5),
            body_cap: 64 * 1024 * 1024,
            attempts: 8,
            elapsed: Duration::from_mins(5),
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_mins(1),
            longest_wait: Duration::from_mins(5),
            refusal_memory: Duration::from_mins(1),
        }
    }
}

/// How many requests a client has made since it exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// Sent, whatever became of them: calls, downloads, sign-ins, each attempt counted.
    pub sent: u64,
    /// Sent again after a passing failure.
    pub retries: u64,
    /// Answered by 429.
    pub rate_limited: u64,
    /// Sign-ins begun, renewals included.
    pub sign_ins: u64,
}

/// The client of one connection, shared by all its jobs: one token, one rate budget. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    wire: Wire,
    auth: Auth,
    api: Url,
    allow_http: bool,
}

impl Client {
    /// Checks the settings and makes a client; sends nothing.
    ///
    /// Fails with [`ClientError::Settings`] if credentials would go to a host that isn't trusted or over http without
    /// leave, if the rate budget is nothing, or if the proxy or the certificates can't be used.
    pub fn new(settings: Settings) -> Result<Self, ClientError> {
        let http = check(&settings)
            .and_then(|()| http_client(&settings))
            .map_err(|(problem, source)| ClientError::Settings {
                connection: settings.connection.clone(),
                problem,
                source,
            })?;
        let api = match &settings.endpoint.api {
            Place::At(url) => url.clone(),
            Place::Named(_) => {
                return Err(ClientError::Settings {
                    connection: settings.connection,
                    problem: "look-ups are still to come".to_owned(),
                    source: None,
                });
            }
        };
        let (limit, per) = settings.rate_limit;
        let inner = Inner {
            auth: Auth::new(settings.endpoint.sign_in, settings.limits.refusal_memory),
            api,
            allow_http: settings.allow_http,
            wire: Wire {
                connection: settings.connection,
                provider: settings.provider,
                http,
                pacer: Pacer::new(limit, per, settings.replicas),
                limits: settings.limits,
                counts: Counts::default(),
            },
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Sends a call, signed if it goes to the API, bare if it is a download, and returns its answer, whole.
    ///
    /// Any status is an answer but those that are retried inside (408, 429, 500, 502, 503, 504 unless
    /// [`Call::gateway_timeout_is_answer`]) and a 401 of the API, after which the token is renewed once. Calls must be
    /// safe to repeat. Redirects are answers and never followed.
    ///
    /// When `stop` is cancelled every wait ends at once with [`ClientError::Stopped`]; a request under way may finish
    /// within [`Limits::drain`], and its answer is returned. Dropping the future is safe at any point, too.
    pub async fn send(&self, call: &Call, stop: &CancellationToken) -> Result<Answer, ClientError> {
        let forbidden = |problem| ClientError::Forbidden { problem };
        match &call.target {
            Target::Api { path, query } => {
                let url = guard::api_url(&self.inner.api, path, query).map_err(forbidden)?;
                self.send_signed(call, &url, stop).await
            }
            Target::Download { url } => {
                let url = guard::download_url(url, self.inner.allow_http).map_err(forbidden)?;
                self.send_once(call, &url, None, stop).await
            }
        }
    }

    /// What was sent up to now.
    pub fn requests(&self) -> Requests {
        self.inner.wire.counts.snapshot()
    }

    async fn send_signed(
        &self,
        call: &Call,
        url: &Url,
        stop: &CancellationToken,
    ) -> Result<Answer, ClientError> {
        let Inner { wire, auth, .. } = &*self.inner;
        let mut token = auth.token(wire, None, stop).await?;
        let mut answer = self.send_once(call, url, Some(&token), stop).await?;
        if answer.status == StatusCode::UNAUTHORIZED && auth.is_worth_renewing(&token) {
            tracing::debug!(connection = wire.connection, "the token was refused");
            token = auth.token(wire, Some(&token), stop).await?;
            answer = self.send_once(call, url, Some(&token), stop).await?;
        }
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(ClientError::Auth {
                request: Request::new(&call.method, url),
                tried: Tried {
                    attempts: 1,
                    status: Some(answer.status),
                    said: body::excerpt(&answer.body, token.hidden()),
                    ..Tried::default()
                },
            });
        }
        token.accept();
        Ok(answer)
    }

    /// Sends a call with this token; without one it is a download, outside the provider's budget.
    async fn send_once(
        &self,
        call: &Call,
        url: &Url,
        token: Option<&Token>,
        stop: &CancellationToken,
    ) -> Result<Answer, ClientError> {
        let wire = &self.inner.wire;
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token.header());
            headers.insert(ACCEPT, json.clone());
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if call.body.is_some() {
            headers.insert(CONTENT_TYPE, json);
        }
        // a download's query is its credential
        let signature = match token {
            Some(_) => Hidden::default(),
            None => Hidden::query(url),
        };
        let out = Outgoing {
            request: &Request::new(&call.method, url),
            method: &call.method,
            url,
            headers,
            body: call.body.clone().map(Bytes::from),
            to: if token.is_some() {
                To::Api
            } else {
                To::Elsewhere
            },
            retried: true,
            body_cap: wire.limits.body_cap,
            gateway_timeout_is_answer: call.gateway_timeout_is_answer,
            hidden: token.map_or(&signature, Token::hidden),
        };
        wire.send(&out, stop).await
    }
}

/// A problem with the settings, and what is underneath.
type Problem = (String, Option<Cause>);

fn check(settings: &Settings) -> Result<(), Problem> {
    let plain = |problem| (problem, None);
    let Endpoint {
        api,
        sign_in,
        trusted_hosts,
        ..
    } = &settings.endpoint;
    let allow_http = settings.allow_http;
    let check = |what: &str, place: &Place| match place {
        Place::At(url) => {
            guard::check_credentialed(what, url, trusted_hosts, allow_http).map_err(plain)
        }
        Place::Named(_) => Ok(()),
    };
    check("api's url", api)?;
    if let SignIn::ClientCredentials { token_url, .. } = sign_in {
        check("token url", token_url)?;
    }
    let (limit, per) = settings.rate_limit;
    if limit == 0 || per.is_zero() {
        let problem = format!("the rate limit `{limit}` per `{per:?}` lets nothing through");
        return Err(plain(problem));
    }
    Ok(())
}

fn http_client(settings: &Settings) -> Result<reqwest::Client, Problem> {
    tls::install();
    let limits = &settings.limits;
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("auditlake/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .dns_resolver(guard::Resolver)
        .connect_timeout(limits.connect_timeout)
        .read_timeout(limits.read_timeout)
        .timeout(limits.total_timeout);
    if let Some(path) = &settings.ca_file {
        builder = builder.tls_certs_merge(certificates(path)?);
    }
    if let Some(proxy) = &settings.proxy {
        builder = builder.proxy(proxy_of(proxy)?);
    } else if settings
        .endpoint
        .api
        .known()
        .is_some_and(guard::is_loopback)
    {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        let problem = "the http client can't be set up".to_owned();
        (problem, Some(Arc::new(error) as Cause))
    })
}

fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, Problem> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|error| {
        let problem = format!("the ca_file `{shown}` can't be read");
        (problem, Some(Arc::new(error) as Cause))
    })?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| {
        let problem = format!("the ca_file `{shown}` isn't PEM");
        (problem, Some(Arc::new(error) as Cause))
    })?;
    if certificates.is_empty() {
        let problem = format!("the ca_file `{shown}` holds no PEM certificate");
        return Err((problem, None));
    }
    Ok(certificates)
}

/// The proxy; the error never holds its URL, which may hold a password.
fn proxy_of(secret: &Secret) -> Result<reqwest::Proxy, Problem> {
    let text = secret.reveal().map_err(|error| {
        let problem = "the proxy's url can't be read".to_owned();
        (problem, Some(Arc::new(error) as Cause))
    })?;
    Url::parse(&text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .and_then(|url| reqwest::Proxy::all(url).ok())
        .ok_or_else(|| ("the proxy isn't an http or https url".to_owned(), None))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("connection", &self.inner.wire.connection)
            .field("api", &error::bare(&self.inner.api))
            .field("requests", &self.requests())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // URLs before their check may hold a password
        f.debug_struct("Settings")
            .field("connection", &self.connection)
            .field("provider", &self.provider)
            .field("api", &self.endpoint.api.known().map(error::bare))
            .field("trusted_hosts", &self.endpoint.trusted_hosts)
            .field("rate_limit", &self.rate_limit)
            .field("replicas", &self.replicas)
            .field("proxy", &self.proxy)
            .field("ca_file", &self.ca_file)
            .field("allow_http", &self.allow_http)
            .field("limits", &self.limits)
            .finish()
    }
}

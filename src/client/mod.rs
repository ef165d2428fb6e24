//! The HTTP client of a connection: sign-in, rate budget, retries, size limits, and permitted hosts.
//!
//! [`Client::send`] sends a call, and [`Client::open`] does the same for bodies of unlimited size. Transient failures
//! are retried; the result is an answer for the adapter, or an error with a [`kind`](ClientError::kind).
//!
//! Headers of every request, sign-ins and downloads included, are set in `setup.rs`; those of one provider's API come
//! from its [`Endpoint`].

mod auth;
mod body;
mod calls;
mod error;
mod pause;
mod proxy;
mod rate_headers;
mod rate_limiter;
mod request;
mod resolver;
mod retry;
mod setup;
mod sliding_window;
mod stream;
#[cfg(test)]
mod tests;
mod transport;
mod unpack;
mod url_policy;

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_util::sync::CancellationToken;
use url::Url;

pub use self::calls::Calls;
pub use self::error::{Attempts, Cause, ClientError, Request};
pub use self::rate_limiter::RateLimitStatus;
pub use self::stream::{OpenResponse, ResponseBody};

use self::auth::{Auth, Token};
use self::calls::Caller;
use self::rate_limiter::{Priority, RateLimiter};
use self::request::{FromResponse, PreparedRequest, Traffic};
use self::resolver::HostResolver;
use self::transport::{RequestCounts, Transport};
use crate::clock::RemoteClock;
use crate::metrics;
use crate::providers::{Answer, Call, Endpoint, ServiceHost, Target};
use crate::secret::{Redactor, Secret};

/// The characters that aren't percent-encoded in a path (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The settings of a client.
#[derive(Clone)]
pub struct ClientSettings {
    /// The connection's name, for logs and errors.
    pub connection: String,
    /// The provider's name, for logs.
    pub provider: &'static str,
    /// The API's URL, and how to sign in.
    pub endpoint: Endpoint,
    /// The account's whole rate budget: the number of requests in any period of that length.
    pub rate_limit: (u32, Duration),
    /// The number of daemons that share that budget.
    pub replicas: NonZeroU32,
    /// The URL of an HTTP proxy, read once. Without it, the environment decides, except for an API on this host.
    pub proxy: Option<Secret>,
    /// A PEM file of certificates to trust in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether http and, for downloads, internal addresses are allowed.
    pub allow_http: bool,
    /// Timeouts, size limits and retry limits.
    pub limits: ClientLimits,
    /// The metrics of requests.
    pub metrics: metrics::ConnectionMetrics,
}

/// The limits of a client.
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// The timeout for opening a connection, including TLS.
    pub connect_timeout: Duration,
    /// The timeout between two reads of an answer, including the first.
    pub read_timeout: Duration,
    /// The timeout for a request and its whole answer.
    pub total_timeout: Duration,
    /// The timeout for a request whose body is streamed, including the time of its reader.
    pub stream_timeout: Duration,
    /// How long a request may continue after the caller's stop; a streamed body ends at once.
    pub drain: Duration,
    /// The maximum size of a body in bytes; streamed bodies are unlimited.
    pub body_cap: u64,
    /// The maximum number of pages of a range; a range with more is requested in smaller ranges.
    pub pages: usize,
    /// The maximum number of attempts of a call.
    pub attempts: u32,
    /// The maximum duration of a call's attempts and the waits between them, excluding waits for the rate budget.
    pub elapsed: Duration,
    /// The limit of the first wait, which is uniform between zero and this. The limit doubles each time.
    pub first_backoff: Duration,
    /// The maximum of that limit.
    pub longest_backoff: Duration,
    /// The longest requested pause that is waited for; a longer one is returned to the caller.
    pub longest_wait: Duration,
    /// How long a refused sign-in, or a refused user and password, isn't retried with the same secrets.
    pub refusal_memory: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_mins(1),
            total_timeout: Duration::from_mins(2),
            stream_timeout: Duration::from_hours(1),
            drain: Duration::from_secs(5),
            body_cap: 64 * 1024 * 1024,
            pages: 10_000,
            attempts: 8,
            elapsed: Duration::from_mins(5),
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_mins(1),
            longest_wait: Duration::from_mins(5),
            refusal_memory: Duration::from_mins(1),
        }
    }
}

/// The numbers of requests that a client has made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// All requests, including failed ones and retries: calls, downloads, sign-ins and look-ups.
    pub sent: u64,
    /// Retries after a transient failure.
    pub retries: u64,
    /// Requests answered with 429.
    pub rate_limited: u64,
    /// Sign-ins, including renewals, but not the refresh of a session.
    pub sign_ins: u64,
}

/// The client of a connection, shared by all its jobs, with one token and one rate budget. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<ClientInner>,
    rank: Priority,
    calls: Option<Calls>,
    /// Which transient failures are retried.
    effort: RetryMode,
}

/// Which transient failures of a call are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RetryMode {
    /// None.
    Once,
    /// All except those that are answers.
    Usual,
    /// All.
    Full,
}

struct ClientInner {
    resolver: HostResolver,
    auth: Auth,
    api: ServiceHost,
    account: Option<String>,
    allow_http: bool,
}

impl Client {
    /// Validates the settings and creates a client. Sends nothing.
    ///
    /// Fails with [`ClientError::Settings`] if credentials would be sent to an untrusted host or over http without
    /// permission, if the rate budget is zero, or if the proxy or the certificates can't be used.
    pub fn new(settings: ClientSettings) -> Result<Self, ClientError> {
        let (http, proxies) = setup::check(&settings)
            .and_then(|()| setup::http_client(&settings))
            .map_err(|(problem, source)| ClientError::Settings {
                connection: settings.connection.clone(),
                problem,
                source,
            })?;
        let ClientSettings {
            connection,
            provider,
            endpoint,
            rate_limit: (limit, per),
            replicas,
            allow_http,
            limits,
            proxy,
            metrics,
            ..
        } = settings;
        let pacer = RateLimiter::new(limit, per, replicas);
        let memory = limits.refusal_memory;
        let hidden = proxy.as_ref().map(setup::hidden).unwrap_or_default();
        let inner = ClientInner {
            auth: Auth::new(endpoint.sign_in, endpoint.headers, memory),
            api: endpoint.api,
            account: endpoint.account,
            allow_http,
            resolver: HostResolver::new(
                Transport {
                    connection,
                    provider,
                    http,
                    proxies,
                    pacer,
                    retry_hints: endpoint.retry_hints,
                    limits,
                    counts: RequestCounts::default(),
                    metrics,
                    hidden,
                    clock: RemoteClock::default(),
                },
                endpoint.trusted_hosts,
                allow_http,
            ),
        };
        Ok(Self {
            inner: Arc::new(inner),
            rank: Priority::Prompt,
            calls: None,
            effort: RetryMode::Usual,
        })
    }

    /// Returns the client, with the same budget, with calls of low priority, which wait while any other call of the
    /// connection waits. Requests for all callers (a sign-in, the look-up of a host) don't.
    #[must_use]
    pub fn yielding(&self) -> Self {
        Self {
            rank: Priority::Yielding,
            ..self.clone()
        }
    }

    /// Returns the client, with the same budget, without retries of transient failures.
    #[must_use]
    pub fn once(&self) -> Self {
        Self {
            effort: RetryMode::Once,
            ..self.clone()
        }
    }

    /// Returns the client, with the same budget, with a 504 always treated as a transient failure.
    #[must_use]
    pub fn persisting(&self) -> Self {
        Self {
            effort: RetryMode::Full,
            ..self.clone()
        }
    }

    /// Returns the client, with the same budget, with its requests also counted in `calls`.
    #[must_use]
    pub fn counting(&self, calls: Calls) -> Self {
        Self {
            calls: Some(calls),
            ..self.clone()
        }
    }

    /// Returns the client with its requests counted separately as well as in total.
    pub fn apart(&self) -> (Self, Calls) {
        let calls = self.calls.as_ref().map_or_else(Calls::default, Calls::part);
        (self.counting(calls.clone()), calls)
    }

    /// Sends a call and returns its whole answer. Calls to the API have credentials, downloads don't.
    ///
    /// Every status is an answer, except those that are retried (408, 429, 500, 502, 503, 504 unless
    /// [`Call::gateway_timeout_is_answer`]) and a 401 of the API, after which the token is renewed once, if that may
    /// help. Calls must be idempotent. Redirects are answers and never followed. `{account}` in the path is replaced
    /// with the endpoint's account.
    ///
    /// When `stop` is cancelled, every wait ends at once with [`ClientError::Stopped`]. A request in flight may finish
    /// within [`ClientLimits::drain`], and its answer is returned. Dropping the future is always safe.
    pub async fn send(&self, call: &Call, stop: &CancellationToken) -> Result<Answer, ClientError> {
        self.take(call, stop).await
    }

    /// Sends a call like [`Client::send`], but leaves the body of a 2xx answer to the caller, without a size limit.
    ///
    /// A body that breaks off is [`ClientError::Broken`] and isn't retried; its received part is useless.
    pub async fn open(
        &self,
        call: &Call,
        stop: &CancellationToken,
    ) -> Result<OpenResponse, ClientError> {
        self.take(call, stop).await
    }

    /// Signs in, if that takes a separate request and hasn't been done.
    pub async fn sign_in(&self, stop: &CancellationToken) -> Result<(), ClientError> {
        let ClientInner { resolver, auth, .. } = &*self.inner;
        auth.token(resolver, None, self.by(stop)).await.map(drop)
    }

    /// Returns the text of an answer, which may repeat the request, without the connection's secrets, including those
    /// of its last sign-ins and their tokens.
    pub fn redact(&self, text: &str) -> String {
        let text = self.inner.auth.redact(text);
        self.inner
            .resolver
            .transport
            .hidden
            .apply(&text)
            .into_owned()
    }

    /// Returns a description of a redirect's target; `None` for other answers. Redirects are never followed.
    pub fn leads(&self, answer: &Answer) -> Option<String> {
        if !answer.status.is_redirection() {
            return None;
        }
        let target = transport::target(&answer.headers, setup::asked(&self.inner.api));
        let leads = match target {
            Some(target) => format!("it leads to `{target}`, and is not followed"),
            None => "it is a redirect without a target".to_owned(),
        };
        Some(leads)
    }

    /// Pauses the connection as requested by an answer that its adapter classified as a refusal in spite of its status.
    pub fn rest_after(&self, headers: &http::HeaderMap) {
        self.inner.resolver.transport.rest_after(headers);
    }

    /// Returns the API's clock, by the `Date` of its answers. Sign-ins, look-ups and downloads come from other hosts.
    pub fn clock(&self) -> RemoteClock {
        self.inner.resolver.transport.clock.clone()
    }

    /// Returns the maximum number of pages of a range.
    pub fn pages_at_most(&self) -> usize {
        self.inner.resolver.transport.limits.pages
    }

    /// Returns the numbers of requests so far.
    pub fn requests(&self) -> Requests {
        self.inner.resolver.transport.counts.snapshot()
    }

    /// Returns the rest of the rate budget for display, without taking any of it. A new process only knows the requests
    /// of others from the provider's headers.
    pub fn budget(&self) -> RateLimitStatus {
        self.inner.resolver.transport.pacer.budget()
    }

    /// Records the rest of the rate budget in the metrics.
    pub fn record_budget(&self) {
        self.inner.resolver.transport.record_budget();
    }

    async fn take<T: FromResponse>(
        &self,
        call: &Call,
        stop: &CancellationToken,
    ) -> Result<T, ClientError> {
        let forbidden = |problem| ClientError::Forbidden { problem };
        match &call.target {
            Target::Api { path, query } => {
                let path = self.path(path)?;
                // checked before anything is sent; it doesn't depend on the host
                url_policy::api_url(setup::asked(&self.inner.api), &path, query)
                    .map_err(forbidden)?;
                self.take_signed(call, &path, query, stop).await
            }
            Target::Download { url } => {
                let url =
                    url_policy::download_url(url, self.inner.allow_http).map_err(forbidden)?;
                // a download's query is its credential
                let hidden = body::hidden_query(&url).and(&self.inner.resolver.transport.hidden);
                let mut out = self.outgoing(call, url, None, &hidden);
                let transport = &self.inner.resolver.transport;
                transport.send(&mut out, &mut (), stop).await
            }
        }
    }

    fn by<'a>(&'a self, stop: &'a CancellationToken) -> Caller<'a> {
        Caller {
            stop,
            calls: self.calls.as_ref(),
        }
    }

    /// Returns the path with the account inserted.
    fn path(&self, path: &str) -> Result<String, ClientError> {
        const ACCOUNT: &str = "{account}";
        if !path.contains(ACCOUNT) {
            return Ok(path.to_owned());
        }
        let Some(account) = &self.inner.account else {
            let problem = format!("the path `{path}` needs an account, and none is set");
            return Err(self.inner.resolver.transport.settings(problem));
        };
        let account = utf8_percent_encode(account, SEGMENT).to_string();
        Ok(path.replace(ACCOUNT, &account))
    }

    async fn take_signed<T: FromResponse>(
        &self,
        call: &Call,
        path: &str,
        query: &[(&'static str, String)],
        stop: &CancellationToken,
    ) -> Result<T, ClientError> {
        let ClientInner {
            resolver,
            auth,
            api,
            ..
        } = &*self.inner;
        let transport = &resolver.transport;
        let mut refused: Option<Arc<Token>> = None;
        loop {
            let mut place = resolver.find(api, self.by(stop)).await?;
            let url = url_policy::api_url(&place.url, path, query)
                .map_err(|problem| ClientError::Forbidden { problem })?;
            let by = self.by(stop);
            let token = auth.token(resolver, refused.as_deref(), by).await?;
            let mut out = self.outgoing(call, url, Some(&token), token.hidden());
            let got: T = transport.send(&mut out, &mut place.route, stop).await?;
            let message = got
                .whole()
                .map(transport.retry_hints.error_in_body)
                .unwrap_or_default();
            if let Some(pause) = message.pause {
                transport.rest_for(pause);
            }
            if message.token_refused {
                if refused.is_none() && auth.is_worth_renewing(resolver, &token, true) {
                    tracing::debug!(connection = transport.connection, "the token was refused");
                    refused = Some(token);
                    continue;
                }
                // its adapter interprets the rest
                return Ok(got);
            }
            let answer = got
                .whole()
                .filter(|answer| answer.status == StatusCode::UNAUTHORIZED);
            let Some(answer) = answer else {
                token.accept();
                return Ok(got);
            };
            let of_token = (transport.retry_hints.token_refused)(&answer.body);
            if refused.is_none() && auth.is_worth_renewing(resolver, &token, of_token) {
                tracing::debug!(connection = transport.connection, "the token was refused");
                refused = Some(token);
                continue;
            }
            let error = ClientError::Auth {
                request: out.request,
                tried: Attempts {
                    attempts: 1,
                    status: Some(answer.status),
                    message: body::excerpt(&answer.body, token.hidden()),
                    ..Attempts::default()
                },
            };
            auth.refuse(&token, &error).await;
            return Err(error);
        }
    }

    /// Sends a call with this token; without one, it is a download, outside the provider's budget.
    fn outgoing<'a>(
        &'a self,
        call: &'a Call,
        url: Url,
        token: Option<&Token>,
        hidden: &'a Redactor,
    ) -> PreparedRequest<'a> {
        let to = if token.is_some() {
            Traffic::Api
        } else {
            Traffic::Elsewhere
        };
        let mut out = PreparedRequest {
            body: call.body.clone().map(Bytes::from),
            body_cap: self.inner.resolver.transport.limits.body_cap,
            gateway_timeout_is_answer: call.gateway_timeout_is_answer
                && self.effort != RetryMode::Full,
            rank: self.rank,
            retried: self.effort != RetryMode::Once,
            calls: self.calls.as_ref(),
            ..PreparedRequest::new(&call.method, url, to, hidden)
        };
        let json = HeaderValue::from_static("application/json");
        if let Some(token) = token {
            out.headers = token.headers();
            out.headers.insert(ACCEPT, json.clone());
            let identity = HeaderValue::from_static("identity");
            out.headers.insert(ACCEPT_ENCODING, identity);
            out.judge = request::judge_data;
        }
        if call.body.is_some() {
            out.headers.insert(CONTENT_TYPE, json);
        }
        out
    }
}

/// Formats a URL that wasn't validated yet without its password.
fn shown(place: &ServiceHost) -> String {
    match place {
        ServiceHost::At(url) => error::bare(url),
        ServiceHost::Named(named) => {
            format!("`{}` by {}", named.service, error::bare(&named.question))
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("connection", &self.inner.resolver.transport.connection)
            .field("api", &shown(&self.inner.api))
            .field("requests", &self.requests())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings")
            .field("connection", &self.connection)
            .field("provider", &self.provider)
            .field("api", &shown(&self.endpoint.api))
            .field("trusted_hosts", &self.endpoint.trusted_hosts)
            .field("rate_limit", &self.rate_limit)
            .field("replicas", &self.replicas)
            .field("proxy", &self.proxy)
            .field("ca_file", &self.ca_file)
            .field("allow_http", &self.allow_http)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

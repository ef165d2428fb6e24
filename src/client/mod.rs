//! The HTTP client of one connection: sign-in, rate budget, retries, caps, and where requests may go.
//!
//! [`Client::send`] is the whole of it, and [`Client::open`] the same for bodies without bound. What may pass by itself is retried inside; what comes out is an answer for the
//! adapter or an error whose [`kind`](ClientError::kind) says what it means.

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

/// What stands in a path as it is; all else is percent-encoded (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What a connection's client is made of.
#[derive(Clone)]
pub struct ClientSettings {
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
    pub limits: ClientLimits,
    /// Who is told of requests.
    pub metrics: metrics::ConnectionMetrics,
}

/// Where the client's patience ends.
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// For a connection to stand, TLS included.
    pub connect_timeout: Duration,
    /// Between two reads of an answer, its first included.
    pub read_timeout: Duration,
    /// For a request and its whole answer.
    pub total_timeout: Duration,
    /// The same for one whose body is streamed, whoever reads it included.
    pub stream_timeout: Duration,
    /// How long a request under way may go on after the caller's stop; a streamed body ends at once.
    pub drain: Duration,
    /// The largest body, in bytes; a streamed one has no bound.
    pub body_cap: u64,
    /// The most pages of one range: one that has more is asked for in smaller ranges.
    pub pages: usize,
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
    /// How long a refused sign-in, or a refused user and password, isn't tried again with the same secrets.
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

/// How many requests a client has made since it exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// Sent, whatever became of them: calls, downloads, sign-ins, look-ups, each attempt counted.
    pub sent: u64,
    /// Sent again after a passing failure.
    pub retries: u64,
    /// Answered by 429.
    pub rate_limited: u64,
    /// Sign-ins begun, renewals included; keeping a session up isn't one.
    pub sign_ins: u64,
}

/// The client of one connection, shared by all its jobs: one token, one rate budget. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<ClientInner>,
    rank: Priority,
    calls: Option<Calls>,
    /// Whether what may pass is sent again.
    effort: RetryMode,
}

/// Whether a call whose failure may pass is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RetryMode {
    /// Not at all.
    Once,
    /// Unless its failure is an answer.
    Usual,
    /// Whatever its failure.
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
    /// Checks the settings and makes a client; sends nothing.
    ///
    /// Fails with [`ClientError::Settings`] if credentials would go to a host that isn't trusted or over http without
    /// leave, if the rate budget is nothing, or if the proxy or the certificates can't be used.
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
                    manners: endpoint.manners,
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

    /// The same client, of the same budget, whose calls wait as long as any other call of the connection does. What
    /// serves all of them (a sign-in, the look-up of a host) doesn't.
    #[must_use]
    pub fn yielding(&self) -> Self {
        Self {
            rank: Priority::Yielding,
            ..self.clone()
        }
    }

    /// The same client, of the same budget, whose calls are sent once: what may pass isn't sent again.
    #[must_use]
    pub fn once(&self) -> Self {
        Self {
            effort: RetryMode::Once,
            ..self.clone()
        }
    }

    /// The same client, of the same budget, to whom a 504 is never an answer but a failure that may pass.
    #[must_use]
    pub fn persisting(&self) -> Self {
        Self {
            effort: RetryMode::Full,
            ..self.clone()
        }
    }

    /// The same client, of the same budget, whose requests are counted there, too.
    #[must_use]
    pub fn counting(&self, calls: Calls) -> Self {
        Self {
            calls: Some(calls),
            ..self.clone()
        }
    }

    /// The same client, its requests counted by themselves, and with the others'.
    pub fn apart(&self) -> (Self, Calls) {
        let calls = self.calls.as_ref().map_or_else(Calls::default, Calls::part);
        (self.counting(calls.clone()), calls)
    }

    /// Sends a call, signed if it goes to the API, bare if it is a download, and returns its answer, whole.
    ///
    /// Any status is an answer but those that are retried inside (408, 429, 500, 502, 503, 504 unless
    /// [`Call::gateway_timeout_is_answer`]) and a 401 of the API, after which the token is renewed once, if that may
    /// help. Calls must be safe to repeat. Redirects are answers and never followed. `{account}` in the path is the
    /// endpoint's account.
    ///
    /// When `stop` is cancelled every wait ends at once with [`ClientError::Stopped`]; a request under way may finish
    /// within [`ClientLimits::drain`], and its answer is returned. Dropping the future is safe at any point, too.
    pub async fn send(&self, call: &Call, stop: &CancellationToken) -> Result<Answer, ClientError> {
        self.take(call, stop).await
    }

    /// Sends a call as [`Client::send`] does, but a 2xx answer's body isn't read: it is the caller's, and has no cap.
    ///
    /// A body that breaks is [`ClientError::Broken`] and not asked for again: what of it was read is of no use then.
    pub async fn open(
        &self,
        call: &Call,
        stop: &CancellationToken,
    ) -> Result<OpenResponse, ClientError> {
        self.take(call, stop).await
    }

    /// Signs in, if that takes a call of its own and hasn't been done; else sends nothing.
    pub async fn sign_in(&self, stop: &CancellationToken) -> Result<(), ClientError> {
        let ClientInner { resolver, auth, .. } = &*self.inner;
        auth.token(resolver, None, self.by(stop)).await.map(drop)
    }

    /// The text without the connection's secrets, those of its last sign-ins and what they brought: for what is told of
    /// an answer, which may echo what was sent.
    pub fn redact(&self, text: &str) -> String {
        let text = self.inner.auth.redact(text);
        self.inner
            .resolver
            .transport
            .hidden
            .apply(&text)
            .into_owned()
    }

    /// Where a redirect leads, in words; nothing for another answer. None is ever followed.
    pub fn leads(&self, answer: &Answer) -> Option<String> {
        if !answer.status.is_redirection() {
            return None;
        }
        let target = transport::target(&answer.headers, setup::asked(&self.inner.api));
        let leads = match target {
            Some(target) => format!("it leads to `{target}`, and is not followed"),
            None => "it is a redirect that doesn't say where to".to_owned(),
        };
        Some(leads)
    }

    /// Lets the connection rest as an answer asks which its adapter found to be a refusal, though its status doesn't say so.
    pub fn rest_after(&self, headers: &http::HeaderMap) {
        self.inner.resolver.transport.rest_after(headers);
    }

    /// The API's clock, as the `Date` of its answers shows it. Sign-ins, look-ups and downloads come from other hosts.
    pub fn clock(&self) -> RemoteClock {
        self.inner.resolver.transport.clock.clone()
    }

    /// The most pages of one range.
    pub fn pages_at_most(&self) -> usize {
        self.inner.resolver.transport.limits.pages
    }

    /// What was sent up to now.
    pub fn requests(&self) -> Requests {
        self.inner.resolver.transport.counts.snapshot()
    }

    /// How much of the rate budget is left, for whoever wants to see it: takes nothing, and delays nobody. A process that has just
    /// begun knows of no other's requests but by what the provider's headers say.
    pub fn budget(&self) -> RateLimitStatus {
        self.inner.resolver.transport.pacer.budget()
    }

    /// Tells the metrics how much of the rate budget is left now.
    pub fn tell_of_budget(&self) {
        self.inner.resolver.transport.tell_of_budget();
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
                // before anything is sent: another host makes no difference to it
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

    /// The path with the account where it stands for it.
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
            let said = got.whole().map(transport.manners.said).unwrap_or_default();
            if let Some(pause) = said.pause {
                transport.rest_for(pause);
            }
            if said.token_refused {
                if refused.is_none() && auth.is_worth_renewing(resolver, &token, true) {
                    tracing::debug!(connection = transport.connection, "the token was refused");
                    refused = Some(token);
                    continue;
                }
                // what else it says is its adapter's to read
                return Ok(got);
            }
            let answer = got
                .whole()
                .filter(|answer| answer.status == StatusCode::UNAUTHORIZED);
            let Some(answer) = answer else {
                token.accept();
                return Ok(got);
            };
            let of_token = (transport.manners.token_refused)(&answer.body);
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
                    said: body::excerpt(&answer.body, token.hidden()),
                    ..Attempts::default()
                },
            };
            auth.refuse(&token, &error).await;
            return Err(error);
        }
    }

    /// A call with this token; without one it is a download, outside the provider's budget.
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

/// Without what a URL before its check may hold: a password.
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
        f.debug_struct("Settings")
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

//! The transport of a connection: sends a request until it is answered, with rate limit, retries and drain.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use url::Url;

use super::body::{self, BodyError};
use super::calls::Caller;
use super::error::{Attempts, Cause, ClientError, PAGE, bare, origin};
use super::pause::HeaderContext;
use super::proxy::{self, Proxies, Proxy};
use super::rate_headers::RateLimitHeaders;
use super::rate_limiter::{Paused, RateLimiter};
use super::request::{FromResponse, PreparedRequest, ResponseVerdict, Route, Traffic};
use super::retry::{self, Retries};
use super::{ClientLimits, Requests};
use crate::clock::{self, RemoteClock};
use crate::foreign;
use crate::metrics;
use crate::providers::{RetryHints, TransientFailure};
use crate::secret::Redactor;

/// The state shared by all requests of a connection.
pub(super) struct Transport {
    pub(super) connection: String,
    pub(super) provider: &'static str,
    pub(super) http: reqwest::Client,
    /// The proxy, if any.
    pub(super) proxies: Proxies,
    pub(super) pacer: RateLimiter,
    pub(super) retry_hints: RetryHints,
    pub(super) limits: ClientLimits,
    pub(super) counts: RequestCounts,
    pub(super) metrics: metrics::ConnectionMetrics,
    /// Secrets that no excerpt of any request may contain: a proxy's password.
    pub(super) hidden: Redactor,
    /// The API's clock, as shown by its answers.
    pub(super) clock: RemoteClock,
}

/// The counts behind [`Requests`].
#[derive(Debug, Default)]
pub(super) struct RequestCounts {
    sent: AtomicU64,
    retries: AtomicU64,
    rate_limited: AtomicU64,
    pub(super) sign_ins: AtomicU64,
}

impl RequestCounts {
    pub(super) fn snapshot(&self) -> Requests {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Requests {
            sent: read(&self.sent),
            retries: read(&self.retries),
            rate_limited: read(&self.rate_limited),
            sign_ins: read(&self.sign_ins),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The result of an attempt.
enum AttemptOutcome<T> {
    Answered(T),
    TooLarge,
    Passing(TransientResponse),
    Broken(reqwest::Error),
    Late(Cause),
    /// A proxy requires credentials.
    ByProxy,
}

/// An answer after which a retry may succeed.
struct TransientResponse {
    status: StatusCode,
    body: Bytes,
    /// The requested wait.
    asked: Option<Duration>,
    /// The problem of an answer with a successful status.
    what: Option<&'static str>,
}

/// The transient failures of a call.
#[derive(Default)]
struct FailureCounts {
    /// The failures with 429.
    limited: u32,
    /// The failures with another status.
    failed: u32,
    /// The failures without an answer in a row, since the host was last looked up.
    unanswered: u32,
}

impl Transport {
    /// Sends a request, with retries after transient failures, and handles the first other answer.
    ///
    /// After two attempts without any answer, the route may change to another host.
    pub(super) async fn send<T: FromResponse>(
        &self,
        out: &mut PreparedRequest<'_>,
        route: &mut impl Route,
        stop: &CancellationToken,
    ) -> Result<T, ClientError> {
        let mut retries = Retries::new(&self.limits);
        let mut failures = FailureCounts::default();
        let mut tried = Attempts::default();
        let mut begun = None;
        loop {
            self.wait_for_turn(out, &tried, stop).await?;
            let started = Instant::now();
            let begun = *begun.get_or_insert(started);
            tried.attempts += 1;
            let ended = self.attempt(out, tried.attempts, stop).await?;
            tried.elapsed = begun.elapsed();
            let (mut asked, mut rest, mut source) = (None, Duration::ZERO, None);
            match ended {
                AttemptOutcome::Answered(answer) => match redirected(out, &answer) {
                    Some(error) => return Err(error),
                    None => return Ok(answer),
                },
                AttemptOutcome::TooLarge => {
                    return Err(ClientError::BodyTooLarge {
                        request: out.request.clone(),
                        cap: out.body_cap,
                    });
                }
                AttemptOutcome::Passing(passing) => {
                    tried.status = Some(passing.status);
                    // a partial answer isn't an error message, and may contain a token or records
                    tried.message = Some(&passing.body)
                        .filter(|_| passing.what.is_none_or(|what| what == PAGE))
                        .and_then(|body| body::excerpt(body, out.hidden));
                    tried.what = passing.what;
                    asked = passing.asked;
                    rest = self.rest(out, &mut failures, passing.status, &passing.body);
                }
                AttemptOutcome::Broken(error) => source = Some(self.passing(out, error).await?),
                AttemptOutcome::Late(error) => source = Some(error),
                AttemptOutcome::ByProxy => return Err(self.refused_by_proxy(out)),
            }
            if source.is_some() {
                (tried.status, tried.message, tried.what) = (None, None, None);
                failures.unanswered += 1;
            }
            self.pause(out, asked, &tried)?;
            if stop.is_cancelled() {
                return Err(ClientError::Stopped);
            }
            let wait = retries.next(started.elapsed(), asked, rest);
            let Some(wait) = wait.filter(|_| out.retried) else {
                // an old host may also answer forever that it is down
                if tried.status != Some(StatusCode::TOO_MANY_REQUESTS) {
                    route.give_up();
                }
                return Err(ClientError::GaveUp {
                    request: out.request.clone(),
                    tried,
                    retry_after: asked,
                    of_sign_in: matches!(out.to, Traffic::Login | Traffic::Directory),
                    source,
                });
            };
            self.wait(out, &tried, source.as_deref(), wait, stop)
                .await?;
            if failures.unanswered >= 2 && route.may_turn() {
                failures.unanswered = 0;
                let by = Caller {
                    stop,
                    calls: out.calls,
                };
                if let Some(url) = route.turn(&out.url, by).await? {
                    out.redirect(url);
                }
            }
        }
    }

    /// Returns the pause after this failure, by the provider's retry hints.
    fn rest(
        &self,
        out: &PreparedRequest<'_>,
        failures: &mut FailureCounts,
        status: StatusCode,
        body: &[u8],
    ) -> Duration {
        failures.unanswered = 0;
        if out.to == Traffic::Elsewhere {
            return Duration::ZERO; // not the provider's own host
        }
        let times = match status {
            StatusCode::TOO_MANY_REQUESTS => &mut failures.limited,
            _ => &mut failures.failed,
        };
        *times += 1;
        let rest = (self.retry_hints.rest)(TransientFailure {
            status,
            body,
            times: *times,
            signing_in: out.to == Traffic::Login,
        });
        rest.min(self.limits.longest_wait)
    }

    /// Pauses the connection as requested by the answer. Fails if the pause is longer than a call waits.
    fn pause(
        &self,
        out: &PreparedRequest<'_>,
        asked: Option<Duration>,
        tried: &Attempts,
    ) -> Result<(), ClientError> {
        let Some(asked) = asked else {
            return Ok(());
        };
        if out.to != Traffic::Elsewhere {
            self.pacer.pause_for(asked);
            self.record_budget();
        }
        if asked > self.limits.longest_wait {
            return Err(ClientError::RateLimited {
                request: out.request.clone(),
                retry_after: asked,
                tried: tried.clone(),
            });
        }
        Ok(())
    }

    /// Waits before the next attempt.
    async fn wait(
        &self,
        out: &PreparedRequest<'_>,
        tried: &Attempts,
        source: Option<&(dyn std::error::Error + Send + Sync + 'static)>,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Result<(), ClientError> {
        count(&self.counts.retries);
        self.metrics.retried();
        tracing::warn!(
            connection = self.connection,
            request = %out.request,
            attempt = tried.attempts,
            wait_ms = millis(wait),
            reason = reason(tried, source),
            "trying again"
        );
        if out.to != Traffic::Elsewhere && tried.status == Some(StatusCode::TOO_MANY_REQUESTS) {
            // the budget is the connection's, so no other call would succeed
            self.pacer.pause_for(wait.min(self.limits.longest_wait));
            self.record_budget();
        }
        tokio::select! {
            () = stop.cancelled() => Err(ClientError::Stopped),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    /// Returns the error for unusable settings.
    pub(super) fn settings(&self, problem: String) -> ClientError {
        ClientError::Settings {
            connection: self.connection.clone(),
            problem,
            source: None,
        }
    }

    async fn wait_for_turn(
        &self,
        out: &PreparedRequest<'_>,
        tried: &Attempts,
        stop: &CancellationToken,
    ) -> Result<(), ClientError> {
        if stop.is_cancelled() {
            return Err(ClientError::Stopped);
        }
        if out.to == Traffic::Elsewhere {
            return Ok(());
        }
        let asked = Instant::now();
        let answer = self.pacer.take(out.rank, self.limits.longest_wait);
        let answer = tokio::select! {
            biased;
            () = stop.cancelled() => Err(ClientError::Stopped),
            answer = answer => {
                answer.map_err(|Paused(retry_after)| ClientError::RateLimited {
                    request: out.request.clone(),
                    retry_after,
                    tried: tried.clone(),
                })
            }
        };
        self.metrics.waited(asked.elapsed());
        answer
    }

    /// Records that the budget may have changed.
    pub(super) fn record_budget(&self) {
        self.metrics.pace(self.pacer.per_second());
        let budget = self.pacer.budget();
        self.metrics.left(budget.left);
        if !budget.pause.is_zero() {
            self.metrics.paused_until(clock::real_now() + budget.pause);
        }
    }

    /// Makes an attempt, which may finish within the drain time after `stop` is cancelled.
    async fn attempt<T: FromResponse>(
        &self,
        out: &PreparedRequest<'_>,
        number: u32,
        stop: &CancellationToken,
    ) -> Result<AttemptOutcome<T>, ClientError> {
        let started = Instant::now();
        let span = self.span(out, number);
        count(&self.counts.sent);
        if let Some(calls) = out.calls {
            calls.count(number > 1);
        }
        let drained = async {
            stop.cancelled().await;
            tokio::time::sleep(self.limits.drain).await;
        };
        let ended: AttemptOutcome<T> = tokio::select! {
            biased;
            ended = self.exchange(out).instrument(span.clone()) => ended,
            () = drained => {
                self.metrics.sent(None, started.elapsed());
                return Err(ClientError::Stopped);
            }
        };
        let status = match &ended {
            AttemptOutcome::Answered(answer) => Some(answer.status()),
            AttemptOutcome::Passing(passing) => Some(passing.status),
            AttemptOutcome::TooLarge | AttemptOutcome::Broken(_) | AttemptOutcome::Late(_) => None,
            AttemptOutcome::ByProxy => Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED),
        };
        if status == Some(StatusCode::TOO_MANY_REQUESTS) {
            count(&self.counts.rate_limited);
        }
        let code = status.map(|status| status.as_u16());
        self.metrics.sent(code, started.elapsed());
        if let Some(code) = code {
            span.record("http.response.status_code", code);
        }
        if code.is_none_or(|code| code >= 400) {
            let why = code.map_or_else(|| "no_answer".to_owned(), |code| code.to_string());
            span.record("error.type", why);
            span.record("otel.status_code", "ERROR");
        }
        tracing::debug!(
            connection = self.connection,
            provider = self.provider,
            method = %out.method,
            host = out.url.host_str(),
            path = out.url.path(),
            status = code,
            ms = millis(started.elapsed()),
            attempt = number,
            "request"
        );
        Ok(ended)
    }

    /// attributes by OpenTelemetry's conventions for HTTP clients, without the query, which may be a credential
    fn span(&self, out: &PreparedRequest<'_>, attempt: u32) -> tracing::Span {
        use tracing::field::Empty;
        let url = &out.url;
        tracing::trace_span!(
            "request",
            "otel.name" = %out.method,
            "otel.kind" = "client",
            "http.request.method" = %out.method,
            "http.request.resend_count" = (attempt > 1).then(|| attempt - 1),
            "server.address" = url.host_str(),
            "server.port" = url.port_or_known_default(),
            "url.full" = bare(url),
            "http.response.status_code" = Empty,
            "error.type" = Empty,
            "otel.status_code" = Empty,
            connection = self.connection,
            provider = self.provider,
        )
    }

    async fn exchange<T: FromResponse>(&self, out: &PreparedRequest<'_>) -> AttemptOutcome<T> {
        let mut request = self
            .http
            .request(out.method.clone(), out.url.clone())
            .headers(out.headers.clone())
            .timeout(T::timeout(&self.limits));
        if let Some(body) = &out.body {
            request = request.body(body.clone());
        }
        let sent = std::time::Instant::now();
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return AttemptOutcome::Broken(error.without_url()),
        };
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return AttemptOutcome::ByProxy;
        }
        if out.to == Traffic::Api {
            self.clock.hear(&headers, sent);
        }
        let asked = self.asked(out, status, &headers);
        let is_answer = out.gateway_timeout_is_answer && status == StatusCode::GATEWAY_TIMEOUT;
        // otherwise, a request to retry later would be read as a refused permission or a conflict. A refused token is
        // replaced, and the refusal of a sign-in is classified by its message
        let may_wait = asked.is_some()
            && (status.is_client_error() || status.is_server_error())
            && status != StatusCode::UNAUTHORIZED
            && out.to != Traffic::Login;
        if (retry::is_transient(status) || may_wait) && !is_answer {
            let some = body::read_some(response);
            let some = tokio::time::timeout(self.limits.total_timeout, some).await;
            return AttemptOutcome::Passing(TransientResponse {
                status,
                // a late answer isn't used
                body: some.unwrap_or_default(),
                asked,
                what: None,
            });
        }
        match T::take((status, headers), response, out, &self.limits).await {
            Ok(answer) => Self::judged(out, answer, asked),
            Err(BodyError::TooLarge) => AttemptOutcome::TooLarge,
            Err(BodyError::Broken(error)) => AttemptOutcome::Broken(error.without_url()),
            Err(BodyError::Late(error)) => AttemptOutcome::Late(Arc::new(error)),
            Err(BodyError::Packed(error)) => AttemptOutcome::Late(error),
        }
    }

    /// Returns the wait requested by an answer that isn't a success, by `Retry-After` or its rate limit headers, which
    /// also correct the connection's budget.
    fn asked(
        &self,
        out: &PreparedRequest<'_>,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<Duration> {
        let reading = HeaderContext::new(headers, clock::real_now(), self.limits.longest_backoff);
        let own = self.retry_hints.rate_headers.as_ref();
        let message =
            RateLimitHeaders::read(&reading, own, status == StatusCode::TOO_MANY_REQUESTS);
        if out.to == Traffic::Api {
            if let Some(message) = message {
                self.pacer.observe(message);
            }
            self.record_budget();
        }
        if status.is_success() {
            return None;
        }
        let is_refusal = status.is_server_error()
            || matches!(
                status,
                StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
            );
        let spent = message
            .and_then(|message| message.spent_for)
            .filter(|_| is_refusal);
        let asked = reading.retry_after().or(spent);
        if let Some(asked) = asked.filter(|_| out.to != Traffic::Elsewhere) {
            self.pacer.pause_for(asked);
        }
        asked
    }

    /// Pauses the connection as requested by these headers, if at all.
    pub(super) fn rest_after(&self, headers: &HeaderMap) {
        let reading = HeaderContext::new(headers, clock::real_now(), self.limits.longest_backoff);
        if let Some(asked) = reading.retry_after() {
            self.rest_for(asked);
        }
    }

    /// Pauses the connection.
    pub(super) fn rest_for(&self, pause: Duration) {
        self.pacer.pause_for(pause);
        self.record_budget();
    }

    /// Returns the answer, unless it is a transient failure in spite of its status.
    fn judged<T: FromResponse>(
        out: &PreparedRequest<'_>,
        answer: T,
        asked: Option<Duration>,
    ) -> AttemptOutcome<T> {
        let Some(body) = answer.whole() else {
            return AttemptOutcome::Answered(answer);
        };
        let (asked, what) = match (out.judge)(body) {
            ResponseVerdict::Answer => return AttemptOutcome::Answered(answer),
            ResponseVerdict::Unclear
                if asked.is_none() || body.status == StatusCode::UNAUTHORIZED =>
            {
                return AttemptOutcome::Answered(answer);
            }
            ResponseVerdict::Unclear => (asked, None),
            ResponseVerdict::Passing(what) => (asked, what),
            ResponseVerdict::Limited(least) => (asked.max(Some(least)), None),
        };
        AttemptOutcome::Passing(TransientResponse {
            status: body.status,
            body: body.body.clone(),
            asked,
            what,
        })
    }
}

/// Returns the error for the redirect of a sign-in or a look-up, which is never followed. The adapter interprets the
/// redirect of a call.
fn redirected<T: FromResponse>(out: &PreparedRequest<'_>, answer: &T) -> Option<ClientError> {
    let asks_for_data = matches!(out.to, Traffic::Api | Traffic::Elsewhere);
    let answer = answer
        .whole()
        .filter(|answer| answer.status.is_redirection() && !asks_for_data)?;
    Some(ClientError::Redirected {
        request: out.request.clone(),
        status: answer.status,
        target: target(&answer.headers, &out.url),
    })
}

/// Returns the scheme, host and port of a redirect's target, if given.
pub(super) fn target(headers: &HeaderMap, from: &Url) -> Option<String> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let url = from.join(location).ok().filter(Url::has_host)?;
    Some(foreign::line(&origin(&url)).into_owned())
}

impl Transport {
    /// Returns a transient error with advice in case it persists; a proxy's refusal is permanent.
    async fn passing(
        &self,
        out: &PreparedRequest<'_>,
        error: reqwest::Error,
    ) -> Result<Cause, ClientError> {
        let Some(proxy) = self.proxies.of(&out.url) else {
            return passing(out, error);
        };
        let is_connect = error.is_connect();
        let error = passing(out, error)?;
        let within = self.limits.connect_timeout;
        let advice = match proxy.blame(&error, &out.url, within).await {
            Some(proxy::ProxyRefusal::Status(status)) if !proxy::may_pass(status) => {
                return Err(refused_by(&proxy, out, status));
            }
            Some(proxy::ProxyRefusal::Status(status)) => {
                let status = status.as_u16();
                format!("the proxy `{proxy}` answered {status}")
            }
            Some(proxy::ProxyRefusal::Passing(advice)) => advice,
            // without a tunnel, the unreachable host is the proxy
            None if is_connect && out.url.scheme() == "http" => {
                format!("the proxy `{proxy}` can't be reached")
            }
            None => return Ok(error),
        };
        Ok(Arc::new(RetryAdvice {
            advice: advice.into(),
            error,
        }))
    }

    /// Returns whether only a proxy answers with this status.
    fn refused_by_proxy(&self, out: &PreparedRequest<'_>) -> ClientError {
        let status = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        match self.proxies.of(&out.url) {
            Some(proxy) => refused_by(&proxy, out, status),
            None => ClientError::Proxy {
                request: out.request.clone(),
                proxy: None,
                status,
                advice: "no proxy is configured here, so it is a transparent one",
            },
        }
    }
}

fn refused_by(proxy: &Proxy, out: &PreparedRequest<'_>, status: StatusCode) -> ClientError {
    ClientError::Proxy {
        request: out.request.clone(),
        proxy: Some(proxy.to_string()),
        status,
        advice: proxy::advice(status),
    }
}

/// Returns a transient error with advice in case it persists.
fn passing(out: &PreparedRequest<'_>, error: reqwest::Error) -> Result<Cause, ClientError> {
    let tls = tls_error(&error);
    if let Some(rustls::Error::InvalidCertificate(why)) = tls {
        return Err(ClientError::Certificate {
            request: out.request.clone(),
            advice: advice(why),
            source: Arc::new(error),
        });
    }
    if matches!(tls, Some(rustls::Error::InvalidMessage(_))) {
        return Ok(Arc::new(RetryAdvice {
            advice: "the server there doesn't use TLS (is the port right?)".into(),
            error: Arc::new(error),
        }));
    }
    if is_no_http(&error) {
        return Ok(Arc::new(RetryAdvice {
            advice: "the server there doesn't use HTTP (is it `https://`?)".into(),
            error: Arc::new(error),
        }));
    }
    if error.is_builder() {
        return Err(ClientError::Forbidden {
            problem: format!("{} can't be made into a request", out.request),
        });
    }
    Ok(Arc::new(error))
}

/// An error with advice.
#[derive(Debug, thiserror::Error)]
#[error("{advice}")]
struct RetryAdvice {
    advice: Cow<'static, str>,
    #[source]
    error: Cause,
}

fn advice(why: &rustls::CertificateError) -> &'static str {
    use rustls::CertificateError as Why;
    match why {
        Why::UnknownIssuer => "if your own certificate authority signed it, set `ca_file`",
        Why::Expired | Why::ExpiredContext { .. } => {
            "it has expired, unless this machine's clock is wrong"
        }
        Why::NotValidYet | Why::NotValidYetContext { .. } => {
            "it isn't valid yet, unless this machine's clock is wrong"
        }
        Why::NotValidForName | Why::NotValidForNameContext { .. } => {
            "it is for another host than the URL's"
        }
        _ => "the server's operator has to replace it",
    }
}

/// Returns whether the answer isn't HTTP.
fn is_no_http(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_hyper = error.to_string() == "invalid HTTP version parsed";
    is_hyper || error.source().is_some_and(is_no_http)
}

/// Returns the TLS error of a failure. A certificate error is permanent.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    // an I/O error's source is its inner error's source, so the inner error has to be accessed explicitly
    let inner = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    match inner {
        Some(inner) => tls_error(inner),
        None => error.source().and_then(tls_error),
    }
}

fn reason(
    tried: &Attempts,
    error: Option<&(dyn std::error::Error + Send + Sync + 'static)>,
) -> String {
    let Some(error) = error else {
        return tried
            .status
            .map(|status| format!("status {}", status.as_u16()))
            .unwrap_or_default();
    };
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! One request until it is answered: pacing, attempts, drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::body::{self, ReadError};
use super::calls::Caller;
use super::directory::Directory;
use super::error::{Cause, ClientError, Request, Tried, bare};
use super::outgoing::{Outgoing, Taken, To};
use super::pacing::{Pacer, Paused};
use super::retry::{self, Retries};
use super::{Limits, Requests};
use crate::clock;
use crate::metrics;
use crate::providers::{Failed, Manners};
use crate::secret::Hidden;

/// What all requests of a connection share.
pub(super) struct Wire {
    pub(super) connection: String,
    pub(super) provider: &'static str,
    pub(super) http: reqwest::Client,
    pub(super) pacer: Pacer,
    pub(super) directory: Directory,
    pub(super) manners: Manners,
    pub(super) limits: Limits,
    pub(super) counts: Counts,
    pub(super) metrics: metrics::Connection,
    /// What no excerpt may show, whatever was sent: a proxy's password.
    pub(super) hidden: Hidden,
}

/// See [`Requests`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    sent: AtomicU64,
    retries: AtomicU64,
    rate_limited: AtomicU64,
    pub(super) sign_ins: AtomicU64,
}

impl Counts {
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

/// How one attempt ended.
enum Attempt<T> {
    Taken(T),
    TooLarge,
    Passing(StatusCode, HeaderMap, Bytes),
    Broken(reqwest::Error),
    Late(Cause),
}

/// How often one call has failed in ways that may pass.
#[derive(Default)]
struct Failures {
    /// By 429.
    limited: u32,
    /// By another status.
    failed: u32,
    /// In a row, without an answer, since the host was looked up anew.
    unanswered: u32,
}

impl Wire {
    /// Sends it, again after passing failures, and takes the first answer that isn't one.
    ///
    /// A looked-up host that gave no answer twice is looked up anew.
    pub(super) async fn send<T: Taken>(
        &self,
        out: &mut Outgoing<'_>,
        stop: &CancellationToken,
    ) -> Result<T, ClientError> {
        let mut retries = Retries::new(&self.limits);
        let mut failures = Failures::default();
        let mut tried = Tried::default();
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
                Attempt::Taken(taken) => return Ok(taken),
                Attempt::TooLarge => {
                    return Err(ClientError::BodyTooLarge {
                        request: out.request.clone(),
                        cap: out.body_cap,
                    });
                }
                Attempt::Passing(status, headers, body) => {
                    tried.status = Some(status);
                    tried.said = body::excerpt(&body, out.hidden);
                    asked = retry::retry_after(&headers, clock::real_now());
                    rest = self.rest(out, &mut failures, status, &body);
                }
                Attempt::Broken(error) => source = Some(passing(out, error)?),
                Attempt::Late(error) => source = Some(error),
            }
            if source.is_some() {
                (tried.status, tried.said) = (None, None);
                failures.unanswered += 1;
            }
            self.pause(out, asked, &tried)?;
            if stop.is_cancelled() {
                return Err(ClientError::Stopped);
            }
            let wait = retries.next(started.elapsed(), asked, rest);
            let Some(wait) = wait.filter(|_| out.retried) else {
                // an old host may also answer that it is down, forever
                if tried.status != Some(StatusCode::TOO_MANY_REQUESTS) {
                    self.forget(&out.spot);
                }
                return Err(ClientError::GaveUp {
                    request: out.request.clone(),
                    tried,
                    retry_after: asked,
                    source,
                });
            };
            self.wait(out, &tried, source.as_deref(), wait, stop)
                .await?;
            if failures.unanswered >= 2 && out.spot.is_looked_up() {
                failures.unanswered = 0;
                let by = Caller {
                    stop,
                    calls: out.calls,
                };
                if self.find_anew(&mut out.spot, by).await? {
                    out.request = Request::new(out.method, &out.spot.url);
                }
            }
        }
    }

    /// How long the provider is to be left alone after this failure, by its manners.
    fn rest(
        &self,
        out: &Outgoing<'_>,
        failures: &mut Failures,
        status: StatusCode,
        body: &[u8],
    ) -> Duration {
        failures.unanswered = 0;
        if out.to == To::Elsewhere {
            return Duration::ZERO; // not the provider's own host
        }
        let times = match status {
            StatusCode::TOO_MANY_REQUESTS => &mut failures.limited,
            _ => &mut failures.failed,
        };
        *times += 1;
        let rest = (self.manners.rest)(Failed {
            status,
            body,
            times: *times,
            signing_in: out.to == To::Login,
        });
        rest.min(self.limits.longest_wait)
    }

    /// Pauses the connection as the answer asks; an error if that is longer than a call waits.
    fn pause(
        &self,
        out: &Outgoing<'_>,
        asked: Option<Duration>,
        tried: &Tried,
    ) -> Result<(), ClientError> {
        let Some(asked) = asked else {
            return Ok(());
        };
        if out.to != To::Elsewhere {
            self.pacer.pause_for(asked);
            self.tell_of_budget();
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
        out: &Outgoing<'_>,
        tried: &Tried,
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
        if out.to != To::Elsewhere && tried.status == Some(StatusCode::TOO_MANY_REQUESTS) {
            // the budget is the connection's: nobody else's call would fare better
            self.pacer.pause_for(wait.min(self.limits.longest_wait));
            self.tell_of_budget();
        }
        tokio::select! {
            () = stop.cancelled() => Err(ClientError::Stopped),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    async fn wait_for_turn(
        &self,
        out: &Outgoing<'_>,
        tried: &Tried,
        stop: &CancellationToken,
    ) -> Result<(), ClientError> {
        if stop.is_cancelled() {
            return Err(ClientError::Stopped);
        }
        if out.to == To::Elsewhere {
            return Ok(());
        }
        let asked = Instant::now();
        let taken = self.pacer.take(out.rank, self.limits.longest_wait);
        let taken = tokio::select! {
            biased;
            () = stop.cancelled() => Err(ClientError::Stopped),
            taken = taken => {
                taken.map_err(|Paused(retry_after)| ClientError::RateLimited {
                    request: out.request.clone(),
                    retry_after,
                    tried: tried.clone(),
                })
            }
        };
        self.metrics.waited(asked.elapsed());
        taken
    }

    /// The budget may be another now.
    pub(super) fn tell_of_budget(&self) {
        self.metrics.pace(self.pacer.per_second());
        let budget = self.pacer.budget();
        self.metrics.left(budget.left);
        if !budget.pause.is_zero() {
            self.metrics.paused_until(clock::real_now() + budget.pause);
        }
    }

    /// One attempt; once `stop` is cancelled it has the drain time to finish.
    async fn attempt<T: Taken>(
        &self,
        out: &Outgoing<'_>,
        number: u32,
        stop: &CancellationToken,
    ) -> Result<Attempt<T>, ClientError> {
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
        let ended: Attempt<T> = tokio::select! {
            biased;
            ended = self.exchange(out).instrument(span.clone()) => ended,
            () = drained => {
                self.metrics.sent(None, started.elapsed());
                return Err(ClientError::Stopped);
            }
        };
        let status = match &ended {
            Attempt::Taken(taken) => Some(taken.status()),
            Attempt::Passing(status, ..) => Some(*status),
            Attempt::TooLarge | Attempt::Broken(_) | Attempt::Late(_) => None,
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
            host = out.spot.url.host_str(),
            path = out.spot.url.path(),
            status = code,
            ms = millis(started.elapsed()),
            attempt = number,
            "request"
        );
        Ok(ended)
    }

    /// By OpenTelemetry's conventions for HTTP clients; without the query, which may be a credential.
    fn span(&self, out: &Outgoing<'_>, attempt: u32) -> tracing::Span {
        use tracing::field::Empty;
        let url = &out.spot.url;
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

    async fn exchange<T: Taken>(&self, out: &Outgoing<'_>) -> Attempt<T> {
        let mut request = self
            .http
            .request(out.method.clone(), out.spot.url.clone())
            .headers(out.headers.clone())
            .timeout(T::timeout(&self.limits));
        if let Some(body) = &out.body {
            request = request.body(body.clone());
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Attempt::Broken(error.without_url()),
        };
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        if out.to == To::Api {
            self.pacer.observe(&headers);
            self.tell_of_budget();
        }
        let is_answer = out.gateway_timeout_is_answer && status == StatusCode::GATEWAY_TIMEOUT;
        if retry::is_transient(status) && !is_answer {
            let some = body::read_some(response);
            let some = tokio::time::timeout(self.limits.total_timeout, some).await;
            // what didn't come in time isn't worth having
            return Attempt::Passing(status, headers, some.unwrap_or_default());
        }
        match T::take((status, headers), response, out, &self.limits).await {
            Ok(taken) => Attempt::Taken(taken),
            Err(ReadError::TooLarge) => Attempt::TooLarge,
            Err(ReadError::Broken(error)) => Attempt::Broken(error.without_url()),
            Err(ReadError::Late(error)) => Attempt::Late(Arc::new(error)),
        }
    }
}

/// The error, if it may pass, with what may be done should it not.
fn passing(out: &Outgoing<'_>, error: reqwest::Error) -> Result<Cause, ClientError> {
    let tls = tls_error(&error);
    if let Some(rustls::Error::InvalidCertificate(why)) = tls {
        return Err(ClientError::Certificate {
            request: out.request.clone(),
            advice: advice(why),
            source: Arc::new(error),
        });
    }
    if matches!(tls, Some(rustls::Error::InvalidMessage(_))) {
        return Ok(Arc::new(Advised {
            advice: "what answers there doesn't speak TLS (is the port right?)",
            error,
        }));
    }
    if is_no_http(&error) {
        return Ok(Arc::new(Advised {
            advice: "what answers there doesn't speak HTTP (is `https://` meant?)",
            error,
        }));
    }
    if error.is_builder() {
        return Err(ClientError::Forbidden {
            problem: format!("{} can't be made into a request", out.request),
        });
    }
    Ok(Arc::new(error))
}

/// An error, and what may be done about it.
#[derive(Debug, thiserror::Error)]
#[error("{advice}")]
struct Advised {
    advice: &'static str,
    #[source]
    error: reqwest::Error,
}

fn advice(why: &rustls::CertificateError) -> &'static str {
    use rustls::CertificateError as Why;
    match why {
        Why::UnknownIssuer => "if an authority of your own signed it, `ca_file` can name that",
        Why::Expired | Why::ExpiredContext { .. } => {
            "it has expired, unless this machine's clock is wrong"
        }
        Why::NotValidYet | Why::NotValidYetContext { .. } => {
            "it isn't valid yet, unless this machine's clock is wrong"
        }
        Why::NotValidForName | Why::NotValidForNameContext { .. } => {
            "it is for another host than the URL's"
        }
        _ => "whoever runs the server has to replace it",
    }
}

/// Whether what came back is no HTTP at all.
fn is_no_http(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_hyper = error.to_string() == "invalid HTTP version parsed";
    is_hyper || error.source().is_some_and(is_no_http)
}

/// What TLS has to say of a failure. That about a certificate doesn't pass by trying again.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    // an I/O error's source is its inner error's source: the inner error itself has to be asked for
    let inner = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    match inner {
        Some(inner) => tls_error(inner),
        None => error.source().and_then(tls_error),
    }
}

fn reason(
    tried: &Tried,
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

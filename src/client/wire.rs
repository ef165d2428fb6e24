//! One request until it is answered: pacing, attempts, drain.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::body::{self, Hidden, ReadError};
use super::error::{ClientError, Request, Tried};
use super::pacing::{Pacer, Paused};
use super::retry::{self, Retries};
use super::{Limits, Requests};
use crate::clock;
use crate::providers::Answer;

/// What all requests of a connection share.
pub(super) struct Wire {
    pub(super) connection: String,
    pub(super) provider: &'static str,
    pub(super) http: reqwest::Client,
    pub(super) pacer: Pacer,
    pub(super) limits: Limits,
    pub(super) counts: Counts,
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

/// Whose rate budget a request is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// The connection's: it waits for its turn, obeys and causes pauses, and the answer's headers correct the budget.
    Api,
    /// The connection's, too, but the answer's headers speak of another count.
    Login,
    /// Nobody's that is known: a download.
    Elsewhere,
}

/// One request as it goes out, and how its answers are taken.
pub(super) struct Outgoing<'a> {
    pub(super) request: &'a Request,
    pub(super) method: &'a Method,
    pub(super) url: &'a Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    pub(super) to: To,
    /// Sent again after a passing failure.
    pub(super) retried: bool,
    pub(super) body_cap: u64,
    pub(super) gateway_timeout_is_answer: bool,
    /// What an excerpt of the answer must not show.
    pub(super) hidden: &'a Hidden,
}

/// How one attempt ended.
enum Attempt {
    Answered(Answer),
    TooLarge,
    Passing(StatusCode, HeaderMap, Bytes),
    Broken(reqwest::Error),
}

impl Wire {
    /// Sends it, again after passing failures, and returns the first answer that isn't one.
    pub(super) async fn send(
        &self,
        out: &Outgoing<'_>,
        stop: &CancellationToken,
    ) -> Result<Answer, ClientError> {
        let mut retries = Retries::new(&self.limits);
        let mut tried = Tried::default();
        let mut begun = None;
        loop {
            self.wait_for_turn(out, &tried, stop).await?;
            let started = Instant::now();
            let begun = *begun.get_or_insert(started);
            tried.attempts += 1;
            let ended = self.attempt(out, tried.attempts, stop).await?;
            tried.elapsed = begun.elapsed();
            let (asked, source) = match ended {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::TooLarge => {
                    return Err(ClientError::BodyTooLarge {
                        request: out.request.clone(),
                        cap: out.body_cap,
                    });
                }
                Attempt::Passing(status, headers, body) => {
                    tried.status = Some(status);
                    tried.said = body::excerpt(&body, out.hidden);
                    (retry::retry_after(&headers, clock::real_now()), None)
                }
                Attempt::Broken(error) => {
                    (tried.status, tried.said) = (None, None);
                    (None, Some(passing(out, error)?))
                }
            };
            if let Some(asked) = asked {
                if out.to != To::Elsewhere {
                    self.pacer.pause_for(asked);
                }
                if asked > self.limits.longest_wait {
                    return Err(ClientError::RateLimited {
                        request: out.request.clone(),
                        retry_after: asked,
                        tried,
                    });
                }
            }
            if stop.is_cancelled() {
                return Err(ClientError::Stopped);
            }
            let wait = retries.next(started.elapsed(), asked);
            let Some(wait) = wait.filter(|_| out.retried) else {
                return Err(ClientError::GaveUp {
                    request: out.request.clone(),
                    tried,
                    retry_after: asked,
                    source: source.map(|error| Arc::new(error) as _),
                });
            };
            count(&self.counts.retries);
            tracing::warn!(
                connection = self.connection,
                request = %out.request,
                attempt = tried.attempts,
                wait_ms = millis(wait),
                reason = reason(&tried, source.as_ref()),
                "trying again"
            );
            if out.to != To::Elsewhere && tried.status == Some(StatusCode::TOO_MANY_REQUESTS) {
                // the budget is the connection's: nobody else's call would fare better
                self.pacer.pause_for(wait.min(self.limits.longest_wait));
            }
            tokio::select! {
                () = stop.cancelled() => return Err(ClientError::Stopped),
                () = tokio::time::sleep(wait) => {}
            }
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
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(ClientError::Stopped),
            taken = self.pacer.take(self.limits.longest_wait) => {
                taken.map_err(|Paused(retry_after)| ClientError::RateLimited {
                    request: out.request.clone(),
                    retry_after,
                    tried: tried.clone(),
                })
            }
        }
    }

    /// One attempt; once `stop` is cancelled it has the drain time to finish.
    async fn attempt(
        &self,
        out: &Outgoing<'_>,
        number: u32,
        stop: &CancellationToken,
    ) -> Result<Attempt, ClientError> {
        let started = Instant::now();
        count(&self.counts.sent);
        let drained = async {
            stop.cancelled().await;
            tokio::time::sleep(self.limits.drain).await;
        };
        let ended = tokio::select! {
            biased;
            ended = self.exchange(out) => ended,
            () = drained => return Err(ClientError::Stopped),
        };
        let status = match &ended {
            Attempt::Answered(answer) => Some(answer.status),
            Attempt::Passing(status, ..) => Some(*status),
            Attempt::TooLarge | Attempt::Broken(_) => None,
        };
        if status == Some(StatusCode::TOO_MANY_REQUESTS) {
            count(&self.counts.rate_limited);
        }
        tracing::debug!(
            connection = self.connection,
            provider = self.provider,
            method = %out.method,
            host = out.url.host_str(),
            path = out.url.path(),
            status = status.map(|status| status.as_u16()),
            ms = millis(started.elapsed()),
            attempt = number,
            "request"
        );
        Ok(ended)
    }

    async fn exchange(&self, out: &Outgoing<'_>) -> Attempt {
        let mut request = self
            .http
            .request(out.method.clone(), out.url.clone())
            .headers(out.headers.clone());
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
        }
        let is_answer = out.gateway_timeout_is_answer && status == StatusCode::GATEWAY_TIMEOUT;
        if retry::is_transient(status) && !is_answer {
            return Attempt::Passing(status, headers, body::read_some(response).await);
        }
        match body::read(response, out.body_cap).await {
            Ok(body) => Attempt::Answered(Answer {
                status,
                headers,
                body,
            }),
            Err(ReadError::TooLarge) => Attempt::TooLarge,
            Err(ReadError::Broken(error)) => Attempt::Broken(error.without_url()),
        }
    }
}

/// The error itself if it may pass.
fn passing(out: &Outgoing<'_>, error: reqwest::Error) -> Result<reqwest::Error, ClientError> {
    if is_about_certificate(&error) {
        return Err(ClientError::Certificate {
            request: out.request.clone(),
            source: Arc::new(error),
        });
    }
    if error.is_builder() {
        return Err(ClientError::Forbidden {
            problem: format!("{} can't be made into a request", out.request),
        });
    }
    Ok(error)
}

/// Whether the server's certificate is the reason: that doesn't pass by trying again.
fn is_about_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidCertificate(_));
    }
    // an I/O error's source is its inner error's source: the inner error itself has to be asked for
    let inner = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    match inner {
        Some(inner) => is_about_certificate(inner),
        None => error.source().is_some_and(is_about_certificate),
    }
}

fn reason(tried: &Tried, error: Option<&reqwest::Error>) -> String {
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

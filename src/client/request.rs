//! A prepared request, and the classification of its answer.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::de::IgnoredAny;
use url::Url;

use super::ClientLimits;
use super::body::{self, BodyError};
use super::calls::{Caller, Calls};
use super::error::{ClientError, PAGE, Request};
use super::rate_limiter::Priority;
use super::stream::{OpenResponse, ResponseBody};
use super::unpack;
use crate::providers::Answer;
use crate::secret::Redactor;

/// The rate budget of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Traffic {
    /// The connection's budget: the request waits for its turn, obeys and causes pauses, and the answer's headers
    /// correct the budget.
    Api,
    /// The connection's budget, but the answer's headers are about a different count: a sign-in.
    Login,
    /// As for a sign-in, for the look-up of a host.
    Directory,
    /// No known budget: a download.
    Elsewhere,
}

/// A prepared request, and how its answers are handled.
pub(super) struct PreparedRequest<'a> {
    pub(super) request: Request,
    pub(super) method: &'a Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    pub(super) to: Traffic,
    /// The priority among the connection's requests.
    pub(super) rank: Priority,
    /// Whether it is retried after a transient failure.
    pub(super) retried: bool,
    pub(super) body_cap: u64,
    pub(super) gateway_timeout_is_answer: bool,
    /// The counts of its caller.
    pub(super) calls: Option<&'a Calls>,
    /// The secrets that an excerpt of the answer must not contain.
    pub(super) hidden: &'a Redactor,
    /// Classifies a complete answer whose status isn't a transient failure.
    pub(super) judge: fn(&Answer) -> ResponseVerdict,
}

/// The classification of an answer beyond its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseVerdict {
    /// An answer.
    Answer,
    /// An answer, unless its headers request a retry.
    Unclear,
    /// A transient failure, with its description.
    Passing(Option<&'static str>),
    /// A refusal for too many requests, with the minimum pause.
    Limited(Duration),
}

/// Classifies the answer to a call for data: an incomplete JSON document is a transient failure. The adapter judges an
/// empty answer.
pub(super) fn judge_data(answer: &Answer) -> ResponseVerdict {
    let body = answer.body.trim_ascii();
    let ends_well = body.ends_with(b"}") || body.ends_with(b"]");
    if answer.status.is_success() && !ends_well && is_cut(body) {
        return ResponseVerdict::Passing(Some("incomplete JSON"));
    }
    ResponseVerdict::Answer
}

/// Classifies the answer to the look-up of a host: a gateway's answer is a transient failure.
pub(super) fn judge_look_up(answer: &Answer) -> ResponseVerdict {
    if !answer.status.is_success() {
        return ResponseVerdict::Unclear;
    }
    if answer.body.trim_ascii().is_empty() {
        ResponseVerdict::Passing(Some("an empty body"))
    } else if body::is_page(&answer.body) {
        ResponseVerdict::Passing(Some(PAGE))
    } else {
        ResponseVerdict::Answer
    }
}

/// Returns whether an object or a list is incomplete.
pub(super) fn is_cut(json: &[u8]) -> bool {
    let json = json.strip_prefix("\u{feff}".as_bytes()).unwrap_or(json);
    let begins = json.starts_with(b"{") || json.starts_with(b"[");
    begins && serde_json::from_slice::<IgnoredAny>(json).is_err_and(|error| error.is_eof())
}

impl<'a> PreparedRequest<'a> {
    /// Creates a request without credentials or body of normal priority, which is retried after transient failures.
    pub(super) fn new(method: &'a Method, url: Url, to: Traffic, hidden: &'a Redactor) -> Self {
        Self {
            request: Request::new(method, &url),
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            to,
            rank: Priority::Prompt,
            retried: true,
            body_cap: 0,
            gateway_timeout_is_answer: false,
            calls: None,
            hidden,
            judge: |_| ResponseVerdict::Answer,
        }
    }

    /// Returns the request for another host.
    pub(super) fn redirect(&mut self, url: Url) {
        self.request = Request::new(self.method, &url);
        self.url = url;
    }
}

/// The route of a request to its host, and to another host if that stops answering.
pub(super) trait Route: Send {
    /// Returns the URL on the replacement host; `None` if it is the same host or unknown.
    fn turn(
        &mut self,
        url: &Url,
        by: Caller<'_>,
    ) -> impl Future<Output = Result<Option<Url>, ClientError>> + Send;

    /// Returns whether another host may replace this one.
    fn may_turn(&self) -> bool;

    /// Records that the request failed.
    fn give_up(&self);
}

/// The route to a fixed host.
impl Route for () {
    async fn turn(&mut self, _: &Url, _: Caller<'_>) -> Result<Option<Url>, ClientError> {
        Ok(None)
    }

    fn may_turn(&self) -> bool {
        false
    }

    fn give_up(&self) {}
}

/// The result type of an answer that isn't a transient failure.
pub(super) trait FromResponse: Send + Sized {
    /// Returns the timeout for a request and its whole answer.
    fn timeout(limits: &ClientLimits) -> Duration;

    /// Handles the answer to `out` with this head, whose body is in `response`.
    fn take(
        head: (StatusCode, HeaderMap),
        response: reqwest::Response,
        out: &PreparedRequest<'_>,
        limits: &ClientLimits,
    ) -> impl Future<Output = Result<Self, BodyError>> + Send;

    fn status(&self) -> StatusCode;

    /// Returns the complete answer.
    fn whole(&self) -> Option<&Answer>;
}

impl FromResponse for Answer {
    fn timeout(limits: &ClientLimits) -> Duration {
        limits.total_timeout
    }

    async fn take(
        (status, headers): (StatusCode, HeaderMap),
        response: reqwest::Response,
        out: &PreparedRequest<'_>,
        _limits: &ClientLimits,
    ) -> Result<Self, BodyError> {
        let body = body::read(response, out.body_cap).await?;
        let (headers, body) = match out.to {
            // the adapter decompresses a download, as it knows its format
            Traffic::Elsewhere => (headers, body),
            _ => unpack::whole(headers, body, out.body_cap).await?,
        };
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    fn status(&self) -> StatusCode {
        self.status
    }

    fn whole(&self) -> Option<&Answer> {
        Some(self)
    }
}

impl FromResponse for OpenResponse {
    fn timeout(limits: &ClientLimits) -> Duration {
        limits.stream_timeout
    }

    async fn take(
        (status, headers): (StatusCode, HeaderMap),
        response: reqwest::Response,
        out: &PreparedRequest<'_>,
        limits: &ClientLimits,
    ) -> Result<Self, BodyError> {
        if status.is_success() && status != StatusCode::NO_CONTENT {
            let request = out.request.clone();
            return Ok(Self::Body(ResponseBody::new(
                request, status, headers, response,
            )));
        }
        let answer = Answer::take((status, headers), response, out, limits);
        let answer = tokio::time::timeout(limits.total_timeout, answer)
            .await
            .map_err(BodyError::Late)?;
        Ok(Self::Answer(answer?))
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Answer(answer) => answer.status,
            Self::Body(body) => body.status,
        }
    }

    fn whole(&self) -> Option<&Answer> {
        match self {
            Self::Answer(answer) => Some(answer),
            Self::Body(_) => None,
        }
    }
}

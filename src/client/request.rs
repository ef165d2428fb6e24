//! A request as it goes out, and what is made of its answer.

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

/// Whose rate budget a request is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Traffic {
    /// The connection's: it waits for its turn, obeys and causes pauses, and the answer's headers correct the budget.
    Api,
    /// The connection's, too, but the answer's headers speak of another count: a sign-in.
    Login,
    /// The same for the look-up of a host.
    Directory,
    /// Nobody's that is known: a download.
    Elsewhere,
}

/// One request as it goes out, and how its answers are taken.
pub(super) struct PreparedRequest<'a> {
    pub(super) request: Request,
    pub(super) method: &'a Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    pub(super) to: Traffic,
    /// Who else of the connection goes first.
    pub(super) rank: Priority,
    /// Sent again after a passing failure.
    pub(super) retried: bool,
    pub(super) body_cap: u64,
    pub(super) gateway_timeout_is_answer: bool,
    /// Who counts it, beside the connection.
    pub(super) calls: Option<&'a Calls>,
    /// What an excerpt of the answer must not show.
    pub(super) hidden: &'a Redactor,
    /// What a whole answer is, whose status isn't a passing failure.
    pub(super) judge: fn(&Answer) -> ResponseVerdict,
}

/// What an answer is that its status may not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseVerdict {
    /// An answer.
    Answer,
    /// An answer, unless its headers ask for another try.
    Unclear,
    /// A failure that may pass, and what is odd about it.
    Passing(Option<&'static str>),
    /// Too much was asked for; it is left alone for at least so long.
    Limited(Duration),
}

/// The answer to a call for data: a part of a JSON document was meant to be more. An empty one is its adapter's to judge.
pub(super) fn judge_data(answer: &Answer) -> ResponseVerdict {
    let body = answer.body.trim_ascii();
    let ends_well = body.ends_with(b"}") || body.ends_with(b"]");
    if answer.status.is_success() && !ends_well && is_cut(body) {
        return ResponseVerdict::Passing(Some("JSON that ends in its middle"));
    }
    ResponseVerdict::Answer
}

/// The answer to the look-up of a host: not one, where a gateway answers.
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

/// Whether an object or a list ends before its end.
pub(super) fn is_cut(json: &[u8]) -> bool {
    let json = json.strip_prefix("\u{feff}".as_bytes()).unwrap_or(json);
    let begins = json.starts_with(b"{") || json.starts_with(b"[");
    begins && serde_json::from_slice::<IgnoredAny>(json).is_err_and(|error| error.is_eof())
}

impl<'a> PreparedRequest<'a> {
    /// A bare request, tried again after passing failures, whose answer has no body; it yields to nobody.
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

    /// The same request, to another host.
    pub(super) fn redirect(&mut self, url: Url) {
        self.request = Request::new(self.method, &url);
        self.url = url;
    }
}

/// How a request gets to its host, and where it goes if that stops answering.
pub(super) trait Route: Send {
    /// Returns the URL on the host that serves instead; nothing if that is the same host, or isn't known.
    fn turn(
        &mut self,
        url: &Url,
        by: Caller<'_>,
    ) -> impl Future<Output = Result<Option<Url>, ClientError>> + Send;

    /// Whether another host may ever serve instead.
    fn may_turn(&self) -> bool;

    /// Notes that the request was given up.
    fn give_up(&self);
}

/// The way to a host that is known for good.
impl Route for () {
    async fn turn(&mut self, _: &Url, _: Caller<'_>) -> Result<Option<Url>, ClientError> {
        Ok(None)
    }

    fn may_turn(&self) -> bool {
        false
    }

    fn give_up(&self) {}
}

/// What is made of an answer that isn't a passing failure.
pub(super) trait FromResponse: Send + Sized {
    /// How long a request and all of its answer may take.
    fn timeout(limits: &ClientLimits) -> Duration;

    /// Takes the answer to `out`, which began so and whose body is in `response`.
    fn take(
        head: (StatusCode, HeaderMap),
        response: reqwest::Response,
        out: &PreparedRequest<'_>,
        limits: &ClientLimits,
    ) -> impl Future<Output = Result<Self, BodyError>> + Send;

    fn status(&self) -> StatusCode;

    /// The answer where it is there whole.
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
            // a download is its adapter's to unpack, which knows what it is
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

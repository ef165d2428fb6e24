//! One request of a sign-in, and its answer.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use crate::client::calls::Caller;
use crate::client::error::{Attempts, ClientError, Request};
use crate::client::request::{PreparedRequest, ResponseVerdict, Traffic};
use crate::client::resolver::HostResolver;
use crate::providers::{Answer, ServiceHost};
use crate::secret::Redactor;

/// What a sign-in's answer may measure, in bytes.
const ANSWER_CAP: u64 = 64 * 1024;

/// One request of a sign-in.
pub(super) struct SignInRequest<'a> {
    pub(super) resolver: &'a HostResolver,
    pub(super) place: &'a ServiceHost,
    /// Sent again after a passing failure.
    pub(super) retried: bool,
    /// What an answer is, whatever its status.
    pub(super) judge: fn(&Answer) -> ResponseVerdict,
    pub(super) by: Caller<'a>,
}

impl SignInRequest<'_> {
    /// Posts the body; returns the answer, and the request for what there is to say about it.
    pub(super) async fn post(
        &self,
        mut headers: HeaderMap,
        content_type: &'static str,
        body: impl Into<Bytes>,
        hidden: &Redactor,
    ) -> Result<(Request, Answer), ClientError> {
        let mut place = self.resolver.find(self.place, self.by).await?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut out = PreparedRequest {
            headers,
            body: Some(body.into()),
            retried: self.retried,
            body_cap: ANSWER_CAP,
            calls: self.by.calls,
            judge: self.judge,
            ..PreparedRequest::new(&Method::POST, place.url, Traffic::Login, hidden)
        };
        let transport = &self.resolver.transport;
        let sent = transport.send(&mut out, &mut place.route, self.by.stop);
        let answer = sent.await?;
        Ok((out.request, answer))
    }
}

/// The members of an answer that is a JSON object; none of another.
pub(super) fn fields(answer: &Answer) -> serde_json::Map<String, Value> {
    let body = &answer.body[..];
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    serde_json::from_slice(body).unwrap_or_default()
}

pub(super) fn tried(answer: &Answer, said: Option<String>) -> Attempts {
    Attempts {
        attempts: 1,
        status: Some(answer.status),
        said,
        ..Attempts::default()
    }
}

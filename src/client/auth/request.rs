//! A request of a sign-in and its answer.

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

/// The maximum size of a sign-in's answer in bytes.
const ANSWER_CAP: u64 = 64 * 1024;

/// A request of a sign-in.
pub(super) struct SignInRequest<'a> {
    pub(super) resolver: &'a HostResolver,
    pub(super) place: &'a ServiceHost,
    /// Whether it is retried after a transient failure.
    pub(super) retried: bool,
    /// Classifies an answer beyond its status.
    pub(super) judge: fn(&Answer) -> ResponseVerdict,
    pub(super) by: Caller<'a>,
}

impl SignInRequest<'_> {
    /// Posts the body. Returns the answer, and the request for messages.
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

/// Returns the members of an answer that is a JSON object; otherwise none.
pub(super) fn fields(answer: &Answer) -> serde_json::Map<String, Value> {
    let body = &answer.body[..];
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    serde_json::from_slice(body).unwrap_or_default()
}

pub(super) fn tried(answer: &Answer, message: Option<String>) -> Attempts {
    Attempts {
        attempts: 1,
        status: Some(answer.status),
        message,
        ..Attempts::default()
    }
}

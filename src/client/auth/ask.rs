//! One request of a sign-in, and its answer.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use crate::client::calls::Caller;
use crate::client::error::{ClientError, Request, Tried};
use crate::client::outgoing::{Outgoing, To, Verdict};
use crate::client::wire::Wire;
use crate::providers::{Answer, Place};
use crate::secret::Hidden;

/// What a sign-in's answer may measure, in bytes.
const ANSWER_CAP: u64 = 64 * 1024;

/// One request of a sign-in.
pub(super) struct Ask<'a> {
    pub(super) wire: &'a Wire,
    pub(super) place: &'a Place,
    /// Sent again after a passing failure.
    pub(super) retried: bool,
    /// What an answer is, whatever its status.
    pub(super) judge: fn(&Answer) -> Verdict,
    pub(super) by: Caller<'a>,
}

impl Ask<'_> {
    /// Posts the body; returns the answer, and the request for what there is to say about it.
    pub(super) async fn post(
        &self,
        mut headers: HeaderMap,
        content_type: &'static str,
        body: impl Into<Bytes>,
        hidden: &Hidden,
    ) -> Result<(Request, Answer), ClientError> {
        let spot = self.wire.find(self.place, self.by).await?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut out = Outgoing {
            headers,
            body: Some(body.into()),
            retried: self.retried,
            body_cap: ANSWER_CAP,
            calls: self.by.calls,
            judge: self.judge,
            ..Outgoing::new(&Method::POST, spot, To::Login, hidden)
        };
        let answer = self.wire.send(&mut out, self.by.stop).await?;
        Ok((out.request, answer))
    }
}

/// The members of an answer that is a JSON object; none of another.
pub(super) fn fields(answer: &Answer) -> serde_json::Map<String, Value> {
    let body = &answer.body[..];
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    serde_json::from_slice(body).unwrap_or_default()
}

pub(super) fn tried(answer: &Answer, said: Option<String>) -> Tried {
    Tried {
        attempts: 1,
        status: Some(answer.status),
        said,
        ..Tried::default()
    }
}

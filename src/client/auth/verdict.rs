//! The classification of a sign-in's answer beyond its status: by OAuth's `error` (RFC 6749 section 5.2, RFC 8628
//! section 3.5), or because it isn't a sign-in's answer.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value};

use super::request::fields;
use crate::client::body::is_page;
use crate::client::error::{Attempts, PAGE};
use crate::client::request::{ResponseVerdict, is_cut};
use crate::providers::Answer;

/// The minimum pause for `slow_down` (RFC 8628 section 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// Classifies the answer beyond its status.
pub(super) fn judge(answer: &Answer) -> ResponseVerdict {
    let fields = fields(answer);
    let holds_token = ["access_token", "bearer"].iter().any(|name| {
        fields
            .get(*name)
            .and_then(Value::as_str)
            .is_some_and(|token| !token.is_empty())
    });
    if answer.status.is_success() && holds_token {
        return ResponseVerdict::Answer; // with any other members
    }
    match error(&fields).as_deref().map(meaning) {
        Some(SignInVerdict::Refused) => return ResponseVerdict::Answer,
        Some(SignInVerdict::Passing) => return ResponseVerdict::Passing(None),
        Some(SignInVerdict::Slower) => return ResponseVerdict::Limited(SLOWER),
        None => {}
    }
    if !answer.status.is_success() {
        return ResponseVerdict::Unclear;
    }
    let body = answer.body.trim_ascii();
    let what = if body.is_empty() {
        "an empty body"
    } else if is_page(body) {
        PAGE
    } else if is_cut(body) {
        "incomplete JSON"
    } else {
        return ResponseVerdict::Answer;
    };
    ResponseVerdict::Passing(Some(what))
}

/// Returns whether the credentials were refused: by OAuth's `error`, or by a status that isn't a gateway's.
pub(super) fn is_refused(answer: &Answer) -> bool {
    let by_status = match answer.status {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::BAD_REQUEST
        | StatusCode::FORBIDDEN
        | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => !is_page(&answer.body),
        _ => false,
    };
    by_status || (answer.status.is_success() && error(&fields(answer)).is_some())
}

/// Returns the description of an answer that isn't a sign-in's.
pub(super) fn no_sign_in(answer: &Answer, message: Option<String>) -> Attempts {
    let is_gateways = matches!(
        answer.status,
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN
    );
    Attempts {
        what: Some(PAGE).filter(|_| is_gateways && is_page(&answer.body)),
        ..super::request::tried(answer, message)
    }
}

/// OAuth's `error`: a text, or the code of an object.
fn error(fields: &Map<String, Value>) -> Option<String> {
    let error = match fields.get("error")? {
        Value::Object(inner) => ["code", "error", "type", "status"]
            .into_iter()
            .find_map(|name| inner.get(name)?.as_str())?,
        error => error.as_str()?,
    };
    Some(error.trim().to_owned()).filter(|error| !error.is_empty())
}

enum SignInVerdict {
    /// The credentials or the request are refused.
    Refused,
    /// A transient failure.
    Passing,
    /// A transient failure that requires longer pauses.
    Slower,
}

fn meaning(error: &str) -> SignInVerdict {
    let error = error.to_ascii_lowercase().replace(['.', '-', ' '], "_");
    let holds = |parts: &[&str]| parts.iter().any(|part| error.contains(part));
    if holds(&["slow_down", "too_many_request", "rate_limit", "throttl"]) {
        SignInVerdict::Slower
    } else if holds(&[
        "unavailable",
        "server_error",
        "authorization_pending",
        "timeout",
        "timed_out",
        "try_again",
    ]) {
        SignInVerdict::Passing
    } else {
        SignInVerdict::Refused
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap_or_default(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn the_error_decides_whatever_the_status() {
        for status in [200, 400, 401, 403, 404] {
            for (body, verdict) in [
                (
                    r#"{"error":"temporarily_unavailable"}"#,
                    ResponseVerdict::Passing(None),
                ),
                (
                    r#"{"error":"Server_Error"}"#,
                    ResponseVerdict::Passing(None),
                ),
                (
                    r#"{"error":"authorization_pending"}"#,
                    ResponseVerdict::Passing(None),
                ),
                (
                    r#"{"error":{"code":"SERVICE_UNAVAILABLE"}}"#,
                    ResponseVerdict::Passing(None),
                ),
                (
                    r#"{"error":" slow_down "}"#,
                    ResponseVerdict::Limited(SLOWER),
                ),
                (
                    r#"{"error":"too.many.requests"}"#,
                    ResponseVerdict::Limited(SLOWER),
                ),
                (
                    r#"{"error":"rate limit exceeded"}"#,
                    ResponseVerdict::Limited(SLOWER),
                ),
                (r#"{"error":"invalid_client"}"#, ResponseVerdict::Answer),
                (r#"{"error":"invalid_grant"}"#, ResponseVerdict::Answer),
                (
                    r#"{"error":"unauthorized_client"}"#,
                    ResponseVerdict::Answer,
                ),
                (r#"{"error":"invalid_scope"}"#, ResponseVerdict::Answer),
            ] {
                let answer = answer(status, body);
                assert_eq!(judge(&answer), verdict, "{status} {body}");
                if verdict == ResponseVerdict::Answer && status != 404 {
                    assert!(is_refused(&answer), "{status} {body}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_sign_ins_answer_is_no_refusal() {
        let page = "\u{feff} <!doctype html><title>Maintenance</title>";
        assert_eq!(
            judge(&answer(200, page)),
            ResponseVerdict::Passing(Some(PAGE))
        );
        assert_eq!(
            judge(&answer(204, "")),
            ResponseVerdict::Passing(Some("an empty body"))
        );
        assert_eq!(
            judge(&answer(200, r#"{"access_token":"t"#)),
            ResponseVerdict::Passing(Some("incomplete JSON"))
        );
        assert_eq!(judge(&answer(200, "{}")), ResponseVerdict::Answer);
        let both = r#"{"error":"server_error","access_token":"t"}"#;
        assert_eq!(judge(&answer(200, both)), ResponseVerdict::Answer);
        for status in [400, 401, 403, 404] {
            assert_eq!(judge(&answer(status, page)), ResponseVerdict::Unclear);
        }
        assert!(!is_refused(&answer(403, page)) && !is_refused(&answer(400, page)));
        assert!(is_refused(&answer(401, page)) && is_refused(&answer(403, r#"{"title":"no"}"#)));
        assert!(!is_refused(&answer(
            200,
            r#"{"error":null,"access_token":"t"}"#
        )));
        assert!(!is_refused(&answer(404, page)));
    }
}

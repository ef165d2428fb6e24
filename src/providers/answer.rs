//! What adapters share in reading an answer, whatever the provider.

use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{Text, shortened, span};
use super::{Answer, Refusal};
use crate::model::Kind;

/// The answer's body as text.
pub(super) fn text_of(answer: Answer) -> Result<String, Refusal> {
    String::from_utf8(answer.body.into())
        .map_err(|error| failed(Kind::Data, format!("the answer is not UTF-8: {error}")))
}

/// The answer's JSON.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|error| {
        failed(
            Kind::Data,
            // where, not what: an answer may hold names, or a signed URL
            format!(
                "the answer is not the JSON that was expected, at line {} column {}",
                error.line(),
                error.column()
            ),
        )
    })
}

/// Where the items, slices of `text`, lie in it.
pub(super) fn spans(text: &str, items: Vec<&RawValue>) -> Vec<std::ops::Range<usize>> {
    items
        .into_iter()
        .map(|item| span(text, item.get()))
        .collect()
}

/// A number of a page's own fields, all of which are optional.
pub(super) fn number(text: &Text) -> Option<u64> {
    text.as_deref()?.parse().ok()
}

/// A refusal that is no question of the range's size.
pub(super) fn failed(kind: Kind, message: impl Into<String>) -> Refusal {
    Refusal::Failed {
        kind,
        message: message.into(),
    }
}

/// What a status other than 2xx means, with what the provider `said`. Whether another 400 is about the range's size is
/// the adapter's to know.
pub(super) fn refused(status: StatusCode, said: &str) -> Refusal {
    let said = format!("the provider answered {status}: {said}");
    match status {
        StatusCode::GATEWAY_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge(said),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => failed(Kind::Auth, said),
        StatusCode::TOO_MANY_REQUESTS => failed(Kind::RateLimited, said),
        status if status.is_server_error() => failed(Kind::Transient, said),
        _ => failed(Kind::Config, said),
    }
}

/// The beginning of a body that is not what the provider documents, for a message.
pub(super) fn quoted(body: &str) -> String {
    let words: Vec<&str> = body.split_whitespace().collect();
    format!("`{}`", shortened(&words.join(" ")))
}

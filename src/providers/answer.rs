//! What adapters share in reading an answer, whatever the provider.

use std::borrow::Cow;
use std::ops::Range;

use http::StatusCode;
use http::header::CONTENT_ENCODING;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::age;
use super::json::{ScalarText, shortened, span};
use super::salvage::{IsRecord, Salvaged, is_json, salvage};
use super::{Answer, Refusal};
use crate::model::FailureKind;

/// What a page is remarked with that isn't UTF-8.
pub(super) const NOT_UTF8: &str = "bytes that are no UTF-8 stand as U+FFFD in what has landed";

/// The mark that some servers put before UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Returns the text without a byte order mark at its beginning.
pub(super) fn without_mark(mut text: String) -> String {
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    text
}

/// Returns the body of an error as text, without a byte order mark.
pub(super) fn error_text(answer: &Answer) -> Cow<'_, str> {
    let mark = BYTE_ORDER_MARK.to_string();
    let body = &answer.body;
    String::from_utf8_lossy(body.strip_prefix(mark.as_bytes()).unwrap_or(body))
}

/// The answer's body as text, and what to remark of it. Bytes that are no UTF-8 are replaced, so that they cost a letter of
/// a record and not the page; a byte order mark is dropped.
pub(super) fn text_of(answer: Answer) -> Result<(String, Option<String>), Refusal> {
    let packed = answer.headers.get(CONTENT_ENCODING).cloned();
    match (String::from_utf8(answer.body.into()), packed) {
        (Ok(text), _) => Ok((without_mark(text), None)),
        (Err(_), Some(packed)) => Err(failed(
            FailureKind::Data,
            format!(
                "the answer is packed (`{}`), which was not asked for; is a proxy in between?",
                shortened(&String::from_utf8_lossy(packed.as_bytes()))
            ),
        )),
        (Err(error), None) => {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Ok((without_mark(text), Some(NOT_UTF8.to_owned())))
        }
    }
}

/// The JSON of an answer, which is an object: a struct would also be read from a list.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refusal> {
    let beginning = text.trim_start();
    if beginning.starts_with('<') {
        let title = beginning
            .split_once("<title>")
            .and_then(|(_, rest)| Some(rest.split_once('<')?.0.trim()))
            .filter(|title| !title.is_empty());
        let titled = title.map_or_else(String::new, |title| format!(" titled {}", quoted(title)));
        return Err(failed(
            FailureKind::Data,
            format!("the answer is a page{titled}, not JSON; is a proxy in between?"),
        ));
    }
    if beginning.starts_with('[') {
        return Err(failed(
            FailureKind::Data,
            "the answer is a JSON list, where an object was expected",
        ));
    }
    parse_any(text)
}

/// The answer's JSON, or a part of it, whatever it is.
pub(super) fn parse_any<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|error| {
        failed(
            FailureKind::Data,
            // where, not what: an answer may hold names, or a signed URL
            format!(
                "the answer is not the JSON that was expected, at line {} column {}",
                error.line(),
                error.column()
            ),
        )
    })
}

/// Byte ranges of records in an answer.
pub(super) type Spans = Vec<Range<usize>>;

/// Reads an answer with `read`, which is given the answer and no records.
///
/// If the answer isn't strict JSON, its records, a list at `path`, are split by their structure. `read` is then given the
/// answer with an empty list in their place, and the records. If that isn't strict JSON either, or the end of the records
/// can't be found, the answer is no page.
pub(super) fn read_page<T>(
    text: &str,
    path: &[&str],
    is_record: IsRecord<'_>,
    read: impl Fn(&str, Option<Spans>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    match read(text, None) {
        Err(refusal) if !is_json(text.as_bytes()) => {
            let Some(Salvaged { envelope, records }) = salvage(text, path, is_record) else {
                return Err(refusal);
            };
            read(&envelope, Some(records))
        }
        page => page,
    }
}

/// Where the items, slices of `text`, lie in it.
pub(super) fn spans(text: &str, items: Vec<&RawValue>) -> Spans {
    items
        .into_iter()
        .map(|item| span(text, item.get()))
        .collect()
}

/// A number of a page's own fields, all of which are optional.
pub(super) fn number(text: &ScalarText) -> Option<u64> {
    text.as_deref()?.parse().ok()
}

/// A refusal that is no question of the range's size.
pub(super) fn failed(kind: FailureKind, message: impl Into<String>) -> Refusal {
    Refusal::Failed {
        kind,
        message: message.into(),
    }
}

/// What a status other than 2xx means, with what the provider `said`.
pub(super) fn refused(status: StatusCode, said: &str) -> Refusal {
    if let Some(too_old) = too_old(status, said) {
        return too_old;
    }
    let said = format!("the provider answered {status}: {said}");
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge(said),
        StatusCode::BAD_REQUEST
        | StatusCode::RANGE_NOT_SATISFIABLE
        | StatusCode::UNPROCESSABLE_ENTITY => Refusal::BadRange {
            kind: FailureKind::Config,
            message: said,
        },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => failed(FailureKind::Auth, said),
        StatusCode::TOO_MANY_REQUESTS => failed(FailureKind::RateLimited, said),
        status if status.is_server_error() => Refusal::TooSlow(said),
        _ => failed(FailureKind::Config, said),
    }
}

/// The refusal of a range that is too old, if this status with what the provider `said` is one.
pub(super) fn too_old(status: StatusCode, said: &str) -> Option<Refusal> {
    age::says_too_old(status, said)
        .then(|| Refusal::TooOld(format!("the provider answered {status}: {said}")))
}

/// The beginning of a body that is not what the provider documents, for a message.
pub(super) fn quoted(body: &str) -> String {
    let words: Vec<&str> = body.split_whitespace().collect();
    format!("`{}`", shortened(&words.join(" ")))
}

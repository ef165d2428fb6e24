//! Parsing of answers, shared by all adapters.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::age;
use super::json::{ScalarText, shortened, span};
use super::salvage::{Extent, IsRecord, Salvaged, is_json, salvage};
use super::{Answer, Foreign, Refusal};
use crate::model::FailureKind;

/// The byte order mark that some servers send with UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Returns the body of an error as text, without a byte order mark.
pub(super) fn error_text(answer: &Answer) -> Cow<'_, str> {
    let mark = BYTE_ORDER_MARK.to_string();
    let body = &answer.body;
    String::from_utf8_lossy(body.strip_prefix(mark.as_bytes()).unwrap_or(body))
}

/// The text of an answer.
#[derive(Debug)]
pub(super) struct AnswerText {
    /// The body without a byte order mark, with a `?` for each byte that isn't UTF-8, so that positions don't change.
    pub(super) text: String,
    /// The body and the positions of invalid bytes, if it isn't UTF-8.
    foreign: Option<(Bytes, Vec<usize>)>,
    extent: Extent,
}

impl AnswerText {
    /// Decodes a body as text.
    pub(super) fn new(body: Bytes, headers: &HeaderMap) -> Self {
        let mark = BYTE_ORDER_MARK.to_string();
        let body = if body.starts_with(mark.as_bytes()) {
            body.slice(mark.len()..)
        } else {
            body
        };
        let extent = if announces_end(headers) {
            Extent::Sent
        } else {
            Extent::Received
        };
        match String::from_utf8(body.into()) {
            Ok(text) => Self {
                text,
                foreign: None,
                extent,
            },
            Err(error) => {
                let body = Bytes::from(error.into_bytes());
                let (text, places) = legible(&body);
                Self {
                    text,
                    foreign: Some((body, places)),
                    extent,
                }
            }
        }
    }

    /// Returns the length of the answer.
    pub(super) fn extent(&self) -> Extent {
        self.extent
    }

    /// Returns the bytes of the records that aren't UTF-8, by their number. Fails if invalid bytes are outside of
    /// records.
    pub(super) fn foreign(&self, records: &[Range<usize>]) -> Result<Foreign, Refusal> {
        let Some((body, places)) = &self.foreign else {
            return Ok(Foreign::new());
        };
        let mut foreign = Foreign::new();
        for place in places {
            let holder = records.iter().position(|record| record.contains(place));
            let bytes = holder.and_then(|holder| body.get(records[holder].clone()));
            let Some((holder, bytes)) = holder.zip(bytes) else {
                return Err(not_utf8(body, *place));
            };
            foreign.entry(holder).or_insert_with(|| bytes.to_vec());
        }
        Ok(foreign)
    }

    /// Returns the text of an answer without records, all of which has to be UTF-8.
    pub(super) fn strict(self) -> Result<String, Refusal> {
        self.foreign(&[])?;
        Ok(self.text)
    }
}

fn not_utf8(body: &[u8], place: usize) -> Refusal {
    let byte = body.get(place).copied().unwrap_or_default();
    failed(
        FailureKind::Data,
        format!(
            "the answer is not UTF-8 outside of its records: byte {place} of it is `0x{byte:02x}`"
        ),
    )
}

/// Returns the bytes as text, with a `?` for each byte that isn't UTF-8, and the positions of these. Positions don't
/// change.
pub(super) fn legible(bytes: &[u8]) -> (String, Vec<usize>) {
    let mut text = String::with_capacity(bytes.len());
    let mut places = Vec::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for _ in chunk.invalid() {
            places.push(text.len());
            text.push('?');
        }
    }
    (text, places)
}

/// Returns whether an answer with these headers can't be truncated unnoticed, because it declares its length or its
/// end.
pub fn announces_end(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

/// Returns the text of an answer's body.
pub(super) fn text_of(answer: Answer) -> Result<AnswerText, Refusal> {
    let text = AnswerText::new(answer.body, &answer.headers);
    match answer.headers.get(CONTENT_ENCODING) {
        Some(packed) if text.foreign.is_some() => Err(failed(
            FailureKind::Data,
            format!(
                "the answer is compressed (`{}`) without being asked to; is there a proxy?",
                shortened(&String::from_utf8_lossy(packed.as_bytes()))
            ),
        )),
        _ => Ok(text),
    }
}

/// Parses the JSON object of an answer. Checked explicitly, as a struct is also deserialised from a list.
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
            format!("the answer is a page{titled}, not JSON; is there a proxy?"),
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

/// Parses the JSON of an answer, or of a part of it.
pub(super) fn parse_any<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|error| {
        failed(
            FailureKind::Data,
            // only the position: an answer may contain names, or a signed URL
            format!(
                "the answer isn't the expected JSON, at line {} column {}",
                error.line(),
                error.column()
            ),
        )
    })
}

/// The byte ranges of records in an answer.
pub(super) type Spans = Vec<Range<usize>>;

/// Parses an answer with `read`, which gets the answer and no records.
///
/// If the answer isn't strict JSON, its records, a list at `path`, are split by their structure. `read` then gets the
/// answer with an empty list instead of them, and the records. If that isn't strict JSON either, or the end of the
/// records can't be found, the answer isn't a page.
pub(super) fn read_page<T>(
    answer: &AnswerText,
    path: &[&str],
    is_record: IsRecord<'_>,
    read: impl Fn(&str, Option<Spans>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let text = answer.text.as_str();
    match read(text, None) {
        Err(refusal) if !is_json(text.as_bytes()) => {
            let Some(Salvaged { envelope, records }) =
                salvage(text, path, answer.extent(), is_record)
            else {
                return Err(refusal);
            };
            read(&envelope, Some(records))
        }
        page => page,
    }
}

/// Returns the positions of the items, which are slices of `text`.
pub(super) fn spans(text: &str, items: Vec<&RawValue>) -> Spans {
    items
        .into_iter()
        .map(|item| span(text, item.get()))
        .collect()
}

/// A number among a page's own fields, which are all optional.
pub(super) fn number(text: &ScalarText) -> Option<u64> {
    text.as_deref()?.parse().ok()
}

/// Returns a refusal that isn't about the range's size.
pub(super) fn failed(kind: FailureKind, message: impl Into<String>) -> Refusal {
    Refusal::Failed {
        kind,
        message: message.into(),
    }
}

/// Classifies a status other than 2xx with the provider's message `said`.
pub(super) fn refused(status: StatusCode, text: &str) -> Refusal {
    if let Some(too_old) = too_old(status, text) {
        return too_old;
    }
    let text = format!("the provider answered {status}: {text}");
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge(text),
        StatusCode::BAD_REQUEST
        | StatusCode::RANGE_NOT_SATISFIABLE
        | StatusCode::UNPROCESSABLE_ENTITY => Refusal::BadRange {
            kind: FailureKind::Config,
            message: text,
        },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => failed(FailureKind::Auth, text),
        StatusCode::TOO_MANY_REQUESTS => failed(FailureKind::RateLimited, text),
        status if status.is_server_error() => Refusal::TooSlow(text),
        _ => failed(FailureKind::Config, text),
    }
}

/// Returns the refusal of a range that is too old, if this status with the provider's message `said` is one.
pub(super) fn too_old(status: StatusCode, message: &str) -> Option<Refusal> {
    age::is_about_age(status, message)
        .then(|| Refusal::TooOld(format!("the provider answered {status}: {message}")))
}

/// Returns the beginning of an undocumented body for a message.
pub(super) fn quoted(body: &str) -> String {
    let words: Vec<&str> = body.split_whitespace().collect();
    format!("`{}`", shortened(&words.join(" ")))
}

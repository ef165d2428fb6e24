//! The answers of LivePerson, and the classification of its refusals.

use std::fmt::Write as _;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

use super::graphql::{GraphqlErrors, errors};
use crate::model::FailureKind;
use crate::providers::answer::{
    Spans, error_text, failed, parse, parse_any, quoted, read_page, refused, spans, text_of,
    too_old,
};
use crate::providers::json::{Object, OneOrMany, ScalarText, shortened};
use crate::providers::salvage::IsRecord;
use crate::providers::{Answer, ErrorInBody, Foreign, Refusal};

/// The longest pause within a range. A range with a longer one fails, and is pulled by another run.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// The number of messages of an answer that are shown.
const MESSAGES: usize = 3;

/// An answer in the form of GraphQL.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GraphqlBody<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    errors: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Data<'a> {
    #[serde(borrow, deserialize_with = "present")]
    audit_data: Option<&'a RawValue>,
}

/// Null counts as a value: an empty page.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
}

/// The services' errors in their different forms: `{"error": {...}}`, `{"error": "..."}`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceError<'a> {
    #[serde(borrow)]
    error: Object<ErrorMessage<'a>>,
    #[serde(borrow)]
    errors: OneOrMany<Object<ErrorMessage<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ErrorMessage<'a> {
    #[serde(borrow)]
    message: ScalarText<'a>,
    #[serde(borrow)]
    internal_code: ScalarText<'a>,
}

/// The rows of an answer.
#[derive(Debug)]
pub(super) struct AnswerRows {
    pub(super) text: String,
    /// The positions of the rows.
    pub(super) records: Spans,
    /// The rows that aren't UTF-8.
    pub(super) foreign: Foreign,
}

/// The meaning of an answer.
#[derive(Debug)]
pub(super) enum Reply {
    /// A page.
    Rows(AnswerRows),
    /// The query is invalid, with the provider's message.
    NotUnderstood(String),
    /// The query may succeed after a pause; after too many attempts it is refused.
    Later { pause: Duration, refusal: Refusal },
}

/// Parses an answer. An answer with errors isn't a page, even if it has rows.
pub(super) fn read(answer: Answer, is_record: IsRecord<'_>) -> Result<Reply, Refusal> {
    let status = answer.status;
    if let Some(too_old) = too_old(status, &message_in(&answer)).filter(|_| !status.is_success()) {
        return Err(too_old);
    }
    if !status.is_success() && status != StatusCode::BAD_REQUEST {
        return Err(refused(status, &message_in(&answer)));
    }
    if status == StatusCode::BAD_REQUEST {
        let text = error_text(&answer);
        let body: GraphqlBody = serde_json::from_str(&text).unwrap_or_default();
        let message = format!("the provider answered {status}: {}", message_in(&answer));
        return match body.errors.and_then(|found| errors(found.get())) {
            Some(GraphqlErrors {
                kind: Some(kind @ (FailureKind::Auth | FailureKind::RateLimited)),
                ..
            }) => Err(failed(kind, message)),
            // by the status, the query is invalid
            _ => Ok(Reply::NotUnderstood(message)),
        };
    }
    let text = text_of(answer)?;
    let found = read_page(&text, &["data", "auditData"], is_record, rows)?;
    Ok(match found {
        AnswerForm::Rows(records) => Reply::Rows(AnswerRows {
            foreign: text.foreign(&records)?,
            text: text.text,
            records,
        }),
        AnswerForm::NotUnderstood(message) => Reply::NotUnderstood(message),
        AnswerForm::Later { pause, refusal } => Reply::Later { pause, refusal },
    })
}

/// Returns what an answer's errors say about the token and the rate.
pub(super) fn error_in_body(answer: &Answer) -> ErrorInBody {
    let has_errors = answer.status.is_success() || answer.status == StatusCode::BAD_REQUEST;
    let text = error_text(answer);
    let body: GraphqlBody = if has_errors && text.contains("\"errors\"") {
        serde_json::from_str(&text).unwrap_or_default()
    } else {
        GraphqlBody::default()
    };
    match body.errors.and_then(|found| errors(found.get())) {
        Some(errors) => ErrorInBody {
            token_refused: errors.token_refused,
            pause: errors
                .pause
                .filter(|_| errors.kind != Some(FailureKind::Auth)),
        },
        None => ErrorInBody::default(),
    }
}

/// Classifies the JSON of an answer.
enum AnswerForm {
    Rows(Spans),
    NotUnderstood(String),
    Later { pause: Duration, refusal: Refusal },
}

/// Finds the rows of an answer, unless they are known.
fn rows(text: &str, found: Option<Spans>) -> Result<AnswerForm, Refusal> {
    let body: GraphqlBody = parse(text)?;
    let data: Data = match body.data {
        Some(data) if data.get().starts_with('{') => parse(data.get())?,
        _ => Data::default(),
    };
    let rows = data.audit_data.map(RawValue::get);
    if let Some(errors) = body.errors.and_then(|found| errors(found.get())) {
        let GraphqlErrors {
            kind,
            pause,
            message,
            ..
        } = errors;
        // an unknown part of the rows is missing
        let has_rows = rows.is_some_and(|rows| rows != "null");
        let with = if has_rows {
            "rows, and with errors"
        } else {
            "errors"
        };
        let is_too_old = !has_rows && too_old(StatusCode::BAD_REQUEST, &message).is_some();
        let message = format!("the provider answered with {with}: {message}");
        if is_too_old {
            return Err(Refusal::TooOld(message));
        }
        let kind = match kind {
            None if !has_rows => return Ok(AnswerForm::NotUnderstood(message)),
            kind => kind.unwrap_or(FailureKind::Transient),
        };
        let refusal = failed(kind, message);
        return match pause.filter(|_| kind != FailureKind::Auth) {
            Some(pause) if pause <= LONGEST_PAUSE => Ok(AnswerForm::Later { pause, refusal }),
            _ => Err(refusal),
        };
    }
    match (rows, found) {
        (Some("null"), _) => Ok(AnswerForm::Rows(Vec::new())),
        (Some(list), found) if list.starts_with('[') => {
            // a slice of `text`, and therefore also its items
            let items: Vec<&RawValue> = parse_any(list)?;
            Ok(AnswerForm::Rows(
                found.unwrap_or_else(|| spans(text, items)),
            ))
        }
        _ => Err(failed(
            FailureKind::Data,
            "the answer has no list `data.auditData`, so it isn't a page",
        )),
    }
}

/// The header with the number of rows, of the page or of all pages (undocumented).
pub(super) fn total_count(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get("x-total-count")?.to_str().ok()?;
    text.trim().parse().ok()
}

/// Returns the provider's message in an error's body.
fn message_in(answer: &Answer) -> String {
    let text = error_text(answer);
    let body: ServiceError = serde_json::from_str(&text).unwrap_or_default();
    let own = shown(&body.error.0);
    own.or_else(|| joined(&body.errors.0))
        .unwrap_or_else(|| quoted(&text))
}

fn joined(errors: &[Object<ErrorMessage<'_>>]) -> Option<String> {
    let mut messages: Vec<String> = errors.iter().filter_map(|error| shown(&error.0)).collect();
    messages.dedup();
    let more = messages.len().saturating_sub(MESSAGES);
    messages.truncate(MESSAGES);
    if more > 0 {
        messages.push(format!("and {more} more"));
    }
    (!messages.is_empty()).then(|| messages.join("; "))
}

fn shown(error: &ErrorMessage<'_>) -> Option<String> {
    let mut text = shortened(error.message.as_deref()?).into_owned();
    if let Some(code) = error.internal_code.as_deref() {
        // writing to a string doesn't fail
        let _ = write!(text, ", internal code `{}`", shortened(code));
    }
    Some(text)
}

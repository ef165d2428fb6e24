//! What LivePerson answers, and what its refusals mean.

use std::fmt::Write as _;
use std::ops::Range;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

use crate::model::Kind;
use crate::providers::answer::{
    failed, parse, parse_any, quoted, refused, spans, text_of, too_old,
};
use crate::providers::json::{List, Object, Text, shortened};
use crate::providers::{Answer, Refusal};

/// How many of the messages of one answer are shown.
const MESSAGES: usize = 3;

/// An answer in the form of GraphQL.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
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

/// Null is something, too: an empty page.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
}

/// What the services say of an error, each in its own form: `{"error": {...}}`, `{"error": "..."}`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ErrorBody<'a> {
    #[serde(borrow)]
    error: Object<Error<'a>>,
    #[serde(borrow)]
    errors: List<Object<Error<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Error<'a> {
    #[serde(borrow)]
    message: Text<'a>,
    #[serde(borrow)]
    internal_code: Text<'a>,
}

/// The rows of an answer.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) text: String,
    /// Where the rows lie in it.
    pub(super) records: Vec<Range<usize>>,
    /// What an operator should know of it.
    pub(super) remark: Option<String>,
}

/// What one answer is.
#[derive(Debug)]
pub(super) enum Reply {
    /// A page.
    Rows(Rows),
    /// The question was not understood, with what the provider said of it.
    NotUnderstood(String),
}

/// Reads an answer. One with errors is no page, however many rows it has.
pub(super) fn read(answer: Answer) -> Result<Reply, Refusal> {
    let status = answer.status;
    if let Some(too_old) = too_old(status, &said(&answer)).filter(|_| !status.is_success()) {
        return Err(too_old);
    }
    if status == StatusCode::BAD_REQUEST {
        return Ok(Reply::NotUnderstood(format!(
            "the provider answered {status}: {}",
            said(&answer)
        )));
    }
    if !status.is_success() {
        return Err(refused(status, &said(&answer)));
    }
    let (text, remark) = text_of(answer)?;
    let body: Body = parse(&text)?;
    let data: Data = match body.data {
        Some(data) if data.get().starts_with('{') => parse(data.get())?,
        _ => Data::default(),
    };
    let rows = data.audit_data.map(RawValue::get);
    if let Some(messages) = body.errors.and_then(|errors| messages(errors.get())) {
        return match rows {
            None | Some("null") if too_old(StatusCode::BAD_REQUEST, &messages).is_some() => Err(
                Refusal::TooOld(format!("the provider answered with errors: {messages}")),
            ),
            None | Some("null") => Ok(Reply::NotUnderstood(format!(
                "the provider answered with errors: {messages}"
            ))),
            // what of the rows is missing, nobody knows
            Some(_) => Err(failed(
                Kind::Transient,
                format!("the provider answered with rows, and with errors: {messages}"),
            )),
        };
    }
    let found = match rows {
        Some("null") => Vec::new(),
        Some(list) if list.starts_with('[') => {
            // a slice of `text`, so its items are, too
            let items: Vec<&RawValue> = parse_any(list)?;
            spans(&text, items)
        }
        Some(_) | None => {
            return Err(failed(
                Kind::Data,
                "the answer has no list `data.auditData`, so it is no page",
            ));
        }
    };
    Ok(Reply::Rows(Rows {
        text,
        records: found,
        remark,
    }))
}

/// The header that counts rows: those of the page or those of all pages, nobody knows.
pub(super) fn total_count(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get("x-total-count")?.to_str().ok()?;
    text.trim().parse().ok()
}

/// What `errors` says; nothing if it is null or empty.
fn messages(errors: &str) -> Option<String> {
    if errors == "null" {
        return None;
    }
    let list: List<Object<Error>> = serde_json::from_str(errors).unwrap_or_default();
    if list.0.is_empty()
        && serde_json::from_str::<Vec<&RawValue>>(errors).is_ok_and(|list| list.is_empty())
    {
        return None;
    }
    Some(joined(&list.0).unwrap_or_else(|| quoted(errors)))
}

/// What the provider says in an error's body.
fn said(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let body: ErrorBody = serde_json::from_str(&text).unwrap_or_default();
    let own = shown(&body.error.0);
    own.or_else(|| joined(&body.errors.0))
        .unwrap_or_else(|| quoted(&text))
}

fn joined(errors: &[Object<Error<'_>>]) -> Option<String> {
    let mut messages: Vec<String> = errors.iter().filter_map(|error| shown(&error.0)).collect();
    messages.dedup();
    let more = messages.len().saturating_sub(MESSAGES);
    messages.truncate(MESSAGES);
    if more > 0 {
        messages.push(format!("and {more} more"));
    }
    (!messages.is_empty()).then(|| messages.join("; "))
}

fn shown(error: &Error<'_>) -> Option<String> {
    let mut text = shortened(error.message.as_deref()?).into_owned();
    if let Some(code) = error.internal_code.as_deref() {
        // writing to a string doesn't fail
        let _ = write!(text, ", internal code `{}`", shortened(code));
    }
    Some(text)
}

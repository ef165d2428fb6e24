//! The bodies of answers as JSON and XML.

use std::fmt::Write as _;

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};

use super::dataset::Audit;
use super::settings::{Empty, ErrorForm, EverywareSettings, Form};
use crate::answer::Answer;

/// Returns the representation that a call accepts; `None` if it accepts neither.
pub(super) fn accepted(headers: &HeaderMap, default: Form) -> Option<Form> {
    let Some(accept) = headers.get("accept") else {
        return Some(default);
    };
    let mut kinds = accept.to_str().ok()?.split(',').map(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    });
    kinds.find_map(|kind| match kind.as_str() {
        "application/json" => Some(Form::Json),
        "application/xml" => Some(Form::Xml),
        "*/*" | "application/*" => Some(default),
        _ => None,
    })
}

/// Returns the list in its envelope; the first part ends where more members can follow.
pub(super) fn json(
    records: &[&Audit],
    limited: bool,
    more: bool,
    settings: &EverywareSettings,
) -> (String, String) {
    let tail = if settings.tells_limit {
        format!(r#","limitExceeded":{limited}}}"#)
    } else {
        "}".to_owned()
    };
    let lone = settings.lone_object && records.len() == 1 && records[0].text.starts_with('{');
    match settings.empty {
        Empty::Null if records.is_empty() && !more => (r#"{"audit":null"#.to_owned(), tail),
        Empty::Object if records.is_empty() && !more => {
            ("{".to_owned(), tail.trim_start_matches(',').to_owned())
        }
        _ if lone && !more => (format!(r#"{{"audit":{}"#, records[0].text), tail),
        _ => {
            let texts: Vec<&str> = records.iter().map(|record| &*record.text).collect();
            let head = format!(r#"{{"audit":[{}"#, texts.join(","));
            (head, format!("]{tail}"))
        }
    }
}

/// Returns the list as XML, without the records that aren't objects.
pub(super) fn xml(records: &[&Audit]) -> String {
    let mut text =
        r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?><auditResult>"#.to_owned();
    for record in records {
        let Ok(fields) = serde_json::from_str::<Map<String, Value>>(&record.text) else {
            continue;
        };
        text.push_str("<audit>");
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            // writing to a string doesn't fail
            let _ = write!(text, "<{name}>{}</{name}>", escaped(&value));
        }
        text.push_str("</audit>");
    }
    text + "</auditResult>"
}

/// Returns an error in the configured form.
pub(super) fn error(status: u16, message: &str, form: ErrorForm) -> Answer {
    match form {
        ErrorForm::Bean => Answer::json(status, json!({ "message": message }).to_string()),
        ErrorForm::Html => Answer::html(status),
        ErrorForm::Xml => {
            let message = escaped(message);
            let text = format!(
                r#"<?xml version="1.0" encoding="UTF-8"?><errorBean><message>{message}</message></errorBean>"#
            );
            Answer::typed(status, "application/xml", text)
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

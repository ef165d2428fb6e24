//! The calls of the Audit API.

use chrono::SecondsFormat;
use http::Method;
use serde_json::json;

use crate::model::Timestamp;
use crate::providers::{Call, Target};

pub(super) fn get(path: String, query: Vec<(&'static str, String)>) -> Call {
    let target = Target::Api { path, query };
    Call {
        method: Method::GET,
        target,
        body: None,
        gateway_timeout_is_answer: false,
    }
}

/// A query's 504 says that its interval is too large, so it isn't sent again as it is.
pub(super) fn post(path: &str, query: Vec<(&'static str, String)>, body: String) -> Call {
    let target = Target::Api {
        path: path.to_owned(),
        query,
    };
    Call {
        method: Method::POST,
        target,
        body: Some(body),
        gateway_timeout_is_answer: true,
    }
}

pub(super) fn mapping_call() -> Call {
    get("/api/v2/audits/query/servicemapping".to_owned(), vec![])
}

pub(super) fn realtime_mapping_call() -> Call {
    get(
        "/api/v2/audits/query/realtime/servicemapping".to_owned(),
        vec![],
    )
}

/// The id comes from the provider and goes into a path: escaped, so that it stays one segment.
pub(super) fn transaction_path(transaction: &str, tail: &str) -> String {
    let id = percent_encoding::utf8_percent_encode(transaction, percent_encoding::NON_ALPHANUMERIC);
    let id = id.to_string().replace("%2D", "-").replace("%5F", "_");
    format!("/api/v2/audits/query/{id}{tail}")
}

pub(super) fn expand() -> (&'static str, String) {
    ("expand", "user".to_owned())
}

pub(super) fn sort() -> serde_json::Value {
    json!([{ "name": "Timestamp", "sortOrder": "ascending" }])
}

pub(super) fn instant(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

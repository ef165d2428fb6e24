//! The calls of the Audit API.

use std::time::Duration;

use serde_json::json;

use crate::providers::call::get;
use crate::providers::{Call, RateHeaderNames};

/// The rate limit headers of the connection's token, which count per minute.
pub(super) const RATE_HEADERS: RateHeaderNames = RateHeaderNames {
    allowed: "inin-ratelimit-allowed",
    used: "inin-ratelimit-count",
    reset: "inin-ratelimit-reset",
    window: Duration::from_mins(1),
};

pub(super) fn mapping_call() -> Call {
    get("/api/v2/audits/query/servicemapping".to_owned(), vec![])
}

pub(super) fn realtime_mapping_call() -> Call {
    get(
        "/api/v2/audits/query/realtime/servicemapping".to_owned(),
        vec![],
    )
}

/// Escapes an id of the provider for a path, so that it stays one segment.
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

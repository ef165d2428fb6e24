//! Stream ids and calls, shared by all adapters.

use chrono::TimeDelta;
use http::Method;
use sha2::{Digest, Sha256};

use super::{Call, Target};
use crate::model::{Range, hex};

/// Returns the suffix of a stream's id: a hash of its filters, as different filters make a different stream; empty
/// without filters.
pub(super) fn filters_suffix(filters: Option<&serde_json::Value>) -> String {
    filters.map_or_else(String::new, |filters| {
        format!("#{}", hex(&Sha256::digest(filters.to_string())[..4]))
    })
}

/// Returns the range with an additional second on each side, for bounds that may be inclusive or exclusive.
pub(super) fn a_second_wider(range: Range) -> Range {
    let second = TimeDelta::seconds(1);
    Range::new(range.from() - second, range.to() + second).unwrap_or(range)
}

/// Returns a GET to the API.
pub(super) fn get(path: String, query: Vec<(&'static str, String)>) -> Call {
    let target = Target::Api { path, query };
    Call {
        method: Method::GET,
        target,
        body: None,
        gateway_timeout_is_answer: false,
    }
}

/// Returns a query by POST. A 504 means that its interval is too large, so it isn't retried unchanged.
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

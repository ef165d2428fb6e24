//! What adapters share in writing a call.

use http::Method;

use super::{Call, Target};

/// A GET to the API.
pub(super) fn get(path: String, query: Vec<(&'static str, String)>) -> Call {
    let target = Target::Api { path, query };
    Call {
        method: Method::GET,
        target,
        body: None,
        gateway_timeout_is_answer: false,
    }
}

/// A query by POST. Its 504 says that its interval is too large, so it isn't sent again as it is.
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

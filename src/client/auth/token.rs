//! The token of a connection.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use tokio::time::Instant;

use crate::secret::Redactor;

/// The credentials of a call: its headers, which are never shown.
pub(in crate::client) struct Token {
    pub(super) headers: HeaderMap,
    pub(super) hidden: Redactor,
    pub(super) number: u64,
    pub(super) issued: Instant,
    /// The fingerprint of the secrets of its sign-in.
    pub(super) credentials: u64,
    /// Whether its predecessor was refused.
    pub(super) after_refusal: bool,
    pub(super) accepted: AtomicBool,
}

impl Token {
    /// `Authorization` and the endpoint's own headers; marked as sensitive, so that they aren't printed.
    pub(in crate::client) fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    /// The redactor for the token and related secrets.
    pub(in crate::client) fn hidden(&self) -> &Redactor {
        &self.hidden
    }

    /// Records that the API accepted it.
    pub(in crate::client) fn accept(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

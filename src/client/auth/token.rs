//! What a sign-in leaves behind.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use tokio::time::Instant;

use crate::secret::Redactor;

/// What signs a call: the headers that go with it; never shown.
pub(in crate::client) struct Token {
    pub(super) headers: HeaderMap,
    pub(super) hidden: Redactor,
    pub(super) number: u64,
    pub(super) issued: Instant,
    /// What it was asked for with, as a number.
    pub(super) credentials: u64,
    /// It was asked for because its predecessor was refused.
    pub(super) after_refusal: bool,
    pub(super) accepted: AtomicBool,
}

impl Token {
    /// `Authorization` and the endpoint's own headers; sensitive, so that nothing prints them.
    pub(in crate::client) fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    /// Hides the token, and what goes with it, in what a server says.
    pub(in crate::client) fn hidden(&self) -> &Redactor {
        &self.hidden
    }

    /// Notes that the API took it.
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

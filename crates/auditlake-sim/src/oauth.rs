//! Bearer tokens that a simulator issued, and the credentials it issues them for.

use std::collections::HashMap;
use std::sync::Mutex;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::Rng as _;

use super::lock;

/// Tokens by text, with the instant at which each ends.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    ends: Mutex<HashMap<String, i64>>,
}

impl Tokens {
    /// A new token, good while the clock shows less than `ends_micros`.
    pub(super) fn issue(&self, ends_micros: i64) -> String {
        let token = random_text(48);
        lock(&self.ends).insert(token.clone(), ends_micros);
        token
    }

    pub(super) fn is_good(&self, token: &str, now_micros: i64) -> bool {
        lock(&self.ends)
            .get(token)
            .is_some_and(|ends| now_micros < *ends)
    }

    pub(super) fn revoke_all(&self) {
        lock(&self.ends).clear();
    }
}

/// The token of an `Authorization: Bearer` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    scheme(headers, "bearer")
}

/// User and password of an `Authorization: Basic` header.
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let decoded = STANDARD.decode(scheme(headers, "basic")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Text that nobody guesses, of `bytes` random bytes.
pub(super) fn random_text(bytes: usize) -> String {
    let mut buffer = vec![0_u8; bytes];
    rand::rng().fill(buffer.as_mut_slice());
    URL_SAFE_NO_PAD.encode(buffer)
}

/// What follows the scheme, if there is exactly one `Authorization` header and it has this scheme.
fn scheme<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (scheme, rest) = all.next()?.to_str().ok()?.split_once(' ')?;
    (all.next().is_none() && scheme.eq_ignore_ascii_case(wanted)).then_some(rest)
}

//! The bearer tokens that a simulator has issued, and the parsing of `Authorization` headers.

use std::collections::HashMap;
use std::sync::Mutex;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::Rng as _;

use super::lock;

/// Tokens with the instants at which they expire.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    ends: Mutex<HashMap<String, i64>>,
}

impl Tokens {
    /// Issues a token that is valid until `ends_micros`, exclusive.
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

/// Returns the token of an `Authorization: Bearer` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    scheme(headers, "bearer")
}

/// Returns the user and password of an `Authorization: Basic` header.
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let decoded = STANDARD.decode(scheme(headers, "basic")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Returns an unguessable text of `bytes` random bytes.
pub(super) fn random_text(bytes: usize) -> String {
    let mut buffer = vec![0_u8; bytes];
    rand::rng().fill(buffer.as_mut_slice());
    URL_SAFE_NO_PAD.encode(buffer)
}

/// Returns the text after the scheme, if there is exactly one `Authorization` header and it has this scheme.
fn scheme<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (scheme, rest) = all.next()?.to_str().ok()?.split_once(' ')?;
    (all.next().is_none() && scheme.eq_ignore_ascii_case(wanted)).then_some(rest)
}

//! The signed-in clients: apps by tokens, users by sessions.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::dataset::micros;
use crate::lock;
use crate::oauth::random_text;

/// All tokens and sessions.
#[derive(Debug, Default)]
pub(super) struct SignedIn {
    /// The tokens with their expiry.
    tokens: Mutex<HashMap<String, i64>>,
    /// The sessions by bearer token.
    sessions: Mutex<HashMap<String, Session>>,
}

#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) csrf: String,
    pub(super) cookie: String,
    /// The end of the session, even if it is kept alive.
    ends: i64,
    /// The end of the session unless it is kept alive.
    idle_ends: i64,
}

impl SignedIn {
    /// Issues a JSON web token, whose claims use the simulator's clock.
    pub(super) fn issue_token(&self, now: i64, lifetime: Duration) -> String {
        let ends = now.saturating_add(micros(lifetime));
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(json!({ "alg": "RS256", "typ": "JWT" }));
        let claims = part(json!({
            "iat": now.div_euclid(1_000_000),
            "exp": ends.div_euclid(1_000_000),
            "scope": "audit",
        }));
        let token = format!("{head}.{claims}.{}", random_text(32));
        lock(&self.tokens).insert(token.clone(), ends);
        token
    }

    /// Creates a session and returns its bearer token.
    pub(super) fn begin(&self, now: i64, lifetime: Duration, idle: Duration) -> (String, Session) {
        let bearer = random_text(24);
        let session = Session {
            csrf: random_text(24),
            cookie: random_text(24),
            ends: now.saturating_add(micros(lifetime)),
            idle_ends: now.saturating_add(micros(idle)),
        };
        lock(&self.sessions).insert(bearer.clone(), session.clone());
        (bearer, session)
    }

    /// Keeps the session with this cookie and CSRF token alive; returns whether there is one.
    pub(super) fn keep_up(&self, cookie: &str, csrf: &str, now: i64, idle: Duration) -> bool {
        let mut sessions = lock(&self.sessions);
        let found = sessions.values_mut().find(|session| {
            session.cookie == cookie
                && session.csrf == csrf
                && now < session.ends
                && now < session.idle_ends
        });
        let Some(session) = found else {
            return false;
        };
        session.idle_ends = now.saturating_add(micros(idle));
        true
    }

    pub(super) fn is_good(&self, bearer: &str, now: i64) -> bool {
        let token = lock(&self.tokens).get(bearer).copied();
        let session = lock(&self.sessions).get(bearer).cloned();
        token.is_some_and(|ends| now < ends)
            || session.is_some_and(|session| now < session.ends && now < session.idle_ends)
    }

    pub(super) fn sign_all_out(&self) {
        lock(&self.tokens).clear();
        lock(&self.sessions).clear();
    }
}

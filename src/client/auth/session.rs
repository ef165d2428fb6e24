//! A user's session: one login, kept alive while it is used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::credentials::{Credentials, sensitive};
use super::request::{SignInRequest, fields, tried};
use super::verdict;
use super::{Auth, CachedToken, LONGEST_LIFE, SignedIn, Token, USUAL_LIFE, margin};
use crate::client::body;
use crate::client::calls::Caller;
use crate::client::error::ClientError;
use crate::client::request::ResponseVerdict;
use crate::client::resolver::HostResolver;
use crate::client::transport::count;
use crate::providers::{Answer, SignIn};
use crate::secret::Redactor;

/// The time since the last login or refresh after which a session is refreshed at its next use.
const KEEP_UP: Duration = Duration::from_mins(4);

/// The time since the last successful login or refresh after which a session counts as expired. Whether a call also
/// extends it is undocumented.
const ALIVE: Duration = Duration::from_mins(6);

/// The state of a session, all of which is secret.
pub(super) struct Session {
    csrf: String,
    /// The cookies by name.
    cookies: BTreeMap<String, String>,
    /// The credentials of the login.
    credentials: Redactor,
    /// The end of the session regardless of refreshes, by the login's answer.
    ends: Instant,
    /// How long before that end a new session is created.
    margin: Duration,
}

impl Session {
    fn cookie(&self) -> String {
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    fn hidden(&self, bearer: &str) -> Redactor {
        let cookie = self.cookie();
        let own = [bearer, self.csrf.as_str(), cookie.as_str()];
        let cookies = self.cookies.values().map(String::as_str);
        self.credentials
            .and(&Redactor::new(own.into_iter().chain(cookies)))
    }

    /// Returns how long it is used from `now`, its last login or refresh, and how long before that end it is refreshed
    /// or replaced.
    fn life(&self, now: Instant) -> (Duration, Duration) {
        let left = self.ends.saturating_duration_since(now);
        let until = ALIVE.min(left);
        let renew = KEEP_UP.min(left.saturating_sub(self.margin));
        (until, until.saturating_sub(renew))
    }

    /// Applies an answer: its cookies by name, and its token.
    fn take(&mut self, answer: &Answer, csrf: &str) {
        self.cookies.extend(cookies(&answer.headers));
        if !csrf.is_empty() {
            csrf.clone_into(&mut self.csrf);
        }
    }
}

/// Logs in with these headers; `asked` is the time of the request.
pub(super) async fn log_in(
    ask: SignInRequest<'_>,
    headers: HeaderMap,
    credentials: &Credentials,
    asked: Instant,
) -> Result<SignedIn, ClientError> {
    let Credentials {
        user,
        password,
        extra,
    } = credentials;
    let secrets = [user.as_str(), password.as_str()];
    let hidden =
        Redactor::new(secrets.into_iter().chain(extra.texts())).and(&ask.resolver.transport.hidden);
    let body = json!({ "username": user, "password": password }).to_string();
    count(&ask.resolver.transport.counts.sign_ins);
    ask.resolver.transport.metrics.signs_in();
    let (request, answer) = ask.post(headers, "application/json", body, &hidden).await?;
    let fields = fields(&answer);
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let bearer = text("bearer");
    // an answer that holds a token isn't shown
    let message = || body::excerpt(&answer.body, &hidden).filter(|_| bearer.is_empty());
    if verdict::is_refused(&answer) && (bearer.is_empty() || !answer.status.is_success()) {
        let tried = tried(&answer, message());
        return Err(ClientError::Auth { request, tried });
    }
    let authorization = sensitive(&format!("Bearer {bearer}"))
        .filter(|_| answer.status.is_success() && !bearer.is_empty());
    let Some(authorization) = authorization else {
        // a 2xx without a token isn't an error message, and may contain a token under another name
        return Err(ClientError::SignIn {
            request,
            tried: verdict::no_sign_in(&answer, message().filter(|_| !answer.status.is_success())),
        });
    };
    let life = life(fields.get("sessionTTl"));
    let mut session = Session {
        csrf: String::new(),
        cookies: BTreeMap::new(),
        credentials: hidden.clone(),
        ends: asked + life,
        margin: margin(life),
    };
    session.take(&answer, text("csrf"));
    let (life, margin) = session.life(asked);
    Ok(SignedIn {
        authorization,
        hidden: session.hidden(bearer),
        life,
        margin,
        session: Some(session),
    })
}

impl Auth {
    /// Refreshes a session, if that is possible and it has time left; `None` if a login is due instead.
    pub(super) async fn keep_up(
        &self,
        held: &mut CachedToken,
        resolver: &HostResolver,
        by: Caller<'_>,
    ) -> Result<Option<Arc<Token>>, ClientError> {
        let SignIn::Session { refresh, .. } = &self.sign_in else {
            return Ok(None);
        };
        let asked = Instant::now();
        let Some(session) = held
            .session
            .as_mut()
            .filter(|session| !session.csrf.is_empty() && asked + session.margin < session.ends)
        else {
            return Ok(None);
        };
        let mut headers = held.token.headers();
        headers.remove(AUTHORIZATION);
        let cookie = session.cookie();
        if !cookie.is_empty() {
            let Some(cookie) = sensitive(&cookie) else {
                return Ok(None);
            };
            headers.insert(COOKIE, cookie);
        }
        let ask = SignInRequest {
            resolver,
            place: refresh,
            retried: false,
            judge: |_| ResponseVerdict::Answer,
            by,
        };
        let body = json!({ "csrf": session.csrf }).to_string();
        let hidden = session.hidden("");
        let refreshed = ask.post(headers, "application/json", body, &hidden).await;
        let why = match refreshed {
            Ok((_, answer)) if answer.status.is_success() => {
                let fields = fields(&answer);
                let text =
                    |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
                session.take(&answer, text("csrf"));
                let (life, margin) = session.life(asked);
                held.until = asked + life;
                held.renew = held.until - margin;
                let bearer = text("bearer");
                let changed = sensitive(&format!("Bearer {bearer}"))
                    .filter(|value| !bearer.is_empty() && !held.token.is(value));
                if let Some(authorization) = changed {
                    let number = self.tokens.fetch_add(1, Ordering::Relaxed);
                    let hidden = session.hidden(bearer);
                    self.know(&hidden);
                    held.token = Arc::new(held.token.with(authorization, hidden, number, asked));
                }
                return Ok(Some(Arc::clone(&held.token)));
            }
            Ok((_, answer)) => format!("status {}", answer.status.as_u16()),
            Err(ClientError::Stopped) => return Err(ClientError::Stopped),
            Err(error) => error.kind().to_string(),
        };
        tracing::debug!(
            connection = resolver.transport.connection,
            reason = why,
            "the session can't be refreshed"
        );
        Ok(None)
    }
}

impl Token {
    fn is(&self, authorization: &HeaderValue) -> bool {
        self.headers.get(AUTHORIZATION) == Some(authorization)
    }

    /// Returns the body with another token.
    fn with(&self, value: HeaderValue, hidden: Redactor, number: u64, issued: Instant) -> Self {
        let mut headers = self.headers.clone();
        headers.insert(AUTHORIZATION, value);
        Self {
            headers,
            hidden,
            number,
            issued,
            credentials: self.credentials,
            after_refusal: self.after_refusal,
            accepted: AtomicBool::new(self.accepted.load(Ordering::Relaxed)),
        }
    }
}

/// Returns the lifetime of a session by its `sessionTTl` in milliseconds, a string or a number.
fn life(ttl: Option<&Value>) -> Duration {
    let millis = match ttl {
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(Value::Number(number)) => number.as_f64(),
        _ => None,
    };
    millis
        .filter(|millis: &f64| *millis > 0.0)
        .map_or(USUAL_LIFE, |millis| {
            Duration::from_secs_f64((millis / 1000.0).min(LONGEST_LIFE.as_secs_f64()))
        })
}

/// Returns the names and values in an answer's `Set-Cookie` headers, without attributes. An empty value removes the
/// cookie.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (String, String)> {
    headers.get_all(SET_COOKIE).iter().filter_map(|value| {
        let text = value.to_str().ok()?;
        let (name, value) = text.split(';').next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        (!name.is_empty() && !value.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    })
}

//! Sign-in, and the credentials of calls.

mod basic;
mod credentials;
mod oauth;
mod request;
mod session;
mod token;
mod verdict;

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

pub(super) use self::token::Token;

use self::credentials::{Credentials, Extra, unfit};
use self::request::SignInRequest;
use self::session::Session;
use super::calls::Caller;
use super::error::ClientError;
use super::resolver::HostResolver;
use crate::model::FailureKind;
use crate::providers::SignIn;
use crate::secret::{Redactor, Secret};
use crate::single_flight::{SingleFlight, Turn};

/// The assumed lifetime of a token without a valid one. If it is wrong, a 401 renews the token.
const USUAL_LIFE: Duration = Duration::from_hours(1);

/// The maximum lifetime of a token.
const LONGEST_LIFE: Duration = Duration::from_hours(24 * 7);

/// The sign-in of a connection: at most one at a time, with a result shared by all waiting callers.
pub(super) struct Auth {
    sign_in: SignIn,
    /// The headers of every call with credentials and of each sign-in.
    headers: Vec<(&'static str, Secret)>,
    /// How long a refused sign-in isn't retried with the same secrets.
    memory: Duration,
    state: SingleFlight<AuthState, ClientError>,
    /// The number of tokens so far.
    tokens: AtomicU64,
    hasher: RandomState,
    /// The secrets and tokens of the last sign-ins, which calls in flight may contain.
    known: std::sync::Mutex<VecDeque<Redactor>>,
}

/// The number of sign-ins whose secrets are remembered for redaction.
const KNOWN: usize = 4;

#[derive(Default)]
struct AuthState {
    held: Option<CachedToken>,
    refused: Option<RefusedSignIn>,
}

/// The current token.
struct CachedToken {
    token: Arc<Token>,
    /// When to renew it.
    renew: Instant,
    /// When it expires.
    until: Instant,
    /// The state to keep it alive, if it is a session.
    session: Option<Session>,
}

struct RefusedSignIn {
    at: Instant,
    credentials: u64,
    error: ClientError,
}

/// The result of a sign-in.
struct SignedIn {
    authorization: HeaderValue,
    hidden: Redactor,
    /// The lifetime from the request on.
    life: Duration,
    /// How long before its end it is renewed.
    margin: Duration,
    session: Option<Session>,
}

impl Auth {
    pub(super) fn new(
        sign_in: SignIn,
        headers: Vec<(&'static str, Secret)>,
        memory: Duration,
    ) -> Self {
        Self {
            sign_in,
            headers,
            memory,
            state: SingleFlight::default(),
            tokens: AtomicU64::new(0),
            hasher: RandomState::new(),
            known: std::sync::Mutex::default(),
        }
    }

    /// Returns the text without any secret of this connection.
    pub(super) fn redact(&self, text: &str) -> String {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        (known.iter()).fold(text.to_owned(), |text, hidden| {
            hidden.apply(&text).into_owned()
        })
    }

    fn know(&self, hidden: &Redactor) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.truncate(KNOWN - 1);
        known.push_front(hidden.clone());
    }

    /// Returns whether a new token may help after this one was refused; `of_token` if the refusal may be about the
    /// token.
    ///
    /// It may if the secrets have changed since. Otherwise it doesn't if the token was itself a replacement for a
    /// refused one and never worked, for a limited time; and never if the token only consists of the secrets.
    pub(super) fn is_worth_renewing(
        &self,
        resolver: &HostResolver,
        token: &Token,
        of_token: bool,
    ) -> bool {
        let once_more = !token.after_refusal
            || token.accepted.load(Ordering::Relaxed)
            || token.issued.elapsed() >= self.memory;
        let asked_for = !matches!(self.sign_in, SignIn::Basic { .. });
        (of_token && asked_for && once_more)
            || self
                .reveal(resolver)
                .is_ok_and(|credentials| self.number(&credentials) != token.credentials)
    }

    /// Records that a call was refused permanently, so that a wrong password isn't sent repeatedly.
    ///
    /// Not recorded for tokens, whose sign-in decides.
    pub(super) async fn refuse(&self, token: &Token, error: &ClientError) {
        if !matches!(self.sign_in, SignIn::Basic { .. }) {
            return;
        }
        let mut state = self.state.turn().await;
        if let Some(held) = &state.held
            && held.token.credentials != token.credentials
        {
            return; // the password has changed
        }
        state.held = None;
        state.refused = Some(RefusedSignIn {
            at: Instant::now(),
            credentials: token.credentials,
            error: error.clone(),
        });
    }

    /// Returns a valid token that isn't `refused`; signs in if there is none.
    ///
    /// A token near its end is renewed; if that fails, it is used until its end.
    pub(super) async fn token(
        &self,
        resolver: &HostResolver,
        refused: Option<&Token>,
        by: Caller<'_>,
    ) -> Result<Arc<Token>, ClientError> {
        let mut state = tokio::select! {
            biased;
            () = by.stop.cancelled() => return Err(ClientError::Stopped),
            state = self.state.turn() => state,
        };
        let now = Instant::now();
        let usable = state.held.as_ref().filter(|held| {
            now < held.until && refused.is_none_or(|refused| refused.number != held.token.number)
        });
        if let Some(held) = usable
            && now < held.renew
        {
            return Ok(Arc::clone(&held.token));
        }
        let usable = usable.map(|held| Arc::clone(&held.token));
        let signed_in = match state.shared_failure() {
            Some(error) => Err(error),
            None => {
                self.renew(
                    &mut state,
                    resolver,
                    usable.is_some(),
                    refused.is_some(),
                    by,
                )
                .await
            }
        };
        match (signed_in, usable) {
            (Err(error), Some(token)) if !matches!(error, ClientError::Stopped) => {
                tracing::warn!(
                    connection = resolver.transport.connection,
                    kind = %error.kind(),
                    "the sign-in can't be renewed yet"
                );
                if let Some(held) = &mut state.held {
                    held.renew = now + margin(held.until - token.issued) / 4;
                }
                Ok(token)
            }
            (signed_in, _) => signed_in,
        }
    }

    /// Signs in; `early` if the current token is still valid: then there is only one attempt, and a session is kept
    /// alive instead if possible.
    async fn renew(
        &self,
        state: &mut Turn<'_, AuthState, ClientError>,
        resolver: &HostResolver,
        early: bool,
        after_refusal: bool,
        by: Caller<'_>,
    ) -> Result<Arc<Token>, ClientError> {
        if early
            && let Some(held) = &mut state.held
            && let Some(token) = self.keep_up(held, resolver, by).await?
        {
            return Ok(token);
        }
        let credentials = self.reveal(resolver)?;
        let number = self.number(&credentials);
        if let Some(refused) = &state.refused
            && refused.credentials == number
            && refused.at.elapsed() < self.memory
        {
            return Err(refused.error.clone());
        }
        let asked = Instant::now();
        let outcome = self.ask(resolver, &credentials, asked, !early, by).await;
        if matches!(outcome, Err(ClientError::Stopped)) {
            return Err(ClientError::Stopped); // only this caller: the next one signs in
        }
        state.end(outcome.as_ref().err().cloned());
        state.refused = None;
        match outcome {
            Ok((headers, signed_in)) => {
                let token = Arc::new(Token {
                    headers,
                    hidden: signed_in.hidden,
                    number: self.tokens.fetch_add(1, Ordering::Relaxed),
                    issued: asked,
                    credentials: number,
                    after_refusal,
                    accepted: AtomicBool::new(false),
                });
                let until = asked + signed_in.life;
                state.held = Some(CachedToken {
                    token: Arc::clone(&token),
                    renew: until - signed_in.margin,
                    until,
                    session: signed_in.session,
                });
                tracing::debug!(
                    connection = resolver.transport.connection,
                    life_s = signed_in.life.as_secs(),
                    "signed in"
                );
                Ok(token)
            }
            Err(error) => {
                if matches!(
                    error.kind(),
                    FailureKind::Auth | FailureKind::Config | FailureKind::Data
                ) {
                    state.refused = Some(RefusedSignIn {
                        at: Instant::now(),
                        credentials: number,
                        error: error.clone(),
                    });
                }
                Err(error)
            }
        }
    }

    /// Signs in with these credentials. Returns the headers of calls and the other results.
    async fn ask(
        &self,
        resolver: &HostResolver,
        credentials: &Credentials,
        asked: Instant,
        retried: bool,
        by: Caller<'_>,
    ) -> Result<(HeaderMap, SignedIn), ClientError> {
        let mut headers = credentials.extra.headers(&resolver.transport)?;
        let signed_in = match &self.sign_in {
            SignIn::ClientCredentials {
                token_url, sent, ..
            } => {
                let token = SignInRequest {
                    resolver,
                    place: token_url,
                    retried,
                    judge: verdict::judge,
                    by,
                };
                oauth::ask(token, *sent, headers.clone(), credentials).await?
            }
            SignIn::Basic { .. } => basic::sign(&resolver.transport, credentials)?,
            SignIn::Session { login, .. } => {
                let login = SignInRequest {
                    resolver,
                    place: login,
                    retried,
                    judge: verdict::judge,
                    by,
                };
                session::log_in(login, headers.clone(), credentials, asked).await?
            }
        };
        headers.insert(AUTHORIZATION, signed_in.authorization.clone());
        self.know(&signed_in.hidden);
        Ok((headers, signed_in))
    }

    fn reveal(&self, resolver: &HostResolver) -> Result<Credentials, ClientError> {
        let reveal = |secret: &Secret| {
            secret.credential().map_err(|source| ClientError::Secret {
                connection: resolver.transport.connection.clone(),
                source: Arc::new(source),
            })
        };
        let (user, password) = match &self.sign_in {
            SignIn::ClientCredentials {
                client_id,
                client_secret,
                ..
            } => (client_id, client_secret),
            SignIn::Basic { username, password }
            | SignIn::Session {
                username, password, ..
            } => (username, password),
        };
        let extra = self.headers.iter().map(|(name, secret)| {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                unfit(
                    &resolver.transport,
                    &format!("`{name}` can't be a header's name"),
                )
            })?;
            let text = reveal(secret)?;
            // bytes beyond ASCII could be sent, but servers interpret them differently
            let fits = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            if !fits || text.trim_matches(' ') != text {
                let file = secret.file_name();
                let of = file.map_or_else(String::new, |file| format!(" of `{}`", file.display()));
                return Err(unfit(
                    &resolver.transport,
                    &format!("the header `{name}` can't hold its value{of}"),
                ));
            }
            Ok((name, text))
        });
        Ok(Credentials {
            user: reveal(user)?,
            password: reveal(password)?,
            extra: Extra(extra.collect::<Result<_, ClientError>>()?),
        })
    }

    /// Returns a fingerprint of the secrets.
    fn number(&self, credentials: &Credentials) -> u64 {
        let Credentials {
            user,
            password,
            extra,
        } = credentials;
        self.hasher.hash_one((user, password, &extra.0))
    }
}

/// Returns how long before its end a token is renewed.
fn margin(life: Duration) -> Duration {
    (life / 10).min(Duration::from_mins(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_a_tenth_of_its_life_before_its_end_but_at_most_five_minutes() {
        assert_eq!(margin(Duration::from_secs(100)), Duration::from_secs(10));
        assert_eq!(margin(Duration::from_hours(24)), Duration::from_mins(5));
    }
}

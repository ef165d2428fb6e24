//! Signing in, and the token that comes of it.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::body::{self, Hidden};
use super::error::{ClientError, Request, Tried};
use super::wire::{Outgoing, To, Wire, count};
use crate::model::Kind;
use crate::providers::{Answer, Place, SignIn};

/// How long a token is taken to live where the answer doesn't say, or says nonsense. If that is wrong, a 401 renews it.
const USUAL_LIFE: Duration = Duration::from_hours(1);

/// No token is trusted for longer.
const LONGEST_LIFE: Duration = Duration::from_hours(24 * 7);

/// What a token endpoint's answer may measure, in bytes.
const ANSWER_CAP: u64 = 64 * 1024;

/// A token as it goes into the header; never shown.
pub(super) struct Token {
    header: HeaderValue,
    hidden: Hidden,
    number: u64,
    issued: Instant,
    expires: Instant,
    /// It was asked for because its predecessor was refused.
    after_refusal: bool,
    accepted: AtomicBool,
}

impl Token {
    /// The value of `Authorization`; sensitive, so that nothing prints it.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Hides the token in what a server says.
    pub(super) fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    /// Notes that the API took it.
    pub(super) fn accept(&self) {
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

/// The sign-in of one connection: at most one at a time, its outcome shared by all who wait for it.
pub(super) struct Auth {
    sign_in: SignIn,
    /// How long a refused sign-in isn't tried again with the same secrets.
    memory: Duration,
    state: Mutex<State>,
    /// How many sign-ins have ended, well or not.
    ended: AtomicU64,
    hasher: RandomState,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    renew: Option<Instant>,
    /// How the last sign-in failed, if it did.
    failure: Option<ClientError>,
    refused: Option<Refused>,
}

struct Refused {
    at: Instant,
    credentials: u64,
    error: ClientError,
}

/// Revealed for one sign-in.
struct Credentials {
    id: String,
    secret: String,
}

impl Auth {
    pub(super) fn new(sign_in: SignIn, memory: Duration) -> Self {
        Self {
            sign_in,
            memory,
            state: Mutex::default(),
            ended: AtomicU64::new(0),
            hasher: RandomState::new(),
        }
    }

    /// Whether a new token may help where this one was refused: not if it was itself asked for because of a refusal
    /// and never worked, until the memory of that fades.
    pub(super) fn is_worth_renewing(&self, token: &Token) -> bool {
        !token.after_refusal
            || token.accepted.load(Ordering::Relaxed)
            || token.issued.elapsed() >= self.memory
    }

    /// A token that is good for now and isn't `refused`; signs in if there is none.
    ///
    /// A token near its end is renewed; if that fails it serves until its end.
    pub(super) async fn token(
        &self,
        wire: &Wire,
        refused: Option<&Token>,
        stop: &CancellationToken,
    ) -> Result<Arc<Token>, ClientError> {
        let ended = self.ended.load(Ordering::Acquire);
        let mut state = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(ClientError::Stopped),
            state = self.state.lock() => state,
        };
        let now = Instant::now();
        let usable = state.token.clone().filter(|token| {
            now < token.expires && refused.is_none_or(|refused| refused.number != token.number)
        });
        if let Some(token) = &usable
            && state.renew.is_none_or(|renew| now < renew)
        {
            return Ok(Arc::clone(token));
        }
        // a sign-in that was under way when this caller came was also this caller's
        let shared = (self.ended.load(Ordering::Acquire) > ended)
            .then(|| state.failure.clone())
            .flatten();
        let signed_in = match shared {
            Some(error) => Err(error),
            None => {
                self.renew(&mut state, wire, usable.is_some(), refused.is_some(), stop)
                    .await
            }
        };
        match (signed_in, usable) {
            (Err(error), Some(token)) if !matches!(error, ClientError::Stopped) => {
                tracing::warn!(
                    connection = wire.connection,
                    kind = %error.kind(),
                    "the sign-in can't be renewed yet"
                );
                state.renew = Some(now + margin(token.expires - token.issued) / 4);
                Ok(token)
            }
            (signed_in, _) => signed_in,
        }
    }

    /// Signs in, `early` if the present token still serves: then one attempt is enough.
    async fn renew(
        &self,
        state: &mut State,
        wire: &Wire,
        early: bool,
        after_refusal: bool,
        stop: &CancellationToken,
    ) -> Result<Arc<Token>, ClientError> {
        let credentials = self.reveal(wire)?;
        let fingerprint = self.hasher.hash_one((&credentials.id, &credentials.secret));
        if let Some(refused) = &state.refused
            && refused.credentials == fingerprint
            && refused.at.elapsed() < self.memory
        {
            return Err(refused.error.clone());
        }
        let asked = Instant::now();
        let outcome = self.ask(wire, &credentials, !early, stop).await;
        if matches!(outcome, Err(ClientError::Stopped)) {
            return Err(ClientError::Stopped); // this caller's alone: whoever waits signs in
        }
        let number = self.ended.fetch_add(1, Ordering::Release);
        state.failure = outcome.as_ref().err().cloned();
        state.refused = None;
        match outcome {
            Ok((header, hidden, life)) => {
                let token = Arc::new(Token {
                    header,
                    hidden,
                    number,
                    issued: asked,
                    expires: asked + life,
                    after_refusal,
                    accepted: AtomicBool::new(false),
                });
                state.renew = Some(token.expires - margin(life));
                state.token = Some(Arc::clone(&token));
                tracing::debug!(
                    connection = wire.connection,
                    life_s = life.as_secs(),
                    "signed in"
                );
                Ok(token)
            }
            Err(error) => {
                if matches!(error.kind(), Kind::Auth | Kind::Config | Kind::Data) {
                    state.refused = Some(Refused {
                        at: Instant::now(),
                        credentials: fingerprint,
                        error: error.clone(),
                    });
                }
                Err(error)
            }
        }
    }

    fn reveal(&self, wire: &Wire) -> Result<Credentials, ClientError> {
        let SignIn::ClientCredentials {
            client_id,
            client_secret,
            ..
        } = &self.sign_in
        else {
            return Err(still_to_come(wire));
        };
        let reveal = |secret: &crate::secret::Secret| {
            secret.reveal().map_err(|source| ClientError::Secret {
                connection: wire.connection.clone(),
                source: Arc::new(source),
            })
        };
        Ok(Credentials {
            id: reveal(client_id)?,
            secret: reveal(client_secret)?,
        })
    }

    /// Asks for a token; returns its header and how long it lives from the asking.
    async fn ask(
        &self,
        wire: &Wire,
        credentials: &Credentials,
        retried: bool,
        stop: &CancellationToken,
    ) -> Result<(HeaderValue, Hidden, Duration), ClientError> {
        let SignIn::ClientCredentials {
            token_url: Place::At(token_url),
            ..
        } = &self.sign_in
        else {
            return Err(still_to_come(wire));
        };
        let request = Request::new(&Method::POST, token_url);
        let Credentials { id, secret } = credentials;
        let pair = format!("{id}:{secret}");
        let hidden = Hidden::new([id.as_str(), secret.as_str(), pair.as_str()]);
        let mut headers = HeaderMap::new();
        headers.insert(
            AUTHORIZATION,
            sensitive(&format!("Basic {}", STANDARD.encode(&pair))).ok_or_else(|| {
                ClientError::Settings {
                    connection: wire.connection.clone(),
                    problem: "the client's id and secret don't fit into a header".to_owned(),
                    source: None,
                }
            })?,
        );
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        count(&wire.counts.sign_ins);
        let answer = wire
            .send(
                &Outgoing {
                    request: &request,
                    method: &Method::POST,
                    url: token_url,
                    headers,
                    body: Some(Bytes::from_static(b"grant_type=client_credentials")),
                    to: To::Login,
                    retried,
                    body_cap: ANSWER_CAP,
                    gateway_timeout_is_answer: false,
                    hidden: &hidden,
                },
                stop,
            )
            .await?;
        read(&request, &answer, &hidden)
    }
}

fn still_to_come(wire: &Wire) -> ClientError {
    ClientError::Settings {
        connection: wire.connection.clone(),
        problem: "this way to sign in is still to come".to_owned(),
        source: None,
    }
}

/// The token in a token endpoint's answer.
fn read(
    request: &Request,
    answer: &Answer,
    hidden: &Hidden,
) -> Result<(HeaderValue, Hidden, Duration), ClientError> {
    let fields: serde_json::Map<String, Value> =
        serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let token = text("access_token");
    let tried = |said| Tried {
        attempts: 1,
        status: Some(answer.status),
        said,
        ..Tried::default()
    };
    // an answer that holds a token isn't shown
    let said = || body::excerpt(&answer.body, hidden).filter(|_| token.is_empty());
    let request = request.clone();
    let refused = matches!(
        answer.status,
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    );
    if refused || (answer.status.is_success() && token.is_empty() && !text("error").is_empty()) {
        let tried = tried(said());
        return Err(ClientError::Auth { request, tried });
    }
    let header = sensitive(&format!("Bearer {token}"));
    match header {
        Some(header) if answer.status.is_success() && !token.is_empty() => {
            Ok((header, Hidden::new([token]), life(fields.get("expires_in"))))
        }
        // what a 2xx without a token says isn't an error text, and may hold a token under another name
        _ => Err(ClientError::SignIn {
            request,
            tried: tried(said().filter(|_| !answer.status.is_success())),
        }),
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// How long a token lives by its `expires_in`, in seconds: a number, or a number in a string.
fn life(expires_in: Option<&Value>) -> Duration {
    let seconds = match expires_in {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    seconds
        .filter(|seconds| *seconds > 0.0)
        .map_or(USUAL_LIFE, |seconds| {
            Duration::from_secs_f64(seconds.min(LONGEST_LIFE.as_secs_f64()))
        })
}

/// How long before its end a token is renewed.
fn margin(life: Duration) -> Duration {
    (life / 10).min(Duration::from_mins(5))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_life_is_tolerated() {
        let of = |value: Value| life(Some(&value)).as_secs();
        assert_eq!(of(json!(86_400)), 86_400);
        assert_eq!(of(json!("3600")), 3600);
        assert_eq!(of(json!(12.5)), 12);
        for nonsense in [
            json!(0),
            json!(-1),
            json!(null),
            json!("soon"),
            json!("NaN"),
            json!([1]),
        ] {
            assert_eq!(of(nonsense.clone()), USUAL_LIFE.as_secs(), "{nonsense}");
        }
        for absurd in [json!(u64::MAX), json!(1e300), json!("inf")] {
            assert_eq!(of(absurd.clone()), LONGEST_LIFE.as_secs(), "{absurd}");
        }
        assert_eq!(life(None), USUAL_LIFE);
    }

    #[test]
    fn a_token_is_renewed_a_tenth_of_its_life_before_its_end_but_at_most_five_minutes() {
        assert_eq!(margin(Duration::from_secs(100)), Duration::from_secs(10));
        assert_eq!(margin(Duration::from_hours(24)), Duration::from_mins(5));
    }
}

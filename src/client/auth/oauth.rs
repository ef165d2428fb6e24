//! OAuth 2.0 client credentials: requests a bearer token with a form.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::Value;

use super::credentials::{Credentials, sensitive, unfit};
use super::request::{SignInRequest, fields, tried};
use super::verdict;
use super::{LONGEST_LIFE, SignedIn, USUAL_LIFE, margin};
use crate::client::body;
use crate::client::error::{Attempts, ClientError, Request};
use crate::client::transport::count;
use crate::clock;
use crate::model::Timestamp;
use crate::providers::{Answer, SentIn};
use crate::secret::Redactor;

/// Requests a token with these headers and credentials.
pub(super) async fn ask(
    ask: SignInRequest<'_>,
    sent: SentIn,
    mut headers: HeaderMap,
    credentials: &Credentials,
) -> Result<SignedIn, ClientError> {
    let Credentials {
        user,
        password,
        extra,
    } = credentials;
    let pair = format!("{user}:{password}");
    let secrets = [user.as_str(), password.as_str(), pair.as_str()];
    let hidden =
        Redactor::new(secrets.into_iter().chain(extra.texts())).and(&ask.resolver.transport.hidden);
    let mut form = vec![("grant_type", "client_credentials")];
    match sent {
        SentIn::Header => {
            let value =
                sensitive(&format!("Basic {}", STANDARD.encode(&pair))).ok_or_else(|| {
                    unfit(
                        &ask.resolver.transport,
                        "the client's id and secret don't fit into a header",
                    )
                })?;
            headers.insert(AUTHORIZATION, value);
        }
        SentIn::Form => form.extend([("client_id", user.as_str()), ("client_secret", password)]),
    }
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    count(&ask.resolver.transport.counts.sign_ins);
    ask.resolver.transport.metrics.signs_in();
    let content_type = "application/x-www-form-urlencoded";
    let (request, answer) = ask.post(headers, content_type, form, &hidden).await?;
    read(request, &answer, &hidden)
}

/// Returns the token in a token response.
fn read(request: Request, answer: &Answer, hidden: &Redactor) -> Result<SignedIn, ClientError> {
    let fields = fields(answer);
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let token = text("access_token");
    // an answer with a token isn't shown
    let message = || body::excerpt(&answer.body, hidden).filter(|_| token.is_empty());
    if verdict::is_refused(answer) && (token.is_empty() || !answer.status.is_success()) {
        let tried = tried(answer, message());
        return Err(ClientError::Auth { request, tried });
    }
    let is_other = match fields.get("token_type") {
        Some(Value::String(kind)) => !kind.trim().eq_ignore_ascii_case("bearer"),
        _ => false,
    };
    if answer.status.is_success() && !token.is_empty() && is_other {
        let tried = Attempts {
            what: Some("a token of another type than `Bearer`"),
            ..tried(answer, None)
        };
        return Err(ClientError::SignIn { request, tried });
    }
    match sensitive(&format!("Bearer {token}")) {
        Some(authorization) if answer.status.is_success() && !token.is_empty() => {
            let life = life(fields.get("expires_in"), token, clock::real_now());
            Ok(SignedIn {
                authorization,
                hidden: hidden.and(&Redactor::new([token])),
                life,
                margin: margin(life),
                session: None,
            })
        }
        // a 2xx without a token isn't an error message, and may contain a token under another name
        _ => Err(ClientError::SignIn {
            request,
            tried: verdict::no_sign_in(answer, message().filter(|_| !answer.status.is_success())),
        }),
    }
}

/// Returns the lifetime of a token: the answer's `expires_in` in seconds, as a number or a string; or that in the
/// token, if it is a JWT; or the default.
fn life(expires_in: Option<&Value>, token: &str, now: Timestamp) -> Duration {
    let seconds = match expires_in {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let sane = |seconds: &f64| *seconds > 0.0;
    seconds
        .filter(sane)
        .or_else(|| of_jwt(token, now).filter(sane))
        .map_or(USUAL_LIFE, |seconds| {
            Duration::from_secs_f64(seconds.min(LONGEST_LIFE.as_secs_f64()))
        })
}

/// Returns the seconds from a JWT's `iat`, or from now, to its `exp`. The token isn't verified, as only the provider
/// can do that.
fn of_jwt(token: &str, now: Timestamp) -> Option<f64> {
    let mut parts = token.split('.').skip(1);
    let claims = parts.next()?.trim_end_matches('=');
    parts.next()?; // a JWT has three parts
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64);
    #[expect(
        clippy::cast_precision_loss,
        reason = "an hour's seconds, not their fractions"
    )]
    let now = now.timestamp() as f64;
    Some(seconds("exp")? - seconds("iat").unwrap_or(now))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn jwt(claims: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn any_life_is_tolerated() {
        let of = |value: Value| life(Some(&value), "t", now()).as_secs();
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
        assert_eq!(life(None, "t", now()), USUAL_LIFE);
    }

    #[test]
    fn a_jwt_says_how_long_it_lives_where_the_answer_does_not() {
        let of = |token: &str| life(None, token, now()).as_secs();
        // its issuer's clock may differ from the local one
        assert_eq!(of(&jwt(&json!({ "iat": 900, "exp": 1800 }))), 900);
        assert_eq!(of(&jwt(&json!({ "exp": 1_700_000_120 }))), 120);
        let padded = jwt(&json!({ "iat": 1, "exp": 61 })).replace(".c2ln", "==.c2ln");
        assert_eq!(of(&padded), 60);
        let both = jwt(&json!({ "iat": 900, "exp": 1800 }));
        assert_eq!(life(Some(&json!(60)), &both, now()).as_secs(), 60);
        let absurd = jwt(&json!({ "iat": 0, "exp": 1e300 }));
        assert_eq!(of(&absurd), LONGEST_LIFE.as_secs());
        for odd in [
            jwt(&json!({ "iat": 1800, "exp": 900 })),
            jwt(&json!({ "exp": 900 })),
            jwt(&json!({ "exp": "soon" })),
            jwt(&json!([])),
            jwt(&json!({ "iat": 900, "exp": 1800 })).replace(".c2ln", ""),
            "a.%%%.c".to_owned(),
            "a.bm8.c".to_owned(),
            "...".to_owned(),
            String::new(),
        ] {
            assert_eq!(of(&odd), USUAL_LIFE.as_secs(), "{odd}");
        }
    }
}

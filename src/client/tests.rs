//! The client against a real server on this machine.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod api;
mod basic;
mod calls;
mod canary;
mod endpoint;
mod look_ups;
mod session;
mod sign_in;
mod streams;
mod tls;

use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::api::Api;
use super::{Client, ClientError, ClientLimits, ClientSettings};
use crate::metrics;
use crate::providers::{
    Answer, Call, Endpoint, RateHeaderNames, SentIn, ServiceHost, SignIn, Target,
};
use crate::secret::Secret;

const MS: Duration = Duration::from_millis(1);

/// Returns the token endpoint, the client's id, and its secret.
fn oauth(settings: &mut ClientSettings) -> (&mut ServiceHost, &mut Secret, &mut Secret) {
    match &mut settings.endpoint.sign_in {
        SignIn::ClientCredentials {
            token_url,
            client_id,
            client_secret,
            ..
        } => (token_url, client_id, client_secret),
        other => panic!("{other:?}"),
    }
}

/// Settings for a test's server: quick retries, a budget that is never reached.
fn settings(api: &Api) -> ClientSettings {
    ClientSettings {
        connection: "c".to_owned(),
        provider: "genesys_cloud",
        endpoint: Endpoint::new(
            Url::parse(&api.url("/base")).unwrap(),
            SignIn::ClientCredentials {
                token_url: ServiceHost::At(Url::parse(&api.url("/oauth/token")).unwrap()),
                client_id: Secret::text("the-id"),
                client_secret: Secret::text("the-secret"),
                sent: SentIn::Header,
            },
            vec!["127.0.0.1".to_owned()],
        ),
        rate_limit: (50_000, Duration::from_secs(1)),
        replicas: NonZeroU32::MIN,
        proxy: None,
        ca_file: None,
        allow_http: true,
        limits: ClientLimits {
            attempts: 3,
            first_backoff: 2 * MS,
            longest_backoff: 10 * MS,
            ..ClientLimits::default()
        },
        metrics: metrics::ConnectionMetrics::default(),
    }
}

/// Headers of a provider's own about its rate limit.
pub(super) const OWN_HEADERS: RateHeaderNames = RateHeaderNames {
    allowed: "own-allowed",
    used: "own-used",
    reset: "own-reset",
    window: Duration::from_mins(1),
};

fn client(api: &Api) -> Client {
    Client::new(settings(api)).unwrap()
}

fn with(api: &Api, change: impl FnOnce(&mut ClientSettings)) -> Client {
    let mut settings = settings(api);
    change(&mut settings);
    Client::new(settings).unwrap()
}

fn get(path: &str) -> Call {
    Call {
        method: Method::GET,
        target: Target::Api {
            path: path.to_owned(),
            query: Vec::new(),
        },
        body: None,
        gateway_timeout_is_answer: false,
    }
}

fn download(url: impl Into<String>) -> Call {
    Call {
        target: Target::Download { url: url.into() },
        ..get("")
    }
}

async fn send(client: &Client, call: &Call) -> Result<Answer, ClientError> {
    client.send(call, &CancellationToken::new()).await
}

/// Lets this much time pass at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// The whole chain of an error, without what differs between two runs.
fn chain(api: &Api, error: &ClientError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        text.push_str(" <- ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    let mut text = text.replace(&api.address.to_string(), "HOST");
    while let Some(from) = text.find(" attempts in ").map(|at| at + 13) {
        let Some(to) = text[from..]
            .find(" s")
            .filter(|_| text.as_bytes()[from].is_ascii_digit())
        else {
            break;
        };
        text.replace_range(from..from + to, "N");
    }
    text
}

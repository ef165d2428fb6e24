//! The samples of both ways to sign in, as a server on this machine answers them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use auditlake::client::{Client, ClientSettings};
use auditlake::config::Config;
use auditlake::setup;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use http::{HeaderMap, Method, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::support::{ACCOUNT, APP, USER, adapter, ask, fixture};
use crate::support::rig::hasty;

/// What came, by path: the `Authorization` header and the body.
type Seen = Arc<Mutex<BTreeMap<String, (String, String)>>>;

#[derive(Clone)]
struct Script {
    sign_in: (StatusCode, String),
    seen: Seen,
}

async fn respond(
    State(script): State<Script>,
    _: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    let authorization = headers
        .get("authorization")
        .map(|value| value.to_str().unwrap());
    let body = String::from_utf8(body.to_vec()).unwrap();
    script.seen.lock().unwrap().insert(
        uri.to_string(),
        (authorization.unwrap_or_default().to_owned(), body),
    );
    let (status, text) = if uri.path().ends_with("/audit") {
        (StatusCode::OK, fixture("audit_page_full_fields"))
    } else {
        script.sign_in
    };
    (status, [("set-cookie", "Session_id=abc; Path=/")], text)
}

/// What a call for the audit trail comes to when the sign-in is answered with this sample.
async fn call(credentials: &str, status: u16, name: &str) -> (Result<usize, String>, Seen) {
    let seen = Seen::default();
    let script = Script {
        sign_in: (StatusCode::from_u16(status).unwrap(), fixture(name)),
        seen: Arc::clone(&seen),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(respond).with_state(script);
    let server = tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    let text = format!(
        "\
lake: {{url: memory://}}
connections:
  cloud:
    provider: liveperson
    account_id: {ACCOUNT}
    base_url: {base}/configuration-host
    login_url: {base}/login-host
    allow_http: true
    {credentials}
jobs:
  - {{name: audits, connection: cloud, schedule: '@hourly', start: 2026-03-01}}
"
    );
    let config = Config::parse("jobs.yaml", &text, &|_| None);
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    let settings = setup::client_settings(&config.connections["cloud"], &config.server);
    let client = Client::new(ClientSettings {
        limits: hasty(),
        replicas: NonZeroU32::MIN,
        ..settings
    });
    let adapter = adapter();
    let call = adapter.call(&ask(0), None).unwrap();
    let answer = client.unwrap().send(&call, &CancellationToken::new()).await;
    server.abort();
    let rows = match answer {
        Ok(answer) => Ok(adapter.page(&ask(0), None, answer).unwrap().records.len()),
        Err(error) => Err(format!("{}: {error}", error.kind())),
    };
    (rows, seen)
}

const AUDIT: &str = "/configuration-host/api/account/le12345678/configuration/metadata/audit";
const TOKEN: &str = "/login-host/sentinel/api/v2/account/le12345678/app/token";
const LOGIN: &str = "/login-host/api/account/le12345678/login?v=1.3";

#[tokio::test]
async fn the_samples_of_a_sign_in_sign_in() {
    for (credentials, name, path, body, bearer) in [
        (
            APP,
            "oauth2_token_response",
            TOKEN,
            "grant_type=client_credentials&client_id=sim-client&client_secret=sim-secret",
            "eyJhbGciOiJub25lIn0.eyJpYXQiOjE3NzI0NDAwMDAsImV4cCI6MTc3MjQ0MzYwMH0.c2ln",
        ),
        (
            APP,
            "oauth2_token_response_with_expiry",
            TOKEN,
            "grant_type=client_credentials&client_id=sim-client&client_secret=sim-secret",
            "eyJhbGciOiJub25lIn0.eyJpYXQiOjE3NzI0NDAwMDAsImV4cCI6MTc3MjQ0MzYwMH0.c2ln",
        ),
        (
            USER,
            "login_response",
            LOGIN,
            r#"{"password":"sim-password","username":"svc-audit"}"#,
            "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        ),
    ] {
        let (rows, seen) = call(credentials, 200, name).await;
        assert_eq!(rows, Ok(3), "{name}");
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert_eq!(seen[path], (String::new(), body.to_owned()), "{name}");
        assert_eq!(seen[AUDIT].0, format!("Bearer {bearer}"), "{name}");
    }
}

#[tokio::test]
async fn the_sample_of_a_refused_sign_in_is_a_failure_of_kind_auth() {
    let (rows, seen) = call(APP, 401, "oauth2_token_error").await;
    let error = rows.unwrap_err();
    assert!(error.starts_with("auth: "), "{error}");
    assert!(error.contains("Client authentication failed"), "{error}");
    assert!(!error.contains("sim-secret"), "{error}");
    assert!(!seen.lock().unwrap().contains_key(AUDIT));
}

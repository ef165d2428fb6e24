//! Sign-in, tokens, permissions, rate limits.

use std::time::Duration;

use serde_json::json;

use super::super::endpoint;
use super::*;
use crate::RateLimit;

#[tokio::test]
async fn wrong_credentials_are_refused_with_the_oauth_body() {
    let client = Client::new(settled(), &small()).await;
    let grant = "grant_type=client_credentials";
    for credentials in ["sim-client:wrong", "wrong:sim-secret", "sim-client", ""] {
        let reply = client.token(credentials, FORM, grant).await;
        assert_eq!(reply.status, 401, "{credentials}");
        assert_eq!(
            reply.json(),
            json!({
                "error": "invalid_client",
                "description": "authentication failed",
                "error_description": "authentication failed",
            })
        );
    }
}

#[tokio::test]
async fn only_a_form_with_the_grant_gets_a_token() {
    let client = Client::new(settled(), &small()).await;
    let credentials = "sim-client:sim-secret";
    let good = client
        .token(credentials, FORM, "grant_type=client_credentials")
        .await;
    assert_eq!(good.status, 200);
    assert_eq!(good.json()["token_type"], "bearer");
    assert_eq!(good.json()["expires_in"], 86_400);
    for (content_type, body) in [
        (FORM, ""),
        (FORM, "grant_type=password"),
        (
            FORM,
            "grant_type=client_credentials&grant_type=client_credentials",
        ),
        ("application/json", "grant_type=client_credentials"),
    ] {
        let reply = client.token(credentials, content_type, body).await;
        assert_eq!(reply.status, 400, "{content_type} {body}");
    }
}

#[tokio::test]
async fn the_api_host_has_no_sign_in() {
    let client = Client::new(settled(), &small()).await;
    let url = format!("{}/oauth/token", client.sim.base_url());
    let request = client
        .http
        .post(url)
        .bearer_auth(&client.token)
        .header("content-type", FORM);
    let reply = request
        .body("grant_type=client_credentials")
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 404);
}

#[tokio::test]
async fn every_call_needs_a_good_token() {
    let mut client = Client::new(settled(), &small()).await;
    let good = client.token.clone();
    let calls = [
        ("GET", format!("{QUERY}/servicemapping"), None),
        ("GET", format!("{REALTIME}/servicemapping"), None),
        (
            "POST",
            QUERY.to_owned(),
            Some(week("Architect").to_string()),
        ),
        ("GET", format!("{QUERY}/some-id"), None),
        ("GET", format!("{QUERY}/some-id/results"), None),
        (
            "POST",
            REALTIME.to_owned(),
            Some(week("Architect").to_string()),
        ),
        ("POST", format!("{REALTIME}/related"), Some("{}".to_owned())),
    ];
    for token in ["", "not-a-token"] {
        client.token = token.to_owned();
        for (method, path, body) in &calls {
            let reply = client
                .request(method, path, body.clone())
                .send()
                .await
                .unwrap();
            let reply = Reply::of(reply).await.unwrap();
            assert_eq!(reply.status, 401, "{method} {path}");
            assert_eq!(reply.message(), "Invalid login credentials.");
            assert_eq!(reply.json()["code"], "bad.credentials");
        }
    }
    client.token = good;
    assert_eq!(client.get(&calls[0].1).await.status, 200);
}

#[tokio::test]
async fn tokens_end_on_the_simulators_clock_and_when_revoked() {
    let settings = GenesysSettings {
        token_lifetime: Duration::from_mins(10),
        ..settled()
    };
    let mut client = Client::new(settings, &small()).await;
    let path = format!("{QUERY}/servicemapping");
    client.sim.advance(Duration::from_secs(599));
    assert_eq!(client.get(&path).await.status, 200);
    client.sim.advance(Duration::from_secs(1));
    assert_eq!(client.get(&path).await.status, 401);
    client.sign_in().await;
    assert_eq!(client.get(&path).await.status, 200);
    client.sim.revoke_tokens();
    assert_eq!(client.get(&path).await.status, 401);
}

#[tokio::test]
async fn the_rate_limit_refuses_with_the_documented_body() {
    let settings = GenesysSettings {
        rate_limit: RateLimit {
            calls: 3,
            per: Duration::from_hours(1),
        },
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    let path = format!("{QUERY}/servicemapping");
    for count in 1..=3 {
        let reply = client.get(&path).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.headers["inin-ratelimit-count"], count.to_string());
        assert_eq!(reply.headers["inin-ratelimit-allowed"], "3");
        assert!(
            reply.headers["inin-ratelimit-reset"]
                .parse::<u64>()
                .unwrap()
                <= 3600
        );
        assert!(!reply.headers["inin-correlation-id"].is_empty());
    }
    for limited in [true, false] {
        let reply = client.get(&path).await;
        assert_eq!(reply.status, 429);
        let seconds = &reply.headers["retry-after"];
        let message =
            format!("Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds");
        assert_eq!(reply.message(), message);
        let body = reply.json();
        assert_eq!(body["code"], "too.many.requests.retry.after");
        assert_eq!(body["status"], 429);
        assert_eq!(
            body["contextId"],
            reply.headers["inin-correlation-id"].as_str()
        );
        assert_eq!(
            (&body["details"], &body["errors"]),
            (&json!([]), &json!([]))
        );
        assert_eq!(body.get("limit").is_some(), limited);
    }
    assert_eq!(client.sim.counters().rate_limited(), 2);
    assert_eq!(client.sim.counters().calls(endpoint::SERVICES), 5);
}

#[tokio::test]
async fn a_forbidden_service_is_refused_in_both_ways() {
    let client = Client::new(settled(), &small()).await;
    client.sim.forbid_service("Architect");
    let day = query("Architect", "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z");
    for path in [QUERY, REALTIME] {
        let reply = client.post(path, &day).await;
        assert_eq!(reply.status, 403);
        assert_eq!(reply.json()["code"], "missing.any.permissions");
        assert_eq!(
            reply.json()["messageParams"]["permissions"],
            "audits:audit:view"
        );
    }
    assert_eq!(client.post(QUERY, &week("ContactCenter")).await.status, 202);
    client.sim.allow_service("Architect");
    assert_eq!(client.post(REALTIME, &day).await.status, 200);
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_refused() {
    let client = Client::new(settled(), &small()).await;
    for path in [
        "/",
        "/api/v2/audits",
        "/api/v2/audits/query/a/b",
        "/api/v2/audits/query/a/results/c",
    ] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
    assert_eq!(client.get(QUERY).await.status, 405);
    assert_eq!(
        client
            .post(&format!("{QUERY}/servicemapping"), &json!({}))
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn a_stopped_simulator_frees_its_port() {
    let client = Client::new(settled(), &small()).await;
    let address = client.sim.base_url().replace("http://", "");
    assert!(tokio::net::TcpStream::connect(&address).await.is_ok());
    drop(client.http);
    client.sim.shutdown().await;
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
}

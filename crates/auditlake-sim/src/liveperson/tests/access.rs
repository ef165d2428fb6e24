//! The look-up, both ways to sign in, and refusals.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::endpoint;
use super::*;
use crate::liveperson::LookUpForm;
use crate::{Fault, RateLimit};

#[tokio::test]
async fn a_service_is_looked_up_in_both_forms() {
    for form in [LookUpForm::One, LookUpForm::Many] {
        let settings = LivePersonSettings {
            look_up_form: form,
            ..settled()
        };
        let client = Client::new(settings, &small()).await;
        let domain = client.sim.domain_url();
        let path = format!("{domain}/api/account/{ACCOUNT}/service/sentinel/baseURI.json");
        let json = client.get(format!("{path}?version=1.0")).await.json();
        let entry = match form {
            LookUpForm::One => json,
            LookUpForm::Many => {
                let all = json["baseURIs"].as_array().unwrap();
                assert_eq!(all.len(), 4);
                let found = all.iter().find(|entry| entry["service"] == "sentinel");
                found.unwrap().clone()
            }
        };
        let host = client.sim.sentinel_url().replace("http://", "");
        assert_eq!(
            entry,
            json!({"service": "sentinel", "account": ACCOUNT, "baseURI": host})
        );
    }
}

#[tokio::test]
async fn a_look_up_is_refused_for_what_does_not_exist() {
    let client = Client::new(settled(), &small()).await;
    let domain = client.sim.domain_url();
    client.sim.fail_look_up("agentVep", 503);
    for (account, service, query, status) in [
        (ACCOUNT, "Sentinel", "?version=1.0", 400),
        (ACCOUNT, "nonsense", "?version=1.0", 400),
        (ACCOUNT, "sentinel", "", 400),
        (ACCOUNT, "sentinel", "?version=2.0", 400),
        ("other", "sentinel", "?version=1.0", 401),
        ("no-account", "sentinel", "?version=1.0", 400),
        ("le1234567890123456789", "sentinel", "?version=1.0", 400),
        (ACCOUNT, "agentVep", "?version=1.0", 503),
        (ACCOUNT, "accountConfigReadOnly", "?version=1.0", 200),
    ] {
        let path = format!("/api/account/{account}/service/{service}/baseURI.json{query}");
        let reply = client.get(format!("{domain}{path}")).await;
        assert_eq!(reply.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_token_is_a_jwt_of_the_simulators_clock() {
    for expires_in in [false, true] {
        let settings = LivePersonSettings {
            expires_in,
            ..settled()
        };
        let mut client = Client::new(settings, &small()).await;
        let reply = client
            .token("client_id=sim-client&client_secret=sim-secret&grant_type=client_credentials")
            .await;
        let json = reply.json();
        assert_eq!(json["token_type"], "Bearer");
        assert_eq!(json.get("expires_in").is_some(), expires_in);
        client.bearer = json["access_token"].as_str().unwrap().to_owned();
        let claims = client.bearer.split('.').nth(1).unwrap();
        let claims: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert_eq!(claims["iat"], client.sim.now().timestamp());
        assert_eq!(claims["exp"], client.sim.now().timestamp() + 3_600);

        client.sim.advance(Duration::from_secs(3_599));
        assert_eq!(client.ask_with("").await.status, 200);
        client.sim.advance(Duration::from_secs(1));
        let expected = (401, "Bad Authentication".to_owned());
        assert_eq!(client.ask_with("").await.refusal(), expected);
        client.sign_in().await;
        assert_eq!(client.ask_with("").await.status, 200);
        client.sim.sign_all_out();
        assert_eq!(client.ask_with("").await.status, 401);
    }
}

#[tokio::test]
async fn only_the_right_form_gets_a_token() {
    let client = Client::new(settled(), &small()).await;
    let right = "client_id=sim-client&client_secret=sim-secret";
    for (form, status, error) in [
        (String::new(), 400, "invalid_request"),
        (right.to_owned(), 400, "invalid_request"),
        (
            format!("{right}&grant_type=password"),
            400,
            "unsupported_grant_type",
        ),
        (
            format!("{right}&grant_type=client_credentials&scope=x"),
            400,
            "invalid_request",
        ),
        (
            "client_id=sim-client&client_secret=wrong&grant_type=client_credentials".to_owned(),
            401,
            "invalid_client",
        ),
    ] {
        let reply = client.token(&form).await;
        assert_eq!(reply.status, status, "{form}");
        assert_eq!(reply.json()["error"], error, "{form}");
    }
    // id and secret in the header are not what is documented
    let path = format!("/sentinel/api/v2/account/{ACCOUNT}/app/token");
    let url = format!("{}{path}", client.sim.sentinel_url());
    let request = client
        .http
        .post(url)
        .basic_auth("sim-client", Some("sim-secret"));
    let request = request.header("content-type", FORM);
    let reply = Reply::of(request.body("grant_type=client_credentials")).await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn a_question_is_json_and_so_is_its_answer() {
    let client = Client::new(settled(), &small()).await;
    let status = async |kind: &str, accept: &str| {
        let request = client.http.post(client.audit_url());
        let request = request
            .header("content-type", kind)
            .header("accept", accept)
            .bearer_auth(&client.bearer);
        let body = json!({ "query": question("") }).to_string();
        Reply::of(request.body(body)).await.status
    };
    let json = "application/json";
    assert_eq!(status(json, json).await, 200);
    assert_eq!(status("application/json; charset=utf-8", "*/*").await, 200);
    assert_eq!(status("text/plain", json).await, 415);
    assert_eq!(status(json, "text/csv").await, 406);
}

#[tokio::test]
async fn a_session_is_kept_up_with_cookie_and_csrf_or_dies() {
    let mut client = Client::new(settled(), &small()).await;
    let base = format!("{}/api/account/{ACCOUNT}", client.sim.login_url());
    let user = json!({ "username": "svc-audit", "password": "sim-password" });
    let reply = client
        .post_json(format!("{base}/login?v=1.3"), user.to_string())
        .await;
    let json = reply.json();
    assert_eq!(json["sessionTTl"], "28800000");
    client.bearer = json["bearer"].as_str().unwrap().to_owned();
    let csrf = json!({ "csrf": json["csrf"] }).to_string();
    let cookie = reply.headers["set-cookie"]
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    assert!(cookie.starts_with("Session_id="));
    assert_eq!(client.ask_with("").await.status, 200);

    let refresh = async |client: &Client, cookie: &str, csrf: &str| {
        let request = client.http.post(format!("{base}/refresh"));
        let request = request.header("content-type", "application/json");
        let request = request.header("cookie", cookie).body(csrf.to_owned());
        Reply::of(request).await.status
    };
    for _ in 0..3 {
        client.sim.advance(Duration::from_mins(9));
        assert_eq!(refresh(&client, &cookie, &csrf).await, 200);
    }
    assert_eq!(client.ask_with("").await.status, 200);
    assert_eq!(refresh(&client, "Session_id=x", &csrf).await, 401);
    assert_eq!(refresh(&client, &cookie, r#"{"csrf":"x"}"#).await, 401);
    assert_eq!(refresh(&client, &cookie, "{}").await, 400);
    client.sim.advance(Duration::from_mins(10));
    assert_eq!(client.ask_with("").await.status, 401);
    assert_eq!(refresh(&client, &cookie, &csrf).await, 401);
}

#[tokio::test]
async fn a_login_is_refused_unless_it_is_right() {
    let client = Client::new(settled(), &small()).await;
    let base = format!("{}/api/account/{ACCOUNT}", client.sim.login_url());
    for (query, body, status) in [
        (
            "?v=1.3",
            r#"{"username":"svc-audit","password":"wrong"}"#,
            401,
        ),
        ("?v=1.3", r#"{"username":"svc-audit"}"#, 400),
        (
            "?v=1.3",
            r#"{"username":"svc-audit","password":"sim-password","appKey":"x"}"#,
            400,
        ),
        ("?v=1.3", "username=svc-audit", 400),
        (
            "",
            r#"{"username":"svc-audit","password":"sim-password"}"#,
            400,
        ),
    ] {
        let reply = client
            .post_json(format!("{base}/login{query}"), body.to_owned())
            .await;
        assert_eq!(reply.status, status, "{query} {body}");
    }
}

#[tokio::test]
async fn the_audit_trail_is_refused_in_the_form_of_the_login_service() {
    let mut client = Client::new(settled(), &small()).await;
    let base = client.sim.configuration_url();
    let audit = |account: &str, more: &str| {
        format!("{base}/api/account/{account}/configuration/metadata/audit{more}")
    };
    let good = json!({ "query": question("") }).to_string();
    for (url, body, status) in [
        (audit("no-account", ""), good.clone(), 400),
        (audit("other", ""), good.clone(), 401),
        (audit(ACCOUNT, "?first=1"), good.clone(), 400),
        (audit(ACCOUNT, "/export"), good.clone(), 404),
        (audit(ACCOUNT, ""), "{}".to_owned(), 400),
        (audit(ACCOUNT, ""), "{auditData{element}}".to_owned(), 400),
        (audit(ACCOUNT, ""), r#"{"query":1}"#.to_owned(), 400),
        (
            audit(ACCOUNT, ""),
            r#"{"query":"{auditData{element}}","variables":{}}"#.to_owned(),
            400,
        ),
    ] {
        let reply = client.post_json(url.clone(), body.clone()).await;
        assert_eq!(reply.refusal().0, status, "{url} {body}");
    }
    let url = audit(ACCOUNT, "");
    assert_eq!(client.get(url.clone()).await.status, 405);
    let request = client
        .http
        .post(&url)
        .bearer_auth(&client.bearer)
        .body(good);
    assert_eq!(Reply::of(request).await.status, 415);
    client.sim.forbid();
    let expected = (403, "Missing privilege for audit trail".to_owned());
    assert_eq!(client.ask_with("").await.refusal(), expected);
    client.bearer = "not a token".to_owned();
    assert_eq!(client.ask_with("").await.status, 401);
}

#[tokio::test]
async fn too_many_calls_and_faults_have_the_samples_form() {
    let settings = LivePersonSettings {
        rate_limit: RateLimit {
            calls: 2,
            per: Duration::from_hours(1),
        },
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    client.sim.faults().next(
        endpoint::AUDIT,
        1,
        Fault::Status {
            status: 500,
            retry_after: None,
        },
    );
    let reply = client.ask_with("").await;
    assert_eq!(
        reply.json(),
        json!({"error": {"time": "Mar 2, 2026 9:00:00 AM", "message": "Internal server error",
            "internalCode": 1, "responseStatus": "INTERNAL_SERVER_ERROR"}})
    );
    for _ in 0..2 {
        assert_eq!(client.ask_with("").await.status, 200);
    }
    let reply = client.ask_with("").await;
    assert_eq!(reply.refusal(), (429, "Too many requests".to_owned()));
    assert!(!reply.headers.contains_key("retry-after"));
    assert_eq!(client.sim.counters().calls(endpoint::AUDIT), 4);
}

#[tokio::test]
async fn a_service_that_moves_answers_at_its_new_place_only() {
    let client = Client::new(settled(), &small()).await;
    let old = client.audit_url();
    client.sim.move_configuration().await.unwrap();
    assert_ne!(client.audit_url(), old);
    assert_eq!(client.ask_with("").await.status, 200);
    assert!(client.http.post(old).send().await.is_err());
    let domain = client.sim.domain_url();
    let path = format!("/api/account/{ACCOUNT}/service/accountConfigReadOnly/baseURI.json");
    let reply = client.get(format!("{domain}{path}?version=1.0")).await;
    let host = reply.json()["baseURI"].as_str().unwrap().to_owned();
    assert_eq!(format!("http://{host}"), client.sim.configuration_url());
    client.sim.shutdown().await;
}

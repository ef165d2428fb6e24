//! Faults, latency and counters.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::super::endpoint;
use super::*;
use crate::{Fault, FaultRule};

fn services() -> String {
    format!("{QUERY}/servicemapping")
}

#[tokio::test]
async fn the_next_calls_of_one_endpoint_fail() {
    let client = Client::new(settled(), &small()).await;
    let fault = Fault::Status {
        status: 503,
        retry_after: Some("7".to_owned()),
    };
    client.sim.faults().next(endpoint::SERVICES, 2, fault);
    assert_eq!(client.post(QUERY, &week("Architect")).await.status, 202);
    for _ in 0..2 {
        let reply = client.get(&services()).await;
        assert_eq!(reply.status, 503);
        assert_eq!(reply.headers["retry-after"], "7");
        assert_eq!(reply.json()["code"], "service.unavailable");
        assert_eq!(
            reply.json()["contextId"],
            reply.headers["inin-correlation-id"].as_str()
        );
    }
    assert_eq!(client.get(&services()).await.status, 200);
}

#[tokio::test]
async fn a_gateways_page_is_html_without_the_providers_headers() {
    let client = Client::new(settled(), &small()).await;
    client.sim.faults().next_any(1, Fault::Html { status: 502 });
    let reply = client.get(&services()).await;
    assert_eq!(reply.status, 502);
    assert_eq!(reply.headers["content-type"], "text/html");
    assert!(reply.text().starts_with("<html>"));
    assert!(!reply.headers.contains_key("inin-correlation-id"));
}

#[tokio::test]
async fn bodies_can_be_truncated_or_cut() {
    let client = Client::new(settled(), &small()).await;
    let whole = client.get(&services()).await;
    client.sim.faults().next_any(1, Fault::TruncatedBody);
    let half = client.get(&services()).await;
    assert_eq!(half.status, 200);
    assert_eq!(half.body, whole.body[..whole.body.len() / 2]);
    for path in [services(), format!("{QUERY}/x")] {
        client.sim.faults().next_any(1, Fault::CutBody);
        let response = client.request("GET", &path, None).send().await.unwrap();
        assert!(
            Reply::of(response).await.is_err(),
            "the body ends before its length"
        );
    }
    assert_eq!(client.get(&services()).await.body, whole.body);
}

#[tokio::test]
async fn a_reset_call_has_taken_effect() {
    let client = Client::new(settled(), &small()).await;
    client.sim.faults().next(endpoint::TOKEN, 1, Fault::Reset);
    client.sim.faults().next(endpoint::SUBMIT, 1, Fault::Reset);
    let request = client.request("POST", QUERY, Some(week("Architect").to_string()));
    assert!(request.send().await.is_err());
    assert_eq!(client.sim.counters().calls(endpoint::SUBMIT), 1);
    assert_eq!(client.sim.counters().answers(202), 1);
    let login = format!("{}/oauth/token", client.sim.login_url());
    assert!(client.http.post(login).send().await.is_err());
    client.run_query(&week("Architect")).await;
}

#[tokio::test]
async fn a_rule_can_let_calls_pass_first() {
    let client = Client::new(settled(), &small()).await;
    client.sim.faults().inject(FaultRule {
        endpoint: None,
        skip: 2,
        times: 1,
        fault: Fault::Html { status: 500 },
    });
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(client.get(&services()).await.status);
    }
    assert_eq!(statuses, [200, 200, 500, 200]);
    client.sim.faults().next_any(1, Fault::Reset);
    client.sim.faults().clear();
    assert_eq!(client.get(&services()).await.status, 200);
}

#[tokio::test]
async fn calls_can_be_held_and_are_counted_while_they_are() {
    let client = Client::new(settled(), &small()).await;
    let release = CancellationToken::new();
    let hold = Fault::Hold(release.clone());
    client.sim.faults().next(endpoint::SERVICES, 3, hold);
    let path = services();
    let calls = async { tokio::join!(client.get(&path), client.get(&path), client.get(&path)) };
    let release_when_all_wait = async {
        client.sim.counters().reached(endpoint::SERVICES, 3).await;
        assert_eq!(client.sim.counters().max_concurrent(), 3);
        assert_eq!(client.sim.counters().answers(200), 1, "the sign-in only");
        release.cancel();
    };
    let (replies, ()) = tokio::join!(calls, release_when_all_wait);
    let statuses = [replies.0.status, replies.1.status, replies.2.status];
    assert_eq!(statuses, [200; 3]);
}

#[tokio::test]
async fn dropping_the_handle_ends_calls_that_are_held() {
    let Client { sim, http, token } = Client::new(settled(), &small()).await;
    let never = Fault::Hold(CancellationToken::new());
    sim.faults().next(endpoint::SERVICES, 1, never);
    let request = http
        .get(format!("{}{}", sim.base_url(), services()))
        .bearer_auth(token);
    let call = tokio::spawn(request.send());
    sim.counters().reached(endpoint::SERVICES, 1).await;
    drop(sim);
    let ended = call.await.unwrap();
    assert!(ended.is_err() || ended.is_ok_and(|response| response.status() == 503));
}

#[tokio::test]
async fn answers_can_be_delayed() {
    let client = Client::new(settled(), &small()).await;
    let slow = Duration::from_millis(60);
    let began = Instant::now();
    client.sim.faults().next_any(1, Fault::Delay(slow));
    client.get(&services()).await;
    assert!(began.elapsed() >= slow);
    let began = Instant::now();
    client.sim.set_latency(slow);
    client.get(&services()).await;
    assert!(began.elapsed() >= slow);
}

#[tokio::test]
async fn calls_and_answers_are_counted() {
    let client = Client::new(settled(), &small()).await;
    client.get(&services()).await;
    client.get("/nowhere").await;
    client.post(REALTIME, &json!({})).await;
    let counters = client.sim.counters();
    assert_eq!(counters.calls(endpoint::TOKEN), 1);
    assert_eq!(counters.calls(endpoint::SERVICES), 1);
    assert_eq!(counters.calls(endpoint::OTHER), 1);
    assert_eq!(counters.calls(endpoint::REALTIME), 1);
    assert_eq!(counters.total_calls(), 4);
    assert_eq!(
        (
            counters.answers(200),
            counters.answers(404),
            counters.answers(400)
        ),
        (2, 1, 1)
    );
    assert_eq!(counters.max_concurrent(), 1);
}

#[tokio::test]
async fn a_refusal_is_dressed_as_its_hosts_own() {
    let client = Client::new(settled(), &small()).await;
    let fault = |status: u16| Fault::Status {
        status,
        retry_after: Some("42".to_owned()),
    };
    client.sim.faults().next(endpoint::SERVICES, 1, fault(429));
    let reply = client.get(&services()).await;
    assert_eq!(reply.headers["retry-after"], "42");
    assert!(
        reply
            .message()
            .ends_with("Retry the request in [42] seconds")
    );
    assert!(reply.headers.contains_key("inin-ratelimit-count"));

    client.sim.faults().next(endpoint::TOKEN, 1, fault(503));
    let credentials = "sim-client:sim-secret";
    let reply = client
        .token(credentials, FORM, "grant_type=client_credentials")
        .await;
    assert_eq!(reply.status, 503);
    assert!(reply.json()["error"].is_string());

    client.sim.faults().next(endpoint::DOWNLOAD, 1, fault(503));
    let url = format!("{}/download/x", client.sim.download_url());
    let reply = Reply::of(client.http.get(url).send().await.unwrap())
        .await
        .unwrap();
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("<Error>"));
}

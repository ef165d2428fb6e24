//! Sign-in, tokens, permissions, rate limits, and what a request may hold.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn only_a_form_with_the_grant_and_the_right_client_gets_a_token() {
    let client = Client::usual().await;
    let good = "sim-client:sim-secret";
    for credentials in ["sim-client:wrong", "wrong:sim-secret", "sim-client", ""] {
        let reply = client.token(credentials, FORM, GRANT).await;
        assert_eq!(reply.says("/error"), "401 invalid_client");
        assert_eq!(reply.text_at("/description"), "authentication failed");
    }
    let reply = client.token(good, FORM, GRANT).await;
    assert_eq!(reply.says("/token_type"), "200 bearer");
    assert_eq!(reply.at("/expires_in"), 86_400);
    for (kind, body) in [
        (FORM, ""),
        (FORM, "grant_type=password"),
        (FORM, &format!("{GRANT}&{GRANT}")),
        ("application/json", GRANT),
    ] {
        assert_eq!(client.token(good, kind, body).await.status, 400);
    }
    let there = client.request("POST", "/oauth/token", GRANT);
    assert_eq!(Reply::of(there).await.status, 404);
}

#[tokio::test]
async fn every_call_needs_a_token_that_has_neither_ended_nor_been_revoked() {
    let mut client = Client::usual().await;
    let good = client.token.clone();
    for token in ["", "not-a-token"] {
        token.clone_into(&mut client.token);
        for (method, path) in table(
            "
            GET  => /api/v2/audits/query/servicemapping
            GET  => /api/v2/audits/query/realtime/servicemapping
            POST => /api/v2/audits/query
            GET  => /api/v2/audits/query/some-id
            GET  => /api/v2/audits/query/some-id/results
            POST => /api/v2/audits/query/realtime
            POST => /api/v2/audits/query/realtime/related",
        ) {
            let reply = Reply::of(client.request(method, path, &week(SERVICE).to_string())).await;
            assert_eq!(reply.status, 401, "{method} {path}");
            assert_eq!(reply.text_at("/code"), "bad.credentials");
        }
    }
    client.token = good;
    client
        .sim
        .advance(Duration::from_hours(24) - Duration::from_secs(1));
    assert_eq!(client.services().await.status, 200);
    client.sim.advance(Duration::from_secs(1));
    assert_eq!(client.services().await.status, 401);
    client.sign_in().await;
    assert_eq!(client.services().await.status, 200);
    client.sim.revoke_tokens();
    assert_eq!(client.services().await.status, 401);
}

#[tokio::test]
async fn the_rate_limit_refuses_with_the_documented_body() {
    let client = Client::with(|it| it.rate_limit = hourly(3)).await;
    for count in ["1", "2", "3"] {
        let reply = client.services().await;
        assert_eq!(reply.header("inin-ratelimit-count"), count);
        assert_eq!(reply.header("inin-ratelimit-allowed"), "3");
        assert!(reply.header("inin-ratelimit-reset").parse::<u64>().unwrap() <= 3_600);
    }
    for limited in [true, false] {
        let reply = client.services().await;
        let seconds = reply.header("retry-after");
        let message =
            format!("Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds");
        assert_eq!((reply.status, reply.text_at("/message")), (429, message));
        assert_eq!(reply.text_at("/code"), "too.many.requests.retry.after");
        let context = reply.header("inin-correlation-id");
        assert_eq!(reply.text_at("/contextId"), context);
        assert_eq!(reply.at("/status"), 429);
        assert_eq!(reply.at("/limit").is_object(), limited);
    }
    assert_eq!(client.sim.counters().rate_limited(), 2);
    assert_eq!(client.sim.counters().calls(endpoint::SERVICES), 5);
}

#[tokio::test]
async fn permissions_paths_and_methods_are_held_to() {
    let client = Client::usual().await;
    client.sim.forbid_service("Architect");
    for path in [QUERY, REALTIME] {
        let reply = client.post(path, &day("Architect")).await;
        assert_eq!(reply.says("/code"), "403 missing.any.permissions");
        assert_eq!(reply.at("/messageParams/permissions"), "audits:audit:view");
    }
    assert_eq!(client.post(QUERY, &week("ContactCenter")).await.status, 202);
    client.sim.allow_service("Architect");
    assert_eq!(client.post(REALTIME, &day("Architect")).await.status, 200);
    for (call, status) in table(
        "
        GET /                                   => 404
        GET /api/v2/audits                      => 404
        GET /api/v2/audits/query/a/b            => 404
        GET /api/v2/audits/query/a/results/c    => 404
        GET /api/v2/audits/query                => 405
        POST /api/v2/audits/query/servicemapping => 405",
    ) {
        let (method, path) = call.split_once(' ').unwrap();
        let reply = Reply::of(client.request(method, path, "{}")).await;
        assert_eq!(reply.status.to_string(), status, "{call}");
    }
}

#[tokio::test]
async fn bodies_are_checked_member_by_member() {
    let client = Client::usual().await;
    for (member, words) in table(
        r#"
        serviceName null => A service name is required
        serviceName "" => A service name is required
        serviceName 7 => string
        serviceName "architect" => service
        interval "2026-03-02T00:00:00Z" => interval
        interval "2026-03-02T00:00:00/2026-03-03T00:00:00" => interval
        interval "2026-03-02T00:00:00+00:00/2026-03-03T00:00:00+00:00" => interval
        interval "2026-03-02/2026-03-03" => interval
        interval "2026-03-02T00:00:00Z/P1D" => interval
        interval "2026-03-02T00:00:00.000000Z/2026-03-03T00:00:00Z" => interval
        interval "2026-03-02 00:00:00Z/2026-03-03T00:00:00Z" => interval
        interval "2026-02-30T00:00:00Z/2026-03-03T00:00:00Z" => interval
        interval "2026-03-03T00:00:00Z/2026-03-02T00:00:00Z" => interval
        interval "2026-03-02T00:00:00Z/2026-03-02T00:00:00Z" => interval
        interval null => interval
        interval {} => interval
        filters { "property": "Action", "value": "Update" } => filters
        filters null => filters
        filters [{ "property": "action", "value": "Update" }] => property
        filters [{ "property": "Status", "value": "SUCCESS" }] => property
        filters [{ "property": "Action" }] => filter
        filters [{ "property": "Action", "value": 1 }] => filter
        filters [{ "property": "Action", "value": "Update", "operator": "EQUALS" }] => filter
        filters ["Action"] => filter
        sort { "name": "Timestamp", "sortOrder": "ascending" } => sort
        sort [{ "name": "timestamp", "sortOrder": "ascending" }] => sort
        sort [{ "name": "EventDate", "sortOrder": "ascending" }] => sort
        sort [{ "name": "Timestamp", "sortOrder": "asc" }] => sort
        sort [{ "name": "Timestamp" }] => sort
        cursor "x" => cursor"#,
    ) {
        let (member, value) = member.split_once(' ').unwrap();
        let body = with(
            day("Architect"),
            member,
            serde_json::from_str(value).unwrap(),
        );
        for path in [QUERY, REALTIME] {
            let reply = client.post(path, &body).await;
            let message = reply.text_at("/message").to_lowercase();
            assert_eq!(reply.says("/code"), "400 bad.request", "{body}");
            assert!(message.contains(&words.to_lowercase()), "{body}: {message}");
        }
    }
    let reply = client.post(QUERY, &json!({ "interval": "x" })).await;
    let required = json!([{ "errorCode": "required", "fieldName": "serviceName" }]);
    assert_eq!(reply.at("/details"), required);
    let millis = json!("2026-03-02T00:00:00.000Z/2026-03-02T23:59:59.999Z");
    let good = with(day("Architect"), "interval", millis);
    assert_eq!(client.post(QUERY, &good).await.status, 202);
    for (to, status) in [("2026-01-31T00:00:00Z", 202), ("2026-01-31T00:00:01Z", 400)] {
        let long = query("Architect", "2026-01-01T00:00:00Z", to);
        assert_eq!(client.post(QUERY, &long).await.status, status);
    }
    for (path, body) in [
        (QUERY, with(day("Architect"), "pageSize", json!(100))),
        (
            "/api/v2/audits/query/realtime/related",
            json!({ "auditId": "x", "pageSize": 1 }),
        ),
        ("/api/v2/audits/query/realtime/related", json!({})),
        (QUERY, json!([1])),
    ] {
        assert_eq!(client.post(path, &body).await.status, 400, "{body}");
    }
    let url = format!("{}{QUERY}", client.sim.base_url());
    let body = week("Architect").to_string();
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(512_000));
    for (kind, body, status) in [
        ("application/json; charset=utf-8", &*body, 202),
        ("text/plain", &body, 415),
        ("application/json", "{", 400),
        ("application/json", &large, 413),
    ] {
        let request = client.http.post(&url).bearer_auth(&client.token);
        let reply = Reply::of(request.header("content-type", kind).body(body.to_owned())).await;
        assert_eq!(reply.status, status, "{kind}");
    }
}

#[tokio::test]
async fn the_results_query_string_is_held_to_its_values() {
    let client = Client::usual().await;
    let id = client.run(&week("Architect")).await;
    for bad in [
        "pageSize=0",
        "pageSize=501",
        "pageSize=ten",
        "pageSize=%2B5",
        "pageSize=",
        "expand=users",
        "expand=user,client",
        "allowRedirect=1",
        "cursor=",
        "cursor=bmV4dA%3D%3D",
    ] {
        assert_eq!(client.page(&id, "", bad).await.status, 400, "{bad}");
    }
    let good = "pageSize=500&expand=user&expand=user&allowRedirect=false";
    assert_eq!(client.page(&id, "", good).await.at("/pageSize"), 500);
}

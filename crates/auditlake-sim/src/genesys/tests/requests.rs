//! What a request may hold.

use serde_json::json;

use super::*;

async fn client() -> Client {
    Client::new(settled(), &small()).await
}

fn with(member: &str, value: Value) -> Value {
    let mut body = query("Architect", "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z");
    body[member] = value;
    body
}

async fn assert_refused(client: &Client, path: &str, body: &Value, words: &str) {
    let reply = client.post(path, body).await;
    assert_eq!(reply.status, 400, "{body}");
    assert!(
        reply.message().contains(words),
        "{body}: {}",
        reply.message()
    );
    assert_eq!(reply.json()["status"], 400);
}

#[tokio::test]
async fn a_service_is_required_and_must_be_known() {
    let client = client().await;
    for path in [QUERY, REALTIME] {
        let mut body = with("x", json!(1));
        body.as_object_mut().unwrap().remove("x");
        body.as_object_mut().unwrap().remove("serviceName");
        assert_refused(
            &client,
            path,
            &body,
            "A service name is required for this query",
        )
        .await;
        let reply = client.post(path, &body).await;
        assert_eq!(
            reply.json()["details"],
            json!([{ "errorCode": "required", "fieldName": "serviceName" }])
        );
        assert_refused(&client, path, &with("serviceName", json!(null)), "required").await;
        assert_refused(&client, path, &with("serviceName", json!("")), "required").await;
        assert_refused(&client, path, &with("serviceName", json!(7)), "string").await;
        assert_refused(
            &client,
            path,
            &with("serviceName", json!("architect")),
            "service",
        )
        .await;
    }
}

#[tokio::test]
async fn an_interval_is_a_pair_of_utc_instants_in_order() {
    let client = client().await;
    for path in [QUERY, REALTIME] {
        for bad in [
            json!("2026-03-02T00:00:00Z"),
            json!("2026-03-02T00:00:00/2026-03-03T00:00:00"),
            json!("2026-03-02T00:00:00+00:00/2026-03-03T00:00:00+00:00"),
            json!("2026-03-02/2026-03-03"),
            json!("2026-03-02T00:00:00Z/P1D"),
            json!("2026-03-02T00:00:00.000000Z/2026-03-03T00:00:00Z"),
            json!("2026-03-02 00:00:00Z/2026-03-03T00:00:00Z"),
            json!("2026-02-30T00:00:00Z/2026-03-03T00:00:00Z"),
            json!("2026-03-03T00:00:00Z/2026-03-02T00:00:00Z"),
            json!("2026-03-02T00:00:00Z/2026-03-02T00:00:00Z"),
            json!(null),
            json!({}),
        ] {
            assert_refused(&client, path, &with("interval", bad), "interval").await;
        }
        let good = with(
            "interval",
            json!("2026-03-02T00:00:00.000Z/2026-03-02T23:59:59.999Z"),
        );
        assert!(client.post(path, &good).await.status < 300);
    }
}

#[tokio::test]
async fn an_interval_may_not_be_too_long() {
    let client = client().await;
    let body = |to: &str| query("Architect", "2026-01-01T00:00:00Z", to);
    assert_eq!(
        client
            .post(QUERY, &body("2026-01-31T00:00:00Z"))
            .await
            .status,
        202
    );
    assert_refused(&client, QUERY, &body("2026-01-31T00:00:01Z"), "interval").await;
}

#[tokio::test]
async fn filters_are_a_list_of_known_properties() {
    let client = client().await;
    for path in [QUERY, REALTIME] {
        for bad in [
            json!({ "property": "Action", "value": "Update" }),
            json!(null),
            json!([{ "property": "action", "value": "Update" }]),
            json!([{ "property": "Status", "value": "SUCCESS" }]),
            json!([{ "property": "Action" }]),
            json!([{ "property": "Action", "value": 1 }]),
            json!([{ "property": "Action", "value": "Update", "operator": "EQUALS" }]),
            json!(["Action"]),
        ] {
            assert_refused(&client, path, &with("filters", bad), "ilter").await;
        }
        let good = with(
            "filters",
            json!([{ "property": "Action", "value": "Update" }]),
        );
        assert!(client.post(path, &good).await.status < 300);
    }
}

#[tokio::test]
async fn sort_is_by_timestamp_one_way_or_the_other() {
    let client = client().await;
    for path in [QUERY, REALTIME] {
        for bad in [
            json!({ "name": "Timestamp", "sortOrder": "ascending" }),
            json!([{ "name": "timestamp", "sortOrder": "ascending" }]),
            json!([{ "name": "EventDate", "sortOrder": "ascending" }]),
            json!([{ "name": "Timestamp", "sortOrder": "asc" }]),
            json!([{ "name": "Timestamp" }]),
        ] {
            assert_refused(&client, path, &with("sort", bad), "ort").await;
        }
    }
}

#[tokio::test]
async fn unknown_members_are_refused() {
    let client = client().await;
    assert_refused(&client, QUERY, &with("cursor", json!("x")), "cursor").await;
    assert_refused(&client, QUERY, &with("pageSize", json!(100)), "pageSize").await;
    assert_refused(&client, REALTIME, &with("cursor", json!("x")), "cursor").await;
    assert_eq!(
        client
            .post(REALTIME, &with("pageSize", json!(100)))
            .await
            .status,
        200
    );
    let related = json!({ "auditId": "x", "pageSize": 1 });
    assert_refused(
        &client,
        &format!("{REALTIME}/related"),
        &related,
        "pageSize",
    )
    .await;
    assert_refused(
        &client,
        &format!("{REALTIME}/related"),
        &json!({}),
        "auditId",
    )
    .await;
}

#[tokio::test]
async fn a_body_is_json_and_says_so_and_is_not_too_large() {
    let client = client().await;
    let url = format!("{}{QUERY}", client.sim.base_url());
    let post = |kind: &str, body: String| {
        let request = client.http.post(&url).bearer_auth(&client.token);
        request.header("content-type", kind).body(body).send()
    };
    let body = week("Architect").to_string();
    assert_eq!(
        post("application/json; charset=utf-8", body.clone())
            .await
            .unwrap()
            .status(),
        202
    );
    assert_eq!(post("text/plain", body).await.unwrap().status(), 415);
    assert_eq!(
        post("application/json", "[1]".to_owned())
            .await
            .unwrap()
            .status(),
        400
    );
    assert_eq!(
        post("application/json", "{".to_owned())
            .await
            .unwrap()
            .status(),
        400
    );
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(512_000));
    assert_eq!(post("application/json", large).await.unwrap().status(), 413);
}

#[tokio::test]
async fn the_results_query_string_is_held_to_its_values() {
    let client = client().await;
    let id = client.run_query(&week("Architect")).await;
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
        let reply = client.page(&id, None, bad).await;
        assert_eq!(reply.status, 400, "{bad}");
    }
    let good = client
        .page(
            &id,
            None,
            "pageSize=500&expand=user&expand=user&allowRedirect=false",
        )
        .await;
    assert_eq!(good.status, 200);
    assert_eq!(good.json()["pageSize"], 500);
}

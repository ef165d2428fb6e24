//! The life of a query, its pages and its order.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::super::IntervalBound;
use super::*;

#[tokio::test]
async fn a_query_goes_through_its_states() {
    let settings = GenesysSettings {
        queued_polls: 2,
        running_polls: 2,
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    let submitted = client.post(QUERY, &week("Architect")).await.json();
    assert_eq!(submitted["state"], "Queued");
    assert_eq!(submitted["serviceName"], "Architect");
    assert_eq!(
        submitted["interval"],
        "2026-03-01T00:00:00Z/2026-03-08T00:00:00Z"
    );
    assert_eq!(submitted["startDate"], "2026-03-09T00:00:00.000Z");
    assert_eq!(submitted["filters"], json!([]));
    let id = submitted["id"].as_str().unwrap();
    for wanted in ["Queued", "Queued", "Running", "Running"] {
        assert_eq!(
            client.get(&format!("{QUERY}/{id}")).await.json()["state"],
            wanted
        );
        let early = client.page(id, None, "").await;
        assert_eq!(early.status, 400);
        assert!(early.message().contains("has not succeeded"));
    }
    assert_eq!(
        client.get(&format!("{QUERY}/{id}")).await.json()["state"],
        "Succeeded"
    );
    assert_eq!(client.page(id, None, "").await.status, 200);
}

#[tokio::test]
async fn a_query_may_take_real_time_or_none() {
    let settings = GenesysSettings {
        running_polls: 0,
        running_time: Duration::from_hours(1),
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    let id = client.post(QUERY, &week("Architect")).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        client.get(&format!("{QUERY}/{id}")).await.json()["state"],
        "Running"
    );

    let settings = GenesysSettings {
        running_polls: 0,
        submit_status: 200,
        terse_status: true,
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    let reply = client.post(QUERY, &week("Architect")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["state"], "Succeeded");
    assert_eq!(reply.json().as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn a_query_may_end_otherwise_than_in_success() {
    let client = Client::new(settled(), &small()).await;
    client.sim.end_next_queries_as("Cancelled", 1);
    let id = client.post(QUERY, &week("Architect")).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    client.get(&format!("{QUERY}/{id}")).await;
    for _ in 0..2 {
        assert_eq!(
            client.get(&format!("{QUERY}/{id}")).await.json()["state"],
            "Cancelled"
        );
    }
    assert_eq!(client.page(&id, None, "").await.status, 400);
    client.run_query(&week("Architect")).await;
}

#[tokio::test]
async fn unknown_and_expired_queries_are_not_found() {
    let client = Client::new(settled(), &small()).await;
    let assert_gone = async |id: &str| {
        for path in [format!("{QUERY}/{id}"), format!("{QUERY}/{id}/results")] {
            let reply = client.get(&path).await;
            assert_eq!(reply.status, 404);
            assert_eq!(reply.message(), "The requested resource was not found");
            assert_eq!(reply.json()["code"], "not.found");
            assert_eq!(reply.json()["entityId"], id);
        }
    };
    assert_gone("3f0c1b7e-5d2a-4c58-9a41-0e6b7d1f2a10").await;
    let id = client.run_query(&week("Architect")).await;
    client
        .sim
        .advance(Duration::from_mins(30) - Duration::from_secs(1));
    assert_eq!(client.page(&id, None, "").await.status, 200);
    client.sim.advance(Duration::from_secs(1));
    assert_gone(&id).await;
    let id = client.run_query(&week("Architect")).await;
    client.sim.expire_transactions();
    assert_gone(&id).await;
}

#[tokio::test]
async fn cursors_belong_to_one_query_and_end() {
    let client = Client::new(settled(), &small()).await;
    let one = client.run_query(&week("PeoplePermissions")).await;
    let other = client.run_query(&week("PeoplePermissions")).await;
    let cursor = client.page(&one, None, "").await.json()["cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(cursor.contains(['+', '/', '=']), "needs escaping: {cursor}");
    assert_eq!(client.page(&one, Some(&cursor), "").await.status, 200);
    assert_eq!(client.page(&other, Some(&cursor), "").await.status, 400);
    let unescaped = client
        .get(&format!("{QUERY}/{one}/results?cursor={cursor}"))
        .await;
    assert_eq!(unescaped.status, 400);
    client.sim.advance(Duration::from_mins(10));
    assert_eq!(client.page(&one, Some(&cursor), "").await.status, 404);
    let fresh = client.page(&one, None, "").await.json()["cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    client.sim.expire_cursors();
    assert_eq!(client.page(&one, Some(&fresh), "").await.status, 404);
    assert_eq!(client.page(&one, None, "").await.status, 200);
}

/// Ids page by page, and the last page's body.
async fn pages(client: &Client, id: &str, more: &str) -> (Vec<Vec<String>>, Value) {
    let (mut pages, mut cursor) = (Vec::new(), None);
    loop {
        let reply = client.page(id, cursor.as_deref(), more).await;
        assert_eq!(reply.status, 200);
        let entities = reply.entities();
        let ids = entities
            .iter()
            .map(|record| record["id"].as_str().unwrap().to_owned());
        pages.push(ids.collect());
        cursor = match reply.json()["cursor"].as_str() {
            Some(next) if !next.is_empty() => Some(next.to_owned()),
            _ => return (pages, reply.json()),
        };
    }
}

#[tokio::test]
async fn pages_hold_25_by_default_some_are_empty_and_ends_vary() {
    let client = Client::new(settled(), &small()).await;
    let now = client.sim.now();
    let (from, to) = (at("2026-03-01T00:00:00Z"), at("2026-03-08T00:00:00Z"));
    let truth = client
        .sim
        .dataset()
        .truth(from, to, Some("PeoplePermissions"), now);
    let wanted: BTreeSet<String> = truth.iter().map(|record| record.id.clone()).collect();
    let mut ends = Vec::new();
    let mut empty_last = Vec::new();
    for _ in 0..6 {
        let id = client.run_query(&week("PeoplePermissions")).await;
        let (pages, last) = pages(&client, &id, "").await;
        assert!(pages.iter().all(|page| page.len() <= 25));
        assert!(pages.iter().any(|page| page.len() == 25));
        let followed = &pages[..pages.len() - 1];
        assert!(
            followed.iter().any(Vec::is_empty),
            "an empty page with a cursor"
        );
        let all: Vec<String> = pages.concat();
        assert_eq!(all.len(), wanted.len());
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), wanted);
        ends.push(last.get("cursor").cloned());
        empty_last.push(pages[pages.len() - 1].is_empty());
    }
    assert_eq!(ends[..3], [None, Some(Value::Null), Some(json!(""))]);
    assert!(empty_last.contains(&true) && empty_last.contains(&false));
}

#[tokio::test]
async fn pages_may_repeat_the_last_record() {
    let settings = GenesysSettings {
        repeat_records: true,
        empty_page_every: 0,
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    let id = client.run_query(&week("PeoplePermissions")).await;
    let (pages, _) = pages(&client, &id, "pageSize=50").await;
    assert!(pages.len() > 2);
    for pair in pages.windows(2) {
        assert_eq!(pair[0].last(), pair[1].first());
    }
}

#[tokio::test]
async fn the_order_is_descending_unless_asked_otherwise() {
    let settings = GenesysSettings {
        empty_page_every: 0,
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    let mut body = week("ContactCenter");
    let times = async |body: &Value| -> Vec<DateTime<Utc>> {
        let id = client.run_query(body).await;
        let entities = client.page(&id, None, "pageSize=500").await.entities();
        entities
            .iter()
            .map(|record| at(record["eventDate"].as_str().unwrap()))
            .collect()
    };
    let ascending = times(&body).await;
    assert!(ascending.len() > 10 && ascending.is_sorted());
    body.as_object_mut().unwrap().remove("sort");
    let descending = times(&body).await;
    assert!(descending.is_sorted_by(|one, other| one >= other));
    body["sort"] = json!([]);
    assert_eq!(times(&body).await, descending);
}

#[tokio::test]
async fn names_come_only_when_asked_for_and_not_for_foreign_users() {
    let settings = GenesysSettings {
        empty_page_every: 0,
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    let id = client.run_query(&week("PeoplePermissions")).await;
    let plain = client.page(&id, None, "pageSize=500").await.entities();
    let expanded = client
        .page(&id, None, "pageSize=500&expand=user")
        .await
        .entities();
    let named = |records: &[Value]| {
        let users = records.iter().filter(|record| record["user"].is_object());
        users
            .filter(|record| record["user"]["name"].is_string())
            .count()
    };
    let users = expanded
        .iter()
        .filter(|record| record["user"].is_object())
        .count();
    assert_eq!(named(&plain), 0);
    assert!(named(&expanded) > 0 && named(&expanded) < users);
    for (mut expanded, plain) in expanded.into_iter().zip(plain) {
        if let Some(Value::Object(user)) = expanded.get_mut("user") {
            user.remove("name");
        }
        assert_eq!(expanded, plain);
    }
}

#[tokio::test]
async fn every_record_comes_byte_for_byte() {
    let settings = GenesysSettings {
        empty_page_every: 0,
        ..settled()
    };
    let spec = DatasetSpec {
        newlines: true,
        awkward_share: 0.5,
        ..small()
    };
    let client = Client::new(settings, &spec).await;
    let id = client.run_query(&week("PeoplePermissions")).await;
    let page = client.page(&id, None, "pageSize=500&expand=user").await;
    let truth = client.sim.dataset().truth(
        at("2026-03-01T00:00:00Z"),
        at("2026-03-08T00:00:00Z"),
        Some("PeoplePermissions"),
        client.sim.now(),
    );
    assert!(truth.len() > 50 && truth.iter().any(|record| record.raw.contains('\n')));
    for record in truth {
        assert_eq!(page.text().matches(record.raw).count(), 1, "{}", record.raw);
    }
}

#[tokio::test]
async fn both_readings_of_an_intervals_ends_can_be_set() {
    let dataset = Arc::new(Dataset::generate(&small()));
    let tie = tie_of(&dataset);
    let second = |micros: i64| {
        let at = DateTime::from_timestamp_micros(micros).unwrap();
        at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    let before = query("PeoplePermissions", &second(tie - 1_000_000), &second(tie));
    let after = query("PeoplePermissions", &second(tie), &second(tie + 1_000_000));
    for (start, end, in_before, in_after) in [
        (
            IntervalBound::Inclusive,
            IntervalBound::Exclusive,
            false,
            true,
        ),
        (
            IntervalBound::Inclusive,
            IntervalBound::Inclusive,
            true,
            true,
        ),
        (
            IntervalBound::Exclusive,
            IntervalBound::Exclusive,
            false,
            false,
        ),
        (
            IntervalBound::Exclusive,
            IntervalBound::Inclusive,
            true,
            false,
        ),
    ] {
        let settings = GenesysSettings {
            interval_start: start,
            interval_end: end,
            empty_page_every: 0,
            ..settled()
        };
        let client = Client::on(settings, Arc::clone(&dataset)).await;
        for (body, wanted) in [(&before, in_before), (&after, in_after)] {
            let id = client.run_query(body).await;
            let found = client
                .page(&id, None, "pageSize=500")
                .await
                .entities()
                .len();
            assert_eq!(found >= 100, wanted, "{start:?} {end:?}");
            let live = client.post(REALTIME, body).await;
            assert_eq!(live.json()["total"].as_u64().unwrap() >= 100, wanted);
        }
    }
}

/// The instant of the largest tie.
fn tie_of(dataset: &Dataset) -> i64 {
    let truth = dataset.truth(
        DateTime::<Utc>::MIN_UTC,
        DateTime::<Utc>::MAX_UTC,
        None,
        DateTime::<Utc>::MAX_UTC,
    );
    let mut counts = BTreeMap::<i64, usize>::new();
    for record in truth {
        *counts.entry(record.event_time_micros).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .unwrap()
        .0
}

#[tokio::test]
async fn filters_keep_what_matches_and_nothing_else() {
    let settings = GenesysSettings {
        empty_page_every: 0,
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    let all = client.run_query(&week("PeoplePermissions")).await;
    let all = client.page(&all, None, "pageSize=500").await.entities();
    let user = all
        .iter()
        .find_map(|record| record["user"]["id"].as_str())
        .unwrap();
    let entity = all
        .iter()
        .find_map(|record| record["entity"]["id"].as_str())
        .unwrap();
    let client_id = all
        .iter()
        .find_map(|record| record["client"]["id"].as_str())
        .unwrap();
    for (property, value, pointer) in [
        ("Action", "Update", "/action"),
        ("EntityType", "Role", "/entityType"),
        ("UserId", user, "/user/id"),
        ("EntityId", entity, "/entity/id"),
        ("ClientId", client_id, "/client/id"),
        (
            "TrusteeOrganizationId",
            "d2e7a1bb-9d3f-4e1c-8a4d-6b8f2d0e5f32",
            "/userHomeOrgId",
        ),
    ] {
        let mut body = week("PeoplePermissions");
        body["filters"] = json!([{ "property": property, "value": value }]);
        let id = client.run_query(&body).await;
        let found = client.page(&id, None, "pageSize=500").await.entities();
        let wanted = all
            .iter()
            .filter(|record| record.pointer(pointer) == Some(&json!(value)));
        let wanted: Vec<Value> = wanted.cloned().collect();
        assert!(!wanted.is_empty() && wanted.len() < all.len(), "{property}");
        assert_eq!(found, wanted, "{property}");
    }
}

#[tokio::test]
async fn quiet_services_are_listed_and_empty() {
    let client = Client::new(settled(), &small()).await;
    let mapping = client.get(&format!("{QUERY}/servicemapping")).await.json();
    let services = mapping["services"].as_array().unwrap();
    assert_eq!(services.len(), 8);
    let billing = services
        .iter()
        .find(|service| service["name"] == "Billing")
        .unwrap();
    assert!(billing["entities"].as_array().is_none_or(Vec::is_empty));
    let id = client.run_query(&week("Billing")).await;
    assert!(client.page(&id, None, "").await.entities().is_empty());
}

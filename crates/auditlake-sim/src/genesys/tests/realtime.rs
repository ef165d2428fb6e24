//! The realtime query and related audits.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::Totals;
use super::*;

fn day() -> Value {
    query(
        "PeoplePermissions",
        "2026-03-02T00:00:00Z",
        "2026-03-03T00:00:00Z",
    )
}

fn ids(entities: &[Value]) -> Vec<String> {
    entities
        .iter()
        .map(|record| record["id"].as_str().unwrap().to_owned())
        .collect()
}

fn names(mapping: &Value) -> BTreeSet<String> {
    let services = mapping["services"].as_array().unwrap().iter();
    services
        .map(|service| service["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn its_services_are_a_strict_subset_and_no_other_is_answered() {
    let client = Client::new(settled(), &small()).await;
    let all = names(&client.get(&format!("{QUERY}/servicemapping")).await.json());
    let some = names(
        &client
            .get(&format!("{REALTIME}/servicemapping"))
            .await
            .json(),
    );
    assert!(some.is_subset(&all) && some.len() < all.len() && !some.is_empty());
    for service in &all {
        let body = query(service, "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z");
        let reply = client.post(REALTIME, &body).await;
        assert_eq!(
            reply.status,
            if some.contains(service) { 200 } else { 400 },
            "{service}"
        );
        assert_eq!(client.post(QUERY, &body).await.status, 202);
    }
}

#[tokio::test]
async fn pages_are_asked_for_in_the_body() {
    let client = Client::new(settled(), &DatasetSpec::default()).await;
    let mut body = day();
    let first = client.post(REALTIME, &body).await.json();
    assert_eq!(
        (&first["pageSize"], &first["pageNumber"]),
        (&json!(25), &json!(1))
    );
    let total = first["total"].as_u64().unwrap();
    assert_eq!(first["pageCount"], total.div_ceil(25));
    assert_eq!(first["entities"].as_array().unwrap().len(), 25);
    let ignored = client
        .post(
            &format!("{REALTIME}?pageSize=500&pageNumber=2&cursor=x"),
            &body,
        )
        .await;
    assert_eq!(ignored.json(), first);

    body["pageSize"] = json!(100);
    let mut all = Vec::new();
    let page_count = total.div_ceil(100);
    assert!(page_count > 2);
    for number in 1..=page_count {
        body["pageNumber"] = json!(number);
        all.extend(ids(&client.post(REALTIME, &body).await.entities()));
    }
    assert_eq!(all.len() as u64, total);
    let truth = client.sim.dataset().truth(
        at("2026-03-02T00:00:00Z"),
        at("2026-03-03T00:00:00Z"),
        Some("PeoplePermissions"),
        client.sim.now(),
    );
    let wanted: BTreeSet<String> = truth.into_iter().map(|record| record.id).collect();
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), wanted);

    body["pageNumber"] = json!(page_count + 1);
    let past = client.post(REALTIME, &body).await;
    assert_eq!(past.status, 200);
    assert!(past.entities().is_empty());
    assert_eq!(past.json()["pageNumber"], page_count + 1);
}

#[tokio::test]
async fn page_numbers_and_sizes_have_bounds() {
    let client = Client::new(settled(), &small()).await;
    for (member, bad) in [
        ("pageSize", json!(0)),
        ("pageSize", json!(501)),
        ("pageSize", json!("100")),
        ("pageSize", json!(2.5)),
        ("pageNumber", json!(0)),
        ("pageNumber", json!(-1)),
        ("pageNumber", json!(null)),
    ] {
        let mut body = day();
        body[member] = bad.clone();
        assert_eq!(
            client.post(REALTIME, &body).await.status,
            400,
            "{member} {bad}"
        );
    }
    let mut body = day();
    body["pageSize"] = json!(500);
    assert_eq!(client.post(REALTIME, &body).await.status, 200);
}

#[tokio::test]
async fn it_reaches_back_fourteen_days_and_one_day_at_a_time() {
    let client = Client::new(settled(), &small()).await;
    let body = |from: &str, to: &str| query("Architect", from, to);
    let reply = client
        .post(
            REALTIME,
            &body("2026-02-23T00:00:00Z", "2026-02-24T00:00:00Z"),
        )
        .await;
    assert_eq!(reply.status, 200);
    let reply = client
        .post(
            REALTIME,
            &body("2026-02-22T23:59:59Z", "2026-02-23T23:00:00Z"),
        )
        .await;
    assert_eq!(reply.status, 400);
    assert!(reply.message().contains("interval"));
    let reply = client
        .post(
            REALTIME,
            &body("2026-03-02T00:00:00Z", "2026-03-03T00:00:01Z"),
        )
        .await;
    assert_eq!(reply.status, 504);
    assert_eq!(reply.message(), "The request timed out.");
    assert_eq!(reply.json()["code"], "gateway.timeout");
}

#[tokio::test]
async fn totals_may_be_null_or_left_out() {
    for (totals, members, total) in [
        (Totals::Shown, 5, true),
        (Totals::Null, 5, false),
        (Totals::LeftOut, 3, false),
    ] {
        let settings = GenesysSettings {
            realtime_totals: totals,
            ..settled()
        };
        let client = Client::new(settings, &small()).await;
        let page = client.post(REALTIME, &day()).await.json();
        assert_eq!(page.as_object().unwrap().len(), members);
        assert_eq!(page["total"].is_u64() && page["pageCount"].is_u64(), total);
    }
}

#[tokio::test]
async fn names_are_expanded_by_the_query_string() {
    let client = Client::new(settled(), &small()).await;
    let named = |page: &Reply| {
        let entities = page.entities();
        entities
            .iter()
            .filter(|record| record["user"]["name"].is_string())
            .count()
    };
    assert_eq!(named(&client.post(REALTIME, &day()).await), 0);
    assert!(
        named(
            &client
                .post(&format!("{REALTIME}?expand=user"), &day())
                .await
        ) > 0
    );
    assert_eq!(
        client
            .post(&format!("{REALTIME}?expand=client"), &day())
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn late_arrivals_show_up_as_the_clock_moves() {
    let spec = DatasetSpec {
        late_share: 0.5,
        ..DatasetSpec::default()
    };
    let settings = GenesysSettings {
        clock: Clock::Fixed(at("2026-03-03T00:00:00Z")),
        ..GenesysSettings::default()
    };
    let client = Client::new(settings, &spec).await;
    let total = async || {
        client.post(REALTIME, &day()).await.json()["total"]
            .as_u64()
            .unwrap()
    };
    let first = total().await;
    assert_eq!(total().await, first);
    client.sim.set_now(at("2026-03-03T06:00:01Z"));
    let last = total().await;
    assert!(first > 0 && last > first, "{first} {last}");
    let truth = client.sim.dataset().truth(
        at("2026-03-02T00:00:00Z"),
        at("2026-03-03T00:00:00Z"),
        Some("PeoplePermissions"),
        client.sim.now(),
    );
    assert_eq!(truth.len() as u64, last);
}

#[tokio::test]
async fn related_audits_share_a_transaction() {
    let mut client = Client::new(settled(), &DatasetSpec::default()).await;
    let path = format!("{REALTIME}/related");
    let mut by_transaction = BTreeMap::<String, BTreeSet<String>>::new();
    let now = client.sim.now();
    let (from, to) = (at("2026-03-01T00:00:00Z"), at("2026-03-08T00:00:00Z"));
    let dataset = Arc::clone(client.sim.dataset());
    for record in dataset.truth(from, to, None, now) {
        let parsed: Value = serde_json::from_str(record.raw).unwrap();
        if let Some(transaction) = parsed["initiatingAction"]["transactionId"].as_str() {
            by_transaction
                .entry(transaction.to_owned())
                .or_default()
                .insert(record.id);
        }
    }
    let group = by_transaction
        .values()
        .find(|group| group.len() > 3)
        .unwrap();
    for id in group.iter().take(2) {
        let reply = client.post(&path, &json!({ "auditId": id })).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.json().as_object().unwrap().len(), 1);
        assert_eq!(
            &ids(&reply.entities()).into_iter().collect::<BTreeSet<_>>(),
            group
        );
    }
    let id = group.first().unwrap();
    let own = json!({ "auditId": id, "trustorOrgId": "c0ffee00-1234-4abc-8def-001122334455" });
    assert_eq!(client.post(&path, &own).await.entities().len(), group.len());
    let other = json!({ "auditId": id, "trustorOrgId": "elsewhere" });
    assert_eq!(client.post(&path, &other).await.status, 404);
    let unknown = json!({ "auditId": "3f0c1b7e-5d2a-4c58-9a41-0e6b7d1f2a10" });
    assert_eq!(client.post(&path, &unknown).await.status, 404);
    client.sim.set_now(at("2026-05-01T00:00:00Z"));
    client.sign_in().await;
    let old = client.post(&path, &json!({ "auditId": id })).await;
    assert_eq!(old.json(), json!({ "entities": [] }));
}

//! The realtime query, related audits, and the mappings.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn found(reply: &Reply) -> BTreeSet<String> {
    let records = reply.list("/entities");
    let ids = records.iter().map(|it| it["id"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

fn names(mapping: &Reply) -> BTreeSet<String> {
    let services = mapping.list("/services");
    let names = services
        .iter()
        .map(|service| service["name"].as_str().unwrap());
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn its_services_are_a_strict_subset_and_no_other_is_answered() {
    let client = Client::usual().await;
    let all = client.services().await;
    let quiet = all
        .list("/services")
        .into_iter()
        .find(|service| service["name"] == "Billing");
    assert!(
        quiet.unwrap()["entities"]
            .as_array()
            .is_none_or(Vec::is_empty)
    );
    assert!(client.found(&week("Billing")).await.is_empty());
    let all = names(&all);
    let some = names(&client.get(&format!("{REALTIME}/servicemapping")).await);
    assert!(all.len() == 8 && some.is_subset(&all) && some.len() == 3);
    for service in &all {
        let status = if some.contains(service) { 200 } else { 400 };
        assert_eq!(
            client.post(REALTIME, &day(service)).await.status,
            status,
            "{service}"
        );
        assert_eq!(client.post(QUERY, &day(service)).await.status, 202);
    }
}

#[tokio::test]
async fn pages_are_asked_for_in_the_body_within_bounds() {
    let client = Client::new(|_| {}, |it| it.records = 10_000).await;
    let first = client.post(REALTIME, &day(SERVICE)).await.json();
    assert_eq!(
        (&first["pageSize"], &first["pageNumber"]),
        (&json!(25), &json!(1))
    );
    let total = first["total"].as_u64().unwrap();
    assert_eq!(first["pageCount"], total.div_ceil(25));
    assert_eq!(first["entities"].as_array().unwrap().len(), 25);
    let ignored = format!("{REALTIME}?pageSize=500&pageNumber=2&cursor=x");
    assert_eq!(client.post(&ignored, &day(SERVICE)).await.json(), first);
    for (member, bad) in table(
        r#"
        pageSize   => 0
        pageSize   => 501
        pageSize   => "100"
        pageSize   => 2.5
        pageNumber => 0
        pageNumber => -1
        pageNumber => null"#,
    ) {
        let body = with(day(SERVICE), member, serde_json::from_str(bad).unwrap());
        let reply = client.post(REALTIME, &body).await;
        assert_eq!(reply.status, 400, "{member} {bad}");
    }
    let past = with(day(SERVICE), "pageNumber", json!(1_000));
    let past = client.post(REALTIME, &past).await;
    assert_eq!(past.list("/entities").len(), 0);
    assert_eq!(past.at("/pageNumber"), 1_000);
    for (totals, members, total) in [
        (Totals::Shown, 5, true),
        (Totals::Null, 5, false),
        (Totals::LeftOut, 3, false),
    ] {
        let client = Client::with(|it| it.realtime_totals = totals).await;
        let page = client.post(REALTIME, &day(SERVICE)).await;
        assert_eq!(page.json().as_object().unwrap().len(), members);
        assert_eq!(page.at("/total").is_u64(), total);
        assert_eq!(page.at("/pageCount").is_u64(), total);
    }
}

#[tokio::test]
async fn it_reaches_back_fourteen_days_and_one_day_at_a_time() {
    let client = Client::usual().await;
    for (interval, wanted) in table(
        "
        2026-02-23T00:00:00Z/2026-02-24T00:00:00Z => 200
        2026-02-22T23:59:59Z/2026-02-23T23:00:00Z => 400 bad.request
        2026-03-02T00:00:00Z/2026-03-03T00:00:01Z => 504 gateway.timeout",
    ) {
        let body = with(day("Architect"), "interval", json!(interval));
        let reply = client.post(REALTIME, &body).await;
        assert_eq!(reply.says("/code").trim_end(), wanted);
    }
}

#[tokio::test]
async fn related_audits_share_a_transaction() {
    let mut client = Client::new(|_| {}, |it| it.records = 10_000).await;
    let path = format!("{REALTIME}/related");
    let mut groups = BTreeMap::<String, BTreeSet<String>>::new();
    for record in client.sim.dataset().truth(NEVER, ALWAYS, ALWAYS) {
        let parsed: Value = serde_json::from_str(record.raw).unwrap();
        if let Some(transaction) = parsed["initiatingAction"]["transactionId"].as_str() {
            groups
                .entry(transaction.to_owned())
                .or_default()
                .insert(record.id);
        }
    }
    let group = groups.values().find(|group| group.len() > 3).unwrap();
    for id_of_one in group.iter().take(2) {
        let reply = client.post(&path, &json!({ "auditId": id_of_one })).await;
        assert_eq!(&found(&reply), group);
    }
    let one = group.first().unwrap();
    let org = "c0ffee00-1234-4abc-8def-001122334455";
    for (id, org, status) in [(&**one, org, 200), (one, "elsewhere", 404), (org, org, 404)] {
        let body = json!({ "auditId": id, "trustorOrgId": org });
        assert_eq!(client.post(&path, &body).await.status, status, "{body}");
    }
    client.sim.set_now(at("2026-05-01T00:00:00Z"));
    client.sign_in().await;
    let old = client.post(&path, &json!({ "auditId": one })).await;
    assert_eq!(old.json(), json!({ "entities": [] }));
}

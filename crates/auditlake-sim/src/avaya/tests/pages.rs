//! Order, pages, totals and links.

use std::collections::BTreeMap;

use super::super::{DateBound, DateForms, Links, Pagination, Ties};
use super::*;

fn dates(reply: &Reply) -> Vec<DateTime<Utc>> {
    let records = reply.records();
    records
        .iter()
        .map(|record| at(record["date"].as_str().unwrap()))
        .collect()
}

/// All pages of a walk, of one size.
async fn walk(client: &Client, size: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for number in 1.. {
        let query = format!("?pageNumber={number}&pageSize={size}&orderBy=date%20asc");
        let page = client.users(&query).await.texts();
        if page.is_empty() {
            break;
        }
        texts.extend(page);
    }
    texts
}

#[tokio::test]
async fn five_records_are_a_page_and_each_service_has_its_own_order() {
    let client = Client::new(settled(), &small()).await;
    for (base, kind, ascending) in [
        (USER, "USER", true),
        ("/api/admin/match/v1", "QUEUE", true),
        ("/api/admin/account/v1", "ACCOUNT", false),
        ("/api/admin/inventory/v1", "ELEMENT", false),
        ("/api/business-hours/v1", "TIMETABLE", false),
    ] {
        let reply = client.search(base, "", &week(kind)).await;
        let shown = dates(&reply);
        assert_eq!(shown.len(), 5, "{kind}");
        assert_eq!(shown.is_sorted(), ascending, "{kind}");
        assert_eq!(reply.json()["pagination"]["pageSize"], 5);
        let asked = dates(
            &client
                .search(base, "?orderBy=date%20asc", &week(kind))
                .await,
        );
        assert!(asked.is_sorted());
    }
}

#[tokio::test]
async fn pages_past_the_end_are_empty() {
    let client = Client::new(settled(), &small()).await;
    let reply = client.users("?pageNumber=900&pageSize=50").await;
    assert!(reply.records().is_empty());
    assert!(reply.json()["pagination"]["total"].as_u64().unwrap() > 50);
    let empty = client
        .search("/api/admin/group/v1", "", &week("GROUP"))
        .await;
    assert_eq!(
        empty.json()["pagination"],
        json!({ "pageNumber": 1, "pageSize": 5, "total": 0 })
    );
}

#[tokio::test]
async fn links_lead_in_circles() {
    let client = Client::new(settled(), &small()).await;
    let link = |page: usize| {
        format!("{USER}/accounts/ABCDEF/audit-records:search?pageNumber={page}&pageSize=5")
    };
    let links = async |query: &str| client.users(query).await.json()["links"].clone();
    assert_eq!(links("").await, json!({ "next": link(2), "prev": "" }));
    let second = links("?pageNumber=2&orderBy=date%20asc").await;
    assert_eq!(second, json!({ "next": link(1), "prev": link(3) }));
    let elements = client
        .search(
            "/api/admin/inventory/v1",
            "?pageNumber=800",
            &week("ELEMENT"),
        )
        .await;
    let next = elements.json()["links"]["next"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        next.contains("pageNumber=801"),
        "a next beyond the last page"
    );

    for (kind, links) in [
        (Links::Blank, json!({ "next": "", "prev": "" })),
        (Links::LeftOut, Value::Null),
    ] {
        let settings = AvayaSettings {
            links: kind,
            ..settled()
        };
        let client = Client::new(settings, &small()).await;
        assert_eq!(client.users("").await.json()["links"], links);
    }
    let settings = AvayaSettings {
        links: Links::Doubled,
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    let next = client.users("").await.json()["links"]["next"].clone();
    let doubled = format!("{}{USER}{}", client.sim.base_url(), link(2));
    assert_eq!(next, json!(doubled));
    assert_eq!(Reply::of(client.http.post(doubled)).await.status, 404);
}

#[tokio::test]
async fn equal_dates_shuffle_as_is_set() {
    let spec = DatasetSpec {
        records: 40,
        largest_tie: 10,
        twin_share: 0.0,
        types: vec!["USER".to_owned()],
        ..DatasetSpec::default()
    };
    for (ties, same_call_same_order, same_order_in_other_pages) in [
        (Ties::Kept, true, true),
        (Ties::ByPage, true, false),
        (Ties::ByCall, false, false),
    ] {
        let settings = AvayaSettings { ties, ..settled() };
        let client = Client::new(settings, &spec).await;
        let page = async |query: &str| client.users(query).await.texts();
        let first = page("?pageSize=50&orderBy=date%20asc").await;
        let again = page("?pageSize=50&orderBy=date%20asc").await;
        let other = page("?pageSize=49&orderBy=date%20asc").await;
        assert_eq!(first.len(), 40);
        assert_eq!(first == again, same_call_same_order, "{ties:?}");
        assert_eq!(first == other, same_order_in_other_pages, "{ties:?}");
        let sorted = |mut texts: Vec<String>| {
            texts.sort();
            texts
        };
        assert_eq!(sorted(first), sorted(other));
    }
}

#[tokio::test]
async fn a_walk_over_shuffled_ties_may_show_one_record_twice_and_another_never() {
    let spec = DatasetSpec {
        records: 400,
        largest_tie: 60,
        twin_share: 0.0,
        types: vec!["USER".to_owned()],
        ..DatasetSpec::default()
    };
    let client = Client::new(settled(), &spec).await;
    let walked = walk(&client, 50).await;
    assert_eq!(
        walked,
        walk(&client, 50).await,
        "the same walk shows the same"
    );
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for text in &walked {
        *counts.entry(text.clone()).or_default() += 1;
    }
    assert_eq!(walked.len(), 400, "the count is right");
    assert!(counts.len() < 400, "and yet not all are there");
}

#[tokio::test]
async fn bounds_belong_to_the_range_or_not() {
    let dataset = Arc::new(Dataset::generate(&small()));
    let truth = dataset.truth(at(FROM), at(TO), DateTime::<Utc>::MAX_UTC);
    let whole = |micros: i64| micros % 1_000_000 == 0;
    let edge = truth
        .iter()
        .find(|record| record.kind == "USER" && whole(record.event_time_micros))
        .unwrap()
        .event_time_micros;
    let second = DateTime::from_timestamp_micros(edge).unwrap();
    let here = truth
        .iter()
        .filter(|record| record.kind == "USER" && record.event_time_micros == edge)
        .count();
    let body = json!({ "startDate": second, "endDate": second, "type": "USER" });
    for (start, end, found) in [
        (DateBound::Inclusive, DateBound::Inclusive, here),
        (DateBound::Inclusive, DateBound::Exclusive, 0),
        (DateBound::Exclusive, DateBound::Inclusive, 0),
    ] {
        let settings = AvayaSettings {
            start,
            end,
            ..settled()
        };
        let client = Client::on(settings, Arc::clone(&dataset)).await;
        let total = client.search(USER, "", &body).await.json()["pagination"]["total"].clone();
        assert_eq!(total, found, "{start:?} {end:?}");
    }
}

#[tokio::test]
async fn pagination_sizes_and_limits_are_as_set() {
    let on = async |settings: AvayaSettings| Client::new(settings, &small()).await;
    let client = on(AvayaSettings {
        pagination: Pagination::WithoutTotal,
        ..settled()
    })
    .await;
    let shown = client.users("").await.json()["pagination"].clone();
    assert_eq!(shown, json!({ "pageNumber": 1, "pageSize": 5 }));
    let client = on(AvayaSettings {
        pagination: Pagination::LeftOut,
        ..settled()
    })
    .await;
    assert_eq!(client.users("").await.json().get("pagination"), None);
    let client = on(AvayaSettings {
        largest_page: 20,
        ..settled()
    })
    .await;
    let page = client.users("?pageSize=50").await;
    assert_eq!(
        (page.records().len(), &page.json()["pagination"]["pageSize"]),
        (20, &json!(20))
    );
    let too_many = r#"400 "interval" 20007"#;
    let client = on(AvayaSettings {
        most_records: Some(10),
        ..settled()
    })
    .await;
    assert_eq!(client.users("").await.problem(), too_many);
    let longest_interval = Some(Duration::from_hours(24));
    let client = on(AvayaSettings {
        longest_interval,
        ..settled()
    })
    .await;
    assert_eq!(client.users("").await.problem(), too_many);
}

#[tokio::test]
async fn late_records_appear_during_a_walk_if_calls_take_time() {
    let settings = AvayaSettings {
        clock: Clock::Fixed(at(TO)),
        advance_per_call: Duration::from_hours(30),
        ..settled()
    };
    let spec = DatasetSpec {
        late_share: 0.5,
        latest: Duration::from_hours(72),
        ..small()
    };
    let client = Client::new(settings, &spec).await;
    let total = |reply: &Reply| reply.json()["pagination"]["total"].as_u64().unwrap();
    let first = total(&client.users("?pageSize=50").await);
    let second = total(&client.users("?pageSize=50&pageNumber=2").await);
    assert!(first < second, "{first} {second}");
}

#[tokio::test]
async fn dates_change_their_form_from_call_to_call_if_set() {
    let settings = AvayaSettings {
        date_forms: DateForms::ByCall,
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    for form in ["Z", "+00:00", "Z"] {
        let records = client.users("?pageSize=50").await.records();
        let all = records
            .iter()
            .map(|record| record["date"].as_str().unwrap());
        assert!(all.into_iter().all(|date| date.ends_with(form)));
    }
}

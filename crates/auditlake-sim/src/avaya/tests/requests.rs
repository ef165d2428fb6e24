//! What a search may hold.

use super::*;

const HOURS: &str = "/api/business-hours/v1";

#[tokio::test]
async fn bodies_are_checked_member_by_member() {
    let client = Client::new(settled(), &small()).await;
    let malformed = "400 The payload could not be parsed.";
    let long = "x".repeat(256);
    for (member, value, problem) in [
        ("type", json!(null), r#"400 "type" 20002"#),
        ("startDate", json!(null), r#"400 "startDate" 20002"#),
        ("endDate", json!(null), r#"400 "endDate" 20002"#),
        ("type", json!("QUEUE"), malformed),
        ("type", json!("user"), malformed),
        ("type", json!(["USER"]), malformed),
        ("startDate", json!("2026-03-01"), malformed),
        ("startDate", json!("2026-03-01T00:00:00"), malformed),
        ("startDate", json!("2026-03-01 00:00:00Z"), malformed),
        ("startDate", json!("2026-03-01T00:00:00.000000Z"), malformed),
        ("startDate", json!("2026-03-01T00:00Z"), malformed),
        ("startDate", json!("2026-02-30T00:00:00Z"), malformed),
        ("startDate", json!(1_772_323_200), malformed),
        (
            "endDate",
            json!("2026-02-01T00:00:00Z"),
            r#"400 "endDate" 20003"#,
        ),
        ("event", json!("MERGED"), malformed),
        ("event", json!("created"), malformed),
        ("author", json!("a b"), r#"400 "author" 20006"#),
        ("author", json!(""), r#"400 "author" 20006"#),
        ("author", json!(long), r#"400 "author" 20003"#),
        (
            "ipAddress",
            json!("2001:db8::5:10000"),
            r#"400 "ipAddress" 20003"#,
        ),
        ("searchKeyword", json!(long), r#"400 "searchKeyword" 20003"#),
        ("searchKeyword", json!(null), malformed),
        ("pageSize", json!(50), malformed),
    ] {
        let mut body = week("USER");
        body[member] = value;
        let reply = client.search(USER, "", &body).await;
        assert_eq!(reply.problem(), problem, "{body}");
    }
    for member in ["type", "startDate", "endDate"] {
        let mut body = week("USER");
        body.as_object_mut().unwrap().remove(member);
        let reply = client.search(USER, "", &body).await;
        assert_eq!(reply.problem(), format!(r#"400 "{member}" 20002"#));
    }
    for body in [json!([]), json!(null), json!("{}")] {
        assert_eq!(client.search(USER, "", &body).await.problem(), malformed);
    }
}

#[tokio::test]
async fn both_forms_of_a_date_and_any_zone_are_taken() {
    let client = Client::new(settled(), &small()).await;
    let total = |reply: &Reply| reply.json()["pagination"]["total"].clone();
    let whole = total(&client.users("").await);
    for (from, to) in [
        ("2026-03-01T00:00:00.000Z", "2026-03-08T00:00:00.000Z"),
        ("2026-03-01T05:30:00+05:30", "2026-03-07T19:00:00.000-05:00"),
    ] {
        let body = json!({ "startDate": from, "endDate": to, "type": "USER" });
        assert_eq!(total(&client.search(USER, "", &body).await), whole);
    }
}

#[tokio::test]
async fn the_query_is_checked_value_by_value() {
    let client = Client::new(settled(), &small()).await;
    for (query, problem) in [
        ("?pageSize=4", r#"400 "pageSize" 20003"#),
        ("?pageSize=51", r#"400 "pageSize" 20003"#),
        ("?pageSize=+5", r#"400 "pageSize" 20003"#),
        ("?pageNumber=0", r#"400 "pageNumber" 20003"#),
        ("?pageNumber=-1", r#"400 "pageNumber" 20003"#),
        ("?orderBy=asc", r#"400 "orderBy" 20003"#),
        ("?orderBy=Date%20asc", r#"400 "orderBy" 20006"#),
        ("?orderBy=date%20ASC", r#"400 "orderBy" 20006"#),
        ("?orderBy=date+asc", r#"400 "orderBy" 20006"#),
        ("?orderBy=event", r#"400 "orderBy" 20006"#),
        (
            "?orderBy=date%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20desc",
            r#"400 "orderBy" 20003"#,
        ),
        ("?size=50", "400 The query parameter size is not expected"),
        (
            "?pageSize=50&pageSize=50",
            "400 The query parameter pageSize is not expected",
        ),
    ] {
        assert_eq!(client.users(query).await.problem(), problem, "{query}");
    }
    for query in [
        "?orderBy=date",
        "?orderBy=author%20desc&pageSize=5&pageNumber=1",
        "?pageSize=50",
    ] {
        assert_eq!(client.users(query).await.status, 200, "{query}");
    }
    let settings = AvayaSettings {
        plus_is_space: true,
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    assert_eq!(client.users("?orderBy=date+asc").await.status, 200);
}

#[tokio::test]
async fn content_types_are_checked() {
    let client = Client::new(settled(), &small()).await;
    let path = format!("{USER}/accounts/ABCDEF/audit-records:search");
    let ask = |kind: &str, accept: &str| {
        let request = client.request(&path, kind, week("USER").to_string());
        let request = request.bearer_auth(&client.token);
        Reply::of(
            request
                .header("appkey", "sim-app-key")
                .header("accept", accept),
        )
    };
    assert_eq!(ask("text/plain", "*/*").await.status, 415);
    assert_eq!(ask("application/json", "text/html").await.status, 406);
    assert_eq!(
        ask("application/json; charset=utf-8", "application/json")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn each_service_has_its_own_types_and_bounds() {
    let client = Client::new(settled(), &small()).await;
    for (base, kind) in [
        (USER, "PROFILE"),
        (USER, "USERS_DEFAULT_RESOURCE"),
        ("/api/admin/account/v1", "ACCOUNT"),
        ("/api/admin/inventory/v1", "ELEMENT"),
        ("/api/admin/group/v1", "GROUP"),
        ("/api/admin/match/v1", "ATTRIBUTE"),
        (HOURS, "TIMETABLE"),
    ] {
        assert_eq!(
            client.search(base, "", &week(kind)).await.status,
            200,
            "{kind}"
        );
    }
    assert_eq!(client.search(HOURS, "", &week("QUEUE")).await.status, 400);
    let mut body = week("TIMETABLE");
    body["ipAddress"] = json!("2001:db8::5:10000");
    assert_eq!(client.search(HOURS, "", &body).await.status, 200);
}

#[tokio::test]
async fn filters_narrow_what_is_found() {
    let client = Client::new(settled(), &small()).await;
    let all = client.users("?pageSize=50").await.records();
    let some = all
        .iter()
        .find(|record| record["event"] == "UPDATED" && record["ipAddress"] == "203.0.113.24")
        .unwrap();
    for (filter, member) in [
        ("event", "event"),
        ("author", "author"),
        ("ipAddress", "ipAddress"),
    ] {
        let mut body = week("USER");
        body[filter] = some[member].clone();
        let found = client.search(USER, "?pageSize=50", &body).await.records();
        assert!(!found.is_empty());
        assert!(
            found.iter().all(|record| record[member] == some[member]),
            "{filter}"
        );
    }
    let mut body = week("USER");
    body["searchKeyword"] = json!("Billing EMEA");
    let found = client.search(USER, "?pageSize=50", &body).await.records();
    assert!(!found.is_empty() && found.len() < all.len());
    assert!(
        found
            .iter()
            .all(|record| record.to_string().contains("Billing EMEA"))
    );
    body["searchKeyword"] = json!("2026-03-0");
    let found = client.search(USER, "?pageSize=50", &body).await.records();
    assert_eq!(found.len(), 0, "dates are not searched");
}

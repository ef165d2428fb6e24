//! The life of a query, its pages and its order, and large results.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn a_query_goes_through_its_states() {
    let client = Client::with(|it| (it.queued_polls, it.running_polls) = (2, 2)).await;
    let submitted = client.post(QUERY, &week("Architect")).await;
    for (member, wanted) in table(
        "
        /state       => Queued
        /serviceName => Architect
        /interval    => 2026-03-01T00:00:00Z/2026-03-08T00:00:00Z
        /startDate   => 2026-03-09T00:00:00.000Z",
    ) {
        assert_eq!(submitted.text_at(member), wanted);
    }
    assert_eq!(submitted.at("/filters"), json!([]));
    let id = submitted.text_at("/id");
    for wanted in ["Queued", "Queued", "Running", "Running"] {
        assert_eq!(client.state(&id).await, wanted);
        let early = client.page(&id, "", "").await;
        assert!(early.status == 400 && early.text().contains("has not succeeded"));
    }
    assert_eq!(client.state(&id).await, "Succeeded");
    assert_eq!(client.page(&id, "", "").await.status, 200);
    client.sim.end_next_queries_as("Cancelled", 1);
    let id = client.post(QUERY, &week("Architect")).await.text_at("/id");
    for wanted in [
        "Queued",
        "Queued",
        "Running",
        "Running",
        "Cancelled",
        "Cancelled",
    ] {
        assert_eq!(client.state(&id).await, wanted);
    }
    assert_eq!(client.page(&id, "", "").await.status, 400);
    client.run(&week("Architect")).await;
}

#[tokio::test]
async fn queries_and_cursors_end_and_belong_together() {
    let client = Client::usual().await;
    let assert_gone = async |id: &str| {
        for path in [format!("{QUERY}/{id}"), format!("{QUERY}/{id}/results")] {
            let reply = client.get(&path).await;
            assert_eq!(reply.says("/code"), "404 not.found");
            assert_eq!(reply.at("/entityId"), id);
        }
    };
    assert_gone("3f0c1b7e-5d2a-4c58-9a41-0e6b7d1f2a10").await;
    let (one, other) = (
        client.run(&week(SERVICE)).await,
        client.run(&week(SERVICE)).await,
    );
    let cursor = client.page(&one, "", "").await.text_at("/cursor");
    assert!(cursor.contains(['+', '/', '=']), "needs escaping: {cursor}");
    assert_eq!(client.page(&one, &cursor, "").await.status, 200);
    assert_eq!(client.page(&other, &cursor, "").await.status, 400);
    let unescaped = format!("{QUERY}/{one}/results?cursor={cursor}");
    assert_eq!(client.get(&unescaped).await.status, 400);
    client.sim.advance(Duration::from_mins(10));
    assert_eq!(client.page(&one, &cursor, "").await.status, 404);
    let fresh = client.page(&one, "", "").await.text_at("/cursor");
    client.sim.expire_cursors();
    assert_eq!(client.page(&one, &fresh, "").await.status, 404);
    client
        .sim
        .advance(Duration::from_mins(20) - Duration::from_secs(1));
    assert_eq!(client.page(&one, "", "").await.status, 200);
    client.sim.advance(Duration::from_secs(1));
    assert_gone(&one).await;
    let id = client.run(&week("Architect")).await;
    client.sim.expire_transactions();
    assert_gone(&id).await;
}

#[tokio::test]
async fn pages_hold_25_by_default_some_are_empty_and_ends_vary() {
    let client = Client::usual().await;
    let (mut ends, mut empty_last) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        let id = client.run(&week(SERVICE)).await;
        let pages = client.pages(&id, "expand=user").await;
        let sizes = pages.iter().map(|page| page.list("/entities").len());
        let sizes: Vec<usize> = sizes.collect();
        assert_eq!(sizes.iter().max(), Some(&25));
        assert!(
            sizes[..sizes.len() - 1].contains(&0),
            "an empty page with a cursor"
        );
        let all = pages.iter().flat_map(|page| page.raw_list(&["entities"]));
        assert_eq!(compare(client.truth(SERVICE), all), (0, 0));
        ends.push(pages[pages.len() - 1].json().get("cursor").cloned());
        empty_last.push(sizes[sizes.len() - 1] == 0);
    }
    assert_eq!(ends[..3], [None, Some(Value::Null), Some(json!(""))]);
    assert!(empty_last.contains(&true) && empty_last.contains(&false));

    let repeating = |it: &mut GenesysSettings| (it.repeat_records, it.empty_page_every) = (true, 0);
    let client = Client::with(repeating).await;
    let id = client.run(&week(SERVICE)).await;
    let pages = client.pages(&id, "pageSize=50").await;
    assert!(pages.len() > 2);
    for pair in pages.windows(2) {
        assert_eq!(
            pair[0].list("/entities").last(),
            pair[1].list("/entities").first()
        );
    }
}

/// More than twenty results come as downloads of at most thirty.
fn large(it: &mut GenesysSettings) {
    (it.large_results_over, it.download_records) = (Some(20), 30);
    it.empty_page_every = 0;
}

#[tokio::test]
async fn the_store_takes_one_credential_for_a_while() {
    let client = Client::with(large).await;
    let id = client.run(&week(SERVICE)).await;
    let reply = client.page(&id, "", "allowRedirect=true").await;
    let url = reply.text_at("/downloadUrl");
    assert!(url.starts_with(&client.sim.download_url()));
    let status = async |url: &str| Reply::of(client.http.get(url)).await.status;
    let bearer = format!("Bearer {}", client.token);
    for credential in [&bearer, "Basic eDp5"] {
        let request = client.http.get(&url).header("authorization", credential);
        assert_eq!(Reply::of(request).await.status, 400);
    }
    assert_eq!(status(&url).await, 200);
    let unsigned = url.split('?').next().unwrap();
    assert_eq!(status(unsigned).await, 403);
    assert_eq!(status(&url.replace('?', "x?")).await, 404);
    client.sim.advance(Duration::from_mins(15));
    assert_eq!(status(&url).await, 403);
}

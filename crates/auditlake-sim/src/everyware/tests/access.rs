//! Who may call, and what is no call.

use super::super::{Dates, ErrorForm, Form, Stray, endpoint};
use super::*;
use crate::{Fault, RateLimit};

#[tokio::test]
async fn only_the_user_gets_in_and_each_account_shows_its_own_log() {
    let spec = DatasetSpec {
        accounts: vec!["acme".to_owned(), "plant-2".to_owned()],
        ..small()
    };
    let mut client = Client::new(settled(), &spec).await;
    let mut all = 0;
    for (user, account) in [("sim-user", "acme"), ("sim-user@plant-2", "plant-2")] {
        user.clone_into(&mut client.user);
        let shown = sorted(client.get("").await.records());
        let dataset = client.sim.dataset();
        let truth = dataset.truth(
            DateTime::<Utc>::MIN_UTC,
            DateTime::<Utc>::MAX_UTC,
            Some(account),
            client.sim.now(),
        );
        assert_eq!(
            shown,
            sorted(truth.iter().map(|record| record.raw.to_owned()))
        );
        all += shown.len();
    }
    assert_eq!(all, 600);
    for user in ["sim-user@acme", "sim-user@nobody", "other", "other@plant-2"] {
        user.clone_into(&mut client.user);
        let reply = client.get("").await;
        assert_eq!(
            (reply.status, reply.message().as_str()),
            (401, "Unauthorized"),
            "{user}"
        );
        assert!(reply.headers.contains_key("www-authenticate"));
    }
    let url = format!("{}/audit", client.sim.base_url());
    let wrong = client
        .http
        .get(&url)
        .basic_auth("sim-user", Some("sim-Secret"));
    assert_eq!(wrong.send().await.unwrap().status(), 401);
    let bearer = client.http.get(&url).bearer_auth("sim-secret");
    assert_eq!(bearer.send().await.unwrap().status(), 401);
    assert_eq!(client.http.get(&url).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn an_account_can_be_forbidden() {
    let client = Client::new(settled(), &small()).await;
    client
        .sim
        .change(|settings| settings.forbidden_accounts = vec!["acme".to_owned()]);
    let reply = client.get("").await;
    assert_eq!(reply.status, 403);
    assert_eq!(
        reply.message(),
        "The current user is not allowed to perform this operation"
    );
}

#[tokio::test]
async fn what_the_documentation_lacks_is_refused() {
    let client = Client::new(settled(), &small()).await;
    for (query, message) in [
        ("?startDate=2026-03-01", "Unparseable date: \"2026-03-01\""),
        ("?startDate=3%2F1%2F2026", "Unparseable date: \"3/1/2026\""),
        (
            "?startDate=31%2F03%2F2026",
            "Unparseable date: \"31/03/2026\"",
        ),
        ("?stopDate=03%2F01%2F26", "Unparseable date: \"03/01/26\""),
        (
            "?stopDate=03%2F01%2F2026%2F",
            "Unparseable date: \"03/01/2026/\"",
        ),
        ("?stopDate=", "Unparseable date: \"\""),
        ("?startDate=03/01/2026", "Illegal character in query: /"),
        ("?endDate=03%2F01%2F2026", "Unknown parameter: endDate"),
        ("?username=x", "Unknown parameter: username"),
        ("?limit=50", "Unknown parameter: limit"),
        ("?action=login", "Illegal value of action: login"),
        ("?action=IMPORT", "Illegal value of action: IMPORT"),
        ("?resultCode=true", "Illegal value of resultCode: true"),
        ("?userName=a&userName=b", "Duplicate parameter: userName"),
    ] {
        let reply = client.get(query).await;
        assert_eq!(
            (reply.status, reply.message().as_str()),
            (400, message),
            "{query}"
        );
    }
    let base = client.sim.base_url();
    for (method, path, status) in [
        ("POST", "/audit", 405),
        ("GET", "/audits", 404),
        ("GET", "/audit/", 404),
        ("GET", "/audit.json", 404),
        ("GET", "", 404),
    ] {
        let url = format!("{base}{path}");
        let call = client.http.request(method.parse().unwrap(), url);
        let call = call.basic_auth("sim-user", Some("sim-secret"));
        assert_eq!(
            call.send().await.unwrap().status(),
            status,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn stray_parameters_and_bad_dates_may_mean_nothing_instead() {
    let client = Client::new(settled(), &small()).await;
    client.sim.change(|settings| {
        settings.stray = Stray::Ignored;
        settings.dates = Dates::Lenient;
    });
    for query in [
        "?limit=5&endDate=x",
        "?startDate=2026-03-01&stopDate=2026-03-01",
    ] {
        assert_eq!(client.get(query).await.records().len(), 600, "{query}");
    }
    let one = client.days("03/01/2026", "03/01/2026").await.len();
    assert!((1..600).contains(&one));
    client
        .sim
        .change(|settings| settings.dates = Dates::Ignored);
    assert_eq!(client.days("03/01/2026", "03/01/2026").await.len(), 600);
}

#[tokio::test]
async fn the_representation_is_that_which_is_asked_for() {
    let client = Client::new(settled(), &small()).await;
    let kind = async |accept: Option<&str>| {
        let url = format!(
            "{}/audit{}",
            client.sim.base_url(),
            days("03/01/2026", "03/01/2026")
        );
        let mut call = client
            .http
            .get(url)
            .basic_auth("sim-user", Some("sim-secret"));
        if let Some(accept) = accept {
            call = call.header("accept", accept);
        }
        let reply = Reply::of(call.send().await.unwrap()).await.unwrap();
        let kind = reply.headers["content-type"].clone();
        assert_eq!(
            kind.ends_with("xml"),
            reply.text.starts_with("<?xml"),
            "{kind}"
        );
        (reply.status, kind)
    };
    let (xml, json) = ("application/xml".to_owned(), "application/json".to_owned());
    assert_eq!(kind(None).await, (200, xml.clone()));
    assert_eq!(kind(Some("*/*")).await, (200, xml.clone()));
    assert_eq!(kind(Some("application/xml")).await, (200, xml.clone()));
    assert_eq!(
        kind(Some("application/json; charset=utf-8")).await,
        (200, json.clone())
    );
    assert_eq!(kind(Some("text/csv")).await.0, 406);
    client
        .sim
        .change(|settings| settings.default_form = Form::Json);
    assert_eq!(kind(None).await, (200, json));
    assert_eq!(kind(Some("application/xml")).await, (200, xml));
}

#[tokio::test]
async fn errors_come_in_each_form() {
    let client = Client::new(settled(), &small()).await;
    for (form, begins) in [
        (ErrorForm::Bean, r#"{"message":"Unknown parameter: x"}"#),
        (ErrorForm::Html, "<html>"),
        (
            ErrorForm::Xml,
            r#"<?xml version="1.0" encoding="UTF-8"?><errorBean><message>Unknown parameter: x</message>"#,
        ),
    ] {
        client.sim.change(|settings| settings.errors = form);
        let reply = client.get("?x=1").await;
        assert_eq!(reply.status, 400);
        assert!(reply.text.starts_with(begins), "{}", reply.text);
    }
}

#[tokio::test]
async fn calls_are_counted_limited_and_made_to_fail() {
    let settings = EverywareSettings {
        rate_limit: RateLimit {
            calls: 3,
            per: std::time::Duration::from_hours(1),
        },
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    let fault = Fault::Status {
        status: 503,
        retry_after: Some("7".to_owned()),
    };
    client.sim.faults().next(endpoint::AUDIT, 1, fault);
    let failed = client.get("").await;
    assert_eq!(
        (failed.status, failed.headers["retry-after"].as_str()),
        (503, "7")
    );
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(client.get("?action=LOGIN").await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
    assert_eq!(client.sim.counters().calls(endpoint::AUDIT), 5);
    assert_eq!(client.sim.counters().rate_limited(), 1);
}

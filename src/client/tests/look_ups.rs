//! Hosts that the provider names when asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::api::reply;
use super::*;
use crate::model::FailureKind;
use crate::providers::DiscoveredHost;

/// Returns the body itself, unless it has no host.
fn host(body: &str, service: &str) -> Option<String> {
    assert!(matches!(service, "audits" | "sign-in"));
    Some(body.to_owned()).filter(|body| body != "{}")
}

fn named(directory: &Api, service: &'static str, path: &str) -> ServiceHost {
    let question = directory.url(&format!("/where/{service}?version=1.0"));
    ServiceHost::Named(DiscoveredHost {
        service,
        question: Url::parse(&question).unwrap(),
        host,
        path: path.to_owned(),
    })
}

/// A client whose API and sign-in are looked up.
fn looking_up(directory: &Api) -> Client {
    with(directory, |settings| {
        settings.endpoint.api = named(directory, "audits", "/base");
        let (token_url, ..) = oauth(settings);
        *token_url = named(directory, "sign-in", "/oauth/token?v=1");
    })
}

/// A port where nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn hosts_are_looked_up_once_without_credentials() {
    let api = Api::start(|_, _| None).await;
    let address = api.address.to_string();
    let directory = Api::start(move |_, _| Some(reply(200, address.clone()).after(30 * MS))).await;
    let client = with(&directory, |settings| {
        settings.endpoint.api = named(&directory, "audits", "/base");
        settings.endpoint.headers = vec![("appkey", Secret::text("the-key"))];
        let (token_url, ..) = oauth(settings);
        *token_url = named(&directory, "sign-in", "/oauth/token?v=1");
    });
    let call = get("/x");
    let answers = join_all((0..10).map(|_| send(&client, &call))).await;
    assert!(answers.iter().all(Result::is_ok));
    send(&client, &call).await.unwrap();

    let mut asked: Vec<String> = directory
        .calls()
        .iter()
        .map(|seen| seen.path.clone())
        .collect();
    asked.sort();
    assert_eq!(asked, ["/where/audits", "/where/sign-in"]);
    for seen in directory.calls() {
        assert_eq!(
            (&*seen.method, seen.query.as_deref()),
            ("GET", Some("version=1.0"))
        );
        for name in ["authorization", "appkey", "cookie"] {
            assert_eq!(seen.header(name), None);
        }
        assert_eq!(seen.header("accept"), Some("application/json"));
    }
    assert_eq!(api.count("/base/x"), 11);
    assert_eq!(api.sign_ins()[0].query.as_deref(), Some("v=1"));
    assert_eq!(client.requests().sent, 11 + 1 + 2);
    insta::assert_snapshot!(
        format!("{client:?}").replace(&directory.address.to_string(), "HOST"), @r#"Client { connection: "c", api: "`audits` by http://HOST/where/audits", requests: Requests { sent: 14, retries: 0, rate_limited: 0, sign_ins: 1 }, .. }"#);
}

#[tokio::test]
async fn a_failed_look_up_names_its_service() {
    let mut lines = Vec::new();
    for (status, body) in [
        (400, r#"{"message":"no such account"}"#),
        (401, ""),
        (404, "<title>Not found</title>"),
        (302, ""),
        (501, "later"),
        (503, "down"),
        (200, "{}"),
        (200, "https://127.0.0.1"),
        (200, "u:p@127.0.0.1"),
        (200, "127.0.0.1/x"),
        (200, "127.0.0.1:99999"),
        (200, ""),
        (200, "evil.example"),
    ] {
        let directory = Api::start(move |_, _| Some(reply(status, body).after(20 * MS))).await;
        let client = looking_up(&directory);
        let call = get("/x");
        for answer in join_all((0..3).map(|_| send(&client, &call))).await {
            let error = answer.unwrap_err();
            let line = format!("{} {}", error.kind(), chain(&directory, &error));
            if lines.last() != Some(&line) {
                lines.push(line);
            }
        }
        let asked = if status == 503 || body.is_empty() && status == 200 {
            3
        } else {
            1
        };
        assert_eq!(directory.calls().len(), asked, "shared: {status} {body}");
        send(&client, &call).await.unwrap_err();
        assert_eq!(directory.calls().len(), 2 * asked, "not remembered");
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    config the answer to GET `http://HOST/where/audits` contains no host for `audits`: status 400, the provider says `no such account`
    config the answer to GET `http://HOST/where/audits` contains no host for `audits`: status 401
    config the answer to GET `http://HOST/where/audits` contains no host for `audits`: status 404, the provider says `Not found`
    config the host of `audits` can't be looked up <- GET `http://HOST/where/audits` is answered by a redirect to nowhere, status 302; none is followed
    transient the answer to GET `http://HOST/where/audits` contains no host for `audits`: status 501, the provider says `later`
    transient the host of `audits` can't be looked up <- gave up on GET `http://HOST/where/audits` after 3 attempts in N s: status 503, the provider says `down`
    config the answer to GET `http://HOST/where/audits` contains no host for `audits`: status 200, the provider says `{}`
    config connection `c`: `https://127.0.0.1`, which the look-up of `audits` names, isn't a host
    config connection `c`: `u:p@127.0.0.1`, which the look-up of `audits` names, isn't a host
    config connection `c`: `127.0.0.1/x`, which the look-up of `audits` names, isn't a host
    config connection `c`: `127.0.0.1:99999`, which the look-up of `audits` names, isn't a host
    transient the host of `audits` can't be looked up <- gave up on GET `http://HOST/where/audits` after 3 attempts in N s: status 200 with an empty body
    config connection `c`: credentials may not go to the host that is named for `audits`, `http://evil.example/`: its host is none of `127.0.0.1`; `allowed_hosts` can add it
    ");
}

#[tokio::test]
async fn a_path_that_is_not_allowed_asks_nobody() {
    let directory = Api::start(|_, _| None).await;
    let client = looking_up(&directory);
    let error = send(&client, &get("/../x")).await.unwrap_err();
    assert!(matches!(error, ClientError::Forbidden { .. }), "{error}");
    assert_eq!(client.requests().sent, 0);
}

#[tokio::test]
async fn a_host_that_stops_answering_is_looked_up_anew() {
    let old = nobody();
    for which in ["audits", "sign-in"] {
        let api = Api::start(|_, _| None).await;
        let (gone, new) = (old.clone(), api.address.to_string());
        let directory = Api::start(move |seen, before| {
            let moved = seen.path != format!("/where/{which}") || before > 0;
            Some(reply(200, if moved { new.clone() } else { gone.clone() }))
        })
        .await;
        let client = looking_up(&directory);
        assert_eq!(send(&client, &get("/x")).await.unwrap().status, 200);
        assert_eq!(directory.count(&format!("/where/{which}")), 2);
        assert_eq!(directory.calls().len(), 3);
        assert_eq!(client.requests().retries, 2, "after the second attempt");
        send(&client, &get("/x")).await.unwrap();
        assert_eq!(directory.calls().len(), 3, "the new host is kept");
        let host = api.calls()[0].header("host").map(str::to_owned);
        assert_eq!(host, Some(api.address.to_string()));
    }
}

#[tokio::test]
async fn those_who_fail_together_look_up_together() {
    let old = nobody();
    let api = Api::start(|_, _| None).await;
    let new = api.address.to_string();
    let directory = Api::start(move |seen, before| {
        let moved = seen.path != "/where/audits" || before > 0;
        Some(reply(200, if moved { new.clone() } else { old.clone() }).after(50 * MS))
    })
    .await;
    let client = looking_up(&directory);
    let call = get("/x");
    let answers = join_all((0..10).map(|_| send(&client, &call))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(directory.count("/where/audits"), 2);
}

#[tokio::test]
async fn the_same_host_again_is_tried_as_usual() {
    let (old, signs_in) = (nobody(), Api::start(|_, _| None).await);
    let (gone, token) = (old.clone(), signs_in.address.to_string());
    let directory = Api::start(move |seen, _| {
        let audits = seen.path == "/where/audits";
        Some(reply(
            200,
            if audits { gone.clone() } else { token.clone() },
        ))
    })
    .await;
    let client = looking_up(&directory);
    let error = send(&client, &get("/x")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Transient);
    let text = chain(&directory, &error).replace(&old, "GONE");
    insta::assert_snapshot!(text, @"gave up on GET `http://GONE/base/x` after 3 attempts in N s <- error sending request <- client error (Connect) <- tcp connect error <- Connection refused (os error 111)");
    assert_eq!(directory.count("/where/audits"), 2);
    send(&client, &get("/x")).await.unwrap_err();
    assert_eq!(
        directory.count("/where/audits"),
        4,
        "it was given up, and forgotten"
    );
}

#[tokio::test]
async fn a_host_that_is_given_up_for_what_it_answers_is_forgotten_unless_it_only_asks_for_patience()
{
    for (status, look_ups) in [(503, 2), (429, 1)] {
        let api =
            Api::start(move |seen, _| (seen.path == "/base/x").then(|| reply(status, ""))).await;
        let address = api.address.to_string();
        let directory = Api::start(move |_, _| Some(reply(200, address.clone()))).await;
        let client = looking_up(&directory);
        for _ in 0..2 {
            send(&client, &get("/x")).await.unwrap_err();
        }
        assert_eq!(directory.count("/where/audits"), look_ups, "{status}");
    }
}

#[tokio::test]
async fn a_look_up_that_fails_meanwhile_is_no_reason_to_give_up() {
    let served = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&served);
    // gives no answer twice, and is back then
    let api = Api::broken(&[api::Act::Close(""), api::Act::Close("")]).await;
    let address = api.address.to_string();
    let directory = Api::start(move |asked, before| {
        let again = asked.path == "/where/audits" && before > 0;
        seen.fetch_add(usize::from(again), Ordering::Relaxed);
        Some(if again {
            reply(503, "")
        } else {
            reply(200, address.clone())
        })
    })
    .await;
    let client = looking_up(&directory);
    assert_eq!(&send(&client, &get("/x")).await.unwrap().body[..], b"ok");
    assert_eq!(served.load(Ordering::Relaxed), 1, "one attempt");
}

#[tokio::test]
async fn a_look_up_counts_against_the_budget_and_ends_with_the_caller() {
    let directory = Api::start(|_, _| Some(reply(200, "127.0.0.1"))).await;
    let client = with(&directory, |settings| {
        settings.endpoint.api = named(&directory, "audits", "");
        settings.rate_limit = (1, Duration::from_hours(1));
    });
    let (stop, call) = (CancellationToken::new(), get("/x"));
    let (ended, ()) = tokio::join!(client.send(&call, &stop), async {
        while directory.calls().is_empty() {
            tokio::time::sleep(MS).await;
        }
        tokio::time::sleep(50 * MS).await;
        stop.cancel();
    });
    assert!(matches!(ended, Err(ClientError::Stopped)));
    assert_eq!(
        client.requests().sent,
        1,
        "the look-up was this hour's request"
    );
}

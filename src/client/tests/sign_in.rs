//! Signing in: once, in time, and not again and again.

use futures_util::future::join_all;

use super::api::{Reply, reply, token};
use super::*;
use crate::model::FailureKind;

fn bearer(api: &Api) -> Vec<String> {
    api.calls()
        .iter()
        .map(|seen| seen.header("authorization").unwrap().to_owned())
        .collect()
}

/// Refuses every token up to this one.
fn valid_from(seen: &api::Seen, number: u32) -> Option<Reply> {
    let refused =
        (1..number).any(|old| seen.header("authorization") == Some(&format!("Bearer token-{old}")));
    refused.then(|| {
        reply(
            401,
            r#"{"message":"token expired","code":"bad.credentials"}"#,
        )
    })
}

#[tokio::test]
async fn a_call_is_signed_and_the_token_shared() {
    let api = Api::start(|_, _| None).await;
    let client = client(&api);
    let mut call = get("/api/v2/audits/query");
    call.method = Method::POST;
    call.body = Some("{\"a\":1}".to_owned());
    call.target = Target::Api {
        path: "/api/v2/audits/query".to_owned(),
        query: vec![("expand", "user".to_owned()), ("c", "a+b/=&é".to_owned())],
    };
    let answer = send(&client, &call).await.unwrap();
    send(&client, &get("/x")).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (200, &b"{}"[..])
    );

    let [sign_in] = &api.sign_ins()[..] else {
        panic!("one sign-in")
    };
    assert_eq!(sign_in.method, "POST");
    assert_eq!(
        sign_in.header("authorization"),
        Some("Basic dGhlLWlkOnRoZS1zZWNyZXQ=")
    );
    assert_eq!(
        sign_in.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(sign_in.body, "grant_type=client_credentials");
    let [first, second] = &api.calls()[..] else {
        panic!("two calls")
    };
    assert_eq!(
        (&*first.method, &*first.path),
        ("POST", "/base/api/v2/audits/query")
    );
    assert_eq!(
        first.query.as_deref(),
        Some("expand=user&c=a%2Bb%2F%3D%26%C3%A9")
    );
    assert_eq!(first.header("authorization"), Some("Bearer token-1"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("accept"), Some("application/json"));
    assert_eq!(first.header("accept-encoding"), Some("identity"));
    assert_eq!(
        first.header("user-agent"),
        Some(concat!("auditlake/", env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(first.body, "{\"a\":1}");
    assert_eq!((&*second.path, &second.query), ("/base/x", &None));
    assert_eq!(second.header("content-type"), None);
    let requests = client.requests();
    assert_eq!(
        (requests.sent, requests.sign_ins, requests.retries),
        (3, 1, 0)
    );
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let api = Api::start(|_, _| None).await; // tokens live for an hour
    let client = client(&api);
    send(&client, &get("/x")).await.unwrap();
    pass(Duration::from_mins(54)).await;
    send(&client, &get("/x")).await.unwrap();
    pass(Duration::from_mins(2)).await;
    send(&client, &get("/x")).await.unwrap();
    assert_eq!(
        bearer(&api),
        ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
    );
}

#[tokio::test]
async fn a_token_serves_until_its_end_if_it_cannot_be_renewed() {
    let api = Api::start(|seen, before| {
        (seen.path == "/oauth/token" && before > 0).then(|| reply(503, ""))
    })
    .await;
    let client = client(&api);
    send(&client, &get("/x")).await.unwrap();
    pass(Duration::from_mins(56)).await;
    send(&client, &get("/x")).await.unwrap();
    send(&client, &get("/x")).await.unwrap();
    assert_eq!(bearer(&api), ["Bearer token-1"; 3]);
    assert_eq!(api.sign_ins().len(), 2, "one attempt, not repeated at once");
    pass(Duration::from_mins(2)).await;
    send(&client, &get("/x")).await.unwrap();
    assert_eq!(api.sign_ins().len(), 3);
    pass(Duration::from_mins(3)).await;
    let error = send(&client, &get("/x")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Transient);
    assert_eq!(api.sign_ins().len(), 6, "now with all its attempts");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_call_sent_again() {
    let api = Api::start(|seen, _| valid_from(seen, 2)).await;
    let client = client(&api);
    assert_eq!(send(&client, &get("/x")).await.unwrap().status, 200);
    assert_eq!(bearer(&api), ["Bearer token-1", "Bearer token-2"]);
    send(&client, &get("/x")).await.unwrap();
    assert_eq!(api.sign_ins().len(), 2);
}

#[tokio::test]
async fn every_later_refusal_of_a_token_that_worked_renews_it() {
    // each token is good for one call
    let api = Api::start(|seen, before| {
        (seen.path == "/base/x" && before % 2 == 1).then(|| reply(401, ""))
    })
    .await;
    let client = client(&api);
    for _ in 0..4 {
        assert_eq!(send(&client, &get("/x")).await.unwrap().status, 200);
    }
    assert_eq!(api.sign_ins().len(), 4);
}

#[tokio::test]
async fn a_second_refusal_is_an_error_and_no_loop() {
    let api = Api::start(|seen, _| valid_from(seen, 99)).await;
    let client = client(&api);
    let error = send(&client, &get("/x")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Auth);
    insta::assert_snapshot!(chain(&api, &error), @"GET `http://HOST/base/x` was refused: status 401, the provider says `token expired` (code `bad.credentials`)");
    assert_eq!(bearer(&api), ["Bearer token-1", "Bearer token-2"]);
    for _ in 0..5 {
        assert_eq!(
            send(&client, &get("/x")).await.unwrap_err().kind(),
            FailureKind::Auth
        );
    }
    assert_eq!(
        api.sign_ins().len(),
        2,
        "a token that never worked isn't renewed at each call"
    );
}

#[tokio::test]
async fn one_renewal_serves_all_who_were_refused_with_the_same_token() {
    let api = Api::start(|seen, _| {
        let refused = valid_from(seen, 2)?;
        Some(refused.after(300 * MS))
    })
    .await;
    let client = client(&api);
    let call = get("/x");
    let answers = join_all((0..20).map(|_| send(&client, &call))).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().unwrap().status == 200)
    );
    assert_eq!(api.sign_ins().len(), 2);
    assert!(api.calls().len() > 21, "they were refused together");
}

#[tokio::test]
async fn concurrent_callers_share_one_sign_in() {
    let api =
        Api::start(|seen, _| (seen.path == "/oauth/token").then(|| token("t").after(50 * MS)))
            .await;
    let client = client(&api);
    let call = get("/x");
    let answers = join_all((0..20).map(|_| send(&client, &call))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(api.sign_ins().len(), 1);
}

#[tokio::test]
async fn concurrent_callers_share_a_failure_too() {
    let api = Api::start(|seen, _| {
        (seen.path == "/oauth/token").then(|| reply(503, "down").after(20 * MS))
    })
    .await;
    let client = client(&api);
    let call = get("/x");
    let answers = join_all((0..20).map(|_| send(&client, &call))).await;
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind(), FailureKind::Transient);
    }
    assert_eq!(api.sign_ins().len(), 3, "one sign-in of three attempts");
    assert!(api.calls().is_empty());
    send(&client, &call).await.unwrap_err();
    assert_eq!(
        api.sign_ins().len(),
        6,
        "a passing failure isn't remembered"
    );
}

#[tokio::test]
async fn a_caller_who_stops_does_not_stop_the_others() {
    let api = Api::start(|seen, before| {
        (seen.path == "/oauth/token")
            .then(|| token("t").after(if before == 0 { 2000 * MS } else { MS }))
    })
    .await;
    let client = with(&api, |settings| settings.limits.drain = MS);
    let (call, stop) = (get("/x"), CancellationToken::new());
    let (leader, follower, ()) = tokio::join!(
        client.send(&call, &stop),
        async {
            tokio::time::sleep(10 * MS).await;
            send(&client, &call).await
        },
        async {
            tokio::time::sleep(50 * MS).await;
            stop.cancel();
        }
    );
    assert!(matches!(leader, Err(ClientError::Stopped)));
    assert_eq!(follower.unwrap().status, 200);
}

#[tokio::test]
async fn a_refused_sign_in_is_remembered_until_the_secret_changes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "wrong\n").unwrap();
    let api = Api::start(|seen, _| {
        let wrong = seen.header("authorization") == Some("Basic dGhlLWlkOndyb25n");
        (seen.path == "/oauth/token" && wrong).then(|| {
            reply(
                400,
                r#"{"error":"invalid_client","error_description":"secret wrong for the-id."}"#,
            )
        })
    })
    .await;
    let client = with(&api, |settings| {
        let (.., client_secret) = oauth(settings);
        *client_secret = Secret::file(&file);
    });
    let call = get("/x");
    for answer in join_all((0..20).map(|_| send(&client, &call))).await {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Auth);
        insta::allow_duplicates! {
            insta::assert_snapshot!(chain(&api, &error), @"POST `http://HOST/oauth/token` was refused: status 400, the provider says `secret [redacted] for [redacted]` (code `invalid_client`)");
        }
    }
    send(&client, &call).await.unwrap_err();
    assert_eq!(api.sign_ins().len(), 1);
    std::fs::write(&file, "the-secret\n").unwrap();
    assert_eq!(send(&client, &call).await.unwrap().status, 200);
    assert_eq!(api.sign_ins().len(), 2);
}

#[tokio::test]
async fn a_refused_sign_in_is_tried_again_after_a_while() {
    let api = Api::start(|seen, before| {
        (seen.path == "/oauth/token" && before == 0).then(|| reply(401, ""))
    })
    .await;
    let client = client(&api);
    assert_eq!(
        send(&client, &get("/x")).await.unwrap_err().kind(),
        FailureKind::Auth
    );
    pass(Duration::from_secs(61)).await;
    assert_eq!(send(&client, &get("/x")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_passing_failure_of_the_sign_in_is_retried() {
    let api = Api::start(|seen, before| {
        (seen.path == "/oauth/token" && before < 2).then(|| reply(503, ""))
    })
    .await;
    assert_eq!(send(&client(&api), &get("/x")).await.unwrap().status, 200);
    assert_eq!(api.sign_ins().len(), 3);
}

#[tokio::test]
async fn odd_answers_to_a_sign_in() {
    for good in [
        r#"{"access_token":"t"}"#,
        r#"{"access_token":"t","expires_in":0}"#,
        r#"{"access_token":"t","expires_in":"soon","error":null}"#,
        r#"{"access_token":"t","expires_in":1e300}"#,
    ] {
        let api =
            Api::start(move |seen, _| (seen.path == "/oauth/token").then(|| reply(200, good)))
                .await;
        let client = client(&api);
        send(&client, &get("/x")).await.unwrap();
        send(&client, &get("/x")).await.unwrap();
        assert_eq!(api.sign_ins().len(), 1, "{good}");
    }
    let mut lines = Vec::new();
    for (status, bad) in [
        (200, r#"{"error":"invalid_scope"}"#.to_owned()),
        (200, r#"{"accessToken":"canary"}"#.to_owned()),
        (200, "{\"access_token\":\"canary\\n\"}".to_owned()),
        (
            200,
            r#"{"access_token":"canary","token_type":"mac"}"#.to_owned(),
        ),
        (200, " ".repeat(65 * 1024)),
        (302, String::new()),
        (404, "<html><title>Not found</title></html>".to_owned()),
        (403, "<html><title>Blocked</title></html>".to_owned()),
    ] {
        let api = Api::start(move |seen, _| {
            (seen.path == "/oauth/token").then(|| reply(status, bad.clone()))
        })
        .await;
        let client = client(&api);
        let error = send(&client, &get("/x")).await.unwrap_err();
        if error.kind() != FailureKind::Transient {
            send(&client, &get("/x")).await.unwrap_err();
        }
        assert_eq!(api.sign_ins().len(), 1, "{error}");
        lines.push(format!("{} {}", error.kind(), chain(&api, &error)));
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    auth POST `http://HOST/oauth/token` was refused: status 200, the provider says code `invalid_scope`
    config the answer to POST `http://HOST/oauth/token` isn't a sign-in's: status 200
    config the answer to POST `http://HOST/oauth/token` isn't a sign-in's: status 200
    config the answer to POST `http://HOST/oauth/token` isn't a sign-in's: status 200 with a token of another type than `Bearer`
    data the body of POST `http://HOST/oauth/token` is larger than 65536 bytes
    config POST `http://HOST/oauth/token` is answered by a redirect to nowhere, status 302; none is followed
    config the answer to POST `http://HOST/oauth/token` isn't a sign-in's: status 404, the provider says `Not found`
    transient the answer to POST `http://HOST/oauth/token` isn't a sign-in's: status 403 with a web page, the provider says `Blocked`
    ");
}

#[tokio::test]
async fn a_missing_secret_file_is_a_matter_of_configuration() {
    let api = Api::start(|_, _| None).await;
    let client = with(&api, |settings| {
        let (.., client_secret) = oauth(settings);
        *client_secret = Secret::file("/nowhere/secret");
    });
    let error = send(&client, &get("/x")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Config);
    insta::assert_snapshot!(chain(&api, &error), @"connection `c` can't read its credentials <- the secret file `/nowhere/secret` can't be read <- No such file or directory (os error 2)");
}

#[tokio::test]
async fn a_sign_in_counts_against_the_budget() {
    let api = Api::start(|_, _| None).await;
    let client = with(&api, |settings| {
        settings.rate_limit = (5, Duration::from_secs(1));
    });
    let begun = std::time::Instant::now();
    send(&client, &get("/x")).await.unwrap();
    assert!(begun.elapsed() >= 180 * MS, "{:?}", begun.elapsed());
}

/// Answers to a sign-in, each once, and a token after them.
async fn first(answers: Vec<Reply>) -> Api {
    let answers = std::sync::Mutex::new(answers);
    Api::start(move |seen, _| {
        let mut left = answers.lock().unwrap();
        (seen.path == "/oauth/token" && !left.is_empty()).then(|| left.remove(0))
    })
    .await
}

#[tokio::test]
async fn what_passes_is_no_refusal_whatever_its_status() {
    let page = "<html><title>Down for maintenance</title></html>";
    for (status, body) in [
        (400, r#"{"error":"temporarily_unavailable"}"#),
        (401, r#"{"error":"server_error"}"#),
        (403, r#"{"error":"temporarily_unavailable"}"#),
        (200, r#"{"error":"server_error"}"#),
        (200, page),
        (200, ""),
        (204, ""),
        (200, r#"{"access_token":"t","exp"#),
    ] {
        let api = first(vec![reply(status, body)]).await;
        let client = client(&api);
        assert_eq!(
            send(&client, &get("/x")).await.unwrap().status,
            200,
            "{status} {body}"
        );
        assert_eq!(api.sign_ins().len(), 2, "{status} {body}");
    }
    // half an answer may hold a whole token
    let half = r#"{"access_token":"canary-0123456789","expi"#;
    let api = first((0..9).map(|_| reply(200, half)).collect()).await;
    let error = send(&client(&api), &get("/x")).await.unwrap_err();
    insta::assert_snapshot!(chain(&api, &error), @"gave up on POST `http://HOST/oauth/token` after 3 attempts in N s: status 200 with incomplete JSON");
    let api = first((0..9).map(|_| reply(200, page)).collect()).await;
    let error = send(&client(&api), &get("/x")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Transient);
    insta::assert_snapshot!(chain(&api, &error), @"gave up on POST `http://HOST/oauth/token` after 3 attempts in N s: status 200 with a web page, the provider says `Down for maintenance`");
}

#[tokio::test]
async fn a_sign_in_that_asks_for_patience_gets_it() {
    let long = || reply(400, r#"{"error":"temporarily_unavailable"}"#).header("retry-after", "600");
    let slow = || reply(400, r#"{"error":"slow_down"}"#);
    for (answer, seconds) in [
        (long(), 600),
        (slow().header("retry-after", "900"), 900),
        (
            reply(403, r#"{"title":"later"}"#).header("retry-after", "301"),
            301,
        ),
    ] {
        let api = first(vec![answer]).await;
        let error = send(&client(&api), &get("/x")).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::RateLimited, "{error}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
        assert_eq!(api.sign_ins().len(), 1);
    }
    // RFC 8628: five seconds where none are named
    let api = first(vec![slow()]).await;
    let impatient = with(&api, |settings| {
        settings.limits.longest_wait = Duration::from_secs(4);
    });
    let error = send(&impatient, &get("/x")).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(5)));
    // a refusal is permanent, even with a requested pause
    let api = first(vec![
        reply(400, r#"{"error":"invalid_client"}"#).header("retry-after", "9"),
    ])
    .await;
    assert_eq!(
        send(&client(&api), &get("/x")).await.unwrap_err().kind(),
        FailureKind::Auth
    );
}

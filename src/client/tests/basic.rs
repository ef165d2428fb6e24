//! HTTP Basic: a password with every call, and not again where it doesn't fit.

use std::path::Path;

use super::api::reply;
use super::*;
use crate::model::FailureKind;

/// Takes `right` as the password of `u@child`.
async fn server(right: &'static str) -> Api {
    use base64::Engine as _;
    let right = base64::engine::general_purpose::STANDARD.encode(format!("u@child:{right}"));
    let right = format!("Basic {right}");
    Api::start(move |seen, _| {
        (seen.header("authorization") != Some(&right))
            .then(|| reply(401, r#"{"message":"u@child may not come in"}"#))
    })
    .await
}

fn basic(api: &Api, file: &Path) -> Client {
    with(api, |settings| {
        settings.endpoint.sign_in = SignIn::Basic {
            username: Secret::text("u@child"),
            password: Secret::file(file),
        };
    })
}

#[tokio::test]
async fn a_call_carries_user_and_password_and_nothing_signs_in() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "pä:ss\n").unwrap();
    let api = server("pä:ss").await;
    let client = basic(&api, &file);
    for _ in 0..2 {
        assert_eq!(send(&client, &get("/audit")).await.unwrap().status, 200);
    }
    let requests = client.requests();
    assert_eq!((requests.sent, requests.sign_ins), (2, 0));
    assert_eq!(
        api.calls()[0].header("authorization"),
        Some("Basic dUBjaGlsZDpww6Q6c3M=")
    );
}

#[tokio::test]
async fn a_password_is_read_anew_each_minute() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "one").unwrap();
    let api = Api::start(|_, _| None).await;
    let client = basic(&api, &file);
    send(&client, &get("/x")).await.unwrap();
    std::fs::write(&file, "two").unwrap();
    pass(Duration::from_mins(1)).await;
    send(&client, &get("/x")).await.unwrap();
    let sent = |at: usize| api.calls()[at].header("authorization").map(str::to_owned);
    assert_eq!(sent(0).as_deref(), Some("Basic dUBjaGlsZDpvbmU="));
    assert_eq!(sent(1).as_deref(), Some("Basic dUBjaGlsZDp0d28="));
}

#[tokio::test]
async fn a_password_that_changed_while_it_was_used_is_sent_anew_by_the_same_call() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "one").unwrap();
    let changed = file.clone();
    let api = Api::start(move |seen, _| {
        let old = seen.header("authorization") == Some("Basic dUBjaGlsZDpvbmU=");
        (old && seen.path == "/base/x").then(|| {
            std::fs::write(&changed, "two").unwrap();
            reply(401, "")
        })
    })
    .await;
    let client = basic(&api, &file);
    assert_eq!(send(&client, &get("/x")).await.unwrap().status, 200);
    assert_eq!(api.calls().len(), 2);
    assert_eq!(send(&client, &get("/x")).await.unwrap().status, 200);
    assert_eq!(api.calls().len(), 3);
}

#[tokio::test]
async fn a_refused_password_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "wrong").unwrap();
    let api = server("right").await;
    let client = basic(&api, &file);
    for _ in 0..5 {
        let error = send(&client, &get("/x")).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Auth);
        insta::allow_duplicates! {
            insta::assert_snapshot!(chain(&api, &error), @"GET `http://HOST/base/x` was refused: status 401, the provider says `[redacted] may not come in`");
        }
    }
    assert_eq!(api.calls().len(), 1);
    pass(Duration::from_secs(61)).await;
    send(&client, &get("/x")).await.unwrap_err();
    assert_eq!(api.calls().len(), 2, "tried again after a while");
    std::fs::write(&file, "right").unwrap();
    assert_eq!(send(&client, &get("/x")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_user_with_a_colon_is_refused() {
    let api = Api::start(|_, _| None).await;
    let client = with(&api, |settings| {
        settings.endpoint.sign_in = SignIn::Basic {
            username: Secret::text("can:ary"),
            password: Secret::text("p"),
        };
    });
    let error = send(&client, &get("/x")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Config);
    insta::assert_snapshot!(chain(&api, &error), @"connection `c`: the username holds a colon, which HTTP Basic can't carry");
    assert_eq!(client.requests().sent, 0);
}

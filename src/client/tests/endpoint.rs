//! What an endpoint says besides its place: account, headers, form, retry hints.

use super::api::reply;
use super::*;
use crate::model::FailureKind;
use crate::providers::{RetryHints, TransientFailure};

#[tokio::test]
async fn the_account_stands_in_the_path() {
    let api = Api::start(|_, _| None).await;
    let client = with(&api, |settings| {
        settings.endpoint.account = Some("a/b c?ü-._~".to_owned());
    });
    send(&client, &get("/accounts/{account}/audit-records:search"))
        .await
        .unwrap();
    let path = &api.calls()[0].path;
    assert_eq!(
        path,
        "/base/accounts/a%2Fb%20c%3F%C3%BC-._~/audit-records:search"
    );
}

#[tokio::test]
async fn an_account_that_is_missing_or_leaves_its_place_is_refused() {
    let api = Api::start(|_, _| None).await;
    let call = get("/accounts/{account}/x");
    let error = send(&client(&api), &call).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Config);
    insta::assert_snapshot!(chain(&api, &error), @"connection `c`: the path `/accounts/{account}/x` needs an account, and none is set");
    for odd in ["..", ".", "", "a/../b"] {
        let client = with(&api, |settings| {
            settings.endpoint.account = Some(odd.to_owned());
        });
        let error = send(&client, &call).await.unwrap_err();
        assert!(matches!(error, ClientError::Forbidden { .. }), "{odd}");
        assert_eq!(client.requests().sent, 0);
    }
}

#[tokio::test]
async fn own_headers_go_with_calls_and_sign_ins_but_not_with_downloads() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "key-one\n").unwrap();
    let api = Api::start(|seen, before| {
        let refused = seen.path == "/base/refused" && before == 0;
        refused.then(|| reply(401, r#"{"detail":"key-one is no longer good"}"#))
    })
    .await;
    let client = with(&api, |settings| {
        settings.endpoint.headers = vec![("appkey", Secret::file(&file))];
    });
    let keys = || -> Vec<Option<String>> {
        let all = api.all(|_| true);
        let key = |seen: &api::Seen| seen.header("appkey").map(str::to_owned);
        all.iter().map(key).collect()
    };
    let (one, two) = (Some("key-one".to_owned()), Some("key-two".to_owned()));
    send(&client, &get("/x")).await.unwrap();
    send(&client, &download(api.url("/f"))).await.unwrap();
    assert_eq!(keys(), [one.clone(), one.clone(), None]);

    // the file is read again with the next sign-in
    std::fs::write(&file, "key-two\n").unwrap();
    send(&client, &get("/x")).await.unwrap();
    send(&client, &get("/refused")).await.unwrap();
    assert_eq!(keys()[3..], [one.clone(), one, two.clone(), two]);

    let mut lines = Vec::new();
    for unfit in ["not\na header", "not\n\n", "n\u{f6}t", "not\u{7f}"] {
        std::fs::write(&file, unfit).unwrap();
        pass(Duration::from_mins(61)).await;
        let error = send(&client, &get("/x")).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Config);
        lines.push(chain(&api, &error).replace(&file.display().to_string(), "FILE"));
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    connection `c` can't read its credentials <- the secret file `FILE` holds a line break or another control character, which no credential has
    connection `c` can't read its credentials <- the secret file `FILE` holds a line break or another control character, which no credential has
    connection `c`: the header `appkey` can't hold its value of `FILE`
    connection `c` can't read its credentials <- the secret file `FILE` holds a line break or another control character, which no credential has
    ");
}

#[tokio::test]
async fn an_echoed_header_is_hidden() {
    let api = Api::start(|seen, _| {
        let status = if seen.path == "/oauth/token" {
            400
        } else {
            503
        };
        let key = seen.header("appkey").unwrap();
        (seen.path != "/base/ok").then(|| reply(status, format!("bad key {key}, sorry")))
    })
    .await;
    let change = |settings: &mut ClientSettings| {
        settings.endpoint.headers = vec![("appkey", Secret::text("the-key"))];
    };
    let error = send(&with(&api, change), &get("/x")).await.unwrap_err();
    insta::assert_snapshot!(chain(&api, &error), @"POST `http://HOST/oauth/token` was refused: status 400, the provider says `bad key [redacted], sorry`");
    let api = Api::start(|seen, _| {
        let key = seen.header("appkey").unwrap().to_owned();
        (seen.path != "/oauth/token").then(|| reply(503, format!("bad key {key}, sorry")))
    })
    .await;
    let error = send(&with(&api, change), &get("/x")).await.unwrap_err();
    insta::assert_snapshot!(chain(&api, &error), @"gave up on GET `http://HOST/base/x` after 3 attempts in N s: status 503, the provider says `bad key [redacted], sorry`");
}

#[tokio::test]
async fn credentials_may_stand_in_the_form() {
    let api = Api::start(|_, _| None).await;
    let client = with(&api, |settings| {
        settings.endpoint.sign_in = SignIn::ClientCredentials {
            token_url: ServiceHost::At(Url::parse(&api.url("/oauth/token?v=1.0")).unwrap()),
            client_id: Secret::text("the id&"),
            client_secret: Secret::text("s=1+é%"),
            sent: SentIn::Form,
        };
    });
    send(&client, &get("/x")).await.unwrap();
    let [sign_in] = &api.sign_ins()[..] else {
        panic!("one sign-in")
    };
    assert_eq!(sign_in.header("authorization"), None);
    assert_eq!(
        sign_in.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(sign_in.query.as_deref(), Some("v=1.0"));
    assert_eq!(
        sign_in.body,
        "grant_type=client_credentials&client_id=the+id%26&client_secret=s%3D1%2B%C3%A9%25"
    );
    assert_eq!(
        api.calls()[0].header("authorization"),
        Some("Bearer token-1")
    );
}

#[tokio::test]
async fn a_jwt_is_renewed_by_what_it_says_itself() {
    // {"iat":1000,"exp":1900}
    let api = Api::start(|seen, _| {
        (seen.path == "/oauth/token").then(|| {
            reply(
                200,
                r#"{"access_token":"e30.eyJpYXQiOjEwMDAsImV4cCI6MTkwMH0.c2ln"}"#,
            )
        })
    })
    .await;
    let client = client(&api);
    for (minutes, sign_ins) in [(0, 1), (13, 1), (1, 2)] {
        pass(Duration::from_mins(minutes)).await;
        send(&client, &get("/x")).await.unwrap();
        assert_eq!(api.sign_ins().len(), sign_ins);
    }
}

fn of_token(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("access token")
}

#[tokio::test]
async fn a_refusal_that_is_not_of_the_token_is_not_followed_by_a_renewal() {
    let api = Api::start(|seen, before| match (&*seen.path, before) {
        ("/base/key", _) => Some(reply(401, r#"{"detail":"The app key is invalid."}"#)),
        ("/base/token", 0) => Some(reply(401, r#"{"detail":"The access token is invalid."}"#)),
        _ => None,
    })
    .await;
    let client = with(&api, |settings| {
        settings.endpoint.retry_hints.token_refused = of_token;
    });
    let error = send(&client, &get("/key")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Auth);
    insta::assert_snapshot!(chain(&api, &error), @"GET `http://HOST/base/key` was refused: status 401, the provider says `The app key is invalid`");
    assert_eq!((api.sign_ins().len(), api.count("/base/key")), (1, 1));
    assert_eq!(send(&client, &get("/token")).await.unwrap().status, 200);
    assert_eq!(api.sign_ins().len(), 2);
}

#[tokio::test]
async fn a_refusal_is_followed_by_a_sign_in_with_the_secrets_that_came_since() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "old").unwrap();
    let api = Api::start(|seen, _| {
        (seen.path == "/base/x" && seen.header("appkey") == Some("old"))
            .then(|| reply(401, "app key"))
    })
    .await;
    let client = with(&api, |settings| {
        settings.endpoint.headers = vec![("appkey", Secret::file(&file))];
        settings.endpoint.retry_hints.token_refused = of_token;
    });
    send(&client, &get("/x")).await.unwrap_err();
    assert_eq!(api.sign_ins().len(), 1);
    std::fs::write(&file, "new").unwrap();
    assert_eq!(send(&client, &get("/x")).await.unwrap().status, 200);
    assert_eq!(api.sign_ins().len(), 2);
}

/// 300 ms for the first 429, 600 ms for the second; 400 ms for the first of another status, and for a sign-in a second.
fn rest(failed: TransientFailure<'_>) -> Duration {
    assert_eq!(failed.body, b"busy", "the body is there");
    let step = match failed.status.as_u16() {
        429 => 300 * MS,
        503 if failed.signing_in => 1000 * MS,
        503 => 400 * MS,
        other => panic!("{other}"),
    };
    step * failed.times
}

fn resting(api: &Api) -> Client {
    with(api, |settings| {
        settings.limits.attempts = 4;
        settings.endpoint.retry_hints = RetryHints {
            rest,
            ..RetryHints::default()
        };
    })
}

#[tokio::test]
async fn a_provider_is_left_alone_as_its_manners_say() {
    let api = Api::start(|seen, before| {
        let status = match (&*seen.path, before) {
            ("/base/x", 0 | 2) => 429,
            ("/base/x", 1) | ("/oauth/token", 0) => 503,
            _ => return None,
        };
        Some(reply(status, "busy"))
    })
    .await;
    send(&resting(&api), &get("/x")).await.unwrap();
    let waits = |seen: &[api::Seen]| -> Vec<Duration> {
        let gaps = seen.windows(2).map(|pair| pair[1].at - pair[0].at);
        gaps.collect()
    };
    let (sign_ins, calls) = (waits(&api.sign_ins()), waits(&api.calls()));
    assert!(sign_ins[0] >= 1000 * MS, "{sign_ins:?}");
    for (wait, least) in calls.iter().zip([300 * MS, 400 * MS, 600 * MS]) {
        assert!(*wait >= least, "{calls:?}");
    }
    assert_eq!(calls.len(), 3);
}

/// Sends a call that fails once by `status`, and another while it waits; all requests that came of it.
async fn another_meanwhile(
    status: u16,
    rest: fn(TransientFailure<'_>) -> Duration,
) -> Vec<api::Seen> {
    let api = Api::start(move |seen, before| {
        (seen.path == "/base/x" && before == 0).then(|| reply(status, "busy"))
    })
    .await;
    let client = with(&api, |settings| settings.endpoint.retry_hints.rest = rest);
    let (call, other, stop) = (get("/x"), get("/other"), CancellationToken::new());
    let (_, other) = tokio::join!(client.send(&call, &stop), async {
        while client.requests().retries == 0 {
            tokio::time::sleep(MS).await;
        }
        let answer = send(&client, &other).await;
        stop.cancel();
        answer
    });
    assert_eq!(other.unwrap().status, 200);
    api.calls()
}

#[tokio::test]
async fn a_rest_is_the_connections_if_it_is_for_too_many_requests() {
    let calls = another_meanwhile(429, rest).await;
    for call in &calls[1..] {
        let waited = call.at - calls[0].at;
        assert!(waited >= 300 * MS, "{} after {waited:?}", call.path);
    }
    // the other call doesn't wait for the four minutes that the first one does
    let calls = another_meanwhile(503, |_| Duration::from_mins(4)).await;
    assert_eq!(calls.len(), 2);
}

#[tokio::test]
async fn a_named_wait_goes_before_the_manners_and_downloads_have_none() {
    let never: fn(TransientFailure<'_>) -> Duration = |_| Duration::from_mins(4);
    let api = Api::start(|seen, before| {
        let once = before == 0 && seen.path != "/oauth/token";
        once.then(|| reply(503, "").header("retry-after", "1"))
    })
    .await;
    let other = Api::start(|_, before| (before == 0).then(|| reply(503, ""))).await;
    let client = with(&api, |settings| settings.endpoint.retry_hints.rest = never);
    // within the test's time, not the retry_hints'
    assert_eq!(send(&client, &get("/x")).await.unwrap().status, 200);
    let answer = send(&client, &download(other.url("/f"))).await;
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test]
async fn a_rest_is_no_longer_than_the_longest_wait() {
    let api =
        Api::start(|seen, before| (seen.path == "/base/x" && before == 0).then(|| reply(429, "")))
            .await;
    let client = with(&api, |settings| {
        settings.limits.longest_wait = 20 * MS;
        settings.endpoint.retry_hints.rest = |_| Duration::MAX;
    });
    assert_eq!(send(&client, &get("/x")).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_drafts_headers_pause_the_connection() {
    let api = Api::start(|seen, before| {
        (seen.path == "/base/x" && before == 0).then(|| {
            reply(200, "{}")
                .header("ratelimit-limit", "100")
                .header("ratelimit-remaining", "0")
                .header("ratelimit-reset", "1")
                .header("ratelimit-policy", "100;w=60")
        })
    })
    .await;
    let client = client(&api);
    send(&client, &get("/x")).await.unwrap();
    send(&client, &get("/x")).await.unwrap();
    let calls = api.calls();
    assert!(calls[1].at - calls[0].at >= 1000 * MS);
}

#[tokio::test]
async fn places_that_cannot_work_are_refused() {
    use crate::providers::DiscoveredHost;
    let api = Api::start(|_, _| None).await;
    let problem = |change: &dyn Fn(&mut Endpoint)| {
        let mut settings = settings(&api);
        change(&mut settings.endpoint);
        let shown = format!("{settings:?}");
        assert!(!shown.contains("canary"), "{shown}");
        let error = Client::new(settings).unwrap_err();
        assert_eq!(error.kind(), FailureKind::Config);
        chain(&api, &error)
    };
    let named = |question: &str, path: &str| {
        ServiceHost::Named(DiscoveredHost {
            service: "audits",
            question: Url::parse(question).unwrap(),
            host: |_, _| None,
            path: path.to_owned(),
        })
    };
    let session = |login: ServiceHost, refresh: ServiceHost| SignIn::Session {
        login,
        refresh,
        username: Secret::text("u"),
        password: Secret::text("p"),
    };
    let good = || named("https://a.example/?v=1.0", "/x?v=1.3");
    let evil = || ServiceHost::At(Url::parse("https://evil.example/login?v=1").unwrap());
    let message = [
        problem(&|e| e.api = named("ftp://a.example/", "")),
        problem(&|e| e.api = named("https://u:canary@a.example/", "")),
        problem(&|e| e.api = named("https://a.example/", "x")),
        problem(&|e| e.api = named("https://a.example/", "//evil.example/x")),
        problem(&|e| e.api = named("https://a.example/", "/\\evil.example/x")),
        problem(&|e| e.api = named("https://a.example/", "/x?y")),
        problem(&|e| e.sign_in = session(evil(), good())),
        problem(&|e| e.sign_in = session(good(), evil())),
        problem(&|e| e.sign_in = session(good(), named("https://a.example/", "/x#y"))),
        problem(&|e| e.headers = vec![("no header", Secret::text("canary"))]),
    ];
    insta::assert_snapshot!(message.join("\n"), @r"
    connection `c`: the `audits` look-up's url `ftp://a.example/` must be https
    connection `c`: the `audits` look-up's url `https://a.example/` can't hold a user or password
    connection `c`: the path `x` must begin with one slash
    connection `c`: the path `//evil.example/x` must begin with one slash
    connection `c`: the path `/\\evil.example/x` must begin with one slash
    connection `c`: the api's url can't have a query: `/x?y`
    connection `c`: credentials may not go to the login's url `https://evil.example/login`: its host is none of `127.0.0.1`; `allowed_hosts` can add it
    connection `c`: credentials may not go to the refresh's url `https://evil.example/login`: its host is none of `127.0.0.1`; `allowed_hosts` can add it
    connection `c`: the refresh's url can't have a fragment: `/x#y`
    connection `c`: `no header` can't be a header's name
    ");
}

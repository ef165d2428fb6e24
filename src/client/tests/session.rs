//! A user's session: logged in once, kept up while it is used.

use futures_util::future::join_all;

use super::api::{Reply, Seen, reply};
use super::*;
use crate::model::FailureKind;

/// Logs in as `bearer-1`, `bearer-2` and so on, unless `answer` says otherwise.
async fn server(answer: impl Fn(&Seen, usize) -> Option<Reply> + Send + Sync + 'static) -> Api {
    Api::start(move |seen, before| {
        answer(seen, before).or_else(|| match &*seen.path {
            "/login" => Some(logged_in(before + 1, "28800000")),
            "/refresh" => Some(reply(204, "")),
            _ => None,
        })
    })
    .await
}

fn logged_in(number: usize, ttl: &str) -> Reply {
    let body = format!(
        r#"{{"bearer":"bearer-{number}","csrf":"csrf-{number}","sessionTTl":"{ttl}","wsuk":1}}"#
    );
    reply(200, body)
        .header(
            "set-cookie",
            &format!("Session_id=s{number}=; Path=/; Secure; HttpOnly"),
        )
        .and_header("set-cookie", "lb=node-7; Max-Age=60")
        .and_header("set-cookie", "gone=; Max-Age=0")
        .and_header("set-cookie", "nonsense")
}

fn session(api: &Api) -> Client {
    with(api, |settings| {
        let at = |path: &str| ServiceHost::At(Url::parse(&api.url(path)).unwrap());
        settings.endpoint.headers = vec![("x-key", Secret::text("the-key"))];
        settings.endpoint.sign_in = SignIn::Session {
            login: at("/login?v=1.3"),
            refresh: at("/refresh?v=1.3"),
            username: Secret::text("the-user"),
            password: Secret::text("p\"w\\1"),
        };
    })
}

fn of(api: &Api, path: &str) -> Vec<Seen> {
    api.calls()
        .into_iter()
        .filter(|seen| seen.path == path)
        .collect()
}

/// Sends a call, and says how many logins and refreshes there were up to now.
async fn counts(api: &Api, client: &Client) -> (usize, usize) {
    send(client, &get("/x")).await.unwrap();
    (api.count("/login"), api.count("/refresh"))
}

#[tokio::test]
async fn a_user_logs_in_once_and_signs_each_call() {
    let api = server(|_, _| None).await;
    let client = session(&api);
    let call = get("/x");
    let answers = join_all((0..10).map(|_| send(&client, &call))).await;
    assert!(answers.iter().all(Result::is_ok));
    let [login] = &of(&api, "/login")[..] else {
        panic!("one login")
    };
    assert_eq!(
        (&*login.method, login.query.as_deref()),
        ("POST", Some("v=1.3"))
    );
    assert_eq!(login.header("content-type"), Some("application/json"));
    assert_eq!(login.header("accept"), Some("application/json"));
    assert_eq!(login.header("x-key"), Some("the-key"));
    assert_eq!(login.header("authorization"), None);
    assert_eq!(
        login.body,
        r#"{"password":"p\"w\\1","username":"the-user"}"#
    );
    for seen in of(&api, "/base/x") {
        assert_eq!(seen.header("authorization"), Some("Bearer bearer-1"));
        assert_eq!(seen.header("cookie"), None);
        assert_eq!(seen.header("x-key"), Some("the-key"));
    }
    assert_eq!(client.requests().sign_ins, 1);
}

#[tokio::test]
async fn a_session_is_kept_up_while_it_is_used() {
    let api = server(|_, _| None).await;
    let client = session(&api);
    assert_eq!(counts(&api, &client).await, (1, 0));
    let minutes = Duration::from_mins;
    pass(minutes(3)).await;
    assert_eq!(counts(&api, &client).await, (1, 0));
    pass(minutes(2)).await;
    assert_eq!(counts(&api, &client).await, (1, 1), "five minutes old");
    pass(minutes(3)).await;
    assert_eq!(
        counts(&api, &client).await,
        (1, 1),
        "the refresh is a sign of life"
    );
    pass(minutes(2)).await;
    assert_eq!(counts(&api, &client).await, (1, 2));
    pass(minutes(7)).await;
    assert_eq!(
        counts(&api, &client).await,
        (2, 2),
        "too late to keep it up"
    );

    let refresh = &of(&api, "/refresh")[0];
    assert_eq!(
        (&*refresh.method, refresh.query.as_deref()),
        ("POST", Some("v=1.3"))
    );
    assert_eq!(refresh.body, r#"{"csrf":"csrf-1"}"#);
    assert_eq!(refresh.header("cookie"), Some("Session_id=s1=; lb=node-7"));
    assert_eq!(refresh.header("authorization"), None);
    assert_eq!(refresh.header("x-key"), Some("the-key"));
    let calls = of(&api, "/base/x");
    let bearer = |at: usize| calls[at].header("authorization");
    assert_eq!(bearer(4), Some("Bearer bearer-1"));
    assert_eq!(bearer(5), Some("Bearer bearer-2"));
    assert_eq!(client.requests().sign_ins, 2);
}

#[tokio::test]
async fn what_a_refresh_changes_is_taken_over() {
    let api = server(|seen, before| {
        (seen.path == "/refresh").then(|| {
            let body = format!(r#"{{"csrf":"new-{before}","bearer":"fresh-{before}"}}"#);
            reply(200, body).header("set-cookie", "lb=node-8; Path=/")
        })
    })
    .await;
    let client = session(&api);
    for refreshes in 0..3 {
        assert_eq!(counts(&api, &client).await, (1, refreshes));
        pass(Duration::from_mins(5)).await;
    }
    let refreshed = of(&api, "/refresh");
    assert_eq!(refreshed[1].body, r#"{"csrf":"new-0"}"#);
    assert_eq!(
        refreshed[1].header("cookie"),
        Some("Session_id=s1=; lb=node-8")
    );
    let calls = of(&api, "/base/x");
    assert_eq!(calls[2].header("authorization"), Some("Bearer fresh-1"));
}

#[tokio::test]
async fn a_session_ends_when_its_login_said() {
    let ten = || Some(logged_in(1, "600000"));
    let api = server(move |seen, _| (seen.path == "/login").then(ten)?).await;
    let client = session(&api);
    let mut all = vec![counts(&api, &client).await];
    for minutes in [4, 3, 3] {
        pass(Duration::from_mins(minutes) + MS).await;
        all.push(counts(&api, &client).await);
    }
    // its tenth minute is its margin
    assert_eq!(all, [(1, 0), (1, 1), (1, 1), (2, 1)]);
}

#[tokio::test]
async fn a_refresh_that_fails_leads_to_one_login() {
    for status in [401, 404, 500, 302] {
        let api =
            server(move |seen, _| (seen.path == "/refresh").then(|| reply(status, "no"))).await;
        let client = session(&api);
        counts(&api, &client).await;
        pass(Duration::from_mins(5)).await;
        assert_eq!(counts(&api, &client).await, (2, 1), "{status}");
        assert_eq!(counts(&api, &client).await, (2, 1), "{status}");
    }
}

#[tokio::test]
async fn a_session_without_what_keeps_it_up_is_logged_in_anew() {
    let api =
        server(|seen, _| (seen.path == "/login").then(|| reply(200, r#"{"bearer":"b"}"#))).await;
    let client = session(&api);
    assert_eq!(counts(&api, &client).await, (1, 0));
    pass(Duration::from_mins(5)).await;
    assert_eq!(counts(&api, &client).await, (2, 0));
}

#[tokio::test]
async fn a_session_serves_a_while_if_nothing_can_renew_it() {
    let api = server(|seen, before| match &*seen.path {
        "/refresh" => Some(reply(503, "")),
        "/login" if before > 0 => Some(reply(503, "")),
        _ => None,
    })
    .await;
    let client = session(&api);
    counts(&api, &client).await;
    pass(Duration::from_mins(5)).await;
    assert_eq!(counts(&api, &client).await, (2, 1), "one attempt each");
    pass(Duration::from_mins(1)).await;
    let error = send(&client, &get("/x")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Transient);
    assert_eq!((api.count("/login"), api.count("/refresh")), (5, 1));
}

#[tokio::test]
async fn a_refused_session_is_logged_in_anew_once() {
    let api = server(|seen, _| {
        let old = seen.header("authorization") == Some("Bearer bearer-1");
        (seen.path == "/base/x" && old).then(|| reply(401, "expired"))
    })
    .await;
    let client = session(&api);
    assert_eq!(counts(&api, &client).await, (2, 0));
    let api = server(|seen, _| (seen.path == "/base/x").then(|| reply(401, "never"))).await;
    let client = session(&api);
    for _ in 0..3 {
        let error = send(&client, &get("/x")).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Auth);
    }
    assert_eq!((api.count("/login"), api.count("/refresh")), (2, 0));
}

#[tokio::test]
async fn a_refused_login_is_remembered_and_says_why() {
    let mut lines = Vec::new();
    for (status, body) in [
        (
            400,
            r#"{"error":{"message":"bad the-user","internalCode":"12","responseStatus":400}}"#,
        ),
        (
            401,
            r#"{"username":"the-user","password":"p\"w\\1","key":"the-key"}"#,
        ),
        (403, r#"<title>No p"w\1</title>"#),
        (451, ""),
        (404, "<title>Not found</title>"),
        (302, ""),
        (200, r#"{"csrf":"canary","sessionTTl":"1"}"#),
        (200, "{\"bearer\":\"canary\\n\"}"),
    ] {
        let api = server(move |seen, _| (seen.path == "/login").then(|| reply(status, body))).await;
        let client = session(&api);
        let call = get("/x");
        for answer in join_all((0..3).map(|_| send(&client, &call))).await {
            let error = answer.unwrap_err();
            let line = format!("{} {}", error.kind(), chain(&api, &error));
            if lines.last() != Some(&line) {
                lines.push(line);
            }
        }
        assert_eq!((api.count("/login"), api.count("/base/x")), (1, 0));
        pass(Duration::from_secs(61)).await;
        send(&client, &call).await.unwrap_err();
        assert_eq!(api.count("/login"), 2);
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    auth POST `http://HOST/login` was refused: status 400, the provider says `bad [redacted]` (code `12`)
    auth POST `http://HOST/login` was refused: status 401, the provider says `{"username":"[redacted]","password":"[redacted]","key":"[redacted]"}`
    transient the answer to POST `http://HOST/login` isn't a sign-in's: status 403 with a web page, the provider says `No [redacted]`
    auth POST `http://HOST/login` was refused: status 451 (the account is blocked)
    config the answer to POST `http://HOST/login` isn't a sign-in's: status 404, the provider says `Not found`
    config POST `http://HOST/login` is answered by a redirect to nowhere, status 302; none is followed
    config the answer to POST `http://HOST/login` isn't a sign-in's: status 200
    "#);
}

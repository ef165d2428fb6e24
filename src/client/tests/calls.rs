//! Calls and downloads: retries, pauses, caps, where they go, and how they end.

use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;

use super::api::{Act, reply};
use super::*;
use crate::model::FailureKind;

const ERROR: &str = r#"{"message":"Upstream is gone.","code":"service.unavailable","status":503,"contextId":"c-1","errors":[]}"#;

#[tokio::test]
async fn passing_statuses_are_retried() {
    for status in [408, 429, 500, 502, 503, 504] {
        let api = Api::start(move |seen, before| {
            (seen.path == "/base/x" && before < 2).then(|| reply(status, ""))
        })
        .await;
        let client = client(&api);
        assert_eq!(
            send(&client, &get("/x")).await.unwrap().status,
            200,
            "{status}"
        );
        assert_eq!(api.calls().len(), 3, "{status}");
        let requests = client.requests();
        assert_eq!(requests.retries, 2);
        assert_eq!(requests.rate_limited, if status == 429 { 2 } else { 0 });
    }
}

#[tokio::test]
async fn other_statuses_are_answers() {
    for status in [200, 202, 204, 302, 400, 403, 404, 410, 413, 501] {
        let api = Api::start(move |seen, _| {
            (seen.path == "/base/x").then(|| reply(status, "{}").header("x-a", "b"))
        })
        .await;
        let answer = send(&client(&api), &get("/x")).await.unwrap();
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.headers["x-a"].to_str().unwrap()
            ),
            (status, "b")
        );
        assert_eq!(api.calls().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn giving_up_says_what_was_tried() {
    let api = Api::start(|seen, _| match &*seen.path {
        "/base/json" => Some(reply(503, ERROR)),
        "/base/html" => Some(reply(
            502,
            "<html><head><title>Bad Gateway</title></head></html>",
        )),
        "/base/limited" => Some(reply(429, "slow down")),
        "/base/later" => Some(reply(503, "").header("retry-after", "301")),
        _ => None,
    })
    .await;
    let client = client(&api);
    let mut call = get("/json");
    call.target = Target::Api {
        path: "/json".to_owned(),
        query: vec![("token", "canary".to_owned())],
    };
    let error = send(&client, &call).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_after()),
        (FailureKind::Transient, None)
    );
    insta::assert_snapshot!(chain(&api, &error), @"gave up on GET `http://HOST/base/json` after 3 attempts in N s: status 503, the provider says `Upstream is gone` (code `service.unavailable`, context `c-1`)");
    let error = send(&client, &get("/html")).await.unwrap_err();
    insta::assert_snapshot!(chain(&api, &error), @"gave up on GET `http://HOST/base/html` after 3 attempts in N s: status 502, the provider says `Bad Gateway`");
    let error = send(&client, &get("/limited")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::RateLimited);
    insta::assert_snapshot!(chain(&api, &error), @"gave up on GET `http://HOST/base/limited` after 3 attempts in N s: status 429, the provider says `slow down`");
    let error = send(&client, &get("/later")).await.unwrap_err();
    insta::assert_snapshot!(chain(&api, &error), @"GET `http://HOST/base/later` has to wait another 301 s, as requested by the provider: status 503");
}

#[tokio::test]
async fn a_connection_that_fails_is_a_passing_failure_with_its_cause() {
    let api = Api::start(|_, _| None).await;
    let client = client(&api);
    send(&client, &get("/x")).await.unwrap();
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let error = send(&client, &download(format!("http://{gone}/a?sig=canary")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), FailureKind::Transient);
    let text = chain(&api, &error).replace(&gone.to_string(), "GONE");
    insta::assert_snapshot!(text, @"gave up on GET `http://GONE/a` after 3 attempts in N s <- error sending request <- client error (Connect) <- tcp connect error <- Connection refused (os error 111)");
    assert!(!format!("{error:?}").contains("canary"));
}

#[tokio::test]
async fn a_broken_body_is_never_an_answer() {
    let api = Api::broken(&[
        Act::Reset("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"),
        Act::Close("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"),
        Act::Close("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        Act::Reset(""),
        Act::Close(""),
        Act::Close("nonsense\r\n\r\n"),
    ])
    .await;
    let client = with(&api, |settings| settings.limits.attempts = 8);
    let answer = send(&client, &get("/x")).await.unwrap();
    assert_eq!(&answer.body[..], b"ok");
    assert_eq!(client.requests().retries, 6);
}

#[tokio::test]
async fn silence_times_out_and_is_retried() {
    let api = Api::start(|seen, before| {
        (seen.path == "/base/x" && before == 0).then(|| reply(200, "late").after(20_000 * MS))
    })
    .await;
    let client = with(&api, |settings| settings.limits.read_timeout = 500 * MS);
    assert_eq!(&send(&client, &get("/x")).await.unwrap().body[..], b"{}");

    let drip = || {
        Body::from_stream(stream::unfold((), |()| async {
            tokio::time::sleep(20 * MS).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        }))
    };
    let api = Api::start(move |seen, before| {
        (seen.path == "/base/x" && before == 0).then(|| reply(200, drip()))
    })
    .await;
    let client = with(&api, |settings| settings.limits.total_timeout = 500 * MS);
    assert_eq!(&send(&client, &get("/x")).await.unwrap().body[..], b"{}");
}

#[tokio::test]
async fn a_gateway_timeout_may_be_an_answer() {
    let api = Api::start(|seen, _| (seen.path == "/base/x").then(|| reply(504, "too long"))).await;
    let client = client(&api);
    let mut call = get("/x");
    call.gateway_timeout_is_answer = true;
    let answer = send(&client, &call).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (504, &b"too long"[..])
    );
    assert_eq!(api.calls().len(), 1);
    call.gateway_timeout_is_answer = false;
    send(&client, &call).await.unwrap_err();
    assert_eq!(api.calls().len(), 4);
}

#[tokio::test]
async fn retry_after_is_honoured_and_pauses_the_whole_connection() {
    let api = Api::start(|seen, before| {
        (seen.path == "/base/limited" && before == 0)
            .then(|| reply(429, ERROR).header("retry-after", "1"))
    })
    .await;
    let client = client(&api);
    let (limited, other) = (get("/limited"), get("/other"));
    let (limited, other) = tokio::join!(send(&client, &limited), async {
        while client.requests().rate_limited == 0 {
            tokio::time::sleep(MS).await;
        }
        send(&client, &other).await
    });
    assert_eq!(
        (
            limited.unwrap().status.as_u16(),
            other.unwrap().status.as_u16()
        ),
        (200, 200)
    );
    let calls = api.calls();
    assert_eq!(calls.len(), 3);
    for call in &calls[1..] {
        let waited = call.at - calls[0].at;
        assert!(waited >= 1000 * MS, "{} after {waited:?}", call.path);
    }
}

#[tokio::test]
async fn a_long_retry_after_is_the_callers() {
    let api = Api::start(|seen, _| {
        (seen.path == "/base/x").then(|| reply(429, ERROR).header("retry-after", "600"))
    })
    .await;
    let client = client(&api);
    let error = send(&client, &get("/x")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::RateLimited);
    assert_eq!(error.retry_after(), Some(Duration::from_mins(10)));
    let call = get("/y");
    for answer in join_all((0..5).map(|_| send(&client, &call))).await {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), FailureKind::RateLimited);
        assert!(error.retry_after().unwrap() > Duration::from_secs(590));
    }
    assert_eq!(api.calls().len(), 1, "nothing was sent during the pause");
}

#[tokio::test]
async fn a_long_pause_ends_the_waits_that_are_under_way() {
    let api = Api::start(|seen, _| {
        (seen.path == "/base/x")
            .then(|| reply(503, "").header("retry-after", "600").after(100 * MS))
    })
    .await;
    let client = with(&api, |settings| {
        settings.rate_limit = (2, Duration::from_secs(1));
    });
    let begun = Instant::now();
    let call = get("/x");
    let answers = join_all((0..20).map(|_| send(&client, &call))).await;
    assert!(answers.iter().all(Result::is_err));
    assert!(
        begun.elapsed() < 8000 * MS,
        "at 2 per second they would take 10 s"
    );
    assert!(api.calls().len() <= 2);
}

#[tokio::test]
async fn an_empty_budget_in_the_headers_pauses_until_its_reset() {
    let api = Api::start(|seen, before| {
        (seen.path == "/base/x" && before == 0).then(|| {
            reply(200, "{}")
                .header(OWN_HEADERS.used, "180")
                .header(OWN_HEADERS.allowed, "180")
                .header(OWN_HEADERS.reset, "1")
        })
    })
    .await;
    let client = with(&api, |settings| {
        settings.endpoint.retry_hints.rate_headers = Some(OWN_HEADERS);
    });
    send(&client, &get("/x")).await.unwrap();
    send(&client, &get("/x")).await.unwrap();
    let calls = api.calls();
    assert!(calls[1].at - calls[0].at >= 1000 * MS);
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused_before_and_while_reading() {
    let api = Api::start(|seen, _| match &*seen.path {
        "/base/announced" => Some(reply(200, "x".repeat(1001))),
        "/base/endless" => {
            let chunk = Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 100]));
            Some(reply(
                200,
                Body::from_stream(stream::repeat_with(move || {
                    chunk
                        .as_ref()
                        .map(Bytes::clone)
                        .map_err(|_| std::io::Error::other("never"))
                })),
            ))
        }
        "/base/just" => Some(reply(200, "x".repeat(1000))),
        _ => None,
    })
    .await;
    let client = with(&api, |settings| settings.limits.body_cap = 1000);
    assert_eq!(send(&client, &get("/just")).await.unwrap().body.len(), 1000);
    for path in ["/announced", "/endless"] {
        let error = send(&client, &get(path)).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Data);
        assert!(matches!(error, ClientError::BodyTooLarge { cap: 1000, .. }));
        assert!(
            error.to_string().ends_with("is larger than 1000 bytes"),
            "{error}"
        );
    }
    assert_eq!(api.calls().len(), 3, "not retried");
}

#[tokio::test]
async fn an_announced_length_over_the_cap_is_refused_before_reading() {
    let api = Api::broken(&[Act::Close(
        "HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n",
    )])
    .await;
    let client = with(&api, |settings| settings.limits.body_cap = 1000);
    let error = send(&client, &get("/x")).await.unwrap_err();
    assert!(matches!(error, ClientError::BodyTooLarge { .. }), "{error}");
}

#[tokio::test]
async fn calls_run_in_tasks_of_a_shared_client() {
    let api = Api::start(|_, _| None).await;
    let client = client(&api);
    let shared = client.clone();
    let task = tokio::spawn(async move { send(&shared, &get("/x")).await });
    assert_eq!(task.await.unwrap().unwrap().status, 200);
    assert_eq!(client.requests().sent, 2);
}

#[tokio::test]
async fn what_is_not_packed_as_it_says_stays_as_it_is() {
    let api = Api::start(|seen, _| {
        (seen.path == "/base/x").then(|| reply(200, "not gzip").header("content-encoding", "gzip"))
    })
    .await;
    let answer = send(&client(&api), &get("/x")).await.unwrap();
    assert_eq!(&answer.body[..], b"not gzip");
    assert_eq!(answer.headers["content-encoding"], "gzip");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let other = Api::start(|_, _| None).await;
    let location = other.url("/stolen");
    let api = Api::start(move |seen, _| {
        (seen.path != "/oauth/token")
            .then(|| reply(302, r#"{"downloadUrl":"x"}"#).header("location", &location))
    })
    .await;
    let client = client(&api);
    for call in [get("/x"), download(api.url("/d"))] {
        let answer = send(&client, &call).await.unwrap();
        assert_eq!(answer.status, 302);
        assert_eq!(answer.headers["location"], other.url("/stolen"));
    }
    assert!(other.calls().is_empty());
}

#[tokio::test]
async fn a_download_carries_nothing() {
    let other = Api::start(|seen, _| {
        (seen.path == "/refused").then(|| reply(401, "").header("set-cookie", "a=b"))
    })
    .await;
    let api = Api::start(|_, _| None).await;
    let client = client(&api);
    send(&client, &get("/x")).await.unwrap();
    for host in [&api, &other] {
        let answer = send(&client, &download(host.url("/f?X-Sig=a%2Fb&y=1")))
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
        let seen = host.calls().pop().unwrap();
        assert_eq!(
            (&*seen.path, seen.query.as_deref()),
            ("/f", Some("X-Sig=a%2Fb&y=1"))
        );
        let mut names: Vec<&str> = seen.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "host", "user-agent"]);
        assert_eq!(seen.header("accept"), Some("*/*"));
    }
    for _ in 0..2 {
        let answer = send(&client, &download(other.url("/refused")))
            .await
            .unwrap();
        assert_eq!(answer.status, 401, "no sign-in helps a download");
    }
    assert_eq!(other.calls().pop().unwrap().header("cookie"), None);
    assert_eq!((api.sign_ins().len(), other.sign_ins().len()), (1, 0));
}

#[tokio::test]
async fn a_downloads_host_has_its_own_pauses() {
    let other = Api::start(|seen, before| {
        let seconds = seen.path.strip_prefix("/after-")?;
        (before == 0).then(|| reply(503, "").header("retry-after", seconds))
    })
    .await;
    let api = Api::start(|_, _| None).await;
    let client = client(&api);
    let begun = Instant::now();
    let soon = download(other.url("/after-1"));
    assert_eq!(send(&client, &soon).await.unwrap().status, 200);
    assert!(begun.elapsed() >= 1000 * MS);

    let (late, stop) = (download(other.url("/after-60")), CancellationToken::new());
    let (late, call) = tokio::join!(client.send(&late, &stop), async {
        while client.requests().retries < 2 {
            tokio::time::sleep(MS).await;
        }
        let answer = send(&client, &get("/x")).await;
        stop.cancel();
        answer
    });
    assert!(matches!(late, Err(ClientError::Stopped)));
    assert_eq!(call.unwrap().status, 200, "the API isn't paused");
    assert!(begun.elapsed() < 30_000 * MS);
}

#[tokio::test]
async fn targets_that_are_not_allowed_are_not_sent() {
    let api = Api::start(|_, _| None).await;
    let client = client(&api);
    for call in [
        get("//evil.example/x"),
        get("/../x"),
        get("https://evil.example/x"),
        download("/relative"),
        download("ftp://a.example/x"),
        download("http://169.254.169.254/latest"),
        download(format!("http://u:p@{}/x", api.address)),
    ] {
        let error = send(&client, &call).await.unwrap_err();
        assert!(matches!(error, ClientError::Forbidden { .. }), "{error}");
        assert_eq!(error.kind(), FailureKind::Data);
    }
    assert_eq!(client.requests().sent, 0);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let api = Api::start(|_, _| None).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let problem = |change: &dyn Fn(&mut ClientSettings)| {
        let mut settings = settings(&api);
        change(&mut settings);
        let error = Client::new(settings).unwrap_err();
        assert_eq!(error.kind(), FailureKind::Config);
        chain(&api, &error).replace(&file.display().to_string(), "FILE")
    };
    insta::assert_snapshot!(problem(&|s| s.allow_http = false), @"connection `c`: the api's url `http://HOST/base` must be https, unless `allow_http` is set");
    insta::assert_snapshot!(problem(&|s| s.endpoint.trusted_hosts = vec!["a.example".to_owned()]), @"connection `c`: credentials may not go to the api's url `http://HOST/base`: its host is none of `a.example`; `allowed_hosts` can add it");
    insta::assert_snapshot!(problem(&|s| {
        let (token_url, ..) = oauth(s);
        *token_url = ServiceHost::At(Url::parse("https://login.evil.example/t").unwrap());
    }), @"connection `c`: credentials may not go to the token url `https://login.evil.example/t`: its host is none of `127.0.0.1`; `allowed_hosts` can add it");
    insta::assert_snapshot!(problem(&|s| s.rate_limit.0 = 0), @"connection `c`: the rate limit `0` per `1s` permits no request");
    insta::assert_snapshot!(problem(&|s| s.ca_file = Some(file.clone())), @"connection `c`: the ca_file `FILE` holds no PEM certificate");
    insta::assert_snapshot!(problem(&|s| s.ca_file = Some("/nowhere".into())), @"connection `c`: the ca_file `/nowhere` can't be read <- No such file or directory (os error 2)");
    insta::assert_snapshot!(problem(&|s| s.proxy = Some(Secret::text("socks5://u:canary@p"))), @"connection `c`: the proxy is of the scheme `socks5`, which isn't supported; use an http or https proxy");
}

#[tokio::test]
async fn a_proxy_is_used_where_one_is_set() {
    let proxy = Api::start(|seen, _| (seen.path == "/oauth/token").then(|| api::token("t"))).await;
    let client = with(&proxy, |settings| {
        settings.proxy = Some(Secret::text(format!("http://user:pass@{}", proxy.address)));
        settings.endpoint.api = ServiceHost::At(Url::parse("http://api.a.invalid/base").unwrap());
        settings.endpoint.trusted_hosts = vec!["a.invalid".to_owned(), "127.0.0.1".to_owned()];
    });
    send(&client, &get("/x")).await.unwrap();
    let seen = proxy.calls().pop().unwrap();
    assert_eq!(
        (seen.header("host"), &*seen.path),
        (Some("api.a.invalid"), "/base/x")
    );
    assert_eq!(
        seen.header("proxy-authorization"),
        Some("Basic dXNlcjpwYXNz")
    );
}

#[tokio::test]
async fn stop_ends_every_wait_at_once() {
    let api = Api::start(|seen, _| match &*seen.path {
        "/base/limited" => Some(reply(429, "").header("retry-after", "60")),
        "/base/down" => Some(reply(503, "")),
        _ => None,
    })
    .await;
    let patient = |settings: &mut ClientSettings| {
        settings.limits.first_backoff = Duration::from_hours(1);
        settings.limits.longest_backoff = Duration::from_hours(1);
        settings.limits.elapsed = Duration::from_hours(9);
    };
    let slow = with(&api, |settings| {
        settings.rate_limit = (1, Duration::from_mins(1));
    });
    for (client, path) in [
        (with(&api, patient), "/limited"),
        (with(&api, patient), "/down"),
        (slow, "/x"), // the sign-in took the only request of this minute
    ] {
        let (stop, begun, call) = (CancellationToken::new(), Instant::now(), get(path));
        let (ended, ()) = tokio::join!(client.send(&call, &stop), async {
            tokio::time::sleep(200 * MS).await;
            stop.cancel();
        });
        assert!(
            matches!(ended, Err(ClientError::Stopped)),
            "{path}: {ended:?}"
        );
        let took = begun.elapsed();
        assert!(
            took < 10_000 * MS,
            "{path}: {took:?}, a fraction of the wait"
        );
        let sent = client.requests().sent;
        let ended = client.send(&call, &stop).await;
        assert!(matches!(ended, Err(ClientError::Stopped)));
        assert_eq!(
            client.requests().sent,
            sent,
            "nothing is sent after the stop"
        );
    }
}

#[tokio::test]
async fn a_request_under_way_may_finish_within_the_drain_time() {
    let api = Api::start(|seen, _| match &*seen.path {
        "/base/soon" => Some(reply(200, "done").after(300 * MS)),
        "/base/down" => Some(reply(503, "").after(300 * MS)),
        "/base/never" => Some(reply(200, "done").after(60_000 * MS)),
        _ => None,
    })
    .await;
    let client = with(&api, |settings| settings.limits.drain = 2000 * MS);
    send(&client, &get("/x")).await.unwrap();
    let stopped = async |path| {
        let (stop, call) = (CancellationToken::new(), get(path));
        let begun = Instant::now();
        let (ended, ()) = tokio::join!(client.send(&call, &stop), async {
            tokio::time::sleep(100 * MS).await;
            stop.cancel();
        });
        (ended, begun.elapsed())
    };
    let (soon, down, never) = tokio::join!(stopped("/soon"), stopped("/down"), stopped("/never"));
    assert_eq!(&soon.0.unwrap().body[..], b"done");
    assert!(
        matches!(down.0, Err(ClientError::Stopped)),
        "not tried again"
    );
    assert!(matches!(never.0, Err(ClientError::Stopped)));
    assert!(
        never.1 >= 2000 * MS && never.1 < 30_000 * MS,
        "{:?}",
        never.1
    );
}

#[tokio::test]
async fn whatever_refuses_and_asks_for_a_wait_gets_it() {
    for (status, name, value, seconds) in [
        (403, "retry-after", "400.5", 401),
        (409, "retry-after", "400, 500", 500),
        (423, "retry-after", "400", 400),
        (500, "retry-after", "400s", 400),
        (413, "retry-after", "400", 400),
        (429, "x-ratelimit-reset", "400", 400),
        (429, "retry-after", "soon", 1_000),
        (503, "retry-after", "", 1_000),
        (403, "retry-after", "-5", 1_000),
        (429, "ratelimit-reset", "soon", 1_000),
    ] {
        let api = Api::start(move |seen, _| {
            (seen.path == "/base/x").then(|| reply(status, "{}").header(name, value))
        })
        .await;
        let client = with(&api, |settings| {
            settings.limits.longest_backoff = Duration::from_secs(1_000);
        });
        let error = send(&client, &get("/x")).await.unwrap_err();
        assert_eq!(
            error.kind(),
            FailureKind::RateLimited,
            "{status} {name}: {value}: {error}"
        );
        assert_eq!(
            error.retry_after(),
            Some(Duration::from_secs(seconds)),
            "{status} {name}: {value}"
        );
        assert_eq!(api.calls().len(), 1);
        // nobody else's call fares better meanwhile
        let error = send(&client, &get("/y")).await.unwrap_err();
        assert_eq!(
            error.kind(),
            FailureKind::RateLimited,
            "{status} {name}: {value}"
        );
    }
}

#[tokio::test]
async fn a_call_that_may_be_tried_again_is() {
    for status in [403, 409, 423, 520, 527, 530] {
        let api = Api::start(move |seen, before| {
            (seen.path == "/base/x" && before == 0)
                .then(|| reply(status, "{}").header("retry-after", "0"))
        })
        .await;
        assert_eq!(
            send(&client(&api), &get("/x")).await.unwrap().status,
            200,
            "{status}"
        );
    }
}

#[tokio::test]
async fn half_an_answer_is_asked_for_again() {
    for half in [r#"{"a":[{"b":1},"#, "[1, 2", r#"{"a":"b"#] {
        let api = Api::start(move |seen, before| {
            (seen.path == "/base/x" && before == 0).then(|| reply(200, half))
        })
        .await;
        assert_eq!(
            &send(&client(&api), &get("/x")).await.unwrap().body[..],
            b"{}",
            "{half}"
        );
    }
    let api = Api::start(|seen, _| (seen.path == "/base/x").then(|| reply(200, "{\"a\":"))).await;
    let error = send(&client(&api), &get("/x")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Transient);
    insta::assert_snapshot!(chain(&api, &error), @r#"gave up on GET `http://HOST/base/x` after 3 attempts in N s: status 200 with incomplete JSON"#);
}

/// What answers CONNECT so, each time, and how often it was asked.
async fn proxy(
    answer: &'static [u8],
) -> (
    std::net::SocketAddr,
    std::sync::Arc<std::sync::atomic::AtomicU32>,
) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = std::sync::Arc::<std::sync::atomic::AtomicU32>::default();
    let count = std::sync::Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut head = [0; 4_096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(answer).await;
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_refusal_by_a_proxy_names_the_proxy() {
    let mut lines = Vec::new();
    let api = Api::start(|_, _| None).await;
    for (scheme, answer, sent) in [
        ("https", &b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"[..], 1),
        ("https", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 2),
        ("https", b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", 6),
        ("https", b"", 3),
        ("https", b"garbage", 6),
        ("http", b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n", 1),
    ] {
        let (address, asked) = proxy(answer).await;
        let client = with(&api, |settings| {
            settings.proxy = Some(Secret::text(format!("http://user:canary-pass@{address}")));
            settings.endpoint.api = ServiceHost::At(Url::parse(&format!("{scheme}://api.a.invalid/base")).unwrap());
            settings.endpoint.trusted_hosts = vec!["a.invalid".to_owned()];
            *oauth(settings).0 = ServiceHost::At(Url::parse(&format!("{scheme}://api.a.invalid/token")).unwrap());
        });
        let error = send(&client, &get("/x")).await.unwrap_err();
        assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), sent, "{error}");
        let text = chain(&api, &error).replace(&address.to_string(), "PROXY");
        lines.push(format!("{} {text}", error.kind()));
    }
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for scheme in ["http", "https"] {
        let client = with(&api, |settings| {
            settings.proxy = Some(Secret::text(format!("http://{gone}")));
            settings.endpoint.api =
                ServiceHost::At(Url::parse(&format!("{scheme}://api.a.invalid/base")).unwrap());
            settings.endpoint.trusted_hosts = vec!["a.invalid".to_owned()];
            *oauth(settings).0 =
                ServiceHost::At(Url::parse(&format!("{scheme}://api.a.invalid/token")).unwrap());
        });
        let error = send(&client, &get("/x")).await.unwrap_err();
        let text = chain(&api, &error).replace(&gone.to_string(), "PROXY");
        lines.push(format!(
            "{} {}",
            error.kind(),
            text.split(" <- ").take(2).collect::<Vec<_>>().join(" <- ")
        ));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

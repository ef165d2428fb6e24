#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::header::HOST;
use futures_util::{FutureExt, StreamExt};
use object_store::ObjectStoreExt;
use tower::ServiceExt;

use super::*;
use crate::config::Config;
use crate::lake::Lake;
use crate::setup;

const YAML: &str = "lake: {url: memory://}
connections:
  prod: {provider: everyware_cloud, username: u, password: p}
jobs:
  - {name: audits, connection: prod, schedule: '@hourly', start: 2026-03-01}
";

/// Returns a site with a job that never ran, on a lake with its layout; ready except for its scheduler.
pub(super) async fn site(allowed: &[&str]) -> (Site, watch::Sender<Readiness>) {
    let config = Config::parse("jobs.yaml", YAML, &|_| None).unwrap();
    let lake = Lake::at("memory://", &BTreeMap::new()).unwrap();
    lake.prepare(&setup::layout(&config.lake)).await.unwrap();
    let metrics = Metrics::default();
    let jobs = setup::jobs(&config, &lake, &[], &metrics).unwrap();
    let (readiness, ready) = watch::channel(Readiness::Ready);
    let allowed: Vec<String> = allowed.iter().map(|&name| name.to_owned()).collect();
    let site = Site {
        board: watch::channel(Arc::new(StatusCache::new(jobs, lake))).1,
        readiness: ready,
        hosts: watch::channel(Arc::new(AllowedHosts::new(&allowed))).1,
        metrics,
    };
    (site, readiness)
}

async fn ask(
    router: &Router,
    method: Method,
    path: &str,
    host: Option<&str>,
) -> (Response, String) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(host) = host {
        request = request.header(HOST, host);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let mut chunks = body.into_data_stream();
    let mut text = Vec::new();
    while let Some(chunk) = chunks.next().await {
        text.extend(chunk.unwrap());
    }
    let response = Response::from_parts(head, Body::empty());
    (response, String::from_utf8(text).unwrap())
}

const PATHS: [&str; 7] = [
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/jobs",
    "/api/v1/runs",
    "/nowhere",
];

#[tokio::test]
async fn it_answers_only_by_its_own_names_whatever_is_asked() {
    let (site, _readiness) = site(&["lake.example.com"]).await;
    let router = router(site);
    for path in PATHS {
        let status = async |host| ask(&router, Method::GET, path, host).await.0.status();
        for host in [
            "localhost:8080",
            "127.0.0.1",
            "[::1]:80",
            "Lake.example.com:8080",
        ] {
            let status = status(Some(host)).await;
            assert_eq!(
                status == StatusCode::NOT_FOUND,
                path == "/nowhere",
                "{path} at {host}"
            );
            assert_ne!(status, StatusCode::MISDIRECTED_REQUEST, "{path} at {host}");
        }
        // probes send an address, a service name, or nothing
        let is_probed = matches!(path, "/healthz" | "/readyz");
        for (host, refused) in [
            (Some("evil.example.com"), StatusCode::MISDIRECTED_REQUEST),
            (
                Some("auditlake.audit.svc:8080"),
                StatusCode::MISDIRECTED_REQUEST,
            ),
            (Some("what ever"), StatusCode::BAD_REQUEST),
            (Some(""), StatusCode::BAD_REQUEST),
            (None, StatusCode::BAD_REQUEST),
        ] {
            let expected = if is_probed { StatusCode::OK } else { refused };
            assert_eq!(status(host).await, expected, "{path} at {host:?}");
        }
    }
    for path in ["/healthz/", "/readyz/x", "//healthz", "/healthzx"] {
        let (response, _) = ask(&router, Method::GET, path, Some("evil.example.com")).await;
        assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST, "{path}");
    }
    let (_, message) = ask(&router, Method::GET, "/", Some("evil.example.com:80")).await;
    assert!(
        message.contains("`evil.example.com`") && message.contains("server.allowed_hosts"),
        "{message}"
    );
}

#[tokio::test]
async fn it_only_reads_and_every_answer_says_what_a_page_may_do() {
    let (site, _readiness) = site(&[]).await;
    let router = router(site);
    let own = Some("localhost");
    for path in PATHS {
        for method in [
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
            Method::PATCH,
        ] {
            let (response, _) = ask(&router, method, path, own).await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(response.headers()[ALLOW], "GET, HEAD");
        }
        for (method, host) in [
            (Method::GET, own),
            (Method::POST, own),
            (Method::GET, Some("x.example")),
        ] {
            let (response, _) = ask(&router, method, path, host).await;
            let headers = response.headers();
            let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(
                policy.starts_with("default-src 'none';")
                    && policy.contains("frame-ancestors 'none'")
            );
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(headers[REFERRER_POLICY], "no-referrer");
        }
        let (head, body) = ask(&router, Method::HEAD, path, own).await;
        let (get, _) = ask(&router, Method::GET, path, own).await;
        assert_eq!((head.status(), body.as_str()), (get.status(), ""), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_too_long_is_given_up_and_too_many_are_sent_away() {
    let router = Router::new()
        .route("/slow", axum::routing::get(std::future::pending::<()>))
        .layer(from_fn_with_state(Arc::new(Semaphore::new(2)), in_bounds));
    let slow = async || ask(&router, Method::GET, "/slow", None).await;
    let (first, second, third) = tokio::join!(slow(), slow(), slow());
    for ((response, message), expected) in [
        (first, "too long"),
        (second, "too long"),
        (third, "too many"),
    ] {
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(RETRY_AFTER));
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_whether_it_lives_does_not_queue_behind_pages() {
    let (site, _readiness) = site(&[]).await;
    let router = router(site);
    let own = Some("localhost");
    // the maximum number of concurrent requests, all in progress
    let mut pages: Vec<_> = (0..=AT_A_TIME)
        .map(|_| Box::pin(ask(&router, Method::GET, "/api/v1/jobs", own)))
        .collect();
    let under_way = pages.iter_mut().filter_map(FutureExt::now_or_never);
    let refused: Vec<StatusCode> = under_way.map(|(response, _)| response.status()).collect();
    assert_eq!(refused, [StatusCode::SERVICE_UNAVAILABLE]);
    for path in ["/healthz", "/metrics"] {
        let (response, _) = ask(&router, Method::GET, path, own).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
    for page in pages.into_iter().take(AT_A_TIME) {
        assert_eq!(page.await.0.status(), StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lake_that_is_gone_isnt_taken_for_jobs_that_never_ran() {
    let (site, _readiness) = site(&[]).await;
    let board = site.board();
    assert!(board.statuses().await[0].status.current().is_some());
    let lake = board.lake().clone();
    lake.store.delete(&lake.layout.lake_file()).await.unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    let read = board.statuses().await;
    let message = read[0].status.unreadable.as_ref().unwrap();
    assert_eq!(message, "the lake `memory://` is gone");
    assert!(
        read[0].status.last.is_some(),
        "what was known before is shown"
    );
    let own = Some("localhost");
    let (response, message) = ask(&router(site), Method::GET, "/api/v1/runs", own).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(message.contains("is gone"), "{message}");
}

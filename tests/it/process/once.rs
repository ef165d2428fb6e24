//! `run --once` and `backfill`: what they land, what they say, how they end.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex};

use auditlake::sim::genesys::{DatasetSpec, endpoint};
use auditlake::sim::{Fault, FaultRule};
use axum::http::{Method, StatusCode, Uri};
use bytes::Bytes;
use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::support::{EVENING, World, at, one_day};

#[tokio::test]
async fn a_second_run_adds_nothing() {
    let world = World::new(&one_day(), EVENING).await;
    let first = world.run_as_of(EVENING).await.assert_code(0);
    assert!(
        first
            .stdout
            .starts_with("audits: 2,000 new, 0 late, 0 duplicate, 0 quarantined")
    );
    world.assert_all_landed();

    let submitted = world.provider.counters().calls(endpoint::SUBMIT);
    let second = world.run_as_of(EVENING).await.assert_code(0);
    assert_eq!(
        second.stdout,
        "audits: 0 new, 0 late, 0 duplicate, 0 quarantined; 0 windows in 1 commit\n"
    );
    world.assert_all_landed();
    assert_eq!(world.provider.counters().calls(endpoint::SUBMIT), submitted);
}

#[tokio::test]
async fn each_run_takes_as_of_for_now() {
    let world = World::new(&one_day(), EVENING).await;
    world.run_as_of("2026-03-02T09:30:00Z").await.assert_code(0);
    world.assert_landed_before(at("2026-03-02T09:28:00Z"));
    world.run_as_of(EVENING).await.assert_code(0);
    world.assert_all_landed();
}

#[tokio::test]
async fn settle_passes_find_what_came_late() {
    let records = DatasetSpec {
        late_share: 0.1,
        ..one_day()
    };
    let world = World::new(&records, EVENING).await;
    world.run_as_of(EVENING).await.assert_code(0);
    world.assert_all_landed();
    let landed = world.lake().rows().len();
    assert!(landed < 2_000);

    let next_day = "2026-03-04T01:00:00Z";
    let settled = world.run_as_of(next_day).await.assert_code(0);
    let late = 2_000 - landed;
    settled.assert_says(&format!("audits: {late} new, {late} late, "));
    world.assert_all_landed();
}

#[tokio::test]
async fn a_job_that_fails_is_named_and_the_others_are_done() {
    let world = World::new(&one_day(), EVENING).await;
    let two = world.yaml().replace(
        "jobs:\n",
        "  other:
    provider: genesys_cloud
    base_url: BASE
    login_url: LOGIN
    allow_http: true
    client_id: sim-client
    client_secret: wrong-secret
jobs:
  - { name: other-audits, connection: other, schedule: '@daily', start: 2026-03-02, options: { services: [Routing] } }
",
    );
    let two = two
        .replace("BASE", &world.provider.base_url())
        .replace("LOGIN", &world.provider.login_url());
    let all_but_one =
        "[PeoplePermissions, ContactCenter, Architect, Directory, BrandNewService2027]";
    world.configure(&format!(
        "{two}    options: {{ services: {all_but_one} }}\n"
    ));

    let ended = world.run_as_of(EVENING).await.assert_code(1);
    let mut lines: Vec<&str> = ended.stdout.lines().collect();
    lines.sort_unstable();
    assert!(lines[0].starts_with("audits: 1,"), "{}", ended.stdout);
    assert_eq!(lines[1..], ["other-audits: FAILED"]);
    let message = &ended.stderr;
    assert!(
        message.contains("error: job `other-audits` failed (auth): "),
        "{message}"
    );
    assert!(
        message.contains("check the credentials of connection `other`"),
        "{message}"
    );
    assert!(!message.contains("wrong-secret"), "{message}");

    // and the one that failed continues from its position once it is mended
    world.change("wrong-secret", "sim-secret");
    world
        .run(&["run", "--once", "--as-of", EVENING, "--job", "other-audits"])
        .await
        .assert_code(0);
    world.assert_all_landed();
}

#[tokio::test]
async fn a_stream_that_fails_is_named_and_the_others_are_done() {
    let world = World::new(&one_day(), EVENING).await;
    world.provider.forbid_service("Routing");
    let ended = world.run_as_of(EVENING).await.assert_code(1);
    ended.assert_says(
        "error: job `audits`, stream `Routing`, range 2026-03-02T00:00:00Z..2026-03-02T01:00:00Z, failed (auth): ",
    );
    world.provider.allow_service("Routing");
    world.run_as_of(EVENING).await.assert_code(0);
    world.assert_all_landed();
}

#[tokio::test]
async fn a_backfill_pulls_only_what_the_range_lacks() {
    let world = World::new(&one_day(), EVENING).await;
    world.change(
        "start: 2026-03-02T00:00:00+00:00",
        "start: 2026-03-02T12:00:00Z",
    );
    world.run_as_of(EVENING).await.assert_code(0);
    let calls = || world.provider.counters().calls(endpoint::SUBMIT);
    let before = calls();

    let overlapping = |more: &[&'static str]| {
        let range = ["--from", "2026-03-02", "--to", "2026-03-02T18:00:00Z"];
        [&["backfill", "--job", "audits"], &range[..], more].concat()
    };
    let ended = world.run(&overlapping(&[])).await.assert_code(0);
    world.assert_all_landed();
    let windows = calls() - before;
    assert_eq!(windows, 12 * 8, "twelve hours of eight services");
    assert!(
        ended.stdout.contains("; 96 windows in "),
        "{}",
        ended.stdout
    );
    // no terminal: lines instead of a bar
    assert!(
        ended
            .stderr
            .contains(r#"under way job="audits" percent=100 windows=96 of=96 rows="#),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains('\u{1b}'), "{}", ended.stderr);

    let again = world.run(&overlapping(&[])).await.assert_code(0);
    assert!(
        again
            .stdout
            .starts_with("audits: 0 new, 0 late, 0 duplicate"),
        "{}",
        again.stdout
    );
    assert_eq!(calls() - before, windows);

    let refetched = world.run(&overlapping(&["--refetch"])).await.assert_code(0);
    assert!(
        refetched.stdout.starts_with("audits: 0 new, 0 late, 1,"),
        "{}",
        refetched.stdout
    );
    assert_eq!(calls() - before, windows + 18 * 8);
    world.assert_all_landed();
}

#[tokio::test]
async fn an_interrupted_run_says_so_and_the_next_one_goes_on() {
    for (command, signal, code) in [
        (
            ["run", "--once", "--as-of", EVENING].as_slice(),
            "TERM",
            143,
        ),
        (
            &[
                "backfill",
                "--job",
                "audits",
                "--from",
                "2026-03-02",
                "--to",
                "2026-03-03",
            ],
            "INT",
            130,
        ),
    ] {
        let world = World::new(&one_day(), EVENING).await;
        let held = CancellationToken::new();
        world.provider.faults().inject(FaultRule {
            endpoint: Some(endpoint::RESULTS),
            skip: 20,
            times: 4,
            fault: Fault::Hold(held.clone()),
        });
        let process = world.start(command);
        world
            .provider
            .counters()
            .reached(endpoint::RESULTS, 24)
            .await;
        process.signal(signal).await;
        process.says("stopping: ").await;
        held.cancel();
        let ended = process.ended().await.assert_code(code);
        assert!(ended.stdout.contains("; unfinished"), "{}", ended.stdout);
        let landed = world.lake().rows().len();
        assert!((1..2_000).contains(&landed), "{landed} rows");

        world.run(command).await.assert_code(0);
        world.assert_all_landed();
    }
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let world = World::new(&one_day(), EVENING).await;
    let held = CancellationToken::new();
    world
        .provider
        .faults()
        .next(endpoint::RESULTS, 1_000, Fault::Hold(held.clone()));
    let process = world.start(&["run", "--once", "--as-of", EVENING]);
    world
        .provider
        .counters()
        .reached(endpoint::RESULTS, 1)
        .await;
    process.signal("TERM").await;
    process.says("stopping: ").await;
    process.signalled("TERM").await.assert_code(143);

    held.cancel();
    world.provider.faults().clear();
    world.run_as_of(EVENING).await.assert_code(0);
    world.assert_all_landed();
}

#[tokio::test]
async fn an_interruption_before_the_first_page_has_its_exit_code_too() {
    let backfill = [
        "backfill",
        "--job",
        "audits",
        "--from",
        "2026-03-02",
        "--to",
        "2026-03-03",
    ];
    for (command, signal, code) in [
        (["run", "--once", "--as-of", EVENING].as_slice(), "INT", 130),
        (&backfill, "TERM", 143),
    ] {
        let world = World::new(&one_day(), EVENING).await;
        let held = CancellationToken::new();
        world
            .provider
            .faults()
            .next_any(10, Fault::Hold(held.clone()));
        let process = world.start(command);
        world.provider.counters().reached(endpoint::TOKEN, 1).await;
        process.signal(signal).await;
        process.says("stopping: ").await;
        held.cancel();
        process.ended().await.assert_code(code);
    }
}

#[tokio::test]
async fn two_runs_at_once_double_nothing() {
    let world = World::new(&one_day(), EVENING).await;
    world.provider.set_now(at(EVENING));
    world
        .provider
        .set_latency(TimeDelta::milliseconds(2).to_std().unwrap());
    let command = ["run", "--once", "--as-of", EVENING];
    let (one, other) = tokio::join!(world.run(&command), world.run(&command));
    let (one, other) = (one.assert_code(0), other.assert_code(0));
    assert!(
        format!("{}{}", one.stderr, other.stderr)
            .contains("another run holds the job; waiting for it"),
    );
    world.assert_all_landed();
}

/// An S3 store that knows no conditions: a PUT always overwrites. Returns its address.
async fn careless_store() -> String {
    let objects = Arc::new(Mutex::new(HashMap::<String, Bytes>::new()));
    let answer = move |method: Method, uri: Uri, body: Bytes| async move {
        let mut objects = objects.lock().unwrap();
        let headers = [
            ("etag", "\"x\""),
            ("last-modified", "Sun, 01 Mar 2026 00:00:00 GMT"),
        ];
        match (method, objects.get(uri.path())) {
            (Method::PUT, _) => {
                objects.insert(uri.path().to_owned(), body);
                (StatusCode::OK, headers, Bytes::new())
            }
            (_, Some(object)) => (StatusCode::OK, headers, object.clone()),
            (_, None) => (StatusCode::NOT_FOUND, headers, Bytes::new()),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(axum::serve(listener, router).into_future());
    format!("http://{address}")
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused() {
    let world = World::new(&one_day(), EVENING).await;
    let keys = "aws_region: r, aws_access_key_id: a, aws_secret_access_key: b";
    let endpoint = careless_store().await;
    let options = format!("{{ aws_endpoint: {endpoint}, aws_allow_http: true, {keys} }}");
    world.change(
        "url: file://./lake",
        &format!("url: s3://bucket/prefix\n  storage_options: {options}"),
    );
    for command in [["run"].as_slice(), &["run", "--once"]] {
        let ended = world.run(command).await.assert_code(2);
        ended.assert_says(
            "the store behind `s3://bucket/prefix` overwrites an object that it was told to create only if absent",
        );
    }
    assert_eq!(world.provider.counters().total_calls(), 0);
}

//! Stores that refuse, and settings that can't work, as a user meets them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

use super::support::{EVENING, Ended, Process, World, one_day};

const KEYS: &str = "aws_region: r, aws_access_key_id: AKIA, aws_secret_access_key: b";

const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

async fn world() -> World {
    World::new(&one_day(), EVENING).await
}

/// A world whose lake is this, as YAML below `lake:`.
async fn with_lake(lake: &str) -> World {
    let world = world().await;
    world.change("url: file://./lake", lake);
    world
}

/// A server that gives every request to `answer`, and its address.
async fn serve<F, R>(answer: F) -> String
where
    F: Fn(Method, Uri, HeaderMap, Bytes) -> R + Clone + Send + Sync + 'static,
    R: axum::response::IntoResponse + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(move |method, uri, headers, body| {
        let answer = answer.clone();
        async move { answer(method, uri, headers, body) }
    });
    tokio::spawn(axum::serve(listener, router).into_future());
    format!("http://{address}")
}

async fn run_in(world: &World, args: &[&str], environment: &[(&str, &str)]) -> Ended {
    Process::start(world.path(), args, environment)
        .ended()
        .await
}

#[tokio::test]
async fn a_setting_that_cant_be_read_is_a_problem_with_its_place() {
    for (options, place, problem) in [
        (
            "timeout: 30",
            "30",
            "invalid `timeout`: `30` is not a duration",
        ),
        (
            "aws_connect_timeout: '0s'",
            "'0s'",
            "invalid `aws_connect_timeout`: `0s` is zero",
        ),
        (
            "allow_http: ja",
            "ja",
            "invalid `allow_http`: `ja` is neither `true` nor `false`",
        ),
        (
            "endpoint: localhost:9000",
            "localhost",
            "invalid `endpoint`: `localhost:9000` is not a URL",
        ),
        (
            "AWS_ENDPOINT: http://h",
            "http",
            "`AWS_ENDPOINT` isn't https",
        ),
        (
            "aws_conditional_put: disabled",
            "disabled",
            "would land rows twice",
        ),
        (
            "aws_checksum_algorithm: md5",
            "md5",
            "isn't known; valid: sha256, crc64nvme",
        ),
        (
            "aws_region: a, region: b",
            "region: b",
            "is the same setting as `region`",
        ),
        (
            "aws_access_key_id: a",
            "a}",
            "`aws_access_key_id` needs `aws_secret_access_key` too",
        ),
        (
            r#""aws_session_token": "to\nken""#,
            r#""to\nken"#,
            "invalid `aws_session_token`: its value holds a line break",
        ),
        (
            "pool_max_idle_per_host: many",
            "many",
            "is not a whole number",
        ),
        (
            "proxy_url: squid:3128",
            "squid",
            "invalid `proxy_url`: its value is not the URL of a proxy",
        ),
        (
            "aws_bucket: other",
            "other",
            "isn't read: the lake's `url` names the bucket",
        ),
        ("timeot: 30s", "timeot", "unknown key `timeot`"),
    ] {
        let line = format!("  storage_options: {{{options}}}");
        let column = line.rfind(place).unwrap() + 1;
        let world = with_lake(&format!("url: s3://bucket/prefix\n{line}")).await;
        let ended = world.run(&["validate"]).await.assert_code(2);
        let place = format!("jobs.yaml:3:{column}: ");
        let told = ended.stderr.lines().find(|line| line.contains(&place));
        assert!(
            told.is_some_and(|line| line.contains(problem)),
            "{options} at {column}\n{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("to\nken"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_place_that_cant_be_a_lakes_is_refused_with_the_reason() {
    for (url, problem) in [
        ("s3://bucket/a/../b", "holds the part `..`"),
        ("s3://bucket/a/%2e%2e/b", "holds the part `..`"),
        ("s3://bucket/a//b", "holds `//`"),
        ("s3://bucket/50%25", "holds a `%`"),
        ("s3://my bucket/x", "names the bucket `my bucket`"),
        (
            "s3://bucket:9000/x",
            "an endpoint belongs in `storage_options`",
        ),
        ("s3://[::1]/x", "names the bucket `[::1]`"),
        ("s3://é/x", "names the bucket `é`"),
        ("az://Container/x", "names the container `Container`"),
        ("s3://bucket/%ff", "aren't UTF-8"),
        ("file://~/lake", "holds a `~`"),
    ] {
        let ended = with_lake(&format!("url: '{url}'"))
            .await
            .run(&["validate"])
            .await;
        ended
            .assert_code(2)
            .assert_says("jobs.yaml:2:8: ")
            .assert_says(problem);
    }
}

#[tokio::test]
async fn a_credential_that_no_header_can_hold_is_named_and_nothing_panics() {
    let world = with_lake("url: s3://bucket/prefix").await;
    for value in [
        "AKIACANARY\n",
        "AKIACANARY\r",
        "AKIA\tCANARY",
        "AKIACANARYé",
        " AKIACANARY",
    ] {
        for args in [
            ["validate"].as_slice(),
            &["check"],
            &["run", "--once"],
            &["status"],
            &["plan"],
            &["run"],
        ] {
            let environment = [("AWS_ACCESS_KEY_ID", value), ("AWS_SECRET_ACCESS_KEY", "b")];
            let ended = run_in(&world, args, &environment).await.assert_code(2);
            let ended = ended.assert_says(
                "the environment variable `AWS_ACCESS_KEY_ID`, which the lake's store reads, ",
            );
            assert!(
                !ended.stderr.contains("CANARY") && !ended.stderr.contains("panicked"),
                "{}",
                ended.stderr
            );
        }
    }
    let file = world.path().join("key");
    std::fs::write(&file, "two\nlines\n").unwrap();
    world.change(
        "url: s3://bucket/prefix",
        "url: s3://bucket/prefix\n  storage_options: { aws_access_key_id: a, aws_secret_access_key: '${file:key}' }",
    );
    let ended = world.run(&["run", "--once"]).await.assert_code(2);
    ended.assert_says("invalid `aws_secret_access_key`: its value holds a line break");
}

fn error(code: &str, message: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>")
}

#[tokio::test]
async fn a_refusal_that_stays_is_told_from_one_that_passes_with_advice_for_this_store() {
    for (status, code, message, kind, advice) in [
        (
            501,
            "NotImplemented",
            "A header you provided implies functionality that is not implemented",
            "config",
            "conditional writes",
        ),
        (413, "", "", "config", "target_file_size"),
        (
            400,
            "ExpiredToken",
            "The provided token has expired.",
            "auth",
            "have expired",
        ),
        (
            404,
            "NoSuchBucket",
            "The specified bucket does not exist",
            "config",
            "there is no such bucket",
        ),
        (
            301,
            "PermanentRedirect",
            "The bucket must be addressed elsewhere",
            "config",
            "the region `eu-west-7`",
        ),
        (
            403,
            "InvalidAccessKeyId",
            "",
            "auth",
            "doesn't accept these credentials",
        ),
        (
            403,
            "SignatureDoesNotMatch",
            "",
            "auth",
            "the secret key isn't the one of this key id",
        ),
        (403, "RequestTimeTooSkewed", "", "auth", "clock"),
        (
            400,
            "InvalidRequest",
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters",
            "config",
            "aws_checksum_algorithm: sha256",
        ),
    ] {
        let asked = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&asked);
        let body = if code.is_empty() {
            String::new()
        } else {
            error(code, message)
        };
        let endpoint = serve(move |_, _, _, _| {
            *counter.lock().unwrap() += 1;
            let status = StatusCode::from_u16(status).unwrap();
            (status, [("x-amz-bucket-region", "eu-west-7")], body.clone())
        })
        .await;
        let world = with_lake(&format!(
            "url: s3://bucket/prefix\n  storage_options: {{ aws_endpoint: {endpoint}, allow_http: true, {KEYS} }}"
        ))
        .await;
        let ended = world.run(&["run", "--once"]).await;
        let code = if kind == "config" { 2 } else { 1 };
        ended.assert_code(code).assert_says(advice);
        assert_eq!(
            *asked.lock().unwrap(),
            1,
            "{status} {code}: it isn't sent again"
        );
        let ended = world.run(&["check"]).await.assert_code(1);
        ended
            .assert_says(&format!(
                "FAILED  lake `s3://bucket/prefix`: write ({kind}): "
            ))
            .assert_says(advice);
    }
}

#[tokio::test]
async fn a_bucket_that_isnt_permitted_names_the_stores_own_permissions() {
    let denied =
        || async { serve(|_, _, _, _| (StatusCode::FORBIDDEN, error("AccessDenied", "no"))).await };
    for (lake, permission) in [
        (
            format!(
                "url: s3://bucket\n  storage_options: {{ aws_endpoint: {}, allow_http: true, {KEYS} }}",
                denied().await
            ),
            "s3:PutObject",
        ),
        (
            format!(
                "url: gs://bucket\n  storage_options: {{ google_base_url: {}, google_bearer_token: t }}",
                denied().await
            ),
            "storage.objects.create",
        ),
        (
            format!(
                "url: az://container\n  storage_options: {{ endpoint: {}, allow_http: true, account_name: a, account_key: a2V5 }}",
                denied().await
            ),
            "Storage Blob Data Contributor",
        ),
    ] {
        let ended = with_lake(&lake).await.run(&["check"]).await.assert_code(1);
        let ended = ended.assert_says("write (auth): ").assert_says(permission);
        for foreign in [
            "s3:PutObject",
            "storage.objects.create",
            "Storage Blob Data Contributor",
        ] {
            assert_eq!(
                ended.stdout.contains(foreign),
                foreign == permission,
                "{}",
                ended.stdout
            );
        }
        assert!(
            !ended.stdout.contains("list: a listing shows"),
            "{}",
            ended.stdout
        );
    }
}

#[tokio::test]
async fn a_silent_metadata_service_is_given_up_soon_with_what_was_looked_for() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap(); // takes connections, and never says a word
    let metadata = format!("http://{}", silent.local_addr().unwrap());
    let world = with_lake("url: s3://bucket/prefix").await;
    let begun = Instant::now();
    let environment = [
        ("AWS_METADATA_ENDPOINT", metadata.as_str()),
        ("HOME", "/nowhere"),
    ];
    for args in [["run", "--once"].as_slice(), &["check"], &["status"]] {
        let ended = run_in(&world, args, &environment).await.assert_code(1);
        ended
            .assert_says("there are no credentials for the lake")
            .assert_says("AWS_WEB_IDENTITY_TOKEN_FILE")
            .assert_says("~/.aws/credentials");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(40),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn credentials_are_read_as_the_clouds_own_tools_have_them() {
    let seen = Arc::new(Mutex::new(Vec::<(String, String)>::new()));
    let all = Arc::clone(&seen);
    let endpoint = serve(move |_, uri: Uri, headers: HeaderMap, _| {
        let authorization = headers
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned());
        all.lock()
            .unwrap()
            .push((uri.to_string(), authorization.unwrap_or_default()));
        (StatusCode::FORBIDDEN, error("AccessDenied", "no"))
    })
    .await;
    let world = with_lake("url: s3://bucket/prefix").await;
    let files = world.path();
    std::fs::write(
        files.join("credentials"),
        "[work]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = s\n",
    )
    .unwrap();
    std::fs::write(
        files.join("config"),
        format!("[profile work]\nregion = eu-north-1\nendpoint_url = {endpoint}\n"),
    )
    .unwrap();
    let profile = [
        ("AWS_PROFILE", "work"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        ("AWS_CONFIG_FILE", "config"),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    run_in(&world, &["run", "--once"], &profile)
        .await
        .assert_code(1);
    let message = seen.lock().unwrap().pop().unwrap().1;
    assert!(
        message.contains("Credential=AKIAPROFILE/") && message.contains("/eu-north-1/s3/"),
        "{message}"
    );

    let missing = [("AWS_PROFILE", "play"), profile[1], profile[2]];
    let ended = run_in(&world, &["run", "--once"], &missing)
        .await
        .assert_code(2);
    ended.assert_says("there is no profile `play` in `credentials` and `config`; there are `work`");

    world.change("url: s3://bucket/prefix", "url: az://container/prefix");
    let connection = format!(
        "DefaultEndpointsProtocol=http;AccountName=acc;AccountKey=a2V5;BlobEndpoint={endpoint}"
    );
    for environment in [
        vec![("AZURE_STORAGE_CONNECTION_STRING", connection.as_str())],
        vec![
            ("AZURE_STORAGE_ACCOUNT", "acc"),
            ("AZURE_STORAGE_KEY", "a2V5"),
            ("AZURE_STORAGE_ENDPOINT", endpoint.as_str()),
            ("AZURE_ALLOW_HTTP", "true"),
        ],
    ] {
        seen.lock().unwrap().clear();
        run_in(&world, &["run", "--once"], &environment)
            .await
            .assert_code(1);
        let (uri, message) = seen.lock().unwrap().pop().unwrap();
        assert!(message.starts_with("SharedKey acc:"), "{message}");
        assert!(uri.contains("/container/prefix/"), "{uri}");
    }
}

/// An S3 store that keeps conditions, and doesn't distinguish upper and lower case in names.
async fn folding_store() -> String {
    let objects = Arc::new(Mutex::new(BTreeMap::<String, Bytes>::new()));
    serve(
        move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let mut objects = objects.lock().unwrap();
            let key = uri.path().to_lowercase();
            let tags = [
                ("etag", "\"x\""),
                ("last-modified", "Sun, 01 Mar 2026 00:00:00 GMT"),
            ];
            let there = objects.contains_key(&key);
            match method {
                Method::PUT if there && headers.contains_key("if-none-match") => (
                    StatusCode::PRECONDITION_FAILED,
                    tags,
                    Bytes::from(error("PreconditionFailed", "")),
                ),
                Method::PUT => {
                    objects.insert(key, body);
                    (StatusCode::OK, tags, Bytes::new())
                }
                Method::DELETE => {
                    objects.remove(&key);
                    (StatusCode::NO_CONTENT, tags, Bytes::new())
                }
                _ => match objects.get(&key) {
                    Some(object) => (StatusCode::OK, tags, object.clone()),
                    None => (
                        StatusCode::NOT_FOUND,
                        tags,
                        Bytes::from(error("NoSuchKey", "")),
                    ),
                },
            }
        },
    )
    .await
}

#[tokio::test]
async fn a_store_that_folds_cases_is_refused() {
    let endpoint = folding_store().await;
    let world = with_lake(&format!(
        "url: s3://bucket/prefix\n  storage_options: {{ aws_endpoint: {endpoint}, allow_http: true, aws_disable_bulk_delete: true, {KEYS} }}"
    ))
    .await;
    let refused = "doesn't distinguish upper and lower case in names";
    world
        .run(&["check"])
        .await
        .assert_code(1)
        .assert_says(refused);
    let before = world.provider.counters().total_calls();
    for args in [["run", "--once"].as_slice(), &["run"]] {
        world.run(args).await.assert_code(2).assert_says(refused);
    }
    assert_eq!(world.provider.counters().total_calls(), before);
}

#[tokio::test]
async fn one_form_of_the_url_stands_everywhere_and_names_what_is_there() {
    for folder in ["a%20b", "a b", "x/../y", "ü", "slash/", "50%"] {
        let world = world().await;
        let written = format!("url: \"file://./{folder}\"");
        world.change("url: file://./lake", &written);
        world
            .run(&["run", "--once", "--as-of", EVENING])
            .await
            .assert_code(0);
        let ended = world
            .run(&["schema", "--format", "spark"])
            .await
            .assert_code(0);
        let path = ended
            .stdout
            .split("LOCATION '")
            .nth(1)
            .unwrap_or_else(|| panic!("{}", ended.stdout));
        let path = path
            .split("'\n")
            .next()
            .unwrap()
            .split("';")
            .next()
            .unwrap()
            .replace("\\'", "'")
            .replace("''", "'");
        assert!(
            std::path::Path::new(&path).is_dir(),
            "{folder}: {path}\n{}",
            ended.stdout
        );
        let shown = format!("file://./{}", folder.trim_end_matches('/'));
        let valid = world.run(&["validate"]).await.assert_code(0);
        assert!(
            valid.stdout.trim_end().ends_with(&shown),
            "{}",
            valid.stdout
        );
    }
    let world = with_lake("url: s3://bucket/my%20audit/").await;
    for args in [["validate"].as_slice(), &["schema", "--format", "duckdb"]] {
        let ended = world.run(args).await.assert_code(0);
        assert!(
            ended.stdout.contains("s3://bucket/my audit"),
            "{}",
            ended.stdout
        );
        assert!(!ended.stdout.contains("%20"), "{}", ended.stdout);
    }
}

/// A store that denies everything over TLS, by a certificate that only `tests/fixtures/tls/authority.pem` vouches for.
/// Returns its port.
fn serve_tls() -> u16 {
    auditlake::tls::install();
    let file = |name: &str| std::path::Path::new(TLS).join(name);
    let certificate = CertificateDer::from_pem_file(file("good.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(tls, stream);
            if stream.read(&mut [0; 4096]).is_ok() {
                let body = error("AccessDenied", "no");
                let length = body.len();
                let head = "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length:";
                // a client that disconnected gets no answer
                let _ = write!(stream, "{head} {length}\r\n\r\n{body}");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    port
}

#[tokio::test]
async fn a_ca_file_of_the_lake_is_trusted_beside_the_systems() {
    let lake = format!(
        "url: s3://bucket\n  storage_options: {{ aws_endpoint: 'https://127.0.0.1:{}', {KEYS} }}",
        serve_tls()
    );
    let world = with_lake(&lake).await;
    let ended = world.run(&["check"]).await.assert_code(1);
    ended
        .assert_says("write (config): ")
        .assert_says("set `ca_file` in `lake`");
    let authority = format!("{TLS}/authority.pem");
    let environment = [("AWS_CA_BUNDLE", authority.as_str())];
    run_in(&world, &["check"], &environment)
        .await
        .assert_code(1)
        .assert_says("write (auth): ");
    world.change("url: s3", &format!("ca_file: {authority}\n  url: s3"));
    world
        .run(&["check"])
        .await
        .assert_code(1)
        .assert_says("write (auth): ");
    world.change(&authority, "jobs.yaml");
    let ended = world.run(&["validate"]).await.assert_code(2);
    ended.assert_says("jobs.yaml:2:12: invalid `ca_file`: `jobs.yaml` holds no PEM certificate");
}

/// An S3 store that checks whether there is an object, waits, and then writes.
async fn racy_store() -> String {
    let objects = Arc::new(Mutex::new(BTreeMap::<String, Bytes>::new()));
    let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
        let key = uri.path().to_owned();
        let there = objects.lock().unwrap().get(&key).cloned();
        let (status, text) = match (method, there) {
            (Method::PUT, Some(_)) if headers.contains_key("if-none-match") => (
                StatusCode::PRECONDITION_FAILED,
                Bytes::from(error("PreconditionFailed", "")),
            ),
            (Method::PUT, _) => {
                tokio::time::sleep(Duration::from_millis(150)).await;
                objects.lock().unwrap().insert(key, body);
                (StatusCode::OK, Bytes::new())
            }
            (Method::DELETE, _) => {
                objects.lock().unwrap().remove(&key);
                (StatusCode::NO_CONTENT, Bytes::new())
            }
            (_, Some(object)) => (StatusCode::OK, object),
            (_, None) => (StatusCode::NOT_FOUND, Bytes::from(error("NoSuchKey", ""))),
        };
        let headers = [
            ("etag", "\"x\""),
            ("last-modified", "Sun, 01 Mar 2026 00:00:00 GMT"),
        ];
        (status, headers, text)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(axum::serve(listener, router).into_future());
    format!("http://{address}")
}

#[tokio::test]
async fn a_store_that_looks_and_then_writes_is_refused() {
    let endpoint = racy_store().await;
    let world = with_lake(&format!(
        "url: s3://bucket/prefix\n  storage_options: {{ aws_endpoint: {endpoint}, allow_http: true, aws_disable_bulk_delete: true, {KEYS} }}"
    ))
    .await;
    let refused = "told 4 of 4 creators of one object";
    let checked = world.run(&["check"]).await.assert_code(1);
    checked
        .assert_says("conditional create (config): ")
        .assert_says(refused);
    let before = world.provider.counters().total_calls();
    for args in [["run", "--once"].as_slice(), &["run"]] {
        world.run(args).await.assert_code(2).assert_says(refused);
    }
    assert_eq!(world.provider.counters().total_calls(), before);
}

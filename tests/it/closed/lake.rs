//! A lake that refuses and echoes what it was sent, and one that redirects to another host.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::connections::{Connections, Way};

/// A store that answers every request so, with all that it was sent.
async fn echoing(status: u16, form: &'static str, location: Option<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(move |request: Request<Body>| {
        let location = location.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
            let all = format!(
                "{} {:?} {}",
                parts.uri,
                parts.headers,
                String::from_utf8_lossy(&body)
            );
            let header = |name: &str| {
                let value = parts.headers.get(name);
                let value = value.map(|value| String::from_utf8_lossy(value.as_bytes()));
                value.unwrap_or_default().into_owned()
            };
            let (auth, token) = (header("authorization"), header("x-amz-security-token"));
            let message = match form {
                // as S3 does it
                "xml" => format!(
                    "<?xml version=\"1.0\"?><Error><Code>InvalidAccessKeyId</Code><Message>refused {auth}</Message>\
                     <AWSAccessKeyId>{auth}</AWSAccessKeyId><Token-0>{token}</Token-0>\
                     <StringToSign>{all}</StringToSign></Error>"
                ),
                "json" => serde_json::json!({ "error": { "message": all, "token": token } }).to_string(),
                _ => format!("{auth} {token} {all}"),
            };
            let mut response = Response::builder().status(status);
            if let Some(location) = location {
                response = response.header("location", location);
            }
            response.body(Body::from(message)).unwrap()
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// A foreign host; collects every byte that reaches it.
async fn foreign() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/elsewhere", listener.local_addr().unwrap());
    let received = Arc::<Mutex<Vec<u8>>>::default();
    let all = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            all.lock().unwrap().extend(b"a connection: ");
            let all = Arc::clone(&all);
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                // what matters comes first; then it hangs up
                if let Ok(read) = stream.read(&mut bytes).await {
                    all.lock().unwrap().extend(&bytes[..read]);
                }
            });
        }
    });
    (url, received)
}

/// Credentials of a store, in the file or in the environment, at this endpoint.
async fn with_lake(endpoint: &str, in_file: bool) -> Connections {
    let mut connections = Connections::start(Way::Variable).await;
    let plain = |place: &str| {
        // the store's own client refuses some characters in a header
        let text = super::canary::canary(place).replace(['"', '&'], "");
        connections.canaries.know(place, &text);
        text
    };
    let secrets = [
        ("aws_access_key_id", plain("the lake's key id")),
        ("aws_secret_access_key", plain("the lake's secret key")),
        ("aws_session_token", plain("the lake's session token")),
    ];
    let mut options =
        format!("aws_endpoint: {endpoint}, aws_allow_http: true, aws_region: us-east-1");
    for (key, secret) in &secrets {
        if in_file {
            write!(options, ", {key}: '{secret}'").unwrap();
        }
    }
    connections.change(
        "url: file://./lake\n",
        &format!("url: s3://bucket/prefix\n  storage_options: {{ {options} }}\n"),
    );
    for (key, secret) in &secrets {
        if !in_file {
            connections.set(&key.to_uppercase(), secret);
        }
    }
    connections
}

#[tokio::test]
async fn no_command_prints_what_a_lake_echoes() {
    for (number, (status, form)) in [
        (403, "xml"),
        (400, "xml"),
        (403, "json"),
        (404, "text"),
        (401, "text"),
        (409, "xml"),
        (412, "json"),
        (200, "text"),
    ]
    .into_iter()
    .enumerate()
    {
        let connections = with_lake(&echoing(status, form, None).await, number % 2 == 0).await;
        for (args, format) in [
            (["check", "--job", "everyware-audits"].as_slice(), "text"),
            (&["run", "--once", "--job", "everyware-audits"], "json"),
            (&["status", "--json"], "text"),
            (&["plan"], "text"),
        ] {
            let args: Vec<&str> = ["-vv", "--log-format", format]
                .into_iter()
                .chain(args.iter().copied())
                .collect();
            let printed = connections.run(&args).await;
            if status == 403 && args.contains(&"check") {
                assert!(printed.contains("FAILED  lake"), "{printed}");
                assert!(
                    printed.contains("doesn't accept these credentials")
                        || printed.contains("check the store's credentials"),
                    "{printed}"
                );
            }
        }
        connections
            .canaries
            .assert_silent(&format!("a lake that echoes with {status}, as {form}"));
    }
}

#[tokio::test]
async fn a_lakes_redirect_takes_no_credentials_elsewhere() {
    for status in [301, 302, 303, 307, 308] {
        let (elsewhere, received) = foreign().await;
        let store = echoing(status, "xml", Some(elsewhere)).await;
        let connections = with_lake(&store, true).await;
        connections
            .run(&["-vv", "check", "--job", "everyware-audits"])
            .await;
        let received = String::from_utf8_lossy(&received.lock().unwrap()).into_owned();
        assert_eq!(
            connections.canaries.found_in(received.as_bytes()),
            None,
            "{received}"
        );
        assert_eq!(received, "", "{status}");
        connections.canaries.assert_silent("a lake that redirects");
    }
}

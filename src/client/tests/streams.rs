//! Bodies that are read while they arrive.

use axum::body::Body as Content;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;

use super::api::{Act, reply};
use super::*;
use crate::client::{OpenResponse, ResponseBody};
use crate::model::FailureKind;

async fn open(client: &Client, path: &str) -> Result<OpenResponse, ClientError> {
    client.open(&get(path), &CancellationToken::new()).await
}

async fn body(client: &Client, path: &str) -> ResponseBody {
    match open(client, path).await.unwrap() {
        OpenResponse::Body(body) => body,
        OpenResponse::Answer(answer) => panic!("{answer:?}"),
    }
}

async fn read(body: &mut ResponseBody) -> Result<Vec<u8>, ClientError> {
    let mut all = Vec::new();
    while let Some(chunk) = body.chunk(&CancellationToken::new()).await? {
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

/// `first`, and then nothing, ever.
fn stuck(first: &'static str) -> Content {
    let first = Bytes::from_static(first.as_bytes());
    Content::from_stream(stream::unfold(Some(first), |next| async move {
        match next {
            Some(bytes) => Some((Ok::<_, std::io::Error>(bytes), None)),
            None => std::future::pending().await,
        }
    }))
}

#[tokio::test]
async fn a_body_is_read_without_a_cap_and_signed_for() {
    let api = Api::start(|seen, _| {
        (seen.path == "/base/x").then(|| {
            let chunks =
                (0..100).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1000])));
            reply(200, Content::from_stream(stream::iter(chunks))).header("x-a", "b")
        })
    })
    .await;
    let client = with(&api, |settings| settings.limits.body_cap = 10);
    let mut body = body(&client, "/x").await;
    assert_eq!(
        (body.status, body.headers.contains_key("x-a")),
        (StatusCode::OK, true)
    );
    assert_eq!(read(&mut body).await.unwrap().len(), 100_000);
    assert!(
        body.chunk(&CancellationToken::new())
            .await
            .unwrap()
            .is_none()
    );
    let seen = &api.calls()[0];
    assert_eq!(seen.header("authorization"), Some("Bearer token-1"));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn what_comes_before_the_body_is_as_for_any_call() {
    let api = Api::start(|seen, before| match (&*seen.path, before) {
        ("/base/x", 0) => Some(reply(503, "")),
        ("/base/x", 1) => Some(reply(401, "")),
        ("/base/x", _) => Some(reply(200, "fine")),
        ("/base/bad", _) => Some(reply(400, "bad")),
        ("/base/nothing", _) => Some(reply(204, "")),
        ("/base/large", _) => Some(reply(400, "x".repeat(101))),
        ("/base/down", _) => Some(reply(503, "down")),
        ("/base/refused", _) => Some(reply(401, "no")),
        _ => None,
    })
    .await;
    let client = with(&api, |settings| settings.limits.body_cap = 100);
    assert_eq!(read(&mut body(&client, "/x").await).await.unwrap(), b"fine");
    assert_eq!(api.sign_ins().len(), 2);
    for (path, message) in [("/bad", "bad"), ("/nothing", "")] {
        match open(&client, path).await.unwrap() {
            OpenResponse::Answer(answer) => assert_eq!(&answer.body[..], message.as_bytes()),
            OpenResponse::Body(body) => panic!("{body:?}"),
        }
    }
    let kind = async |path| open(&client, path).await.unwrap_err().kind();
    assert_eq!(kind("/large").await, FailureKind::Data);
    assert_eq!(kind("/down").await, FailureKind::Transient);
    assert_eq!(api.count("/base/down"), 3);
    assert_eq!(kind("/refused").await, FailureKind::Auth);
    assert_eq!(kind("//evil").await, FailureKind::Data);
}

#[tokio::test]
async fn a_body_that_breaks_is_never_an_end() {
    let api = Api::broken(&[
        Act::Reset("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"),
        Act::Close("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"),
        Act::Close("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    ])
    .await;
    let client = client(&api);
    for _ in 0..3 {
        let mut body = body(&client, "/x").await;
        let error = read(&mut body).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Transient);
        insta::allow_duplicates! {
            let message = error.to_string().replace(&api.address.to_string(), "HOST");
            insta::assert_snapshot!(message, @"the answer to GET `http://HOST/base/x` broke off after 4 bytes");
        }
        let again = read(&mut body).await.unwrap_err();
        assert_eq!(again.to_string(), error.to_string(), "it stays broken");
    }
    assert_eq!(client.requests().retries, 0);
    let whole = read(&mut body(&client, "/x").await).await;
    assert_eq!(whole.unwrap(), b"ok");
}

#[tokio::test]
async fn a_silent_body_breaks_and_a_slow_one_has_the_time_of_a_stream() {
    let drip = || {
        Content::from_stream(stream::unfold(0, |count| async move {
            tokio::time::sleep(100 * MS).await;
            (count < 8).then(|| (Ok::<_, std::io::Error>(Bytes::from_static(b"x")), count + 1))
        }))
    };
    let api = Api::start(move |seen, _| match &*seen.path {
        "/base/silent" => Some(reply(200, stuck("half"))),
        "/base/slow" => Some(reply(200, drip())),
        "/base/error" => Some(reply(400, stuck("half"))),
        _ => None,
    })
    .await;
    let silent = with(&api, |settings| settings.limits.read_timeout = 300 * MS);
    let error = read(&mut body(&silent, "/silent").await).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Broken { received: 4, .. }),
        "{error}"
    );

    let slow = with(&api, |settings| settings.limits.total_timeout = 300 * MS);
    let whole = read(&mut body(&slow, "/slow").await).await;
    assert_eq!(whole.unwrap().len(), 8);
    // an error's body has no more time than that of any call
    let error = open(&slow, "/error").await.unwrap_err();
    assert!(matches!(error, ClientError::GaveUp { .. }), "{error}");
    assert_eq!(api.count("/base/error"), 3);

    let hurried = with(&api, |settings| settings.limits.stream_timeout = 300 * MS);
    let error = read(&mut body(&hurried, "/slow").await).await.unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn stop_ends_a_body_at_once() {
    let api =
        Api::start(|seen, _| (seen.path == "/base/x").then(|| reply(200, stuck("half")))).await;
    let client = with(&api, |settings| {
        settings.limits.drain = Duration::from_hours(1);
        settings.limits.read_timeout = Duration::from_hours(1);
    });
    let mut body = body(&client, "/x").await;
    let stop = CancellationToken::new();
    assert_eq!(&body.chunk(&stop).await.unwrap().unwrap()[..], b"half");
    let (ended, ()) = tokio::join!(body.chunk(&stop), async { stop.cancel() });
    assert!(matches!(ended, Err(ClientError::Stopped)));
    let ended = body.chunk(&stop).await;
    assert!(matches!(ended, Err(ClientError::Stopped)));
}

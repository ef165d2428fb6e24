//! Servers for the tests: one that answers properly, one that doesn't.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// A request as it came in.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    pub(super) at: Instant,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// An answer, after a while.
pub(super) struct Reply {
    delay: Duration,
    response: Response,
}

pub(super) fn reply(status: u16, body: impl Into<Body>) -> Reply {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Reply {
        delay: Duration::ZERO,
        response,
    }
}

pub(super) fn token(token: &str) -> Reply {
    reply(
        200,
        format!(r#"{{"access_token":"{token}","token_type":"bearer","expires_in":3600}}"#),
    )
}

impl Reply {
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.response.headers_mut().insert(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
        self
    }

    /// One more header of a name that may be there.
    pub(super) fn and_header(mut self, name: &'static str, value: &str) -> Self {
        self.response.headers_mut().append(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
        self
    }

    pub(super) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// A server on this machine, gone with this value.
pub(super) struct Api {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: AbortHandle,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Api {
    /// Answers as `answer` says, given the request and how many came before on its path; where that says nothing,
    /// sign-ins get `token-1`, `token-2` and so on, and the rest `{}`.
    pub(super) async fn start(
        answer: impl Fn(&Seen, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::<Seen>::new()));
        let (all, answer) = (Arc::clone(&seen), Arc::new(answer));
        let router = Router::new().fallback(move |request: Request| {
            let (all, answer) = (Arc::clone(&all), Arc::clone(&answer));
            async move {
                let at = Instant::now();
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, usize::MAX).await.unwrap();
                let seen = Seen {
                    method: parts.method.to_string(),
                    path: parts.uri.path().to_owned(),
                    query: parts.uri.query().map(str::to_owned),
                    headers: parts.headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                    at,
                };
                let before = {
                    let mut all = all.lock().unwrap();
                    all.push(seen.clone());
                    all.iter().filter(|other| other.path == seen.path).count() - 1
                };
                let reply = answer(&seen, before).unwrap_or_else(|| {
                    if seen.path == "/oauth/token" {
                        token(&format!("token-{}", before + 1))
                    } else {
                        reply(200, "{}")
                    }
                });
                tokio::time::sleep(reply.delay).await;
                reply.response
            }
        });
        let serve = async move { axum::serve(listener, router).await.unwrap() };
        let task = tokio::spawn(serve).abort_handle();
        Self {
            address,
            seen,
            task,
        }
    }

    /// Signs in, then treats one connection after another as the acts say; beyond them it answers properly.
    pub(super) async fn broken(acts: &'static [Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut acts = acts.iter();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let act = if head.starts_with(b"POST /oauth/token") {
                    &Act::Close(
                        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 20\r\n\r\n{\"access_token\":\"t\"}",
                    )
                } else {
                    acts.next().unwrap_or(&Act::Close(
                        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
                    ))
                };
                match act {
                    Act::Close(text) => {
                        stream.write_all(text.as_bytes()).await.unwrap();
                        stream.shutdown().await.unwrap();
                    }
                    Act::Reset(text) => {
                        stream.write_all(text.as_bytes()).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        stream.set_zero_linger().unwrap();
                    }
                }
            }
        })
        .abort_handle();
        Self {
            address,
            seen: Arc::default(),
            task,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the requests except sign-ins.
    pub(super) fn calls(&self) -> Vec<Seen> {
        self.all(|seen| seen.path != "/oauth/token")
    }

    pub(super) fn sign_ins(&self) -> Vec<Seen> {
        self.all(|seen| seen.path == "/oauth/token")
    }

    /// How many requests for this path came.
    pub(super) fn count(&self, path: &str) -> usize {
        self.all(|seen| seen.path == path).len()
    }

    pub(super) fn all(&self, which: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| which(seen)).cloned().collect()
    }
}

/// What a broken server does once it has read a request's head.
pub(super) enum Act {
    /// Writes this and closes properly.
    Close(&'static str),
    /// Writes this and resets the connection.
    Reset(&'static str),
}

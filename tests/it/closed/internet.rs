//! A proxy that is the whole internet: every host that is ever asked for is seen, and those that there are can lie.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::canary::Canaries;

/// One request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// With a port, if one was named.
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    /// All of it but what is between client and proxy.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} {}{}\n", self.method, self.host, self.path);
        for (name, value) in &self.headers {
            if name != "proxy-authorization" {
                let value = String::from_utf8_lossy(value.as_bytes());
                writeln!(text, "{name}: {value}").unwrap();
            }
        }
        text + &self.body
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.into(),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What a host does instead of answering honestly; nothing if it is honest after all. It sees the honest answer.
pub(crate) type Lie = dyn Fn(&Seen, &Reply) -> Option<Reply> + Send + Sync;

pub(crate) struct Internet {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    /// The server behind each host.
    hosts: BTreeMap<String, String>,
    seen: Mutex<Vec<Seen>>,
    lie: Mutex<Arc<Lie>>,
    canaries: Canaries,
    client: reqwest::Client,
}

impl Drop for Internet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Internet {
    /// With these hosts, each served by the server at a URL. Tokens that pass become canaries.
    pub(crate) async fn start(hosts: &[(&str, String)], canaries: &Canaries) -> Self {
        auditlake::tls::install();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            hosts: hosts
                .iter()
                .map(|(host, url)| ((*host).to_owned(), url.clone()))
                .collect(),
            seen: Mutex::default(),
            lie: Mutex::new(Arc::new(|_, _| None)),
            canaries: canaries.clone(),
            client: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
        });
        let serving = Arc::clone(&state);
        let router = Router::new().fallback(move |request: Request<Body>| {
            let state = Arc::clone(&serving);
            async move { state.answer(request).await }
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            state,
            task,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn lie(&self, lie: impl Fn(&Seen, &Reply) -> Option<Reply> + Send + Sync + 'static) {
        *self.state.lie.lock().unwrap() = Arc::new(lie);
    }

    /// What was seen since this was last asked.
    pub(crate) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.state.seen.lock().unwrap())
    }
}

impl State {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
        let host = parts.uri.authority().map(ToString::to_string);
        let seen = Seen {
            host: host.unwrap_or_else(|| "the proxy itself".to_owned()),
            path: parts
                .uri
                .path_and_query()
                .map_or(String::new(), ToString::to_string),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            method: parts.method,
        };
        self.seen.lock().unwrap().push(seen.clone());
        let honest = self.honest(&seen, body).await;
        self.learn(&honest);
        let lie = Arc::clone(&self.lie.lock().unwrap());
        let reply = lie(&seen, &honest).unwrap_or(honest);
        let mut response = Response::builder().status(reply.status);
        for (name, value) in &reply.headers {
            response = response.header(*name, value);
        }
        response.body(Body::from(reply.body)).unwrap()
    }

    async fn honest(&self, seen: &Seen, body: Bytes) -> Reply {
        let Some(url) = self.hosts.get(&seen.host) else {
            return Reply::new(404, "{}");
        };
        let mut headers = seen.headers.clone();
        for name in [
            "host",
            "proxy-authorization",
            "content-length",
            "connection",
        ] {
            headers.remove(name);
        }
        let asked = self
            .client
            .request(seen.method.clone(), format!("{url}{}", seen.path))
            .headers(headers)
            .body(body)
            .send()
            .await;
        let Ok(answer) = asked else {
            return Reply::new(StatusCode::BAD_GATEWAY.as_u16(), "");
        };
        let status = answer.status().as_u16();
        let kept = ["content-type", "location", "set-cookie", "content-encoding"];
        let headers = kept
            .into_iter()
            .filter_map(|name| {
                let value = answer.headers().get(name)?.to_str().ok()?;
                Some((name, value.to_owned()))
            })
            .collect();
        let body = answer.bytes().await.unwrap_or_default();
        Reply {
            status,
            headers,
            body: self.by_name(body.to_vec()),
        }
    }

    /// What names a server by its address names it as the internet knows it.
    fn by_name(&self, body: Vec<u8>) -> Vec<u8> {
        match String::from_utf8(body) {
            Ok(text) => self
                .hosts
                .iter()
                .fold(text, |text, (host, url)| {
                    text.replace(url.trim_start_matches("http://"), host)
                })
                .into_bytes(),
            Err(binary) => binary.into_bytes(),
        }
    }

    /// What a sign-in or a download hands out is secret from now on.
    fn learn(&self, reply: &Reply) {
        let fields: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        for name in ["access_token", "bearer", "csrf"] {
            if let Some(text) = fields[name].as_str() {
                self.canaries.know(name, text);
            }
        }
        for (name, value) in &reply.headers {
            if *name == "set-cookie"
                && let Some((_, value)) = value.split(';').next().unwrap().split_once('=')
            {
                self.canaries.know("cookie", value);
            }
        }
        let text = String::from_utf8_lossy(&reply.body);
        for signature in text.split("X-Amz-Signature=").skip(1) {
            let end = signature.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.~".contains(c)));
            let signature = &signature[..end.unwrap_or(signature.len())];
            self.canaries.know("download signature", signature);
        }
    }
}

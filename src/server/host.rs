//! The accepted values of `Host`.
//!
//! A foreign web page can make its own name resolve to this server's address (DNS rebinding), so that the browser lets
//! it read the answers. It can't change the name in `Host`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;

use super::health;
use super::problem::ApiProblem;

/// The accepted host names, in addition to IP addresses and those of loopback.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AllowedHosts {
    names: Vec<String>,
}

impl AllowedHosts {
    /// Accepts these names; `*` accepts any.
    pub(crate) fn new(names: &[String]) -> Self {
        let names = names.iter().map(|name| plain(name)).collect();
        Self { names }
    }

    /// Returns whether a host is accepted. Addresses are, as they can't be made to resolve elsewhere.
    fn allow(&self, host: &str) -> bool {
        let host = plain(host);
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.names.iter().any(|name| *name == host || name == "*")
    }
}

/// Returns the normalised name.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

pub(super) async fn check(
    State(hosts): State<watch::Receiver<Arc<AllowedHosts>>>,
    request: Request,
    next: Next,
) -> Response {
    if health::ANY_HOST.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let Some(host) = host_of(request.headers()) else {
        return ApiProblem::new(StatusCode::BAD_REQUEST, "the request has no host").into_response();
    };
    let is_ours = hosts.borrow().allow(&host);
    if is_ours {
        return next.run(request).await;
    }
    let message = format!(
        "`{host}` isn't a permitted name of this server; add it to `server.allowed_hosts` in the configuration"
    );
    ApiProblem::new(StatusCode::MISDIRECTED_REQUEST, message).into_response()
}

/// Returns the host in the request without its port, if there is exactly one.
fn host_of(headers: &HeaderMap) -> Option<String> {
    let mut all = headers.get_all(HOST).iter();
    let (one, None) = (all.next()?, all.next()) else {
        return None;
    };
    let authority: Authority = one.to_str().ok()?.parse().ok()?;
    Some(authority.host().to_owned()).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_loopback_are_always_fine_and_other_names_are_not() {
        let hosts = AllowedHosts::new(&["Lake.example.com".to_owned()]);
        for host in [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "127.0.0.1",
            "10.1.2.3",
            "[::1]",
            "[fd00::1]",
            "lake.example.com",
            "LAKE.example.com.",
        ] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in [
            "evil.example.com",
            "example.com",
            "xlake.example.com",
            "localhost.example.com",
            "evillocalhost",
            "127.0.0.1.example.com",
            "*",
            "",
        ] {
            assert!(!hosts.allow(host), "{host}");
        }
        assert!(AllowedHosts::new(&["*".to_owned()]).allow("evil.example.com"));
    }

    #[test]
    fn a_request_names_one_host() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HOST, axum::http::HeaderValue::from_static(value));
            }
            host_of(&headers)
        };
        assert_eq!(of(&["a.example:8080"]).as_deref(), Some("a.example"));
        assert_eq!(of(&["[::1]:8080"]).as_deref(), Some("[::1]"));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["localhost", "evil.example"]), None);
        assert_eq!(of(&["local host"]), None);
        assert_eq!(of(&[""]), None);
    }
}

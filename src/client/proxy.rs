//! Proxies: which one a request uses, and the meaning of its refusals.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::{StatusCode, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use super::error::Cause;
use crate::foreign;

/// The environment variables of proxies, for https and for all schemes.
const VARIABLES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];
/// The maximum size of a proxy's answer that is read, in bytes.
const ANSWER: usize = 8 * 1024;

/// The proxy of requests.
#[derive(Debug, Default)]
pub(super) struct Proxies(Option<Matcher>);

impl Proxies {
    /// The configured proxy for all requests.
    pub(super) fn all(url: &str) -> Self {
        Self(Some(Matcher::builder().all(url.to_owned()).build()))
    }

    /// The proxies in the environment.
    pub(super) fn of_environment() -> Self {
        Self(Some(Matcher::from_env()))
    }

    /// Returns the proxy for this URL.
    pub(super) fn of(&self, url: &Url) -> Option<Proxy> {
        let uri: Uri = url.as_str().parse().ok()?;
        self.0.as_ref()?.intercept(&uri).map(Proxy)
    }
}

/// Returns the reason why the environment's proxy for this URL can't be used.
pub(super) fn unusable_of_environment(url: &Url) -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let no_proxy = set("NO_PROXY").or_else(|| set("no_proxy"));
    let any = Matcher::builder().all("http://proxy.invalid");
    let any = any.no(no_proxy.unwrap_or_default()).build();
    any.intercept(&url.as_str().parse().ok()?)?;
    let (first, last) = if url.scheme() == "https" {
        (0, 2)
    } else {
        (2, 4)
    };
    let (name, value) = VARIABLES[first..last]
        .iter()
        .chain(&VARIABLES[4..])
        .find_map(|name| Some((name, set(name)?)))?;
    let why = unusable(&value)?;
    Some(format!("the proxy of the environment's `{name}` {why}"))
}

/// Returns the reason why a proxy's URL can't be used, without the URL, which may contain a password.
pub(super) fn unusable(url: &str) -> Option<String> {
    let scheme = url.split_once("://").map_or("http", |(scheme, _)| scheme);
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        let shown: String = foreign::line(scheme).chars().take(20).collect();
        return Some(format!(
            "is of the scheme `{shown}`, which isn't supported; use an http or https proxy"
        ));
    }
    // a host and a port alone mean http
    let whole = if url.contains("://") {
        Url::parse(url)
    } else {
        Url::parse(&format!("http://{url}"))
    };
    (!whole.is_ok_and(|url| url.has_host())).then(|| "isn't an http or https url".to_owned())
}

/// Returns the value of one of these variables.
pub(super) struct Proxy(Intercept);

/// Returns `http://host:port` without credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = self.0.uri();
        let scheme = uri.scheme_str().unwrap_or("http");
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        f.write_str(&foreign::line(&format!("{scheme}://{authority}")))
    }
}

/// The role of a proxy in a request without an answer.
pub(super) enum ProxyRefusal {
    /// It refused the request permanently.
    Status(StatusCode),
    /// It refused the request temporarily, with this description.
    Passing(String),
}

impl Proxy {
    /// Returns the proxy's role in a failure; `None` if the failure is behind the proxy.
    ///
    /// The status of a refused tunnel is determined by another request, as the failure doesn't contain it.
    pub(super) async fn blame(
        &self,
        error: &Cause,
        to: &Url,
        within: Duration,
    ) -> Option<ProxyRefusal> {
        let of_tunnel = tunnel_error(&**error)?;
        if of_tunnel.ends_with("proxy authorization required") {
            return Some(ProxyRefusal::Status(
                StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            ));
        }
        if of_tunnel.ends_with("unsuccessful")
            && let Ok(Some(status)) = tokio::time::timeout(within, self.connect(to)).await
        {
            return Some(ProxyRefusal::Status(status));
        }
        let what = if of_tunnel.ends_with("failed to create underlying connection") {
            "can't be reached"
        } else {
            "didn't open a tunnel"
        };
        Some(ProxyRefusal::Passing(format!("the proxy `{self}` {what}")))
    }

    /// Returns the status of the proxy's answer to CONNECT over plain http.
    async fn connect(&self, to: &Url) -> Option<StatusCode> {
        let uri = self.0.uri();
        if uri.scheme_str() != Some("http") {
            return None;
        }
        let host = uri.host()?.trim_matches(['[', ']']);
        let mut stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80)))
            .await
            .ok()?;
        let (host, port) = (to.host_str()?, to.port_or_known_default()?);
        let mut asked =
            format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
        if let Some(auth) = self.0.basic_auth() {
            asked.extend_from_slice(b"Proxy-Authorization: ");
            asked.extend_from_slice(auth.as_bytes());
            asked.extend_from_slice(b"\r\n");
        }
        asked.extend_from_slice(b"\r\n");
        stream.write_all(&asked).await.ok()?;
        let mut answer = Vec::new();
        while !answer.contains(&b'\n') && answer.len() < ANSWER {
            if stream.read_buf(&mut answer).await.ok()? == 0 {
                break;
            }
        }
        let line = String::from_utf8_lossy(&answer);
        let status = line.strip_prefix("HTTP/")?.split_whitespace().nth(1)?;
        status.parse().ok()
    }
}

/// Returns the advice about a proxy's refusal.
pub(super) fn advice(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            "it requires other credentials: `proxy` accepts `http://user:password@host:port`"
        }
        status if may_pass(status) => "it can't reach the host now",
        _ => "its operator has to permit this host",
    }
}

/// Returns whether a proxy's refusal with this status is temporary.
pub(super) fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        )
}

/// Returns the failure of a tunnel through a proxy. Its own type isn't public.
fn tunnel_error(error: &(dyn Error + 'static)) -> Option<String> {
    let message = error.to_string();
    if message.starts_with("tunnel error: ") {
        return Some(message);
    }
    error.source().and_then(tunnel_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_of_a_scheme_that_is_spoken() {
        for fine in [
            "http://p",
            "https://u:s3cret@p:8080/",
            "HTTP://p:1",
            "p:8080",
            "10.0.0.1:3128",
        ] {
            assert_eq!(unusable(fine), None, "{fine}");
        }
        for bad in [
            "socks5://u:s3cret@p:1",
            "ftp://p",
            "http://",
            "http://u:s3cret@:x",
            "",
        ] {
            let why = unusable(bad).unwrap_or_default();
            assert!(!why.is_empty() && !why.contains("s3cret"), "{bad}: {why}");
        }
    }
}

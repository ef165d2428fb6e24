//! The HTTP client under a store: as `object_store` makes it, but it follows no redirect.
//!
//! A redirect would take what signs a request to whatever host it names: only `Authorization` is left behind on the way,
//! not a session's token. And it would be of no use, as a signature is for one host.

use std::time::Duration;

use object_store::client::{ClientConfigKey as Key, ClientOptions, HttpClient, HttpConnector};
use object_store::{Error, Result};
use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder, NoProxy, Proxy};

/// Makes such clients.
#[derive(Debug)]
pub(super) struct NoRedirects;

impl HttpConnector for NoRedirects {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        builder(options)
            .and_then(ClientBuilder::build)
            .map(HttpClient::new)
            .map_err(|error| Error::Generic {
                store: "http client",
                source: Box::new(error.without_url()),
            })
    }
}

/// A client by all of the store's options but `randomize_addresses` (addresses are taken as the system gives them) and
/// `user_agent`.
fn builder(options: &ClientOptions) -> reqwest::Result<ClientBuilder> {
    let text = |key: Key| options.get_config_value(&key);
    let flag = |key| text(key).is_some_and(|text| is_yes(&text));
    let length = |key| text(key).and_then(|text| length_of(&text));
    let mut builder = reqwest::Client::builder()
        .redirect(Policy::none())
        .user_agent(concat!("auditlake/", env!("CARGO_PKG_VERSION")))
        .https_only(!flag(Key::AllowHttp))
        .danger_accept_invalid_certs(flag(Key::AllowInvalidCertificates))
        .http2_keep_alive_interval(length(Key::Http2KeepAliveInterval))
        .http2_keep_alive_while_idle(flag(Key::Http2KeepAliveWhileIdle));
    if let Some(url) = text(Key::ProxyUrl) {
        let excludes = text(Key::ProxyExcludes);
        let excludes = excludes.and_then(|names| NoProxy::from_string(&names));
        builder = builder.proxy(Proxy::all(url)?.no_proxy(excludes));
        if let Some(pem) = text(Key::ProxyCaCertificate) {
            builder = builder.tls_certs_merge([Certificate::from_pem(pem.as_bytes())?]);
        }
    }
    if flag(Key::NoSystemCertificates) {
        builder = builder.tls_certs_only([]);
    }
    if flag(Key::Http1Only) {
        builder = builder.http1_only();
    }
    if flag(Key::Http2Only) {
        builder = builder.http2_prior_knowledge();
    }
    if let Some(length) = length(Key::Timeout) {
        builder = builder.timeout(length);
    }
    if let Some(length) = length(Key::ConnectTimeout) {
        builder = builder.connect_timeout(length);
    }
    if let Some(length) = length(Key::ReadTimeout) {
        builder = builder.read_timeout(length);
    }
    if let Some(length) = length(Key::PoolIdleTimeout) {
        builder = builder.pool_idle_timeout(length);
    }
    if let Some(length) = length(Key::Http2KeepAliveTimeout) {
        builder = builder.http2_keep_alive_timeout(length);
    }
    if let Some(most) = text(Key::PoolMaxIdlePerHost).and_then(|text| text.parse().ok()) {
        builder = builder.pool_max_idle_per_host(most);
    }
    if let Some(size) = text(Key::Http2MaxFrameSize).and_then(|text| text.parse::<u32>().ok()) {
        builder = builder.http2_max_frame_size(size);
    }
    Ok(builder)
}

/// As `object_store` takes it.
fn is_yes(text: &str) -> bool {
    matches!(
        text.trim().to_ascii_lowercase().as_str(),
        "1" | "true" | "on" | "yes" | "y"
    )
}

/// `30s`, `1m 30s`, `500ms`, `2 minutes`: as `object_store` takes and shows it.
fn length_of(text: &str) -> Option<Duration> {
    let mut whole = Duration::ZERO;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u32 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let unit = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        whole += number
            * match &rest[..unit] {
                "ns" | "nsec" => Duration::from_nanos(1),
                "us" | "usec" => Duration::from_micros(1),
                "ms" | "msec" => Duration::from_millis(1),
                "s" | "sec" | "secs" | "second" | "seconds" => Duration::from_secs(1),
                "m" | "min" | "mins" | "minute" | "minutes" => Duration::from_mins(1),
                "h" | "hr" | "hrs" | "hour" | "hours" => Duration::from_hours(1),
                "d" | "day" | "days" => Duration::from_hours(24),
                _ => return None,
            };
        rest = rest[unit..].trim_start();
    }
    Some(whole)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_flags_are_read_as_the_store_has_them() {
        for (text, millis) in [
            ("30s", 30_000),
            ("1m 30s", 90_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("2 minutes", 120_000),
            ("1day", 86_400_000),
        ] {
            assert_eq!(
                length_of(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in ["30", "s", "1 fortnight", "-1s"] {
            assert_eq!(length_of(text), None, "{text}");
        }
        assert!(is_yes("true") && is_yes("1") && !is_yes("false") && !is_yes(""));
    }

    #[test]
    fn what_the_store_says_of_its_own_options_can_be_read() {
        let options = ClientOptions::new()
            .with_timeout(Duration::from_millis(90_500))
            .with_allow_http(true)
            .with_connect_timeout(Duration::from_secs(7));
        let said = |key| options.get_config_value(&key).unwrap();
        assert_eq!(
            length_of(&said(Key::Timeout)),
            Some(Duration::from_millis(90_500))
        );
        assert_eq!(
            length_of(&said(Key::ConnectTimeout)),
            Some(Duration::from_secs(7))
        );
        assert!(is_yes(&said(Key::AllowHttp)) && !is_yes(&said(Key::AllowInvalidCertificates)));
        assert!(builder(&options).is_ok());
    }
}

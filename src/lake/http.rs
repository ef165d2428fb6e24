//! The HTTP client of a store: like `object_store`'s own, but without redirects.
//!
//! A redirect would send credentials to a foreign host: only `Authorization` would be removed, but not a session token.
//! It would also be useless, as a signature is valid for one host.

use std::path::PathBuf;
use std::time::Instant;

use async_trait::async_trait;
use http::{Method, StatusCode};
use object_store::client::{
    ClientConfigKey as Key, ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind,
    HttpRequest, HttpResponse, HttpService,
};
use object_store::{Error, Result};
use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder, NoProxy, Proxy};
use url::Url;

use super::answer::{FinalRefusal, code_in};
use super::options::{check, flag, length};
use crate::clock::RemoteClock;

/// Creates such clients.
#[derive(Debug, Clone, Default)]
pub(super) struct NoRedirects {
    /// Certificates to trust in addition to the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// The store's clock, by the `Date` of each answer.
    pub(super) clock: RemoteClock,
}

impl HttpConnector for NoRedirects {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let failed = |source| Error::Generic {
            store: "http client",
            source,
        };
        let mut builder = builder(options).map_err(|why| failed(why.into()))?;
        if let Some(path) = &self.ca_file {
            let certificates = certificates(path).map_err(|why| failed(why.into()))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let client = builder.build();
        let client = client.map_err(|error| failed(Box::new(error.without_url())))?;
        let service = AnswerService(client, self.clock.clone());
        Ok(HttpClient::new(Settled(service)))
    }
}

fn certificates(path: &std::path::Path) -> std::result::Result<Vec<Certificate>, String> {
    let shown = path.display();
    let pem = std::fs::read(path)
        .map_err(|error| format!("the ca_file `{shown}` can't be read: {error}"))?;
    crate::tls::certificates(&pem).map_err(|why| format!("the ca_file `{shown}` {why}"))?;
    Certificate::from_pem_bundle(&pem).map_err(|_| format!("the ca_file `{shown}` isn't PEM"))
}

/// Azure may accept a copy and perform it later. Until then the object exists, complete or empty. This client reports a
/// pending copy as a transient failure, so that the store retries, and a failed copy as a missing object.
#[derive(Debug)]
struct Settled<S>(S);

#[async_trait]
impl<S: HttpService> HttpService for Settled<S> {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let looks = request.method() == Method::HEAD;
        let mut answer = self.0.call(request).await?;
        if looks && answer.status().is_success() {
            match answer.headers().get("x-ms-copy-status") {
                None => {}
                Some(status) if status == "success" => {}
                Some(status) if status == "pending" => {
                    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
                Some(_) => *answer.status_mut() = StatusCode::NOT_FOUND,
            }
        }
        Ok(answer)
    }
}

/// Creates a client with all options of the store except `randomize_addresses` (addresses are used in the system's
/// order). An unreadable option is an error, as a client without timeouts would wait forever.
fn builder(options: &ClientOptions) -> std::result::Result<ClientBuilder, String> {
    let text = |key: Key| match options.get_config_value(&key) {
        None => Ok(None),
        Some(text) => match check(key.as_ref(), &text) {
            Ok(()) => Ok(Some(text)),
            Err(why) => Err(format!("`{}` {why}", key.as_ref())),
        },
    };
    let is_set = |key| Ok::<_, String>(text(key)?.and_then(|text| flag(&text)).unwrap_or(false));
    let length_of = |key| Ok::<_, String>(text(key)?.and_then(|text| length(&text)));
    let unusable = |error: reqwest::Error| error.without_url().to_string();
    let agent = text(Key::UserAgent)?;
    let mut builder = reqwest::Client::builder()
        .redirect(Policy::none())
        .user_agent(
            agent.unwrap_or_else(|| concat!("auditlake/", env!("CARGO_PKG_VERSION")).to_owned()),
        )
        .https_only(!is_set(Key::AllowHttp)?)
        .danger_accept_invalid_certs(is_set(Key::AllowInvalidCertificates)?)
        .http2_keep_alive_interval(length_of(Key::Http2KeepAliveInterval)?)
        .http2_keep_alive_while_idle(is_set(Key::Http2KeepAliveWhileIdle)?);
    if let Some(url) = text(Key::ProxyUrl)? {
        let excludes = text(Key::ProxyExcludes)?;
        let excludes = excludes.and_then(|names| NoProxy::from_string(&names));
        let proxy = Proxy::all(url).map_err(|error| error.without_url().to_string())?;
        builder = builder.proxy(proxy.no_proxy(excludes));
        if let Some(pem) = text(Key::ProxyCaCertificate)? {
            let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(unusable)?;
            builder = builder.tls_certs_merge(certificates);
        }
    }
    if is_set(Key::NoSystemCertificates)? {
        builder = builder.tls_certs_only([]);
    }
    if is_set(Key::Http1Only)? {
        builder = builder.http1_only();
    }
    if is_set(Key::Http2Only)? {
        builder = builder.http2_prior_knowledge();
    }
    if let Some(length) = length_of(Key::Timeout)? {
        builder = builder.timeout(length);
    }
    if let Some(length) = length_of(Key::ConnectTimeout)? {
        builder = builder.connect_timeout(length);
    }
    if let Some(length) = length_of(Key::ReadTimeout)? {
        builder = builder.read_timeout(length);
    }
    if let Some(length) = length_of(Key::PoolIdleTimeout)? {
        builder = builder.pool_idle_timeout(length);
    }
    if let Some(length) = length_of(Key::Http2KeepAliveTimeout)? {
        builder = builder.http2_keep_alive_timeout(length);
    }
    if let Some(most) = text(Key::PoolMaxIdlePerHost)?.and_then(|text| text.parse().ok()) {
        builder = builder.pool_max_idle_per_host(most);
    }
    if let Some(size) = text(Key::Http2MaxFrameSize)?.and_then(|text| text.parse::<u32>().ok()) {
        builder = builder.http2_max_frame_size(size);
    }
    Ok(builder)
}

/// Returns whether retries can't change an answer, although `object_store` would retry.
fn is_final(status: StatusCode) -> bool {
    (status.is_redirection() && status != StatusCode::NOT_MODIFIED)
        || matches!(
            status,
            StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED
        )
}

/// A client that turns final refusals into errors.
#[derive(Debug)]
struct AnswerService(reqwest::Client, RemoteClock);

#[async_trait]
impl HttpService for AnswerService {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let sent = Instant::now();
        let answer = self.0.call(request).await?;
        self.1.hear(answer.headers(), sent);
        let status = answer.status();
        if !is_final(status) {
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let header = |name| {
            let value = parts.headers.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let region = header("x-amz-bucket-region");
        let host =
            header("location").and_then(|to| Some(Url::parse(&to).ok()?.host_str()?.to_owned()));
        let body = body.bytes().await.unwrap_or_default(); // only an explanation
        let message = String::from_utf8_lossy(&body[..body.len().min(4096)]).into_owned();
        let refused = FinalRefusal {
            status: status.as_u16(),
            code: code_in(&message),
            reason: status.canonical_reason().unwrap_or_default(),
            message,
            region,
            host,
        };
        Err(HttpError::new(HttpErrorKind::Unknown, refused))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_the_store_says_of_its_own_options_can_be_read() {
        let options = ClientOptions::new()
            .with_timeout(Duration::from_millis(90_500))
            .with_allow_http(true)
            .with_connect_timeout(Duration::from_secs(7));
        let message = |key| options.get_config_value(&key).unwrap();
        assert_eq!(
            length(&message(Key::Timeout)),
            Some(Duration::from_millis(90_500))
        );
        assert_eq!(
            length(&message(Key::ConnectTimeout)),
            Some(Duration::from_secs(7))
        );
        assert_eq!(flag(&message(Key::AllowHttp)), Some(true));
        assert_eq!(flag(&message(Key::AllowInvalidCertificates)), Some(false));
        assert!(builder(&options).is_ok());
    }

    #[test]
    fn an_option_that_cant_be_read_makes_no_client() {
        for (key, value) in [
            (Key::Timeout, "30"),
            (Key::ConnectTimeout, "soon"),
            (Key::AllowHttp, "perhaps"),
            (Key::PoolMaxIdlePerHost, "many"),
            (Key::Http2MaxFrameSize, "1"),
            (Key::ProxyUrl, "proxy"),
        ] {
            let options = ClientOptions::new().with_config(key, value);
            let error = builder(&options).unwrap_err();
            assert!(
                error.starts_with(&format!("`{}` is", key.as_ref())),
                "{error}"
            );
            assert!(NoRedirects::default().connect(&options).is_err());
        }
    }

    #[test]
    fn a_ca_file_must_hold_a_certificate() {
        crate::tls::install();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hello").unwrap();
        for (path, why) in [
            (file.path(), "holds no PEM certificate"),
            (std::path::Path::new("/no/such.pem"), "can't be read"),
        ] {
            let connector = NoRedirects {
                ca_file: Some(path.to_owned()),
                ..NoRedirects::default()
            };
            let error = connector
                .connect(&ClientOptions::new())
                .unwrap_err()
                .to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    /// answers HEAD with this status of a copy
    #[derive(Debug)]
    struct Copied(Option<&'static str>);

    #[async_trait]
    impl HttpService for Copied {
        async fn call(&self, _: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
            let mut answer = HttpResponse::new(Vec::new().into());
            if let Some(status) = self.0 {
                let status = http::HeaderValue::from_static(status);
                answer.headers_mut().insert("x-ms-copy-status", status);
            }
            Ok(answer)
        }
    }

    #[tokio::test]
    async fn an_object_whose_copy_is_pending_is_not_there_yet() {
        for (status, head, get) in [
            (None, 200, 200),
            (Some("success"), 200, 200),
            (Some("pending"), 503, 200),
            (Some("failed"), 404, 200),
            (Some("aborted"), 404, 200),
        ] {
            for (method, wanted) in [(Method::HEAD, head), (Method::GET, get)] {
                let mut request = HttpRequest::new(Vec::new().into());
                *request.method_mut() = method;
                let answer = Settled(Copied(status)).call(request).await.unwrap();
                assert_eq!(answer.status().as_u16(), wanted, "{status:?}");
            }
        }
    }
}

//! Creating a connection's transport from its settings.

use std::path::Path;
use std::sync::Arc;

use http::HeaderName;
use percent_encoding::percent_decode_str;
use url::Url;

use super::error::Cause;
use super::proxy::{self, Proxies};
use super::{ClientSettings, url_policy};
use crate::providers::{Endpoint, ServiceHost, SignIn};
use crate::secret::{Redactor, Secret};
use crate::tls;

/// The maximum number of headers in an answer; some gateways add many.
const MOST_HEADERS: usize = 1_024;
/// The maximum size of an answer's headers over HTTP/2 in bytes, the same as over HTTP/1.
const HEADER_BYTES: u32 = 400 * 1024;

/// Returns the URL of a service, or of its look-up.
pub(super) fn asked(place: &ServiceHost) -> &Url {
    match place {
        ServiceHost::At(url) => url,
        ServiceHost::Named(named) => &named.question,
    }
}

/// A problem with the settings, and its cause.
pub(super) type SetupProblem = (String, Option<Cause>);

/// Refuses invalid settings, and those that would send credentials to hosts that aren't permitted.
pub(super) fn check(settings: &ClientSettings) -> Result<(), SetupProblem> {
    let plain = |problem| (problem, None);
    let Endpoint {
        api,
        sign_in,
        headers,
        trusted_hosts,
        ..
    } = &settings.endpoint;
    let allow_http = settings.allow_http;
    let check = |what: &str, place: &ServiceHost, may_query: bool| match place {
        ServiceHost::At(url) if may_query => {
            url_policy::check_trusted(what, url, trusted_hosts, allow_http).map_err(plain)
        }
        ServiceHost::At(url) => {
            url_policy::check_credentialed(what, url, trusted_hosts, allow_http).map_err(plain)
        }
        ServiceHost::Named(named) => {
            url_policy::check_named(what, named, may_query, allow_http).map_err(plain)
        }
    };
    check("api's url", api, false)?;
    match sign_in {
        SignIn::ClientCredentials { token_url, .. } => check("token url", token_url, true)?,
        SignIn::Basic { .. } => {}
        SignIn::Session { login, refresh, .. } => {
            check("login's url", login, true)?;
            check("refresh's url", refresh, true)?;
        }
    }
    for (name, _) in headers {
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(plain(format!("`{name}` can't be a header's name")));
        }
    }
    let (limit, per) = settings.rate_limit;
    if limit == 0 || per.is_zero() {
        let problem = format!("the rate limit `{limit}` per `{per:?}` permits no request");
        return Err(plain(problem));
    }
    Ok(())
}

pub(super) fn http_client(
    settings: &ClientSettings,
) -> Result<(reqwest::Client, Proxies), SetupProblem> {
    let limits = &settings.limits;
    let unusable = |error: Cause| ("the http client can't be set up".to_owned(), Some(error));
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("auditlake/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .dns_resolver(url_policy::GuardedDns)
        .connect_timeout(limits.connect_timeout)
        .http1_max_headers(MOST_HEADERS)
        .http2_max_header_list_size(HEADER_BYTES)
        .read_timeout(limits.read_timeout)
        .timeout(limits.total_timeout);
    builder = match &settings.ca_file {
        None => {
            let shared = tls::shared().map_err(|error| unusable(Arc::new(error)))?;
            builder.tls_backend_preconfigured(shared)
        }
        Some(path) => {
            tls::install();
            builder.tls_certs_merge(certificates(path)?)
        }
    };
    let api = asked(&settings.endpoint.api);
    let proxies = if let Some(proxy) = &settings.proxy {
        let (proxy, proxies) = proxy_of(proxy)?;
        builder = builder.proxy(proxy);
        proxies
    } else if url_policy::is_loopback(api) {
        builder = builder.no_proxy();
        Proxies::default()
    } else if let Some(problem) = proxy::unusable_of_environment(api) {
        return Err((problem, None));
    } else {
        Proxies::of_environment()
    };
    let client = builder.build().map_err(|error| unusable(Arc::new(error)))?;
    Ok((client, proxies))
}

fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, SetupProblem> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|error| {
        let problem = format!("the ca_file `{shown}` can't be read");
        (problem, Some(Arc::new(error) as Cause))
    })?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| {
        let problem = format!("the ca_file `{shown}` isn't PEM");
        (problem, Some(Arc::new(error) as Cause))
    })?;
    if certificates.is_empty() {
        let problem = format!("the ca_file `{shown}` holds no PEM certificate");
        return Err((problem, None));
    }
    Ok(certificates)
}

/// Returns the secrets of a proxy: the credentials in its URL, verbatim and decoded.
pub(super) fn hidden(proxy: &Secret) -> Redactor {
    let url = proxy.reveal().ok().and_then(|url| Url::parse(&url).ok());
    let Some((user, password)) = url
        .as_ref()
        .and_then(|url| Some((url.username(), url.password()?)))
    else {
        return Redactor::default();
    };
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pair = format!("{}:{}", decoded(user), decoded(password));
    Redactor::new([password, decoded(password).as_str(), pair.as_str()])
}

/// Creates the proxy. The error never contains its URL, which may contain a password.
fn proxy_of(secret: &Secret) -> Result<(reqwest::Proxy, Proxies), SetupProblem> {
    let text = secret.reveal().map_err(|error| {
        let problem = "the proxy's url can't be read".to_owned();
        (problem, Some(Arc::new(error) as Cause))
    })?;
    if let Some(why) = proxy::unusable(&text) {
        return Err((format!("the proxy {why}"), None));
    }
    let proxy = reqwest::Proxy::all(text.as_str())
        .map_err(|_| ("the proxy isn't an http or https url".to_owned(), None))?;
    Ok((proxy, Proxies::all(&text)))
}

//! The hosts of an account's services, which are looked up by name.

use serde::Deserialize;
use url::Url;

use crate::providers::json::{Object, OneOrMany, ScalarText};
use crate::providers::{DiscoveredHost, ServiceHost};

/// The public look-up.
pub(super) const PUBLIC_LOOK_UP: &str = "https://api.liveperson.net";

/// The service with the audit trail. Names are case-sensitive.
pub(super) const CONFIGURATION: &str = "accountConfigReadOnly";
/// The service that issues OAuth 2.0 tokens.
pub(super) const SENTINEL: &str = "sentinel";
/// The service for users' logins.
pub(super) const LOGIN: &str = "agentVep";

/// An answer of the look-up.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Many<'a> {
    #[serde(borrow, rename = "baseURIs")]
    base_uris: OneOrMany<Object<One<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct One<'a> {
    #[serde(borrow)]
    service: ScalarText<'a>,
    #[serde(borrow, rename = "baseURI")]
    base_uri: ScalarText<'a>,
}

/// Returns a service on the host returned by the look-up at `domain`, with `path`.
pub(super) fn looked_up(
    domain: &Url,
    account: &str,
    service: &'static str,
    path: String,
) -> ServiceHost {
    let mut question = domain.clone();
    let base = domain.path().trim_end_matches('/');
    question.set_path(&format!(
        "{base}/api/account/{account}/service/{service}/baseURI.json"
    ));
    question.set_query(Some("version=1.0"));
    ServiceHost::Named(DiscoveredHost {
        service,
        question,
        host,
        path,
    })
}

/// Returns `path`, perhaps with a query, below a known base.
pub(super) fn below(base: &Url, path: &str) -> ServiceHost {
    let mut url = base.clone();
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    ServiceHost::At(url)
}

/// Returns the host of the service in an answer, alone or among others.
fn host(body: &str, service: &str) -> Option<String> {
    let one: One = serde_json::from_str(body).ok()?;
    let many: Many = serde_json::from_str(body).ok()?;
    let all = std::iter::once(one).chain(many.base_uris.0.into_iter().map(|Object(one)| one));
    let mut named = all.filter(|one| one.service.as_deref() == Some(service));
    let found = named.find_map(|one| one.base_uri.0)?;
    // documented without a scheme; a scheme is ignored, as the connection's own is used
    let host = found.split_once("://").map_or(&*found, |(_, host)| host);
    Some(host.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_found_in_both_forms() {
        let one = r#"{"service":"sentinel","account":"1","baseURI":"va.sentinel.liveperson.net"}"#;
        let many = r#"{"baseURIs":[{"service":"agentVep","baseURI":"a.liveperson.net"},{"service":"sentinel","baseURI":"https://s.liveperson.net:8443/"}]}"#;
        for (body, service, expected) in [
            (one, "sentinel", Some("va.sentinel.liveperson.net")),
            (one, "Sentinel", None),
            (one, "agentVep", None),
            (many, "sentinel", Some("s.liveperson.net:8443")),
            (many, "agentVep", Some("a.liveperson.net")),
            (many, "accountConfigReadOnly", None),
            (r#"{"service":"sentinel","baseURI":null}"#, "sentinel", None),
            (r#"{"service":"sentinel"}"#, "sentinel", None),
            ("[]", "sentinel", None),
            ("no JSON", "sentinel", None),
        ] {
            assert_eq!(host(body, service).as_deref(), expected, "{body} {service}");
        }
    }
}

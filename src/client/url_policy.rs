//! The policy of URLs: the hosts to which requests and credentials may be sent.
//!
//! Credentials are sent to the endpoint's API host and its sign-in host, which have to be trusted by name, even if a
//! look-up returned them. A look-up has no credentials. A download is requested from any host that the provider names,
//! but without credentials, cookies or redirects.
//!
//! Not covered for downloads: names that resolve to a loopback or private address (an object store with a private
//! endpoint in one's own network is legitimate), and names resolved by a proxy. Names that resolve to a link-local or
//! metadata address are refused by [`GuardedDns`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use percent_encoding::percent_decode_str;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::error::bare;
use crate::providers::DiscoveredHost;

/// Refuses a URL to which credentials may not be sent. The error is the problem's text.
pub(super) fn check_credentialed(
    what: &str,
    url: &Url,
    trusted_hosts: &[String],
    allow_http: bool,
) -> Result<(), String> {
    let shown = bare(url);
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "the {what} `{shown}` can't have a query or a fragment"
        ));
    }
    check_trusted(what, url, trusted_hosts, allow_http)
}

/// Refuses such a URL, but permits a query.
pub(super) fn check_trusted(
    what: &str,
    url: &Url,
    trusted_hosts: &[String],
    allow_http: bool,
) -> Result<(), String> {
    let shown = bare(url);
    check_scheme(what, url, &shown, allow_http)?;
    if url.fragment().is_some() {
        return Err(format!("the {what} `{shown}` can't have a fragment"));
    }
    let host = url.host_str().unwrap_or_default();
    if !trusted_hosts.iter().any(|suffix| is_within(host, suffix)) {
        return Err(format!(
            "credentials may not go to the {what} `{shown}`: its host is none of `{}`; \
             `allowed_hosts` can add it",
            trusted_hosts.join("`, `")
        ));
    }
    Ok(())
}

/// Refuses an invalid look-up: its URL, and the path after the returned host, which may have a query.
pub(super) fn check_named(
    what: &str,
    named: &DiscoveredHost,
    may_query: bool,
    allow_http: bool,
) -> Result<(), String> {
    let DiscoveredHost {
        service,
        question,
        path,
        ..
    } = named;
    let look_up = format!("`{service}` look-up's url");
    check_scheme(&look_up, question, &bare(question), allow_http)?;
    let url = with_path(question, path)?;
    let shown = path.escape_debug();
    if url.fragment().is_some() {
        return Err(format!("the {what} can't have a fragment: `{shown}`"));
    }
    if url.query().is_some() && !may_query {
        return Err(format!("the {what} can't have a query: `{shown}`"));
    }
    Ok(())
}

/// Returns the URL's scheme, host and port with this path, which is empty or begins with a slash.
pub(super) fn with_path(host: &Url, path: &str) -> Result<Url, String> {
    let shown = path.escape_debug();
    // a path that begins with two slashes would name another host
    if !path.is_empty() && (!path.starts_with('/') || path.starts_with("//") || path.contains('\\'))
    {
        return Err(format!("the path `{shown}` must begin with one slash"));
    }
    let absolute = if path.is_empty() { "/" } else { path };
    host.join(absolute)
        .ok()
        .filter(|url| url.origin() == host.origin())
        .ok_or_else(|| format!("the path `{shown}` can't follow a host"))
}

/// Returns the URL of the host that a look-up returned, perhaps with a port, with the look-up's scheme. Fails if
/// credentials may not be sent there.
pub(super) fn named_host(
    named: &DiscoveredHost,
    host: &str,
    trusted_hosts: &[String],
    allow_http: bool,
) -> Result<Url, String> {
    let service = named.service;
    let odd = |character: char| {
        !(character.is_ascii_alphanumeric()
            || matches!(character, '-' | '.' | '_' | ':' | '[' | ']'))
    };
    let url = Some(host)
        .filter(|host| !host.contains(odd))
        .and_then(|host| Url::parse(&format!("{}://{host}/", named.question.scheme())).ok())
        .ok_or_else(|| {
            let shown: String = host.chars().take(100).collect();
            format!(
                "`{}`, which the look-up of `{service}` names, isn't a host",
                shown.escape_debug()
            )
        })?;
    let what = format!("host that is named for `{service}`,");
    check_credentialed(&what, &url, trusted_hosts, allow_http)?;
    Ok(url)
}

fn check_scheme(what: &str, url: &Url, shown: &str, allow_http: bool) -> Result<(), String> {
    match url.scheme() {
        "https" => {}
        "http" if allow_http => {}
        "http" => {
            return Err(format!(
                "the {what} `{shown}` must be https, unless `allow_http` is set"
            ));
        }
        _ => return Err(format!("the {what} `{shown}` must be https")),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("the {what} `{shown}` has no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "the {what} `{shown}` can't hold a user or password"
        ));
    }
    Ok(())
}

/// Returns whether `host` is `suffix` or a subdomain of it.
fn is_within(host: &str, suffix: &str) -> bool {
    let plain = |text: &str| text.trim_matches(['.', '[', ']']).to_ascii_lowercase();
    let (host, suffix) = (plain(host), plain(suffix));
    if suffix.is_empty() {
        return false;
    }
    host.strip_suffix(&suffix).is_some_and(|rest| {
        rest.is_empty() || rest.ends_with('.') && host.parse::<IpAddr>().is_err()
    })
}

/// Returns the URL of an API call: always with the base's scheme, host and port, and a path below the base's.
pub(super) fn api_url(
    base: &Url,
    path: &str,
    query: &[(&'static str, String)],
) -> Result<Url, String> {
    let refuse = |why: &str| Err(format!("the path `{}` {why}", path.escape_debug()));
    if !path.starts_with('/') {
        return refuse("must begin with a slash");
    }
    if path.contains("//") {
        return refuse("has an empty segment");
    }
    if path.contains(['?', '#']) {
        return refuse("can't hold a query or a fragment");
    }
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    if decoded.contains('\\') || decoded.chars().any(char::is_control) {
        return refuse("holds a backslash or a control character");
    }
    if decoded
        .split('/')
        .any(|segment| matches!(segment, "." | ".."))
    {
        return refuse("leaves its place by dots");
    }
    let mut url = base.clone();
    let below = base.path().trim_end_matches('/');
    url.set_path(&format!("{below}{path}"));
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
        // `%20` is always a space, but `+` only if the query is parsed as a form; a plus is `%2B`
        let spaced = url.query().map(|query| query.replace('+', "%20"));
        url.set_query(spaced.as_deref());
    }
    // checks the guarantee, independent of how the parser treats the path
    if url.origin() != base.origin() || !url.path().starts_with(&format!("{below}/")) {
        return refuse("leaves the api's base");
    }
    Ok(url)
}

/// Returns the URL of a download, if requests without credentials may be sent there.
pub(super) fn download_url(text: &str, allow_http: bool) -> Result<Url, String> {
    // the text isn't shown, as its query is a signature
    let url =
        Url::parse(text).map_err(|_| "the download's url isn't an absolute url".to_owned())?;
    let shown = bare(&url);
    check_scheme("download's url", &url, &shown, allow_http)?;
    let address = match url.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Some(Host::Domain(name)) if is_within(name, "localhost") => {
            Some(IpAddr::V4(Ipv4Addr::LOCALHOST))
        }
        _ => None,
    };
    match address.map(unmapped) {
        Some(address) if is_metadata(address) => Err(format!(
            "the download's url `{shown}` goes to a link-local or metadata address"
        )),
        Some(address) if !allow_http && is_internal(address) => Err(format!(
            "the download's url `{shown}` goes to an internal address, unless `allow_http` is set"
        )),
        _ => Ok(url),
    }
}

/// Returns the IPv4 address in an IPv6 one (mapped, compatible, NAT64, 6to4), or the address itself.
fn unmapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else {
        return address;
    };
    let four = |high: u16, low: u16| IpAddr::V4((u32::from(high) << 16 | u32::from(low)).into());
    match six.segments() {
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => four(high, low),
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => four(high, low),
        _ => address,
    }
}

/// Returns whether clouds provide credentials to their machines at this address.
fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_link_local() || four == Ipv4Addr::new(100, 100, 100, 200),
        IpAddr::V6(six) => {
            six.is_unicast_link_local() || six == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

/// Returns whether the address belongs to this machine or a private network.
fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            let [first, second, ..] = four.octets();
            four.is_loopback()
                || four.is_private()
                || four.is_broadcast()
                || four.is_multicast()
                || first == 0
                || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(six) => {
            six.is_loopback() || six.is_unspecified() || six.is_unique_local() || six.is_multicast()
        }
    }
}

/// Returns whether the URL's host is this machine, for which the system's proxy isn't used.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => is_within(name, "localhost"),
        None => false,
    }
}

/// The system's resolver without link-local and metadata addresses.
#[derive(Debug)]
pub(super) struct GuardedDns;

impl Resolve for GuardedDns {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await?
                .filter(|address| !is_metadata(unmapped(address.ip())))
                .collect();
            if addresses.is_empty() {
                return Err("the name resolves to no address that may be used".into());
            }
            Ok::<Addrs, _>(Box::new(addresses.into_iter()))
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_path_stays_below_the_base() {
        let base = url("https://api.example.com/v2");
        let query = [("interval", "a/b +c&d".to_owned())];
        assert_eq!(
            api_url(&base, "/audits/a%2Fb", &query).unwrap().as_str(),
            "https://api.example.com/v2/audits/a%2Fb?interval=a%2Fb%20%2Bc%26d"
        );
        assert_eq!(
            api_url(&url("https://api.example.com"), "/x", &[])
                .unwrap()
                .as_str(),
            "https://api.example.com/x"
        );
        for path in [
            "",
            "x",
            "//evil.example/x",
            "/a//b",
            "/../x",
            "/a/..",
            "/a/%2e%2E/b",
            "/a%2f..%2fb",
            "/.",
            "/\\evil.example",
            "/%5cevil",
            "https://evil.example/",
            "/x?y=1",
            "/x#y",
            "/x\ny",
            "/x%0d%0ay",
            "@evil.example/",
        ] {
            assert!(api_url(&base, path, &[]).is_err(), "{path}");
        }
    }

    #[test]
    fn credentials_go_to_trusted_hosts_only() {
        let trusted = [
            "pure.cloud".to_owned(),
            ".Example.com".to_owned(),
            String::new(),
        ];
        let check = |text: &str, http| check_credentialed("base_url", &url(text), &trusted, http);
        for good in [
            "https://pure.cloud",
            "https://api.usw2.pure.cloud:8443/v2",
            "https://API.EXAMPLE.COM.",
        ] {
            assert_eq!(check(good, false), Ok(()), "{good}");
        }
        for bad in [
            "https://evilpure.cloud",
            "https://pure.cloud.evil.example",
            "https://10.0.0.1",
            "http://api.pure.cloud",
            "ftp://api.pure.cloud",
            "https://user@api.pure.cloud",
            "https://:secret@api.pure.cloud",
            "https://api.pure.cloud/?a=b",
        ] {
            let problem = check(bad, false).unwrap_err();
            assert!(!problem.contains("secret"), "{problem}");
        }
        assert_eq!(check("http://api.pure.cloud", true), Ok(()));
        assert!(is_within("127.0.0.1", "127.0.0.1") && is_within("[::1]", "::1"));
        assert!(!is_within("127.0.0.1", "0.0.1"));
    }

    #[test]
    fn a_refused_url_says_why_without_its_query() {
        let refused = |text| download_url(text, false).unwrap_err();
        insta::assert_snapshot!(refused("http://a.example/x?sig=s"), @"the download's url `http://a.example/x` must be https, unless `allow_http` is set");
        insta::assert_snapshot!(refused("/x?sig=s"), @"the download's url isn't an absolute url");
        insta::assert_snapshot!(refused("https://169.254.169.254/x?sig=s"), @"the download's url `https://169.254.169.254/x` goes to a link-local or metadata address");
        insta::assert_snapshot!(refused("https://10.1.2.3/x?sig=s"), @"the download's url `https://10.1.2.3/x` goes to an internal address, unless `allow_http` is set");
        insta::assert_snapshot!(check_credentialed("base_url", &url("https://a.example"), &["b.example".to_owned()], false).unwrap_err(), @"credentials may not go to the base_url `https://a.example/`: its host is none of `b.example`; `allowed_hosts` can add it");
        insta::assert_snapshot!(api_url(&url("https://a.example"), "/../x", &[]).unwrap_err(), @"the path `/../x` leaves its place by dots");
    }

    #[test]
    fn downloads_never_reach_metadata_and_reach_internal_hosts_only_if_allowed() {
        for never in [
            "169.254.169.254",
            "2852039166",
            "0xa9.0xfe.0xa9.0xfe",
            "[::ffff:169.254.169.254]",
            "[::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "100.100.100.200",
        ] {
            let text = format!("https://{never}/x");
            assert!(download_url(&text, false).is_err(), "{never}");
            assert!(download_url(&text, true).is_err(), "{never}");
        }
        for internal in [
            "127.0.0.1",
            "localhost",
            "a.localhost",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[fc00::1]",
            "[::ffff:10.0.0.1]",
            "127.1",
        ] {
            let text = format!("https://{internal}/x");
            assert!(download_url(&text, false).is_err(), "{internal}");
            assert!(download_url(&text, true).is_ok(), "{internal}");
        }
        for bad in [
            "file:///etc/passwd",
            "x",
            "https://u:p@a.example/",
            "ftp://a.example/",
        ] {
            assert!(download_url(bad, true).is_err(), "{bad}");
        }
        for good in [
            "https://bucket.s3.amazonaws.com/k?X-Amz-Signature=s",
            "https://93.184.216.34/",
        ] {
            assert!(download_url(good, false).is_ok(), "{good}");
        }
    }

    #[tokio::test]
    async fn the_resolver_knows_no_metadata_address() {
        let resolve = |name: &'static str| GuardedDns.resolve(name.parse().unwrap());
        assert!(resolve("localhost").await.is_ok());
        assert!(resolve("169.254.169.254").await.is_err());
    }
}

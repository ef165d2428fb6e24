//! Credentials go only to the hosts of their connection, whatever an answer or a setting says. A proxy sees every
//! requested host, whether it exists or not.

use std::collections::BTreeSet;

use super::connections::{Connections, DOWNLOADS, OWN, Way};
use super::internet::{Reply, Seen};

/// Hosts that aren't ours, though some look so.
const FOREIGN: [&str; 14] = [
    "evil.test",
    "evil.test:8080",
    "evil-liveperson.net",
    "liveperson.net.evil.test",
    "liveperson.net@evil.test",
    "liveperson.net:x@evil.test",
    "evil.test/.liveperson.net",
    "evil.test\\\\.liveperson.net",
    "evil.test#.liveperson.net",
    "evil.test?.liveperson.net",
    "livepers\u{f6}n.net",
    "xn--livepersn-57a.net",
    "[::ffff:203.0.113.7]",
    "203.0.113.7",
];

fn host_of(seen: &Seen) -> &str {
    let host = seen.host.as_str();
    host.strip_suffix(":80").unwrap_or(host)
}

/// No request went anywhere but to the connections' own hosts and the download's, and the latter's carried no secret.
#[track_caller]
fn assert_at_home(connections: &Connections, what: &str) -> usize {
    let seen = connections.internet.take_seen();
    assert!(!seen.is_empty(), "{what}: nothing was asked at all");
    for seen in &seen {
        let host = host_of(seen);
        assert!(
            OWN.contains(&host) || host == DOWNLOADS,
            "{what}: {}",
            seen.text()
        );
        if host == DOWNLOADS {
            assert_bare(connections, seen, what);
        }
    }
    seen.len()
}

/// A request without credentials; the signature in its own URL is the host's own.
#[track_caller]
fn assert_bare(connections: &Connections, seen: &Seen, what: &str) {
    for name in ["authorization", "cookie", "appkey"] {
        assert!(!seen.headers.contains_key(name), "{what}: {}", seen.text());
    }
    let without_signature = Seen {
        path: seen
            .path
            .split("X-Amz-Signature=")
            .next()
            .unwrap()
            .to_owned(),
        ..seen.clone()
    };
    let found = connections
        .canaries
        .found_in(without_signature.text().as_bytes());
    assert_eq!(found, None, "{what}: {}", seen.text());
}

fn is_sign_in(seen: &Seen) -> bool {
    seen.path.contains("token") || seen.path.contains("/login") || seen.path.contains("/refresh")
}

/// Which requests are lied to.
type IsOf = fn(&Seen) -> bool;

fn is_look_up(seen: &Seen) -> bool {
    seen.path.contains("baseURI")
}

fn is_download(seen: &Seen) -> bool {
    seen.host.contains("download")
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let connections = Connections::start(Way::Variable).await;
    let mut requests = 0;
    let locations = ["http://evil.test/x", "//evil.test/x", "https://evil.test/x"];
    for (number, status) in [301, 302, 303, 307, 308].into_iter().enumerate() {
        let parts: [(&str, IsOf); 4] = [
            ("api", |seen| {
                !is_sign_in(seen) && !is_look_up(seen) && !is_download(seen)
            }),
            ("sign-in", is_sign_in),
            ("look-up", is_look_up),
            ("download", is_download),
        ];
        for (part, (what, of)) in parts.into_iter().enumerate() {
            let location = locations[(number + part) % locations.len()];
            connections.internet.lie(move |seen, _| {
                of(seen).then(|| Reply::new(status, "{}").with("location", location))
            });
            // in the lake of the run before, nothing might be due
            connections.forget_lake();
            connections.run(&["run", "--once"]).await;
            requests += assert_at_home(&connections, &format!("{status} of {what} to {location}"));
        }
    }
    println!("no redirect is followed: 20 redirects, {requests} requests seen");
    connections.canaries.assert_silent("redirects");
}

#[tokio::test]
async fn a_download_elsewhere_goes_bare() {
    let connections = Connections::start(Way::Plain).await;
    connections.internet.lie(|seen, honest| {
        let text = String::from_utf8_lossy(&honest.body);
        let elsewhere = text.replace(DOWNLOADS, "evil.test");
        let mut reply = Reply::new(honest.status, elsewhere);
        for (name, value) in &honest.headers {
            if *name == "location" {
                reply = reply.with("location", value.replace(DOWNLOADS, "evil.test"));
            }
        }
        seen.path.contains("/results").then_some(reply)
    });
    connections
        .run(&["run", "--once", "--job", "genesys-audits"])
        .await;
    let seen = connections.internet.take_seen();
    let there: Vec<&Seen> = seen
        .iter()
        .filter(|seen| host_of(seen) == "evil.test")
        .collect();
    assert!(!there.is_empty(), "the download was asked for");
    for seen in there {
        assert_bare(&connections, seen, "a foreign download");
    }
    assert!(
        seen.iter()
            .all(|seen| OWN.contains(&host_of(seen)) || host_of(seen) == "evil.test")
    );
}

#[tokio::test]
async fn a_download_that_is_not_https_needs_leave() {
    let connections = Connections::start(Way::Plain).await;
    // the connection itself is https: its proxy gets a request for a tunnel and refuses it
    connections.change(
        "base_url: http://api.genesys.test",
        "base_url: https://api.genesys.test",
    );
    connections.change(
        "login_url: http://login.genesys.test",
        "login_url: https://login.genesys.test",
    );
    connections.change("    allow_http: true\n", "");
    connections.change("http://api.avaya.test", "https://api.avaya.test");
    connections.change(
        "http://domain.liveperson.net",
        "https://domain.liveperson.net",
    );
    connections.change(
        "http://api.everyware.test/v2",
        "https://api.everyware.test/v2",
    );
    connections
        .internet
        .lie(|_, _| Some(Reply::new(502, "no tunnel")));
    connections.run(&["check"]).await;
    for seen in connections.internet.take_seen() {
        assert_eq!(seen.method, "CONNECT", "{}", seen.text());
        assert!(seen.host.ends_with(":443"), "{}", seen.text());
        assert_eq!(connections.canaries.found_in(seen.text().as_bytes()), None);
    }
    connections.canaries.assert_silent("https only");
}

#[tokio::test]
async fn links_that_name_another_host_are_not_followed() {
    let connections = Connections::start(Way::File).await;
    let evil = "http://evil.test/next";
    connections.internet.lie(move |seen, honest| {
        if is_sign_in(seen) || is_look_up(seen) {
            return None;
        }
        let mut page: serde_json::Value = serde_json::from_slice(&honest.body).ok()?;
        let fields = page.as_object_mut()?;
        for name in [
            "next",
            "nextUri",
            "nextPage",
            "selfUri",
            "pageToken",
            "nextUrl",
            "href",
            "uri",
        ] {
            fields.insert(name.to_owned(), evil.into());
        }
        let links = serde_json::json!({ "next": evil, "self": evil, "last": { "href": evil } });
        fields.insert("links".to_owned(), links.clone());
        fields.insert("_links".to_owned(), links);
        if fields.contains_key("cursor") {
            fields.insert("cursor".to_owned(), evil.into());
        }
        if fields.contains_key("id") {
            fields.insert("id".to_owned(), format!("../../{evil}").into());
        }
        Some(
            Reply::new(honest.status, page.to_string()).with("link", format!("<{evil}>; rel=next")),
        )
    });
    connections.run(&["run", "--once"]).await;
    connections
        .run(&["services", "--connection", "genesys"])
        .await;
    let requests = assert_at_home(&connections, "links");
    println!("links: {requests} requests seen");
    connections.canaries.assert_silent("links");
}

#[tokio::test]
async fn a_looked_up_host_must_be_the_vendors_own() {
    let connections = Connections::start(Way::Variable).await;
    let mut refused = 0;
    for (number, foreign) in FOREIGN.into_iter().enumerate() {
        // the documented form has none
        for scheme in ["", ["http://", "https://"][number % 2]] {
            connections.internet.lie(move |seen, honest| {
                let honest = String::from_utf8_lossy(&honest.body);
                is_look_up(seen).then(|| {
                    let own = ["sentinel", "login", "configuration"];
                    let lie = own.iter().fold(honest.into_owned(), |text, own| {
                        text.replace(
                            &format!("{own}.liveperson.net"),
                            &format!("{scheme}{foreign}"),
                        )
                    });
                    Reply::new(200, lie)
                })
            });
            let printed = connections.run(&["check"]).await;
            let seen = connections.internet.take_seen();
            let hosts: BTreeSet<&str> = seen
                .iter()
                .map(host_of)
                .filter(|host| host.contains("liveperson") || !OWN.contains(host))
                .filter(|host| *host != DOWNLOADS)
                .collect();
            assert_eq!(
                hosts,
                BTreeSet::from(["domain.liveperson.net"]),
                "{scheme}{foreign}: {printed}"
            );
            for seen in seen.iter().filter(|seen| is_look_up(seen)) {
                assert_eq!(connections.canaries.found_in(seen.text().as_bytes()), None);
            }
            refused += printed.matches("FAILED  connection `liveperson").count();
        }
    }
    assert_eq!(refused, FOREIGN.len() * 2 * 2, "each of them is told");
    println!("looked-up hosts: {refused} refused");
}

#[tokio::test]
async fn a_looked_up_host_takes_the_schemes_of_the_look_up_and_spellings_of_its_own_are_fine() {
    let connections = Connections::start(Way::Variable).await;
    for own in [
        "SENTINEL.LivePerson.NET",
        "sentinel.liveperson.net.",
        "https://sentinel.liveperson.net",
    ] {
        connections.internet.lie(move |seen, honest| {
            let text = String::from_utf8_lossy(&honest.body);
            let text = text.replace("sentinel.liveperson.net", own);
            is_look_up(seen).then(|| Reply::new(200, text))
        });
        connections
            .run(&["check", "--job", "liveperson-audits"])
            .await;
        let seen = connections.internet.take_seen();
        let sign_in = seen.iter().find(|seen| is_sign_in(seen)).unwrap();
        assert_eq!(
            host_of(sign_in).trim_end_matches('.'),
            "sentinel.liveperson.net"
        );
    }
}

/// Where the configuration itself names a host: the provider's own, or one that it allows.
#[tokio::test]
async fn allowed_hosts_extend_the_list_on_label_boundaries_and_never_to_http() {
    let connections = Connections::start(Way::Variable).await;
    let elsewhere = |host: &'static str| {
        move |seen: &Seen, honest: &Reply| {
            let text = String::from_utf8_lossy(&honest.body);
            let text = text.replace("sentinel.liveperson.net", host);
            is_look_up(seen).then(|| Reply::new(200, text))
        }
    };
    let allow = |hosts: &str| {
        connections.change(
            "    domain_url: http://domain.liveperson.net\n",
            &format!(
                "    domain_url: http://domain.liveperson.net\n    allowed_hosts: [{hosts}]\n"
            ),
        );
    };
    let check = ["check", "--job", "liveperson-audits"];
    allow("corp.test");
    for (host, goes) in [
        ("corp.test", true),
        ("lp.corp.test", true),
        ("LP.CORP.TEST", true),
        ("evilcorp.test", false),
        ("corp.test.evil.test", false),
        ("corp.tes", false),
        ("test", false),
        ("evil.test", false),
    ] {
        connections.internet.lie(elsewhere(host));
        let printed = connections.run(&check).await;
        let seen = connections.internet.take_seen();
        let went = seen
            .iter()
            .any(|seen| is_sign_in(seen) && seen.host.eq_ignore_ascii_case(host));
        assert_eq!(went, goes, "{host}: {printed}");
        assert!(
            went || seen.iter().all(|seen| OWN.contains(&host_of(seen))),
            "{host}: {printed}"
        );
    }
    // without leave for http nothing goes out in the clear, wherever it is allowed to go
    connections.change("    allow_http: true\n", "");
    let printed = connections.run(&check).await;
    assert!(printed.contains("https"), "{printed}");
    assert!(connections.internet.take_seen().is_empty());
    for bad in [
        "'*.corp.test'",
        "'https://corp.test'",
        "'corp.test:80'",
        "'u@corp.test'",
        "'.'",
        "''",
        "'corp..test'",
    ] {
        connections.change("[corp.test]", &format!("[{bad}]"));
        let printed = connections.run(&["validate"]).await;
        assert!(
            printed.contains("allowed_hosts") || printed.contains("isn't a host name"),
            "{bad}: {printed}"
        );
        assert!(printed.contains("Some(2)"), "{bad}: {printed}");
        connections.change(&format!("[{bad}]"), "[corp.test]");
    }
}

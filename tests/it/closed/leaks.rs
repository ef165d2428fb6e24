//! Every command against providers that fail in every way and echo what they were sent: no secret in any output.

use super::connections::{Connections, MOMENT, Way};
use super::internet::{Reply, Seen};
use crate::process::support::{get, until};

/// All that a server was sent, in the forms in which servers say things.
fn echo(seen: &Seen, status: u16, form: Form) -> Reply {
    let auth = |name: &str| {
        let value = seen.headers.get(name);
        value.map_or(String::new(), |value| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        })
    };
    let all = format!(
        "{} {} {} {} {} {}",
        auth("authorization"),
        seen.body,
        auth("appkey"),
        auth("cookie"),
        auth("proxy-authorization"),
        seen.text()
    );
    let short: String = all.chars().take(60).collect();
    match form {
        // where each provider, and each reader of ours, looks for words
        Form::Json => Reply::new(
            status,
            serde_json::json!({
                "message": all, "code": short, "error": short, "error_description": all, "title": all,
                "detail": all, "description": all, "contextId": short, "correlationId": short,
                "internalCode": short, "errors": [{ "message": all, "internalCode": short }],
                "violations": [{ "field": short, "message": all, "code": short }],
            })
            .to_string(),
        ),
        Form::Nested => Reply::new(
            status,
            serde_json::json!({ "error": { "message": all, "internalCode": short }, "state": all, "id": all })
                .to_string(),
        ),
        Form::Html => Reply::new(
            status,
            format!("<html><head><title>{all}</title></head><body><h1>{all}</h1></body></html>"),
        ),
        Form::Text => Reply::new(status, all),
        // parts of it, and in another guise
        Form::Encoded => {
            use base64::Engine as _;
            let encoded = base64::prelude::BASE64_STANDARD.encode(format!("x{all}"));
            let percent = percent_encoding::utf8_percent_encode(
                &all,
                percent_encoding::NON_ALPHANUMERIC,
            );
            let message = format!("{short} {} {percent}", &encoded[..60.min(encoded.len())]);
            Reply::new(status, serde_json::json!({ "message": message, "detail": percent.to_string() }).to_string())
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Json,
    Nested,
    Html,
    Text,
    Encoded,
}

const FORMS: [Form; 5] = [
    Form::Json,
    Form::Nested,
    Form::Html,
    Form::Text,
    Form::Encoded,
];

fn is_sign_in(seen: &Seen) -> bool {
    [
        "/oauth/token",
        "/openid-connect/token",
        "/app/token",
        "/login",
        "/refresh",
    ]
    .iter()
    .any(|end| seen.path.split('?').next().unwrap().ends_with(end))
}

/// A command in both forms of logs, with all that there is to log.
async fn everything(connections: &Connections, commands: &[&str]) -> String {
    let mut printed = String::new();
    for (number, command) in commands.iter().enumerate() {
        let format = ["text", "json"][number % 2];
        let args: Vec<&str> = ["-vv", "--log-format", format]
            .into_iter()
            .chain(command.split(' '))
            .collect();
        printed.push_str(&connections.run(&args).await);
    }
    printed
}

const COMMANDS: [&str; 11] = [
    "validate",
    "check",
    "check --json",
    "plan",
    "run --once",
    "run --once",
    "status",
    "status --json",
    "services --connection genesys",
    "related --connection genesys --audit-id 7",
    "backfill --job genesys-audits --from 2026-01-01 --to 2026-01-01T01:00:00Z",
];

#[tokio::test]
async fn no_command_prints_or_keeps_a_secret_while_all_is_well() {
    for way in [Way::Plain, Way::Variable, Way::File] {
        let connections = Connections::start(way).await;
        let printed = everything(&connections, &COMMANDS).await;
        assert!(
            printed.contains("ok      connection `genesys`: sign in"),
            "{printed}"
        );
        assert!(!printed.contains("FAILED"), "{printed}");
        let seen = connections.internet.take_seen();
        assert!(
            seen.iter()
                .any(|seen| seen.host == super::connections::DOWNLOADS),
            "a download"
        );
        assert!(connections.keep_lake() > 10, "something landed");
        connections
            .canaries
            .assert_silent(&format!("all well, {way:?}"));
    }
}

#[tokio::test]
async fn no_library_logs_a_secret_even_if_it_is_told_to_log_all() {
    let mut connections = Connections::start(Way::Variable).await;
    connections.set("RUST_LOG", "trace");
    let printed = connections.run(&["check"]).await;
    assert!(printed.contains("TRACE"), "{printed}");
    connections
        .canaries
        .assert_silent("trace logs of everything");
}

/// The statuses that aren't tried again.
const FINAL: [u16; 10] = [200, 301, 400, 401, 403, 404, 409, 413, 422, 451];

#[tokio::test]
async fn no_command_prints_or_keeps_what_an_api_echoes() {
    let connections = Connections::start(Way::Variable).await;
    for (number, status) in FINAL.into_iter().enumerate() {
        let form = FORMS[number % FORMS.len()];
        for form in [form, Form::Json] {
            connections.internet.lie(move |seen, _| {
                (!is_sign_in(seen) && !seen.path.contains("baseURI"))
                    .then(|| echo(seen, status, form))
            });
            let commands = ["check", "run --once", "services --connection genesys"];
            let printed = everything(&connections, &commands).await;
            assert!(printed.contains("FAILED"), "{status} {form:?}: {printed}");
        }
    }
    connections.keep_lake();
    connections.canaries.assert_silent("echoing apis");
}

#[tokio::test]
async fn no_command_prints_or_keeps_what_a_later_page_echoes() {
    let connections = Connections::start(Way::File).await;
    for (form, status) in FORMS.into_iter().zip([400, 403, 404, 200, 410]) {
        // queries are submitted, their results fail
        connections.internet.lie(move |seen, _| {
            let later = seen.path.contains("/results") || seen.path.contains("/download/");
            let later = later || seen.path.contains("pageNumber=2");
            later.then(|| echo(seen, status, form))
        });
        everything(&connections, &["run --once", "check --json"]).await;
    }
    connections.keep_lake();
    connections.canaries.assert_silent("echoing pages");
}

#[tokio::test]
async fn no_command_prints_or_keeps_what_a_sign_in_echoes() {
    let connections = Connections::start(Way::Plain).await;
    for (number, status) in FINAL.into_iter().enumerate() {
        let form = FORMS[number % FORMS.len()];
        for form in [form, Form::Json] {
            connections
                .internet
                .lie(move |seen, _| is_sign_in(seen).then(|| echo(seen, status, form)));
            let printed = everything(&connections, &["check", "run --once"]).await;
            assert!(printed.contains("FAILED"), "{status} {form:?}: {printed}");
        }
    }
    connections.keep_lake();
    connections.canaries.assert_silent("echoing sign-ins");
}

#[tokio::test]
async fn no_command_prints_what_is_echoed_while_it_tries_again() {
    let tries = [
        (429, Form::Json, true),
        (429, Form::Nested, false),
        (500, Form::Html, false),
        (502, Form::Encoded, true),
        (503, Form::Text, false),
        (504, Form::Json, false),
    ];
    // side by side: what takes time is waiting
    let tries = tries.map(|(status, form, of_sign_in)| async move {
        let connections = Connections::start(Way::Variable).await;
        connections.internet.lie(move |seen, _| {
            (is_sign_in(seen) == of_sign_in && !seen.path.contains("baseURI"))
                .then(|| echo(seen, status, form).with("retry-after", "0"))
        });
        let printed = everything(&connections, &["check"]).await;
        assert!(printed.contains("trying again"), "{status}: {printed}");
        let what = format!("{status} is tried again, {form:?}, of a sign-in: {of_sign_in}");
        connections.canaries.assert_silent(&what);
    });
    futures_util::future::join_all(tries).await;
}

#[tokio::test]
async fn no_command_prints_a_secret_where_nothing_answers_or_tls_fails() {
    let mut connections = Connections::start(Way::Variable).await;
    connections.set("RUST_BACKTRACE", "1");
    // a port that nobody listens on, and one that doesn't speak TLS
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let plain = connections.internet.address();
    for (what, with) in [
        (
            "http://api.genesys.test".to_owned(),
            format!("https://{plain}"),
        ),
        (
            "http://login.genesys.test".to_owned(),
            format!("http://{closed}"),
        ),
        ("proxy: ${PROXY}".to_owned(), "ca_file: jobs.pem".to_owned()),
        (
            "http://api.avaya.test".to_owned(),
            format!("https://{plain}"),
        ),
        (
            "http://domain.liveperson.net".to_owned(),
            format!("http://{closed}"),
        ),
        (
            "http://api.everyware.test".to_owned(),
            format!("https://{plain}"),
        ),
    ] {
        connections.change(&what, &with);
    }
    let authority = "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n";
    std::fs::write(connections.path().join("jobs.pem"), authority).unwrap();
    let printed = everything(&connections, &["check", "check --json"]).await;
    assert!(
        printed.contains("contains something other than a certificate"),
        "{printed}"
    );
    connections.change("    ca_file: jobs.pem\n", "");
    let printed = everything(&connections, &["check", "check --json"]).await;
    assert!(
        printed.contains("FAILED") && printed.contains("error"),
        "{printed}"
    );
    connections.canaries.assert_silent("no connection, no TLS");
}

#[tokio::test]
async fn no_secret_in_what_a_daemon_logs_serves_or_keeps() {
    for format in ["text", "json"] {
        let connections = Connections::start(Way::File).await;
        connections.internet.lie(|seen, _| {
            let of = |part: &str| seen.host.contains(part);
            match () {
                () if of("avaya") && !is_sign_in(seen) => Some(echo(seen, 403, Form::Json)),
                () if of("everyware") => Some(echo(seen, 401, Form::Html)),
                () if of("sentinel") => Some(echo(seen, 500, Form::Text)),
                () => None,
            }
        });
        let args = ["-vv", "--log-format", format, "run"];
        let daemon = connections.start_process(&args);
        connections.look_at(&daemon, &args);
        daemon.says("a range failed").await;
        daemon.says("serving /healthz").await;
        let address = {
            let line = daemon.says("serving /healthz").await;
            let at = line.find("127.0.0.1:").unwrap();
            let port = line[at..].trim_start_matches("127.0.0.1:");
            let end = port
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(port.len());
            format!("127.0.0.1:{}", &port[..end])
        };
        for path in ["/healthz", "/readyz", "/metrics", "/", "/status"] {
            let (_, body) = get(&address, path).await;
            connections
                .canaries
                .output(format!("the daemon's {path}"), body);
        }
        // a file that is broken where its secrets are
        let whole = std::fs::read_to_string(connections.jobs_yaml()).unwrap();
        let secret = connections.canaries.hatch("a secret in a broken file");
        for broken in [
            format!("client_secret: \"{secret}"),
            format!("client_secret: [{secret}"),
            format!("client_secret: {{{secret}: '{secret}'"),
            format!("client_secret: !!int '{secret}'"),
            format!("client_secret: *{secret}"),
            format!("client_secret: &a {secret}\n    client_secret: '{secret}'"),
            format!("base_url: 'https://me:{secret}@x.test'\n    region: '{secret}"),
            format!(
                "base_url: 'https://me:{}@x.test'",
                secret.replace(['/', '"'], "")
            ),
            format!("proxy: 'socks9://me:{secret}@x.test'"),
            format!("client_secret: >\n  {secret}\n {secret}: ["),
        ]
        .iter()
        .enumerate()
        {
            let (number, broken) = broken;
            let yaml = whole.replacen("client_secret: ", &format!("{broken}\n    x-was: "), 1);
            std::fs::write(connections.jobs_yaml(), yaml).unwrap();
            daemon.signal("HUP").await;
            daemon.says_times("SIGHUP: the old", number + 1).await;
        }
        std::fs::write(connections.jobs_yaml(), whole).unwrap();
        let committed = connections.path().join("lake/audit_events");
        until("something has landed", async || committed.exists()).await;
        let ended = tokio::time::timeout(MOMENT, daemon.signalled("TERM")).await;
        let ended = ended.unwrap_or_else(|_| panic!("still there after {MOMENT:?}"));
        connections
            .canaries
            .output(format!("the daemon's {format} log"), ended.stderr);
        connections.canaries.output("its stdout", ended.stdout);
        connections.keep_lake();
        connections
            .canaries
            .assert_silent(&format!("a daemon, {format}"));
    }
}

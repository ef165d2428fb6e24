//! No secret in anything that can be printed.

use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tracing_subscriber::fmt::MakeWriter;

use super::api::{reply, token};
use super::*;

const CANARIES: [&str; 5] = [
    "canary/id+1",
    "canary&secret=2",
    "canary.token~3",
    "canary:proxy@4",
    "canary-query_5",
];

/// A header's value, a user, a password, a bearer, a csrf, a cookie's value.
const OTHERS: [&str; 6] = [
    "canary~key/1",
    "canary/user+2",
    "canary\"pass\\3",
    "canary.bearer~4",
    "canary\"csrf-5",
    "canary+cookie/6",
];

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn forms(canary: &str) -> Vec<String> {
    let pair = format!("{}:{}", CANARIES[0], CANARIES[1]);
    let other = format!("{}:{}", OTHERS[1], OTHERS[2]);
    vec![
        canary.to_owned(),
        STANDARD.encode(canary),
        URL_SAFE_NO_PAD.encode(canary),
        STANDARD.encode(&pair),
        STANDARD.encode(&other),
        serde_json::Value::from(canary)
            .to_string()
            .trim_matches('"')
            .to_owned(),
        utf8_percent_encode(canary, NON_ALPHANUMERIC).to_string(),
        url::form_urlencoded::byte_serialize(canary.as_bytes()).collect(),
    ]
}

#[tokio::test]
async fn nothing_that_is_printed_holds_a_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    // with a single dispatcher, tracing asks the thread that comes first to an event whether anyone listens, and that
    // may be another test's
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    let [id, secret, bearer, proxy, query] = CANARIES;

    // a server that echoes all it was sent
    let api = Api::start(move |seen, before| {
        // an API may name the query's values, which aren't secret
        let query = seen
            .query
            .as_ref()
            .filter(|_| !seen.path.starts_with("/base"));
        let echo = format!("{:?} {query:?} {}", seen.header("authorization"), seen.body);
        let json = serde_json::json!({ "message": echo, "code": seen.header("authorization") });
        match &*seen.path {
            "/oauth/token" if before % 3 == 2 => Some(reply(401, json.to_string())),
            "/oauth/token" => Some(token(bearer)),
            "/base/fine" => None,
            "/base/text" => Some(reply(503, echo)),
            "/base/refused" => Some(reply(401, json.to_string())),
            _ => Some(reply(503, json.to_string())),
        }
    })
    .await;
    let change = |settings: &mut ClientSettings| {
        let (_, client_id, client_secret) = oauth(settings);
        *client_id = Secret::text(id);
        *client_secret = Secret::text(secret);
    };
    let client = with(&api, change);
    let mut shown = Vec::new();
    for path in ["/fine", "/text", "/json", "/refused"] {
        let mut call = get(path);
        call.target = Target::Api {
            path: path.to_owned(),
            query: vec![("q", query.to_owned())],
        };
        if let Err(error) = send(&client, &call).await {
            shown.push(format!(
                "{error} {error:?} {error:#?} {}",
                chain(&api, &error)
            ));
        }
    }
    for status in ["fine", "down"] {
        let encoded = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let url = api.url(&format!("/{status}?sig={encoded}&x={query}"));
        let error = send(&client, &download(url)).await.unwrap_err();
        shown.push(format!("{error} {error:?}"));
    }
    let error = send(
        &with(&api, |_| ()),
        &download(format!("https://u:{query}@a.example/?{query}")),
    )
    .await
    .unwrap_err();
    shown.push(format!("{error} {error:?}"));

    // a fresh client whose sign-in is refused: the third
    let fresh = with(&api, change);
    let error = send(&fresh, &get("/refused")).await.unwrap_err();
    shown.push(format!("{error} {error:?}"));
    let mut settings = settings(&api);
    change(&mut settings);
    settings.proxy = Some(Secret::text(format!(
        "http://u:{}@127.0.0.1:1",
        utf8_percent_encode(proxy, NON_ALPHANUMERIC)
    )));
    let proxied = Client::new(settings.clone()).unwrap();
    let error = send(&proxied, &get("/x")).await.unwrap_err();
    shown.push(format!("{error} {error:?}"));
    settings.endpoint.api = ServiceHost::At(
        Url::parse(&format!(
            "https://u:{}@127.0.0.1/",
            utf8_percent_encode(proxy, NON_ALPHANUMERIC)
        ))
        .unwrap(),
    );
    shown.push(format!(
        "{:?} {:?}",
        settings,
        Client::new(settings.clone())
    ));
    shown.push(format!("{client:?} {client:#?} {fresh:?}"));
    drop(guard);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("trying again") && log.contains("request") && log.contains("/base/json"));
    assert!(
        shown.iter().any(|text| text.contains("[redacted]")),
        "the echo was seen"
    );
    shown.push(log);
    for text in &shown {
        for canary in CANARIES {
            for form in forms(canary) {
                assert!(!text.contains(&form), "{form} in {text}");
            }
        }
    }
}

/// Logs in and refreshes, and echoes all it was sent.
async fn echo() -> Api {
    let [.., bearer, csrf, cookie] = OTHERS;
    Api::start(move |seen, before| {
        let headers: Vec<String> = seen
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        let echo = format!("{} {}", seen.body, headers.join(" "));
        // the first part of it that is of interest, as an excerpt is short
        let at = headers.join(" ").find("authorization").unwrap_or(0);
        let part: String = headers.join(" ").chars().skip(at).collect();
        let json = serde_json::json!({ "message": seen.body, "code": part, "contextId": echo });
        match &*seen.path {
            "/login" if before % 2 == 0 => Some(
                reply(
                    200,
                    serde_json::json!({ "bearer": bearer, "csrf": csrf, "sessionTTl": "999999" })
                        .to_string(),
                )
                .header("set-cookie", &format!("Session_id={cookie}; Path=/")),
            ),
            "/login" => Some(reply(451, json.to_string())),
            "/refresh" => Some(reply(500, echo)),
            "/token" if before % 2 == 0 => Some(token(bearer)),
            "/token" => Some(reply(400, json.to_string())),
            "/base/fine" => None,
            "/base/text" => Some(reply(503, format!("{part} {}", seen.body))),
            "/base/key" => Some(reply(503, seen.header("x-key").unwrap().to_owned())),
            "/base/refused" => Some(reply(401, json.to_string())),
            _ => Some(reply(503, json.to_string())),
        }
    })
    .await
}

#[tokio::test]
async fn nor_does_it_hold_one_of_another_way_to_sign_in() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    let [key, user, password, ..] = OTHERS.map(Secret::text);
    let api = echo().await;
    let at = |path: &str| ServiceHost::At(Url::parse(&api.url(path)).unwrap());
    let ways = [
        SignIn::ClientCredentials {
            token_url: at("/token"),
            client_id: user.clone(),
            client_secret: password.clone(),
            sent: SentIn::Form,
        },
        SignIn::Basic {
            username: user.clone(),
            password: password.clone(),
        },
        SignIn::Session {
            login: at("/login"),
            refresh: at("/refresh"),
            username: user.clone(),
            password: password.clone(),
        },
    ];
    let mut shown = Vec::new();
    let mut redacted = 0;
    for sign_in in ways {
        let change = |settings: &mut ClientSettings| {
            settings.endpoint.headers = vec![("x-key", key.clone())];
            settings.endpoint.sign_in = sign_in.clone();
        };
        let client = with(&api, change);
        for path in ["/fine", "/text", "/key", "/json", "/refused"] {
            match send(&client, &get(path)).await {
                Ok(answer) => assert_eq!(path, "/fine", "{}", answer.status),
                Err(error) => {
                    let text = format!("{error} {error:?} {}", chain(&api, &error));
                    redacted += usize::from(text.contains("[redacted]"));
                    shown.push(text);
                }
            }
        }
        // a session's refresh fails, and then its second login
        pass(Duration::from_mins(5)).await;
        let later = send(&client, &get("/text")).await.unwrap_err();
        let fresh = with(&api, change);
        let refused = send(&fresh, &get("/refused")).await.unwrap_err();
        let mut settings = settings(&api);
        change(&mut settings);
        shown.push(format!(
            "{later:?} {later} {refused:?} {refused} {settings:?}"
        ));
        shown.push(format!("{client:?} {fresh:?} {:?}", settings.endpoint));
    }
    assert!(redacted >= 9, "the echoes were seen: {redacted}");
    drop(guard);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the session can't be refreshed"));
    shown.push(log);
    for text in &shown {
        for canary in OTHERS {
            for form in forms(canary) {
                assert!(!text.contains(&form), "{form} in {text}");
            }
        }
    }
}

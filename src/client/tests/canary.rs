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
    vec![
        canary.to_owned(),
        STANDARD.encode(canary),
        URL_SAFE_NO_PAD.encode(canary),
        STANDARD.encode(&pair),
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
        // an API may name the query's values, which are no secrets
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
    let change = |settings: &mut Settings| {
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
    settings.endpoint.api = Place::At(
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

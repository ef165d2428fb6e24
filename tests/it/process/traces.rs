//! Spans that a real process sends to a collector, and what it does when that fails.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use auditlake::sim::Fault;
use auditlake::sim::genesys::endpoint;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use tokio::net::TcpListener;

use super::support::{EVENING, Process, World, at, one_day};

/// A collector that takes what it is sent, or refuses it.
#[derive(Clone)]
struct Collector {
    status: StatusCode,
    taken: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    async fn start(status: StatusCode) -> (Self, String) {
        let collector = Self {
            status,
            taken: Arc::default(),
        };
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(collector.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (collector, url)
    }

    fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().unwrap();
        let resources = taken.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers[CONTENT_TYPE], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    collector.taken.lock().unwrap().push(request);
    collector.status
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let attribute = |one: &KeyValue| {
        let value = one.value.as_ref().unwrap().value.as_ref().unwrap();
        (one.key.clone(), text(value))
    };
    attributes.iter().map(attribute).collect()
}

/// A trace's id as logs show it.
fn hex(id: &[u8]) -> String {
    format!("{:032x}", u128::from_be_bytes(id.try_into().unwrap()))
}

async fn run(world: &World, environment: &[(&str, &str)], more: &[&str]) -> super::support::Ended {
    world.provider.set_now(at(EVENING));
    let args = [&["run", "--once", "--as-of", EVENING], more].concat();
    Process::start(world.path(), &args, environment)
        .ended()
        .await
}

#[tokio::test]
async fn a_run_is_one_trace_of_windows_requests_and_commits() {
    let world = World::new(&one_day(), EVENING).await;
    let busy = Fault::Status {
        status: 503,
        retry_after: Some("0".to_owned()),
    };
    world.provider.faults().next(endpoint::RESULTS, 1, busy);
    let (collector, url) = Collector::start(StatusCode::OK).await;
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)];
    let ended = run(&world, &environment, &["--log-format", "json"])
        .await
        .assert_code(0);

    let spans = collector.spans();
    let named = |name: &str| {
        spans
            .iter()
            .filter(|span| span.name == name)
            .collect::<Vec<_>>()
    };
    let [run] = named("run")[..] else {
        panic!("{spans:#?}");
    };
    assert!(run.parent_span_id.is_empty());
    assert_eq!(texts(&run.attributes)["job"], "audits");
    assert!(spans.iter().all(|span| span.trace_id == run.trace_id));
    let by_id = |id: &[u8]| spans.iter().find(|span| span.span_id == id);
    for span in &spans {
        let is_child = by_id(&span.parent_span_id).is_some();
        assert!(is_child || span.name == "run", "{span:#?}");
    }
    let windows = named("window");
    assert!(!windows.is_empty() && !named("commit").is_empty());
    assert!(
        windows
            .iter()
            .all(|window| texts(&window.attributes).contains_key("range"))
    );

    let requests: Vec<_> = spans
        .iter()
        .filter(|span| span.kind() == SpanKind::Client)
        .collect();
    let sent = usize::try_from(world.provider.counters().total_calls()).unwrap();
    assert_eq!(requests.len(), sent);
    let of_window = |span: &&&Span| by_id(&span.parent_span_id).unwrap().name == "window";
    assert!(requests.iter().filter(of_window).count() > 0);
    let mut failed = 0;
    for request in requests {
        let attributes = texts(&request.attributes);
        assert_eq!(attributes["http.request.method"], request.name);
        assert_eq!(attributes["server.address"], "127.0.0.1");
        let url = &attributes["url.full"];
        assert!(
            url.starts_with("http://127.0.0.1:") && !url.contains(['?', '#', '@']),
            "{url}"
        );
        let status = &attributes["http.response.status_code"];
        if status == "503" {
            failed += 1;
            assert_eq!(attributes["error.type"], "503");
        }
    }
    assert_eq!(failed, 1);
    let again = |span: &&Span| texts(&span.attributes).contains_key("http.request.resend_count");
    assert_eq!(spans.iter().filter(again).count(), 1);
    let all = format!("{spans:?}");
    assert!(!all.contains("sim-secret"));

    let of: Vec<_> = (collector.taken.lock().unwrap().iter())
        .flat_map(|request| request.resource_spans.clone())
        .map(|resource| texts(&resource.resource.unwrap().attributes))
        .collect();
    assert!(
        of.iter()
            .all(|of| of["service.name"] == "auditlake" && of.contains_key("service.version"))
    );

    let id = hex(&run.trace_id);
    let committed = ended
        .stderr
        .lines()
        .find(|line| line.contains("\"committed\""))
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(committed).unwrap();
    assert_eq!(line["span"]["trace_id"], id.as_str(), "{line}");
}

#[tokio::test]
async fn text_lines_carry_the_trace_and_only_where_there_is_one() {
    let world = World::new(&one_day(), EVENING).await;
    let ended = run(&world, &[], &[]).await.assert_code(0);
    assert!(!ended.stderr.contains("trace_id"), "{}", ended.stderr);
    let world = World::new(&one_day(), EVENING).await;
    let (collector, url) = Collector::start(StatusCode::OK).await;
    let environment = [
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            &*format!("{url}/v1/traces"),
        ),
        ("OTEL_SERVICE_NAME", "mine"),
    ];
    let ended = run(&world, &environment, &[]).await.assert_code(0);
    let line = ended
        .stderr
        .lines()
        .find(|line| line.contains("committed"))
        .unwrap();
    let id = hex(&collector.spans()[0].trace_id);
    assert!(line.contains(&id), "{line}");
    assert!(!line.contains("window{"), "{line}");
    let taken = collector.taken.lock().unwrap();
    let of = texts(
        &taken[0].resource_spans[0]
            .resource
            .as_ref()
            .unwrap()
            .attributes,
    );
    assert_eq!(of["service.name"], "mine");
}

#[tokio::test]
async fn nothing_is_sent_where_it_is_switched_off() {
    let (collector, url) = Collector::start(StatusCode::OK).await;
    for off in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let world = World::new(&one_day(), EVENING).await;
        let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*url), off];
        run(&world, &environment, &[]).await.assert_code(0);
    }
    assert!(collector.spans().is_empty());
}

#[tokio::test]
async fn a_collector_that_fails_is_said_once_and_harms_nothing() {
    let (refusing, url) = Collector::start(StatusCode::INTERNAL_SERVER_ERROR).await;
    let nobody = "http://127.0.0.1:9"; // discard: nothing listens there
    for url in [&*url, nobody] {
        let world = World::new(&one_day(), EVENING).await;
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8"),
        ];
        let ended = run(&world, &environment, &[]).await.assert_code(0);
        let message = ended.stderr.matches("traces can't be sent").count();
        assert_eq!(message, 1, "{}", ended.stderr);
        world.assert_all_landed();
    }
    assert!(
        refusing.taken.lock().unwrap().len() > 1,
        "it was tried more than once"
    );
    let world = World::new(&one_day(), EVENING).await;
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", nobody),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ];
    let ended = run(&world, &environment, &[]).await.assert_code(0);
    ended
        .assert_says("traces are not sent")
        .assert_says("http/protobuf");
}

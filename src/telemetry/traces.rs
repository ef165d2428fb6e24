//! Traces over OTLP, enabled by OpenTelemetry's standard variables.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry::{KeyValue, trace::TraceId};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{self, SdkTracer, SdkTracerProvider, SpanData};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::tls;

/// The timeout for exporting the last spans at the end.
const FLUSH: Duration = Duration::from_secs(5);

/// The exporter of spans, which is flushed on drop.
#[derive(Debug)]
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// Creates the exporter configured by the environment, if any. Fails if the configuration is invalid.
    pub(super) fn of_environment() -> Result<Option<Self>, String> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
        let is_off =
            variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let wanted = variable("OTEL_TRACES_EXPORTER").unwrap_or_else(|| "otlp".to_owned());
        if endpoint.is_none() || is_off || wanted != "otlp" {
            return Ok(None);
        }
        let protocol = variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
            .or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
        if let Some(protocol) = protocol.filter(|protocol| protocol != "http/protobuf") {
            return Err(format!(
                "the OTLP protocol `{protocol}` isn't supported; use `http/protobuf`"
            ));
        }
        let client = client().map_err(|error| error.to_string())?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .build()
            .map_err(|error| error.to_string())?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(ExportStatus {
                exporter,
                failed: AtomicBool::new(false),
            })
            .with_resource(resource(variable("OTEL_SERVICE_NAME").is_some()))
            .build();
        Ok(Some(Self(provider)))
    }

    pub(super) fn tracer(&self) -> SdkTracer {
        self.0.tracer("auditlake")
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // a failed exporter has already logged its error
        let _ = self.0.shutdown_with_timeout(FLUSH);
    }
}

fn client() -> Result<reqwest::blocking::Client, Box<dyn std::error::Error>> {
    let client = reqwest::blocking::Client::builder()
        .user_agent(concat!("auditlake/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls::shared()?);
    Ok(client.build()?)
}

/// Returns the resource of the spans; the environment takes precedence.
fn resource(is_named: bool) -> Resource {
    let given = Resource::builder().build();
    let has = |key: &'static str| given.iter().any(|(have, _)| have.as_str() == key);
    let mut resource = Resource::builder();
    let by_attributes = env::var("OTEL_RESOURCE_ATTRIBUTES")
        .is_ok_and(|attributes| attributes.contains("service.name="));
    if !is_named && !by_attributes {
        resource = resource.with_service_name("auditlake");
    }
    if !has("service.version") {
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        resource = resource.with_attribute(version);
    }
    resource.build()
}

/// An exporter whose failure is logged once, until it works again.
#[derive(Debug)]
struct ExportStatus {
    exporter: SpanExporter,
    failed: AtomicBool,
}

impl trace::SpanExporter for ExportStatus {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let sent = self.exporter.export(batch).await;
        let failed = self.failed.swap(sent.is_err(), Ordering::Relaxed);
        if let (Err(error), false) = (&sent, failed) {
            tracing::warn!(
                error = super::error_chain(error),
                "traces can't be sent; the work continues without them"
            );
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Records the trace's id in the span's field `trace_id`, so that log lines show it. Does nothing without traces.
pub fn note_trace(span: &Span) {
    let trace = span.context().span().span_context().trace_id();
    if trace != TraceId::INVALID {
        span.record("trace_id", trace.to_string());
    }
}

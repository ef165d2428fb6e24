//! The foundation of every simulated provider: clock, counters, faults, and the handling of a call from its first byte
//! to its answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, Rest};
use super::clock::SimClock;
use super::faults::{Asked, Written};
use super::socket::Breaker;
use super::{Clock, Counters, Dataset, Fault, Faults, lock};

/// The largest request body that a provider reads.
const LARGEST_BODY: usize = 512_000;
/// An upper bound for the size of an answer's headers.
const HEADERS_AT_MOST: usize = 2_048;

/// The state shared by the servers of one simulator.
#[derive(Debug)]
pub struct Stage<Content> {
    pub(crate) dataset: Arc<Dataset<Content>>,
    pub(crate) clock: SimClock,
    pub(crate) counters: Counters,
    pub(crate) faults: Faults,
    latency: Mutex<Duration>,
    /// Cancelled when the calls in flight have to end.
    pub(crate) gone: CancellationToken,
}

impl<Content> Stage<Content> {
    pub(crate) fn new(dataset: Arc<Dataset<Content>>, clock: Clock, latency: Duration) -> Self {
        Self {
            dataset,
            clock: SimClock::new(clock),
            counters: Counters::default(),
            faults: Faults::default(),
            latency: Mutex::new(latency),
            gone: CancellationToken::new(),
        }
    }

    /// Sets the delay of every later answer.
    pub(crate) fn set_latency(&self, latency: Duration) {
        *lock(&self.latency) = latency;
    }
}

/// The name of calls to unknown endpoints, in counters and faults.
pub const OTHER: &str = "other";

/// The endpoint of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// An endpoint of the host.
    To(&'static str),
    /// A path of the host that doesn't have this method.
    WrongMethod,
    /// An unknown path.
    Nothing,
}

impl Route {
    /// Returns the first of these endpoints that matches the path, and the path's parameters. An endpoint is named by
    /// its method and its path, in which `{…}` matches any segment that isn't empty. The path isn't decoded: a
    /// percent-encoded colon is not a colon.
    fn find<'p>(endpoints: &[&'static str], method: &str, path: &'p str) -> (Self, Vec<&'p str>) {
        for endpoint in endpoints {
            let (wanted, pattern) = endpoint.split_once(' ').unwrap_or(("", endpoint));
            match parameters(pattern, path) {
                Some(found) if wanted == method => return (Self::To(endpoint), found),
                Some(_) => return (Self::WrongMethod, Vec::new()),
                None => {}
            }
        }
        (Self::Nothing, Vec::new())
    }

    fn name(self) -> &'static str {
        match self {
            Self::To(endpoint) => endpoint,
            Self::WrongMethod | Self::Nothing => OTHER,
        }
    }
}

fn parameters<'p>(pattern: &str, path: &'p str) -> Option<Vec<&'p str>> {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    let mut found = Vec::new();
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return Some(found),
            (Some(wanted), Some(part)) if wanted.starts_with('{') && !part.is_empty() => {
                found.push(part);
            }
            (Some(wanted), Some(part)) if wanted == part => {}
            _ => return None,
        }
    }
}

/// A call that was read completely.
#[derive(Debug)]
pub struct Call<'a, Host> {
    /// The host that was called.
    pub(crate) host: Host,
    pub(crate) route: Route,
    /// The segments of the path that are parameters of the endpoint, still percent-encoded.
    pub(crate) parameters: Vec<&'a str>,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl<'a, Host> Call<'a, Host> {
    /// Returns a parameter of the endpoint.
    pub(crate) fn parameter(&self, number: usize) -> &'a str {
        self.parameters.get(number).copied().unwrap_or_default()
    }
}

/// Returns the value of a header, if it occurs once and is ASCII.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let only = values.next().filter(|_| values.next().is_none());
    only?.to_str().ok()
}

/// Returns whether a call's body has this media type; its parameters are ignored.
pub(crate) fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let kind = header(headers, "content-type").and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

/// Returns whether a call accepts JSON.
pub(crate) fn accepts_json(headers: &HeaderMap) -> bool {
    if !headers.contains_key("accept") {
        return true;
    }
    let accept = header(headers, "accept").unwrap_or_default();
    ["*/*", "application/*", "application/json"]
        .iter()
        .any(|kind| accept.contains(kind))
}

/// The media type of a form.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A provider's settings.
pub trait Settings {
    /// The provider that has these settings.
    type Provider: Provider<Settings = Self>;

    /// Returns the port of the first host, the clock, and the delay of the answers.
    fn basics(&self) -> (u16, Clock, Duration);
}

/// A simulated provider.
pub trait Provider: Send + Sync + Sized + 'static {
    /// A host of the provider.
    type Host: Copy + PartialEq + Send + Sync + 'static;
    /// The provider's settings.
    type Settings: Settings<Provider = Self>;
    /// The content of a record.
    type Content: Send + Sync;

    /// The provider's hosts with their endpoints. The port of the first host can be set. Counters and faults use the
    /// endpoints as names; the first endpoint that matches a call's path handles it.
    const HOSTS: &'static [(Self::Host, &'static [&'static str])];

    /// Creates the provider; `urls` are those of its hosts, in their order.
    fn new(settings: Self::Settings, stage: Stage<Self::Content>, urls: &[String]) -> Self;

    /// The shared state.
    fn stage(&self) -> &Stage<Self::Content>;

    /// Answers a call.
    fn answer(&self, call: &Call<'_, Self::Host>) -> Answer;

    /// Returns a refusal for a fault, in the host's own form but without its `Retry-After`. The call has no effect.
    fn refuse(&self, call: &Call<'_, Self::Host>, status: u16, retry_after: Option<&str>)
    -> Answer;
}

/// Answers the calls to one of a provider's hosts.
pub(crate) fn router<P: Provider>(
    provider: &Arc<P>,
    (host, endpoints): (P::Host, &'static [&'static str]),
) -> Router {
    let provider = Arc::clone(provider);
    Router::new().fallback(
        move |ConnectInfo(breaker): ConnectInfo<Breaker>, request: Request<Body>| {
            let provider = Arc::clone(&provider);
            async move {
                tokio::select! {
                    response = respond(&*provider, host, endpoints, &breaker, request) => response,
                    () = provider.stage().gone.cancelled() => Answer::html(503).into_response(),
                }
            }
        },
    )
}

/// Handles a call from its first byte to its answer.
async fn respond<P: Provider>(
    provider: &P,
    host: P::Host,
    endpoints: &[&'static str],
    breaker: &Breaker,
    request: Request<Body>,
) -> Response<Body> {
    let stage = provider.stage();
    let (parts, body) = request.into_parts();
    let method = parts.method.as_str();
    let (route, parameters) = Route::find(endpoints, method, parts.uri.path());
    stage.counters.called(route.name());
    let mut fault = stage.faults.take(route.name());
    if let Some(Fault::Hold(until)) = &fault {
        until.cancelled().await;
    }
    let body = to_bytes(body, LARGEST_BODY).await;
    let call = Call {
        host,
        route,
        parameters,
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        body: body.as_deref().unwrap_or_default(),
    };
    let asked = Asked {
        query: call.query,
        body: call.body,
    };
    if let Some(Fault::Chosen(choose)) = &fault {
        fault = choose.fault(asked);
    }
    let mut answer = match &fault {
        Some(Fault::Status {
            status,
            retry_after,
        }) => {
            let answer = provider.refuse(&call, *status, retry_after.as_deref());
            match retry_after {
                Some(text) => answer.with("retry-after", text),
                None => answer,
            }
        }
        // never sent: the connection is reset
        Some(Fault::ResetBefore) => Answer::html(503),
        Some(Fault::Html { status }) => Answer::html(*status),
        _ if body.is_err() => provider.refuse(&call, 413, None),
        _ => provider.answer(&call),
    };
    let mut latency = *lock(&stage.latency);
    if let Some(Fault::Delay(by)) = &fault {
        latency += *by;
    }
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if let Some(Fault::Rewritten(rewrite)) = &fault {
        let mut written = Written {
            status: answer.status,
            headers: answer.headers,
            body: answer.body,
        };
        rewrite.apply(asked, &mut written);
        answer.status = written.status;
        answer.headers = written.headers;
        answer.body = written.body;
    }
    stage.counters.answered(answer.status);
    if let Some(now) = stage.clock.running() {
        answer = answer.with_date(now.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    }
    let mut response = spoil(answer, fault.as_ref(), breaker).into_response();
    if let Some(Fault::Headers(more)) = fault {
        for (name, value) in more {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
    }
    response
}

/// Applies a fault to an answer.
fn spoil(mut answer: Answer, fault: Option<&Fault>, breaker: &Breaker) -> Answer {
    match fault {
        Some(Fault::TruncatedBody) => {
            answer.body.truncate(answer.body.len() / 2);
            answer.rest = None;
        }
        // a body that is generated while it is sent is longer than this
        Some(Fault::CutBody) if answer.rest.is_some() => {
            breaker.close_after(HEADERS_AT_MOST + 64_000);
        }
        // enough for the headers, but not for the whole body, which is padded to twice that size
        Some(Fault::CutBody) => {
            answer
                .body
                .resize(answer.body.len() + 2 * HEADERS_AT_MOST, b' ');
            breaker.close_after(HEADERS_AT_MOST + answer.body.len() / 4);
        }
        Some(Fault::Reset | Fault::ResetBefore) => breaker.reset(),
        Some(Fault::Stall) => {
            answer.body.truncate(answer.body.len() / 2);
            answer.rest = Some(Rest::stalled());
        }
        Some(Fault::Endless) => {
            let spaces = std::iter::repeat_with(|| vec![b' '; 64 << 10]);
            answer.rest = Some(Rest::of(spaces));
        }
        _ => {}
    }
    answer
}

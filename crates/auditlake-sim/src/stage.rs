//! What every simulated provider stands on: a clock, counters, faults, and a call's way from its first byte to its
//! answer.

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
/// More than the headers of any answer.
const HEADERS_AT_MOST: usize = 2_048;

/// What the servers of one simulator share, whatever the provider.
#[derive(Debug)]
pub struct Stage<Content> {
    pub(crate) dataset: Arc<Dataset<Content>>,
    pub(crate) clock: SimClock,
    pub(crate) counters: Counters,
    pub(crate) faults: Faults,
    latency: Mutex<Duration>,
    /// Cancelled when calls in flight are given up.
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

    /// Delays every answer from now on by this much.
    pub(crate) fn set_latency(&self, latency: Duration) {
        *lock(&self.latency) = latency;
    }
}

/// The name of a call to what doesn't exist, in counters and faults.
pub const OTHER: &str = "other";

/// Where a call leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// To this endpoint of its host.
    To(&'static str),
    /// To a path of its host, but not with this method.
    WrongMethod,
    /// To no path of its host.
    Nothing,
}

impl Route {
    /// The first of these endpoints that has the path, and the parameters in it. An endpoint is named by its method and
    /// its path, in which `{…}` stands for any segment that isn't empty. The path is taken as it came: a colon that was
    /// percent-encoded is not a colon.
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

/// One call, read to its end.
#[derive(Debug)]
pub struct Call<'a, Host> {
    /// The host that it came to.
    pub(crate) host: Host,
    pub(crate) route: Route,
    /// The segments of its path that the endpoint leaves open, percent-encoding and all.
    pub(crate) parameters: Vec<&'a str>,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl<'a, Host> Call<'a, Host> {
    /// One of the segments that the endpoint leaves open.
    pub(crate) fn parameter(&self, number: usize) -> &'a str {
        self.parameters.get(number).copied().unwrap_or_default()
    }
}

/// What a call's header says, if it says it once and in ASCII.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let only = values.next().filter(|_| values.next().is_none());
    only?.to_str().ok()
}

/// Whether a call's body is of this type, whatever its parameters.
pub(crate) fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let kind = header(headers, "content-type").and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

/// Whether a call takes JSON for an answer.
pub(crate) fn accepts_json(headers: &HeaderMap) -> bool {
    if !headers.contains_key("accept") {
        return true;
    }
    let accept = header(headers, "accept").unwrap_or_default();
    ["*/*", "application/*", "application/json"]
        .iter()
        .any(|kind| accept.contains(kind))
}

/// The type of a form.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A provider's settings.
pub trait Settings {
    /// The provider.
    type Provider: Provider<Settings = Self>;

    /// The port of its first host, its clock, and the delay of its answers.
    fn basics(&self) -> (u16, Clock, Duration);
}

/// One simulated provider.
pub trait Provider: Send + Sync + Sized + 'static {
    /// One of its hosts.
    type Host: Copy + PartialEq + Send + Sync + 'static;
    /// What can be set of it.
    type Settings: Settings<Provider = Self>;
    /// What its records consist of.
    type Content: Send + Sync;

    /// All of its hosts, the port of the first can be set. Each has its endpoints, which are also their names in counters
    /// and faults; the first with a call's path counts.
    const HOSTS: &'static [(Self::Host, &'static [&'static str])];

    /// The provider before its first call; `urls` says where each of its hosts is.
    fn new(settings: Self::Settings, stage: Stage<Self::Content>, urls: &[String]) -> Self;

    /// What it stands on.
    fn stage(&self) -> &Stage<Self::Content>;

    /// What it answers.
    fn answer(&self, call: &Call<'_, Self::Host>) -> Answer;

    /// A refusal that a fault asks for, in the form of the host's own, without its `Retry-After`; the call has no effect.
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

/// One call from its first byte to its answer.
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
        // what is said on a connection that is reset nobody hears
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

/// Does to an answer what a fault does on its way.
fn spoil(mut answer: Answer, fault: Option<&Fault>, breaker: &Breaker) -> Answer {
    match fault {
        Some(Fault::TruncatedBody) => {
            answer.body.truncate(answer.body.len() / 2);
            answer.rest = None;
        }
        // Of what is never held whole, the length isn't known; it is more than this.
        Some(Fault::CutBody) if answer.rest.is_some() => {
            breaker.close_after(HEADERS_AT_MOST + 64_000);
        }
        // Enough for the headers, and never for all of a body that is padded to twice that.
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

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
use super::{Clock, Counters, Fault, Faults, lock};

/// The largest request body that a provider reads.
const LARGEST_BODY: usize = 512_000;
/// More than the headers of any answer.
const HEADERS_AT_MOST: usize = 2_048;

/// What the servers of one simulator share.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) clock: SimClock,
    pub(super) counters: Counters,
    pub(super) faults: Faults,
    latency: Mutex<Duration>,
    /// Cancelled when calls in flight are given up.
    pub(super) gone: CancellationToken,
}

impl Stage {
    pub(super) fn new(clock: Clock, latency: Duration) -> Self {
        Self {
            clock: SimClock::new(clock),
            counters: Counters::default(),
            faults: Faults::default(),
            latency: Mutex::new(latency),
            gone: CancellationToken::new(),
        }
    }

    /// Delays every answer from now on by this much.
    pub(super) fn set_latency(&self, latency: Duration) {
        *lock(&self.latency) = latency;
    }
}

/// One call, read to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    /// As it came, percent-encoding and all.
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

/// What a call's header says, if it says it once and in ASCII.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let only = values.next().filter(|_| values.next().is_none());
    only?.to_str().ok()
}

/// Whether a call's body is of this type, whatever its parameters.
pub(super) fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let kind = header(headers, "content-type").and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

/// Whether a call takes JSON for an answer.
pub(super) fn accepts_json(headers: &HeaderMap) -> bool {
    if !headers.contains_key("accept") {
        return true;
    }
    let accept = header(headers, "accept").unwrap_or_default();
    ["*/*", "application/*", "application/json"]
        .iter()
        .any(|kind| accept.contains(kind))
}

/// The type of a form.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// One simulated provider.
pub(super) trait World: Send + Sync + 'static {
    /// Which of the provider's hosts a call came to.
    type Host: Copy + Send + Sync + 'static;

    /// What it stands on.
    fn stage(&self) -> &Stage;

    /// The name of what a call is for, in counters and faults.
    fn endpoint(&self, host: Self::Host, method: &str, path: &str) -> &'static str;

    /// What the provider answers.
    fn answer(&self, host: Self::Host, call: &Call<'_>) -> Answer;

    /// A refusal that a fault asks for, dressed as the host's own; the call has no effect.
    fn refuse(
        &self,
        host: Self::Host,
        call: &Call<'_>,
        status: u16,
        retry_after: Option<&str>,
    ) -> Answer;
}

/// Answers the calls to one of a provider's hosts.
pub(super) fn router<W: World>(world: &Arc<W>, host: W::Host) -> Router {
    let world = Arc::clone(world);
    Router::new().fallback(
        move |ConnectInfo(breaker): ConnectInfo<Breaker>, request: Request<Body>| {
            let world = Arc::clone(&world);
            async move {
                tokio::select! {
                    response = respond(&*world, host, &breaker, request) => response,
                    () = world.stage().gone.cancelled() => Answer::html(503).into_response(),
                }
            }
        },
    )
}

/// One call from its first byte to its answer.
async fn respond<W: World>(
    world: &W,
    host: W::Host,
    breaker: &Breaker,
    request: Request<Body>,
) -> Response<Body> {
    let stage = world.stage();
    let (parts, body) = request.into_parts();
    let endpoint = world.endpoint(host, parts.method.as_str(), parts.uri.path());
    let _in_flight = stage.counters.enter(endpoint);
    let mut fault = stage.faults.take(endpoint);
    if let Some(Fault::Hold(until)) = &fault {
        until.cancelled().await;
    }
    let body = to_bytes(body, LARGEST_BODY).await;
    let call = Call {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        body: body.as_deref().unwrap_or_default(),
    };
    if let Some(Fault::Chosen(choose)) = &fault {
        fault = choose.fault(Asked {
            query: call.query,
            body: call.body,
        });
    }
    let mut answer = match &fault {
        Some(Fault::Status {
            status,
            retry_after,
        }) => world.refuse(host, &call, *status, retry_after.as_deref()),
        // what is said on a connection that is reset nobody hears
        Some(Fault::ResetBefore) => Answer::html(503),
        Some(Fault::Html { status }) => Answer::html(*status),
        _ if body.is_err() => world.refuse(host, &call, 413, None),
        _ => world.answer(host, &call),
    };
    let mut latency = *lock(&stage.latency);
    if let Some(Fault::Delay(by)) = &fault {
        latency += *by;
    }
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if let Some(Fault::Rewritten(rewrite)) = &fault {
        let asked = Asked {
            query: call.query,
            body: call.body,
        };
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

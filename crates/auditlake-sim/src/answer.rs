//! The answer of a simulated provider, before it becomes an HTTP response.

use std::fmt;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use futures_util::{StreamExt as _, stream};

/// A response under construction.
#[derive(Debug)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// The sizes of the pieces in which the body is sent, repeated in order. If empty, the body is sent in one piece.
    pub(super) pieces: Vec<usize>,
    /// What follows the body; generated while it is sent.
    pub(super) rest: Option<Rest>,
}

/// The pieces of a body that is never in memory as a whole.
pub(super) struct Rest {
    pieces: Box<dyn Iterator<Item = Vec<u8>> + Send>,
    /// Whether the body never ends: after the pieces, nothing more is sent and the connection stays open.
    stalls: bool,
}

impl Rest {
    pub(super) fn of(pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Self {
        Self {
            pieces: Box::new(pieces),
            stalls: false,
        }
    }

    /// Returns a body that sends nothing and never ends.
    pub(super) fn stalled() -> Self {
        Self {
            pieces: Box::new(std::iter::empty()),
            stalls: true,
        }
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rest")
    }
}

impl Answer {
    pub(super) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::typed(status, "application/json", body)
    }

    pub(super) fn typed(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into(),
            pieces: Vec::new(),
            rest: None,
        }
    }

    /// Returns the HTML page of a gateway that didn't reach the provider.
    pub(super) fn html(status: u16) -> Self {
        let page = format!(
            "<html>\r\n<head><title>{status}</title></head>\r\n<body><h1>{status}</h1></body>\r\n</html>\r\n"
        );
        Self::typed(status, "text/html", page)
    }

    pub(super) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    /// Adds a `Date` header, unless the answer already has one.
    pub(super) fn with_date(self, date: String) -> Self {
        let has_one = self.headers.iter().any(|(name, _)| *name == "date");
        if has_one {
            self
        } else {
            self.with("date", date)
        }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(body(self.body, self.pieces, self.rest));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// Converts the answer: one piece with a `Content-Length`, or the configured pieces.
fn body(whole: Vec<u8>, sizes: Vec<usize>, rest: Option<Rest>) -> Body {
    if sizes.is_empty() && rest.is_none() {
        return Body::from(whole);
    }
    let mut whole = Bytes::from(whole);
    let mut sizes = sizes.into_iter().cycle();
    let pieces = std::iter::from_fn(move || {
        let size = sizes
            .next()
            .unwrap_or(usize::MAX)
            .clamp(1, whole.len().max(1));
        (!whole.is_empty()).then(|| whole.split_to(size))
    });
    let stalls = rest.as_ref().is_some_and(|rest| rest.stalls);
    let rest = rest
        .into_iter()
        .flat_map(|rest| rest.pieces)
        .map(Bytes::from);
    let pieces = pieces.chain(rest).map(Ok::<_, std::convert::Infallible>);
    let pieces = stream::iter(pieces);
    if stalls {
        return Body::from_stream(pieces.chain(stream::pending()));
    }
    Body::from_stream(pieces)
}

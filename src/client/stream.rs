//! Streamed answers.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio_util::sync::CancellationToken;

use super::error::{Cause, ClientError, Request};
use super::unpack::{self, BodyDecoder};
use crate::providers::Answer;

/// The result of [`Client::open`](super::Client::open).
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one a call, and moved once")]
pub enum OpenResponse {
    /// A complete answer with a status other than 2xx, or with 204, which has no body.
    Answer(Answer),
    /// Any other 2xx answer, whose body is streamed.
    Body(ResponseBody),
}

/// A streamed body.
///
/// Dropping it before its end closes the connection.
pub struct ResponseBody {
    /// The status, 2xx.
    pub status: StatusCode,
    /// The headers as received.
    pub headers: HeaderMap,
    request: Request,
    response: Box<reqwest::Response>,
    unpacking: BodyDecoder,
    received: u64,
    /// The error, if the body broke off.
    broken: Option<ClientError>,
}

impl ResponseBody {
    pub(super) fn new(
        request: Request,
        status: StatusCode,
        headers: HeaderMap,
        response: reqwest::Response,
    ) -> Self {
        Self {
            unpacking: BodyDecoder::new(&headers),
            status,
            headers,
            request,
            response: Box::new(response),
            received: 0,
            broken: None,
        }
    }

    /// Returns the next bytes, decompressed if necessary; `None` only at the real end of the body.
    ///
    /// Fails with [`ClientError::Broken`] if the body breaks off, if nothing arrives for
    /// [`ClientLimits::read_timeout`](super::ClientLimits::read_timeout), or if the whole takes longer than
    /// [`ClientLimits::stream_timeout`](super::ClientLimits::stream_timeout), and at once with [`ClientError::Stopped`]
    /// when `stop` is cancelled. Nothing is retried. Dropping the future loses no bytes.
    pub async fn chunk(&mut self, stop: &CancellationToken) -> Result<Option<Bytes>, ClientError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let chunk = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(ClientError::Stopped),
            chunk = self.response.chunk() => chunk,
        };
        let unpacked = match chunk {
            Ok(Some(chunk)) => {
                self.received += chunk.len() as u64;
                self.unpacking.feed(chunk).map(Some).map_err(unpack::packed)
            }
            Ok(None) => {
                let last = self.unpacking.end().map_err(unpack::packed);
                last.map(|last| Some(last).filter(|last| !last.is_empty()))
            }
            Err(error) => Err(Arc::new(error.without_url()) as Cause),
        };
        unpacked.map_err(|source| {
            let error = ClientError::Broken {
                request: self.request.clone(),
                received: self.received,
                source,
            };
            self.broken = Some(error.clone());
            error
        })
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("request", &self.request)
            .field("status", &self.status)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

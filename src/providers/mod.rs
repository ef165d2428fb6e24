//! Adapters of providers: pure functions from (range, cursor) to a call, and from an answer to a page.
//!
//! An adapter does no I/O and has neither secrets nor state: [`Learned`] is passed to it. Sequences of calls (submit,
//! poll, page, download) are a state machine whose state is the [`Cursor`]. See docs/decisions/0011-pure-adapters.md.

mod activity;
mod address;
mod age;
mod answer;
pub mod avaya;
mod call;
mod endpoint;
pub mod everyware;
pub mod genesys;
mod json;
mod learned;
pub mod liveperson;
mod registry;
mod salvage;
mod time;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use http::{HeaderMap, Method, StatusCode};

pub use age::oldest_in_message;
pub use answer::announces_end;
pub use endpoint::{
    DiscoveredHost, Endpoint, ErrorInBody, RateHeaderNames, RetryHints, SentIn, ServiceHost,
    SignIn, TransientFailure,
};
pub use learned::Learned;
pub use registry::{
    PROVIDERS, ProviderConnection, ProviderOptions, ProviderSpec, Reach, ReadAccount, StreamSet,
    provider,
};

pub use crate::model::Cursor;

use crate::model::{FailureKind, Range, Record, Timestamp};

/// An HTTP call without credentials, which the client adds only to [`Target::Api`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// GET or POST.
    pub method: Method,
    /// The target.
    pub target: Target,
    /// A JSON body.
    pub body: Option<String>,
    /// Whether a 504 is an answer about the size of the range, which the client doesn't retry.
    pub gateway_timeout_is_answer: bool,
}

/// The target of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The connection's API, with credentials: a path below [`Endpoint::api`], and a query that the client encodes.
    Api {
        /// The path, which begins with a slash. `{account}` is replaced with [`Endpoint::account`].
        path: String,
        /// Names and values, not yet encoded.
        query: Vec<(&'static str, String)>,
    },
    /// A URL of the provider (a pre-signed download), without credentials.
    Download {
        /// The absolute URL, validated by the client.
        url: String,
    },
}

/// The complete answer to a call, within the size limit.
#[derive(Debug, Clone)]
pub struct Answer {
    /// A status that the client doesn't retry.
    pub status: StatusCode,
    /// The value as received.
    pub headers: HeaderMap,
    /// The value as received.
    pub body: Bytes,
}

impl Cursor {
    /// Encodes an adapter's state as a cursor.
    fn of(state: &impl serde::Serialize) -> Option<Self> {
        serde_json::to_string(state).ok().map(Self)
    }

    /// Decodes the state written by [`Cursor::of`]. An invalid one counts as expired, as another version may have
    /// written it.
    fn state<T: serde::de::DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_str(&self.0)
            .map_err(|error| Refusal::CursorGone(format!("it can't be read: {error}")))
    }
}

/// An independent part of a provider's feed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream {
    /// The name in the commit log: what is pulled, and a hash of the filters, if any.
    pub id: String,
    /// The adapter's note from the provider's list; opaque outside its adapter.
    pub note: Option<&'static str>,
}

impl Stream {
    /// Returns a stream without a note.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            note: None,
        }
    }
}

/// A request for a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The stream.
    pub stream: Stream,
    /// The range of event times.
    pub range: Range,
    /// The number of earlier reads of the range in this run. A confirming read should have different page boundaries.
    pub reading: u32,
    /// The run's "now".
    pub now: Timestamp,
    /// The state derived from earlier answers.
    pub learned: Learned,
}

impl PageRequest {
    /// Returns the request for a first read, without any state.
    pub fn new(stream: Stream, range: Range, now: Timestamp) -> Self {
        Self {
            stream,
            range,
            reading: 0,
            now,
            learned: Learned::default(),
        }
    }
}

/// The bytes of records that aren't UTF-8, by their number on the page.
pub type Foreign = BTreeMap<usize, Vec<u8>>;

/// The content of an answer.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The text to which `records` refer.
    pub text: String,
    /// The byte range of each record in `text`, in the provider's order.
    pub records: Vec<std::ops::Range<usize>>,
    /// The records that can't become rows, as they aren't valid text. `text` has a `?` for each of their invalid bytes.
    pub foreign: Foreign,
    /// The cursor of the next page; `None` at the range's end.
    pub next: Option<Cursor>,
    /// Whether a commit may record `next`: it is after all records so far, and may be used by another run.
    pub resumable: bool,
    /// How long to wait before the next call.
    pub wait: Option<Duration>,
    /// The provider's own count for the whole range, if it returns one.
    pub total: Option<u64>,
    /// Whether `total` is reliable as the number of records on all pages together.
    pub total_binds: bool,
    /// A remark for the operator, as a sentence without a full stop.
    pub remark: Option<String>,
    /// The state derived from this answer.
    pub learned: Learned,
}

/// The reason why an answer isn't a page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The provider no longer accepts the cursor; the range restarts.
    #[error("the provider no longer accepts the cursor: {0}")]
    CursorGone(String),
    /// The range is too large for the provider and is halved.
    #[error("the range is too large for the provider: {0}")]
    TooLarge(String),
    /// By its message, the provider doesn't serve the range; it is passed over, if a newer one is answered.
    #[error("the range is too old for the provider: {0}")]
    TooOld(String),
    /// The provider refuses the request, possibly because of the range's length or age, which smaller and newer ranges
    /// show.
    #[error("{message}")]
    BadRange {
        /// The kind of failure, if it is about neither.
        kind: FailureKind,
        /// The provider's message.
        message: String,
    },
    /// A gateway timed out, or the answer broke off: a smaller range may succeed, unless the provider is down.
    #[error("{0}")]
    TooSlow(String),
    /// Any other failure.
    #[error("{message}")]
    Failed {
        /// The kind of failure.
        kind: FailureKind,
        /// The description, with the offending value and the provider's message.
        message: String,
    },
}

impl Refusal {
    /// The kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::CursorGone(_) | Self::TooSlow(_) => FailureKind::Transient,
            Self::TooLarge(_) | Self::TooOld(_) => FailureKind::Data,
            Self::BadRange { kind, .. } | Self::Failed { kind, .. } => *kind,
        }
    }
}

/// Parses an answer's body while it arrives, so that it isn't held as a whole.
pub trait Splitter: Send {
    /// Returns the records that are complete with these bytes; their page has no `next`.
    fn feed(&mut self, bytes: &[u8]) -> Result<Page, Refusal>;

    /// Ends the body. Returns the last records, and `next` as in [`Adapter::page`]. `is_whole` if it can't be truncated
    /// unnoticed ([`announces_end`]).
    fn end(&mut self, is_whole: bool) -> Result<Page, Refusal>;
}

/// A provider's adapter for a job, with its filters and modes.
pub trait Adapter: Debug + Send + Sync {
    /// Returns the streams determined by the options; `None` if the provider has to be asked.
    fn listed_streams(&self) -> Vec<Stream>;

    /// Returns the calls whose answers list the streams; empty if the options determine them.
    fn stream_calls(&self) -> Vec<Call> {
        Vec::new()
    }

    /// Returns the job's streams, from the answers to [`Adapter::stream_calls`] in the same order.
    fn streams(&self, answers: &[Answer]) -> Result<Vec<Stream>, Refusal> {
        let _ = answers;
        Ok(self.listed_streams())
    }

    /// Returns the requested bounds for `range`, which are wider if the provider's bounds are undocumented.
    fn asked(&self, range: Range) -> Range {
        range
    }

    /// Returns the provider's grain: requested bounds have to be multiples of it, counted from the epoch; zero if any
    /// bounds are possible. Work within one grain is one range.
    fn grain(&self) -> TimeDelta {
        TimeDelta::zero()
    }

    /// Returns whether records have ids. Without ids, equal records are distinguished by their number in a range, so a
    /// range is read to its end before any record lands, and has no cursor beyond the run.
    fn has_ids(&self) -> bool {
        true
    }

    /// Returns the minimum number of calls of a request, for estimates.
    fn least_calls(&self, ask: &PageRequest) -> u32 {
        let _ = ask;
        1
    }

    /// Returns the next call; without a cursor, that of the range's start.
    fn call(&self, ask: &PageRequest, cursor: Option<&Cursor>) -> Result<Call, Refusal>;

    /// Parses the answer to that call.
    fn page(
        &self,
        ask: &PageRequest,
        cursor: Option<&Cursor>,
        answer: Answer,
    ) -> Result<Page, Refusal>;

    /// Returns the options on which the text of records depends, such as `language: en-US`. With other ones, re-read
    /// records would have different ids, so that runs refuse a change.
    fn id_basis(&self) -> Option<String> {
        None
    }

    /// Returns a parser for a successful answer while it arrives, instead of [`Adapter::page`], for answers of
    /// unlimited size.
    fn splitter(&self, ask: &PageRequest) -> Option<Box<dyn Splitter>> {
        let _ = ask;
        None
    }

    /// Parses a record. The error is the reason that goes into quarantine with the bytes.
    fn record<'a>(&self, raw: &'a str) -> Result<Record<'a>, String>;

    /// Returns the record without values that the provider resolves at each read: the content that is stable between
    /// reads, for comparisons and for ids of records without one.
    fn stable_content<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(raw)
    }
}

/// Queries of a provider other than its feed.
pub trait SideQueries: Debug + Sync {
    /// Returns the calls whose answers list the provider's services (`services`), each with a name.
    fn catalogue_calls(&self) -> Vec<(&'static str, Call)>;

    /// Returns the call for the audits of the same action as one audit (`related`).
    fn related_call(&self, audit_id: &str, trustor_org_id: Option<&str>) -> Call;

    /// Parses the entries of an answer to any of these calls.
    fn entries(&self, answer: Answer) -> Result<Page, Refusal>;
}

//! What a provider's adapter is: pure functions from (range, cursor) to a call and from an answer to a page.
//!
//! An adapter does no I/O and holds neither a secret nor state: [`Learned`] is handed to it. What needs several calls (submit, poll, page, download) is a state
//! machine whose state is the [`Cursor`].

mod activity;
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

pub use age::oldest_said;
pub use answer::announces_end;
pub use endpoint::{
    DiscoveredHost, Endpoint, RateHeaderNames, RetryHints, SaidInBody, SentIn, ServiceHost, SignIn,
    TransientFailure,
};
pub use learned::Learned;
pub use registry::{
    PROVIDERS, ProviderConnection, ProviderOptions, ProviderSpec, Reach, ReadAccount, StreamSet,
    provider,
};

pub use crate::model::Cursor;

use crate::model::{FailureKind, Range, Record, Timestamp};

/// One HTTP call, without credentials: the client adds them to [`Target::Api`], and to nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// GET or POST.
    pub method: Method,
    /// Where it goes.
    pub target: Target,
    /// A JSON body.
    pub body: Option<String>,
    /// Whether a 504 is an answer about the size of what was asked, and so not retried by the client.
    pub gateway_timeout_is_answer: bool,
}

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To the connection's API, signed: a path below [`Endpoint::api`], and a query that the client encodes.
    Api {
        /// Begins with a slash. `{account}` in it stands for [`Endpoint::account`].
        path: String,
        /// Names and values, not yet encoded.
        query: Vec<(&'static str, String)>,
    },
    /// To wherever the provider said (a pre-signed download), without credentials.
    Download {
        /// Absolute; checked by the client.
        url: String,
    },
}

/// A call's answer, whole and within the body cap.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Any status that the client doesn't retry by itself.
    pub status: StatusCode,
    /// As received.
    pub headers: HeaderMap,
    /// As received.
    pub body: Bytes,
}

impl Cursor {
    /// Writes an adapter's state as a cursor.
    fn of(state: &impl serde::Serialize) -> Option<Self> {
        serde_json::to_string(state).ok().map(Self)
    }

    /// Reads the state that [`Cursor::of`] wrote. One that can't be read is gone: another version may have written it.
    fn state<T: serde::de::DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_str(&self.0)
            .map_err(|error| Refusal::CursorGone(format!("it can't be read: {error}")))
    }
}

/// An independent part of a provider's feed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream {
    /// Its name in the commit log: what is pulled, and a hash of the filters where there are any.
    pub id: String,
    /// What the adapter noted about it when the provider listed it; opaque outside its adapter.
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

/// What is asked of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Of which stream.
    pub stream: Stream,
    /// For which event times.
    pub range: Range,
    /// How often this run has read the range before. A reading that is to confirm another one had better cut its pages
    /// elsewhere.
    pub reading: u32,
    /// What the run takes for now.
    pub now: Timestamp,
    /// What earlier answers taught the adapter.
    pub learned: Learned,
}

impl PageRequest {
    /// Returns the request for a first reading, of which nothing is learned yet.
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

/// What one answer held.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The text that `records` point into.
    pub text: String,
    /// The byte range of each record in `text`, in the provider's order.
    pub records: Vec<std::ops::Range<usize>>,
    /// The records that can't be rows, as they aren't text. `text` has a `?` for each byte of theirs that isn't UTF-8.
    pub foreign: Foreign,
    /// Where to go on; none at the range's end.
    pub next: Option<Cursor>,
    /// Whether `next` is worth keeping in a commit: it stands behind all records up to here, and may outlive the run.
    pub resumable: bool,
    /// How long to wait before going on.
    pub wait: Option<Duration>,
    /// The provider's own count for the whole range, where it gives one.
    pub total: Option<u64>,
    /// Whether a range may rest on `total`: it is the count of what all pages together show.
    pub total_binds: bool,
    /// What an operator should know of this answer, as a sentence without a full stop.
    pub remark: Option<String>,
    /// What this answer taught the adapter.
    pub learned: Learned,
}

/// Why an answer is no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The provider no longer accepts the cursor: the range is pulled again from its start.
    #[error("the provider no longer accepts the cursor: {0}")]
    CursorGone(String),
    /// The range is too large for the provider: it is halved.
    #[error("the range is too large for the provider: {0}")]
    TooLarge(String),
    /// By what the provider says, it no longer has the range, or never had: the range is passed over, if a newer one is
    /// answered.
    #[error("the range is too old for the provider: {0}")]
    TooOld(String),
    /// The provider refuses what is asked, maybe for the range's length or its age: smaller and newer ranges tell.
    #[error("{message}")]
    BadRange {
        /// What it means for the scheduler, if it is about neither.
        kind: FailureKind,
        /// What the provider said.
        message: String,
    },
    /// A gateway gave up, or the answer broke off: a smaller range may do better, unless the provider is down.
    #[error("{0}")]
    TooSlow(String),
    /// Anything else.
    #[error("{message}")]
    Failed {
        /// What it means for the scheduler.
        kind: FailureKind,
        /// What failed, with the offending value and what the provider said.
        message: String,
    },
}

impl Refusal {
    /// What it means for the scheduler.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::CursorGone(_) | Self::TooSlow(_) => FailureKind::Transient,
            Self::TooLarge(_) | Self::TooOld(_) => FailureKind::Data,
            Self::BadRange { kind, .. } | Self::Failed { kind, .. } => *kind,
        }
    }
}

/// Takes one answer's body apart while it arrives, so that it need not be held whole.
pub trait Splitter: Send {
    /// The records that are complete with these bytes; their page has no `next`.
    fn feed(&mut self, bytes: &[u8]) -> Result<Page, Refusal>;

    /// The body has ended: the last records, and `next` as in [`Adapter::page`]. `is_whole` if it can't have been cut short
    /// unnoticed ([`announces_end`]).
    fn end(&mut self, is_whole: bool) -> Result<Page, Refusal>;
}

/// A provider's adapter for one job: its filters and modes are inside.
pub trait Adapter: Debug + Send + Sync {
    /// The streams that the options name by themselves; none if only the provider knows them.
    fn listed_streams(&self) -> Vec<Stream>;

    /// The calls whose answers tell which streams there are; none if the options say it all.
    fn stream_calls(&self) -> Vec<Call> {
        Vec::new()
    }

    /// The job's streams, from the answers to [`Adapter::stream_calls`] in the same order.
    fn streams(&self, answers: &[Answer]) -> Result<Vec<Stream>, Refusal> {
        let _ = answers;
        Ok(self.listed_streams())
    }

    /// The bounds that are really asked for when `range` is wanted: wider where the provider's bounds are unknown.
    fn asked(&self, range: Range) -> Range {
        range
    }

    /// The least length that the provider can be asked for, counted from the epoch; zero if any bounds will do. What is
    /// due within one such length is one range.
    fn grain(&self) -> TimeDelta {
        TimeDelta::zero()
    }

    /// Whether records have ids of their own. Where they haven't, equal ones are told apart by how many a range shows,
    /// so a range is read to its end before any of it is landed, and has no cursor that outlives a run.
    fn has_ids(&self) -> bool {
        true
    }

    /// The fewest calls that an ask can take; for estimates.
    fn least_calls(&self, ask: &PageRequest) -> u32 {
        let _ = ask;
        1
    }

    /// The next call; no cursor means the range's start.
    fn call(&self, ask: &PageRequest, cursor: Option<&Cursor>) -> Result<Call, Refusal>;

    /// What the answer to that call means.
    fn page(
        &self,
        ask: &PageRequest,
        cursor: Option<&Cursor>,
        answer: Answer,
    ) -> Result<Page, Refusal>;

    /// What of the options the text of records depends on, like `language: en-US`. Under another wording, what is read
    /// again would have other ids: the pipeline refuses that.
    fn wording(&self) -> Option<String> {
        None
    }

    /// Takes a successful answer apart while it arrives, in the place of [`Adapter::page`]: for answers without bound.
    fn splitter(&self, ask: &PageRequest) -> Option<Box<dyn Splitter>> {
        let _ = ask;
        None
    }

    /// Reads one record; the error is the reason that goes into quarantine with the bytes.
    fn record<'a>(&self, raw: &'a str) -> Result<Record<'a>, String>;

    /// The record without what the provider resolves anew at each reading: what two readings of it have in common, to
    /// compare them and to make an id where the provider gives none.
    fn lasting<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(raw)
    }
}

/// Queries that a provider answers besides its feed.
pub trait SideQueries: Debug + Sync {
    /// Returns the calls whose answers list what the provider can be asked for (`services`), each with a name.
    fn catalogue_calls(&self) -> Vec<(&'static str, Call)>;

    /// Returns the call for the audits of the same action as one audit (`related`).
    fn related_call(&self, audit_id: &str, trustor_org_id: Option<&str>) -> Call;

    /// Reads the entries of an answer to any of these calls.
    fn entries(&self, answer: Answer) -> Result<Page, Refusal>;
}

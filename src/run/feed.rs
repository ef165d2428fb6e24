//! A provider's feed: the adapter creates requests and interprets answers, the client sends them.

use std::collections::HashSet;
use std::hash::Hasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use twox_hash::XxHash64;

use crate::client::{Calls, Client, ClientError, OpenResponse, ResponseBody};
use crate::clock;
use crate::foreign;
use crate::model::{FailureKind, Timestamp};
use crate::providers::{
    Adapter, Answer, Call, Cursor, Learned, Page, PageRequest, Refusal, SideQueries, Splitter,
    Stream, Target, announces_end,
};
use crate::telemetry::error_chain;

/// The number of pages in a row that may contain the same records, if records have ids.
const SAME_AT_MOST: u32 = 3;
/// How long a list of streams from the provider is cached. A stream that appears meanwhile loses nothing, as it begins
/// at the job's start.
const STREAMS_LAST: Duration = Duration::from_hours(24);

/// The feed of a job.
#[derive(Debug, Clone)]
pub struct Feed {
    /// Creates requests and interprets answers.
    pub adapter: Arc<dyn Adapter>,
    /// Sends requests; shared by all jobs of a connection, which share its rate budget.
    pub client: Client,
    /// The streams, if the provider had to be asked; shared by all clones.
    named: Arc<Mutex<Option<NamedStreams>>>,
    /// The state that the adapter derived from answers; shared by all clones.
    learned: Arc<Mutex<Learned>>,
}

/// The streams that a provider listed.
#[derive(Debug, Clone)]
struct NamedStreams {
    /// When they were listed.
    at: Instant,
    streams: Vec<Stream>,
}

/// The reason why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The call wasn't answered.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The answer isn't a page.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The answer broke off after a part of it had been processed.
    #[error("the answer broke off")]
    BrokenOff {
        /// The cause.
        source: Box<FeedError>,
    },
}

impl FeedError {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Client(error) => error.kind(),
            Self::Refused(refusal) => refusal.kind(),
            Self::BrokenOff { source } => source.kind(),
        }
    }
}

impl FeedError {
    /// Returns whether the answer couldn't be parsed.
    pub fn is_no_page(&self) -> bool {
        matches!(self, Self::Refused(Refusal::Failed { .. })) && self.kind() == FailureKind::Data
    }

    /// Returns whether the range may succeed from its start: its cursor expired, or an answer broke off.
    pub fn may_restart(&self) -> bool {
        matches!(
            self,
            Self::BrokenOff { .. } | Self::Refused(Refusal::CursorGone(_))
        )
    }
}

impl Feed {
    /// Creates a feed without any cached state.
    pub fn new(adapter: Arc<dyn Adapter>, client: Client) -> Self {
        Self {
            adapter,
            client,
            named: Arc::default(),
            learned: Arc::default(),
        }
    }

    /// Returns the feed with calls of low priority, which wait while any other call of the connection waits.
    #[must_use]
    pub fn yielding(&self) -> Self {
        Self {
            client: self.client.yielding(),
            ..self.clone()
        }
    }

    /// Returns the feed without retries of transient failures.
    #[must_use]
    pub fn once(&self) -> Self {
        Self {
            client: self.client.once(),
            ..self.clone()
        }
    }

    /// Returns the feed with retries of all transient failures, including those that may be caused by the size of a
    /// range.
    #[must_use]
    pub fn persisting(&self) -> Self {
        Self {
            client: self.client.persisting(),
            ..self.clone()
        }
    }

    /// Returns the feed with its requests also counted in `calls`.
    #[must_use]
    pub fn counting(&self, calls: Calls) -> Self {
        Self {
            client: self.client.counting(calls),
            ..self.clone()
        }
    }

    /// Returns the feed with its requests counted separately as well as in total.
    pub fn apart(&self) -> (Self, Calls) {
        let (client, calls) = self.client.apart();
        let feed = Self {
            client,
            ..self.clone()
        };
        (feed, calls)
    }

    /// Returns the job's streams. If the provider has to be asked, the answer is cached for a day.
    pub async fn streams(&self, stop: &CancellationToken) -> Result<Vec<Stream>, FeedError> {
        let calls = self.adapter.stream_calls();
        if calls.is_empty() {
            return self.closed(self.adapter.streams(&[]));
        }
        let asked = Instant::now();
        let named = self.named().clone();
        if let Some(NamedStreams { at, streams }) = named
            && asked < at + STREAMS_LAST
        {
            return Ok(streams);
        }
        let mut answers = Vec::new();
        for call in calls {
            answers.push(self.answer(&call, stop).await?);
        }
        let streams = self.closed(self.adapter.streams(&answers))?;
        *self.named() = Some(NamedStreams {
            at: asked,
            streams: streams.clone(),
        });
        Ok(streams)
    }

    /// Drops the cached streams after a failure that changed streams may have caused, so that [`Feed::streams`] asks
    /// the provider again.
    pub fn forget_streams(&self) {
        *self.named() = None;
    }

    fn named(&self) -> MutexGuard<'_, Option<NamedStreams>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a side query and returns the page with its entries.
    pub async fn entries(
        &self,
        queries: &dyn SideQueries,
        call: &Call,
        stop: &CancellationToken,
    ) -> Result<Page, FeedError> {
        self.closed(queries.entries(self.answer(call, stop).await?))
    }

    /// Returns a remark of the adapter in displayable form: it may repeat credentials and contain any text of the
    /// provider.
    fn shown(&self, text: &str) -> String {
        foreign::line(&self.client.redact(text)).into_owned()
    }

    /// Returns a refusal in displayable form.
    fn closed<T>(&self, told: Result<T, Refusal>) -> Result<T, FeedError> {
        told.map_err(|refusal| {
            let redact = |text: String| self.shown(&text);
            match refusal {
                Refusal::CursorGone(text) => Refusal::CursorGone(redact(text)),
                Refusal::TooLarge(text) => Refusal::TooLarge(redact(text)),
                Refusal::TooSlow(text) => Refusal::TooSlow(redact(text)),
                Refusal::TooOld(text) => Refusal::TooOld(redact(text)),
                Refusal::BadRange { kind, message } => Refusal::BadRange {
                    kind,
                    message: redact(message),
                },
                Refusal::Failed { kind, message } => Refusal::Failed {
                    kind,
                    message: redact(message),
                },
            }
            .into()
        })
    }

    /// Returns a page with its remarks in displayable form.
    fn closed_page(&self, told: Result<Page, Refusal>) -> Result<Page, FeedError> {
        let mut page = self.closed(told)?;
        page.remark = page.remark.map(|remark| self.shown(&remark));
        self.learned().update(std::mem::take(&mut page.learned));
        Ok(page)
    }

    /// Begins to read a range, at `cursor` or at its start.
    pub fn read(&self, ask: &PageRequest, cursor: Option<Cursor>) -> RangeReader<'_> {
        RangeReader {
            source: self,
            ask: ask.clone(),
            been: cursor.iter().map(|cursor| cursor.0.clone()).collect(),
            cursor,
            last: None,
            first_answer: None,
            at: ReadPosition::Call { wait: None },
        }
    }

    /// Returns the answer to a single call.
    async fn answer(&self, call: &Call, stop: &CancellationToken) -> Result<Answer, FeedError> {
        let answer = self.client.send(call, stop).await?;
        match self.oddity(&answer) {
            Some((kind, odd)) => {
                let message = format!("the provider answered {}: {odd}", answer.status);
                Err(failed(kind, message))
            }
            None => Ok(answer),
        }
    }

    /// Returns the refusal for an answer without JSON: a redirect, or an empty answer.
    fn oddity(&self, answer: &Answer) -> Option<(FailureKind, String)> {
        if let Some(leads) = self.client.leads(answer) {
            return Some((FailureKind::Config, leads));
        }
        let is_empty = answer.status.is_success() && answer.body.trim_ascii().is_empty();
        is_empty.then(|| (FailureKind::Transient, "the answer is empty".to_owned()))
    }
}

/// The pages of a range, one after the other.
#[derive(Debug)]
pub struct RangeReader<'a> {
    source: &'a Feed,
    ask: PageRequest,
    cursor: Option<Cursor>,
    /// Every cursor so far, except those at which it waited.
    been: HashSet<String>,
    /// The number of records on the last page, their hash, and the number of pages in a row with the same.
    last: Option<((usize, u64), u32)>,
    /// The first answer and its `Date`, if any.
    first_answer: Option<FirstAnswer>,
    at: ReadPosition,
}

/// The first answer to a range's requests.
#[derive(Debug, Clone, Copy)]
pub struct FirstAnswer {
    /// The answer's `Date`, if it has a valid one.
    pub date: Option<Timestamp>,
}

impl FirstAnswer {
    fn of(headers: &http::HeaderMap) -> Self {
        Self {
            date: clock::date_of(headers),
        }
    }
}

/// The position of a reader.
#[derive(Debug)]
enum ReadPosition {
    /// Before the next call, after this wait.
    Call { wait: Option<Duration> },
    /// In an answer that is parsed while it arrives.
    Body(Box<PendingAnswer>),
    /// After the last page.
    End,
}

/// An answer that is being received.
struct PendingAnswer {
    body: ResponseBody,
    splitter: Box<dyn Splitter>,
    /// Whether nothing of it has been processed yet.
    begins: bool,
}

impl std::fmt::Debug for PendingAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arriving")
            .field("begins", &self.begins)
            .finish_non_exhaustive()
    }
}

/// A page, or a part of a very large page.
#[derive(Debug)]
pub struct PagePiece {
    /// The page.
    pub page: Page,
    /// Whether it is the first part of an answer.
    pub begins: bool,
}

impl RangeReader<'_> {
    /// Returns the time of the first answer by the API's clock, if there was an answer with a `Date`.
    pub fn first_answer(&self) -> Option<FirstAnswer> {
        self.first_answer
    }

    /// Returns the next page, or `None` after the last one.
    ///
    /// A download that can't be fetched becomes a 502, so that the adapter can continue without it.
    pub async fn next(&mut self, stop: &CancellationToken) -> Result<Option<PagePiece>, FeedError> {
        match std::mem::replace(&mut self.at, ReadPosition::End) {
            ReadPosition::End => Ok(None),
            ReadPosition::Call { wait } => self.call(wait, stop).await,
            ReadPosition::Body(arriving) => {
                self.rest_of(arriving, stop)
                    .await
                    .map_err(|error| match error.kind() {
                        FailureKind::Transient if !is_stopped(&error) => FeedError::BrokenOff {
                            source: Box::new(error),
                        },
                        _ => error,
                    })
            }
        }
    }

    async fn call(
        &mut self,
        wait: Option<Duration>,
        stop: &CancellationToken,
    ) -> Result<Option<PagePiece>, FeedError> {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Err(ClientError::Stopped.into()),
            () = tokio::time::sleep(wait.unwrap_or_default()) => {}
        }
        let Feed {
            adapter, client, ..
        } = self.source;
        self.ask.learned.clone_from(&self.source.learned());
        let call = self
            .source
            .closed(adapter.call(&self.ask, self.cursor.as_ref()))?;
        let answer = match adapter.splitter(&self.ask) {
            None => client.send(&call, stop).await,
            Some(splitter) => match client.open(&call, stop).await? {
                OpenResponse::Answer(answer) => Ok(answer),
                OpenResponse::Body(body) => {
                    (self.first_answer).get_or_insert_with(|| FirstAnswer::of(&body.headers));
                    self.at = ReadPosition::Body(Box::new(PendingAnswer {
                        body,
                        splitter,
                        begins: true,
                    }));
                    return Box::pin(self.next(stop)).await;
                }
            },
        };
        let answer = match answer {
            Err(error @ ClientError::BodyTooLarge { .. }) => {
                return Err(Refusal::TooLarge(error.to_string()).into());
            }
            // a network that permits calls to the API may block the host of a download
            Err(error)
                if matches!(call.target, Target::Download { .. })
                    && !matches!(error, ClientError::Stopped) =>
            {
                tracing::warn!(error = error_chain(&error), "a download can't be fetched");
                Answer {
                    status: StatusCode::BAD_GATEWAY,
                    headers: HeaderMap::new(),
                    body: Bytes::new(),
                }
            }
            answer => answer?,
        };
        (self.first_answer).get_or_insert_with(|| FirstAnswer::of(&answer.headers));
        let (status, oddity) = (answer.status, self.source.oddity(&answer));
        // a refusal, and the wait that it requests, can come with status 200
        let asks = Some(&answer.headers).filter(|headers| headers.contains_key(RETRY_AFTER));
        let asks = asks.filter(|_| answer.status.is_success()).cloned();
        self.ask.learned.clone_from(&self.source.learned());
        let page = adapter.page(&self.ask, self.cursor.as_ref(), answer);
        let page = match (page, oddity) {
            // an answer without JSON has no other meaning
            (Err(Refusal::Failed { .. }), Some((kind, odd))) => {
                return Err(failed(
                    kind,
                    format!("the provider answered {status}: {odd}"),
                ));
            }
            // there was no cursor to refuse, so the requested resource doesn't exist
            (Err(Refusal::CursorGone(message)), _) if self.cursor.is_none() => {
                return Err(failed(FailureKind::Config, self.source.shown(&message)));
            }
            (page, _) => {
                let refused = page.as_ref().err().map(Refusal::kind);
                if let (Some(FailureKind::RateLimited | FailureKind::Transient), Some(headers)) =
                    (refused, asks)
                {
                    client.rest_after(&headers);
                }
                self.source.closed_page(page)?
            }
        };
        self.go_on_from(&page)?;
        Ok(Some(PagePiece { page, begins: true }))
    }

    /// Returns the records that are complete after the body's next bytes or its end.
    async fn rest_of(
        &mut self,
        mut arriving: Box<PendingAnswer>,
        stop: &CancellationToken,
    ) -> Result<Option<PagePiece>, FeedError> {
        let begins = std::mem::take(&mut arriving.begins);
        while let Some(bytes) = arriving.body.chunk(stop).await? {
            let page = self.source.closed_page(arriving.splitter.feed(&bytes))?;
            if !page.records.is_empty() {
                self.at = ReadPosition::Body(arriving);
                return Ok(Some(PagePiece { page, begins }));
            }
        }
        let page = self
            .source
            .closed_page(arriving.splitter.end(announces_end(&arriving.body.headers)))?;
        self.go_on_from(&page)?;
        Ok(Some(PagePiece { page, begins }))
    }

    /// Ensures that a range ends with any provider: no cursor repeats, not all pages are equal, and the number of pages
    /// is bounded.
    fn go_on_from(&mut self, page: &Page) -> Result<(), FeedError> {
        let Some(next) = &page.next else {
            return Ok(());
        };
        if page.wait.is_none() && !self.been.insert(next.0.clone()) {
            return Err(failed(
                FailureKind::Data,
                "the provider's pages are circular: one of them leads back to an earlier one",
            ));
        }
        if self.is_stuck(page) {
            let message = format!("{SAME_AT_MOST} pages in a row have the same records");
            return Err(failed(FailureKind::Data, message));
        }
        let most = self.source.client.pages_at_most();
        if self.been.len() > most {
            let message = format!("there are more than {most} pages");
            return Err(Refusal::TooLarge(message).into());
        }
        self.cursor = Some(next.clone());
        self.at = ReadPosition::Call { wait: page.wait };
        Ok(())
    }

    /// Returns whether pages repeat. Only checked for records with ids, as others can be equal.
    fn is_stuck(&mut self, page: &Page) -> bool {
        if !self.source.adapter.has_ids() || page.records.is_empty() {
            return false;
        }
        let mut hasher = XxHash64::default();
        for span in &page.records {
            hasher.write(page.text[span.clone()].as_bytes());
        }
        let print = (page.records.len(), hasher.finish());
        let same = match self.last {
            Some((last, same)) if last == print => same + 1,
            _ => 1,
        };
        self.last = Some((print, same));
        same >= SAME_AT_MOST
    }
}

fn is_stopped(error: &FeedError) -> bool {
    matches!(error, FeedError::Client(ClientError::Stopped))
}

fn failed(kind: FailureKind, message: impl Into<String>) -> FeedError {
    Refusal::Failed {
        kind,
        message: message.into(),
    }
    .into()
}

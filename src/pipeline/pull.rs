//! Step 2 of a run: windows are taken off a queue and pulled page by page, several at a time.

use std::pin::Pin;
use std::sync::Arc;

use chrono::TimeDelta;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::error::RunError;
use super::queue::Queue;
use super::whole::{self, READINGS, Verdict, Whole};
use super::{Conduct, Job};
use crate::client::ClientError;
use crate::clock::{Clock, real_now};
use crate::lake::{Open, Work};
use crate::model::{Range, Timestamp};
use crate::plan::{Policy, Task};
use crate::providers::{Ask, Cursor, Page, Refusal, Stream};
use crate::source::{Piece, Source, SourceError};

/// How often a range is begun again, because its cursor was refused or its answer broke off, before that counts as a
/// failure.
const RESTARTS: u32 = 3;

/// What a worker tells the landing. A slot is one window in flight.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A range is begun, or begun again; what its slot knew of another range is void.
    Began(usize, InFlight),
    /// A page arrived.
    Page {
        slot: usize,
        page: Page,
        /// Each record's id, for a provider that gives none.
        ids: Vec<Option<String>>,
        /// Whether it begins an answer: equal records of one answer are twins.
        begins: bool,
        received_at: Timestamp,
    },
    /// The range was pulled to its last page; the stream's windows are narrowed to this, if any.
    Finished {
        slot: usize,
        narrowed: Option<TimeDelta>,
    },
}

/// A range in flight.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    pub(super) stream: String,
    pub(super) range: Range,
    pub(super) work: Work,
    /// When its first page was asked for, by the run's clock.
    pub(super) asked_at: Timestamp,
    /// The bounds that are really asked for.
    pub(super) asked: Range,
    /// The place to go on from that a commit may record.
    pub(super) cursor: Option<Cursor>,
    /// Whether it goes on from an earlier run's cursor.
    pub(super) resumed: bool,
}

/// Starts the workers, which pull from `feed`; what is returned ends when all of them have, and aborts them when dropped.
pub(super) fn spawn(
    feed: &Source,
    job: &Job,
    queue: &Arc<Queue>,
    conduct: &Conduct,
    arrivals: &mpsc::Sender<Arrival>,
) -> Pin<Box<dyn Future<Output = Result<(), JoinError>> + Send>> {
    let mut workers = JoinSet::new();
    for slot in 0..conduct.at_a_time.max(1) {
        let worker = Worker {
            slot,
            source: feed.clone(),
            policy: job.policy.clone(),
            queue: Arc::clone(queue),
            stop: conduct.stop.clone(),
            arrivals: arrivals.clone(),
            clock: conduct.clock,
        };
        workers.spawn(worker.work().in_current_span());
    }
    Box::pin(async move {
        while let Some(ended) = workers.join_next().await {
            ended?;
        }
        Ok(())
    })
}

struct Worker {
    slot: usize,
    source: Source,
    policy: Policy,
    queue: Arc<Queue>,
    stop: CancellationToken,
    arrivals: mpsc::Sender<Arrival>,
    clock: Clock,
}

/// Why a range was not pulled to its last page.
enum Ended {
    TooLarge(Refusal),
    Failed(RunError),
    /// The run stops; what arrived is committed with its cursor.
    Stopped,
}

impl From<SourceError> for Ended {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Refused(said @ Refusal::TooLarge(_)) => Self::TooLarge(said),
            SourceError::Client(ClientError::Stopped) => Self::Stopped,
            error => Self::Failed(error.into()),
        }
    }
}

impl Worker {
    async fn work(self) {
        while let Some((stream, task)) = self.queue.next(&self.stop) {
            self.window(&stream, task).await;
        }
    }

    /// Pulls a window, in smaller ranges where it proves too large.
    async fn window(&self, stream: &Stream, task: Task) {
        let whole = task.range;
        let mut resume = task.resume;
        let mut from = whole.from();
        loop {
            let length = match (&resume, self.queue.narrowed(&stream.id)) {
                (None, Some(narrowed)) => narrowed,
                _ => whole.length(),
            };
            let Some(range) = self.policy.first_piece(from, whole.to(), length) else {
                return;
            };
            match self.range(stream, range, task.work, resume.take()).await {
                Ok(()) => from = range.to(),
                Err(Ended::TooLarge(said)) => match self.policy.first_half(range) {
                    Some(half) => {
                        tracing::warn!(stream = stream.id, %range, reason = %said, "halving a window that is too large");
                        self.queue.narrow(&stream.id, half.length());
                    }
                    None => {
                        return self.queue.fail(
                            &stream.id,
                            range,
                            RunError::TooLarge {
                                range,
                                source: said,
                            },
                        );
                    }
                },
                Err(Ended::Failed(error)) => return self.queue.fail(&stream.id, range, error),
                Err(Ended::Stopped) => {
                    self.queue.leave_unfinished();
                    return;
                }
            }
        }
    }

    /// Pulls a range to its last page.
    async fn range(
        &self,
        stream: &Stream,
        range: Range,
        work: Work,
        resume: Option<Open>,
    ) -> Result<(), Ended> {
        let now = self.clock.now(); // a run may last hours
        let ask = Ask {
            stream: stream.clone(),
            range,
            reading: 0,
            now,
        };
        let in_flight = InFlight {
            stream: stream.id.clone(),
            range,
            work,
            asked_at: resume.as_ref().map_or(now, |open| open.asked_at),
            asked: self.source.adapter.asked(range),
            resumed: resume.is_some(),
            cursor: resume.map(|open| open.cursor),
        };
        self.send(Arrival::Began(self.slot, in_flight.clone()))
            .await?;
        if self.source.adapter.has_ids() {
            self.page_by_page(&ask, in_flight).await?;
        } else {
            self.as_a_whole(ask).await?;
        }
        let narrowed = self
            .queue
            .grow(&stream.id, range.length(), self.policy.window);
        self.send(Arrival::Finished {
            slot: self.slot,
            narrowed,
        })
        .await
    }

    /// Hands each page on as it arrives.
    async fn page_by_page(&self, ask: &Ask, mut in_flight: InFlight) -> Result<(), Ended> {
        let mut reading = self.source.read(ask, in_flight.cursor.clone());
        let mut restarts = 0;
        loop {
            match reading.next(&self.stop).await {
                Ok(Some(Piece { page, begins }))
                    if !page.records.is_empty() || page.resumable || page.remark.is_some() =>
                {
                    self.send(Arrival::Page {
                        slot: self.slot,
                        page,
                        ids: Vec::new(),
                        begins,
                        received_at: real_now(),
                    })
                    .await?;
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                // a place that an earlier run left may lead nowhere by now, whatever is answered there
                Err(error)
                    if (error.is_cured_by_beginning_again()
                        || (in_flight.resumed && error.is_no_page()))
                        && restarts < RESTARTS =>
                {
                    let reason = crate::telemetry::chain(&error);
                    tracing::info!(stream = in_flight.stream, range = %ask.range, reason, "beginning a range again");
                    restarts += 1;
                    in_flight = InFlight {
                        cursor: None,
                        resumed: false,
                        asked_at: self.clock.now(),
                        ..in_flight
                    };
                    self.send(Arrival::Began(self.slot, in_flight.clone()))
                        .await?;
                    reading = self.source.read(ask, None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Hands the range on once it is known how often each of its records is there.
    async fn as_a_whole(&self, mut ask: Ask) -> Result<(), Ended> {
        let mut whole = Whole::default();
        let mut why = String::new();
        for reading in 0..READINGS {
            ask.reading = reading;
            let mut pages = self.source.read(&ask, None);
            while let Some(Piece { page, .. }) = pages.next(&self.stop).await? {
                if !whole.take(&page, |raw| self.source.adapter.lasting(raw)) {
                    let said = format!("it shows more than {} MiB of records", whole::CAP >> 20);
                    return Err(Ended::TooLarge(Refusal::TooLarge(said)));
                }
            }
            let adapter = &self.source.adapter;
            match whole.end_of_reading(|raw| Some(adapter.record(raw).ok()?.event_time)) {
                Verdict::Rows(page, ids) => {
                    return self
                        .send(Arrival::Page {
                            slot: self.slot,
                            page,
                            ids,
                            begins: true,
                            received_at: real_now(),
                        })
                        .await;
                }
                Verdict::Again(reason) => {
                    tracing::info!(stream = ask.stream.id, range = %ask.range, reason, "reading a range again");
                    why = reason;
                }
            }
        }
        let said = format!("{READINGS} readings of it disagree: {why}");
        Err(Ended::TooLarge(Refusal::TooLarge(said)))
    }

    /// The landing is gone only if the run has failed.
    async fn send(&self, arrival: Arrival) -> Result<(), Ended> {
        self.arrivals
            .send(arrival)
            .await
            .map_err(|_| Ended::Stopped)
    }
}

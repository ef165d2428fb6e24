//! The pull of one range by a worker: its pages are fetched, decoded on the CPU pool and passed to the sink.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::compute::{ComputeTask, CpuPool};
use super::decode::{ReadPage, ReceivedPage};
use super::error::RunError;
use super::event::{InFlight, WorkerEvent};
use super::feed::{Feed, FeedError, FirstAnswer, PagePiece};
use super::identity::Occurrences;
use super::memory::{MemoryBudget, Reservation};
use super::reread::{self, READINGS, ReadVerdict, RepeatedRead};
use super::time::Time;
use crate::client::ClientError;
use crate::lake::{OpenRange, Work};
use crate::model::{Range, Timestamp};
use crate::providers::{Page, PageRequest, Refusal, Stream};
use crate::table::RowError;

/// How often a range is restarted because its cursor was refused or its answer broke off, before it fails.
const RESTARTS: u32 = 3;

/// The reason why a range wasn't pulled to its last page.
#[derive(Debug)]
pub(super) enum PullEnd {
    TooLarge(Refusal),
    /// Its bounds are refused, certainly or possibly because of its age.
    Refused(Refusal),
    Failed(RunError),
    /// The run stops; received pages are committed with their cursor.
    Stopped,
}

impl From<FeedError> for PullEnd {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Refused(refusal @ Refusal::TooLarge(_)) => Self::TooLarge(refusal),
            FeedError::Refused(refusal @ (Refusal::TooOld(_) | Refusal::BadRange { .. })) => {
                Self::Refused(refusal)
            }
            FeedError::Client(ClientError::Stopped) => Self::Stopped,
            error => Self::Failed(error.into()),
        }
    }
}

/// The effort for a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RangeEffort {
    Once,
    Usual,
    Full,
}

/// A page that is being decoded, and the occurrences of its answer so far.
type PendingPage<P> = ComputeTask<(WorkerEvent<P>, Occurrences)>;

/// Pulls the ranges of one slot.
pub(super) struct RangePuller<R: ReadPage> {
    pub(super) slot: usize,
    pub(super) source: Feed,
    pub(super) reader: Arc<R>,
    pub(super) cpu: CpuPool,
    pub(super) budget: MemoryBudget,
    pub(super) stop: CancellationToken,
    pub(super) events: mpsc::Sender<WorkerEvent<R::Made>>,
    pub(super) time: Time,
}

impl<R: ReadPage> RangePuller<R> {
    /// Pulls a range to its last page.
    pub(super) async fn pull(
        &self,
        stream: &Stream,
        range: Range,
        work: Work,
        resume: Option<OpenRange>,
        effort: RangeEffort,
    ) -> Result<(), PullEnd> {
        let now = self.time.now(); // a run can last hours
        let (source, calls) = match effort {
            RangeEffort::Once => self.source.once().apart(),
            RangeEffort::Usual => self.source.apart(),
            RangeEffort::Full => self.source.persisting().apart(),
        };
        let request = PageRequest::new(stream.clone(), range, now);
        let in_flight = InFlight {
            stream: stream.id.clone(),
            range,
            work,
            as_of: resume.as_ref().map_or(now, |open| open.asked_at),
            requested: self.source.adapter.asked(range),
            resumed: resume.is_some(),
            calls: calls.clone(),
            cursor: resume.map(|open| open.cursor),
        };
        self.send(WorkerEvent::Began(self.slot, in_flight.clone()))
            .await?;
        if self.source.adapter.has_ids() {
            self.page_by_page(&source, &request, in_flight).await?;
        } else {
            self.repeatedly(&source, request, in_flight.as_of).await?;
        }
        Ok(())
    }

    /// Reports that the range was pulled; the stream's windows are reduced to `narrowed` from here, if any.
    pub(super) async fn finish(&self, narrowed: Option<TimeDelta>) -> Result<(), PullEnd> {
        self.send(WorkerEvent::Finished {
            slot: self.slot,
            narrowed,
        })
        .await
    }

    /// Passes each page to the sink as soon as it is decoded, while the next one is fetched.
    async fn page_by_page(
        &self,
        source: &Feed,
        request: &PageRequest,
        mut in_flight: InFlight,
    ) -> Result<(), PullEnd> {
        let mut pages = source.read(request, in_flight.cursor.clone());
        let mut restarts = 0;
        let mut occurrences = Occurrences::new();
        let mut decoding: Option<PendingPage<R::Made>> = None;
        let mut answered = false;
        loop {
            let send_page = async {
                match decoding.take() {
                    Some(page) => self.send_page(page).await.map(Some),
                    None => Ok(None),
                }
            };
            let (next, sent) = tokio::join!(pages.next(&self.stop), send_page);
            if let Some(so_far) = sent? {
                occurrences = so_far;
            }
            if !in_flight.resumed && !answered {
                answered = self.answered(pages.first_answer(), in_flight.as_of).await?;
            }
            match next {
                Ok(Some(PagePiece { page, begins })) => {
                    if begins {
                        occurrences.clear();
                    }
                    if !page.records.is_empty() || page.resumable || page.remark.is_some() {
                        let held = self.budget.hold(page.text.len()).await;
                        let occurrences = std::mem::take(&mut occurrences);
                        decoding = Some(self.decode(page, Vec::new(), occurrences, held));
                    }
                }
                Ok(None) => return Ok(()),
                // a cursor of an earlier run may be invalid by now, with any answer
                Err(error)
                    if (error.may_restart() || (in_flight.resumed && error.is_no_page()))
                        && restarts < RESTARTS =>
                {
                    let reason = crate::telemetry::error_chain(&error);
                    tracing::info!(stream = in_flight.stream, range = %request.range, reason, "beginning a range again");
                    restarts += 1;
                    in_flight = InFlight {
                        cursor: None,
                        resumed: false,
                        as_of: self.time.now(),
                        ..in_flight
                    };
                    self.send(WorkerEvent::Began(self.slot, in_flight.clone()))
                        .await?;
                    answered = false;
                    pages = source.read(request, None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Passes the range to the sink when the number of occurrences of each record is known.
    async fn repeatedly(
        &self,
        source: &Feed,
        mut request: PageRequest,
        asked_at: Timestamp,
    ) -> Result<(), PullEnd> {
        let mut answered = false;
        let mut repeated = RepeatedRead::default();
        let mut held = self.budget.nothing();
        let mut disagreement = String::new();
        for reading in 0..READINGS {
            request.reading = reading;
            let mut pages = source.read(&request, None);
            while let Some(PagePiece { page, .. }) = pages.next(&self.stop).await? {
                if !answered {
                    answered = self.answered(pages.first_answer(), asked_at).await?;
                }
                if reading == 0 {
                    held.grow(page.text.len()).await; // another read adds little
                }
                if !repeated.take(&page, |raw| self.source.adapter.stable_content(raw)) {
                    let message = format!("it has more than {} MiB of records", reread::CAP >> 20);
                    return Err(PullEnd::TooLarge(Refusal::TooLarge(message)));
                }
            }
            let adapter = &self.source.adapter;
            match repeated.end_of_reading(|raw| Some(adapter.record(raw).ok()?.event_time)) {
                ReadVerdict::Rows(page, ids) => {
                    let page = self.decode(page, ids, Occurrences::new(), held);
                    self.send_page(page).await?;
                    return Ok(());
                }
                ReadVerdict::Again(reason) => {
                    tracing::info!(stream = request.stream.id, range = %request.range, reason, "reading a range again");
                    disagreement = reason;
                }
            }
        }
        let message = format!("{READINGS} reads of it disagree: {disagreement}");
        Err(PullEnd::TooLarge(Refusal::TooLarge(message)))
    }

    /// Requests a range without retries and lands nothing of it; only its first page, if `first_page_only`.
    pub(super) async fn probe(
        &self,
        stream: &Stream,
        range: Range,
        first_page_only: bool,
    ) -> Result<(), PullEnd> {
        let source = self.source.once();
        let request = PageRequest::new(stream.clone(), range, self.time.now());
        let mut pages = source.read(&request, None);
        while pages.next(&self.stop).await?.is_some() {
            if first_page_only {
                break;
            }
        }
        Ok(())
    }

    /// Reports when the range's first answer was given, if there was one and its clock is behind: only events before
    /// that instant count as pulled. Returns whether there was an answer.
    async fn answered(
        &self,
        first_answer: Option<FirstAnswer>,
        asked_at: Timestamp,
    ) -> Result<bool, PullEnd> {
        let Some(FirstAnswer { date }) = first_answer else {
            return Ok(false);
        };
        let answered_at = self.time.answered(asked_at, date);
        if answered_at != asked_at {
            self.send(WorkerEvent::Answered(self.slot, answered_at))
                .await?;
        }
        Ok(true)
    }

    /// Begins to decode a page that was just received. `ids` are those of its records, for a provider without ids.
    fn decode(
        &self,
        page: Page,
        ids: Vec<Option<String>>,
        mut occurrences: Occurrences,
        held: Reservation,
    ) -> PendingPage<R::Made> {
        let reader = Arc::clone(&self.reader);
        let slot = self.slot;
        let received = ReceivedPage {
            page,
            ids,
            at: self.time.received(),
        };
        self.cpu.begin(move || {
            let made = reader.read(&received, &mut occurrences)?;
            let ReceivedPage { page, .. } = received;
            let event = WorkerEvent::Page {
                slot,
                page: made,
                total: page.total,
                remark: page.remark,
                cursor: page.next.filter(|_| page.resumable),
                held,
            };
            Ok::<_, RowError>((event, occurrences))
        })
    }

    /// Passes a page to the sink when it is decoded. Returns the occurrences in its answer so far.
    async fn send_page(&self, page: PendingPage<R::Made>) -> Result<Occurrences, PullEnd> {
        let (event, occurrences) = page.result().await.map_err(PullEnd::Failed)?;
        self.send(event).await?;
        Ok(occurrences)
    }

    /// Sends an event. The sink has only ended if the run has failed.
    pub(super) async fn send(&self, event: WorkerEvent<R::Made>) -> Result<(), PullEnd> {
        self.events.send(event).await.map_err(|_| PullEnd::Stopped)
    }
}

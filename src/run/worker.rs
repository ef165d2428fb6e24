//! The workers of a run: take windows from the queue and pull them page by page, several at a time.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::compute::{ComputeTask, CpuPool};
use super::decode::{ReadPage, ReceivedPage};
use super::error::RunError;
use super::identity::Occurrences;
use super::job::{Job, RunOptions};
use super::memory::{MemoryBudget, Reservation};
use super::oldest::OldestSearch;
use super::queue::{AfterFailure, MissedRange, QueuedWindow, WindowQueue};
use super::reread::{self, READINGS, ReadVerdict, RepeatedRead};
use super::time::Time;
use crate::client::{Calls, ClientError};
use crate::clocks::TOLERANCE;
use crate::lake::{OpenRange, Work};
use crate::model::{FailureKind, Range, Timestamp};
use crate::providers::{Cursor, Page, PageRequest, Refusal, Stream, oldest_in_message};
use crate::run::feed::{Feed, FeedError, FirstAnswer, PagePiece};
use crate::run::plan::Policy;
use crate::table::RowError;

/// How often a range is restarted because its cursor was refused or its answer broke off, before it fails.
const RESTARTS: u32 = 3;

/// The age below which a refusal as too old isn't believed, unless the provider names that age; the range is retried.
const RECENT: TimeDelta = TimeDelta::days(7);

/// The number of events that may wait for the sink.
const EVENTS_AHEAD: usize = 2;

/// A worker's message to the sink. A slot is a window in flight.
#[derive(Debug)]
pub(crate) enum WorkerEvent<P> {
    /// A range begins or restarts; the state of the slot's previous range is dropped.
    Began(usize, InFlight),
    /// The instant of the range's first answer, which may be earlier than that of the request.
    Answered(usize, Timestamp),
    /// A page has arrived.
    Page {
        slot: usize,
        page: P,
        /// The provider's own count for the whole range, if it returns one.
        total: Option<u64>,
        /// Remarks for the operator.
        remark: Option<String>,
        /// The cursor after the page, if a commit may record it.
        cursor: Option<Cursor>,
        /// The page's share of the memory budget, until the page has landed.
        held: Reservation,
    },
    /// The range was pulled to its last page. The stream's windows are reduced to this length, if any.
    Finished {
        slot: usize,
        narrowed: Option<TimeDelta>,
    },
    /// A range failed although its provider works.
    Missed(MissedRange),
    /// The provider serves nothing of a stream before an instant, as it is too old.
    TooOld(TooOld),
}

/// A range that is too old for a provider.
#[derive(Debug)]
pub(crate) struct TooOld {
    pub(crate) stream: String,
    pub(crate) work: Work,
    /// The range from the refused instant to the oldest instant that was answered.
    pub(crate) range: Range,
    /// The reason why the refusal isn't believed, if so: the parts that were never pulled are retried.
    pub(crate) doubt: Option<String>,
}

/// A range in flight.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    pub(crate) stream: String,
    pub(crate) range: Range,
    pub(crate) work: Work,
    /// When the first answer was given, or requested if that was earlier, by the clocks that the run trusts.
    pub(crate) asked_at: Timestamp,
    /// The bounds of the requests.
    pub(crate) asked: Range,
    /// The cursor that a commit may record.
    pub(crate) cursor: Option<Cursor>,
    /// Whether it continues from an earlier run's cursor.
    pub(crate) resumed: bool,
    /// The number of requests sent for it.
    pub(crate) calls: Calls,
}

/// The workers of a run. They are aborted on drop.
#[derive(Debug)]
pub(crate) struct Workers<P> {
    tasks: JoinSet<()>,
    events: mpsc::Receiver<WorkerEvent<P>>,
}

impl<P: Send + 'static> Workers<P> {
    /// Starts workers that pull the windows of `queue` from `feed`.
    pub(crate) fn spawn<R: ReadPage<Made = P>>(
        feed: &Feed,
        job: &Job,
        queue: &Arc<WindowQueue>,
        options: &RunOptions,
        reader: R,
        cpu: &CpuPool,
    ) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_AHEAD);
        let reader = Arc::new(reader);
        let mut tasks = JoinSet::new();
        for slot in 0..options.at_a_time.max(1) {
            let worker = Worker {
                slot,
                source: feed.clone(),
                reader: Arc::clone(&reader),
                cpu: cpu.clone(),
                budget: job.budget.clone(),
                policy: job.policy.clone(),
                queue: Arc::clone(queue),
                stop: options.stop.clone(),
                arrivals: sender.clone(),
                time: Time::of(job, options.clock),
            };
            tasks.spawn(worker.work().in_current_span());
        }
        Self { tasks, events }
    }

    /// Returns the next event, or `None` once all workers have ended. Cancel safe.
    ///
    /// Fails as soon as a worker panics, as the others may wait for its window.
    pub(crate) async fn next(&mut self) -> Result<Option<WorkerEvent<P>>, JoinError> {
        loop {
            tokio::select! {
                Some(ended) = self.tasks.join_next() => ended?,
                event = self.events.recv() => match event {
                    Some(event) => return Ok(Some(event)),
                    None => break,
                },
            }
        }
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        Ok(None)
    }
}

/// A page that is being decoded, and the occurrences of its answer so far.
type PendingPage<P> = ComputeTask<(WorkerEvent<P>, Occurrences)>;

struct Worker<R: ReadPage> {
    slot: usize,
    source: Feed,
    reader: Arc<R>,
    cpu: CpuPool,
    budget: MemoryBudget,
    policy: Policy,
    queue: Arc<WindowQueue>,
    stop: CancellationToken,
    arrivals: mpsc::Sender<WorkerEvent<R::Made>>,
    time: Time,
}

/// The reason why a range wasn't pulled to its last page.
enum PullEnd {
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
            FeedError::Refused(message @ Refusal::TooLarge(_)) => Self::TooLarge(message),
            FeedError::Refused(message @ (Refusal::TooOld(_) | Refusal::BadRange { .. })) => {
                Self::Refused(message)
            }
            FeedError::Client(ClientError::Stopped) => Self::Stopped,
            error => Self::Failed(error.into()),
        }
    }
}

/// The cause of a refusal of a range's bounds.
enum BoundsRefusal {
    ItsSize,
    /// Nothing before this instant is served.
    ItsAge(Timestamp),
    Neither(RunError),
}

/// The effort for a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RangeEffort {
    Once,
    Usual,
    Full,
}

/// How a window's remaining ranges are requested.
#[derive(Debug, Clone, Copy, Default)]
struct WindowPatience {
    /// Whether a range of `min_window` succeeded where a larger one had failed, which was therefore too large.
    least_is_answered: Option<bool>,
    /// Whether the next range is requested with all retries regardless of its size.
    is_patient: bool,
}

impl<R: ReadPage> Worker<R> {
    async fn work(self) {
        while let Some(given) = self.queue.next(&self.stop).await {
            if let Err(PullEnd::Stopped) = self.window(&given).await {
                self.queue.leave_unfinished(&given);
            }
        }
    }

    /// Pulls a window, in smaller ranges if it is too large. The error is [`PullEnd::Stopped`].
    async fn window(&self, given: &QueuedWindow) -> Result<(), PullEnd> {
        let QueuedWindow { stream, task, .. } = given;
        let whole = task.range;
        let mut resume = task.resume.clone();
        let mut from = whole.from();
        let mut mood = WindowPatience::default();
        loop {
            let narrowed = self.queue.narrowed(&stream.id);
            let length = match (&resume, narrowed) {
                (None, Some(narrowed)) => narrowed,
                _ => whole.length(),
            };
            // ranges in the future by the clocks that are known now are left to a later run
            let to = match &resume {
                None if self.queue.is_planned() => whole.to().min(self.horizon()),
                _ => whole.to(), // the cursor belongs to the whole range
            };
            let Some(range) = self.policy.first_piece(from, to, length) else {
                return self.note(self.queue.succeed(given)).await;
            };
            let half = self.policy.first_half(range);
            let effort = if mood.is_patient {
                RangeEffort::Full
            } else if given.once || (narrowed.is_some() && half.is_some()) {
                RangeEffort::Once // a range that may still be too large isn't retried
            } else {
                RangeEffort::Usual
            };
            let span =
                tracing::trace_span!("window", stream = stream.id, %range, work = ?task.work);
            let pull = self.range(stream, range, task.work, resume.take(), effort);
            match pull.instrument(span).await {
                Ok(()) => {
                    from = range.to();
                    mood = WindowPatience::default();
                }
                Err(PullEnd::TooLarge(message)) => {
                    if let Some(half) = half {
                        self.halve(stream, range, half, &message);
                    } else {
                        let source = message;
                        return self
                            .fail(given, range, RunError::TooLarge { range, source })
                            .await;
                    }
                }
                // its answer shows that the range was in the future
                Err(PullEnd::Failed(_) | PullEnd::Refused(_))
                    if self.queue.is_planned() && self.horizon() + TOLERANCE < range.to() => {}
                Err(PullEnd::Refused(message)) => match self.about(given, range, &message).await? {
                    BoundsRefusal::ItsSize => {
                        if let Some(half) = half {
                            self.halve(stream, range, half, &message);
                        } else {
                            let source = Refusal::TooLarge(message.to_string());
                            let error = RunError::TooLarge { range, source };
                            return self.fail(given, range, error).await;
                        }
                    }
                    BoundsRefusal::ItsAge(oldest) => from = from.max(oldest),
                    BoundsRefusal::Neither(error) => return self.fail(given, range, error).await,
                },
                Err(PullEnd::Failed(error)) => {
                    let Some(half) = half.filter(|_| error.may_be_of_size() && !given.once) else {
                        return self.fail(given, range, error).await;
                    };
                    if mood.least_is_answered.is_none() {
                        mood.least_is_answered =
                            Some(self.answers_for_the_least(stream, range).await?);
                    }
                    if mood.least_is_answered == Some(true) {
                        self.halve(stream, range, half, &error);
                    } else if !mood.is_patient
                        && (effort == RangeEffort::Once || error.is_an_answer())
                    {
                        mood.is_patient = true;
                    } else {
                        return self.fail(given, range, error).await;
                    }
                }
                Err(PullEnd::Stopped) => return Err(PullEnd::Stopped),
            }
        }
    }

    /// Returns the end of first pulls by the clocks that are known.
    fn horizon(&self) -> Timestamp {
        self.policy.horizon(self.time.now())
    }

    fn halve(&self, stream: &Stream, range: Range, half: Range, reason: &dyn std::fmt::Display) {
        tracing::warn!(stream = stream.id, %range, %reason, "halving a window that is too large");
        self.queue.narrow(&stream.id, half.length());
    }

    /// Reports that the window failed in `range`; the queue decides whether its stream continues.
    async fn fail(
        &self,
        given: &QueuedWindow,
        range: Range,
        error: RunError,
    ) -> Result<(), PullEnd> {
        match self.queue.fail(given, range, error) {
            AfterFailure::Note(missed) => self.note(missed).await,
            AfterFailure::Ask(newest) => {
                let from = newest.to() - self.policy.min_window.min(newest.length());
                let least = Range::new(from, newest.to()).unwrap_or(newest);
                let answer = self.ask_once(&given.stream, least, false).await;
                if let Err(PullEnd::Stopped) = answer {
                    // the window has already ended
                    return Ok(());
                }
                let missed = self.queue.asked(given, answer.is_ok());
                self.note(missed).await
            }
        }
    }

    async fn note(&self, missed: Vec<MissedRange>) -> Result<(), PullEnd> {
        for missed in missed {
            // the sink has only ended if the run has failed
            if self
                .arrivals
                .send(WorkerEvent::Missed(missed))
                .await
                .is_err()
            {
                break;
            }
        }
        Ok(())
    }

    /// Returns whether a range of `min_window` at the start of a failed one is answered, requested without retries.
    async fn answers_for_the_least(&self, stream: &Stream, range: Range) -> Result<bool, PullEnd> {
        let least = (self.policy).first_piece(range.from(), range.to(), self.policy.min_window);
        let Some(least) = least.filter(|least| *least != range) else {
            return Ok(false);
        };
        match self.ask_once(stream, least, false).await {
            Ok(()) => Ok(true),
            Err(PullEnd::Stopped) => Err(PullEnd::Stopped),
            Err(_) => Ok(false),
        }
    }

    /// Requests a range without retries and lands nothing of it; only its first page, if `begins_only`.
    async fn ask_once(
        &self,
        stream: &Stream,
        range: Range,
        begins_only: bool,
    ) -> Result<(), PullEnd> {
        let source = self.source.once();
        let ask = PageRequest::new(stream.clone(), range, self.time.now());
        let mut reading = source.read(&ask, None);
        while reading.next(&self.stop).await?.is_some() {
            if begins_only {
                break;
            }
        }
        Ok(())
    }

    /// Determines the cause of a refusal of `range` by requests, as no provider documents its messages. Reports ranges
    /// that are too old to the sink.
    async fn about(
        &self,
        given: &QueuedWindow,
        range: Range,
        text: &Refusal,
    ) -> Result<BoundsRefusal, PullEnd> {
        let (stream, policy) = (&given.stream, &self.policy);
        // a range that is too old is refused at once
        let begins_only = matches!(text, Refusal::TooOld(_));
        let known = self.queue.oldest(&stream.id);
        if let Some(oldest) = known.filter(|oldest| range.from() < *oldest) {
            return self.is_too_old(given, range, oldest, text).await;
        }
        let least = policy.first_piece(range.from(), range.to(), policy.min_window);
        if let Some(least) = least.filter(|least| *least != range) {
            match self.ask_once(stream, least, begins_only).await {
                Ok(()) => return Ok(BoundsRefusal::ItsSize),
                Err(PullEnd::TooLarge(_) | PullEnd::Refused(_)) => {}
                Err(PullEnd::Stopped) => return Err(PullEnd::Stopped),
                Err(PullEnd::Failed(error)) => return Ok(BoundsRefusal::Neither(error)),
            }
        }
        let refused = |text: &Refusal| {
            let message = text.to_string();
            BoundsRefusal::Neither(match text {
                Refusal::BadRange {
                    kind: FailureKind::Data,
                    ..
                } => RunError::TooLarge {
                    range: least.unwrap_or(range),
                    source: Refusal::TooLarge(message),
                },
                _ => FeedError::from(Refusal::Failed {
                    kind: FailureKind::Config,
                    message,
                })
                .into(),
            })
        };
        if !self.queue.may_search(&stream.id, range.from()) {
            return Ok(refused(text));
        }
        let now = self.time.now();
        let end = policy.horizon(now);
        let newest = policy.last_cell(end - policy.min_window);
        let names = oldest_in_message(&text.to_string(), now);
        let mut search = OldestSearch::new(range.from(), newest, now, policy.grain, &names);
        while let Some(at) = search.next() {
            let Some(least) = policy.first_piece(at, end, policy.min_window) else {
                break;
            };
            match self.ask_once(stream, least, begins_only).await {
                Ok(()) | Err(PullEnd::TooLarge(_)) => search.note(at, true),
                Err(PullEnd::Refused(_)) => search.note(at, false),
                Err(PullEnd::Stopped) => return Err(PullEnd::Stopped),
                Err(PullEnd::Failed(error)) => return Ok(BoundsRefusal::Neither(error)),
            }
        }
        match search.oldest() {
            // unless the provider names the age, a single window may be refused because of its content
            Some(oldest)
                if matches!(text, Refusal::TooOld(_))
                    || oldest - range.from() > policy.window * 2 =>
            {
                self.is_too_old(given, range, oldest, text).await
            }
            Some(_) => Ok(refused(text)),
            None => {
                self.queue.search_no_more(&stream.id);
                Ok(refused(text))
            }
        }
    }

    /// Records that nothing before `oldest` is served: no earlier window is requested.
    async fn is_too_old(
        &self,
        given: &QueuedWindow,
        range: Range,
        oldest: Timestamp,
        message: &Refusal,
    ) -> Result<BoundsRefusal, PullEnd> {
        let now = self.time.now();
        let ages = oldest_in_message(&message.to_string(), now);
        let slack = TimeDelta::days(1) + self.policy.grain * 2;
        let is_believed = match ages.iter().max() {
            Some(youngest) => oldest <= *youngest + slack,
            None => oldest <= now - RECENT,
        };
        let stream = given.stream.id.clone();
        self.queue.skip_before(&stream, oldest);
        let Some(range) = Range::new(range.from(), oldest) else {
            return Ok(BoundsRefusal::ItsAge(oldest));
        };
        let doubt = (!is_believed).then(|| {
            let error = RunError::DoubtfulAge {
                oldest,
                source: message.clone(),
            };
            let text = crate::telemetry::error_chain(&error);
            self.queue.pass_over(given, range, error);
            text
        });
        self.send(WorkerEvent::TooOld(TooOld {
            stream,
            work: given.task.work,
            range,
            doubt,
        }))
        .await?;
        Ok(BoundsRefusal::ItsAge(oldest))
    }

    /// Pulls a range to its last page.
    async fn range(
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
        let ask = PageRequest::new(stream.clone(), range, now);
        let in_flight = InFlight {
            stream: stream.id.clone(),
            range,
            work,
            asked_at: resume.as_ref().map_or(now, |open| open.asked_at),
            asked: self.source.adapter.asked(range),
            resumed: resume.is_some(),
            calls: calls.clone(),
            cursor: resume.map(|open| open.cursor),
        };
        self.send(WorkerEvent::Began(self.slot, in_flight.clone()))
            .await?;
        if self.source.adapter.has_ids() {
            self.page_by_page(&source, &ask, in_flight).await?;
        } else {
            self.as_a_whole(&source, ask, in_flight.asked_at).await?;
        }
        let narrowed = self
            .queue
            .grow(&stream.id, range.length(), self.policy.window);
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
        ask: &PageRequest,
        mut in_flight: InFlight,
    ) -> Result<(), PullEnd> {
        let mut reading = source.read(ask, in_flight.cursor.clone());
        let mut restarts = 0;
        let mut twins = Occurrences::new();
        let mut decoding: Option<PendingPage<R::Made>> = None;
        let mut answered = false;
        loop {
            let hand_on = async {
                match decoding.take() {
                    Some(page) => self.hand_on(page).await.map(Some),
                    None => Ok(None),
                }
            };
            let (next, handed_on) = tokio::join!(reading.next(&self.stop), hand_on);
            if let Some(occurrences) = handed_on? {
                twins = occurrences;
            }
            if !in_flight.resumed && !answered {
                answered = self
                    .answered(reading.first_answer(), in_flight.asked_at)
                    .await?;
            }
            match next {
                Ok(Some(PagePiece { page, begins })) => {
                    if begins {
                        twins.clear();
                    }
                    if !page.records.is_empty() || page.resumable || page.remark.is_some() {
                        let held = self.budget.hold(page.text.len()).await;
                        let twins = std::mem::take(&mut twins);
                        decoding = Some(self.decode(page, Vec::new(), twins, held));
                    }
                }
                Ok(None) => return Ok(()),
                // a cursor of an earlier run may be invalid by now, with any answer
                Err(error)
                    if (error.may_restart() || (in_flight.resumed && error.is_no_page()))
                        && restarts < RESTARTS =>
                {
                    let reason = crate::telemetry::error_chain(&error);
                    tracing::info!(stream = in_flight.stream, range = %ask.range, reason, "beginning a range again");
                    restarts += 1;
                    in_flight = InFlight {
                        cursor: None,
                        resumed: false,
                        asked_at: self.time.now(),
                        ..in_flight
                    };
                    self.send(WorkerEvent::Began(self.slot, in_flight.clone()))
                        .await?;
                    answered = false;
                    reading = source.read(ask, None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Passes the range to the sink when the number of occurrences of each record is known.
    async fn as_a_whole(
        &self,
        source: &Feed,
        mut ask: PageRequest,
        asked_at: Timestamp,
    ) -> Result<(), PullEnd> {
        let mut answered = false;
        let mut whole = RepeatedRead::default();
        let mut held = self.budget.nothing();
        let mut why = String::new();
        for reading in 0..READINGS {
            ask.reading = reading;
            let mut pages = source.read(&ask, None);
            while let Some(PagePiece { page, .. }) = pages.next(&self.stop).await? {
                if !answered {
                    answered = self.answered(pages.first_answer(), asked_at).await?;
                }
                if reading == 0 {
                    held.grow(page.text.len()).await; // another read adds little
                }
                if !whole.take(&page, |raw| self.source.adapter.stable_content(raw)) {
                    let message = format!("it has more than {} MiB of records", reread::CAP >> 20);
                    return Err(PullEnd::TooLarge(Refusal::TooLarge(message)));
                }
            }
            let adapter = &self.source.adapter;
            match whole.end_of_reading(|raw| Some(adapter.record(raw).ok()?.event_time)) {
                ReadVerdict::Rows(page, ids) => {
                    let page = self.decode(page, ids, Occurrences::new(), held);
                    self.hand_on(page).await?;
                    return Ok(());
                }
                ReadVerdict::Again(reason) => {
                    tracing::info!(stream = ask.stream.id, range = %ask.range, reason, "reading a range again");
                    why = reason;
                }
            }
        }
        let message = format!("{READINGS} reads of it disagree: {why}");
        Err(PullEnd::TooLarge(Refusal::TooLarge(message)))
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
        mut twins: Occurrences,
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
            let made = reader.read(&received, &mut twins)?;
            let ReceivedPage { page, .. } = received;
            let arrival = WorkerEvent::Page {
                slot,
                page: made,
                total: page.total,
                remark: page.remark,
                cursor: page.next.filter(|_| page.resumable),
                held,
            };
            Ok::<_, RowError>((arrival, twins))
        })
    }

    /// Passes a page to the sink when it is decoded. Returns the occurrences in its answer so far.
    async fn hand_on(&self, page: PendingPage<R::Made>) -> Result<Occurrences, PullEnd> {
        let (event, occurrences) = page.result().await.map_err(PullEnd::Failed)?;
        self.send(event).await?;
        Ok(occurrences)
    }

    /// Sends an event. The sink has only ended if the run has failed.
    async fn send(&self, arrival: WorkerEvent<R::Made>) -> Result<(), PullEnd> {
        self.arrivals
            .send(arrival)
            .await
            .map_err(|_| PullEnd::Stopped)
    }
}

//! Step 2 of a run: windows are taken off a queue and pulled page by page, several at a time.

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
use crate::providers::{Cursor, Page, PageRequest, Refusal, Stream, oldest_said};
use crate::run::feed::{Feed, FeedError, FirstAnswer, PagePiece};
use crate::run::plan::Policy;
use crate::table::RowError;

/// How often a range is begun again, because its cursor was refused or its answer broke off, before that counts as a
/// failure.
const RESTARTS: u32 = 3;

/// Within so long, what is refused as too old is not believed to be, unless the provider says that age: it is tried again.
const RECENT: TimeDelta = TimeDelta::days(7);

/// Number of events that may wait for the sink.
const EVENTS_AHEAD: usize = 2;

/// What a worker tells the sink. A slot is one window in flight.
#[derive(Debug)]
pub(crate) enum WorkerEvent<P> {
    /// A range is begun, or begun again; what its slot knew of another range is void.
    Began(usize, InFlight),
    /// The range's first answer was given at this instant, which may be earlier than when it was asked for.
    Answered(usize, Timestamp),
    /// A page arrived.
    Page {
        slot: usize,
        page: P,
        /// The provider's own count for the whole range, where it gives one.
        total: Option<u64>,
        /// What an operator should know of it.
        remark: Option<String>,
        /// The place behind it, if a commit may record that.
        cursor: Option<Cursor>,
        /// Its share of the budget, until it has landed.
        held: Reservation,
    },
    /// The range was pulled to its last page; the stream's windows are narrowed to this, if any.
    Finished {
        slot: usize,
        narrowed: Option<TimeDelta>,
    },
    /// A range failed, though its provider is alive.
    Missed(MissedRange),
    /// The provider gives nothing of a stream before an instant, as it is too old.
    TooOld(TooOld),
}

/// What is too old for a provider.
#[derive(Debug)]
pub(crate) struct TooOld {
    pub(crate) stream: String,
    pub(crate) work: Work,
    /// From where the window was refused up to the oldest instant that was answered.
    pub(crate) range: Range,
    /// Why that isn't believed, if it isn't: what was never pulled of it is tried again.
    pub(crate) doubt: Option<String>,
}

/// A range in flight.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    pub(crate) stream: String,
    pub(crate) range: Range,
    pub(crate) work: Work,
    /// When its first answer was given, or asked for if that was earlier, by the clocks that the run believes.
    pub(crate) asked_at: Timestamp,
    /// The bounds that are really asked for.
    pub(crate) asked: Range,
    /// The place to go on from that a commit may record.
    pub(crate) cursor: Option<Cursor>,
    /// Whether it goes on from an earlier run's cursor.
    pub(crate) resumed: bool,
    /// Requests sent for it.
    pub(crate) calls: Calls,
}

/// The workers of a run. They are aborted when this is dropped.
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
    /// Fails as soon as a worker panics: the others may wait for the window that it was pulling.
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

/// A page on its way, and the twins of its answer so far.
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

/// Why a range was not pulled to its last page.
enum PullEnd {
    TooLarge(Refusal),
    /// Its bounds are refused, for its age or for what may be its age.
    Refused(Refusal),
    Failed(RunError),
    /// The run stops; what arrived is committed with its cursor.
    Stopped,
}

impl From<FeedError> for PullEnd {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Refused(said @ Refusal::TooLarge(_)) => Self::TooLarge(said),
            FeedError::Refused(said @ (Refusal::TooOld(_) | Refusal::BadRange { .. })) => {
                Self::Refused(said)
            }
            FeedError::Client(ClientError::Stopped) => Self::Stopped,
            error => Self::Failed(error.into()),
        }
    }
}

/// What a refusal of a range's bounds is about.
enum BoundsRefusal {
    ItsSize,
    /// Nothing before this instant is given.
    ItsAge(Timestamp),
    Neither(RunError),
}

/// How hard a range is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RangeEffort {
    Once,
    Usual,
    Full,
}

/// How a window's ranges are asked for, as it goes on.
#[derive(Debug, Clone, Copy, Default)]
struct WindowPatience {
    /// Whether the least range at a place where one had failed was answered: the failed one was too large.
    least_is_answered: Option<bool>,
    /// Whether the next range is asked for with all retries, whatever its size.
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

    /// Pulls a window, in smaller ranges where it proves too large. The error is [`PullEnd::Stopped`].
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
            // what hasn't happened by the clocks that are known by now is left to a later run
            let to = match &resume {
                None if self.queue.is_planned() => whole.to().min(self.horizon()),
                _ => whole.to(), // the cursor is of the whole range
            };
            let Some(range) = self.policy.first_piece(from, to, length) else {
                return self.note(self.queue.succeed(given)).await;
            };
            let half = self.policy.first_half(range);
            let effort = if mood.is_patient {
                RangeEffort::Full
            } else if given.once || (narrowed.is_some() && half.is_some()) {
                RangeEffort::Once // what may still be too large isn't tried again and again
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
                Err(PullEnd::TooLarge(said)) => {
                    if let Some(half) = half {
                        self.halve(stream, range, half, &said);
                    } else {
                        let source = said;
                        return self
                            .fail(given, range, RunError::TooLarge { range, source })
                            .await;
                    }
                }
                // it was asked for what hasn't happened, as its answer shows
                Err(PullEnd::Failed(_) | PullEnd::Refused(_))
                    if self.queue.is_planned() && self.horizon() + TOLERANCE < range.to() => {}
                Err(PullEnd::Refused(said)) => match self.about(given, range, &said).await? {
                    BoundsRefusal::ItsSize => {
                        if let Some(half) = half {
                            self.halve(stream, range, half, &said);
                        } else {
                            let source = Refusal::TooLarge(said.to_string());
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

    /// Up to where first pulls may go by the clocks that are known.
    fn horizon(&self) -> Timestamp {
        self.policy.horizon(self.time.now())
    }

    fn halve(&self, stream: &Stream, range: Range, half: Range, reason: &dyn std::fmt::Display) {
        tracing::warn!(stream = stream.id, %range, %reason, "halving a window that is too large");
        self.queue.narrow(&stream.id, half.length());
    }

    /// The window failed in `range`; the queue says whether its stream goes on.
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
                    // the window has ended already
                    return Ok(());
                }
                let missed = self.queue.asked(given, answer.is_ok());
                self.note(missed).await
            }
        }
    }

    async fn note(&self, missed: Vec<MissedRange>) -> Result<(), PullEnd> {
        for missed in missed {
            // the sink is gone only if the run has failed
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

    /// Whether the least range at the start of one that failed is answered, asked for once.
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

    /// Asks for a range without retries and lands nothing of it; only for its first page, if `begins_only`.
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

    /// What a refusal of `range` is about: it is tried out, as no provider documents its words. What is too old is told
    /// to the sink.
    async fn about(
        &self,
        given: &QueuedWindow,
        range: Range,
        said: &Refusal,
    ) -> Result<BoundsRefusal, PullEnd> {
        let (stream, policy) = (&given.stream, &self.policy);
        // what is too old is refused at once
        let begins_only = matches!(said, Refusal::TooOld(_));
        let known = self.queue.oldest(&stream.id);
        if let Some(oldest) = known.filter(|oldest| range.from() < *oldest) {
            return self.is_too_old(given, range, oldest, said).await;
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
        let refused = |said: &Refusal| {
            let message = said.to_string();
            BoundsRefusal::Neither(match said {
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
            return Ok(refused(said));
        }
        let now = self.time.now();
        let end = policy.horizon(now);
        let newest = policy.last_cell(end - policy.min_window);
        let names = oldest_said(&said.to_string(), now);
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
            // of what isn't said to be too old, a single window is as well refused for what is in it
            Some(oldest)
                if matches!(said, Refusal::TooOld(_))
                    || oldest - range.from() > policy.window * 2 =>
            {
                self.is_too_old(given, range, oldest, said).await
            }
            Some(_) => Ok(refused(said)),
            None => {
                self.queue.search_no_more(&stream.id);
                Ok(refused(said))
            }
        }
    }

    /// Nothing before `oldest` is given: no window before it is asked for.
    async fn is_too_old(
        &self,
        given: &QueuedWindow,
        range: Range,
        oldest: Timestamp,
        said: &Refusal,
    ) -> Result<BoundsRefusal, PullEnd> {
        let now = self.time.now();
        let ages = oldest_said(&said.to_string(), now);
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
            let error = RunError::HardlyTooOld {
                oldest,
                source: said.clone(),
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
        let now = self.time.now(); // a run may last hours
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

    /// Hands each page on as soon as it is decoded, while the next one is fetched.
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
                // a place that an earlier run left may lead nowhere by now, whatever is answered there
                Err(error)
                    if (error.is_cured_by_beginning_again()
                        || (in_flight.resumed && error.is_no_page()))
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

    /// Hands the range on once it is known how often each of its records is there.
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
                    held.grow(page.text.len()).await; // another reading adds little
                }
                if !whole.take(&page, |raw| self.source.adapter.lasting(raw)) {
                    let said = format!("it shows more than {} MiB of records", reread::CAP >> 20);
                    return Err(PullEnd::TooLarge(Refusal::TooLarge(said)));
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
        let said = format!("{READINGS} readings of it disagree: {why}");
        Err(PullEnd::TooLarge(Refusal::TooLarge(said)))
    }

    /// Tells when the range's first answer was given, if there was one and its clock is behind: no more than had happened
    /// by then counts as pulled. Returns whether there was one.
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

    /// Begins to decode a page that was received just now. `ids` are its records', for a provider that gives none.
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

    /// Hands a page on when it is decoded. Returns the occurrences in its answer so far.
    async fn hand_on(&self, page: PendingPage<R::Made>) -> Result<Occurrences, PullEnd> {
        let (event, occurrences) = page.result().await.map_err(PullEnd::Failed)?;
        self.send(event).await?;
        Ok(occurrences)
    }

    /// The sink is gone only if the run has failed.
    async fn send(&self, arrival: WorkerEvent<R::Made>) -> Result<(), PullEnd> {
        self.arrivals
            .send(arrival)
            .await
            .map_err(|_| PullEnd::Stopped)
    }
}

//! Step 2 of a run: windows are taken off a queue and pulled page by page, several at a time.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::error::RunError;
use super::{Conduct, Failure, Job, Lane};
use crate::client::ClientError;
use crate::clock::{Clock, real_now};
use crate::lake::{Open, Progress, Work};
use crate::model::{Kind, Range, Timestamp};
use crate::plan::{self, Task};
use crate::providers::{Ask, Cursor, Page, Refusal, Stream};
use crate::source::{Source, SourceError, failed};

/// How often a range is begun again because its cursor was refused, before that counts as a failure.
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

/// The windows of a run, streams taking turns.
pub(super) struct Queue {
    state: Mutex<State>,
    /// No window is begun after this.
    until: Option<tokio::time::Instant>,
}

struct State {
    streams: VecDeque<(Stream, Box<dyn Iterator<Item = Task> + Send>)>,
    /// Windows that proved too large, by stream.
    narrowed: BTreeMap<String, TimeDelta>,
    failures: Vec<Failure>,
    unfinished: bool,
}

impl Queue {
    pub(super) fn new(
        streams: &[Stream],
        progress: &BTreeMap<String, Progress>,
        lane: Lane,
        now: Timestamp,
        job: &Job,
    ) -> Self {
        let mut state = State {
            streams: VecDeque::new(),
            narrowed: BTreeMap::new(),
            failures: Vec::new(),
            unfinished: false,
        };
        for stream in streams {
            let progress = progress.get(&stream.id).cloned().unwrap_or_default();
            if let Some(seconds) = progress
                .window
                .and_then(|seconds| i64::try_from(seconds).ok())
            {
                state
                    .narrowed
                    .insert(stream.id.clone(), TimeDelta::seconds(seconds));
            }
            state
                .streams
                .push_back((stream.clone(), tasks(&progress, lane, now, &job.policy)));
        }
        let until = match lane {
            Lane::Due => None,
            Lane::Backfill { turn, .. } => {
                Some(tokio::time::Instant::now() + turn.to_std().unwrap_or_default())
            }
        };
        Self {
            state: Mutex::new(state),
            until,
        }
    }

    /// The next window, of the stream whose turn it is.
    fn next(&self, stop: &CancellationToken) -> Option<(Stream, Task)> {
        let mut state = self.lock();
        while let Some((stream, mut tasks)) = state.streams.pop_front() {
            let Some(task) = tasks.next() else { continue };
            if stop.is_cancelled()
                || self
                    .until
                    .is_some_and(|until| tokio::time::Instant::now() >= until)
            {
                state.unfinished = true;
                return None;
            }
            state.streams.push_back((stream.clone(), tasks));
            return Some((stream, task));
        }
        None
    }

    /// What failed, and whether windows are left that were not even begun or not finished.
    pub(super) fn leftovers(&self) -> (Vec<Failure>, bool) {
        let mut state = self.lock();
        (std::mem::take(&mut state.failures), state.unfinished)
    }

    /// A stream that failed gets no further window in this run; the others go on.
    fn fail(&self, stream: &str, range: Range, error: RunError) {
        let mut state = self.lock();
        state.streams.retain(|(other, _)| other.id != stream);
        if state
            .failures
            .iter()
            .all(|failure| failure.stream != stream)
        {
            state.failures.push(Failure {
                stream: stream.to_owned(),
                range,
                error,
            });
        }
    }

    fn narrowed(&self, stream: &str) -> Option<TimeDelta> {
        self.lock().narrowed.get(stream).copied()
    }

    /// Windows of a stream become as small as `length`.
    fn narrow(&self, stream: &str, length: TimeDelta) {
        self.lock().narrowed.insert(stream.to_owned(), length);
    }

    /// After a success the stream's windows grow again, to twice what succeeded.
    fn grow(&self, stream: &str, pulled: TimeDelta, window: TimeDelta) -> Option<TimeDelta> {
        let mut state = self.lock();
        let grown = state.narrowed.remove(stream)?.max(pulled * 2);
        (grown < window).then(|| {
            state.narrowed.insert(stream.to_owned(), grown);
            grown
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tasks(
    progress: &Progress,
    lane: Lane,
    now: Timestamp,
    policy: &plan::Policy,
) -> Box<dyn Iterator<Item = Task> + Send> {
    match lane {
        Lane::Due => Box::new(plan::due(progress, now, policy)),
        Lane::Backfill { range, refetch, .. } => {
            Box::new(plan::backfill(progress, range, refetch, now, policy))
        }
    }
}

/// Starts the workers; what is returned ends when all of them have, and aborts them when dropped.
pub(super) fn spawn(
    job: &Job,
    queue: &Arc<Queue>,
    conduct: &Conduct,
    arrivals: &mpsc::Sender<Arrival>,
) -> Pin<Box<dyn Future<Output = Result<(), JoinError>> + Send>> {
    let mut workers = JoinSet::new();
    for slot in 0..conduct.at_a_time.max(1) {
        let worker = Worker {
            slot,
            source: job.source.clone(),
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
    policy: plan::Policy,
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
            let Some(range) = Range::new(from, whole.to().min(from + length)) else {
                return;
            };
            match self.range(stream, range, task.work, resume.take()).await {
                Ok(()) => from = range.to(),
                Err(Ended::TooLarge(said)) => match range.first_half(self.policy.min_window) {
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
                    self.queue.lock().unfinished = true;
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
            first: work == Work::Pull,
            reading: 0,
            now,
        };
        let mut in_flight = InFlight {
            stream: stream.id.clone(),
            range,
            work,
            asked_at: resume.as_ref().map_or(now, |open| open.asked_at),
            asked: self.source.adapter.asked(range),
            resumed: resume.is_some(),
            cursor: resume.map(|open| open.cursor),
        };
        let mut cursor = in_flight.cursor.clone();
        let mut restarts = 0;
        self.send(Arrival::Began(self.slot, in_flight.clone()))
            .await?;
        loop {
            let page = match self.source.page(&ask, cursor.as_ref(), &self.stop).await {
                Ok(page) => page,
                Err(SourceError::Refused(Refusal::CursorGone(reason)))
                    if cursor.is_some() && restarts < RESTARTS =>
                {
                    tracing::info!(stream = stream.id, %range, reason, "beginning a range again: its cursor is gone");
                    restarts += 1;
                    cursor = None;
                    in_flight = InFlight {
                        cursor: None,
                        resumed: false,
                        asked_at: self.clock.now(),
                        ..in_flight
                    };
                    self.send(Arrival::Began(self.slot, in_flight.clone()))
                        .await?;
                    continue;
                }
                // there was no cursor to refuse: what was asked for doesn't exist there
                Err(SourceError::Refused(Refusal::CursorGone(said))) if cursor.is_none() => {
                    return Err(Ended::Failed(failed(Kind::Config, said).into()));
                }
                Err(SourceError::Refused(said @ Refusal::TooLarge(_))) => {
                    return Err(Ended::TooLarge(said));
                }
                Err(SourceError::Client(ClientError::Stopped)) => return Err(Ended::Stopped),
                Err(error) => return Err(Ended::Failed(error.into())),
            };
            let (next, wait) = (page.next.clone(), page.wait);
            if !page.records.is_empty() || page.resumable {
                self.send(Arrival::Page {
                    slot: self.slot,
                    page,
                    received_at: real_now(),
                })
                .await?;
            }
            match next {
                None => {
                    let narrowed = self
                        .queue
                        .grow(&stream.id, range.length(), self.policy.window);
                    return self
                        .send(Arrival::Finished {
                            slot: self.slot,
                            narrowed,
                        })
                        .await;
                }
                Some(_) if self.stop.is_cancelled() => return Err(Ended::Stopped),
                Some(next) => cursor = Some(next),
            }
            if let Some(wait) = wait {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.stop.cancelled() => return Err(Ended::Stopped),
                }
            }
        }
    }

    /// The landing is gone only if the run has failed.
    async fn send(&self, arrival: Arrival) -> Result<(), Ended> {
        self.arrivals
            .send(arrival)
            .await
            .map_err(|_| Ended::Stopped)
    }
}

//! The workers of a run: take windows from the queue and pull them page by page, several at a time.

use std::fmt::Display;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument;

use super::bounds::{BoundsRefusal, RefusedRange};
use super::compute::CpuPool;
use super::decode::ReadPage;
use super::error::RunError;
use super::event::WorkerEvent;
use super::feed::Feed;
use super::job::{Job, RunOptions};
use super::plan::Policy;
use super::queue::{AfterFailure, FailedRange, QueuedWindow, WindowQueue};
use super::range_pull::{PullEnd, RangeEffort, RangePuller};
use super::time::Time;
use crate::clocks::TOLERANCE;
use crate::lake::OpenRange;
use crate::model::{Range, Timestamp};
use crate::providers::{Refusal, Stream};

/// The number of events that may wait for the sink.
const EVENTS_AHEAD: usize = 2;

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
                puller: RangePuller {
                    slot,
                    source: feed.clone(),
                    reader: Arc::clone(&reader),
                    cpu: cpu.clone(),
                    budget: job.budget.clone(),
                    stop: options.stop.clone(),
                    events: sender.clone(),
                    time: Time::of(job, options.clock),
                },
                policy: job.policy.clone(),
                queue: Arc::clone(queue),
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

struct Worker<R: ReadPage> {
    puller: RangePuller<R>,
    policy: Policy,
    queue: Arc<WindowQueue>,
}

/// How a window's remaining ranges are requested.
#[derive(Debug, Clone, Copy, Default)]
struct WindowPatience {
    /// Whether a range of `min_window` succeeded where a larger one had failed, which was therefore too large.
    smallest_succeeds: Option<bool>,
    /// Whether the next range is requested with all retries regardless of its size.
    is_patient: bool,
}

impl<R: ReadPage> Worker<R> {
    async fn work(self) {
        while let Some(window) = self.queue.next(&self.puller.stop).await {
            if let Err(PullEnd::Stopped) = self.pull_window(&window).await {
                self.queue.leave_unfinished(&window);
            }
        }
    }

    /// Pulls a window, in smaller ranges if it is too large. The error is [`PullEnd::Stopped`].
    async fn pull_window(&self, window: &QueuedWindow) -> Result<(), PullEnd> {
        let QueuedWindow { stream, task, .. } = window;
        let full = task.range;
        let mut resume = task.resume.clone();
        let mut from = full.from();
        let mut patience = WindowPatience::default();
        loop {
            let narrowed = self.queue.narrowed(&stream.id);
            let length = match (&resume, narrowed) {
                (None, Some(narrowed)) => narrowed,
                _ => full.length(),
            };
            // ranges in the future by the clocks that are known now are left to a later run
            let to = match &resume {
                None if self.queue.is_planned() => full.to().min(self.horizon()),
                _ => full.to(), // the cursor belongs to the whole range
            };
            let Some(range) = self.policy.first_piece(from, to, length) else {
                return self.report_failed(self.queue.succeed(window)).await;
            };
            let half = self.policy.first_half(range);
            let effort = if patience.is_patient {
                RangeEffort::Full
            } else if window.once || (narrowed.is_some() && half.is_some()) {
                RangeEffort::Once // a range that may still be too large isn't retried
            } else {
                RangeEffort::Usual
            };
            match self.pull_range(window, range, resume.take(), effort).await {
                Ok(()) => {
                    from = range.to();
                    patience = WindowPatience::default();
                }
                Err(PullEnd::TooLarge(refusal)) => match half {
                    Some(half) => self.halve(stream, range, half, &refusal),
                    None => return self.fail_as_too_large(window, range, refusal).await,
                },
                // The answer's clock shows that the range ends in the future: the next turn ends it at the horizon.
                Err(PullEnd::Failed(_) | PullEnd::Refused(_))
                    if self.queue.is_planned() && self.horizon() + TOLERANCE < range.to() => {}
                Err(PullEnd::Refused(refusal)) => {
                    match (self.cause(window, range, &refusal).await?, half) {
                        (BoundsRefusal::ItsSize, Some(half)) => {
                            self.halve(stream, range, half, &refusal);
                        }
                        (BoundsRefusal::ItsSize, None) => {
                            let refusal = Refusal::TooLarge(refusal.to_string());
                            return self.fail_as_too_large(window, range, refusal).await;
                        }
                        (BoundsRefusal::ItsAge(oldest), _) => from = from.max(oldest),
                        (BoundsRefusal::Neither(error), _) => {
                            return self.fail(window, range, error).await;
                        }
                    }
                }
                Err(PullEnd::Failed(error)) => {
                    let Some(half) = half.filter(|_| error.may_be_of_size() && !window.once) else {
                        return self.fail(window, range, error).await;
                    };
                    if patience.smallest_succeeds.is_none() {
                        patience.smallest_succeeds =
                            Some(self.smallest_range_succeeds(stream, range).await?);
                    }
                    if patience.smallest_succeeds == Some(true) {
                        self.halve(stream, range, half, &error);
                    } else if !patience.is_patient
                        && (effort == RangeEffort::Once || error.is_an_answer())
                    {
                        patience.is_patient = true;
                    } else {
                        return self.fail(window, range, error).await;
                    }
                }
                Err(PullEnd::Stopped) => return Err(PullEnd::Stopped),
            }
        }
    }

    /// Pulls a range of the window. A success enlarges the stream's windows again.
    async fn pull_range(
        &self,
        window: &QueuedWindow,
        range: Range,
        resume: Option<OpenRange>,
        effort: RangeEffort,
    ) -> Result<(), PullEnd> {
        let QueuedWindow { stream, task, .. } = window;
        let span = tracing::trace_span!("window", stream = stream.id, %range, work = ?task.work);
        let pull = self.puller.pull(stream, range, task.work, resume, effort);
        pull.instrument(span).await?;
        let narrowed = self
            .queue
            .grow(&stream.id, range.length(), self.policy.window);
        self.puller.finish(narrowed).await
    }

    /// Returns the end of first pulls by the clocks that are known.
    fn horizon(&self) -> Timestamp {
        self.policy.horizon(self.puller.time.now())
    }

    fn halve(&self, stream: &Stream, range: Range, half: Range, reason: &dyn Display) {
        tracing::warn!(stream = stream.id, %range, %reason, "halving a window that is too large");
        self.queue.narrow(&stream.id, half.length());
    }

    async fn cause(
        &self,
        window: &QueuedWindow,
        range: Range,
        refusal: &Refusal,
    ) -> Result<BoundsRefusal, PullEnd> {
        let (puller, queue, policy) = (&self.puller, &*self.queue, &self.policy);
        RefusedRange {
            puller,
            queue,
            policy,
            window,
            range,
            refusal,
        }
        .cause()
        .await
    }

    /// Returns whether a range of `min_window` at the start of a failed one is answered, requested without retries.
    async fn smallest_range_succeeds(
        &self,
        stream: &Stream,
        range: Range,
    ) -> Result<bool, PullEnd> {
        let least = (self.policy).first_piece(range.from(), range.to(), self.policy.min_window);
        let Some(least) = least.filter(|least| *least != range) else {
            return Ok(false);
        };
        match self.puller.probe(stream, least, false).await {
            Ok(()) => Ok(true),
            Err(PullEnd::Stopped) => Err(PullEnd::Stopped),
            Err(_) => Ok(false),
        }
    }

    async fn fail_as_too_large(
        &self,
        window: &QueuedWindow,
        range: Range,
        source: Refusal,
    ) -> Result<(), PullEnd> {
        let error = RunError::TooLarge { range, source };
        self.fail(window, range, error).await
    }

    /// Reports that the window failed in `range`; the queue decides whether its stream continues.
    async fn fail(
        &self,
        window: &QueuedWindow,
        range: Range,
        error: RunError,
    ) -> Result<(), PullEnd> {
        match self.queue.fail(window, range, error) {
            AfterFailure::Note(failed) => self.report_failed(failed).await,
            AfterFailure::Probe(newest) => {
                let from = newest.to() - self.policy.min_window.min(newest.length());
                let least = Range::new(from, newest.to()).unwrap_or(newest);
                let answer = self.puller.probe(&window.stream, least, false).await;
                if let Err(PullEnd::Stopped) = answer {
                    // the window has already ended
                    return Ok(());
                }
                let failed = self.queue.probed(window, answer.is_ok());
                self.report_failed(failed).await
            }
        }
    }

    async fn report_failed(&self, failed: Vec<FailedRange>) -> Result<(), PullEnd> {
        for failed in failed {
            // the sink has only ended if the run has failed
            if self.puller.send(WorkerEvent::Failed(failed)).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

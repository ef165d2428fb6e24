//! The windows of a run, each handed out once, and the handling of failed windows.
//!
//! A failed window doesn't stop its stream, so that one bad hour doesn't keep later hours out of the lake. But if a
//! provider is down, every window fails, and requesting all of them would hammer it. Therefore a stream is pulled one
//! window at a time until a window has succeeded, and again after a failure. After two failures in a row, the newest
//! window is next. If it fails as well, that is an outage, which ends the stream's run. If it succeeds, the failed
//! ranges are recorded, each with a back-off of its own. See docs/decisions/0009-failed-windows-dont-block.md.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::error::RunError;
use super::job::{Job, RunMode, RunOptions};
use super::report::StreamFailure;
use crate::lake::{Progress, Work};
use crate::model::{FailureKind, Range, Timestamp};
use crate::providers::Stream;
use crate::run::plan::{self, Plan, Task};
use crate::telemetry::error_chain;

/// The number of failed windows in a row that is an outage, if the newest is among them.
const OUTAGE: usize = 3;
/// The number of searches per run for the oldest instant that a provider serves.
const SEARCHES: u32 = 3;
/// The maximum size of an error's text in a stream's progress, in bytes.
const TEXT_CAP: usize = 300;

/// The windows of a run; streams take turns.
pub(crate) struct WindowQueue {
    state: Mutex<QueueState>,
    /// Notified when a window has ended.
    changed: Notify,
    /// The instant after which no window begins.
    until: Option<tokio::time::Instant>,
    /// Whether ranges that turn out to be in the future are left to a later run.
    is_planned: bool,
}

struct QueueState {
    streams: Vec<StreamCourse>,
    /// The index of the stream whose turn it is.
    turn: usize,
    /// The reduced window lengths, by stream.
    narrowed: BTreeMap<String, TimeDelta>,
    failures: Vec<StreamFailure>,
    unfinished: bool,
}

/// The state of a stream in this run.
struct StreamCourse {
    stream: Stream,
    plan: Plan,
    in_flight: u32,
    /// Whether a window of the stream has succeeded.
    has_pulled: bool,
    /// The failures since the provider was last known to work.
    doubtful: Vec<(Range, Work, RunError)>,
    newest: NewestWindow,
    /// The number of failures in a row, even if the provider was found to work meanwhile.
    in_a_row: usize,
    /// Whether a range has succeeded that failed in an earlier run.
    has_made_up: bool,
    /// The number of failures in a row of ranges that had failed in earlier runs.
    again_in_a_row: usize,
    has_ended: bool,
    /// The oldest instant that the provider serves, as found in this run.
    oldest: Option<Timestamp>,
    searches: u32,
    /// The start of the oldest window that was pulled.
    pulled_from: Option<Timestamp>,
}

/// The state of a stream's newest window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NewestWindow {
    Waiting,
    Taken,
    Pulled(Range),
    Failed,
}

/// A window that was handed out.
#[derive(Debug)]
pub(super) struct QueuedWindow {
    pub(super) stream: Stream,
    pub(super) task: Task,
    /// Whether it is requested without retries, because others have failed with all their retries.
    pub(super) once: bool,
    is_newest: bool,
}

/// A range that failed although its provider works.
#[derive(Debug)]
pub(crate) struct FailedRange {
    pub(super) stream: String,
    pub(super) range: Range,
    pub(super) work: Work,
    pub(super) kind: FailureKind,
    pub(super) error: String,
}

/// The consequence of a failure.
#[derive(Debug)]
pub(super) enum AfterFailure {
    /// These ranges are to be recorded as failed.
    Note(Vec<FailedRange>),
    /// A probe is needed of whether the provider works: the end of this range was answered before.
    Probe(Range),
}

/// The state when all windows have ended.
#[derive(Debug)]
pub(crate) struct Leftovers {
    pub(crate) failures: Vec<StreamFailure>,
    pub(crate) failed: Vec<FailedRange>,
    /// Whether unfinished windows, or windows that didn't begin, are left.
    pub(crate) unfinished: bool,
}

enum NextWindow {
    Window(Box<QueuedWindow>),
    /// No window until one in flight has ended.
    Later,
    None,
}

impl StreamCourse {
    fn new((stream, plan): (Stream, Plan)) -> Self {
        Self {
            stream,
            plan,
            in_flight: 0,
            has_pulled: false,
            doubtful: Vec::new(),
            newest: NewestWindow::Waiting,
            in_a_row: 0,
            again_in_a_row: 0,
            has_made_up: false,
            has_ended: false,
            oldest: None,
            searches: 0,
            pulled_from: None,
        }
    }

    /// Returns whether the stream's windows are pulled one at a time.
    fn is_careful(&self) -> bool {
        let is_trying_again = self.plan.has_only_failed() && !self.has_made_up;
        !self.has_pulled || self.in_a_row > 0 || is_trying_again
    }

    fn take(&mut self) -> Option<QueuedWindow> {
        let is_doubtful = self.doubtful.len() + 1 >= OUTAGE && self.newest == NewestWindow::Waiting;
        let newest = is_doubtful.then(|| self.plan.newest()).flatten();
        let task = newest.or_else(|| self.plan.next())?;
        let is_newest = self.plan.is_newest(&task);
        if is_newest && self.newest == NewestWindow::Waiting {
            self.newest = NewestWindow::Taken;
        }
        self.in_flight += 1;
        Some(QueuedWindow {
            stream: self.stream.clone(),
            once: self.in_a_row >= OUTAGE,
            is_newest,
            task,
        })
    }

    /// Records that the provider works: the failures weren't an outage.
    fn is_alive(&mut self, failures: &mut Vec<StreamFailure>) -> Vec<FailedRange> {
        let stream = &self.stream.id;
        let note = |(range, work, error): (Range, Work, RunError)| {
            let failed = FailedRange::new(stream, range, work, &error);
            failures.push(StreamFailure {
                stream: stream.clone(),
                range,
                work,
                error,
                went_on: true,
            });
            failed
        };
        self.doubtful.drain(..).map(note).collect()
    }

    /// Ends the stream: it gets no further window in this run.
    fn end(&mut self, failures: &mut Vec<StreamFailure>) {
        self.has_ended = true;
        for (range, work, error) in self.doubtful.drain(..) {
            failures.push(StreamFailure {
                stream: self.stream.id.clone(),
                range,
                work,
                error,
                went_on: false,
            });
        }
    }
}

impl FailedRange {
    pub(super) fn new(stream: &str, range: Range, work: Work, error: &RunError) -> Self {
        let mut text = error_chain(error);
        if text.len() > TEXT_CAP {
            let fits = (0..=TEXT_CAP).rfind(|&end| text.is_char_boundary(end));
            text.truncate(fits.unwrap_or_default());
            text.push('…');
        }
        Self {
            stream: stream.to_owned(),
            range,
            work,
            kind: error.kind(),
            error: text,
        }
    }
}

impl WindowQueue {
    pub(super) fn new(
        streams: &[Stream],
        progress: &BTreeMap<String, Progress>,
        mode: RunMode,
        now: Timestamp,
        job: &Job,
        options: &RunOptions,
    ) -> Self {
        let tasks = streams.iter().map(|stream| {
            let mut progress = progress.get(&stream.id).cloned().unwrap_or_default();
            let passed_over = options.passed_over.get(&stream.id);
            if options.at_once {
                (progress.failed.iter_mut()).for_each(|failed| failed.retry_at = now);
            }
            for range in passed_over.iter().flat_map(|ranges| ranges.iter()) {
                progress.coverage.insert(range);
                if let Some(refetch) = &mut progress.refetch {
                    refetch.left.remove(range);
                }
            }
            (stream.clone(), tasks(&progress, mode, now, &job.policy))
        });
        let until = match mode {
            RunMode::Due => None,
            RunMode::Backfill { turn, .. } => {
                Some(tokio::time::Instant::now() + turn.to_std().unwrap_or_default())
            }
        };
        Self {
            until,
            is_planned: true,
            ..Self::of(tasks.collect(), narrowed(streams, progress))
        }
    }

    /// Creates a queue of all windows of these streams without a time limit; see [`narrowed`] for `narrowed`.
    pub(crate) fn of(
        streams: VecDeque<(Stream, Plan)>,
        narrowed: BTreeMap<String, TimeDelta>,
    ) -> Self {
        let state = QueueState {
            streams: streams.into_iter().map(StreamCourse::new).collect(),
            turn: 0,
            narrowed,
            failures: Vec::new(),
            unfinished: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
            until: None,
            is_planned: false,
        }
    }

    /// Sets whether ranges that turn out to be in the future are left to a later run. Otherwise windows are read as
    /// they are.
    pub(super) fn is_planned(&self) -> bool {
        self.is_planned
    }

    /// Returns the next window of the stream whose turn it is.
    pub(super) async fn next(&self, stop: &CancellationToken) -> Option<QueuedWindow> {
        loop {
            let changed = self.changed.notified();
            match self.take(stop) {
                NextWindow::Window(given) => return Some(*given),
                NextWindow::None => return None,
                NextWindow::Later => tokio::select! {
                    () = changed => {}
                    () = stop.cancelled() => {}
                },
            }
        }
    }

    fn take(&self, stop: &CancellationToken) -> NextWindow {
        let is_over = (self.until).is_some_and(|until| tokio::time::Instant::now() >= until);
        let mut state = self.lock();
        let QueueState {
            streams,
            turn,
            failures,
            unfinished,
            ..
        } = &mut *state;
        let mut later = false;
        for offset in 0..streams.len() {
            let place = (*turn + offset) % streams.len();
            let course = &mut streams[place];
            if course.newest == NewestWindow::Failed && course.plan.has_only_failed() {
                course.plan.skip_failed(); // they would fail as well
            }
            if course.has_ended || course.plan.is_empty() {
                continue;
            }
            if stop.is_cancelled() || is_over {
                *unfinished = true;
                return NextWindow::None;
            }
            if course.in_flight > 0 && course.is_careful() {
                later = true;
                continue;
            }
            let Some(given) = course.take() else {
                course.end(failures);
                continue;
            };
            *turn = place + 1;
            return NextWindow::Window(Box::new(given));
        }
        if later {
            NextWindow::Later
        } else {
            NextWindow::None
        }
    }

    /// Returns the failures and the remaining work.
    pub(crate) fn leftovers(&self) -> Leftovers {
        let mut state = self.lock();
        let QueueState {
            streams,
            failures,
            unfinished,
            ..
        } = &mut *state;
        let mut failed = Vec::new();
        for course in streams {
            // the newest window shows whether later failures are limited to their ranges
            if matches!(course.newest, NewestWindow::Pulled(_)) && !course.has_ended {
                failed.extend(course.is_alive(failures));
            } else {
                course.end(failures);
            }
        }
        Leftovers {
            failures: std::mem::take(failures),
            failed,
            unfinished: *unfinished,
        }
    }

    /// Records that the window was pulled, as far as the provider serves it.
    pub(super) fn succeed(&self, given: &QueuedWindow) -> Vec<FailedRange> {
        self.end(given, |course, failures| {
            course.has_pulled = true;
            course.in_a_row = 0;
            course.again_in_a_row = 0;
            course.has_made_up |= given.task.again;
            // a window that was passed over wasn't pulled
            let from = given.task.range.from();
            if course.oldest.is_none_or(|oldest| oldest <= from) {
                course.pulled_from = Some(course.pulled_from.map_or(from, |have| have.min(from)));
            }
            if given.is_newest {
                course.newest = NewestWindow::Pulled(given.task.range);
            }
            course.is_alive(failures)
        })
    }

    /// Records that the window failed in `range`.
    pub(super) fn fail(&self, given: &QueuedWindow, range: Range, error: RunError) -> AfterFailure {
        let work = given.task.work;
        self.end(given, |course, failures| {
            if error.stops_its_stream() {
                course.doubtful.insert(0, (range, work, error));
                course.end(failures);
                return AfterFailure::Note(Vec::new());
            }
            if given.task.again {
                course.again_in_a_row += 1;
                course.has_made_up = false;
                if course.again_in_a_row >= OUTAGE {
                    course.plan.skip_failed();
                }
                course.doubtful.push((range, work, error));
                return AfterFailure::Note(course.is_alive(failures));
            }
            course.in_a_row += 1;
            course.doubtful.push((range, work, error));
            if given.is_newest {
                course.newest = NewestWindow::Failed;
            }
            if course.doubtful.len() < OUTAGE {
                return AfterFailure::Note(Vec::new());
            }
            match course.newest {
                NewestWindow::Failed => {
                    tracing::warn!(
                        stream = course.stream.id,
                        "its windows fail, including the newest: the stream waits for the next run"
                    );
                    course.end(failures);
                    AfterFailure::Note(Vec::new())
                }
                // less frequent as the number grows
                NewestWindow::Pulled(newest) if is_power_of_two_times(OUTAGE, course.in_a_row) => {
                    AfterFailure::Probe(newest)
                }
                NewestWindow::Pulled(_) => AfterFailure::Note(course.is_alive(failures)),
                NewestWindow::Waiting | NewestWindow::Taken => AfterFailure::Note(Vec::new()),
            }
        })
    }

    /// Records whether the provider answered for a range that it had answered for before.
    pub(super) fn probed(&self, given: &QueuedWindow, is_alive: bool) -> Vec<FailedRange> {
        let mut state = self.lock();
        let QueueState {
            streams, failures, ..
        } = &mut *state;
        let course = streams.iter_mut().find(|of| of.stream == given.stream);
        let failed = match course {
            Some(course) if is_alive => course.is_alive(failures),
            Some(course) => {
                course.end(failures);
                Vec::new()
            }
            None => Vec::new(),
        };
        drop(state);
        self.changed.notify_waiters();
        failed
    }

    /// Records that a part of a window failed and the rest continues.
    pub(super) fn pass_over(&self, given: &QueuedWindow, range: Range, error: RunError) {
        self.lock().failures.push(StreamFailure {
            stream: given.stream.id.clone(),
            range,
            work: given.task.work,
            error,
            went_on: true,
        });
    }

    /// Records that the run stopped before the window was pulled completely.
    pub(super) fn leave_unfinished(&self, given: &QueuedWindow) {
        self.end(given, |_, _| ());
        self.lock().unfinished = true;
    }

    fn end<T>(
        &self,
        given: &QueuedWindow,
        note: impl FnOnce(&mut StreamCourse, &mut Vec<StreamFailure>) -> T,
    ) -> T
    where
        T: Default,
    {
        let mut state = self.lock();
        let QueueState {
            streams, failures, ..
        } = &mut *state;
        let course = streams.iter_mut().find(|of| of.stream == given.stream);
        let ended = course.map(|course| {
            course.in_flight = course.in_flight.saturating_sub(1);
            note(course, failures)
        });
        drop(state);
        self.changed.notify_waiters();
        ended.unwrap_or_default()
    }

    /// Returns whether another search for the oldest instant that the provider serves may begin: not if the provider
    /// has served something older than `refused`.
    pub(super) fn may_search(&self, stream: &str, refused: Timestamp) -> bool {
        let mut state = self.lock();
        let course = state.streams.iter_mut().find(|of| of.stream.id == stream);
        course.is_some_and(|course| {
            course.searches += 1;
            course.searches <= SEARCHES && course.pulled_from.is_none_or(|from| from >= refused)
        })
    }

    /// Records that the provider refuses the whole stream, so that further searches are useless.
    pub(super) fn search_no_more(&self, stream: &str) {
        let mut state = self.lock();
        if let Some(course) = state.streams.iter_mut().find(|of| of.stream.id == stream) {
            course.searches = SEARCHES;
        }
    }

    /// Records that the provider serves nothing of the stream before `oldest`: no earlier window is handed out.
    pub(super) fn skip_before(&self, stream: &str, oldest: Timestamp) {
        let mut state = self.lock();
        if let Some(course) = state.streams.iter_mut().find(|of| of.stream.id == stream) {
            course.plan.skip_before(oldest);
            course.oldest = course.oldest.max(Some(oldest));
        }
    }

    /// Returns the oldest instant that the provider serves, as far as this run has found it.
    pub(super) fn oldest(&self, stream: &str) -> Option<Timestamp> {
        let state = self.lock();
        let course = state.streams.iter().find(|of| of.stream.id == stream);
        course.and_then(|course| course.oldest)
    }

    pub(super) fn narrowed(&self, stream: &str) -> Option<TimeDelta> {
        self.lock().narrowed.get(stream).copied()
    }

    /// Reduces the windows of a stream to `length`.
    pub(super) fn narrow(&self, stream: &str, length: TimeDelta) {
        self.lock().narrowed.insert(stream.to_owned(), length);
    }

    /// Enlarges the stream's windows after a success to twice the successful length. Once a full window has succeeded,
    /// they have their full length.
    pub(super) fn grow(
        &self,
        stream: &str,
        pulled: TimeDelta,
        window: TimeDelta,
    ) -> Option<TimeDelta> {
        let mut state = self.lock();
        let narrowed = state.narrowed.remove(stream)?;
        let grown = narrowed.max(pulled * 2).min(window);
        (pulled < window).then(|| {
            state.narrowed.insert(stream.to_owned(), grown);
            grown
        })
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for AfterFailure {
    fn default() -> Self {
        Self::Note(Vec::new())
    }
}

/// Returns whether `number` is `of` times a power of two.
fn is_power_of_two_times(of: usize, number: usize) -> bool {
    number.is_multiple_of(of) && (number / of).is_power_of_two()
}

/// Returns the reduced window lengths of streams with a window that was too large.
pub(crate) fn narrowed(
    streams: &[Stream],
    progress: &BTreeMap<String, Progress>,
) -> BTreeMap<String, TimeDelta> {
    let narrowed = streams.iter().filter_map(|stream| {
        let seconds = i64::try_from(progress.get(&stream.id)?.window?).ok()?;
        Some((stream.id.clone(), TimeDelta::seconds(seconds)))
    });
    narrowed.collect()
}

fn tasks(progress: &Progress, mode: RunMode, now: Timestamp, policy: &plan::Policy) -> Plan {
    match mode {
        RunMode::Due => plan::due(progress, now, policy),
        RunMode::Backfill { range, refetch, .. } => {
            plan::backfill(progress, range, refetch, now, policy)
        }
    }
}

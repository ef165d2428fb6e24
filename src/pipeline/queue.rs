//! The windows of a run, each handed out once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::error::RunError;
use super::{Failure, Job, Lane};
use crate::lake::{Progress, Work};
use crate::model::{Range, Timestamp};
use crate::plan::{self, Task};
use crate::providers::Stream;

/// The windows of a run, streams taking turns.
pub(super) struct Queue {
    state: Mutex<State>,
    /// No window is begun after this.
    until: Option<tokio::time::Instant>,
    /// Whether what turns out not to have happened yet is left to a later run.
    is_planned: bool,
}

/// The windows of one stream, cut as they are taken.
pub(super) type Tasks = Box<dyn Iterator<Item = Task> + Send>;

struct State {
    streams: VecDeque<(Stream, Tasks)>,
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
        let tasks = streams.iter().map(|stream| {
            let progress = progress.get(&stream.id).cloned().unwrap_or_default();
            (stream.clone(), tasks(&progress, lane, now, &job.policy))
        });
        let until = match lane {
            Lane::Due => None,
            Lane::Backfill { turn, .. } => {
                Some(tokio::time::Instant::now() + turn.to_std().unwrap_or_default())
            }
        };
        Self {
            until,
            is_planned: true,
            ..Self::of(tasks.collect(), narrowed(streams, progress))
        }
    }

    /// All windows of these streams, however long that takes; `narrowed` as [`narrowed`] has it.
    pub(super) fn of(
        streams: VecDeque<(Stream, Tasks)>,
        narrowed: BTreeMap<String, TimeDelta>,
    ) -> Self {
        let state = State {
            streams,
            narrowed,
            failures: Vec::new(),
            unfinished: false,
        };
        Self {
            state: Mutex::new(state),
            until: None,
            is_planned: false,
        }
    }

    /// Whether what turns out not to have happened yet is left to a later run. Else a window is read as it is.
    pub(super) fn is_planned(&self) -> bool {
        self.is_planned
    }

    /// The next window, of the stream whose turn it is.
    pub(super) fn next(&self, stop: &CancellationToken) -> Option<(Stream, Task)> {
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
    pub(super) fn fail(&self, stream: &str, range: Range, work: Work, error: RunError) {
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
                work,
                error,
            });
        }
    }

    pub(super) fn narrowed(&self, stream: &str) -> Option<TimeDelta> {
        self.lock().narrowed.get(stream).copied()
    }

    /// Windows of a stream become as small as `length`.
    pub(super) fn narrow(&self, stream: &str, length: TimeDelta) {
        self.lock().narrowed.insert(stream.to_owned(), length);
    }

    /// After a success the stream's windows grow again, to twice what succeeded.
    pub(super) fn grow(
        &self,
        stream: &str,
        pulled: TimeDelta,
        window: TimeDelta,
    ) -> Option<TimeDelta> {
        let mut state = self.lock();
        let grown = state.narrowed.remove(stream)?.max(pulled * 2);
        (grown < window).then(|| {
            state.narrowed.insert(stream.to_owned(), grown);
            grown
        })
    }

    /// The run stops before all of it was pulled.
    pub(super) fn leave_unfinished(&self) {
        self.lock().unfinished = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How small the streams' windows have become, where one proved too large.
pub(super) fn narrowed(
    streams: &[Stream],
    progress: &BTreeMap<String, Progress>,
) -> BTreeMap<String, TimeDelta> {
    let narrowed = streams.iter().filter_map(|stream| {
        let seconds = i64::try_from(progress.get(&stream.id)?.window?).ok()?;
        Some((stream.id.clone(), TimeDelta::seconds(seconds)))
    });
    narrowed.collect()
}

fn tasks(progress: &Progress, lane: Lane, now: Timestamp, policy: &plan::Policy) -> Tasks {
    match lane {
        Lane::Due => Box::new(plan::due(progress, now, policy)),
        Lane::Backfill { range, refetch, .. } => {
            Box::new(plan::backfill(progress, range, refetch, now, policy))
        }
    }
}

//! What a run has to say of itself when it ends, beside what its commits have said.

use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::error::RunError;
use super::report::StreamFailure;
use crate::client::Calls;
use crate::clock::real_now;
use crate::lake::{FailureStreak, Pulled, RunFailure, RunSummary};
use crate::model::Timestamp;
use crate::telemetry::error_chain;

/// The most bytes of an error's text that a commit keeps: what a provider says can be a page.
const TEXT_CAP: usize = 2_000;
/// The most failures that a commit keeps: a provider may refuse a thousand windows one by one.
const FAILURES: usize = 100;

/// The account of one run.
#[derive(Debug)]
pub(super) struct RunAccount {
    /// All requests that are sent for the run.
    pub(super) calls: Calls,
    /// What its last commit says, but for the requests that a commit has told by then.
    ended: Mutex<RunSummary>,
    /// How many requests its commits have told, and how many of these were retries.
    told: Mutex<(u64, u64)>,
    run: Uuid,
    /// Whether the run is one of the schedule's: only these make a streak, or end it.
    is_scheduled: bool,
    /// The failed runs in a row before this one.
    before: Option<FailureStreak>,
}

impl RunAccount {
    /// Of a run that begins, after these failed runs in a row.
    pub(super) fn new(
        run: Uuid,
        started_at: Timestamp,
        is_scheduled: bool,
        before: Option<FailureStreak>,
    ) -> Self {
        let ended = RunSummary {
            started_at,
            unfinished: false,
            calls: 0,
            retries: 0,
            failures: Vec::new(),
        };
        Self {
            calls: Calls::default(),
            ended: Mutex::new(ended),
            told: Mutex::default(),
            run,
            is_scheduled,
            before,
        }
    }

    /// These are committed.
    pub(super) fn tell(&self, committed: &[Pulled]) {
        let mut told = lock(&self.told);
        for pulled in committed {
            told.0 += pulled.calls;
            told.1 += pulled.retries;
        }
    }

    /// The run has come to the end of its plan, or was stopped before it.
    pub(super) fn end(&self, failures: &[StreamFailure], unfinished: bool) {
        let mut ended = lock(&self.ended);
        ended.unfinished = unfinished;
        ended.failures = (failures.iter().take(FAILURES))
            .map(|failure| RunFailure {
                stream: Some(failure.stream.clone()),
                range: Some(failure.range),
                work: Some(failure.work),
                went_on: failure.went_on,
                ..failed(&failure.error)
            })
            .collect();
    }

    /// The run has failed as a whole.
    pub(super) fn fail(&self, error: &RunError) {
        lock(&self.ended).failures.push(failed(error));
    }

    /// The failed runs in a row when this one has ended.
    pub(super) fn streak(&self) -> Option<FailureStreak> {
        if self.is_scheduled {
            let ended = lock(&self.ended);
            FailureStreak::after(self.before.as_ref(), self.run, &ended, real_now())
        } else {
            self.before.clone()
        }
    }

    /// What the run's last commit says of it, if that commit tells of these.
    pub(super) fn ended(&self, about_to_be_told: &[Pulled]) -> RunSummary {
        let ((sent, again), (mut calls, mut retries)) = (self.calls.all(), *lock(&self.told));
        for pulled in about_to_be_told {
            calls += pulled.calls;
            retries += pulled.retries;
        }
        RunSummary {
            calls: sent.saturating_sub(calls),
            retries: again.saturating_sub(retries),
            ..lock(&self.ended).clone()
        }
    }
}

/// A failure of a whole run, as commits keep it.
pub(super) fn failed(error: &RunError) -> RunFailure {
    let retry_after = error.retry_after();
    RunFailure {
        stream: None,
        range: None,
        work: None,
        kind: Some(error.kind()),
        error: capped(error_chain(error)),
        // never shortened
        retry_after: retry_after.map(|pause| pause.as_secs() + u64::from(pause.subsec_nanos() > 0)),
        at_lake: matches!(error, RunError::Lake(_) | RunError::Read(_)),
        went_on: false,
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // what is in there is whole between any two calls
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn capped(mut text: String) -> String {
    if text.len() > TEXT_CAP {
        let fits = (0..=TEXT_CAP).rfind(|&end| text.is_char_boundary(end));
        text.truncate(fits.unwrap_or_default());
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(capped("short".to_owned()), "short");
        let long = capped("ü".repeat(TEXT_CAP));
        assert_eq!(long, format!("{}…", "ü".repeat(TEXT_CAP / 2)));
        let odd = capped(format!("x{}", "ü".repeat(TEXT_CAP)));
        assert_eq!(odd, format!("x{}…", "ü".repeat(TEXT_CAP / 2 - 1)));
    }
}

//! The summary of a run, which its last commit records.

use uuid::Uuid;

use super::error::RunError;
use super::report::StreamFailure;
use crate::client::Calls;
use crate::clock::real_now;
use crate::lake::{FailureStreak, Pulled, RunEnd, RunFailure, RunSummary};
use crate::model::Timestamp;
use crate::telemetry::error_chain;

/// The maximum size of an error's text in a commit in bytes, as a provider's message can be a whole page.
const TEXT_CAP: usize = 2_000;
/// The maximum number of failures in a commit, as a provider may refuse a thousand windows one by one.
const FAILURES: usize = 100;

/// The summary of a run, as far as it is known.
#[derive(Debug)]
pub(super) struct SummaryBuilder {
    /// All requests sent for the run.
    pub(super) calls: Calls,
    /// The summary, except for `calls` and `retries`.
    summary: RunSummary,
    /// The requests counted in the run's commits, and how many of these were retries.
    counted: (u64, u64),
    run: Uuid,
    /// Whether the schedule started the run: only such runs begin, continue or end a streak.
    is_scheduled: bool,
    /// The consecutive failed runs before this one.
    before: Option<FailureStreak>,
}

impl SummaryBuilder {
    /// Creates the summary of a run that begins after these failed runs.
    pub(super) fn new(
        run: Uuid,
        started_at: Timestamp,
        is_scheduled: bool,
        before: Option<FailureStreak>,
    ) -> Self {
        Self {
            calls: Calls::default(),
            summary: RunSummary {
                started_at,
                unfinished: false,
                calls: 0,
                retries: 0,
                failures: Vec::new(),
            },
            counted: (0, 0),
            run,
            is_scheduled,
            before,
        }
    }

    /// Records that these ranges are committed, with the requests that they count.
    pub(super) fn committed(&mut self, pulled: &[Pulled]) {
        self.counted = self.with(pulled);
    }

    /// Records how the run completed its plan, or was stopped before.
    pub(super) fn pulled(&mut self, failures: &[StreamFailure], unfinished: bool) {
        self.summary.unfinished = unfinished;
        self.summary.failures = (failures.iter().take(FAILURES))
            .map(|failure| RunFailure {
                stream: Some(failure.stream.clone()),
                range: Some(failure.range),
                work: Some(failure.work),
                went_on: failure.went_on,
                ..failed(&failure.error)
            })
            .collect();
    }

    /// Records that the run failed as a whole.
    pub(super) fn fail(&mut self, error: &RunError) {
        self.summary.failures.push(failed(error));
    }

    /// Returns the summary for the run's last commit, if that commit lists these ranges.
    pub(super) fn end(&self, uncommitted: &[Pulled]) -> RunEnd {
        let ((sent, again), (calls, retries)) = (self.calls.all(), self.with(uncommitted));
        let summary = RunSummary {
            calls: sent.saturating_sub(calls),
            retries: again.saturating_sub(retries),
            ..self.summary.clone()
        };
        let before = self.before.as_ref();
        let failing = if self.is_scheduled {
            FailureStreak::after(before, self.run, &summary, real_now())
        } else {
            before.cloned()
        };
        RunEnd { summary, failing }
    }

    /// Returns the requests counted in commits, if these ranges are committed too.
    fn with(&self, pulled: &[Pulled]) -> (u64, u64) {
        (pulled.iter()).fold(self.counted, |(calls, retries), pulled| {
            (calls + pulled.calls, retries + pulled.retries)
        })
    }
}

/// Returns a failure of a whole run, as recorded in commits.
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

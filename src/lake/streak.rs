//! A streak of failed runs, kept in the job's log, so that every process knows the next attempt.

use chrono::TimeDelta;
use uuid::Uuid;

use super::commit::{FailureStreak, RunFailure, RunSummary};
use crate::model::{FailureKind, Timestamp};

/// The shortest and longest pause after a failed run; doubled with each further failure in a row.
const FAILURE_PAUSE: (TimeDelta, TimeDelta) = (TimeDelta::seconds(10), TimeDelta::minutes(5));
/// The shortest and longest pause after credentials were refused.
const AUTH_PAUSE: (TimeDelta, TimeDelta) = (TimeDelta::minutes(1), TimeDelta::hours(1));
/// The longest pause that a provider can request.
const LONGEST_PAUSE: TimeDelta = TimeDelta::days(365);
/// The number of streams listed in a streak.
const STREAMS: usize = 20;

impl FailureStreak {
    /// Returns the streak after a run that ended at `now`; `None` if the run succeeded. A run that was stopped without
    /// a failure before it had finished changes nothing.
    pub fn after(
        previous: Option<&Self>,
        run: Uuid,
        ended: &RunSummary,
        now: Timestamp,
    ) -> Option<Self> {
        // a range that failed while its stream continued has a back-off of its own
        let failures = || ended.failures.iter().filter(|failed| !failed.went_on);
        let Some(first) = failures().next() else {
            return previous.filter(|_| ended.unfinished).cloned();
        };
        let is_refused = |failed: &&RunFailure| failed.kind == Some(FailureKind::Auth);
        let worst = failures().find(is_refused).unwrap_or(first);
        let mut streams: Vec<&String> = failures()
            .filter_map(|failed| failed.stream.as_ref())
            .collect();
        streams.sort();
        streams.dedup();
        let asked = failures().filter_map(|failed| failed.retry_after).max();
        let asked = asked.map(|seconds| {
            let seconds = i64::try_from(seconds).ok();
            let pause = seconds.and_then(TimeDelta::try_seconds);
            now + pause.unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)
        });
        let runs = previous.map_or(0, |streak| streak.runs).saturating_add(1);
        let (shortest, longest) = pause_of(worst.kind);
        let own = now + (shortest * 2_i32.pow((runs - 1).min(12))).min(longest);
        Some(Self {
            since: previous.map_or(now, |streak| streak.since),
            at: now,
            run,
            runs,
            kind: worst.kind,
            at_lake: worst.at_lake,
            error: worst.error.clone(),
            failed_streams: streams.len() as u64,
            streams: streams.into_iter().take(STREAMS).cloned().collect(),
            asked_until: asked,
            retry_at: asked.map_or(own, |asked| asked.max(own)),
        })
    }

    /// Returns the instant before which no run begins. It is never further from `now` than the length of the pause,
    /// even if a wrong clock wrote the streak.
    pub fn not_before(&self, now: Timestamp) -> Timestamp {
        self.retry_at.min(now + (self.retry_at - self.at))
    }

    /// Returns the streak as observed by a process that has just started: the pause requested by the provider, but only
    /// the shortest own pause, as the configuration or the credentials may have been corrected meanwhile.
    #[must_use]
    pub fn at_start(self) -> Self {
        let shortest = self.at + pause_of(self.kind).0;
        let retry_at = self
            .asked_until
            .map_or(shortest, |asked| asked.max(shortest));
        Self { retry_at, ..self }
    }
}

fn pause_of(kind: Option<FailureKind>) -> (TimeDelta, TimeDelta) {
    if kind == Some(FailureKind::Auth) {
        AUTH_PAUSE
    } else {
        FAILURE_PAUSE
    }
}

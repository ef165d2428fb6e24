//! The status of a job with the problems that need attention, derived from its commit log, its quarantine, and the
//! state of this process. All surfaces show this status.

mod findings;

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::json;

use crate::lake::quarantine::{self, LineCounts};
use crate::lake::{self, Claim, Commit, FailureStreak, LakeError, Progress};
use crate::metrics;
use crate::model::{Range, Timestamp};
use crate::run::plan;
use crate::setup::ScheduledJob;

pub(crate) use findings::{Finding, FindingKind};

/// The state of a job. The first matching state applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobState {
    /// Its log can't be read.
    Unreadable,
    /// Its last scheduled run failed; another one may be in progress.
    Failing,
    /// A run holds the job.
    Running,
    /// It never ran.
    NeverRan,
    /// Its last run ended without a final commit: it was killed, or lost its lake.
    Interrupted,
    /// A due run hasn't begun.
    Due,
    /// It waits for its next tick.
    Idle,
}

impl JobState {
    /// All states.
    pub(crate) const ALL: [Self; 7] = [
        Self::Unreadable,
        Self::Failing,
        Self::Running,
        Self::NeverRan,
        Self::Interrupted,
        Self::Due,
        Self::Idle,
    ];

    /// Returns the name in the API and the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NeverRan => "never_ran",
            other => other.as_str(),
        }
    }

    /// Returns the display text.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Failing => "failing",
            Self::Running => "running",
            Self::NeverRan => "never ran",
            Self::Interrupted => "interrupted",
            Self::Due => "due",
            Self::Idle => "idle",
        }
    }
}

/// The status of a job.
#[derive(Debug, Clone)]
pub(crate) struct JobStatus {
    /// The job's name.
    pub job: String,
    /// The name of its connection.
    pub connection: String,
    /// The lake's URL.
    pub lake: String,
    /// Its newest commit; `None` if it never ran.
    pub newest: Option<Commit>,
    /// The watermark of the slowest stream.
    pub watermark: Option<Timestamp>,
    /// The streams whose watermark is too old; empty if the job was never pulled.
    pub stale: Vec<String>,
    /// The instant after which the slowest watermark is too old.
    pub fresh_until: Option<Timestamp>,
    /// When it is due next, including its pause after failures; now, if it never ran.
    pub next_run: Option<Timestamp>,
    /// The streak of failed scheduled runs, up to the last one.
    pub failing: Option<FailureStreak>,
    /// The ranges before the horizon that weren't pulled, each with its stream.
    pub gaps: Vec<(String, Range)>,
    /// The ranges from the job's start on that the provider refused as too old, each with its stream and with the
    /// oldest instant that the provider served.
    pub lost: Vec<(String, Range, Timestamp)>,
    /// The job's start.
    pub start: Timestamp,
    /// The lines in its quarantine.
    pub quarantine: LineCounts,
}

impl JobStatus {
    /// Reads the status of `scheduled`: its newest commit and its quarantine.
    pub(crate) async fn read(scheduled: &ScheduledJob, now: Timestamp) -> Result<Self, LakeError> {
        let job = &scheduled.job;
        let newest = lake::newest(&job.lake, &job.log).await?;
        let quarantine = quarantine::count(&job.lake, &job.log).await?;
        Ok(Self::of(scheduled, newest, quarantine, now))
    }

    /// Returns the status of `scheduled` from its newest commit, the state of this process, and its quarantine.
    pub(crate) fn of(
        scheduled: &ScheduledJob,
        newest: Option<Commit>,
        quarantine: LineCounts,
        now: Timestamp,
    ) -> Self {
        let job = &scheduled.job;
        let start = job.policy.start;
        let counted_from = newest.as_ref().and_then(|newest| newest.counted_from(now));
        let gaps = (newest.iter())
            .flat_map(|newest| plan::gaps(newest, &job.policy))
            .map(|(stream, gap)| (stream.clone(), gap));
        let gaps = gaps.collect();
        let lost = (newest.iter())
            .flat_map(|newest| plan::lost(newest, &job.policy))
            .map(|(stream, range, oldest)| (stream.clone(), range, oldest));
        let lost = lost.collect();
        let is_stale = |progress: &Progress| {
            let end = progress.passed().contiguous_end(start);
            (scheduled.fresh_until(Some(end))).is_some_and(|until| until < now)
        };
        let stale = (newest.iter().flat_map(Commit::current))
            .filter(|(_, progress)| is_stale(progress))
            .map(|(stream, _)| stream.clone());
        let stale = stale.collect();
        let streams = newest.iter().flat_map(Commit::current);
        let watermark = plan::watermark(streams, &job.policy);
        let failing = job.memory.failing(&job.log, newest.as_ref());
        Self {
            job: job.name.clone(),
            connection: job.connection.clone(),
            lake: job.lake.url().to_owned(),
            watermark,
            stale,
            fresh_until: scheduled.fresh_until(watermark),
            next_run: scheduled.next_run(counted_from, failing.as_ref(), now),
            failing,
            quarantine,
            newest,
            gaps,
            lost,
            start,
        }
    }

    /// Returns the current holder of the job.
    pub(crate) fn holder(&self, now: Timestamp) -> Option<&Claim> {
        let claim = self.newest.as_ref()?.claim.as_ref();
        claim.filter(|claim| claim.is_live(now))
    }

    /// Returns the state of the job.
    pub(crate) fn state(&self, now: Timestamp) -> JobState {
        let Some(newest) = &self.newest else {
            return match self.failing {
                Some(_) => JobState::Failing,
                None => JobState::NeverRan,
            };
        };
        if self.failing.is_some() {
            JobState::Failing
        } else if self.holder(now).is_some() {
            JobState::Running
        } else if newest.claim.is_some() {
            JobState::Interrupted
        } else if self.next_run.is_some_and(|next| next <= now) {
            JobState::Due
        } else {
            JobState::Idle
        }
    }

    /// Returns the age of the watermark; negative if it is in the future.
    pub(crate) fn lag(&self, now: Timestamp) -> Option<TimeDelta> {
        self.watermark.map(|watermark| now - watermark)
    }

    /// Returns whether the watermark is too old.
    pub(crate) fn is_stale(&self, now: Timestamp) -> bool {
        self.fresh_until.is_some_and(|until| until < now)
    }

    fn json(&self, now: Timestamp) -> serde_json::Value {
        let streams: serde_json::Map<_, _> = self
            .newest
            .iter()
            .flat_map(Commit::current)
            .map(|(stream, progress)| {
                let progress = json!({
                    "watermark": progress.watermark, "coverage": progress.coverage, "unsettled": progress.unsettled,
                    "unfinished": progress.open.iter().map(|open| open.range).collect::<Vec<_>>(),
                });
                (stream.clone(), progress)
            })
            .collect();
        let failing = self.failing.as_ref().map(|failing| {
            json!({
                "since": failing.since, "at": failing.at, "runs": failing.runs, "run": failing.run,
                "kind": failing.kind, "at_lake": failing.at_lake, "error": failing.error,
                "streams": failing.streams, "failed_streams": failing.failed_streams,
            })
        });
        json!({
            "job": self.job,
            "state": self.state(now).as_str(),
            "watermark": self.watermark,
            "lag_seconds": self.lag(now).map(|lag| lag.num_seconds()),
            "stale": self.is_stale(now),
            "stale_streams": self.stale,
            "fresh_until": self.fresh_until,
            "last_run": self.newest.as_ref().map(|newest| newest.at),
            "next_run": self.next_run,
            "failing": failing,
            "version": self.newest.as_ref().map(|newest| newest.version),
            "claim": self.holder(now),
            "gaps": self.gaps,
            "lost": self.lost,
            "quarantined": self.quarantine.open,
            "acknowledged": self.quarantine.acknowledged,
            "streams": streams,
        })
    }
}

/// The known status of a job: the last one read, and the reason why it can't be read now.
#[derive(Debug, Clone)]
pub(crate) struct LastKnownStatus {
    /// The job's name.
    pub job: String,
    /// The name of its connection.
    pub connection: String,
    /// The last status that was read; `None` if it never was.
    pub last: Option<Arc<JobStatus>>,
    /// The reason why it can't be read now.
    pub unreadable: Option<String>,
    /// The streak of failed runs in this process, if no status was ever read.
    pub failing: Option<FailureStreak>,
}

impl LastKnownStatus {
    /// Creates the status of a job that was just read.
    pub(crate) fn read(status: Arc<JobStatus>) -> Self {
        Self {
            job: status.job.clone(),
            connection: status.connection.clone(),
            last: Some(status),
            unreadable: None,
            failing: None,
        }
    }

    /// Creates the status of a job that can't be read now; `before` is the last one read.
    pub(crate) fn unreadable(
        scheduled: &ScheduledJob,
        problem: String,
        before: Option<&JobStatus>,
        now: Timestamp,
    ) -> Self {
        let job = &scheduled.job;
        // with the runs of this process since then
        let last = before.map(|before| {
            let (newest, quarantine) = (before.newest.clone(), before.quarantine.clone());
            Arc::new(JobStatus::of(scheduled, newest, quarantine, now))
        });
        Self {
            job: job.name.clone(),
            connection: job.connection.clone(),
            last,
            unreadable: Some(problem),
            failing: job.memory.failing(&job.log, None),
        }
    }

    /// Returns the status, if it can be read now.
    pub(crate) fn current(&self) -> Option<&JobStatus> {
        (self.last.as_deref()).filter(|_| self.unreadable.is_none())
    }

    /// Returns the state of the job.
    pub(crate) fn state(&self, now: Timestamp) -> JobState {
        self.current()
            .map_or(JobState::Unreadable, |status| status.state(now))
    }

    /// Returns the JSON of `status --json`, with every stream.
    pub(crate) fn json(&self, now: Timestamp) -> serde_json::Value {
        let mut json =
            (self.current()).map_or_else(|| json!({ "job": self.job }), |status| status.json(now));
        let findings = self.findings(now);
        let findings = findings.iter().map(|finding| {
            let Finding {
                kind, what, to_do, ..
            } = finding;
            json!({ "kind": kind.as_str(), "what": what, "to_do": to_do })
        });
        json["state"] = self.state(now).as_str().into();
        json["error"] = json!(self.unreadable);
        json["findings"] = findings.collect();
        json
    }
}

impl metrics::ScrapedStatus for LastKnownStatus {
    fn states(&self, now: Timestamp) -> Vec<(&'static str, bool)> {
        let state = self.state(now);
        JobState::ALL
            .map(|one| (one.name(), one == state))
            .into_iter()
            .collect()
    }

    fn findings(&self, now: Timestamp) -> Vec<(&'static str, u64)> {
        let findings = Self::findings(self, now);
        let count = |kind| findings.iter().filter(|one| one.kind == kind).count() as u64;
        FindingKind::ALL
            .map(|kind| (kind.as_str(), count(kind)))
            .into_iter()
            .collect()
    }

    fn open_records(&self) -> Option<u64> {
        self.last.as_ref().map(|last| last.quarantine.open)
    }

    fn failed_runs(&self) -> u64 {
        let last = self.last.as_ref();
        let failing = last.map_or(self.failing.as_ref(), |last| last.failing.as_ref());
        failing.map_or(0, |failing| failing.runs.into())
    }
}

//! The status of a job, from its commit log, its quarantine and what this process knows beyond these, with the problems
//! that need attention. Every surface shows this one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::json;

use crate::clocks::TOLERANCE;
use crate::lake::quarantine::{self, LineCounts};
use crate::lake::{self, Claim, Commit, FailureStreak, LakeError, Progress};
use crate::metrics;
use crate::model::{FailureKind, Range, Timestamp};
use crate::run::future;
use crate::run::plan;
use crate::setup::ScheduledJob;
use crate::text;

/// How many streams a line names.
const NAMED: usize = 3;

/// What a job is doing, in a word. The first that is true counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobState {
    /// Its log can't be read.
    Unreadable,
    /// Its last scheduled run failed; another one may be under way.
    Failing,
    /// A run holds it.
    Running,
    /// Nothing yet.
    NeverRan,
    /// Its last run ended without recording it: it was killed, or lost its lake.
    Interrupted,
    /// It waits for a run that should have begun.
    Due,
    /// It waits for its next tick.
    Idle,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Unreadable,
        Self::Failing,
        Self::Running,
        Self::NeverRan,
        Self::Interrupted,
        Self::Due,
        Self::Idle,
    ];

    /// As the API and the metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NeverRan => "never_ran",
            other => other.as_str(),
        }
    }

    /// As people read it.
    pub fn as_str(self) -> &'static str {
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

/// Where one job stands.
#[derive(Debug)]
pub struct JobStatus {
    /// The job's name.
    pub job: String,
    /// The name of its connection.
    pub connection: String,
    /// The lake's URL.
    pub lake: String,
    /// Its newest commit; none if it never ran.
    pub newest: Option<Commit>,
    /// The slowest stream's.
    pub watermark: Option<Timestamp>,
    /// The streams whose watermark is too old; none if the job was never pulled.
    pub stale: Vec<String>,
    /// Until when the slowest watermark is young enough.
    pub fresh_until: Option<Timestamp>,
    /// When it is due next, its pause after failures included; now, if it never ran.
    pub next_run: Option<Timestamp>,
    /// The scheduled runs that failed in a row up to the last one.
    pub failing: Option<FailureStreak>,
    /// Ranges that lie before the horizon and aren't pulled, each with its stream.
    pub gaps: Vec<(String, Range)>,
    /// Ranges from the job's start on that the provider refused as too old, each with its stream and with the oldest
    /// instant that the provider gave.
    pub lost: Vec<(String, Range, Timestamp)>,
    /// The job's start.
    pub start: Timestamp,
    /// The lines in its quarantine.
    pub quarantine: LineCounts,
}

/// The kinds of problems that need attention, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// The job's log or its quarantine can't be read.
    Unreadable,
    /// The provider or the lake refuses the credentials.
    Refused,
    /// The last scheduled run failed.
    Failing,
    /// A range was passed over.
    Gap,
    /// Clocks disagree.
    Clock,
    /// A range was never pulled, and the provider no longer gives it.
    Lost,
    /// The watermark is too old.
    Stale,
    /// Unreadable records wait.
    Quarantine,
    /// The store lost committed files; their ranges were pulled again.
    Damaged,
}

impl FindingKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Unreadable,
        Self::Refused,
        Self::Failing,
        Self::Gap,
        Self::Clock,
        Self::Lost,
        Self::Stale,
        Self::Quarantine,
        Self::Damaged,
    ];

    /// As `status`, the API and the metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Refused => "refused",
            Self::Failing => "failing",
            Self::Gap => "gap",
            Self::Clock => "clock",
            Self::Lost => "lost",
            Self::Stale => "stale",
            Self::Quarantine => "quarantine",
            Self::Damaged => "damaged",
        }
    }

    /// Whether rows are missing or can't be pulled, rather than late or unread.
    pub fn is_bad(self) -> bool {
        !matches!(
            self,
            Self::Clock | Self::Stale | Self::Quarantine | Self::Damaged
        )
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A problem that needs attention, with what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which kind.
    pub kind: FindingKind,
    /// The job.
    pub job: String,
    /// What was found, in words that go on after the job's name.
    pub what: String,
    /// What would help.
    pub to_do: String,
}

/// `gap: job …; what to do`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            job,
            what,
            to_do,
        } = self;
        write!(f, "{kind}: {job} {what}; {to_do}")
    }
}

impl JobStatus {
    /// Reads where `scheduled` stands: its newest commit and its quarantine.
    pub async fn read(scheduled: &ScheduledJob, now: Timestamp) -> Result<Self, LakeError> {
        let job = &scheduled.job;
        let newest = lake::newest(&job.lake, &job.log).await?;
        let quarantine = quarantine::count(&job.lake, &job.log).await?;
        Ok(Self::of(scheduled, newest, quarantine, now))
    }

    /// Where `scheduled` stands by its newest commit, what its process knows beyond that, and its quarantine.
    pub fn of(
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

    /// All problems that need attention, the worst first.
    pub fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let mut findings = self.failing_findings(now);
        findings.extend(self.gap_findings());
        findings.extend(self.clock_findings(now));
        findings.extend(self.lost_findings());
        findings.extend(self.stale_finding(now));
        findings.extend(self.quarantine_finding());
        findings.extend(self.damaged_finding());
        findings.sort_by_key(|finding| finding.kind);
        findings
    }

    fn finding(&self, kind: FindingKind, what: String, to_do: String) -> Finding {
        Finding {
            kind,
            job: self.job.clone(),
            what,
            to_do,
        }
    }

    /// The failed runs; refused credentials are a finding of their own besides.
    fn failing_findings(&self, now: Timestamp) -> Vec<Finding> {
        let Some(failing) = &self.failing else {
            return Vec::new();
        };
        let next = match self.next_run {
            Some(next) if next <= now => "due now".to_owned(),
            Some(next) => format!("at {}", text::time(whole_seconds(next))),
            None => "never, as the schedule has no further tick".to_owned(),
        };
        failing_findings(&self.job, &self.connection, failing, &next)
    }

    /// The gaps alone: one finding for each range.
    pub fn gap_findings(&self) -> Vec<Finding> {
        let mut by_range: BTreeMap<Range, Vec<&str>> = BTreeMap::new();
        for (stream, gap) in &self.gaps {
            by_range.entry(*gap).or_default().push(stream);
        }
        let finding = |(gap, streams): (Range, Vec<&str>)| {
            self.finding(
                FindingKind::Gap,
                format!(
                    "{gap} of {}{}",
                    streams.join(", "),
                    self.why_not(gap, &streams)
                ),
                "`backfill` or the next run fills it".to_owned(),
            )
        };
        by_range.into_iter().map(finding).collect()
    }

    /// The clocks that were off when the last run compared them, and a log that was written by a clock which was ahead of
    /// this machine's.
    fn clock_findings(&self, now: Timestamp) -> Vec<Finding> {
        let Some(newest) = &self.newest else {
            return Vec::new();
        };
        let skews = newest.clocks.iter().map(|skew| {
            self.finding(
                FindingKind::Clock,
                format!("was pulled by clocks that disagree: {skew}"),
                "set the one that is wrong: until then, what the earliest of them calls the future waits".to_owned(),
            )
        });
        let mut findings: Vec<Finding> = skews.collect();
        let written_at = newest.clocks.is_empty().then_some(newest.at); // else that says it already
        let mentioned = future::latest(&newest.progress, newest.planned_at);
        let ahead = (written_at.max(mentioned)).map_or_else(TimeDelta::zero, |latest| latest - now);
        if ahead > TOLERANCE {
            findings.push(self.finding(
                FindingKind::Clock,
                format!(
                    "has a log that mentions {}, {} in the future by the local clock: that clock is behind, or the one \
                     that wrote the log was ahead",
                    text::time(whole_seconds(now + ahead)),
                    text::length(ahead),
                ),
                format!(
                    "set the one that is wrong; `run --once --job {}` then plans again what hasn't happened yet",
                    self.job
                ),
            ));
        }
        findings
    }

    /// Why a gap of these streams was passed over, as far as the log says.
    fn why_not(&self, gap: Range, streams: &[&str]) -> String {
        let failed = (self.newest.iter())
            .flat_map(Commit::current)
            .filter(|(stream, _)| streams.contains(&stream.as_str()))
            .flat_map(|(_, progress)| &progress.failed)
            .filter(|failed| failed.range.intersection(&gap).is_some());
        let Some(last) = failed.max_by_key(|failed| failed.retry_at) else {
            return String::new();
        };
        format!(
            " (failed {}, and is tried again from {} on: {})",
            text::counted(u64::from(last.attempts), "time"),
            text::time(whole_seconds(last.retry_at)),
            last.error
        )
    }

    /// What the provider no longer gives: one finding for each range.
    fn lost_findings(&self) -> Vec<Finding> {
        let mut by_range: BTreeMap<(Range, Timestamp), Vec<&str>> = BTreeMap::new();
        for (stream, range, oldest) in &self.lost {
            by_range.entry((*range, *oldest)).or_default().push(stream);
        }
        let finding = |((range, oldest), streams): ((Range, Timestamp), Vec<&str>)| {
            let (start, oldest) = (text::time(self.start), text::time(oldest));
            self.finding(
                FindingKind::Lost,
                format!(
                    "{range} of {} was never pulled and is lost: the provider gave nothing older than {oldest}, and \
                     `start` is {start}",
                    streams.join(", ")
                ),
                format!(
                    "a `start` of {oldest} accepts that; `backfill --job {} --refetch` over the range tries again",
                    self.job
                ),
            )
        };
        by_range.into_iter().map(finding).collect()
    }

    fn stale_finding(&self, now: Timestamp) -> Option<Finding> {
        self.fresh_until.filter(|until| *until < now)?;
        let job = &self.job;
        let what = match self.watermark {
            None => format!("was never pulled into `{}`", self.lake),
            Some(watermark) => {
                let named = &self.stale[..self.stale.len().min(NAMED)];
                let others = match self.stale.len().saturating_sub(NAMED) {
                    0 => String::new(),
                    others => format!(" and {}", text::counted(others as u64, "other stream")),
                };
                format!(
                    "stands at {}, {} ago, with {}{others}",
                    text::time(watermark),
                    text::length(now - watermark),
                    named.join(", "),
                )
            }
        };
        let to_do = if self.holder(now).is_some() {
            "a run is at it: look again when it has ended".to_owned()
        } else {
            format!("`run --once --job {job}` catches up, or says what is in the way")
        };
        Some(self.finding(FindingKind::Stale, what, to_do))
    }

    fn quarantine_finding(&self) -> Option<Finding> {
        let (job, open) = (&self.job, self.quarantine.open);
        (open > 0).then(|| {
            self.finding(
                FindingKind::Quarantine,
                format!("has {}", text::counted(open, "open line")),
                format!(
                    "`quarantine list --job {job}` shows why; `quarantine replay --job {job}` tries them again, \
                     `quarantine ack --job {job}` puts them aside"
                ),
            )
        })
    }

    fn damaged_finding(&self) -> Option<Finding> {
        let damaged = &self.quarantine.damaged;
        let first = damaged.first()?;
        Some(self.finding(
            FindingKind::Damaged,
            format!(
                "had {} that the store lost, or stored in part; what is left of the first is `{first}`",
                text::counted(damaged.len() as u64, "committed file")
            ),
            "their ranges are pulled again (`backfill` does so before the job's `start`): look into the store, then delete \
             what is left"
                .to_owned(),
        ))
    }

    /// Who holds the job now.
    pub fn holder(&self, now: Timestamp) -> Option<&Claim> {
        let claim = self.newest.as_ref()?.claim.as_ref();
        claim.filter(|claim| claim.is_live(now))
    }

    /// What the job is doing.
    pub fn state(&self, now: Timestamp) -> JobState {
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

    /// How old the watermark is; negative where it lies in the future.
    pub fn lag(&self, now: Timestamp) -> Option<TimeDelta> {
        self.watermark.map(|watermark| now - watermark)
    }

    /// Whether the watermark is too old.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.fresh_until.is_some_and(|until| until < now)
    }

    fn json(&self, now: Timestamp) -> serde_json::Value {
        let streams: serde_json::Map<_, _> = self
            .newest
            .iter()
            .flat_map(Commit::current)
            .map(|(stream, progress)| {
                let standing = json!({
                    "watermark": progress.watermark, "coverage": progress.coverage, "unsettled": progress.unsettled,
                    "unfinished": progress.open.iter().map(|open| open.range).collect::<Vec<_>>(),
                });
                (stream.clone(), standing)
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

/// The status of a job as far as it is known: where it stood when that could last be read, and why it can't be read now.
#[derive(Debug, Clone)]
pub struct LastKnownStatus {
    /// The job's name.
    pub job: String,
    /// The name of its connection.
    pub connection: String,
    /// Where it stood when that was last read; none if it never was.
    pub standing: Option<Arc<JobStatus>>,
    /// Why it can't be read now.
    pub unreadable: Option<String>,
    /// The failed runs in a row that this process knows of, where nothing was ever read.
    pub failing: Option<FailureStreak>,
}

impl LastKnownStatus {
    /// Of a job that was read just now.
    pub fn read(standing: Arc<JobStatus>) -> Self {
        Self {
            job: standing.job.clone(),
            connection: standing.connection.clone(),
            standing: Some(standing),
            unreadable: None,
            failing: None,
        }
    }

    /// Of a job that can't be read now; `before` is where it stood when it last could.
    pub fn unreadable(
        scheduled: &ScheduledJob,
        problem: String,
        before: Option<&JobStatus>,
        now: Timestamp,
    ) -> Self {
        let job = &scheduled.job;
        // with what this process knows of its runs since then
        let standing = before.map(|before| {
            let (newest, quarantine) = (before.newest.clone(), before.quarantine.clone());
            Arc::new(JobStatus::of(scheduled, newest, quarantine, now))
        });
        Self {
            job: job.name.clone(),
            connection: job.connection.clone(),
            standing,
            unreadable: Some(problem),
            failing: job.memory.failing(&job.log, None),
        }
    }

    /// What the job is doing.
    pub fn state(&self, now: Timestamp) -> JobState {
        match (&self.unreadable, &self.standing) {
            (None, Some(standing)) => standing.state(now),
            _ => JobState::Unreadable,
        }
    }

    /// All problems that need attention, the worst first.
    pub fn findings(&self, now: Timestamp) -> Vec<Finding> {
        findings(
            (&self.job, &self.connection),
            self.standing.as_deref(),
            self.unreadable.as_deref(),
            self.failing.as_ref(),
            now,
        )
    }

    /// As `status --json` has it, with every stream.
    pub fn json(&self, now: Timestamp) -> serde_json::Value {
        let mut json = match (&self.standing, &self.unreadable) {
            (Some(standing), None) => standing.json(now),
            _ => json!({ "job": self.job }),
        };
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
        let standing = self.standing.as_ref()?;
        Some(standing.quarantine.open)
    }

    fn failed_runs(&self) -> u64 {
        let standing = self.standing.as_ref();
        let failing = standing.map_or(self.failing.as_ref(), |standing| standing.failing.as_ref());
        failing.map_or(0, |failing| failing.runs.into())
    }
}

/// All problems of the job on this connection that need attention, the worst first: those of where it stood when it was
/// last read, and why it can't be read now. Where it was never read, `failing` is what is known of its runs.
pub fn findings(
    (job, connection): (&str, &str),
    standing: Option<&JobStatus>,
    problem: Option<&str>,
    failing: Option<&FailureStreak>,
    now: Timestamp,
) -> Vec<Finding> {
    let problem = problem.or(standing.is_none().then_some("it was never read"));
    let known = match (standing, failing) {
        (Some(standing), _) => standing.findings(now),
        (None, Some(failing)) => failing_findings(job, connection, failing, "soon"),
        (None, None) => Vec::new(),
    };
    let problem = problem.map(|problem| unreadable(job, problem));
    problem.into_iter().chain(known).collect()
}

/// A job whose log can't be read.
fn unreadable(job: &str, problem: &str) -> Finding {
    Finding {
        kind: FindingKind::Unreadable,
        job: job.to_owned(),
        what: format!("can't be read: {problem}"),
        to_do: "check that the lake can be reached: `check` reports what is in the way".to_owned(),
    }
}

/// A streak of failed runs; refused credentials are a finding of their own besides.
fn failing_findings(
    job: &str,
    connection: &str,
    failing: &FailureStreak,
    next: &str,
) -> Vec<Finding> {
    let finding = |kind, what, to_do| Finding {
        kind,
        job: job.to_owned(),
        what,
        to_do,
    };
    let runs = match failing.runs {
        1 => "failed in its last run".to_owned(),
        runs => format!("failed in its last {}", text::counted(runs.into(), "run")),
    };
    let since = text::time(whole_seconds(failing.since));
    let streams = match &failing.streams[..] {
        [] => String::new(),
        [only] => format!(", with stream {only}"),
        [first, ..] => {
            let others = failing.failed_streams.saturating_sub(1);
            format!(
                ", with stream {first} and {}",
                text::counted(others, "other stream")
            )
        }
    };
    let kind = match failing.kind {
        Some(kind) => format!("{kind}: "),
        None => String::new(),
    };
    let help = match failing.kind {
        Some(FailureKind::Auth) => "it goes on failing until the credentials are accepted",
        Some(FailureKind::Config) => "correct the configuration; `check` reports whether it fits",
        Some(FailureKind::Data) => "docs/operations.md lists what helps for each error",
        Some(FailureKind::RateLimited) => {
            "lower `rate_limit` if others use the same account; nothing else needs to be done"
        }
        Some(FailureKind::Transient | FailureKind::Conflict) | None => {
            "it may pass by itself; if it lasts, `check` reports what is in the way"
        }
    };
    let failed = finding(
        FindingKind::Failing,
        format!("{runs}, since {since}{streams}: {kind}{}", failing.error),
        format!("the next attempt is {next}; {help}"),
    );
    let refused = (failing.kind == Some(FailureKind::Auth)).then(|| {
        let (whose, what) = if failing.at_lake {
            (
                "the lake's credentials".to_owned(),
                "check them, what they permit, and this machine's clock",
            )
        } else {
            (
                format!("the credentials of connection `{connection}`"),
                "check them and what they are permitted to read",
            )
        };
        finding(
            FindingKind::Refused,
            format!("can't be pulled: {whose} were refused"),
            format!("{what}; `check` tries them, `run --once --job {job}` pulls at once"),
        )
    });
    refused.into_iter().chain([failed]).collect()
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    at - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos()))
}

//! The problems of a job that need attention, each with what to do about it.

use std::collections::BTreeMap;
use std::fmt;

use chrono::TimeDelta;

use super::{JobStatus, LastKnownStatus};
use crate::clocks::TOLERANCE;
use crate::lake::{Commit, FailureStreak};
use crate::model::{FailureKind, Range, Timestamp};
use crate::run::future;
use crate::text;

/// The number of streams that are listed by name.
const NAMED: usize = 3;

/// The kinds of problems that need attention, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FindingKind {
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
    /// A range was never pulled, and the provider no longer serves it.
    Lost,
    /// The watermark is too old.
    Stale,
    /// Unreadable records are in quarantine.
    Quarantine,
    /// The store lost committed files; their ranges were pulled again.
    Damaged,
}

impl FindingKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 9] = [
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

    /// Returns the name in `status`, the API and the metrics.
    pub(crate) fn as_str(self) -> &'static str {
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

    /// Returns whether rows are missing or can't be pulled, as opposed to late or unreadable ones.
    pub(crate) fn is_bad(self) -> bool {
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
pub(crate) struct Finding {
    /// The kind of problem.
    pub kind: FindingKind,
    /// The job.
    pub job: String,
    /// The problem, as a text that continues after the job's name.
    pub what: String,
    /// The advice.
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
    /// All problems that need attention, the worst first.
    pub(crate) fn findings(&self, now: Timestamp) -> Vec<Finding> {
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

    /// Adds the failed runs, and a separate finding for refused credentials.
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

    /// Returns only the gaps, one finding for each range.
    pub(crate) fn gap_findings(&self) -> Vec<Finding> {
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

    /// Adds the clocks that were wrong when the last run compared them, and a log written by a clock ahead of the local
    /// one.
    fn clock_findings(&self, now: Timestamp) -> Vec<Finding> {
        let Some(newest) = &self.newest else {
            return Vec::new();
        };
        let skews = newest.clocks.iter().map(|skew| {
            self.finding(
                FindingKind::Clock,
                format!("was pulled by clocks that disagree: {skew}"),
                "correct the wrong one; until then, ranges in the future of the earliest clock wait".to_owned(),
            )
        });
        let mut findings: Vec<Finding> = skews.collect();
        let written_at = newest.clocks.is_empty().then_some(newest.at); // otherwise reported above
        let mentioned = future::latest(&newest.progress, newest.planned_at);
        let ahead = (written_at.max(mentioned)).map_or_else(TimeDelta::zero, |latest| latest - now);
        if ahead > TOLERANCE {
            findings.push(self.finding(
                FindingKind::Clock,
                format!(
                    "has a log that contains {}, {} in the future by the local clock: that clock is behind, or the \
                     one that wrote the log was ahead",
                    text::time(whole_seconds(now + ahead)),
                    text::length(ahead),
                ),
                format!(
                    "correct the wrong one; `run --once --job {}` then plans those ranges again",
                    self.job
                ),
            ));
        }
        findings
    }

    /// Returns the reason why a gap of these streams was passed over, as far as it is in the log.
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
            " (failed {}, and is retried from {} on: {})",
            text::counted(u64::from(last.attempts), "time"),
            text::time(whole_seconds(last.retry_at)),
            last.error
        )
    }

    /// Adds the ranges that the provider no longer serves, one finding for each.
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
                    "{range} of {} was never pulled and is lost: the provider served nothing older than {oldest}, and \
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
            "a run is in progress: check again when it has ended".to_owned()
        } else {
            format!("`run --once --job {job}` catches up, or reports the problem")
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
                     `quarantine ack --job {job}` acknowledges them"
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
                "had {} that the store lost or damaged; the remains of the first are in `{first}`",
                text::counted(damaged.len() as u64, "committed file")
            ),
            "their ranges are pulled again (`backfill` does so before the job's `start`): check the store, then \
             delete the remains"
                .to_owned(),
        ))
    }
}

impl LastKnownStatus {
    /// Returns all problems that need attention, the worst first: those of the last known status, and the reason why it
    /// can't be read now.
    pub(crate) fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let never_read = self.last.is_none().then_some("it was never read");
        let problem = self.unreadable.as_deref().or(never_read);
        let known = match (&self.last, &self.failing) {
            (Some(last), _) => last.findings(now),
            (None, Some(failing)) => failing_findings(&self.job, &self.connection, failing, "soon"),
            (None, None) => Vec::new(),
        };
        let problem = problem.map(|problem| unreadable(&self.job, problem));
        problem.into_iter().chain(known).collect()
    }
}

/// Returns the finding for a job whose log can't be read.
fn unreadable(job: &str, problem: &str) -> Finding {
    Finding {
        kind: FindingKind::Unreadable,
        job: job.to_owned(),
        what: format!("can't be read: {problem}"),
        to_do: "check that the lake can be reached: `check` reports the problem".to_owned(),
    }
}

/// Adds a streak of failed runs, and a separate finding for refused credentials.
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
        Some(FailureKind::Auth) => "it keeps failing until the credentials are accepted",
        Some(FailureKind::Config) => "correct the configuration; `check` reports whether it fits",
        Some(FailureKind::Data) => "see docs/operations.md for each error",
        Some(FailureKind::RateLimited) => {
            "lower `rate_limit` if others use the same account; nothing else needs to be done"
        }
        Some(FailureKind::Transient | FailureKind::Conflict) | None => {
            "it may pass by itself; if it persists, `check` reports the problem"
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

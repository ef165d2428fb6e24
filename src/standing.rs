//! Where a job stands, from its commit log and its quarantine, and what of it somebody should look at.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::json;

use crate::lake::quarantine::{self, LineCounts};
use crate::lake::{self, Claim, Commit, LakeError, Progress};
use crate::model::{Range, Timestamp};
use crate::plan;
use crate::runtime::ScheduledJob;
use crate::text;

/// How many streams a line names.
const NAMED: usize = 3;

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Nothing yet.
    NeverRan,
    /// A run holds it.
    Running,
    /// It waits for a run that should have begun.
    Due,
    /// It waits for its next tick.
    Idle,
}

impl Doing {
    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeverRan => "never ran",
            Self::Running => "running",
            Self::Due => "due",
            Self::Idle => "idle",
        }
    }
}

/// Where one job stands.
#[derive(Debug)]
pub struct Standing {
    /// The job's name.
    pub job: String,
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
    /// When it is due next; now, if it never ran.
    pub next_run: Option<Timestamp>,
    /// Ranges that lie before the horizon and aren't pulled, each with its stream.
    pub gaps: Vec<(String, Range)>,
    /// The lines in its quarantine.
    pub quarantine: LineCounts,
}

/// Something that somebody should look at, with what to do.
#[derive(Debug)]
pub struct Finding {
    /// `gap`, `stale` or `quarantine`.
    pub kind: &'static str,
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

impl Standing {
    /// Reads where `scheduled` stands: its newest commit and its quarantine.
    pub async fn read(scheduled: &ScheduledJob, now: Timestamp) -> Result<Self, LakeError> {
        let job = &scheduled.job;
        let start = job.policy.start;
        let newest = lake::newest(&job.lake, &job.log).await?;
        let planned_at = newest.as_ref().and_then(|newest| newest.planned_at);
        let gaps = (newest.iter())
            .flat_map(|newest| plan::gaps(newest, &job.policy))
            .map(|(stream, gap)| (stream.clone(), gap));
        let gaps = gaps.collect();
        let is_stale = |progress: &Progress| {
            let end = progress.coverage.contiguous_end(start);
            (scheduled.fresh_until(Some(end))).is_some_and(|until| until < now)
        };
        let stale = (newest.iter().flat_map(Commit::current))
            .filter(|(_, progress)| is_stale(progress))
            .map(|(stream, _)| stream.clone());
        let stale = stale.collect();
        let streams = newest.iter().flat_map(Commit::current);
        let watermark = plan::watermark(streams, &job.policy);
        Ok(Self {
            job: job.name.clone(),
            lake: job.lake.url().to_owned(),
            watermark,
            stale,
            fresh_until: scheduled.fresh_until(watermark),
            next_run: planned_at.map_or(Some(now), |at| scheduled.schedule.next_after(at)),
            quarantine: quarantine::count(&job.lake, &job.log).await?,
            newest,
            gaps,
        })
    }

    /// All that somebody should look at.
    pub fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let stale = self.stale_finding(now);
        let quarantine = self.quarantine_finding();
        (self.gap_findings().into_iter())
            .chain(stale)
            .chain(quarantine)
            .collect()
    }

    fn finding(&self, kind: &'static str, what: String, to_do: String) -> Finding {
        Finding {
            kind,
            job: self.job.clone(),
            what,
            to_do,
        }
    }

    /// The gaps alone: one finding for each range.
    pub fn gap_findings(&self) -> Vec<Finding> {
        let mut by_range: BTreeMap<Range, Vec<&str>> = BTreeMap::new();
        for (stream, gap) in &self.gaps {
            by_range.entry(*gap).or_default().push(stream);
        }
        let finding = |(gap, streams): (Range, Vec<&str>)| {
            self.finding(
                "gap",
                format!("{gap} of {}", streams.join(", ")),
                "`backfill` or the next run fills it".to_owned(),
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
        Some(self.finding("stale", what, to_do))
    }

    fn quarantine_finding(&self) -> Option<Finding> {
        let (job, open) = (&self.job, self.quarantine.open);
        (open > 0).then(|| {
            self.finding(
                "quarantine",
                format!("has {}", text::counted(open, "open line")),
                format!(
                    "`quarantine list --job {job}` shows why; `quarantine replay --job {job}` tries them again, \
                     `quarantine ack --job {job}` puts them aside"
                ),
            )
        })
    }

    /// Who holds the job now.
    pub fn holder(&self, now: Timestamp) -> Option<&Claim> {
        let claim = self.newest.as_ref()?.claim.as_ref();
        claim.filter(|claim| claim.is_live(now))
    }

    /// What the job is doing.
    pub fn state(&self, now: Timestamp) -> Doing {
        match &self.newest {
            None => Doing::NeverRan,
            Some(_) if self.holder(now).is_some() => Doing::Running,
            Some(_) if self.next_run.is_some_and(|next| next <= now) => Doing::Due,
            Some(_) => Doing::Idle,
        }
    }

    /// As `status --json` has it, with every stream.
    pub fn json(&self, now: Timestamp) -> serde_json::Value {
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
        let findings: Vec<_> = (self.findings(now).into_iter())
            .map(|finding| {
                let Finding {
                    kind, what, to_do, ..
                } = finding;
                json!({ "kind": kind, "what": what, "to_do": to_do })
            })
            .collect();
        json!({
            "job": self.job,
            "state": self.state(now).as_str(),
            "watermark": self.watermark,
            "lag_seconds": self.watermark.map(|watermark| (now - watermark).num_seconds()),
            "stale": self.fresh_until.is_some_and(|until| until < now),
            "stale_streams": self.stale,
            "fresh_until": self.fresh_until,
            "last_run": self.newest.as_ref().map(|newest| newest.at),
            "next_run": self.next_run,
            "version": self.newest.as_ref().map(|newest| newest.version),
            "claim": self.holder(now),
            "gaps": self.gaps,
            "quarantined": self.quarantine.open,
            "acknowledged": self.quarantine.acknowledged,
            "findings": findings,
            "streams": streams,
        })
    }
}

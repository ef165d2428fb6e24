//! `status`: where each job stands, from its commit log and its quarantine; `--check` says what somebody should look at.

use std::collections::BTreeMap;
use std::fmt;

use chrono::TimeDelta;
use clap::Args;
use serde_json::json;

use super::report::{self, Failure, Out, count};
use super::table;
use crate::clock::real_now;
use crate::config::Config;
use crate::lake::quarantine::{self, LineCounts};
use crate::lake::{self, Claim, Commit, LakeError};
use crate::model::{Range, Timestamp};
use crate::plan;
use crate::runtime::ScheduledJob;

/// The exit code of `--check` if it found something.
const FOUND: u8 = 3;
/// How many streams a line names.
const NAMED: usize = 3;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Only this job; may be repeated
    #[arg(long = "job", value_name = "NAME")]
    jobs: Vec<String>,

    /// Exit with 3 if a job has a gap, a stale watermark or open lines in quarantine; prints nothing else
    #[arg(long)]
    check: bool,

    /// As JSON, with every stream
    #[arg(long)]
    json: bool,
}

/// Where one job stands.
struct Standing {
    job: String,
    /// The lake's URL.
    lake: String,
    newest: Option<Commit>,
    /// The slowest stream's.
    watermark: Option<Timestamp>,
    /// The streams whose watermark is too old; none if the job was never pulled.
    stale: Vec<String>,
    /// Until when the slowest watermark is young enough.
    fresh_until: Option<Timestamp>,
    next_run: Option<Timestamp>,
    gaps: Vec<(String, Range)>,
    quarantine: LineCounts,
}

pub(super) async fn run(config: &Config, args: &StatusArgs, out: &mut Out) -> Result<u8, Failure> {
    let now = real_now();
    let mut standings = Vec::new();
    let mut code = 0;
    for scheduled in super::jobs(config, &args.jobs)? {
        match standing(&scheduled, now).await {
            Ok(standing) => standings.push(standing),
            // the other jobs can still be told of
            Err(error) => {
                let failure = Failure::lake(error);
                report::complain(&format!(
                    "job `{}`: {}",
                    scheduled.job.name,
                    failure.message()
                ));
                code = code.max(failure.code());
            }
        }
    }
    let findings: usize = standings
        .iter()
        .map(|standing| standing.findings(now).len())
        .sum();
    if args.json {
        let all: Vec<_> = standings
            .iter()
            .map(|standing| standing.json(now))
            .collect();
        out.line(format_args!("{:#}", serde_json::Value::from(all)));
    } else if args.check {
        for finding in standings.iter().flat_map(|standing| standing.findings(now)) {
            out.line(format_args!("{finding}"));
        }
    } else {
        show(&standings, now, out);
    }
    Ok(match code {
        0 if args.check && findings > 0 => FOUND,
        code => code,
    })
}

fn show(standings: &[Standing], now: Timestamp, out: &mut Out) {
    let rows: Vec<[String; 9]> = standings.iter().map(|standing| standing.row(now)).collect();
    let heading = [
        "job",
        "state",
        "watermark",
        "lag",
        "last run",
        "next run",
        "gaps",
        "quarantine",
        "held by",
    ];
    out.text(table::render(
        heading,
        [false, false, false, true, false, false, true, true, false],
        &rows,
    ));
    for standing in standings {
        for gap in standing.gap_findings() {
            out.line(format_args!("{gap}"));
        }
    }
}

async fn standing(scheduled: &ScheduledJob, now: Timestamp) -> Result<Standing, LakeError> {
    let job = &scheduled.job;
    let start = job.policy.start;
    let newest = lake::newest(&job.lake, &job.name).await?;
    let planned_at = newest.as_ref().and_then(|newest| newest.planned_at);
    let mut gaps = Vec::new();
    let mut stale = Vec::new();
    let mut watermark: Option<Timestamp> = None;
    for (stream, progress) in newest.iter().flat_map(Commit::current) {
        let holes = plan::holes(progress, planned_at, &job.policy);
        gaps.extend(holes.iter().map(|hole| (stream.clone(), hole)));
        // it counts from where the job starts now, which the commit may not have known
        let end = progress.coverage.contiguous_end(start);
        watermark = Some(watermark.map_or(end, |least| least.min(end)));
        if (scheduled.fresh_until(Some(end))).is_some_and(|until| until < now) {
            stale.push(stream.clone());
        }
    }
    Ok(Standing {
        job: job.name.clone(),
        lake: job.lake.url().to_owned(),
        watermark,
        stale,
        fresh_until: scheduled.fresh_until(watermark),
        next_run: planned_at.map_or(Some(now), |at| scheduled.schedule.next_after(at)),
        quarantine: quarantine::count(&job.lake, &job.name).await?,
        newest,
        gaps,
    })
}

/// Something that somebody should look at, with what to do.
struct Finding {
    kind: &'static str,
    job: String,
    what: String,
    to_do: String,
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
    fn findings(&self, now: Timestamp) -> Vec<Finding> {
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

    fn gap_findings(&self) -> Vec<Finding> {
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
                    others => format!(" and {}", report::counted(others as u64, "other stream")),
                };
                format!(
                    "stands at {}, {} ago, with {}{others}",
                    report::time(watermark),
                    report::length(now - watermark),
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
                format!("has {}", report::counted(open, "open line")),
                format!(
                    "`quarantine list --job {job}` shows why; `quarantine replay --job {job}` tries them again, \
                     `quarantine ack --job {job}` puts them aside"
                ),
            )
        })
    }

    /// Who holds the job now.
    fn holder(&self, now: Timestamp) -> Option<&Claim> {
        let claim = self.newest.as_ref()?.claim.as_ref();
        claim.filter(|claim| claim.is_live(now))
    }

    fn state(&self, now: Timestamp) -> &'static str {
        match &self.newest {
            None => "never ran",
            Some(_) if self.holder(now).is_some() => "running",
            Some(_) if self.next_run.is_some_and(|next| next <= now) => "due",
            Some(_) => "idle",
        }
    }

    fn row(&self, now: Timestamp) -> [String; 9] {
        let seconds =
            |at: Timestamp| at - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos()));
        let shown = |at: Option<Timestamp>| {
            at.map_or_else(|| "-".to_owned(), |at| report::time(seconds(at)))
        };
        [
            self.job.clone(),
            self.state(now).to_owned(),
            shown(self.watermark),
            self.watermark.map_or_else(
                || "-".to_owned(),
                |watermark| report::length(now - watermark),
            ),
            shown(self.newest.as_ref().map(|newest| newest.at)),
            shown(self.next_run.map(|next| next.max(now))),
            count(self.gaps.len() as u64),
            count(self.quarantine.open),
            self.holder(now).map_or_else(
                || "-".to_owned(),
                |claim| {
                    let until = report::time(seconds(claim.expires_at));
                    format!("{} on {} until {until}", claim.pid, claim.host)
                },
            ),
        ]
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
            "state": self.state(now),
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

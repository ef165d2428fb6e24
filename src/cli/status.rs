//! `status`: where each job stands, from its commit log.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use clap::Args;
use serde_json::json;

use super::report::{self, Failure, Out, count};
use super::table;
use crate::clock::real_now;
use crate::config::Config;
use crate::lake::{self, Commit, Lake, LakeError, Progress};
use crate::model::{Range, Timestamp};
use crate::runtime::ScheduledJob;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Only this job; may be repeated
    #[arg(long = "job", value_name = "NAME")]
    jobs: Vec<String>,

    /// As JSON, with every stream
    #[arg(long)]
    json: bool,
}

/// Where one job stands.
struct Standing {
    job: String,
    newest: Option<Commit>,
    /// The slowest stream's.
    watermark: Option<Timestamp>,
    next_run: Option<Timestamp>,
    gaps: Vec<(String, Range)>,
    quarantined: u64,
}

pub(super) async fn run(config: &Config, args: &StatusArgs, out: &mut Out) -> Result<u8, Failure> {
    let now = real_now();
    let mut standings = Vec::new();
    for scheduled in super::jobs(config, &args.jobs)? {
        standings.push(standing(&scheduled, now).await.map_err(Failure::lake)?);
    }
    if args.json {
        let all: Vec<_> = standings
            .iter()
            .map(|standing| standing.json(now))
            .collect();
        out.line(format_args!("{:#}", serde_json::Value::from(all)));
        return Ok(0);
    }
    let rows: Vec<[String; 8]> = standings.iter().map(|standing| standing.row(now)).collect();
    let heading = [
        "job",
        "state",
        "watermark",
        "lag",
        "last run",
        "next run",
        "gaps",
        "quarantine",
    ];
    out.text(table::render(
        heading,
        [false, false, false, true, false, false, true, true],
        &rows,
    ));
    for standing in &standings {
        for (gap, streams) in standing.gaps_by_range() {
            out.line(format_args!(
                "gap: {} {gap} of {}; `backfill` or the next run fills it",
                standing.job,
                streams.join(", ")
            ));
        }
    }
    Ok(0)
}

async fn standing(scheduled: &ScheduledJob, now: Timestamp) -> Result<Standing, LakeError> {
    let job = &scheduled.job;
    let newest = lake::newest(&job.lake, &job.name).await?;
    let progress = newest.iter().flat_map(Commit::current);
    let gaps = progress
        .flat_map(|(stream, at)| {
            gaps(at, job.policy.start)
                .into_iter()
                .map(move |gap| (stream.clone(), gap))
        })
        .collect();
    let planned = newest.as_ref().and_then(|newest| newest.planned_at);
    Ok(Standing {
        job: job.name.clone(),
        watermark: newest
            .as_ref()
            .and_then(|newest| slowest(newest, job.policy.start)),
        next_run: planned.map_or(Some(now), |at| scheduled.schedule.next_after(at)),
        quarantined: quarantined(&job.lake, &job.name).await?,
        newest,
        gaps,
    })
}

/// The watermark of the slowest stream that the job pulls. It counts from where the job starts now, which the commit may not have known.
fn slowest(newest: &Commit, start: Timestamp) -> Option<Timestamp> {
    let ends = newest
        .current()
        .map(|(_, progress)| progress.coverage.contiguous_end(start));
    ends.min()
}

/// Holes between the job's start and the last that was pulled.
fn gaps(progress: &Progress, start: Timestamp) -> Vec<Range> {
    let end = progress.coverage.iter().next_back().map(|last| last.to());
    let whole = end.and_then(|end| Range::new(start, end));
    whole
        .map(|whole| progress.coverage.missing(whole).iter().collect())
        .unwrap_or_default()
}

/// Lines in the job's quarantine.
async fn quarantined(lake: &Lake, job: &str) -> Result<u64, LakeError> {
    let mut count = 0;
    lake.read_quarantine(job, |_, lines| {
        count += lines
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .count() as u64;
    })
    .await?;
    Ok(count)
}

impl Standing {
    fn gaps_by_range(&self) -> BTreeMap<Range, Vec<&str>> {
        let mut by_range: BTreeMap<Range, Vec<&str>> = BTreeMap::new();
        for (stream, gap) in &self.gaps {
            by_range.entry(*gap).or_default().push(stream);
        }
        by_range
    }

    fn state(&self, now: Timestamp) -> &'static str {
        match &self.newest {
            None => "never ran",
            Some(newest)
                if newest
                    .claim
                    .as_ref()
                    .is_some_and(|claim| claim.is_live(now)) =>
            {
                "running"
            }
            Some(_) if self.next_run.is_some_and(|next| next <= now) => "due",
            Some(_) => "idle",
        }
    }

    fn row(&self, now: Timestamp) -> [String; 8] {
        let shown = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), report::time);
        let seconds =
            |at: Timestamp| at - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos()));
        [
            self.job.clone(),
            self.state(now).to_owned(),
            shown(self.watermark),
            self.watermark.map_or_else(
                || "-".to_owned(),
                |watermark| report::length(now - watermark),
            ),
            shown(self.newest.as_ref().map(|newest| seconds(newest.at))),
            shown(self.next_run.map(|next| seconds(next.max(now)))),
            count(self.gaps.len() as u64),
            count(self.quarantined),
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
        json!({
            "job": self.job,
            "state": self.state(now),
            "watermark": self.watermark,
            "lag_seconds": self.watermark.map(|watermark| (now - watermark).num_seconds()),
            "last_run": self.newest.as_ref().map(|newest| newest.at),
            "next_run": self.next_run,
            "version": self.newest.as_ref().map(|newest| newest.version),
            "claim": self.newest.as_ref().and_then(|newest| newest.claim.clone()),
            "gaps": self.gaps,
            "quarantined": self.quarantined,
            "streams": streams,
        })
    }
}

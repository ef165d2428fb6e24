//! `plan`: shows what `run` or `backfill` would do now. Reads the lake's log, but calls no provider.

use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use serde_json::json;

use super::report::{CommandError, Out};
use super::table::{Cell, ColumnKind};
use crate::clock::Clock;
use crate::config::Config;
use crate::lake::{self, Commit, Work};
use crate::model::{Range, Timestamp};
use crate::providers::{PageRequest, Stream};
use crate::run::plan::{self, Task};
use crate::run::{Job, RunMode, refuse_overlap};
use crate::text;

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Only this job; may be repeated
    #[arg(long = "job", value_name = "NAME")]
    jobs: Vec<String>,

    /// Plan as of this time (RFC 3339 or a UTC date); not in the future
    #[arg(long, value_name = "T", value_parser = super::time)]
    as_of: Option<Timestamp>,

    /// Plan a backfill from this event time
    #[arg(long, requires = "to", value_name = "T", value_parser = super::time)]
    from: Option<Timestamp>,

    /// Plan a backfill up to this event time
    #[arg(long, requires = "from", value_name = "T", value_parser = super::time)]
    to: Option<Timestamp>,

    /// Plan a backfill that re-reads everything
    #[arg(long, requires = "from")]
    refetch: bool,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// The windows of a stream and a kind of work, summed up.
struct PlanLine {
    job: String,
    stream: String,
    work: Work,
    windows: u64,
    from: Timestamp,
    to: Timestamp,
    calls: u64,
    time: Duration,
}

pub(super) async fn run(
    config: &Config,
    args: &PlanArgs,
    out: &mut Out,
) -> Result<u8, CommandError> {
    let clock = super::as_of(args.as_of)?;
    let range = match (args.from, args.to) {
        (Some(from), Some(to)) => Some(super::range(from, to)?),
        _ => None,
    };
    let mode = range.map_or(RunMode::Due, |range| RunMode::Backfill {
        range,
        refetch: args.refetch,
        turn: TimeDelta::zero(),
    });
    let mut lines = Vec::new();
    let mut unknown = Vec::new();
    let mut ahead = Vec::new();
    for scheduled in super::jobs(config, &args.jobs)? {
        let job = &scheduled.job;
        let newest = lake::newest(&job.lake, &job.log)
            .await
            .map_err(CommandError::lake)?;
        let now = match clock {
            Clock::System => job.lake.now(),
            Clock::AsOf(now) => now,
        };
        let listed = job.source.adapter.listed_streams();
        refuse_overlap(job, newest.as_ref(), &listed, &mode)
            .await
            .map_err(|error| CommandError::of_run(job, &error))?;
        let mut streams = streams(job, newest.as_ref());
        let mut progress = newest.map(|newest| newest.progress).unwrap_or_default();
        if range.is_none() && job.policy.horizon(now) <= job.policy.start {
            let first = text::time(job.policy.start + job.policy.lag);
            ahead.push(format!("{} begins after {first}", job.name));
        }
        let is_unknown = streams.is_empty();
        if is_unknown {
            streams.push(Stream::new("(each stream)"));
        }
        if let (Some(range), true) = (range, args.refetch) {
            plan::begin_refetch(&mut progress, &streams, range);
        }
        let per_call = config
            .connections
            .get(&job.connection)
            .map_or(Duration::ZERO, |connection| {
                connection.rate_limit.per / connection.rate_limit.requests.get()
            });
        let before = lines.len();
        for stream in streams {
            let at = progress.get(&stream.id).cloned().unwrap_or_default();
            let tasks = match range {
                Some(range) => plan::backfill(&at, range, args.refetch, now, &job.policy),
                None => plan::due(&at, now, &job.policy),
            };
            lines.extend(sum(job, &stream, tasks, now, per_call));
        }
        if is_unknown && lines.len() > before {
            unknown.push(job.name.clone());
        }
    }
    show(&lines, args.json, unknown.is_empty(), &ahead, out);
    if !unknown.is_empty() && !args.json {
        out.line(format_args!(
            "\nThe streams of {} are unknown before the first run (list them in `services` to know them now). Each \
             line above applies to each of them, and they share the rate budget.",
            unknown.join(", ")
        ));
    }
    Ok(0)
}

/// Returns the streams in the options, or those in the log.
fn streams(job: &Job, newest: Option<&Commit>) -> Vec<Stream> {
    let listed = job.source.adapter.listed_streams();
    if !listed.is_empty() {
        return listed;
    }
    let known = newest.into_iter().flat_map(|newest| &newest.streams);
    known.map(|id| Stream::new(id.clone())).collect()
}

fn sum(
    job: &Job,
    stream: &Stream,
    tasks: impl Iterator<Item = Task>,
    now: Timestamp,
    per_call: Duration,
) -> Vec<PlanLine> {
    let mut lines: Vec<PlanLine> = Vec::new();
    for task in tasks {
        let ask = PageRequest::new(stream.clone(), task.range, now);
        let calls = job.source.adapter.least_calls(&ask);
        let line = match lines.iter_mut().find(|line| line.work == task.work) {
            Some(line) => line,
            None => lines.push_mut(PlanLine {
                job: job.name.clone(),
                stream: stream.id.clone(),
                work: task.work,
                windows: 0,
                from: task.range.from(),
                to: task.range.to(),
                calls: 0,
                time: Duration::ZERO,
            }),
        };
        line.windows += 1;
        line.from = line.from.min(task.range.from());
        line.to = line.to.max(task.range.to());
        line.calls += u64::from(calls);
        line.time += per_call * calls;
    }
    lines
}

fn show(lines: &[PlanLine], as_json: bool, all_known: bool, ahead: &[String], out: &mut Out) {
    if as_json {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| {
                json!({
                    "job": line.job, "stream": line.stream, "work": line.work, "windows": line.windows,
                    "from": text::time(line.from), "to": text::time(line.to),
                    "calls_at_least": line.calls, "seconds_at_least": line.time.as_secs_f64(),
                })
            })
            .collect();
        return out.json(&lines.into());
    }
    if lines.is_empty() {
        let ahead = match ahead {
            [] => String::new(),
            ahead => format!(": {}", ahead.join(", ")),
        };
        return out.line(format_args!("nothing to do{ahead}"));
    }
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            [
                line.job.clone(),
                line.stream.clone(),
                line.work.as_str().to_owned(),
                text::count(line.windows),
                Range::new(line.from, line.to)
                    .map(|range| range.to_string())
                    .unwrap_or_default(),
                text::count(line.calls),
                text::length(TimeDelta::from_std(line.time).unwrap_or_default()),
            ]
            .map(Cell::from)
        })
        .collect();
    let columns = [
        ("job", ColumnKind::Name),
        ("stream", ColumnKind::Name),
        ("work", ColumnKind::Whole),
        ("windows", ColumnKind::Number),
        ("range", ColumnKind::Text),
        ("calls >=", ColumnKind::Number),
        ("time >=", ColumnKind::Number),
    ];
    out.table(columns, &rows);
    let calls: u64 = lines.iter().map(|line| line.calls).sum();
    let time: Duration = lines.iter().map(|line| line.time).sum();
    let time = text::length(TimeDelta::from_std(time).unwrap_or_default());
    if all_known {
        out.line(format_args!(
            "\nat least {}, {time} within the rate budget",
            text::counted(calls, "call")
        ));
    }
}

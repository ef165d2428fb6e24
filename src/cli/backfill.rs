//! `backfill`: what a range lacks, in its own lane, so that fresh data never waits for it.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;

use super::once::run_when_free;
use super::report::{self, Failure, Out, complain, count};
use crate::clock::real_now;
use crate::config::Config;
use crate::lake::{self, Commit, Counts};
use crate::model::{Range, Timestamp};
use crate::pipeline::{Conduct, Job, Lane, Tally};
use crate::plan;
use crate::runtime::ScheduledJob;
use crate::schedule::Schedule;
use crate::shutdown::Shutdown;

/// The longest that a backfill holds its job before it looks around.
const TURN: TimeDelta = TimeDelta::minutes(1);
/// The shortest, so that it gets somewhere.
const SHORTEST_TURN: TimeDelta = TimeDelta::seconds(5);
/// How long it steps aside when a pull is due; a daemon looks at a held job more often than that.
const STEP_ASIDE: Duration = Duration::from_secs(4);

#[derive(Debug, Args)]
pub(super) struct BackfillArgs {
    /// The job
    #[arg(long, value_name = "NAME")]
    job: String,

    /// First event time (RFC 3339 or a UTC date)
    #[arg(long, value_name = "T", value_parser = super::time)]
    from: Timestamp,

    /// First event time after the range
    #[arg(long, value_name = "T", value_parser = super::time)]
    to: Timestamp,

    /// Read again what was pulled before, too
    #[arg(long)]
    refetch: bool,

    /// How many windows are in flight at a time, within the connection's rate budget
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: u8,
}

pub(super) async fn run(
    config: &Config,
    args: &BackfillArgs,
    shutdown: &Shutdown,
    out: &mut Out,
) -> Result<u8, Failure> {
    let asked = super::range(args.from, args.to)?;
    let jobs = super::ready_jobs(config, std::slice::from_ref(&args.job)).await?;
    let Some(ScheduledJob { schedule, job, .. }) = jobs.into_iter().next() else {
        return Ok(0);
    };
    // fixed for all turns: the command ends, however long it takes
    let horizon = job.policy.horizon(real_now());
    let Some(range) = Range::new(asked.from(), asked.to().min(horizon)) else {
        let (from, lag) = (report::time(asked.from()), report::length(job.policy.lag));
        return Err(Failure::usage(format!(
            "`--from {from}` is later than now less the job's lag of {lag}"
        )));
    };
    let total = left_to_cover(&job, range, args.refetch, shutdown).await?;
    let bar = Bar::new(&job.name, total);

    let mut done = Tally::default();
    let report = loop {
        let turn = schedule
            .next_after(real_now())
            .map_or(TURN, |tick| tick - real_now())
            .clamp(SHORTEST_TURN, TURN);
        let lane = Lane::Backfill {
            range,
            refetch: args.refetch,
            turn,
        };
        let conduct = Conduct {
            at_a_time: usize::from(args.concurrency),
            tally: bar.follow(done),
            ..Conduct::new(shutdown.stop.clone())
        };
        let mut report = run_when_free(&job, lane, &conduct)
            .await
            .inspect_err(|_| bar.leave())?;
        done += report.tally;
        report.tally = done;
        if !report.failures.is_empty() || !report.unfinished || shutdown.stop.is_cancelled() {
            break report;
        }
        let newest = lake::newest(&job.lake, &job.name)
            .await
            .map_err(Failure::lake)?;
        if args.refetch
            && !newest
                .as_ref()
                .is_some_and(|newest| is_refetching(newest, range))
        {
            bar.leave();
            return Err(Failure::run(format!(
                "another refetch of job `{}` has begun; repeat the command when that one is through",
                job.name
            )));
        }
        if is_due(newest.as_ref(), &schedule) {
            tokio::select! {
                () = tokio::time::sleep(STEP_ASIDE) => {}
                () = shutdown.stop.cancelled() => {}
            }
        }
    };
    bar.leave();
    out.line(format_args!("{}", report::summary(&job.name, &report)));
    report::failures(&job, &report);
    if report.unfinished {
        complain("not all of the range is pulled; repeat the command to go on");
    }
    Ok(shutdown
        .exit_code()
        .unwrap_or(u8::from(!report.failures.is_empty())))
}

/// How much event time is left to pull, summed over streams.
async fn left_to_cover(
    job: &Job,
    range: Range,
    refetch: bool,
    shutdown: &Shutdown,
) -> Result<TimeDelta, Failure> {
    let streams = job.source.streams(&shutdown.stop).await;
    let streams = streams.map_err(|error| Failure::of_run(job, &error.into()))?;
    let newest = lake::newest(&job.lake, &job.name)
        .await
        .map_err(Failure::lake)?;
    let mut progress = newest.map(|newest| newest.progress).unwrap_or_default();
    if refetch {
        plan::begin_refetch(&mut progress, &streams, range);
    }
    let now = real_now();
    let tasks = streams.iter().flat_map(|stream| {
        let progress = progress.get(&stream.id).cloned().unwrap_or_default();
        plan::backfill(&progress, range, refetch, now, &job.policy)
    });
    Ok(tasks.map(|task| task.range.length()).sum())
}

/// Whether the refetch under way is that of `range`.
fn is_refetching(newest: &Commit, range: Range) -> bool {
    let mut refetches = newest
        .progress
        .values()
        .filter_map(|progress| progress.refetch.as_ref());
    refetches.any(|refetch| refetch.range == range)
}

/// Whether a scheduled pull waits.
fn is_due(newest: Option<&Commit>, schedule: &Schedule) -> bool {
    let planned = newest.and_then(|newest| newest.planned_at);
    planned.is_none_or(|at| {
        schedule
            .next_after(at)
            .is_some_and(|tick| tick <= real_now())
    })
}

/// A bar on a terminal, a line now and then elsewhere.
struct Bar {
    job: String,
    bar: ProgressBar,
    terminal: bool,
    total: TimeDelta,
    said: Arc<Mutex<Option<String>>>,
}

impl Bar {
    fn new(job: &str, total: TimeDelta) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let seconds = total.num_seconds().unsigned_abs();
        let bar = ProgressBar::with_draw_target(
            Some(seconds),
            if terminal {
                ProgressDrawTarget::stderr()
            } else {
                ProgressDrawTarget::hidden()
            },
        );
        if let Ok(style) =
            ProgressStyle::with_template("{prefix} {wide_bar} {percent:>3}%  {msg}  ETA {eta}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(job.to_owned());
        bar.enable_steady_tick(Duration::from_millis(500));
        Self {
            job: job.to_owned(),
            bar,
            terminal,
            total,
            said: Arc::default(),
        }
    }

    /// Follows a run that comes after what is `done`.
    fn follow(&self, done: Tally) -> watch::Sender<Tally> {
        let (sender, mut receiver) = watch::channel(Tally::default());
        let (bar, terminal, job, total) = (
            self.bar.clone(),
            self.terminal,
            self.job.clone(),
            self.total,
        );
        let said = Arc::clone(&self.said);
        tokio::spawn(async move {
            while receiver.changed().await.is_ok() {
                let mut now = done;
                now += *receiver.borrow();
                bar.set_position(now.covered.num_seconds().unsigned_abs());
                let message = message(now.windows, now.counts);
                bar.set_message(message.clone());
                if !terminal {
                    let percent = now.covered.num_seconds() * 100 / total.num_seconds().max(1);
                    let eta = bar.eta().as_secs();
                    let line = format!("{job}: {percent} %, {message}, about {eta} s left");
                    let mut last = said.lock().unwrap_or_else(PoisonError::into_inner);
                    if last.as_ref() != Some(&line) {
                        tracing::info!("{line}");
                        *last = Some(line);
                    }
                }
            }
        });
        sender
    }

    fn leave(&self) {
        self.bar.finish_and_clear();
    }
}

fn message(windows: u64, counts: Counts) -> String {
    format!(
        "{}, {} new, {} duplicate",
        report::counted(windows, "window"),
        count(counts.new),
        count(counts.duplicate)
    )
}

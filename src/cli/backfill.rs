//! `backfill`: pulls the missing parts of a range in turns, so that due pulls never wait for it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;

use super::once::when_free;
use super::progress::{Bar, Remaining, RowCounter};
use super::report::{self, CommandError, Out, complain};
use crate::clock::{judged, real_now};
use crate::clocks::JudgedTime;
use crate::config::Config;
use crate::cron::CronSchedule;
use crate::lake::{self, Commit};
use crate::model::{Range, RangeSet, Timestamp};
use crate::run::plan;
use crate::run::{self, Job, RunCache, RunMode, RunOptions, RunReport, RunTotals};
use crate::setup::ScheduledJob;
use crate::shutdown::Shutdown;
use crate::text;

/// The maximum duration of a turn.
const TURN: TimeDelta = TimeDelta::minutes(1);
/// The size of the cache of ids in bytes: a backfill goes forward, and rarely returns to a partition.
const KEPT_IDS: usize = 8 << 20;
/// The minimum duration of a turn, so that it progresses even if its job is due often.
const SHORTEST_TURN: TimeDelta = TimeDelta::seconds(1);
/// The pause for a due pull; a daemon checks a held job more frequently.
const STEP_ASIDE: Duration = Duration::from_secs(4);
/// The rows of a backfill.
pub(super) const LANDED: RowCounter = ("rows", |counts| counts.new);

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

    /// Re-read what was pulled before, too
    #[arg(long)]
    refetch: bool,

    /// The number of windows in flight, within the connection's rate budget
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: u8,

    /// The summary as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    config: &Config,
    args: &BackfillArgs,
    shutdown: &Shutdown,
    out: &mut Out,
) -> Result<u8, CommandError> {
    let asked = super::range(args.from, args.to)?;
    let jobs = super::ready_jobs(config, std::slice::from_ref(&args.job)).await?;
    let Some(ScheduledJob { schedule, job, .. }) = jobs.into_iter().next() else {
        return Ok(0);
    };
    // fixed for all turns, so that the command ends
    let now = now_after(&job, asked.from(), shutdown).await?;
    let horizon = job.policy.horizon(now);
    let range = Range::new(asked.from(), asked.to().min(horizon)).unwrap_or(asked);
    let what = ByHand {
        range,
        refetch: args.refetch,
        concurrency: args.concurrency,
    };
    let report = in_turns(&job, &schedule, &what, shutdown).await?;
    if args.json {
        out.json(&report::summary_json(&job, &report));
    } else {
        out.line(format_args!("{}", report::summary(&job.name, &report)));
    }
    report::failures(&job, &report);
    if report.unfinished {
        complain("not all of the range was pulled; repeat the command to resume");
    }
    Ok(shutdown
        .exit_code()
        .unwrap_or(u8::from(!report.failures.is_empty())))
}

/// Returns the current time by all available clocks, if `from` is far enough before it. The known clocks are checked
/// first, so that no request is sent for an invalid `from` if they agree.
pub(super) async fn now_after(
    job: &Job,
    from: Timestamp,
    shutdown: &Shutdown,
) -> Result<Timestamp, CommandError> {
    let is_after = |now: Timestamp| {
        if from < job.policy.horizon(now) {
            return Ok(());
        }
        let (from, now) = (text::time(from), text::time(now));
        let lag = text::length(job.policy.lag);
        Err(CommandError::usage(format!(
            "`--from {from}` is later than now ({now}) minus the job's lag of {lag}"
        )))
    };
    let known = judged(Some(&job.lake.clock), None);
    known_now(&known).map_or(Ok(()), is_after)?;
    let now = run::now(job, &shutdown.stop).await;
    is_after(now)?;
    Ok(now)
}

/// Returns the current time by these clocks, if none of them is wrong: otherwise, a further clock may show which one to
/// ignore.
fn known_now(known: &JudgedTime) -> Option<Timestamp> {
    known.skews.is_empty().then_some(known.now)
}

/// The range of a backfill.
pub(super) struct ByHand {
    /// The event time.
    pub(super) range: Range,
    /// Whether to re-read what was pulled before.
    pub(super) refetch: bool,
    /// The number of windows in flight.
    pub(super) concurrency: u8,
}

/// Pulls the range, in turns with the job's due pulls.
pub(super) async fn in_turns(
    job: &Job,
    schedule: &CronSchedule,
    what: &ByHand,
    shutdown: &Shutdown,
) -> Result<RunReport, CommandError> {
    let to_do = left(job, what, newest(job).await?.as_ref(), shutdown).await?;
    let bar = Bar::new(&job.name, &job.source.client, to_do, LANDED);
    let job = &Job {
        memory: RunCache::of(KEPT_IDS),
        ..job.clone()
    };
    let mut done = RunTotals::default();
    let mut stepped_aside = None;
    let mut passed_over: BTreeMap<String, RangeSet> = BTreeMap::new();
    let mut failures = Vec::new();
    loop {
        // a turn ends with the next tick, even after a long wait for the job
        let mode = || RunMode::Backfill {
            range: what.range,
            refetch: what.refetch,
            turn: turn(schedule, real_now()),
        };
        let options = RunOptions {
            at_a_time: usize::from(what.concurrency),
            totals: bar.follow(done),
            passed_over: passed_over.clone(),
            ..RunOptions::new(shutdown.stop.clone())
        };
        let attempt = async || Box::pin(run::run(job, mode(), &options)).await;
        let mut report = when_free(job, &options, attempt).await?;
        done += report.totals;
        report.totals = done;
        // a failed range isn't requested again by this command, but the ranges after it are
        let mut is_over = !report.unfinished || shutdown.stop.is_cancelled();
        for failure in std::mem::take(&mut report.failures) {
            is_over |= !failure.went_on;
            let of_stream = passed_over.entry(failure.stream.clone()).or_default();
            of_stream.insert(failure.range);
            failures.push(failure);
        }
        if is_over {
            report.failures = failures;
            bar.leave(done);
            return Ok(report);
        }
        let newest = self::newest(job).await?;
        bar.plan(done, left(job, what, newest.as_ref(), shutdown).await?);
        if what.refetch
            && !newest
                .as_ref()
                .is_some_and(|newest| is_refetching(newest, what.range))
        {
            return Err(CommandError::run(format!(
                "another refetch of job `{}` has begun; repeat the command when it has finished",
                job.name
            )));
        }
        // once per tick: a daemon that doesn't claim the job then isn't running
        let next_tick = Some(schedule.next_after(real_now()));
        if is_due(newest.as_ref(), schedule) && stepped_aside != next_tick {
            stepped_aside = next_tick;
            tokio::select! {
                () = tokio::time::sleep(STEP_ASIDE) => {}
                () = shutdown.stop.cancelled() => {}
            }
        }
    }
}

/// Returns how long a turn that begins now may begin windows.
fn turn(schedule: &CronSchedule, now: Timestamp) -> TimeDelta {
    schedule
        .next_after(now)
        .map_or(TURN, |tick| tick - now)
        .clamp(SHORTEST_TURN, TURN)
}

async fn newest(job: &Job) -> Result<Option<Commit>, CommandError> {
    let newest = lake::newest(&job.lake, &job.log).await;
    newest.map_err(CommandError::lake)
}

/// Returns the ranges that are left to pull.
async fn left(
    job: &Job,
    &ByHand { range, refetch, .. }: &ByHand,
    newest: Option<&Commit>,
    shutdown: &Shutdown,
) -> Result<Remaining, CommandError> {
    let streams = job.source.streams(&shutdown.stop).await;
    let streams = streams.map_err(|error| CommandError::of_run(job, &error.into()))?;
    let mut progress = newest
        .map(|newest| newest.progress.clone())
        .unwrap_or_default();
    if refetch {
        plan::begin_refetch(&mut progress, &streams, range);
    }
    // it already ends before now
    let now = range.to() + job.policy.lag;
    let tasks = streams.iter().flat_map(|stream| {
        let progress = progress.get(&stream.id).cloned().unwrap_or_default();
        plan::backfill(&progress, range, refetch, now, &job.policy)
    });
    let (mut windows, mut time) = (0, TimeDelta::zero());
    for task in tasks {
        windows += 1;
        time += task.range.length();
    }
    Ok(Remaining {
        windows: Some(windows),
        time,
    })
}

/// Returns whether the unfinished refetch is that of `range`.
fn is_refetching(newest: &Commit, range: Range) -> bool {
    let mut refetches = newest
        .progress
        .values()
        .filter_map(|progress| progress.refetch.as_ref());
    refetches.any(|refetch| refetch.range == range)
}

/// Returns whether a scheduled pull is due.
fn is_due(newest: Option<&Commit>, schedule: &CronSchedule) -> bool {
    let now = real_now();
    let planned = newest.and_then(|newest| newest.counted_from(now));
    planned.is_none_or(|at| schedule.next_after(at).is_some_and(|tick| tick <= now))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::clocks::{ClockReading, ClockReadings, judge};

    /// The API's clock may agree with the store's, so that the local clock is ignored; nothing is refused before that.
    #[test]
    fn nothing_is_refused_by_a_clock_that_may_turn_out_to_be_ignored() {
        let now: Timestamp = "2026-11-20T10:01:00Z".parse().unwrap();
        let (built, seconds) = (now - TimeDelta::days(300), TimeDelta::seconds);
        let known = |local: Timestamp, store: Option<Timestamp>| {
            let store = store.map(ClockReading::exact);
            let api = None;
            known_now(&judge(&ClockReadings { local, store, api }, built))
        };
        assert_eq!(known(now, None), Some(now));
        assert_eq!(known(now, Some(now - seconds(5))), Some(now - seconds(5)));
        let days_behind = now - TimeDelta::days(3);
        assert_eq!(known(days_behind, Some(now)), None);
        assert_eq!(known(now, Some(days_behind)), None);
        assert_eq!(known(built - seconds(1), None), None);
    }

    #[test]
    fn a_turn_ends_with_the_next_tick() {
        let quarterly: CronSchedule = "*/15 * * * *".parse().unwrap();
        for (now, seconds) in [
            ("2026-11-20T10:01:00Z", 60),
            ("2026-11-20T10:14:20Z", 40),
            ("2026-11-20T10:14:57Z", 3),
            ("2026-11-20T10:14:59.900Z", 1),
            ("2026-11-20T10:15:00Z", 60),
        ] {
            let turn = turn(&quarterly, now.parse().unwrap());
            assert_eq!(turn, TimeDelta::seconds(seconds), "{now}");
        }
    }
}

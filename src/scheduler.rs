//! When jobs run (design §7). What is due comes from the commit log; tokio-cron-scheduler only wakes us.
//!
//! Its repeating cron jobs are not used: they drift over daylight-saving changes and can stop. Each job waits for its
//! next due instant, computed from the cron expression in the job's zone; `alarm.rs` arms a one-shot for the first.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_cron_scheduler::JobSchedulerError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alarm::Alarm;
use crate::clock::real_now;
use crate::history;
use crate::lake::{self, Commit, Lake};
use crate::metrics::Ended;
use crate::model::{Kind, Timestamp};
use crate::pipeline::{self, Conduct, Lane, Outcome, Report, RunError};
use crate::plan;
use crate::runtime::ScheduledJob;
use crate::schedule::Schedule;
use crate::telemetry::{chain, said_of_panic};

/// How soon a job that another run holds is looked at again: a backfill that gives way waits longer than this.
const HELD_RETRY: TimeDelta = TimeDelta::seconds(2);
/// How long a job stays away after a failure, and after its credentials were refused: doubled each time, up to the
/// second. A tick that is later than that comes when it comes.
const FAILURE_PAUSE: (TimeDelta, TimeDelta) = (TimeDelta::seconds(10), TimeDelta::minutes(5));
const AUTH_PAUSE: (TimeDelta, TimeDelta) = (TimeDelta::minutes(1), TimeDelta::hours(1));

/// Runs jobs when they are due, each until `stop` is cancelled and its current run has ended.
#[derive(Debug)]
pub struct Scheduler {
    alarm: Alarm,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Scheduler {
    /// Starts keeping the jobs.
    pub async fn start(
        jobs: Vec<ScheduledJob>,
        stop: CancellationToken,
    ) -> Result<Self, JobSchedulerError> {
        let alarm = Alarm::start(stop.clone()).await?;
        let tasks = TaskTracker::new();
        for job in jobs {
            tasks.spawn(keep(job, alarm.clone(), stop.clone()));
        }
        tasks.close();
        Ok(Self { alarm, tasks, stop })
    }

    /// Keeps the table of what runs did in this lake, too. No job waits for that.
    pub fn keep_history(&self, lake: Lake) {
        let (alarm, stop) = (self.alarm.clone(), self.stop.clone());
        self.tasks.spawn(history::keep(lake, alarm, stop));
    }

    /// Asks all jobs to stop and waits until their current pages are committed.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// How a job's last attempts ended; decides when the next one may be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Attempts {
    /// Failed runs in a row.
    failures: u32,
    /// Whether credentials were refused in the last one.
    refused: bool,
    /// What the provider asked for.
    pause: Option<Duration>,
}

impl Attempts {
    /// After a run whose failures were of these kinds.
    fn note(&mut self, kinds: &[Kind], pause: Option<Duration>) {
        self.failures = if kinds.is_empty() {
            0
        } else {
            self.failures.saturating_add(1)
        };
        self.refused = kinds.contains(&Kind::Auth);
        self.pause = pause;
    }

    /// The first tick after `done`, but not before the provider, or failures, allow.
    fn next(&self, schedule: &Schedule, done: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let asked = self
            .pause
            .and_then(|pause| TimeDelta::from_std(pause).ok())
            .unwrap_or_default();
        let (first, longest) = if self.refused {
            AUTH_PAUSE
        } else {
            FAILURE_PAUSE
        };
        let own = match self.failures {
            0 => TimeDelta::zero(),
            failures => (first * 2_i32.pow((failures - 1).min(12))).min(longest),
        };
        let pause = asked.max(own);
        let tick = schedule.next_after(done)?;
        if pause.is_zero() || tick >= now + pause {
            Some(tick)
        } else {
            schedule.next_after(now + pause)
        }
    }
}

/// Keeps one job: it never overlaps itself, as its next run is only armed when the last one has ended.
async fn keep(scheduled: ScheduledJob, alarm: Alarm, stop: CancellationToken) {
    let ScheduledJob { schedule, job, .. } = &scheduled;
    let mut attempts = Attempts::default();
    let mut held = false;
    // a tick that was missed while nothing ran is made up for, once
    let planned = planned_at(&scheduled).await;
    let mut tick = planned.map_or_else(|| Some(real_now()), |at| schedule.next_after(at));
    let mut due = tick;
    while let (Some(at), Some(of_tick)) = (due, tick) {
        tracing::debug!(job = job.name, due = %at, "armed");
        job.metrics.next_run(Some(at));
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = alarm.wait_until(at) => {}
        }
        if held
            && let Some(planned) = planned_at(&scheduled).await
            && planned >= of_tick
        {
            held = false; // whoever held the job has done this tick's work
            tick = schedule.next_after(planned);
            due = tick;
            continue;
        }
        let late_ms = (real_now() - at).num_milliseconds();
        tracing::debug!(job = job.name, due = %at, late_ms, "begins");
        let conduct = Conduct::new(stop.clone());
        // in a box, so that a job that waits doesn't hold the room that its run takes
        let run = AssertUnwindSafe(Box::pin(pipeline::run(job, Lane::Due, &conduct)));
        let begun = Instant::now();
        let result = run.catch_unwind().await;
        let now = real_now();
        let ended = |ended| job.metrics.ended(ended, begun.elapsed(), now);
        // where the next tick is counted from: up to where the run had planned, so that one which passed meanwhile is
        // made up for; a run that failed is tried again at the next tick
        let mut done = now;
        match result {
            Ok(Ok(Outcome::Held(_))) => {
                if !held {
                    ended(Ended::Held);
                }
                held = true;
                due = Some(now + HELD_RETRY);
                continue;
            }
            Ok(Ok(Outcome::Ran(report))) => {
                tell(&job.name, &report);
                let errors = || report.failures.iter().map(|failure| &failure.error);
                let kinds: Vec<Kind> = errors().map(RunError::kind).collect();
                kinds.iter().for_each(|kind| job.metrics.failed(*kind));
                ended(match (kinds.is_empty(), report.unfinished) {
                    (false, _) => Ended::Failed,
                    (true, true) => Ended::Unfinished,
                    (true, false) => Ended::Succeeded,
                });
                if let Some(watermark) = report.watermark {
                    (job.metrics).fresh_until(scheduled.fresh_until(Some(watermark)));
                }
                attempts.note(&kinds, errors().filter_map(RunError::retry_after).max());
                if let (Some(planned), true) = (report.planned_at, kinds.is_empty()) {
                    done = planned;
                }
            }
            Ok(Err(error)) => {
                job.metrics.failed(error.kind());
                ended(Ended::Failed);
                attempts.note(&[error.kind()], error.retry_after());
                tracing::error!(job = job.name, connection = job.connection, kind = %error.kind(), error = chain(&error), "the run failed");
            }
            Err(panic) => {
                job.metrics.failed(Kind::Transient);
                ended(Ended::Failed);
                attempts.note(&[Kind::Transient], None);
                let said = said_of_panic(&*panic);
                tracing::error!(
                    job = job.name,
                    panic = said,
                    "the run panicked; the job goes on at its next tick"
                );
            }
        }
        held = false;
        tick = attempts.next(schedule, done, now);
        due = tick;
    }
    job.metrics.next_run(None);
    tracing::warn!(job = job.name, schedule = %schedule, "the schedule has no further tick");
}

/// Says how a run ended, once.
pub(crate) fn tell(job: &str, report: &Report) {
    let counts = report.tally.counts;
    for failure in &report.failures {
        tracing::error!(
            job,
            stream = failure.stream,
            range = %failure.range,
            kind = %failure.error.kind(),
            error = chain(&failure.error),
            "a stream failed; its range is tried again at the next tick"
        );
    }
    tracing::info!(
        job,
        run = %report.run,
        windows = report.tally.windows,
        fetched = counts.fetched,
        new = counts.new,
        duplicate = counts.duplicate,
        quarantined = counts.quarantined,
        late = counts.late,
        commits = report.tally.commits,
        failed_streams = report.failures.len(),
        unfinished = report.unfinished,
        "run ended"
    );
}

/// Up to where the last scheduled run had planned, as far as the log can be read; what the log says of where the job
/// stands is told on the way.
async fn planned_at(scheduled: &ScheduledJob) -> Option<Timestamp> {
    let job = &scheduled.job;
    match lake::newest(&job.lake, &job.log).await {
        Ok(newest) => {
            let streams = newest.iter().flat_map(Commit::current);
            let watermark = plan::watermark(streams, &job.policy);
            job.metrics.fresh_until(scheduled.fresh_until(watermark));
            let newest = newest?;
            let gaps = plan::gaps(&newest, &job.policy).count();
            job.metrics.stands(watermark, gaps);
            newest.planned_at
        }
        Err(error) => {
            tracing::warn!(
                job = job.name,
                error = chain(&error),
                "the log can't be read; trying the job at once"
            );
            None
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn every_quarter() -> Schedule {
        "*/15 * * * *".parse().unwrap()
    }

    #[test]
    fn the_next_attempt_is_the_next_tick() {
        let (mut attempts, now) = (Attempts::default(), at("2026-11-20T10:07:00Z"));
        let next = Some(at("2026-11-20T10:15:00Z"));
        assert_eq!(attempts.next(&every_quarter(), now, now), next);
        attempts.note(&[Kind::Transient], None);
        assert_eq!(attempts.next(&every_quarter(), now, now), next);
    }

    #[test]
    fn a_tick_that_passed_during_a_run_is_made_up_for_once() {
        let attempts = Attempts::default();
        let (planned, now) = (at("2026-11-20T09:55:00Z"), at("2026-11-20T10:40:00Z"));
        let next = attempts.next(&every_quarter(), planned, now);
        assert_eq!(next, Some(at("2026-11-20T10:00:00Z"))); // that is at once
        assert_eq!(
            attempts.next(&every_quarter(), now, now),
            Some(at("2026-11-20T10:45:00Z"))
        );
    }

    #[test]
    fn a_pause_that_the_provider_asked_for_is_kept() {
        let (mut attempts, now) = (Attempts::default(), at("2026-11-20T10:07:00Z"));
        attempts.note(&[Kind::RateLimited], Some(Duration::from_mins(20)));
        assert_eq!(
            attempts.next(&every_quarter(), now, now),
            Some(at("2026-11-20T10:30:00Z"))
        );
    }

    /// However often a job is due, so many runs of it begin in an hour of failures: with eight attempts at a call, the
    /// calls of that hour are bounded, too.
    #[test]
    fn an_hour_of_failures_is_an_hour_of_few_runs() {
        let every_second: Schedule = "* * * * * *".parse().unwrap();
        for (kind, asked, most) in [
            (Kind::Transient, None, 16),
            (Kind::Data, None, 16),
            (Kind::Config, None, 16),
            (Kind::RateLimited, None, 16),
            (Kind::RateLimited, Some(Duration::from_mins(20)), 3),
            (Kind::Auth, None, 6),
        ] {
            let begun = at("2026-11-20T10:00:00Z");
            let (mut attempts, mut now, mut runs) = (Attempts::default(), begun, 0);
            while now < begun + TimeDelta::hours(1) {
                runs += 1;
                attempts.note(&[kind], asked);
                now = attempts.next(&every_second, now, now).unwrap();
            }
            assert!((2..=most).contains(&runs), "{kind}: {runs} runs");
        }
    }

    #[test]
    fn failures_back_off_refused_credentials_longer_and_a_success_forgets_them() {
        let now = at("2026-11-20T10:07:00Z");
        let every_second: Schedule = "* * * * * *".parse().unwrap();
        let pauses = |kinds: &[Kind]| -> Vec<TimeDelta> {
            let mut attempts = Attempts::default();
            let mut pause = || {
                attempts.note(kinds, None);
                attempts.next(&every_second, now, now).unwrap() - now
            };
            (0..12).map(|_| pause()).collect()
        };
        let data = pauses(&[Kind::Data]);
        assert_eq!(data[..3], [11, 21, 41].map(TimeDelta::seconds));
        assert_eq!(data[11], TimeDelta::seconds(301));
        // whichever stream failed first
        let auth = pauses(&[Kind::Data, Kind::Auth]);
        assert_eq!(auth[..3], [61, 121, 241].map(TimeDelta::seconds));
        assert_eq!(auth[11], TimeDelta::seconds(3_601));
        let mut attempts = Attempts {
            failures: 9,
            refused: true,
            pause: None,
        };
        attempts.note(&[], None);
        assert_eq!(attempts, Attempts::default());
    }
}

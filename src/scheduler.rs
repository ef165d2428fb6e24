//! When jobs run (design §7). What is due comes from the commit log; tokio-cron-scheduler only wakes us.
//!
//! Its repeating cron jobs are not used: they drift over daylight-saving changes and can stop. Each job re-arms a
//! one-shot for its next due instant, computed from the cron expression in the job's zone.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio_cron_scheduler::{JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::real_now;
use crate::lake;
use crate::model::{Kind, Timestamp};
use crate::pipeline::{self, Conduct, Lane, Outcome, Report, RunError};
use crate::runtime::ScheduledJob;
use crate::schedule::Schedule;
use crate::telemetry::chain;

/// The longest sleep: the machine's clock may be set meanwhile.
const NAP: TimeDelta = TimeDelta::minutes(15);
/// How soon a job that another run holds is looked at again: a backfill that gives way waits longer than this.
const HELD_RETRY: TimeDelta = TimeDelta::seconds(2);
/// The longest a job stays away after its credentials were refused.
const LONGEST_AUTH_PAUSE: TimeDelta = TimeDelta::hours(1);

/// Runs jobs when they are due, each until `stop` is cancelled and its current run has ended.
#[derive(Debug)]
pub struct Scheduler {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Scheduler {
    /// Starts keeping the jobs.
    pub async fn start(
        jobs: Vec<ScheduledJob>,
        stop: CancellationToken,
    ) -> Result<Self, JobSchedulerError> {
        let alarm = JobScheduler::new().await?;
        alarm.start().await?;
        let tasks = TaskTracker::new();
        for job in jobs {
            tasks.spawn(keep(job, alarm.clone(), stop.clone()));
        }
        tasks.close();
        let mut alarm = alarm;
        let (ended, stopped) = (tasks.clone(), stop.clone());
        tokio::spawn(async move {
            stopped.cancelled().await;
            ended.wait().await;
            // nobody waits for it any more
            let _ = alarm.shutdown().await;
        });
        Ok(Self { tasks, stop })
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
    /// Refused credentials in a row.
    auth_failures: u32,
    /// What the provider asked for.
    pause: Option<Duration>,
}

impl Attempts {
    fn note(&mut self, kind: Option<Kind>, pause: Option<Duration>) {
        self.auth_failures = if kind == Some(Kind::Auth) {
            self.auth_failures + 1
        } else {
            0
        };
        self.pause = pause;
    }

    /// The next tick after `now` that isn't earlier than the provider, or refused credentials, allow.
    fn next(&self, schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
        let pause = self
            .pause
            .and_then(|pause| TimeDelta::from_std(pause).ok())
            .unwrap_or_default();
        let doubled = TimeDelta::minutes(1) * 2_i32.pow(self.auth_failures.min(10));
        let auth = if self.auth_failures > 1 {
            doubled.min(LONGEST_AUTH_PAUSE)
        } else {
            TimeDelta::zero()
        };
        schedule.next_after(now + pause.max(auth))
    }
}

/// Keeps one job: it never overlaps itself, as its next run is only armed when the last one has ended.
async fn keep(scheduled: ScheduledJob, alarm: JobScheduler, stop: CancellationToken) {
    let ScheduledJob { schedule, job } = scheduled;
    let mut attempts = Attempts::default();
    let mut held = false;
    // a tick that was missed while nothing ran is made up for, once
    let mut tick = planned_at(&job)
        .await
        .map_or_else(|| Some(real_now()), |at| schedule.next_after(at));
    let mut due = tick;
    while let (Some(at), Some(of_tick)) = (due, tick) {
        tracing::debug!(job = job.name, due = %at, "armed");
        if sleep_until(at, &alarm, &stop).await.is_stopped() {
            return;
        }
        if held && let Some(planned) = planned_at(&job).await.filter(|planned| *planned >= of_tick)
        {
            held = false; // whoever held the job has done this tick's work
            tick = schedule.next_after(planned);
            due = tick;
            continue;
        }
        let conduct = Conduct::new(stop.clone());
        let result = AssertUnwindSafe(pipeline::run(&job, Lane::Due, &conduct))
            .catch_unwind()
            .await;
        let now = real_now();
        held = matches!(result, Ok(Ok(Outcome::Held(_))));
        if held {
            due = Some(now + HELD_RETRY);
            continue;
        }
        match result {
            Ok(Ok(Outcome::Held(_))) => {}
            Ok(Ok(Outcome::Ran(report))) => {
                tell(&job.name, &report);
                let worst = report.failures.iter().map(|failure| &failure.error);
                attempts.note(
                    worst.clone().map(RunError::kind).next(),
                    worst.filter_map(RunError::retry_after).max(),
                );
            }
            Ok(Err(error)) => {
                attempts.note(Some(error.kind()), error.retry_after());
                tracing::error!(job = job.name, connection = job.connection, kind = %error.kind(), error = chain(&error), "the run failed");
            }
            Err(panic) => {
                attempts.note(None, None);
                let said = panic.downcast_ref::<String>().map(String::as_str);
                let said = said
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no message");
                tracing::error!(
                    job = job.name,
                    panic = said,
                    "the run panicked; the job goes on at its next tick"
                );
            }
        }
        tick = attempts.next(&schedule, now);
        due = tick;
    }
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

/// Up to where the last scheduled run had planned, as far as the log can be read.
async fn planned_at(job: &pipeline::Job) -> Option<Timestamp> {
    match lake::newest(&job.lake, &job.name).await {
        Ok(newest) => newest?.planned_at,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    Due,
    Stopped,
}

impl Woken {
    fn is_stopped(self) -> bool {
        self == Self::Stopped
    }
}

/// Sleeps until the instant by the machine's clock, which is looked at again after each nap.
async fn sleep_until(instant: Timestamp, alarm: &JobScheduler, stop: &CancellationToken) -> Woken {
    loop {
        let left = instant - real_now();
        if left <= TimeDelta::zero() && !stop.is_cancelled() {
            return Woken::Due;
        }
        tokio::select! {
            () = stop.cancelled() => return Woken::Stopped,
            () = nap(left.min(NAP), alarm) => {}
        }
    }
}

/// The alarm knows whole seconds and looks at its clock twice a second; what is shorter is slept out here.
async fn nap(length: TimeDelta, alarm: &JobScheduler) {
    let length = length.to_std().unwrap_or_default();
    if length < Duration::from_secs(2) {
        return tokio::time::sleep(length).await;
    }
    let woken = Arc::new(Notify::new());
    let waker = Arc::clone(&woken);
    let one_shot = tokio_cron_scheduler::Job::new_one_shot_at_instant_async(
        Instant::now() + length.saturating_sub(Duration::from_secs(1)),
        move |_, _| {
            let waker = Arc::clone(&waker);
            Box::pin(async move { waker.notify_one() })
        },
    );
    let armed = match one_shot {
        Ok(one_shot) => alarm.add(one_shot).await,
        Err(error) => Err(error),
    };
    match armed {
        Ok(id) => {
            woken.notified().await;
            // what has fired would stay in its list
            let _ = alarm.remove(&id).await;
        }
        Err(error) => {
            tracing::warn!(error = %error, "the alarm can't be armed; sleeping without it");
            tokio::time::sleep(length).await;
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
        let mut attempts = Attempts::default();
        attempts.note(Some(Kind::Transient), None);
        assert_eq!(
            attempts.next(&every_quarter(), at("2026-11-20T10:07:00Z")),
            Some(at("2026-11-20T10:15:00Z"))
        );
    }

    #[test]
    fn a_pause_that_the_provider_asked_for_is_kept() {
        let mut attempts = Attempts::default();
        attempts.note(Some(Kind::RateLimited), Some(Duration::from_mins(20)));
        assert_eq!(
            attempts.next(&every_quarter(), at("2026-11-20T10:07:00Z")),
            Some(at("2026-11-20T10:30:00Z"))
        );
    }

    #[test]
    fn refused_credentials_back_off_to_an_hour_and_a_success_forgets_them() {
        let mut attempts = Attempts::default();
        let now = at("2026-11-20T10:07:00Z");
        let mut pauses = vec![];
        for _ in 0..12 {
            attempts.note(Some(Kind::Auth), None);
            pauses.push(attempts.next(&"* * * * *".parse().unwrap(), now).unwrap() - now);
        }
        assert_eq!(pauses[0], TimeDelta::minutes(1));
        assert!(pauses.is_sorted());
        assert_eq!(pauses[11], TimeDelta::minutes(61));
        attempts.note(None, None);
        assert_eq!(attempts, Attempts::default());
    }
}

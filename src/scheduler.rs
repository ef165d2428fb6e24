//! The scheduler of jobs. The due work comes from the commit log; tokio-cron-scheduler only wakes the jobs.
//!
//! Its repeating cron jobs aren't used, as they drift over daylight-saving changes and can stop. Each job waits for its
//! next due instant, computed from the cron expression in the job's zone; `timer.rs` schedules a one-shot for the
//! earliest.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_cron_scheduler::JobSchedulerError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::clock::real_now;
use crate::history;
use crate::lake::quarantine;
use crate::lake::{self, Commit, FailureStreak, Lake, LakeError};
use crate::metrics::RunEnd;
use crate::model::FailureKind;
use crate::run::plan;
use crate::run::{self, RunError, RunMode, RunOptions, RunOutcome, RunReport};
use crate::setup::ScheduledJob;
use crate::status::{JobStatus, LastKnownStatus};
use crate::telemetry::{error_chain, panic_message};
use crate::timer::WakeTimer;

/// The pause before a job held by another run is checked again; a backfill that yields waits longer than this.
const HELD_RETRY: TimeDelta = TimeDelta::seconds(2);
/// The pause of a job after a panic between its runs.
const PANIC_PAUSE: Duration = Duration::from_secs(10);

/// Runs due jobs until `stop` is cancelled and their current runs have ended.
#[derive(Debug)]
pub struct Scheduler {
    alarm: WakeTimer,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Scheduler {
    /// Starts the jobs.
    pub async fn start(
        jobs: Vec<ScheduledJob>,
        stop: CancellationToken,
    ) -> Result<Self, JobSchedulerError> {
        let alarm = WakeTimer::start(stop.clone()).await?;
        let tasks = TaskTracker::new();
        for job in jobs {
            let (alarm, stop) = (alarm.clone(), stop.clone());
            tasks.spawn(async move {
                let keep = || Box::pin(keep(job.clone(), alarm.clone(), stop.clone()));
                after_each_panic(&job.job.name, &stop, keep).await;
            });
        }
        tasks.close();
        Ok(Self { alarm, tasks, stop })
    }

    /// Also maintains the table `audit_runs` in this lake. No job waits for that.
    pub fn keep_history(&self, lake: Lake) {
        let (alarm, stop) = (self.alarm.clone(), self.stop.clone());
        self.tasks.spawn(history::keep(lake, alarm, stop));
    }

    /// Stops all jobs and waits until their current pages are committed.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// Restarts a job's loop after a panic, with a pause. A panic in a run is that run's failure; this handles one between
/// runs, which must not end the job's schedule.
async fn after_each_panic<F: Future<Output = ()>>(
    job: &str,
    stop: &CancellationToken,
    keep: impl Fn() -> F,
) {
    while let Err(panic) = AssertUnwindSafe(keep()).catch_unwind().await {
        let panic = panic_message(&*panic);
        tracing::error!(job, panic, "the job's schedule panicked; it is restarted");
        tokio::select! {
            () = tokio::time::sleep(PANIC_PAUSE) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Runs a job on its schedule. It never overlaps itself, as its next run is only scheduled after the end of the last
/// one.
#[expect(clippy::too_many_lines, reason = "a job's life, top to bottom")]
async fn keep(scheduled: ScheduledJob, alarm: WakeTimer, stop: CancellationToken) {
    let ScheduledJob { schedule, job, .. } = &scheduled;
    let mut held = false;
    // a tick that was missed while nothing ran is caught up once
    let mut known = None;
    let mut tick = if let Some(newest) = newest(&scheduled).await {
        let failing = newest.failing.clone().map(FailureStreak::at_start);
        job.memory.note_failing(&job.log, failing.clone());
        let now = real_now();
        let next = scheduled.next_run(newest.counted_from(now), failing.as_ref(), now);
        job.metrics
            .succeeded_at(newest.planned_at.filter(|_| failing.is_none()));
        report_status(&scheduled, Some(newest), true, &mut known).await;
        next
    } else {
        report_status(&scheduled, None, true, &mut known).await;
        Some(real_now())
    };
    let mut due = tick;
    while let (Some(at), Some(of_tick)) = (due, tick) {
        tracing::debug!(job = job.name, due = %at, "armed");
        job.metrics.next_run(Some(at));
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = alarm.wait_until(at) => {}
        }
        if held && let Some(newest) = newest(&scheduled).await {
            let now = real_now();
            let counted_from = newest.counted_from(now);
            let planned = counted_from.is_some_and(|at| at >= of_tick);
            let failed = (newest.failing.as_ref()).is_some_and(|failing| failing.at >= of_tick);
            if planned || failed {
                held = false; // the other run has done this tick's work, or tried to
                tick = scheduled.next_run(counted_from, newest.failing.as_ref(), now);
                due = tick;
                report_status(&scheduled, Some(newest), true, &mut known).await;
                continue;
            }
        }
        let late_ms = (real_now() - at).num_milliseconds();
        tracing::debug!(job = job.name, due = %at, late_ms, "begins");
        let options = RunOptions::new(stop.clone());
        // boxed, so that a waiting job doesn't reserve the memory of a run
        let run = AssertUnwindSafe(Box::pin(run::run(job, RunMode::Due, &options)));
        let begun = Instant::now();
        let result = run.catch_unwind().await;
        let now = real_now();
        let ended = |ended| job.metrics.ended(ended, begun.elapsed(), now);
        // the next tick is computed from the run's plan, so that a tick that passed meanwhile is caught up
        let mut done = now;
        let mut quarantined = true; // as far as is known
        match result {
            Ok(Ok(RunOutcome::Held(_))) => {
                if !held {
                    ended(RunEnd::Held);
                }
                held = true;
                due = Some(now + HELD_RETRY);
                continue;
            }
            Ok(Ok(RunOutcome::Ran(report))) => {
                tell(&job.name, &report);
                let errors = || report.failures.iter().map(|failure| &failure.error);
                let kinds: Vec<FailureKind> = errors().map(RunError::kind).collect();
                kinds.iter().for_each(|kind| job.metrics.failed(*kind));
                ended(match (kinds.is_empty(), report.unfinished) {
                    (false, _) => RunEnd::Failed,
                    (true, true) => RunEnd::Unfinished,
                    (true, false) => RunEnd::Succeeded,
                });
                quarantined = report.totals.counts.quarantined > 0;
                if let Some(watermark) = report.watermark {
                    (job.metrics).fresh_until(scheduled.fresh_until(Some(watermark)));
                }
                // a range that failed while others could be pulled has a back-off of its own
                let went_on = report.failures.iter().all(|failure| failure.went_on);
                let planned = report.planned_by.or(report.planned_at);
                if let (Some(planned), true) = (planned, went_on) {
                    done = planned;
                }
            }
            Ok(Err(error)) => {
                job.metrics.failed(error.kind());
                ended(RunEnd::Failed);
                tracing::error!(job = job.name, connection = job.connection, kind = %error.kind(), error = error_chain(&error), "the run failed");
            }
            Err(panic) => {
                job.metrics.failed(FailureKind::Transient);
                ended(RunEnd::Failed);
                let message = panic_message(&*panic);
                run::note_failed(job, Uuid::nil(), &RunError::Panicked(message));
                tracing::error!(
                    job = job.name,
                    panic = message,
                    "the run panicked; the job continues at its next tick"
                );
            }
        }
        held = false;
        let newest = job.memory.newest(&job.log);
        report_status(&scheduled, newest, quarantined, &mut known).await;
        let failing = job.memory.failing(&job.log, None);
        tick = scheduled.next_run(Some(done), failing.as_ref(), now);
        due = tick;
    }
    job.metrics.next_run(None);
    tracing::warn!(job = job.name, schedule = %schedule, "the schedule has no further tick");
}

/// Logs the end of a run once.
pub(crate) fn tell(job: &str, report: &RunReport) {
    let counts = report.totals.counts;
    for failure in &report.failures {
        tracing::error!(
            job,
            stream = failure.stream,
            range = %failure.range,
            kind = %failure.error.kind(),
            error = error_chain(&failure.error),
            stream_went_on = failure.went_on,
            "a range failed; it is retried"
        );
    }
    tracing::info!(
        job,
        run = %report.run,
        windows = report.totals.windows,
        fetched = counts.fetched,
        new = counts.new,
        duplicate = counts.duplicate,
        quarantined = counts.quarantined,
        late = counts.late,
        commits = report.totals.commits,
        failed_ranges = report.failures.len(),
        unfinished = report.unfinished,
        "run ended"
    );
}

/// Reads the newest commit of the job's log, if possible, and updates the metrics of the job.
async fn newest(scheduled: &ScheduledJob) -> Option<Commit> {
    let job = &scheduled.job;
    match lake::newest(&job.lake, &job.log).await {
        Ok(newest) => {
            let streams = newest.iter().flat_map(Commit::current);
            let watermark = plan::watermark(streams, &job.policy);
            job.metrics.fresh_until(scheduled.fresh_until(watermark));
            let newest = newest?;
            let gaps = plan::gaps(&newest, &job.policy).count();
            job.metrics.stands(watermark, gaps);
            Some(newest)
        }
        Err(error) => {
            tracing::warn!(
                job = job.name,
                error = error_chain(&error),
                "the log can't be read; trying the job at once"
            );
            None
        }
    }
}

/// Updates the metrics of the job, by its newest commit if known. An empty quarantine is only counted again if records
/// were `quarantined` since then, so that a run without news makes no further request.
async fn report_status(
    scheduled: &ScheduledJob,
    newest: Option<Commit>,
    quarantined: bool,
    known: &mut Option<Arc<JobStatus>>,
) {
    let (job, now) = (&scheduled.job, real_now());
    let read = async {
        let newest = match newest {
            Some(newest) => Some(newest),
            None => lake::newest(&job.lake, &job.log).await?,
        };
        let empty = known.as_ref().map(|known| &known.quarantine);
        let counts = match empty.filter(|counts| counts.open == 0 && !quarantined) {
            Some(counts) => counts.clone(),
            None => quarantine::count(&job.lake, &job.log).await?,
        };
        Ok::<_, LakeError>(Arc::new(JobStatus::of(scheduled, newest, counts, now)))
    };
    let status = match read.await {
        Ok(status) => {
            *known = Some(Arc::clone(&status));
            LastKnownStatus::read(status)
        }
        Err(error) => {
            LastKnownStatus::unreadable(scheduled, error_chain(&error), known.as_deref(), now)
        }
    };
    job.metrics.shows(Arc::new(status));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_job_is_kept_again_after_a_panic() {
        let times = AtomicU32::new(0);
        let keep = async || {
            let time = times.fetch_add(1, Ordering::Relaxed);
            assert!(time >= 2, "a defect");
        };
        let begun = Instant::now();
        after_each_panic("audits", &CancellationToken::new(), keep).await;
        assert_eq!(times.into_inner(), 3);
        assert_eq!(begun.elapsed(), 2 * PANIC_PAUSE);
        // and it doesn't delay the daemon's shutdown
        let stop = CancellationToken::new();
        stop.cancel();
        after_each_panic("audits", &stop, async || panic!("a defect")).await;
        assert_eq!(begun.elapsed(), 2 * PANIC_PAUSE);
    }
}

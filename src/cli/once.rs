//! `run --once`: pulls everything that is available now, then exits.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::report::{self, CommandError, Out};
use crate::clock::{Clock, real_now};
use crate::config::Config;
use crate::history;
use crate::lake::Lake;
use crate::run::{self, Job, RunError, RunMode, RunOptions, RunOutcome, RunReport};
use crate::shutdown::Shutdown;
use crate::telemetry::{error_chain, panic_message};

/// The number of concurrent jobs.
const AT_A_TIME: usize = 8;
/// How long to wait for a job held by another run.
const CLAIM_WAIT: Duration = Duration::from_mins(5);
/// The timeout for writing the table `audit_runs`, as callers wait for the events.
const HISTORY_WAIT: Duration = Duration::from_mins(2);

pub(super) async fn run(
    config: &Config,
    wanted: &[String],
    clock: Clock,
    as_json: bool,
    shutdown: &Shutdown,
    results: &mut Out,
) -> Result<u8, CommandError> {
    let out = &mut results.unless(as_json);
    let mut summaries = Vec::new();
    let jobs = super::ready_jobs(config, wanted).await?;
    let lake = jobs.first().map(|first| first.job.lake.clone());
    let mut ended = stream::iter(jobs)
        .map(|scheduled| async move {
            let options = RunOptions {
                clock,
                at_once: true,
                ..RunOptions::new(shutdown.stop.clone())
            };
            let result = run_when_free(&scheduled.job, RunMode::Due, &options).await;
            (scheduled.job, result)
        })
        .buffer_unordered(AT_A_TIME);
    let mut code = 0;
    while let Some((job, result)) = ended.next().await {
        match result {
            Ok(report) => {
                out.line(format_args!("{}", report::summary(&job.name, &report)));
                summaries.push(report::summary_json(&job, &report));
                report::failures(&job, &report);
                if !report.failures.is_empty() {
                    code = code.max(1);
                }
            }
            Err(failure) => {
                out.line(format_args!("{}: FAILED", job.name));
                report::complain(failure.message());
                let (job, error) = (&job.name, failure.message());
                summaries.push(json!({ "job": job, "outcome": "failed", "error": error }));
                code = code.max(failure.code());
            }
        }
    }
    if as_json {
        results.json(&summaries.into());
    }
    if let Some(lake) = lake {
        write_history(&lake, &shutdown.stop).await;
    }
    Ok(shutdown.exit_code().unwrap_or(code))
}

/// Writes past days of `audit_runs`. Pulls don't depend on it, so what takes too long is left to the next run.
async fn write_history(lake: &Lake, stop: &CancellationToken) {
    let building = tokio::time::timeout(HISTORY_WAIT, history::build(lake, lake.now()));
    tokio::select! {
        built = building => match built {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = error_chain(&error), "the table audit_runs can't be brought up to date yet");
            }
            Err(_) => {
                let waited_s = HISTORY_WAIT.as_secs();
                tracing::warn!(waited_s, "the table audit_runs isn't up to date yet; the next run continues");
            }
        },
        () = stop.cancelled() => {}
    }
}

/// Runs the job as soon as no other run holds it.
pub(super) async fn run_when_free(
    job: &Job,
    mode: RunMode,
    options: &RunOptions,
) -> Result<RunReport, CommandError> {
    when_free(job, options, async || run::run(job, mode, options).await).await
}

/// Tries until no other run holds the job.
pub(super) async fn when_free<R>(
    job: &Job,
    options: &RunOptions,
    attempt: impl AsyncFn() -> Result<RunOutcome<R>, RunError>,
) -> Result<R, CommandError> {
    let deadline = Instant::now() + CLAIM_WAIT;
    let mut told = false;
    loop {
        let ended = AssertUnwindSafe(attempt()).catch_unwind().await;
        // a panic in one job is that job's failure
        let ended = ended.unwrap_or_else(|panic| Err(RunError::Panicked(panic_message(&*panic))));
        let claim = match ended {
            Ok(RunOutcome::Ran(report)) => return Ok(report),
            Ok(RunOutcome::Held(claim)) => claim,
            Err(error) => return Err(CommandError::of_run(job, &error)),
        };
        let by = format!("process {} on `{}`", claim.pid, claim.host);
        if Instant::now() >= deadline {
            let waited = CLAIM_WAIT.as_secs();
            return Err(CommandError::run(format!(
                "job `{}` is held by {by}; gave up after {waited} s",
                job.name
            )));
        }
        if !told {
            tracing::info!(job = job.name, by, until = %claim.expires_at, "another run holds the job; waiting for it");
            told = true;
        }
        // a run releases its claim at its end, so the claim is checked before it expires
        let left = (claim.expires_at - real_now())
            .clamp(TimeDelta::milliseconds(100), TimeDelta::seconds(2));
        tokio::select! {
            () = tokio::time::sleep(left.to_std().unwrap_or_default()) => {}
            () = options.stop.cancelled() => {
                return Err(CommandError::run(format!("interrupted while job `{}` was held by {by}", job.name)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::throttle::{ThrottleConfig, ThrottledStore};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_command_ends_though_its_history_takes_long() {
        let slow = ThrottleConfig {
            wait_list_per_call: Duration::from_hours(1),
            ..ThrottleConfig::default()
        };
        let store = Arc::new(ThrottledStore::new(InMemory::new(), slow));
        let lake = Lake::in_store("memory:///", store, Path::default());
        let begun = Instant::now();
        write_history(&lake, &CancellationToken::new()).await;
        assert_eq!(begun.elapsed(), HISTORY_WAIT);
    }
}

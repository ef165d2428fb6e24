//! A claim on a job, held around a run or a replay.

use std::fmt;

use tracing::Instrument;
use uuid::Uuid;

use super::error::RunError;
use super::job::{Job, RunOptions};
use super::report::RunOutcome;
use super::summary::{self, SummaryBuilder};
use super::time::Time;
use crate::clock::real_now;
use crate::lake::{ClaimOutcome, FailureStreak, JobLog, LogRun, RunSummary};
use crate::telemetry::{error_chain, note_trace};

/// Records in the process a scheduled run that couldn't record its end in the log, because the lake failed or the run
/// panicked.
pub fn note_failed(job: &Job, run: Uuid, error: &RunError) {
    let ended = RunSummary {
        started_at: real_now(),
        unfinished: false,
        calls: 0,
        retries: 0,
        failures: vec![summary::failed(error)],
    };
    let before = job.memory.failing(&job.log, None);
    let failing = FailureStreak::after(before.as_ref(), run, &ended, real_now());
    job.memory.note_failing(&job.log, failing);
}

/// Does `work` under a new claim, which is renewed meanwhile and released afterwards.
pub(super) async fn claimed<R>(
    job: &Job,
    options: &RunOptions,
    mode: &(dyn fmt::Display + Sync),
    is_scheduled: bool,
    work: impl AsyncFnOnce(&JobLog, &mut SummaryBuilder) -> Result<R, RunError>,
) -> Result<RunOutcome<R>, RunError> {
    let streams = job.source.adapter.listed_streams();
    let run = LogRun {
        origin: Some(job.origin()),
        streams: streams.into_iter().map(|stream| stream.id).collect(),
        outlived: job.memory.outlived(&job.log, options.claim_life),
        ..LogRun::new(&job.log, options.claim_life)
    };
    let trace_id = tracing::field::Empty;
    let span = tracing::info_span!("run", job = job.name, run = %run.id, mode = %mode, trace_id);
    note_trace(&span);
    async {
        // 1. Claim. A claim only saves work; safety comes from the create-if-absent of every commit and the order of
        // these steps.
        let id = run.id;
        let claimed = match job.memory.left(&job.log) {
            Some(left) => JobLog::claim_again(&job.lake, run, left).await,
            None => JobLog::claim(&job.lake, run).await,
        };
        let log = match claimed {
            Ok(ClaimOutcome::Held(claim)) => {
                job.memory.sees(&job.log, &claim);
                return Ok(RunOutcome::Held(claim));
            }
            Ok(ClaimOutcome::Mine(log)) => log,
            Err(error) => {
                let error = error.into();
                if is_scheduled {
                    note_failed(job, id, &error);
                }
                return Err(error);
            }
        };
        let _running = job.metrics.running();
        let run = log.run().id;
        let claim = log.newest().await;
        let before = (job.memory).latest(
            &job.log,
            Some(log.previous_writer()),
            claim.failing.as_ref(),
        );
        let mut summary = SummaryBuilder::new(run, claim.at, is_scheduled, before);
        job.memory
            .begin(&job.log, run, log.previous_commit_id().await);
        let result = tokio::select! {
            lost = log.keep_alive() => Err(lost.into()),
            // boxed, so that the futures that await a run stay small
            result = Box::pin(work(&log, &mut summary)) => result,
        };
        let time = Time::of(job, options.clock);
        time.warn(&job.name);
        let may_release = result
            .as_ref()
            .err()
            .is_none_or(RunError::leaves_the_log_known);
        if let Err(error) = &result {
            summary.fail(error);
        }
        let end = summary.end(&[]);
        if is_scheduled {
            job.memory.note_failing(&job.log, end.failing.clone());
        }
        if may_release {
            time.note(&log).await;
            match log.release(Some(end)).await {
                Ok(left) if result.is_ok() => {
                    (job.memory).end(&job.log, run, log.newest().await.id, left);
                }
                Ok(_) => {} // the ids cached by a failed run may be wrong
                Err(error) => tracing::warn!(
                    error = error_chain(&error),
                    "the claim could not be released; it will expire"
                ),
            }
        }
        result.map(RunOutcome::Ran)
    }
    .instrument(span)
    .await
}

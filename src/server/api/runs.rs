//! `/api/v1/runs`: the history of runs.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{ApiProblem, CountsBody, RangeBody, unknown_job};
use crate::history::{self, RecordedRun};
use crate::lake;
use crate::model;
use crate::server::Site;

/// The default and the maximum number of runs in an answer.
const USUAL: u32 = 50;
const MOST: u32 = 500;

/// The requested runs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RunsQuery {
    /// Only runs of this job.
    job: Option<String>,
    /// The maximum number of runs.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// Only runs older than this one: `next` of an earlier answer.
    before: Option<Uuid>,
}

/// A page of runs, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Runs)]
pub(super) struct RunsBody {
    /// The runs.
    runs: Vec<RunBody>,
    /// The value of `before` for older runs; null if there are none.
    next: Option<Uuid>,
    /// The parts of the history that can't be read, so that runs may be missing.
    problems: Vec<String>,
}

/// A run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Run)]
struct RunBody {
    /// The run's id, a UUID of version 7: later ids are larger.
    id: Uuid,
    /// The job.
    job: String,
    /// When the run claimed the job.
    started_at: DateTime<Utc>,
    /// When the run released the job; for a current or lost run, the time of its last commit.
    ended_at: DateTime<Utc>,
    /// The worst outcome of its ranges.
    outcome: OutcomeBody,
    /// The counts of records.
    counts: CountsBody,
    /// The requests sent, including retries.
    calls: u64,
    /// The number of these that were retries after a transient failure.
    retries: u64,
    /// The run's ranges.
    ranges: Vec<RunRangeBody>,
}

/// A range of a stream in a run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RangeOfRun)]
struct RunRangeBody {
    /// The stream; null for a run that found nothing to do, or failed before it knew its streams.
    stream: Option<String>,
    /// The range, if there is a stream.
    range: Option<RangeBody>,
    /// The kind of work.
    work: Option<WorkBody>,
    /// The outcome.
    outcome: OutcomeBody,
    /// The counts of records.
    counts: CountsBody,
    /// The requests sent for it, including retries.
    calls: u64,
    /// The number of these that were retries after a transient failure.
    retries: u64,
    /// The kind of failure.
    error_kind: Option<FailureKindBody>,
    /// The failure with its causes.
    error: Option<String>,
    /// Remarks for the operator.
    remarks: Vec<String>,
}

/// The outcome of a range or a run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Outcome)]
enum OutcomeBody {
    /// Pulled to its last page.
    Finished,
    /// Partly pulled; a later run continues.
    Unfinished,
    /// Failed with an error; retried later.
    Failed,
    /// The run ended without a final commit: it was killed, or lost its lake. A later run continues.
    Lost,
}

/// The kind of work on a range.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Work)]
enum WorkBody {
    /// A first pull.
    Pull,
    /// A settle pass for late records.
    Settle,
    /// A manual backfill.
    Backfill,
    /// A replay of quarantined records.
    Replay,
}

/// The kind of a failure.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Kind)]
pub(super) enum FailureKindBody {
    /// It may pass by itself.
    Transient,
    /// The provider requested a pause.
    RateLimited,
    /// Credentials or permissions were refused.
    Auth,
    /// The configuration is wrong for this provider or lake.
    Config,
    /// An answer of the provider can't be handled.
    Data,
    /// Another run took the job over.
    Conflict,
}

/// Returns the history of runs, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/runs",
    params(RunsQuery),
    responses(
        (status = 200, description = "The runs", body = RunsBody),
        (status = 400, description = "A parameter is wrong", body = ApiProblem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such job", body = ApiProblem, content_type = "application/problem+json"),
        (status = 503, description = "The lake can't be read", body = ApiProblem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn runs(
    State(site): State<Site>,
    wanted: Result<Query<RunsQuery>, QueryRejection>,
) -> Result<Json<RunsBody>, ApiProblem> {
    let wrong = |detail: String| ApiProblem::new(StatusCode::BAD_REQUEST, detail);
    let Query(RunsQuery { job, limit, before }) =
        wanted.map_err(|rejected| wrong(rejected.body_text()))?;
    let limit = limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(wrong(format!("`limit` is 1 to {MOST}, not {limit}")));
    }
    let board = site.board();
    let log = match &job {
        None => None,
        Some(name) => {
            let named = (board.jobs.iter()).find(|scheduled| scheduled.job.name == *name);
            Some(named.ok_or_else(|| unknown_job(name))?.job.log.as_str())
        }
    };
    let known = board.history().await;
    let limit = limit as usize;
    // an additional one shows whether there are older ones
    let runs = known.history.runs(log, before, limit + 1);
    if runs.is_empty() {
        let problem = match known.problems.first() {
            Some(problem) => Err(problem.clone()),
            None => board.lake_answers().await, // without a lake, there are no runs either
        };
        problem.map_err(|problem| ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, problem))?;
    }
    let mut page = RunsBody::page(&runs, limit);
    for run in &mut page.runs {
        // the history has logs; a log without a job keeps its name
        let its = (board.jobs.iter()).find(|scheduled| scheduled.job.log == run.job);
        if let Some(its) = its {
            run.job.clone_from(&its.job.name);
        }
    }
    page.problems.clone_from(&known.problems);
    Ok(Json(page))
}

impl RunsBody {
    /// Returns a page of the runs, which are in order.
    fn page(runs: &[RecordedRun<'_>], limit: usize) -> Self {
        let next = (runs.get(limit).and(runs.get(limit.saturating_sub(1)))).map(|last| last.id);
        Self {
            runs: runs.iter().take(limit).map(RunBody::from).collect(),
            next,
            problems: Vec::new(),
        }
    }
}

impl From<&RecordedRun<'_>> for RunBody {
    fn from(run: &RecordedRun<'_>) -> Self {
        Self {
            id: run.id,
            job: run.log.to_owned(),
            started_at: run.started_at,
            ended_at: run.ended_at,
            outcome: run.outcome.into(),
            counts: run.counts.into(),
            calls: run.calls,
            retries: run.retries,
            ranges: run.rows.iter().copied().map(RunRangeBody::from).collect(),
        }
    }
}

impl From<&history::RunRow> for RunRangeBody {
    fn from(row: &history::RunRow) -> Self {
        Self {
            stream: row.stream.clone(),
            range: row.range.map(RangeBody::from),
            work: row.work.map(WorkBody::from),
            outcome: row.outcome.into(),
            counts: row.counts.into(),
            calls: row.calls,
            retries: row.retries,
            error_kind: row.error_kind.map(FailureKindBody::from),
            error: row.error.clone(),
            remarks: row.remarks.clone(),
        }
    }
}

impl From<history::RangeOutcome> for OutcomeBody {
    fn from(outcome: history::RangeOutcome) -> Self {
        match outcome {
            history::RangeOutcome::Finished => Self::Finished,
            history::RangeOutcome::Unfinished => Self::Unfinished,
            history::RangeOutcome::Failed => Self::Failed,
            history::RangeOutcome::Lost => Self::Lost,
        }
    }
}

impl From<lake::Work> for WorkBody {
    fn from(work: lake::Work) -> Self {
        match work {
            lake::Work::Pull => Self::Pull,
            lake::Work::Settle => Self::Settle,
            lake::Work::Backfill => Self::Backfill,
            lake::Work::Replay => Self::Replay,
        }
    }
}

impl From<model::FailureKind> for FailureKindBody {
    fn from(kind: model::FailureKind) -> Self {
        match kind {
            model::FailureKind::Transient => Self::Transient,
            model::FailureKind::RateLimited => Self::RateLimited,
            model::FailureKind::Auth => Self::Auth,
            model::FailureKind::Config => Self::Config,
            model::FailureKind::Data => Self::Data,
            model::FailureKind::Conflict => Self::Conflict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::testing::row;
    use crate::history::{History, RunRow};

    #[test]
    fn pages_lead_to_the_oldest_run_and_end_there() {
        let mut shown = Vec::new();
        let mut before = None;
        let mut pages = 0;
        // each run has two rows
        let rows = (2..12).map(|number| RunRow {
            run: Uuid::from_u128(number / 2),
            ..row(1, 0, 1, 5)
        });
        let history = History {
            rows: rows.collect(),
        };
        loop {
            let page = RunsBody::page(&history.runs(None, before, 3), 2);
            assert!(page.runs.iter().all(|run| run.ranges.len() == 2));
            shown.extend(page.runs.iter().map(|run| run.id.as_u128()));
            pages += 1;
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!((shown, pages), (vec![5, 4, 3, 2, 1], 3));
        assert!(history.runs(Some("other"), None, 3).is_empty());
        let whole = RunsBody::page(&history.runs(None, Some(Uuid::from_u128(3)), 3), 2);
        assert_eq!(
            (whole.runs.len(), whole.next),
            (2, None),
            "nothing is behind the last one"
        );
    }
}

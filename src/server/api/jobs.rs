//! `/api/v1/jobs`: the status of jobs.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::runs::FailureKindBody;
use super::{ApiProblem, RangeBody, unknown_job};
use crate::clock::real_now;
use crate::lake::{Commit, FailureStreak, Progress};
use crate::model::{RangeSet, Timestamp};
use crate::server::Site;
use crate::server::board::StatusReading;
use crate::status::{Finding, JobState, JobStatus};

/// All jobs in the configuration's order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Jobs)]
pub(super) struct JobsBody {
    /// When this answer was generated.
    as_of: DateTime<Utc>,
    /// The jobs.
    jobs: Vec<JobBody>,
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
struct JobBody {
    /// The job's name.
    name: String,
    /// The kind of provider.
    provider: &'static str,
    /// The name of the connection in the configuration.
    connection: String,
    /// The state of the job.
    state: StateBody,
    /// The problems that need attention, the worst first.
    findings: Vec<FindingBody>,
    /// The status; null if the job's log can't be read.
    standing: Option<StatusBody>,
    /// The reason why the log can't be read.
    error: Option<String>,
}

/// A job with each of its streams.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobWithStreams)]
pub(super) struct JobWithStreamsBody {
    /// When this answer was generated.
    as_of: DateTime<Utc>,
    /// The job.
    job: JobBody,
    /// The streams by name; empty if the job was never pulled.
    streams: BTreeMap<String, StreamBody>,
}

/// The state of a job.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Activity)]
enum StateBody {
    /// Its log can't be read.
    Unreadable,
    /// Its last scheduled run failed; another one may be in progress.
    Failing,
    /// It was never pulled.
    NeverRan,
    /// Its last run ended without a final commit: it was killed, or lost its lake.
    Interrupted,
    /// A run is in progress.
    Running,
    /// A due run hasn't begun.
    Due,
    /// It waits for its next scheduled run.
    Idle,
}

/// The status of a job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobState)]
struct StatusBody {
    /// The state of the job.
    state: StateBody,
    /// The event time up to which every stream was pulled without a gap.
    watermark: Option<DateTime<Utc>>,
    /// The distance of the watermark from now.
    lag_seconds: Option<i64>,
    /// The instant after which the watermark is too old.
    fresh_until: Option<DateTime<Utc>>,
    /// Whether the watermark is too old.
    stale: bool,
    /// The streams whose watermark is too old.
    stale_streams: Vec<String>,
    /// The time of the last commit.
    last_commit: Option<DateTime<Utc>>,
    /// When the next run is due.
    next_run: Option<DateTime<Utc>>,
    /// The streak of failed scheduled runs, up to the last one; null if that one succeeded.
    failing: Option<FailingBody>,
    /// The process that runs the job.
    holder: Option<HolderBody>,
    /// The ranges before the newest rows that were never pulled.
    gaps: Vec<GapBody>,
    /// The number of open quarantine records.
    quarantined: u64,
    /// The number of acknowledged or replayed quarantine records.
    acknowledged: u64,
    /// The problems that need attention.
    findings: Vec<FindingBody>,
}

/// A streak of failed runs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Failing)]
struct FailingBody {
    /// When the first of them failed.
    since: DateTime<Utc>,
    /// When the last of them failed.
    at: DateTime<Utc>,
    /// The number of failed runs.
    runs: u32,
    /// The id of the last of them.
    run: Uuid,
    /// The kind of failure; null if unknown.
    kind: Option<FailureKindBody>,
    /// Whether the lake failed instead of the provider.
    at_lake: bool,
    /// The failure with its causes.
    error: String,
    /// The first twenty streams that failed in the last run; empty if the run failed as a whole.
    streams: Vec<String>,
    /// The number of streams that failed in the last run.
    failed_streams: u64,
}

/// The process that runs a job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Holder)]
struct HolderBody {
    /// The host name.
    host: String,
    /// The process id.
    pid: u32,
    /// When its claim expires, unless it is renewed.
    expires_at: DateTime<Utc>,
}

/// A range of a stream that was never pulled.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Gap)]
struct GapBody {
    /// The stream.
    stream: String,
    /// The range.
    range: RangeBody,
}

/// A problem that needs attention.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Advice)]
struct FindingBody {
    /// `unreadable`, `refused`, `failing`, `gap`, `stale` or `quarantine`.
    kind: &'static str,
    /// The problem, as a text that continues after the job's name.
    what: String,
    /// The advice.
    to_do: String,
}

/// The progress of a stream.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stream)]
struct StreamBody {
    /// The event time up to which it was pulled without a gap.
    watermark: Option<DateTime<Utc>>,
    /// The ranges that were pulled to their last page.
    coverage: Vec<RangeBody>,
    /// The unfinished ranges.
    unfinished: Vec<RangeBody>,
    /// The ranges to be re-read, by the delay of their settle pass in seconds.
    unsettled: BTreeMap<String, Vec<RangeBody>>,
}

/// Returns the status of all jobs.
#[utoipa::path(get, path = "/api/v1/jobs", responses((status = 200, description = "All jobs", body = JobsBody)))]
pub(super) async fn jobs(State(site): State<Site>) -> Json<JobsBody> {
    let statuses = site.board().statuses().await;
    let as_of = real_now();
    let jobs = (statuses.iter()).map(|reading| JobBody::of(reading, as_of));
    let jobs = jobs.collect();
    Json(JobsBody { as_of, jobs })
}

/// Returns the status of a job with its streams.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{name}",
    params(("name" = String, Path, description = "The job's name")),
    responses(
        (status = 200, description = "The job", body = JobWithStreamsBody),
        (status = 400, description = "The name can't be read", body = ApiProblem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such job", body = ApiProblem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn job(
    State(site): State<Site>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<JobWithStreamsBody>, ApiProblem> {
    let Path(name) =
        name.map_err(|rejected| ApiProblem::new(StatusCode::BAD_REQUEST, rejected.body_text()))?;
    let statuses = site.board().statuses().await;
    let is_it = |reading: &&StatusReading| reading.status.job == name;
    let Some(reading) = statuses.iter().find(is_it) else {
        return Err(unknown_job(&name));
    };
    let as_of = real_now();
    let newest = (reading.status.current()).and_then(|status| status.newest.as_ref());
    let streams = (newest.iter().flat_map(|newest| Commit::current(newest)))
        .map(|(stream, progress)| (stream.clone(), StreamBody::of(progress)));
    Ok(Json(JobWithStreamsBody {
        as_of,
        job: JobBody::of(reading, as_of),
        streams: streams.collect(),
    }))
}

impl JobBody {
    fn of(reading: &StatusReading, now: Timestamp) -> Self {
        let status = &reading.status;
        Self {
            name: status.job.clone(),
            provider: reading.scheduled.job.provider,
            connection: status.connection.clone(),
            state: StateBody::of(status.state(now)),
            findings: findings(status.findings(now)),
            standing: (status.current()).map(|status| StatusBody::of(status, now)),
            error: status.unreadable.clone(),
        }
    }
}

impl StateBody {
    fn of(state: JobState) -> Self {
        match state {
            JobState::Unreadable => Self::Unreadable,
            JobState::Failing => Self::Failing,
            JobState::Running => Self::Running,
            JobState::NeverRan => Self::NeverRan,
            JobState::Interrupted => Self::Interrupted,
            JobState::Due => Self::Due,
            JobState::Idle => Self::Idle,
        }
    }
}

impl StatusBody {
    fn of(status: &JobStatus, now: Timestamp) -> Self {
        let gap = |(stream, range): &(String, crate::model::Range)| GapBody {
            stream: stream.clone(),
            range: (*range).into(),
        };
        Self {
            state: StateBody::of(status.state(now)),
            watermark: status.watermark,
            lag_seconds: status.lag(now).map(|lag| lag.num_seconds()),
            fresh_until: status.fresh_until,
            stale: status.is_stale(now),
            stale_streams: status.stale.clone(),
            last_commit: status.newest.as_ref().map(|newest| newest.at),
            next_run: status.next_run,
            failing: status.failing.as_ref().map(FailingBody::of),
            holder: status.holder(now).map(|claim| HolderBody {
                host: claim.host.clone(),
                pid: claim.pid,
                expires_at: claim.expires_at,
            }),
            gaps: status.gaps.iter().map(gap).collect(),
            quarantined: status.quarantine.open,
            acknowledged: status.quarantine.acknowledged,
            findings: findings(status.findings(now)),
        }
    }
}

impl FailingBody {
    fn of(failing: &FailureStreak) -> Self {
        Self {
            since: failing.since,
            at: failing.at,
            runs: failing.runs,
            run: failing.run,
            kind: failing.kind.map(FailureKindBody::from),
            at_lake: failing.at_lake,
            error: failing.error.clone(),
            streams: failing.streams.clone(),
            failed_streams: failing.failed_streams,
        }
    }
}

fn findings(findings: Vec<Finding>) -> Vec<FindingBody> {
    let body = |finding: Finding| FindingBody {
        kind: finding.kind.as_str(),
        what: finding.what,
        to_do: finding.to_do,
    };
    findings.into_iter().map(body).collect()
}

impl StreamBody {
    fn of(progress: &Progress) -> Self {
        let ranges = |set: &RangeSet| set.iter().map(RangeBody::from).collect();
        let unsettled = progress.unsettled.iter();
        Self {
            watermark: progress.watermark,
            coverage: ranges(&progress.coverage),
            unfinished: progress.open.iter().map(|open| open.range.into()).collect(),
            unsettled: unsettled
                .map(|(delay, set)| (delay.to_string(), ranges(set)))
                .collect(),
        }
    }
}

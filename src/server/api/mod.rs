//! `/api/v1`: the content of the pages as JSON.
//!
//! The API has its own types, whose names stay the same when internal types change.

mod jobs;
mod runs;
#[cfg(test)]
mod tests;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, get};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::Site;
use super::problem::ApiProblem;
use crate::lake;
use crate::model;

/// The description of the API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "auditlake",
        description = "The status of jobs, and the history of their runs. Read-only. Data may be a few seconds old, \
                       or older with many jobs or a slow lake."
    ),
    paths(jobs::jobs, jobs::job, runs::runs, openapi)
)]
struct Description;

pub(super) fn routes() -> Router<Site> {
    let router = (table().into_iter()).fold(Router::new(), |router, (path, method)| {
        router.route(path, method)
    });
    router.route("/api/{*rest}", get(nothing))
}

/// Returns the routes, all of which are described.
fn table() -> [(&'static str, MethodRouter<Site>); 4] {
    [
        ("/api/v1/jobs", get(jobs::jobs)),
        ("/api/v1/jobs/{name}", get(jobs::job)),
        ("/api/v1/runs", get(runs::runs)),
        ("/api/v1/openapi.json", get(openapi)),
    ]
}

/// Returns this description.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value, content_type = "application/json"))
)]
async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}

async fn nothing() -> ApiProblem {
    ApiProblem::new(
        StatusCode::NOT_FOUND,
        "there is nothing here; see `/api/v1/openapi.json`",
    )
}

/// A half-open range of event time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Range)]
struct RangeBody {
    /// The first instant of the range.
    from: DateTime<Utc>,
    /// The first instant after the range.
    to: DateTime<Utc>,
}

impl From<model::Range> for RangeBody {
    fn from(range: model::Range) -> Self {
        Self {
            from: range.from(),
            to: range.to(),
        }
    }
}

/// The counts of records.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Counts)]
struct CountsBody {
    /// All received records: new, duplicate, quarantined and waiting ones.
    fetched: u64,
    /// The records that weren't in the lake.
    new: u64,
    /// The records that were already in the lake.
    duplicate: u64,
    /// The records that can't be parsed.
    quarantined: u64,
    /// The records that belong to a neighbouring range and will land with it.
    waiting: u64,
    /// The new records outside the requested bounds.
    outside: u64,
    /// The new records that an earlier pull of their range didn't return.
    late: u64,
}

impl From<lake::RecordCounts> for CountsBody {
    fn from(counts: lake::RecordCounts) -> Self {
        let lake::RecordCounts {
            fetched,
            new,
            duplicate,
            quarantined,
            waiting,
            outside,
            late,
            ..
        } = counts;
        Self {
            fetched,
            new,
            duplicate,
            quarantined,
            waiting,
            outside,
            late,
        }
    }
}

/// Returns the problem of an unknown job.
fn unknown_job(name: &str) -> ApiProblem {
    ApiProblem::new(
        StatusCode::NOT_FOUND,
        format!("there is no job `{name}`; `/api/v1/jobs` lists them"),
    )
}

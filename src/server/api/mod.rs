//! `/api/v1`: what the pages show, as JSON.
//!
//! The types here are the API's own: what they are called stays, whatever becomes of those underneath.

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

/// The description of all that is here.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "auditlake",
        description = "Where jobs stand, and what their runs did. Only reads. What is shown may be some seconds old; the \
                       more jobs there are, and the slower the lake answers, the older."
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

/// Every path and what answers there; all of them are described.
fn table() -> [(&'static str, MethodRouter<Site>); 4] {
    [
        ("/api/v1/jobs", get(jobs::jobs)),
        ("/api/v1/jobs/{name}", get(jobs::job)),
        ("/api/v1/runs", get(runs::runs)),
        ("/api/v1/openapi.json", get(openapi)),
    ]
}

/// This description.
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
        "there is nothing here; `/api/v1/openapi.json` says what there is",
    )
}

/// A half-open range of event time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Range)]
struct RangeBody {
    /// Its first instant.
    from: DateTime<Utc>,
    /// The first instant after it.
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

/// What became of records.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Counts)]
struct CountsBody {
    /// All that the provider showed: new, duplicate, quarantined and waiting ones.
    fetched: u64,
    /// Those that the lake didn't have.
    new: u64,
    /// Those that it had.
    duplicate: u64,
    /// Those that can't be read.
    quarantined: u64,
    /// Those that belong to a neighbouring range, which will bring them.
    waiting: u64,
    /// Of the new ones: outside the bounds that were asked.
    outside: u64,
    /// Of the new ones: an earlier pull of their range didn't see them.
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

//! The pages: all jobs, a job, a run. They are server-rendered and work without JavaScript; a small script keeps them
//! up to date.

mod arrivals;
mod calendar;
mod frame;
mod job;
mod ledger;
mod links;
mod overview;
mod plot;
mod run;
#[cfg(test)]
mod tests;
mod view;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use maud::html;
use serde::Deserialize;
use uuid::Uuid;

use self::ledger::Ledger;
use self::view::{Look, View};
use super::Site;
use super::board::StatusReading;
use crate::clock::real_now;
use crate::history;
use crate::lake::Commit;
use crate::model::Timestamp;
use crate::setup::ScheduledJob;
use crate::status::JobStatus;

/// The maximum number of weeks in a calendar.
const MOST_WEEKS: u32 = 53;

pub(super) fn routes() -> Router<Site> {
    let asset = |kind: &'static str, text: &'static str| {
        let headers: [(HeaderName, HeaderValue); 2] = [
            (CONTENT_TYPE, HeaderValue::from_static(kind)),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")), // a newer daemon may have a different one
        ];
        get(async move || (headers, text))
    };
    Router::new()
        .route("/", get(overview))
        .route("/jobs/{name}", get(job))
        .route("/runs/{run}", get(run))
        .route(
            "/assets/page.css",
            asset("text/css; charset=utf-8", include_str!("assets/page.css")),
        )
        .route(
            "/assets/refresh.js",
            asset(
                "text/javascript; charset=utf-8",
                include_str!("assets/refresh.js"),
            ),
        )
        .route(
            "/assets/icon.svg",
            asset("image/svg+xml", include_str!("assets/icon.svg")),
        )
}

/// The parameters of a page's query. Invalid ones are ignored, so that a partly wrong link still works.
#[derive(Debug, Default, Deserialize)]
struct PageQuery {
    page: Option<String>,
    weeks: Option<String>,
    only: Option<String>,
}

impl PageQuery {
    fn page(&self) -> Option<usize> {
        self.page.as_ref()?.parse().ok()
    }

    fn weeks(&self) -> Option<u32> {
        let weeks: u32 = self.weeks.as_ref()?.parse().ok()?;
        Some(weeks.clamp(1, MOST_WEEKS))
    }
}

/// The data of a page while it is rendered.
struct PageData {
    statuses: Arc<Vec<StatusReading>>,
    history: Arc<history::HistorySnapshot>,
    lake: String,
}

impl PageData {
    async fn of(site: &Site) -> Self {
        let board = site.board();
        let (statuses, history) = tokio::join!(board.statuses(), board.history());
        Self {
            statuses,
            history,
            lake: board.lake().url().to_owned(),
        }
    }

    fn view(&self) -> View<'_> {
        let now = real_now();
        let looks = self.statuses.iter().map(|reading| {
            let (job, last) = (&reading.scheduled.job, reading.status.last.as_ref());
            Look {
                log: &job.log,
                provider: job.provider,
                schedule: reading.scheduled.schedule.to_string(),
                policy: &job.policy,
                status: Arc::clone(&reading.status),
                is_tail_late: last.is_some_and(|last| is_tail_late(&reading.scheduled, last, now)),
                read_at: reading.read_at,
                budget: job.source.client.budget(),
            }
        });
        View {
            now,
            lake: &self.lake,
            jobs: looks.collect(),
            ledger: Ledger::of(&self.history.history, now),
            history_problems: &self.history.problems,
        }
    }
}

/// Returns whether the newest range of a stream is older than a watermark may be.
fn is_tail_late(scheduled: &ScheduledJob, status: &JobStatus, now: Timestamp) -> bool {
    let is_late = |end| scheduled.fresh_until(end).is_some_and(|until| until < now);
    let newest = status.newest.as_ref();
    let mut ends = (newest.into_iter().flat_map(Commit::current))
        .map(|(_, progress)| progress.coverage.iter().next_back().map(|last| last.to()))
        .peekable();
    (ends.peek().is_none() && is_late(None)) || ends.any(is_late)
}

async fn overview(State(site): State<Site>, Query(asked): Query<PageQuery>) -> Html<String> {
    let choice = overview::OverviewQuery {
        page: asked.page(),
        weeks: asked.weeks(),
        attention: asked.only.as_deref() == Some("attention"),
    };
    let known = PageData::of(&site).await;
    Html(overview::page(&known.view(), choice).into_string())
}

async fn job(
    State(site): State<Site>,
    Path(name): Path<String>,
    Query(asked): Query<PageQuery>,
) -> Response {
    let known = PageData::of(&site).await;
    let view = known.view();
    let choice = job::JobQuery {
        page: asked.page(),
        weeks: asked.weeks(),
    };
    match view.jobs.iter().find(|look| look.name() == name) {
        Some(look) => Html(job::page(&view, look, choice).into_string()).into_response(),
        None => missing(
            &view,
            "No such job",
            "The configuration has no job with this name.",
        ),
    }
}

async fn run(State(site): State<Site>, Path(run): Path<String>) -> Response {
    let known = PageData::of(&site).await;
    let view = known.view();
    let found = run.parse::<Uuid>().ok().and_then(|id| view.ledger.run(id));
    match found {
        Some((log, run)) => {
            let look = view.jobs.iter().find(|look| look.log == log);
            let job = look.map_or(log, |look| look.name());
            Html(run::page(&view, job, run).into_string()).into_response()
        }
        None => missing(
            &view,
            "No such run",
            "The run history doesn't have it: it never existed, or is older than the history.",
        ),
    }
}

fn missing(view: &View<'_>, title: &str, why: &str) -> Response {
    let content = html! {
        h1 { (title) }
        p { (why) " " a href="/" { "All jobs" } }
    };
    let page = frame::page(title, view, &html! {}, &content);
    (StatusCode::NOT_FOUND, Html(page.into_string())).into_response()
}

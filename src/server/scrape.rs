//! `/metrics` for Prometheus. Makes no request to the lake.

use std::collections::BTreeSet;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Readiness, Site};
use crate::clock::real_now;
use crate::telemetry;

pub(super) fn routes() -> Router<Site> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(site): State<Site>) -> Response {
    let (board, mut counted) = (site.board(), BTreeSet::new());
    // the last result of `/readyz`, which probes request
    let is_ready = *site.readiness.borrow() == Readiness::Ready && board.lake_answered();
    site.metrics.ready(is_ready);
    (site.metrics).log_lines_dropped(telemetry::log_lines_dropped());
    for scheduled in &*board.jobs {
        if counted.insert(&*scheduled.job.connection) {
            scheduled.job.source.client.record_budget();
        }
    }
    let text = site.metrics.text(real_now());
    let form = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (form, text).into_response()
}

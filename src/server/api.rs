//! `/api/v1`: what the pages show, as JSON.

use axum::Router;

use super::Site;

pub(super) fn routes() -> Router<Site> {
    Router::new()
}

//! The pages for people.

use axum::Router;

use super::Site;

pub(super) fn routes() -> Router<Site> {
    Router::new()
}

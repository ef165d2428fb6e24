//! `/healthz` (200 while the process is alive) and `/readyz` (200 while it can work, otherwise 503 with the reason).

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use super::{Readiness, Site};

/// The paths that are answered with any `Host`: probes send an address, a service name or nothing, and the answers
/// contain no data of the lake.
pub(super) const ANY_HOST: [&str; 2] = ["/healthz", "/readyz"];

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
}

/// Answers 200 if the configuration is loaded, the scheduler runs, and the lake answered within the last half minute.
async fn readyz(State(site): State<Site>) -> (StatusCode, String) {
    let known = site.readiness.borrow().clone();
    let reason = match known {
        Readiness::NotYet(reason) => reason,
        Readiness::Ready => match site.board().lake_answers().await {
            Ok(()) => return (StatusCode::OK, "ready\n".to_owned()),
            Err(reason) => reason,
        },
    };
    let message = format!("not ready: {reason}\n");
    (StatusCode::SERVICE_UNAVAILABLE, message)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use object_store::ObjectStoreExt;

    use super::*;
    use crate::server::tests::site;

    #[tokio::test(start_paused = true)]
    async fn a_lake_that_goes_away_is_noticed_within_half_a_minute_and_asked_no_more_often() {
        let (site, readiness) = site(&[]).await;
        let ready = async || readyz(State(site.clone())).await;
        let half_a_minute = Duration::from_secs(30);
        readiness.send_replace(Readiness::NotYet("starting".to_owned()));
        let not_yet = (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: starting\n".to_owned(),
        );
        assert_eq!(ready().await, not_yet);
        readiness.send_replace(Readiness::Ready);
        assert_eq!(ready().await.0, StatusCode::OK);

        let lake = site.board().lake().clone();
        let key = lake.layout.lake_file();
        let file = lake.store.get(&key).await.unwrap().bytes().await.unwrap();
        lake.store.delete(&key).await.unwrap();
        assert_eq!(ready().await.0, StatusCode::OK);
        tokio::time::sleep(half_a_minute).await;
        let (status, message) = ready().await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(message, "not ready: the lake `memory://` is gone\n");
        assert!(!site.board().lake_answered());

        lake.store.put(&key, file.into()).await.unwrap();
        assert_eq!(ready().await.0, StatusCode::SERVICE_UNAVAILABLE);
        tokio::time::sleep(half_a_minute).await;
        assert_eq!(ready().await.0, StatusCode::OK);
    }
}

//! Every single call to the store fails, with and without having had its effect.

use super::crash::{live, suffer};
use super::world::provider;
use crate::support::store::Fault;

#[tokio::test]
async fn any_answer_may_be_lost() {
    let provider = provider().await;
    for lived in live(&provider).await {
        for n in 1..=lived.calls {
            suffer(&provider, &lived, Fault::LoseAnswer(n), 1).await;
        }
    }
}

#[tokio::test]
async fn any_call_may_fail() {
    let provider = provider().await;
    for lived in live(&provider).await {
        for n in 1..=lived.calls {
            suffer(&provider, &lived, Fault::FailBefore(n), 1).await;
        }
    }
}

/// Some stores answer a create that races another one with a conflict, though in the end neither was made.
#[tokio::test]
async fn a_create_may_be_refused_though_there_is_nothing() {
    let provider = provider().await;
    for lived in live(&provider).await {
        for n in 1..=lived.calls {
            suffer(&provider, &lived, Fault::Exists(n), 1).await;
        }
    }
}

/// A request without an answer may be on its way still: what was given up comes true later.
#[tokio::test]
async fn a_put_may_land_after_it_was_given_up() {
    let provider = provider().await;
    for lived in live(&provider).await {
        for later in [1, 2, 5] {
            for n in (later..=lived.calls).step_by(3) {
                suffer(&provider, &lived, Fault::LandLate(n, later), 1).await;
            }
        }
    }
}

//! Every single call to the store fails, with and without having had its effect.

use std::sync::Arc;

use auditlake::lake::{CommitKind, LakeError};
use auditlake::run::RunError;

use super::crash::{live, live_after_the_dead, suffer};
use super::world::{COMMITS, Step, World, lake, provider, short_provider};
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
    let mut lives = live(&provider).await;
    lives.push(live_after_the_dead(&provider).await);
    for lived in lives {
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

/// A commit arrives and no answer ever comes, not to any attempt: its run can't know, and leaves its files to the next.
#[tokio::test]
async fn a_commit_of_which_its_run_never_heard_is_published_by_the_next() {
    let provider = short_provider().await;
    let quiet = async |first: u64| {
        let world = World::of(&provider, lake().await).await;
        // each of six attempts is a create and a read
        let process = world.process(Fault::LoseAnswers(first, first + 11));
        let error = world.run(&process, Step::FirstPull).await.unwrap_err();
        let unknown = matches!(&error, RunError::Lake(LakeError::NoAnswer { .. }));
        assert!(unknown, "{first}: {error:?}");
        let newest = world.newest().await;
        let context = format!("no answers from {first} on");
        world.run_clean(Step::FirstPull, &context).await;
        world.check(Step::FirstPull, &context).await;
        usize::from(newest.kind == CommitKind::Data && !newest.files.is_empty())
    };
    let world = World::of(&provider, lake().await).await;
    let process = world.process(Fault::None).noted(0, &Arc::default());
    world.run_on(&process, Step::FirstPull, "").await;
    let told = process.told();
    let commits = (1..)
        .zip(&told)
        .filter(|(_, call)| call.starts_with(&format!("put {COMMITS}")));
    let mut calls: Vec<u64> = commits.map(|(n, _)| n).collect();
    calls.pop(); // the release: what it says is known
    let with_files = futures_util::future::join_all(calls.into_iter().map(quiet)).await;
    assert!(with_files.iter().sum::<usize>() >= 2, "{with_files:?}");
}

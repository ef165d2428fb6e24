//! A claim keeps others off for as long as its run lives, and no longer.

use std::sync::Arc;

use auditlake::lake::{ClaimOutcome, CommitChange, CommitKind, JobLog, LakeError, LogRun, newest};
use auditlake::model::FailureKind;
use auditlake::run::{RunError, RunOutcome};
use chrono::TimeDelta;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::world::{COMMITS, Step, World, lake, short_provider};
use crate::support::reader::keys;
use crate::support::store::{Fault, FaultStore};

/// A lake in the world's own store, by whose clock no claim has expired.
fn plain(world: &World) -> auditlake::lake::Lake {
    auditlake::lake::Lake::in_store("memory:///", world.store.clone(), Path::default())
}

async fn claim(world: &World, claim_life: TimeDelta) -> ClaimOutcome {
    JobLog::claim(&plain(world), LogRun::new("job", claim_life))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_claim_keeps_other_runs_off_until_it_is_given_up() {
    let provider = short_provider().await;
    let world = World::of(&provider, lake().await).await;
    let ClaimOutcome::Mine(log) = claim(&world, TimeDelta::seconds(30)).await else {
        panic!("nobody else is there");
    };
    let before = keys(&world.store, "").await;
    let held = world.run_in(plain(&world), Step::FirstPull).await.unwrap();
    assert!(matches!(held, RunOutcome::Held(_)), "{held:?}");
    assert_eq!(keys(&world.store, "").await, before);

    log.release(None).await.unwrap();
    let ran = world.run_in(plain(&world), Step::FirstPull).await.unwrap();
    assert!(matches!(ran, RunOutcome::Ran(_)), "{ran:?}");
    world.check(Step::FirstPull, "after the claim").await;
    assert_eq!(world.newest().await.claim, None);
}

#[tokio::test]
async fn a_long_run_renews_its_claim() {
    let provider = short_provider().await;
    let mut world = World::of(&provider, lake().await).await;
    world.claim_life = TimeDelta::seconds(4);
    provider.open.send_replace(false);
    let process = world.process(Fault::None);
    let meanwhile = async {
        let claimed = process.sends(CommitKind::Claim).await.claim.unwrap();
        let renewed = process.sends(CommitKind::Renewal).await.claim.unwrap();
        assert!(renewed.expires_at > claimed.expires_at);
        let held = claim(&world, TimeDelta::seconds(30)).await;
        assert!(matches!(held, ClaimOutcome::Held(_)), "{held:?}");
        provider.open.send_replace(true);
    };
    let (result, ()) = tokio::join!(world.run(&process, Step::FirstPull), meanwhile);
    assert!(matches!(result, Ok(RunOutcome::Ran(_))), "{result:?}");
    world.check(Step::FirstPull, "renewed").await;
}

/// The run dies after a renewal, its commit's files not yet published: the renewal must not have said that they are.
#[tokio::test]
async fn a_renewal_doesnt_hide_what_is_still_to_be_published() {
    let provider = short_provider().await;
    let mut world = World::of(&provider, lake().await).await;
    world.claim_life = TimeDelta::seconds(2);
    let process = world.process(Fault::None);
    process.hold_copies(true);
    tokio::select! {
        result = world.run(&process, Step::FirstPull) => panic!("{result:?}"),
        () = async {
            process.sends(CommitKind::Data).await;
            process.sends(CommitKind::Renewal).await;
            while world.newest().await.kind != CommitKind::Renewal {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    world
        .run_clean(Step::FirstPull, "died after a renewal")
        .await;
    world.check(Step::FirstPull, "died after a renewal").await;
}

#[tokio::test]
async fn a_run_whose_claim_has_expired_commits_nothing() {
    let provider = short_provider().await;
    let mut world = World::of(&provider, lake().await).await;
    world.claim_life = TimeDelta::zero();
    let error = world
        .run(&world.process(Fault::None), Step::FirstPull)
        .await
        .unwrap_err();
    assert!(
        matches!(error, RunError::Lake(LakeError::ClaimExpired { .. })),
        "{error:?}"
    );
    assert_eq!(error.kind(), FailureKind::Conflict);
    assert_eq!(keys(&world.store, COMMITS).await.len(), 1);
    assert_eq!(world.newest().await.kind, CommitKind::Claim);

    let ClaimOutcome::Mine(log) = claim(&world, TimeDelta::zero()).await else {
        panic!("that claim has expired");
    };
    log.recover().await.unwrap();
    let error = log.commit(CommitChange::default()).await.unwrap_err();
    assert!(matches!(error, LakeError::ClaimExpired { .. }), "{error:?}");
    let error = log.release(None).await.unwrap_err();
    assert!(matches!(error, LakeError::ClaimExpired { .. }), "{error:?}");
    assert!(
        world
            .store
            .head(&Path::from(format!("{COMMITS}/{:020}.json", 3)))
            .await
            .is_err()
    );

    world.claim_life = TimeDelta::seconds(30);
    world
        .run_clean(Step::FirstPull, "after claims that expired")
        .await;
    world
        .check(Step::FirstPull, "after claims that expired")
        .await;
}

/// A commit arrived, but no answer ever came: the run ends without knowing, and its release takes the next number.
#[tokio::test(start_paused = true)]
async fn a_release_doesnt_take_a_lost_commit_for_itself() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    // the claim takes calls 1 to 3, recovery two lists; each of six attempts is a create and a read
    let process = FaultStore::new(&store, &Arc::default(), Fault::LoseAnswers(6, 17));
    let run = LogRun::new("job", TimeDelta::seconds(30));
    let ClaimOutcome::Mine(log) = JobLog::claim(&process.lake(), run).await.unwrap() else {
        panic!("nobody else is there");
    };
    log.recover().await.unwrap();
    let error = log.commit(CommitChange::default()).await.unwrap_err();
    assert!(
        matches!(error, LakeError::NoAnswer { version: 2, .. }),
        "{error:?}"
    );
    log.release(None).await.unwrap();
    let newest = newest(&process.lake(), "job").await.unwrap().unwrap();
    assert_eq!(
        (newest.version, newest.kind, newest.claim),
        (3, CommitKind::Release, None)
    );
    assert!(
        newest.published_through < 2,
        "nobody has published commit 2"
    );
}

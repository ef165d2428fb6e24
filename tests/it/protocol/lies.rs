//! The store reports success without having acted, or lets two runs create one commit.

use auditlake::lake::{self, CommitKind};
use auditlake::model::FailureKind;
use auditlake::run::RunOutcome;
use object_store::ObjectStoreExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use super::crash::{Lived, live, live_after_the_dead};
use super::world::{COMMITS, Step, World, copy_of, lake, litter, provider, short_provider};
use crate::support::provider::Provider;
use crate::support::reader::keys;
use crate::support::store::{Fault, FaultStore, Lie};

const LIES: [Lie; 4] = [Lie::Nothing, Lie::Empty, Lie::Half, Lie::Late(3)];

/// A run is lied to; the next ones, to which nobody lies, put right what came of it. `false` if there was nothing to lie
/// about.
async fn suffer(
    provider: &Provider,
    lived: &Lived,
    process: impl Fn(&World) -> FaultStore,
    context: &str,
) -> bool {
    let world = World::of_a_liar(provider, lived.before.fork()).await;
    let process = process(&world);
    let first = world.run(&process, lived.step).await;
    if !process.was_deceived() {
        return false;
    }
    match world.run(&world.process(Fault::None), lived.step).await {
        Ok(RunOutcome::Ran(_)) => {}
        Ok(held) => panic!("{context}: {first:?}, {held:?}"),
        // nothing is guessed of a commit that isn't whole; without it nothing counts as pulled
        Err(error) => {
            let message = error.to_string();
            assert_eq!(
                error.kind(),
                FailureKind::Data,
                "{context}: {first:?}, {message}"
            );
            let cut = message
                .split('`')
                .nth(1)
                .filter(|key| key.contains("/commits/"));
            let cut = cut.unwrap_or_else(|| panic!("{context}: {first:?}, {message}"));
            world.store.delete(&Path::from(cut)).await.unwrap();
        }
    }
    world.run_clean(lived.step, context).await;
    world.check_lake(lived.step, context).await;
    assert_eq!(world.progress().await, lived.progress, "{context}");
    true
}

#[tokio::test]
async fn any_answer_may_be_a_lie() {
    let provider = provider().await;
    let mut lives = live(&provider).await;
    lives.push(live_after_the_dead(&provider).await);
    let mut tried = 0;
    for lived in &lives {
        for n in 1..=lived.calls {
            // that nothing is done is the worst; of the others one each third time
            let other = LIES[1 + usize::try_from(n / 3 % 3).unwrap()];
            let both = [Lie::Nothing, other];
            for &lie in &both[..=usize::from(n % 3 == 0)] {
                let fault = Fault::Lies(n, lie);
                let context = format!("{:?}, {fault:?}", lived.step);
                let process = |world: &World| world.process(fault);
                tried += u32::from(suffer(&provider, lived, process, &context).await);
            }
        }
    }
    println!("tried: a lie at any call, {tried} runs");
    assert!(tried > 100, "{tried}");
}

/// A store that checks whether there is an object, and then writes: a run's commit is replaced by another's claim. The
/// run notices before it does anything that requires the claim, whether the store has e-tags or not.
#[tokio::test]
async fn a_commit_that_a_rival_overwrites_is_noticed() {
    let provider = provider().await;
    let mut tried = 0_u32;
    for lived in &live(&provider).await {
        for n in 1..=lived.calls {
            let fault = Fault::Overwrites(n);
            let context = format!("{:?}, {fault:?}", lived.step);
            let tagged = |world: &World| world.process(fault);
            tried += u32::from(suffer(&provider, lived, tagged, &context).await);
            let context = format!("{context}, without tags");
            let untagged = |world: &World| world.process(fault).untagged();
            tried += u32::from(suffer(&provider, lived, untagged, &context).await);
        }
    }
    println!("tried: a commit overwritten by a rival, {tried} runs");
    assert!(tried > 20, "{tried}");
}

/// The very claim is overwritten: nothing is pulled, nothing is staged, nothing deleted.
#[tokio::test]
async fn a_claim_that_a_rival_overwrites_stops_its_run() {
    let provider = short_provider().await;
    let world = World::of(&provider, lake().await).await;
    let probe = world
        .process(Fault::None)
        .noted(0, &std::sync::Arc::default());
    world.run_on(&probe, Step::FirstPull, "").await;
    let told = probe.told();
    let claim = told
        .iter()
        .position(|call| call.starts_with(&format!("put {COMMITS}")));
    let claim = claim.unwrap() as u64 + 1;
    for tags in [true, false] {
        let world = World::of(&provider, lake().await).await;
        let process = world.process(Fault::Overwrites(claim));
        let mut process = process.noted(0, &std::sync::Arc::default());
        if !tags {
            process = process.untagged();
        }
        let error = world.run(&process, Step::FirstPull).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Conflict, "{error}");
        let told = process.told();
        let went_on = told.iter().any(|call| call.contains("audit_events"));
        assert!(!went_on, "pulled under a rival's claim: {told:?}");
        assert_eq!(world.newest().await.kind, CommitKind::Claim);
        let staged = keys(&world.store, "_auditlake/jobs/job/staging").await;
        assert_eq!(staged.len(), 1, "what was there before");
    }
}

/// All copies are lies: the run says so and keeps what it staged; once the store does what it says, the rows are there.
#[tokio::test]
async fn a_store_that_never_copies_costs_no_row() {
    let provider = short_provider().await;
    let provider = &provider;
    let suffered = LIES[..3].iter().map(async |&lie| {
        let context = format!("{lie:?}");
        let world = World::of_a_liar(provider, lake().await).await;
        let process = world.process(Fault::CopiesLie(lie));
        let error = world.run(&process, Step::FirstPull).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Transient, "{context}: {error}");
        let message = error.to_string();
        assert!(
            message.contains("answered that it copied"),
            "{context}: {message}"
        );
        assert_eq!(world.reader.rows(), [], "{context}");
        world.run_clean(Step::FirstPull, &context).await;
        world.check(Step::FirstPull, &context).await;
        assert_eq!(
            lake::damaged(&process.lake(), "job").await.unwrap(),
            [""; 0]
        );
    });
    futures_util::future::join_all(suffered).await;
}

/// What may have become of a committed file before its next run: staged, and at its final key.
#[derive(Debug, Clone, Copy)]
enum Is {
    Gone,
    Empty,
    Cut,
    Longer,
    Whole,
}

impl Is {
    async fn put(self, world: &World, key: &str, whole: &[u8]) {
        let key = Path::from(key);
        let bytes = match self {
            Self::Gone => {
                let _ = world.store.delete(&key).await;
                return;
            }
            Self::Empty => Vec::new(),
            Self::Cut => whole[..whole.len() / 3].to_vec(),
            Self::Longer => [whole, b"and more"].concat(),
            Self::Whole => whole.to_vec(),
        };
        world.store.put(&key, bytes.into()).await.unwrap();
    }
}

/// The files of a commit that was just made, each in turn in each state, after any step: the next run publishes it, or
/// puts aside what is left of it and pulls its ranges again.
#[tokio::test]
async fn a_committed_file_that_is_lost_is_pulled_again() {
    let provider = provider().await;
    let (mut again, mut copied) = (0, 0);
    for lived in live(&provider).await {
        let before = committed(&provider, &lived).await;
        let world = World::of(&provider, before.fork()).await;
        for file in world.newest().await.files {
            for staged in [Is::Gone, Is::Cut, Is::Whole] {
                for published in [Is::Gone, Is::Empty, Is::Cut, Is::Longer, Is::Whole] {
                    let context = format!(
                        "{:?}, staged {staged:?}, published {published:?}, {}",
                        lived.step, file.key
                    );
                    let world = World::of_a_liar(&provider, before.fork()).await;
                    let whole = world
                        .store
                        .get(&Path::from(file.staged.as_str()))
                        .await
                        .unwrap();
                    let whole = whole.bytes().await.unwrap();
                    staged.put(&world, &file.staged, &whole).await;
                    published.put(&world, &file.key, &whole).await;
                    let is_lost = !matches!((staged, published), (Is::Whole, _) | (_, Is::Whole));
                    world.run_clean(lived.step, &context).await;
                    world.check_lake(lived.step, &context).await;
                    assert_eq!(world.progress().await, lived.progress, "{context}");
                    let lake = world.process(Fault::None).lake();
                    let damaged = lake::damaged(&lake, "job").await.unwrap();
                    assert_eq!(
                        damaged.len(),
                        usize::from(is_lost),
                        "{context}: {damaged:?}"
                    );
                    let still = world.store.get(&Path::from(file.key.as_str())).await;
                    assert_eq!(still.is_ok(), !is_lost, "{context}");
                    again += u32::from(is_lost);
                    copied += u32::from(!is_lost);
                }
            }
        }
    }
    println!("tried: committed files lost, {again} pulled again, {copied} published");
}

/// The lake before a step with that step's first commit just made: its files are staged, and still to be published.
async fn committed(provider: &Provider, lived: &Lived) -> object_store::memory::InMemory {
    let world = World::of(provider, lived.before.fork()).await;
    let process = world.process(Fault::None);
    process.hold_copies(true);
    tokio::select! {
        result = world.run(&process, lived.step) => panic!("{result:?}"),
        () = async {
            process.sends(CommitKind::Data).await;
            while world.newest().await.kind != CommitKind::Data {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    copy_of(&world.store).await
}

/// The run that pulls a lost file's ranges again dies at each of its calls: none of it is forgotten.
#[tokio::test]
async fn a_crash_of_the_run_that_pulls_again_forgets_nothing() {
    let provider = short_provider().await;
    let before = lake().await;
    let world = World::of(&provider, before.fork()).await;
    world.run_clean(Step::FirstPull, "").await;
    let lived = Lived::of(Step::FirstPull, before, 0, &world).await;
    let before = committed(&provider, &lived).await;
    let lost = World::of(&provider, before.fork()).await;
    let file = lost.newest().await.files.remove(0);
    lost.store.delete(&Path::from(file.staged)).await.unwrap();
    lost.store
        .put(&Path::from(file.key), "half".into())
        .await
        .unwrap();
    let before = copy_of(&lost.store).await;
    let calls = {
        let world = World::of_a_liar(&provider, before.fork()).await;
        let process = world.process(Fault::None);
        world.run_on(&process, Step::FirstPull, "").await;
        process.calls()
    };
    for n in 1..=calls {
        for fault in [
            Fault::DieBefore(n),
            Fault::DieAfter(n),
            Fault::FailBefore(n),
            Fault::LoseAnswer(n),
        ] {
            let context = format!("{fault:?}");
            let world = World::of_a_liar(&provider, before.fork()).await;
            world.live(&world.process(fault), Step::FirstPull).await;
            world.run_clean(Step::FirstPull, &context).await;
            world.check_lake(Step::FirstPull, &context).await;
            assert_eq!(world.progress().await, lived.progress, "{context}");
        }
    }
    println!(
        "tried: trouble while a lost file is pulled again, {} points",
        calls * 4
    );
}

/// On a local disk a copy is a link, which isn't made over what is there.
#[tokio::test]
async fn a_published_file_of_another_size_is_replaced_on_a_local_disk() {
    let provider = short_provider().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    litter(&store).await;
    let world = World::of(&provider, store.with_automatic_cleanup(true)).await;
    world.reader.expect_lies();
    let process = world.process(Fault::None);
    process.hold_copies(true);
    tokio::select! {
        result = world.run(&process, Step::FirstPull) => panic!("{result:?}"),
        () = async {
            while world.store.head(&Path::from(format!("{COMMITS}/{:020}.json", 2))).await.is_err() {
                process.sends(CommitKind::Data).await;
                tokio::task::yield_now().await;
            }
        } => {}
    }
    let files = world.newest().await.files;
    assert!(files.len() > 1);
    for file in &files {
        let key = Path::from(file.key.as_str());
        world.store.put(&key, "too short".into()).await.unwrap();
    }
    let lake = lake::Lake::at(&url, &std::collections::BTreeMap::new()).unwrap();
    lake.prepare(&["provider".to_owned(), "event_date".to_owned()])
        .await
        .unwrap();
    expire(&world).await;
    world.run_in(lake.clone(), Step::FirstPull).await.unwrap();
    world.check_lake(Step::FirstPull, "on disk").await;
    assert_eq!(lake::damaged(&lake, "job").await.unwrap(), [""; 0]);
}

/// Ends the claim of the newest commit, whose run is dead.
async fn expire(world: &World) {
    let mut newest = world.newest().await;
    newest.claim = None;
    let key = Path::from(format!("{COMMITS}/{:020}.json", newest.version));
    let bytes = serde_json::to_vec(&newest).unwrap();
    world.store.put(&key, bytes.into()).await.unwrap();
}

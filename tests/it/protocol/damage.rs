//! What lies in `_auditlake/` isn't what auditlake wrote there, or isn't all of it: that is noticed or does no harm, and
//! nothing is guessed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use auditlake::model::FailureKind;
use auditlake::run::{RunError, RunOutcome};
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use super::world::{
    COMMITS, STEPS, Step, World, copy_of, lake, lake_of_the_dead, litter, long_lake, provider,
    short_provider,
};
use crate::support::provider::Provider;
use crate::support::reader::keys;
use crate::support::store::Fault;

fn commit(version: u64) -> Path {
    Path::from(format!("{COMMITS}/{version:020}.json"))
}

async fn get(store: &Arc<dyn ObjectStore>, key: &Path) -> Bytes {
    store.get(key).await.unwrap().bytes().await.unwrap()
}

/// All that is in a store, below a folder.
async fn all(store: &Arc<dyn ObjectStore>, folder: &str) -> BTreeMap<Path, Bytes> {
    let mut all = BTreeMap::new();
    for key in keys(store, folder).await {
        let bytes = get(store, &key).await;
        all.insert(key, bytes);
    }
    all
}

async fn refused(world: &World, step: Step) -> RunError {
    match world.run(&world.process(Fault::None), step).await {
        Err(error) => error,
        Ok(outcome) => panic!("not noticed: {outcome:?}"),
    }
}

/// The newest commit of a lake is replaced; the run says which it is, and changes nothing.
async fn refuses_newest(world: &World, key: &Path, bytes: impl Into<Bytes>, kind: FailureKind) {
    let bytes: Bytes = bytes.into();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    world.store.put(key, bytes.into()).await.unwrap();
    let before = all(&world.store, "").await;
    let error = refused(world, Step::FirstPull).await;
    assert_eq!(error.kind(), kind, "{text}: {error}");
    assert!(error.to_string().contains(key.as_ref()), "{text}: {error}");
    assert_eq!(all(&world.store, "").await, before, "{text}");
}

/// A lake with a dead run's commit, and the key of that.
async fn world_of_the_dead(provider: &Provider) -> (World, Path) {
    let before = lake_of_the_dead(provider, lake().await).await;
    let world = World::of(provider, before).await;
    let newest = commit(world.newest().await.version);
    (world, newest)
}

#[tokio::test]
async fn a_commit_that_is_cut_off_anywhere_is_noticed() {
    let provider = short_provider().await;
    let (world, key) = world_of_the_dead(&provider).await;
    let whole = get(&world.store, &key).await;
    let text = whole.trim_ascii_end().len();
    for length in 0..text {
        refuses_newest(&world, &key, whole.slice(..length), FailureKind::Data).await;
    }
    println!("tried: a commit cut at {text} lengths");
    world.store.put(&key, whole.into()).await.unwrap();
    world.run_clean(Step::FirstPull, "whole again").await;
    world.check_lake(Step::FirstPull, "whole again").await;
}

/// A run finds its predecessor's commit cut off when it is about to publish that: by then it has claimed the job.
#[tokio::test]
async fn a_commit_to_roll_forward_that_is_cut_off_anywhere_is_noticed() {
    let provider = short_provider().await;
    let (world, key) = world_of_the_dead(&provider).await;
    let whole = get(&world.store, &key).await;
    // the next run dies with its claim just made
    world
        .live(&world.process(Fault::DieAfter(4)), Step::FirstPull)
        .await;
    let before = copy_of(&world.store).await;
    for length in (0..whole.trim_ascii_end().len()).step_by(7) {
        let world = World::of(&provider, before.fork()).await;
        let cut = whole.slice(..length);
        world.store.put(&key, cut.into()).await.unwrap();
        let staged = all(&world.store, "_auditlake/jobs/job/staging").await;
        let error = refused(&world, Step::FirstPull).await;
        assert_eq!(error.kind(), FailureKind::Data, "{error}");
        assert!(error.to_string().contains(key.as_ref()), "{error}");
        assert_eq!(keys(&world.store, "audit_events").await, []);
        assert_eq!(
            all(&world.store, "_auditlake/jobs/job/staging").await,
            staged
        );
        world.store.put(&key, whole.clone().into()).await.unwrap();
        world.run_clean(Step::FirstPull, "whole again").await;
        world.check_lake(Step::FirstPull, "whole again").await;
    }
}

#[tokio::test]
async fn what_is_no_commit_of_this_job_and_number_is_noticed() {
    let provider = short_provider().await;
    let (world, key) = world_of_the_dead(&provider).await;
    let whole = get(&world.store, &key).await;
    let value: Value = serde_json::from_slice(&whole).unwrap();
    for text in [
        "null",
        "[]",
        "0",
        "\"commit\"",
        "{}",
        "\u{feff}",
        "{}{}",
        "\0\0\0\0",
    ] {
        refuses_newest(&world, &key, text, FailureKind::Data).await;
    }
    // another number's, another job's
    for (field, other) in [
        ("version", Value::from(1)),
        ("version", Value::from(u64::MAX)),
        ("job", Value::from("another")),
        ("job", Value::from("")),
    ] {
        let mut value = value.clone();
        value[field] = other;
        refuses_newest(&world, &key, value.to_string(), FailureKind::Data).await;
    }
    let first = get(&world.store, &commit(1)).await;
    refuses_newest(&world, &key, first, FailureKind::Data).await;
    // without a field; with one that is something else
    let optional = ["claim", "epoch", "origin", "streams", "planned_at"];
    for field in value.as_object().unwrap().keys() {
        let mut less = value.clone();
        less.as_object_mut().unwrap().remove(field);
        if !optional.contains(&field.as_str()) {
            refuses_newest(&world, &key, less.to_string(), FailureKind::Data).await;
        }
        let mut other = value.clone();
        other[field] = Value::from(-1.5);
        refuses_newest(&world, &key, other.to_string(), FailureKind::Data).await;
    }
    // a newer format, whatever else it says
    for format in [2, u64::from(u32::MAX) + 1, u64::MAX] {
        let mut value = value.clone();
        value["format"] = format.into();
        refuses_newest(&world, &key, value.to_string(), FailureKind::Config).await;
        let text = format!(r#"{{"files":"elsewhere","format":{format}}}"#);
        refuses_newest(&world, &key, text, FailureKind::Config).await;
    }
    world.store.put(&key, whole.into()).await.unwrap();
    world.run_clean(Step::FirstPull, "its own again").await;
    world.check_lake(Step::FirstPull, "its own again").await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn bytes_of_any_kind_are_no_commit(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = Arc::new(InMemory::new());
            store.put(&commit(7), bytes.clone().into()).await.unwrap();
            let lake = auditlake::lake::Lake::in_store("memory:///", store.clone(), Path::default());
            let error = auditlake::lake::newest(&lake, "job").await.unwrap_err();
            assert!(matches!(error.kind(), FailureKind::Data | FailureKind::Config), "{error}");
        });
    }
}

/// After a whole life all but the first commits are gone, as when the log is restored from a backup: files published
/// since are still there, and records pulled again are compared with them.
#[tokio::test]
async fn a_log_that_is_restored_from_a_backup_loses_and_doubles_nothing() {
    let provider = provider().await;
    let world = World::of(&provider, lake().await).await;
    for step in STEPS {
        world.run_clean(step, "").await;
    }
    let last = world.newest().await.version;
    let after = copy_of(&world.store).await;
    for kept in 0..last {
        for hint in [0, last] {
            let context = format!("{kept} of {last} commits, the hint is {hint}");
            let world = World::of(&provider, after.fork()).await;
            for version in kept + 1..=last {
                world.store.delete(&commit(version)).await.unwrap();
            }
            let latest = Path::from("_auditlake/jobs/job/latest.json");
            let text = format!(r#"{{"version":{hint}}}"#);
            world.store.put(&latest, text.into()).await.unwrap();
            for step in STEPS {
                world.run_clean(step, &context).await;
            }
            assert_eq!(world.reader.violations(), [""; 0], "{context}");
            assert_eq!(world.reader.rows(), world.truth(Step::Settle), "{context}");
            // a line of a range that continues from its cursor may be there twice: nothing shows that the part of the
            // log that recorded it is missing
            let mut quarantined = world.reader.quarantined();
            quarantined.dedup();
            assert_eq!(quarantined, world.unreadable(Step::Settle), "{context}");
        }
    }
    println!("tried: {} backups of the log", last * 2);
}

/// After each crash, each single commit in turn is missing: the rows come out right, or the run says what is missing and
/// the table stays as it is.
#[tokio::test]
async fn a_commit_that_is_missing_is_noticed_or_not_needed() {
    let provider = short_provider().await;
    let before = lake_of_the_dead(&provider, lake().await).await;
    let (mut noticed, mut fine) = (0, 0);
    for n in (1..45).step_by(2) {
        let crashed = World::of(&provider, before.fork()).await;
        crashed
            .live(&crashed.process(Fault::DieAfter(n)), Step::FirstPull)
            .await;
        let left = copy_of(&crashed.store).await;
        for version in 1..=crashed.newest().await.version {
            let context = format!("died after {n}, without {version}");
            let world = World::of(&provider, left.fork()).await;
            world.store.delete(&commit(version)).await.unwrap();
            let table = all(&world.store, "audit_events").await;
            match world
                .run(&world.process(Fault::None), Step::FirstPull)
                .await
            {
                Ok(RunOutcome::Ran(_)) => fine += 1,
                Ok(RunOutcome::Held(claim)) => panic!("{context}: {claim:?}"),
                Err(error) => {
                    assert_eq!(error.kind(), FailureKind::Data, "{context}: {error}");
                    assert_eq!(all(&world.store, "audit_events").await, table, "{context}");
                    noticed += 1;
                    for key in keys(&world.store, COMMITS).await {
                        world.store.delete(&key).await.unwrap();
                    }
                    world.run_clean(Step::FirstPull, &context).await;
                }
            }
            world.check_lake(Step::FirstPull, &context).await;
        }
    }
    println!("tried: a commit missing, {noticed} noticed, {fine} not needed");
    assert!(noticed > 0 && fine > 0, "{noticed}, {fine}");
}

/// A directory where an object belongs, on a local disk.
#[tokio::test]
async fn a_directory_in_an_objects_place_is_noticed_or_does_no_harm() {
    let provider = short_provider().await;
    for (name, harmless) in [
        ("latest.json", false),
        ("commits/00000000000000000002.json", false),
        ("commits/99999999999999999999.json", true),
        ("staging/foreign", true),
        ("quarantine/foreign.jsonl", true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        litter(&store).await;
        let world = World::of(&provider, store).await;
        let directory = folder.path().join("_auditlake/jobs/job").join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let ran = world
            .run(&world.process(Fault::None), Step::FirstPull)
            .await;
        match ran {
            Ok(RunOutcome::Ran(report)) => {
                assert!(report.failures.is_empty(), "{name}: {report:?}");
            }
            Ok(held) => panic!("{name}: {held:?}"),
            Err(error) => {
                assert!(!harmless, "{name}: {error:?}");
                // an object that exists but isn't listed might be a rival's, just pruned
                let kind = match name {
                    "latest.json" => FailureKind::Transient,
                    _ => FailureKind::Conflict,
                };
                assert_eq!(error.kind(), kind, "{name}: {error}");
                assert_eq!(keys(&world.store, "audit_events").await, [], "{name}");
                std::fs::remove_dir(&directory).unwrap();
                world.run_clean(Step::FirstPull, name).await;
            }
        }
        world.check_lake(Step::FirstPull, name).await;
    }
}

/// What one might find in a job's folder that isn't its own, of any content: left alone, and misleading nobody.
#[tokio::test]
async fn foreign_objects_in_quarantine_and_staging_are_harmless() {
    let provider = provider().await;
    for content in ["", "null", "{}\n{}", "\0\u{1}", "{\"id\":1}\n", "PAR1"] {
        let world = World::of(&provider, lake().await).await;
        for name in [
            "quarantine/notes.txt",
            "quarantine/deeper/notes.txt",
            "notes.json",
        ] {
            let key = Path::from(format!("_auditlake/jobs/job/{name}"));
            world.store.put(&key, content.into()).await.unwrap();
        }
        let staged = Path::from("_auditlake/jobs/job/staging/notes.txt");
        world.store.put(&staged, content.into()).await.unwrap();
        for step in STEPS {
            world.run_clean(step, content).await;
        }
        world.check_lake(Step::Settle, content).await;
    }
}

/// Several kinds of damage at once, at random, to what a crash left: the rows come out right, or the run says what is
/// wrong; once the log is moved away, they come out right in any case.
#[tokio::test]
async fn damage_at_random_is_noticed_or_does_no_harm() {
    let provider = short_provider().await;
    let (mut noticed, mut fine) = (0, 0);
    for seed in super::chaos::seeds(0, 80) {
        let mut random = StdRng::seed_from_u64(seed);
        let before = match random.random_range(0..3) {
            0 => lake().await,
            1 => lake_of_the_dead(&provider, lake().await).await,
            _ => lake_of_the_dead(&provider, long_lake().await).await,
        };
        let world = World::of(&provider, before).await;
        let fault = Fault::DieAfter(random.random_range(5..60));
        world.live(&world.process(fault), Step::FirstPull).await;
        let mut context = format!("seed {seed}: {fault:?}");
        for _ in 0..random.random_range(1..4) {
            let log = keys(&world.store, COMMITS).await;
            let Some(key) = log.choose(&mut random) else {
                continue;
            };
            let whole = get(&world.store, key).await;
            let done = match random.random_range(0..6) {
                0 => world.store.delete(key).await.map(|()| "deleted"),
                1 => {
                    let cut = whole.slice(..random.random_range(0..whole.len() - 1));
                    world.store.put(key, cut.into()).await.map(|_| "cut off")
                }
                2 => {
                    let mut bytes = whole.to_vec();
                    let at = random.random_range(0..bytes.len());
                    bytes[at] = b'~';
                    world.store.put(key, bytes.into()).await.map(|_| "altered")
                }
                3 => {
                    let other = get(&world.store, log.choose(&mut random).unwrap()).await;
                    world.store.put(key, other.into()).await.map(|_| "swapped")
                }
                4 => {
                    let hint = Path::from("_auditlake/jobs/job/latest.json");
                    let text = format!(r#"{{"version":{}}}"#, random.random_range(0..99));
                    world.store.put(&hint, text.into()).await.map(|_| "misled")
                }
                _ => {
                    let staged = keys(&world.store, "_auditlake/jobs/job/staging").await;
                    match staged.choose(&mut random) {
                        Some(staged) => world.store.delete(staged).await.map(|()| "unstaged"),
                        None => Ok("nothing"),
                    }
                }
            };
            write!(context, ", {} {key}", done.unwrap()).unwrap();
        }
        match world
            .run(&world.process(Fault::None), Step::FirstPull)
            .await
        {
            Ok(RunOutcome::Ran(report)) => {
                assert!(report.failures.is_empty(), "{context}: {report:?}");
                fine += 1;
            }
            Ok(held) => panic!("{context}: {held:?}"),
            Err(error) => {
                assert_eq!(error.kind(), FailureKind::Data, "{context}: {error}");
                noticed += 1;
                for key in keys(&world.store, COMMITS).await {
                    world.store.delete(&key).await.unwrap();
                }
                world.run_clean(Step::FirstPull, &context).await;
            }
        }
        world.check_lake(Step::FirstPull, &context).await;
    }
    println!("tried: damage at random, {noticed} noticed, {fine} did no harm");
}

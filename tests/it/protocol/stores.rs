//! The same life of a job in real stores: SeaweedFS and moto speak S3, Azurite speaks Azure's protocol.

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use auditlake::lake::{Lake, ProbeOutcome, probe};
use auditlake::secret::Secret;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::process::Command;

use super::world::{STEPS, Step, World, provider};
use crate::process::support::{Process, until};
use crate::s3::{KEY, SECRET, Store, tool};
use crate::support::store::Fault;

/// Azurite's own, the same everywhere.
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn lake(url: &str, options: &[(&str, &str)]) -> Lake {
    let options: BTreeMap<String, Secret> = options
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Secret::text(*value)))
        .collect();
    Lake::at(url, &options).unwrap()
}

fn s3(endpoint: &str) -> Lake {
    lake(
        "s3://audit",
        &[
            ("aws_endpoint", endpoint),
            ("aws_allow_http", "true"),
            ("aws_region", "us-east-1"),
            ("aws_access_key_id", KEY),
            ("aws_secret_access_key", SECRET),
        ],
    )
}

/// What a server says of its address, once it listens; it chose its port itself.
async fn address(message: impl Fn() -> String) -> String {
    let find = || {
        let message = message();
        let from = message.find("http://127.0.0.1:")?;
        let end = message[from + 17..].find(|c: char| !c.is_ascii_digit())?;
        let address = message[from..from + 17 + end].to_owned();
        (!address.ends_with(":0")).then_some(address)
    };
    until("the server listens", async || find().is_some()).await;
    find().unwrap()
}

/// Everything that `check` tries works, a listing begins at its offset, and deleted objects are gone.
async fn assert_does_what_a_lake_needs(lake: &Lake) {
    for probed in probe(lake, &["event_date".to_owned()]).await {
        let works = matches!(probed.outcome, ProbeOutcome::Works(_));
        assert!(works, "{probed:?}");
    }
    lake.prepare(&["provider".to_owned(), "event_date".to_owned()])
        .await
        .unwrap();
    let folder = Path::from("some/folder");
    let names: Vec<Path> = (1..=5)
        .map(|n| folder.clone().join(n.to_string()))
        .collect();
    for name in &names {
        lake.store.put(name, "x".into()).await.unwrap();
    }
    let listed = lake.store.list_with_offset(Some(&folder), &names[2]);
    let mut listed: Vec<Path> = listed
        .map_ok(|object| object.location)
        .try_collect()
        .await
        .unwrap();
    listed.sort();
    assert!(listed.ends_with(&names[3..]), "{listed:?}");
    let missing = folder.clone().join("missing");
    let all = names.iter().cloned().chain([missing]).map(Ok);
    let deleted = lake
        .store
        .delete_stream(stream::iter(all.collect::<Vec<_>>()).boxed());
    let deleted: Vec<_> = deleted.collect().await;
    assert_eq!(deleted.len(), 6, "{deleted:?}");
    let left: Vec<_> = lake.store.list(Some(&folder)).try_collect().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// A job's whole life; each step is killed at several of its calls before it is finished.
async fn assert_keeps_every_record_once(lake: Lake) {
    assert_does_what_a_lake_needs(&lake).await;
    let provider = provider().await;
    let world = World::of(&provider, lake.store).await;
    let mut killed = 0;
    for step in STEPS {
        for n in [3, 6, 11, 17, 24] {
            let process = world.process(Fault::DieAfter(n));
            killed += u32::from(world.live(&process, step).await.is_none());
        }
        world.run_clean(step, "in a real store").await;
    }
    world.check(Step::Settle, "in a real store").await;
    assert!(killed > 10, "{killed}");
    println!("tried: a life in {}, {killed} crashes", world.store);
}

#[tokio::test]
#[ignore = "needs SeaweedFS: `make test` runs it"]
async fn a_lake_in_s3_seaweedfs() {
    let store = Store::start().await;
    assert_keeps_every_record_once(s3(&store.endpoint)).await;
}

#[tokio::test]
#[ignore = "needs moto: `make test` runs it"]
async fn a_lake_in_s3_moto() {
    let mut command = Command::new(tool("AUDITLAKE_TEST_MOTO"));
    command.args(["-H", "127.0.0.1", "-p", "0"]);
    let process = Process::of(command);
    let endpoint = address(|| format!("{}{}", process.stdout(), process.stderr())).await;
    let lake = s3(&endpoint);
    let bucket = reqwest::Client::new().put(format!("{endpoint}/audit"));
    bucket.send().await.unwrap().error_for_status().unwrap();
    assert_keeps_every_record_once(lake).await;
}

#[tokio::test]
#[ignore = "needs Azurite: `make test` runs it"]
async fn a_lake_in_azurite_azure() {
    let mut command = Command::new(tool("AUDITLAKE_TEST_AZURITE"));
    command
        .args(["--inMemoryPersistence", "--disableTelemetry"])
        .args(["--skipApiVersionCheck", "--blobHost", "127.0.0.1"])
        .args(["--blobPort", "0"]);
    let process = Process::of(command);
    let endpoint = address(|| process.stdout()).await;
    let script = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/azurite/container.py");
    let mut command = Command::new(tool("AUDITLAKE_TEST_PYTHON"));
    command.arg(script).args([&endpoint, "audit"]);
    Process::of(command).ended().await.assert_code(0);
    let lake = lake(
        "az://audit",
        &[
            ("azure_storage_account_name", "devstoreaccount1"),
            ("azure_storage_account_key", AZURITE_KEY),
            ("azure_endpoint", &format!("{endpoint}/devstoreaccount1")),
            ("allow_http", "true"),
        ],
    );
    assert_keeps_every_record_once(lake).await;
}

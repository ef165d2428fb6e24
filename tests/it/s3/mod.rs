//! A lake on an S3-compatible store, read by DuckDB as a user would.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use auditlake::sim::genesys::{DatasetSpec, endpoint};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::process::support::{EVENING, Ended, Process, World, one_day, until};

pub(crate) const KEY: &str = "test-key";
pub(crate) const SECRET: &str = "test-secret";

/// SeaweedFS with the bucket `audit`; killed when dropped.
pub(crate) struct Store {
    pub(crate) endpoint: String,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Store {
    pub(crate) async fn start() -> Self {
        let weed = tool("AUDITLAKE_TEST_WEED");
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let [master, volume, filer, s3, admin] = free_ports().await;
        let mut command = Command::new(weed);
        command
            .args([
                "mini",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-bucket=audit",
            ])
            .args([
                "-webdav=false",
                "-admin.ui=false",
                "-master.telemetry=false",
            ])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .arg(format!("-dir={}", inside("")))
            .arg(format!("-filer.localSocket={}", inside("filer.sock")))
            .arg(format!("-s3.localSocket={}", inside("s3.sock")))
            .arg(format!("-master.port={master}"))
            .arg(format!("-volume.port={volume}"))
            .arg(format!("-filer.port={filer}"))
            .arg(format!("-s3.port={s3}"))
            .arg(format!("-admin.port={admin}"))
            .current_dir(folder.path())
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET);
        let process = Process::of(command);
        let endpoint = format!("http://127.0.0.1:{s3}");
        until("SeaweedFS is up", async || {
            process
                .stdout()
                .contains("All enabled components are running")
        })
        .await;
        Self {
            endpoint,
            _process: process,
            _folder: folder,
        }
    }

    /// Lets the job of `world` land in this store.
    fn lake_of(&self, world: &World) {
        world.change(
            "url: file://./lake\n",
            &format!(
                "url: s3://audit/some/prefix
  storage_options:
    aws_endpoint: {}
    aws_allow_http: true
    aws_region: us-east-1
    aws_access_key_id: {KEY}
    aws_secret_access_key: {SECRET}
",
                self.endpoint
            ),
        );
    }

    /// DuckDB finds in the bucket what the provider shows, byte for byte.
    async fn assert_all_landed(&self, world: &World) {
        let truth = world.path().join("truth.ndjson");
        let shown = world
            .provider
            .dataset()
            .write_truth(&truth, world.provider.now());
        shown.unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compare.py");
        let mut command = Command::new(tool("AUDITLAKE_TEST_PYTHON"));
        command.arg(script).arg(&truth).args([
            "s3://audit/some/prefix",
            &self.endpoint,
            KEY,
            SECRET,
        ]);
        let ended = Process::of(command).ended().await.assert_code(0);
        assert!(ended.stdout.starts_with("equal: "), "{}", ended.stdout);
    }
}

/// What `make test` provides.
pub(crate) fn tool(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    path.filter(|path| path.exists()).unwrap_or_else(|| {
        panic!("`{variable}` must name a program that `make test` installs: run this by `make test` (or `make tests`)")
    })
}

/// Ports that are free, and free 10,000 above, where SeaweedFS puts gRPC.
async fn free_ports<const N: usize>() -> [u16; N] {
    let mut held = Vec::new();
    let mut ports = Vec::new();
    // below the ports that systems give away by themselves; tests that run at the same time begin elsewhere
    let mut port = 10_000 + u16::try_from(std::process::id() % 1_000).unwrap() * 12;
    while ports.len() < N {
        port += 1;
        let both = (
            TcpListener::bind(("127.0.0.1", port)).await,
            TcpListener::bind(("127.0.0.1", port + 10_000)).await,
        );
        if let (Ok(http), Ok(grpc)) = both {
            held.extend([http, grpc]);
            ports.push(port);
        }
    }
    ports.try_into().unwrap()
}

#[tokio::test]
#[ignore = "needs SeaweedFS and DuckDB: `make test` runs it"]
async fn duckdb_finds_every_record_once_and_byte_for_byte() {
    let store = Store::start().await;
    let records = DatasetSpec {
        records: 4_000,
        late_share: 0.05,
        ..one_day()
    };
    let world = World::new(&records, EVENING).await;
    store.lake_of(&world);
    world.change(
        "start: 2026-03-02T00:00:00+00:00",
        "start: 2026-03-02T12:00:00Z",
    );

    world.run_as_of(EVENING).await.assert_code(0);
    let again = world.run_as_of(EVENING).await.assert_code(0);
    assert!(
        again
            .stdout
            .starts_with("audits: 0 new, 0 late, 0 duplicate"),
        "{}",
        again.stdout
    );
    let backfilled = world
        .run(&[
            "backfill",
            "--job",
            "audits",
            "--from",
            "2026-03-02",
            "--to",
            "2026-03-02T18:00:00Z",
        ])
        .await
        .assert_code(0);
    assert!(
        backfilled.stdout.contains(" 0 late, 0 duplicate"),
        "{}",
        backfilled.stdout
    );
    store.assert_all_landed(&world).await;

    let settled = world.run_as_of("2026-03-04T02:00:00Z").await.assert_code(0);
    assert!(!settled.stdout.contains(" 0 late"), "{}", settled.stdout);
    store.assert_all_landed(&world).await;
    let status = world.run(&["status"]).await.assert_code(0);
    assert!(
        status.stdout.contains("2026-03-04T01:58:00Z"),
        "{}",
        status.stdout
    );
}

#[tokio::test]
#[ignore = "needs SeaweedFS and DuckDB: `make test` runs it"]
async fn a_run_that_is_killed_leaves_nothing_doubled_and_nothing_out() {
    let store = Store::start().await;
    let records = DatasetSpec {
        records: 9_000,
        ..one_day()
    };
    let world = World::new(&records, EVENING).await;
    store.lake_of(&world);
    world.provider.set_latency(Duration::from_millis(2));
    for results in [30, 60, 60] {
        let before = world.provider.counters().calls(endpoint::RESULTS);
        let process = world.start(&["run", "--once", "--as-of", EVENING]);
        world
            .provider
            .counters()
            .reached(endpoint::RESULTS, before + results)
            .await;
        let Ended { code, .. } = process.signalled("KILL").await;
        assert_eq!(code, None);
    }
    world.run_as_of(EVENING).await.assert_code(0);
    store.assert_all_landed(&world).await;
}

#[tokio::test]
#[ignore = "needs SeaweedFS and DuckDB: `make test` runs it"]
async fn wrong_keys_are_said() {
    let store = Store::start().await;
    let world = World::new(
        &DatasetSpec {
            records: 50,
            ..one_day()
        },
        EVENING,
    )
    .await;
    store.lake_of(&world);
    world.change(SECRET, "wrong");
    let refused = world
        .run(&["run", "--once", "--as-of", EVENING])
        .await
        .assert_code(1);
    refused.assert_says("SignatureDoesNotMatch");
    world.change(
        "aws_secret_access_key: wrong",
        &format!("aws_secret_access_key: {SECRET}"),
    );
    world.run_as_of(EVENING).await.assert_code(0);
    store.assert_all_landed(&world).await;
}

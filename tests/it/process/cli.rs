//! Every command as a user sees it, in tests/it/process/snapshots. After a wanted change: `INSTA_UPDATE=always make tests`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use auditlake::sim::genesys::DatasetSpec;
use insta::assert_snapshot;
use serde_json::Value;

use super::support::{EVENING, Transcript, World, one_day};

#[tokio::test]
async fn help() {
    let folder = tempfile::tempdir().unwrap();
    let mut shown = Transcript::default();
    shown.run(folder.path(), &["--help"], &[]).await;
    for command in [
        "run",
        "backfill",
        "plan",
        "validate",
        "check",
        "status",
        "quarantine",
        "verify",
        "schema",
        "services",
        "related",
        "health",
        "demo",
        "completions",
        "man",
    ] {
        shown.run(folder.path(), &[command, "-h"], &[]).await;
    }
    shown.run(folder.path(), &["--version"], &[]).await;
    assert_snapshot!(shown.text());
}

#[tokio::test]
async fn usage_mistakes() {
    let world = World::new(
        &DatasetSpec {
            records: 10,
            ..one_day()
        },
        EVENING,
    )
    .await;
    let mut shown = Transcript::default();
    for args in [
        vec![],
        vec!["pull"],
        vec!["run", "--as-of", "2026-03-03"],
        vec!["run", "--once", "--job", "nope"],
        vec!["run", "--once", "--as-of", "2999-01-01"],
        vec!["run", "--once", "--as-of", "yesterday"],
        vec![
            "backfill",
            "--job",
            "nope",
            "--from",
            "2026-01-01",
            "--to",
            "2026-01-02",
        ],
        vec![
            "backfill",
            "--job",
            "audits",
            "--from",
            "2026-01-02",
            "--to",
            "2026-01-02",
        ],
        vec!["backfill", "--job", "audits", "--from", "2026-01-02"],
        vec![
            "backfill",
            "--job",
            "audits",
            "--from",
            "2026-01-01",
            "--to",
            "2026-01-02",
            "--concurrency",
            "0",
        ],
        vec!["plan", "--from", "2026-01-01"],
        vec!["status", "--job", "nope"],
        vec!["services", "--connection", "nope"],
        vec!["schema", "--format", "avro"],
        vec!["-c", "elsewhere.yaml", "validate"],
        vec!["health", "--listen", "nowhere"],
        vec!["health", "--listen", "127.0.0.1:9"],
    ] {
        shown.run(world.path(), &args, &[]).await;
    }
    assert_snapshot!(shown.text());
    // a command that was refused has left nothing
    assert!(!world.path().join("lake").exists());
}

#[tokio::test]
async fn validate() {
    let world = World::new(
        &DatasetSpec {
            records: 10,
            ..one_day()
        },
        EVENING,
    )
    .await;
    let mut shown = Transcript::default();
    shown.run(world.path(), &["validate"], &[]).await;
    world.configure(include_str!("../../../jobs.yaml"));
    shown.run(world.path(), &["validate"], &[]).await;
    let environment = [
        ("GENESYS_CLIENT_ID", "id"),
        ("GENESYS_CLIENT_SECRET", "secret"),
        ("AVAYA_ACCOUNT_ID", "ABCDEF"),
        ("AVAYA_APP_KEY", "key"),
        ("AVAYA_CLIENT_ID", "id"),
        ("AVAYA_CLIENT_SECRET", "secret"),
        ("LIVEPERSON_ACCOUNT_ID", "le12345678"),
        ("LIVEPERSON_CLIENT_ID", "id"),
        ("LIVEPERSON_CLIENT_SECRET", "secret"),
        ("EVERYWARE_USERNAME", "user"),
        ("EVERYWARE_PASSWORD", "password"),
    ];
    shown.run(world.path(), &["validate"], &environment).await;
    world.configure(
        r#"lake:
  url: ftp://somewhere
  partition_by: [provider, colour]
  target_file_size: 12 parsecs
server:
  listen: everywhere
connections:
  prod:
    provider: genesis_cloud
  main:
    provider: genesys_cloud
    region: mars-north-1
    client_id: ${MISSING}
    client_secret: ${file:/no/such/file}
    rate_limit: often
jobs:
  - name: a b
    connection: nowhere
    shedule: "@hourly"
    timezone: Mars/Olympus
    start: 2026-02-30
  - name: audits
    connection: main
    schedule: "0 0 30 2 *"
    start: 2026-01-01
    window: 1 fortnight
    options: { services: Routing, mode: sometimes }
"#,
    );
    shown.run(world.path(), &["validate"], &[]).await;
    world.configure("lake: [\n");
    shown.run(world.path(), &["validate"], &[]).await;
    world.configure("");
    shown.run(world.path(), &["validate"], &[]).await;
    assert_snapshot!(shown.text());
    assert!(!world.path().join("lake").exists());
}

#[tokio::test]
async fn schema() {
    let folder = tempfile::tempdir().unwrap();
    let mut shown = Transcript::default();
    shown.run(folder.path(), &["schema"], &[]).await;
    for format in [
        "duckdb",
        "spark",
        "trino",
        "athena",
        "clickhouse",
        "markdown",
    ] {
        shown
            .run(
                folder.path(),
                &["schema", "--format", format, "--lake", "s3://bucket/prefix"],
                &[],
            )
            .await;
    }
    for format in ["text", "duckdb", "spark", "trino"] {
        let args = [
            "schema",
            "--table",
            "audit_runs",
            "--format",
            format,
            "--lake",
            "s3://bucket/prefix",
        ];
        shown.run(folder.path(), &args, &[]).await;
    }
    assert_snapshot!(shown.text());

    // an engine has another working folder
    for lake in ["lake", "file://./lake"] {
        let args = ["schema", "--format", "spark", "--lake", lake];
        let ended = super::support::Process::start(folder.path(), &args, &[])
            .ended()
            .await
            .assert_code(0);
        let place = folder.path().canonicalize().unwrap().join("lake");
        let location = format!("LOCATION '{}/audit_events'", place.display());
        assert!(ended.stdout.contains(&location), "{}", ended.stdout);
    }
    for format in ["json", "config"] {
        let ended =
            super::support::Process::start(folder.path(), &["schema", "--format", format], &[])
                .ended()
                .await;
        let ended = ended.assert_code(0);
        serde_json::from_str::<Value>(&ended.stdout).unwrap();
        assert_eq!(ended.stderr, "");
    }
}

#[tokio::test]
async fn before_and_after_a_run() {
    let world = World::new(&one_day(), EVENING).await;
    let plan = ["plan", "--as-of", EVENING];
    let mut shown = Transcript::default();
    shown.run(world.path(), &["status", "--json"], &[]).await;
    assert!(shown.text().contains("never ran"));

    let mut shown = Transcript::default();
    shown.run(world.path(), &plan, &[]).await;
    shown
        .run(world.path(), &["services", "--connection", "main"], &[])
        .await;
    let id = world.provider.dataset().truth(
        super::support::at("2026-03-02T00:00:00Z"),
        super::support::at(EVENING),
        world.provider.now(),
    );
    let id = id[100].id.clone();
    let related = world
        .run(&["related", "--connection", "main", "--audit-id", &id])
        .await
        .assert_code(0);
    assert!(related.stdout.lines().any(|line| {
        let audit: Value = serde_json::from_str(line).unwrap();
        audit["id"] == id
    }));
    let missing = [
        "related",
        "--connection",
        "main",
        "--audit-id",
        "no-such-id",
    ];
    let missing = world.run(&missing).await.assert_code(1);
    missing.assert_says("error: connection `main`: the provider answered 404 Not Found: ");
    world.run_as_of(EVENING).await.assert_code(0);
    shown.run(world.path(), &plan, &[]).await;
    shown
        .run(
            world.path(),
            &["plan", "--as-of", "2026-03-03T02:10:00Z"],
            &[],
        )
        .await;
    shown
        .run(
            world.path(),
            &[
                "plan",
                "--from",
                "2026-03-01",
                "--to",
                "2026-03-02T06:00:00Z",
            ],
            &[],
        )
        .await;
    shown
        .run(
            world.path(),
            &[
                "plan",
                "--from",
                "2026-03-01",
                "--to",
                "2026-03-02T06:00:00Z",
                "--refetch",
                "--json",
            ],
            &[],
        )
        .await;
    assert_snapshot!(shown.text());
}

#[tokio::test]
async fn status() {
    let world = World::new(&one_day(), EVENING).await;
    let never = world.run(&["status"]).await.assert_code(0);
    assert!(
        never
            .stdout
            .contains("audits  never ran  -            -  -"),
        "{}",
        never.stdout
    );
    world.run_as_of(EVENING).await.assert_code(0);
    let table = world.run(&["status"]).await.assert_code(0);
    let row: Vec<&str> = table
        .stdout
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(
        row[..3],
        ["audits", "due", "2026-03-03T00:08:00Z"],
        "{}",
        table.stdout
    );
    assert_eq!(row[row.len() - 3..], ["0", "0", "-"], "{}", table.stdout);

    let json = world.run(&["status", "--json"]).await.assert_code(0);
    let mut all: Value = serde_json::from_str(&json.stdout).unwrap();
    for (key, kind) in [
        ("last_run", "string"),
        ("next_run", "string"),
        ("lag_seconds", "number"),
        ("version", "number"), // how many commits a run makes depends on what arrives when
    ] {
        let there = all[0][key].take();
        assert!(
            if kind == "string" {
                there.is_string()
            } else {
                there.is_u64()
            },
            "{key}: {there}"
        );
    }
    // how old the watermark is depends on the day
    let findings = all[0]["findings"].take();
    assert_eq!(findings[0]["kind"], "stale", "{findings}");
    assert_eq!(findings.as_array().map(Vec::len), Some(1), "{findings}");
    all[0]["streams"]
        .as_object_mut()
        .unwrap()
        .retain(|stream, _| stream == "Routing");
    assert_snapshot!(format!("{all:#}"));
}

#[tokio::test]
async fn results_go_to_stdout_alone() {
    let world = World::new(&one_day(), EVENING).await;
    for args in [
        vec!["plan", "--json"],
        vec!["status"],
        vec!["validate"],
        vec!["schema"],
        vec!["services", "--connection", "main"],
    ] {
        let ended = world.run(&args).await.assert_code(0);
        assert_eq!(ended.stderr, "", "{args:?}");
        assert_ne!(ended.stdout, "", "{args:?}");
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let world = World::new(&one_day(), EVENING).await;
    let mut command = tokio::process::Command::new("sh");
    let line = format!(
        "'{}' schema --format config | head -n 1",
        env!("CARGO_BIN_EXE_auditlake")
    );
    command.args(["-c", &line]).current_dir(world.path());
    let ended = super::support::Process::of(command)
        .ended()
        .await
        .assert_code(0);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("{\n", ""));
}

#[tokio::test]
async fn the_configuration_may_come_from_standard_input() {
    let world = World::new(&one_day(), EVENING).await;
    let mut command = tokio::process::Command::new("sh");
    let line = format!(
        "'{}' -c - validate < jobs.yaml",
        env!("CARGO_BIN_EXE_auditlake")
    );
    command.args(["-c", &line]).current_dir(world.path());
    let ended = super::support::Process::of(command)
        .ended()
        .await
        .assert_code(0);
    assert!(
        ended
            .stdout
            .contains("is valid: 1 job, 1 connection, lake file://./lake"),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn the_demo_runs_twice_and_adds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = Vec::new();
    for _ in 0..2 {
        let ended = super::support::Process::start(folder.path(), &["demo"], &[])
            .ended()
            .await
            .assert_code(0);
        assert_eq!(ended.stderr, "");
        rows.push(super::support::Lake(folder.path().join("demo-lake")).rows());
    }
    assert_eq!(rows[0].len(), 6_000 + 3 * 1_200);
    assert!(rows[0] == rows[1]);
}

#[tokio::test]
async fn a_start_that_is_still_to_come_is_said_once() {
    let world = World::new(&one_day(), EVENING).await;
    world.change("start: 2026-03-02T00:00:00+00:00", "start: 2199-01-01");
    let planned = world.run(&["plan"]).await.assert_code(0);
    assert_eq!(
        planned.stdout,
        "nothing to do: audits begins after 2199-01-01T00:02:00Z\n"
    );
    let json = world.run(&["plan", "--json"]).await.assert_code(0);
    assert_eq!(json.stdout, "[]\n");
    assert_eq!(world.provider.counters().total_calls(), 0);
}

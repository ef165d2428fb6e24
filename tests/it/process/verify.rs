//! `verify` as a user sees it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;

use auditlake::sim::Fault;
use auditlake::sim::genesys::{DatasetSpec, endpoint};
use insta::assert_snapshot;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::support::{EVENING, Transcript, World, files, lately, one_day};

pub(super) const VERIFY: [&str; 7] = [
    "verify",
    "--job",
    "audits",
    "--from",
    "2026-03-02",
    "--to",
    "2026-03-03",
];

/// How far it is depends on the machine.
const QUIET: [(&str, &str); 1] = [("RUST_LOG", "warn")];

/// Two services' records of one day, pulled in the evening.
async fn pulled() -> World {
    let records = DatasetSpec {
        records: 300,
        services: vec!["Routing".to_owned(), "Architect".to_owned()],
        quiet_services: Vec::new(),
        largest_tie: 20,
        ..one_day()
    };
    let world = World::new(&records, EVENING).await;
    world.change("    schedule:", "    settle: []\n    schedule:");
    world.run_as_of(EVENING).await.assert_code(0);
    world
}

fn published(world: &World) -> Vec<PathBuf> {
    files(&world.lake().0.join("audit_events"))
}

#[tokio::test]
async fn verify_finds_what_is_wrong_and_repairs_what_can_be() {
    let world = pulled().await;
    let mut shown = Transcript::default();
    let repair = [VERIFY.as_slice(), &["--repair"]].concat();
    shown.run(world.path(), &VERIFY, &QUIET).await;

    for file in published(&world) {
        std::fs::remove_file(file).unwrap();
    }
    shown.run(world.path(), &VERIFY, &QUIET).await;
    shown.run(world.path(), &repair, &QUIET).await;
    world.assert_all_landed();
    shown.run(world.path(), &VERIFY, &QUIET).await;

    // more than one, if a tick has ended a turn of the repair
    let copies: Vec<PathBuf> = (published(&world).iter().enumerate())
        .map(|(number, file)| {
            let name = format!("audits-01990000-0000-7000-8000-000000000001-{number}.parquet");
            let copy = file.with_file_name(name);
            std::fs::copy(file, &copy).unwrap();
            copy
        })
        .collect();
    shown.run(world.path(), &repair, &QUIET).await;
    copies
        .iter()
        .for_each(|copy| std::fs::remove_file(copy).unwrap());

    let longer = [
        "verify",
        "--job",
        "audits",
        "--from",
        "2026-03-01",
        "--to",
        "2026-03-05",
    ];
    shown.run(world.path(), &longer, &QUIET).await;
    assert_snapshot!(shown.text());
}

#[tokio::test]
async fn repair_pulls_what_was_never_pulled() {
    let world = pulled().await;
    std::fs::remove_dir_all(world.path().join("lake")).unwrap();
    let ended = world.run(&VERIFY).await.assert_code(3);
    ended
        .assert_says("not pulled yet: 2026-03-02T00:00:00Z..2026-03-03T00:00:00Z of ")
        .assert_says("no run of this job has ever begun in the lake `file://./lake`")
        .assert_says("hint: `--repair` lands missing records and pulls missing ranges");
    let repair = [VERIFY.as_slice(), &["--repair"]].concat();
    let ended = world.run(&repair).await.assert_code(0);
    ended.assert_says("repaired: 300 events landed, 0 already there");
    world.assert_all_landed();
}

#[tokio::test]
async fn what_could_not_be_verified_is_said() {
    let world = pulled().await;
    world.provider.forbid_service("Routing");
    let ended = world.run(&VERIFY).await.assert_code(1);
    let message = "job `audits`: Routing, 2026-03-02T00:00:00Z..2026-03-03T00:00:00Z, could not be verified (auth): ";
    ended.assert_says(message);
    world.provider.allow_service("Routing");

    world.change("client_secret: sim-secret", "client_secret: wrong");
    let ended = world.run(&VERIFY).await.assert_code(1);
    ended.assert_says("job `audits` failed (auth): ");
}

#[tokio::test]
async fn what_the_next_run_is_to_pull_is_not_missed() {
    let world = World::live(&lately()).await;
    world.change("*/2 * * * * *", "@yearly");
    world.run(&["run", "--once"]).await.assert_code(0);
    let rows = world.lake().rows().len();
    let args = [
        "verify",
        "--job",
        "audits",
        "--from",
        "2026-01-01",
        "--to",
        "9999-01-01",
    ];
    let ended = world.run(&args).await.assert_code(0);
    let total = format!("total    {rows}   {rows}        0");
    ended
        .assert_says("not verified, too new: ")
        .assert_says(&total);
}

#[tokio::test]
async fn verify_json_has_every_day() {
    let world = pulled().await;
    let json = [VERIFY.as_slice(), &["--json"]].concat();
    let ended = world.run(&json).await.assert_code(0);
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(found["equal"], true);
    assert_eq!(found["days"]["2026-03-02"]["rows"], 300);
    for file in published(&world) {
        std::fs::remove_file(file).unwrap();
    }
    let json = [VERIFY.as_slice(), &["--json", "--repair"]].concat();
    let ended = world.run(&json).await.assert_code(0);
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(found["equal"], true);
    assert_eq!(found["repaired"]["new"], 300);
}

#[tokio::test]
async fn mistakes_of_usage_are_told_before_anything_is_asked() {
    let world = pulled().await;
    let calls = world.provider.counters().total_calls();
    for args in [
        [
            "--job",
            "nope",
            "--from",
            "2026-03-02",
            "--to",
            "2026-03-03",
        ],
        [
            "--job",
            "audits",
            "--from",
            "2026-03-03",
            "--to",
            "2026-03-03",
        ],
        [
            "--job",
            "audits",
            "--from",
            "9999-01-01",
            "--to",
            "9999-01-02",
        ],
    ] {
        world
            .run(&[["verify"].as_slice(), &args].concat())
            .await
            .assert_code(2);
    }
    world.change(
        "url: file://./lake",
        "partition_by: [event_date]\n  url: file://./lake",
    );
    world.run(&VERIFY).await.assert_code(2);
    assert_eq!(world.provider.counters().total_calls(), calls);
}

#[tokio::test]
async fn a_verification_that_is_interrupted_says_so() {
    let world = pulled().await;
    let held = CancellationToken::new();
    let asked = world.provider.counters().calls(endpoint::SUBMIT);
    let faults = world.provider.faults();
    faults.next(endpoint::SUBMIT, 100, Fault::Hold(held.clone()));
    let process = world.start(&VERIFY);
    let counters = world.provider.counters();
    counters.reached(endpoint::SUBMIT, asked + 1).await;
    process.signal("INT").await;
    process.says("stopping: ").await;
    held.cancel();
    let ended = process.ended().await.assert_code(130);
    ended.assert_says("not all of the range was verified; repeat the command for the rest");
}

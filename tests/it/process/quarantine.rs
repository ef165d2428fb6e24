//! `quarantine` and `status --check`, as a user sees them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::sync::Arc;

use auditlake::lake::quarantine::{QuarantineLine, id_of};
use auditlake::lake::{ClaimOutcome, JobLog, Lake, LogRun};
use auditlake::model::{Range, Timestamp};
use auditlake::sim::genesys::DatasetSpec;
use chrono::TimeDelta;
use insta::assert_snapshot;
use object_store::local::LocalFileSystem;
use serde_json::{Value, json};

use super::support::{EVENING, Transcript, World, at, files, now, one_day};

const RUN: &str = "01990000-0000-7000-8000-000000000001";

/// What a run logs has times and ids in it.
const QUIET: &[(&str, &str)] = &[("RUST_LOG", "warn")];

/// An audit that this version can read, and a torn one.
pub(super) const READABLE: &str = r#"{"id":"11111111-1111-4111-8111-111111111111","userHomeOrgId":"22222222-2222-4222-8222-222222222222","username":"n","eventDate":"2026-03-02T12:00:00.000Z","serviceName":"Routing","action":"UPDATE","entityType":"QUEUE","entity":{"id":"33333333-3333-4333-8333-333333333333","name":"q"}}"#;
pub(super) const TORN: &str = r#"{"id":"#;

/// A job that pulled its day, with a year's `max_staleness` and this number of lines in quarantine.
pub(super) async fn world(raws: &[&str]) -> World {
    let records = DatasetSpec {
        records: 50,
        ..one_day()
    };
    let world = World::new(&records, EVENING).await;
    let yaml = format!("{}    max_staleness: 3650d\n", world.yaml());
    world.configure(&yaml);
    world.run_as_of(EVENING).await.assert_code(0);
    put(
        &world,
        "quarantine",
        &format!("{RUN}-0.jsonl"),
        &lines(raws),
    );
    world
}

fn lines(raws: &[&str]) -> String {
    let asked = Range::new(at("2026-03-02T12:00:00Z"), at("2026-03-02T13:00:00Z")).unwrap();
    let mut text = String::new();
    for (n, raw) in raws.iter().enumerate() {
        let reason = format!("an older version\ncould not read it ({})", n % 2);
        let line = QuarantineLine::new(raw, reason, "Routing", asked, at(EVENING));
        text.push_str(&serde_json::to_string(&line).unwrap());
        text.push('\n');
    }
    text
}

fn folder(world: &World, name: &str) -> PathBuf {
    world.path().join("lake/_auditlake/jobs/audits").join(name)
}

fn put(world: &World, to: &str, file: &str, content: &str) {
    let to = folder(world, to);
    std::fs::create_dir_all(&to).unwrap();
    std::fs::write(to.join(file), content).unwrap();
}

fn check(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[tokio::test]
async fn from_finding_it_to_being_done_with_it() {
    let world = world(&[READABLE, TORN, "{}", TORN]).await;
    put(&world, "quarantine", "notes.txt", "not ours\n");
    let rows = world.lake().rows().len();
    let readable = id_of(READABLE.as_bytes());
    let mut shown = Transcript::default();
    for args in [
        vec!["status", "--check"],
        vec!["quarantine", "list"],
        vec!["quarantine", "show", "--job", "audits", &readable[..6]],
        vec!["quarantine", "show", "--job", "audits", "notes.txt:1"],
        vec!["quarantine", "replay", "--job", "audits", &readable[..6]],
        vec!["quarantine", "replay", "--job", "audits"],
        vec!["quarantine", "list", "--job", "audits", "--json"],
    ] {
        shown.run(world.path(), &args, QUIET).await;
    }
    assert_eq!(world.lake().rows().len(), rows + 1);
    let torn = &id_of(TORN.as_bytes())[..8];
    let by_place = format!("{RUN}-0.jsonl:3");
    for args in [
        vec![
            "quarantine",
            "ack",
            "--job",
            "audits",
            torn,
            "--note",
            "known",
        ],
        vec!["quarantine", "ack", "--job", "audits", torn, &by_place],
        vec!["status", "--check"],
        vec!["quarantine", "ack", "--job", "audits", "--all"],
        vec!["status", "--check"],
        vec!["quarantine", "ack", "--job", "audits", "--all"],
        vec!["quarantine", "list"],
        vec!["quarantine", "list", "--all"],
        vec!["quarantine", "replay", "--job", "audits"],
    ] {
        shown.run(world.path(), &args, &[]).await;
    }
    assert_snapshot!(shown.text());
    let noted = ["quarantine", "show", "--job", "audits", torn];
    let noted = world.run(&noted).await.assert_code(0);
    let lines: Vec<Value> = serde_json::Deserializer::from_str(&noted.stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(lines.len(), 2);
    let who = std::process::Command::new("sh")
        .args(["-c", "echo \"$(id -un)@$(uname -n)\""])
        .output();
    let who = String::from_utf8(who.unwrap().stdout).unwrap();
    let who = json!(who.trim());
    for line in lines {
        assert_eq!(line["raw"], TORN);
        let message = &line["acknowledged"];
        assert_eq!(
            (&message[0]["by"], &message[0]["note"]),
            (&json!("ack"), &json!("known")),
            "{message}"
        );
        assert_eq!(message.as_array().unwrap().len(), 1, "{message}");
        assert_eq!(message[0]["who"], who, "{message}");
    }
    // nothing of what lay there was touched
    let kept = std::fs::read_to_string(folder(&world, "quarantine").join(format!("{RUN}-0.jsonl")));
    assert_eq!(kept.unwrap(), self::lines(&[READABLE, TORN, "{}", TORN]));
}

#[tokio::test]
async fn mistakes() {
    let world = world(&[READABLE, TORN]).await;
    let ids = [READABLE, TORN].map(|raw| id_of(raw.as_bytes()));
    assert_ne!(ids[0][..1], ids[1][..1]);
    let mut shown = Transcript::default();
    for args in [
        vec!["quarantine"],
        vec!["quarantine", "list", "--job", "nope"],
        vec!["quarantine", "show", "--job", "audits"],
        vec!["quarantine", "show", "--job", "audits", "zz"],
        vec!["quarantine", "show", "--job", "audits", "notes.txt:1"],
        vec!["quarantine", "ack", "--job", "audits"],
        vec!["quarantine", "ack", "--job", "audits", "--all", "zz"],
        vec!["quarantine", "ack", "--job", "audits", &ids[0], "zz"],
        vec!["quarantine", "replay", "--job", "audits", ""],
        vec!["quarantine", "replay"],
    ] {
        shown.run(world.path(), &args, &[]).await;
    }
    assert_snapshot!(shown.text());
    assert_eq!(files(&folder(&world, "acknowledged")), [] as [PathBuf; 0]);
}

/// The table of runs lacks a day whose log is about to be pruned: a problem of the lake, in no job's findings.
#[tokio::test]
async fn check_reports_history_that_is_about_to_be_lost() {
    let world = world(&[]).await;
    let ago = |text: &mut Value, days| {
        let then: Timestamp = serde_json::from_value(text.take()).unwrap();
        *text = serde_json::to_value(then - TimeDelta::days(days)).unwrap();
    };
    for path in files(&folder(&world, "commits")) {
        let mut commit: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        ago(&mut commit["at"], 26);
        std::fs::write(path, commit.to_string()).unwrap();
    }
    let lost = world.run(&["status", "--check"]).await.assert_code(3);
    assert!(
        lost.stdout
            .starts_with("history: the table audit_runs lacks the history since "),
        "{}",
        lost.stdout
    );
    let json = world.run(&["status", "--check", "--json"]).await;
    let json = json.assert_code(3);
    assert_eq!(check(&json.stdout)[0]["findings"], json!([]));
    let reported = format!("error: {}", lost.stdout);
    assert_eq!(json.stderr, reported);
}

#[tokio::test]
async fn check_tells_a_stale_watermark_and_a_gap() {
    let world = World::new(&one_day(), EVENING).await;
    // it never ran
    let never = world.run(&["status", "--check"]).await.assert_code(3);
    assert_snapshot!(never.stdout, @"stale: audits was never pulled into `file://./lake`; `run --once --job audits` catches up, or reports the problem");
    // nor need it have
    world.change("start: 2026-03-02", "start: 2126-03-02");
    let ahead = world.run(&["status", "--check"]).await.assert_code(0);
    assert_eq!((ahead.stdout.as_str(), ahead.stderr.as_str()), ("", ""));
    world.change("start: 2126-03-02", "start: 2026-03-02");

    world.run_as_of(EVENING).await.assert_code(0);
    let stale = world.run(&["status", "--check"]).await.assert_code(3);
    assert!(
        stale
            .stdout
            .starts_with("stale: audits stands at 2026-03-03T00:08:00Z, "),
        "{}",
        stale.stdout
    );
    assert!(
        stale
            .stdout
            .contains(" ago, with Architect, Billing, BrandNewService2027 and 5 other streams; "),
        "{}",
        stale.stdout
    );
    assert_eq!(stale.stdout.lines().count(), 1);

    let yaml = format!("{}    max_staleness: 3650d\n", world.yaml());
    world.configure(&yaml);
    let fine = world.run(&["status", "--check"]).await.assert_code(0);
    assert_eq!((fine.stdout.as_str(), fine.stderr.as_str()), ("", ""));
    let json = world
        .run(&["status", "--check", "--json"])
        .await
        .assert_code(0);
    assert_eq!(check(&json.stdout)[0]["findings"], json!([]));

    // a backfill ran ahead and the job's start was moved before it
    let ahead = [
        "backfill",
        "--job",
        "audits",
        "--from",
        "2026-02-27",
        "--to",
        "2026-02-28",
    ];
    world.run(&ahead).await.assert_code(0);
    world.run(&["status", "--check"]).await.assert_code(0);
    world.change("start: 2026-03-02", "start: 2026-02-27");
    let gap = world.run(&["status", "--check"]).await.assert_code(3);
    assert!(
        gap.stdout
            .starts_with("gap: audits 2026-02-28T00:00:00Z..2026-03-02T00:00:00Z of "),
        "{}",
        gap.stdout
    );
    assert!(
        gap.stdout
            .ends_with("; `backfill` or the next run fills it\n"),
        "{}",
        gap.stdout
    );
    let json = world
        .run(&["status", "--check", "--json"])
        .await
        .assert_code(3);
    assert_eq!(check(&json.stdout)[0]["findings"][0]["kind"], "gap");
    // a status without --check only shows it
    let shown = world.run(&["status"]).await.assert_code(0);
    assert!(
        shown
            .stdout
            .contains("\ngap: audits 2026-02-28T00:00:00Z.."),
        "{}",
        shown.stdout
    );
}

#[tokio::test]
async fn a_stream_that_is_refused_makes_its_job_stale_and_is_named() {
    let world = World::new(&one_day(), EVENING).await;
    let yaml = format!("{}    max_staleness: 3650d\n", world.yaml());
    world.configure(&yaml);
    world.provider.forbid_service("Routing");
    let run = world.run_as_of(EVENING).await.assert_code(1);
    assert!(
        run.stdout.starts_with("audits: FAILED in 1 range, "),
        "{}",
        run.stdout
    );
    let failing = world.run(&["status", "--check"]).await.assert_code(3);
    assert!(
        failing
            .stdout
            .contains("failing: audits failed in its last run, since ")
            && failing.stdout.contains(", with stream Routing: auth: "),
        "{}",
        failing.stdout
    );
    // between the start and where the others stand
    let age = (now() - at("2026-03-02T12:00:00Z")).num_minutes();
    world.change("3650d", &format!("{age}m"));
    let stale = world.run(&["status", "--check"]).await.assert_code(3);
    assert!(
        stale
            .stdout
            .contains("\nstale: audits stands at 2026-03-02T00:00:00Z, "),
        "{}",
        stale.stdout
    );
    assert!(
        stale.stdout.contains(" ago, with Routing; "),
        "{}",
        stale.stdout
    );
}

#[tokio::test]
async fn status_tells_who_holds_a_job_and_a_replay_waits_for_it() {
    let world = world(&[READABLE]).await;
    let lake = world.path().join("lake");
    let store = LocalFileSystem::new_with_prefix(lake).unwrap();
    let lake = Lake::in_store("file://./lake", Arc::new(store), "".into());
    let run = LogRun::new("audits", TimeDelta::minutes(5));
    let ClaimOutcome::Mine(log) = JobLog::claim(&lake, run).await.unwrap() else {
        panic!("nobody else runs this job");
    };
    let held = world.run(&["status"]).await.assert_code(0);
    let by = format!("  {} on ", std::process::id());
    assert!(
        held.stdout.contains("  running  ") && held.stdout.contains(&by),
        "{}",
        held.stdout
    );
    let json = world.run(&["status", "--json"]).await.assert_code(0);
    let json = check(&json.stdout);
    assert_eq!(json[0]["claim"]["pid"], std::process::id());
    assert_eq!(
        (&json[0]["quarantined"], &json[0]["acknowledged"]),
        (&json!(1), &json!(0))
    );

    let replay = world.start(&["quarantine", "replay", "--job", "audits"]);
    replay
        .says("another run holds the job; waiting for it")
        .await;
    log.release(None).await.unwrap();
    let ended = replay.ended().await.assert_code(0);
    assert!(
        ended
            .stdout
            .ends_with("audits: 1 landed, 0 duplicate, 0 still unreadable\n"),
        "{}",
        ended.stdout
    );
    let json = world.run(&["status", "--json"]).await.assert_code(0);
    let json = check(&json.stdout);
    assert_eq!(json[0]["claim"], Value::Null);
    assert_eq!(
        (&json[0]["quarantined"], &json[0]["acknowledged"]),
        (&json!(0), &json!(1))
    );
}

#[tokio::test]
async fn a_log_that_can_t_be_read_is_no_clean_bill() {
    let world = world(&[]).await;
    world.run(&["status", "--check"]).await.assert_code(0);
    let commits = files(&folder(&world, "commits"));
    std::fs::write(commits.last().unwrap(), "hello").unwrap();
    for args in [["status", "--check"], ["status", "--json"]] {
        let ended = world.run(&args).await.assert_code(1);
        ended.assert_says("error: job `audits`: `_auditlake/jobs/audits/commits/");
    }

    // nor does what is found in another job hide it
    world.change(
        "    start:",
        "    options: {services: [Routing]}\n    start:",
    );
    let yaml = world.yaml();
    let (_, job) = yaml.split_once("jobs:\n").unwrap();
    let other = job.replace("audits", "others");
    let file = world.path().join("jobs.yaml");
    let both = std::fs::read_to_string(&file).unwrap();
    world.configure(&format!(
        "{both}{other}    options: {{services: [Architect]}}\n"
    ));
    let ended = world.run(&["status", "--check"]).await.assert_code(1);
    ended
        .assert_says("error: job `audits`: `_auditlake/jobs/audits/commits/")
        .assert_says("stale: others was never pulled");
}

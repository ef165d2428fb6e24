//! What others write, on every surface: it steers no terminal, forges no line and reads as what it is.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "the figures are for people")]

use auditlake::foreign::is_unseen;
use auditlake::lake::quarantine::QuarantineLine;
use auditlake::model::Range;
use auditlake::sim::Fault;
use auditlake::sim::genesys::endpoint;
use serde_json::{Value, json};

use super::quarantine::{READABLE, world};
use super::support::{EVENING, Process, World, at, get, until};

/// Clears a screen, sets a title, links, forges a line, turns letters round, hides some, and rings.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}1;1H\r\nerror: job is fine\n\u{202e}drow\u{202c}\u{200b}\u{2066}\u{feff}\u{2028}\u{85}\u{7f}\u{e0041}\u{1b}[8mhidden\u{1b}[0m";

/// Refuses everything in such words.
fn refuse(world: &World, status: u16) {
    let message = json!({ "message": HOSTILE, "code": HOSTILE, "contextId": HOSTILE }).to_string();
    let fault = Fault::rewritten(move |_, answer| {
        answer.status = status;
        answer.body = message.clone().into_bytes();
    });
    for endpoint in [endpoint::REALTIME, endpoint::SUBMIT, endpoint::STATUS] {
        world.provider.faults().always(endpoint, fault.clone());
    }
}

/// It contains no control characters except for our own colours, if they are requested.
#[track_caller]
fn assert_fit(what: &str, text: &str, coloured: bool) {
    let mut plain = text.to_owned();
    if coloured {
        for code in ["0", "1", "2", "3", "31", "32", "33", "34", "35"] {
            plain = plain.replace(&format!("\u{1b}[{code}m"), "");
        }
    }
    let odd = plain
        .chars()
        .find(|c| is_unseen(*c) && !matches!(c, '\n' | '\t'));
    assert_eq!(odd, None, "{what}: {}", plain.escape_debug());
    let forged = plain
        .lines()
        .find(|line| line.starts_with("error: job is fine"));
    assert_eq!(forged, None, "{what}:\n{plain}");
}

/// A lake with a quarantine of such texts.
async fn hostile_world() -> World {
    let world = world(&[READABLE]).await;
    let asked = Range::new(at("2026-03-02T12:00:00Z"), at("2026-03-02T13:00:00Z")).unwrap();
    let line = QuarantineLine::new(HOSTILE, HOSTILE.to_owned(), HOSTILE, asked, at(EVENING));
    let file =
        "lake/_auditlake/jobs/audits/quarantine/01990000-0000-7000-8000-000000000002-0.jsonl";
    let text = serde_json::to_string(&line).unwrap();
    std::fs::write(world.path().join(file), text + "\n").unwrap();
    world
}

#[tokio::test]
async fn a_terminal_and_a_log_show_what_they_are_told_and_obey_nobody() {
    let world = hostile_world().await;
    refuse(&world, 400);
    let again = "2026-03-03T04:10:00Z";
    world.provider.set_now(at(again));
    let mut tried = 0;
    for (args, code) in [
        (&["run", "--once", "--as-of", again][..], None),
        (&["run", "--once", "--as-of", again, "--json"], None),
        (
            &[
                "--log-format",
                "json",
                "-vv",
                "run",
                "--once",
                "--as-of",
                again,
            ],
            None,
        ),
        (
            &["--color", "always", "-v", "run", "--once", "--as-of", again],
            None,
        ),
        (&["status"], None),
        (&["--color", "always", "status"], None),
        (&["status", "--json"], None),
        (&["status", "--check"], Some(3)),
        (&["check"], None),
        (&["check", "--json"], None),
        (&["quarantine", "list"], Some(0)),
        (&["--color", "always", "quarantine", "list"], Some(0)),
        (&["quarantine", "list", "--json"], Some(0)),
        (
            &[
                "verify",
                "--job",
                "audits",
                "--from",
                "2026-03-02",
                "--to",
                "2026-03-03",
            ],
            None,
        ),
        (&["services", "--connection", "main"], None),
        (
            &[
                "backfill",
                "--job",
                "audits",
                "--from",
                "2026-03-02",
                "--to",
                "2026-03-03",
                "--refetch",
            ],
            None,
        ),
    ] {
        let ended = Process::start(world.path(), args, &[]).ended().await;
        if let Some(code) = code {
            assert_eq!(ended.code, Some(code), "{args:?}\n{}", ended.stderr);
        }
        let coloured = args.contains(&"always");
        assert_fit(&format!("{args:?}, stdout"), &ended.stdout, coloured);
        assert_fit(&format!("{args:?}, stderr"), &ended.stderr, coloured);
        if args.contains(&"--json") {
            let _: Value = serde_json::from_str(&ended.stdout).unwrap();
        }
        if args.contains(&"--once") {
            assert!(
                ended.stderr.contains("job is fine"),
                "{args:?}\n{}",
                ended.stderr
            );
        }
        tried += 1;
    }
    // the record itself says what it said
    let id = auditlake::lake::quarantine::id_of(HOSTILE.as_bytes());
    let shown = world
        .run(&["quarantine", "show", "--job", "audits", &id])
        .await;
    assert_fit("quarantine show", &shown.stdout, false);
    let shown: Value = serde_json::from_str(&shown.assert_code(0).stdout).unwrap();
    assert_eq!(shown["raw"], HOSTILE);
    // what a log keeps of a failure is fit to show, too
    for commit in world.lake().commits("audits") {
        for failure in commit["ended"]["failures"].as_array().into_iter().flatten() {
            assert_fit("ended.failures", failure["error"].as_str().unwrap(), false);
        }
    }
    println!("{tried} commands showed a hostile text");
}

#[tokio::test]
async fn a_list_that_a_provider_wrote_is_the_same_list() {
    let world = hostile_world().await;
    let name = "\u{202e}\u{200b}\u{7f}\u{9b}2J";
    let message = format!(r#"{{"services":[{{"name":"{name}","entities":[]}}]}}"#);
    let fault = Fault::rewritten(move |_, answer| answer.body = message.clone().into_bytes());
    for endpoint in [endpoint::REALTIME_SERVICES, endpoint::SERVICES] {
        world.provider.faults().always(endpoint, fault.clone());
    }
    let listed = world
        .run(&["services", "--connection", "main"])
        .await
        .assert_code(0);
    assert_fit("services", &listed.stdout, false);
    let first: Value = serde_json::from_str(listed.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["service"]["name"], name);
}

#[tokio::test]
async fn nor_do_the_page_the_api_and_the_metrics() {
    let world = World::live(&super::support::lately()).await;
    refuse(&world, 400);
    let daemon = world.start(&["run"]);
    let address = daemon.address().await;
    until("a run has failed", async || {
        get(&address, "/api/v1/runs?job=audits")
            .await
            .1
            .contains("job is fine")
    })
    .await;
    let runs: Value =
        serde_json::from_str(&get(&address, "/api/v1/runs?job=audits").await.1).unwrap();
    let run = format!("/runs/{}", runs["runs"][0]["id"].as_str().unwrap());
    for path in [
        "/",
        "/jobs/audits",
        &run,
        "/api/v1/jobs",
        "/api/v1/jobs/audits",
        "/api/v1/runs?job=audits",
        "/metrics",
    ] {
        let (status, text) = get(&address, path).await;
        assert_eq!(status, 200, "{path}");
        assert_fit(path, &text, false);
    }
    assert!(get(&address, &run).await.1.contains("job is fine"));
    let ended = daemon.signalled("TERM").await;
    assert_fit("the daemon", &ended.stderr, false);
}

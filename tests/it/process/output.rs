//! Results that can't be written are a failure; a reader that has seen enough is none.

use std::path::Path;

use tokio::process::Command;

use super::support::{EVENING, Ended, Process, World, one_day};

/// Runs `auditlake <arguments> <redirection>` in a folder.
async fn redirected(folder: &Path, arguments: &str, redirection: &str) -> Ended {
    let mut command = Command::new("sh");
    let line = format!("\"$auditlake\" {arguments} {redirection}");
    command.args(["-c", &line]).current_dir(folder).env_clear();
    command.env("auditlake", env!("CARGO_BIN_EXE_auditlake"));
    Process::of(command).ended().await
}

const DAY: &str = "--job audits --from 2026-03-02 --to 2026-03-03";

/// Every command that has something to say on standard output.
fn commands() -> Vec<String> {
    let mut commands: Vec<String> = [
        "--help",
        "--version",
        "help status",
        "run --help",
        "validate",
        "validate --json",
        "check",
        "check --json",
        "status",
        "status --json",
        "quarantine list",
        "quarantine list --json",
        "quarantine ack --job audits --all",
        "quarantine replay --job audits",
        "schema",
        "schema --format json",
        "schema --format duckdb",
        "schema --format markdown",
        "schema --format config",
        "services --connection main",
        "completions bash",
        "run --once --as-of 2026-03-03T00:10:00Z",
        "run --once --json --as-of 2026-03-03T00:10:00Z",
    ]
    .map(str::to_owned)
    .into();
    for command in [
        "plan",
        "plan --json",
        "backfill",
        "backfill --json",
        "verify",
        "verify --json",
    ] {
        commands.push(format!("{command} {DAY}"));
    }
    commands
}

#[tokio::test]
async fn output_that_cant_be_written_is_a_failure_and_a_closed_pipe_is_none() {
    let world = World::new(&one_day(), EVENING).await;
    world.run_as_of(EVENING).await.assert_code(0);
    for command in commands() {
        let full = redirected(world.path(), &command, "> /dev/full").await;
        assert_eq!(full.code, Some(1), "{command}: {}", full.stderr);
        assert!(
            full.stderr
                .contains("can't write to standard output: No space left on device"),
            "{command}: {}",
            full.stderr
        );
        // to a reader that is gone
        let well = redirected(world.path(), &command, "> /dev/null").await;
        let gone = redirected(world.path(), &command, "| true").await;
        assert!(
            !gone.stderr.contains("standard output"),
            "{command}: {}",
            gone.stderr
        );
        assert!(!gone.stderr.contains("panic"), "{command}: {}", gone.stderr);
        assert_eq!(well.code, Some(0), "{command}: {}", well.stderr);
    }
}

#[tokio::test]
async fn a_failure_keeps_its_own_code_and_both_are_told() {
    let world = World::new(&one_day(), EVENING).await;
    world.change("sim-secret", "wrong");
    let ended = redirected(world.path(), "run --once --json", "> /dev/full").await;
    assert_eq!(ended.code, Some(1));
    ended
        .assert_says("failed (auth)")
        .assert_says("can't write to standard output");
    // bad usage says so on the other stream
    let usage = redirected(world.path(), "no-such-command", "> /dev/full").await;
    usage.assert_code(2);
    let usage = redirected(world.path(), "run --job nope", "2> /dev/full").await;
    usage.assert_code(2);
    let help = redirected(world.path(), "--help", "| head -1")
        .await
        .assert_code(0);
    assert!(
        help.stdout.starts_with("Pulls audit logs"),
        "{}",
        help.stdout
    );
}

#[tokio::test]
async fn a_daemon_and_its_health_say_so_too() {
    let world = World::live(&super::support::lately()).await;
    let daemon = world.start(&["run"]);
    let address = daemon.address().await;
    let health = format!("health --listen {address}");
    let ended = redirected(world.path(), &health, "> /dev/full")
        .await
        .assert_code(1);
    ended.assert_says("can't write to standard output");
    redirected(world.path(), &health, "> /dev/null")
        .await
        .assert_code(0);
    daemon.signalled("TERM").await.assert_code(0);
}

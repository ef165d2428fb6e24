//! What differs between a terminal and a pipe: colours, widths, the bar. And what shells are given.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use auditlake::sim::genesys::DatasetSpec;
use tokio::process::Command;

use super::support::{EVENING, Ended, Process, World, one_day};

const BINARY: &str = env!("CARGO_BIN_EXE_auditlake");

async fn pulled() -> World {
    let records = DatasetSpec {
        records: 50,
        ..one_day()
    };
    let world = World::new(&records, EVENING).await;
    world.run_as_of(EVENING).await.assert_code(0);
    world
}

/// Runs a line of shell on a terminal that is so wide; all that it writes there is on stdout.
async fn on_a_terminal(
    folder: &Path,
    columns: usize,
    line: &str,
    environment: &[(&str, &str)],
) -> Ended {
    let mut command = Command::new("script");
    let line = format!("stty cols {columns} rows 30; {line}");
    command.args(["-q", "-e", "-c", &line, "/dev/null"]);
    command.current_dir(folder).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.env("TERM", "xterm");
    command.envs(environment.iter().copied());
    Process::of(command).ended().await
}

/// `\x1b[1m` and the like: other sequences move the cursor.
fn colours(text: &str) -> Vec<&str> {
    let sequences = text.split("\u{1b}[").skip(1);
    let code = |rest: &'_ str| rest.find(|c: char| c.is_ascii_alphabetic());
    sequences
        .filter_map(|rest| rest.get(..=code(rest)?))
        .filter(|sequence| sequence.ends_with('m'))
        .collect()
}

fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        let (_, rest) = part.split_once(|c: char| c.is_ascii_alphabetic()).unwrap();
        all + rest
    })
}

#[tokio::test]
async fn a_pipe_gets_no_escape_codes_whatever_the_terminal_can() {
    let world = pulled().await;
    let plan = ["plan", "--from", "2026-03-01", "--to", "2026-03-02"];
    let verify = [
        "verify",
        "--job=audits",
        "--from=2026-03-02",
        "--to=2026-03-03",
    ];
    for args in [
        &["status"][..],
        &["check"],
        &["quarantine", "list"],
        &["--help"],
        &["no-such-command"],
        &plan,
        &verify,
    ] {
        let environment = [("TERM", "xterm-256color"), ("CLICOLOR", "1")];
        let ended = Process::start(world.path(), args, &environment)
            .ended()
            .await;
        let all = ended.stdout + &ended.stderr;
        assert!(
            !all.is_empty() && !all.contains('\u{1b}'),
            "{args:?}: {all}"
        );
    }
    let asked = world.run(&["status", "--color", "always"]).await;
    assert!(!colours(&asked.stdout).is_empty(), "{}", asked.stdout);
}

#[tokio::test]
async fn a_terminal_gets_colours_unless_somebody_wants_none() {
    let world = pulled().await;
    let status = format!("'{BINARY}' status");
    let of = async |line: &str, environment: &[(&str, &str)]| {
        let ended = on_a_terminal(world.path(), 200, line, environment).await;
        let ended = ended.assert_code(0).assert_says("audits");
        colours(&ended.stdout).len()
    };
    assert!(of(&status, &[]).await > 0);
    assert_eq!(of(&status, &[("NO_COLOR", "1")]).await, 0);
    assert_eq!(of(&status, &[("TERM", "dumb")]).await, 0);
    assert_eq!(of(&format!("{status} --color never"), &[]).await, 0);
    // logs, too
    let log = |hour| format!("'{BINARY}' run --once --as-of 2026-03-03T{hour}:00:00Z");
    assert!(of(&log("03"), &[]).await > 0);
    assert_eq!(of(&log("06"), &[("NO_COLOR", "1")]).await, 0);
}

#[tokio::test]
async fn tables_fit_the_terminal_and_lose_no_number() {
    let world = pulled().await;
    for args in ["status", "plan --from 2026-03-01 --to 2026-03-02"] {
        for columns in [50, 80, 100, 200] {
            let line = format!("'{BINARY}' {args}");
            let ended = on_a_terminal(world.path(), columns, &line, &[]).await;
            let text = plain(&ended.assert_code(0).stdout);
            let table = text.split("\n\r\n").next().unwrap();
            for line in table.lines() {
                let width = line.trim_end().chars().count();
                assert!(width <= columns, "{columns}:\n{text}");
            }
            assert!(text.contains("2026-03-0"), "{text}");
        }
    }
    // a terminal that doesn't say how wide it is gets whole lines
    let line = format!("'{BINARY}' status");
    let wide = on_a_terminal(world.path(), 0, &line, &[("NO_COLOR", "1")]).await;
    let piped = world.run(&["status"]).await;
    let heading = |ended: &Ended| ended.stdout.lines().next().unwrap().trim_end().to_owned();
    assert_eq!(heading(&wide), heading(&piped));
}

#[tokio::test]
async fn a_backfill_shows_how_far_it_is() {
    let world = pulled().await;
    let line =
        format!("'{BINARY}' backfill --job audits --from 2026-03-01 --to 2026-03-02 > summary");
    let ended = on_a_terminal(world.path(), 100, &line, &[("NO_COLOR", "1")]).await;
    let shown = ended.assert_code(0).stdout;
    assert_eq!(colours(&shown), Vec::<&str>::new());
    let text = plain(&shown);
    assert!(
        text.contains("audits  0/192 windows  time left unknown  ░"),
        "{text}"
    );
    assert!(text.contains("0 rows; "), "{text}");
    assert!(text.contains(" of 1000/s calls left"), "{text}");
    // what is logged stands in lines of its own
    let written = shown.split("\u{1b}[");
    let logged: Vec<&str> = written.filter(|text| text.contains("INFO")).collect();
    assert!(!logged.is_empty(), "{text}");
    for logged in logged {
        let (before, _) = logged.split_once("INFO").unwrap();
        assert!(!before.contains("calls left"), "{logged}");
    }
    let summary = std::fs::read_to_string(world.path().join("summary")).unwrap();
    assert!(summary.starts_with("audits: 0 new, "), "{summary}");
}

/// What bash offers after these words.
async fn offered(folder: &Path, words: &[&str]) -> Vec<String> {
    let script = format!(
        "source <('{BINARY}' completions bash) && COMP_WORDS=({words}) && COMP_CWORD={last} && \
         _auditlake auditlake \"${{COMP_WORDS[COMP_CWORD]}}\" \
         \"${{COMP_WORDS[COMP_CWORD-1]}}\" && printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words = words.join(" "),
        last = words.len() - 1,
    );
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", &script]).current_dir(folder);
    let ended = Process::of(command).ended().await.assert_code(0);
    ended.stdout.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn bash_completes_commands_options_and_values() {
    let folder = tempfile::tempdir().unwrap();
    let offers = |words: &'static [&'static str]| offered(folder.path(), words);
    assert_eq!(offers(&["auditlake", "back"]).await, ["backfill"]);
    let options = offers(&["auditlake", "backfill", "--re"]).await;
    assert_eq!(options, ["--refetch"]);
    assert_eq!(offers(&["auditlake", "quarantine", "re"]).await, ["replay"]);
    let formats = offers(&["auditlake", "schema", "--format", "du"]).await;
    assert_eq!(formats, ["duckdb"]);
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let args = ["completions", shell];
        let ended = Process::start(folder.path(), &args, &[]).ended().await;
        let ended = ended.assert_code(0);
        assert!(ended.stdout.contains("quarantine"), "{shell}");
    }
}

#[tokio::test]
async fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let args = ["man", pages.to_str().unwrap()];
    let ended = Process::start(folder.path(), &args, &[]).ended().await;
    let ended = ended.assert_code(0);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    for (page, part) in [
        ("auditlake.1", "exactly once"),
        ("auditlake-backfill.1", "refetch"),
        ("auditlake-quarantine-replay.1", "Parse open lines again"),
    ] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(part), "{page}: {text}");
    }
    let args = ["man", "/dev/null/man1"];
    let refused = Process::start(folder.path(), &args, &[]).ended().await;
    refused
        .assert_code(1)
        .assert_says("can't write manual pages into `/dev/null/man1`");
}

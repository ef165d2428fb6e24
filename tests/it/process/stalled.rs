//! Standard error is a pipe that nobody reads: the program continues, and ends.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::support::{EVENING, World, get, lately, one_day, until};

const PATIENCE: Duration = Duration::from_secs(30);

/// The binary, and standard error is read by nobody but the test.
fn start(world: &World, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auditlake"));
    command.args(args).current_dir(world.path()).env_clear();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // each step of each request and task has its line
    command
        .env("RUST_LOG", "trace")
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// An address where nobody listens yet.
fn free_address() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().to_string()
}

async fn terminate(mut child: Child) -> Option<i32> {
    let kill = format!("kill -TERM {}", child.id().unwrap());
    let sent = Command::new("sh").args(["-c", &kill]).status().await;
    assert!(sent.unwrap().success());
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    ended.expect("it ends").unwrap().code()
}

fn dropped(metrics: &str) -> u64 {
    let line = metrics
        .lines()
        .find(|line| line.starts_with("auditlake_log_lines_dropped_total "));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_daemon_whose_log_nobody_reads_answers_works_and_stops() {
    let world = World::live(&lately()).await;
    let address = free_address();
    world.change("127.0.0.1:0", &address);
    let mut daemon = start(&world, &["--log-format", "json", "run"]);
    auditlake::tls::install();
    let scrape = async || match reqwest::get(format!("http://{address}/metrics")).await {
        Ok(answer) => answer.text().await.unwrap(),
        Err(_) => String::new(), // it doesn't listen yet
    };
    let answering = async || !scrape().await.is_empty();
    until("it listens", answering).await;
    // more than any pipe holds
    until("lines are dropped", async || dropped(&scrape().await) > 0).await;
    assert_eq!(get(&address, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(&address, "/readyz").await.0, 200);
    world.assert_all_landed();

    // a reader that resumes gets a message
    let mut stderr = daemon.stderr.take().unwrap();
    let mut message = String::new();
    let mut buffer = vec![0; 1 << 16];
    let reading = async {
        while !message.contains("log lines dropped: stderr wasn't read fast enough") {
            let read = stderr.read(&mut buffer).await.unwrap();
            assert!(read > 0, "it ended");
            message.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("it says so");
    // and stops again
    assert_eq!(terminate(daemon).await, Some(0));
}

#[tokio::test]
async fn a_command_whose_log_nobody_reads_ends_too() {
    let world = World::new(&one_day(), EVENING).await;
    let args = ["run", "--once", "--as-of", EVENING];
    let mut child = start(&world, &args);
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    assert_eq!(ended.expect("it ends").unwrap().code(), Some(0));
    world.assert_all_landed();
}

/// Nothing is lost of what is read, however much it is and however fast the process ends.
#[tokio::test]
async fn all_that_is_read_is_there() {
    let world = World::new(&one_day(), EVENING).await;
    let ended = world
        .run(&["-vv", "run", "--once", "--as-of", EVENING])
        .await;
    let ended = ended.assert_code(0);
    assert!(
        ended.stderr.lines().count() > 300,
        "{}",
        ended.stderr.lines().count()
    );
    assert!(!ended.stderr.contains("dropped"));
    world.configure("lake: 3");
    let ended = world.run(&["run"]).await.assert_code(2);
    ended.assert_says("jobs.yaml:1:");
}

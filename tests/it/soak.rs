//! Weeks of ticks in minutes: nothing grows. A range of very many rows: memory doesn't.
//!
//! What is measured runs in a process of its own, this test started again; the providers stay in the first one.
//! `AUDITLAKE_SOAK_WEEKS` and `AUDITLAKE_SOAK_ROWS` say how long (`make soak`).
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "the figures are for people")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use auditlake::clock::{Clock, real_now};
use auditlake::config::Config;
use auditlake::lake;
use auditlake::metrics::Metrics;
use auditlake::model::Timestamp;
use auditlake::run::{self, RunMode, RunOptions, RunOutcome};
use auditlake::setup::{self, ScheduledJob};
use auditlake::sim::{Providers, ProvidersSpec};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::rig::{at, failures};

/// The folder of the lake; set where a test is the process that is measured.
const MEASURED: &str = "AUDITLAKE_SOAK_MEASURED";
/// What the measured process prints for the one that started it.
const NOW: &str = "it is now ";
const BEGIN: &str = "2026-03-01T00:00:00Z";
/// Commits are pruned once they are older than this.
const KEPT: Duration = Duration::from_hours(24 * 31);

fn asked(name: &str, default: i64) -> i64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn weeks() -> i64 {
    asked("AUDITLAKE_SOAK_WEEKS", 2)
}

/// Starts this test again, to be measured; passes each instant that it reaches to `at`, before it continues.
fn measure(test: &str, environment: &[(&str, String)], mut at: impl FnMut(Timestamp)) {
    let folder = tempfile::tempdir().unwrap();
    let mut measured = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(MEASURED, folder.path())
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut go_on = measured.stdin.take().unwrap();
    for line in BufReader::new(measured.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.strip_prefix(NOW) {
            Some(now) => {
                at(now.parse().unwrap());
                // a process that has failed doesn't read
                let _ = writeln!(go_on);
            }
            None => println!("{line}"),
        }
    }
    assert!(measured.wait().unwrap().success());
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    kilobytes: u64,
    files: usize,
    tasks: usize,
    /// Commits in the logs of all jobs, and how long the largest is in bytes.
    commits: usize,
    largest: u64,
    /// What else lies in `_auditlake` but quarantine.
    other: usize,
}

impl Held {
    fn now(lake: &Path) -> Self {
        let internal = files(&lake.join("_auditlake"));
        let (commits, other): (Vec<_>, Vec<_>) =
            (internal.iter()).partition(|file| file.to_str().unwrap().contains("/commits/"));
        let is_quarantine = |file: &&&PathBuf| file.to_str().unwrap().contains("/quarantine/");
        Self {
            kilobytes: memory("VmRSS:"),
            files: fs::read_dir("/proc/self/fd").unwrap().count(),
            tasks: tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks(),
            commits: commits.len(),
            largest: (commits.iter())
                .map(|file| fs::metadata(file).unwrap().len())
                .max()
                .unwrap_or(0),
            other: other.iter().filter(|file| !is_quarantine(file)).count(),
        }
    }

    /// The most of each.
    fn most(all: &[Self]) -> Self {
        let most = |of: fn(&Self) -> usize| all.iter().map(of).max().unwrap();
        Self {
            kilobytes: all.iter().map(|held| held.kilobytes).max().unwrap(),
            files: most(|held| held.files),
            tasks: most(|held| held.tasks),
            commits: most(|held| held.commits),
            largest: all.iter().map(|held| held.largest).max().unwrap(),
            other: most(|held| held.other),
        }
    }
}

/// A line of `/proc/self/status`, in kilobytes.
fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|found| found.starts_with(line))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// All jobs of a configuration, whose variables are in the environment.
async fn jobs(yaml: &str, folder: &str) -> Vec<ScheduledJob> {
    let environment = |name: &str| match name {
        "LAKE_URL" => Some(format!("file://{folder}")),
        name => std::env::var(name).ok(),
    };
    let config = Config::parse("jobs.yaml", yaml, &environment).unwrap();
    let lake = setup::lake(&config.lake).unwrap();
    lake.prepare(&setup::layout(&config.lake)).await.unwrap();
    let metrics = Metrics::default();
    setup::jobs(&config, &lake, &[], &metrics).unwrap()
}

/// One run, in which nothing fails.
async fn run(job: &ScheduledJob, now: Timestamp) -> run::RunReport {
    let options = RunOptions {
        clock: Clock::AsOf(now),
        ..RunOptions::new(CancellationToken::new())
    };
    let RunOutcome::Ran(report) = run::run(&job.job, RunMode::Due, &options).await.unwrap() else {
        panic!("nobody else runs this job");
    };
    assert_eq!(failures(&report), "");
    assert!(!report.unfinished);
    report
}

/// The repository's own jobs: four providers, each with records that can't be read and late ones, every six hours.
#[tokio::test]
async fn weeks_of_ticks_leave_memory_files_tasks_and_state_flat() {
    if let Ok(folder) = std::env::var(MEASURED) {
        return live_for_weeks(&folder).await;
    }
    let from = at(BEGIN);
    let providers = Providers::start(ProvidersSpec {
        records: usize::try_from(weeks() * 1_000).unwrap(),
        from,
        to: from + TimeDelta::weeks(weeks()),
        now: from,
        latency: Duration::ZERO,
    });
    let providers = Arc::new(providers.await.unwrap());
    let mut environment = providers.environment();
    environment.push(("AUDITLAKE_START", BEGIN.to_owned()));
    let clock = Arc::clone(&providers);
    let test = "soak::weeks_of_ticks_leave_memory_files_tasks_and_state_flat";
    let measured = move || measure(test, &environment, |now| clock.set_now(now));
    tokio::task::spawn_blocking(measured).await.unwrap();
}

async fn live_for_weeks(folder: &str) {
    let yaml = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/jobs.yaml")).unwrap();
    // a window as long as the time between two ticks
    let jobs = jobs(&yaml.replace("window: 1h", "window: 6h"), folder).await;
    let end = at(BEGIN) + TimeDelta::weeks(weeks());
    let mut now = at(BEGIN) + TimeDelta::hours(7);
    let mut held = Vec::new();
    let (mut rows, mut runs, mut most_commits) = (0, 0, 0);
    while now < end {
        println!("{NOW}{}", now.to_rfc3339());
        std::io::stdin().read_line(&mut String::new()).unwrap();
        for job in &jobs {
            rows += run(job, now).await.totals.counts.new;
            runs += 1;
        }
        held.push(Held::now(Path::new(folder)));
        // tomorrow, what is in the logs is a month old
        for file in files(&Path::new(folder).join("_auditlake")) {
            let old = SystemTime::from(real_now()) - KEPT;
            let file = fs::File::options().append(true).open(file).unwrap();
            file.set_modified(old).unwrap();
        }
        now += TimeDelta::hours(6);
    }
    for job in &jobs {
        let newest = lake::newest(&job.job.lake, &job.job.name).await.unwrap();
        most_commits = most_commits.max(newest.unwrap().version);
    }
    let (first, second) = held.split_at(held.len() / 2);
    let (first, second) = (Held::most(first), Held::most(second));
    println!(
        "tried: a soak of {} weeks, {runs} runs, {rows} rows, {most_commits} commits of one job\nfirst half:  {first:?}\nsecond half: {second:?}",
        weeks()
    );
    assert!(rows > 0 && held.len() > 40, "a life too short to tell");
    // ids of a day, buffers and what the allocator keeps come and go
    assert!(
        second.kilobytes < first.kilobytes + first.kilobytes / 10 + 8_000,
        "memory grows"
    );
    assert!(second.files <= first.files + 2, "open files grow");
    assert!(second.tasks <= first.tasks + 2, "tasks grow");
    assert!(most_commits > 150, "nothing to prune: {most_commits}");
    // 64 commits until the log is tidied, and those of the run that does so
    let bound = jobs.len() * 80;
    assert!(second.commits <= bound, "the logs grow");
    assert!(second.largest <= first.largest * 2, "commits grow");
    assert!(second.other <= first.other, "state objects grow");
}

/// A provider that generates each page on request: a number of audits of one hour.
async fn endless(rows: i64) -> String {
    async fn page(State(rows): State<i64>, body: String) -> String {
        let asked: Value = serde_json::from_str(&body).unwrap();
        let (number, size) = (
            asked["pageNumber"].as_i64().unwrap(),
            asked["pageSize"].as_i64().unwrap(),
        );
        let indices = (number - 1) * size..rows.min(number * size);
        let entities: Vec<Value> = indices
            .map(|index| {
                let time = at(BEGIN) + TimeDelta::hours(1) * i32::try_from(index).unwrap() / i32::try_from(rows).unwrap();
                json!({
                    "id": format!("{:032x}", u128::try_from(index).unwrap().wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
                    "eventDate": time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
                    "serviceName": "Architect", "action": "Update", "entityType": "Flow",
                    "user": {"id": format!("user {}", index % 100)},
                    "context": {"filler": "x".repeat(300)},
                })
            })
            .collect();
        let pages = (rows + size - 1) / size;
        json!({"entities": entities, "pageCount": pages, "pageNumber": number, "pageSize": size})
            .to_string()
    }
    let mapping = || async { json!({"services": [{"name": "Architect"}]}).to_string() };
    let token = || async {
        json!({"access_token": "t", "expires_in": 86_400, "token_type": "bearer"}).to_string()
    };
    let router = Router::new()
        .route("/oauth/token", post(token))
        .route("/api/v2/audits/query/servicemapping", get(mapping))
        .route("/api/v2/audits/query/realtime/servicemapping", get(mapping))
        .route("/api/v2/audits/query/realtime", post(page))
        .with_state(rows);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// No cursor is kept but in the commits of a full part, and no record but in the open part.
#[tokio::test]
async fn a_range_of_very_many_rows_stays_within_its_memory() {
    if let Ok(folder) = std::env::var(MEASURED) {
        return pull_one_range(&folder).await;
    }
    let rows = asked("AUDITLAKE_SOAK_ROWS", 40_000);
    let url = endless(rows).await;
    let environment = [("URL", url), ("ROWS", rows.to_string())];
    let test = "soak::a_range_of_very_many_rows_stays_within_its_memory";
    let measured = move || measure(test, &environment, |_| ());
    tokio::task::spawn_blocking(measured).await.unwrap();
}

/// A process that has only begun meets a record of a day that the lake is full of.
#[tokio::test]
async fn figures_of_deduplication_against_a_full_day() {
    if let Ok(part) = std::env::var("PART") {
        return meet_a_full_day(&part).await;
    }
    let rows = asked("AUDITLAKE_DEDUP_ROWS", 20_000);
    let lake = tempfile::tempdir().unwrap();
    let folder = lake.path().to_str().unwrap().to_owned();
    for (part, rows_shown) in [("fill", rows), ("meet", 100)] {
        let environment = [
            ("PART", part.to_owned()),
            ("URL", endless(rows_shown).await),
            ("ROWS", rows.to_string()),
            ("FOLDER", folder.clone()),
        ];
        let test = "soak::figures_of_deduplication_against_a_full_day";
        let measured = move || measure(test, &environment, |_| ());
        tokio::task::spawn_blocking(measured).await.unwrap();
    }
}

async fn meet_a_full_day(part: &str) {
    let rows: u64 = std::env::var("ROWS").unwrap().parse().unwrap();
    let jobs = jobs(&one_range(), &std::env::var("FOLDER").unwrap()).await;
    if part == "fill" {
        let report = run(&jobs[0], at(BEGIN) + TimeDelta::hours(1)).await;
        assert_eq!(report.totals.counts.new, rows);
        return;
    }
    let before = memory("VmRSS:");
    let begun = std::time::Instant::now();
    let report = run(&jobs[0], at(BEGIN) + TimeDelta::hours(2)).await;
    let took = begun.elapsed();
    let more = memory("VmHWM:") - before;
    assert_eq!(
        report.totals.counts.duplicate, 100,
        "the same day's records"
    );
    println!("figure: dedup_ids {rows}");
    println!("figure: dedup_seconds {:.3}", took.as_secs_f64());
    println!("figure: dedup_megabytes {}", more.div_ceil(1_000));
    // a set that is at most half empty, the columns that are being read, and all that any run needs
    assert!(
        more < 24_000 + rows * 40 / 1_000,
        "{more} kB for {rows} ids"
    );
}

/// A job that pulls an hour of one service.
fn one_range() -> String {
    format!(
        "lake: {{url: '${{LAKE_URL}}', target_file_size: 32MiB}}
connections:
  prod: {{provider: genesys_cloud, base_url: '${{URL}}', login_url: '${{URL}}', allow_http: true, client_id: c,
    client_secret: s, rate_limit: 1000000/s}}
jobs:
  - {{name: job, connection: prod, schedule: '@hourly', start: '{BEGIN}', window: 1h, lag: 0s, settle: [],
    options: {{mode: realtime, services: [Architect]}}}}
"
    )
}

async fn pull_one_range(folder: &str) {
    let jobs = jobs(&one_range(), folder).await;
    let before = memory("VmHWM:");
    let report = run(&jobs[0], at(BEGIN) + TimeDelta::hours(1)).await;
    let peak = memory("VmHWM:");
    let rows: u64 = std::env::var("ROWS").unwrap().parse().unwrap();
    println!(
        "tried: {rows} rows in one range: {} MB at most, {} MB before",
        peak / 1_000,
        before / 1_000
    );
    assert_eq!(report.totals.counts.new, rows);
    // parts of 32 MiB while they are open and once more while they are encoded, pages on their way, ids of 16 bytes
    // in a set that is at most half empty
    let bound = 192_000 + rows * 40 / 1_000;
    assert!(peak < bound, "{peak} kB for {rows} rows, not {bound}");
}

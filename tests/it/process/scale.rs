//! A daemon with 1,000 jobs on 200 connections: do they begin on time, and what do they cost between ticks?
//!
//! These are measurements: they need the machine for themselves for two minutes, and say nothing of a debug build.
//! `AUDITLAKE_FIGURES=1 AUDITLAKE_BIN=target/release/auditlake cargo nextest run --success-output immediate figures_`
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "the figures are for people")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auditlake::model::Timestamp;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::support::{now, until};

const SERVICES: [&str; 5] = [
    "Architect",
    "ContactCenter",
    "Directory",
    "PeoplePermissions",
    "Routing",
];
/// Seconds between two ticks of the jobs that are measured while they run.
const EVERY: i64 = 20;
const TICKS: usize = 3;
/// A pool's threads end after ten seconds without work.
const CALM: Duration = Duration::from_secs(13);
const WATCHED: Duration = Duration::from_secs(20);

/// When each job asked for its audits.
type Asked = Arc<Mutex<Vec<(String, Timestamp)>>>;

/// An account for every client id, without audits, distinguished by their tokens.
async fn quiet_provider(asked: Asked) -> String {
    let mapping = || async {
        let services: Vec<Value> = SERVICES.map(|name| json!({ "name": name })).into();
        json!({ "services": services }).to_string()
    };
    let token = |headers: HeaderMap| async move {
        let token = headers["authorization"].to_str().unwrap();
        let token = token.trim_start_matches("Basic ").trim_end_matches('=');
        json!({"access_token": token, "expires_in": 86_400, "token_type": "bearer"}).to_string()
    };
    let page = |State(asked): State<Asked>, headers: HeaderMap, body: String| async move {
        let at = now();
        let token = headers["authorization"].to_str().unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        let job = format!("{token} {}", body["serviceName"]);
        asked.lock().unwrap().push((job, at));
        json!({"entities": [], "pageCount": 0, "pageNumber": 1, "pageSize": 500}).to_string()
    };
    let router = Router::new()
        .route("/oauth/token", post(token))
        .route("/api/v2/audits/query/servicemapping", get(mapping))
        .route("/api/v2/audits/query/realtime/servicemapping", get(mapping))
        .route("/api/v2/audits/query/realtime", post(page))
        .with_state(asked);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// A daemon with this number of jobs, five per connection; killed when dropped.
struct Daemon {
    child: Child,
    message: Arc<Mutex<Said>>,
    _folder: TempDir,
}

/// What its log says.
#[derive(Debug, Default)]
struct Said {
    ended: usize,
    /// How late each run began, in milliseconds.
    late: Vec<i64>,
    /// Warnings and errors.
    complaints: Vec<String>,
}

impl Daemon {
    fn start(jobs: usize, schedule: &str, url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let start = (now() - TimeDelta::hours(1)).to_rfc3339();
        let mut yaml = format!(
            "lake: {{url: 'file://./lake'}}\nserver: {{listen: '127.0.0.1:0'}}\n\
             defaults: {{start: '{start}', lag: 0s, settle: []}}\nconnections:\n"
        );
        for connection in 0..jobs.div_ceil(SERVICES.len()) {
            writeln!(
                yaml,
                "  c{connection}: {{provider: genesys_cloud, base_url: '{url}', login_url: '{url}', allow_http: true, \
                 client_id: c{connection}, client_secret: s, rate_limit: 1000000/s}}"
            )
            .unwrap();
        }
        yaml.push_str("jobs:\n");
        for job in 0..jobs {
            let (connection, service) = (job / SERVICES.len(), SERVICES[job % SERVICES.len()]);
            writeln!(
                yaml,
                "  - {{name: j{job}, connection: c{connection}, schedule: '{schedule}', window: 6h, \
                 options: {{mode: realtime, services: [{service}]}}}}"
            )
            .unwrap();
        }
        fs::write(folder.path().join("jobs.yaml"), yaml).unwrap();
        let binary = std::env::var("AUDITLAKE_BIN").map_or_else(
            |_| PathBuf::from(env!("CARGO_BIN_EXE_auditlake")),
            |binary| fs::canonicalize(binary).unwrap(),
        );
        let mut child = Command::new(binary)
            .args(["--log-format", "json", "run"])
            .current_dir(folder.path())
            .env("RUST_LOG", "warn,auditlake=info,auditlake::scheduler=debug")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let message = Arc::<Mutex<Said>>::default();
        let (log, hear) = (child.stderr.take().unwrap(), Arc::clone(&message));
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines() {
                let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
                hear.lock().unwrap().hear(&line);
            }
        });
        Self {
            child,
            message,
            _folder: folder,
        }
    }

    async fn has_run(&self, times: usize) {
        until("the runs have ended", async || {
            self.message.lock().unwrap().ended >= times
        })
        .await;
    }

    /// Nanoseconds of CPU since its start.
    fn cpu(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks
            .filter_map(|task| fs::read_to_string(task.unwrap().path().join("schedstat")).ok())
            .map(|stat| -> u64 { stat.split(' ').next().unwrap().parse().unwrap() })
            .sum()
    }

    /// A line of its `/proc/…/status`.
    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Said {
    fn hear(&mut self, line: &Value) {
        match (line["level"].as_str(), line["message"].as_str()) {
            (Some("WARN" | "ERROR"), _) => self.complaints.push(line.to_string()),
            (_, Some("run ended")) => self.ended += 1,
            (_, Some("begins")) => self.late.push(line["late_ms"].as_i64().unwrap()),
            _ => {}
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures")]
fn float(number: u64) -> f64 {
    number as f64
}

/// The cost of one more job between 10 and 1,000 of them, over that between 10 and 100.
fn times_linear([ten, hundred, thousand]: [u64; 3]) -> f64 {
    let most = (float(thousand) - float(ten)) / 990.0;
    most / ((float(hundred) - float(ten)) / 90.0)
}

fn percentile_99(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values[values.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_of_a_thousand_jobs() {
    if std::env::var("AUDITLAKE_FIGURES").is_err() {
        println!("not measured: AUDITLAKE_FIGURES isn't set");
        return;
    }
    cost_between_ticks().await;
    lateness().await;
}

/// Their first runs, and what they hold and do after them.
async fn cost_between_ticks() {
    let url = quiet_provider(Asked::default()).await;
    let (mut kilobytes, mut idle, mut run) = ([0; 3], [0; 3], [0; 3]);
    let mut daemons = Vec::new();
    for (index, jobs) in [10, 100, 1_000].into_iter().enumerate() {
        let daemon = Daemon::start(jobs, "@yearly", &url);
        daemon.has_run(jobs).await;
        run[index] = daemon.cpu();
        daemons.push(daemon);
    }
    tokio::time::sleep(CALM).await;
    let before: Vec<u64> = daemons.iter().map(Daemon::cpu).collect();
    tokio::time::sleep(WATCHED).await;
    for (index, daemon) in daemons.iter().enumerate() {
        idle[index] = daemon.cpu() - before[index];
        kilobytes[index] = daemon.status("VmRSS:");
        assert_eq!(daemon.message.lock().unwrap().complaints, [""; 0]);
    }
    println!("kB resident of 10, 100, 1,000 idle jobs: {kilobytes:?}");
    println!("ns of CPU in {WATCHED:?} between ticks: {idle:?}");
    println!("ns of CPU until each had run once: {run:?}");
    println!("figure: idle_10_jobs_kb {}", kilobytes[0]);
    println!("figure: scale_memory_ratio {:.3}", times_linear(kilobytes));
    // what is left of it doesn't depend on jobs, so that the cost of one more is nothing that could be divided by
    let cpu = float(idle[2]) / (100.0 * float(idle[0]));
    println!("figure: scale_cpu_ratio {cpu:.3}");
    println!("figure: scale_run_cpu_ratio {:.3}", times_linear(run));
}

/// All 1,000 due in the same second, tick after tick.
async fn lateness() {
    let asked = Asked::default();
    let url = quiet_provider(Arc::clone(&asked)).await;
    let daemon = Daemon::start(1_000, &format!("*/{EVERY} * * * * *"), &url);
    daemon.has_run(1_000).await;
    asked.lock().unwrap().clear();
    for tick in 1..=TICKS {
        daemon.has_run(1_000 * (tick + 1)).await;
    }
    let message = daemon.message.lock().unwrap();
    assert_eq!(message.complaints, [""; 0]);
    let late: Vec<i64> = message.late[1_000..]
        .iter()
        .take(1_000 * TICKS)
        .copied()
        .collect();
    // the first question of each job after each tick
    let mut first = BTreeMap::new();
    for (job, at) in asked.lock().unwrap().iter() {
        let tick = at.timestamp() / EVERY * EVERY;
        let tick = DateTime::from_timestamp(tick, 0).unwrap();
        first
            .entry((job.clone(), tick))
            .or_insert((*at - tick).num_milliseconds());
    }
    println!("{} runs, {} first requests", late.len(), first.len());
    println!("figure: tick_lateness_p99_ms {}", percentile_99(late));
    println!(
        "figure: tick_first_request_p99_ms {}",
        percentile_99(first.into_values().collect())
    );
    println!("figure: tick_peak_kb {}", daemon.status("VmHWM:"));
}

//! A simulated provider, a configuration that names it, the binary as a child process, and what lies in the lake.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use auditlake::sim::Clock;
use auditlake::sim::genesys::{self, Dataset, DatasetSpec, Genesys, GenesysSettings};
use chrono::{DateTime, TimeDelta, Utc};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A provider and a folder with a configuration and, unless it says otherwise, the lake.
pub(crate) struct World {
    pub(crate) provider: Genesys,
    folder: TempDir,
}

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// 2,000 records of 2026-03-02 that can all be seen shortly after they happened.
pub(crate) fn one_day() -> DatasetSpec {
    DatasetSpec {
        records: 2_000,
        from: at("2026-03-02T00:00:00Z"),
        to: at("2026-03-03T00:00:00Z"),
        late_share: 0.0,
        ..DatasetSpec::default()
    }
}

/// The day is over, and so is the lag of pulls.
pub(crate) const EVENING: &str = "2026-03-03T00:10:00Z";

/// Some records of the last two hours: for daemons, which keep to the real clock.
pub(crate) fn lately() -> DatasetSpec {
    let now = DateTime::from_timestamp(now().timestamp(), 0).unwrap();
    DatasetSpec {
        records: 500,
        from: now - TimeDelta::hours(2),
        to: now - TimeDelta::minutes(10),
        late_share: 0.0,
        largest_tie: 50,
        ..DatasetSpec::default()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a daemon keeps to the real clock"
)]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

impl World {
    /// A provider with these records whose clock stands at `now`.
    pub(crate) async fn new(records: &DatasetSpec, now: &str) -> Self {
        Self::with(records, Clock::Fixed(at(now))).await
    }

    /// A provider with these records and the real clock.
    pub(crate) async fn live(records: &DatasetSpec) -> Self {
        Self::with(records, Clock::System).await
    }

    /// A provider with these records whose clock is ahead of this machine's, or behind it.
    pub(crate) async fn ahead_by(records: &DatasetSpec, by: TimeDelta) -> Self {
        Self::with(records, Clock::RunningFrom(now() + by)).await
    }

    async fn with(records: &DatasetSpec, clock: Clock) -> Self {
        let settings = GenesysSettings {
            clock,
            running_polls: 0,
            token_lifetime: Duration::from_hours(5_000),
            ..GenesysSettings::default()
        };
        let provider = genesys::start(settings, Dataset::generate(records)).await;
        let world = Self {
            provider: provider.unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        let start = records.from.to_rfc3339();
        world.configure(&world.yaml().replace("2026-03-02", &start));
        world
    }

    /// One job, `audits`, that pulls everything since 2026-03-02 into `./lake`.
    pub(crate) fn yaml(&self) -> String {
        format!(
            r#"lake:
  url: file://./lake
  target_file_size: 1MiB
server:
  listen: 127.0.0.1:0
connections:
  main:
    provider: genesys_cloud
    base_url: {}
    login_url: {}
    allow_http: true
    client_id: sim-client
    client_secret: sim-secret
    rate_limit: 1000/s
jobs:
  - name: audits
    connection: main
    schedule: "*/2 * * * * *"
    start: 2026-03-02
"#,
            self.provider.base_url(),
            self.provider.login_url()
        )
    }

    pub(crate) fn configure(&self, yaml: &str) {
        std::fs::write(self.path().join("jobs.yaml"), yaml).unwrap();
    }

    /// Replaces something that must be there.
    pub(crate) fn change(&self, what: &str, with: &str) {
        let file = self.path().join("jobs.yaml");
        let yaml = std::fs::read_to_string(file).unwrap();
        assert!(yaml.contains(what), "no {what:?} in\n{yaml}");
        self.configure(&yaml.replace(what, with));
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn lake(&self) -> Lake {
        Lake(self.path().join("lake"))
    }

    pub(crate) fn start(&self, args: &[&str]) -> Process {
        Process::start(self.path(), args, &[])
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Ended {
        self.start(args).ended().await
    }

    /// `run --once --as-of now`, `now` being the provider's too.
    pub(crate) async fn run_as_of(&self, now: &str) -> Ended {
        self.provider.set_now(at(now));
        self.run(&["run", "--once", "--as-of", now]).await
    }

    /// The lake holds what the provider shows now of what happened before `to`: no less, no more, byte for byte.
    #[track_caller]
    pub(crate) fn assert_landed_before(&self, to: DateTime<Utc>) {
        let truth =
            self.provider
                .dataset()
                .truth(DateTime::<Utc>::MIN_UTC, to, self.provider.now());
        let mut truth: Vec<Row> = truth
            .into_iter()
            .map(|row| (row.id, row.event_time_micros, row.raw.to_owned()))
            .collect();
        truth.sort();
        let rows = self.lake().rows();
        assert!(!truth.is_empty());
        assert_eq!(rows.len(), truth.len(), "rows in the lake");
        assert!(rows == truth, "rows differ from what the provider shows");
    }

    #[track_caller]
    pub(crate) fn assert_all_landed(&self) {
        self.assert_landed_before(DateTime::<Utc>::MAX_UTC);
    }
}

/// Event id, microseconds, the record's bytes.
pub(crate) type Row = (String, i64, String);

/// A lake in a folder.
pub(crate) struct Lake(pub(crate) PathBuf);

impl Lake {
    /// What a plain `**/*.parquet` shows, in order.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for file in files(&self.0) {
            if file
                .extension()
                .is_none_or(|extension| extension != "parquet")
            {
                continue;
            }
            let file = std::fs::File::open(file).unwrap();
            let batches = ParquetRecordBatchReaderBuilder::try_new(file)
                .unwrap()
                .build();
            for batch in batches.unwrap() {
                let batch = batch.unwrap();
                let column = |name| batch.column_by_name(name).unwrap();
                let (id, raw) = (column("event_id"), column("raw"));
                let time = column("event_time").as_primitive::<TimestampMicrosecondType>();
                rows.extend((0..batch.num_rows()).map(|row| {
                    let text =
                        |column: &Arc<dyn Array>| column.as_string::<i32>().value(row).to_owned();
                    (text(id), time.value(row), text(raw))
                }));
            }
        }
        rows.sort();
        rows
    }

    /// The commits of a job, oldest first.
    pub(crate) fn commits(&self, job: &str) -> Vec<serde_json::Value> {
        let folder = self.0.join("_auditlake/jobs").join(job).join("commits");
        files(&folder)
            .into_iter()
            // the store's own temporary files have other endings
            .filter(|file| {
                file.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap())
            .collect()
    }
}

/// Every file below a folder, by name.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The binary, running; killed when dropped.
pub(crate) struct Process {
    child: Child,
    stdout: Arc<Text>,
    stderr: Arc<Text>,
    readers: Vec<JoinHandle<()>>,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None if a signal killed it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What was printed so far.
#[derive(Default)]
struct Text {
    text: Mutex<String>,
    changed: Notify,
}

impl Process {
    /// `auditlake`, in a folder and with nothing in its environment but this.
    pub(crate) fn start(folder: &Path, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_auditlake"));
        command.args(args).current_dir(folder).env_clear();
        command.envs(environment.iter().copied());
        Self::of(command)
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (stdout, stderr) = (Arc::<Text>::default(), Arc::<Text>::default());
        let readers = vec![
            read(child.stdout.take().unwrap(), &stdout),
            read(child.stderr.take().unwrap(), &stderr),
        ];
        Self {
            child,
            stdout,
            stderr,
            readers,
        }
    }

    /// Waits for a line on stderr that holds `part`, and returns it.
    pub(crate) async fn says(&self, part: &str) -> String {
        self.says_times(part, 1).await
    }

    /// Waits until this number of lines on stderr contain `part`, and returns the last of them.
    pub(crate) async fn says_times(&self, part: &str, times: usize) -> String {
        let waiting = async {
            loop {
                let changed = self.stderr.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let text = self.stderr();
                let mut lines = text.lines().filter(|line| line.contains(part));
                if let Some(line) = lines.nth(times - 1) {
                    return line.to_owned();
                }
                changed.await;
            }
        };
        let Ok(line) = tokio::time::timeout(PATIENCE, waiting).await else {
            panic!("never said {part:?} {times} times, but\n{}", self.stderr());
        };
        line
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.text.lock().unwrap().clone()
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.text.lock().unwrap().clone()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Where a daemon listens, as it says.
    pub(crate) async fn address(&self) -> String {
        let line = self.says("serving /healthz").await;
        let (_, address) = line.split_once("address=").unwrap();
        address.to_owned()
    }

    /// Sends TERM, INT, HUP or KILL.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.id();
        let kill = format!("kill -{name} {id}");
        let sent = Command::new("sh").args(["-c", &kill]).status().await;
        assert!(sent.unwrap().success(), "{kill}");
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) async fn ended(mut self) -> Ended {
        let Ok(status) = tokio::time::timeout(PATIENCE, self.child.wait()).await else {
            panic!("still running after {PATIENCE:?}:\n{}", self.stderr());
        };
        for reader in self.readers.drain(..) {
            reader.await.unwrap();
        }
        let text = |text: &Text| text.text.lock().unwrap().clone();
        Ended {
            code: status.unwrap().code(),
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
        }
    }

    pub(crate) async fn signalled(self, name: &str) -> Ended {
        self.signal(name).await;
        self.ended().await
    }
}

fn read(from: impl AsyncRead + Unpin + Send + 'static, into: &Arc<Text>) -> JoinHandle<()> {
    let into = Arc::clone(into);
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            let mut text = into.text.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
            drop(text);
            into.changed.notify_waiters();
        }
    })
}

impl Ended {
    #[track_caller]
    pub(crate) fn assert_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn assert_says(self, part: &str) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(all.contains(part), "no {part:?} in\n{all}");
        self
    }
}

/// Waits for something that no event tells.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let so = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(so.is_ok(), "never so: {what}");
}

/// Status and body of a GET.
pub(crate) async fn get(address: &str, path: &str) -> (u16, String) {
    auditlake::tls::install();
    let answer = reqwest::get(format!("http://{address}{path}"))
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Commands and what they printed, as a reader would see them, without what differs from run to run.
#[derive(Default)]
pub(crate) struct Transcript {
    text: String,
}

impl Transcript {
    pub(crate) async fn run(&mut self, folder: &Path, args: &[&str], environment: &[(&str, &str)]) {
        let ended = Process::start(folder, args, environment).ended().await;
        let shown: Vec<String> = args.iter().map(|arg| shell_word(arg)).collect();
        writeln!(self.text, "$ auditlake {}", shown.join(" ")).unwrap();
        for (name, text) in [("", &ended.stdout), ("! ", &ended.stderr)] {
            for line in text.lines() {
                writeln!(self.text, "{}", format!("{name}{line}").trim_end()).unwrap();
            }
        }
        let code = ended
            .code
            .map_or("killed".to_owned(), |code| code.to_string());
        writeln!(self.text, "→ {code}\n").unwrap();
    }

    /// Lines of stderr begin with `!`.
    pub(crate) fn text(&self) -> String {
        self.text.clone()
    }
}

fn shell_word(text: &str) -> String {
    if text.contains([' ', '*']) {
        format!("'{text}'")
    } else {
        text.to_owned()
    }
}

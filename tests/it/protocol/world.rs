//! One job's life, from first pull to settle pass, and what must be in the lake after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use auditlake::clock::Clock;
use auditlake::lake::{ClaimOutcome, Commit, CommitKind, JobLog, Lake, LogRun, Progress};
use auditlake::run::{self, Job, RunError, RunMode, RunOptions, RunOutcome};
use chrono::TimeDelta;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio_util::sync::CancellationToken;

use crate::support::history::assert_adds_up;
use crate::support::provider::{Event, Provider, at, hours};
use crate::support::reader::{Reader, Row, keys};
use crate::support::store::{Fault, FaultStore};

/// The folder of the job's log.
pub(super) const COMMITS: &str = "_auditlake/jobs/job/commits";

/// Some three records.
const TARGET: u64 = 1_500;

/// One run of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The first window: two dates, several commits, a cursor in between, a record for quarantine.
    FirstPull,
    /// What lies before the job's start.
    Backfill,
    /// The second window and the settle pass of the first, which finds what came late.
    Settle,
    /// All of that once more, by hand.
    Refetch,
}

impl Step {
    /// Whether the provider shows what came late.
    fn is_late(self) -> bool {
        matches!(self, Self::Settle | Self::Refetch)
    }
}

/// The steps of the job's life.
pub(super) const STEPS: [Step; 3] = [Step::FirstPull, Step::Backfill, Step::Settle];

/// The provider's log. In its own order, which isn't that of time.
fn log() -> Vec<Event> {
    vec![
        Event::new("before-1", at(22, 10)),
        Event::new("before-2", at(22, 40)),
        Event::new("first-1", at(23, 30)),
        Event::new("first-2", at(24, 10)),
        Event::new("late-1", at(23, 45)).late(),
        Event::new("first-3", at(24, 20)),
        Event::new("first-4", at(23, 50)),
        Event::unreadable("bad-1", at(24, 25)),
        Event::new("first-5", at(24, 30)),
        Event::new("late-2", at(24, 40)).late(),
        Event::unreadable("bad-2", at(24, 27)).late(),
        Event::new("first-6", at(24, 50)),
        Event::new("first-7", at(24, 55)),
        Event::new("second-1", at(25, 10)),
        Event::new("second-2", at(26, 0)),
        Event::new("second-3", at(27, 10)),
    ]
}

/// A short log: one window, two dates, two pages and so a cursor in between.
fn short_log() -> Vec<Event> {
    vec![
        Event::new("first-1", at(23, 30)),
        Event::new("first-2", at(24, 10)),
        Event::new("late-1", at(23, 45)).late(),
        Event::new("first-3", at(24, 20)),
        Event::new("first-4", at(23, 50)),
    ]
}

/// A lake with a provider; the provider is shared by the worlds of one test.
#[derive(Debug)]
pub(super) struct World {
    pub(super) provider: Provider,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) reader: Arc<Reader>,
    log: Vec<Event>,
    pub(super) at_a_time: usize,
    /// How large the open parts get before they are committed.
    pub(super) target: u64,
    pub(super) claim_life: TimeDelta,
}

/// The provider of a whole life.
pub(super) async fn provider() -> Provider {
    Provider::start(log()).await
}

/// The provider of a short one.
pub(super) async fn short_provider() -> Provider {
    Provider::start(short_log()).await
}

/// A lake in memory, empty except for a staged file of a run that never got further.
pub(super) async fn lake() -> InMemory {
    let store = InMemory::new();
    litter(&store).await;
    store
}

/// The same, with a log that is about to be pruned: of its 62 commits only the last is left, and no hint.
pub(super) async fn long_lake() -> InMemory {
    let store = with_commits(lake().await, 62).await;
    let shared: Arc<dyn ObjectStore> = Arc::new(store);
    let log = keys(&shared, COMMITS).await;
    for key in &log[..log.len() - 1] {
        shared.delete(key).await.unwrap();
    }
    copy_of(&shared).await
}

/// The same after a run that died with a commit just made: its files are staged, and still to be published.
pub(super) async fn lake_of_the_dead(provider: &Provider, before: InMemory) -> InMemory {
    let world = World::of(provider, before).await;
    let process = world.process(Fault::None);
    process.hold_copies(true);
    tokio::select! {
        result = world.run(&process, Step::FirstPull) => panic!("{result:?}"),
        () = async {
            process.sends(CommitKind::Data).await;
            while world.newest().await.kind != CommitKind::Data {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    copy_of(&world.store).await
}

/// A copy of all that is in a store.
pub(super) async fn copy_of(store: &Arc<dyn ObjectStore>) -> InMemory {
    let copy = InMemory::new();
    for key in keys(store, "").await {
        let bytes = store.get(&key).await.unwrap().bytes().await.unwrap();
        copy.put(&key, bytes.into()).await.unwrap();
    }
    copy
}

/// The lake with at least this number of commits in its log, of runs that did nothing.
pub(super) async fn with_commits(store: InMemory, least: u64) -> InMemory {
    let lake = Lake::in_store("memory:///", Arc::new(store), Path::default());
    let version = async || {
        let newest = auditlake::lake::newest(&lake, "job").await.unwrap();
        newest.map_or(0, |newest| newest.version)
    };
    while version().await < least {
        let run = LogRun::new("job", TimeDelta::seconds(30));
        let ClaimOutcome::Mine(log) = JobLog::claim(&lake, run).await.unwrap() else {
            panic!("nobody else is there");
        };
        log.recover().await.unwrap();
        log.release(None).await.unwrap();
    }
    copy_of(&lake.store).await
}

/// Puts a staged file there that no commit lists.
pub(super) async fn litter(store: &impl ObjectStore) {
    let run = uuid::Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);
    let staged = format!("_auditlake/jobs/job/staging/{run}/0.staged");
    store
        .put(&Path::from(staged), "abandoned".into())
        .await
        .unwrap();
}

impl World {
    /// A world around what a store holds.
    pub(super) async fn of(provider: &Provider, store: impl ObjectStore) -> Self {
        let world = Self {
            provider: provider.clone(),
            store: Arc::new(store),
            reader: Arc::default(),
            log: provider.log(),
            at_a_time: 1,
            target: TARGET,
            claim_life: TimeDelta::seconds(30),
        };
        world.reader.look(&world.store).await;
        world
    }

    /// The same, in a store that lies: what it shows may be there in part.
    pub(super) async fn of_a_liar(provider: &Provider, store: impl ObjectStore) -> Self {
        let world = Self::of(provider, InMemory::new()).await;
        world.reader.expect_lies();
        Self {
            store: Arc::new(store),
            ..world
        }
    }

    /// A process that works on it.
    pub(super) fn process(&self, fault: Fault) -> FaultStore {
        FaultStore::new(&self.store, &self.reader, fault)
    }

    /// Runs one step. A process that has run before goes by what it kept.
    pub(super) async fn run(
        &self,
        process: &FaultStore,
        step: Step,
    ) -> Result<RunOutcome, RunError> {
        let mut job = self.provider.job(process.lake(), self.target);
        job.memory = process.memory();
        self.run_job(&job, step).await
    }

    /// Runs one step in a lake.
    pub(super) async fn run_in(&self, lake: Lake, step: Step) -> Result<RunOutcome, RunError> {
        self.run_job(&self.provider.job(lake, self.target), step)
            .await
    }

    async fn run_job(&self, job: &Job, step: Step) -> Result<RunOutcome, RunError> {
        self.provider.show_late(step.is_late());
        let backfill = |range, refetch| RunMode::Backfill {
            range,
            refetch,
            turn: TimeDelta::hours(1),
        };
        let (what, now) = match step {
            Step::FirstPull => (RunMode::Due, at(25, 0)),
            Step::Backfill => (backfill(hours(22, 23), false), at(25, 0)),
            Step::Settle => (RunMode::Due, at(27, 30)),
            Step::Refetch => (backfill(hours(23, 27), true), at(27, 30)),
        };
        let options = RunOptions {
            clock: Clock::AsOf(now),
            at_a_time: self.at_a_time,
            claim_life: self.claim_life,
            ..RunOptions::new(CancellationToken::new())
        };
        Box::pin(run::run(job, what, &options)).await
    }

    /// Runs one step until it ends, or the process dies: `None`.
    pub(super) async fn live(
        &self,
        process: &FaultStore,
        step: Step,
    ) -> Option<Result<RunOutcome, RunError>> {
        tokio::select! {
            biased;
            () = process.died() => None,
            result = self.run(process, step) => Some(result),
        }
    }

    /// Runs one step in a process without faults; it must do all that it has to.
    pub(super) async fn run_clean(&self, step: Step, context: &str) {
        self.run_on(&self.process(Fault::None), step, context).await;
    }

    /// The same, in a process that may have run before.
    pub(super) async fn run_on(&self, process: &FaultStore, step: Step, context: &str) {
        match self.run(process, step).await {
            Ok(RunOutcome::Ran(report)) => {
                assert!(
                    report.failures.is_empty(),
                    "{context}: {step:?}: {report:?}"
                );
                assert!(!report.unfinished, "{context}: {step:?}: {report:?}");
            }
            other => panic!("{context}: {step:?}: {other:?}"),
        }
    }

    /// After `step`, of a log that is whole: what it says is in the lake, too.
    pub(super) async fn check(&self, step: Step, context: &str) {
        self.check_lake(step, context).await;
        assert_adds_up(&self.store, &self.reader.rows(), context).await;
    }

    /// After `step`: all that is due is in the lake, once; nobody ever saw anything else; nothing is left over.
    pub(super) async fn check_lake(&self, step: Step, context: &str) {
        self.reader.look(&self.store).await;
        assert_eq!(self.reader.violations(), [""; 0], "{context}");
        assert_eq!(self.reader.rows(), self.truth(step), "{context}");
        assert_eq!(
            self.reader.quarantined(),
            self.unreadable(step),
            "{context}"
        );
        let staged = keys(&self.store, "_auditlake/jobs/job/staging").await;
        assert_eq!(staged, [], "{context}");
        for commit in self.commits().await {
            for file in commit.files {
                let Some(rows) = self.reader.rows_of(&Path::from(file.key)) else {
                    continue; // a line in quarantine
                };
                let times: Vec<_> = rows.iter().map(|row| row.event_time).collect();
                let (least, greatest) = (times.iter().min().copied(), times.iter().max().copied());
                assert_eq!(file.rows, rows.len() as u64, "{context}");
                // optional, so that damage may have hidden it
                assert_eq!(file.min_event_time.or(least), least, "{context}");
                assert_eq!(file.max_event_time.or(greatest), greatest, "{context}");
            }
        }
        let newest = self.newest().await;
        let watermark = if step.is_late() {
            at(27, 30)
        } else {
            at(25, 0)
        };
        let progress = &newest.progress["all"];
        assert_eq!(progress.watermark, Some(watermark), "{context}");
        assert_eq!(progress.open, [], "{context}");
        assert_eq!(newest.claim, None, "{context}");
    }

    /// The commits that can be read, the oldest first.
    pub(super) async fn commits(&self) -> Vec<Commit> {
        let mut commits = Vec::new();
        for key in keys(&self.store, COMMITS).await {
            let bytes = self.store.get(&key).await.unwrap().bytes().await.unwrap();
            commits.extend(serde_json::from_slice::<Commit>(&bytes));
        }
        commits.sort_by_key(|commit| commit.version);
        commits
    }

    /// The newest commit.
    pub(super) async fn newest(&self) -> Commit {
        let lake = self.process(Fault::None).lake();
        auditlake::lake::newest(&lake, "job")
            .await
            .unwrap()
            .unwrap()
    }

    /// The job's progress without what is to be settled, which depends on the number of runs.
    pub(super) async fn progress(&self) -> BTreeMap<String, Progress> {
        let mut progress = self.newest().await.progress;
        progress
            .values_mut()
            .for_each(|progress| progress.unsettled.clear());
        progress
    }

    /// The entries of the provider's log that the lake must hold after `step`.
    fn due(&self, step: Step) -> impl Iterator<Item = &Event> {
        self.log.iter().filter(move |event| match step {
            Step::FirstPull => event.shown && hours(23, 25).contains(event.at),
            Step::Backfill => event.shown && hours(22, 25).contains(event.at),
            Step::Settle | Step::Refetch => true,
        })
    }

    /// The rows that must be there after `step`.
    pub(super) fn truth(&self, step: Step) -> Vec<Row> {
        let events = self.due(step).filter(|event| !event.raw.contains("broken"));
        let mut rows: Vec<Row> = events
            .map(|event| {
                let fields: serde_json::Value = serde_json::from_str(&event.raw).unwrap();
                Row {
                    event_id: fields["id"].as_str().unwrap().to_owned(),
                    event_time: event.at,
                    raw: event.raw.clone(),
                    late: !event.shown,
                }
            })
            .collect();
        rows.sort();
        rows
    }

    /// The unreadable records that must be in quarantine after `step`.
    pub(super) fn unreadable(&self, step: Step) -> Vec<String> {
        let raws = self.due(step).map(|event| event.raw.clone());
        raws.filter(|raw| raw.contains("broken")).collect()
    }
}

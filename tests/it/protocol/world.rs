//! One job's life, from first pull to settle pass, and what must be in the lake after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use auditlake::clock::Clock;
use auditlake::lake::{Commit, Lake, Progress};
use auditlake::pipeline::{self, Conduct, Lane, Outcome, RunError};
use chrono::TimeDelta;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio_util::sync::CancellationToken;

use crate::support::provider::{Event, Provider, at, hours};
use crate::support::reader::{Reader, Row, keys};
use crate::support::store::{Fault, FaultStore};

/// The folder of the job's log.
pub(super) const COMMITS: &str = "_auditlake/jobs/job/commits";

/// How large the open parts get before they are committed: some three records.
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

/// A lake in memory, empty but for a staged file that a run left that never got further.
pub(super) async fn lake() -> InMemory {
    let store = InMemory::new();
    litter(&store).await;
    store
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
            claim_life: TimeDelta::seconds(30),
        };
        world.reader.look(&world.store).await;
        world
    }

    /// A process that works on it.
    pub(super) fn process(&self, fault: Fault) -> FaultStore {
        FaultStore::new(&self.store, &self.reader, fault)
    }

    /// Runs one step.
    pub(super) async fn run(&self, process: &FaultStore, step: Step) -> Result<Outcome, RunError> {
        self.run_in(process.lake(), step).await
    }

    /// Runs one step in a lake.
    pub(super) async fn run_in(&self, lake: Lake, step: Step) -> Result<Outcome, RunError> {
        let job = self.provider.job(lake, TARGET);
        self.provider.show_late(step == Step::Settle);
        let before_the_start = Lane::Backfill {
            range: hours(22, 23),
            refetch: false,
            turn: TimeDelta::hours(1),
        };
        let (what, now) = match step {
            Step::FirstPull => (Lane::Due, at(25, 0)),
            Step::Backfill => (before_the_start, at(25, 0)),
            Step::Settle => (Lane::Due, at(27, 30)),
        };
        let conduct = Conduct {
            clock: Clock::AsOf(now),
            at_a_time: self.at_a_time,
            claim_life: self.claim_life,
            ..Conduct::new(CancellationToken::new())
        };
        pipeline::run(&job, what, &conduct).await
    }

    /// Runs one step until it ends, or the process dies: `None`.
    pub(super) async fn live(
        &self,
        process: &FaultStore,
        step: Step,
    ) -> Option<Result<Outcome, RunError>> {
        tokio::select! {
            biased;
            () = process.died() => None,
            result = self.run(process, step) => Some(result),
        }
    }

    /// Runs one step in a process without faults; it must do all that it has to.
    pub(super) async fn run_clean(&self, step: Step, context: &str) {
        match self.run(&self.process(Fault::None), step).await {
            Ok(Outcome::Ran(report)) => {
                assert!(
                    report.failures.is_empty(),
                    "{context}: {step:?}: {report:?}"
                );
                assert!(!report.unfinished, "{context}: {step:?}: {report:?}");
            }
            other => panic!("{context}: {step:?}: {other:?}"),
        }
    }

    /// After `step`: all that is due is in the lake, once; nobody ever saw anything else; nothing is left over.
    pub(super) async fn check(&self, step: Step, context: &str) {
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
        let newest = self.newest().await;
        let watermark = if step == Step::Settle {
            at(27, 30)
        } else {
            at(25, 0)
        };
        let progress = &newest.progress["all"];
        assert_eq!(progress.watermark, Some(watermark), "{context}");
        assert_eq!(progress.open, [], "{context}");
        assert_eq!(newest.claim, None, "{context}");
    }

    /// The newest commit.
    pub(super) async fn newest(&self) -> Commit {
        let lake = self.process(Fault::None).lake();
        auditlake::lake::newest(&lake, "job")
            .await
            .unwrap()
            .unwrap()
    }

    /// Where the job stands, but for what is to be settled: that depends on how often it ran.
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
            Step::Settle => true,
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

    fn unreadable(&self, step: Step) -> Vec<String> {
        let raws = self.due(step).map(|event| event.raw.clone());
        raws.filter(|raw| raw.contains("broken")).collect()
    }
}

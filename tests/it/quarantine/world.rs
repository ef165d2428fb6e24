//! A job whose adapter learns, and its lake.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use auditlake::clock::Clock;
use auditlake::lake::quarantine::{self, Acknowledged, AcknowledgedBy, LineCounts, LinePlace};
use auditlake::lake::{Commit, Lake};
use auditlake::run::{
    self, Job, LineOutcome, Replayed, RunError, RunMode, RunOptions, RunOutcome, RunReport,
};
use chrono::TimeDelta;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use tokio_util::sync::CancellationToken;

use crate::support::history::assert_adds_up;
use crate::support::provider::{Event, Provider, at, hours};
use crate::support::reader::{Reader, Row};
use crate::support::store::{Fault, FaultStore};

/// How large the open parts get before they are committed: some two records.
const TARGET: u64 = 1_000;

/// A lake in memory, and a provider.
pub(super) struct World {
    pub(super) provider: Provider,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) reader: Arc<Reader>,
    pub(super) has_ids: bool,
}

impl World {
    pub(super) async fn new(log: Vec<Event>, has_ids: bool) -> Self {
        Self::of(&Provider::start(log).await, InMemory::new(), has_ids)
    }

    pub(super) fn of(provider: &Provider, store: InMemory, has_ids: bool) -> Self {
        Self {
            provider: provider.clone(),
            store: Arc::new(store),
            reader: Arc::default(),
            has_ids,
        }
    }

    pub(super) fn process(&self, fault: Fault) -> FaultStore {
        FaultStore::new(&self.store, &self.reader, fault)
    }

    pub(super) fn lake(&self) -> Lake {
        self.process(Fault::None).lake()
    }

    pub(super) fn job(&self, lake: Lake) -> Job {
        self.provider.job_of(lake, TARGET, self.has_ids)
    }

    /// Everything due a number of hours after 2026-01-10, by an adapter that has `learned` or hasn't.
    pub(super) async fn pull(&self, hour: i64, learned: bool) -> RunReport {
        self.run(RunMode::Due, hour, learned).await
    }

    /// All of it again.
    pub(super) async fn refetch(&self, hour: i64) -> RunReport {
        let mode = RunMode::Backfill {
            range: hours(23, hour),
            refetch: true,
            turn: TimeDelta::hours(1),
        };
        self.run(mode, hour, true).await
    }

    async fn run(&self, mode: RunMode, hour: i64, learned: bool) -> RunReport {
        self.provider.learn(learned);
        let options = RunOptions {
            clock: Clock::AsOf(at(hour, 0)),
            at_a_time: 1,
            ..RunOptions::new(CancellationToken::new())
        };
        let job = self.job(self.lake());
        match Box::pin(run::run(&job, mode, &options)).await.unwrap() {
            RunOutcome::Ran(report) => {
                assert!(
                    report.failures.is_empty() && !report.unfinished,
                    "{report:?}"
                );
                report
            }
            RunOutcome::Held(claim) => panic!("nobody else runs this job: {claim:?}"),
        }
    }

    /// Replays in a process, by an adapter that has learned.
    pub(super) async fn replay_in(
        &self,
        process: &FaultStore,
        these: Option<&BTreeSet<LinePlace>>,
    ) -> Result<RunOutcome<Replayed>, RunError> {
        self.provider.learn(true);
        let options = RunOptions::new(CancellationToken::new());
        run::replay(&self.job(process.lake()), these, &options).await
    }

    /// Replays; what became of each line.
    pub(super) async fn replay(&self, these: Option<&BTreeSet<LinePlace>>) -> Vec<LineOutcome> {
        match self
            .replay_in(&self.process(Fault::None), these)
            .await
            .unwrap()
        {
            RunOutcome::Ran(replayed) => {
                assert!(!replayed.unfinished);
                replayed.lines.into_iter().map(|line| line.became).collect()
            }
            RunOutcome::Held(claim) => panic!("nobody else runs this job: {claim:?}"),
        }
    }

    /// Puts these lines aside by hand.
    pub(super) async fn ack(&self, lines: &[(LinePlace, String)]) {
        let lake = self.lake();
        quarantine::acknowledge(&lake, "job", lines, AcknowledgedBy::Ack, None, at(0, 0))
            .await
            .unwrap();
    }

    /// Every line's place and id, in order.
    pub(super) async fn lines(&self) -> Vec<(LinePlace, String)> {
        let mut lines = Vec::new();
        quarantine::read(&self.lake(), "job", |found| {
            lines.push((found.place, found.id));
        })
        .await
        .unwrap();
        lines
    }

    /// What the lines that a replay is done with say is in the lake: as often as there are such lines, without ids.
    pub(super) async fn assert_landed_what_was_replayed(&self, context: &str) {
        let acknowledged = Acknowledged::read(&self.lake(), "job").await.unwrap();
        let mut replayed: BTreeMap<String, usize> = BTreeMap::new();
        quarantine::read(&self.lake(), "job", |found| {
            if acknowledged.by(&found.place, &found.id) == Some(AcknowledgedBy::Replay) {
                *replayed.entry(found.line.unwrap().raw).or_default() += 1;
            }
        })
        .await
        .unwrap();
        let rows = self.rows().await;
        assert_adds_up(&self.store, &rows, context).await;
        for (raw, lines) in replayed {
            let landed = rows.iter().filter(|row| row.raw == raw).count();
            let least = if self.has_ids { 1 } else { lines };
            assert!(landed >= least, "{context}: {landed} of {least} of {raw}");
        }
    }

    pub(super) async fn counts(&self) -> LineCounts {
        let counts = quarantine::count(&self.lake(), "job").await.unwrap();
        assert_eq!(counts.reasons.values().sum::<u64>(), counts.open);
        LineCounts {
            reasons: BTreeMap::new(),
            ..counts
        }
    }

    pub(super) async fn newest(&self) -> Commit {
        auditlake::lake::newest(&self.lake(), "job")
            .await
            .unwrap()
            .unwrap()
    }

    /// The table as a glob shows it; nobody ever saw a row doubled, altered or gone.
    pub(super) async fn rows(&self) -> Vec<Row> {
        self.reader.look(&self.store).await;
        assert_eq!(self.reader.violations(), [""; 0]);
        self.reader.rows()
    }

    /// The rows without what tells when they were found.
    pub(super) async fn events(&self) -> Vec<Row> {
        let mut rows = self.rows().await;
        rows.iter_mut().for_each(|row| row.late = false);
        rows
    }
}

/// The rows that a lake has if the adapter knew from the beginning how to read all of it.
pub(super) async fn as_if_learned_before(
    provider: &Provider,
    has_ids: bool,
    hour: i64,
) -> Vec<Row> {
    let world = World::of(provider, InMemory::new(), has_ids);
    provider.show_late(true);
    world.pull(hour, true).await;
    world.events().await
}

pub(super) fn open(open: u64, acknowledged: u64) -> LineCounts {
    LineCounts {
        open,
        acknowledged,
        ..LineCounts::default()
    }
}

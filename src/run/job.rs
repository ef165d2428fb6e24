//! The input of a run: its job, its mode and its options.

use std::collections::BTreeMap;
use std::fmt;

use chrono::TimeDelta;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::account::{self, Neighbours};
use super::cache::RunCache;
use super::error::RunError;
use super::feed::Feed;
use super::memory::MemoryBudget;
use super::plan::Policy;
use super::report::RunTotals;
use crate::clock::Clock;
use crate::lake::{Commit, Lake, Origin};
use crate::metrics;
use crate::model::{PartitionColumn, Range, RangeSet};

/// The lifetime of a claim, except in tests.
const CLAIM_LIFE: TimeDelta = TimeDelta::seconds(30);

/// A job, ready to run.
#[derive(Debug, Clone)]
pub struct Job {
    /// The job's display name.
    pub name: String,
    /// The name of the job's log: part of object keys and file names, the value of the column `job`, and the scope of
    /// event ids.
    pub log: String,
    /// The connection's name.
    pub connection: String,
    /// The kind of provider, as in jobs.yaml.
    pub provider: &'static str,
    /// The value of the column `account_id` for records that don't contain one.
    pub account_id: String,
    /// How ranges are split into windows and re-read.
    pub policy: Policy,
    /// The provider's feed.
    pub source: Feed,
    /// The lake in which records land.
    pub lake: Lake,
    /// The columns in the path of files.
    pub partition_by: Vec<PartitionColumn>,
    /// The total size of the open parts at which they are committed, in bytes.
    pub target_file_size: u64,
    /// The key by which other logs of the same account are recognised.
    pub neighbours: Neighbours,
    /// The process's cache of state between runs.
    pub memory: RunCache,
    /// The memory budget, shared with other runs.
    pub budget: MemoryBudget,
    /// The receiver of commits and finished runs.
    pub metrics: metrics::JobMetrics,
}

impl Job {
    pub(super) fn origin(&self) -> Origin {
        Origin {
            provider: Some(self.provider.to_owned()),
            connection: self.connection.clone(),
            account_id: self.account_id.clone(),
            id_basis: self.source.adapter.id_basis(),
            host: self.neighbours.host.clone(),
            user: self.neighbours.user.clone(),
            from: None,
        }
    }

    /// Refuses a job whose partitions or ids have changed. Ids are looked up in the folder where a record would land,
    /// so if the folder's name or the content from which ids are derived has changed since the job's last commit, re-read
    /// records would land a second time.
    pub(crate) fn refuse_if_moved(&self, newest: &Commit) -> Result<(), RunError> {
        let Some(was) = &newest.origin else {
            return Ok(());
        };
        let is_other_provider = (was.provider.as_ref()).is_some_and(|was| was != self.provider);
        // a log with the job's own name belongs to the job, even if its connection has changed
        let is_chosen = self.log != self.name;
        if is_other_provider || is_chosen && !account::is_same_account(was, &self.origin()) {
            return Err(RunError::OtherLog {
                job: self.name.clone(),
                log: self.log.clone(),
                was: account::account(was),
                is: account::account(&self.origin()),
            });
        }
        for (column, was, is) in [
            (
                PartitionColumn::Connection,
                &was.connection,
                &self.connection,
            ),
            (
                PartitionColumn::AccountId,
                &was.account_id,
                &self.account_id,
            ),
        ] {
            if was != is && self.partition_by.contains(&column) {
                return Err(RunError::Moved {
                    column,
                    was: was.clone(),
                    is: is.clone(),
                });
            }
        }
        match (&was.id_basis, self.source.adapter.id_basis()) {
            (Some(was), Some(is)) if *was != is => Err(RunError::Reworded {
                was: was.clone(),
                is,
            }),
            _ => Ok(()),
        }
    }
}

/// What a run pulls.
#[derive(Debug, Clone, Copy)]
pub enum RunMode {
    /// Everything that is due: unfinished ranges, first pulls and settle passes.
    Due,
    /// The missing parts of a range, or all of it again.
    Backfill {
        /// The range.
        range: Range,
        /// Whether to re-read what was pulled before.
        refetch: bool,
        /// The time after which no further window begins, so that due pulls of the job can run.
        turn: TimeDelta,
    },
}

impl RunMode {
    /// Returns the feed for windows. Calls of a backfill have a lower priority: they wait while any other call of the
    /// connection waits.
    pub(super) fn feed(&self, source: &Feed) -> Feed {
        match self {
            Self::Due => source.clone(),
            Self::Backfill { .. } => source.yielding(),
        }
    }
}

/// Formats as `due`, or as `backfill` with its range.
impl fmt::Display for RunMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Due => f.write_str("due"),
            Self::Backfill { range, .. } => write!(f, "backfill {range}"),
        }
    }
}

/// The options of a run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The time that planning treats as now.
    pub clock: Clock,
    /// The number of windows in flight.
    pub at_a_time: usize,
    /// Cancelled to stop the run: the current pages finish and are committed with their cursors.
    pub stop: CancellationToken,
    /// The receiver of progress: every pulled window, also before its commit, and every commit.
    pub totals: watch::Sender<RunTotals>,
    /// The lifetime of a claim.
    pub claim_life: TimeDelta,
    /// Whether ranges that failed in earlier runs are retried before their back-off ends, because a user or an external
    /// schedule started the run.
    pub at_once: bool,
    /// Ranges to skip, by stream: they have failed and are left to a later run.
    pub passed_over: BTreeMap<String, RangeSet>,
}

impl RunOptions {
    /// Four windows at a time, the system's clock, no progress receiver, and claims of 30 s.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            clock: Clock::System,
            at_a_time: 4,
            stop,
            totals: watch::Sender::new(RunTotals::default()),
            claim_life: CLAIM_LIFE,
            at_once: false,
            passed_over: BTreeMap::new(),
        }
    }
}

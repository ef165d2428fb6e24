//! What a run is given: its job, what it does, and how.

use std::collections::BTreeMap;
use std::fmt;

use chrono::TimeDelta;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::cache::RunCache;
use super::error::RunError;
use super::feed::Feed;
use super::memory::MemoryBudget;
use super::overlap::{self, Neighbours};
use super::plan::Policy;
use super::report::RunTotals;
use crate::clock::Clock;
use crate::lake::{Commit, Lake, Origin};
use crate::metrics;
use crate::model::{PartitionColumn, Range, RangeSet};

/// How long a claim keeps other runs off, unless a test says otherwise.
const CLAIM_LIFE: TimeDelta = TimeDelta::seconds(30);

/// A job, ready to run.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name, for people.
    pub name: String,
    /// The name of its log: stands in object keys, in the names of files and in the column `job`, and scopes event ids.
    pub log: String,
    /// The connection's name.
    pub connection: String,
    /// The provider's kind.
    pub provider: &'static str,
    /// What the column `account_id` shows where a record doesn't say.
    pub account_id: String,
    /// How ranges are cut and read again.
    pub policy: Policy,
    /// The provider's feed.
    pub source: Feed,
    /// Where it lands.
    pub lake: Lake,
    /// The columns that are in the path.
    pub partition_by: Vec<PartitionColumn>,
    /// When the open parts together are this large, they are committed; in bytes.
    pub target_file_size: u64,
    /// What tells which other logs of the lake are of the same account.
    pub neighbours: Neighbours,
    /// What this process keeps of its jobs between their runs.
    pub memory: RunCache,
    /// What its runs may hold, and all others that share it.
    pub budget: MemoryBudget,
    /// Who is told of its commits and runs.
    pub metrics: metrics::JobMetrics,
}

impl Job {
    pub(super) fn origin(&self) -> Origin {
        Origin {
            provider: Some(self.provider.to_owned()),
            connection: self.connection.clone(),
            account_id: self.account_id.clone(),
            wording: self.source.adapter.wording(),
            host: self.neighbours.host.clone(),
            user: self.neighbours.user.clone(),
            from: None,
        }
    }

    /// Ids are looked up in the folder where a record would land. If that folder has got another name since the job's
    /// last commit, or if records read otherwise now, what is read again would be landed a second time.
    pub(crate) fn refuse_if_moved(&self, newest: &Commit) -> Result<(), RunError> {
        let Some(was) = &newest.origin else {
            return Ok(());
        };
        let is_other_provider = (was.provider.as_ref()).is_some_and(|was| was != self.provider);
        // a log that bears the job's own name is the job's, whatever has become of its connection
        let is_chosen = self.log != self.name;
        if is_other_provider || is_chosen && !overlap::is_same_account(was, &self.origin()) {
            return Err(RunError::OtherLog {
                job: self.name.clone(),
                log: self.log.clone(),
                was: overlap::account(was),
                is: overlap::account(&self.origin()),
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
        match (&was.wording, self.source.adapter.wording()) {
            (Some(was), Some(is)) if *was != is => Err(RunError::Reworded {
                was: was.clone(),
                is,
            }),
            _ => Ok(()),
        }
    }
}

/// What a run is to do.
#[derive(Debug, Clone, Copy)]
pub enum RunMode {
    /// All that is due: unfinished ranges, first pulls, settle passes.
    Due,
    /// What a range lacks, or all of it again.
    Backfill {
        /// The range.
        range: Range,
        /// Whether to read again what was pulled before.
        refetch: bool,
        /// After so long no further window is begun, so that the job's due pulls get their turn.
        turn: TimeDelta,
    },
}

impl RunMode {
    /// The feed that windows are pulled from: what is due goes before a backfill, whose calls wait as long as any other
    /// of the connection does.
    pub(super) fn feed(&self, source: &Feed) -> Feed {
        match self {
            Self::Due => source.clone(),
            Self::Backfill { .. } => source.yielding(),
        }
    }
}

/// `due`, or `backfill` and its range.
impl fmt::Display for RunMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Due => f.write_str("due"),
            Self::Backfill { range, .. } => write!(f, "backfill {range}"),
        }
    }
}

/// How a run is to go about it.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// What to take for now in planning.
    pub clock: Clock,
    /// How many windows are in flight at a time.
    pub at_a_time: usize,
    /// Cancelled when the run is to stop: the current pages finish and are committed with their cursors.
    pub stop: CancellationToken,
    /// Told of every window that is pulled, before its commit too, and of every commit.
    pub tally: watch::Sender<RunTotals>,
    /// How long a claim keeps other runs off.
    pub claim_life: TimeDelta,
    /// Whether what failed in earlier runs is tried again whatever its time: a person asks, or a schedule of another's.
    pub at_once: bool,
    /// What isn't asked for, by stream: it has failed, and is left to a later run.
    pub passed_over: BTreeMap<String, RangeSet>,
}

impl RunOptions {
    /// Four windows at a time, by the system's clock, told to nobody, with claims of 30 s.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            clock: Clock::System,
            at_a_time: 4,
            stop,
            tally: watch::Sender::new(RunTotals::default()),
            claim_life: CLAIM_LIFE,
            at_once: false,
            passed_over: BTreeMap::new(),
        }
    }
}

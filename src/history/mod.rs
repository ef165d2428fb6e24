//! What runs did: the rows of the table `audit_runs`, and what they add up to by run and by day.
//!
//! A row is one range of one stream that one run pulled, or at which it failed. Rows of days that are over lie in the
//! table, one file a day; those of today are read from the commit logs, of which the table is made.

mod file;
mod maintenance;
mod materialize;
mod reader;
mod recorded;
mod rollup;
mod runs;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use serde::Serialize;
use uuid::Uuid;

use crate::lake::{Lake, RecordCounts, Work};
use crate::model::{FailureKind, Range, Timestamp};

pub use crate::lake::DELAYS;
pub use file::{FileError, table};
pub use maintenance::{about_to_be_lost, keep};
pub use materialize::{BuildError, Built, MARGIN, build};
pub use reader::{HistoryReader, HistorySnapshot};
pub use recorded::RecordedRun;
pub use runs::RunFold;

/// What became of a range in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeOutcome {
    /// Pulled to its last page.
    Finished,
    /// Pulled in part: a later run goes on.
    Unfinished,
    /// Not pulled further, for the error that the row names; tried again at the next tick.
    Failed,
    /// The run ended without a word: it was killed, or lost its lake. A later run goes on.
    Lost,
}

/// One range of one stream in one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRow {
    /// The job.
    pub job: String,
    /// The provider's kind, where the log tells.
    pub provider: Option<String>,
    /// The connection's name, where the log tells.
    pub connection: Option<String>,
    /// The run.
    pub run: Uuid,
    /// When the run took the job.
    pub started_at: Timestamp,
    /// When the run gave the job up; of one that is under way or lost, its last commit.
    pub ended_at: Timestamp,
    /// The stream; none for a run that found nothing to do, or failed before it knew its streams.
    pub stream: Option<String>,
    /// The range, with the stream.
    pub range: Option<Range>,
    /// Why it was pulled.
    pub work: Option<Work>,
    /// What became of it.
    pub outcome: RangeOutcome,
    /// What became of its records.
    pub counts: RecordCounts,
    /// Requests sent for it, retries included.
    pub calls: u64,
    /// Of these, how many were sent again after a passing failure.
    pub retries: u64,
    /// The new rows by the UTC date of their event time.
    pub days: BTreeMap<NaiveDate, u64>,
    /// The late rows by how late they were: the least of [`DELAYS`] that isn't below, in seconds; `u64::MAX` beyond.
    pub delays: BTreeMap<u64, u64>,
    /// What kind of failure.
    pub error_kind: Option<FailureKind>,
    /// The failure with its causes.
    pub error: Option<String>,
    /// What an operator should know of it.
    pub remarks: Vec<String>,
}

/// What is known of the runs of a lake's jobs.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The newest rows, some 50,000, in the order of their runs' ids, the oldest first. Before them, for each day of the table, one row for what the day's
    /// runs did alike: of ranges that touch, of one stream, with one outcome.
    pub rows: Vec<RunRow>,
}

impl History {
    /// The history of a lake as it is `now`: the last 400 days of the table, and what the logs have beyond it. Who looks
    /// again keeps a [`HistoryReader`].
    pub async fn load(lake: &Lake, now: Timestamp) -> Arc<HistorySnapshot> {
        HistoryReader::new(lake.clone()).read(now).await
    }

    /// Returns up to `limit` runs of the job with this log, or of all jobs, that are older than `before`: the newest
    /// first.
    pub fn runs(
        &self,
        log: Option<&str>,
        before: Option<Uuid>,
        limit: usize,
    ) -> Vec<RecordedRun<'_>> {
        let mut runs: BTreeMap<Uuid, RecordedRun<'_>> = BTreeMap::new();
        // rows, and ids of runs, which are UUIDv7, are in order of time
        let wanted = (self.rows.iter().rev())
            .filter(|row| log.is_none_or(|log| row.job == log))
            .filter(|row| before.is_none_or(|before| row.run < before));
        for row in wanted {
            if runs.len() == limit && !runs.contains_key(&row.run) {
                break;
            }
            RecordedRun::add_to(&mut runs, row);
        }
        runs.values_mut().for_each(|run| run.rows.reverse());
        runs.into_values().rev().collect()
    }
}

impl RangeOutcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Finished, Self::Unfinished, Self::Failed, Self::Lost];

    /// As the table has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Unfinished => "unfinished",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }

    /// The one that asks more for a look.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let rank = |outcome| match outcome {
            Self::Finished => 0,
            Self::Unfinished => 1,
            Self::Lost => 2,
            Self::Failed => 3,
        };
        if rank(other) > rank(self) {
            other
        } else {
            self
        }
    }
}

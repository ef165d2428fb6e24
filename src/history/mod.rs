//! The history of runs: the rows of the table `audit_runs`, and their sums by run and by day.
//!
//! A row is a range of a stream that a run pulled, or at which it failed. Rows of past days are in the table, one file
//! per day; those of today are read from the commit logs, from which the table is derived.

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

/// The outcome of a range in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeOutcome {
    /// Pulled to its last page.
    Finished,
    /// Partly pulled; a later run continues.
    Unfinished,
    /// Failed with the error in the row; retried later.
    Failed,
    /// The run ended without a final commit: it was killed, or lost its lake. A later run continues.
    Lost,
}

/// A range of a stream in a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRow {
    /// The job.
    pub job: String,
    /// The kind of provider, if the log has it.
    pub provider: Option<String>,
    /// The connection's name, if the log has it.
    pub connection: Option<String>,
    /// The run.
    pub run: Uuid,
    /// When the run claimed the job.
    pub started_at: Timestamp,
    /// When the run released the job; for a current or lost run, the time of its last commit.
    pub ended_at: Timestamp,
    /// The stream; `None` for a run that found nothing to do, or failed before it knew its streams.
    pub stream: Option<String>,
    /// The range, if there is a stream.
    pub range: Option<Range>,
    /// The kind of work.
    pub work: Option<Work>,
    /// The outcome.
    pub outcome: RangeOutcome,
    /// The counts of records.
    pub counts: RecordCounts,
    /// The requests sent for it, including retries.
    pub calls: u64,
    /// The number of these that were retries after a transient failure.
    pub retries: u64,
    /// The new rows by the UTC date of their event time.
    pub days: BTreeMap<NaiveDate, u64>,
    /// The late rows by delay: the smallest of [`DELAYS`] that isn't below it, in seconds; `u64::MAX` beyond.
    pub delays: BTreeMap<u64, u64>,
    /// The kind of failure.
    pub error_kind: Option<FailureKind>,
    /// The failure with its causes.
    pub error: Option<String>,
    /// Remarks for the operator.
    pub remarks: Vec<String>,
}

/// The history of the runs of a lake's jobs.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The newest rows, about 50,000, in the order of their runs' ids, oldest first. For older days of the table, one
    /// row sums up the runs of a day with adjacent ranges of one stream and the same outcome.
    pub rows: Vec<RunRow>,
}

impl History {
    /// Reads the history of a lake as of `now`: the last 400 days of the table, and newer commits of the logs. For
    /// repeated reads, use a [`HistoryReader`].
    pub async fn load(lake: &Lake, now: Timestamp) -> Arc<HistorySnapshot> {
        HistoryReader::new(lake.clone()).read(now).await
    }

    /// Returns up to `limit` runs older than `before` of the job with this log, or of all jobs, newest first.
    pub fn runs(
        &self,
        log: Option<&str>,
        before: Option<Uuid>,
        limit: usize,
    ) -> Vec<RecordedRun<'_>> {
        let mut runs: BTreeMap<Uuid, RecordedRun<'_>> = BTreeMap::new();
        // rows and ids of runs (UUIDv7) are in the order of time
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

    /// Returns the name in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Unfinished => "unfinished",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }

    /// Returns the worse of two outcomes.
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

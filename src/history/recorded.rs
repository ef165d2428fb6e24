//! A run in the history: the sum of its rows.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{RangeOutcome, RunRow};
use crate::lake::{RecordCounts, Work};
use crate::model::{FailureKind, Timestamp};

/// A run of a job, as shown on every surface.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedRun<'a> {
    /// The job's log.
    pub log: &'a str,
    /// The run's id.
    pub id: Uuid,
    /// When the run claimed the job.
    pub started_at: Timestamp,
    /// When the run released the job; for a current or lost run, the time of its last commit.
    pub ended_at: Timestamp,
    /// The worst outcome of its rows.
    pub outcome: RangeOutcome,
    /// The counts of its records.
    pub counts: RecordCounts,
    /// The requests sent, including retries.
    pub calls: u64,
    /// The number of retries among them.
    pub retries: u64,
    /// Its rows in the order in which they were added.
    pub rows: Vec<&'a RunRow>,
}

impl<'a> RecordedRun<'a> {
    /// Adds a row to its run.
    pub fn add_to(runs: &mut BTreeMap<Uuid, Self>, row: &'a RunRow) {
        let run = runs.entry(row.run).or_insert_with(|| Self {
            log: &row.job,
            id: row.run,
            started_at: row.started_at,
            ended_at: row.ended_at,
            outcome: row.outcome,
            counts: RecordCounts::default(),
            calls: 0,
            retries: 0,
            rows: Vec::new(),
        });
        run.started_at = run.started_at.min(row.started_at);
        run.ended_at = run.ended_at.max(row.ended_at);
        run.outcome = run.outcome.worse(row.outcome);
        run.counts += row.counts;
        run.calls += row.calls;
        run.retries += row.retries;
        run.rows.push(row);
    }

    /// Returns the kinds of work, such as `pull, settle`.
    pub fn works(&self) -> String {
        let mut works: Vec<Work> = self.rows.iter().filter_map(|row| row.work).collect();
        works.sort_unstable();
        works.dedup();
        if works.is_empty() {
            return "nothing due".to_owned();
        }
        let works: Vec<&str> = works.into_iter().map(Work::as_str).collect();
        works.join(", ")
    }

    /// Returns the kind and the text of its first failure, with the causes.
    pub fn error(&self) -> Option<(Option<FailureKind>, &'a str)> {
        self.rows
            .iter()
            .find_map(|row| Some((row.error_kind, row.error.as_deref()?)))
    }
}

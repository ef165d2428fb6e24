//! The history of runs by job, computed in one pass: days, delays and runs for the pages.

use std::collections::{BTreeMap, HashMap};

use chrono::{NaiveDate, TimeDelta};
use uuid::Uuid;

use super::arrivals::{Arrivals, WATCHED};
use crate::history::{History, RangeOutcome, RecordedRun, RunRow};
use crate::lake::Work;
use crate::model::{FailureKind, RangeSet, Timestamp};

/// The runs of all jobs.
#[derive(Debug, Default)]
pub(super) struct Ledger<'a> {
    /// The histories by the name of the log.
    jobs: HashMap<&'a str, JobHistory<'a>>,
}

/// The history of a job's runs.
#[derive(Debug, Default)]
pub(super) struct JobHistory<'a> {
    /// The new rows by the UTC date of their event time.
    pub(super) days: BTreeMap<NaiveDate, u64>,
    /// The ranges whose runs are in the history.
    pub(super) known: RangeSet,
    /// The late rows.
    pub(super) arrivals: Arrivals,
    /// The new rows of runs that ended within the last day, and within the last 30 days.
    pub(super) lately: (u64, u64),
    runs: BTreeMap<Uuid, RecordedRun<'a>>,
}

/// The newest failure of a job's runs, and what happened since.
#[derive(Debug, PartialEq)]
pub(super) struct FailureEpisode<'a> {
    /// When the newest failed run failed.
    pub(super) at: Timestamp,
    /// The id of that run.
    pub(super) run: Uuid,
    /// The kind of failure.
    pub(super) kind: Option<FailureKind>,
    /// The failure with its causes.
    pub(super) error: &'a str,
    /// The number of failed runs in a row up to then.
    pub(super) in_a_row: usize,
    /// The number of successful runs since then.
    pub(super) well_since: usize,
}

impl<'a> Ledger<'a> {
    /// Evaluates `history` in one pass.
    pub(super) fn of(history: &'a History, now: Timestamp) -> Self {
        let mut jobs: HashMap<&str, JobHistory<'_>> = HashMap::new();
        for row in &history.rows {
            jobs.entry(row.job.as_str()).or_default().take(row, now);
        }
        Self { jobs }
    }

    /// Returns the runs of the job with this log; empty if there are none.
    pub(super) fn job(&self, log: &str) -> Option<&JobHistory<'a>> {
        self.jobs.get(log)
    }

    /// Returns a run with the name of its log.
    pub(super) fn run(&self, id: Uuid) -> Option<(&'a str, &RecordedRun<'a>)> {
        self.jobs
            .iter()
            .find_map(|(job, account)| Some((*job, account.runs.get(&id)?)))
    }
}

impl<'a> JobHistory<'a> {
    fn take(&mut self, row: &'a RunRow, now: Timestamp) {
        for (day, rows) in &row.days {
            *self.days.entry(*day).or_default() += rows;
        }
        // a range that was only re-read has rows from runs outside the history
        let is_first = match row.work {
            Some(Work::Pull) => true,
            Some(Work::Backfill) => row.counts.duplicate == 0,
            Some(Work::Settle | Work::Replay) | None => false,
        };
        if let Some(range) = row.range.filter(|_| is_first) {
            self.known.insert(range);
        }
        let age = now - row.ended_at;
        if age <= WATCHED {
            self.arrivals.take(row, now);
            self.lately.1 += row.counts.new;
            if age <= TimeDelta::days(1) {
                self.lately.0 += row.counts.new;
            }
        }
        RecordedRun::add_to(&mut self.runs, row);
    }

    /// Returns the runs, newest first, as their ids are in the order of time.
    pub(super) fn runs(&self) -> impl ExactSizeIterator<Item = &RecordedRun<'a>> {
        self.runs.values().rev()
    }

    /// Returns the newest failure, if there is one.
    pub(super) fn failing(&self) -> Option<FailureEpisode<'a>> {
        let failed = |run: &&RecordedRun<'_>| run.outcome == RangeOutcome::Failed;
        let well_since = self.runs().take_while(|run| !failed(run)).count();
        let mut from_there = self.runs().skip(well_since);
        let newest = from_there.next()?;
        let (kind, error) = newest.error()?;
        Some(FailureEpisode {
            at: newest.ended_at,
            run: newest.id,
            kind,
            error,
            in_a_row: 1 + from_there.take_while(failed).count(),
            well_since,
        })
    }
}

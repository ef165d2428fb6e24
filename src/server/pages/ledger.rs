//! What runs did, by job and in one pass: what the pages say of days, delays and runs.

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
    /// By the name of the log.
    jobs: HashMap<&'a str, JobHistory<'a>>,
}

/// What the runs of one job did.
#[derive(Debug, Default)]
pub(super) struct JobHistory<'a> {
    /// New rows by the UTC date of their event time.
    pub(super) days: BTreeMap<NaiveDate, u64>,
    /// The ranges whose runs are known. What was pulled before the history begins isn't in it.
    pub(super) known: RangeSet,
    /// How late rows arrived.
    pub(super) arrivals: Arrivals,
    /// New rows of the runs that ended within the last day, and within the last 30.
    pub(super) lately: (u64, u64),
    runs: BTreeMap<Uuid, RecordedRun<'a>>,
}

/// A failure of a job's runs, with how things went on.
#[derive(Debug, PartialEq)]
pub(super) struct FailureEpisode<'a> {
    /// When the newest run that failed did so.
    pub(super) at: Timestamp,
    /// That run.
    pub(super) run: Uuid,
    /// What kind of failure.
    pub(super) kind: Option<FailureKind>,
    /// The failure with its causes.
    pub(super) error: &'a str,
    /// How many runs in a row failed up to then.
    pub(super) in_a_row: usize,
    /// How many runs ended well since then.
    pub(super) well_since: usize,
}

impl<'a> Ledger<'a> {
    /// All that `history` has, read once.
    pub(super) fn of(history: &'a History, now: Timestamp) -> Self {
        let mut jobs: HashMap<&str, JobHistory<'_>> = HashMap::new();
        for row in &history.rows {
            jobs.entry(row.job.as_str()).or_default().take(row, now);
        }
        Self { jobs }
    }

    /// The runs of the job with this log; none, if nothing is known of any.
    pub(super) fn job(&self, log: &str) -> Option<&JobHistory<'a>> {
        self.jobs.get(log)
    }

    /// One run, with the name of its log.
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
        // what was only read again has rows of which nothing is known here
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

    /// Its runs, the newest first: their ids are in order of time.
    pub(super) fn runs(&self) -> impl ExactSizeIterator<Item = &RecordedRun<'a>> {
        self.runs.values().rev()
    }

    /// The newest failure, if any is known.
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

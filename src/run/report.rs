//! The report of a run.

use std::ops::AddAssign;

use chrono::TimeDelta;
use uuid::Uuid;

use super::error::RunError;
use crate::lake::{Claim, JobLog, RecordCounts, Work};
use crate::model::{Range, Timestamp};

/// The totals of a run's commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunTotals {
    /// The number of windows pulled to their last page.
    pub windows: u64,
    /// The event time covered by these windows, summed over streams.
    pub covered: TimeDelta,
    /// The counts of records.
    pub counts: RecordCounts,
    /// The number of data commits.
    pub commits: u64,
}

/// Adds the totals of several runs of one command.
impl AddAssign for RunTotals {
    fn add_assign(&mut self, other: Self) {
        self.windows += other.windows;
        self.covered += other.covered;
        self.counts += other.counts;
        self.commits += other.commits;
    }
}

/// The end of a run.
#[derive(Debug)]
pub enum RunOutcome<R = RunReport> {
    /// Another run holds the claim; nothing was done.
    Held(Claim),
    /// The run did everything that it could.
    Ran(R),
}

/// The report of a run.
#[derive(Debug)]
pub struct RunReport {
    /// The run's id.
    pub run: Uuid,
    /// The committed totals.
    pub totals: RunTotals,
    /// The failed ranges, unordered: those after which their streams continued, and the first failure of each stream
    /// that didn't.
    pub failures: Vec<StreamFailure>,
    /// The instant up to which a scheduled run planned, if it completed its plan.
    pub planned_at: Option<Timestamp>,
    /// The local clock at that instant, if it differed.
    pub planned_by: Option<Timestamp>,
    /// Whether the run left work because it was stopped or its time was over.
    pub unfinished: bool,
    /// The slowest stream's watermark, if the job was pulled.
    pub watermark: Option<Timestamp>,
}

impl RunReport {
    /// Returns the report of a run that was stopped before it pulled anything.
    pub(super) fn stopped(log: &JobLog) -> Self {
        Self {
            run: log.run().id,
            totals: RunTotals::default(),
            failures: Vec::new(),
            planned_at: None,
            planned_by: None,
            unfinished: true,
            watermark: None,
        }
    }
}

/// A failure of a stream.
#[derive(Debug)]
pub struct StreamFailure {
    /// The stream.
    pub stream: String,
    /// The failed range, which a later run retries.
    pub range: Range,
    /// The kind of work.
    pub work: Work,
    /// The cause.
    pub error: RunError,
    /// Whether the stream continued with other ranges: the provider works, and only this range is retried later.
    pub went_on: bool,
}

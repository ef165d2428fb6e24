//! What a run gives back.

use std::ops::AddAssign;

use chrono::TimeDelta;
use uuid::Uuid;

use super::error::RunError;
use crate::lake::{Claim, JobLog, RecordCounts, Work};
use crate::model::{Range, Timestamp};

/// What a run has done so far, summed over its commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunTotals {
    /// Windows pulled to their last page.
    pub windows: u64,
    /// Event time that these windows cover, summed over streams.
    pub covered: TimeDelta,
    /// What became of the records.
    pub counts: RecordCounts,
    /// Data commits.
    pub commits: u64,
}

/// Several runs of one command.
impl AddAssign for RunTotals {
    fn add_assign(&mut self, other: Self) {
        self.windows += other.windows;
        self.covered += other.covered;
        self.counts += other.counts;
        self.commits += other.commits;
    }
}

/// How a run ended.
#[derive(Debug)]
pub enum RunOutcome<R = RunReport> {
    /// Another run holds the job; nothing was done.
    Held(Claim),
    /// The run went as far as it could.
    Ran(R),
}

/// What a run did.
#[derive(Debug)]
pub struct RunReport {
    /// The run.
    pub run: Uuid,
    /// What was committed.
    pub tally: RunTotals,
    /// The ranges that failed, in no order: those after which their streams went on, and the first failure of each
    /// stream that didn't.
    pub failures: Vec<StreamFailure>,
    /// The instant up to which a scheduled run planned, if it went through its plan.
    pub planned_at: Option<Timestamp>,
    /// This machine's clock at that instant, where it differed from that.
    pub planned_by: Option<Timestamp>,
    /// Whether work is left that this run could have done, had it not been stopped or its turn been over.
    pub unfinished: bool,
    /// The slowest stream's watermark, if the job was pulled.
    pub watermark: Option<Timestamp>,
}

impl RunReport {
    /// Of a run that was stopped before it had pulled anything.
    pub(super) fn stopped(log: &JobLog) -> Self {
        Self {
            run: log.run().id,
            tally: RunTotals::default(),
            failures: Vec::new(),
            planned_at: None,
            planned_by: None,
            unfinished: true,
            watermark: None,
        }
    }
}

/// What failed of a stream.
#[derive(Debug)]
pub struct StreamFailure {
    /// The stream.
    pub stream: String,
    /// The range that failed; it is tried again by a later run.
    pub range: Range,
    /// Why it was pulled.
    pub work: Work,
    /// What failed.
    pub error: RunError,
    /// Whether the stream went on with other ranges: the provider works, and this range alone is tried again later.
    pub went_on: bool,
}

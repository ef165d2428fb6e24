//! The data of pages, read before anything is rendered.

use std::sync::Arc;

use super::ledger::Ledger;
use crate::client::RateLimitStatus;
use crate::model::Timestamp;
use crate::run::plan::Policy;
use crate::status::{FindingKind, JobStatus, LastKnownStatus};

/// The data of all pages.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// When it was read.
    pub(super) now: Timestamp,
    /// The lake's URL.
    pub(super) lake: &'a str,
    /// Every job, in the configuration's order.
    pub(super) jobs: Vec<Look<'a>>,
    /// The history of runs.
    pub(super) ledger: Ledger<'a>,
    /// The parts of the history that can't be read now.
    pub(super) history_problems: &'a [String],
}

/// A job.
#[derive(Debug)]
pub(super) struct Look<'a> {
    /// The name of the job's log, under which its runs are in the history.
    pub(super) log: &'a str,
    pub(super) provider: &'a str,
    /// The schedule: expression and zone.
    pub(super) schedule: String,
    pub(super) policy: &'a Policy,
    /// Its status.
    pub(super) status: Arc<LastKnownStatus>,
    /// Whether a stream's newest range is too old: the next one should have been pulled by now.
    pub(super) is_tail_late: bool,
    /// When its status was last read.
    pub(super) read_at: Option<Timestamp>,
    /// The rest of the connection's rate budget.
    pub(super) budget: RateLimitStatus,
}

/// The summary of a job in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StateLabel {
    /// Its worst finding.
    Found(FindingKind),
    /// It never ran and wasn't due yet.
    New,
    /// Nothing is missing.
    Whole,
}

impl StateLabel {
    /// Returns the sign and the word.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Found(FindingKind::Unreadable) => ("?", "unreadable"),
            Self::Found(FindingKind::Failing | FindingKind::Refused) => ("✕", "failing"),
            Self::Found(FindingKind::Stale) => ("…", "behind"),
            Self::Found(FindingKind::Quarantine) => ("▲", "quarantine"),
            Self::Found(kind) => ("!", kind.as_str()),
            Self::New => ("○", "new"),
            Self::Whole => ("✓", "whole"),
        }
    }

    /// Returns the CSS class, by severity.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Found(kind) if kind.is_bad() => "bad",
            Self::Found(_) => "warn",
            Self::New => "quiet",
            Self::Whole => "good",
        }
    }

    /// Returns whether the job needs attention.
    pub(super) fn needs_a_look(self) -> bool {
        matches!(self, Self::Found(_))
    }
}

impl Look<'_> {
    /// Name of the job.
    pub(super) fn name(&self) -> &str {
        &self.status.job
    }

    /// Returns the last known status.
    pub(super) fn last(&self) -> Option<&JobStatus> {
        self.status.last.as_deref()
    }

    /// Returns whether the watermark is too old.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        self.last().is_some_and(|last| last.is_stale(now))
    }

    /// Returns the state in a word.
    pub(super) fn verdict(&self, now: Timestamp) -> StateLabel {
        let worst = (self.status.findings(now).first()).map(|finding| finding.kind);
        let is_new = self.last().is_some_and(|last| last.newest.is_none());
        match worst {
            Some(kind) => StateLabel::Found(kind),
            None if is_new => StateLabel::New,
            None => StateLabel::Whole,
        }
    }
}

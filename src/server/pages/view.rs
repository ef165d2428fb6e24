//! What pages are made of: plain data, read before anything is drawn.

use std::sync::Arc;

use super::ledger::Ledger;
use crate::client::RateLimitStatus;
use crate::model::Timestamp;
use crate::run::plan::Policy;
use crate::status::{FindingKind, JobStatus, LastKnownStatus};

/// All that a page may show.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// When it was read.
    pub(super) now: Timestamp,
    /// The lake's URL.
    pub(super) lake: &'a str,
    /// Every job, in the configuration's order.
    pub(super) jobs: Vec<Look<'a>>,
    /// What runs did.
    pub(super) ledger: Ledger<'a>,
    /// What of that can't be read now.
    pub(super) history_problems: &'a [String],
}

/// One job.
#[derive(Debug)]
pub(super) struct Look<'a> {
    /// Under which its runs stand in the history.
    pub(super) log: &'a str,
    pub(super) provider: &'a str,
    /// When it is due: expression and zone.
    pub(super) schedule: String,
    pub(super) policy: &'a Policy,
    /// Its status.
    pub(super) status: Arc<LastKnownStatus>,
    /// Whether a stream's newest range is too old: its next one should have been pulled by now.
    pub(super) is_tail_late: bool,
    /// When its status was last read.
    pub(super) read_at: Option<Timestamp>,
    /// What is left of its connection's rate budget.
    pub(super) budget: RateLimitStatus,
}

/// What is to be said of a job in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StateLabel {
    /// Its worst finding.
    Found(FindingKind),
    /// It never ran, and needn't have.
    New,
    /// Nothing is missing.
    Whole,
}

impl StateLabel {
    /// Its sign and its word.
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

    /// Its class: how bad it is.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Found(kind) if kind.is_bad() => "bad",
            Self::Found(_) => "warn",
            Self::New => "quiet",
            Self::Whole => "good",
        }
    }

    /// Whether somebody should look.
    pub(super) fn needs_a_look(self) -> bool {
        matches!(self, Self::Found(_))
    }
}

impl Look<'_> {
    /// Name of the job.
    pub(super) fn name(&self) -> &str {
        &self.status.job
    }

    /// Its status when that was last read.
    pub(super) fn last(&self) -> Option<&JobStatus> {
        self.status.last.as_deref()
    }

    /// Whether its watermark is too old.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        self.last().is_some_and(|last| last.is_stale(now))
    }

    /// Its state in a word.
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

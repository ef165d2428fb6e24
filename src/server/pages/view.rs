//! What pages are made of: plain data, read before anything is drawn.

use super::ledger::Ledger;
use crate::client::RateLimitStatus;
use crate::lake::FailureStreak;
use crate::model::Timestamp;
use crate::run::plan::Policy;
use crate::status::{self, Finding, FindingKind, JobStatus};

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
    pub(super) name: &'a str,
    /// Under which its runs stand in the history.
    pub(super) log: &'a str,
    pub(super) connection: &'a str,
    pub(super) provider: &'a str,
    /// When it is due: expression and zone.
    pub(super) schedule: String,
    pub(super) policy: &'a Policy,
    /// Where it stands; none if that was never read.
    pub(super) standing: Option<&'a JobStatus>,
    /// Whether a stream's newest range is too old: its next one should have been pulled by now.
    pub(super) is_tail_late: bool,
    /// When that was read.
    pub(super) read_at: Option<Timestamp>,
    /// What is known of its failed runs where it was never read.
    pub(super) failing: Option<&'a FailureStreak>,
    /// Why it can't be read now.
    pub(super) unreadable: Option<&'a str>,
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
    /// Whether its watermark is too old.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        (self.standing).is_some_and(|standing| standing.is_stale(now))
    }

    /// What is to be said of it.
    pub(super) fn verdict(&self, now: Timestamp) -> StateLabel {
        let worst = self.findings(now).first().map(|finding| finding.kind);
        let is_new = (self.standing).is_some_and(|standing| standing.newest.is_none());
        match worst {
            Some(kind) => StateLabel::Found(kind),
            None if is_new => StateLabel::New,
            None => StateLabel::Whole,
        }
    }

    /// All problems that need attention, the worst first.
    pub(super) fn findings(&self, now: Timestamp) -> Vec<Finding> {
        status::findings(
            (self.name, self.connection),
            self.standing,
            self.unreadable,
            self.failing,
            now,
        )
    }
}

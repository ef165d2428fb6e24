//! What pages are made of: plain data, read before anything is drawn.

use super::ledger::{Account, Ledger};
use crate::client::Budget;
use crate::model::Timestamp;
use crate::plan::Policy;
use crate::standing::{Finding, Standing};

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
    pub(super) standing: Option<&'a Standing>,
    /// Whether a stream's newest range is too old: its next one should have been pulled by now.
    pub(super) is_tail_late: bool,
    /// When that was read.
    pub(super) read_at: Option<Timestamp>,
    /// Why it can't be read now.
    pub(super) unreadable: Option<&'a str>,
    /// What is left of its connection's rate budget.
    pub(super) budget: Budget,
}

/// What is to be said of a job in a word; the worst comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Its log can't be read.
    Unreadable,
    /// Its last run failed.
    Failing,
    /// Something was passed over.
    Gap,
    /// Its watermark is too old.
    Behind,
    /// Unreadable records wait.
    Quarantine,
    /// It never ran, and needn't have.
    New,
    /// Nothing is missing.
    Whole,
}

impl Verdict {
    /// Its sign and its word.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Unreadable => ("?", "unreadable"),
            Self::Failing => ("✕", "failing"),
            Self::Gap => ("!", "gap"),
            Self::Behind => ("…", "behind"),
            Self::Quarantine => ("▲", "quarantine"),
            Self::New => ("○", "new"),
            Self::Whole => ("✓", "whole"),
        }
    }

    /// Its class: how bad it is.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Unreadable | Self::Failing | Self::Gap => "bad",
            Self::Behind | Self::Quarantine => "warn",
            Self::New => "quiet",
            Self::Whole => "good",
        }
    }

    /// Whether somebody should look.
    pub(super) fn needs_a_look(self) -> bool {
        !matches!(self, Self::New | Self::Whole)
    }
}

impl Look<'_> {
    /// Whether its watermark is too old.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        let until = self.standing.and_then(|standing| standing.fresh_until);
        until.is_some_and(|until| until < now)
    }

    /// What is to be said of it.
    pub(super) fn verdict(&self, account: Option<&Account<'_>>, now: Timestamp) -> Verdict {
        let Some(standing) = self.standing.filter(|_| self.unreadable.is_none()) else {
            return Verdict::Unreadable;
        };
        let failing = account.and_then(Account::failing);
        if failing.is_some_and(|failing| failing.well_since == 0) {
            Verdict::Failing
        } else if !standing.gaps.is_empty() {
            Verdict::Gap
        } else if self.is_stale(now) {
            Verdict::Behind
        } else if standing.quarantine.open > 0 {
            Verdict::Quarantine
        } else if standing.newest.is_none() {
            Verdict::New
        } else {
            Verdict::Whole
        }
    }

    /// All that somebody should look at.
    pub(super) fn findings(&self, account: Option<&Account<'_>>, now: Timestamp) -> Vec<Finding> {
        let finding = |kind, what: String, to_do: &str| Finding {
            kind,
            job: self.name.to_owned(),
            what,
            to_do: to_do.to_owned(),
        };
        let unreadable = self.unreadable.map(|problem| {
            let to_do = "check that the lake can be reached: `check` says what is in the way";
            finding("unreadable", format!("can't be read: {problem}"), to_do)
        });
        let failing = account.and_then(Account::failing);
        let failing = failing.filter(|failing| failing.well_since == 0).map(|failing| {
            let times = match failing.in_a_row {
                1 => "failed in its last run".to_owned(),
                times => format!("failed in its last {times} runs"),
            };
            let what = format!("{times}: {}", failing.error);
            finding("failing", what, "it is tried again at the next tick; docs/operations.md says what helps for each kind of error")
        });
        let findings = self.standing.map(|standing| standing.findings(now));
        (unreadable.into_iter())
            .chain(failing)
            .chain(findings.unwrap_or_default())
            .collect()
    }
}

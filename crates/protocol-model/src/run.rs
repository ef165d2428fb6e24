//! The state of one run of the job, and which request it makes next.

use crate::objects::{Commit, Events, File, Progress, Version};
use crate::rules::{IdsRead, StagingListed};
use crate::scenario::Scenario;

/// The request that a run makes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Next {
    FindNewest,
    ReadNewest,
    ReadIdsEarly,
    Claim,
    ReadUnpublished,
    ListStaging,
    CheckClaim,
    CheckCommit,
    Copy,
    Look,
    DeleteStaged,
    ListAbandoned,
    DeleteAbandoned,
    ReadIds,
    Pull,
    Stage,
    Commit,
    ReadOwn,
    DeleteOwn,
    Nothing,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) next: Next,
    /// Its newest commit; before its claim, the commit that it found.
    pub(crate) version: Version,
    /// Up to where it knows all to be published, and up to where its own newest commit records that.
    pub(crate) published: Version,
    pub(crate) recorded: Version,
    pub(crate) claimed: Version,
    /// What its newest commit says, and where it is by now.
    pub(crate) committed: Progress,
    pub(crate) reached: Progress,
    pub(crate) ids: Events,
    pub(crate) open: Events,
    pub(crate) to_stage: Vec<File>,
    pub(crate) staged: u8,
    pub(crate) files: u8,
    /// What it is publishing: the commits that list the files, and whether that is its own.
    pub(crate) publishing: Vec<Commit>,
    pub(crate) publishes_own: bool,
    pub(crate) place: u8,
    pub(crate) abandoned: Vec<File>,
    /// The commit that it has sent, and which number and id the next one gets.
    pub(crate) sent: Option<Commit>,
    /// Whether a create that looks before it writes has seen that there is nothing.
    pub(crate) saw_nothing: bool,
    pub(crate) commits: u8,
    pub(crate) renewals: u8,
    /// The ids that its process keeps, and the commit up to which.
    pub(crate) kept: Option<(Version, Events)>,
}

impl Run {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            next: Next::FindNewest,
            version: 0,
            published: 0,
            recorded: 0,
            claimed: 0,
            committed: Progress::default(),
            reached: Progress::default(),
            ids: 0,
            open: 0,
            to_stage: Vec::new(),
            staged: 0,
            files: 0,
            publishing: Vec::new(),
            publishes_own: false,
            place: 0,
            abandoned: Vec::new(),
            sent: None,
            saw_nothing: false,
            commits: 0,
            renewals: scenario.renewals,
            kept: None,
        }
    }

    /// Whether it has read to the end of the plan.
    pub(crate) fn is_through(&self, scenario: &Scenario) -> bool {
        usize::from(self.committed.task) == scenario.tasks.len()
    }

    /// Leaves nothing but what its process keeps, so that states which differ by the past alone are one.
    pub(crate) fn end(&mut self, scenario: &Scenario) {
        *self = Self {
            next: Next::Nothing,
            kept: self.kept,
            renewals: 0,
            version: self.version,
            published: self.published,
            recorded: self.recorded,
            ..Self::new(scenario)
        };
    }

    pub(crate) fn after_claim(&mut self, run: usize, scenario: &Scenario) {
        self.next = if scenario.claim_only.contains(&run) {
            Next::Nothing
        } else if scenario.rules.ids_read == IdsRead::AfterTheClaim {
            Next::ReadIdsEarly
        } else {
            Next::ReadUnpublished
        };
    }

    pub(crate) fn after_reading_unpublished(&mut self, scenario: &Scenario) {
        self.next = match scenario.rules.staging_listed {
            StagingListed::BeforeTheLogIsChecked => Next::ListStaging,
            StagingListed::AfterPublishing => return self.after_listing_staging(scenario),
        };
    }

    pub(crate) fn after_listing_staging(&mut self, scenario: &Scenario) {
        if scenario.rules.claim_checked {
            self.next = Next::CheckClaim;
        } else {
            self.publish(scenario);
        }
    }

    /// Publishes the next file, or continues if all are published.
    pub(crate) fn publish(&mut self, scenario: &Scenario) {
        while let Some(commit) = self.publishing.first() {
            if usize::from(self.place) < commit.files.len() {
                self.next = Next::Copy;
                return;
            }
            self.publishing.remove(0);
            self.place = 0;
        }
        self.published = self.version;
        if self.publishes_own {
            return self.go_on(scenario);
        }
        self.next = match scenario.rules.staging_listed {
            StagingListed::AfterPublishing => Next::ListAbandoned,
            StagingListed::BeforeTheLogIsChecked if self.abandoned.is_empty() => Next::ReadIds,
            StagingListed::BeforeTheLogIsChecked => Next::DeleteAbandoned,
        };
    }

    /// The next page, or the end.
    pub(crate) fn go_on(&mut self, scenario: &Scenario) {
        if self.is_through(scenario) {
            self.end(scenario);
        } else {
            self.reached = self.committed;
            self.next = Next::Pull;
        }
    }

    /// Whether it has a claim and no create of its own is without an answer.
    pub(crate) fn holds_the_job(&self) -> bool {
        self.claimed > 0 && self.sent.is_none() && self.next != Next::Nothing
    }

    pub(crate) fn claimed_or_ended(&self) -> bool {
        self.sent.is_none() && (self.claimed > 0 || self.next == Next::Nothing) && self.version > 0
    }
}

//! The choices of the protocol that the model can vary.
//!
//! [`Rules::PROTOCOL`] is what auditlake does. Every other value is a shortcut: it saves a request or reads more simply,
//! and loses or doubles rows in the scenario that is named after it.

/// One value for each choice of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a step that is made or left out"
)]
pub struct Rules {
    /// Whether final keys carry the run's id.
    pub final_keys: FinalKeys,
    /// How a run recognises its own commit after an answer was lost.
    pub own_commit: OwnCommit,
    /// When recovery lists the staged files that it is going to delete.
    pub staging_listed: StagingListed,
    /// Whether recovery lists the log after it has read what it is going to publish.
    pub claim_checked: bool,
    /// How a run makes sure that its own commit is still the newest before it publishes.
    pub commit_checked: CommitChecked,
    /// Which commits a run may prune.
    pub pruning: Pruning,
    /// When the ids of the lake's files are read.
    pub ids_read: IdsRead,
    /// Which ids a process keeps for the job's next run.
    pub ids_kept: IdsKept,
    /// Whether a commit with a cursor lists every open part.
    pub commit_lists_all_parts: bool,
    /// Whether all windows of a run share one set of ids.
    pub windows_share_ids: bool,
    /// What a renewal of the claim records as published.
    pub renewal_records: RenewalRecords,
    /// Whether a run that gives up leaves its staged files alone.
    pub staged_kept_on_failure: bool,
    /// Whether a run looks at the final object before it deletes the staged one.
    pub look_before_delete: bool,
    /// What recovery does about a committed file that is neither staged nor published.
    pub vanished: Vanished,
    /// Whether the store creates an object only if there is none, in one step.
    pub create: Create,
}

/// See [`Rules::final_keys`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FinalKeys {
    CarryTheRun,
    CarryTheVersionOnly,
}

/// See [`Rules::own_commit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum OwnCommit {
    ByItsId,
    ByTheRun,
}

/// See [`Rules::staging_listed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum StagingListed {
    BeforeTheLogIsChecked,
    AfterPublishing,
}

/// See [`Rules::commit_checked`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CommitChecked {
    ByListing,
    ByLookingForTheNext,
    Never,
}

/// See [`Rules::pruning`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Pruning {
    UpToWhatTheNewestCommitRecords,
    UpToWhatTheRunKnows,
    AnyOldCommit,
}

/// See [`Rules::ids_read`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum IdsRead {
    AfterRecovery,
    AfterTheClaim,
    BeforeTheClaim,
}

/// See [`Rules::ids_kept`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum IdsKept {
    CommittedIfNobodyCommittedSince,
    CommittedWhoeverCommittedSince,
    PulledIfNobodyCommittedSince,
}

/// See [`Rules::renewal_records`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum RenewalRecords {
    WhatIsPublished,
    ItsPredecessor,
}

/// See [`Rules::vanished`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Vanished {
    ItsRangesArePulledAgain,
    IsPassedOver,
}

/// See [`Rules::create`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Create {
    InOneStep,
    LookThenPut,
}

impl Rules {
    /// What auditlake does.
    pub const PROTOCOL: Self = Self {
        final_keys: FinalKeys::CarryTheRun,
        own_commit: OwnCommit::ByItsId,
        staging_listed: StagingListed::BeforeTheLogIsChecked,
        claim_checked: true,
        commit_checked: CommitChecked::ByListing,
        pruning: Pruning::UpToWhatTheNewestCommitRecords,
        ids_read: IdsRead::AfterRecovery,
        ids_kept: IdsKept::CommittedIfNobodyCommittedSince,
        commit_lists_all_parts: true,
        windows_share_ids: true,
        renewal_records: RenewalRecords::WhatIsPublished,
        staged_kept_on_failure: true,
        look_before_delete: true,
        vanished: Vanished::ItsRangesArePulledAgain,
        create: Create::InOneStep,
    };
}

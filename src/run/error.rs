//! Why a run, or one of its streams, failed.

use super::overlap::Overlap;
use crate::client::ClientError;
use crate::lake::LakeError;
use crate::model::{FailureKind, PartitionColumn};
use crate::providers::Refusal;
use crate::run::feed::FeedError;
use crate::table::{RowError, RowReadError};
use crate::telemetry::said_of_panic;

/// A failure of a run; each variant's own text says what and where.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The provider.
    #[error(transparent)]
    Source(#[from] FeedError),
    /// A file of the lake can't be read back for de-duplication.
    #[error(transparent)]
    Read(#[from] RowReadError),
    /// Rows can't be encoded.
    #[error(transparent)]
    Row(#[from] RowError),
    /// A window can't be made smaller.
    #[error(
        "the window `{range}` is too large for the provider and can't be halved further; lower `min_window` if that is in \
         the way, or narrow the job with filters"
    )]
    TooLarge {
        /// The window.
        range: crate::model::Range,
        /// What the provider said.
        source: crate::providers::Refusal,
    },
    /// A range that is too recent for that is refused as too old.
    #[error(
        "the provider refuses as too old what lies before `{oldest}`, which is too recent to be taken for lost; it is tried \
         again, and lost once it is a week old or the provider says that age"
    )]
    HardlyTooOld {
        /// The oldest instant that it gives.
        oldest: crate::model::Timestamp,
        /// What the provider said.
        source: crate::providers::Refusal,
    },
    /// The provider no longer has what is to be verified.
    #[error(
        "the provider gives nothing before `{oldest}` any more, so what the lake has of that can't be verified"
    )]
    Forgotten {
        /// The oldest instant that it gives.
        oldest: crate::model::Timestamp,
    },
    /// The job's rows lie under another account or connection than it has now, and that is in their path.
    #[error(
        "the job's rows lie under `{column}={was}`, and it would land under `{column}={is}` now: what is read again would \
         be there twice; set it back, or move the job to a lake of its own"
    )]
    Moved {
        /// The column in the path.
        column: PartitionColumn,
        /// What it was at the last commit.
        was: String,
        /// What it is now.
        is: String,
    },
    /// The provider writes the job's records otherwise than at its last commit, and their ids are made of their text.
    #[error(
        "the job's records were read with `{was}`, and would read otherwise with `{is}`: what is read again would be there \
         twice; set it back, or give what is read so to another job with a `start` of its own"
    )]
    Reworded {
        /// What it was at the last commit.
        was: String,
        /// What it is now.
        is: String,
    },
    /// The log is that of another account: what that one has pulled would count as pulled of this one.
    #[error(
        "the log `{log}` of job `{job}` is that of {was}, and the job pulls {is}: give it a log of its own"
    )]
    OtherLog {
        /// The job.
        job: String,
        /// Its log.
        log: String,
        /// Whose log it is.
        was: String,
        /// Whose log it would be.
        is: String,
    },
    /// Another log of the lake has pulled what the job is about to pull.
    #[error(
        "{overlap}, and job `{job}` would land it a second time: {to_do}; if these are two accounts, give each connection \
         its own `account_id`"
    )]
    Overlap {
        /// The job.
        job: String,
        /// What the other log has pulled.
        overlap: Box<Overlap>,
        /// The ways out.
        to_do: String,
    },
    /// A task of the run panicked: a defect.
    #[error("the run panicked: {0}")]
    Panicked(&'static str),
}

impl From<tokio::task::JoinError> for RunError {
    /// Without what the panic quotes.
    fn from(ended: tokio::task::JoinError) -> Self {
        Self::Panicked(match ended.try_into_panic() {
            Ok(panic) => said_of_panic(&*panic),
            Err(_) => "a task was aborted",
        })
    }
}

impl RunError {
    /// What it means for the scheduler.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Lake(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::Read(error) => error.kind(),
            Self::Row(error) => error.kind(),
            Self::TooLarge { .. } | Self::HardlyTooOld { .. } | Self::Forgotten { .. } => {
                FailureKind::Data
            }
            Self::Moved { .. }
            | Self::Reworded { .. }
            | Self::OtherLog { .. }
            | Self::Overlap { .. } => FailureKind::Config,
            Self::Panicked(_) => FailureKind::Transient,
        }
    }

    /// Whether the run may still write to the log. Not if another run has it; not if a commit got no answer: what
    /// is written after it would take back what it says of progress, should it have arrived; and not if a commit isn't
    /// there, though the store said so: what is written after it would count as pulled what no commit lists.
    pub(super) fn leaves_the_log_known(&self) -> bool {
        let is_unknown = matches!(
            self,
            Self::Lake(LakeError::NoAnswer { .. } | LakeError::NotWritten { .. })
        );
        self.kind() != FailureKind::Conflict && !is_unknown
    }

    /// Whether it is no window's failure but the stream's: its sign-in, its rate limit, a host that can't be found.
    pub(super) fn stops_its_stream(&self) -> bool {
        if matches!(
            self.kind(),
            FailureKind::Auth | FailureKind::RateLimited | FailureKind::Conflict
        ) {
            return true;
        }
        match self.of_feed() {
            Some(FeedError::Client(error)) => !matches!(
                error,
                ClientError::GaveUp {
                    of_sign_in: false,
                    ..
                } | ClientError::Broken { .. }
                    | ClientError::BodyTooLarge { .. }
                    | ClientError::Forbidden { .. }
            ),
            _ => false,
        }
    }

    /// Whether a smaller range may do better: a gateway gave up, no answer came in time, or it broke off.
    pub(super) fn may_be_of_size(&self) -> bool {
        match self.of_feed() {
            Some(FeedError::Client(error)) => {
                error.kind() == FailureKind::Transient && !self.stops_its_stream()
            }
            Some(FeedError::Refused(refusal)) => matches!(refusal, Refusal::TooSlow(_)),
            Some(FeedError::BrokenOff { .. }) | None => false,
        }
    }

    /// Returns what failed in the feed, also where an answer broke off by it.
    fn of_feed(&self) -> Option<&FeedError> {
        let Self::Source(error) = self else {
            return None;
        };
        let mut error = error;
        while let FeedError::BrokenOff { source } = error {
            error = source;
        }
        Some(error)
    }

    /// Whether the client took it for an answer, and so hasn't tried again.
    pub(super) fn is_an_answer(&self) -> bool {
        matches!(self, Self::Source(FeedError::Refused(_)))
    }

    /// How long the provider asked to stay away.
    pub fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Source(FeedError::Client(error)) => error.retry_after(),
            _ => None,
        }
    }
}

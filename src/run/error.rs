//! Failures of a run or of one of its streams.

use std::fmt;

use crate::client::ClientError;
use crate::lake::LakeError;
use crate::model::{FailureKind, PartitionColumn, Timestamp};
use crate::providers::Refusal;
use crate::run::feed::FeedError;
use crate::table::{RowError, RowReadError};
use crate::telemetry::panic_message;
use crate::text;

/// A failure of a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The provider failed.
    #[error(transparent)]
    Source(#[from] FeedError),
    /// A file of the lake can't be read for de-duplication.
    #[error(transparent)]
    Read(#[from] RowReadError),
    /// Rows can't be encoded.
    #[error(transparent)]
    Row(#[from] RowError),
    /// A window can't be made smaller.
    #[error(
        "the window `{range}` is too large for the provider and can't be halved further; lower `min_window` if that \
         is the limit, or add filters to the job"
    )]
    TooLarge {
        /// The window.
        range: crate::model::Range,
        /// The provider's message.
        source: crate::providers::Refusal,
    },
    /// A range was refused as too old, but is too recent for that.
    #[error(
        "the provider refuses events before `{oldest}` as too old, which is too recent to be plausible; they are \
         retried, and count as lost when they are a week old or the provider names that age"
    )]
    DoubtfulAge {
        /// The oldest instant that the provider serves.
        oldest: crate::model::Timestamp,
        /// The provider's message.
        source: crate::providers::Refusal,
    },
    /// The provider no longer serves the range to be verified.
    #[error(
        "the provider no longer serves events before `{oldest}`, so the lake's rows there can't be verified"
    )]
    Forgotten {
        /// The oldest instant that the provider serves.
        oldest: crate::model::Timestamp,
    },
    /// The job's existing rows have a different account or connection in their path.
    #[error(
        "the job's rows are under `{column}={was}`, but it would now land under `{column}={is}`, so re-read records \
         would be there twice; restore the old value, or move the job to a lake of its own"
    )]
    Moved {
        /// The column in the path.
        column: PartitionColumn,
        /// The value at the last commit.
        was: String,
        /// The current value.
        is: String,
    },
    /// The provider's representation of records, from which ids are derived, differs from that of the last commit.
    #[error(
        "the job's records were read with `{was}`, but would now be read with `{is}`, so re-read records would be \
         there twice; restore the old value, or use a new job with a `start` of its own"
    )]
    Reworded {
        /// The value at the last commit.
        was: String,
        /// The current value.
        is: String,
    },
    /// The log belongs to another account, whose coverage would count for this one.
    #[error(
        "the log `{log}` of job `{job}` belongs to {was}, but the job pulls {is}: give it a log of its own"
    )]
    OtherLog {
        /// The job.
        job: String,
        /// The job's log.
        log: String,
        /// The owner of the log.
        was: String,
        /// The job's own account.
        is: String,
    },
    /// Another log of the lake has pulled the data that the job is about to pull.
    #[error(
        "{overlap}, and job `{job}` would land it a second time: {to_do}; if these are two accounts, give each connection \
         its own `account_id`"
    )]
    Overlap {
        /// The job.
        job: String,
        /// The overlap with the other log.
        overlap: Box<Overlap>,
        /// The advice.
        to_do: String,
    },
    /// A task of the run panicked, which is a bug.
    #[error("the run panicked: {0}")]
    Panicked(&'static str),
}

/// The streams of another log that would land a second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The other log.
    pub log: String,
    /// Its streams.
    pub streams: Vec<String>,
    /// The end of its coverage of these streams; `None` while a run is pulling them.
    pub until: Option<Timestamp>,
    /// Whether another job of the configuration has that log.
    pub is_configured: bool,
}

impl Overlap {
    /// Returns the advice.
    pub(super) fn to_do(&self, job: &str) -> String {
        let log = &self.log;
        let way = if self.is_configured {
            format!("leave the stream to the job that has the log `{log}`")
        } else {
            format!("set `log: {log}` in job `{job}` to continue that log")
        };
        match self.until {
            Some(until) => format!("{way}, or a `start` of {} or later", text::time(until)),
            None => way,
        }
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            log,
            streams,
            until,
            ..
        } = self;
        let streams = match streams.as_slice() {
            [] => "the same account".to_owned(),
            [one] => format!("stream `{one}` of the same account"),
            [first, others @ ..] => {
                let others = text::counted(others.len() as u64, "other stream");
                format!("stream `{first}` and {others} of the same account")
            }
        };
        match until {
            None => write!(f, "a run is pulling {streams} into the log `{log}` now"),
            Some(until) => write!(
                f,
                "the log `{log}` has pulled {streams}, up to {}",
                text::time(*until)
            ),
        }
    }
}

impl From<tokio::task::JoinError> for RunError {
    /// Converts the error, without values quoted in the panic's message.
    fn from(ended: tokio::task::JoinError) -> Self {
        Self::Panicked(match ended.try_into_panic() {
            Ok(panic) => panic_message(&*panic),
            Err(_) => "a task was aborted",
        })
    }
}

impl RunError {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Lake(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::Read(error) => error.kind(),
            Self::Row(error) => error.kind(),
            Self::TooLarge { .. } | Self::DoubtfulAge { .. } | Self::Forgotten { .. } => {
                FailureKind::Data
            }
            Self::Moved { .. }
            | Self::Reworded { .. }
            | Self::OtherLog { .. }
            | Self::Overlap { .. } => FailureKind::Config,
            Self::Panicked(_) => FailureKind::Transient,
        }
    }

    /// Returns whether the run may still write to the log. It may not if another run holds the log; if a commit was not
    /// answered, because a later commit would revert its progress if it has arrived; or if a commit is missing although
    /// the store confirmed it, because a later commit would cover ranges whose files no commit lists.
    pub(super) fn leaves_the_log_known(&self) -> bool {
        let is_unknown = matches!(
            self,
            Self::Lake(LakeError::NoAnswer { .. } | LakeError::NotWritten { .. })
        );
        self.kind() != FailureKind::Conflict && !is_unknown
    }

    /// Returns whether the failure affects the whole stream instead of a window: its sign-in, its rate limit, or an
    /// unknown host.
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

    /// Returns whether a smaller range may succeed: a gateway timed out, no answer arrived in time, or the answer broke
    /// off.
    pub(super) fn may_be_of_size(&self) -> bool {
        match self.of_feed() {
            Some(FeedError::Client(error)) => {
                error.kind() == FailureKind::Transient && !self.stops_its_stream()
            }
            Some(FeedError::Refused(refusal)) => matches!(refusal, Refusal::TooSlow(_)),
            Some(FeedError::BrokenOff { .. }) | None => false,
        }
    }

    /// Returns the failure of the feed, including one that broke off an answer.
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

    /// Returns whether the client treated it as an answer and therefore didn't retry.
    pub(super) fn is_an_answer(&self) -> bool {
        matches!(self, Self::Source(FeedError::Refused(_)))
    }

    /// Returns the pause that the provider requested.
    pub fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Source(FeedError::Client(error)) => error.retry_after(),
            _ => None,
        }
    }
}

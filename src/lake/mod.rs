//! The lake: object storage, the commit log in it, and the files that it publishes.

mod answer;
mod azure;
mod claim;
mod commit;
mod credentials;
mod error;
mod folder;
mod http;
pub mod layout;
mod log;
mod logs;
mod metered;
mod open;
pub mod options;
mod prepare;
mod probe;
mod publish;
pub mod quarantine;
mod redacting;
mod streak;
mod wrapped;

pub use commit::{
    Claim, Commit, CommitKind, CommittedFile, DELAYS, FORMAT, FailedRange, FailureStreak,
    OpenRange, Origin, Process, Progress, Pulled, RecordCounts, Refetch, RunFailure, RunSummary,
    Work, delay,
};
pub use error::LakeError;
pub use log::{
    ClaimOutcome, CommitChange, Damage, JobLog, LogRun, ReleasedHead, RunEnd, newest, unpublished,
};
pub use logs::{Version, commit, create_runs, days_of_runs, jobs, read_runs, versions};
pub use open::{Lake, StorePatience};
pub use probe::{ProbeOutcome, ProbeResult, StoreProbe, probe};
pub use publish::damaged;

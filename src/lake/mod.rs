//! The lake: object storage, the commit log in it, and the files that it publishes.

mod answer;
mod azure;
mod claim;
mod closed;
mod commit;
mod counted;
mod credentials;
mod error;
mod folder;
mod http;
pub mod layout;
mod log;
mod logs;
mod open;
pub mod options;
mod probe;
mod publish;
pub mod quarantine;
mod streak;

pub use commit::{
    Claim, Commit, CommitKind, CommittedFile, Counts, DELAYS, FORMAT, FailedRange, Open, Origin,
    Process, Progress, Pulled, Refetch, RunFailure, RunSummary, Work, delay,
};
pub use error::LakeError;
pub use log::{Change, Claimed, Damage, JobLog, ReleasedHead, Run, newest, unpublished};
pub use logs::{Version, commit, create_runs, days_of_runs, jobs, read_runs, versions};
pub use open::{Lake, StorePatience};
pub use probe::{Outcome, Probe, Probed, probe};
pub use publish::damaged;
pub use streak::FailureStreak;

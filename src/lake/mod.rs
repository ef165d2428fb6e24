//! The lake: object storage, the commit log in it, and the files that it publishes.

mod claim;
mod closed;
mod commit;
mod counted;
mod error;
mod http;
pub mod layout;
mod log;
mod open;
mod probe;
mod publish;
pub mod quarantine;

pub use commit::{
    Claim, Commit, CommitKind, CommittedFile, Counts, DELAYS, Ended, FORMAT, Failed, Open, Origin,
    Process, Progress, Pulled, Refetch, Work, delay,
};
pub use error::LakeError;
pub use log::{Change, Claimed, JobLog, Left, Run, newest, unpublished};
pub use open::Lake;
pub use probe::{Outcome, Probe, Probed, probe};

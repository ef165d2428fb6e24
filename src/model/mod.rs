//! The words that every layer shares: kinds of failure, ranges of time, the record, the call.

mod hex;
mod partition;
mod range;
mod rate;
mod record;

pub(crate) use hex::hex;
pub use partition::PartitionColumn;
pub use range::{Range, RangeSet};
pub use rate::RateLimit;
pub use record::{Activity, Outcome, PropertyChange, Record};

/// An instant in UTC, whole microseconds.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

/// The place to go on from inside a range; opaque outside its adapter.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// What a failure means for whoever schedules the next try; the scheduler looks at nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// May pass by itself: network, 5xx, time-outs.
    Transient,
    /// The provider asked to come back later.
    RateLimited,
    /// Credentials or permission.
    Auth,
    /// The configuration is wrong for this provider or lake.
    Config,
    /// What the provider sent, or the size of what was asked, can't be handled.
    Data,
    /// Another run took over.
    Conflict,
}

impl FailureKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Transient,
        Self::RateLimited,
        Self::Auth,
        Self::Config,
        Self::Data,
        Self::Conflict,
    ];
}

impl std::fmt::Display for FailureKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Transient => "transient",
            Self::RateLimited => "rate_limited",
            Self::Auth => "auth",
            Self::Config => "config",
            Self::Data => "data",
            Self::Conflict => "conflict",
        })
    }
}

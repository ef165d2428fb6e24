//! The types shared by all layers: kinds of failure, ranges of time, and the record.

mod category;
mod hex;
mod partition;
mod range;
mod rate;
mod record;
mod words;

pub use category::Category;
pub(crate) use hex::hex;
pub use partition::PartitionColumn;
pub use range::{Range, RangeSet};
pub use rate::RateLimit;
pub use record::{Activity, Outcome, PropertyChange, Record};
pub(crate) use words::words;

/// An instant in UTC, whole microseconds.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

/// The position inside a range from which to continue; opaque outside its adapter.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// The kind of a failure, which alone determines when the scheduler tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// A failure that may pass by itself: network, 5xx, timeouts.
    Transient,
    /// The provider requested a pause.
    RateLimited,
    /// Credentials or permissions were refused.
    Auth,
    /// The configuration is wrong for this provider or lake.
    Config,
    /// An answer of the provider, or the size of a range, can't be handled.
    Data,
    /// Another run took the job over.
    Conflict,
}

impl FailureKind {
    /// All kinds.
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

//! What can be set of every simulator.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Whether an end of the range asked for belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A record at exactly this instant is found.
    Inclusive,
    /// A record at exactly this instant is not found.
    Exclusive,
}

impl Bound {
    /// The distance to the nearest instant that belongs to the range, in microseconds.
    pub(crate) fn gap(self) -> i64 {
        i64::from(self == Self::Exclusive)
    }
}

/// The order of records of one time, for which providers have no second criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ties {
    /// The same in every answer.
    Stable,
    /// One that depends on which page is asked for, as a query planner may have it: the same call gives the same order,
    /// another page another one.
    ByPage,
    /// Another with each call.
    Shuffled,
}

impl Ties {
    /// The key by which the record with this number is ordered among those of its time.
    pub(crate) fn key(self, number: usize, page: (usize, usize), call: u64) -> u64 {
        let salt = match self {
            Self::Stable => return number as u64,
            Self::ByPage => (page, 0),
            Self::Shuffled => (page, call),
        };
        let mut hasher = DefaultHasher::new();
        (salt, number).hash(&mut hasher);
        hasher.finish()
    }
}

//! Settings that several simulators have.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Whether a bound of the requested range belongs to the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A record at exactly this instant is returned.
    Inclusive,
    /// A record at exactly this instant is not returned.
    Exclusive,
}

impl Bound {
    /// Returns the distance to the nearest instant that belongs to the range, in microseconds.
    pub(crate) fn gap(self) -> i64 {
        i64::from(self == Self::Exclusive)
    }
}

/// The order of records with equal times, for which providers have no second sort key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ties {
    /// The same order in every answer.
    Stable,
    /// An order that depends on the requested page, as with a query planner: the same call gives the same order,
    /// another page a different one.
    ByPage,
    /// A different order with each call.
    Shuffled,
}

impl Ties {
    /// Returns the sort key of the record with this number among those with the same time.
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

//! The only place that reads the wall clock.

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::Timestamp;

/// Tells the time: real, or as of a fixed instant (`--as-of`, demo, tests).
///
/// Only planning looks at it. Claims keep to [`real_now`], whatever a run takes for now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// Always the same instant.
    AsOf(Timestamp),
}

impl Clock {
    /// What this clock takes for now.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => real_now(),
            Self::AsOf(instant) => *instant,
        }
    }
}

/// The machine's clock in whole microseconds, the precision of the table and of the commit log.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn real_now() -> Timestamp {
    let now: DateTime<Utc> = Utc::now();
    now - TimeDelta::nanoseconds(i64::from(now.timestamp_subsec_nanos() % 1_000))
}

//! The rate at which a provider may be called.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// A number of requests per period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The number of requests.
    pub requests: NonZeroU32,
    /// The period.
    pub per: Duration,
}

impl RateLimit {
    /// Creates a limit of `requests` per `seconds`.
    pub const fn per_seconds(requests: NonZeroU32, seconds: u64) -> Self {
        Self {
            requests,
            per: Duration::from_secs(seconds),
        }
    }
}

/// Formats as in jobs.yaml: `300/min`.
impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per.as_secs() {
            1 => write!(f, "{}/s", self.requests),
            60 => write!(f, "{}/min", self.requests),
            3_600 => write!(f, "{}/h", self.requests),
            seconds => write!(f, "{}/{seconds}s", self.requests),
        }
    }
}

//! How often a provider may be called.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// So many requests in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many.
    pub requests: NonZeroU32,
    /// In how much time.
    pub per: Duration,
}

impl RateLimit {
    /// So many requests in so many seconds.
    pub const fn per_seconds(requests: NonZeroU32, seconds: u64) -> Self {
        Self {
            requests,
            per: Duration::from_secs(seconds),
        }
    }
}

/// `300/min`, as in jobs.yaml.
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

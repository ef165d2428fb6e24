//! A rate limit with each of the counting methods that providers use.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::lock;

/// A number of calls per window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The calls allowed in one window.
    pub calls: u32,
    /// The length of a window in real time, as the simulator's own clock may be fixed.
    pub per: Duration,
}

impl RateLimit {
    /// A limit that is never reached.
    pub const NONE: Self = Self {
        calls: 1_000_000,
        per: Duration::from_mins(1),
    };
}

/// The counting method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RateCount {
    /// A fixed window that begins with the first call after the end of the previous one. Refused calls count.
    #[default]
    Fixed,
    /// A sliding window that ends now. Refused calls don't count.
    Sliding,
    /// A bucket that fills evenly. Refused calls don't count.
    Bucket {
        /// The capacity of the bucket in calls.
        holds: u32,
    },
}

/// The state of the window after one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateState {
    pub(super) count: u32,
    pub(super) allowed: u32,
    /// The time until a call is certainly allowed again, in seconds, rounded up.
    pub(super) reset_s: u64,
    pub(super) exceeded: bool,
}

#[derive(Debug)]
pub(super) struct RateWindow {
    limit: RateLimit,
    count: RateCount,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    /// For a fixed window: its start and its calls.
    fixed: Option<(Instant, u32)>,
    /// For a sliding window: the times of its calls.
    calls: VecDeque<Instant>,
    /// For a bucket: when it will be full again.
    full_at: Option<Instant>,
}

impl RateWindow {
    /// Returns a fixed window.
    pub(super) fn new(limit: RateLimit) -> Self {
        Self::counted(limit, RateCount::default())
    }

    pub(super) fn counted(limit: RateLimit, count: RateCount) -> Self {
        Self {
            limit,
            count,
            window: Mutex::default(),
        }
    }

    /// Counts one call.
    pub(super) fn call(&self) -> RateState {
        let now = Instant::now();
        let mut window = lock(&self.window);
        let (count, free_at) = match self.count {
            RateCount::Fixed => self.fixed(&mut window, now),
            RateCount::Sliding => self.sliding(&mut window, now),
            RateCount::Bucket { holds } => self.bucket(&mut window, now, holds),
        };
        let left = free_at.saturating_duration_since(now);
        RateState {
            count,
            allowed: self.limit.calls,
            reset_s: left.as_secs() + u64::from(left.subsec_nanos() > 0),
            exceeded: count > self.limit.calls,
        }
    }

    fn fixed(&self, window: &mut Window, now: Instant) -> (u32, Instant) {
        let (began, count) = match window.fixed {
            Some((began, count)) if now < began + self.limit.per => (began, count + 1),
            _ => (now, 1),
        };
        window.fixed = Some((began, count));
        (count, began + self.limit.per)
    }

    fn sliding(&self, window: &mut Window, now: Instant) -> (u32, Instant) {
        while (window.calls.front()).is_some_and(|&call| call + self.limit.per <= now) {
            window.calls.pop_front();
        }
        let count = u32::try_from(window.calls.len()).unwrap_or(u32::MAX) + 1;
        if count <= self.limit.calls {
            window.calls.push_back(now);
        }
        let first = window.calls.front().copied().unwrap_or(now);
        (count, first + self.limit.per)
    }

    /// the bucket's missing calls are those that were made
    fn bucket(&self, window: &mut Window, now: Instant, holds: u32) -> (u32, Instant) {
        let each = self.limit.per / self.limit.calls.max(1);
        let full_at = window.full_at.unwrap_or(now).max(now) + each;
        if full_at <= now + each * holds {
            window.full_at = Some(full_at);
            return (1, full_at);
        }
        (self.limit.calls + 1, now + each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: RateLimit = RateLimit {
        calls: 2,
        per: Duration::from_mins(1),
    };

    async fn after(time: Duration, window: &RateWindow) -> bool {
        tokio::time::advance(time).await;
        !window.call().exceeded
    }

    #[tokio::test(start_paused = true)]
    async fn refuses_beyond_the_limit_until_the_window_ends() {
        let window = RateWindow::new(TWO);
        assert!(!window.call().exceeded);
        assert!(!window.call().exceeded);
        tokio::time::advance(Duration::from_millis(18_500)).await;
        let third = window.call();
        assert!(third.exceeded);
        assert_eq!(third.reset_s, 42);
        tokio::time::advance(Duration::from_millis(41_499)).await;
        assert!(window.call().exceeded);
        tokio::time::advance(Duration::from_millis(1)).await;
        let fresh = window.call();
        assert!(!fresh.exceeded);
        assert_eq!((fresh.count, fresh.reset_s), (1, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_that_slides_has_no_end_to_wait_for() {
        let second = Duration::from_secs;
        let window = RateWindow::counted(TWO, RateCount::Sliding);
        assert!(after(second(0), &window).await);
        assert!(after(second(50), &window).await);
        assert!(!after(second(9), &window).await);
        assert!(after(second(1), &window).await);
        assert!(!after(second(49), &window).await);
        assert!(after(second(1), &window).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_is_filled_evenly() {
        let second = Duration::from_secs;
        for holds in [1, 2] {
            let window = RateWindow::counted(TWO, RateCount::Bucket { holds });
            for _ in 0..holds {
                assert!(after(second(0), &window).await);
            }
            assert!(!after(second(29), &window).await);
            assert!(after(second(1), &window).await);
            assert!(!after(second(0), &window).await);
            assert!(after(second(90), &window).await);
        }
    }
}

//! A fixed-window rate limit, as providers have it.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::lock;

/// So many calls in each window; a window begins with the first call after the last one's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls allowed in one window.
    pub calls: u32,
    /// Length of a window, in real time (the simulator's own clock may stand still).
    pub per: Duration,
}

/// Where the window stands after one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateState {
    pub(super) count: u32,
    pub(super) allowed: u32,
    /// Whole seconds until the window ends, rounded up.
    pub(super) reset_s: u64,
    pub(super) exceeded: bool,
}

#[derive(Debug)]
pub(super) struct RateWindow {
    limit: RateLimit,
    window: Mutex<Option<(Instant, u32)>>,
}

impl RateWindow {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            window: Mutex::new(None),
        }
    }

    /// Counts one call. Calls that are refused count too, but do not move the window's end.
    pub(super) fn call(&self) -> RateState {
        let now = Instant::now();
        let mut window = lock(&self.window);
        let (began, count) = match *window {
            Some((began, count)) if now < began + self.limit.per => (began, count + 1),
            _ => (now, 1),
        };
        *window = Some((began, count));
        let left = (began + self.limit.per).saturating_duration_since(now);
        RateState {
            count,
            allowed: self.limit.calls,
            reset_s: left.as_secs() + u64::from(left.subsec_nanos() > 0),
            exceeded: count > self.limit.calls,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refuses_beyond_the_limit_until_the_window_ends() {
        let window = RateWindow::new(RateLimit {
            calls: 2,
            per: Duration::from_mins(1),
        });
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
}

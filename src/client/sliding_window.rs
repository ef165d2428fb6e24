//! How many requests were taken from a rate budget within its last window.

use std::collections::VecDeque;
use std::time::Duration;

/// Into how many slots a window is cut to count what was taken within it.
const SLOTS: u32 = 60;

/// How many requests were taken lately, by slots of time.
#[derive(Debug)]
pub(super) struct SlidingWindow {
    slot: Duration,
    /// The slots in which any were taken, the oldest first: the slot's number and how many.
    counts: VecDeque<(u128, u32)>,
}

impl SlidingWindow {
    pub(super) fn new(per: Duration) -> Self {
        Self {
            slot: (per / SLOTS).max(Duration::from_nanos(1)),
            counts: VecDeque::new(),
        }
    }

    /// The number of the slot that holds `now`.
    fn number(&self, now: Duration) -> u128 {
        now.as_nanos() / self.slot.as_nanos()
    }

    /// Counts one that is taken now.
    pub(super) fn note(&mut self, now: Duration) {
        let slot = self.number(now);
        match self.counts.back_mut() {
            Some((last, count)) if *last == slot => *count += 1,
            _ => self.counts.push_back((slot, 1)),
        }
        let oldest = slot.saturating_sub(SLOTS.into());
        while self.counts.front().is_some_and(|(slot, _)| *slot < oldest) {
            self.counts.pop_front();
        }
    }

    /// How many were taken within the window that ends now.
    pub(super) fn within(&self, now: Duration) -> u32 {
        let oldest = self.number(now).saturating_sub(SLOTS.into());
        let recent = self.counts.iter().filter(|(slot, _)| *slot >= oldest);
        recent.map(|(_, count)| count).sum()
    }

    /// How many slots it remembers.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.counts.len()
    }
}

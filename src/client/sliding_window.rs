//! A count of the requests taken from a rate budget within its last window.

use std::collections::VecDeque;
use std::time::Duration;

/// The number of slots into which a window is divided.
const SLOTS: u32 = 60;

/// The recent requests by slots of time.
#[derive(Debug)]
pub(super) struct SlidingWindow {
    slot: Duration,
    /// The slots with requests, oldest first: the slot's number and its count.
    counts: VecDeque<(u128, u32)>,
}

impl SlidingWindow {
    pub(super) fn new(per: Duration) -> Self {
        Self {
            slot: (per / SLOTS).max(Duration::from_nanos(1)),
            counts: VecDeque::new(),
        }
    }

    /// Returns the number of the slot that contains `now`.
    fn number(&self, now: Duration) -> u128 {
        now.as_nanos() / self.slot.as_nanos()
    }

    /// Counts a request taken now.
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

    /// Returns the number of requests within the window that ends now.
    pub(super) fn within(&self, now: Duration) -> u32 {
        let oldest = self.number(now).saturating_sub(SLOTS.into());
        let recent = self.counts.iter().filter(|(slot, _)| *slot >= oldest);
        recent.map(|(_, count)| count).sum()
    }

    /// Returns the number of stored slots.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.counts.len()
    }
}

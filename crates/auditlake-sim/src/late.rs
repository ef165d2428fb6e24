//! How long after it happened an event can be seen.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;

/// The least delay of a late arrival.
const LATE_FROM: Duration = Duration::from_mins(1);

/// How late events arrive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lateness {
    /// The longest delay of an ordinary event.
    pub(super) usual: Duration,
    /// The share of events that come late.
    pub(super) late_share: f64,
    /// The longest delay of those.
    pub(super) latest: Duration,
}

impl Lateness {
    /// One event's delay, in microseconds.
    pub(super) fn draw(&self, rng: &mut StdRng) -> i64 {
        if rng.random_bool(self.late_share.clamp(0.0, 1.0)) {
            let (least, most) = (
                micros(LATE_FROM),
                micros(self.latest).max(micros(LATE_FROM)),
            );
            // The minimum of two draws: most come within the first half, some near the end.
            let draw = rng.random_range(least..=most);
            return draw.min(rng.random_range(least..=most));
        }
        rng.random_range(0..=micros(self.usual))
    }
}

/// In microseconds.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

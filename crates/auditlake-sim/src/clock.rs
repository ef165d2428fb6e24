//! The clock of a simulator.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};

use super::lock;

/// The source of a simulator's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// The machine's own clock.
    #[default]
    System,
    /// Stays at this instant until it is set or advanced.
    Fixed(DateTime<Utc>),
    /// Starts at this instant and runs at the usual speed.
    RunningFrom(DateTime<Utc>),
}

/// A clock that can be set while others read it.
#[derive(Debug)]
pub(super) struct SimClock {
    inner: Mutex<(Clock, Instant)>,
}

impl SimClock {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            inner: Mutex::new((clock, Instant::now())),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a simulator shares nothing with the worker"
    )]
    pub(super) fn now(&self) -> DateTime<Utc> {
        let (clock, since) = *lock(&self.inner);
        match clock {
            Clock::System => SystemTime::now().into(),
            Clock::Fixed(at) => at,
            Clock::RunningFrom(at) => at + delta(since.elapsed()),
        }
    }

    /// Returns the time of a running clock that isn't the machine's. A fixed clock is for tests whose other clocks are
    /// fixed too, so no `Date` header shows it.
    pub(super) fn running(&self) -> Option<DateTime<Utc>> {
        let (clock, _) = *lock(&self.inner);
        matches!(clock, Clock::RunningFrom(_)).then(|| self.now())
    }

    pub(super) fn now_micros(&self) -> i64 {
        self.now().timestamp_micros()
    }

    /// Sets the clock to `at`. A running clock continues from there; any other stops.
    pub(super) fn set(&self, at: DateTime<Utc>) {
        let mut inner = lock(&self.inner);
        inner.0 = match inner.0 {
            Clock::RunningFrom(_) => Clock::RunningFrom(at),
            Clock::System | Clock::Fixed(_) => Clock::Fixed(at),
        };
        inner.1 = Instant::now();
    }

    pub(super) fn advance(&self, by: Duration) {
        self.set(self.now() + delta(by));
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap_or_default()
    }

    #[test]
    fn a_fixed_clock_stands_and_a_running_one_goes_on_from_where_it_is_set() {
        let clock = SimClock::new(Clock::Fixed(at(100)));
        clock.advance(Duration::from_secs(5));
        assert_eq!((clock.now(), clock.running()), (at(105), None));
        let clock = SimClock::new(Clock::RunningFrom(at(100)));
        clock.set(at(1_000));
        assert!((at(1_000)..at(1_060)).contains(&clock.now()));
    }
}

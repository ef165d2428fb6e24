//! Retries: which failures are retried, and when. The only file that may use `backoff` (see deny.toml).

use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use http::StatusCode;

use super::ClientLimits;

/// Returns whether a status is a transient failure: HTTP's own, and those of gateways for a server that is unreachable
/// or too slow (520 to 527, 529, 530, 598, 599).
pub(super) fn is_transient(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        408 | 421 | 425 | 429 | 500 | 502..=504 | 520..=527 | 529 | 530 | 598 | 599
    )
}

/// The retries of a call: counts its attempts and computes the waits.
#[derive(Debug)]
pub(super) struct Retries {
    backoff: ExponentialBackoff,
    attempts_left: u32,
    time_left: Duration,
}

impl Retries {
    /// Creates the retries with the limits on attempts, including the first, and on elapsed time.
    pub(super) fn new(limits: &ClientLimits) -> Self {
        // a factor of 1 spreads an interval over [0, 2 * interval], so half the limit gives full jitter up to the limit
        let backoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(limits.first_backoff.min(limits.longest_backoff) / 2)
            .with_max_interval(limits.longest_backoff / 2)
            .with_multiplier(2.0)
            .with_randomization_factor(1.0)
            .with_max_elapsed_time(None)
            .build();
        Self {
            backoff,
            attempts_left: limits.attempts,
            time_left: limits.elapsed,
        }
    }

    /// Returns how long to wait after an attempt that took `took`; `None` if the limits are reached.
    ///
    /// A pause that the server `asked` for is never shortened. Without one, or if it is 0, the wait is uniform in
    /// `[rest, rest + cap]`, where the cap doubles with each attempt. Waits for the rate budget aren't counted.
    pub(super) fn next(
        &mut self,
        took: Duration,
        asked: Option<Duration>,
        rest: Duration,
    ) -> Option<Duration> {
        self.attempts_left = self.attempts_left.saturating_sub(1);
        let jittered = rest.saturating_add(self.backoff.next_backoff()?);
        let wait = asked.filter(|asked| !asked.is_zero()).unwrap_or(jittered);
        self.time_left = self.time_left.checked_sub(took.saturating_add(wait))?;
        (self.attempts_left > 0).then_some(wait)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn next(retries: &mut Retries, took: Duration, asked: Option<Duration>) -> Option<Duration> {
        retries.next(took, asked, Duration::ZERO)
    }

    #[test]
    fn backoff_has_full_jitter_up_to_a_doubling_cap() {
        let limits = ClientLimits {
            attempts: 8,
            elapsed: Duration::MAX,
            first_backoff: Duration::from_millis(100),
            longest_backoff: Duration::from_secs(1),
            ..ClientLimits::default()
        };
        let mut waits = [const { Vec::new() }; 7];
        for _ in 0..4000 {
            let mut retries = Retries::new(&limits);
            for of_attempt in &mut waits {
                of_attempt.push(
                    next(&mut retries, Duration::ZERO, None)
                        .unwrap()
                        .as_secs_f64(),
                );
            }
            assert_eq!(next(&mut retries, Duration::ZERO, None), None);
        }
        for (waits, cap) in waits.iter().zip([0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]) {
            assert!(waits.iter().all(|&wait| wait <= cap + 1e-8));
            // uniform: each tenth of [0, cap] holds about a tenth of the waits
            for tenth in 0..10 {
                let (from, to) = (
                    cap * f64::from(tenth) / 10.0,
                    cap * f64::from(tenth + 1) / 10.0,
                );
                let held = waits.iter().filter(|&&w| from <= w && w < to).count();
                assert!((250..600).contains(&held), "{held} in {from}..{to}");
            }
        }
    }

    #[test]
    fn what_the_server_asked_is_never_shortened_and_the_limits_hold() {
        let limits = ClientLimits {
            attempts: 3,
            elapsed: Duration::from_secs(100),
            first_backoff: Duration::from_millis(1),
            ..ClientLimits::default()
        };
        let second = Duration::from_secs(1);
        let mut retries = Retries::new(&limits);
        assert_eq!(
            next(&mut retries, second, Some(90 * second)),
            Some(90 * second)
        );
        assert_eq!(next(&mut retries, second, Some(9 * second)), None); // 101 s
        let mut retries = Retries::new(&limits);
        assert!(next(&mut retries, second, Some(Duration::ZERO)).is_some());
        assert!(next(&mut retries, second, None).is_some());
        assert_eq!(next(&mut retries, second, None), None); // 3 attempts
    }

    #[test]
    fn a_rest_comes_before_the_backoff_and_counts() {
        let limits = ClientLimits {
            elapsed: Duration::from_secs(100),
            first_backoff: Duration::from_secs(1),
            ..ClientLimits::default()
        };
        let second = Duration::from_secs(1);
        let mut retries = Retries::new(&limits);
        let wait = retries.next(Duration::ZERO, None, 40 * second).unwrap();
        assert!(wait >= 40 * second && wait <= 41 * second, "{wait:?}");
        let asked = Some(7 * second);
        assert_eq!(retries.next(Duration::ZERO, asked, 40 * second), asked);
        let wait = retries.next(Duration::ZERO, Some(Duration::ZERO), 40 * second);
        assert!(wait.unwrap() >= 40 * second);
        assert_eq!(retries.next(Duration::ZERO, None, 40 * second), None);
    }
}

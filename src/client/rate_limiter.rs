//! The rate limiter of a connection: a token bucket, corrected by the provider's headers.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::rate_headers::RateLimitHeaders;
use super::sliding_window::SlidingWindow;

/// The pace of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RequestPace {
    /// The interval between two requests in the long run.
    spacing: Duration,
    /// How far a request may be ahead of that interval: 1 % of the window. This is the burst, which compensates for
    /// late wake-ups.
    ahead: Duration,
}

impl RequestPace {
    /// Returns the pace for a share of `limit` requests per `window`: no window of that length contains more than the
    /// share, rounded up, and 98 % of it is used at full load. Intervals are 2 % longer than the average: 1 % for the
    /// burst, and 1 % because requests don't arrive at the intervals at which they are sent, as the first one waits for
    /// TLS.
    fn new(limit: u32, window: Duration, replicas: NonZeroU32) -> Self {
        let ahead = window / 100;
        let alone = window.saturating_add(2 * ahead) / limit.max(1);
        Self {
            spacing: alone
                .saturating_add(Duration::from_nanos(1)) // rounded up
                .saturating_mul(replicas.get()),
            ahead,
        }
    }

    /// Returns the slower of both.
    fn and(self, other: Self) -> Self {
        Self {
            spacing: self.spacing.max(other.spacing),
            ahead: self.ahead.min(other.ahead),
        }
    }
}

/// The state of a connection's rate budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitStatus {
    /// This daemon's share of the requests that the account may make within any period of `per`, or less if the
    /// provider's headers state less.
    pub limit: u32,
    /// The length of that period.
    pub per: Duration,
    /// The rest of `limit`: a lower bound, as requests are counted for up to a sixtieth of `per` too long. Zero during
    /// a requested pause.
    pub left: u32,
    /// The rest of the pause requested by the provider; zero without one.
    pub pause: Duration,
}

/// The token bucket as a pure state; times are relative to an origin chosen by the caller, and monotonic.
#[derive(Debug)]
struct TokenBucket {
    configured: RequestPace,
    pace: RequestPace,
    replicas: NonZeroU32,
    /// The configured share and its window.
    share: (u32, Duration),
    spent: SlidingWindow,
    /// When the next request is due at even intervals.
    due: Duration,
    paused_until: Duration,
}

impl TokenBucket {
    fn new(limit: u32, per: Duration, replicas: NonZeroU32) -> Self {
        let configured = RequestPace::new(limit, per, replicas);
        Self {
            configured,
            pace: configured,
            replicas,
            share: (limit.div_ceil(replicas.get()), per),
            spent: SlidingWindow::new(per),
            due: Duration::ZERO,
            paused_until: Duration::ZERO,
        }
    }

    /// Takes a request from the budget if possible, and returns zero. Otherwise returns how long to wait before the
    /// next attempt, and takes nothing.
    fn reserve(&mut self, now: Duration) -> Duration {
        let earliest = self
            .due
            .saturating_sub(self.pace.ahead)
            .max(self.paused_until);
        let wait = earliest.saturating_sub(now);
        if wait.is_zero() {
            self.due = self.due.max(now).saturating_add(self.pace.spacing);
            self.spent.note(now);
        }
        wait
    }

    /// Returns the rest of the budget.
    fn look(&self, now: Duration) -> RateLimitStatus {
        let (share, per) = self.share;
        let limit = if self.pace == self.configured {
            share
        } else {
            let theirs = per.as_nanos() / self.pace.spacing.as_nanos().max(1);
            u32::try_from(theirs).unwrap_or(u32::MAX).clamp(1, share)
        };
        let pause = self.pause(now);
        let left = if pause.is_zero() {
            limit.saturating_sub(self.spent.within(now))
        } else {
            0
        };
        RateLimitStatus {
            limit,
            per,
            left,
            pause,
        }
    }

    /// Returns the rest of the current pause.
    fn pause(&self, now: Duration) -> Duration {
        self.paused_until.saturating_sub(now)
    }

    /// Pauses for `wait`; a longer pause is kept.
    fn pause_for(&mut self, now: Duration, wait: Duration) {
        self.paused_until = self.paused_until.max(now.saturating_add(wait));
    }

    /// Applies the provider's headers: its pace if that is slower than the configured one, otherwise the configured
    /// one, and a pause if no request is left.
    fn correct(&mut self, now: Duration, message: RateLimitHeaders) {
        if message.allowed > 0 {
            let theirs = RequestPace::new(message.allowed, message.window, self.replicas);
            self.pace = if theirs.spacing > self.configured.spacing {
                self.configured.and(theirs)
            } else {
                self.configured
            };
        }
        if let Some(wait) = message.spent_for {
            self.pause_for(now, wait);
        }
    }
}

/// The priority of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// Served in order of arrival.
    Prompt,
    /// Served in order of arrival while no caller of normal priority waits.
    Yielding,
}

/// The bucket with a queue for each priority, served in order of arrival.
///
/// A caller that gives up waiting takes nothing from the budget.
#[derive(Debug)]
pub(super) struct RateLimiter {
    bucket: Mutex<TokenBucket>,
    prompt: WaitQueue,
    yielding: WaitQueue,
    /// Notified of pauses, corrections, and when no caller of normal priority is left.
    changed: Notify,
    origin: Instant,
}

/// The waiting callers of a priority.
#[derive(Debug, Default)]
struct WaitQueue {
    /// Held by the caller whose turn it is.
    turn: tokio::sync::Mutex<()>,
    count: AtomicUsize,
}

/// A waiting caller, until dropped.
struct Waiter<'a> {
    queue: &'a WaitQueue,
    changed: &'a Notify,
}

impl<'a> Waiter<'a> {
    fn new(queue: &'a WaitQueue, changed: &'a Notify) -> Self {
        queue.count.fetch_add(1, Ordering::SeqCst);
        Self { queue, changed }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.queue.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.changed.notify_waiters();
        }
    }
}

/// The provider requested a pause that is longer than the caller waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Paused(pub(super) Duration);

impl RateLimiter {
    /// Creates a limiter for a share of `limit` requests per `per`.
    pub(super) fn new(limit: u32, per: Duration, replicas: NonZeroU32) -> Self {
        Self {
            bucket: Mutex::new(TokenBucket::new(limit, per, replicas)),
            prompt: WaitQueue::default(),
            yielding: WaitQueue::default(),
            changed: Notify::new(),
            origin: Instant::now(),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut TokenBucket, Duration) -> T) -> T {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut bucket, self.origin.elapsed())
    }

    /// Waits for the caller's turn and for the budget, and takes one request from it.
    ///
    /// Fails at once, even while waiting, if a pause is longer than `longest`.
    pub(super) async fn take(&self, rank: Priority, longest: Duration) -> Result<(), Paused> {
        self.check(longest)?;
        let queue = match rank {
            Priority::Prompt => &self.prompt,
            Priority::Yielding => &self.yielding,
        };
        let _waiting = Waiter::new(queue, &self.changed);
        let _turn = queue.turn.lock().await;
        loop {
            let changed = self.changed.notified();
            self.check(longest)?;
            if rank == Priority::Yielding && self.prompt.count.load(Ordering::SeqCst) > 0 {
                changed.await;
                continue;
            }
            let wait = self.with(TokenBucket::reserve);
            if wait.is_zero() {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changed => {}
            }
        }
    }

    /// Returns the rest of the budget without taking any.
    pub(super) fn budget(&self) -> RateLimitStatus {
        self.with(|bucket, now| bucket.look(now))
    }

    fn check(&self, longest: Duration) -> Result<(), Paused> {
        let pause = self.with(|bucket, now| bucket.pause(now));
        if pause > longest {
            return Err(Paused(pause));
        }
        Ok(())
    }

    /// Returns the permitted requests per second in the long run.
    pub(super) fn per_second(&self) -> f64 {
        1.0 / self.with(|bucket, _| bucket.pace.spacing.as_secs_f64())
    }

    /// Pauses for `wait`, including callers that already wait.
    pub(super) fn pause_for(&self, wait: Duration) {
        self.with(|bucket, now| bucket.pause_for(now, wait));
        self.changed.notify_waiters();
    }

    /// Applies an answer's headers.
    pub(super) fn observe(&self, message: RateLimitHeaders) {
        self.with(|bucket, now| bucket.correct(now, message));
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::super::pause::HeaderContext;
    use super::*;
    use crate::client::tests::OWN_HEADERS;
    use crate::clock;

    const MINUTE: Duration = Duration::from_mins(1);

    fn replicas(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).unwrap()
    }

    fn read(headers: &HeaderMap) -> Option<RateLimitHeaders> {
        RateLimitHeaders::read(
            &HeaderContext::new(headers, clock::real_now(), MINUTE),
            Some(&OWN_HEADERS),
            false,
        )
    }

    fn headers(count: u32, allowed: u32, reset: u32) -> HeaderMap {
        [
            (OWN_HEADERS.used, count),
            (OWN_HEADERS.allowed, allowed),
            (OWN_HEADERS.reset, reset),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from(value)))
        .collect()
    }

    /// Takes requests until `end`, each after an idle time, waking late by `late` each time.
    fn drive(
        bucket: &mut TokenBucket,
        mut now: Duration,
        end: Duration,
        idle: &[Duration],
        late: Duration,
    ) -> Vec<Duration> {
        let mut taken = Vec::new();
        let mut idle = idle.iter().cycle();
        loop {
            now += idle.next().copied().unwrap_or_default();
            loop {
                let wait = bucket.reserve(now);
                if wait.is_zero() {
                    break;
                }
                now += wait + late;
            }
            if now >= end {
                return taken;
            }
            taken.push(now);
        }
    }

    fn most_in_any(window: Duration, taken: &[Duration]) -> usize {
        (0..taken.len())
            .map(|first| {
                let end = taken[first] + window;
                taken[first..].partition_point(|&at| at < end)
            })
            .max()
            .unwrap_or(0)
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_share(
            limit in 1_u32..400,
            count in 1_u32..4,
            per in prop_oneof![Just(Duration::from_secs(1)), Just(MINUTE), Just(60 * MINUTE)],
            idle in prop::collection::vec(prop_oneof![3 => Just(0.0), 1 => 0.0..0.5_f64], 1..40),
        ) {
            let mut bucket = TokenBucket::new(limit, per, replicas(count));
            let idle: Vec<Duration> = idle.into_iter().map(|part| per.mul_f64(part)).collect();
            let taken = drive(&mut bucket, Duration::ZERO, 5 * per, &idle, Duration::ZERO);
            let share = limit.div_ceil(count) as usize;
            prop_assert!(most_in_any(per, &taken) <= share);
        }

        #[test]
        fn at_full_load_the_budget_is_used(
            limit in 1_u32..400,
            count in 1_u32..4,
            late in 0.0..0.01_f64,
        ) {
            let mut bucket = TokenBucket::new(limit, MINUTE, replicas(count));
            let taken = drive(&mut bucket, Duration::ZERO, 200 * MINUTE, &[], MINUTE.mul_f64(late));
            let share = f64::from(limit) / f64::from(count) * 200.0;
            prop_assert!(f64::from(u32::try_from(taken.len()).unwrap()) >= 0.97 * share);
        }

        #[test]
        fn a_slower_provider_is_followed_and_left_again(
            limit in 2_u32..400,
            part in 0.05..0.95_f64,
        ) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small part of a small number")]
            let allowed = ((f64::from(limit) * part) as u32).max(1);
            let mut bucket = TokenBucket::new(limit, MINUTE, replicas(1));
            let message = |allowed| read(&headers(0, allowed, 60)).unwrap();
            bucket.correct(Duration::ZERO, message(allowed));
            let slow = drive(&mut bucket, Duration::ZERO, 10 * MINUTE, &[], Duration::ZERO);
            prop_assert!(most_in_any(MINUTE, &slow) <= allowed as usize);
            bucket.correct(10 * MINUTE, message(limit + 7));
            prop_assert_eq!(bucket.pace, bucket.configured);
        }
    }

    /// Returns how many of these calls a provider refuses that allows `limit` of them per window, with windows that
    /// begin with a call, with a sliding window, and with a bucket of `burst` calls.
    fn refused(mut arrivals: Vec<Duration>, limit: u32, burst: u32) -> [usize; 3] {
        arrivals.sort();
        let (mut begun, mut count, mut fixed) = (None, 0, 0);
        let (mut full, mut bucket) = (Duration::ZERO, 0);
        for &at in &arrivals {
            if begun.is_none_or(|begun| at >= begun + MINUTE) {
                (begun, count) = (Some(at), 0);
            }
            count += 1;
            fixed += usize::from(count > limit);
            let next = full.max(at) + MINUTE / limit;
            if next <= at + MINUTE / limit * burst {
                full = next;
            } else {
                bucket += 1;
            }
        }
        let sliding = most_in_any(MINUTE, &arrivals).saturating_sub(limit as usize);
        [fixed, sliding, bucket]
    }

    proptest! {
        /// Requests take up to half a second longer than others to reach the provider.
        #[test]
        fn a_provider_that_counts_arrivals_refuses_none(
            limit in prop_oneof![Just(60_u32), Just(300), 20_u32..1_000],
            ways in prop::collection::vec(0_u64..500, 1..100),
            idle in prop::collection::vec(prop_oneof![9 => Just(0.0), 1 => 0.0..0.5_f64], 1..400),
        ) {
            let mut bucket = TokenBucket::new(limit, MINUTE, replicas(1));
            let idle: Vec<Duration> = idle.into_iter().map(|part| MINUTE.mul_f64(part)).collect();
            let taken = drive(&mut bucket, Duration::ZERO, 5 * MINUTE, &idle, Duration::ZERO);
            let arrives = |(&at, &way): (&Duration, &u64)| at + Duration::from_millis(way);
            let arrivals: Vec<Duration> = taken.iter().zip(ways.iter().cycle()).map(arrives).collect();
            // concurrent requests: a burst, and overtaking ones
            let burst = limit / 100 + limit / 120 + 3;
            prop_assert_eq!(refused(arrivals, limit, burst), [0; 3]);
        }
    }

    #[test]
    fn the_burst_is_small() {
        for (limit, burst) in [(10, 1), (60, 1), (300, 3), (1000, 10)] {
            let mut bucket = TokenBucket::new(limit, MINUTE, replicas(1));
            let at_once = (0..limit)
                .take_while(|_| bucket.reserve(MINUTE).is_zero())
                .count();
            assert_eq!(at_once, burst, "{limit}");
        }
    }

    #[test]
    fn nothing_left_pauses_until_the_reset() {
        let mut bucket = TokenBucket::new(300, MINUTE, replicas(1));
        bucket.correct(MINUTE, read(&headers(300, 300, 17)).unwrap());
        assert_eq!(bucket.reserve(MINUTE), Duration::from_secs(17));
        assert_eq!(
            bucket.reserve(MINUTE + Duration::from_secs(17)),
            Duration::ZERO
        );
        bucket.correct(2 * MINUTE, read(&headers(1, 300, 17)).unwrap());
        assert_eq!(bucket.reserve(2 * MINUTE), Duration::ZERO);
    }

    #[test]
    fn what_is_left_counts_the_last_window() {
        let mut bucket = TokenBucket::new(300, MINUTE, replicas(2));
        let left = |bucket: &TokenBucket, now| bucket.look(now).left;
        assert_eq!(
            bucket.look(MINUTE),
            RateLimitStatus {
                limit: 150,
                per: MINUTE,
                left: 150,
                pause: Duration::ZERO
            }
        );
        let taken = drive(&mut bucket, MINUTE, 2 * MINUTE, &[], Duration::ZERO);
        let taken = u32::try_from(taken.len()).unwrap();
        assert!(left(&bucket, 2 * MINUTE) <= 150 - taken + 1);
        assert!(left(&bucket, 2 * MINUTE + MINUTE / 2) >= 70);
        assert_eq!(left(&bucket, 4 * MINUTE), 150);
        // a failed attempt takes nothing
        bucket.pause_for(4 * MINUTE, MINUTE / 2);
        assert_eq!(bucket.reserve(4 * MINUTE), MINUTE / 2);
        let look = bucket.look(4 * MINUTE);
        assert_eq!((look.left, look.pause), (0, MINUTE / 2));
        assert_eq!(left(&bucket, 5 * MINUTE), 150);
        // a lower limit of the provider is applied
        bucket.correct(5 * MINUTE, read(&headers(0, 60, 60)).unwrap());
        assert!((25..=30).contains(&bucket.look(5 * MINUTE).limit));
    }

    #[test]
    fn what_was_taken_is_forgotten_when_it_no_longer_counts() {
        let mut bucket = TokenBucket::new(400, MINUTE, replicas(1));
        drive(
            &mut bucket,
            Duration::ZERO,
            50 * MINUTE,
            &[],
            Duration::ZERO,
        );
        assert!(bucket.spent.slots() <= 61);
    }

    #[test]
    fn headers_that_make_no_sense_are_ignored() {
        assert_eq!(read(&HeaderMap::new()), None);
        assert_eq!(
            read(&headers(9, 9, 1_000_000_001)).unwrap().spent_for,
            Some(Duration::ZERO),
            "an epoch that is past"
        );
        let mut bucket = TokenBucket::new(300, MINUTE, replicas(1));
        bucket.correct(MINUTE, read(&headers(0, 0, 0)).unwrap());
        assert_eq!(bucket.pace, bucket.configured);
        assert_eq!(bucket.reserve(MINUTE), Duration::ZERO);
    }

    #[test]
    fn a_pace_that_is_not_said_is_not_taken_back() {
        let message = |pairs: &[(&'static str, &'static str)]| {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (name.parse().unwrap(), HeaderValue::from_static(value))
            };
            read(&pairs.iter().map(pair).collect()).unwrap()
        };
        let spent = [("ratelimit-remaining", "0"), ("ratelimit-reset", "50")];
        let mut bucket = TokenBucket::new(300, MINUTE, replicas(1));
        bucket.correct(MINUTE, message(&[("ratelimit-policy", "100;w=60")]));
        let slower = RequestPace::new(100, MINUTE, replicas(1));
        assert_eq!(bucket.pace, bucket.configured.and(slower));
        bucket.correct(MINUTE, message(&spent));
        assert_eq!(bucket.reserve(MINUTE), Duration::from_secs(50));
        assert_eq!(bucket.pace, bucket.configured.and(slower));
    }

    #[tokio::test(start_paused = true)]
    async fn many_waiters_use_the_budget_in_spite_of_late_timers() {
        for (limit, per) in [(300, MINUTE), (20, Duration::from_secs(1)), (1, MINUTE)] {
            let pacer = Arc::new(RateLimiter::new(limit, per, replicas(1)));
            let taken = Arc::new(std::sync::atomic::AtomicU32::new(0));
            let mut workers = tokio::task::JoinSet::new();
            for _ in 0..10 {
                let (pacer, taken) = (Arc::clone(&pacer), Arc::clone(&taken));
                workers.spawn(async move {
                    loop {
                        pacer.take(Priority::Prompt, per).await.unwrap();
                        taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(30)).await;
                    }
                });
            }
            tokio::time::sleep(50 * per).await;
            workers.shutdown().await;
            let taken = taken.load(std::sync::atomic::Ordering::Relaxed);
            assert!(
                taken <= 50 * limit && taken >= 50 * limit * 97 / 100,
                "{taken}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_are_served_in_order_and_one_who_leaves_takes_nothing() {
        let pacer = Arc::new(RateLimiter::new(60, MINUTE, replicas(1)));
        let begun = Instant::now();
        while pacer.with(TokenBucket::reserve).is_zero() {} // the burst is used up
        let (served, mut order) = tokio::sync::mpsc::unbounded_channel();
        let mut tasks = Vec::new();
        for number in 0..6 {
            let (pacer, served) = (Arc::clone(&pacer), served.clone());
            tasks.push(tokio::spawn(async move {
                pacer.take(Priority::Prompt, MINUTE).await.unwrap();
                served.send(number).unwrap();
            }));
            tokio::task::yield_now().await;
        }
        tasks[0].abort();
        tasks[3].abort();
        drop(served);
        let mut all = Vec::new();
        while let Some(number) = order.recv().await {
            all.push(number);
        }
        assert_eq!(all, [1, 2, 4, 5]);
        assert!(
            begun.elapsed() < Duration::from_secs(6),
            "{:?}",
            begun.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_yield_are_served_when_nobody_else_waits() {
        let pacer = Arc::new(RateLimiter::new(60, MINUTE, replicas(1)));
        while pacer.with(TokenBucket::reserve).is_zero() {}
        let (served, mut order) = tokio::sync::mpsc::unbounded_channel();
        let take = |rank, name: &'static str| {
            let (pacer, served) = (Arc::clone(&pacer), served.clone());
            tokio::spawn(async move {
                pacer.take(rank, MINUTE).await.unwrap();
                served.send(name).unwrap();
            })
        };
        let _yielding = [
            take(Priority::Yielding, "yielding"),
            take(Priority::Yielding, "last"),
        ];
        tokio::task::yield_now().await;
        let gone = take(Priority::Prompt, "gone");
        take(Priority::Prompt, "first");
        take(Priority::Prompt, "second");
        tokio::task::yield_now().await;
        gone.abort(); // a caller that gives up is no longer waited for
        for name in ["first", "second", "yielding", "last"] {
            assert_eq!(order.recv().await, Some(name));
        }
        // a sleeping caller of low priority doesn't delay later ones
        let yielding = take(Priority::Yielding, "yielding");
        tokio::time::sleep(Duration::from_millis(500)).await;
        take(Priority::Prompt, "overtakes");
        assert_eq!(order.recv().await, Some("overtakes"));
        yielding.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_reaches_those_who_wait_already() {
        let pacer = Arc::new(RateLimiter::new(60, MINUTE, replicas(1)));
        while pacer.with(TokenBucket::reserve).is_zero() {}
        let begun = Instant::now();
        let take = |longest| {
            let pacer = Arc::clone(&pacer);
            tokio::spawn(
                async move { (pacer.take(Priority::Prompt, longest).await, Instant::now()) },
            )
        };
        let soon = Duration::from_millis(1);
        let ten = Duration::from_secs(10);
        let patient = take(ten);
        tokio::time::sleep(soon).await;
        pacer.pause_for(ten);
        pacer.pause_for(soon); // a pause is never shortened
        let (taken, at) = patient.await.unwrap();
        assert_eq!(taken, Ok(()));
        assert!(at - begun >= ten);

        while pacer.with(TokenBucket::reserve).is_zero() {}
        let begun = Instant::now();
        let hurried = [take(ten), take(ten)];
        tokio::time::sleep(soon).await;
        pacer.pause_for(2 * ten);
        for hurried in hurried {
            let (paused, at) = hurried.await.unwrap();
            assert!(paused.unwrap_err().0 > ten);
            assert!(at - begun < 2 * soon, "at once");
        }
    }
}

//! A timer that wakes waiting tasks at an instant of the machine's clock. tokio-cron-scheduler wakes the timer, with a
//! single one-shot for the earliest instant.
//!
//! Its channels don't support a one-shot for each task: they hold 200 messages, and when a few hundred tasks are due in
//! the same second, it loses some, ends the listening tasks, and from then on neither fires nor answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use tokio::sync::{Notify, oneshot};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

use crate::clock::real_now;
use crate::model::Timestamp;

/// The longest sleep, as the machine's clock may be set meanwhile.
const NAP: TimeDelta = TimeDelta::minutes(15);
/// The precision of tokio-cron-scheduler, which uses whole seconds and checks its clock twice a second; shorter waits
/// are slept here.
const SHORTEST: Duration = Duration::from_secs(2);
/// How far the machine's clock may lag behind its monotonic one, as a fixed part and a fraction, before it counts as
/// set back: clocks are corrected by slowing them down.
const SLACK: Duration = Duration::from_secs(5);
const DRIFT: u32 = 500;

/// A timer for all waiting tasks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WakeTimer {
    waiting: Arc<Sleeper>,
}

#[derive(Debug, Default)]
struct Sleeper {
    /// The waiting tasks by instant; the number distinguishes those of one instant, in order of arrival.
    by_instant: Mutex<BTreeMap<(Timestamp, u64), oneshot::Sender<()>>>,
    /// Notified when a task waits for an instant before all others.
    sooner: Notify,
}

impl WakeTimer {
    /// Starts the timer. It wakes no task after `stop` is cancelled.
    pub async fn start(stop: CancellationToken) -> Result<Self, JobSchedulerError> {
        let mut bell = JobScheduler::new().await?;
        bell.start().await?;
        let waiting = Arc::<Sleeper>::default();
        let ringing = Arc::clone(&waiting);
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = ringing.ring(&bell) => {}
            }
            // no task waits for it any more
            let _ = bell.shutdown().await;
        });
        Ok(Self { waiting })
    }

    /// Returns when the machine's clock shows this instant or a later one, or would show it if it hadn't been set back
    /// meanwhile, so that a clock that was ahead delays nothing. Never returns after the timer is stopped.
    pub async fn wait_until(&self, instant: Timestamp) {
        let left = (instant - real_now()).to_std().unwrap_or_default();
        let (key, woken) = self.waiting.add(instant);
        tokio::select! {
            biased;
            woken = woken => if woken.is_err() {
                std::future::pending::<()>().await;
            },
            () = tokio::time::sleep(left + SLACK + left / DRIFT) => {
                self.waiting.lock().remove(&key);
            }
        }
    }
}

impl Sleeper {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Timestamp, u64), oneshot::Sender<()>>> {
        // the map is consistent between any two calls
        (self.by_instant.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, instant: Timestamp) -> ((Timestamp, u64), oneshot::Receiver<()>) {
        let (wake, woken) = oneshot::channel();
        let mut waiting = self.lock();
        let last = waiting
            .range((instant, 0)..=(instant, u64::MAX))
            .next_back();
        let number = last.map_or(0, |((_, number), _)| number + 1);
        let is_first = (waiting.first_key_value()).is_none_or(|((first, _), _)| instant < *first);
        waiting.insert((instant, number), wake);
        drop(waiting);
        if is_first {
            self.sooner.notify_one();
        }
        ((instant, number), woken)
    }

    /// Wakes due tasks, forever.
    async fn ring(&self, bell: &JobScheduler) {
        loop {
            let first = self.lock().first_key_value().map(|((first, _), _)| *first);
            match first.map(|first| first - real_now()) {
                None => self.sooner.notified().await,
                Some(left) if left > TimeDelta::zero() => self.nap(left.min(NAP), bell).await,
                Some(_) => self.wake(real_now()),
            }
        }
    }

    fn wake(&self, now: Timestamp) {
        let mut waiting = self.lock();
        let later = waiting.split_off(&(now, u64::MAX));
        for wake in std::mem::replace(&mut *waiting, later).into_values() {
            // an abandoned one
            let _ = wake.send(());
        }
    }

    /// Sleeps for this duration, or until a task waits for an earlier instant. The machine's clock is checked
    /// afterwards.
    async fn nap(&self, length: TimeDelta, bell: &JobScheduler) {
        let length = length.to_std().unwrap_or_default();
        let slept = async {
            tokio::select! {
                () = tokio::time::sleep(length) => {}
                () = self.sooner.notified() => {}
            }
        };
        if length < SHORTEST {
            return slept.await;
        }
        let rung = Arc::new(Notify::new());
        let ringer = Arc::clone(&rung);
        let one_shot = Job::new_one_shot_at_instant_async(
            Instant::now() + length.saturating_sub(Duration::from_secs(1)),
            move |_, _| {
                let ringer = Arc::clone(&ringer);
                Box::pin(async move { ringer.notify_one() })
            },
        );
        let armed = match one_shot {
            Ok(one_shot) => bell.add(one_shot).await,
            Err(error) => Err(error),
        };
        match armed {
            Ok(id) => {
                // tokio-cron-scheduler uses the wall clock, which may be set; this sleep is the upper bound
                tokio::select! {
                    () = rung.notified() => return, // a one-shot that fired is removed automatically
                    () = slept => {}
                }
                let _ = bell.remove(&id).await;
            }
            Err(error) => {
                tracing::warn!(error = %error, "the alarm can't be armed; sleeping without it");
                slept.await;
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    async fn alarm() -> WakeTimer {
        WakeTimer::start(CancellationToken::new()).await.unwrap()
    }

    /// As with many jobs on the same schedule, tick after tick.
    #[tokio::test]
    async fn very_many_who_wait_for_the_same_instant_are_all_woken_and_again() {
        let alarm = alarm().await;
        for _ in 0..2 {
            let due = real_now() + TimeDelta::milliseconds(2_500);
            join_all((0..2_000).map(|_| alarm.wait_until(due))).await;
            assert!(real_now() >= due);
        }
        assert!(alarm.waiting.lock().is_empty());
    }

    #[tokio::test]
    async fn who_waits_for_less_is_woken_first_and_the_past_is_now() {
        let alarm = alarm().await;
        let now = real_now();
        let far = alarm.wait_until(now + TimeDelta::days(400));
        let mut far = Box::pin(far);
        let near = async {
            alarm.wait_until(now + TimeDelta::milliseconds(20)).await;
            alarm.wait_until(now - TimeDelta::days(1)).await;
        };
        tokio::select! {
            biased;
            () = &mut far => panic!("woken 400 days early"),
            () = near => {}
        }
        assert_eq!(alarm.waiting.lock().len(), 1);
    }

    /// As the clock was set back, tokio-cron-scheduler doesn't fire, but the wait is over all the same.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_meanwhile_keeps_nobody_waiting() {
        let alarm = WakeTimer {
            waiting: Arc::default(), // never fires
        };
        let hour = Duration::from_hours(1);
        let begun = tokio::time::Instant::now();
        let woken = alarm.wait_until(real_now() + TimeDelta::hours(1));
        tokio::time::timeout(2 * hour, woken).await.unwrap();
        let waited = begun.elapsed();
        assert!(waited >= hour.checked_sub(SLACK).unwrap() && waited < hour + hour / 100);
        assert!(alarm.waiting.lock().is_empty());
    }

    #[tokio::test]
    async fn those_of_one_instant_are_woken_in_the_order_in_which_they_came() {
        let waiting = Sleeper::default();
        let (early, late) = (real_now(), real_now() + TimeDelta::hours(1));
        let mut woken: Vec<_> = [late, early, early].map(|at| waiting.add(at).1).into();
        waiting.wake(early);
        assert!(woken[0].try_recv().is_err());
        assert!(woken[1].try_recv().is_ok() && woken[2].try_recv().is_ok());
        let numbers: Vec<u64> = {
            drop([late, late].map(|at| waiting.add(at)));
            waiting.lock().keys().map(|(_, number)| *number).collect()
        };
        assert_eq!(numbers, [0, 1, 2]);
    }
}

//! Single flight: work that one caller does for all waiting callers.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, MutexGuard};

/// State that one caller at a time renews. Callers that waited meanwhile find it renewed, or share the failure.
#[derive(Debug)]
pub(crate) struct SingleFlight<T, E> {
    state: Mutex<Flights<T, E>>,
    /// The number of finished flights, including failed ones.
    ended: AtomicU64,
}

#[derive(Debug)]
struct Flights<T, E> {
    value: T,
    /// The failure of the last flight, if it failed.
    failure: Option<E>,
}

/// The turn of a caller, until dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a, T, E> {
    state: MutexGuard<'a, Flights<T, E>>,
    ended: &'a AtomicU64,
    /// The number of finished flights when the caller arrived.
    came: u64,
}

impl<T: Default, E> Default for SingleFlight<T, E> {
    fn default() -> Self {
        Self {
            state: Mutex::new(Flights {
                value: T::default(),
                failure: None,
            }),
            ended: AtomicU64::new(0),
        }
    }
}

impl<T, E: Clone> SingleFlight<T, E> {
    /// Waits until no other caller has the turn.
    pub(crate) async fn turn(&self) -> Turn<'_, T, E> {
        let came = self.ended.load(Ordering::Acquire);
        Turn {
            state: self.state.lock().await,
            ended: &self.ended,
            came,
        }
    }
}

impl<T, E: Clone> Turn<'_, T, E> {
    /// Returns the failure of the last flight, if it was in progress when this caller arrived, which therefore shares
    /// it.
    pub(crate) fn shared_failure(&self) -> Option<E> {
        let is_shared = self.ended.load(Ordering::Acquire) > self.came;
        self.state.failure.clone().filter(|_| is_shared)
    }

    /// Records the end of a flight, and returns its number. A flight that its caller abandoned isn't recorded, so that
    /// the next caller begins another.
    pub(crate) fn end(&mut self, failure: Option<E>) -> u64 {
        self.state.failure = failure;
        self.ended.fetch_add(1, Ordering::Release)
    }
}

impl<T, E> Deref for Turn<'_, T, E> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.state.value
    }
}

impl<T, E> DerefMut for Turn<'_, T, E> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.state.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_is_shared_by_those_who_waited_for_it_and_by_nobody_else() {
        let flight = SingleFlight::<u32, &str>::default();
        let fails = async {
            let mut turn = flight.turn().await;
            tokio::task::yield_now().await;
            assert_eq!(turn.end(Some("refused")), 0);
        };
        let waits = async { flight.turn().await.shared_failure() };
        let ((), shared) = tokio::join!(fails, waits);
        assert_eq!(shared, Some("refused"));
        let mut later = flight.turn().await;
        assert_eq!(later.shared_failure(), None);
        *later = 7;
        assert_eq!(later.end(None), 1);
        drop(later);
        assert_eq!(*flight.turn().await, 7);
    }
}

//! Built-in simulators of the providers, for `auditlake demo` and for tests.
//!
//! A simulator is a small HTTP server on the loopback address. It shares no type with any adapter, and it is at least
//! as strict as the provider: it refuses whatever the provider would refuse. Undocumented behaviour is a setting, so
//! that adapters can be tested with every variant.
//!
//! The modules at this level are common to all simulators: a server that starts and stops, a clock ([`Clock`]), tokens,
//! a rate limit ([`RateLimit`]), injected faults ([`Faults`]) and counters ([`Counters`]). Each provider has a module
//! of its own.

mod answer;
pub mod avaya;
mod clock;
mod counters;
mod dataset;
pub mod everyware;
mod faults;
pub mod genesys;
pub mod liveperson;
mod oauth;
mod providers;
mod rate;
mod server;
mod settings;
mod simulator;
mod socket;
mod stage;
#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]
mod testing;
mod texts;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use clock::Clock;
pub use counters::Counters;
pub use dataset::{Dataset, Poison, PoisonKind, Truth};
pub use faults::{Asked, Fault, FaultRule, Faults, Rewrite, Written};
pub use providers::{Providers, ProvidersSpec, Simulated};
pub use rate::{RateCount, RateLimit};
pub use server::SimError;
pub use settings::{Bound, Ties};
pub use simulator::{Simulator, start};

/// Locks a mutex, even if a holder panicked, so that a simulator keeps answering.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Built-in simulators of the providers, for `auditlake demo` and for tests.
//!
//! A simulator is a small HTTP server on the loopback address. It shares no type with any adapter, and it is never
//! kinder than the provider: what the provider would refuse, it refuses, and what is not known of the provider is a
//! setting, so that both readings can be tested.
//!
//! What every simulator needs is here: a server that starts and stops, a clock of its own ([`Clock`]), tokens, a rate
//! window ([`RateLimit`]), faults on demand ([`Faults`]) and counters ([`Counters`]). What is particular to one provider
//! lies in the module that bears its name.

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

/// Locks a mutex, also one whose holder panicked: a simulator keeps answering.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Attacks on the commit protocol (docs/architecture.md): crashes, rivals, lost answers, damaged logs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    clippy::print_stdout,
    reason = "how much was tried is for whoever runs the tests"
)]

mod adapters;
mod answers;
mod chaos;
mod claims;
mod clocks;
mod crash;
mod damage;
mod every;
mod lies;
mod log;
mod requests;
mod rivals;
mod shortcuts;
mod stores;
mod turns;
mod warm;
mod world;

//! Attacks on the commit protocol (design §4): crashes, rivals, lost answers, damaged logs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod adapters;
mod answers;
mod claims;
mod crash;
mod log;
mod rivals;
mod world;

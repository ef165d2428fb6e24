//! The LivePerson adapter against the recorded samples, and the pipeline against the LivePerson simulator.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]

mod config;
mod exact;
mod golden;
mod id_basis;
mod pitfalls;
mod sign_in;
mod support;
mod trouble;
mod world;

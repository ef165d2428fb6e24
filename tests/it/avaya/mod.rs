//! The AXP adapter against the recorded samples, and the pipeline against the AXP simulator.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]

mod config;
mod exact;
mod golden;
mod pitfalls;
mod states;
mod support;
mod trouble;
mod world;

//! The Everyware Cloud adapter against the recorded samples, and the pipeline against the Everyware Cloud simulator.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]

mod awkward;
mod config;
mod golden;
mod huge;
mod pulls;
mod support;
mod world;

//! The Genesys adapter against the recorded samples, and the pipeline against the Genesys simulator.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]

mod awkward;
mod backfills;
mod budget;
mod golden;
mod late;
mod modes;
mod states;
mod support;
mod trouble;
mod world;

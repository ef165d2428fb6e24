//! The binary as a process: what it prints, how it ends, what it leaves in the lake.

mod api;
mod check;
mod cli;
mod crash;
mod daemon;
mod foreign;
mod json;
mod logs;
mod metrics;
mod once;
mod quarantine;
mod renamed;
mod scale;
mod store;
pub(crate) mod support;
mod terminal;
mod traces;
mod verify;

//! The binary as a process: what it prints, how it ends, what it leaves in the lake.

mod api;
mod check;
mod cli;
mod clocks;
mod crash;
mod daemon;
mod demo;
mod foreign;
mod json;
mod logs;
mod metrics;
mod once;
mod output;
mod quarantine;
mod renamed;
mod scale;
mod stalled;
mod store;
pub(crate) mod support;
mod terminal;
mod traces;
mod verify;

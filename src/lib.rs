#![cfg_attr(doc, doc = include_str!("../README.md"))]
//!
//! # Modules
//!
//! [`scheduler`] starts a job's run when it is due. [`run`] performs it: `run::plan` computes the due ranges, [`client`]
//! fetches their pages, an adapter of [`providers`] locates the records and reads each into a [`model::Record`],
//! [`table`] appends it to the open Parquet part of its partition, and [`lake`] stages, commits and publishes the parts.
//!
//! | to change | see |
//! |---|---|
//! | headers, sign-in, limits and retries of every request | [`client`] |
//! | a provider's requests, and how its pages are read | [`providers`], `docs/adding-a-provider.md` |
//! | the ranges that a run pulls | [`run::plan`] |
//! | the distinction between new, late and duplicate records | [`run`], in `sink.rs`: `progress.rs` tells late from new, `dedup.rs` tells duplicates |
//! | columns, Parquet, DDL | [`table`] |
//! | the order of claim, stage, commit and publish, and crash recovery | [`lake`], `docs/architecture.md` |
//! | a key of `jobs.yaml` | [`config`], [`yaml`] |
//! | commands and their output | [`cli`] |
//! | the status page and the API | `server` |
//!
//! Layers import downward only, which `tests/it/layering.rs` enforces: `cli` → `scheduler`, `server` → `run` →
//! `providers`, `client`, `table`, `lake`; all → `model`, `clock`, `secret`, `foreign`.

pub mod cli;
pub mod client;
pub mod clock;
pub mod clocks;
pub mod config;
pub mod cron;
pub mod foreign;
pub mod history;
pub mod lake;
pub mod metrics;
pub mod model;
pub mod providers;
pub mod run;
pub mod scheduler;
pub mod secret;
mod server;
pub mod setup;
mod shutdown;
mod single_flight;
mod status;
pub mod table;
pub mod telemetry;
mod text;
mod timer;
pub mod tls;
pub mod verify;
pub mod yaml;

/// The simulated providers, for `demo` and for tests.
#[cfg(feature = "demo")]
pub use auditlake_sim as sim;

/// What the page says of a new provider is compiled with the other documentation.
#[cfg(doctest)]
#[doc = include_str!("../docs/adding-a-provider.md")]
mod adding_a_provider {}

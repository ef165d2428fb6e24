#![cfg_attr(doc, doc = include_str!("../README.md"))]
//!
//! # The code
//!
//! One record's way, top to bottom: [`client`] brings the bytes of a page, the provider's adapter in [`providers`]
//! finds the records in it and reads each into a [`model::Record`], [`table`] appends it to the open Parquet part of
//! its partition, [`lake`] stages the part, commits it and publishes it. [`pipeline`] is that flow for one claim of
//! one job; [`plan`] says what to pull; [`scheduler`] says when.
//!
//! | to change | look at |
//! |---|---|
//! | what every request carries: headers, sign-in, limits, retries | [`client`] |
//! | what a provider is asked, and how its pages are read | [`providers`], `docs/adding-a-provider.md` |
//! | which ranges a run pulls | [`plan`] |
//! | which records are new, late or duplicates | [`pipeline`], in its `landing` |
//! | columns, Parquet, DDL | [`table`] |
//! | the order of claim, stage, commit and publish; what a crash leaves | [`lake`], `docs/architecture.md` |
//! | a key of `jobs.yaml` | [`config`], [`yaml`] |
//! | commands and their output | [`cli`] |
//! | the status page and the API | [`server`] |
//!
//! Layers import downward only (`tests/it/layering.rs` holds them to it): `cli` → `scheduler`, `server` → `pipeline` →
//! `source` → `providers`, `client`; `pipeline` → `plan`, `table`, `lake`; all → `model`, `clock`, `secret`, `foreign`.

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
pub mod server;
pub mod setup;
pub mod shutdown;
pub mod status;
pub mod table;
pub mod telemetry;
pub mod text;
pub mod timer;
pub mod tls;
pub mod yaml;

/// The simulated providers, for `demo` and for tests.
#[cfg(feature = "demo")]
pub use auditlake_sim as sim;

/// What the page says of a new provider is compiled with the other documentation.
#[cfg(doctest)]
#[doc = include_str!("../docs/adding-a-provider.md")]
mod adding_a_provider {}

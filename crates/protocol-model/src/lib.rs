//! An exhaustive model of auditlake's commit protocol: claim, recover, pull, stage, commit, publish.
//!
//! Every request to the store or the provider is one atomic step, and any other run may make any number of steps in
//! between. A crash and a pause are therefore the same: a run that makes no further step. Clocks don't exist: another
//! run's claim counts as expired at all times. In every state that can be reached, these must hold:
//!
//! - no event is in two published files, and a published file never changes;
//! - a commit covers only events that it or an earlier commit lists;
//! - a committed file is staged or published, unless the store never stored it;
//! - if every run died now, with the requests that are under way taking effect or not, one clean run would find all that the
//!   newest commit covers, once;
//! - a number of the log that was pruned and then created again is never published.
//!
//! What may go wrong, a bounded number of times: the answer to a create is lost, or the create takes effect at any later
//! time; commits are pruned; a run fails while its process lives on; a copy is answered with success and leaves nothing or a
//! damaged object; an upload is answered with success and stores nothing.
//!
//! Not modelled: the contents of cursors, events without ids, the order of rows, clocks, two jobs, a log that people delete
//! or restore, and whether a run ever gets through (only that a clean one would).
//!
//! `cargo run --release -p protocol-model` explores everything but the long scenarios; `-- long` those too. The steps
//! themselves are documented in `docs/architecture.md`, "A run".

mod objects;
mod rules;
mod run;
mod scenario;
pub mod scenarios;
mod search;
mod steps;
mod world;

pub use rules::*;
pub use scenario::Scenario;
pub use search::{Found, Trace, explore};

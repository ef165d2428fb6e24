//! What runs did, as the table `audit_runs` and its readers tell it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod commits;
mod reader;
mod support;
mod table;

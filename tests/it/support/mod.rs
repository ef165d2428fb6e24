//! What several tests share.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

pub(crate) mod history;
pub(crate) mod provider;
pub(crate) mod reader;
pub(crate) mod rig;
pub(crate) mod store;

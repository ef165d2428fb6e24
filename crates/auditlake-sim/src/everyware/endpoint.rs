//! The names of the endpoints, for counters and faults.

pub use crate::stage::OTHER;

/// The audit log.
pub const AUDIT: &str = "GET /v2/audit";

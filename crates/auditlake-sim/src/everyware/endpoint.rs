//! Names of the endpoints, for counters and faults.

/// The audit log.
pub const AUDIT: &str = "GET /v2/audit";
/// Whatever does not exist.
pub const OTHER: &str = "other";

//! The `auditlake` binary.

fn main() {}

//! The whole of auditlake, from outside.

mod protocol;
mod support;

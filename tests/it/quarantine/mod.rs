//! What becomes of records that could not be read, once they can be.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod crash;
mod foreign;
mod random;
mod replay;
mod world;

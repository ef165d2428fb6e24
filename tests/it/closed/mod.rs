//! Secrets stay closed: they are in nothing that is printed or kept, and reach no host that isn't the connection's.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "the tests say how much they searched")]

mod canary;
mod connections;
mod foreign;
mod internet;
mod lake;
mod leaks;
mod panic;

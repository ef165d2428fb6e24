//! Secrets stay closed: they are in nothing that is printed or kept, and reach no host that isn't the connection's.

mod canary;
mod connections;
mod foreign;
mod internet;
mod lake;
mod leaks;
mod panic;

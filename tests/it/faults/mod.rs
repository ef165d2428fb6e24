//! What a provider and its network can do wrong, kind by kind: every run ends in the right rows, or in a failure that says
//! what is wrong; once it is over, the lake becomes whole; and nobody is hammered meanwhile.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "seeds and figures are for people")]

mod broken;
mod envelope;
mod every_call;
mod fifth;
mod kinds;
mod network;
mod pages;
mod poison;
mod quiet;
mod too_old;
mod windows;
pub(crate) mod worlds;

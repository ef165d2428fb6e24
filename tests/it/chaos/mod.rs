//! The real binary, killed, stopped, starved and lied to, against simulators and a real store. `make chaos` runs more
//! rounds of it than `make test`.
//!
//! What is random comes from a seed that is printed; `AUDITLAKE_CHAOS_SEED` sets it, `AUDITLAKE_CHAOS_ROUNDS` says how
//! often the processes are killed. The processes themselves run as they like, so a seed repeats the attack, not the run.
#![expect(clippy::print_stdout, reason = "seeds and figures are for people")]

mod disk;
mod kill;
mod proxy;
mod reader;
mod replicas;
mod s3;
mod world;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// A source of randomness whose seed is printed, for a test's output to show when it fails.
fn random(what: &str) -> StdRng {
    let seed = number("AUDITLAKE_CHAOS_SEED").unwrap_or_else(|| rand::rng().random());
    println!("{what}: AUDITLAKE_CHAOS_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// How many rounds: `few`, unless the environment says otherwise.
fn rounds(few: u64) -> u64 {
    number("AUDITLAKE_CHAOS_ROUNDS").unwrap_or(few)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("`{variable}` must be a number, not {text:?}")),
    )
}

//! The extent of the tests: small by default, and set by the environment.

use std::ops::Range;

/// The seeds of a random test: `default` many from `first` on; `AUDITLAKE_CHAOS_SCHEDULES` says how many times as many;
/// `AUDITLAKE_CHAOS_SEED` repeats a failure. With several windows in flight the provider's answers may come in another
/// order, so a seed is repeated some times.
pub(super) fn seeds(first: u64, default: u64) -> Vec<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse::<u64>()
                .unwrap_or_else(|_| panic!("{name} is `{text}`, not a number")),
        )
    };
    if let Some(seed) = number("AUDITLAKE_CHAOS_SEED") {
        return vec![seed; 20];
    }
    let range: Range<u64> =
        first..first + default * number("AUDITLAKE_CHAOS_SCHEDULES").unwrap_or(1);
    println!("seeds {range:?}");
    range.collect()
}

/// Searches are complete if `AUDITLAKE_CHAOS` is `full`; otherwise long ones try only schedules with a limited number
/// of switches.
pub(super) fn unless_full(switches: usize) -> Option<usize> {
    let full = std::env::var("AUDITLAKE_CHAOS").is_ok_and(|wanted| wanted == "full");
    (!full).then_some(switches)
}

//! The holders of claims: this process, and whether another process is still alive.

use std::fs;
use std::sync::LazyLock;

use chrono::TimeDelta;

use super::commit::{Claim, Process};
use crate::model::Timestamp;

/// This machine's boot id and this process's namespace of process ids: two processes with the same values can see each
/// other. Host names can't be used, as machines and containers may share one.
static PLACE: LazyLock<Option<String>> = LazyLock::new(|| {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
});

/// The longest plausible remaining lifetime of a claim, which lasts half a minute. A longer one was written by a clock
/// that is ahead.
const LONGEST: TimeDelta = TimeDelta::minutes(10);

impl Claim {
    /// Returns this process's claim until `expires_at`.
    pub fn of_this_process(expires_at: Timestamp) -> Self {
        let pid = std::process::id();
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let process = PLACE
            .clone()
            .zip(started(pid))
            .map(|(place, started)| Process { place, started });
        Self {
            expires_at,
            host,
            pid,
            process,
        }
    }

    /// Returns whether the claim is still valid: not expired, not held by a process that is known to be dead, and not
    /// from a clock that is so far ahead that waiting is impractical.
    pub fn is_live(&self, now: Timestamp) -> bool {
        let left = self.expires_at - now;
        TimeDelta::zero() < left && left <= LONGEST && !self.holder_is_dead()
    }

    /// Returns whether the holder is known to be dead, by `/proc`. If that is unknown, the holder counts as alive until
    /// the claim expires.
    fn holder_is_dead(&self) -> bool {
        self.process.as_ref().is_some_and(|holder| {
            Some(&holder.place) == PLACE.as_ref() && started(self.pid) != Some(holder.started)
        })
    }
}

/// Returns when a process was started, in clock ticks since boot, which distinguishes it from a later one with the same
/// id.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the second field is the program's name in parentheses, which may itself contain spaces and parentheses
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::real_now;

    #[test]
    fn a_claim_lives_until_it_expires() {
        let now = real_now();
        let claim = Claim::of_this_process(now + TimeDelta::seconds(30));
        assert!(claim.is_live(now));
        assert!(!claim.is_live(now + TimeDelta::seconds(30)));
        assert!(
            !claim.is_live(now - TimeDelta::days(1)),
            "a clock that is a day ahead"
        );
    }

    #[test]
    fn a_process_that_is_known_to_be_dead_holds_nothing() {
        let now = real_now();
        let mine = Claim::of_this_process(now + TimeDelta::seconds(30));
        let Some(process) = mine.process.clone() else {
            return; // no /proc on this system: the claim expires
        };
        let with = |process: Process| Claim {
            process: Some(process),
            ..mine.clone()
        };
        let reused_pid = Process {
            started: process.started + 1,
            ..process.clone()
        };
        assert!(!with(reused_pid.clone()).is_live(now));
        let elsewhere = Process {
            place: "another boot pid:[1]".into(),
            ..reused_pid
        };
        assert!(with(elsewhere).is_live(now));
    }
}

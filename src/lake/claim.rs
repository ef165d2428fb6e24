//! Who holds a job: this process, and whether another one still lives.

use std::fs;
use std::sync::LazyLock;

use chrono::TimeDelta;

use super::commit::{Claim, Process};
use crate::model::Timestamp;

/// This machine's boot and this process's namespace of process ids: two processes that share both can see each other.
/// A host name wouldn't do: machines and containers may share one.
static PLACE: LazyLock<Option<String>> = LazyLock::new(|| {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
});

/// A claim that has longer to live than this was made by a clock that is ahead; claims last half a minute.
const LONGEST: TimeDelta = TimeDelta::minutes(10);

impl Claim {
    /// This process's claim until `expires_at`.
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

    /// Whether it still keeps others off: not expired, not held by a process that is known to be dead, and not from a
    /// clock so far ahead that nobody could wait for it.
    pub fn is_live(&self, now: Timestamp) -> bool {
        let left = self.expires_at - now;
        TimeDelta::zero() < left && left <= LONGEST && !self.holder_is_dead()
    }

    /// Only `/proc` can tell; where it can't, the holder counts as alive and the claim runs out by itself.
    fn holder_is_dead(&self) -> bool {
        self.process.as_ref().is_some_and(|holder| {
            Some(&holder.place) == PLACE.as_ref() && started(self.pid) != Some(holder.started)
        })
    }
}

/// When a process was started, in clock ticks since boot: tells it from a later one with the same id.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the second field is the program's name in parentheses, which may hold spaces and parentheses itself
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
            return; // no /proc on this system: the claim runs out by itself
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

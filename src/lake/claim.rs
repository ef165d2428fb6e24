//! Who holds a job: this process, and whether another one still lives.

use std::sync::LazyLock;

use super::commit::Claim;
use crate::model::Timestamp;

/// This machine's name, as claims carry it.
static HOST: LazyLock<String> =
    LazyLock::new(|| gethostname::gethostname().to_string_lossy().into_owned());

impl Claim {
    /// This process's claim until `expires_at`.
    pub fn of_this_process(expires_at: Timestamp) -> Self {
        let pid = std::process::id();
        Self {
            expires_at,
            host: HOST.clone(),
            pid,
            started: process_start(pid),
        }
    }

    /// Whether it still keeps others off: not expired, and not held by a process of this host that is known to be dead.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at && !self.holder_is_dead()
    }

    /// Only `/proc` can tell; where it can't, the holder counts as alive and the claim runs out by itself.
    fn holder_is_dead(&self) -> bool {
        self.host == *HOST && self.started.is_some() && process_start(self.pid) != self.started
    }
}

/// When a process was started, in clock ticks since boot: tells it from a later one with the same id.
fn process_start(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the second field is the program's name in parentheses, which may hold spaces and parentheses itself
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::clock::real_now;

    #[test]
    fn a_claim_lives_until_it_expires() {
        let now = real_now();
        let claim = Claim::of_this_process(now + TimeDelta::seconds(30));
        assert!(claim.is_live(now));
        assert!(!claim.is_live(now + TimeDelta::seconds(30)));
    }

    #[test]
    fn a_dead_process_of_this_host_holds_nothing() {
        let now = real_now();
        let mine = Claim::of_this_process(now + TimeDelta::seconds(30));
        if mine.started.is_none() {
            return; // no /proc on this system: the claim runs out by itself
        }
        let reused_pid = Claim {
            started: mine.started.map(|ticks| ticks + 1),
            ..mine.clone()
        };
        assert!(!reused_pid.is_live(now));
        let elsewhere = Claim {
            host: "elsewhere".into(),
            ..reused_pid
        };
        assert!(elsewhere.is_live(now));
    }
}

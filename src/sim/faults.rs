//! Faults on demand: what a test wants to go wrong, and when.

use std::sync::Mutex;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::lock;

/// What goes wrong with one call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The provider's own error body under this status; the call has no effect.
    Status {
        /// HTTP status.
        status: u16,
        /// Text of the `Retry-After` header, if there is one.
        retry_after: Option<String>,
    },
    /// A gateway's HTML page under this status; the call has no effect.
    Html {
        /// HTTP status.
        status: u16,
    },
    /// The call takes effect; half of its answer's body is sent, as if that were all.
    TruncatedBody,
    /// The call takes effect; the connection closes in the middle of the body that was announced.
    CutBody,
    /// The call takes effect; the connection is reset before the answer's first byte.
    Reset,
    /// The call takes effect; its answer comes this much later.
    Delay(Duration),
    /// The call has to wait, before it takes effect, until the token is cancelled.
    Hold(CancellationToken),
}

/// A fault, and the calls that it befalls.
#[derive(Debug, Clone)]
pub struct FaultRule {
    /// The endpoint concerned; every endpoint if absent.
    pub endpoint: Option<&'static str>,
    /// How many matching calls go well first.
    pub skip: u32,
    /// How many matching calls fail thereafter.
    pub times: u32,
    /// What happens to them.
    pub fault: Fault,
}

/// The faults that are waiting; the first that matches a call befalls it.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Vec<FaultRule>>,
}

impl Faults {
    /// Adds a rule behind those that are waiting.
    pub fn inject(&self, rule: FaultRule) {
        lock(&self.rules).push(rule);
    }

    /// Makes the next `times` calls of an endpoint fail.
    pub fn next(&self, endpoint: &'static str, times: u32, fault: Fault) {
        self.inject(FaultRule {
            endpoint: Some(endpoint),
            skip: 0,
            times,
            fault,
        });
    }

    /// Makes the next `times` calls fail, whatever they ask for.
    pub fn next_any(&self, times: u32, fault: Fault) {
        self.inject(FaultRule {
            endpoint: None,
            skip: 0,
            times,
            fault,
        });
    }

    /// Forgets every fault that has not happened yet.
    pub fn clear(&self) {
        lock(&self.rules).clear();
    }

    /// The fault that befalls this call, if any.
    pub(super) fn take(&self, endpoint: &str) -> Option<Fault> {
        let mut rules = lock(&self.rules);
        rules.retain(|rule| rule.times > 0);
        for rule in rules.iter_mut() {
            if rule.endpoint.is_some_and(|wanted| wanted != endpoint) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.times -= 1;
            return Some(rule.fault.clone());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_skips_then_fails_then_is_used_up() {
        let faults = Faults::default();
        faults.inject(FaultRule {
            endpoint: Some("a"),
            skip: 1,
            times: 2,
            fault: Fault::Reset,
        });
        let hits: Vec<bool> = ["b", "a", "a", "b", "a", "a"]
            .iter()
            .map(|endpoint| faults.take(endpoint).is_some())
            .collect();
        assert_eq!(hits, [false, false, true, false, true, false]);
    }
}

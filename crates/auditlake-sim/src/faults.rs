//! Faults that a test injects into calls.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;

use super::lock;

/// A fault of one call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The provider's own error body with this status; the call has no effect.
    Status {
        /// The HTTP status.
        status: u16,
        /// The value of the `Retry-After` header, if it is sent.
        retry_after: Option<String>,
    },
    /// A gateway's HTML page with this status; the call has no effect.
    Html {
        /// The HTTP status.
        status: u16,
    },
    /// The connection is reset, and the call has no effect.
    ResetBefore,
    /// The call takes effect; half of its answer's body is sent as if it were complete.
    TruncatedBody,
    /// The call takes effect; the connection closes in the middle of a body whose length was announced.
    CutBody,
    /// The call takes effect; the connection is reset before the answer's first byte.
    Reset,
    /// The call takes effect; half of its answer's body is sent, then nothing more, and the connection stays open.
    Stall,
    /// The call takes effect; its response body continues with spaces and never ends.
    Endless,
    /// The call takes effect; its answer has these headers in addition to its own.
    Headers(Vec<(&'static str, String)>),
    /// The call takes effect; its answer is rewritten by this function.
    Rewritten(Rewrite),
    /// The call takes effect; its answer is delayed by this duration.
    Delay(Duration),
    /// The fault depends on the content of the call.
    Chosen(Choose),
    /// The call waits until the token is cancelled, and only then takes effect.
    Hold(CancellationToken),
}

/// An answer before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The HTTP status.
    pub status: u16,
    /// Names and values. If a name is repeated, its last value counts.
    pub headers: Vec<(&'static str, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// The request, for a function that rewrites its response.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The query of the URL as received.
    pub query: &'a str,
    /// The body of the call.
    pub body: &'a [u8],
}

/// A function that changes an answer.
type Change = dyn Fn(Asked<'_>, &mut Written) + Send + Sync;

/// A function that chooses a fault for a call, or none.
type Choice = dyn Fn(Asked<'_>) -> Option<Fault> + Send + Sync;

/// A function that chooses the fault of a call.
#[derive(Clone)]
pub struct Choose(Arc<Choice>);

impl fmt::Debug for Choose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Choose")
    }
}

impl Choose {
    pub(super) fn fault(&self, asked: Asked<'_>) -> Option<Fault> {
        (self.0)(asked)
    }
}

/// A function that rewrites an answer.
#[derive(Clone)]
pub struct Rewrite(Arc<Change>);

impl fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rewrite")
    }
}

impl Fault {
    /// Returns a fault that sends the answer as changed by `rewrite`.
    pub fn rewritten(rewrite: impl Fn(Asked<'_>, &mut Written) + Send + Sync + 'static) -> Self {
        Self::Rewritten(Rewrite(Arc::new(rewrite)))
    }

    /// Returns a fault that `choose` selects for each call; a call for which it selects none succeeds.
    pub fn chosen(choose: impl Fn(Asked<'_>) -> Option<Self> + Send + Sync + 'static) -> Self {
        Self::Chosen(Choose(Arc::new(choose)))
    }
}

impl Rewrite {
    pub(super) fn apply(&self, asked: Asked<'_>, written: &mut Written) {
        (self.0)(asked, written);
    }
}

/// A fault and the calls that it affects.
#[derive(Debug, Clone)]
pub struct FaultRule {
    /// The affected endpoint; `None` for all endpoints.
    pub endpoint: Option<&'static str>,
    /// The number of matching calls that succeed first.
    pub skip: u32,
    /// The number of matching calls that fail after that.
    pub times: u32,
    /// The fault.
    pub fault: Fault,
}

/// The pending faults. The first rule that matches a call applies to it.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Vec<FaultRule>>,
    chance: Mutex<Option<Chance>>,
}

/// Faults injected at random.
#[derive(Debug)]
struct Chance {
    rng: StdRng,
    share: f64,
    faults: Vec<Fault>,
    taken: u64,
}

impl Faults {
    /// Adds a rule after the pending ones.
    pub fn inject(&self, rule: FaultRule) {
        lock(&self.rules).push(rule);
    }

    /// Injects a fault into the next `times` calls of an endpoint.
    pub fn next(&self, endpoint: &'static str, times: u32, fault: Fault) {
        self.inject(FaultRule {
            endpoint: Some(endpoint),
            skip: 0,
            times,
            fault,
        });
    }

    /// Injects a fault into the next `times` calls of any endpoint.
    pub fn next_any(&self, times: u32, fault: Fault) {
        self.inject(FaultRule {
            endpoint: None,
            skip: 0,
            times,
            fault,
        });
    }

    /// Injects a fault into every call of an endpoint until [`Faults::clear`].
    pub fn always(&self, endpoint: &'static str, fault: Fault) {
        self.next(endpoint, u32::MAX, fault);
    }

    /// Injects one of these faults into each later call with this probability, unless a rule applies to the call. The
    /// same seed gives the same draws in the order of the calls.
    pub fn at_random(&self, seed: u64, share: f64, faults: Vec<Fault>) {
        *lock(&self.chance) = Some(Chance {
            rng: StdRng::seed_from_u64(seed),
            share: share.clamp(0.0, 1.0),
            faults,
            taken: 0,
        });
    }

    /// The number of calls that were affected at random since then.
    pub fn at_random_so_far(&self) -> u64 {
        lock(&self.chance).as_ref().map_or(0, |chance| chance.taken)
    }

    /// Removes all pending faults, including the random ones.
    pub fn clear(&self) {
        lock(&self.rules).clear();
        *lock(&self.chance) = None;
    }

    /// Returns the fault of this call, if any.
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
            if rule.times < u32::MAX {
                rule.times -= 1;
            }
            return Some(rule.fault.clone());
        }
        let mut chance = lock(&self.chance);
        let chance = chance.as_mut()?;
        if !chance.rng.random_bool(chance.share) {
            return None;
        }
        let fault = chance.faults.choose(&mut chance.rng).cloned()?;
        chance.taken += 1;
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_random_means_that_share_of_the_calls_and_a_seed_repeats_it() {
        let draw = |seed| -> Vec<bool> {
            let faults = Faults::default();
            faults.at_random(seed, 0.2, vec![Fault::Reset, Fault::Stall]);
            let hits = (0..2_000).map(|_| faults.take("a").is_some()).collect();
            assert!((300..500).contains(&faults.at_random_so_far()));
            faults.clear();
            assert!(faults.take("a").is_none());
            hits
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}

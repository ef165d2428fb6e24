//! Faults on demand: what a test wants to go wrong, and when.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
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
    /// The connection is reset; the call has no effect.
    ResetBefore,
    /// The call takes effect; half of its answer's body is sent, as if that were all.
    TruncatedBody,
    /// The call takes effect; the connection closes in the middle of the body that was announced.
    CutBody,
    /// The call takes effect; the connection is reset before the answer's first byte.
    Reset,
    /// The call takes effect; half of its answer's body is sent, and then nothing more, while the connection stays open.
    Stall,
    /// The call takes effect; its response body continues with spaces and never ends.
    Endless,
    /// The call takes effect; its answer has these headers beside its own.
    Headers(Vec<(&'static str, String)>),
    /// The call takes effect; what is sent is what this makes of its answer.
    Rewritten(Rewrite),
    /// The call takes effect; its answer comes this much later.
    Delay(Duration),
    /// What befalls the call is chosen by what it asks for.
    Chosen(Choose),
    /// The call has to wait, before it takes effect, until the token is cancelled.
    Hold(CancellationToken),
}

/// An answer before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// HTTP status.
    pub status: u16,
    /// Names and values; of equal names the last counts.
    pub headers: Vec<(&'static str, String)>,
    /// All of the body.
    pub body: Vec<u8>,
}

/// The request, for a function that rewrites its response.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The query of the URL, as it came.
    pub query: &'a str,
    /// The call's body.
    pub body: &'a [u8],
}

/// Changes an answer.
type Change = dyn Fn(Asked<'_>, &mut Written) + Send + Sync;

/// Chooses a fault for a call, or none.
type Choice = dyn Fn(Asked<'_>) -> Option<Fault> + Send + Sync;

/// Which fault befalls a call.
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

/// What becomes of an answer.
#[derive(Clone)]
pub struct Rewrite(Arc<Change>);

impl fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rewrite")
    }
}

impl Fault {
    /// A fault that sends what `rewrite` makes of the answer.
    pub fn rewritten(rewrite: impl Fn(Asked<'_>, &mut Written) + Send + Sync + 'static) -> Self {
        Self::Rewritten(Rewrite(Arc::new(rewrite)))
    }

    /// The fault that `choose` gives for what is asked; all is well where it gives none.
    pub fn chosen(choose: impl Fn(Asked<'_>) -> Option<Self> + Send + Sync + 'static) -> Self {
        Self::Chosen(Choose(Arc::new(choose)))
    }
}

impl Rewrite {
    pub(super) fn apply(&self, asked: Asked<'_>, written: &mut Written) {
        (self.0)(asked, written);
    }
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
    chance: Mutex<Option<Chance>>,
}

/// Faults that befall calls at random.
#[derive(Debug)]
struct Chance {
    rng: StdRng,
    share: f64,
    faults: Vec<Fault>,
    taken: u64,
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

    /// Makes every call of an endpoint fail, until all faults are forgotten.
    pub fn always(&self, endpoint: &'static str, fault: Fault) {
        self.next(endpoint, u32::MAX, fault);
    }

    /// From now on one of these befalls each call with this probability, unless a rule does. The same seed gives the same
    /// draws, in the order of the calls.
    pub fn at_random(&self, seed: u64, share: f64, faults: Vec<Fault>) {
        *lock(&self.chance) = Some(Chance {
            rng: StdRng::seed_from_u64(seed),
            share: share.clamp(0.0, 1.0),
            faults,
            taken: 0,
        });
    }

    /// How many calls have been befallen at random since that began.
    pub fn at_random_so_far(&self) -> u64 {
        lock(&self.chance).as_ref().map_or(0, |chance| chance.taken)
    }

    /// Forgets every fault that has not happened yet, those at random, too.
    pub fn clear(&self) {
        lock(&self.rules).clear();
        *lock(&self.chance) = None;
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

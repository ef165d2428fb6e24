//! What one search explores.

use crate::objects::Events;
use crate::rules::Rules;

/// The runs, the provider's events, how often what may go wrong, and the rules that the runs follow.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Whether the search has to end in a violation.
    pub breaks: bool,
    /// The rules.
    pub rules: Rules,
    /// How many runs there are.
    pub runs: usize,
    /// Pairs of a run and an earlier run of the same process.
    pub same_process: &'static [(usize, usize)],
    /// Runs that die right after their claim.
    pub claim_only: &'static [usize],
    /// Each task of the plan, as its pages, as the events on each.
    pub tasks: &'static [&'static [Events]],
    /// The events that fall into a second partition.
    pub second_partition: Events,
    /// How many events make a part of each partition full.
    pub full_at: [u32; 2],
    /// The events that the provider shows from the start.
    pub visible: Events,
    /// The events that appear at some time.
    pub late: Events,
    /// How many creates go without an answer.
    pub lost_answers: u8,
    /// How many commits are pruned.
    pub prunes: u8,
    /// How many times each run renews its claim.
    pub renewals: u8,
    /// How many runs end with an error while their process lives on.
    pub failures: u8,
    /// How many copies are answered with success and leave nothing, or a damaged object.
    pub copies_that_lie: u8,
    /// How many uploads of staged files are answered with success and store nothing.
    pub puts_that_lie: u8,
}

//! The result of a verification.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::comparison::{ComparedDay, Discrepancies, days};
use crate::model::{Range, RangeSet};
use crate::run::RunError;
use crate::telemetry::error_chain;

/// The result of a verification.
#[derive(Debug)]
pub struct Verification {
    /// The range to verify.
    pub range: Range,
    /// The findings by UTC day of event time, without days about which nothing is known.
    pub days: BTreeMap<NaiveDate, ComparedDay>,
    /// The ranges that the job should have pulled but hasn't, with their streams. They weren't compared.
    pub not_pulled: BTreeMap<Range, Vec<String>>,
    /// The ranges before the job's start that weren't pulled, with their streams.
    pub before_start: BTreeMap<Range, Vec<String>>,
    /// The part of the range after now (by the options' clock) minus the job's lag, which isn't due yet.
    pub too_new: Option<Range>,
    /// The parts that couldn't be verified, with the reasons.
    pub unverified: Vec<Unverified>,
    /// The ranges to re-read in order to land missing records.
    pub to_repair: RangeSet,
    /// The whole days to verify again after `not_pulled` was pulled.
    pub to_pull: RangeSet,
    /// Remarks about the counts.
    pub notes: Vec<String>,
    /// Whether the verification was stopped before its end.
    pub unfinished: bool,
}

/// A part of the range that couldn't be verified.
#[derive(Debug)]
pub struct Unverified {
    /// The stream that couldn't be read; `None` if the lake couldn't be read.
    pub stream: Option<String>,
    /// The part.
    pub ranges: RangeSet,
    /// The first failure.
    pub error: RunError,
}

impl Verification {
    /// Returns the sum of all days.
    pub fn total(&self) -> ComparedDay {
        let mut total = ComparedDay::default();
        self.days.values().for_each(|day| total += day);
        total
    }

    /// Returns whether the lake has discrepancies.
    pub fn found_something(&self) -> bool {
        self.days.values().any(ComparedDay::differs) || !self.not_pulled.is_empty()
    }

    /// Returns the ranges that a repair changes.
    pub fn ranges_to_verify_again(&self) -> RangeSet {
        let ranges = self.to_repair.iter().chain(self.to_pull.iter());
        ranges.collect()
    }

    /// Returns the result after a repair; `again` are the verifications of the changed ranges, which contain everything
    /// that was missing. Extra, altered and doubled events elsewhere stay.
    #[must_use]
    pub fn after_repair(mut self, again: Vec<Self>) -> Self {
        for verified in &again {
            for day in days(verified.range) {
                self.days.remove(&day);
            }
            for part in &mut self.unverified {
                part.ranges.remove(verified.range);
            }
        }
        if !again.is_empty() {
            self.days
                .values_mut()
                .for_each(|day| day.missing = Discrepancies::default());
            self.not_pulled.clear();
            self.notes.clear();
        }
        self.unverified.retain(|part| !part.ranges.is_empty());
        (self.to_repair, self.to_pull) = (RangeSet::default(), RangeSet::default());
        for verified in again {
            for (date, day) in &verified.days {
                *self.days.entry(*date).or_default() += day;
            }
            self.not_pulled.extend(verified.not_pulled);
            self.unverified.extend(verified.unverified);
            for (all, more) in [
                (&mut self.to_repair, verified.to_repair),
                (&mut self.to_pull, verified.to_pull),
            ] {
                more.iter().for_each(|range| all.insert(range));
            }
            self.notes.extend(verified.notes);
            self.unfinished |= verified.unfinished;
        }
        self.notes.sort();
        self.notes.dedup();
        self
    }

    /// Returns whether a part of the range couldn't be verified.
    pub fn is_partial(&self) -> bool {
        self.unfinished || !self.unverified.is_empty()
    }

    /// Merges equal failures.
    pub(super) fn leave_unverified(
        &mut self,
        stream: Option<String>,
        ranges: RangeSet,
        error: RunError,
    ) {
        let message = error_chain(&error);
        let list = &mut self.unverified;
        let alike = list
            .iter_mut()
            .find(|have| have.stream == stream && error_chain(&have.error) == message);
        match alike {
            Some(have) => ranges.iter().for_each(|range| have.ranges.insert(range)),
            None => list.push(Unverified {
                stream,
                ranges,
                error,
            }),
        }
    }
}

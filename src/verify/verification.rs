//! The result of a verification.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::comparison::{ComparedDay, Discrepancies, days};
use crate::model::{Range, RangeSet};
use crate::run::RunError;
use crate::telemetry::error_chain;

/// What a verification came to.
#[derive(Debug)]
pub struct Verification {
    /// What was to be verified.
    pub range: Range,
    /// What was found, by UTC day of event time; days of which nothing is known are not in it.
    pub days: BTreeMap<NaiveDate, ComparedDay>,
    /// What of the range the job should have pulled and hasn't, and of which streams. Nothing there was compared.
    pub not_pulled: BTreeMap<Range, Vec<String>>,
    /// The same, of what lies before the job's start.
    pub before_start: BTreeMap<Range, Vec<String>>,
    /// What of the range lies after now (by the options' clock) less the job's lag: no run was to pull it yet.
    pub too_new: Option<Range>,
    /// What could not be verified, and why.
    pub unverified: Vec<Unverified>,
    /// What has to be read again to land what is missing.
    pub to_repair: RangeSet,
    /// What has to be verified again once `not_pulled` was pulled: whole days of it.
    pub to_pull: RangeSet,
    /// What a reader of the counts should know.
    pub notes: Vec<String>,
    /// Whether it was stopped before its end.
    pub unfinished: bool,
}

/// A part of the range that could not be verified.
#[derive(Debug)]
pub struct Unverified {
    /// The stream that could not be read; nothing if it was the lake.
    pub stream: Option<String>,
    /// The part.
    pub ranges: RangeSet,
    /// Why, the first time.
    pub error: RunError,
}

impl Verification {
    /// All days together.
    pub fn total(&self) -> ComparedDay {
        let mut total = ComparedDay::default();
        self.days.values().for_each(|day| total += day);
        total
    }

    /// Whether the lake is not what it should be.
    pub fn found_something(&self) -> bool {
        self.days.values().any(ComparedDay::differs) || !self.not_pulled.is_empty()
    }

    /// What a repair has changed.
    pub fn ranges_to_verify_again(&self) -> RangeSet {
        let ranges = self.to_repair.iter().chain(self.to_pull.iter());
        ranges.collect()
    }

    /// What is to be said after a repair, `again` being the verifications of what it has changed. All that was missing
    /// is of those ranges; what is extra, altered or doubled elsewhere stays so.
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

    /// Whether a part of the range could not be verified.
    pub fn is_partial(&self) -> bool {
        self.unfinished || !self.unverified.is_empty()
    }

    /// What fails alike is told once.
    pub(super) fn leave_unverified(
        &mut self,
        stream: Option<String>,
        ranges: RangeSet,
        error: RunError,
    ) {
        let said = error_chain(&error);
        let list = &mut self.unverified;
        let alike = list
            .iter_mut()
            .find(|have| have.stream == stream && error_chain(&have.error) == said);
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

//! State that an adapter derives from answers.

use std::collections::BTreeMap;

/// Named numbers that an adapter derived from answers and only it interprets.
///
/// An adapter has no state: the caller keeps these for the lifetime of the process and passes them with each request.
/// Losing them, or the update of one of two concurrent answers, causes additional calls but never loses records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned(BTreeMap<&'static str, u64>);

impl Learned {
    /// Returns the number of that name, if it is known.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// Adds a number.
    pub fn set(&mut self, name: &'static str, number: u64) {
        self.0.insert(name, number);
    }

    /// Adds newer numbers, which replace older ones.
    pub fn update(&mut self, newer: Self) {
        self.0.extend(newer.0);
    }
}

//! What answers have taught an adapter.

use std::collections::BTreeMap;

/// Named numbers that an adapter learned from answers, and whose meaning is its own.
///
/// An adapter holds no state: the caller keeps these for the life of the process and hands them back with each request.
/// Losing them, or what one of two concurrent answers taught, costs calls and never records.
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

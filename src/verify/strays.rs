//! Strays: events that the provider files under a time other than their own, and that are in no open piece.

use std::collections::{BTreeSet, HashSet};

use chrono::NaiveDate;

use super::comparison::{Comparison, ProviderEvent};
use crate::table::EventIdHash;

/// The strays that weren't looked up yet.
#[derive(Default)]
pub(super) struct Strays {
    events: Comparison,
    days: BTreeSet<NaiveDate>,
    known: HashSet<EventIdHash>,
}

impl Strays {
    /// Adds an event, once.
    pub(super) fn add(&mut self, event: ProviderEvent<'_>) {
        if self.known.insert(EventIdHash::of(event.id)) {
            self.days.insert(event.at.date_naive());
            self.events.show(event, true);
        }
    }

    /// Takes the strays added since the last call, and their days, if there are any.
    pub(super) fn take(&mut self) -> Option<(Comparison, BTreeSet<NaiveDate>)> {
        let days = std::mem::take(&mut self.days);
        (!self.events.is_empty()).then(|| (std::mem::take(&mut self.events), days))
    }
}

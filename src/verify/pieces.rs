//! The provider's events in pieces of the range that aren't compared yet.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::comparison::{Comparison, ProviderEvent};
use crate::table::EventIdHash;

/// The maximum number of extra events that are remembered, in case a later day's answer contains one of them; 16 bytes
/// each.
const REMEMBERED: usize = 1_000_000;

/// The open pieces, and the findings of earlier ones.
#[derive(Default)]
pub(super) struct OpenPieces {
    open: BTreeMap<usize, Comparison>,
    /// The number of compared pieces.
    compared: usize,
    /// For each piece: the others whose answers contained events of it.
    shown_by: BTreeMap<usize, BTreeSet<usize>>,
    /// The extra events so far.
    extras: HashSet<EventIdHash>,
}

impl OpenPieces {
    /// Returns whether a piece isn't compared yet.
    pub(super) fn is_open(&self, piece: usize) -> bool {
        piece >= self.compared
    }

    /// Adds an event of the piece `owner`, `owed` or not. `shown_by` is the other piece whose answer contained it, if
    /// any.
    pub(super) fn show(
        &mut self,
        owner: usize,
        event: ProviderEvent<'_>,
        owed: bool,
        shown_by: Option<usize>,
    ) {
        self.open.entry(owner).or_default().show(event, owed);
        if let Some(piece) = shown_by {
            self.shown_by.entry(owner).or_default().insert(piece);
        }
    }

    /// Removes a piece's events, to compare them.
    pub(super) fn take(&mut self, piece: usize) -> Comparison {
        self.compared = piece + 1;
        self.open.remove(&piece).unwrap_or_default()
    }

    /// Returns the pieces to re-read for the missing events of one.
    pub(super) fn shown_by(&mut self, piece: usize) -> impl Iterator<Item = usize> {
        let others = self.shown_by.remove(&piece).unwrap_or_default();
        others.into_iter().chain([piece])
    }

    /// Remembers extra events.
    pub(super) fn remember(&mut self, extras: impl Iterator<Item = EventIdHash>) {
        let left = REMEMBERED.saturating_sub(self.extras.len());
        self.extras.extend(extras.take(left));
    }

    /// Removes an event from the extra ones; returns whether it was one.
    pub(super) fn is_shown_after_all(&mut self, id: &str) -> bool {
        self.extras.remove(&EventIdHash::of(id))
    }
}

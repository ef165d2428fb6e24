//! What the provider shows of pieces of the range that are not compared with the lake yet.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::comparison::{Comparison, ProviderEvent};
use crate::table::EventIdHash;

/// How many extra events are remembered, in case a later day's asking shows one of them after all; 16 bytes each.
const REMEMBERED: usize = 1_000_000;

/// The open pieces, and what was found of those before them.
#[derive(Default)]
pub(super) struct OpenPieces {
    open: BTreeMap<usize, Comparison>,
    /// How many are compared.
    compared: usize,
    /// For a piece: others whose asking has shown events of it.
    shown_by: BTreeMap<usize, BTreeSet<usize>>,
    /// What counts as extra so far.
    extras: HashSet<EventIdHash>,
}

impl OpenPieces {
    /// Whether a piece isn't compared yet.
    pub(super) fn is_open(&self, piece: usize) -> bool {
        piece >= self.compared
    }

    /// Adds an event of the piece `owner`, `owed` or not. `shown_by` is another piece, if its asking showed the event.
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

    /// Takes out what the provider shows of a piece, to be compared.
    pub(super) fn take(&mut self, piece: usize) -> Comparison {
        self.compared = piece + 1;
        self.open.remove(&piece).unwrap_or_default()
    }

    /// The pieces to read again to see what is missing of one.
    pub(super) fn shown_by(&mut self, piece: usize) -> impl Iterator<Item = usize> {
        let others = self.shown_by.remove(&piece).unwrap_or_default();
        others.into_iter().chain([piece])
    }

    /// Remembers what counts as extra.
    pub(super) fn remember(&mut self, extras: impl Iterator<Item = EventIdHash>) {
        let left = REMEMBERED.saturating_sub(self.extras.len());
        self.extras.extend(extras.take(left));
    }

    /// Whether an event counted as extra; it no longer does.
    pub(super) fn is_shown_after_all(&mut self, id: &str) -> bool {
        self.extras.remove(&EventIdHash::of(id))
    }
}

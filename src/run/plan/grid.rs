//! Windows that are aligned to the epoch.

use chrono::TimeDelta;

use crate::model::{Range, RangeSet, Timestamp};

/// Extends ranges to whole windows, aligned to the epoch.
pub(super) fn on_grid(ranges: RangeSet, window: TimeDelta) -> impl Iterator<Item = Range> + Send {
    Vec::from(ranges).into_iter().flat_map(move |range| {
        let mut from = range.from();
        std::iter::from_fn(move || {
            let piece = Range::new(from, range.to().min(cell_end(from, window)))?;
            from = piece.to();
            Some(piece)
        })
    })
}

/// Returns the end of the window that contains `instant`, with windows aligned to the epoch.
pub(super) fn cell_end(instant: Timestamp, window: TimeDelta) -> Timestamp {
    let into = instant
        .timestamp_micros()
        .rem_euclid(window.num_microseconds().unwrap_or(i64::MAX).max(1));
    instant + (window - TimeDelta::microseconds(into))
}

pub(super) fn seconds(delay: u64) -> TimeDelta {
    TimeDelta::seconds(i64::try_from(delay).unwrap_or(i64::MAX / 1_000_000))
}

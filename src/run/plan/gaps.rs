//! What is missing in the progress of streams: gaps, lost ranges, and the watermark.

use crate::lake::{Commit, Progress, Work};
use crate::model::{Range, RangeSet, Timestamp};

use super::policy::Policy;

/// Returns the gaps in a stream's coverage: the ranges between the job's start and the end of the coverage that
/// weren't pulled, although the last run that completed its plan had planned them, or that failed in a run that could
/// pull others.
///
/// After that instant, the windows of a current or interrupted run end in any order, so missing ranges there are still
/// to be pulled. The age of the watermark shows how long that takes.
pub fn stream_gaps(
    progress: &Progress,
    planned_at: Option<Timestamp>,
    policy: &Policy,
) -> RangeSet {
    let Some(last) = progress.coverage.iter().next_back().map(|last| last.to()) else {
        return RangeSet::default();
    };
    let passed = progress.passed();
    let planned = planned_at.map(|at| policy.horizon(at));
    let mut gaps = planned
        .and_then(|planned| Range::new(policy.start, last.min(planned)))
        .map(|whole| passed.missing(whole))
        .unwrap_or_default();
    let failed = progress
        .failed
        .iter()
        .filter(|failed| failed.work == Work::Pull);
    failed
        .filter_map(|failed| {
            let from = failed.range.from().max(policy.start);
            Range::new(from, failed.range.to().min(last))
        })
        .flat_map(|failed| Vec::from(passed.missing(failed)))
        .for_each(|gap| gaps.insert(gap));
    gaps
}

/// Returns the gaps of every current stream of the job as of `commit`, each with its stream.
pub fn gaps<'a>(
    commit: &'a Commit,
    policy: &'a Policy,
) -> impl Iterator<Item = (&'a String, Range)> {
    commit.current().flat_map(move |(stream, progress)| {
        let gaps: Vec<Range> = stream_gaps(progress, commit.planned_at, policy)
            .iter()
            .collect();
        gaps.into_iter().map(move |gap| (stream, gap))
    })
}

/// Returns the watermark of the slowest stream, counted from the job's current start, which may differ from that of its
/// commits; `None` if the job was never pulled and has no streams.
pub fn watermark<'a>(
    streams: impl Iterator<Item = (&'a String, &'a Progress)>,
    policy: &Policy,
) -> Option<Timestamp> {
    let ends = streams.map(|(_, progress)| progress.passed().contiguous_end(policy.start));
    ends.min()
}

/// Returns the ranges from the job's start on that the provider refused as too old, each with its stream and with the
/// oldest instant that the provider served at that time.
pub fn lost<'a>(
    commit: &'a Commit,
    policy: &'a Policy,
) -> impl Iterator<Item = (&'a String, Range, Timestamp)> {
    commit.current().flat_map(|(stream, progress)| {
        let oldest = progress
            .unobtainable
            .iter()
            .next_back()
            .map(|last| last.to());
        let wanted = oldest.and_then(|oldest| Range::new(policy.start, oldest));
        let lost = wanted.map(|wanted| progress.unobtainable.within(wanted));
        let ranges: Vec<Range> = lost.unwrap_or_default().into();
        let with_oldest = move |range| oldest.map(|oldest| (stream, range, oldest));
        ranges.into_iter().filter_map(with_oldest)
    })
}

//! The scope of a verification: the parts of a range that can be compared, according to the job's log.

use std::collections::BTreeMap;

use super::verification::Verification;
use crate::lake::{self, Commit, LakeError, Progress};
use crate::model::{Range, RangeSet, Timestamp};
use crate::providers::Stream;
use crate::run::{Job, plan};

/// The scope of a verification.
pub(super) struct Scope {
    /// The range, without the part that isn't due yet.
    pub(super) range: Range,
    /// The pieces that are compared one at a time.
    pub(super) pieces: Vec<Range>,
    pub(super) streams: Vec<Stream>,
    /// The pulled ranges by stream.
    pub(super) pulled: BTreeMap<String, RangeSet>,
    /// The pulled ranges of former streams of the job.
    pub(super) former: RangeSet,
    /// The ranges that settle passes have yet to re-read.
    unsettled: RangeSet,
}

impl Scope {
    /// Determines the parts of `asked` that were pulled by `horizon`, and those that weren't, which the verification
    /// reports.
    pub(super) async fn of(
        job: &Job,
        asked: Range,
        horizon: Timestamp,
        streams: Vec<Stream>,
        newest: Option<&Commit>,
    ) -> Result<(Self, Verification), LakeError> {
        let none = BTreeMap::new();
        let progress = newest.map_or(&none, |newest| &newest.progress);
        let mut verification = Verification {
            range: asked,
            days: BTreeMap::new(),
            not_pulled: BTreeMap::new(),
            before_start: BTreeMap::new(),
            too_new: Range::new(asked.from().max(horizon), asked.to()),
            unverified: Vec::new(),
            to_repair: RangeSet::default(),
            to_pull: RangeSet::default(),
            notes: Vec::new(),
            unfinished: false,
        };
        let due = Range::new(asked.from(), asked.to().min(horizon));
        let mut pulled = BTreeMap::new();
        for stream in &streams {
            let progress = progress.get(&stream.id).cloned().unwrap_or_default();
            if let Some(due) = due {
                note_not_pulled(job, &stream.id, &progress, due, &mut verification);
            }
            pulled.insert(stream.id.clone(), progress.coverage);
        }
        let range = due.unwrap_or(asked);
        let unsettled = (streams.iter())
            .filter_map(|stream| progress.get(&stream.id))
            .flat_map(|of| of.unsettled.values())
            .flat_map(|ranges| Vec::from(ranges.within(range)));
        let is_former = |id: &String| streams.iter().all(|stream| stream.id != *id);
        let former = progress.iter().filter(|(id, _)| is_former(id));
        let former = former.flat_map(|(_, of)| Vec::from(of.coverage.within(range)));
        verification.notes.extend(note_on_log(job, newest).await?);
        let pieces: Vec<Range> = due
            .into_iter()
            .flat_map(|due| plan::days_or_windows(due, &job.policy))
            .collect();
        let touches = |piece: &&Range| {
            let mut lacking = verification.not_pulled.keys();
            lacking.any(|range| range.intersection(piece).is_some())
        };
        verification.to_pull = pieces.iter().filter(touches).copied().collect();
        let (former, unsettled) = (former.collect(), unsettled.collect());
        let scope = Self {
            range,
            pieces,
            streams,
            pulled,
            former,
            unsettled,
        };
        Ok((scope, verification))
    }

    /// Returns the pulled ranges of a piece by stream.
    pub(super) fn pulled_of(&self, piece: Range) -> BTreeMap<String, RangeSet> {
        (self.pulled.iter())
            .map(|(stream, pulled)| (stream.clone(), pulled.within(piece)))
            .filter(|(_, ranges)| !ranges.is_empty())
            .collect()
    }

    /// Adds remarks from the log that explain the findings.
    pub(super) fn explain(&self, verification: &mut Verification) {
        let total = verification.total();
        if total.missing.count > 0 && !self.unsettled.is_empty() {
            verification.notes.push(
                "settle passes have yet to re-read parts of the range: missing records may have arrived late, and be \
                 found by them"
                    .to_owned(),
            );
        }
        if total.unjudged > 0 && !self.former.is_empty() {
            verification.notes.push(
                "the job has also pulled streams that it no longer has: rows that the provider doesn't return may \
                 belong to those, and don't count as extra"
                    .to_owned(),
            );
        }
    }
}

/// Records the parts of a range that were never pulled for a stream.
fn note_not_pulled(
    job: &Job,
    stream: &str,
    progress: &Progress,
    due: Range,
    verification: &mut Verification,
) {
    let mut passed = progress.coverage.clone();
    for lost in progress.unobtainable.within(due).iter() {
        passed.insert(lost);
        verification.notes.push(format!(
            "`{lost}` of `{stream}` was never pulled and is lost: the provider refused it as too old"
        ));
    }
    for missing in passed.missing(due).iter() {
        let (from, to, start) = (missing.from(), missing.to(), job.policy.start);
        for (part, list) in [
            (
                Range::new(from, to.min(start)),
                &mut verification.before_start,
            ),
            (
                Range::new(from.max(start), to),
                &mut verification.not_pulled,
            ),
        ] {
            if let Some(part) = part {
                list.entry(part).or_default().push(stream.to_owned());
            }
        }
    }
}

/// Returns remarks about the log.
async fn note_on_log(job: &Job, newest: Option<&Commit>) -> Result<Option<String>, LakeError> {
    let Some(newest) = newest else {
        return Ok(Some(format!(
            "no run of this job has ever begun in the lake `{}`; is it the right lake?",
            job.lake.url()
        )));
    };
    let unpublished = lake::unpublished(&job.lake, newest).await?;
    Ok(note_on_unpublished(&unpublished))
}

fn note_on_unpublished(commits: &[Commit]) -> Option<String> {
    let (first, last) = (commits.first()?.version, commits.last()?.version);
    let which = if first == last {
        format!("commit {first} lists")
    } else {
        format!("commits {first} to {last} list")
    };
    Some(format!(
        "{which} files that weren't published when this began: a run is in progress, or was interrupted; their rows \
         count as missing until the job's next run publishes them"
    ))
}

//! Replay: parses quarantined records again with the current adapter, and lands those that it can parse.
//!
//! A replay works like a run: claim, recover, de-duplicate against the lake's own ids, stage, commit, publish. Only
//! then are the lines acknowledged. A crash before that leaves open lines whose records are in the lake; the next
//! replay finds duplicates and acknowledges them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::NaiveDate;

use super::claim::claimed;
use super::compute::CpuPool;
use super::error::RunError;
use super::job::{Job, RunOptions};
use super::progress::ProgressTracker;
use super::recover;
use super::report::RunOutcome;
use super::sink::{Sink, WriteOutcome};
use super::summary::SummaryBuilder;
use crate::clock::real_now;
use crate::lake::quarantine::{self, Acknowledged, AcknowledgedBy, FoundLine, LinePlace};
use crate::lake::{JobLog, LakeError, Pulled, RecordCounts, Work};
use crate::model::{Range, Timestamp};

/// The number of lines that are committed and acknowledged together.
const AT_ONCE: usize = 10_000;

/// The report of a replay.
#[derive(Debug)]
pub struct Replayed {
    /// Each replayed line with its outcome.
    pub lines: Vec<ReplayedLine>,
    /// Whether the replay was stopped before the last line.
    pub unfinished: bool,
}

/// A replayed line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedLine {
    /// The line's location.
    pub place: LinePlace,
    /// The line's id.
    pub id: String,
    /// The outcome.
    pub became: LineOutcome,
}

/// The outcome of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineOutcome {
    /// The record landed as a row; the line is acknowledged.
    Landed,
    /// The lake already had the row; the line is acknowledged.
    Duplicate,
    /// The record still can't be parsed, for this reason; the line stays open.
    Unreadable(String),
}

/// Replays open lines of the job's quarantine: the given ones, or all.
///
/// Coverage, watermarks and pending settle passes don't change. Lines that were acknowledged meanwhile are skipped.
pub async fn replay(
    job: &Job,
    these: Option<&BTreeSet<LinePlace>>,
    options: &RunOptions,
) -> Result<RunOutcome<Replayed>, RunError> {
    claimed(job, options, &"replay", false, async |log, summary| {
        under_claim(job, log, summary, these, options).await
    })
    .await
}

async fn under_claim(
    job: &Job,
    log: &JobLog,
    summary: &mut SummaryBuilder,
    these: Option<&BTreeSet<LinePlace>>,
    options: &RunOptions,
) -> Result<Replayed, RunError> {
    recover::recover(job, log).await?;
    job.refuse_if_moved(&log.newest().await)?;

    // read under the claim, as another replay may have acknowledged lines and recovery may have published some
    let acknowledged = Acknowledged::read(&job.lake, &job.log).await?;
    let numbers = numbers(&job.lake, &job.log).await?;
    let told = options.totals.clone();
    let progress = ProgressTracker::new(job, log.newest().await);
    let sink = Sink::new(job, log, progress, CpuPool::new(1), told);
    let mut replay = Replay {
        job,
        sink,
        summary,
        pulled: BTreeMap::new(),
        done: Vec::new(),
        tried: Vec::new(),
    };
    let is_wanted = |found: &FoundLine<'_>| {
        these.is_none_or(|these| these.contains(&found.place)) && acknowledged.is_open(found)
    };
    let mut unfinished = false;
    'files: for file in quarantine::files(&job.lake, &job.log).await? {
        let content = file.read(&job.lake).await?;
        for found in file.lines(&content).filter(is_wanted) {
            if options.stop.is_cancelled() {
                unfinished = true;
                break 'files;
            }
            let number = numbers.get(&found.place).copied().unwrap_or(1);
            replay.try_again(found, number).await?;
        }
    }
    replay.summary.pulled(&[], unfinished);
    replay.commit().await?;
    Ok(Replayed {
        lines: replay.tried,
        unfinished,
    })
}

/// The landed records of a range.
#[derive(Debug, Default)]
struct ReplayedRange {
    counts: RecordCounts,
    days: BTreeMap<NaiveDate, u64>,
}

struct Replay<'a> {
    job: &'a Job,
    sink: Sink<'a>,
    summary: &'a mut SummaryBuilder,
    /// The landed records since the last commit, by stream and bounds.
    pulled: BTreeMap<(String, Range), ReplayedRange>,
    /// The lines whose records are in the lake when the next commit is published.
    done: Vec<(LinePlace, String)>,
    tried: Vec<ReplayedLine>,
}

impl Replay<'_> {
    async fn try_again(&mut self, found: FoundLine<'_>, number: usize) -> Result<(), RunError> {
        let FoundLine {
            place, id, line, ..
        } = found;
        let became = match line {
            Err(reason) => LineOutcome::Unreadable(format!("the line itself is damaged: {reason}")),
            // its text differs from the received bytes
            Ok(line) if line.raw_base64.is_some() => LineOutcome::Unreadable(line.reason),
            Ok(line) => {
                let put = self
                    .sink
                    .land_again(&line.raw, number, line.pulled_at)
                    .await?;
                let ReplayedRange { counts, days } =
                    self.pulled.entry((line.stream, line.asked.0)).or_default();
                match put {
                    WriteOutcome::New(day) => {
                        *days.entry(day).or_default() += 1;
                        counts.fetched += 1;
                        counts.new += 1;
                        LineOutcome::Landed
                    }
                    WriteOutcome::Duplicate => {
                        counts.fetched += 1;
                        counts.duplicate += 1;
                        LineOutcome::Duplicate
                    }
                    WriteOutcome::Refused(reason) => LineOutcome::Unreadable(reason),
                }
            }
        };
        if !matches!(became, LineOutcome::Unreadable(_)) {
            self.done.push((place.clone(), id.clone()));
        }
        self.tried.push(ReplayedLine { place, id, became });
        if self.sink.is_full() || self.done.len() >= AT_ONCE {
            self.commit().await?;
        }
        Ok(())
    }

    /// Commits and publishes the landed records, and only then acknowledges their lines.
    async fn commit(&mut self) -> Result<(), RunError> {
        let pulled = std::mem::take(&mut self.pulled).into_iter();
        let new = pulled.filter(|(_, landed)| landed.counts.new > 0);
        self.sink
            .note_all(new.map(|((stream, range), landed)| Pulled {
                stream,
                range,
                work: Work::Replay,
                finished: false,
                counts: landed.counts,
                provider_total: None,
                remarks: Vec::new(),
                days: landed.days,
                delays: BTreeMap::new(),
                calls: 0,
                retries: 0,
            }));
        self.sink.commit(self.summary).await?;
        let done = std::mem::take(&mut self.done);
        let (lake, job) = (&self.job.lake, &self.job.log);
        quarantine::acknowledge(lake, job, &done, AcknowledgedBy::Replay, None, real_now()).await?;
        Ok(())
    }
}

/// A line among those with the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct SameBytes {
    pulled_at: Timestamp,
    file: Arc<str>,
    line: u64,
    asked: Range,
}

/// Returns the number of each line among equal records, from 1. Lines that aren't in the result have the number 1.
///
/// A range that returned a record several times has added as many lines, in one or several reads. Lines of overlapping
/// ranges therefore have different numbers, consistent with the numbers in a re-read of such a range. Acknowledged
/// lines count, so a line's number never changes, independent of other replays.
async fn numbers(
    lake: &crate::lake::Lake,
    job: &str,
) -> Result<HashMap<LinePlace, usize>, LakeError> {
    let mut equal: HashMap<(String, String), Vec<SameBytes>> = HashMap::new();
    let mut file: Arc<str> = "".into();
    quarantine::read(lake, job, |found| {
        let Ok(line) = found.line else { return };
        if *file != *found.place.file {
            file = found.place.file.as_str().into();
        }
        equal
            .entry((line.stream, line.id))
            .or_default()
            .push(SameBytes {
                pulled_at: line.pulled_at,
                file: Arc::clone(&file),
                line: found.place.line,
                asked: line.asked.0,
            });
    })
    .await?;
    let mut numbers = HashMap::new();
    for group in equal.into_values().filter(|group| group.len() > 1) {
        for (equal, number) in numbered(group) {
            if number > 1 {
                let file = equal.file.as_ref().to_owned();
                let line = equal.line;
                numbers.insert(LinePlace { file, line }, number);
            }
        }
    }
    Ok(numbers)
}

/// Numbers the lines of one stream with the same bytes in the order in which they were found: each gets the smallest
/// number that no earlier line of an overlapping range has.
fn numbered(mut group: Vec<SameBytes>) -> Vec<(SameBytes, usize)> {
    group.sort();
    let mut numbers: Vec<usize> = Vec::with_capacity(group.len());
    for equal in &group {
        let mut taken: Vec<usize> = group
            .iter()
            .zip(&numbers)
            .filter(|(other, _)| other.asked.intersection(&equal.asked).is_some())
            .map(|(_, number)| *number)
            .collect();
        taken.sort_unstable();
        taken.dedup();
        let free = (1..).zip(&taken).find(|(number, taken)| number != *taken);
        numbers.push(free.map_or(taken.len() + 1, |(number, _)| number));
    }
    group.into_iter().zip(numbers).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn same(index: usize, from: i64, to: i64) -> SameBytes {
        SameBytes {
            pulled_at: at(0),
            file: "f".into(),
            line: index as u64,
            asked: Range::new(at(from), at(to)).unwrap(),
        }
    }

    fn numbers(ranges: &[(i64, i64)]) -> Vec<usize> {
        let group = ranges.iter().enumerate();
        let group = group.map(|(index, &(from, to))| same(index, from, to));
        let numbered = numbered(group.collect());
        numbered.into_iter().map(|(_, number)| number).collect()
    }

    #[test]
    fn equal_lines_are_counted_where_their_ranges_overlap() {
        assert_eq!(numbers(&[(0, 9), (0, 9), (0, 9)]), [1, 2, 3]);
        assert_eq!(numbers(&[(0, 3), (3, 6), (6, 9)]), [1, 1, 1]);
        assert_eq!(numbers(&[(0, 3), (3, 6), (2, 4), (0, 1)]), [1, 1, 2, 2]);
        assert_eq!(numbers(&[(0, 1), (0, 9), (5, 9)]), [1, 2, 1]);
    }

    proptest! {
        /// All lines whose ranges contain one instant have different numbers, and later lines change none.
        #[test]
        fn lines_of_one_instant_have_numbers_of_their_own(
            ranges in prop::collection::vec((0_i64..20, 1_i64..10), 1..12),
            cut in 0_usize..12,
        ) {
            let ranges: Vec<(i64, i64)> = ranges.into_iter().map(|(from, length)| (from, from + length)).collect();
            let all = numbers(&ranges);
            for second in 0..30 {
                let there = ranges.iter().zip(&all).filter(|((from, to), _)| (*from..*to).contains(&second));
                let mut there: Vec<usize> = there.map(|(_, number)| *number).collect();
                let count = there.len();
                there.sort_unstable();
                there.dedup();
                prop_assert_eq!(there.len(), count);
            }
            let cut = cut.min(ranges.len());
            prop_assert_eq!(&numbers(&ranges[..cut])[..], &all[..cut]);
        }
    }
}

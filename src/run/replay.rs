//! Tries what is in quarantine again with the present adapter, and lands what it can read now.
//!
//! A replay is a run like any other: claim, recover, de-duplicate against the lake's own ids, stage, commit, publish.
//! Only then are the lines acknowledged. A crash in between leaves lines open whose records are in the lake: replayed
//! again they are duplicates, and are acknowledged.

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

/// How many lines are committed and acknowledged at once.
const AT_ONCE: usize = 10_000;

/// What a replay did.
#[derive(Debug)]
pub struct Replayed {
    /// Each line that was tried, and what became of it.
    pub lines: Vec<ReplayedLine>,
    /// Whether it was stopped before it had tried all of them.
    pub unfinished: bool,
}

/// A line that was tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedLine {
    /// Where it lies.
    pub place: LinePlace,
    /// Its id.
    pub id: String,
    /// What became of it.
    pub became: LineOutcome,
}

/// What became of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineOutcome {
    /// A row; the line is acknowledged.
    Landed,
    /// The lake had the row; the line is acknowledged.
    Duplicate,
    /// Nothing: it can still not be read, and why; the line stays open.
    Unreadable(String),
}

/// Tries open lines of the job's quarantine again: these, or all of them.
///
/// Coverage, watermarks and what is to be settled stay as they are. Lines that were acknowledged meanwhile are left out.
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

    // read under the claim: another replay may have been here, and recovery may have published lines
    let acknowledged = Acknowledged::read(&job.lake, &job.log).await?;
    let numbers = numbers(&job.lake, &job.log).await?;
    let told = options.tally.clone();
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

/// What was landed of one range.
#[derive(Debug, Default)]
struct ReplayedRange {
    counts: RecordCounts,
    days: BTreeMap<NaiveDate, u64>,
}

struct Replay<'a> {
    job: &'a Job,
    sink: Sink<'a>,
    summary: &'a mut SummaryBuilder,
    /// What was landed since the last commit, by stream and bounds.
    pulled: BTreeMap<(String, Range), ReplayedRange>,
    /// Lines whose records are in the lake once the next commit is published.
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
            // its text is not what was received
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

    /// Commits and publishes what was landed, and only then acknowledges its lines.
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

/// Which of equal records each line holds, from 1; lines that aren't told hold the first.
///
/// A range that shows a record so many times has put as many lines there, by one reading or several: lines of ranges that
/// overlap have different numbers, as far as a re-read of such a range will number its records. Acknowledged lines
/// count: a line's number never changes, whatever is replayed before it.
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
    for twins in equal.into_values().filter(|twins| twins.len() > 1) {
        for (twin, number) in numbered(twins) {
            if number > 1 {
                let file = twin.file.as_ref().to_owned();
                let line = twin.line;
                numbers.insert(LinePlace { file, line }, number);
            }
        }
    }
    Ok(numbers)
}

/// The lines of one stream with the same bytes, each with its number, in the order in which they were found: the least
/// that no earlier line of a range that overlaps has.
fn numbered(mut twins: Vec<SameBytes>) -> Vec<(SameBytes, usize)> {
    twins.sort();
    let mut numbers: Vec<usize> = Vec::with_capacity(twins.len());
    for twin in &twins {
        let mut taken: Vec<usize> = twins
            .iter()
            .zip(&numbers)
            .filter(|(other, _)| other.asked.intersection(&twin.asked).is_some())
            .map(|(_, number)| *number)
            .collect();
        taken.sort_unstable();
        taken.dedup();
        let free = (1..).zip(&taken).find(|(number, taken)| number != *taken);
        numbers.push(free.map_or(taken.len() + 1, |(number, _)| number));
    }
    twins.into_iter().zip(numbers).collect()
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

    fn twin(index: usize, from: i64, to: i64) -> SameBytes {
        SameBytes {
            pulled_at: at(0),
            file: "f".into(),
            line: index as u64,
            asked: Range::new(at(from), at(to)).unwrap(),
        }
    }

    fn numbers(ranges: &[(i64, i64)]) -> Vec<usize> {
        let twins = ranges.iter().enumerate();
        let twins = twins.map(|(index, &(from, to))| twin(index, from, to));
        let numbered = numbered(twins.collect());
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
        /// All lines that hold one instant have numbers of their own, and what is found later changes none.
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

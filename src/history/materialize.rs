//! The files of the table `audit_runs`, derived from the commit logs: one per day, written once by the first replica.
//!
//! The footer of each file has the last commit of each job, and the next file continues from there. Therefore every
//! commit's rows are in exactly one file, with any replicas and any clocks: the time of a commit only determines the
//! end of a day. A time in the future ends no day, as otherwise a clock that is ahead would hold back all later
//! commits. See docs/decisions/0008-derived-tables-are-projections.md.

use bytes::Bytes;
use chrono::{Days, NaiveDate, NaiveTime, TimeDelta};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use super::file::{self, CommitMark, CommitMarks, FileError, RunFileWriter};
use super::runs::RunFold;
use crate::lake::{self, Commit, Lake, LakeError};
use crate::model::Timestamp;
use crate::telemetry::error_chain;

/// How long after the end of a day its file is written: a commit is sent within a minute of its time, and clocks
/// differ. Later commits are in the next day's file.
pub const MARGIN: TimeDelta = TimeDelta::minutes(15);

/// The number of commits that are read concurrently.
const AT_A_TIME: usize = 8;
/// The number of runs after which their rows are encoded.
const RUNS_AT_ONCE: usize = 512;

/// The reason why the table isn't up to date.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A day's file can't be written or read.
    #[error("the file of {day}")]
    File {
        /// The day.
        day: NaiveDate,
        /// The cause.
        source: FileError,
    },
    /// A day's file disappeared after it was listed.
    #[error("the file of {day} is gone")]
    Gone {
        /// The day.
        day: NaiveDate,
    },
}

/// A written day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Built {
    /// The day.
    pub day: NaiveDate,
    /// The number of rows of its file.
    pub rows: usize,
}

/// Writes the files of all past days, from the newest file on, or from the first commit on. A day without commits gets
/// no file.
///
/// Requests: a listing of the table; for each written day another listing, a read of the previous file, one per
/// thousand jobs, and for each job one per thousand commits and one for each commit of that day and the previous one.
/// Holds one job's runs at a time.
pub async fn build(lake: &Lake, now: Timestamp) -> Result<Vec<Built>, BuildError> {
    let mut built = Vec::new();
    while !build_on(lake, now, &mut built).await? {}
    Ok(built)
}

/// Continues from the newest file until everything is written. Returns `false` if another replica was faster.
async fn build_on(lake: &Lake, now: Timestamp, built: &mut Vec<Built>) -> Result<bool, BuildError> {
    let mut newest = newest_day(lake, now).await?;
    let mut through = through_of(lake, newest).await?;
    let last = last_day(now);
    let first = match newest {
        Some(newest) => Some(following(newest)),
        None => first_after(lake, &through, now)
            .await?
            .map(|first| first.date_naive()),
    };
    let Some(mut next) = first else {
        return Ok(true);
    };
    while next <= last {
        let day = next;
        let gathered = gather(lake, day, &through, now).await?;
        let rows = gathered.writer.rows;
        if rows > 0 {
            let of_day = |source| BuildError::File { day, source };
            let file = gathered.writer.finish(&gathered.through).map_err(of_day)?;
            if newest_day(lake, now).await? != newest {
                // a later day's file may have late commits of this day, which would be there twice
                return Ok(false);
            }
            if lake::create_runs(lake, day, file.into()).await? {
                through = gathered.through;
                built.push(Built { day, rows });
                tracing::info!(%day, rows, "wrote a day of the table audit_runs");
            } else {
                through = read_through(lake, day).await?; // the file of another replica
            }
            newest = Some(day);
        }
        let Some(at) = gathered.next else { break };
        next = following(day).max(at.date_naive());
    }
    Ok(true)
}

/// Returns the newest day that ended at least [`MARGIN`] ago.
pub(super) fn last_day(now: Timestamp) -> NaiveDate {
    (now - MARGIN).date_naive() - Days::new(1)
}

pub(super) fn following(day: NaiveDate) -> NaiveDate {
    day.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX)
}

/// Returns the table's newest day. A day in the future was written by a clock that is far ahead, or by hand, and is
/// ignored.
pub(super) async fn newest_day(
    lake: &Lake,
    now: Timestamp,
) -> Result<Option<NaiveDate>, LakeError> {
    let days = lake::days_of_runs(lake).await?;
    Ok(days.range(..=now.date_naive()).next_back().copied())
}

/// Returns the time of the oldest commit that isn't in any file; `newest` is the table's newest day.
pub(super) async fn oldest_unwritten(
    lake: &Lake,
    newest: Option<NaiveDate>,
    now: Timestamp,
) -> Result<Option<Timestamp>, BuildError> {
    let through = through_of(lake, newest).await?;
    Ok(first_after(lake, &through, now).await?)
}

/// Returns the time of the oldest commit after `through`. If there are only commits with a time in the future, returns
/// the last past day.
async fn first_after(
    lake: &Lake,
    through: &CommitMarks,
    now: Timestamp,
) -> Result<Option<Timestamp>, LakeError> {
    let (mut first, mut is_one_ahead) = (None::<Timestamp>, false);
    for job in lake::jobs(lake).await? {
        let mark = through.get(&job).cloned();
        let mut commits = std::pin::pin!(commits(lake, &job, mark, 1).await?);
        while let Some(commit) = commits.try_next().await? {
            if is_ahead(&commit, now) {
                is_one_ahead = true;
                continue;
            }
            first = Some(first.map_or(commit.at, |first| first.min(commit.at)));
            break;
        }
    }
    let last = || last_day(now).and_time(NaiveTime::MIN).and_utc();
    Ok(first.or_else(|| is_one_ahead.then(last)))
}

/// Returns whether a commit's time is in the future, beyond the tolerance of clocks.
fn is_ahead(commit: &Commit, now: Timestamp) -> bool {
    commit.at > now + MARGIN
}

async fn through_of(lake: &Lake, newest: Option<NaiveDate>) -> Result<CommitMarks, BuildError> {
    match newest {
        Some(day) => read_through(lake, day).await,
        None => Ok(CommitMarks::new()),
    }
}

async fn read_through(lake: &Lake, day: NaiveDate) -> Result<CommitMarks, BuildError> {
    let file: Bytes = (lake::read_runs(lake, day).await?).ok_or(BuildError::Gone { day })?;
    file::through(file).map_err(|source| BuildError::File { day, source })
}

/// The rows of a day.
struct DayRows {
    writer: RunFileWriter,
    through: CommitMarks,
    /// The time of the first commit after the day.
    next: Option<Timestamp>,
}

/// Reads the rows of all commits after `through` with a time before the end of `day`, or in the future.
async fn gather(
    lake: &Lake,
    day: NaiveDate,
    through: &CommitMarks,
    now: Timestamp,
) -> Result<DayRows, BuildError> {
    let of_day = |source| BuildError::File { day, source };
    let end = following(day).and_time(NaiveTime::MIN).and_utc();
    let mut writer = RunFileWriter::new().map_err(of_day)?;
    // a job whose log is missing today may return
    let (mut new_through, mut next) = (through.clone(), None::<Timestamp>);
    for job in lake::jobs(lake).await? {
        let mut mark = through.get(&job).cloned();
        let mut runs = RunFold::default();
        let mut commits = std::pin::pin!(commits(lake, &job, mark.clone(), AT_A_TIME).await?);
        while let Some(commit) = commits.try_next().await? {
            if commit.at >= end && !is_ahead(&commit, now) {
                runs.see(commit.run);
                next = Some(next.map_or(commit.at, |next| next.min(commit.at)));
                break;
            }
            mark = Some(CommitMark::of(&commit));
            runs.take(commit);
            if runs.len() > RUNS_AT_ONCE {
                writer.push(&runs.take_over(now)).map_err(of_day)?;
            }
        }
        let rows: Vec<_> = runs.rows(now).collect();
        writer.push(&rows).map_err(of_day)?;
        if let Some(mark) = mark {
            new_through.insert(job.clone(), mark);
        }
    }
    Ok(DayRows {
        writer,
        through: new_through,
        next,
    })
}

/// Reads a job's commits after this one in order. If it is no longer in the log and wasn't pruned, the log was
/// restarted or restored from a copy; then later commits by time are read.
async fn commits<'a>(
    lake: &'a Lake,
    job: &'a str,
    after: Option<CommitMark>,
    at_a_time: usize,
) -> Result<impl Stream<Item = Result<Commit, LakeError>> + 'a, LakeError> {
    let (versions, since) = versions_after(lake, job, after.as_ref(), None).await?;
    let read = move |version: lake::Version| read(lake, job, version.number);
    let commits = stream::iter(versions).map(read).buffered(at_a_time);
    Ok(commits
        .try_filter_map(async |commit| Ok(commit))
        .try_filter(move |commit| std::future::ready(since.is_none_or(|since| commit.at > since))))
}

/// Returns the log's versions after this commit, or all without one. If the log was restarted or restored from a copy,
/// returns all versions and the time after which commits count. `e_tag` is the commit's e-tag when it was read, if
/// known, which saves reading it again.
pub(super) async fn versions_after(
    lake: &Lake,
    job: &str,
    after: Option<&CommitMark>,
    e_tag: Option<&str>,
) -> Result<(Vec<lake::Version>, Option<Timestamp>), LakeError> {
    let from = after.map_or(0, |mark| mark.version);
    let mut versions = lake::versions(lake, job, from).await?;
    let Some(mark) = after else {
        return Ok((versions, None));
    };
    let goes_on = match versions.first() {
        Some(first) if first.number == mark.version => {
            let is_known = e_tag.is_some() && first.e_tag.as_deref() == e_tag;
            is_known || is_there(lake, job, mark).await?
        }
        first => first.is_some(),
    };
    if goes_on {
        versions.retain(|version| version.number > mark.version);
        return Ok((versions, None));
    }
    Ok((lake::versions(lake, job, 0).await?, Some(mark.at)))
}

/// Returns whether the log still has this commit under its version, or has just pruned it.
async fn is_there(lake: &Lake, job: &str, mark: &CommitMark) -> Result<bool, LakeError> {
    let there = read(lake, job, mark.version).await?;
    Ok(there.is_none_or(|there| there.id == mark.id))
}

/// Reads a commit; `None` if it was pruned, or is damaged, which is logged and doesn't hide the rows of others.
pub(super) async fn read(
    lake: &Lake,
    job: &str,
    version: u64,
) -> Result<Option<Commit>, LakeError> {
    match lake::commit(lake, job, version).await {
        Err(error @ LakeError::Unreadable { .. }) => {
            tracing::warn!(
                job,
                error = error_chain(&error),
                "a commit is missing in audit_runs"
            );
            Ok(None)
        }
        commit => commit,
    }
}

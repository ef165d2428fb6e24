//! The files of the table `audit_runs`, made of the commit logs: one a day, written once, by whoever comes first.
//!
//! Each file says in its footer up to which commit of each job it goes, and the next one goes on from there. So every
//! commit's rows are in one file, whichever replica wrote which file, and whatever their clocks say: the time of a commit
//! only decides where a day ends. A time to come ends none: a clock that is ahead would keep back all that follows.

use bytes::Bytes;
use chrono::{Days, NaiveDate, NaiveTime, TimeDelta};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use super::file::{self, CommitMark, CommitMarks, FileError, RunFileWriter};
use super::runs::RunFold;
use crate::lake::{self, Commit, Lake, LakeError};
use crate::model::Timestamp;
use crate::telemetry::error_chain;

/// How long after its end a day's file is written: a commit is sent within a minute of the time that it names, and
/// clocks differ. What comes later is in the next day's file.
pub const MARGIN: TimeDelta = TimeDelta::minutes(15);

/// How many commits are read at a time.
const AT_A_TIME: usize = 8;
/// After how many runs their rows are encoded.
const RUNS_AT_ONCE: usize = 512;

/// Why the table isn't up to date.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A day's file.
    #[error("the file of {day}")]
    File {
        /// The day.
        day: NaiveDate,
        /// What is wrong with it.
        source: FileError,
    },
    /// A day's file is gone just after it was seen.
    #[error("the file of {day} is gone")]
    Gone {
        /// The day.
        day: NaiveDate,
    },
}

/// A day that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Built {
    /// The day.
    pub day: NaiveDate,
    /// How many rows its file has.
    pub rows: usize,
}

/// Writes the files of all days that are over, from the newest file on; without any, from the first commit on. A day
/// without commits gets none.
///
/// Beside a listing of the table it makes, for each day that is written, another one, one request to read the file before
/// it, one for a thousand jobs, and for each job one for a thousand commits and one for each commit of the day and the one before. It
/// holds one job's runs at a time.
pub async fn build(lake: &Lake, now: Timestamp) -> Result<Vec<Built>, BuildError> {
    let mut built = Vec::new();
    while !build_on(lake, now, &mut built).await? {}
    Ok(built)
}

/// Goes on from the newest file, until all is written; or another replica goes ahead: then `false`.
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
                // a later day's file may have commits that came late, and were of this day: they would be there twice
                return Ok(false);
            }
            if lake::create_runs(lake, day, file.into()).await? {
                through = gathered.through;
                built.push(Built { day, rows });
                tracing::info!(%day, rows, "wrote a day of the table audit_runs");
            } else {
                through = read_through(lake, day).await?; // another replica's, whatever it has
            }
            newest = Some(day);
        }
        let Some(at) = gathered.next else { break };
        next = following(day).max(at.date_naive());
    }
    Ok(true)
}

/// The newest day that is over, [`MARGIN`] included.
pub(super) fn last_day(now: Timestamp) -> NaiveDate {
    (now - MARGIN).date_naive() - Days::new(1)
}

pub(super) fn following(day: NaiveDate) -> NaiveDate {
    day.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX)
}

/// The table's newest day. One that is still to come was written by a clock far ahead, or by hand: no day waits for it.
pub(super) async fn newest_day(
    lake: &Lake,
    now: Timestamp,
) -> Result<Option<NaiveDate>, LakeError> {
    let days = lake::days_of_runs(lake).await?;
    Ok(days.range(..=now.date_naive()).next_back().copied())
}

/// When the oldest commit was made that no file tells of, `newest` being the table's newest day.
pub(super) async fn oldest_unwritten(
    lake: &Lake,
    newest: Option<NaiveDate>,
    now: Timestamp,
) -> Result<Option<Timestamp>, BuildError> {
    let through = through_of(lake, newest).await?;
    Ok(first_after(lake, &through, now).await?)
}

/// When the oldest commit after `through` was made. Those that name a time to come count if there are no others: as of
/// the last day that is over.
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

/// Whether a commit names a time to come, beyond what clocks may differ by.
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

/// What there is of a day.
struct DayRows {
    writer: RunFileWriter,
    through: CommitMarks,
    /// When the first commit was made that comes after the day.
    next: Option<Timestamp>,
}

/// The rows of all commits after `through` that were made before the end of `day`, or name a time that is still to come.
async fn gather(
    lake: &Lake,
    day: NaiveDate,
    through: &CommitMarks,
    now: Timestamp,
) -> Result<DayRows, BuildError> {
    let of_day = |source| BuildError::File { day, source };
    let end = following(day).and_time(NaiveTime::MIN).and_utc();
    let mut writer = RunFileWriter::new().map_err(of_day)?;
    // a job whose log is away today may come back
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

/// A job's commits after this one, in their order. If it isn't in the log any more, and wasn't pruned, the log was begun
/// anew or brought back from a copy: then those that were made later.
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

/// The log's versions after this commit; all of them if there is none. If the log was begun anew or brought back from a
/// copy, all of them too, and the time after which commits count. `e_tag` is what the store called the commit when it was
/// read, if that is known: then it need not be read again.
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

/// Whether the log still has this commit under its number, or has just pruned it.
async fn is_there(lake: &Lake, job: &str, mark: &CommitMark) -> Result<bool, LakeError> {
    let there = read(lake, job, mark.version).await?;
    Ok(there.is_none_or(|there| there.id == mark.id))
}

/// A commit; nothing if it was pruned, or is damaged: that is said, and hides no other one's rows.
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
                "audit_runs goes without a commit"
            );
            Ok(None)
        }
        commit => commit,
    }
}

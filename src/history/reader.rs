//! A reader with a cache of the history of a lake's jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{Days, NaiveDate};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::file::{self, CommitMark, CommitMarks};
use super::materialize::{self, BuildError};
use super::rollup::rolled_up;
use super::runs::RunFold;
use super::{History, RunRow};
use crate::lake::{self, Lake, LakeError, Version};
use crate::model::Timestamp;
use crate::telemetry::error_chain;

/// The number of days of the table that are read.
const DAYS: u64 = 400;
/// The number of rows that are kept unchanged; older ones are rolled up by day.
const ROWS: usize = 50_000;
/// The number of rolled-up rows that are kept in addition; the oldest days are dropped.
const CONDENSED: usize = 100_000;
/// The maximum number of commits of a job that are read beyond the table: two days with one every 15 s have 11,520. A
/// log without a table has more, which are left to the task that writes the table.
const COMMITS: usize = 12_000;
/// How long a snapshot is valid, and how much longer for each job: for a thousand jobs, viewers cause about twenty
/// requests per second.
const GOOD_FOR: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(50));
/// The number of concurrent requests.
const AT_A_TIME: usize = 8;

/// Reads the history of a lake and caches it: files of the table never change, and only new entries of the logs are
/// read. Holds 400 days, but at most about 150,000 rows. Cheap to clone; clones share the cache.
#[derive(Debug, Clone)]
pub struct HistoryReader {
    lake: Lake,
    kept: Arc<Mutex<CachedHistory>>,
}

#[derive(Debug, Default)]
struct CachedHistory {
    /// The cached files by day.
    days: BTreeMap<NaiveDate, DayFile>,
    /// The last commits in the newest readable file, and its day.
    through: (Option<NaiveDate>, CommitMarks),
    /// The rows that the table doesn't have yet.
    jobs: BTreeMap<String, LogTail>,
    known: Arc<HistorySnapshot>,
    /// When the snapshot expires.
    look_at: Option<Instant>,
}

/// A snapshot of the history.
#[derive(Debug, Default)]
pub struct HistorySnapshot {
    /// The history.
    pub history: History,
    /// The parts that couldn't be read and are missing.
    pub problems: Vec<String>,
}

/// A day's file.
#[derive(Debug, Default)]
struct DayFile {
    rows: Vec<RunRow>,
    is_condensed: bool,
    problem: Option<String>,
}

/// A job's log since the newest file.
#[derive(Debug, Default)]
struct LogTail {
    /// The newest commit that was read, and its e-tag.
    mark: Option<(CommitMark, Option<String>)>,
    /// The rows of finished runs, newest last; the first ones may be rolled up.
    over: Vec<RunRow>,
    /// The newest run.
    runs: RunFold,
    /// The number of oldest commits that were omitted.
    left_out: usize,
    problem: Option<String>,
}

impl HistoryReader {
    /// Creates a reader with an empty cache.
    pub fn new(lake: Lake) -> Self {
        Self {
            lake,
            kept: Arc::default(),
        }
    }

    /// Returns the history as of `now`. Makes no request if the snapshot is still valid. Parts that can't be read are
    /// listed in [`HistorySnapshot::problems`], and previously read rows are kept. Reading continues if the caller
    /// gives up, so that a retry for a large lake finds it cached.
    pub async fn read(&self, now: Timestamp) -> Arc<HistorySnapshot> {
        let reader = self.clone();
        match tokio::spawn(async move { reader.read_here(now).await }).await {
            Ok(known) => known,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await, // the process ends
            },
        }
    }

    async fn read_here(&self, now: Timestamp) -> Arc<HistorySnapshot> {
        let mut kept = self.kept.lock().await;
        if kept.look_at.is_some_and(|at| Instant::now() < at) {
            return Arc::clone(&kept.known);
        }
        let mut problems = Vec::new();
        if let Err(error) = kept.read_table(&self.lake, now).await {
            problems.push(error_chain(&error));
        }
        if let Err(error) = kept.read_logs(&self.lake).await {
            problems.push(error_chain(&error));
        }
        let jobs = u32::try_from(kept.jobs.len()).unwrap_or(u32::MAX);
        kept.look_at = Some(Instant::now() + GOOD_FOR.0 + GOOD_FOR.1.saturating_mul(jobs));
        kept.known = Arc::new(kept.all(problems, now));
        Arc::clone(&kept.known)
    }
}

impl CachedHistory {
    /// Reads the files that are there by now and weren't yet.
    async fn read_table(&mut self, lake: &Lake, now: Timestamp) -> Result<(), BuildError> {
        let first = now.date_naive() - Days::new(DAYS);
        let mut days: BTreeSet<NaiveDate> = lake::days_of_runs(lake).await?;
        days.retain(|day| *day <= now.date_naive()); // as in writing the table, days in the future are ignored
        self.days
            .retain(|day, _| *day >= first && days.contains(day));
        let new: Vec<NaiveDate> = (days.into_iter().rev())
            .filter(|day| *day >= first && !self.days.contains_key(day))
            .collect();
        let read = async |day| (day, lake::read_runs(lake, day).await);
        let mut files = std::pin::pin!(stream::iter(new).map(read).buffered(AT_A_TIME));
        while let Some((day, file)) = files.next().await {
            let Some(file) = file? else { continue };
            if Some(day) > self.through.0
                && let Ok(through) = file::through(file.clone())
            {
                // the logs' rows for it are dropped
                self.through = (Some(day), through);
                self.jobs.clear();
            }
            self.days.insert(day, DayFile::of(day, file));
            self.make_room(ROWS, CONDENSED);
        }
        Ok(())
    }

    /// Rolls up the oldest days, and drops days beyond the limit.
    fn make_room(&mut self, mut room: usize, mut condensed_room: usize) {
        for day in self.days.values_mut().rev() {
            if !day.is_condensed && day.rows.len() <= room {
                room -= day.rows.len();
                continue;
            }
            room = 0; // older days aren't shown in more detail
            if !day.is_condensed {
                day.rows = rolled_up(std::mem::take(&mut day.rows));
                day.is_condensed = true;
            }
            if day.rows.len() > condensed_room {
                day.rows = Vec::new();
            }
            condensed_room -= day.rows.len();
        }
    }

    /// Reads new commits.
    async fn read_logs(&mut self, lake: &Lake) -> Result<(), LakeError> {
        let names: BTreeSet<String> = lake::jobs(lake).await?.into_iter().collect();
        self.jobs.retain(|name, _| names.contains(name));
        let most = (ROWS / names.len().max(1)).max(100);
        let through = &self.through.1;
        for name in names {
            let mark = through.get(&name).map(|mark| (mark.clone(), None));
            self.jobs.entry(name).or_insert_with(|| LogTail {
                mark,
                ..LogTail::default()
            });
        }
        let requests = Semaphore::new(AT_A_TIME);
        stream::iter(&mut self.jobs)
            .for_each_concurrent(AT_A_TIME, async |(name, log)| {
                log.problem = None;
                if let Err(error) = log.read_on(lake, name, most, COMMITS, &requests).await {
                    log.problem = Some(format!("job `{name}`: {}", error_chain(&error)));
                }
            })
            .await;
        Ok(())
    }

    fn all(&self, mut problems: Vec<String>, now: Timestamp) -> HistorySnapshot {
        let mut rows = Vec::new();
        for day in self.days.values() {
            rows.extend(day.rows.iter().cloned());
            problems.extend(day.problem.clone());
        }
        for (name, log) in &self.jobs {
            rows.extend(log.over.iter().cloned());
            rows.extend(log.runs.rows(now));
            problems.extend(log.problem.clone());
            if log.left_out > 0 {
                let left_out = log.left_out;
                problems.push(format!(
                    "job `{name}`: {left_out} commits are left out, the oldest that the table audit_runs doesn't have yet"
                ));
            }
        }
        // ids of runs are in the order of time
        rows.sort_by_key(|row| row.run);
        HistorySnapshot {
            history: History { rows },
            problems,
        }
    }
}

impl DayFile {
    fn of(day: NaiveDate, file: bytes::Bytes) -> Self {
        match file::rows(file) {
            Ok(rows) => Self {
                rows,
                ..Self::default()
            },
            Err(source) => Self {
                problem: Some(error_chain(&BuildError::File { day, source })),
                ..Self::default()
            },
        }
    }
}

impl LogTail {
    /// Reads new commits, at most the newest `commits`, and keeps about `most` rows of them. `requests` bounds the
    /// concurrent requests.
    async fn read_on(
        &mut self,
        lake: &Lake,
        job: &str,
        most: usize,
        commits: usize,
        requests: &Semaphore,
    ) -> Result<(), LakeError> {
        let turn = requests.acquire().await;
        let mark = self.mark.as_ref();
        let e_tag = mark.and_then(|(_, e_tag)| e_tag.as_deref());
        let after = mark.map(|(mark, _)| mark);
        let (mut versions, since) = materialize::versions_after(lake, job, after, e_tag).await?;
        drop(turn);
        if let Some(too_many) = versions.len().checked_sub(commits) {
            versions.drain(..too_many);
            self.left_out += too_many;
        }
        let read = async |version: Version| {
            let _turn = requests.acquire().await;
            let commit = materialize::read(lake, job, version.number).await?;
            Ok::<_, LakeError>(commit.map(|commit| (commit, version.e_tag)))
        };
        let mut commits = std::pin::pin!(stream::iter(versions).map(read).buffered(AT_A_TIME));
        while let Some(commit) = commits.try_next().await? {
            let Some((commit, e_tag)) = commit else {
                continue;
            };
            if since.is_some_and(|since| commit.at <= since) {
                continue;
            }
            let at = commit.at;
            self.mark = Some((CommitMark::of(&commit), e_tag));
            self.runs.take(commit);
            self.over.extend(self.runs.take_over(at));
            if self.over.len() > most {
                let newest = self.over.split_off(most / 2);
                self.over = rolled_up(std::mem::replace(&mut self.over, newest))
                    .into_iter()
                    .chain(std::mem::take(&mut self.over))
                    .collect();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::history::testing::{date, row};

    #[tokio::test]
    async fn commits_that_are_left_out_are_told_of_until_the_table_has_them() {
        let lake = Lake::at("memory://", &BTreeMap::new()).unwrap();
        lake.prepare(&[]).await.unwrap();
        for _ in 0..5 {
            let run = lake::LogRun::new("job", TimeDelta::zero());
            lake::JobLog::claim(&lake, run).await.unwrap();
        }
        let mut kept = CachedHistory::default();
        for left_out in [2, 2] {
            let log = kept.jobs.entry("job".to_owned()).or_default();
            let requests = Semaphore::new(AT_A_TIME);
            log.read_on(&lake, "job", 100, 3, &requests).await.unwrap();
            let known = kept.all(Vec::new(), crate::clock::real_now());
            assert_eq!(known.history.rows.len(), 3);
            assert_eq!(known.problems.len(), 1, "{:?}", known.problems);
            let message = format!("job `job`: {left_out} commits are left out");
            assert!(
                known.problems[0].starts_with(&message),
                "{:?}",
                known.problems
            );
        }
    }

    fn lengths(kept: &CachedHistory) -> Vec<usize> {
        kept.days.values().map(|day| day.rows.len()).collect()
    }

    #[test]
    fn the_oldest_days_are_condensed_and_then_left_out() {
        let mut kept = CachedHistory::default();
        for day in 1..=4 {
            let hours = (0..10).map(|hour| row(day, hour, hour + 1, 1));
            let day_of = DayFile {
                rows: hours.collect(),
                ..DayFile::default()
            };
            kept.days.insert(date(day), day_of);
        }
        let new = |kept: &CachedHistory| {
            let rows = kept.days.values().flat_map(|day| &day.rows);
            rows.map(|row| row.counts.new).sum::<u64>()
        };
        kept.make_room(40, 9);
        assert_eq!(lengths(&kept), [10, 10, 10, 10]);
        kept.make_room(29, 9);
        assert_eq!(lengths(&kept), [1, 1, 10, 10]);
        assert_eq!(new(&kept), 40);
        kept.make_room(15, 2);
        assert_eq!(lengths(&kept), [0, 1, 1, 10]);
        let newest = kept.days.last_key_value().unwrap().1;
        assert!(!newest.is_condensed);
    }
}

//! What is known of the runs of a lake's jobs, for those who look again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{Days, NaiveDate};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::file::{self, CommitMark, CommitMarks};
use super::materialize::{self, BuildError};
use super::rollup::condensed;
use super::runs::RunFold;
use super::{History, RunRow};
use crate::lake::{self, Lake, LakeError, Version};
use crate::model::Timestamp;
use crate::telemetry::error_chain;

/// How many days of the table are read.
const DAYS: u64 = 400;
/// How many rows are kept as they are; older ones are condensed, day by day.
const ROWS: usize = 50_000;
/// How many condensed rows are kept beside them; the oldest days are left out.
const CONDENSED: usize = 100_000;
/// How many commits of a job are read that the table doesn't have yet: two days of one every 15 s are 11,520. Of a log
/// that nobody has made a table of there are more: those are left to whoever makes it.
const COMMITS: usize = 12_000;
/// How long what was read is good for, and how much longer for each job: a thousand jobs cost some twenty requests a
/// second while somebody looks.
const GOOD_FOR: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(50));
/// How many requests are under way at a time.
const AT_A_TIME: usize = 8;

/// Reads the history of a lake and keeps what it read: files of the table never change, and of the logs only what was
/// added since is read. Holds 400 days, but no more than some 150,000 rows. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct HistoryReader {
    lake: Lake,
    kept: Arc<Mutex<CachedHistory>>,
}

#[derive(Debug, Default)]
struct CachedHistory {
    /// The files that were read, by day.
    days: BTreeMap<NaiveDate, DayFile>,
    /// Up to which commits the newest file goes that can be read, and of which day it is.
    through: (Option<NaiveDate>, CommitMarks),
    /// What the table doesn't have yet.
    jobs: BTreeMap<String, LogTail>,
    known: Arc<HistorySnapshot>,
    /// When it has to be looked at again.
    look_at: Option<Instant>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct HistorySnapshot {
    /// What runs did.
    pub history: History,
    /// What could not be read: the history lacks it.
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
    /// The newest commit that was read, and what the store calls it.
    mark: Option<(CommitMark, Option<String>)>,
    /// Rows of runs that are over, the newest last; the first ones may be condensed.
    over: Vec<RunRow>,
    /// The newest run.
    runs: RunFold,
    /// How many commits were left out: the oldest.
    left_out: usize,
    problem: Option<String>,
}

impl HistoryReader {
    /// A reader that has read nothing.
    pub fn new(lake: Lake) -> Self {
        Self {
            lake,
            kept: Arc::default(),
        }
    }

    /// What is known `now`. It makes no request if it was asked just before. What can't be read is told in
    /// [`HistorySnapshot::problems`], and what was read before is still there. It reads on when the caller leaves: of a large lake
    /// he who asks again finds it read.
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
        days.retain(|day| *day <= now.date_naive()); // nor does who builds the table go on from a day to come
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
                // what it has is no longer the logs' to tell
                self.through = (Some(day), through);
                self.jobs.clear();
            }
            self.days.insert(day, DayFile::of(day, file));
            self.make_room(ROWS, CONDENSED);
        }
        Ok(())
    }

    /// Condenses the oldest days, and leaves out what is too much even so.
    fn make_room(&mut self, mut room: usize, mut condensed_room: usize) {
        for day in self.days.values_mut().rev() {
            if !day.is_condensed && day.rows.len() <= room {
                room -= day.rows.len();
                continue;
            }
            room = 0; // what is older isn't shown in more detail
            if !day.is_condensed {
                day.rows = condensed(std::mem::take(&mut day.rows));
                day.is_condensed = true;
            }
            if day.rows.len() > condensed_room {
                day.rows = Vec::new();
            }
            condensed_room -= day.rows.len();
        }
    }

    /// Reads what was committed since.
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
        // a run's id is in order of time
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
    /// Reads what was added, but no more than the newest `commits`, and keeps some `most` rows of it. Each request is one
    /// of `requests`.
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
                self.over = condensed(std::mem::replace(&mut self.over, newest))
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
            let told = format!("job `job`: {left_out} commits are left out");
            assert!(known.problems[0].starts_with(&told), "{:?}", known.problems);
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

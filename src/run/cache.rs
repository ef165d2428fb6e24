//! The state that a process keeps between the runs of its jobs, to save requests to the lake: the newest commit of the
//! last run, and the ids of the partitions that it used.
//!
//! The lake stays the index, and all of this state may be lost at any time. Only committed ids are kept, and they are
//! valid only for a run whose claim directly follows the commit at which they were kept, because then no other run has
//! landed anything since. A failed run keeps nothing. See docs/decisions/0004-deduplicate-by-the-lakes-own-files.md.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use tokio::time::Instant;
use uuid::Uuid;

use crate::lake::{Claim, Commit, FailureStreak, ReleasedHead};
use crate::model::Timestamp;
use crate::table::EventIdHash;

/// The ids of one partition.
pub(super) type IdSet = HashSet<EventIdHash>;

/// The maximum size of the ids that a daemon keeps for all jobs together, in bytes. The least recently used partitions
/// are dropped first.
const BUDGET: usize = 64 << 20;
/// The number of runs of a job without use of a partition after which the partition is dropped. A job that is due every
/// minute uses yesterday's partition once an hour for a settle pass.
const IDLE_RUNS: u64 = 100;

/// The state of a process's jobs between their runs. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct RunCache(Arc<Mutex<CachedIds>>);

#[derive(Debug)]
struct CachedIds {
    /// The maximum size of the ids in bytes.
    most: usize,
    jobs: HashMap<String, JobCache>,
    /// The size of the ids of all jobs in bytes.
    bytes: usize,
    /// A counter that orders uses.
    uses: u64,
}

#[derive(Debug, Default)]
struct JobCache {
    /// The current run. A run that was suspended and continues late neither takes nor gives ids.
    run: Uuid,
    /// The number of ids.
    runs: u64,
    left: Option<ReleasedHead>,
    /// The commit at which the ids were kept; `None` during a run, or after a failed one.
    at: Option<Uuid>,
    partitions: HashMap<String, CachedPartition>,
    /// The streak of failed runs that this process has seen.
    failing: Option<FailureStreak>,
    /// The last claim of another run that was seen, and since when.
    seen: Option<(Claim, Instant)>,
}

#[derive(Debug)]
struct CachedPartition {
    ids: IdSet,
    bytes: usize,
    used: u64,
    run: u64,
}

impl Default for RunCache {
    fn default() -> Self {
        Self::of(BUDGET)
    }
}

impl RunCache {
    /// Creates a cache for at most `most` bytes of ids.
    pub fn of(most: usize) -> Self {
        Self(Arc::new(Mutex::new(CachedIds {
            most,
            jobs: HashMap::new(),
            bytes: 0,
            uses: 0,
        })))
    }

    fn kept(&self) -> MutexGuard<'_, CachedIds> {
        // no critical section panics halfway
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the newest commit of the job's last run, so that it is used for one claim only.
    pub(super) fn left(&self, job: &str) -> Option<ReleasedHead> {
        self.kept().jobs.get_mut(job)?.left.take()
    }

    /// Records another run's claim that keeps this process from running.
    pub(super) fn sees(&self, job: &str, claim: &Claim) {
        let mut kept = self.kept();
        let seen = &mut kept.jobs.entry(job.to_owned()).or_default().seen;
        if seen.as_ref().is_none_or(|(seen, _)| seen != claim) {
            *seen = Some((claim.clone(), Instant::now()));
        }
    }

    /// Returns the claim that was seen last, if that was so long ago that it must have expired by any clock: a holder
    /// renews its claim after half its lifetime.
    pub(super) fn outlived(&self, job: &str, life: TimeDelta) -> Option<Claim> {
        let kept = self.kept();
        let (claim, since) = kept.jobs.get(job)?.seen.as_ref()?;
        (TimeDelta::from_std(since.elapsed()).ok()? >= life).then(|| claim.clone())
    }

    /// Records the current streak of failed runs, even if it can't be written to the log.
    pub fn note_failing(&self, job: &str, failing: Option<FailureStreak>) {
        let mut kept = self.kept();
        kept.jobs.entry(job.to_owned()).or_default().failing = failing;
    }

    /// Returns the streak of failed runs: that of the log, unless this process knows of a later one.
    pub fn failing(&self, job: &str, newest: Option<&Commit>) -> Option<FailureStreak> {
        let logged = newest.and_then(|newest| newest.failing.as_ref());
        self.latest(job, newest.map(|newest| (newest.run, newest.at)), logged)
    }

    /// Returns the streak of failed runs, if the newest known commit was written by this run at this time.
    pub(super) fn latest(
        &self,
        job: &str,
        newest: Option<(Uuid, Timestamp)>,
        logged: Option<&FailureStreak>,
    ) -> Option<FailureStreak> {
        let kept = self.kept();
        let of = kept.jobs.get(job);
        let known = of.and_then(|of| of.failing.as_ref());
        let is_ours = |run: Uuid| of.is_some_and(|of| of.run == run);
        let is_as_new = |known: &&FailureStreak| {
            // the commit of another process since then is more recent
            newest.is_none_or(|(run, at)| is_ours(run) || at <= known.at)
                || logged.is_some_and(|logged| (logged.run, logged.at) == (known.run, known.at))
        };
        known.filter(is_as_new).or(logged).cloned()
    }

    /// Returns the newest commit as of the last run of this process, if it is kept.
    pub fn newest(&self, job: &str) -> Option<Commit> {
        let kept = self.kept();
        let left = kept.jobs.get(job)?.left.as_ref()?;
        Some(left.newest().clone())
    }

    /// Records that a run begins whose claim directly follows the commit `follows`. Ids kept at any other commit are
    /// dropped.
    pub(super) fn begin(&self, job: &str, run: Uuid, follows: Option<Uuid>) {
        let mut kept = self.kept();
        let CachedIds { jobs, bytes, .. } = &mut *kept;
        let of = jobs.entry(job.to_owned()).or_default();
        let at = of.at.take();
        let is_valid = at.is_some() && at == follows;
        of.left = None;
        of.run = run;
        of.runs += 1;
        let oldest = of.runs.saturating_sub(IDLE_RUNS);
        of.partitions.retain(|_, partition| {
            let stays = is_valid && partition.run >= oldest;
            if !stays {
                *bytes -= partition.bytes;
            }
            stays
        });
    }

    /// Takes the ids of a partition for the run, if they are kept.
    pub(super) fn take(&self, job: &str, run: Uuid, partition: &str) -> Option<IdSet> {
        let mut kept = self.kept();
        let of = kept.jobs.get_mut(job).filter(|of| of.run == run)?;
        let partition = of.partitions.remove(partition)?;
        kept.bytes -= partition.bytes;
        Some(partition.ids)
    }

    /// Keeps the ids of a partition, all of which must be committed.
    pub(super) fn give(&self, job: &str, run: Uuid, name: String, ids: IdSet) {
        let mut kept = self.kept();
        let bytes = bytes_of(&name, &ids);
        if bytes > kept.most {
            return;
        }
        kept.uses += 1;
        let used = kept.uses;
        let Some(of) = kept.jobs.get_mut(job).filter(|of| of.run == run) else {
            return;
        };
        let run = of.runs;
        let partition = CachedPartition {
            ids,
            bytes,
            used,
            run,
        };
        let before = of.partitions.insert(name, partition);
        kept.bytes += bytes;
        kept.bytes -= before.map_or(0, |before| before.bytes);
        while kept.bytes > kept.most {
            kept.let_one_go();
        }
    }

    /// Records that the run has succeeded with the commit `at`.
    pub(super) fn end(&self, job: &str, run: Uuid, at: Uuid, left: Option<ReleasedHead>) {
        let mut kept = self.kept();
        if let Some(of) = kept.jobs.get_mut(job).filter(|of| of.run == run) {
            of.at = Some(at);
            of.left = left;
        }
    }
}

impl CachedIds {
    /// Drops the least recently used partition.
    fn let_one_go(&mut self) {
        let all = (self.jobs.iter()).flat_map(|(job, of)| {
            of.partitions
                .iter()
                .map(move |(name, one)| (one.used, job, name))
        });
        let Some((_, job, name)) = all.min() else {
            self.bytes = 0;
            return;
        };
        let (job, name) = (job.clone(), name.clone());
        let partition = (self.jobs.get_mut(&job)).and_then(|of| of.partitions.remove(&name));
        self.bytes -= partition.map_or(0, |partition| partition.bytes);
    }
}

/// Returns the size of a set: a power of two of slots with a control byte each, at most seven eighths of them in use,
/// and its entry here.
fn bytes_of(name: &str, ids: &IdSet) -> usize {
    let places = ids.capacity() / 7 * 8 + 8;
    places * (size_of::<EventIdHash>() + 1) + name.len() + 200
}

#[cfg(test)]
mod tests {
    use super::*;

    /// with any expiry in the claims
    #[tokio::test(start_paused = true)]
    async fn a_claim_that_is_seen_for_as_long_as_claims_live_is_outlived_unless_it_is_renewed() {
        let memory = RunCache::default();
        let (life, half) = (TimeDelta::seconds(30), std::time::Duration::from_secs(15));
        let claim = |second| {
            let at = chrono::DateTime::from_timestamp(second, 0);
            Claim::of_this_process(at.unwrap_or_default())
        };
        assert_eq!(memory.outlived("job", life), None);
        for (second, outlived) in [(9_000_000_000, false), (0, false), (9, false), (9, true)] {
            memory.sees("job", &claim(second));
            tokio::time::advance(half).await;
            memory.sees("job", &claim(second));
            let expected = outlived.then(|| claim(second));
            assert_eq!(memory.outlived("job", life), expected, "{second}");
        }
        memory.sees("job", &claim(10));
        assert_eq!(memory.outlived("job", life), None, "renewed after all");
    }

    fn ids(of: &str, count: usize) -> IdSet {
        let id = |n: usize| EventIdHash::of(&format!("{of} {n}"));
        (0..count).map(id).collect()
    }

    /// Simulates a run of `job` after the commit `follows` that takes these partitions, returns them and ends with
    /// `at`.
    fn run(
        memory: &RunCache,
        job: &str,
        follows: Uuid,
        partitions: &[&str],
        at: Uuid,
    ) -> Vec<bool> {
        let run = Uuid::now_v7();
        memory.begin(job, run, Some(follows));
        let found: Vec<_> = (partitions.iter())
            .map(|name| (*name, memory.take(job, run, name)))
            .collect();
        let had = found.iter().map(|(_, found)| found.is_some()).collect();
        for (name, found) in found {
            let ids = found.unwrap_or_else(|| ids(name, 10));
            memory.give(job, run, name.to_owned(), ids);
        }
        memory.end(job, run, at, None);
        had
    }

    fn commits() -> [Uuid; 3] {
        [1, 2, 3].map(Uuid::from_u128)
    }

    #[test]
    fn ids_are_kept_for_the_run_whose_claim_follows() {
        let (memory, [first, second, rivals]) = (RunCache::default(), commits());
        assert_eq!(run(&memory, "a", first, &["x", "y"], first), [false, false]);
        assert_eq!(run(&memory, "a", first, &["y", "x"], second), [true, true]);
        // another replica has committed
        assert_eq!(run(&memory, "a", rivals, &["x"], rivals), [false]);
        assert_eq!(run(&memory, "a", rivals, &["x", "y"], first), [true, false]);
        assert_eq!(run(&memory, "b", first, &["x"], first), [false]);
    }

    #[test]
    fn a_run_that_failed_leaves_nothing_nor_does_one_that_was_overtaken() {
        let (memory, [first, ..]) = (RunCache::default(), commits());
        run(&memory, "a", first, &["x"], first);
        let failed = Uuid::now_v7();
        memory.begin("a", failed, Some(first));
        memory.give("a", failed, "y".to_owned(), ids("y", 10));
        let next = Uuid::now_v7();
        memory.begin("a", next, Some(first));
        assert_eq!(memory.take("a", next, "x"), None);
        assert_eq!(memory.take("a", next, "y"), None);
        // it continues
        memory.give("a", failed, "y".to_owned(), ids("y", 10));
        memory.end("a", failed, first, None);
        assert_eq!(memory.take("a", next, "y"), None);
        assert_eq!(run(&memory, "a", first, &["y"], first), [false]);
        assert_eq!(memory.kept().bytes, bytes_of("y", &ids("y", 10)));
    }

    #[test]
    fn all_jobs_together_keep_within_the_budget_and_the_longest_unused_go_first() {
        let (memory, [at, ..]) = (RunCache::default(), commits());
        let jobs: Vec<String> = (0..12).map(|n| format!("job {n}")).collect();
        for job in &jobs {
            let run = Uuid::now_v7();
            memory.begin(job, run, Some(at));
            // about 9 MB
            memory.give(job, run, "x".to_owned(), IdSet::with_capacity(250_000));
            memory.end(job, run, at, None);
            assert!(memory.kept().bytes <= BUDGET);
        }
        let kept = |job: &String| run(&memory, job, at, &["x"], at)[0];
        assert!(!kept(&jobs[0]) && kept(&jobs[11]) && kept(&jobs[8]));
        let sum: usize = (memory.kept().jobs.values())
            .flat_map(|of| of.partitions.values().map(|partition| partition.bytes))
            .sum();
        assert_eq!(memory.kept().bytes, sum);
    }

    #[test]
    fn a_partition_that_no_run_came_back_to_is_let_go() {
        let (memory, [at, ..]) = (RunCache::default(), commits());
        run(&memory, "a", at, &["x", "y"], at);
        for _ in 0..IDLE_RUNS {
            assert_eq!(run(&memory, "a", at, &["y"], at), [true]);
        }
        assert_eq!(run(&memory, "a", at, &["x", "y"], at), [false, true]);
    }
}

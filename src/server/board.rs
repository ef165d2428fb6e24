//! The server's data, read from the lake on demand, but at most every few seconds.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use crate::clock::real_now;
use crate::history;
use crate::lake::Lake;
use crate::model::Timestamp;
use crate::setup::ScheduledJob;
use crate::single_flight::SingleFlight;
use crate::status::{JobStatus, LastKnownStatus};
use crate::telemetry::error_chain;

/// How long data is shown before it is read again.
const FRESH: Duration = Duration::from_secs(5);
/// How long the result of the lake's check is valid.
const LAKE_FRESH: Duration = Duration::from_secs(30);
/// The timeout of that check.
const LAKE_ANSWER: Duration = Duration::from_secs(10);
/// The minimum ratio of total time to time spent reading.
const REST: u32 = 10;
/// The number of logs that are read concurrently.
const AT_A_TIME: usize = 16;

/// A cache of the status of a configuration's jobs.
#[derive(Debug)]
pub(crate) struct StatusCache {
    /// The jobs, in the configuration's order.
    pub jobs: Arc<[ScheduledJob]>,
    lake: Lake,
    statuses: CacheSlot<Vec<StatusReading>>,
    history: history::HistoryReader,
    lake_answers: CacheSlot<Result<(), String>>,
    /// Whether the lake answered the last check.
    lake_answered: Arc<AtomicBool>,
    /// The last status of each job.
    last: Arc<std::sync::Mutex<HashMap<String, FreshStatus>>>,
}

/// A status with the time when it was read.
type FreshStatus = (Timestamp, Arc<JobStatus>);

/// The status of a job, as far as it can be read.
#[derive(Debug)]
pub(crate) struct StatusReading {
    /// The job.
    pub scheduled: ScheduledJob,
    /// The job's status.
    pub status: Arc<LastKnownStatus>,
    /// When the status was last read.
    pub read_at: Option<Timestamp>,
}

impl StatusCache {
    /// Creates a cache for these jobs, which all land in `lake`. Reads nothing yet.
    pub(crate) fn new(jobs: Vec<ScheduledJob>, lake: Lake) -> Self {
        Self {
            jobs: jobs.into(),
            history: history::HistoryReader::new(lake.clone()),
            lake,
            statuses: CacheSlot::fresh_for(FRESH),
            lake_answers: CacheSlot::fresh_for(LAKE_FRESH),
            lake_answered: Arc::new(AtomicBool::new(true)),
            last: Arc::default(),
        }
    }

    /// Returns the lake.
    pub(crate) fn lake(&self) -> &Lake {
        &self.lake
    }

    /// Returns whether the lake answered within the last half minute and has the layout of the jobs, or the problem.
    pub(crate) async fn lake_answers(&self) -> Result<(), String> {
        let (lake, jobs) = (self.lake.clone(), Arc::clone(&self.jobs));
        let answered = Arc::clone(&self.lake_answered);
        let ask = async move {
            let answer = match jobs.first() {
                Some(first) => answers(&lake, &layout(first)).await,
                None => Ok(()),
            };
            answered.store(answer.is_ok(), Ordering::Relaxed);
            answer
        };
        (*self.lake_answers.get(ask).await).clone()
    }

    /// Returns whether the lake answered the last check of [`StatusCache::lake_answers`]. Makes no request.
    pub(crate) fn lake_answered(&self) -> bool {
        self.lake_answered.load(Ordering::Relaxed)
    }

    /// Returns the status of each job as of a few seconds ago, in the configuration's order.
    pub(crate) async fn statuses(&self) -> Arc<Vec<StatusReading>> {
        let (jobs, last) = (Arc::clone(&self.jobs), Arc::clone(&self.last));
        let lake = self.lake.clone();
        let read = async move {
            let read = read_all(&lake, &jobs).await;
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let of = |(scheduled, status)| StatusReading::of(scheduled, status, &mut last);
            read.into_iter().map(of).collect()
        };
        self.statuses.get(read).await
    }

    /// Returns the history as of a few seconds ago. Errors are in [`history::HistorySnapshot::problems`]; data read
    /// before an error is kept.
    pub(crate) async fn history(&self) -> Arc<history::HistorySnapshot> {
        self.history.read(real_now()).await
    }
}

/// Returns the layout that the jobs need.
fn layout(scheduled: &ScheduledJob) -> Vec<String> {
    let columns = scheduled.job.partition_by.iter();
    columns.map(|column| column.as_str().to_owned()).collect()
}

async fn answers(lake: &Lake, layout: &[String]) -> Result<(), String> {
    match tokio::time::timeout(LAKE_ANSWER, lake.is_laid_out(layout)).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(format!("the lake `{}` is gone", lake.url())),
        Ok(Err(error)) => Err(error_chain(&error)),
        Err(_) => Err(format!("the lake `{}` doesn't answer", lake.url())),
    }
}

impl StatusReading {
    /// Returns the current status, or the last known one with the runs of this process since then.
    fn of(
        scheduled: ScheduledJob,
        read: Result<Arc<JobStatus>, String>,
        last: &mut HashMap<String, FreshStatus>,
    ) -> Self {
        let (name, now) = (&scheduled.job.name, real_now());
        let (status, read_at) = match read {
            Ok(status) => {
                last.insert(name.clone(), (now, Arc::clone(&status)));
                (LastKnownStatus::read(status), Some(now))
            }
            Err(problem) => {
                let last = last.get(name);
                let before = last.map(|(_, status)| &**status);
                let status = LastKnownStatus::unreadable(&scheduled, problem, before, now);
                (status, last.map(|(read_at, _)| *read_at))
            }
        };
        let status = Arc::new(status);
        scheduled.job.metrics.shows(Arc::clone(&status) as _);
        Self {
            scheduled,
            status,
            read_at,
        }
    }
}

async fn read_all(
    lake: &Lake,
    jobs: &[ScheduledJob],
) -> Vec<(ScheduledJob, Result<Arc<JobStatus>, String>)> {
    let now = real_now();
    stream::iter(jobs.to_vec())
        .map(|scheduled| async move {
            let status = JobStatus::read(&scheduled, now).await;
            let status = status.map_err(|error| error_chain(&error));
            // if the lake is gone, all jobs look as if they had never run
            let status = match status {
                Ok(status) if status.newest.is_none() => {
                    let layout = layout(&scheduled);
                    answers(lake, &layout).await.map(|()| status)
                }
                status => status,
            };
            (scheduled, status.map(Arc::new))
        })
        .buffered(AT_A_TIME)
        .collect()
        .await
}

/// A value with the instant until which it is shown.
type CachedRead<T> = (Instant, Arc<T>);

/// A cached value.
#[derive(Debug)]
struct CacheSlot<T> {
    fresh: Duration,
    slot: Arc<SingleFlight<Option<CachedRead<T>>, Infallible>>,
}

impl<T: Send + Sync + 'static> CacheSlot<T> {
    /// Creates a cache whose value is shown for `lifetime`, or longer if reading takes long.
    fn fresh_for(fresh: Duration) -> Self {
        let slot = Arc::default();
        Self { fresh, slot }
    }

    /// Returns the cached value, or the result of `read`. Concurrent callers wait for a single read, which continues if
    /// they give up.
    async fn get(&self, read: impl Future<Output = T> + Send + 'static) -> Arc<T> {
        let (slot, fresh) = (Arc::clone(&self.slot), self.fresh);
        let task = tokio::spawn(async move {
            let mut turn = slot.turn().await;
            let now = Instant::now();
            if let Some((until, value)) = &*turn
                && now < *until
            {
                return Arc::clone(value);
            }
            let value = Arc::new(read.await);
            let rest = fresh.max(now.elapsed() * REST);
            *turn = Some((Instant::now() + rest, Arc::clone(&value)));
            value
        });
        match task.await {
            Ok(value) => value,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await, // the process ends
            },
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_read_is_read_again_after_a_while_and_once_for_all_who_ask() {
        let (cached, reads) = (CacheSlot::fresh_for(FRESH), Arc::new(AtomicU32::new(0)));
        let get = |takes: u64| {
            let reads = Arc::clone(&reads);
            cached.get(async move {
                let number = reads.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(takes)).await;
                number
            })
        };
        let (first, second) = tokio::join!(get(0), get(0));
        assert_eq!((*first, *second), (0, 0));
        tokio::time::sleep(Duration::from_millis(4999)).await;
        assert_eq!(*get(0).await, 0);
        tokio::time::sleep(Duration::from_millis(1)).await;
        // a slow read isn't repeated soon, and isn't cancelled when no caller waits for it
        let impatient = tokio::time::timeout(Duration::from_secs(1), get(3)).await;
        impatient.unwrap_err();
        assert_eq!(*get(3).await, 1);
        tokio::time::sleep(Duration::from_secs(29)).await;
        assert_eq!(*get(0).await, 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(*get(0).await, 2);
    }
}

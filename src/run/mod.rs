//! One run of one job: claim, pull, stage, commit, publish (design §4).

mod cache;
mod comparison;
mod decode;
mod dedup;
mod error;
pub mod feed;
pub mod future;
mod identity;
mod memory;
mod oldest;
mod overlap;
pub mod plan;
mod quarantine;
mod queue;
mod recover;
mod replay;
mod reread;
mod shown;
mod sink;
mod summary;
mod time;
mod verify;
mod worker;
mod writers;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;

use chrono::TimeDelta;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use crate::client::ClientError;
use crate::clock::{Clock, real_now};
use crate::lake::{
    Claim, ClaimOutcome, Commit, FailureStreak, JobLog, Lake, LogRun, Origin, RecordCounts,
    RunSummary, Work,
};
use crate::metrics;
use crate::model::{PartitionColumn, Range, RangeSet, Timestamp};
use crate::run::feed::{Feed, FeedError};
use crate::run::plan::Policy;
use crate::telemetry::note_trace;

pub use cache::RunCache;
pub use comparison::{ComparedDay, Discrepancies, Example};
use decode::Decoder;
pub use error::RunError;
pub use memory::MemoryBudget;
pub use overlap::{Neighbours, Overlap, refuse_overlap};
use queue::{Leftovers, WindowQueue};
pub use replay::{LineOutcome, Replayed, ReplayedLine, replay};
use sink::Sink;
use summary::RunAccount;
use time::Time;
pub use time::now;
pub use verify::{Unverified, Verification, verify};
use writers::CpuPool;

/// How long a claim keeps other runs off, unless a test says otherwise.
const CLAIM_LIFE: TimeDelta = TimeDelta::seconds(30);

/// A job, ready to run.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name, for people.
    pub name: String,
    /// The name of its log: stands in object keys, in the names of files and in the column `job`, and scopes event ids.
    pub log: String,
    /// The connection's name.
    pub connection: String,
    /// The provider's kind.
    pub provider: &'static str,
    /// What the column `account_id` shows where a record doesn't say.
    pub account_id: String,
    /// How ranges are cut and read again.
    pub policy: Policy,
    /// The provider's feed.
    pub source: Feed,
    /// Where it lands.
    pub lake: Lake,
    /// The columns that are in the path.
    pub partition_by: Vec<PartitionColumn>,
    /// When the open parts together are this large, they are committed; in bytes.
    pub target_file_size: u64,
    /// What tells which other logs of the lake are of the same account.
    pub neighbours: Neighbours,
    /// What this process keeps of its jobs between their runs.
    pub memory: RunCache,
    /// What its runs may hold, and all others that share it.
    pub budget: MemoryBudget,
    /// Who is told of its commits and runs.
    pub metrics: metrics::JobMetrics,
}

impl Job {
    fn origin(&self) -> Origin {
        Origin {
            provider: Some(self.provider.to_owned()),
            connection: self.connection.clone(),
            account_id: self.account_id.clone(),
            wording: self.source.adapter.wording(),
            host: self.neighbours.host.clone(),
            user: self.neighbours.user.clone(),
            from: None,
        }
    }

    /// Ids are looked up in the folder where a record would land. If that folder has got another name since the job's
    /// last commit, or if records read otherwise now, what is read again would be landed a second time.
    fn refuse_if_moved(&self, newest: &Commit) -> Result<(), RunError> {
        let Some(was) = &newest.origin else {
            return Ok(());
        };
        let is_other_provider = (was.provider.as_ref()).is_some_and(|was| was != self.provider);
        // a log that bears the job's own name is the job's, whatever has become of its connection
        let is_chosen = self.log != self.name;
        if is_other_provider || is_chosen && !overlap::is_same_account(was, &self.origin()) {
            return Err(RunError::OtherLog {
                job: self.name.clone(),
                log: self.log.clone(),
                was: overlap::account(was),
                is: overlap::account(&self.origin()),
            });
        }
        for (column, was, is) in [
            (
                PartitionColumn::Connection,
                &was.connection,
                &self.connection,
            ),
            (
                PartitionColumn::AccountId,
                &was.account_id,
                &self.account_id,
            ),
        ] {
            if was != is && self.partition_by.contains(&column) {
                return Err(RunError::Moved {
                    column,
                    was: was.clone(),
                    is: is.clone(),
                });
            }
        }
        match (&was.wording, self.source.adapter.wording()) {
            (Some(was), Some(is)) if *was != is => Err(RunError::Reworded {
                was: was.clone(),
                is,
            }),
            _ => Ok(()),
        }
    }
}

/// What a run is to do.
#[derive(Debug, Clone, Copy)]
pub enum RunMode {
    /// All that is due: unfinished ranges, first pulls, settle passes.
    Due,
    /// What a range lacks, or all of it again.
    Backfill {
        /// The range.
        range: Range,
        /// Whether to read again what was pulled before.
        refetch: bool,
        /// After so long no further window is begun, so that the job's due pulls get their turn.
        turn: TimeDelta,
    },
}

impl RunMode {
    /// The feed that windows are pulled from: what is due goes before a backfill, whose calls wait as long as any other
    /// of the connection does.
    fn feed(&self, source: &Feed) -> Feed {
        match self {
            Self::Due => source.clone(),
            Self::Backfill { .. } => source.yielding(),
        }
    }
}

/// `due`, or `backfill` and its range.
impl fmt::Display for RunMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Due => f.write_str("due"),
            Self::Backfill { range, .. } => write!(f, "backfill {range}"),
        }
    }
}

/// How a run is to go about it.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// What to take for now in planning.
    pub clock: Clock,
    /// How many windows are in flight at a time.
    pub at_a_time: usize,
    /// Cancelled when the run is to stop: the current pages finish and are committed with their cursors.
    pub stop: CancellationToken,
    /// Told of every window that is pulled, before its commit too, and of every commit.
    pub tally: watch::Sender<RunTotals>,
    /// How long a claim keeps other runs off.
    pub claim_life: TimeDelta,
    /// Whether what failed in earlier runs is tried again whatever its time: a person asks, or a schedule of another's.
    pub at_once: bool,
    /// What isn't asked for, by stream: it has failed, and is left to a later run.
    pub passed_over: BTreeMap<String, RangeSet>,
}

impl RunOptions {
    /// Four windows at a time, by the system's clock, told to nobody, with claims of 30 s.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            clock: Clock::System,
            at_a_time: 4,
            stop,
            tally: watch::Sender::new(RunTotals::default()),
            claim_life: CLAIM_LIFE,
            at_once: false,
            passed_over: BTreeMap::new(),
        }
    }
}

/// What a run has done so far, summed over its commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunTotals {
    /// Windows pulled to their last page.
    pub windows: u64,
    /// Event time that these windows cover, summed over streams.
    pub covered: TimeDelta,
    /// What became of the records.
    pub counts: RecordCounts,
    /// Data commits.
    pub commits: u64,
}

/// Several runs of one command.
impl AddAssign for RunTotals {
    fn add_assign(&mut self, other: Self) {
        self.windows += other.windows;
        self.covered += other.covered;
        self.counts += other.counts;
        self.commits += other.commits;
    }
}

/// How a run ended.
#[derive(Debug)]
pub enum RunOutcome<R = RunReport> {
    /// Another run holds the job; nothing was done.
    Held(Claim),
    /// The run went as far as it could.
    Ran(R),
}

/// What a run did.
#[derive(Debug)]
pub struct RunReport {
    /// The run.
    pub run: Uuid,
    /// What was committed.
    pub tally: RunTotals,
    /// The ranges that failed, in no order: those after which their streams went on, and the first failure of each
    /// stream that didn't.
    pub failures: Vec<StreamFailure>,
    /// The instant up to which a scheduled run planned, if it went through its plan.
    pub planned_at: Option<Timestamp>,
    /// This machine's clock at that instant, where it differed from that.
    pub planned_by: Option<Timestamp>,
    /// Whether work is left that this run could have done, had it not been stopped or its turn been over.
    pub unfinished: bool,
    /// The slowest stream's watermark, if the job was pulled.
    pub watermark: Option<Timestamp>,
}

impl RunReport {
    /// Of a run that was stopped before it had pulled anything.
    fn stopped(log: &JobLog) -> Self {
        Self {
            run: log.run().id,
            tally: RunTotals::default(),
            failures: Vec::new(),
            planned_at: None,
            planned_by: None,
            unfinished: true,
            watermark: None,
        }
    }
}

/// What failed of a stream.
#[derive(Debug)]
pub struct StreamFailure {
    /// The stream.
    pub stream: String,
    /// The range that failed; it is tried again by a later run.
    pub range: Range,
    /// Why it was pulled.
    pub work: Work,
    /// What failed.
    pub error: RunError,
    /// Whether the stream went on with other ranges: the provider works, and this range alone is tried again later.
    pub went_on: bool,
}

/// Runs `job` once: the whole of design §4 for one claim.
pub async fn run(job: &Job, lane: RunMode, conduct: &RunOptions) -> Result<RunOutcome, RunError> {
    let is_scheduled = matches!(lane, RunMode::Due);
    claimed(job, conduct, &lane, is_scheduled, async |log, account| {
        under_claim(job, log, account, lane, conduct).await
    })
    .await
}

/// Notes a scheduled run that couldn't record its end in the log: the lake failed, or the run panicked. Only this process
/// knows of it.
pub fn note_failed(job: &Job, run: Uuid, error: &RunError) {
    let ended = RunSummary {
        started_at: real_now(),
        unfinished: false,
        calls: 0,
        retries: 0,
        failures: vec![summary::failed(error)],
    };
    let before = job.memory.failing(&job.log, None);
    let failing = FailureStreak::after(before.as_ref(), run, &ended, real_now());
    job.memory.note_failing(&job.log, failing);
}

/// Does `work` under a claim of its own, which is kept alive meanwhile and given up after it.
async fn claimed<R>(
    job: &Job,
    conduct: &RunOptions,
    lane: &(dyn fmt::Display + Sync),
    is_scheduled: bool,
    work: impl AsyncFnOnce(&JobLog, &RunAccount) -> Result<R, RunError>,
) -> Result<RunOutcome<R>, RunError> {
    let streams = job.source.adapter.listed_streams();
    let run = LogRun {
        origin: Some(job.origin()),
        streams: streams.into_iter().map(|stream| stream.id).collect(),
        outlived: job.memory.outlived(&job.log, conduct.claim_life),
        ..LogRun::new(&job.log, conduct.claim_life)
    };
    let trace_id = tracing::field::Empty;
    let span = tracing::info_span!("run", job = job.name, run = %run.id, lane = %lane, trace_id);
    note_trace(&span);
    async {
        // 1. Claim. It only saves work; safety is the create-if-absent of every commit and the order of these steps.
        let id = run.id;
        let claimed = match job.memory.left(&job.log) {
            Some(left) => JobLog::claim_again(&job.lake, run, left).await,
            None => JobLog::claim(&job.lake, run).await,
        };
        let log = match claimed {
            Ok(ClaimOutcome::Held(claim)) => {
                job.memory.sees(&job.log, &claim);
                return Ok(RunOutcome::Held(claim));
            }
            Ok(ClaimOutcome::Mine(log)) => log,
            Err(error) => {
                let error = error.into();
                if is_scheduled {
                    note_failed(job, id, &error);
                }
                return Err(error);
            }
        };
        let _running = job.metrics.running();
        let run = log.run().id;
        let claim = log.newest().await;
        let before = (job.memory).latest(&job.log, Some(log.found_of()), claim.failing.as_ref());
        let account = RunAccount::new(run, claim.at, is_scheduled, before);
        job.memory.begin(&job.log, run, log.follows().await);
        let result = tokio::select! {
            lost = log.keep_alive() => Err(lost.into()),
            // on the heap: whoever awaits a run would hold all of it otherwise
            result = Box::pin(work(&log, &account)) => result,
        };
        let time = Time::of(job, conduct.clock);
        time.warn(&job.name);
        let may_release = result
            .as_ref()
            .err()
            .is_none_or(RunError::leaves_the_log_known);
        if let Err(error) = &result {
            account.fail(error);
        }
        let streak = account.streak();
        if is_scheduled {
            job.memory.note_failing(&job.log, streak.clone());
        }
        if may_release {
            time.note(&log).await;
            log.will_end(account.ended(&[]), streak).await;
            match log.release().await {
                Ok(left) if result.is_ok() => {
                    (job.memory).end(&job.log, run, log.newest().await.id, left);
                }
                Ok(_) => {} // what a run that failed knew may be wrong
                Err(error) => tracing::warn!(
                    error = crate::telemetry::error_chain(&error),
                    "the claim could not be given up; it runs out"
                ),
            }
        }
        result.map(RunOutcome::Ran)
    }
    .instrument(span)
    .await
}

async fn under_claim(
    job: &Job,
    log: &JobLog,
    account: &RunAccount,
    lane: RunMode,
    conduct: &RunOptions,
) -> Result<RunReport, RunError> {
    // 1, rest. What earlier runs committed is published, so that the lake's own ids are the whole truth when 2 reads them.
    recover::recover(job, log).await?;
    let newest = log.newest().await;
    job.refuse_if_moved(&newest)?;
    // nothing was pulled yet: then the claim must stand first, so that of two new jobs one sees the other
    let is_new = newest.progress.is_empty();
    if is_new {
        let listed = job.source.adapter.listed_streams();
        refuse_overlap(job, Some(&newest), &listed, &lane).await?;
    }

    // 2. Pull: workers bring the pages of several windows, one landing takes them in turn.
    let time = Time::of(job, conduct.clock);
    let source = job.source.counting(account.calls.clone());
    let streams = match source.streams(&conduct.stop).await {
        Err(FeedError::Client(ClientError::Stopped)) => {
            account.end(&[], true);
            return Ok(RunReport::stopped(log));
        }
        streams => streams?,
    };
    if !is_new {
        refuse_overlap(job, Some(&newest), &streams, &lane).await?;
    }
    let cores = CpuPool::new(conduct.at_a_time);
    let mut landing = Sink::new(job, log, account, cores.clone(), conduct.tally.clone()).await;
    if let Some(now) = time.limit(log, &landing, &source, &streams, conduct).await {
        landing.void(now);
        log.void_plan().await;
    }
    landing.begin(&streams, lane);
    let planned = Time::moment();
    let now = time.judged_at(planned).now;
    landing.plans_at(now);
    let queue = Arc::new(WindowQueue::new(
        &streams,
        landing.progress(),
        lane,
        now,
        job,
        conduct,
    ));
    let (pages, mut arrivals) = tokio::sync::mpsc::channel(2);
    let (feed, decoder) = (lane.feed(&source), Decoder::new(job));
    let mut workers = worker::spawn(&feed, job, &queue, conduct, decoder, &cores, &pages);
    drop(pages); // so that the last worker's end is the end of the arrivals

    // 3 to 5. Stage, commit, publish: whenever the open parts are full or the last commit is old, and at the end. What
    // a commit says of progress is what has arrived here, so a cursor never passes a record that no commit lists.
    let mut are_at_work = true;
    loop {
        tokio::select! {
            // a worker that panics ends the run: others may wait for what it was at
            ended = &mut workers, if are_at_work => {
                ended?;
                are_at_work = false;
            }
            arrival = arrivals.recv() => match arrival {
                Some(arrival) => landing.take(arrival).await?,
                None => break,
            },
            () = tokio::time::sleep_until(landing.deadline()) => landing.commit(None).await?,
        }
        if landing.is_full() {
            landing.commit(None).await?;
        }
    }
    if are_at_work {
        workers.await?;
    }
    let Leftovers {
        mut failures,
        missed,
        unfinished,
    } = queue.leftovers();
    missed.into_iter().for_each(|missed| landing.miss(&missed));
    let mut ended = HashSet::new();
    failures.retain(|failure| failure.went_on || ended.insert(failure.stream.clone()));
    if !failures.is_empty() {
        job.source.forget_streams();
    }
    account.end(&failures, unfinished);
    let now = now.min(time.judged_at(planned).now); // by the clocks that are known by now
    let plan = (matches!(lane, RunMode::Due) && !unfinished).then(|| time.plan(planned, now));
    let (planned_at, planned_by) = (plan.map(|plan| plan.0), plan.and_then(|plan| plan.1));
    time.note(log).await;
    landing.finish(planned_at, planned_by).await?;
    Ok(RunReport {
        run: log.run().id,
        tally: landing.tally(),
        failures,
        planned_at,
        planned_by,
        unfinished,
        watermark: landing.watermark(),
    })
}

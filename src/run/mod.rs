//! One run of one job: claim, recover, pull, write, commit, release.

mod cache;
mod claim;
mod commit;
pub(crate) mod compute;
pub(crate) mod decode;
pub(crate) mod dedup;
mod error;
pub mod feed;
pub mod future;
pub(crate) mod identity;
mod job;
mod memory;
mod oldest;
mod overlap;
pub mod plan;
mod progress;
pub(crate) mod quarantine;
pub(crate) mod queue;
mod recover;
mod replay;
mod report;
mod reread;
mod sink;
mod summary;
pub(crate) mod time;
mod window;
pub(crate) mod worker;
mod writers;

use std::collections::HashSet;
use std::sync::Arc;

use claim::claimed;
use compute::CpuPool;
use decode::Decoder;
use feed::FeedError;
use progress::ProgressTracker;
use queue::{Leftovers, WindowQueue};
use sink::Sink;
use summary::SummaryBuilder;
use time::Time;
use worker::Workers;

use crate::client::ClientError;
use crate::lake::JobLog;

pub use cache::RunCache;
pub use claim::note_failed;
pub use error::RunError;
pub use job::{Job, RunMode, RunOptions};
pub use memory::MemoryBudget;
pub use overlap::{Neighbours, Overlap, refuse_overlap};
pub use replay::{LineOutcome, Replayed, ReplayedLine, replay};
pub use report::{RunOutcome, RunReport, RunTotals, StreamFailure};
pub use time::now;

/// Runs `job` once.
pub async fn run(job: &Job, lane: RunMode, conduct: &RunOptions) -> Result<RunOutcome, RunError> {
    let is_scheduled = matches!(lane, RunMode::Due);
    claimed(job, conduct, &lane, is_scheduled, async |log, summary| {
        under_claim(job, log, summary, lane, conduct).await
    })
    .await
}

async fn under_claim(
    job: &Job,
    log: &JobLog,
    summary: &mut SummaryBuilder,
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
    let source = job.source.counting(summary.calls.clone());
    let streams = match source.streams(&conduct.stop).await {
        Err(FeedError::Client(ClientError::Stopped)) => {
            summary.pulled(&[], true);
            return Ok(RunReport::stopped(log));
        }
        streams => streams?,
    };
    if !is_new {
        refuse_overlap(job, Some(&newest), &streams, &lane).await?;
    }
    let mut progress = ProgressTracker::new(job, newest);
    let limit = time.limit(log, job, progress.by_stream(), &source, &streams, conduct);
    if let Some(now) = limit.await {
        progress.void(now);
        log.void_plan().await;
    }
    progress.begin(&streams, lane);
    let planned = Time::moment();
    let now = time.judged_at(planned).now;
    progress.plans_at(now);
    let queue = Arc::new(WindowQueue::new(
        &streams,
        progress.by_stream(),
        lane,
        now,
        job,
        conduct,
    ));
    let cores = CpuPool::new(conduct.at_a_time);
    let mut landing = Sink::new(job, log, progress, cores.clone(), conduct.tally.clone());
    let (feed, decoder) = (lane.feed(&source), Decoder::new(job));
    let mut workers = Workers::spawn(&feed, job, &queue, conduct, decoder, &cores);

    // 3 to 5. Stage, commit, publish: whenever the open parts are full or the last commit is old, and at the end. What
    // a commit says of progress is what has arrived here, so a cursor never passes a record that no commit lists.
    loop {
        tokio::select! {
            event = workers.next() => match event? {
                Some(event) => landing.take(event).await?,
                None => break,
            },
            () = tokio::time::sleep_until(landing.deadline()) => landing.commit(summary).await?,
        }
        if landing.is_full() {
            landing.commit(summary).await?;
        }
    }
    let Leftovers {
        mut failures,
        missed,
        unfinished,
    } = queue.leftovers();
    missed
        .into_iter()
        .for_each(|missed| landing.progress.miss(&missed));
    let mut ended = HashSet::new();
    failures.retain(|failure| failure.went_on || ended.insert(failure.stream.clone()));
    if !failures.is_empty() {
        job.source.forget_streams();
    }
    summary.pulled(&failures, unfinished);
    let now = now.min(time.judged_at(planned).now); // by the clocks that are known by now
    let plan = (matches!(lane, RunMode::Due) && !unfinished).then(|| time.plan(planned, now));
    let (planned_at, planned_by) = (plan.map(|plan| plan.0), plan.and_then(|plan| plan.1));
    time.note(log).await;
    landing.finish(plan, summary).await?;
    Ok(RunReport {
        run: log.run().id,
        tally: landing.totals(),
        failures,
        planned_at,
        planned_by,
        unfinished,
        watermark: landing.progress.watermark(),
    })
}

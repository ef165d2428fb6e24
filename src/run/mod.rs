//! One run of one job: claim, recover, pull, stage, commit, publish, release.

mod account;
mod bounds;
mod cache;
mod claim;
mod commit;
pub(crate) mod compute;
pub(crate) mod decode;
pub(crate) mod dedup;
mod error;
pub(crate) mod event;
pub mod feed;
pub mod future;
pub(crate) mod identity;
mod job;
mod memory;
mod oldest;
mod overlap;
pub mod plan;
mod progress;
mod pull;
pub(crate) mod quarantine;
pub(crate) mod queue;
mod range_pull;
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

use claim::claimed;
use pull::Pull;
use summary::SummaryBuilder;

use crate::lake::JobLog;

pub use account::Neighbours;
pub use cache::RunCache;
pub use claim::note_failed;
pub use error::{Overlap, RunError};
pub use job::{Job, RunMode, RunOptions};
pub use memory::MemoryBudget;
pub use overlap::refuse_overlap;
pub use replay::{LineOutcome, Replayed, ReplayedLine, replay};
pub use report::{RunOutcome, RunReport, RunTotals, StreamFailure};
pub use time::now;

/// Runs `job` once: claim, recover, pull, stage, commit, publish, release.
pub async fn run(job: &Job, mode: RunMode, options: &RunOptions) -> Result<RunOutcome, RunError> {
    let is_scheduled = matches!(mode, RunMode::Due);
    // Claim the job, and release it at the end.
    claimed(job, options, &mode, is_scheduled, async |log, summary| {
        under_claim(job, log, summary, mode, options).await
    })
    .await
}

async fn under_claim(
    job: &Job,
    log: &JobLog,
    summary: &mut SummaryBuilder,
    mode: RunMode,
    options: &RunOptions,
) -> Result<RunReport, RunError> {
    // Recover: publish the commits of earlier runs, so that de-duplication finds all ids in the lake's own files.
    recover::recover(job, log).await?;
    // Pull: workers fetch and decode the pages of several windows.
    let Some(mut pull) = Pull::begin(job, log, summary, mode, options).await? else {
        return Ok(RunReport::stopped(log));
    };
    // Write and commit: when the open parts are full, when the last commit is old, and at the end. A commit records
    // only the progress of written records, so a cursor never passes a record that no commit lists.
    loop {
        tokio::select! {
            event = pull.workers.next() => match event? {
                Some(event) => pull.sink.handle(event).await?,
                None => break,
            },
            () = tokio::time::sleep_until(pull.sink.deadline()) => pull.sink.commit(summary).await?,
        }
        if pull.sink.is_full() {
            pull.sink.commit(summary).await?;
        }
    }
    pull.end(summary).await
}

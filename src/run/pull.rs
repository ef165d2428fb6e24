//! The pull of a run: plans, starts the workers, and reports the end.

use std::collections::HashSet;
use std::sync::Arc;

use super::compute::CpuPool;
use super::decode::{DecodedPage, Decoder};
use super::error::RunError;
use super::feed::FeedError;
use super::job::{Job, RunMode, RunOptions};
use super::overlap::refuse_overlap;
use super::progress::ProgressTracker;
use super::queue::{Leftovers, WindowQueue};
use super::report::RunReport;
use super::sink::Sink;
use super::summary::SummaryBuilder;
use super::time::{Moment, Time};
use super::worker::Workers;
use crate::client::ClientError;
use crate::lake::JobLog;
use crate::model::Timestamp;

/// The pull of a run.
pub(super) struct Pull<'a> {
    job: &'a Job,
    log: &'a JobLog,
    mode: RunMode,
    time: Time,
    /// When the run planned, and its "now" at that time.
    planned: Moment,
    now: Timestamp,
    queue: Arc<WindowQueue>,
    pub(super) workers: Workers<DecodedPage>,
    pub(super) sink: Sink<'a>,
}

impl<'a> Pull<'a> {
    /// Plans the due work and starts the workers. Returns `None` if the run is stopped before that.
    ///
    /// Reads the lake's ids, so earlier commits must have been published.
    pub(super) async fn begin(
        job: &'a Job,
        log: &'a JobLog,
        summary: &mut SummaryBuilder,
        mode: RunMode,
        options: &RunOptions,
    ) -> Result<Option<Self>, RunError> {
        let newest = log.newest().await;
        job.refuse_if_moved(&newest)?;
        // a new job: its claim has to exist first, so that one of two new jobs sees the other
        let is_new = newest.progress.is_empty();
        if is_new {
            let listed = job.source.adapter.listed_streams();
            refuse_overlap(job, Some(&newest), &listed, &mode).await?;
        }
        let source = job.source.counting(summary.calls.clone());
        let streams = match source.streams(&options.stop).await {
            Err(FeedError::Client(ClientError::Stopped)) => {
                summary.pulled(&[], true);
                return Ok(None);
            }
            streams => streams?,
        };
        if !is_new {
            refuse_overlap(job, Some(&newest), &streams, &mode).await?;
        }

        let time = Time::of(job, options.clock);
        let mut progress = ProgressTracker::new(job, newest);
        let limit = time.limit(log, job, progress.by_stream(), &source, &streams, options);
        if let Some(now) = limit.await {
            progress.void(now);
            log.void_plan().await;
        }
        progress.begin(&streams, mode);
        let planned = Time::moment();
        let now = time.judged_at(planned).now;
        progress.plans_at(now);
        let by_stream = progress.by_stream();
        let queue = WindowQueue::new(&streams, by_stream, mode, now, job, options);
        let queue = Arc::new(queue);

        let cpu = CpuPool::new(options.at_a_time);
        let sink = Sink::new(job, log, progress, cpu.clone(), options.totals.clone());
        let (feed, decoder) = (mode.feed(&source), Decoder::new(job));
        let workers = Workers::spawn(&feed, job, &queue, options, decoder, &cpu);
        Ok(Some(Self {
            job,
            log,
            mode,
            time,
            planned,
            now,
            queue,
            workers,
            sink,
        }))
    }

    /// Makes the run's last commit and returns its report.
    pub(super) async fn end(mut self, summary: &mut SummaryBuilder) -> Result<RunReport, RunError> {
        let Leftovers {
            mut failures,
            failed,
            unfinished,
        } = self.queue.leftovers();
        for failed in &failed {
            self.sink.progress.note_failure(failed);
        }
        let mut ended = HashSet::new();
        failures.retain(|failure| failure.went_on || ended.insert(failure.stream.clone()));
        if !failures.is_empty() {
            self.job.source.forget_streams();
        }
        summary.pulled(&failures, unfinished);
        // by the clocks that are known now
        let now = self.now.min(self.time.judged_at(self.planned).now);
        let is_planned = matches!(self.mode, RunMode::Due) && !unfinished;
        let plan = is_planned.then(|| self.time.completed_plan(self.planned, now));
        self.time.note(self.log).await;
        self.sink.finish(plan, summary).await?;
        Ok(RunReport {
            run: self.log.run().id,
            totals: self.sink.totals(),
            failures,
            planned_at: plan.map(|plan| plan.planned_at),
            planned_by: plan.and_then(|plan| plan.planned_by),
            unfinished,
            watermark: self.sink.progress.watermark(),
        })
    }
}

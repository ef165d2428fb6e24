//! `run`: the daemon.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::report::{CONFIG, CommandError, complain};
use crate::config::{Config, ConfigSource};
use crate::metrics::Metrics;
use crate::scheduler::Scheduler;
use crate::server::{self, AllowedHosts, Readiness, Site, StatusCache};
use crate::setup::{self, ScheduledJob};
use crate::shutdown::Shutdown;
use crate::telemetry::{error_chain, panic_message};

/// The interval at which an unusable lake is tried again.
const LAKE_RETRY: Duration = Duration::from_secs(10);

pub(super) async fn run(
    source: &ConfigSource,
    wanted: &[String],
    shutdown: &Shutdown,
) -> Result<u8, CommandError> {
    let mut config = super::load(source)?;
    let metrics = Metrics::default();
    let mut jobs = super::counted_jobs(&config, wanted, &metrics)?;
    let listen = config.server.listen;
    let listener = server::bind(listen)
        .await
        .map_err(|error| CommandError::run(error_chain(&error)))?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serving /healthz, /readyz, /metrics, /api/v1, and the status page at /");
    }
    let (readiness, ready) = watch::channel(Readiness::NotYet("starting".to_owned()));
    let Some(board) = board_of(&jobs) else {
        return Ok(0);
    };
    let (shown, board) = watch::channel(board);
    let (called, hosts) = watch::channel(hosts_of(&config));
    let site = Site {
        board,
        readiness: ready,
        hosts,
        metrics: metrics.clone(),
    };
    let server_stop = CancellationToken::new();
    tokio::spawn(server::serve(listener, site, server_stop.clone()));
    let mut hangup = signal(SignalKind::hangup())
        .map_err(|error| CommandError::run(format!("can't listen for SIGHUP: {error}")))?;

    let mut is_start = true;
    loop {
        let stop = CancellationToken::new();
        let (lake, kept) = (
            jobs.first().map(|first| first.job.lake.clone()),
            jobs.clone(),
        );
        let keeping = keep_jobs(&config, jobs, is_start, &readiness, stop.clone());
        let mut keeping = Box::pin(keeping);
        let reloaded = loop {
            tokio::select! {
                ended = &mut keeping => return ended.map(|()| 0),
                () = shutdown.stop.cancelled() => break None,
                _ = hangup.recv() => tokio::select! {
                    reloaded = caught("reload the configuration", reload(source, wanted, &metrics)) => {
                        metrics.reloaded(reloaded.is_ok());
                        match reloaded {
                            Ok(new) => break Some(new),
                            Err(failure) => complain(&format!("SIGHUP: the old configuration stays\n{}", failure.message())),
                        }
                        keep_metrics(&metrics, &kept);
                    }
                    () = shutdown.stop.cancelled() => break None,
                },
            }
        };
        stop.cancel();
        tokio::select! {
            ended = &mut keeping => ended?,
            () = tokio::time::sleep(config.server.shutdown_grace) => {
                tracing::warn!("the grace period is over; what isn't committed is pulled again by the next run");
            }
            () = shutdown.now.cancelled() => {}
        }
        drop(keeping);
        let Some((new, new_jobs)) = reloaded else {
            break;
        };
        if new.server.listen != listen {
            tracing::warn!(address = %new.server.listen, "a new `server.listen` takes effect with the next start");
        }
        jobs = new_jobs;
        if let Some(lake) = lake
            && new.lake.url == config.lake.url
            && new.lake.url.starts_with("memory:")
        {
            // the content of a lake in memory would be lost with its store
            jobs.iter_mut()
                .for_each(|scheduled| scheduled.job.lake = lake.clone());
        }
        config = new;
        is_start = false;
        keep_metrics(&metrics, &jobs);
        called.send_replace(hosts_of(&config));
        board_of(&jobs).map(|board| shown.send_replace(board));
        tracing::info!("the configuration was reloaded");
    }
    server_stop.cancel();
    tracing::info!("stopped");
    Ok(0)
}

fn hosts_of(config: &Config) -> Arc<AllowedHosts> {
    Arc::new(AllowedHosts::new(&config.server.allowed_hosts))
}

/// Returns the status cache of these jobs, which all land in one lake.
fn board_of(jobs: &[ScheduledJob]) -> Option<Arc<StatusCache>> {
    let lake = jobs.first()?.job.lake.clone();
    Some(Arc::new(StatusCache::new(jobs.to_vec(), lake)))
}

/// Returns the current configuration, if it can run: its lake answers, and has the configured layout.
async fn reload(
    source: &ConfigSource,
    wanted: &[String],
    metrics: &Metrics,
) -> Result<(Config, Vec<ScheduledJob>), CommandError> {
    if *source == ConfigSource::Stdin {
        return Err(CommandError::usage(
            "a configuration from standard input can't be reloaded",
        ));
    }
    let config = super::load(source)?;
    let jobs = super::counted_jobs(&config, wanted, metrics)?;
    super::make_ready(&config, &jobs).await?;
    Ok((config, jobs))
}

/// Removes the metrics of jobs and connections that are no longer configured, or only in a refused configuration.
fn keep_metrics(metrics: &Metrics, jobs: &[ScheduledJob]) {
    let jobs = jobs.iter().map(|scheduled| &scheduled.job);
    let names = jobs.clone().map(|job| job.name.as_str()).collect();
    let connections = jobs.map(|job| (job.provider, job.connection.as_str()));
    metrics.keep(&names, &connections.collect());
}

/// Awaits a future; a panic becomes its failure instead of ending the daemon.
async fn caught<T>(
    what: &str,
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        Err(CommandError::run(format!("can't {what}: a bug, {message}")))
    })
}

/// Runs the jobs of a configuration until `stop` is cancelled and their current pages are committed.
///
/// Waits for a lake that doesn't answer or isn't writable. Fails only at the start (`is_start`), if the configuration
/// doesn't match the lake: a running daemon isn't ended by changes to its lake.
async fn keep_jobs(
    config: &Config,
    jobs: Vec<ScheduledJob>,
    is_start: bool,
    readiness: &watch::Sender<Readiness>,
    stop: CancellationToken,
) -> Result<(), CommandError> {
    let Some(first) = jobs.first() else {
        return Ok(());
    };
    let lake = first.job.lake.clone();
    let layout = setup::layout(&config.lake);
    let mut last_reason = None;
    let scheduler = loop {
        let begin = async {
            lake.prepare(&layout).await.map_err(CommandError::lake)?;
            let scheduler = Scheduler::start(jobs.clone(), stop.clone()).await;
            scheduler
                .map_err(|error| CommandError::run(format!("the scheduler can't start: {error}")))
        };
        let started = tokio::select! {
            started = caught("start", begin) => started,
            () = stop.cancelled() => return Ok(()),
        };
        let failure = match started {
            Ok(scheduler) => break scheduler,
            Err(failure) => failure,
        };
        if is_start && failure.code() == CONFIG {
            return Err(failure);
        }
        let reason = failure.message().to_owned();
        if last_reason.as_ref() != Some(&reason) {
            // logged once for all attempts
            tracing::error!(
                error = reason,
                every_s = LAKE_RETRY.as_secs(),
                "the lake can't be used; trying again until it can"
            );
            last_reason = Some(reason.clone());
        }
        readiness.send_replace(Readiness::NotYet(reason));
        tokio::select! {
            () = tokio::time::sleep(LAKE_RETRY) => {}
            () = stop.cancelled() => return Ok(()),
        }
    };
    let names: Vec<&str> = jobs
        .iter()
        .map(|scheduled| scheduled.job.name.as_str())
        .collect();
    tracing::info!(
        jobs = names.join(", "),
        lake = lake.url(),
        "scheduling jobs"
    );
    scheduler.keep_history(lake);
    readiness.send_replace(Readiness::Ready);
    stop.cancelled().await;
    readiness.send_replace(Readiness::NotYet("stopping".to_owned()));
    scheduler.stop().await;
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_that_says_so() {
        let panics = async {
            tokio::task::yield_now().await;
            panic!("no such thing")
        };
        let failure = caught::<()>("start", panics).await.unwrap_err();
        assert_eq!(failure.code(), 1);
        assert_eq!(failure.message(), "can't start: a bug, no such thing");
        assert_eq!(caught("start", async { Ok(3) }).await.unwrap(), 3);
    }
}

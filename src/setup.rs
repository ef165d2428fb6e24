//! Creating runnable jobs from a configuration: one client per connection, one lake, one feed per job.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;

use crate::client::{Client, ClientError, ClientLimits, ClientSettings};
use crate::config::{self, Config};
use crate::cron::CronSchedule;
use crate::lake::{FailureStreak, Lake, LakeError, Origin, StorePatience};
use crate::metrics::{self, Metrics};
use crate::model::PartitionColumn;
use crate::model::Timestamp;
use crate::run::feed::Feed;
use crate::run::plan::Policy;
use crate::run::{self, MemoryBudget, Neighbours, RunCache};

/// How long after a due run the watermark becomes stale, unless configured.
const GRACE: TimeDelta = TimeDelta::hours(1);

/// A configured job with its schedule.
#[derive(Debug, Clone)]
pub struct ScheduledJob {
    /// The schedule.
    pub schedule: CronSchedule,
    /// The job.
    pub job: run::Job,
    /// The configured maximum age of its watermark, if any.
    pub max_staleness: Option<TimeDelta>,
}

impl ScheduledJob {
    /// Returns the instant after which this watermark of one of the job's streams is stale: as configured, or an hour
    /// after a due run that would have moved it. The watermark of a stream that was never pulled is the job's start.
    pub fn fresh_until(&self, watermark: Option<Timestamp>) -> Option<Timestamp> {
        let policy = &self.job.policy;
        let watermark = watermark.unwrap_or(policy.start);
        match self.max_staleness {
            Some(most) => watermark.checked_add_signed(most),
            // a run moves it to its own time minus the lag
            None => (self.schedule)
                .next_after(watermark + policy.lag)?
                .checked_add_signed(GRACE),
        }
    }
}

impl ScheduledJob {
    /// Returns when the job runs next: at the first tick after its last plan, at once without one, and after failed
    /// runs at the first tick after the end of their pause.
    pub fn next_run(
        &self,
        planned_at: Option<Timestamp>,
        failing: Option<&FailureStreak>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let Some(failing) = failing else {
            return planned_at.map_or(Some(now), |at| self.schedule.next_after(at));
        };
        // a failed run is retried at the next tick
        let tick = self.schedule.next_after(failing.at.min(now))?;
        let not_before = failing.not_before(now);
        if tick >= not_before {
            Some(tick)
        } else {
            self.schedule.next_after(not_before)
        }
    }
}

/// A connection's client can't be created, or the lake can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A connection's client can't be created.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The lake can't be opened.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

impl SetupError {
    /// Returns the kind of failure.
    pub fn kind(&self) -> crate::model::FailureKind {
        match self {
            Self::Client(error) => error.kind(),
            Self::Lake(error) => error.kind(),
        }
    }
}

/// Creates the client of a connection. All jobs of the connection have to share it, as they share its rate budget.
pub fn client(
    connection: &config::ConnectionConfig,
    server: &config::ServerConfig,
) -> Result<Client, ClientError> {
    Client::new(client_settings(connection, server))
}

/// Returns the settings of that client.
pub fn client_settings(
    connection: &config::ConnectionConfig,
    server: &config::ServerConfig,
) -> ClientSettings {
    ClientSettings {
        connection: connection.name.clone(),
        provider: connection.provider,
        endpoint: connection.endpoint.clone(),
        rate_limit: (
            connection.rate_limit.requests.get(),
            connection.rate_limit.per,
        ),
        replicas: server.replicas,
        proxy: connection.proxy.clone(),
        ca_file: connection.ca_file.clone(),
        allow_http: connection.allow_http,
        limits: ClientLimits::default(),
        metrics: metrics::ConnectionMetrics::default(),
    }
}

/// Opens the configured lake. Makes no request.
pub fn lake(lake: &config::LakeConfig) -> Result<Lake, LakeError> {
    lake_with(lake, StorePatience::Long)
}

/// Opens the configured lake with this patience for a failing store.
pub fn lake_with(lake: &config::LakeConfig, patience: StorePatience) -> Result<Lake, LakeError> {
    let ca_file = lake.ca_file.as_deref();
    Lake::reach(&lake.url, &lake.storage_options, ca_file, patience)
}

/// Returns the lake's layout, as in its layout file.
pub fn layout(lake: &config::LakeConfig) -> Vec<String> {
    lake.partition_by
        .iter()
        .map(|column: &PartitionColumn| column.as_str().to_owned())
        .collect()
}

/// Returns the jobs in `wanted` (all, if it is empty), ready to run on `lake`, with `metrics`. Makes no request.
pub fn jobs(
    config: &Config,
    lake: &Lake,
    wanted: &[String],
    metrics: &Metrics,
) -> Result<Vec<ScheduledJob>, SetupError> {
    let mut clients: BTreeMap<&str, Client> = BTreeMap::new();
    let (memory, budget) = (RunCache::default(), MemoryBudget::default());
    let logs = Arc::new(origins(config));
    let mut jobs = Vec::new();
    for job in &config.jobs {
        let Some(connection) = config.connections.get(&job.connection) else {
            continue;
        };
        if !wanted.is_empty() && !wanted.contains(&job.name) {
            continue;
        }
        let client = if let Some(client) = clients.get(job.connection.as_str()) {
            client.clone()
        } else {
            let client = Client::new(ClientSettings {
                metrics: metrics.connection(connection.provider, &connection.name),
                ..client_settings(connection, &config.server)
            })?;
            clients.insert(&job.connection, client.clone());
            client
        };
        jobs.push(ScheduledJob {
            schedule: job.schedule.clone(),
            max_staleness: job.max_staleness,
            job: run::Job {
                name: job.name.clone(),
                log: job.log.clone(),
                connection: connection.name.clone(),
                provider: connection.provider,
                account_id: account_id(connection),
                policy: policy(job),
                source: Feed::new(Arc::clone(&job.adapter), client),
                lake: lake.clone(),
                partition_by: config.lake.partition_by.clone(),
                target_file_size: config.lake.target_file_size,
                neighbours: Neighbours {
                    host: Some(connection.host.clone()),
                    user: Some(connection.user.clone()),
                    logs: Arc::clone(&logs),
                },
                memory: memory.clone(),
                budget: budget.clone(),
                metrics: metrics.job(&job.name),
            },
        });
    }
    Ok(jobs)
}

/// Returns the value of the column `account_id` for records without one.
fn account_id(connection: &config::ConnectionConfig) -> String {
    let known = connection.account_id.as_ref();
    known.unwrap_or(&connection.name).clone()
}

/// Returns the origin of each job's data in the configuration, by the name of the job's log.
fn origins(config: &Config) -> BTreeMap<String, Origin> {
    let origin = |job: &config::JobConfig| {
        let connection = config.connections.get(&job.connection)?;
        let origin = Origin {
            provider: Some(connection.provider.to_owned()),
            connection: connection.name.clone(),
            account_id: account_id(connection),
            id_basis: job.adapter.id_basis(),
            host: Some(connection.host.clone()),
            user: Some(connection.user.clone()),
            from: None,
        };
        Some((job.log.clone(), origin))
    };
    config.jobs.iter().filter_map(origin).collect()
}

/// Returns the policy for a job's ranges.
pub fn policy(job: &config::JobConfig) -> Policy {
    Policy {
        start: job.start,
        window: job.window,
        min_window: job.min_window,
        lag: job.lag,
        settle: job.settle.clone(),
        grain: job.adapter.grain(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lake::{RunFailure, RunSummary};
    use crate::model::FailureKind;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A job whose provider accepts only days, to show that its watermark isn't limited to days.
    fn job(keys: &str) -> ScheduledJob {
        let text = format!(
            "lake: {{url: memory://}}
connections:
  prod: {{provider: everyware_cloud, username: u, password: p}}
jobs:
  - {{name: audits, connection: prod, {keys}}}
"
        );
        let config = Config::parse("jobs.yaml", &text, &|_| None).unwrap();
        let lake = lake(&config.lake).unwrap();
        let metrics = Metrics::default();
        jobs(&config, &lake, &[], &metrics).unwrap().remove(0)
    }

    fn fresh_until(keys: &str, watermark: Option<&str>) -> String {
        let until = job(keys).fresh_until(watermark.map(at)).unwrap();
        until.to_rfc3339()
    }

    #[test]
    fn a_watermark_is_fresh_until_an_hour_after_the_run_that_would_have_moved_it() {
        let hourly = "schedule: '@hourly', start: 2026-03-01";
        let daily = "schedule: '0 6 * * *', timezone: Europe/Berlin, start: 2026-03-01";
        // the run at 10:00 took it to 09:58, the next one was due at 11:00
        assert_eq!(
            fresh_until(hourly, Some("2026-03-02T09:58:00Z")),
            "2026-03-02T12:00:00+00:00"
        );
        // the run only got this far
        assert_eq!(
            fresh_until(hourly, Some("2026-03-02T09:57:59Z")),
            "2026-03-02T11:00:00+00:00"
        );
        assert_eq!(
            fresh_until(daily, Some("2026-03-02T04:58:07Z")),
            "2026-03-03T06:00:00+00:00"
        );
        // never pulled: from its start on, also if that is in the future
        assert_eq!(fresh_until(hourly, None), "2026-03-01T02:00:00+00:00");
        let ahead = "schedule: '@hourly', start: 2126-03-01";
        assert_eq!(fresh_until(ahead, None), "2126-03-01T02:00:00+00:00");
        let lagging = "schedule: '@hourly', start: 2026-03-01, lag: 6h";
        assert_eq!(fresh_until(lagging, None), "2026-03-01T08:00:00+00:00");
    }

    #[test]
    fn a_watermark_may_be_as_old_as_the_configuration_says() {
        let keys = "schedule: '@hourly', start: 2026-03-01, max_staleness: 90m";
        assert_eq!(
            fresh_until(keys, Some("2026-03-02T09:58:00Z")),
            "2026-03-02T11:28:00+00:00"
        );
        assert_eq!(fresh_until(keys, None), "2026-03-01T01:30:00+00:00");
    }

    /// Returns a job whose runs ended like this at `now`, each with a pause requested by the provider in seconds.
    fn after(
        before: Option<&FailureStreak>,
        kinds: &[FailureKind],
        asked: Option<u64>,
        now: Timestamp,
    ) -> Option<FailureStreak> {
        let failed = |kind: &FailureKind| RunFailure {
            stream: None,
            range: None,
            work: None,
            kind: Some(*kind),
            error: format!("it failed ({kind})"),
            retry_after: asked,
            at_lake: false,
            went_on: false,
        };
        let ended = RunSummary {
            started_at: now,
            unfinished: false,
            calls: 0,
            retries: 0,
            failures: kinds.iter().map(failed).collect(),
        };
        FailureStreak::after(before, uuid::Uuid::nil(), &ended, now)
    }

    const QUARTERLY: &str = "schedule: '*/15 * * * *', start: 2026-11-01";
    const EACH_SECOND: &str = "schedule: '* * * * * *', start: 2026-11-01";

    #[test]
    fn the_next_run_is_at_the_next_tick_also_after_a_failure() {
        let (job, now) = (job(QUARTERLY), at("2026-11-20T10:07:00Z"));
        let next = Some(at("2026-11-20T10:15:00Z"));
        assert_eq!(job.next_run(Some(now), None, now), next);
        assert_eq!(job.next_run(None, None, now), Some(now));
        let failing = after(None, &[FailureKind::Transient], None, now);
        assert_eq!(job.next_run(Some(now), failing.as_ref(), now), next);
        // also if the failed run hadn't planned yet, or if another process reads the log an hour later
        assert_eq!(
            job.next_run(None, failing.as_ref(), now + TimeDelta::hours(1)),
            next
        );
    }

    #[test]
    fn a_tick_that_passed_during_a_run_is_made_up_for_once() {
        let (job, now) = (job(QUARTERLY), at("2026-11-20T10:40:00Z"));
        let planned = Some(at("2026-11-20T09:55:00Z"));
        assert_eq!(
            job.next_run(planned, None, now),
            Some(at("2026-11-20T10:00:00Z"))
        ); // at once
        assert_eq!(
            job.next_run(Some(now), None, now),
            Some(at("2026-11-20T10:45:00Z"))
        );
    }

    #[test]
    fn a_pause_that_the_provider_asked_for_is_kept_also_by_a_process_that_has_just_started() {
        let (job, now) = (job(QUARTERLY), at("2026-11-20T10:07:00Z"));
        let failing = after(None, &[FailureKind::RateLimited], Some(20 * 60), now).unwrap();
        let next = Some(at("2026-11-20T10:30:00Z"));
        assert_eq!(job.next_run(Some(now), Some(&failing), now), next);
        assert_eq!(
            job.next_run(Some(now), Some(&failing.at_start()), now),
            next
        );
    }

    /// Credentials may have been corrected before a process started.
    #[test]
    fn a_process_that_has_just_started_keeps_the_shortest_pause_only() {
        let (job, now) = (job(EACH_SECOND), at("2026-11-20T10:07:00Z"));
        let mut failing = None;
        for _ in 0..9 {
            failing = after(failing.as_ref(), &[FailureKind::Auth], None, now);
        }
        let failing = failing.unwrap();
        let next = |failing: &FailureStreak| job.next_run(None, Some(failing), now).unwrap() - now;
        assert_eq!(next(&failing), TimeDelta::seconds(3_601));
        assert_eq!(next(&failing.clone().at_start()), TimeDelta::seconds(61));
        assert_eq!(failing.clone().at_start().runs, 9);
    }

    /// A host with a wrong clock may have written it.
    #[test]
    fn a_pause_is_never_longer_than_it_was_meant_whatever_clock_wrote_it() {
        let (job, now) = (job(EACH_SECOND), at("2026-11-20T10:07:00Z"));
        let failing = after(
            None,
            &[FailureKind::Transient],
            None,
            now + TimeDelta::days(900),
        );
        let next = job.next_run(None, failing.as_ref(), now).unwrap();
        assert_eq!(next - now, TimeDelta::seconds(11));
    }

    /// With any schedule, the number of runs in an hour of failures is bounded, and with eight attempts per call, so is
    /// the number of calls.
    #[test]
    fn an_hour_of_failures_is_an_hour_of_few_runs() {
        let job = job(EACH_SECOND);
        for (kind, asked, most) in [
            (FailureKind::Transient, None, 16),
            (FailureKind::Data, None, 16),
            (FailureKind::Config, None, 16),
            (FailureKind::RateLimited, None, 16),
            (FailureKind::RateLimited, Some(20 * 60), 3),
            (FailureKind::Auth, None, 6),
        ] {
            let begun = at("2026-11-20T10:00:00Z");
            let (mut failing, mut now, mut runs) = (None, begun, 0);
            while now < begun + TimeDelta::hours(1) {
                runs += 1;
                failing = after(failing.as_ref(), &[kind], asked, now);
                now = job.next_run(None, failing.as_ref(), now).unwrap();
            }
            assert!((2..=most).contains(&runs), "{kind}: {runs} runs");
            assert_eq!(
                failing.map(|failing| (failing.since, failing.runs)),
                Some((begun, runs))
            );
        }
    }

    #[test]
    fn failures_back_off_refused_credentials_longer_and_a_success_forgets_them() {
        let (job, now) = (job(EACH_SECOND), at("2026-11-20T10:07:00Z"));
        let pauses = |kinds: &[FailureKind]| -> Vec<TimeDelta> {
            let mut failing = None;
            let mut pause = || {
                failing = after(failing.as_ref(), kinds, None, now);
                job.next_run(None, failing.as_ref(), now).unwrap() - now
            };
            (0..12).map(|_| pause()).collect()
        };
        let data = pauses(&[FailureKind::Data]);
        assert_eq!(data[..3], [11, 21, 41].map(TimeDelta::seconds));
        assert_eq!(data[11], TimeDelta::seconds(301));
        // with either stream failing first
        let auth = pauses(&[FailureKind::Data, FailureKind::Auth]);
        assert_eq!(auth[..3], [61, 121, 241].map(TimeDelta::seconds));
        assert_eq!(auth[11], TimeDelta::seconds(3_601));
        let failing = after(None, &[FailureKind::Data, FailureKind::Auth], None, now);
        let failing = failing.unwrap();
        assert_eq!(
            (failing.kind, &*failing.error),
            (Some(FailureKind::Auth), "it failed (auth)")
        );
        assert_eq!(after(Some(&failing), &[], None, now), None);
    }

    #[test]
    fn a_run_that_was_stopped_on_the_way_neither_fails_nor_succeeds() {
        let now = at("2026-11-20T10:07:00Z");
        let failing = after(None, &[FailureKind::Data], None, now);
        let stopped = RunSummary {
            started_at: now,
            unfinished: true,
            calls: 0,
            retries: 0,
            failures: Vec::new(),
        };
        let after = |before| FailureStreak::after(before, uuid::Uuid::nil(), &stopped, now);
        assert_eq!(after(failing.as_ref()), failing);
        assert_eq!(after(None), None);
    }

    proptest! {
        /// A job whose runs are on time becomes stale exactly when the next run is an hour late.
        #[test]
        fn a_job_that_runs_on_time_is_fresh(
            minutes in prop_oneof![Just("*/15 * * * *"), Just("7 * * * *"), Just("30 2 * * *"), Just("0 9 * * MON")],
            lag in 0_i64..10_000,
            started in 1_772_000_000_i64..1_790_000_000,
            late in 0_i64..30_000_000,
        ) {
            let job = job(&format!("schedule: '{minutes}', start: 2026-01-01, lag: {lag}s"));
            let tick = job.schedule.next_after(chrono::DateTime::from_timestamp(started, 0).unwrap()).unwrap();
            let planned = tick + TimeDelta::microseconds(late); // a run begins shortly after its tick
            let until = job.fresh_until(Some(job.job.policy.horizon(planned))).unwrap();
            prop_assert_eq!(until, job.schedule.next_after(planned).unwrap() + GRACE);
        }
    }
}

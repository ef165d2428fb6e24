//! Tests that every surface shows the same status of a job: `status` and its JSON, the pages, the API and the metrics,
//! for every kind of failure and every finding.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::header::HOST;
use chrono::TimeDelta;
use futures_util::StreamExt;
use object_store::ObjectStoreExt;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::clock::real_now;
use crate::config::Config;
use crate::lake::quarantine::QuarantineLine;
use crate::lake::{
    ClaimOutcome, CommitChange, FailureStreak, JobLog, Lake, LogRun, Progress, RunEnd, RunFailure,
    RunSummary,
};
use crate::model::{FailureKind, Timestamp};
use crate::setup::{self, ScheduledJob};
use crate::status::{FindingKind, JobState, JobStatus, LastKnownStatus};

const YAML: &str = "lake: {url: memory://}
connections:
  prod: {provider: everyware_cloud, username: u, password: p}
jobs:
  - {name: audits, connection: prod, schedule: '@hourly', start: 2026-03-01, max_staleness: 3650d}
";

/// The history of the job.
#[derive(Debug, Clone, Copy)]
enum Scenario {
    Nothing,
    /// Its last runs failed with this kind, this number of times.
    Failed(FailureKind, u32),
    /// Its last runs failed, and the next run is in progress.
    FailedAndRuns(FailureKind),
    /// It failed, then succeeded.
    FailedThenWell(FailureKind),
    /// One of its two streams was refused, and the other continued.
    StreamRefused,
    /// Its run failed before it could write to the log.
    FailedUnlogged,
    Runs,
    Killed,
    Well,
    WithGap,
    Stale,
    Unread,
    Torn,
}

struct Place {
    site: Site,
    scheduled: ScheduledJob,
    lake: Lake,
}

impl Place {
    async fn new(yaml: &str) -> Self {
        let config = Config::parse("jobs.yaml", yaml, &|_| None).unwrap();
        let lake = Lake::at("memory://", &BTreeMap::new()).unwrap();
        lake.prepare(&setup::layout(&config.lake)).await.unwrap();
        let metrics = Metrics::default();
        let jobs = setup::jobs(&config, &lake, &[], &metrics).unwrap();
        Self {
            scheduled: jobs[0].clone(),
            lake: lake.clone(),
            site: Site {
                board: watch::channel(Arc::new(StatusCache::new(jobs, lake))).1,
                readiness: watch::channel(Readiness::Ready).1,
                hosts: watch::channel(Arc::new(AllowedHosts::new(&[]))).1,
                metrics,
            },
        }
    }

    async fn claim(&self, life: TimeDelta) -> Box<JobLog> {
        match JobLog::claim(&self.lake, LogRun::new("audits", life)).await {
            Ok(ClaimOutcome::Mine(log)) => log,
            other => panic!("{other:?}"),
        }
    }

    /// Makes a complete run with this end.
    async fn run(&self, coverage: &[(Timestamp, Timestamp)], failures: Vec<RunFailure>) {
        let log = self.claim(TimeDelta::seconds(30)).await;
        let ranges = coverage
            .iter()
            .map(|range| crate::model::Range::try_from(*range).unwrap());
        let progress = Progress {
            coverage: ranges.collect(),
            ..Progress::default()
        };
        let now = real_now();
        let change = CommitChange {
            streams: vec!["audits".to_owned()],
            progress: BTreeMap::from([("audits".to_owned(), progress)]),
            planned_at: failures
                .iter()
                .all(|failed| failed.stream.is_some())
                .then_some(now),
            ..CommitChange::default()
        };
        log.commit(change).await.unwrap();
        let summary = ended(failures);
        let newest = log.newest().await;
        let failing = FailureStreak::after(newest.failing.as_ref(), newest.run, &summary, now);
        log.release(Some(RunEnd { summary, failing }))
            .await
            .unwrap();
    }

    async fn make(&self, before: Scenario) {
        let start = self.scheduled.job.policy.start;
        let (whole, with_gap) = (
            [(start, real_now())],
            [
                (start, start + TimeDelta::days(1)),
                (start + TimeDelta::days(2), real_now()),
            ],
        );
        match before {
            Scenario::Nothing | Scenario::Stale => {}
            Scenario::Failed(kind, times) => {
                for _ in 0..times {
                    self.run(&whole, vec![failed(kind, None)]).await;
                }
            }
            Scenario::FailedAndRuns(kind) => {
                self.run(&whole, vec![failed(kind, None)]).await;
                self.claim(TimeDelta::seconds(30)).await;
            }
            Scenario::FailedThenWell(kind) => {
                self.run(&whole, vec![failed(kind, None)]).await;
                self.run(&whole, vec![]).await;
            }
            Scenario::StreamRefused => {
                let failures =
                    ["Quality", "Routing"].map(|stream| failed(FailureKind::Auth, Some(stream)));
                self.run(&whole, failures.into()).await;
            }
            Scenario::FailedUnlogged => {
                let ended = ended(vec![failed(FailureKind::Transient, None)]);
                let failing = FailureStreak::after(None, uuid::Uuid::now_v7(), &ended, real_now());
                let job = &self.scheduled.job;
                job.memory.note_failing(&job.log, failing);
            }
            Scenario::Runs => drop(self.claim(TimeDelta::seconds(30)).await),
            Scenario::Killed => drop(self.claim(TimeDelta::zero()).await),
            Scenario::Well => self.run(&whole, vec![]).await,
            Scenario::WithGap => self.run(&with_gap, vec![]).await,
            Scenario::Unread => {
                self.run(&whole, vec![]).await;
                let asked = crate::model::Range::new(start, start + TimeDelta::hours(1)).unwrap();
                let line = QuarantineLine::new("{", "torn".to_owned(), "audits", asked, real_now());
                let mut text = serde_json::to_string(&line).unwrap();
                text.push('\n');
                let keys = self.lake.layout.job("audits");
                let key = keys.quarantined(uuid::Uuid::now_v7(), 0);
                self.lake.store.put(&key, text.into()).await.unwrap();
            }
            Scenario::Torn => {
                let key = self.lake.layout.job("audits").commit(1);
                self.lake.store.put(&key, "{".into()).await.unwrap();
            }
        }
    }

    async fn get(&self, path: &str) -> String {
        let request = Request::builder().uri(path).header(HOST, "localhost");
        let request = request.body(Body::empty()).unwrap();
        let response = router(self.site.clone()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let mut chunks = response.into_body().into_data_stream();
        let mut text = Vec::new();
        while let Some(chunk) = chunks.next().await {
            text.extend(chunk.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    /// Returns the job as `status` sees it, as in a different process.
    async fn of_command(&self, now: Timestamp) -> LastKnownStatus {
        match JobStatus::read(&self.scheduled, now).await {
            Ok(status) => LastKnownStatus::read(Arc::new(status)),
            Err(error) => LastKnownStatus::unreadable(
                &self.scheduled,
                crate::telemetry::error_chain(&error),
                None,
                now,
            ),
        }
    }
}

fn ended(failures: Vec<RunFailure>) -> RunSummary {
    RunSummary {
        started_at: real_now(),
        unfinished: false,
        calls: 0,
        retries: 0,
        failures,
    }
}

fn failed(kind: FailureKind, stream: Option<&str>) -> RunFailure {
    RunFailure {
        stream: stream.map(str::to_owned),
        range: None,
        work: None,
        kind: Some(kind),
        error: format!("it <failed> ({kind})"),
        retry_after: None,
        at_lake: false,
        went_on: false,
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn all_surfaces_say_the_same_of_every_kind_of_failure() {
    use FindingKind::{Failing, Gap, Quarantine, Refused, Stale, Unreadable};
    let mut table: Vec<(Scenario, JobState, Vec<FindingKind>)> = vec![
        (Scenario::Nothing, JobState::NeverRan, vec![]),
        (
            Scenario::StreamRefused,
            JobState::Failing,
            vec![Refused, Failing],
        ),
        (Scenario::FailedUnlogged, JobState::Failing, vec![Failing]),
        (Scenario::Runs, JobState::Running, vec![]),
        (Scenario::Killed, JobState::Interrupted, vec![]),
        (Scenario::Well, JobState::Idle, vec![]),
        (Scenario::WithGap, JobState::Idle, vec![Gap]),
        (Scenario::Stale, JobState::NeverRan, vec![Stale]),
        (Scenario::Unread, JobState::Idle, vec![Quarantine]),
        (Scenario::Torn, JobState::Unreadable, vec![Unreadable]),
    ];
    for kind in FailureKind::ALL {
        let findings = match kind {
            FailureKind::Auth => vec![Refused, Failing],
            _ => vec![Failing],
        };
        table.push((
            Scenario::Failed(kind, 1),
            JobState::Failing,
            findings.clone(),
        ));
        table.push((
            Scenario::Failed(kind, 3),
            JobState::Failing,
            findings.clone(),
        ));
        table.push((Scenario::FailedAndRuns(kind), JobState::Failing, findings));
        table.push((Scenario::FailedThenWell(kind), JobState::Idle, vec![]));
    }
    for (before, state, kinds) in table {
        let yaml = match before {
            Scenario::Stale => YAML.replace("3650d", "1h"),
            _ => YAML.to_owned(),
        };
        let place = Place::new(&yaml).await;
        place.make(before).await;
        let now = real_now();
        let status = place.of_command(now).await;
        let findings = status.findings(now);
        let found: Vec<FindingKind> = findings.iter().map(|finding| finding.kind).collect();
        assert_eq!((status.state(now), found), (state, kinds), "{before:?}");

        let api: Value = serde_json::from_str(&place.get("/api/v1/jobs").await).unwrap();
        let (api, json) = (&api["jobs"][0], status.json(now));
        assert_eq!(api["state"], state.name(), "{before:?}");
        assert_eq!(json["state"], state.as_str(), "{before:?}");
        assert_eq!(api["findings"], json["findings"], "{before:?}");
        assert_eq!(api["error"], json["error"], "{before:?}");
        if state != JobState::Unreadable {
            let standing = &api["standing"];
            for (theirs, ours) in [
                ("state", state.name().into()),
                ("failing", json["failing"].clone()),
                ("watermark", json["watermark"].clone()),
                ("stale", json["stale"].clone()),
                ("quarantined", json["quarantined"].clone()),
                ("findings", json["findings"].clone()),
            ] {
                assert_eq!(standing[theirs], ours, "{theirs} of {before:?}");
            }
            // for a job that never planned, this is now
            let next: Timestamp = serde_json::from_value(json["next_run"].clone()).unwrap();
            if next > now {
                assert_eq!(standing["next_run"], json["next_run"], "{before:?}");
            }
        }

        let metrics = place.get("/metrics").await;
        let has = |sample: String| {
            let is_there = metrics.lines().any(|line| line == sample);
            assert!(is_there, "no `{sample}` for {before:?} in\n{metrics}");
        };
        for one in JobState::ALL {
            let is_so = u8::from(one == state);
            let state = one.name();
            has(format!(
                "auditlake_job_state{{job_name=\"audits\",state=\"{state}\"}} {is_so}.0"
            ));
        }
        for kind in FindingKind::ALL {
            let count = findings
                .iter()
                .filter(|finding| finding.kind == kind)
                .count();
            has(format!(
                "auditlake_findings{{job_name=\"audits\",kind=\"{kind}\"}} {count}.0"
            ));
        }
        let runs = json["failing"]["runs"].as_u64().unwrap_or(0);
        has(format!(
            "auditlake_failed_runs{{job_name=\"audits\"}} {runs}.0"
        ));
        if let Some(open) = json["quarantined"].as_u64() {
            has(format!(
                "auditlake_quarantine_open_records{{job_name=\"audits\"}} {open}.0"
            ));
        }

        let (overview, page) = (place.get("/").await, place.get("/jobs/audits").await);
        let escaped = |text: &str| {
            text.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
        };
        for finding in &findings {
            let kind = finding.kind;
            if kind == Unreadable {
                assert!(
                    overview.contains("can&#39;t be read") || overview.contains("can't be read")
                );
                continue;
            }
            assert!(
                overview.contains(&format!("\">{kind}</span>")),
                "{kind} of {before:?} in\n{overview}"
            );
            // long texts are collapsed
            let what = finding.what.chars().take(40);
            let what: String = what.take_while(|letter| *letter != '`').collect();
            assert!(overview.contains(&escaped(&what)), "{what} in\n{overview}");
        }
        assert_eq!(
            overview.contains("Nothing needs attention"),
            findings.is_empty(),
            "{before:?}"
        );
        assert_eq!(
            page.contains("Its last run failed"),
            state == JobState::Failing,
            "{before:?}"
        );
        let is_held = json["claim"] != Value::Null && state != JobState::Unreadable;
        assert_eq!(page.contains("activity running"), is_held, "{before:?}");
    }
}

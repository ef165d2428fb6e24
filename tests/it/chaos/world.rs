//! Four simulated providers, a jobs.yaml that pulls them, and a lake in a folder or in SeaweedFS.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use auditlake::lake::{self, Commit, Lake};
use auditlake::model::{Range, RangeSet, Timestamp};
use auditlake::providers::liveperson::FIELDS;
use auditlake::sim::{Clock, RateLimit, avaya, everyware, genesys, liveperson as lp};
use chrono_tz::Tz;
use futures_util::TryStreamExt;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use tempfile::TempDir;

use super::reader::{Reader, Row};
use crate::process::support::{Ended, Process, files};
use crate::s3::{KEY, SECRET, Store};
use crate::support::rig::exceeding;

/// What the providers hold, and how jobs.yaml pulls it.
pub(super) struct Spec {
    /// The number of events of Genesys Cloud; each of the others has a quarter of it.
    pub(super) records: usize,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) clock: Clock,
    pub(super) late_share: f64,
    pub(super) latest: Duration,
    /// Of each provider, and what jobs.yaml has for it.
    pub(super) rate: (RateLimit, &'static str),
    /// Keys of `defaults` and of `server`.
    pub(super) yaml: &'static str,
    pub(super) jobs: &'static [Job],
}

/// A job's name, its connection, and its services if not all are meant.
pub(super) type Job = (&'static str, &'static str, &'static [&'static str]);

/// One of each provider.
pub(super) const FOUR: &[Job] = &[
    ("genesys", "genesys", &[]),
    ("avaya", "avaya", &[]),
    ("liveperson", "liveperson", &[]),
    ("everyware", "everyware", &[]),
];

pub(super) struct World {
    pub(super) genesys: genesys::Genesys,
    avaya: avaya::Avaya,
    liveperson: lp::LivePerson,
    everyware: everyware::Everyware,
    start: Timestamp,
    yaml: String,
    jobs: &'static [Job],
    folder: TempDir,
    /// What lies in the lake, by no way of the binary's.
    store: Arc<dyn ObjectStore>,
    root: Path,
}

/// The longest time, in microseconds, after which a record can usually be seen; the rest is late.
const USUAL: i64 = 20_000_000;

/// No limit to speak of.
pub(super) const UNLIMITED: (RateLimit, &str) = (
    RateLimit {
        calls: 1_000_000,
        per: Duration::from_mins(1),
    },
    "1000/s",
);

impl World {
    /// A lake in a folder.
    pub(super) async fn on_disk(spec: &Spec) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("lake");
        std::fs::create_dir(&lake).unwrap();
        let store = LocalFileSystem::new_with_prefix(lake).unwrap();
        let yaml = "{ url: file://./lake, target_file_size: 1MiB }";
        Self::new(spec, yaml, folder, Arc::new(store), Path::default()).await
    }

    /// A lake in `store`, which the binary reaches at `endpoint`; more storage options may be given.
    pub(super) async fn in_store(
        spec: &Spec,
        store: &Store,
        endpoint: &str,
        options: &str,
    ) -> Self {
        auditlake::tls::install();
        let reach = AmazonS3Builder::new()
            .with_endpoint(&store.endpoint)
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name("audit")
            .with_access_key_id(KEY)
            .with_secret_access_key(SECRET)
            .build();
        let yaml = format!(
            "
  url: s3://audit/some/prefix
  target_file_size: 1MiB
  storage_options: {{ aws_endpoint: '{endpoint}', aws_allow_http: true, aws_region: us-east-1, aws_access_key_id: {KEY},
    aws_secret_access_key: {SECRET}{options} }}"
        );
        let folder = tempfile::tempdir().unwrap();
        let root = Path::from("some/prefix");
        Self::new(spec, &yaml, folder, Arc::new(reach.unwrap()), root).await
    }

    #[expect(clippy::too_many_lines, reason = "four providers, one after another")]
    async fn new(
        spec: &Spec,
        lake: &str,
        folder: TempDir,
        store: Arc<dyn ObjectStore>,
        root: Path,
    ) -> Self {
        let Spec {
            records,
            from,
            to,
            clock,
            late_share,
            latest,
            rate: (rate_limit, rate),
            yaml,
            jobs,
        } = *spec;
        let (few, ever) = (records / 4, Duration::from_hours(24 * 365));
        let genesys = genesys::start(
            genesys::GenesysSettings {
                clock,
                rate_limit,
                running_polls: 0,
                token_lifetime: ever,
                ..genesys::GenesysSettings::default()
            },
            genesys::Dataset::generate(&genesys::DatasetSpec {
                records,
                from,
                to,
                late_share,
                latest,
                ..genesys::DatasetSpec::default()
            }),
        );
        let avaya = avaya::start(
            avaya::AvayaSettings {
                clock,
                quota: rate_limit,
                token_lifetime: ever,
                ..avaya::AvayaSettings::default()
            },
            avaya::Dataset::generate(&avaya::DatasetSpec {
                records: few,
                from,
                to,
                late_share,
                latest,
                twin_share: 0.1,
                ..avaya::DatasetSpec::default()
            }),
        );
        let liveperson = lp::start(
            lp::LivePersonSettings {
                clock,
                rate_limit,
                token_lifetime: ever,
                ..lp::LivePersonSettings::default()
            },
            lp::Dataset::generate(&lp::DatasetSpec {
                records: few,
                from,
                to,
                late_share,
                latest,
                twin_share: 0.1,
                ..lp::DatasetSpec::default()
            }),
        );
        let everyware = everyware::start(
            everyware::EverywareSettings {
                clock,
                rate_limit,
                ..everyware::EverywareSettings::default()
            },
            everyware::Dataset::generate(&everyware::DatasetSpec {
                records: few,
                from,
                to,
                late_share,
                latest,
                ..everyware::DatasetSpec::default()
            }),
        );
        let (genesys, avaya) = (genesys.await.unwrap(), avaya.await.unwrap());
        let (liveperson, everyware) = (liveperson.await.unwrap(), everyware.await.unwrap());
        let (ga, gl, aa) = (genesys.base_url(), genesys.login_url(), avaya.base_url());
        let (ld, ea) = (liveperson.domain_url(), everyware.base_url());
        let account = avaya::AvayaSettings::default().account_id;
        let site = liveperson.dataset().account_id().to_owned();
        let start = from.to_rfc3339();
        let yaml = format!(
            "lake: {lake}
x-usual: &usual {{ allow_http: true, rate_limit: {rate}, client_id: sim-client, client_secret: sim-secret }}
connections:
  genesys: {{ <<: *usual, provider: genesys_cloud, base_url: '{ga}', login_url: '{gl}' }}
  avaya: {{ <<: *usual, provider: avaya_axp, base_url: '{aa}', account_id: {account}, app_key: sim-app-key }}
  liveperson: {{ <<: *usual, provider: liveperson, domain_url: '{ld}', account_id: {site} }}
  everyware: {{ provider: everyware_cloud, allow_http: true, rate_limit: {rate}, base_url: '{ea}', username: sim-user,
    password: sim-secret }}
defaults:
  start: {start}
{yaml}
jobs:{}
",
            jobs_of(jobs)
        );
        let world = Self {
            genesys,
            avaya,
            liveperson,
            everyware,
            start: from,
            yaml: yaml.clone(),
            jobs,
            folder,
            store,
            root,
        };
        world.configure(&yaml);
        world
    }

    /// Replaces something of jobs.yaml that must be there.
    pub(super) fn change(&mut self, what: &str, with: &str) {
        assert!(self.yaml.contains(what), "no {what:?} in\n{}", self.yaml);
        self.yaml = self.yaml.replace(what, with);
        self.configure(&self.yaml);
    }

    fn configure(&self, yaml: &str) {
        std::fs::write(self.path().join("jobs.yaml"), yaml).unwrap();
    }

    /// The jobs' `start`.
    pub(super) fn start_time(&self) -> String {
        self.start.to_rfc3339()
    }

    pub(super) fn path(&self) -> &FilePath {
        self.folder.path()
    }

    pub(super) fn start(&self, args: &[&str]) -> Process {
        Process::start(self.path(), args, &[])
    }

    pub(super) async fn run(&self, args: &[&str]) -> Ended {
        self.start(args).ended().await
    }

    /// Makes this the present of all providers; their clocks stand still from then on.
    pub(super) fn set_now(&self, now: Timestamp) {
        self.genesys.set_now(now);
        self.avaya.set_now(now);
        self.liveperson.set_now(now);
        self.everyware.set_now(now);
    }

    /// How often the providers were called.
    pub(super) fn calls(&self) -> u64 {
        self.counters()
            .iter()
            .map(|counters| counters.total_calls())
            .sum()
    }

    /// How often the providers said 429.
    pub(super) fn rate_limited(&self) -> u64 {
        self.counters()
            .iter()
            .map(|counters| counters.rate_limited())
            .sum()
    }

    fn counters(&self) -> [&auditlake::sim::Counters; 4] {
        [
            self.genesys.counters(),
            self.avaya.counters(),
            self.liveperson.counters(),
            self.everyware.counters(),
        ]
    }

    pub(super) fn set_latency(&self, latency: Duration) {
        self.genesys.set_latency(latency);
        self.avaya.set_latency(latency);
        self.liveperson.set_latency(latency);
        self.everyware.set_latency(latency);
    }

    pub(super) fn reader(&self) -> Reader {
        Reader::new(&self.store, &self.root)
    }

    fn lake(&self) -> Lake {
        Lake::in_store("the lake", Arc::clone(&self.store), self.root.clone())
    }

    /// The newest commit of a job.
    pub(super) async fn newest(&self, job: &str) -> Option<Commit> {
        lake::newest(&self.lake(), job).await.unwrap()
    }

    /// The events before `to` that are visible at `now`, and those that may be visible within a tolerance in
    /// microseconds.
    fn truth(
        &self,
        (_, connection, services): Job,
        to: Timestamp,
        now: Timestamp,
        within: i64,
    ) -> Vec<Row> {
        let first = Timestamp::MIN_UTC;
        let mut rows: Vec<Row> = match connection {
            "genesys" => {
                let truth = self.genesys.dataset().truth(first, to, now);
                truth
                    .into_iter()
                    .filter(|row| row.visible_at_micros - row.event_time_micros <= within)
                    .filter(|row| services.is_empty() || services.contains(&row.log))
                    .map(|row| (row.event_time_micros, row.raw.to_owned()))
                    .collect()
            }
            "avaya" => {
                let truth = self.avaya.dataset().truth(first, to, now);
                truth
                    .into_iter()
                    .filter(|row| row.visible_at_micros - row.event_time_micros <= within)
                    .filter(|row| services.is_empty() || services.contains(&row.log))
                    .map(|row| (row.event_time_micros, row.raw.to_owned()))
                    .collect()
            }
            "everyware" => {
                let truth = self.everyware.dataset().truth(first, to, now);
                truth
                    .into_iter()
                    .filter(|row| row.visible_at_micros - row.event_time_micros <= within)
                    .map(|row| (row.event_time_micros, row.raw.to_owned()))
                    .collect()
            }
            _ => {
                let truth = self
                    .liveperson
                    .dataset()
                    .truth(first, to, now, &FIELDS, Tz::UTC);
                truth
                    .into_iter()
                    .filter(|row| row.visible_at_micros - row.event_time_micros <= within)
                    .map(|row| (row.event_time_micros, row.raw))
                    .collect()
            }
        };
        rows.sort();
        rows
    }

    /// The lake holds what the providers show now of what happened before each job's watermark: no less, no more, byte
    /// for byte. Nothing is staged any more, each log is whole, and no stream has a gap. Returns how many rows.
    pub(super) async fn assert_all_landed(&self) -> usize {
        let mut reader = self.reader();
        reader.look().await;
        let (mut rows, mut count) = (reader.rows(), 0);
        for &of in self.jobs {
            let (job, ..) = of;
            let newest = self.newest(job).await.unwrap();
            assert_eq!(newest.claim, None, "{job} is left");
            let (_, first) = newest.current().next().unwrap();
            let to = first.watermark.unwrap();
            let whole = RangeSet::from_iter([Range::new(self.start, to).unwrap()]);
            for (stream, progress) in newest.current() {
                assert_eq!(progress.watermark, Some(to), "{job}/{stream}");
                assert_eq!(progress.coverage, whole, "{job}/{stream} has a gap");
                assert_eq!(progress.open, [], "{job}/{stream} is not finished");
            }
            self.assert_log_is_whole(job, &newest).await;
            let truth = self.truth(of, to, self.genesys.now(), i64::MAX);
            let rows = rows.remove(job).unwrap_or_default();
            let (lost, more) = (exceeding(&truth, &rows), exceeding(&rows, &truth));
            assert!(!truth.is_empty());
            assert!(
                lost.is_empty() && more.is_empty(),
                "{job}: of {} rows {} are lost, {} doubled or altered, such as {:?} and {:?}",
                truth.len(),
                lost.len(),
                more.len(),
                &lost[..lost.len().min(3)],
                &more[..more.len().min(3)]
            );
            count += rows.len();
        }
        assert!(rows.is_empty(), "rows of other jobs");
        count
    }

    /// What could be seen when its range was first pulled has been landed; a later look for what came late would hide
    /// that it hadn't.
    pub(super) async fn assert_prompt_landed(&self) {
        let mut reader = self.reader();
        reader.look().await;
        let rows = reader.rows();
        for &of in self.jobs {
            let newest = self.newest(of.0).await.unwrap();
            let to = newest.current().next().unwrap().1.watermark.unwrap();
            let truth = self.truth(of, to, self.genesys.now(), USUAL);
            let lost = exceeding(&truth, &rows[of.0]);
            assert!(!truth.is_empty());
            assert!(
                lost.is_empty(),
                "{}: {} of {} rows are lost, such as {:?}",
                of.0,
                lost.len(),
                truth.len(),
                &lost[..lost.len().min(3)]
            );
        }
    }

    async fn assert_log_is_whole(&self, job: &str, newest: &Commit) {
        let keys = self.lake().layout.job(job);
        let list = async |folder: &Path| -> Vec<Path> {
            let listing = self
                .store
                .list(Some(folder))
                .map_ok(|object| object.location);
            listing.try_collect().await.unwrap()
        };
        assert_eq!(
            list(&keys.staging()).await,
            [],
            "{job}: staged files are left"
        );
        let mut commits = list(&keys.commits()).await;
        commits.sort();
        let whole: Vec<Path> = (1..=newest.version)
            .map(|version| keys.commit(version))
            .collect();
        assert_eq!(commits, whole, "{job}: its log");
    }

    /// What lies in a lake on disk under names that its store doesn't show: files that were being written.
    pub(super) fn temporary_files(&self) -> Vec<String> {
        let names = files(&self.path().join("lake")).into_iter();
        let names = names.map(|file| file.to_str().unwrap().to_owned());
        names.filter(|name| name.contains('#')).collect()
    }

    /// Up to where each job has pulled.
    pub(super) async fn watermarks(&self) -> BTreeMap<&'static str, Option<Timestamp>> {
        let mut marks = BTreeMap::new();
        for (job, ..) in self.jobs {
            let newest = self.newest(job).await;
            let mark = newest
                .as_ref()
                .and_then(|newest| newest.current().next()?.1.watermark);
            marks.insert(*job, mark);
        }
        marks
    }
}

fn jobs_of(jobs: &[Job]) -> String {
    let of = |(name, connection, services): &Job| {
        let options = match services {
            [] => "{}".to_owned(),
            _ => format!("{{ services: [{}] }}", services.join(", ")),
        };
        format!("\n  - {{ name: {name}, connection: {connection}, options: {options} }}")
    };
    jobs.iter().map(of).collect()
}

//! All four providers behind one proxy, every secret of their connections a canary.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use auditlake::sim::{Clock, avaya, everyware, genesys, liveperson};
use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;

use super::canary::Canaries;
use super::internet::Internet;
use crate::process::support::{Process, files, now};

/// How a secret stands in jobs.yaml.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Plain,
    Variable,
    File,
}

pub(crate) struct Connections {
    pub(crate) canaries: Canaries,
    pub(crate) internet: Internet,
    folder: TempDir,
    environment: Vec<(String, String)>,
    /// They answer while they are held.
    _providers: (
        genesys::Genesys,
        avaya::Avaya,
        liveperson::LivePerson,
        everyware::Everyware,
    ),
}

/// The hosts to which the connections' credentials may go.
pub(crate) const OWN: [&str; 8] = [
    "api.genesys.test",
    "login.genesys.test",
    "api.avaya.test",
    "domain.liveperson.net",
    "sentinel.liveperson.net",
    "login.liveperson.net",
    "configuration.liveperson.net",
    "api.everyware.test",
];
/// Where downloads are; they carry no credentials.
pub(crate) const DOWNLOADS: &str = "download.genesys.test";

/// How many records each provider has. Few: what is tried is what goes wrong.
const RECORDS: usize = 60;

impl Connections {
    #[expect(clippy::too_many_lines, reason = "four providers, one after the other")]
    pub(crate) async fn start(way: Way) -> Self {
        let canaries = Canaries::default();
        let to = DateTime::from_timestamp(now().timestamp(), 0).unwrap() - TimeDelta::minutes(10);
        let from = to - TimeDelta::minutes(110);
        let clock = Clock::System;
        let hatch = |place: &str| canaries.hatch(place);
        let (genesys, avaya, liveperson, everyware) = (
            genesys::GenesysSettings {
                clock,
                client_id: hatch("genesys client_id"),
                client_secret: hatch("genesys client_secret"),
                large_results_over: Some(1),
                running_polls: 0,
                ..genesys::GenesysSettings::default()
            },
            avaya::AvayaSettings {
                clock,
                app_key: hatch("avaya app_key"),
                client_id: hatch("avaya client_id"),
                client_secret: hatch("avaya client_secret"),
                ..avaya::AvayaSettings::default()
            },
            liveperson::LivePersonSettings {
                clock,
                client_id: hatch("liveperson client_id"),
                client_secret: hatch("liveperson client_secret"),
                username: hatch("liveperson username"),
                password: hatch("liveperson password"),
                ..liveperson::LivePersonSettings::default()
            },
            everyware::EverywareSettings {
                clock,
                username: hatch("everyware username"),
                password: hatch("everyware password"),
                ..everyware::EverywareSettings::default()
            },
        );
        let mut config = Config::new(way);
        for (name, secret) in [
            ("GENESYS_ID", &genesys.client_id),
            ("GENESYS_SECRET", &genesys.client_secret),
            ("AVAYA_KEY", &avaya.app_key),
            ("AVAYA_ID", &avaya.client_id),
            ("AVAYA_SECRET", &avaya.client_secret),
            ("LIVEPERSON_ID", &liveperson.client_id),
            ("LIVEPERSON_SECRET", &liveperson.client_secret),
            ("LIVEPERSON_USER", &liveperson.username),
            ("LIVEPERSON_PASSWORD", &liveperson.password),
            ("EVERYWARE_USER", &everyware.username),
            ("EVERYWARE_PASSWORD", &everyware.password),
        ] {
            config.secret(name, secret);
        }
        let avaya_account = avaya.account_id.clone();
        let genesys = genesys::start(
            genesys,
            genesys::Dataset::generate(&genesys::DatasetSpec {
                records: RECORDS,
                from,
                to,
                late_share: 0.0,
                largest_tie: 5,
                ..genesys::DatasetSpec::default()
            }),
        );
        let avaya = avaya::start(
            avaya,
            avaya::Dataset::generate(&avaya::DatasetSpec {
                records: RECORDS,
                from,
                to,
                ..avaya::DatasetSpec::default()
            }),
        );
        let liveperson = liveperson::start(
            liveperson,
            liveperson::Dataset::generate(&liveperson::DatasetSpec {
                records: RECORDS,
                from,
                to,
                ..liveperson::DatasetSpec::default()
            }),
        );
        let everyware = everyware::start(
            everyware,
            everyware::Dataset::generate(&everyware::DatasetSpec {
                records: RECORDS,
                from,
                to,
                ..everyware::DatasetSpec::default()
            }),
        );
        let (genesys, avaya, liveperson, everyware) =
            tokio::try_join!(genesys, avaya, liveperson, everyware).unwrap();
        let base = |url: String| url.trim_end_matches("/v2").to_owned();
        let internet = Internet::start(
            &[
                (OWN[0], genesys.base_url()),
                (OWN[1], genesys.login_url()),
                (DOWNLOADS, genesys.download_url()),
                (OWN[2], avaya.base_url()),
                (OWN[3], liveperson.domain_url()),
                (OWN[4], liveperson.sentinel_url()),
                (OWN[5], liveperson.login_url()),
                (OWN[6], liveperson.configuration_url()),
                (OWN[7], base(everyware.base_url())),
            ],
            &canaries,
        )
        .await;
        let proxy_password = percent_encoding::utf8_percent_encode(
            &canaries.hatch("proxy password"),
            percent_encoding::NON_ALPHANUMERIC,
        )
        .to_string();
        config.secret(
            "PROXY",
            &format!("http://me:{proxy_password}@{}", internet.address()),
        );
        let yaml = config.yaml(&avaya_account, liveperson.dataset().account_id(), from);
        std::fs::write(config.folder.path().join("jobs.yaml"), yaml).unwrap();
        Self {
            canaries,
            internet,
            folder: config.folder,
            environment: config.environment,
            _providers: (genesys, avaya, liveperson, everyware),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn jobs_yaml(&self) -> PathBuf {
        self.path().join("jobs.yaml")
    }

    /// Replaces something that must be there.
    pub(crate) fn change(&self, what: &str, with: &str) {
        let yaml = std::fs::read_to_string(self.jobs_yaml()).unwrap();
        assert!(yaml.contains(what), "no {what:?} in\n{yaml}");
        std::fs::write(self.jobs_yaml(), yaml.replace(what, with)).unwrap();
    }

    /// Adds a variable to the environment of what is started from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn start_process(&self, args: &[&str]) -> Process {
        let environment: Vec<(&str, &str)> = self
            .environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Process::start(self.path(), args, &environment)
    }

    /// Runs a command to its end, and keeps what it printed, and what others can see of it, for the search.
    pub(crate) async fn run(&self, args: &[&str]) -> String {
        let process = self.start_process(args);
        self.look_at(&process, args);
        let ended = process.ended().await;
        let printed = format!("{}\n{}\n{:?}", ended.stdout, ended.stderr, ended.code);
        self.canaries
            .output(format!("the output of {args:?}"), printed.clone());
        printed
    }

    /// Keeps the arguments of a process, as everybody on its machine sees them.
    pub(crate) fn look_at(&self, process: &Process, args: &[&str]) {
        let id = process.id();
        if let Ok(line) = std::fs::read(format!("/proc/{id}/cmdline")) {
            self.canaries
                .output(format!("the arguments of {args:?}"), line);
        }
    }

    /// Makes the next run the first one.
    pub(crate) fn forget_lake(&self) {
        let lake = self.path().join("lake");
        if lake.exists() {
            std::fs::remove_dir_all(lake).unwrap();
        }
    }

    /// Keeps every file of the lake for the search: their bytes, and of Parquet all values, which are compressed.
    pub(crate) fn keep_lake(&self) -> usize {
        let all = files(&self.path().join("lake"));
        for file in &all {
            let name = file.display().to_string();
            let bytes = std::fs::read(file).unwrap();
            if bytes.starts_with(b"PAR1") {
                self.canaries
                    .output(format!("the values in {name}"), values(&bytes));
            }
            self.canaries.output(name.clone(), name.into_bytes());
            self.canaries.output(file.display().to_string(), bytes);
        }
        all.len()
    }
}

/// All that a Parquet file holds, as text.
fn values(parquet: &[u8]) -> String {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    let bytes = bytes::Bytes::copy_from_slice(parquet);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let mut text = format!("{:?}", builder.metadata());
    for batch in builder.build().unwrap() {
        let batch = batch.unwrap();
        for column in batch.columns() {
            // no secret is a time, and a zone's name can't be shown without a table of zones
            if column.data_type().is_temporal() {
                continue;
            }
            let shown = ArrayFormatter::try_new(column, &FormatOptions::default()).unwrap();
            for row in 0..batch.num_rows() {
                writeln!(text, "{}", shown.value(row)).unwrap();
            }
        }
    }
    text
}

struct Config {
    way: Way,
    folder: TempDir,
    environment: Vec<(String, String)>,
    secrets: Vec<(String, String)>,
}

impl Config {
    fn new(way: Way) -> Self {
        Self {
            way,
            folder: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
            secrets: Vec::new(),
        }
    }

    fn secret(&mut self, name: &str, text: &str) {
        let stands = match self.way {
            Way::Plain => format!("'{}'", text.replace('\'', "''")),
            Way::Variable => {
                self.environment.push((name.to_owned(), text.to_owned()));
                format!("${{{name}}}")
            }
            Way::File => {
                let file = self.folder.path().join(name);
                std::fs::write(&file, format!("{text}\n")).unwrap();
                format!("${{file:{}}}", file.display())
            }
        };
        self.secrets.push((name.to_owned(), stands));
    }

    fn yaml(&self, avaya_account: &str, liveperson_account: &str, from: DateTime<Utc>) -> String {
        let mut yaml = format!(
            r#"lake:
  url: file://./lake
server:
  listen: 127.0.0.1:0
defaults:
  start: {from}
  schedule: "*/2 * * * * *"
connections:
  genesys:
    provider: genesys_cloud
    base_url: http://api.genesys.test
    login_url: http://login.genesys.test
    client_id: <GENESYS_ID>
    client_secret: <GENESYS_SECRET>
    <COMMON>
  avaya:
    provider: avaya_axp
    base_url: http://api.avaya.test
    account_id: {avaya_account}
    app_key: <AVAYA_KEY>
    client_id: <AVAYA_ID>
    client_secret: <AVAYA_SECRET>
    <COMMON>
  liveperson:
    provider: liveperson
    domain_url: http://domain.liveperson.net
    account_id: {liveperson_account}
    client_id: <LIVEPERSON_ID>
    client_secret: <LIVEPERSON_SECRET>
    <COMMON>
  liveperson-user:
    provider: liveperson
    domain_url: http://domain.liveperson.net
    account_id: {liveperson_account}
    auth: login
    username: <LIVEPERSON_USER>
    password: <LIVEPERSON_PASSWORD>
    <COMMON>
  everyware:
    provider: everyware_cloud
    base_url: http://api.everyware.test/v2
    username: <EVERYWARE_USER>
    password: <EVERYWARE_PASSWORD>
    <COMMON>
jobs:
  - {{ name: genesys-audits, connection: genesys, window: 2h, options: {{ mode: async, services: [Routing, ContactCenter, Directory] }} }}
  - {{ name: avaya-audits, connection: avaya, window: 2h, options: {{ services: [user] }} }}
  - {{ name: liveperson-audits, connection: liveperson, window: 1d }}
  - {{ name: everyware-audits, connection: everyware, window: 1d }}
"#,
            from = from.to_rfc3339(),
        );
        yaml = yaml.replace(
            "<COMMON>",
            "allow_http: true\n    rate_limit: 1000/s\n    proxy: <PROXY>",
        );
        for (name, stands) in &self.secrets {
            yaml = yaml.replace(&format!("<{name}>"), stands);
        }
        yaml
    }
}

/// Long enough for a daemon's first runs.
pub(crate) const MOMENT: Duration = Duration::from_secs(20);

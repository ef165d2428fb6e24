//! `check`: online checks. Each connection signs in and reads a page, and the lake's store is probed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use clap::Args;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::report::{self, CommandError, Out};
use super::terminal::Tone;
use crate::client::{Client, ClientLimits};
use crate::clock::{RemoteClock, judged};
use crate::clocks::{ClockOwner, TOLERANCE};
use crate::config::{Config, ConnectionConfig};
use crate::lake::options::StoreKind;
use crate::lake::{self, Lake, LakeError, ProbeOutcome, StorePatience, StoreProbe};
use crate::metrics::Metrics;
use crate::model::{FailureKind, Range, Timestamp};
use crate::providers::{Adapter, PageRequest, provider};
use crate::run::feed::{Feed, FeedError};
use crate::run::{Job, RunError, RunMode, refuse_overlap};
use crate::setup::{self, ScheduledJob};
use crate::shutdown::Shutdown;
use crate::telemetry::error_chain;
use crate::text;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Only this job's connection, with the job's options; may be repeated
    #[arg(long = "job", value_name = "NAME")]
    jobs: Vec<String>,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// The limits for a waiting user: a provider that is down is reported at once, without minutes of retries.
const ATTEMPTS: u32 = 2;
const ELAPSED: Duration = Duration::from_secs(30);
/// The timeout of a page, including the wait for a query job.
const PAGE: Duration = Duration::from_mins(2);
/// The window to read, and its distance from now, without a job.
const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// The result of a probe.
struct CheckLine {
    of: String,
    probe: &'static str,
    found: ProbeFinding,
}

enum ProbeFinding {
    Works(String),
    Fails {
        error: String,
        kind: FailureKind,
        advice: String,
    },
    Untried(&'static str),
}

/// The output: lines as they are known, or one JSON document.
struct CheckOutput<'o> {
    out: &'o mut Out,
    json: Option<Vec<Value>>,
    failed: bool,
    /// Whether a job has to be configured differently.
    refused: bool,
}

pub(super) async fn run(
    config: &Config,
    args: &CheckArgs,
    shutdown: &Shutdown,
    out: &mut Out,
) -> Result<u8, CommandError> {
    super::known_jobs(config, &args.jobs)?;
    let mut lines = CheckOutput {
        out,
        json: args.json.then(Vec::new),
        failed: false,
        refused: false,
    };
    let (store, lake) = check_lake(config, &mut lines).await;
    if let Some(lake) = lake {
        check_logs(config, &lake, &args.jobs, &mut lines).await;
    }
    for connection in wanted(config, &args.jobs) {
        if shutdown.stop.is_cancelled() {
            break;
        }
        let store = store.as_ref();
        check_connection(
            config,
            connection,
            &args.jobs,
            store,
            &shutdown.stop,
            &mut lines,
        )
        .await;
    }
    let code = if lines.refused {
        2
    } else {
        u8::from(lines.failed)
    };
    if let Some(all) = lines.json {
        out.json(&all.into());
    }
    Ok(shutdown.exit_code().unwrap_or(code))
}

/// Returns the connections of these jobs, or all if no job is named.
fn wanted<'c>(config: &'c Config, jobs: &[String]) -> impl Iterator<Item = &'c ConnectionConfig> {
    let of_jobs: BTreeSet<&String> = config
        .jobs
        .iter()
        .filter(|job| jobs.contains(&job.name))
        .map(|job| &job.connection)
        .collect();
    let all = jobs.is_empty();
    config
        .connections
        .iter()
        .filter(move |(name, _)| all || of_jobs.contains(name))
        .map(|(_, connection)| connection)
}

/// Compares the local clock with the store's and an API's, as far as their answers have shown them.
fn check_clocks(
    of: &str,
    store: Option<&RemoteClock>,
    api: Option<&RemoteClock>,
    lines: &mut CheckOutput<'_>,
) {
    for skew in judged(store, api).skews {
        // differences that don't involve the API's clock are reported for the lake
        if api.is_none() || skew.clock == ClockOwner::Api || skew.of.contains(&ClockOwner::Api) {
            lines.add(CheckLine {
                of: of.to_owned(),
                probe: "clock",
                found: ProbeFinding::Fails {
                    error: skew.to_string(),
                    kind: FailureKind::Config,
                    advice: "correct the wrong one; until then, pulls use the earliest".to_owned(),
                },
            });
        }
    }
}

/// Returns the lake's clock, if it can be opened, and the lake, if it has no problem.
async fn check_lake(
    config: &Config,
    lines: &mut CheckOutput<'_>,
) -> (Option<RemoteClock>, Option<Lake>) {
    let lake = match setup::lake_with(&config.lake, StorePatience::Brief) {
        Ok(lake) => lake,
        Err(error) => {
            lines.add(CheckLine {
                of: format!("lake `{}`", config.lake.url),
                probe: "open",
                found: ProbeFinding::Fails {
                    kind: error.kind(),
                    advice: String::new(), // the message contains it
                    error: error_chain(&error),
                },
            });
            return (None, None);
        }
    };
    let mut works = true;
    for probed in lake::probe(&lake, &setup::layout(&config.lake)).await {
        works &= !matches!(probed.outcome, ProbeOutcome::Fails(_));
        let found = match probed.outcome {
            ProbeOutcome::Works(done) => ProbeFinding::Works(done),
            ProbeOutcome::Untried(why) => ProbeFinding::Untried(why),
            ProbeOutcome::Fails(error) => ProbeFinding::Fails {
                kind: error.kind(),
                advice: lake_advice(probed.probe, &error, lake.url()),
                error: error_chain(&error),
            },
        };
        lines.add(CheckLine {
            of: format!("lake `{}`", lake.url()),
            probe: probed.probe.as_str(),
            found,
        });
    }
    let of = format!("lake `{}`", lake.url());
    check_clocks(&of, Some(&lake.clock), None, lines);
    (Some(lake.clock.clone()), works.then_some(lake))
}

/// Reports jobs that would land data that other logs of the lake have pulled.
async fn check_logs(config: &Config, lake: &Lake, jobs: &[String], lines: &mut CheckOutput<'_>) {
    // if a client can't be created, the connection's lines contain the reason
    let jobs = setup::jobs(config, lake, jobs, &Metrics::default()).unwrap_or_default();
    for ScheduledJob { job, .. } in jobs {
        let Err(error) = check_log(&job).await else {
            continue;
        };
        lines.refused |= error.kind() == FailureKind::Config;
        lines.add(CheckLine {
            of: format!("job `{}`", job.name),
            probe: "log",
            found: ProbeFinding::Fails {
                kind: error.kind(),
                advice: String::new(),
                error: error_chain(&error),
            },
        });
    }
}

async fn check_log(job: &Job) -> Result<(), RunError> {
    let newest = lake::newest(&job.lake, &job.log).await?;
    let listed = job.source.adapter.listed_streams();
    refuse_overlap(job, newest.as_ref(), &listed, &RunMode::Due).await
}

/// Returns the advice for this kind of store, if the error doesn't contain it.
fn lake_advice(probe: StoreProbe, error: &LakeError, url: &str) -> String {
    let store = StoreKind::of(url);
    match error.kind() {
        _ if error.has_advice() => String::new(),
        FailureKind::Auth => match store.and_then(|store| permission(store, probe)) {
            Some(permission) => format!("check the store's credentials, and let them {permission}"),
            None => "let the user that auditlake runs as read and write the lake's folder".to_owned(),
        },
        FailureKind::Transient | FailureKind::Config if store == Some(StoreKind::Folder) => {
            "check the lake's `url`, and the disk".to_owned()
        }
        FailureKind::Transient | FailureKind::Config => {
            "check the lake's `url` and `storage_options` (bucket, region, endpoint), and that the store can be reached \
             from here"
                .to_owned()
        }
        _ => String::new(),
    }
}

/// Returns the permission that a probe needs, in the store's terms.
fn permission(store: StoreKind, probe: StoreProbe) -> Option<&'static str> {
    Some(match (store, probe) {
        (StoreKind::S3, StoreProbe::Layout) => {
            "read objects (s3:GetObject), and list the bucket (s3:ListBucket)"
        }
        (StoreKind::S3, StoreProbe::Write | StoreProbe::ConditionalCreate | StoreProbe::Case) => {
            "write and read objects (s3:PutObject, s3:GetObject)"
        }
        (StoreKind::S3, StoreProbe::List) => "list the lake's prefix (s3:ListBucket)",
        (StoreKind::S3, StoreProbe::Copy) => "copy objects (s3:GetObject, s3:PutObject)",
        (StoreKind::S3, StoreProbe::Delete) => "delete objects (s3:DeleteObject)",
        (StoreKind::Gcs, StoreProbe::Layout) => "read objects (storage.objects.get)",
        (
            StoreKind::Gcs,
            StoreProbe::Write | StoreProbe::ConditionalCreate | StoreProbe::Case | StoreProbe::Copy,
        ) => "write and read objects (storage.objects.create, storage.objects.get)",
        (StoreKind::Gcs, StoreProbe::List) => "list objects (storage.objects.list)",
        (StoreKind::Gcs, StoreProbe::Delete) => "delete objects (storage.objects.delete)",
        (StoreKind::Azure, StoreProbe::Layout | StoreProbe::List) => {
            "read and list blobs (the role Storage Blob Data Contributor, or `rl` in a shared access signature)"
        }
        (StoreKind::Azure, _) => {
            "write and delete blobs (the role Storage Blob Data Contributor, or `rwdl` in a shared access signature)"
        }
        (StoreKind::Folder | StoreKind::Memory, _) => return None,
    })
}

async fn check_connection(
    config: &Config,
    connection: &ConnectionConfig,
    jobs: &[String],
    store: Option<&RemoteClock>,
    stop: &CancellationToken,
    lines: &mut CheckOutput<'_>,
) {
    let mut tell = |probe, found| {
        lines.add(CheckLine {
            of: format!("connection `{}`", connection.name),
            probe,
            found,
        });
    };
    let fails = |error: &(dyn std::error::Error + 'static), kind| ProbeFinding::Fails {
        error: error_chain(error),
        kind,
        advice: connection_advice(kind, &connection.name),
    };
    let client = match client(config, connection) {
        Ok(client) => client,
        Err(error) => return tell("settings", fails(&error, error.kind())),
    };
    match client.sign_in(stop).await {
        Ok(()) if client.requests().sent == 0 => tell(
            "sign in",
            ProbeFinding::Works("none: each call contains user and password".to_owned()),
        ),
        Ok(()) => tell("sign in", ProbeFinding::Works("signed in".to_owned())),
        Err(error) => {
            tell("sign in", fails(&error, error.kind()));
            return tell("read a page", ProbeFinding::Untried("it isn't signed in"));
        }
    }
    let Some(feed) = feed(config, connection, jobs, client) else {
        return;
    };
    let api = feed.source.client.clock();
    let read = async {
        let now = judged(store, Some(&api)).now;
        let read = read_page(&feed, now, stop).await;
        // the first answer may show an earlier time
        match judged(store, Some(&api)).now {
            earlier if earlier < now - TOLERANCE => read_page(&feed, earlier, stop).await,
            _ => read,
        }
    };
    match tokio::time::timeout(PAGE, read).await {
        Ok(Ok(done)) => tell("read a page", ProbeFinding::Works(done)),
        Ok(Err(error)) => tell("read a page", fails(&error, error.kind())),
        Err(_) => tell(
            "read a page",
            ProbeFinding::Fails {
                error: format!("there is no page after {} s", PAGE.as_secs()),
                kind: FailureKind::Transient,
                advice: "try again later, or with other `options`".to_owned(),
            },
        ),
    }
    let of = format!("connection `{}`", connection.name);
    check_clocks(&of, store, Some(&api), lines);
}

fn client(
    config: &Config,
    connection: &ConnectionConfig,
) -> Result<Client, crate::client::ClientError> {
    let mut settings = setup::client_settings(connection, &config.server);
    settings.limits = ClientLimits {
        attempts: ATTEMPTS,
        elapsed: ELAPSED,
        longest_wait: ELAPSED,
        ..settings.limits
    };
    Client::new(settings)
}

/// The feed to read: a connection with the options of a job, or with defaults.
struct CheckedFeed {
    source: Feed,
    /// The name of the job.
    of: String,
    lag: TimeDelta,
    window: TimeDelta,
}

/// Returns the connection's feed with the options of its first selected job; `None` for an unknown provider.
fn feed(
    config: &Config,
    connection: &ConnectionConfig,
    jobs: &[String],
    client: Client,
) -> Option<CheckedFeed> {
    let job = config.jobs.iter().find(|job| {
        job.connection == connection.name && (jobs.is_empty() || jobs.contains(&job.name))
    });
    let (adapter, of, lag, window): (Arc<dyn Adapter>, _, _, _) = if let Some(job) = job {
        let of = format!("as job `{}` does", job.name);
        (Arc::clone(&job.adapter), of, job.lag, job.min_window)
    } else {
        let adapter = (provider(connection.provider)?.default_adapter)();
        (adapter, "no job pulls it".to_owned(), MINUTE, MINUTE)
    };
    Some(CheckedFeed {
        source: Feed::new(adapter, client),
        of,
        lag,
        window,
    })
}

/// Reads the newest window of the first stream up to its first page with records, or to its end. Returns a description.
async fn read_page(
    feed: &CheckedFeed,
    now: Timestamp,
    stop: &CancellationToken,
) -> Result<String, FeedError> {
    let CheckedFeed {
        source, of, lag, ..
    } = feed;
    let streams = source.streams(stop).await?;
    let count = text::counted(streams.len() as u64, "stream");
    let second = |at: DateTime<_>| DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at);
    let to = second(now - *lag);
    let range = Range::new(to - feed.window, to);
    let (Some(stream), Some(range)) = (streams.into_iter().next(), range) else {
        return Ok(format!("there is no stream to read, {of}"));
    };
    let ask = PageRequest::new(stream, range, now);
    let asked = source.adapter.asked(range);
    let why = if source.adapter.grain() > TimeDelta::zero() {
        ", as it takes whole days only"
    } else {
        ""
    };
    let mut reading = source.read(&ask, None);
    let mut records = 0;
    while let Some(piece) = reading.next(stop).await? {
        records = piece.page.records.len();
        if records > 0 {
            break;
        }
    }
    Ok(format!(
        "{count}; a page of `{}`, asked for {asked}{why}, has {}, {of}",
        ask.stream.id,
        text::counted(records as u64, "record"),
    ))
}

fn connection_advice(kind: FailureKind, connection: &str) -> String {
    match kind {
        FailureKind::Auth => report::what_to_do(kind, connection)
            .trim_start_matches("; ")
            .to_owned(),
        FailureKind::Transient => "check that the host can be reached from here (name, network, `proxy`), and the provider's \
                            status page"
            .to_owned(),
        FailureKind::RateLimited => "wait, or lower the connection's `rate_limit`".to_owned(),
        FailureKind::Config => format!("check the settings of connection `{connection}`"),
        FailureKind::Data | FailureKind::Conflict => String::new(),
    }
}

impl CheckOutput<'_> {
    fn add(&mut self, line: CheckLine) {
        let CheckLine { of, probe, found } = line;
        self.failed |= matches!(found, ProbeFinding::Fails { .. });
        if let Some(all) = &mut self.json {
            all.push(match found {
                ProbeFinding::Works(done) => json!({ "of": of, "probe": probe, "outcome": "ok", "done": done }),
                ProbeFinding::Untried(why) => json!({ "of": of, "probe": probe, "outcome": "untried", "why": why }),
                ProbeFinding::Fails { error, kind, advice } => json!({
                    "of": of, "probe": probe, "outcome": "failed", "kind": kind.to_string(), "error": error,
                    "advice": advice,
                }),
            });
            return;
        }
        match found {
            ProbeFinding::Works(done) => {
                let ok = self.out.painted(Tone::Good, "ok");
                self.out
                    .line(format_args!("{ok}      {of}: {probe}: {done}"));
            }
            ProbeFinding::Untried(why) => {
                let untried = self.out.painted(Tone::Warning, "untried");
                self.out
                    .line(format_args!("{untried} {of}: {probe}: {why}"));
            }
            ProbeFinding::Fails {
                error,
                kind,
                advice,
            } => {
                let advice = if advice.is_empty() {
                    advice
                } else {
                    format!("; {advice}")
                };
                let failed = self.out.painted(Tone::Bad, "FAILED");
                self.out.line(format_args!(
                    "{failed}  {of}: {probe} ({kind}): {error}{advice}"
                ));
            }
        }
    }
}

//! `demo`: the main job on this machine, with nothing installed and no account: the repository's own jobs.yaml, a
//! simulated provider, a local lake.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use clap::Args;

use super::once::run_when_free;
use super::report::{self, Failure, Out, count};
use crate::clock::Clock;
use crate::config::Config;
use crate::lake::{self, Commit};
use crate::model::Timestamp;
use crate::pipeline::{Conduct, Job, Lane, Report};
use crate::runtime::ScheduledJob;
use crate::shutdown::Shutdown;
use crate::sim;
use crate::telemetry::chain;

/// The file that a new user begins with; it runs here as it is.
const JOBS: &str = include_str!("../../jobs.yaml");
/// The demo's data: a day that ends at a fixed instant, so that it prints the same tomorrow.
const DAY: &str = "2026-03-02";
const DAY_ENDS: &str = "2026-03-03T00:10:00Z";
const RECORDS: usize = 5_000;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// The folder of the lake
    #[arg(long, value_name = "FOLDER", default_value = "demo-lake")]
    lake: PathBuf,
}

pub(super) async fn run(
    args: &DemoArgs,
    shutdown: &Shutdown,
    out: &mut Out,
) -> Result<u8, Failure> {
    let (day, evening) = (at(DAY)?, at(DAY_ENDS)?);
    let provider = start_provider(day, evening).await?;
    let folder =
        std::path::absolute(&args.lake).map_err(|error| Failure::run(error.to_string()))?;
    let config = configuration(&provider, &folder)?;
    out.line(format_args!(
        "A simulated Genesys Cloud holds {} audits of {DAY}; jobs.yaml pulls them.\n",
        count(RECORDS as u64)
    ));

    let jobs = super::ready_jobs(&config, &[]).await?;
    for (what, now) in [
        ("1. The day is pulled, ten minutes after its end", evening),
        (
            "2. A day later the settle passes find what arrived late",
            evening + TimeDelta::hours(25),
        ),
    ] {
        provider.set_now(now);
        out.line(format_args!("{what} (as of {}):", report::time(now)));
        for ScheduledJob { job, .. } in &jobs {
            let conduct = Conduct {
                clock: Clock::AsOf(now),
                ..Conduct::new(shutdown.stop.clone())
            };
            let report = run_when_free(job, Lane::Due, &conduct).await?;
            out.line(format_args!("   {}", report::summary(&job.name, &report)));
            ended_well(job, &report)?;
        }
    }
    provider.shutdown().await;

    out.line(format_args!("\n3. The lake, {}:", args.lake.display()));
    tree(&folder, 1, out).map_err(|error| Failure::run(format!("can't list the lake: {error}")))?;
    for ScheduledJob { job, .. } in &jobs {
        if let Some(newest) = lake::newest(&job.lake, &job.name)
            .await
            .map_err(Failure::lake)?
        {
            out.line(format_args!(
                "\n4. The last entry of the commit log of {}:",
                job.name
            ));
            last_entry(&newest, out);
        }
    }
    out.line(format_args!(
        "\n5. Look at it, for example with DuckDB:\n\n   \
         SELECT service, activity, count(*) AS events, count(late_by_ms) AS late\n   \
         FROM read_parquet('{}/audit_events/**/*.parquet', hive_partitioning = true)\n   \
         GROUP BY ALL ORDER BY events DESC;\n\n\
         Run the demo again: it adds no row.",
        args.lake.display()
    ));
    Ok(shutdown.exit_code().unwrap_or(0))
}

fn at(text: &str) -> Result<Timestamp, Failure> {
    super::time(text).map_err(Failure::run)
}

async fn start_provider(
    day: Timestamp,
    evening: Timestamp,
) -> Result<sim::genesys::Genesys, Failure> {
    let spec = sim::genesys::DatasetSpec {
        records: RECORDS,
        from: day,
        to: day + TimeDelta::days(1),
        ..sim::genesys::DatasetSpec::default()
    };
    let settings = sim::genesys::GenesysSettings {
        clock: sim::Clock::Fixed(evening),
        running_polls: 0,
        token_lifetime: std::time::Duration::from_hours(24 * 30),
        ..sim::genesys::GenesysSettings::default()
    };
    let data = tokio::task::spawn_blocking(move || sim::genesys::Dataset::generate(&spec));
    let data = data
        .await
        .map_err(|error| Failure::run(error.to_string()))?;
    sim::genesys::start(settings, data)
        .await
        .map_err(|error| Failure::run(chain(&error)))
}

/// jobs.yaml with every variable that it names.
fn configuration(provider: &sim::genesys::Genesys, folder: &Path) -> Result<Config, Failure> {
    let settings = sim::genesys::GenesysSettings::default();
    let variables = BTreeMap::from([
        ("LAKE_URL", format!("file://{}", folder.display())),
        ("GENESYS_API_URL", provider.base_url()),
        ("GENESYS_LOGIN_URL", provider.login_url()),
        ("GENESYS_ALLOW_HTTP", "true".to_owned()),
        ("GENESYS_CLIENT_ID", settings.client_id),
        ("GENESYS_CLIENT_SECRET", settings.client_secret),
        ("GENESYS_RATE_LIMIT", "1000/s".to_owned()),
        ("GENESYS_START", DAY.to_owned()),
    ]);
    Config::parse("jobs.yaml", JOBS, &|name| variables.get(name).cloned()).map_err(Failure::config)
}

fn ended_well(job: &Job, report: &Report) -> Result<(), Failure> {
    report::failures(job, report);
    if report.failures.is_empty() {
        Ok(())
    } else {
        Err(Failure::run(format!("job `{}` failed", job.name)))
    }
}

/// Folders and files, commits but the last few left out.
fn tree(folder: &Path, depth: usize, out: &mut Out) -> std::io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let indent = "   ".repeat(depth);
    let most = 4;
    let files = entries
        .iter()
        .filter(|entry| entry.path().is_file())
        .count();
    let mut skipped = files.saturating_sub(most);
    if skipped > 0 {
        out.line(format_args!("{indent}… {skipped} more"));
    }
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.path().is_dir() {
            out.line(format_args!("{indent}{name}/"));
            tree(&entry.path(), depth + 1, out)?;
        } else if skipped > 0 {
            skipped -= 1;
        } else {
            out.line(format_args!(
                "{indent}{name}  {} bytes",
                count(entry.metadata()?.len())
            ));
        }
    }
    Ok(())
}

/// The entry without what would be the same for every stream.
fn last_entry(newest: &Commit, out: &mut Out) {
    out.line(format_args!("   version            {}", newest.version));
    out.line(format_args!(
        "   published_through  {}",
        newest.published_through
    ));
    for (stream, progress) in newest.current() {
        let watermark = progress
            .watermark
            .map_or_else(|| "-".to_owned(), report::time);
        out.line(format_args!("   watermark          {watermark}  {stream}"));
    }
}

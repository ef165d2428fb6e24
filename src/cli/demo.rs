//! `demo`: runs everything on this machine without installation or accounts: the repository's own jobs.yaml, simulated
//! providers, and a local lake.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use arrow::array::{Array as _, AsArray as _};
use chrono::TimeDelta;
use clap::Args;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;

use super::once::run_when_free;
use super::report::{self, CommandError, Out};
use super::table::{Cell, ColumnKind, render};
use super::terminal::Terminal;
use crate::clock::Clock;
use crate::config::Config;
use crate::lake::{self, Commit, Lake};
use crate::metrics::Metrics;
use crate::model::Timestamp;
use crate::run::{Job, RunMode, RunOptions, RunReport};
use crate::setup::{self, ScheduledJob};
use crate::shutdown::Shutdown;
use crate::telemetry::error_chain;
use crate::text;
use auditlake_sim::{Providers, ProvidersSpec};

/// The file with which a new user begins, which the demo runs unchanged.
const JOBS: &str = include_str!("../../jobs.yaml");
/// The demo's data: a day that ends at a fixed instant, so that the output is always the same.
const DAY: &str = "2026-03-02";
const DAY_ENDS: &str = "2026-03-03T00:10:00Z";
/// The activities that are counted separately.
const ACTIVITIES: [&str; 4] = ["create", "update", "delete", "login"];
/// The number of records of the first provider; each other provider has a fifth of that.
const RECORDS: usize = 6_000;
const INDENT: &str = "   ";

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// The folder of the lake: empty, missing, or that of an earlier demo
    #[arg(long, value_name = "FOLDER", default_value = "demo-lake")]
    lake: PathBuf,

    /// The result as JSON, without the tour
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: &DemoArgs,
    shutdown: &Shutdown,
    results: &mut Out,
) -> Result<u8, CommandError> {
    let out = &mut results.unless(args.json);
    let folder = place(&args.lake)?;
    let mut summaries = Vec::new();
    let (day, evening) = (at(DAY)?, at(DAY_ENDS)?);
    let providers = Providers::start(ProvidersSpec {
        records: RECORDS,
        from: day,
        to: day + TimeDelta::days(1),
        now: evening,
        latency: Duration::ZERO,
    })
    .await
    .map_err(|error| CommandError::run(error_chain(&error)))?;
    let config = configuration(&providers, &folder)?;
    out.line(format_args!(
        "Simulated: {}.\njobs.yaml pulls them.\n",
        simulated(&providers)
    ));

    let lake = setup::lake(&config.lake).map_err(CommandError::lake)?;
    let jobs = setup::jobs(&config, &lake.of_demo(), &[], &Metrics::default());
    let jobs = jobs.map_err(CommandError::setup)?;
    super::make_ready(&config, &jobs).await?;
    for (what, now) in [
        ("1. The day is pulled, ten minutes after its end", evening),
        (
            "2. A day later, settle passes find late records",
            evening + TimeDelta::hours(25),
        ),
    ] {
        providers.set_now(now);
        out.line(format_args!("{what} (as of {}):", text::time(now)));
        for ScheduledJob { job, .. } in &jobs {
            let options = RunOptions {
                clock: Clock::AsOf(now),
                ..RunOptions::new(shutdown.stop.clone())
            };
            let report = run_when_free(job, RunMode::Due, &options).await?;
            out.line(format_args!("   {}", report::summary(&job.name, &report)));
            summaries.push(report::summary_json(job, &report));
            ended_well(job, &report)?;
        }
    }
    drop(providers);

    out.line(format_args!("\n3. The lake, {}:", args.lake.display()));
    tree(&folder, 1, out)
        .map_err(|error| CommandError::run(format!("can't list the lake: {error}")))?;
    out.line(format_args!("\n4. The newest entry of each commit log:"));
    for ScheduledJob { job, .. } in &jobs {
        if let Some(newest) = lake::newest(&job.lake, &job.log)
            .await
            .map_err(CommandError::lake)?
        {
            last_entry(&newest, out);
        }
    }
    let table = folder.join("audit_events");
    let found = by_provider(&table)
        .map_err(|error| CommandError::run(format!("can't read the lake: {error}")))?;
    out.line(format_args!(
        "\n5. The table, counted by provider and activity:\n"
    ));
    // indented like the rest of the tour
    let narrower = |width: usize| width.saturating_sub(INDENT.len());
    let terminal = Terminal {
        width: out.terminal().width.map(narrower),
        ..out.terminal()
    };
    for line in rendered(&found, terminal).lines() {
        out.line(format_args!("{INDENT}{line}"));
    }
    out.line(format_args!(
        "\n6. Query it yourself, for example with DuckDB: who changed what, in any system?\n\n   \
         SELECT event_time, provider, actor AS who,\n   \
         \u{20}      activity, entity_type, entity_name\n   \
         FROM read_parquet('{}/audit_events/**/*.parquet', hive_partitioning = true)\n   \
         WHERE activity IN ('create', 'update', 'delete') ORDER BY event_time DESC LIMIT 20;\n\n\
         Run the demo again: it adds no row.",
        args.lake.display()
    ));
    if args.json {
        let events: Vec<_> = (found.iter())
            .map(
                |(provider, [events, create, update, delete, login, other, late])| {
                    json!({
                        "provider": provider, "events": events, "create": create, "update": update,
                        "delete": delete, "login": login, "other": other, "late": late,
                    })
                },
            )
            .collect();
        results.json(&json!({ "lake": folder, "runs": summaries, "events": events }));
    }
    Ok(shutdown.exit_code().unwrap_or(0))
}

/// Returns the absolute path of the folder, if it may contain invented events: it is empty, or a lake created by
/// `demo`.
fn place(folder: &Path) -> Result<PathBuf, CommandError> {
    let shown = folder.display();
    let refuse = |why: String| {
        CommandError::usage(format!(
            "`demo` writes invented events, and {why}; name an empty folder with `--lake`, or one that doesn't exist"
        ))
    };
    if folder.to_string_lossy().contains("://") {
        return Err(refuse(format!("`{shown}` isn't a folder")));
    }
    let unreadable = |error: io::Error| refuse(format!("`{shown}` can't be read: {error}"));
    let path = std::path::absolute(folder).map_err(unreadable)?;
    let found = match fs::symlink_metadata(&path) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(unreadable(error)),
    };
    if found {
        // follows links, as their target counts
        let path = path.canonicalize().map_err(unreadable)?;
        if !path.is_dir() {
            return Err(refuse(format!("`{shown}` isn't a folder")));
        }
        match Lake::is_of_demo(&path) {
            Ok(true) => {}
            Ok(false) => {
                return Err(refuse(format!(
                    "the lake in `{shown}` isn't one that it made, or was made by an earlier version"
                )));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unreadable(error)),
            Err(_) => {
                let mut entries = fs::read_dir(&path).map_err(unreadable)?;
                if entries.next().is_some() {
                    return Err(refuse(format!("`{shown}` isn't empty")));
                }
            }
        }
    }
    // readers of the outer lake would see them among its own events
    let existing = path.ancestors().find_map(|above| above.canonicalize().ok());
    for above in existing.iter().flat_map(|existing| existing.ancestors()) {
        let is_itself = path.canonicalize().is_ok_and(|itself| itself == above);
        if !is_itself && Lake::is_of_demo(above).is_ok() {
            let above = above.display();
            return Err(refuse(format!("`{shown}` is inside the lake `{above}`")));
        }
    }
    Ok(path)
}

/// Returns the number of audits of each provider.
fn simulated(providers: &Providers) -> String {
    let titles: Vec<&str> = (providers.all().iter())
        .map(|provider| provider.title())
        .collect();
    let (first, others) = titles.split_first().unwrap_or((&"nobody", &[]));
    let (last, others) = others.split_last().unwrap_or((&"nobody", &[]));
    format!(
        "{first} holds {} audits of {DAY}, {} and {last} {} each",
        text::count(RECORDS as u64),
        others.join(", "),
        text::count(RECORDS as u64 / 5),
    )
}

fn at(text: &str) -> Result<Timestamp, CommandError> {
    super::time(text).map_err(CommandError::run)
}

/// Returns jobs.yaml with all of its variables.
fn configuration(providers: &Providers, folder: &Path) -> Result<Config, CommandError> {
    let mut variables: BTreeMap<&str, String> = providers.environment().into_iter().collect();
    variables.insert("LAKE_URL", format!("file://{}", folder.display()));
    variables.insert("AUDITLAKE_START", DAY.to_owned());
    Config::parse("jobs.yaml", JOBS, &|name| variables.get(name).cloned())
        .map_err(CommandError::config)
}

fn ended_well(job: &Job, report: &RunReport) -> Result<(), CommandError> {
    report::failures(job, report);
    if report.failures.is_empty() {
        Ok(())
    } else {
        Err(CommandError::run(format!("job `{}` failed", job.name)))
    }
}

/// Returns the folders and files, with only the last few commits.
fn tree(folder: &Path, depth: usize, out: &mut Out) -> std::io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let indent = "   ".repeat(depth);
    let most = 2;
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
                text::count(entry.metadata()?.len())
            ));
        }
    }
    Ok(())
}

/// Returns a log entry as one line, with the watermark of the slowest stream.
fn last_entry(newest: &Commit, out: &mut Out) {
    let watermarks = newest
        .current()
        .filter_map(|(_, progress)| progress.watermark);
    let watermark = watermarks.min().map_or_else(|| "-".to_owned(), text::time);
    out.line(format_args!(
        "   {:<18} version {:<3} watermark {watermark}  {}",
        newest.job,
        newest.version,
        text::counted(newest.streams.len() as u64, "stream"),
    ));
}

/// The counts by provider: all events, those of each separately counted activity, the others, and the late ones.
type ByProvider = BTreeMap<String, [u64; 7]>;

/// Counts the events of each activity in the table by provider, like the query `SELECT provider, text::count(*), …
/// GROUP BY provider`.
fn by_provider(table: &Path) -> std::io::Result<ByProvider> {
    let mut found = ByProvider::new();
    for file in files(table)? {
        let provider = file
            .iter()
            .find_map(|part| part.to_str()?.strip_prefix("provider="))
            .unwrap_or_default();
        let counts = found.entry(provider.to_owned()).or_default();
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&file)?)
            .and_then(ParquetRecordBatchReaderBuilder::build)
            .map_err(std::io::Error::other)?;
        for batch in reader {
            let batch = batch.map_err(std::io::Error::other)?;
            let column = |name: &str| {
                batch
                    .column_by_name(name)
                    .ok_or(std::io::ErrorKind::InvalidData)
            };
            let (activities, late) = (
                column("activity")?.as_string::<i32>(),
                column("late_by_ms")?,
            );
            for activity in activities.iter().flatten() {
                let place = ACTIVITIES.iter().position(|known| *known == activity);
                counts[1 + place.unwrap_or(ACTIVITIES.len())] += 1;
            }
            counts[0] += batch.num_rows() as u64;
            counts[6] += (late.len() - late.null_count()) as u64;
        }
    }
    Ok(found)
}

fn rendered(found: &ByProvider, terminal: Terminal) -> String {
    let rows: Vec<[Cell; 8]> = (found.iter())
        .map(|(provider, counts)| {
            let [events, create, update, delete, login, other, late] = counts.map(text::count);
            let provider = provider.clone();
            [provider, events, create, update, delete, login, other, late].map(Cell::from)
        })
        .collect();
    let columns = [
        ("provider", ColumnKind::Name),
        ("events", ColumnKind::Number),
        ("create", ColumnKind::Number),
        ("update", ColumnKind::Number),
        ("delete", ColumnKind::Number),
        ("login", ColumnKind::Number),
        ("other", ColumnKind::Number),
        ("late", ColumnKind::Number),
    ];
    render(columns, &rows, terminal)
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

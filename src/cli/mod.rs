//! The command line: arguments → commands → exit code. Results go to stdout, logs and problems to stderr.

mod ask;
mod backfill;
mod check;
mod completions;
mod daemon;
#[cfg(feature = "demo")]
mod demo;
mod health;
mod manual;
mod once;
mod plan;
mod progress;
mod quarantine;
#[cfg(test)]
mod reference;
mod report;
mod schema;
mod status;
mod table;
mod terminal;
mod verify;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use clap::{ArgAction, Args, Parser, Subcommand};
use futures_util::FutureExt;
use serde_json::json;

use crate::clock::{Clock, real_now};
use crate::config::{self, Config, ConfigSource, Problems};
use crate::metrics::Metrics;
use crate::model::{Range, Timestamp};
use crate::setup::{self, ScheduledJob};
use crate::shutdown::Shutdown;
use crate::telemetry::{self, LogFormat};
use crate::text;

use report::{CommandError, Out};
use terminal::{ColorWhen, Terminal};

/// Pulls audit logs from SaaS providers on a schedule and lands them as partitioned Parquet in object storage,
/// exactly once.
#[derive(Debug, Parser)]
#[command(
    name = "auditlake",
    version,
    max_term_width = 100,
    subcommand_required = true
)]
struct Cli {
    /// The configuration; `-` reads standard input
    #[arg(
        short,
        long,
        global = true,
        env = "AUDITLAKE_CONFIG",
        default_value = "jobs.yaml",
        value_name = "FILE"
    )]
    config: String,

    /// The format of logs on stderr
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "AUDITLAKE_LOG_FORMAT"
    )]
    log_format: LogFormat,

    /// When to use colours, for results on stdout and logs on stderr
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: ColorWhen,

    /// Log requests too; if repeated, everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: all jobs on their schedules until SIGTERM
    Run(RunArgs),
    /// Pull the missing parts of a range; repeat the command to resume after an interruption
    Backfill(backfill::BackfillArgs),
    /// Show what `run` or `backfill` would do now; calls no provider
    Plan(plan::PlanArgs),
    /// Check the configuration offline
    Validate(ValidateArgs),
    /// Sign in and read one page of each connection, and test the lake's store; lands nothing
    Check(check::CheckArgs),
    /// Show the status of each job; with --check, whether any needs attention
    Status(status::StatusArgs),
    /// List, show, replay or acknowledge records that could not be read
    Quarantine(quarantine::QuarantineArgs),
    /// Compare a range of the lake with the provider's current records
    Verify(verify::VerifyArgs),
    /// Show a table, `audit_events` or `audit_runs`, as text, JSON or DDL; or the JSON Schema of jobs.yaml
    Schema(schema::SchemaArgs),
    /// List the services of a connection's provider as JSON lines
    Services(ask::ServicesArgs),
    /// List the audits of the same action as a given audit, as JSON lines
    Related(ask::RelatedArgs),
    /// Check whether the daemon is alive; for images without a shell
    Health(health::HealthArgs),
    /// Try auditlake on this machine: simulated providers, a local lake, one cycle, and a query of the result
    #[cfg(feature = "demo")]
    Demo(demo::DemoArgs),
    /// Print a shell-completion script
    Completions(completions::CompletionsArgs),
    /// Write the manual pages
    Man(manual::ManArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Only this job; may be repeated
    #[arg(long = "job", value_name = "NAME")]
    jobs: Vec<String>,

    /// Pull everything that is available now, due or not, and exit
    #[arg(long)]
    once: bool,

    /// Plan as of this time (RFC 3339 or a UTC date); not in the future
    #[arg(long, requires = "once", value_name = "T", value_parser = time)]
    as_of: Option<Timestamp>,

    /// The summaries as JSON
    #[arg(long, requires = "once")]
    json: bool,
}

#[derive(Debug, Args)]
struct ValidateArgs {
    /// As JSON, with every problem and its location
    #[arg(long)]
    json: bool,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(by_clap) => return report::told(&by_clap),
    };
    // the demo has its own output
    #[cfg(feature = "demo")]
    let quiet = matches!(cli.command, Command::Demo(_));
    #[cfg(not(feature = "demo"))]
    let quiet = false;
    let colour = terminal::stderr_has_colours(cli.color);
    // only the daemon runs indefinitely, and must not wait for a reader of its logs
    let drops = matches!(&cli.command, Command::Run(args) if !args.once);
    let telemetry = telemetry::init(cli.log_format, cli.verbose, quiet, colour, drops);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report::end(Err(CommandError::run(format!("can't start: {error}")))),
    };
    let ended = runtime.block_on(run(cli));
    // remaining tasks have had their time
    runtime.shutdown_background();
    let code = report::end(ended);
    drop(telemetry); // writes the last lines
    code
}

async fn run(cli: Cli) -> Result<u8, CommandError> {
    let mut out = Out::new(Terminal::of_stdout(cli.color));
    // the panic itself reports the bug
    let ended = AssertUnwindSafe(Box::pin(command(cli, &mut out))).catch_unwind();
    let ended = ended.await.unwrap_or_else(|_| {
        Err(CommandError::run(
            "the command ended early because of a bug",
        ))
    });
    out.close(ended)
}

async fn command(cli: Cli, out: &mut Out) -> Result<u8, CommandError> {
    let source = ConfigSource::from(cli.config.as_str());
    match cli.command {
        Command::Run(args) if args.once => {
            let clock = as_of(args.as_of)?;
            let (config, shutdown) = (load(&source)?, listen()?);
            let running = once::run(&config, &args.jobs, clock, args.json, &shutdown, out);
            interruptible(&shutdown, running).await
        }
        Command::Run(args) => daemon::run(&source, &args.jobs, &listen()?).await,
        Command::Backfill(args) => {
            let (config, shutdown) = (load(&source)?, listen()?);
            interruptible(
                &shutdown,
                Box::pin(backfill::run(&config, &args, &shutdown, out)),
            )
            .await
        }
        Command::Plan(args) => plan::run(&load(&source)?, &args, out).await,
        Command::Validate(args) => validate(&source, &args, out),
        Command::Check(args) => {
            let (config, shutdown) = (load(&source)?, listen()?);
            interruptible(&shutdown, check::run(&config, &args, &shutdown, out)).await
        }
        Command::Status(args) => status::run(&load(&source)?, &args, out).await,
        Command::Quarantine(args) if args.lands() => {
            let (config, shutdown) = (load(&source)?, listen()?);
            let running = quarantine::run(&config, &args, Some(&shutdown), out);
            interruptible(&shutdown, Box::pin(running)).await
        }
        Command::Quarantine(args) => quarantine::run(&load(&source)?, &args, None, out).await,
        Command::Verify(args) => {
            let (config, shutdown) = (load(&source)?, listen()?);
            let running = verify::run(&config, &args, &shutdown, out);
            interruptible(&shutdown, Box::pin(running)).await
        }
        Command::Schema(args) => schema::run(&source, &args, out),
        Command::Services(args) => ask::services(&load(&source)?, &args, out).await,
        Command::Related(args) => ask::related(&load(&source)?, &args, out).await,
        Command::Health(args) => health::run(&source, &args, out).await,
        #[cfg(feature = "demo")]
        Command::Demo(args) => {
            let shutdown = listen()?;
            interruptible(&shutdown, Box::pin(demo::run(&args, &shutdown, out))).await
        }
        Command::Completions(args) => Ok(completions::run(&args, out)),
        Command::Man(args) => manual::run(&args),
    }
}

/// Runs a command. A first signal lets it finish its pages, a second one ends it; both determine its exit code.
async fn interruptible(
    shutdown: &Shutdown,
    command: impl Future<Output = Result<u8, CommandError>>,
) -> Result<u8, CommandError> {
    tokio::select! {
        ended = command => ended.map_err(|failure| match shutdown.exit_code() {
            Some(code) => failure.with_code(code),
            None => failure,
        }),
        () = shutdown.now.cancelled() => Ok(shutdown.exit_code().unwrap_or(1)),
    }
}

fn validate(source: &ConfigSource, args: &ValidateArgs, out: &mut Out) -> Result<u8, CommandError> {
    let loaded = Config::load(source);
    if args.json {
        out.json(&match &loaded {
            Ok(config) => json!({
                "source": source.to_string(), "valid": true, "jobs": config.jobs.len(),
                "connections": config.connections.len(), "lake": config.lake.url, "problems": [],
            }),
            Err(problems) => problems_json(problems),
        });
        return Ok(if loaded.is_ok() { 0 } else { 2 });
    }
    let config = loaded.map_err(CommandError::config)?;
    out.line(format_args!(
        "{source} is valid: {}, {}, lake {}",
        text::counted(config.jobs.len() as u64, "job"),
        text::counted(config.connections.len() as u64, "connection"),
        config.lake.url,
    ));
    Ok(0)
}

fn problems_json(found: &Problems) -> serde_json::Value {
    let problems: Vec<_> = (found.problems.iter())
        .map(|problem| {
            let (line, column) = problem.at.map(|at| (at.line, at.column)).unzip();
            json!({ "line": line, "column": column, "problem": problem.message })
        })
        .collect();
    json!({ "source": found.source_name, "valid": false, "problems": problems })
}

fn load(source: &ConfigSource) -> Result<Config, CommandError> {
    Config::load(source).map_err(CommandError::config)
}

fn listen() -> Result<Shutdown, CommandError> {
    Shutdown::listen()
        .map_err(|error| CommandError::run(format!("can't listen for signals: {error}")))
}

/// Returns the configured jobs in `wanted`, on a lake that is ready for them.
async fn ready_jobs(config: &Config, wanted: &[String]) -> Result<Vec<ScheduledJob>, CommandError> {
    let jobs = jobs(config, wanted)?;
    make_ready(config, &jobs).await?;
    Ok(jobs)
}

/// Prepares the lake of these jobs.
async fn make_ready(config: &Config, jobs: &[ScheduledJob]) -> Result<(), CommandError> {
    if let Some(first) = jobs.first() {
        first
            .job
            .lake
            .prepare(&setup::layout(&config.lake))
            .await
            .map_err(CommandError::lake)?;
    }
    Ok(())
}

/// Returns the configured jobs in `wanted`; an unknown name is a usage error. Makes no request.
fn jobs(config: &Config, wanted: &[String]) -> Result<Vec<ScheduledJob>, CommandError> {
    counted_jobs(config, wanted, &Metrics::default())
}

/// Returns the configured jobs in `wanted`, with `metrics`.
fn counted_jobs(
    config: &Config,
    wanted: &[String],
    metrics: &Metrics,
) -> Result<Vec<ScheduledJob>, CommandError> {
    known_jobs(config, wanted)?;
    let lake = setup::lake(&config.lake).map_err(CommandError::lake)?;
    let lake = lake.counted(&metrics.store());
    setup::jobs(config, &lake, wanted, metrics).map_err(CommandError::setup)
}

/// Fails with a usage error for an unknown name.
fn known_jobs(config: &Config, wanted: &[String]) -> Result<(), CommandError> {
    for name in wanted {
        if config.jobs.iter().all(|job| job.name != *name) {
            let known: Vec<&str> = config.jobs.iter().map(|job| job.name.as_str()).collect();
            return Err(CommandError::usage(format!(
                "there is no job `{name}`; the jobs are `{}`",
                known.join("`, `")
            )));
        }
    }
    Ok(())
}

fn as_of(instant: Option<Timestamp>) -> Result<Clock, CommandError> {
    match instant {
        None => Ok(Clock::System),
        Some(instant) if instant <= real_now() => Ok(Clock::AsOf(instant)),
        Some(instant) => Err(CommandError::usage(format!(
            "`--as-of {}` is in the future",
            text::time(instant)
        ))),
    }
}

fn range(from: Timestamp, to: Timestamp) -> Result<Range, CommandError> {
    Range::new(from, to).ok_or_else(|| {
        CommandError::usage(format!(
            "`--to {}` must be later than `--from {}`",
            text::time(to),
            text::time(from)
        ))
    })
}

fn time(text: &str) -> Result<Timestamp, String> {
    config::time(text)
}

//! Logs and traces: output to stderr, the text of errors, and the export to a collector.

mod traces;
mod writer;

use std::any::Any;
use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::SecondsFormat;
use indicatif::ProgressBar;
use serde_json::json;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::clock::real_now;
use crate::foreign::{self, OutputForm};
use crate::text;

pub use self::traces::note_trace;
pub use self::writer::log_lines_dropped;

use self::traces::Traces;

/// Whether log lines are JSON.
static JSON: AtomicBool = AtomicBool::new(false);
/// The progress bar at the end of stderr, if any.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// The format of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The background tasks of logs and traces, which are flushed on drop.
#[derive(Debug)]
#[must_use]
pub struct Telemetry {
    traces: Option<Traces>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // its shutdown may log a message
        drop(self.traces.take());
        writer::flush();
    }
}

/// Starts logging to stderr: warnings always, the progress of runs unless `quiet`, requests with `-v`, and everything
/// of auditlake with `-vv`. `RUST_LOG` overrides that. Uses colours if `colour`. Exports spans if
/// `OTEL_EXPORTER_OTLP_ENDPOINT` or a related variable is set. If `drops`, lines are dropped and counted when the
/// reader of stderr is too slow; otherwise writers wait.
/// Called once by the binary outside of its runtime, where the result also has to be dropped.
pub fn init(format: LogFormat, verbose: u8, quiet: bool, colour: bool, drops: bool) -> Telemetry {
    let level = match verbose {
        0 if quiet => "warn",
        0 => "warn,auditlake=info",
        1 => "warn,auditlake=debug",
        _ => "info,auditlake=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    JSON.store(format == LogFormat::Json, Ordering::Relaxed);
    writer::start(drops, dropped);
    log_panics();
    let shown = match (format, colour) {
        (LogFormat::Json, _) => OutputForm::Json,
        (LogFormat::Text, true) => OutputForm::Painted,
        (LogFormat::Text, false) => OutputForm::Text,
    };
    let lines = fmt::layer()
        .with_writer(move || LogLines(shown))
        .with_target(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(colour).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let traces = Traces::of_environment();
    let spans = traces.as_ref().ok().and_then(Option::as_ref).map(|traces| {
        // all spans of auditlake, independent of the log level; log lines aren't exported
        let ours = filter_fn(|of| of.is_span() && of.target().starts_with("auditlake"));
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(ours)
    });
    // an error only means that logging has already started
    let _ = registry()
        .with(lines.with_filter(filter))
        .with(spans)
        .try_init();
    if let Err(reason) = &traces {
        tracing::warn!(reason, "traces are not sent");
    }
    Telemetry {
        traces: traces.ok().flatten(),
    }
}

/// Writes an error to stderr, independent of the log level; as a line of JSON if logs are JSON.
pub fn complain(message: &str) {
    writer::write(&log_line("error", message));
}

fn dropped(lines: u64) -> Vec<u8> {
    let lines = text::counted(lines, "log line");
    log_line(
        "warn",
        &format!("{lines} dropped: stderr wasn't read fast enough"),
    )
}

/// Writes a line of output that isn't a log line.
fn log_line(level: &str, message: &str) -> Vec<u8> {
    let line = if JSON.load(Ordering::Relaxed) {
        let at = real_now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let level = level.to_uppercase();
        let line = json!({ "timestamp": at, "level": level, "message": message }).to_string();
        OutputForm::Json.of(&line).into_owned()
    } else {
        OutputForm::Text
            .of(&format!("{level}: {message}"))
            .into_owned()
    };
    format!("{line}\n").into_bytes()
}

/// Sets the progress bar above which later output to stderr appears, or none.
pub fn write_above(bar: Option<ProgressBar>) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// Writes above the bar. Only called by the writer thread, once there is one.
fn write_to_stderr(bytes: &[u8]) -> io::Result<()> {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let write = || writer::write_all(io::stderr(), bytes);
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Log lines for standard error. With any content, each stays a single line without control characters.
struct LogLines(OutputForm);

impl io::Write for LogLines {
    /// Accepts a whole line at a time, as passed by `tracing-subscriber`.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shown = self.0.line_of(&String::from_utf8_lossy(line));
        writer::write(shown.as_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a panic's message if it is a static text. Other messages are withheld, as they may quote data.
pub fn panic_message(payload: &(dyn Any + Send)) -> &'static str {
    static_message(payload)
}

fn static_message(payload: &dyn Any) -> &'static str {
    let literal = payload.downcast_ref::<&'static str>().copied();
    literal.unwrap_or("its message is withheld, as it may quote data")
}

/// Reports panics like other errors, with their location.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = static_message(panic.payload());
        let place = panic.location().map(ToString::to_string);
        let place = place.unwrap_or_default();
        complain(&format!(
            "a bug, please report it: panic at {place}: {message}"
        ));
    }));
}

/// Returns an error and its causes in one line: `can't write `x`: permission denied`.
///
/// A cause whose text is already contained is omitted. Control characters from a provider or a store are escaped, and
/// long texts are shortened.
pub fn error_chain(error: &dyn Error) -> String {
    foreign::line(&raw_error_chain(error)).into_owned()
}

/// Returns an error and its causes verbatim, joined by colons, for a caller that shortens or redacts them.
pub fn raw_error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in error.source().into_iter().flat_map(causes) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            let _ = write!(text, ": {cause}");
        }
    }
    text
}

/// Returns an error, its cause, the cause of that, and so on.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the file `x` can't be read")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_panic_says_only_what_the_program_itself_says() {
        let canary = "c4nary";
        let of = |panics: fn(&str)| {
            let caught = std::panic::catch_unwind(|| panics(canary));
            panic_message(&*caught.unwrap_err())
        };
        assert_eq!(of(|_| panic!("a defect")), "a defect");
        let quoted = of(|text| panic!("not {text}"));
        assert!(quoted.contains("withheld") && !quoted.contains(canary));
        let sliced = of(|text| assert!(text[..=text.len()].is_empty()));
        assert!(sliced.contains("withheld") && !sliced.contains(canary));
    }

    #[test]
    fn a_cause_steers_nothing() {
        let hostile = "\u{1b}[2J\r\nerror: all is well \u{202e}dab";
        assert_eq!(
            error_chain(&Outer(io::Error::other(hostile))),
            "the file `x` can't be read:  [2J  error: all is well dab"
        );
    }

    #[test]
    fn causes_are_said_once() {
        let error = Outer(io::Error::other("no such disk"));
        assert_eq!(
            error_chain(&error),
            "the file `x` can't be read: no such disk"
        );
        assert_eq!(error_chain(&io::Error::other("alone")), "alone");
    }
}

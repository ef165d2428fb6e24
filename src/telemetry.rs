//! Logs: what is written to stderr, and how errors read in it.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::SecondsFormat;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::clock::real_now;

/// Whether logs are JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to stderr: warnings always, what runs do unless `quiet`, requests with `-v`, all of ours with `-vv`.
/// `RUST_LOG` overrides. Called once, by the binary.
pub fn init(format: LogFormat, verbose: u8, quiet: bool) {
    let level = match verbose {
        0 if quiet => "warn",
        0 => "warn,auditlake=info",
        1 => "warn,auditlake=debug",
        _ => "info,auditlake=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false);
    JSON.store(format == LogFormat::Json, Ordering::Relaxed);
    // an error only says that logging has begun already
    let _ = match format {
        LogFormat::Text => {
            let ansi = io::IsTerminal::is_terminal(&io::stderr())
                && std::env::var_os("NO_COLOR").is_none();
            subscriber.with_ansi(ansi).try_init()
        }
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
}

/// Says on stderr what went wrong, whatever is logged: as a line of JSON where logs are that.
pub fn complain(message: &str) {
    let line = if JSON.load(Ordering::Relaxed) {
        let at = real_now().to_rfc3339_opts(SecondsFormat::Micros, true);
        json!({ "timestamp": at, "level": "ERROR", "message": message }).to_string()
    } else {
        format!("error: {message}")
    };
    // nowhere else to say it
    let _ = writeln!(io::stderr(), "{line}");
}

/// An error and its causes in one line: `can't write `x`: permission denied`.
///
/// A cause that its error's own text ends with already isn't said again.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the file `x` can't be read")]
    struct Outer(#[source] io::Error);

    #[test]
    fn causes_are_said_once() {
        let error = Outer(io::Error::other("no such disk"));
        assert_eq!(chain(&error), "the file `x` can't be read: no such disk");
        assert_eq!(chain(&io::Error::other("alone")), "alone");
    }
}

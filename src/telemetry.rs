//! Logs: what is written to stderr, and how errors read in it.

use std::error::Error;
use std::fmt::Write;
use std::io;

use tracing_subscriber::EnvFilter;

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

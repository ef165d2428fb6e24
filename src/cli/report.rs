//! Output for people and scripts: exit codes, problems on stderr, results on stdout.

use std::collections::BTreeSet;
use std::fmt::{Arguments, Display};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use super::table::{self, Cell, ColumnKind as Column};
use super::terminal::{Terminal, Tone};
use crate::config::Problems;
use crate::foreign::OutputForm;
use crate::lake::LakeError;
use crate::model::FailureKind;
use crate::run::{self, Job, RunError, RunReport};
use crate::setup::SetupError;
use crate::status::Finding;
use crate::telemetry::{self, error_chain};
use crate::text::{count, counted};

/// The exit code for wrong usage or configuration.
pub(super) const CONFIG: u8 = 2;

/// A command that ends with a message and an exit code.
#[derive(Debug)]
pub(super) struct CommandError {
    code: u8,
    message: String,
}

impl CommandError {
    /// 1: a run failed.
    pub(super) fn run(message: impl Into<String>) -> Self {
        Self {
            code: 1,
            message: message.into(),
        }
    }

    /// 2: bad usage.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self {
            code: 2,
            message: message.into(),
        }
    }

    /// 2: the configuration, every problem on its own line.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(super) fn config(problems: Problems) -> Self {
        Self {
            code: 2,
            message: problems.to_string(),
        }
    }

    /// A lake that is configured wrongly is 2, one that fails is 1.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(super) fn lake(error: LakeError) -> Self {
        Self {
            code: code_of(error.kind()),
            message: error_chain(&error),
        }
    }

    /// 1: a command's output couldn't be written.
    fn output(error: &io::Error) -> Self {
        Self::run(format!("can't write to standard output: {error}"))
    }

    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(super) fn setup(error: SetupError) -> Self {
        Self {
            code: code_of(error.kind()),
            message: error_chain(&error),
        }
    }

    pub(super) fn of_run(job: &Job, error: &RunError) -> Self {
        let (name, kind) = (&job.name, error.kind());
        let what_to_do = what_to_do_about(error, &job.connection);
        Self {
            code: code_of(kind),
            message: format!(
                "job `{name}` failed ({kind}): {}{what_to_do}",
                error_chain(error)
            ),
        }
    }

    pub(super) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    pub(super) fn code(&self) -> u8 {
        self.code
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

fn code_of(kind: FailureKind) -> u8 {
    if kind == FailureKind::Config { 2 } else { 1 }
}

/// Returns advice for failures that need an action that their message doesn't contain.
pub(super) fn what_to_do(kind: FailureKind, connection: &str) -> String {
    match kind {
        FailureKind::Auth => format!(
            "; check the credentials of connection `{connection}` and what they are permitted to read"
        ),
        _ => String::new(),
    }
}

/// Returns advice for a failed run, whose lake or provider failed.
pub(super) fn what_to_do_about(error: &RunError, connection: &str) -> String {
    match error {
        RunError::Lake(error) if error.has_advice() => String::new(),
        RunError::Lake(_) | RunError::Read(_) if error.kind() == FailureKind::Auth => {
            "; check the lake's credentials, what they permit, and this machine's clock".to_owned()
        }
        _ => what_to_do(error.kind(), connection),
    }
}

/// Prints the text of `--help`, `--version` or bad usage, and returns the exit code.
pub(super) fn told(by_clap: &clap::Error) -> ExitCode {
    let printed = by_clap.print().and_then(|()| io::stdout().flush());
    match printed {
        Err(error) if !by_clap.use_stderr() && error.kind() != io::ErrorKind::BrokenPipe => {
            end(Err(CommandError::output(&error)))
        }
        _ => ExitCode::from(if by_clap.use_stderr() { 2 } else { 0 }),
    }
}

/// Prints the error, and returns the process's exit code.
pub(super) fn end(ended: Result<u8, CommandError>) -> ExitCode {
    ExitCode::from(ended.unwrap_or_else(|failure| {
        complain(&failure.message);
        failure.code
    }))
}

/// Prints an error on stderr.
pub(super) fn complain(message: &str) {
    telemetry::complain(message);
}

/// Standard output. A closed pipe (`| head`) isn't a failure, but any other error in writing a line is, see
/// [`Out::close`].
#[derive(Debug)]
pub(super) struct Out {
    terminal: Terminal,
    is_silent: bool,
    /// The first error, shared by all writers.
    failed: Arc<OnceLock<io::Error>>,
}

impl Out {
    pub(super) fn new(terminal: Terminal) -> Self {
        Self {
            terminal,
            is_silent: false,
            failed: Arc::default(),
        }
    }

    /// Returns an output without lines if `silent`, for commands whose whole output is one document.
    pub(super) fn unless(&self, silent: bool) -> Self {
        Self {
            is_silent: silent,
            failed: Arc::clone(&self.failed),
            ..*self
        }
    }

    /// Returns the end of the command, which is a failure if its output couldn't be written.
    pub(super) fn close(self, ended: Result<u8, CommandError>) -> Result<u8, CommandError> {
        self.note(io::stdout().flush());
        match (ended, self.failed.get()) {
            (ended, None) => ended,
            (Ok(_), Some(error)) => Err(CommandError::output(error)),
            (Err(failure), Some(error)) => {
                complain(&CommandError::output(error).message);
                Err(failure)
            }
        }
    }

    fn note(&self, written: io::Result<()>) {
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            // the first error is kept
            let _ = self.failed.set(error);
        }
    }

    pub(super) fn terminal(&self) -> Terminal {
        self.terminal
    }

    pub(super) fn line(&mut self, line: Arguments<'_>) {
        if !self.is_silent {
            self.write(&format!("{line}\n"), self.shown());
        }
    }

    pub(super) fn text(&mut self, text: impl Display) {
        if !self.is_silent {
            self.write(&text.to_string(), self.shown());
            self.note(io::stdout().flush());
        }
    }

    /// Prints an indented JSON document.
    pub(super) fn json(&mut self, value: &Value) {
        self.json_line(&format!("{value:#}"));
    }

    /// Prints a provider's JSON: the same document with control characters escaped.
    pub(super) fn json_line(&mut self, json: &str) {
        if !self.is_silent {
            self.write(&format!("{json}\n"), OutputForm::Json);
        }
    }

    fn shown(&self) -> OutputForm {
        if self.terminal.colour {
            OutputForm::Painted
        } else {
            OutputForm::Text
        }
    }

    /// Writes a sanitised text, which can't control a terminal. All output goes through this function.
    fn write(&mut self, text: &str, shown: OutputForm) {
        self.note(io::stdout().write_all(shown.of(text).as_bytes()));
    }

    pub(super) fn table<const N: usize>(
        &mut self,
        columns: [(&'static str, Column); N],
        rows: &[[Cell; N]],
    ) {
        self.text(table::render(columns, rows, self.terminal));
    }

    pub(super) fn painted(&self, tone: Tone, text: &str) -> String {
        self.terminal.paint(tone, text)
    }

    /// Prints the problems that need attention.
    pub(super) fn finding(&mut self, finding: &Finding) {
        let text = finding.to_string();
        match text.strip_prefix(finding.kind.as_str()) {
            Some(rest) => {
                let kind = self.painted(Tone::Bad, finding.kind.as_str());
                self.line(format_args!("{kind}{rest}"));
            }
            None => self.line(format_args!("{text}")),
        }
    }
}

/// Returns a line about a run.
pub(super) fn summary(job: &str, report: &RunReport) -> String {
    let counts = report.totals.counts;
    let failed = match report.failures.len() as u64 {
        0 => String::new(),
        failures => format!("FAILED in {}, ", counted(failures, "range")),
    };
    let mut text = format!(
        "{job}: {failed}{} new, {} late, {} duplicate, {} quarantined; {} in {}",
        count(counts.new),
        count(counts.late),
        count(counts.duplicate),
        count(counts.quarantined),
        counted(report.totals.windows, "window"),
        counted(report.totals.commits, "commit"),
    );
    if report.unfinished {
        text.push_str("; unfinished, continues with the next run");
    }
    text
}

/// Returns a run as JSON, with each failed range.
pub(super) fn summary_json(job: &Job, report: &RunReport) -> Value {
    let failures: Vec<_> = (report.failures.iter())
        .map(|failure| {
            json!({
                "stream": failure.stream, "range": failure.range,
                "kind": failure.error.kind(), "error": error_chain(&failure.error),
            })
        })
        .collect();
    let outcome = match (failures.is_empty(), report.unfinished) {
        (false, _) => "failed",
        (true, true) => "unfinished",
        (true, false) => "finished",
    };
    json!({
        "job": job.name,
        "run": report.run,
        "outcome": outcome,
        "counts": report.totals.counts,
        "windows": report.totals.windows,
        "commits": report.totals.commits,
        "failures": failures,
    })
}

/// Prints the failed ranges on stderr, with equal failures in one line.
pub(super) fn failures(job: &Job, report: &RunReport) {
    for RepeatedError {
        first: failure,
        streams,
        ranges,
    } in alike(&report.failures)
    {
        let and = |others: usize, what: &str| match others {
            0 => String::new(),
            others => format!(" and {}", counted(others as u64, what)),
        };
        let others = and(streams.len() - 1, "other stream");
        let more = and(ranges - 1, "other range");
        let more = if ranges > streams.len() {
            more
        } else {
            String::new()
        };
        complain(&format!(
            "job `{}`, stream `{}`{others}, range {}{more}, failed ({}): {}{}",
            job.name,
            failure.stream,
            failure.range,
            failure.error.kind(),
            error_chain(&failure.error),
            what_to_do_about(&failure.error, &job.connection)
        ));
    }
}

/// Failures with the same text.
struct RepeatedError<'a> {
    first: &'a run::StreamFailure,
    streams: BTreeSet<&'a str>,
    ranges: usize,
}

/// Groups failures by their text.
fn alike(failures: &[run::StreamFailure]) -> Vec<RepeatedError<'_>> {
    let mut found: Vec<(String, RepeatedError<'_>)> = Vec::new();
    for failure in failures {
        let text = error_chain(&failure.error);
        let place = if let Some(place) = found.iter().position(|(have, _)| *have == text) {
            place
        } else {
            found.push((
                text,
                RepeatedError {
                    first: failure,
                    streams: BTreeSet::new(),
                    ranges: 0,
                },
            ));
            found.len() - 1
        };
        let alike = &mut found[place].1;
        alike.streams.insert(&failure.stream);
        alike.ranges += 1;
    }
    found.into_iter().map(|(_, alike)| alike).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::lake::Work;
    use crate::model::Range;

    #[test]
    fn what_failed_alike_is_told_once() {
        let failure = |stream: &str, text: &str| run::StreamFailure {
            stream: stream.to_owned(),
            range: Range::new(
                DateTime::UNIX_EPOCH,
                DateTime::UNIX_EPOCH + TimeDelta::hours(1),
            )
            .unwrap(),
            work: Work::Pull,
            error: RunError::Reworded {
                was: text.to_owned(),
                is: String::new(),
            },
            went_on: false,
        };
        let failures = [
            failure("a", "x"),
            failure("b", "y"),
            failure("c", "x"),
            failure("d", "x"),
            failure("d", "x"),
        ];
        let told: Vec<(&str, usize, usize)> = alike(&failures)
            .into_iter()
            .map(|alike| {
                (
                    alike.first.stream.as_str(),
                    alike.streams.len(),
                    alike.ranges,
                )
            })
            .collect();
        assert_eq!(told, [("a", 3, 4), ("b", 1, 1)]);
    }
}

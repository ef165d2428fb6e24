//! Problems of a file, with their positions.

use std::fmt;

/// A position in a file. Line and column count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// A problem, and what would be valid instead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The position; `None` if the whole file can't be read.
    pub at: Option<Position>,
    /// The message: lowercase, with the invalid text in backticks and what would be valid. Never contains a secret.
    pub message: String,
}

/// All problems of a file, in the file's order; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The name of the file.
    pub source_name: String,
    /// The problems, sorted by position.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// Sorts the problems and removes duplicates.
    pub fn new(source_name: impl Into<String>, mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self {
            source_name: source_name.into(),
            problems,
        }
    }
}

/// Writes one line per problem: ``jobs.yaml:12:5: unknown key `shedule` in job `genesys-audits`; ...``.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.source_name)?;
            if let Some(Position { line, column }) = problem.at {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

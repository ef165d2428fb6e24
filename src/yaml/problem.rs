//! What is wrong with a file, and where.

use std::fmt;

/// A place in a file; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// One thing that is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where; nowhere if the file as a whole can't be read.
    pub at: Option<Position>,
    /// Lowercase, the offending text in backticks, then what would be valid. Never holds a secret.
    pub message: String,
}

/// All that is wrong with a file, in the file's order; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// What the file is called.
    pub source_name: String,
    /// Sorted by place.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// These problems in order, each once.
    pub fn new(source_name: impl Into<String>, mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self {
            source_name: source_name.into(),
            problems,
        }
    }
}

/// One line each: ``jobs.yaml:12:5: unknown key `shedule` in job `genesys-audits`; ...``.
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

//! Secrets, redacted by type from the configuration to the header that carries them.

mod hidden;

use std::fmt;
use std::path::PathBuf;

pub use hidden::Hidden;

/// A string that is never shown: `Debug` prints `[redacted]`, there is no `Display` and no `Serialize`.
///
/// It may stand for a file (`${file:PATH}`), which [`Secret::reveal`] reads anew each time, so that a secret can be
/// rotated under a running daemon.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    File(PathBuf),
}

/// A secret's file can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the secret file `{}` can't be read", path.display())]
pub struct SecretError {
    path: PathBuf,
    source: std::io::Error,
}

impl Secret {
    /// A secret that is this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            parts: vec![Part::Text(text.into())],
        }
    }

    /// A secret that is the content of a file, without one trailing newline.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            parts: vec![Part::File(path.into())],
        }
    }

    /// This secret followed by another, for scalars like `user:${file:/run/secrets/token}`.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.parts.extend(next.parts);
        self
    }

    /// The secret's text; its files are read now.
    pub fn reveal(&self) -> Result<String, SecretError> {
        let mut whole = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => whole.push_str(text),
                Part::File(path) => {
                    let text = std::fs::read_to_string(path).map_err(|source| SecretError {
                        path: path.clone(),
                        source,
                    })?;
                    let text = text.strip_suffix('\n').unwrap_or(&text);
                    whole.push_str(text.strip_suffix('\r').unwrap_or(text));
                }
            }
        }
        Ok(whole)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_it() {
        let secret = Secret::text("hunter2").then(Secret::file("/run/secrets/x"));
        assert_eq!(
            format!("{secret:?} {:?}", Some(&secret)),
            "[redacted] Some([redacted])"
        );
    }

    #[test]
    fn a_file_is_read_anew_without_one_newline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let secret = Secret::text("a-").then(Secret::file(&path));
        std::fs::write(&path, "one\n\n").unwrap();
        assert_eq!(secret.reveal().unwrap(), "a-one\n");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(secret.reveal().unwrap(), "a-two");
    }
}

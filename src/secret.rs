//! Secrets, redacted by type from the configuration to the header that contains them.

mod redactor;

use std::fmt;
use std::path::{Path, PathBuf};

pub use redactor::Redactor;

/// A string that is never shown: `Debug` prints `[redacted]`, and there is no `Display` or `Serialize`.
///
/// It may refer to a file (`${file:PATH}`), which [`Secret::reveal`] reads each time, so that a secret can be rotated
/// while the daemon runs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    parts: Vec<SecretPart>,
}

#[derive(Clone, PartialEq, Eq)]
enum SecretPart {
    Text(String),
    File(PathBuf),
}

/// An unusable secret. No variant contains its text.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Its file can't be read.
    #[error("the secret file `{}` can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It contains a control character, most likely a line break at its end, which is never part of a credential.
    #[error("{} holds a line break or another control character, which no credential has", named(file.as_deref()))]
    Unfit {
        /// The file that contains it, if any.
        file: Option<PathBuf>,
    },
}

/// Returns the description of a secret in a message.
fn named(file: Option<&Path>) -> String {
    match file {
        Some(file) => format!("the secret file `{}`", file.display()),
        None => "a secret".to_owned(),
    }
}

impl Secret {
    /// Creates a secret with this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            parts: vec![SecretPart::Text(text.into())],
        }
    }

    /// Creates a secret with the content of a file, without one trailing newline.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            parts: vec![SecretPart::File(path.into())],
        }
    }

    /// Returns this secret followed by another, for scalars such as `user:${file:/run/secrets/token}`.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.parts.extend(next.parts);
        self
    }

    /// Returns the secret's text. Reads its files.
    pub fn reveal(&self) -> Result<String, SecretError> {
        let mut whole = String::new();
        for part in &self.parts {
            match part {
                SecretPart::Text(text) => whole.push_str(text),
                SecretPart::File(path) => {
                    let text = std::fs::read_to_string(path).map_err(|source| {
                        let path = path.clone();
                        SecretError::Unreadable { path, source }
                    })?;
                    let text = text.strip_suffix('\n').unwrap_or(&text);
                    whole.push_str(text.strip_suffix('\r').unwrap_or(text));
                }
            }
        }
        Ok(whole)
    }

    /// Returns the text of a secret that is sent as a credential. Fails if it contains a control character.
    pub fn credential(&self) -> Result<String, SecretError> {
        let text = self.reveal()?;
        if text.contains(char::is_control) {
            let file = self.file_name().map(Path::to_owned);
            return Err(SecretError::Unfit { file });
        }
        Ok(text)
    }

    /// Returns the first file to which it refers, if any.
    pub fn file_name(&self) -> Option<&Path> {
        self.parts.iter().find_map(|part| match part {
            SecretPart::File(path) => Some(path.as_path()),
            SecretPart::Text(_) => None,
        })
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
        let unfit = secret.credential().unwrap_err().to_string();
        assert!(
            unfit.contains(&path.display().to_string()) && !unfit.contains("one"),
            "{unfit}"
        );
        std::fs::write(&path, "two").unwrap();
        assert_eq!(secret.credential().unwrap(), "a-two");
        assert!(Secret::text("two\u{7f}").credential().is_err());
    }
}

//! Bytes as text.

use std::fmt::Write;

/// Returns two lower-case digits per byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let text = String::with_capacity(2 * bytes.len());
    bytes.iter().fold(text, |mut text, byte| {
        // writing to a string doesn't fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}

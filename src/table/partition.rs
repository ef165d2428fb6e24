//! In which folder of the table a row lies.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::model::{PartitionColumn, Timestamp};

/// What Hive writes for a value that is null or empty; engines read null.
pub const DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// Bytes of an escaped value, so that `name=value` stays a file name on every disk (255 bytes at most).
const LONGEST_VALUE: usize = 200;

/// Where the rows of these values lie below the table's folder: `provider=genesys_cloud/event_date=2026-11-20`.
///
/// Values are escaped as Hive and Spark do it, so each is one path segment, is never `.` or `..`, and differs from
/// every other value's. Give the result to [`object_store::path::Path::parse`], never to its `from`, which would
/// escape once more. A value too long for a file name keeps its beginning and ends in `~` and a hash.
pub fn partition_path(
    columns: &[PartitionColumn],
    provider: &str,
    connection: &str,
    account_id: &str,
    event_time: Timestamp,
) -> String {
    let mut path = String::new();
    for column in columns {
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(column.as_str());
        path.push('=');
        match column {
            PartitionColumn::Provider => push_escaped(&mut path, provider),
            PartitionColumn::Connection => push_escaped(&mut path, connection),
            PartitionColumn::AccountId => push_escaped(&mut path, account_id),
            PartitionColumn::EventDate => push_time(&mut path, event_time, "%Y-%m-%d"),
            PartitionColumn::EventMonth => push_time(&mut path, event_time, "%Y-%m"),
            PartitionColumn::EventHour => push_time(&mut path, event_time, "%H"),
        }
    }
    path
}

fn push_time(path: &mut String, time: Timestamp, format: &str) {
    path.push_str(&time.format(format).to_string());
}

fn push_escaped(path: &mut String, value: &str) {
    if value.is_empty() {
        path.push_str(DEFAULT_PARTITION);
        return;
    }
    let start = path.len();
    let mut cut = start;
    for character in value.chars() {
        if is_escaped(character) {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                // writing to a string doesn't fail
                let _ = write!(path, "%{byte:02X}");
            }
        } else {
            path.push(character);
        }
        let length = path.len() - start;
        if length + "~".len() + 32 <= LONGEST_VALUE {
            cut = path.len();
        } else if length > LONGEST_VALUE {
            path.truncate(cut);
            path.push('~');
            for byte in &Sha256::digest(value)[..16] {
                let _ = write!(path, "{byte:02x}");
            }
            return;
        }
    }
}

/// What Hive and Spark escape, and control characters outside of ASCII, which not every store can list. Other Unicode
/// stays as it is: Spark reads an escape as one character, not as a byte of one.
fn is_escaped(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^'
        )
        || matches!(character, '\u{fffe}' | '\u{ffff}')
}

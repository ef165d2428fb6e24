//! The folder of a row in the table.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::model::{PartitionColumn, Timestamp};

/// Hive's text for a null or empty value, which engines read as null.
pub const DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The maximum size of an escaped value in bytes, so that `name=value` is a valid file name on every disk (at most 255
/// bytes).
const LONGEST_VALUE: usize = 200;

/// Returns the path of the rows with these values below the table's folder:
/// `provider=genesys_cloud/event_date=2026-11-20`.
///
/// Values are escaped as in Hive and Spark, so that each is one path segment, is never `.` or `..`, and is unique. The
/// result has to be parsed with [`object_store::path::Path::parse`], as `from` would escape it again. A value that is
/// too long for a file name is shortened and ends in `~` and a hash.
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
    let value = match value.strip_prefix('_') {
        // the literal text differs from a missing value
        Some(rest) if value == DEFAULT_PARTITION => {
            path.push_str("%5F");
            rest
        }
        _ => value,
    };
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

/// Returns whether a character is escaped: those that Hive and Spark escape; `~`, which marks a shortened value; and
/// non-ASCII code points that aren't characters, which some stores can't list. Other Unicode isn't escaped, as Spark
/// reads an escape as a character instead of a byte.
fn is_escaped(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '"' | '#'
                | '%'
                | '\''
                | '*'
                | '/'
                | ':'
                | '='
                | '?'
                | '\\'
                | '{'
                | '['
                | ']'
                | '^'
                | '~'
        )
        || matches!(character, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use object_store::path::Path;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;
    use crate::model::PartitionColumn::{
        AccountId, Connection, EventDate, EventHour, EventMonth, Provider,
    };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn account(id: &str) -> String {
        partition_path(&[AccountId], "", "", id, at("2026-11-20T00:00:00Z"))
    }

    #[test]
    fn paths_are_as_documented() {
        let time = at("2026-11-20T07:59:59.999999Z");
        let path = |columns: &[PartitionColumn]| {
            partition_path(columns, "genesys_cloud", "genesys-prod", "org 1", time)
        };
        assert_eq!(path(&[]), "");
        assert_eq!(
            path(&[Provider, EventDate]),
            "provider=genesys_cloud/event_date=2026-11-20"
        );
        assert_eq!(
            path(&[AccountId, Connection, EventMonth, EventDate, EventHour]),
            "account_id=org 1/connection=genesys-prod/event_month=2026-11/event_date=2026-11-20/event_hour=07"
        );
    }

    #[test]
    fn values_are_escaped_as_hive_does() {
        let long = "é".repeat(300);
        for (value, escaped) in [
            ("", DEFAULT_PARTITION),
            (".", "."),
            ("..", ".."),
            (DEFAULT_PARTITION, "%5F_HIVE_DEFAULT_PARTITION__"),
            ("~", "%7E"),
            ("../../etc", "..%2F..%2Fetc"),
            ("a=b:c%2F", "a%3Db%3Ac%252F"),
            ("nul\0tab\t", "nul%00tab%09"),
            ("Zürich 漢 😀", "Zürich 漢 😀"),
            ("who@example.com", "who@example.com"),
            ("\u{85}", "%C2%85"),
        ] {
            assert_eq!(account(value), format!("account_id={escaped}"));
        }
        let long = account(&long);
        assert!(long.starts_with("account_id=éé") && long.len() <= "account_id=".len() + 200);
    }

    proptest! {
        #[test]
        fn any_value_is_one_safe_segment_and_its_own(
            values in prop::array::uniform2(prop_oneof![
                prop::collection::vec(any::<char>(), 0..300).prop_map(String::from_iter),
                "[./%= ]{0,4}",
                "[a-c]{190,210}",
                "(x:){90,110}",
            ]),
        ) {
            let paths = values.each_ref().map(|value| account(value));
            for (path, value) in paths.iter().zip(&values) {
                let stored = Path::parse(path).unwrap();
                prop_assert_eq!(stored.as_ref(), path);
                prop_assert_eq!(stored.parts().count(), 1);
                prop_assert!(path.len() <= 211);
                let shown = path.strip_prefix("account_id=").unwrap();
                if !value.is_empty() && !shown.contains('~') {
                    prop_assert_eq!(percent_decode_str(shown).decode_utf8().unwrap(), value.as_str());
                }
            }
            prop_assert_eq!(paths[0] == paths[1], values[0] == values[1]);
        }
    }

    #[tokio::test]
    async fn the_local_store_keeps_the_path() {
        use object_store::{ObjectStoreExt, local::LocalFileSystem};
        let folder = tempfile::tempdir().unwrap();
        let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        for value in ["..", "a%2Fb/c", "Zürich 漢", &"x:".repeat(200)] {
            let path = account(value);
            let file = Path::parse(format!("{path}/part.parquet")).unwrap();
            store.put(&file, "x".into()).await.unwrap();
            assert!(folder.path().join(&path).join("part.parquet").is_file());
        }
    }
}

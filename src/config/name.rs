//! Names in `jobs.yaml` that become parts of object keys, metrics and the table.

use uuid::Uuid;

/// Parses a name that is used in the lake's keys and file names.
pub(super) fn read_key_name(text: &str) -> Result<String, &'static str> {
    read_name(text)?;
    if ends_like_a_file(text) {
        return Err(
            "ends like the name of one of the lake's files, `-<run>-<n>`; give it another end",
        );
    }
    Ok(text.to_owned())
}

/// Validates a name that is used in object keys, metrics and the table.
pub(super) fn read_name(text: &str) -> Result<(), &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins_well && text.len() <= 64 && text.chars().all(fits) {
        Ok(())
    } else {
        Err(
            "isn't made of up to 64 letters, digits, `_`, `.` and `-`, the first of them a letter or digit",
        )
    }
}

/// Returns whether a name ends in `-<uuid>-<n>`. The key of a file couldn't be split into job, run and number then.
fn ends_like_a_file(name: &str) -> bool {
    let Some((before, number)) = name.rsplit_once('-') else {
        return false;
    };
    let run = before
        .get(before.len().saturating_sub(36)..)
        .unwrap_or_default();
    let numbered = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    numbered && run.len() == 36 && Uuid::try_parse(run).is_ok()
}

//! The ids of records without one, and the content that is stable between reads of a record: the same for landing and
//! for comparisons with the lake.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::reread::occurrence_id;
use crate::model::{Record, hex};
use crate::providers::{Adapter, Page};
use crate::table::canonical_hash;

/// A record with its text, or the bytes and the reason why it can't be parsed.
pub(crate) type Read<'p> = Result<(&'p str, Record<'p>), (&'p [u8], String)>;

/// The number of each record without an id in one answer.
pub(crate) type Occurrences = HashMap<String, usize>;

/// Parses a page's records: each with its text, or its bytes and the reason why it can't be parsed. `ids` are those of
/// the records, for a provider without ids; `occurrences` are the occurrences in the page's answer so far.
pub(crate) fn read_all<'p>(
    adapter: &dyn Adapter,
    page: &'p Page,
    ids: &[Option<String>],
    occurrences: &mut Occurrences,
) -> impl Iterator<Item = Read<'p>> {
    let mut ids = ids.iter();
    page.records.iter().enumerate().map(move |(number, span)| {
        let raw = &page.text[span.clone()];
        let id = ids.next().and_then(Option::as_deref);
        match page.foreign.get(&number) {
            Some(bytes) => Err((bytes.as_slice(), not_utf8(bytes))),
            None => read(adapter, raw, id, occurrences)
                .map(|record| (raw, record))
                .map_err(|reason| (raw.as_bytes(), reason)),
        }
    })
}

/// Returns the reason why a record with these bytes can't be parsed.
fn not_utf8(bytes: &[u8]) -> String {
    let place = match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        Err(error) => error.valid_up_to(),
    };
    let byte = bytes.get(place).copied().unwrap_or_default();
    format!("the record is not UTF-8: byte {place} of it is `0x{byte:02x}`")
}

/// Parses a record. A record without an id gets the given `id`, or a hash of its content; equal records of an answer
/// are numbered.
fn read<'p>(
    adapter: &dyn Adapter,
    raw: &'p str,
    id: Option<&str>,
    occurrences: &mut Occurrences,
) -> Result<Record<'p>, String> {
    let mut record = adapter.record(raw)?;
    if let Some(id) = id {
        record.event_id = id.to_owned().into();
    } else if record.event_id.is_empty() {
        let hash = hash(adapter, raw)?;
        let number = occurrences
            .entry(hash.clone())
            .and_modify(|count| *count += 1)
            .or_insert(1);
        record.event_id = occurrence_id(&hash, *number).into();
    }
    Ok(record)
}

/// Parses a quarantined record: the `number`th of its equals, if it is identified by its content.
pub(crate) fn read_again<'p>(adapter: &dyn Adapter, raw: &'p str, number: usize) -> Read<'p> {
    let read = || {
        let mut record = adapter.record(raw)?;
        if !adapter.has_ids() || record.event_id.is_empty() {
            record.event_id = occurrence_id(&hash(adapter, raw)?, number).into();
        }
        Ok((raw, record))
    };
    read().map_err(|reason| (raw.as_bytes(), reason))
}

fn hash(adapter: &dyn Adapter, raw: &str) -> Result<String, String> {
    canonical_hash(&adapter.stable_content(raw))
        .map_err(|error| crate::telemetry::error_chain(&error))
}

/// Returns a hash of a record's content, without values that the provider resolves at each read; or a hash of its
/// bytes, if it isn't JSON.
pub(crate) fn content(adapter: &dyn Adapter, raw: &str) -> u128 {
    let hash = canonical_hash(&adapter.stable_content(raw))
        .unwrap_or_else(|_| hex(&Sha256::digest(raw)[..16]));
    u128::from_str_radix(&hash, 16).unwrap_or_default() // always 32 digits
}

//! What stands for a record's id, and what two readings of a record have in common: the same for what lands and for what
//! is compared with the lake.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::reread::twin;
use crate::model::{Record, hex};
use crate::providers::{Adapter, Page};
use crate::table::canonical_hash;

/// A record with its text, or its bytes and the reason why it can't be read.
pub(crate) type Read<'p> = Result<(&'p str, Record<'p>), (&'p [u8], String)>;

/// Of the records without id in one answer: how many there were of each.
pub(crate) type Occurrences = HashMap<String, usize>;

/// Reads a page's records: each with its text, or its bytes and the reason why it can't be read. `ids` are theirs, for a
/// provider that gives none; `twins` are those of the page's answer so far.
pub(crate) fn read_all<'p>(
    adapter: &dyn Adapter,
    page: &'p Page,
    ids: &[Option<String>],
    twins: &mut Occurrences,
) -> impl Iterator<Item = Read<'p>> {
    let mut ids = ids.iter();
    page.records.iter().enumerate().map(move |(number, span)| {
        let raw = &page.text[span.clone()];
        let id = ids.next().and_then(Option::as_deref);
        match page.foreign.get(&number) {
            Some(bytes) => Err((bytes.as_slice(), not_utf8(bytes))),
            None => read(adapter, raw, id, twins)
                .map(|record| (raw, record))
                .map_err(|reason| (raw.as_bytes(), reason)),
        }
    })
}

/// Why a record of these bytes can't be read.
fn not_utf8(bytes: &[u8]) -> String {
    let place = match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        Err(error) => error.valid_up_to(),
    };
    let byte = bytes.get(place).copied().unwrap_or_default();
    format!("the record is not UTF-8: byte {place} of it is `0x{byte:02x}`")
}

/// Reads a record. One without an id gets a hash of its content for one, if it has none yet (`id`); equal ones of an
/// answer are twins.
fn read<'p>(
    adapter: &dyn Adapter,
    raw: &'p str,
    id: Option<&str>,
    twins: &mut Occurrences,
) -> Result<Record<'p>, String> {
    let mut record = adapter.record(raw)?;
    if let Some(id) = id {
        record.event_id = id.to_owned().into();
    } else if record.event_id.is_empty() {
        let hash = hash(adapter, raw)?;
        let number = twins
            .entry(hash.clone())
            .and_modify(|count| *count += 1)
            .or_insert(1);
        record.event_id = twin(&hash, *number).into();
    }
    Ok(record)
}

/// Reads a record that was in quarantine: the `number`th of those equal to it, if it is told by its content.
pub(crate) fn read_again<'p>(adapter: &dyn Adapter, raw: &'p str, number: usize) -> Read<'p> {
    let read = || {
        let mut record = adapter.record(raw)?;
        if !adapter.has_ids() || record.event_id.is_empty() {
            record.event_id = twin(&hash(adapter, raw)?, number).into();
        }
        Ok((raw, record))
    };
    read().map_err(|reason| (raw.as_bytes(), reason))
}

fn hash(adapter: &dyn Adapter, raw: &str) -> Result<String, String> {
    canonical_hash(&adapter.lasting(raw)).map_err(|error| crate::telemetry::error_chain(&error))
}

/// A hash of what a record says, without what its provider resolves at each reading; of its bytes, if it is no JSON that
/// can be told apart otherwise.
pub(crate) fn content(adapter: &dyn Adapter, raw: &str) -> u128 {
    let hash =
        canonical_hash(&adapter.lasting(raw)).unwrap_or_else(|_| hex(&Sha256::digest(raw)[..16]));
    u128::from_str_radix(&hash, 16).unwrap_or_default() // 32 digits, either way
}

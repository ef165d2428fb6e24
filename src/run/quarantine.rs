//! The additions of a run to the quarantine of its job.

use std::collections::HashMap;

use super::decode::RefusedRecord;
use super::error::RunError;
use super::event::InFlight;
use crate::foreign;
use crate::lake::quarantine::{self, QuarantineLine};
use crate::lake::{Lake, LakeError};
use crate::model::{Range, Timestamp};

/// The quarantined records without their text.
#[derive(Debug)]
struct KnownLine {
    stream: String,
    asked: Range,
    pulled_at: Timestamp,
}

/// The quarantine of one run.
#[derive(Debug)]
pub(super) struct RunQuarantine {
    lake: Lake,
    job: String,
    /// The records in the lake's quarantine or waiting for it; read when the first unreadable record arrives.
    held: HeldRecords,
    is_read: bool,
    open: Vec<u8>,
    lines: u64,
}

/// The known unreadable records, and how many of them each range in flight has returned.
#[derive(Debug, Default)]
pub(crate) struct HeldRecords {
    /// The known records by id.
    known: HashMap<String, Vec<KnownLine>>,
    /// The number of occurrences in a slot's range, by slot and id.
    shown: HashMap<usize, HashMap<String, usize>>,
}

impl HeldRecords {
    /// Reads the lake's quarantine.
    pub(crate) async fn read(&mut self, lake: &Lake, job: &str) -> Result<(), RunError> {
        self.known = read(lake, job).await?;
        Ok(())
    }

    /// Records that a slot begins a range.
    pub(crate) fn begin(&mut self, slot: usize) {
        self.shown.remove(&slot);
    }

    /// Counts an unreadable record of a range. Returns whether it exceeds the known ones of that range.
    pub(crate) fn adds(
        &mut self,
        slot: usize,
        of: &InFlight,
        id: &str,
        pulled_at: Timestamp,
    ) -> bool {
        let shown = self.shown.entry(slot).or_default();
        let shown = shown.entry(id.to_owned()).or_default();
        *shown += 1;
        let known = self.known.entry(id.to_owned()).or_default();
        if *shown <= known.iter().filter(|line| line.counts_for(of)).count() {
            return false;
        }
        // a range that restarts in this run, or is halved, returns it again
        known.push(KnownLine {
            stream: of.stream.clone(),
            asked: of.requested,
            pulled_at,
        });
        true
    }
}

impl RunQuarantine {
    pub(super) fn new(lake: Lake, job: &str) -> Self {
        Self {
            lake,
            job: job.to_owned(),
            held: HeldRecords::default(),
            is_read: false,
            open: Vec::new(),
            lines: 0,
        }
    }

    /// Records that a slot begins a range.
    pub(crate) fn begin(&mut self, slot: usize) {
        self.held.begin(slot);
    }

    /// Adds an unreadable record, unless its range has it in quarantine already: a re-read adds only records in excess
    /// of that. Returns whether it was added.
    pub(super) async fn record(
        &mut self,
        slot: usize,
        of: &InFlight,
        refused: &RefusedRecord,
        pulled_at: Timestamp,
    ) -> Result<bool, RunError> {
        let RefusedRecord { raw, reason } = refused;
        let reason = &*foreign::line(reason);
        let id = quarantine::id_of(raw);
        if !self.is_read {
            self.held.read(&self.lake, &self.job).await?;
            self.is_read = true;
        }
        if !self.held.adds(slot, of, &id, pulled_at) {
            return Ok(false);
        }
        tracing::warn!(stream = of.stream, range = %of.range, reason, id, "a record can't be read; it is in quarantine");
        let line = QuarantineLine::new(raw, reason.to_owned(), &of.stream, of.requested, pulled_at);
        serde_json::to_writer(&mut self.open, &line).map_err(|error| LakeError::Unreadable {
            key: "quarantine".to_owned(),
            reason: error.to_string(),
        })?;
        self.open.push(b'\n');
        self.lines += 1;
        Ok(true)
    }

    /// Returns the size of the waiting lines in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.open.len()
    }

    /// Takes the waiting lines and their number.
    pub(super) fn flush(&mut self) -> Option<(Vec<u8>, u64)> {
        let lines = std::mem::take(&mut self.lines);
        (lines > 0).then(|| (std::mem::take(&mut self.open), lines))
    }
}

impl KnownLine {
    /// Returns whether a range may return this record: it overlaps the range in which the record was found. A range
    /// that continues from a cursor doesn't return the records of its earlier part.
    fn counts_for(&self, of: &InFlight) -> bool {
        let own = of.resumed && self.asked == of.requested && self.pulled_at >= of.as_of;
        self.stream == of.stream && self.asked.intersection(&of.requested).is_some() && !own
    }
}

/// Reads all lines of a job's quarantine, including acknowledged ones, because a re-read returns these records again.
/// Foreign lines are skipped.
async fn read(lake: &Lake, job: &str) -> Result<HashMap<String, Vec<KnownLine>>, RunError> {
    let mut known: HashMap<String, Vec<KnownLine>> = HashMap::new();
    quarantine::read(lake, job, |found| match found.line {
        Ok(line) => known.entry(line.id).or_default().push(KnownLine {
            stream: line.stream,
            asked: line.asked.0,
            pulled_at: line.pulled_at,
        }),
        Err(reason) => {
            tracing::warn!(place = %found.place, reason, "a line of quarantine can't be read");
        }
    })
    .await?;
    Ok(known)
}

//! What a run adds to the quarantine of its job.

use std::collections::HashMap;

use super::decode::RefusedRecord;
use super::error::RunError;
use super::worker::InFlight;
use crate::foreign;
use crate::lake::quarantine::{self, QuarantineLine};
use crate::lake::{Lake, LakeError};
use crate::model::{Range, Timestamp};

/// What was put there, without the text.
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
    /// What is in the lake's quarantine or on its way; read when the first unreadable record arrives.
    held: HeldRecords,
    is_read: bool,
    open: Vec<u8>,
    lines: u64,
}

/// Unreadable records that are known, and what of them each range in flight has shown.
#[derive(Debug, Default)]
pub(crate) struct HeldRecords {
    /// By id.
    known: HashMap<String, Vec<KnownLine>>,
    /// By slot and id: how many its range has shown.
    shown: HashMap<usize, HashMap<String, usize>>,
}

impl HeldRecords {
    /// Reads what is in the lake's quarantine.
    pub(crate) async fn read(&mut self, lake: &Lake, job: &str) -> Result<(), RunError> {
        self.known = read(lake, job).await?;
        Ok(())
    }

    /// A slot begins a range.
    pub(crate) fn begin(&mut self, slot: usize) {
        self.shown.remove(&slot);
    }

    /// Takes note of an unreadable record that a range shows; whether that is one more than were known of that range.
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
        // a range that is begun again in this run, or halved, shows it again
        known.push(KnownLine {
            stream: of.stream.clone(),
            asked: of.asked,
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

    /// A slot begins a range.
    pub(crate) fn begin(&mut self, slot: usize) {
        self.held.begin(slot);
    }

    /// Takes an unreadable record, unless its range has it in quarantine already: a re-read adds only what exceeds
    /// that. Says whether it is new there.
    pub(super) async fn take(
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
        let line = QuarantineLine::new(raw, reason.to_owned(), &of.stream, of.asked, pulled_at);
        serde_json::to_writer(&mut self.open, &line).map_err(|error| LakeError::Unreadable {
            key: "quarantine".to_owned(),
            reason: error.to_string(),
        })?;
        self.open.push(b'\n');
        self.lines += 1;
        Ok(true)
    }

    /// How many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.open.len()
    }

    /// The lines that wait, and how many.
    pub(super) fn flush(&mut self) -> Option<(Vec<u8>, u64)> {
        let lines = std::mem::take(&mut self.lines);
        (lines > 0).then(|| (std::mem::take(&mut self.open), lines))
    }
}

impl KnownLine {
    /// Whether a range may show this one: it asks for instants that were asked for when it was found. A range that goes
    /// on from a cursor doesn't show what its earlier part has put here.
    fn counts_for(&self, of: &InFlight) -> bool {
        let own = of.resumed && self.asked == of.asked && self.pulled_at >= of.asked_at;
        self.stream == of.stream && self.asked.intersection(&of.asked).is_some() && !own
    }
}

/// All lines of a job's quarantine, acknowledged or not: a re-read shows them again. A line that isn't ours is left
/// alone: it can't be told what it stands for.
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

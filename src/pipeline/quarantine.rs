//! Where unreadable records wait: one JSON object a line, with the reason and where it came from.

use std::collections::HashMap;
use std::ops::Range as Bytes;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::RunError;
use super::pull::InFlight;
use crate::lake::{Lake, LakeError};
use crate::model::{Range, Timestamp, hex};

/// One line of a quarantine file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    /// Hash of the record's bytes.
    id: String,
    /// The text as received.
    raw: String,
    reason: String,
    stream: String,
    /// The range asked.
    from: Timestamp,
    to: Timestamp,
    pulled_at: Timestamp,
}

/// What was put there, without the text.
#[derive(Debug)]
struct Known {
    id: String,
    stream: String,
    asked: Range,
    pulled_at: Timestamp,
}

/// The quarantine of one run.
#[derive(Debug)]
pub(super) struct Quarantine {
    lake: Lake,
    job: String,
    /// What is in the lake's quarantine or on its way; read when the first unreadable record arrives.
    known: Option<Vec<Known>>,
    /// By slot: what its range has in quarantine already and was not yet seen again.
    expected: HashMap<usize, HashMap<String, u64>>,
    open: Vec<u8>,
    lines: u64,
}

impl Quarantine {
    pub(super) fn new(lake: Lake, job: &str) -> Self {
        Self {
            lake,
            job: job.to_owned(),
            known: None,
            expected: HashMap::new(),
            open: Vec::new(),
            lines: 0,
        }
    }

    /// A slot begins a range.
    pub(super) fn begin(&mut self, slot: usize) {
        self.expected.remove(&slot);
    }

    /// Takes an unreadable record, unless its range has it in quarantine already: a re-read adds only what exceeds
    /// that.
    pub(super) async fn take(
        &mut self,
        slot: usize,
        of: &InFlight,
        text: &str,
        span: &Bytes<usize>,
        reason: String,
        pulled_at: Timestamp,
    ) -> Result<(), RunError> {
        let raw = &text[span.clone()];
        let id = id_of(raw);
        let expected = self.expected(slot, of).await?;
        if let Some(left) = expected.get_mut(&id).filter(|left| **left > 0) {
            *left -= 1;
            return Ok(());
        }
        tracing::warn!(stream = of.stream, range = %of.range, reason, id, "a record can't be read; it is in quarantine");
        let line = Line {
            id,
            raw: raw.to_owned(),
            reason,
            stream: of.stream.clone(),
            from: of.asked.from(),
            to: of.asked.to(),
            pulled_at,
        };
        serde_json::to_writer(&mut self.open, &line).map_err(|error| LakeError::Unreadable {
            key: "quarantine".to_owned(),
            reason: error.to_string(),
        })?;
        self.open.push(b'\n');
        self.lines += 1;
        // a range that is begun again in this run, or halved, shows it again
        self.known.get_or_insert_default().push(Known {
            id: line.id,
            stream: line.stream,
            asked: of.asked,
            pulled_at,
        });
        Ok(())
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

    async fn expected(
        &mut self,
        slot: usize,
        of: &InFlight,
    ) -> Result<&mut HashMap<String, u64>, RunError> {
        if self.known.is_none() {
            self.known = Some(read(&self.lake, &self.job).await?);
        }
        let known = self.known.iter().flatten();
        Ok(self.expected.entry(slot).or_insert_with(|| {
            let mut expected = HashMap::new();
            for line in known {
                let overlaps =
                    line.stream == of.stream && line.asked.intersection(&of.asked).is_some();
                // a range that goes on from a cursor has put its earlier lines there itself
                let own = of.resumed && line.asked == of.asked && line.pulled_at >= of.asked_at;
                if overlaps && !own {
                    *expected.entry(line.id.clone()).or_default() += 1;
                }
            }
            expected
        }))
    }
}

/// All lines of a job's quarantine. A line that isn't ours is left alone: it can't be told what it stands for.
async fn read(lake: &Lake, job: &str) -> Result<Vec<Known>, RunError> {
    let mut known = Vec::new();
    lake.read_quarantine(job, |file, lines| {
        for line in lines
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match serde_json::from_slice::<Line>(line) {
                Ok(line) => known.extend(Range::new(line.from, line.to).map(|asked| Known {
                    id: line.id,
                    stream: line.stream,
                    asked,
                    pulled_at: line.pulled_at,
                })),
                Err(error) => tracing::warn!(%file, %error, "a line of quarantine can't be read"),
            }
        }
    })
    .await?;
    Ok(known)
}

fn id_of(raw: &str) -> String {
    hex(&Sha256::digest(raw)[..16])
}

//! Records that can't be parsed, which should be in the job's quarantine.

use crate::model::Timestamp;
use crate::run::event::InFlight;
use crate::run::quarantine::HeldRecords;
use crate::run::{Job, RunError};

/// The provider's unreadable records.
#[derive(Default)]
pub(super) struct UnreadableRecords {
    /// The job's quarantine, read at the first unreadable record.
    quarantine: Option<HeldRecords>,
    met: HeldRecords,
}

/// The state of an unreadable record.
pub(super) struct Unreadable {
    /// Whether it was encountered for the first time.
    pub(super) is_new: bool,
    /// Whether it isn't in quarantine.
    pub(super) is_missing: bool,
}

impl UnreadableRecords {
    /// Records that a slot begins a range.
    pub(super) fn begin(&mut self, slot: usize) {
        self.met.begin(slot);
        if let Some(quarantine) = &mut self.quarantine {
            quarantine.begin(slot);
        }
    }

    /// Records an unreadable record of a range.
    pub(super) async fn add(
        &mut self,
        job: &Job,
        slot: usize,
        window: &InFlight,
        id: &str,
        received_at: Timestamp,
    ) -> Result<Unreadable, RunError> {
        let quarantine = if let Some(quarantine) = &mut self.quarantine {
            quarantine
        } else {
            let mut held = HeldRecords::default();
            held.read(&job.lake, &job.log).await?;
            self.quarantine.insert(held)
        };
        Ok(Unreadable {
            is_new: self.met.adds(slot, window, id, received_at),
            is_missing: quarantine.adds(slot, window, id, received_at),
        })
    }
}

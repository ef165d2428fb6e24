//! Records that can't be read: they should be in the job's quarantine.

use crate::model::Timestamp;
use crate::run::quarantine::HeldRecords;
use crate::run::worker::InFlight;
use crate::run::{Job, RunError};

/// The unreadable records that the provider shows.
#[derive(Default)]
pub(super) struct UnreadableRecords {
    /// The job's quarantine, once an unreadable record was met.
    quarantine: Option<HeldRecords>,
    met: HeldRecords,
}

/// What an unreadable record is news to.
pub(super) struct Unreadable {
    /// Whether it was met for the first time.
    pub(super) is_new: bool,
    /// Whether it isn't in quarantine.
    pub(super) is_missing: bool,
}

impl UnreadableRecords {
    /// A slot begins a range.
    pub(super) fn begin(&mut self, slot: usize) {
        self.met.begin(slot);
        if let Some(quarantine) = &mut self.quarantine {
            quarantine.begin(slot);
        }
    }

    /// Notes an unreadable record that a range shows.
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

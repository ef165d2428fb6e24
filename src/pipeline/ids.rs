//! The ids that the lake has, read from its own files: the lake is the index, there is no other state.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::error::RunError;
use crate::lake::{Lake, LakeError, layout};
use crate::table::{EventIdHash, read_event_ids};

/// How many ids are kept beyond the partitions of the commit under way; 16 bytes each, and the set's slack.
const KEPT: usize = 2_000_000;

/// The ids of one run: those of the lake's own files, partition by partition as they are needed, and the run's own.
#[derive(Debug)]
pub(super) struct Ids {
    lake: Lake,
    job: String,
    partitions: HashMap<String, Partition>,
}

/// The ids of one partition.
#[derive(Debug, Default)]
pub(super) struct Partition {
    ids: HashSet<EventIdHash>,
    used: bool,
}

impl Partition {
    /// Takes an id in; `false` if it is there already.
    pub(super) fn take(&mut self, id: EventIdHash) -> bool {
        self.used = true;
        self.ids.insert(id)
    }
}

impl Ids {
    pub(super) fn new(lake: Lake, job: &str) -> Self {
        Self {
            lake,
            job: job.to_owned(),
            partitions: HashMap::new(),
        }
    }

    /// The ids of a partition; read from the lake when it is first needed.
    pub(super) async fn of(&mut self, partition: &str) -> Result<&mut Partition, RunError> {
        if !self.partitions.contains_key(partition) {
            let ids = self.read(partition).await?;
            tracing::debug!(partition, ids = ids.len(), "read the ids of a partition");
            self.partitions
                .insert(partition.to_owned(), Partition { ids, used: true });
        }
        Ok(self.partitions.entry(partition.to_owned()).or_default())
    }

    async fn read(&self, partition: &str) -> Result<HashSet<EventIdHash>, RunError> {
        let folder =
            self.lake
                .layout
                .partition(partition)
                .map_err(|error| LakeError::Unreadable {
                    key: partition.to_owned(),
                    reason: error.to_string(),
                })?;
        let mut ids = HashSet::new();
        for file in files_of(&self.lake, &self.job, &folder).await? {
            read_event_ids(
                Arc::clone(&self.lake.files),
                &file.location,
                file.size,
                |id| {
                    ids.insert(EventIdHash::of(id));
                },
            )
            .await?;
        }
        Ok(ids)
    }

    /// After a commit: partitions that it didn't touch are let go when there are too many ids. They are in the lake.
    pub(super) fn committed(&mut self) {
        if self
            .partitions
            .values()
            .map(|partition| partition.ids.len())
            .sum::<usize>()
            > KEPT
        {
            self.partitions.retain(|_, partition| partition.used);
        }
        self.partitions
            .values_mut()
            .for_each(|partition| partition.used = false);
    }
}

/// The files of a job below a folder of the table.
pub(super) async fn files_of(
    lake: &Lake,
    job: &str,
    folder: &Path,
) -> Result<Vec<ObjectMeta>, LakeError> {
    let of_job = |file: &ObjectMeta| {
        let name = file.location.filename();
        std::future::ready(name.is_some_and(|name| layout::is_of_job(name, job)))
    };
    let files = lake.store.list(Some(folder)).try_filter(of_job);
    files
        .try_collect()
        .await
        .map_err(LakeError::at("list", folder))
}

//! De-duplication by the ids in the lake's own files, which are the only index. See
//! docs/decisions/0004-deduplicate-by-the-lakes-own-files.md.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use uuid::Uuid;

use super::cache::{IdSet, RunCache};
use super::error::RunError;
use crate::lake::{Lake, LakeError, layout};
use crate::table::{EventIdHash, StoredIds};

/// The number of files that are opened or read concurrently.
const AT_A_TIME: usize = 4;

/// The ids of a run: those of the lake's files, read partition by partition on demand, and the run's own.
#[derive(Debug)]
pub(super) struct RunIds {
    lake: Lake,
    job: String,
    run: Uuid,
    /// The partitions touched by the last or the pending commit. Others are in the process's cache, within its bounds.
    partitions: HashMap<String, PartitionIds>,
    memory: RunCache,
}

/// The ids of a partition.
#[derive(Debug, Default)]
pub(super) struct PartitionIds {
    ids: IdSet,
    /// Whether the pending commit may contain ids of it.
    used: bool,
}

impl PartitionIds {
    /// Adds an id; returns `false` if it exists.
    pub(super) fn insert(&mut self, id: EventIdHash) -> bool {
        self.used = true;
        self.ids.insert(id)
    }
}

impl RunIds {
    /// Creates the ids of a run whose claim `memory` has recorded.
    pub(super) fn new(lake: Lake, job: &str, run: Uuid, memory: RunCache) -> Self {
        Self {
            lake,
            job: job.to_owned(),
            run,
            partitions: HashMap::new(),
            memory,
        }
    }

    /// Returns the ids of a partition; read from the lake on first use, unless they are cached.
    pub(super) async fn of(&mut self, partition: &str) -> Result<&mut PartitionIds, RunError> {
        if !self.partitions.contains_key(partition) {
            let ids = match self.memory.take(&self.job, self.run, partition) {
                Some(kept) => kept,
                None => self.read(partition).await?,
            };
            self.partitions
                .insert(partition.to_owned(), PartitionIds { ids, used: true });
        }
        Ok(self.partitions.entry(partition.to_owned()).or_default())
    }

    async fn read(&self, partition: &str) -> Result<IdSet, RunError> {
        let folder =
            self.lake
                .layout
                .partition(partition)
                .map_err(|error| LakeError::Unreadable {
                    key: partition.to_owned(),
                    reason: error.to_string(),
                })?;
        let files = files_of(&self.lake, &self.job, &folder).await?;
        // all files are opened before the first is read, so that the set is allocated in its final size and never
        // copied to grow
        let opened: Vec<StoredIds> = stream::iter(files)
            .map(|file| StoredIds::open(Arc::clone(&self.lake.files), file.location, file.size))
            .buffered(AT_A_TIME)
            .try_collect()
            .await?;
        let mut ids = IdSet::with_capacity(opened.iter().map(StoredIds::rows).sum());
        let files = opened.len();
        let mut hashes = stream::iter(opened)
            .map(|file| file.hashes().boxed())
            .flatten_unordered(AT_A_TIME);
        while let Some(some) = hashes.try_next().await? {
            ids.extend(some);
        }
        tracing::debug!(
            partition,
            files,
            ids = ids.len(),
            "read the ids of a partition"
        );
        Ok(ids)
    }

    /// Moves the ids of partitions that a commit didn't touch to the process's cache. Those that it touched are likely
    /// to be needed again.
    pub(super) fn committed(&mut self) {
        self.keep_unused();
        self.partitions
            .values_mut()
            .for_each(|partition| partition.used = false);
    }

    /// Moves all ids to the process's cache after the run's last commit.
    pub(super) fn leave(&mut self) {
        self.keep_unused();
    }

    fn keep_unused(&mut self) {
        let unused = self.partitions.extract_if(|_, partition| !partition.used);
        for (name, partition) in unused {
            self.memory.give(&self.job, self.run, name, partition.ids);
        }
    }
}

/// Lists the files of a job below a folder of the table.
pub(crate) async fn files_of(
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

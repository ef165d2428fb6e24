//! The open parts of a run. Their row groups are encoded on the CPU pool, several at a time.

use std::collections::{BTreeMap, VecDeque};

use arrow::array::RecordBatch;

use super::compute::{ComputeTask, CpuPool};
use super::error::RunError;
use crate::table::{EncodedGroup, FinishedPart, Group, PartSpec, PartWriter};

/// The open parts of a run.
pub(super) struct FanoutWriter {
    spec: PartSpec,
    cpu: CpuPool,
    open: BTreeMap<String, PartWriter>,
    /// The row groups that are being encoded, in their order.
    encoding: VecDeque<PendingGroup>,
}

/// A row group that is being encoded.
struct PendingGroup {
    partition: String,
    bytes: usize,
    task: ComputeTask<EncodedGroup>,
}

/// The maximum number of row groups that are being encoded; each holds its rows.
const ON_THEIR_WAY: usize = 2;

impl FanoutWriter {
    pub(super) fn new(spec: PartSpec, cpu: CpuPool) -> Self {
        Self {
            spec,
            cpu,
            open: BTreeMap::new(),
            encoding: VecDeque::new(),
        }
    }

    /// Adds rows to the open part of a partition.
    pub(super) async fn push(
        &mut self,
        partition: &str,
        rows: RecordBatch,
    ) -> Result<(), RunError> {
        let part = match self.open.get_mut(partition) {
            Some(part) => part,
            None => (self.open.entry(partition.to_owned()))
                .or_insert_with(|| PartWriter::new(self.spec.clone())),
        };
        part.push(rows);
        while let Some(group) = self
            .open
            .get_mut(partition)
            .map_or(Ok(None), PartWriter::group)?
        {
            self.encode(partition, group);
            self.take_back(ON_THEIR_WAY).await?;
        }
        Ok(())
    }

    /// Returns the memory held by the parts in bytes.
    pub(super) fn bytes(&self) -> usize {
        let encoding: usize = self.encoding.iter().map(|group| group.bytes).sum();
        self.open.values().map(PartWriter::bytes).sum::<usize>() + encoding
    }

    /// Finishes all parts. Returns the files by partition.
    pub(super) async fn finish(&mut self) -> Result<Vec<(String, FinishedPart)>, RunError> {
        let partitions: Vec<String> = self.open.keys().cloned().collect();
        for partition in &partitions {
            while let Some(group) =
                (self.open.get_mut(partition)).map_or(Ok(None), PartWriter::next_group)?
            {
                self.encode(partition, group);
                self.take_back(ON_THEIR_WAY).await?;
            }
        }
        self.take_back(0).await?;
        let mut files = Vec::new();
        for (partition, part) in std::mem::take(&mut self.open) {
            files.extend(part.finish()?.map(|file| (partition, file)));
        }
        Ok(files)
    }

    fn encode(&mut self, partition: &str, group: Group) {
        self.encoding.push_back(PendingGroup {
            partition: partition.to_owned(),
            bytes: group.bytes(),
            task: self.cpu.begin(|| group.encode()),
        });
    }

    /// Adds encoded row groups to their parts, and waits until at most `at_most` are being encoded.
    async fn take_back(&mut self, at_most: usize) -> Result<(), RunError> {
        while let Some(first) = self.encoding.front()
            && (first.task.is_finished() || self.encoding.len() > at_most)
            && let Some(first) = self.encoding.pop_front()
        {
            let group = first.task.result().await?;
            if let Some(part) = self.open.get_mut(&first.partition) {
                part.add(group)?;
            }
        }
        Ok(())
    }
}

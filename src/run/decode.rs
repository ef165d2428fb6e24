//! A page taken apart: its records read and made into rows, beside the run. Which of them land is the sink's to say.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;

use super::identity::{self, Occurrences, Read};
use super::job::Job;
use crate::model::{PartitionColumn, Record, Timestamp};
use crate::providers::Page;
use crate::table::{EventIdHash, Room, RowBuilder, RowContext, RowError, partition_path};

/// Within it, the partition of two records of one account is the same; in microseconds.
const SAME_PARTITION: i64 = 3_600_000_000;

/// A page that has arrived.
#[derive(Debug)]
pub(crate) struct ReceivedPage {
    /// It.
    pub(crate) page: Page,
    /// Its records' ids, for a provider that gives none.
    pub(crate) ids: Vec<Option<String>>,
    /// When.
    pub(crate) at: Timestamp,
}

/// What is made of a page, beside the run.
pub(crate) trait ReadPage: Send + Sync + 'static {
    /// What is made of it.
    type Made: Send + 'static;

    /// Reads a page's records. `twins` are those of the page's answer so far.
    fn read(
        &self,
        received: &ReceivedPage,
        twins: &mut Occurrences,
    ) -> Result<Self::Made, RowError>;
}

/// Makes rows of a job's pages.
#[derive(Debug)]
pub(super) struct Decoder {
    job: Job,
    /// What the last page took: the next one is like it.
    room: Mutex<Room>,
}

/// A page's records.
#[derive(Debug)]
pub(super) struct DecodedPage {
    /// Those that can be rows, in the page's order.
    pub(super) keys: Vec<RowKey>,
    /// The rows, one for each key.
    pub(super) rows: RecordBatch,
    /// The partitions that the keys point into.
    pub(super) partitions: Vec<String>,
    /// Those that can't be rows.
    pub(super) refused: Vec<RefusedRecord>,
    /// When the page was received.
    pub(super) received_at: Timestamp,
}

/// What decides whether a row lands.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowKey {
    pub(super) id: EventIdHash,
    pub(super) event_time: Timestamp,
    /// Which of [`DecodedPage::partitions`].
    pub(super) partition: usize,
}

/// A record that can't be a row.
#[derive(Debug)]
pub(super) struct RefusedRecord {
    /// As received.
    pub(super) raw: Vec<u8>,
    /// Why not.
    pub(super) reason: String,
}

impl Decoder {
    pub(super) fn new(job: &Job) -> Self {
        Self {
            job: job.clone(),
            room: Mutex::default(),
        }
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a record that was in quarantine: the `number`th of those equal to it, where records have no ids.
    pub(super) fn again(
        &self,
        raw: &str,
        number: usize,
        received_at: Timestamp,
    ) -> Result<DecodedPage, RowError> {
        let record = identity::read_again(self.job.source.adapter.as_ref(), raw, number);
        let rows = RowBuilder::new(&self.job.partition_by);
        self.records(rows, std::iter::once(record), received_at)
    }

    fn records<'p>(
        &self,
        mut rows: RowBuilder,
        records: impl Iterator<Item = Read<'p>>,
        received_at: Timestamp,
    ) -> Result<DecodedPage, RowError> {
        let context = RowContext {
            provider: self.job.provider,
            connection: &self.job.connection,
            account_id: &self.job.account_id,
            job: &self.job.log,
            ingested_at: received_at,
        };
        let (mut keys, mut refused) = (Vec::new(), Vec::new());
        let mut partitions = PagePartitions::default();
        for read in records {
            let pushed =
                read.and_then(
                    |(raw, record)| match rows.push(&record, &context, raw, None) {
                        Ok(()) => Ok(Ok(record)),
                        Err(error @ RowError::TooLarge { .. }) => {
                            Err((raw.as_bytes(), error.to_string()))
                        }
                        Err(error) => Ok(Err(error)),
                    },
                );
            match pushed {
                Ok(record) => {
                    let record = record?;
                    keys.push(RowKey {
                        id: EventIdHash::of(&record.event_id),
                        event_time: record.event_time,
                        partition: partitions.of(&self.job.partition_by, &context, &record),
                    });
                }
                Err((raw, reason)) => refused.push(RefusedRecord {
                    raw: raw.to_owned(),
                    reason,
                }),
            }
        }
        if !keys.is_empty() {
            *self.room() = rows.room();
        }
        Ok(DecodedPage {
            keys,
            rows: rows.finish()?,
            partitions: partitions.paths,
            refused,
            received_at,
        })
    }
}

impl ReadPage for Decoder {
    type Made = DecodedPage;

    fn read(
        &self,
        received: &ReceivedPage,
        twins: &mut Occurrences,
    ) -> Result<DecodedPage, RowError> {
        let page = &received.page;
        let room = self.room().clone();
        let rows = RowBuilder::new(&self.job.partition_by).with_room(
            page.records.len(),
            page.text.len(),
            &room,
        );
        let records =
            identity::read_all(self.job.source.adapter.as_ref(), page, &received.ids, twins);
        self.records(rows, records, received.at)
    }
}

/// The partitions of a page, each made once.
#[derive(Default)]
struct PagePartitions {
    paths: Vec<String>,
    /// The last record's hour and account, and which of `paths` was its.
    last: Option<(i64, String, usize)>,
}

impl PagePartitions {
    fn of(
        &mut self,
        columns: &[PartitionColumn],
        context: &RowContext<'_>,
        record: &Record<'_>,
    ) -> usize {
        let hour = (record.event_time.timestamp_micros()).div_euclid(SAME_PARTITION);
        let account = context.account_id(record);
        if let Some((last_hour, last_account, index)) = &self.last
            && (*last_hour, last_account.as_str()) == (hour, account)
        {
            return *index;
        }
        let path = partition_path(
            columns,
            context.provider,
            context.connection,
            account,
            record.event_time,
        );
        let have = self.paths.iter().position(|have| *have == path);
        let index = have.unwrap_or_else(|| {
            self.paths.push(path);
            self.paths.len() - 1
        });
        self.last = Some((hour, account.to_owned(), index));
        index
    }
}

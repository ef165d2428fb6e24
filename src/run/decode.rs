//! Decoding: parses a page's records and turns them into rows on the CPU pool. The sink decides which of them land.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;

use super::identity::{self, Occurrences, Read};
use super::job::Job;
use crate::model::{PartitionColumn, Record, Timestamp};
use crate::providers::Page;
use crate::table::{EventIdHash, Room, RowBuilder, RowContext, RowError, partition_path};

/// Two records of an account in the same such interval have the same partition; in microseconds.
const SAME_PARTITION: i64 = 3_600_000_000;

/// A received page.
#[derive(Debug)]
pub(crate) struct ReceivedPage {
    /// The page.
    pub(crate) page: Page,
    /// The ids of its records, for a provider without ids.
    pub(crate) ids: Vec<Option<String>>,
    /// When it was received.
    pub(crate) at: Timestamp,
}

/// The result of decoding a page.
pub(crate) trait ReadPage: Send + Sync + 'static {
    /// The decoded page.
    type Made: Send + 'static;

    /// Decodes a page's records. `occurrences` are the occurrences in the page's answer so far.
    fn read(
        &self,
        received: &ReceivedPage,
        occurrences: &mut Occurrences,
    ) -> Result<Self::Made, RowError>;
}

/// Turns a job's pages into rows.
#[derive(Debug)]
pub(super) struct Decoder {
    job: Job,
    /// The size of the last page's rows; the next page is similar.
    room: Mutex<Room>,
}

/// The decoded records of a page.
#[derive(Debug)]
pub(super) struct DecodedPage {
    /// The keys of records that became rows, in the page's order.
    pub(super) keys: Vec<RowKey>,
    /// The rows, one for each key.
    pub(super) rows: RecordBatch,
    /// The partitions to which the keys refer.
    pub(super) partitions: Vec<String>,
    /// The records that can't become rows.
    pub(super) refused: Vec<RefusedRecord>,
    /// When the page was received.
    pub(super) received_at: Timestamp,
}

/// The part of a row that decides whether it lands.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowKey {
    pub(super) id: EventIdHash,
    pub(super) event_time: Timestamp,
    /// The index in [`DecodedPage::partitions`].
    pub(super) partition: usize,
}

/// A record that can't become a row.
#[derive(Debug)]
pub(super) struct RefusedRecord {
    /// The bytes as received.
    pub(super) raw: Vec<u8>,
    /// The reason.
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

    /// Decodes a quarantined record: the `number`th of its equals, if records have no ids.
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
        occurrences: &mut Occurrences,
    ) -> Result<DecodedPage, RowError> {
        let page = &received.page;
        let room = self.room().clone();
        let rows = RowBuilder::new(&self.job.partition_by).with_room(
            page.records.len(),
            page.text.len(),
            &room,
        );
        let records = identity::read_all(
            self.job.source.adapter.as_ref(),
            page,
            &received.ids,
            occurrences,
        );
        self.records(rows, records, received.at)
    }
}

/// The partitions of a page, each created once.
#[derive(Default)]
struct PagePartitions {
    paths: Vec<String>,
    /// The last record's hour and account, and the index of its path.
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

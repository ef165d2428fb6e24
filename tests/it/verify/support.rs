//! A job on a simulated provider, its range verified; and a lake broken by hand.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::record_batch::RecordBatch;
use auditlake::clock::Clock;
use auditlake::model::{Range, Timestamp};
use auditlake::run::{RunError, RunOptions};
use auditlake::verify::{ComparedDay, Verification};
use chrono::DateTime;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio_util::sync::CancellationToken;

use crate::support::rig::{self, Rig, Row, Simulator};

/// A jobs.yaml with one connection and one job.
pub(super) fn jobs(provider: &str, connection: &str, job: &str) -> String {
    let job = format!(
        "    schedule: '@hourly'
    start: 2026-03-01
    lag: 2m
    {job}"
    );
    rig::jobs(provider, connection, &job)
}

pub(super) async fn try_verify<S: Simulator>(
    rig: &Rig<S>,
    range: Range,
    now: Timestamp,
) -> Result<Verification, RunError> {
    rig.sim.set_now(now);
    let options = RunOptions {
        clock: Clock::AsOf(now),
        ..RunOptions::new(CancellationToken::new())
    };
    auditlake::verify::verify(&rig.job, range, &options).await
}

/// Verifies, and fails if a part of the range couldn't be.
pub(super) async fn verify<S: Simulator>(
    rig: &Rig<S>,
    range: Range,
    now: Timestamp,
) -> Verification {
    let verification = try_verify(rig, range, now).await.unwrap();
    assert!(!verification.is_partial(), "{verification:?}");
    verification
}

/// Shown, rows, missing, extra, altered, doubled, unjudged.
pub(super) type Counts = [u64; 7];

pub(super) fn counts(day: &ComparedDay) -> Counts {
    [
        day.shown,
        day.rows,
        day.missing.count,
        day.extra.count,
        day.altered.count,
        day.doubled.count,
        day.unjudged,
    ]
}

/// The days with findings, as `2026-03-01`: missing, extra, altered, doubled.
pub(super) fn findings(verification: &Verification) -> BTreeMap<String, [u64; 4]> {
    let days = verification.days.iter().filter(|(_, day)| day.differs());
    days.map(|(date, day)| {
        let [_, _, missing, extra, altered, doubled, _] = counts(day);
        (date.to_string(), [missing, extra, altered, doubled])
    })
    .collect()
}

pub(super) fn day_of(row: &Row) -> String {
    let time = DateTime::from_timestamp_micros(row.time).unwrap();
    time.date_naive().to_string()
}

/// Every object of the lake, and what tells it from an overwritten one.
pub(super) async fn objects<S: Simulator>(rig: &Rig<S>) -> Vec<(String, Option<String>)> {
    let objects = rig.job.lake.store.list(None);
    let objects = objects.map_ok(|object| (object.location.to_string(), object.e_tag));
    let mut objects: Vec<_> = objects.try_collect().await.unwrap();
    objects.sort();
    objects
}

async fn bytes_of<S: Simulator>(rig: &Rig<S>, file: &str) -> bytes::Bytes {
    let key = Path::parse(file).unwrap();
    let found = rig.job.lake.store.get(&key);
    found.await.unwrap().bytes().await.unwrap()
}

/// Takes a published file away, and returns its rows.
pub(super) async fn delete<S: Simulator>(rig: &Rig<S>, file: &str) -> Vec<Row> {
    let mut rows = rig.rows().await;
    rows.retain(|row| row.file == file);
    let key = Path::parse(file).unwrap();
    rig.job.lake.store.delete(&key).await.unwrap();
    rows
}

/// Writes a published file again, with all of its columns.
pub(super) async fn rewrite<S: Simulator>(
    rig: &Rig<S>,
    file: &str,
    change: impl FnOnce(RecordBatch) -> RecordBatch,
) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes_of(rig, file).await).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let batch = change(concat_batches(&schema, &batches).unwrap());
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let key = Path::parse(file).unwrap();
    rig.job.lake.store.put(&key, bytes.into()).await.unwrap();
}

fn place(batch: &RecordBatch, id: &str) -> usize {
    let ids = batch.column_by_name("event_id").unwrap().as_string::<i32>();
    (0..ids.len()).find(|row| ids.value(*row) == id).unwrap()
}

/// Without the row of that id.
pub(super) fn without(batch: &RecordBatch, id: &str) -> RecordBatch {
    let gone = place(batch, id);
    let keep: BooleanArray = (0..batch.num_rows()).map(|row| Some(row != gone)).collect();
    filter_record_batch(batch, &keep).unwrap()
}

/// With the row of that id once more.
pub(super) fn with_copy(batch: &RecordBatch, id: &str) -> RecordBatch {
    let row = batch.slice(place(batch, id), 1);
    concat_batches(&batch.schema(), [batch, &row]).unwrap()
}

/// With another text in one column of the row of that id.
pub(super) fn with_text(
    batch: &RecordBatch,
    id: &str,
    column: &str,
    text: impl Fn(&str) -> String,
) -> RecordBatch {
    let changed = place(batch, id);
    let (index, _) = batch.schema().column_with_name(column).unwrap();
    let old = batch.column(index).as_string::<i32>();
    let new: StringArray = (old.iter().enumerate())
        .map(|(row, value)| {
            value.map(|value| {
                if row == changed {
                    text(value)
                } else {
                    value.to_owned()
                }
            })
        })
        .collect();
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns[index] = Arc::new(new);
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

/// With a row that the provider never showed: the row of that id under another one.
pub(super) fn with_made_up(batch: &RecordBatch, id: &str) -> RecordBatch {
    let row = with_text(&batch.slice(place(batch, id), 1), id, "event_id", |_| {
        "made up".to_owned()
    });
    concat_batches(&batch.schema(), [batch, &row]).unwrap()
}

/// A record that says something else.
pub(super) fn tampered(raw: &str) -> String {
    raw.replacen('{', r#"{"tampered":[1,"é"],"#, 1)
}

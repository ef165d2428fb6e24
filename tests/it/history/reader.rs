//! Who looks at the history again and again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use auditlake::clock::real_now;
use auditlake::history::{self, HistoryReader, RangeOutcome};
use auditlake::lake;
use chrono::{Days, TimeDelta};
use object_store::ObjectStoreExt as _;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;

use super::support::*;
use crate::support::rig::lake_in_memory;
use crate::support::store::{Answer, Fault, FaultStore};

/// A minute later; nothing else about it is recorded.
async fn wait() {
    tokio::time::advance(Duration::from_mins(1)).await;
}

#[tokio::test(start_paused = true)]
async fn only_what_was_added_is_read_again() {
    let rig = rig().await;
    live(&rig).await;
    age(&rig.job.lake, TimeDelta::days(2)).await;
    history::build(&rig.job.lake, real_now()).await.unwrap();
    rig.tick(at("2026-03-04T12:00:00Z")).await;
    let process = FaultStore::new(&rig.job.lake.store, &Arc::default(), Fault::None);
    let process = process.skewed(TimeDelta::zero());
    let reader = HistoryReader::new(process.lake());
    let first = reader.read(real_now()).await;
    assert_eq!(first.problems, [""; 0]);
    assert_eq!(
        Sums::of_rows(&first.history.rows),
        Sums::of_lake(&rig).await
    );
    let calls = process.calls();
    reader.read(real_now()).await;
    assert_eq!(process.calls(), calls);
    wait().await;
    let second = reader.read(real_now()).await;
    assert_eq!(second.history.rows, first.history.rows);
    // the table, the jobs, the job's log
    assert_eq!(process.calls(), calls + 3);

    let before = log(&rig.job.lake).await.len();
    rig.tick(at("2026-03-05T12:00:00Z")).await;
    let added = (log(&rig.job.lake).await.len() - before) as u64;
    wait().await;
    let third = reader.read(real_now()).await;
    assert_eq!(process.calls(), calls + 6 + added);
    assert_eq!(
        Sums::of_rows(&third.history.rows),
        Sums::of_lake(&rig).await
    );
    assert!(third.history.rows.len() > second.history.rows.len());

    // what was the logs' to tell is the table's now
    age(&rig.job.lake, TimeDelta::days(1)).await;
    history::build(&rig.job.lake, real_now()).await.unwrap();
    wait().await;
    let fourth = reader.read(real_now()).await;
    assert_eq!(
        Sums::of_rows(&fourth.history.rows),
        Sums::of_lake(&rig).await
    );
    assert_eq!(fourth.history.rows.len(), third.history.rows.len());
    let runs = fourth.history.runs(Some(JOB), None, usize::MAX);
    assert!(runs.is_sorted_by(|one, other| one.id > other.id));
    let outcomes: Vec<RangeOutcome> = runs.iter().map(|run| run.outcome).collect();
    for outcome in [
        RangeOutcome::Finished,
        RangeOutcome::Failed,
        RangeOutcome::Lost,
    ] {
        assert!(outcomes.contains(&outcome), "{outcomes:?}");
    }
}

/// A request for a page has half a minute, and a browser may leave at once.
#[tokio::test(start_paused = true)]
async fn what_was_begun_is_read_to_its_end_when_nobody_waits_for_it() {
    let rig = rig().await;
    live(&rig).await;
    let process = || {
        let process = FaultStore::new(&rig.job.lake.store, &Arc::default(), Fault::None);
        process.skewed(TimeDelta::zero())
    };
    let patient = process();
    HistoryReader::new(patient.lake()).read(real_now()).await;
    let whole = patient.calls();
    assert!(whole > 10, "{whole}");

    let (process, mut turns) = process().in_turns();
    let reader = HistoryReader::new(process.lake());
    let half = async {
        for _ in 0..whole / 2 {
            turns.recv().await.unwrap().take(Answer::Arrives).await;
        }
    };
    tokio::select! {
        _ = reader.read(real_now()) => panic!("it was read with half of the calls"),
        () = half => {}
    }
    let all = async {
        while let Some(turn) = turns.recv().await {
            turn.take(Answer::Arrives).await;
        }
    };
    let known = tokio::select! {
        known = reader.read(real_now()) => known,
        () = all => panic!("nobody reads"),
    };
    assert_eq!(process.calls(), whole);
    assert_eq!(known.problems, [""; 0]);
    assert_eq!(
        Sums::of_rows(&known.history.rows),
        Sums::of_lake(&rig).await
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_than_eight_requests_are_under_way_at_a_time() {
    let (lake, _) = lake_in_memory().await;
    for job in 0..12 {
        for _ in 0..12 {
            let run = lake::LogRun::new(&format!("job-{job}"), TimeDelta::zero());
            lake::JobLog::claim(&lake, run).await.unwrap();
        }
    }
    let process = FaultStore::new(&lake.store, &Arc::default(), Fault::None);
    let (process, mut turns) = process.skewed(TimeDelta::zero()).in_turns();
    let reader = HistoryReader::new(process.lake());
    let (mut under_way, mut most) = (VecDeque::new(), 0);
    let granting = async {
        loop {
            // every process that can make a request makes it, before any is answered
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            while let Ok(turn) = turns.try_recv() {
                under_way.push_back(turn);
            }
            most = most.max(under_way.len());
            if let Some(turn) = under_way.pop_front() {
                turn.take(Answer::Arrives).await;
            }
        }
    };
    let known = tokio::select! {
        known = reader.read(real_now()) => known,
        () = granting => panic!("nobody reads"),
    };
    assert_eq!(known.problems, [""; 0]);
    assert_eq!(known.history.rows.len(), 12 * 12);
    assert_eq!(most, 8);
}

#[tokio::test]
async fn a_file_that_is_broken_or_foreign_is_told_of_and_hides_nothing_else() {
    let rig = rig().await;
    live(&rig).await;
    let lake = &rig.job.lake;
    let old = real_now().date_naive() - Days::new(9);
    let put = async |days: u64, bytes: Vec<u8>| {
        let key = lake.layout.runs_of(old - Days::new(days));
        lake.store.put(&key, bytes.into()).await.unwrap();
    };
    put(0, b"PAR1, or not".to_vec()).await;
    // of a table that has one column of ours, and another one
    let schema = Arc::new(Schema::new(vec![
        Field::new("new", DataType::Int64, false),
        Field::new("mood", DataType::Int64, false),
    ]));
    let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(&one), one]).unwrap();
    let mut foreign = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    foreign.write(&batch).unwrap();
    put(1, foreign.into_inner().unwrap()).await;

    let known = history::History::load(lake, real_now()).await;
    assert_eq!(known.problems.len(), 1, "{:?}", known.problems);
    assert!(
        known.problems[0].contains(&old.to_string()),
        "{:?}",
        known.problems
    );
    assert_eq!(
        Sums::of_rows(&known.history.rows),
        Sums::of_lake(&rig).await
    );
    // but no file is written after one that can't be read: its rows would be there twice, or not at all
    let later = real_now() + TimeDelta::days(2);
    let error = history::build(lake, later).await.unwrap_err();
    assert!(error.to_string().contains(&old.to_string()), "{error}");
}

/// A file of a later version has more columns, one of an earlier version fewer.
#[tokio::test]
async fn columns_that_are_unknown_are_passed_over() {
    let rig = rig().await;
    live(&rig).await;
    let lake = &rig.job.lake;
    age(lake, TimeDelta::days(2)).await;
    history::build(lake, real_now()).await.unwrap();
    for (day, file) in files(lake).await {
        let batches = batches(&file);
        let Some(first) = batches.first() else {
            continue;
        };
        let mut fields = first.schema().fields().to_vec();
        fields.retain(|field| field.name() != "retries");
        fields.insert(0, Arc::new(Field::new("mood", DataType::Int64, false)));
        let schema = Arc::new(Schema::new(fields));
        let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), None).unwrap();
        for batch in batches {
            let columns = schema.fields().iter().map(|field| {
                let moods = || Arc::new(Int64Array::from(vec![7; batch.num_rows()])) as ArrayRef;
                batch
                    .column_by_name(field.name())
                    .map_or_else(moods, Arc::clone)
            });
            let columns = columns.collect();
            writer
                .write(&RecordBatch::try_new(Arc::clone(&schema), columns).unwrap())
                .unwrap();
        }
        for entry in footer(&file) {
            writer.append_key_value_metadata(entry);
        }
        let key = lake.layout.runs_of(day);
        let bytes = writer.into_inner().unwrap();
        lake.store.put(&key, bytes.into()).await.unwrap();
    }
    let known = history::History::load(lake, real_now()).await;
    assert_eq!(known.problems, [""; 0]);
    let truth = Sums::of_lake(&rig).await;
    assert!(truth.retries > 0);
    let read = Sums {
        retries: truth.retries,
        ..Sums::of_rows(&known.history.rows)
    };
    assert_eq!(read, truth);
}

fn footer(file: &bytes::Bytes) -> Vec<KeyValue> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
    let footer = reader.metadata().file_metadata().key_value_metadata();
    let mut footer = footer.cloned().unwrap();
    footer.retain(|entry| entry.key.starts_with("auditlake."));
    footer
}

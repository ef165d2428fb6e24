//! A job's log compared with its rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use auditlake::clock::real_now;
use auditlake::history::RunFold;
use auditlake::lake::{self, Lake};
use chrono::NaiveDate;
use object_store::ObjectStore;
use object_store::path::Path;

use super::reader::Row;

/// Whatever happened to runs, the log counts each row once as new, with its day and whether it was late; unless a part
/// of the log or of the rows still to be published is gone.
pub(crate) async fn assert_adds_up(store: &Arc<dyn ObjectStore>, rows: &[Row], context: &str) {
    let lake = Lake::in_store("memory:///", Arc::clone(store), Path::default());
    let newest = lake::newest(&lake, "job").await.unwrap().unwrap();
    if !lake::unpublished(&lake, &newest).await.unwrap().is_empty() {
        return;
    }
    let mut runs = RunFold::default();
    for (number, version) in (1..).zip(lake::versions(&lake, "job", 0).await.unwrap()) {
        if version.number != number {
            return;
        }
        let commit = lake::commit(&lake, "job", number).await.unwrap();
        runs.take(commit.unwrap());
    }
    let (mut new, mut were_late, mut days) = (0, 0, BTreeMap::<NaiveDate, u64>::new());
    for row in runs.rows(real_now()) {
        new += row.counts.new;
        were_late += row.counts.late;
        assert_eq!(row.delays.values().sum::<u64>(), row.counts.late);
        for (day, rows) in row.days {
            *days.entry(day).or_default() += rows;
        }
    }
    let mut truth = BTreeMap::<NaiveDate, u64>::new();
    for row in rows {
        *truth.entry(row.event_time.date_naive()).or_default() += 1;
    }
    let marked = rows.iter().filter(|row| row.late).count() as u64;
    assert_eq!(
        (new, were_late, days),
        (rows.len() as u64, marked, truth),
        "{context}: the log doesn't say what is in the lake"
    );
}

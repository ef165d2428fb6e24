//! Somebody who queries the lake with nothing but a glob, and looks again after every change.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use auditlake::model::Timestamp;
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// One row of the table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) event_id: String,
    pub(crate) event_time: Timestamp,
    pub(crate) raw: String,
    pub(crate) late: bool,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            event_id,
            event_time,
            raw,
            late,
        } = self;
        let late = if *late { ", late" } else { "" };
        write!(f, "{event_id} of {event_time}, {} bytes{late}", raw.len())
    }
}

/// What it saw, and what must never be seen.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    seen: Mutex<Seen>,
    /// One look at a time: an older one would miss what a newer one has seen.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Seen {
    files: BTreeMap<Path, (Bytes, Vec<Row>)>,
    violations: Vec<String>,
}

impl Reader {
    /// Looks at every published file: none may be altered or gone, and no event may be in two rows.
    pub(crate) async fn look(&self, store: &Arc<dyn ObjectStore>) {
        let _one = self.looking.lock().await;
        let mut now = BTreeMap::new();
        for key in keys(store, "").await {
            if is_published(&key) {
                let bytes = store.get(&key).await.unwrap().bytes().await.unwrap();
                now.insert(key, bytes);
            }
        }
        let Seen { files, violations } = &mut *self.seen.lock().unwrap();
        for (key, (before, _)) in &*files {
            match now.get(key) {
                None => violations.push(format!("{key} is gone")),
                Some(bytes) if bytes != before => violations.push(format!("{key} was altered")),
                Some(_) => {}
            }
        }
        for (key, bytes) in now {
            files.entry(key.clone()).or_insert_with(|| {
                let rows = match key.extension() {
                    Some("parquet") => rows(&bytes),
                    _ => Vec::new(),
                };
                (bytes, rows)
            });
        }
        let mut ids: Vec<_> = files.values().flat_map(|(_, rows)| rows).collect();
        ids.sort();
        violations.extend(
            ids.windows(2)
                .filter(|two| two[0].event_id == two[1].event_id)
                .map(|two| format!("{} is there twice", two[0].event_id)),
        );
    }

    /// What must not have been seen, and was.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.seen.lock().unwrap().violations.clone()
    }

    /// All rows, sorted.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let seen = self.seen.lock().unwrap();
        let mut rows: Vec<Row> = seen
            .files
            .values()
            .flat_map(|(_, rows)| rows.clone())
            .collect();
        rows.sort();
        rows
    }

    /// The records in quarantine, sorted.
    pub(crate) fn quarantined(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let mut raws = Vec::new();
        for (key, (bytes, _)) in &seen.files {
            if key.as_ref().contains("/quarantine/") {
                for line in serde_json::Deserializer::from_slice(bytes).into_iter() {
                    let line: serde_json::Value = line.unwrap();
                    raws.push(line["raw"].as_str().unwrap().to_owned());
                }
            }
        }
        raws.sort();
        raws
    }
}

/// Every key of the store below `folder`.
pub(crate) async fn keys(store: &Arc<dyn ObjectStore>, folder: &str) -> Vec<Path> {
    let folder = Path::from(folder);
    let listing = store.list(Some(&folder)).map_ok(|object| object.location);
    listing.try_collect().await.unwrap()
}

fn is_published(key: &Path) -> bool {
    let key = key.as_ref();
    key.starts_with("audit_events/") && key.ends_with(".parquet")
        || key.contains("/quarantine/")
        || key.contains("/acknowledged/")
}

fn rows(file: &Bytes) -> Vec<Row> {
    let batches = ParquetRecordBatchReaderBuilder::try_new(file.clone())
        .unwrap()
        .build()
        .unwrap();
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch.unwrap();
        let column = |name| batch.column_by_name(name).unwrap();
        let (ids, texts) = (
            column("event_id").as_string::<i32>(),
            column("raw").as_string::<i32>(),
        );
        let times = column("event_time").as_primitive::<TimestampMicrosecondType>();
        let late = column("late_by_ms").as_primitive::<Int64Type>();
        rows.extend((0..batch.num_rows()).map(|row| Row {
            event_id: ids.value(row).to_owned(),
            event_time: Timestamp::from_timestamp_micros(times.value(row)).unwrap(),
            raw: texts.value(row).to_owned(),
            late: late.is_valid(row),
        }));
    }
    rows
}

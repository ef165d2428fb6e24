//! A reader that queries the lake with only a glob, and reads again after every change.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Whether the store lies: files that aren't whole may be there until they are.
    suspicious: AtomicBool,
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
                if !self.suspicious.load(Ordering::Relaxed) || is_whole(&key, &bytes) {
                    now.insert(key, bytes);
                }
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

    /// From now on the store may lie: files that aren't whole are passed over.
    pub(crate) fn expect_lies(&self) {
        self.suspicious.store(true, Ordering::Relaxed);
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

    /// The rows of a file of the table, if it was seen.
    pub(crate) fn rows_of(&self, key: &Path) -> Option<Vec<Row>> {
        let seen = self.seen.lock().unwrap();
        let (_, rows) = seen.files.get(key)?;
        (key.extension() == Some("parquet")).then(|| rows.clone())
    }

    /// The records in quarantine, sorted; what others put there is none.
    pub(crate) fn quarantined(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let mut raws = Vec::new();
        for (key, (bytes, _)) in &seen.files {
            if key.as_ref().contains("/quarantine/") && key.extension() == Some("jsonl") {
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

/// Names for ids, and nothing for times: two executions in which the same happened read the same.
///
/// An id is named after the process that writes it first and how many that one wrote before, so that its name doesn't
/// depend on what others do meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<HashMap<String, String>>);

impl Names {
    /// Names the ids in what `author` is about to write.
    pub(crate) fn learn(&self, author: usize, text: &str) {
        let names = &mut *self.0.lock().unwrap();
        for id in ids(text) {
            if !names.contains_key(id) {
                let before = names
                    .values()
                    .filter(|name| name.starts_with(&format!("<{author}.")));
                let name = format!("<{author}.{}>", before.count());
                names.insert(id.to_owned(), name);
            }
        }
    }

    /// The text with names for the ids in it.
    pub(crate) fn text(&self, text: &str) -> String {
        let names = self.0.lock().unwrap();
        let mut text = text.to_owned();
        let found: Vec<String> = ids(&text).map(str::to_owned).collect();
        for id in found {
            if let Some(name) = names.get(&id) {
                text = text.replace(&id, name);
            }
        }
        text
    }

    /// The content of an object without times, lengths and the number of requests sent so far.
    pub(crate) fn object(&self, key: &Path, bytes: &Bytes) -> String {
        if bytes.starts_with(b"PAR1") {
            return format!("{:?}", rows(bytes));
        }
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        if key.as_ref().contains("/commits/")
            && let Ok(mut commit) = serde_json::from_slice::<serde_json::Value>(bytes)
        {
            commit["at"].take();
            commit["claim"]["expires_at"].take();
            for file in commit["files"].as_array_mut().into_iter().flatten() {
                file["bytes"].take();
            }
            for pulled in commit["pulled"].as_array_mut().into_iter().flatten() {
                let pulled = pulled.as_object_mut().unwrap();
                pulled.remove("calls");
                pulled.remove("retries");
            }
            if let Some(ended) = commit
                .get_mut("ended")
                .and_then(|ended| ended.as_object_mut())
            {
                ended.retain(|key, _| key == "failures");
            }
            text = commit.to_string();
        }
        self.text(&text)
    }

    /// All that is in a store.
    pub(crate) async fn store(&self, store: &Arc<dyn ObjectStore>) -> String {
        let mut text = String::new();
        for key in keys(store, "").await {
            let bytes = store.get(&key).await.unwrap().bytes().await.unwrap();
            let content = self.object(&key, &bytes);
            writeln!(text, "{}: {content}", self.text(key.as_ref())).unwrap();
        }
        text
    }
}

/// The UUIDs in a text.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    let is_id = |text: &&str| {
        let shape = text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
        shape && uuid::Uuid::try_parse(text).is_ok()
    };
    (0..text.len().saturating_sub(35))
        .filter_map(|from| text.get(from..from + 36))
        .filter(is_id)
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

/// Whether a file can be read to its end.
fn is_whole(key: &Path, bytes: &Bytes) -> bool {
    if let Some("parquet") = key.extension() {
        ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).is_ok()
    } else {
        let mut lines = serde_json::Deserializer::from_slice(bytes).into_iter();
        !bytes.is_empty() && lines.all(|line: serde_json::Result<serde_json::Value>| line.is_ok())
    }
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

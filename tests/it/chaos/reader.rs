//! A reader that lists and reads the table continuously while it is written, with the store's own client.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Microseconds, and the record's bytes.
pub(super) type Row = (i64, String);

/// What it has seen. Panics at what must never be seen.
pub(super) struct Reader {
    store: Arc<dyn ObjectStore>,
    table: Path,
    files: BTreeMap<Path, Option<String>>,
    /// The file that each job's event lies in.
    ids: HashMap<(String, String), Path>,
    rows: BTreeMap<String, Vec<Row>>,
    looks: u64,
}

/// A reader at work.
pub(super) struct Looking {
    task: JoinHandle<Reader>,
    enough: CancellationToken,
}

impl Reader {
    /// Of the lake below `root`.
    pub(super) fn new(store: &Arc<dyn ObjectStore>, root: &Path) -> Self {
        Self {
            store: Arc::clone(store),
            table: root.clone().join("audit_events"),
            files: BTreeMap::new(),
            ids: HashMap::new(),
            rows: BTreeMap::new(),
            looks: 0,
        }
    }

    /// Looks again: no file may be gone or altered, and no event may be there twice.
    pub(super) async fn look(&mut self) {
        let listing = self.store.list(Some(&self.table));
        let found: Vec<_> = listing.try_collect().await.unwrap();
        let now: BTreeMap<_, _> = found
            .into_iter()
            .map(|file| (file.location, file.e_tag))
            .collect();
        for (key, before) in &self.files {
            let tag = now.get(key).unwrap_or_else(|| panic!("{key} is gone"));
            assert_eq!(tag, before, "{key} was altered");
        }
        for (key, tag) in now {
            if !self.files.contains_key(&key) {
                self.read(&key).await;
                self.files.insert(key, tag);
            }
        }
        self.looks += 1;
    }

    async fn read(&mut self, key: &Path) {
        assert_eq!(key.extension(), Some("parquet"), "{key}");
        let bytes = self.store.get(key).await.unwrap().bytes().await.unwrap();
        let batches = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .unwrap_or_else(|error| panic!("{key} is half written: {error}"));
        for batch in batches.build().unwrap() {
            let batch = batch.unwrap();
            let column = |name| batch.column_by_name(name).unwrap();
            let texts = |name| column(name).as_string::<i32>();
            let (ids, jobs, raws) = (texts("event_id"), texts("job"), texts("raw"));
            let times = column("event_time").as_primitive::<TimestampMicrosecondType>();
            for row in 0..batch.num_rows() {
                let job = jobs.value(row).to_owned();
                let of = (job.clone(), ids.value(row).to_owned());
                if let Some(other) = self.ids.insert(of, key.clone()) {
                    panic!("{} of {job} is in {other} and in {key}", ids.value(row));
                }
                let row = (times.value(row), raws.value(row).to_owned());
                self.rows.entry(job).or_default().push(row);
            }
        }
    }

    /// Reads continuously until it is stopped.
    pub(super) fn keep_looking(mut self) -> Looking {
        let enough = CancellationToken::new();
        let told = enough.clone();
        let task = tokio::spawn(async move {
            while !told.is_cancelled() {
                self.look().await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            self.look().await;
            self
        });
        Looking { task, enough }
    }

    /// The rows of each job, sorted.
    pub(super) fn rows(&self) -> BTreeMap<String, Vec<Row>> {
        let mut rows = self.rows.clone();
        rows.values_mut().for_each(|rows| rows.sort());
        rows
    }

    pub(super) fn looks(&self) -> u64 {
        self.looks
    }
}

impl Looking {
    /// Stops it; panics if it saw what must never be seen.
    pub(super) async fn enough(self) -> Reader {
        self.enough.cancel();
        self.task.await.unwrap()
    }

    /// Panics if it has seen by now what must never be seen.
    #[track_caller]
    pub(super) fn assert_content(&self) {
        assert!(
            !self.task.is_finished(),
            "the reader saw what must never be seen"
        );
    }
}

//! A store between auditlake and the real one: it counts calls, and makes one of them go wrong.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use auditlake::lake::{Commit, CommitKind, Lake};
use auditlake::model::Timestamp;
use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::reader::Reader;

/// What goes wrong, and at which call; calls count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The process dies before this call has an effect.
    DieBefore(u64),
    /// The process dies after it had its effect.
    DieAfter(u64),
    /// It has no effect and fails.
    FailBefore(u64),
    /// It has its effect, and fails all the same.
    LoseAnswer(u64),
    /// So do all calls from the first up to the second.
    LoseAnswers(u64, u64),
    /// A create has no effect and is answered as if there were an object.
    Exists(u64),
    /// A put fails; it has its effect so many calls later.
    LandLate(u64, u64),
}

/// One call that waits for its turn.
#[derive(Debug)]
pub(crate) struct Turn {
    go: oneshot::Sender<()>,
    done: oneshot::Receiver<()>,
}

impl Turn {
    /// Lets the call have its effect.
    pub(crate) async fn take(self) {
        // a run that ends drops its calls: then there is nothing to wait for
        if self.go.send(()).is_ok() {
            let _: std::result::Result<(), _> = self.done.await;
        }
    }
}

/// The store as one process sees it. Clones are the same process.
#[derive(Debug, Clone)]
pub(crate) struct FaultStore(Arc<Process>);

#[derive(Debug)]
struct Process {
    store: Arc<dyn ObjectStore>,
    reader: Arc<Reader>,
    fault: Fault,
    calls: AtomicU64,
    dead: CancellationToken,
    /// The last commit that was sent through here.
    sent: watch::Sender<Option<Commit>>,
    /// While this is true, copies wait.
    hold_copies: watch::Sender<bool>,
    late: Mutex<Vec<(u64, Path, PutPayload, PutOptions)>>,
    turns: Option<mpsc::UnboundedSender<Turn>>,
}

impl FaultStore {
    /// A process on `store`, watched by `reader`. Its clock is a month ahead of all others: every claim but its own has
    /// expired, and every object is old enough to be pruned.
    pub(crate) fn new(store: &Arc<dyn ObjectStore>, reader: &Arc<Reader>, fault: Fault) -> Self {
        Self(Arc::new(Process {
            store: Arc::clone(store),
            reader: Arc::clone(reader),
            fault,
            calls: AtomicU64::new(0),
            dead: CancellationToken::new(),
            sent: watch::Sender::new(None),
            hold_copies: watch::Sender::new(false),
            late: Mutex::new(Vec::new()),
            turns: None,
        }))
    }

    /// Every call of it waits for its turn.
    pub(crate) fn in_turns(
        store: &Arc<dyn ObjectStore>,
        reader: &Arc<Reader>,
        fault: Fault,
    ) -> (Self, mpsc::UnboundedReceiver<Turn>) {
        let (sender, turns) = mpsc::unbounded_channel();
        let mut process = Self::new(store, reader, fault);
        Arc::get_mut(&mut process.0).unwrap().turns = Some(sender);
        (process, turns)
    }

    /// The lake in it.
    pub(crate) fn lake(&self) -> Lake {
        Lake::in_store("memory:///", Arc::new(self.clone()), Path::default())
    }

    /// How many calls were made.
    pub(crate) fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::Relaxed)
    }

    /// Ends when the process is dead.
    pub(crate) async fn died(&self) {
        self.0.dead.cancelled().await;
    }

    /// Waits until it sends such a commit, and returns it.
    pub(crate) async fn sends(&self, kind: CommitKind) -> Commit {
        let mut sent = self.0.sent.subscribe();
        let wanted =
            |commit: &Option<Commit>| commit.as_ref().is_some_and(|commit| commit.kind == kind);
        sent.wait_for(wanted).await.unwrap().clone().unwrap()
    }

    /// Whether copies wait from now on.
    pub(crate) fn hold_copies(&self, hold: bool) {
        self.0.hold_copies.send_replace(hold);
    }

    fn is_own(&self, commit: &Commit) -> bool {
        self.0
            .sent
            .borrow()
            .as_ref()
            .is_some_and(|own| own.run == commit.run)
    }

    async fn call<T>(&self, effect: impl Future<Output = Result<T>>) -> Result<T> {
        let process = &*self.0;
        let mut done = None;
        if let Some(turns) = &process.turns {
            let (go, wait) = oneshot::channel();
            let (sender, receiver) = oneshot::channel();
            done = Some(sender);
            let turn = Turn { go, done: receiver };
            if turns.send(turn).is_err() || wait.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        let n = process.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.land_late(n).await;
        if process.fault == Fault::DieBefore(n) {
            process.dead.cancel();
        }
        if process.dead.is_cancelled() {
            std::future::pending::<()>().await;
        }
        let result = if process.fault == Fault::FailBefore(n) {
            Err(failure())
        } else {
            effect.await
        };
        process.reader.look(&process.store).await;
        if process.fault == Fault::DieAfter(n) {
            process.dead.cancel();
            std::future::pending::<()>().await;
        }
        drop(done);
        match process.fault {
            Fault::LoseAnswer(wanted) if wanted == n => Err(failure()),
            Fault::LoseAnswers(from, to) if (from..=to).contains(&n) => Err(failure()),
            _ => result,
        }
    }

    async fn land_late(&self, n: u64) {
        let due: Vec<_> = {
            let mut late = self.0.late.lock().unwrap();
            late.extract_if(.., |(when, ..)| *when <= n).collect()
        };
        for (_, key, payload, options) in due {
            // whether it still can: nobody is told
            let _: Result<PutResult> = self.0.store.put_opts(&key, payload, options).await;
            self.0.reader.look(&self.0.store).await;
        }
    }

    /// The claims of others have expired by this process's clock.
    async fn with_claims_expired(&self, found: GetResult) -> Result<GetResult> {
        let (meta, attributes, extensions) = (
            found.meta.clone(),
            found.attributes.clone(),
            found.extensions.clone(),
        );
        let range = found.range.clone();
        let bytes = found.bytes().await?;
        let (bytes, range) = match serde_json::from_slice::<Commit>(&bytes) {
            Ok(mut commit) if !self.is_own(&commit) => {
                if let Some(claim) = &mut commit.claim {
                    claim.expires_at = Timestamp::UNIX_EPOCH;
                }
                let bytes = Bytes::from(serde_json::to_vec(&commit).unwrap());
                let range = 0..bytes.len() as u64;
                (bytes, range)
            }
            _ => (bytes, range),
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed()),
            meta,
            range,
            attributes,
            extensions,
        })
    }
}

/// A store that doesn't answer in time.
fn failure() -> Error {
    Error::Generic {
        store: "test",
        source: "no answer".into(),
    }
}

fn long_ago(object: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        last_modified: object.last_modified - TimeDelta::days(31),
        ..object
    }
}

fn is_commit(key: &Path) -> bool {
    key.as_ref().contains("/commits/")
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.0.store)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for FaultStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        if is_commit(location)
            && let Ok(commit) = serde_json::from_slice::<Commit>(&Bytes::from(payload.clone()))
        {
            self.0.sent.send_replace(Some(commit));
        }
        let process = &*self.0;
        self.call(async {
            let n = self.calls();
            match process.fault {
                Fault::Exists(wanted) if wanted == n && opts.mode == PutMode::Create => {
                    Err(Error::AlreadyExists {
                        path: location.to_string(),
                        source: "conflict".into(),
                    })
                }
                Fault::LandLate(wanted, later) if wanted == n => {
                    let late = (n + later, location.clone(), payload, opts);
                    process.late.lock().unwrap().push(late);
                    Err(failure())
                }
                _ => process.store.put_opts(location, payload, opts).await,
            }
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.call(self.0.store.put_multipart_opts(location, opts))
            .await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let found = self.call(self.0.store.get_opts(location, options)).await?;
        if is_commit(location) && !head {
            return self.with_claims_expired(found).await;
        }
        Ok(found)
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<Bytes>> {
        self.call(self.0.store.get_ranges(location, ranges)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let process = self.clone();
        locations
            .then(move |location| {
                let process = process.clone();
                async move {
                    let location = location?;
                    process.call(process.0.store.delete(&location)).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.call(self.0.store.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0
            .hold_copies
            .subscribe()
            .wait_for(|hold| !hold)
            .await
            .unwrap();
        self.call(self.0.store.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.call(self.0.store.rename_opts(from, to, options)).await
    }
}

impl FaultStore {
    /// A list is one call: stores list consistently, and what changes between two of its pages may be in it or not.
    fn listing(
        &self,
        prefix: Option<&Path>,
        offset: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let process = self.clone();
        let (prefix, offset) = (prefix.cloned(), offset.cloned());
        let found = async move {
            let listing = match &offset {
                Some(offset) => process.0.store.list_with_offset(prefix.as_ref(), offset),
                None => process.0.store.list(prefix.as_ref()),
            };
            let found: Result<Vec<_>> = process.call(listing.try_collect()).await;
            match found {
                Ok(found) => stream::iter(found)
                    .map(|object| Ok(long_ago(object)))
                    .boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        stream::once(found).flatten().boxed()
    }
}

//! A store between auditlake and the real one: it counts calls, and makes one of them go wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use auditlake::lake::{Commit, CommitKind, Lake};
use auditlake::model::Timestamp;
use auditlake::run::RunCache;
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

use super::reader::{Names, Reader};

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
    /// A put fails; it has its effect this number of calls later.
    LandLate(u64, u64),
    /// A put, a copy or a delete is answered as done, and isn't.
    Lies(u64, Lie),
    /// So is every copy.
    CopiesLie(Lie),
    /// Another run's claim takes the place of a commit that was answered as created, as in a store that looks and then
    /// writes.
    Overwrites(u64),
}

/// What becomes of a request that was answered as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Nothing.
    Nothing,
    /// The object that it makes is empty.
    Empty,
    /// Half of it.
    Half,
    /// It has its effect this number of calls later.
    Late(u64),
}

/// One call that waits for its turn.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Whether it may create a commit.
    pub(crate) commits: bool,
    go: oneshot::Sender<Answer>,
    done: oneshot::Receiver<()>,
}

impl Turn {
    /// Lets the call have its effect.
    pub(crate) async fn take(self, answer: Answer) {
        // a run that ends drops its calls: then there is nothing to wait for
        if self.go.send(answer).is_ok() {
            let _: std::result::Result<(), _> = self.done.await;
        }
    }
}

/// Whether the caller learns what came of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Answer {
    Arrives,
    IsLost,
}

/// What a process takes for now, and so what it makes of the others' claims.
#[derive(Debug, Clone, Copy)]
enum Clock {
    /// A month ahead of all others: every claim but its own has expired, and every object is old enough to be pruned.
    Ahead,
    /// So much ahead of the true time; behind it if negative.
    Skewed(TimeDelta),
}

impl Clock {
    /// What a process with this clock makes of a commit: its real clock, which the code under test reads, is the true
    /// one, so the commit is moved instead.
    fn read(self, commit: &mut Commit, own: bool) {
        match self {
            Self::Skewed(by) => shift(commit, -by),
            Self::Ahead if own => {}
            Self::Ahead => {
                if let Some(claim) = &mut commit.claim {
                    claim.expires_at = Timestamp::UNIX_EPOCH;
                }
            }
        }
    }

    fn listed(self, object: ObjectMeta) -> ObjectMeta {
        let ahead = match self {
            Self::Ahead => TimeDelta::days(31),
            Self::Skewed(by) => by,
        };
        ObjectMeta {
            last_modified: object.last_modified - ahead,
            ..object
        }
    }
}

fn shift(commit: &mut Commit, by: TimeDelta) {
    commit.at += by;
    if let Some(claim) = &mut commit.claim {
        claim.expires_at += by;
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
    clock: Clock,
    /// Its name, and how to write down its answers.
    names: Option<(usize, Arc<Names>)>,
    told: Mutex<Vec<String>>,
    /// Tells it from all others.
    number: u64,
    /// What it keeps from one run to the next.
    memory: RunCache,
    /// Whether the store says nothing of tags.
    untagged: bool,
    /// Whether it was lied to.
    deceived: AtomicBool,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

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
            clock: Clock::Ahead,
            names: None,
            told: Mutex::new(Vec::new()),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            memory: RunCache::default(),
            untagged: false,
            deceived: AtomicBool::new(false),
        }))
    }

    /// The same, its clock ahead of the true time by so much, or behind it.
    pub(crate) fn skewed(mut self, by: TimeDelta) -> Self {
        self.process().clock = Clock::Skewed(by);
        self
    }

    /// The same; the store says nothing of tags.
    pub(crate) fn untagged(mut self) -> Self {
        self.process().untagged = true;
        self
    }

    /// The same; every call of it waits for its turn.
    pub(crate) fn in_turns(mut self) -> (Self, mpsc::UnboundedReceiver<Turn>) {
        let (sender, turns) = mpsc::unbounded_channel();
        self.process().turns = Some(sender);
        (self, turns)
    }

    /// The same; its answers are written down, with names for ids.
    pub(crate) fn noted(mut self, author: usize, names: &Arc<Names>) -> Self {
        self.process().names = Some((author, Arc::clone(names)));
        self
    }

    /// Of a process that nobody shares yet.
    fn process(&mut self) -> &mut Process {
        Arc::get_mut(&mut self.0).unwrap()
    }

    /// Each of its calls so far, with the answer.
    pub(crate) fn told(&self) -> Vec<String> {
        self.0.told.lock().unwrap().clone()
    }

    /// Writes down a call and what came of it: with the code, that is all that decides what the process does next.
    fn note(&self, call: &str, key: &str, found: std::result::Result<&str, &Error>) {
        let Some((_, names)) = &self.0.names else {
            return;
        };
        let found = match found {
            Ok(found) => names.text(found),
            Err(Error::NotFound { .. }) => "not found".to_owned(),
            Err(Error::AlreadyExists { .. }) => "already exists".to_owned(),
            Err(_) => "no answer".to_owned(),
        };
        let told = format!("{call} {}: {found}", names.text(key));
        self.0.told.lock().unwrap().push(told);
    }

    /// The lake in it.
    pub(crate) fn lake(&self) -> Lake {
        Lake::in_store("memory:///", Arc::new(self.clone()), Path::default())
    }

    /// What it keeps from one run to the next.
    pub(crate) fn memory(&self) -> RunCache {
        self.0.memory.clone()
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

    /// Waits until its answers are `enough`; checked whenever it sends a commit.
    pub(crate) async fn hears(&self, enough: impl Fn(&[String]) -> bool) {
        let mut sent = self.0.sent.subscribe();
        while !enough(&self.told()) {
            sent.changed().await.unwrap();
        }
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
        self.call_that(false, effect).await
    }

    async fn call_that<T>(
        &self,
        commits: bool,
        effect: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let process = &*self.0;
        let mut done = None;
        let mut answer = Answer::Arrives;
        if let Some(turns) = &process.turns {
            let (go, wait) = oneshot::channel();
            let (sender, receiver) = oneshot::channel();
            done = Some(sender);
            let turn = Turn {
                commits,
                go,
                done: receiver,
            };
            let granted = match turns.send(turn) {
                Ok(()) => wait.await.ok(),
                Err(_) => None,
            };
            match granted {
                Some(granted) => answer = granted,
                None => std::future::pending().await,
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
            _ if answer == Answer::IsLost => Err(failure()),
            Fault::LoseAnswer(wanted) if wanted == n => Err(failure()),
            Fault::LoseAnswers(from, to) if (from..=to).contains(&n) => Err(failure()),
            _ => result,
        }
    }

    /// Whether it got a false answer, or a rival's commit replaced its own.
    pub(crate) fn was_deceived(&self) -> bool {
        self.0.deceived.load(Ordering::Relaxed)
    }

    /// What is to become of a call that makes an object, if it is answered as done and isn't.
    fn lie(&self, copies: bool) -> Option<Lie> {
        let lie = match self.0.fault {
            Fault::Lies(wanted, lie) if wanted == self.calls() => Some(lie),
            Fault::CopiesLie(lie) if copies => Some(lie),
            _ => None,
        };
        if lie.is_some() {
            self.0.deceived.store(true, Ordering::Relaxed);
        }
        lie
    }

    /// Makes of an object what the lie lets become of it.
    async fn make(&self, lie: Lie, key: &Path, payload: PutPayload, options: PutOptions) {
        let bytes = Bytes::from(payload);
        let made = match lie {
            Lie::Nothing => return,
            Lie::Empty => Bytes::new(),
            Lie::Half => bytes.slice(..bytes.len() / 2),
            Lie::Late(later) => {
                let late = (self.calls() + later, key.clone(), bytes.into(), options);
                return self.0.late.lock().unwrap().push(late);
            }
        };
        // whether it can: it is answered as done
        let _: Result<PutResult> = self.0.store.put_opts(key, made.into(), options).await;
    }

    /// Replaces the commit that was just created by another run's claim.
    async fn overwrite(&self, key: &Path, commit: &Commit) {
        let below = Path::from(format!(
            "{}/{:020}.json",
            key.as_ref().rsplit_once('/').unwrap().0,
            commit.version - 1
        ));
        let mut rival = match self.0.store.get(&below).await {
            Ok(found) => serde_json::from_slice(&found.bytes().await.unwrap()).unwrap(),
            Err(_) => Commit {
                published_through: 0,
                progress: BTreeMap::new(),
                ..commit.clone()
            },
        };
        rival.version = commit.version;
        rival.kind = CommitKind::Claim;
        (rival.id, rival.run) = (uuid::Uuid::now_v7(), uuid::Uuid::now_v7());
        rival.claim = commit.claim.clone();
        (rival.pulled, rival.files, rival.ended) = (Vec::new(), Vec::new(), None);
        let bytes = serde_json::to_vec(&rival).unwrap();
        self.0.store.put(key, bytes.into()).await.unwrap();
        self.0.deceived.store(true, Ordering::Relaxed);
    }

    async fn land_late(&self, n: u64) {
        let due: Vec<_> = {
            let mut late = self.0.late.lock().unwrap();
            late.extract_if(.., |(when, ..)| *when <= n).collect()
        };
        for (_, key, payload, options) in due {
            // whether it still can isn't reported
            let _: Result<PutResult> = self.0.store.put_opts(&key, payload, options).await;
            self.0.reader.look(&self.0.store).await;
        }
    }

    /// A commit as this process's clock shows it, written down.
    async fn by_its_clock(&self, found: GetResult) -> Result<GetResult> {
        let (meta, attributes, extensions) = (
            found.meta.clone(),
            found.attributes.clone(),
            found.extensions.clone(),
        );
        let range = found.range.clone();
        let bytes = found.bytes().await?;
        let (bytes, range) = match serde_json::from_slice::<Commit>(&bytes) {
            Ok(mut commit) => {
                let own = self.is_own(&commit);
                self.0.clock.read(&mut commit, own);
                let bytes = Bytes::from(serde_json::to_vec(&commit).unwrap());
                let range = 0..bytes.len() as u64;
                (bytes, range)
            }
            _ => (bytes, range),
        };
        if let Some((_, names)) = &self.0.names {
            let content = names.object(&meta.location, &bytes);
            self.note("get", meta.location.as_ref(), Ok(&content));
        }
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

fn is_commit(key: &Path) -> bool {
    key.as_ref().contains("/commits/")
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.0.number, self.0.store)
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
        let process = &*self.0;
        let mut payload = payload;
        let commits = is_commit(location);
        let mut own = None;
        if let Some((author, names)) = &process.names {
            names.learn(*author, location.as_ref());
        }
        if commits
            && let Ok(mut commit) = serde_json::from_slice::<Commit>(&Bytes::from(payload.clone()))
        {
            own = Some(commit.clone());
            process.sent.send_replace(Some(commit.clone()));
            if let Some((author, names)) = &process.names {
                names.learn(*author, &serde_json::to_string(&commit).unwrap());
            }
            if let Clock::Skewed(by) = process.clock {
                shift(&mut commit, by);
                payload = serde_json::to_vec(&commit).unwrap().into();
            }
        }
        let put = self.call_that(commits, async {
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
                Fault::Overwrites(wanted) if wanted == n => {
                    let put = process.store.put_opts(location, payload, opts).await;
                    if let (Ok(_), Some(own)) = (&put, &own) {
                        self.overwrite(location, own).await;
                    }
                    put
                }
                _ => match self.lie(false) {
                    Some(lie) => {
                        self.make(lie, location, payload, opts).await;
                        Ok(PutResult {
                            e_tag: Some("\"as it should be\"".to_owned()),
                            version: None,
                            extensions: object_store::Extensions::default(),
                        })
                    }
                    None => process.store.put_opts(location, payload, opts).await,
                },
            }
        });
        let mut put = put.await;
        if let Ok(put) = &mut put
            && process.untagged
        {
            put.e_tag = None;
        }
        self.note("put", location.as_ref(), put.as_ref().map(|_| "done"));
        put
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
        let found = self.call(self.0.store.get_opts(location, options)).await;
        match found {
            Ok(found) if is_commit(location) && !head => self.by_its_clock(found).await,
            found => {
                // what lies under a key of the table never changes; and the hint is but a number
                let call = if head { "look" } else { "get" };
                self.note(call, location.as_ref(), found.as_ref().map(|_| "found"));
                found
            }
        }
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<Bytes>> {
        let found = self.call(self.0.store.get_ranges(location, ranges)).await;
        self.note("read", location.as_ref(), found.as_ref().map(|_| "found"));
        found
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
                    let deleted = process.call(async {
                        match process.lie(false) {
                            Some(_) => Ok(()),
                            None => process.0.store.delete(&location).await,
                        }
                    });
                    let deleted = deleted.await;
                    process.note(
                        "delete",
                        location.as_ref(),
                        deleted.as_ref().map(|()| "done"),
                    );
                    deleted.map(|()| location)
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
        let listed = self.call(self.0.store.list_with_delimiter(prefix)).await;
        let folders = listed.as_ref().map(|listed| {
            let names = listed.common_prefixes.iter().map(ToString::to_string);
            names.collect::<Vec<_>>().join(" ")
        });
        let key = prefix.map(ToString::to_string).unwrap_or_default();
        self.note(
            "list folders of",
            &key,
            folders.as_deref().map_err(|error| *error),
        );
        listed
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0
            .hold_copies
            .subscribe()
            .wait_for(|hold| !hold)
            .await
            .unwrap();
        let copied = self.call(async {
            let Some(lie) = self.lie(true) else {
                return self.0.store.copy_opts(from, to, options).await;
            };
            if let Ok(found) = self.0.store.get(from).await {
                let payload = found.bytes().await?.into();
                self.make(lie, to, payload, PutOptions::default()).await;
            }
            Ok(())
        });
        let copied = copied.await;
        self.note("copy", from.as_ref(), copied.as_ref().map(|()| "done"));
        copied
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
            let found: Result<Vec<_>> = process
                .call(async {
                    // not before its turn: some stores look at once
                    let listing = match &offset {
                        Some(offset) => process.0.store.list_with_offset(prefix.as_ref(), offset),
                        None => process.0.store.list(prefix.as_ref()),
                    };
                    listing.try_collect().await
                })
                .await;
            let keys = found.as_ref().map(|found| {
                let keys: Vec<&str> = found
                    .iter()
                    .map(|object| object.location.as_ref())
                    .collect();
                keys.join(", ")
            });
            let folder = prefix.map(String::from).unwrap_or_default();
            process.note("list", &folder, keys.as_deref().map_err(|error| *error));
            let (clock, untagged) = (process.0.clock, process.0.untagged);
            match found {
                Ok(found) => stream::iter(found)
                    .map(move |object| {
                        let e_tag = object.e_tag.clone().filter(|_| !untagged);
                        Ok(clock.listed(ObjectMeta { e_tag, ..object }))
                    })
                    .boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        stream::once(found).flatten().boxed()
    }
}

//! A job's commit log under one run: claim, recover, commit, renew, release (design §4).
//!
//! The order of the requests here is load-bearing: an exhaustive model of it explored three and four runs with crashes,
//! pauses, lost answers and pruning, and every shortcut lost or doubled rows. Where a step can't move, the code says
//! why.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::commit::{
    Claim, Commit, CommitKind, CommittedFile, FORMAT, Origin, Progress, Pulled, RunSummary,
};
use super::error::LakeError;
use super::layout::{self, JobLayout};
use super::open::{Lake, from_json, to_json};
use super::publish::{self, AT_A_TIME};
use super::streak::FailureStreak;
use crate::clock::real_now;
use crate::clocks::{ClockOwner, Skew};
use crate::model::{FailureKind, RangeSet, Timestamp};

/// How often a commit without a clear answer is tried.
const ATTEMPTS: u32 = 6;
/// The log's hint is written, and its old entries are pruned, once in so many commits.
const HOUSEKEEPING_EVERY: u64 = 64;
/// How long a commit is kept once it no longer matters.
const KEEP: TimeDelta = TimeDelta::days(30);

/// One run of a job.
#[derive(Debug, Clone)]
pub struct LogRun {
    /// A `UUIDv7`: every key that the run writes carries it, so that nothing ever overwrites.
    pub id: Uuid,
    /// The job.
    pub job: String,
    /// How long a claim keeps other runs off; renewed by each commit and at half its life.
    pub claim_life: TimeDelta,
    /// Whose log the job pulls: what its first commit says.
    pub origin: Option<Origin>,
    /// The streams that it pulls, as far as they are known: for its first commit, too.
    pub streams: Vec<String>,
    /// A claim that was seen for longer than claims live: it keeps nobody off, whatever the clock of its holder says.
    pub outlived: Option<Claim>,
}

impl LogRun {
    /// A new run of `job`.
    pub fn new(job: &str, claim_life: TimeDelta) -> Self {
        Self {
            id: Uuid::now_v7(),
            job: job.to_owned(),
            claim_life,
            origin: None,
            streams: Vec::new(),
            outlived: None,
        }
    }
}

/// What came of trying to take a job.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// It is this run's.
    Mine(Box<JobLog>),
    /// Another run has it.
    Held(Claim),
}

/// How a run left a job's log: with its own commit the newest, and all published. The process that made it may claim the
/// job again from there, as if it had found that commit just now.
#[derive(Debug, Clone)]
pub struct ReleasedHead {
    /// Without what it lists.
    newest: Commit,
    /// What the store calls the object: another one in its place is not this commit, whatever its number.
    e_tag: String,
    hint: u64,
}

impl ReleasedHead {
    /// That commit, without what it lists.
    pub fn newest(&self) -> &Commit {
        &self.newest
    }
}

/// Files of an earlier run's commit that can't be published: the store, or somebody, lost them.
#[derive(Debug)]
pub struct Damage {
    /// The commit that lists them.
    pub commit: Commit,
    /// The lost files.
    pub files: Vec<CommittedFile>,
    /// What each stream had been pulled of before that commit.
    pub before: BTreeMap<String, RangeSet>,
    /// Whether rows are lost, and whether lines of quarantine are.
    lost: (bool, bool),
}

impl Damage {
    /// The entries of the commit whose records may be in the lost files.
    pub fn pulled(&self) -> impl Iterator<Item = &Pulled> {
        let (rows, lines) = self.lost;
        (self.commit.pulled.iter()).filter(move |pulled| {
            rows && pulled.counts.new > 0 || lines && pulled.counts.quarantined > 0
        })
    }
}

/// A commit of this run, with what tells its object from another one under the same key.
#[derive(Debug, Clone)]
struct OwnCommit {
    commit: Commit,
    /// What the store calls it, where it said so.
    e_tag: Option<String>,
    /// Its size.
    bytes: u64,
}

/// A job's log, held by one run.
#[derive(Debug)]
pub struct JobLog {
    lake: Lake,
    keys: JobLayout,
    run: LogRun,
    /// The commit below the claim.
    found: (u64, Uuid),
    /// The run that wrote it, and when.
    found_of: (Uuid, Timestamp),
    /// Whether this process made that commit, and nobody has committed since: then it has nothing to recover.
    goes_on: bool,
    /// Locked for as long as a commit is under way: a run commits one at a time, renewals too.
    head: Mutex<Head>,
}

#[derive(Debug)]
struct Head {
    /// This run's newest commit; before the claim, the commit that was found.
    newest: Commit,
    /// What this run knows to be published. A renewal records it as it is, and so never names an unpublished commit.
    published: u64,
    /// Where the hint points.
    hint: u64,
    /// What the store calls the object of `newest`, where it said so, and its size.
    e_tag: Option<String>,
    bytes: u64,
    /// Whether files may be committed that this run doesn't know to be published.
    unpublished: bool,
    /// The least of the clocks that the run believes, when it last compared them.
    now: Option<Timestamp>,
}

/// What a data commit changes.
#[derive(Debug, Default)]
pub struct CommitChange {
    /// Whose log the job pulls.
    pub origin: Option<Origin>,
    /// The streams that the job pulls.
    pub streams: Vec<String>,
    /// What was pulled since the last one.
    pub pulled: Vec<Pulled>,
    /// Staged files, to be published.
    pub files: Vec<CommittedFile>,
    /// Where every stream stands now.
    pub progress: BTreeMap<String, Progress>,
    /// Set once a scheduled run has gone through its plan.
    pub planned_at: Option<Timestamp>,
    /// This machine's clock at that instant, where it differed from that.
    pub planned_by: Option<Timestamp>,
    /// How the run ends, if it ends with this commit. Without files nothing is left to do under the claim then: the same
    /// commit gives it up and records this.
    pub end: Option<RunEnd>,
}

/// How a run ends: recorded by the commit that gives its claim up.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// The run's summary.
    pub summary: RunSummary,
    /// The job's consecutive failed runs at that time.
    pub failing: Option<FailureStreak>,
}

/// Where listing the log may start. Only a hint: nothing is concluded from it.
#[derive(Debug, Serialize, Deserialize)]
struct ListingHint {
    version: u64,
}

/// The newest commit of a job's log, or nothing if there is none.
pub async fn newest(lake: &Lake, job: &str) -> Result<Option<Commit>, LakeError> {
    Ok(find_newest(lake, &lake.layout.job(job)).await?.0)
}

/// The commits up to `newest` whose files are not all published: a run is at it, or died over it, and the job's next run
/// publishes them.
pub async fn unpublished(lake: &Lake, newest: &Commit) -> Result<Vec<Commit>, LakeError> {
    let keys = lake.layout.job(&newest.job);
    let mut found = Vec::new();
    for version in newest.published_through + 1..=newest.version {
        let Some(commit) = read_commit(lake, &keys, version).await? else {
            continue; // pruned meanwhile: published
        };
        for file in &commit.files {
            if !publish::is_published(lake, file).await? {
                found.push(commit);
                break;
            }
        }
    }
    Ok(found)
}

async fn find_newest(lake: &Lake, keys: &JobLayout) -> Result<(Option<Commit>, u64), LakeError> {
    let hint = lake.read(&keys.latest()).await?;
    let mut hint = hint
        .and_then(|bytes| serde_json::from_slice::<ListingHint>(&bytes).ok())
        .map_or(0, |hint| hint.version);
    let mut version = newest_version(lake, keys, hint).await?;
    if version.is_none() && hint > 0 {
        hint = 0; // the log was deleted, or restored from before the hint
        version = newest_version(lake, keys, hint).await?;
    }
    let Some(version) = version else {
        return Ok((None, hint));
    };
    match read_commit(lake, keys, version).await? {
        Some(commit) => Ok((Some(commit), hint)),
        // pruned since the list was made, so there is a newer one
        None => Err(LakeError::TakenOver { version }),
    }
}

/// The highest version in the log from `from` on.
async fn newest_version(
    lake: &Lake,
    keys: &JobLayout,
    from: u64,
) -> Result<Option<u64>, LakeError> {
    let newest = newest_object(lake, keys, from).await?;
    Ok(newest.map(|(version, _)| version))
}

/// The same, with what the store calls the object.
async fn newest_object(
    lake: &Lake,
    keys: &JobLayout,
    from: u64,
) -> Result<Option<(u64, Option<String>)>, LakeError> {
    objects(lake, keys, from)
        .try_fold(None, async |newest, (version, object)| {
            Ok(newest.max(Some((version, object.e_tag))))
        })
        .await
        .map_err(LakeError::at("list", &keys.commits()))
}

/// The objects of the log from `from` on, each with its version.
fn objects(
    lake: &Lake,
    keys: &JobLayout,
    from: u64,
) -> impl Stream<Item = object_store::Result<(u64, ObjectMeta)>> {
    let folder = keys.commits();
    let listing = match from.checked_sub(1) {
        Some(before) => lake
            .store
            .list_with_offset(Some(&folder), &keys.commit(before)),
        None => lake.store.list(Some(&folder)),
    };
    listing.try_filter_map(move |object| {
        // some servers list from the beginning, whatever they are asked
        let version = layout::version_of(&folder, &object.location);
        let version = version.filter(|&version| version >= from);
        std::future::ready(Ok(version.map(|version| (version, object))))
    })
}

/// A commit; one that was copied here from elsewhere isn't taken for the one that belongs here.
pub(super) async fn read_commit(
    lake: &Lake,
    keys: &JobLayout,
    version: u64,
) -> Result<Option<Commit>, LakeError> {
    let key = keys.commit(version);
    let Some(bytes) = lake.read(&key).await? else {
        return Ok(None);
    };
    let commit: Commit = from_json(&bytes, &key, FORMAT)?;
    if commit.version != version || commit.job != keys.name() {
        return Err(LakeError::Unreadable {
            key: key.to_string(),
            reason: format!("it is commit {} of job `{}`", commit.version, commit.job),
        });
    }
    Ok(Some(commit))
}

impl JobLog {
    /// Takes the job for `run`, unless a live claim of another run is on it.
    pub async fn claim(lake: &Lake, run: LogRun) -> Result<ClaimOutcome, LakeError> {
        let keys = lake.layout.job(&run.job);
        let (found, hint) = find_newest(lake, &keys).await?;
        let held = |commit: &Commit| {
            commit
                .claim
                .clone()
                .filter(|claim| claim.is_live(real_now()) && run.outlived.as_ref() != Some(claim))
        };
        if let Some(claim) = found.as_ref().and_then(held) {
            return Ok(ClaimOutcome::Held(claim));
        }
        let found = found.unwrap_or_else(|| before_the_first(&run));
        let published = found.published_through;
        let log = Self::above(lake, run, found, published, hint);
        match log.append(CommitKind::Claim, CommitChange::default()).await {
            Ok(_) => Ok(ClaimOutcome::Mine(Box::new(log))),
            // a rival was faster by one request
            Err(LakeError::TakenOver { version }) => {
                match read_commit(lake, &log.keys, version).await? {
                    Some(Commit {
                        claim: Some(claim), ..
                    }) => Ok(ClaimOutcome::Held(claim)),
                    _ => Err(LakeError::TakenOver { version }),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// The same for a process that knows how it `left` the log, in fewer requests: if a listing shows that commit to be
    /// the newest still, it needn't be read. Otherwise whatever the process knew is void.
    ///
    /// Nothing is concluded from the listing but where the next commit goes: whoever commits between it and the claim, or
    /// did and has pruned it, is found out by the claim's own create, and by the listing in [`JobLog::recover`].
    pub async fn claim_again(
        lake: &Lake,
        run: LogRun,
        left: ReleasedHead,
    ) -> Result<ClaimOutcome, LakeError> {
        let keys = lake.layout.job(&run.job);
        let version = left.newest.version;
        let newest = newest_object(lake, &keys, version).await?;
        let is_ours = newest.is_some_and(|(found, e_tag)| {
            found == version && e_tag.is_some_and(|e_tag| is_same_tag(&e_tag, &left.e_tag))
        });
        if !is_ours {
            return Self::claim(lake, run).await;
        }
        // it lists no files, and all before it is published
        let mut log = Self::above(lake, run.clone(), left.newest, version, left.hint);
        log.goes_on = true;
        match log.append(CommitKind::Claim, CommitChange::default()).await {
            Ok(_) => Ok(ClaimOutcome::Mine(Box::new(log))),
            Err(LakeError::TakenOver { .. }) => Self::claim(lake, run).await,
            Err(error) => Err(error),
        }
    }

    /// A log that `run` is about to claim.
    fn above(lake: &Lake, run: LogRun, found: Commit, published: u64, hint: u64) -> Self {
        Self {
            lake: lake.clone(),
            keys: lake.layout.job(&run.job),
            found: (found.version, found.id),
            found_of: (found.run, found.at),
            goes_on: false,
            head: Mutex::new(Head {
                published,
                newest: found,
                hint,
                e_tag: None,
                bytes: 0,
                unpublished: true,
                now: None,
            }),
            run,
        }
    }

    /// The id of the commit just below this run's claim, right after the claim.
    pub async fn follows(&self) -> Option<Uuid> {
        let (version, id) = self.found;
        (self.head.lock().await.newest.version == version + 1).then_some(id)
    }

    /// The run that wrote the commit below this run's claim, and when.
    pub fn found_of(&self) -> (Uuid, Timestamp) {
        self.found_of
    }

    /// Finishes what earlier runs committed and clears what they didn't; only then may the lake's ids be read.
    ///
    /// The order matters:
    /// - commits to publish are read *before* the log is listed: a rival could publish and prune in between, and the
    ///   list is what tells that the job is still ours;
    /// - staging is listed *before* the log too, and nothing that appears later is deleted: what a later run stages is
    ///   not garbage;
    /// - deletion comes *after* publishing, as the same listing shows files that those commits list.
    ///
    /// Returns the committed files that can't be published, as no whole copy of them is left. Until the caller has
    /// committed that their ranges are to be pulled again, nothing this run commits says that they are published: a run
    /// that dies before leaves it to the next.
    ///
    /// A run that goes on where its own process left the log has nothing to read or to publish, and leaves staging alone:
    /// whatever lies there is listed by no commit of its own, and to delete it is never needed for more than room. It
    /// still lists the log, and stops unless the job is its own. Once in 64 commits a run goes the whole
    /// way.
    pub async fn recover(&self) -> Result<Vec<Damage>, LakeError> {
        let claimed = self.head.lock().await.made();
        if self.goes_on {
            self.stop_unless_newest(&claimed).await?;
            self.all_is_published().await;
            return Ok(Vec::new());
        }
        let (first, version) = (claimed.commit.published_through, claimed.commit.version);
        let unpublished = self.commits_between(first, version).await?;
        let abandoned = self.staged_by_others().await?;
        let half_written = self.lake.half_written(&self.keys.staging());
        self.stop_unless_newest(&claimed).await?;
        // the job is ours, so nobody has pruned these: without one of them its rows would be missing for good
        for version in first + 1..version {
            if unpublished.iter().all(|commit| commit.version != version) {
                return Err(LakeError::Unreadable {
                    key: self.keys.commits().to_string(),
                    reason: format!("commit {version} is gone, and its files may not be published"),
                });
            }
        }
        let mut damage = Vec::new();
        for commit in &unpublished {
            let lost = publish::publish(&self.lake, &self.keys, &commit.files).await?;
            if !lost.is_empty() {
                damage.push(self.damage(commit, &lost).await?);
            }
        }
        if !abandoned.is_empty() {
            let files = abandoned.len();
            tracing::info!(files, "deleting staged files that no commit lists");
        }
        publish::delete(&self.lake, abandoned).await?;
        for file in half_written {
            // they take up room, no more; the folder goes with the last of them
            let _ = std::fs::remove_file(&file);
            let _ = file.parent().map(std::fs::remove_dir);
        }
        if damage.is_empty() {
            self.all_is_published().await;
        }
        Ok(damage)
    }

    async fn damage(&self, commit: &Commit, lost: &[&CommittedFile]) -> Result<Damage, LakeError> {
        let before = read_commit(&self.lake, &self.keys, commit.version - 1).await?;
        let before = before.into_iter().flat_map(|before| before.progress);
        let is_line = |file: &&CommittedFile| {
            let key = Path::from(file.key.as_str());
            key.prefix_matches(&self.keys.quarantine())
        };
        Ok(Damage {
            commit: commit.clone(),
            files: lost.iter().map(|&file| file.clone()).collect(),
            before: before
                .map(|(stream, progress)| (stream, progress.coverage))
                .collect(),
            lost: (!lost.iter().all(is_line), lost.iter().any(is_line)),
        })
    }

    /// Commits the change and publishes its files; the run's only task that commits data calls it. The one conditional
    /// request in here is the commit point.
    pub async fn commit(&self, change: CommitChange) -> Result<Commit, LakeError> {
        let made = self.append(CommitKind::Data, change).await?;
        if !made.commit.files.is_empty() {
            // listing the log, not just looking for version + 1: that one may have been pruned already
            self.stop_unless_newest(&made).await?;
            publish::publish_new(&self.lake, &made.commit.files).await?;
        }
        self.all_is_published().await;
        Ok(made.commit)
    }

    /// Keeps the claim alive until it is lost; returns why.
    pub async fn keep_alive(&self) -> LakeError {
        loop {
            let Some(renew_in) = self.time_to_half_life().await else {
                return std::future::pending().await; // the run's last commit has given it up
            };
            tokio::time::sleep(renew_in).await;
            if self.time_to_half_life().await != Some(Duration::ZERO) {
                continue; // a data commit has renewed it meanwhile
            }
            match self
                .append(CommitKind::Renewal, CommitChange::default())
                .await
            {
                Ok(_) => {}
                Err(error) if error.kind() == FailureKind::Transient => {
                    tracing::warn!(
                        error = error.to_string(),
                        "the claim could not be renewed yet"
                    );
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => return error,
            }
        }
    }

    /// Notes how the clocks that the run sees differ, for the next commit; `now` is the least that it believes. What an
    /// earlier run found of a clock that this one doesn't know stays.
    pub async fn note_clocks(&self, mut skews: Vec<Skew>, known: &[ClockOwner], now: Timestamp) {
        let mut head = self.head.lock().await;
        let is_unknown = |whose: &ClockOwner| !known.contains(whose);
        let stays = |skew: &Skew| is_unknown(&skew.clock) || skew.of.iter().any(is_unknown);
        skews.extend(head.newest.clocks.drain(..).filter(stays));
        head.newest.clocks = skews;
        head.now = Some(now);
    }

    /// Takes what the log says of the last plan for unsaid: it lies beyond now.
    pub async fn void_plan(&self) {
        let newest = &mut self.head.lock().await.newest;
        (newest.planned_at, newest.planned_by) = (None, None);
    }

    /// Ends the claim, so that the next run needn't wait for it to expire. Says how the log was left, if the next run of
    /// this process may go on from there.
    pub async fn release(&self, end: Option<RunEnd>) -> Result<Option<ReleasedHead>, LakeError> {
        if self.head.lock().await.newest.claim.is_some() {
            let change = CommitChange {
                end,
                ..CommitChange::default()
            };
            self.append(CommitKind::Release, change).await?;
        }
        let (newest, hint, e_tag) = {
            let head = self.head.lock().await;
            let e_tag = head.e_tag.clone().filter(|_| !head.unpublished);
            (head.newest.clone(), head.hint, e_tag)
        };
        if newest.version >= hint.saturating_add(HOUSEKEEPING_EVERY) {
            let key = self.keys.latest();
            let payload = to_json(
                &ListingHint {
                    version: newest.version,
                },
                &key,
            )?;
            self.lake
                .store
                .put(&key, payload)
                .await
                .map_err(LakeError::at("write", &key))?;
            let now = self.head.lock().await.now;
            let now = now.into_iter().chain([self.lake.now()]).min();
            if let Some(now) = now {
                self.prune(&newest, now - KEEP).await?;
            }
            return Ok(None); // the next run looks at everything again
        }
        Ok(e_tag.map(|e_tag| ReleasedHead {
            newest: Commit {
                pulled: Vec::new(),
                files: Vec::new(),
                ended: None,
                ..newest
            },
            e_tag,
            hint,
        }))
    }

    /// The newest commit of this run.
    pub async fn newest(&self) -> Commit {
        self.head.lock().await.newest.clone()
    }

    /// Whether it lies in a folder of this machine.
    pub fn is_in_a_folder(&self) -> bool {
        self.lake.is_in_a_folder()
    }

    /// The run that holds the log.
    pub fn run(&self) -> &LogRun {
        &self.run
    }

    /// Creates the next commit if nobody else has.
    async fn append(
        &self,
        kind: CommitKind,
        mut change: CommitChange,
    ) -> Result<OwnCommit, LakeError> {
        let mut head = self.head.lock().await;
        if kind == CommitKind::Renewal && head.newest.claim.is_none() {
            return Ok(head.made()); // the run's last commit has given the claim up meanwhile
        }
        let end = change.end.take();
        let ends = kind == CommitKind::Release || end.is_some() && change.files.is_empty();
        head.unpublished |= !change.files.is_empty();
        let id = Uuid::now_v7(); // of this commit, whatever number it gets and however often it is sent
        let mut commit = head.next(&self.run, kind, id, change);
        if let Some(end) = end.filter(|_| ends) {
            commit.ended = Some(end.summary);
            commit.failing = end.failing;
        }
        let mut last = None;
        for attempt in 1..=ATTEMPTS {
            self.lake.is_still_there()?;
            let now = real_now();
            if kind != CommitKind::Claim
                && let Some(claim) = &head.newest.claim
                && now >= claim.expires_at
            {
                return Err(LakeError::ClaimExpired {
                    at: claim.expires_at,
                    source: last,
                });
            }
            commit.at = now;
            commit.claim = (!ends).then(|| Claim::of_this_process(now + self.run.claim_life));
            let key = self.keys.commit(commit.version);
            let payload = to_json(&commit, &key)?;
            let bytes = payload.content_length() as u64;
            let sent = Instant::now();
            let created = match self.lake.create_object(&key, payload).await {
                Ok(Some(put)) => {
                    self.lake.see_clock(&key, sent);
                    head.newest = commit;
                    (head.e_tag, head.bytes) = (put.e_tag, bytes);
                    return Ok(head.made());
                }
                Err(error) if error.kind() != FailureKind::Transient => return Err(error),
                created => created,
            };
            // it exists, or there was no answer: only the object itself can tell
            let failure = match (
                read_commit(&self.lake, &self.keys, commit.version).await,
                created,
            ) {
                (Ok(Some(found)), _) if found.id == id => {
                    head.newest = found;
                    head.e_tag = None;
                    return Ok(head.made());
                }
                // a renewal of ours whose answer was lost: take the next number
                (Ok(Some(found)), _) if found.run == self.run.id => {
                    commit.version += 1;
                    continue;
                }
                (Ok(Some(found)), _) => {
                    return Err(LakeError::TakenOver {
                        version: found.version,
                    });
                }
                (Ok(None), Ok(_)) => continue, // it was there and is gone: as good as never there
                (Ok(None), Err(error)) | (Err(error), _) => error,
            };
            if attempt == ATTEMPTS {
                return Err(LakeError::NoAnswer {
                    version: commit.version,
                    attempts: attempt,
                    source: Box::new(failure),
                });
            }
            last = Some(Box::new(failure));
            tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
        }
        Err(LakeError::TakenOver {
            version: commit.version,
        })
    }

    /// Stops a run that is no longer the newest: its successor publishes what it committed, and may have pruned it. Nor
    /// does one go on whose own commit isn't there: the store has let a rival overwrite it, or has never written it.
    async fn stop_unless_newest(&self, own: &OwnCommit) -> Result<(), LakeError> {
        let version = own.commit.version;
        let listed: Vec<(u64, ObjectMeta)> = objects(&self.lake, &self.keys, version)
            .try_collect()
            .await
            .map_err(LakeError::at("list", &self.keys.commits()))?;
        let newest = listed.iter().map(|(listed, _)| *listed).max();
        let newest = newest.unwrap_or(version);
        let shown = listed.iter().find(|(listed, _)| *listed == version);
        match shown {
            Some((_, object)) if own.is(object) => {}
            // a store that says nothing of tags, or quotes them otherwise: the object itself tells
            Some(_) => match read_commit(&self.lake, &self.keys, version).await {
                Ok(Some(found)) if found.id == own.commit.id => {}
                Ok(_) => return Err(LakeError::TakenOver { version }),
                Err(LakeError::Unreadable { .. }) => {
                    self.write_again(&own.commit, PutMode::Overwrite).await?;
                }
                Err(error) => return Err(error),
            },
            None if newest > version => return Err(LakeError::TakenOver { version: newest }),
            None => self.write_again(&own.commit, PutMode::Create).await?,
        }
        if newest == version {
            return Ok(());
        }
        match read_commit(&self.lake, &self.keys, newest).await? {
            Some(newer) if newer.run == self.run.id => Ok(()), // a renewal, just now
            _ => Err(LakeError::TakenOver { version: newest }),
        }
    }

    /// Writes a commit of this run once more, which the store said it had created, and then didn't show, or not whole.
    /// While the claim lasts it is nobody else's: who finds it cut goes no further, and who finds nothing creates it.
    async fn write_again(&self, own: &Commit, mode: PutMode) -> Result<(), LakeError> {
        let key = self.keys.commit(own.version);
        let is_ours = (own.claim.as_ref()).is_some_and(|claim| real_now() < claim.expires_at);
        if is_ours {
            tracing::warn!(commit = %key, "the store answered that it wrote this, and didn't; it is written again");
            let payload = to_json(own, &key)?;
            let written = self.lake.store.put_opts(&key, payload, mode.into()).await;
            // whatever it says of that: what is there now tells
            match read_commit(&self.lake, &self.keys, own.version).await {
                Ok(Some(found)) if found.id == own.id => return Ok(()),
                Ok(Some(found)) => {
                    return Err(LakeError::TakenOver {
                        version: found.version,
                    });
                }
                read => tracing::debug!(?written, ?read, "nor was it written this time"),
            }
        }
        Err(LakeError::NotWritten {
            key: key.to_string(),
        })
    }

    async fn all_is_published(&self) {
        let mut head = self.head.lock().await;
        head.published = head.newest.version;
        head.unpublished = false;
    }

    /// Nothing once the claim is given up.
    async fn time_to_half_life(&self) -> Option<Duration> {
        let head = self.head.lock().await;
        let left = head.newest.claim.as_ref()?.expires_at - real_now();
        if left > self.run.claim_life {
            return Some(Duration::ZERO); // the clock was set back meanwhile
        }
        Some(
            (left - self.run.claim_life / 2)
                .to_std()
                .unwrap_or_default(),
        )
    }

    /// The commits after `after` and before `before` that still exist.
    async fn commits_between(&self, after: u64, before: u64) -> Result<Vec<Commit>, LakeError> {
        stream::iter(after + 1..before)
            .map(|version| read_commit(&self.lake, &self.keys, version))
            .buffered(AT_A_TIME)
            .try_filter_map(async |commit| Ok(commit))
            .try_collect()
            .await
    }

    async fn staged_by_others(&self) -> Result<Vec<Path>, LakeError> {
        let folder = self.keys.staging();
        let own = self.keys.staging().join(self.run.id.to_string());
        self.lake
            .store
            .list(Some(&folder))
            .map_ok(|object| object.location)
            .try_filter(|key| std::future::ready(!key.prefix_matches(&own)))
            .try_collect()
            .await
            .map_err(LakeError::at("list", &folder))
    }

    /// Deletes commits that were last touched before `before`, up to what `newest` itself records as published: a run
    /// that only *knows* more, and hasn't said so in the log, would take from a successor what that has still to read.
    async fn prune(&self, newest: &Commit, before: Timestamp) -> Result<(), LakeError> {
        let folder = self.keys.commits();
        let old: Vec<Path> = self
            .lake
            .store
            .list(Some(&folder))
            .try_filter_map(async |object| {
                let version = layout::version_of(&folder, &object.location);
                let done = version.is_some_and(|version| {
                    version <= newest.published_through && version < newest.version
                });
                Ok((done && object.last_modified < before).then_some(object.location))
            })
            .try_collect()
            .await
            .map_err(LakeError::at("list", &folder))?;
        if !old.is_empty() {
            tracing::debug!(commits = old.len(), "pruning the log");
        }
        publish::delete(&self.lake, old).await
    }
}

/// Whether a store means the same object: some quote what they list otherwise than what they answer.
fn is_same_tag(one: &str, other: &str) -> bool {
    let bare = |tag: &str| tag.trim_start_matches("W/").trim_matches('"').to_owned();
    bare(one) == bare(other)
}

impl OwnCommit {
    /// Whether a listing shows its object, and no other one in its place.
    fn is(&self, object: &ObjectMeta) -> bool {
        let same = |own: &String, shown: &String| is_same_tag(own, shown);
        let tags = self.e_tag.as_ref().zip(object.e_tag.as_ref());
        object.size == self.bytes && tags.is_some_and(|(own, shown)| same(own, shown))
    }
}

impl Head {
    fn made(&self) -> OwnCommit {
        OwnCommit {
            commit: self.newest.clone(),
            e_tag: self.e_tag.clone(),
            bytes: self.bytes,
        }
    }

    /// The commit after the newest; what the change doesn't name stays as it was.
    fn next(&self, run: &LogRun, kind: CommitKind, id: Uuid, change: CommitChange) -> Commit {
        let data = kind == CommitKind::Data;
        Commit {
            format: FORMAT,
            version: self.newest.version + 1,
            id,
            run: run.id,
            job: run.job.clone(),
            kind,
            at: real_now(),
            claim: None,
            published_through: self.published,
            planned_at: change.planned_at.or(self.newest.planned_at),
            planned_by: match change.planned_at {
                Some(_) => change.planned_by,
                None => self.newest.planned_by,
            },
            clocks: self.newest.clocks.clone(),
            origin: change.origin.or_else(|| self.newest.origin.clone()),
            streams: if data {
                change.streams
            } else {
                self.newest.streams.clone()
            },
            pulled: change.pulled,
            files: change.files,
            progress: if data {
                change.progress
            } else {
                self.newest.progress.clone()
            },
            ended: None,
            failing: self.newest.failing.clone(),
        }
    }
}

/// What stands before commit 1.
fn before_the_first(run: &LogRun) -> Commit {
    Commit {
        format: FORMAT,
        version: 0,
        id: Uuid::nil(),
        run: Uuid::nil(),
        job: run.job.clone(),
        kind: CommitKind::Release,
        at: real_now(),
        claim: None,
        published_through: 0,
        planned_at: None,
        planned_by: None,
        clocks: Vec::new(),
        origin: run.origin.clone(),
        streams: run.streams.clone(),
        pulled: Vec::new(),
        files: Vec::new(),
        progress: BTreeMap::new(),
        ended: None,
        failing: None,
    }
}

//! A job's commit log as used by a run: claim, recover, commit, renew, release.
//!
//! The order of the requests is essential. The exhaustive model in `crates/protocol-model` explores it with several
//! runs, crashes, pauses, lost answers and pruning, and every shortcut loses or doubles rows. Comments explain why a
//! step can't move; see also docs/decisions/0002-order-of-claim-and-recovery.md.

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
    Claim, Commit, CommitKind, CommittedFile, FORMAT, FailureStreak, Origin, Progress, Pulled,
    RunSummary,
};
use super::error::LakeError;
use super::layout::{self, JobLayout};
use super::open::{Lake, from_json, to_json};
use super::publish::{self, AT_A_TIME};
use crate::clock::real_now;
use crate::clocks::{ClockOwner, Skew};
use crate::model::{FailureKind, RangeSet, Timestamp};

/// The number of attempts at a commit without a clear answer.
const ATTEMPTS: u32 = 6;
/// The number of commits between two updates of the log's hint, with which old entries are pruned.
const HOUSEKEEPING_EVERY: u64 = 64;
/// How long a commit is kept after it is no longer needed.
const KEEP: TimeDelta = TimeDelta::days(30);

/// The identity of a run.
#[derive(Debug, Clone)]
pub struct LogRun {
    /// A `UUIDv7`, which is part of every key that the run writes, so that nothing is ever overwritten.
    pub id: Uuid,
    /// The job.
    pub job: String,
    /// The lifetime of a claim; renewed by each commit and after half of it.
    pub claim_life: TimeDelta,
    /// The account, connection and provider of the job, for its first commit.
    pub origin: Option<Origin>,
    /// The streams that it pulls, as far as they are known, also for its first commit.
    pub streams: Vec<String>,
    /// A claim that was seen for longer than the lifetime of claims, and is therefore void independent of its holder's
    /// clock.
    pub outlived: Option<Claim>,
}

impl LogRun {
    /// Creates a new run of `job`.
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

/// The result of an attempt to claim a job.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// This run holds the claim.
    Mine(Box<JobLog>),
    /// Another run holds the claim.
    Held(Claim),
}

/// The state in which a run left a job's log: its own commit is the newest, and everything is published. The same
/// process may claim the job again from there, as if it had just found that commit.
#[derive(Debug, Clone)]
pub struct ReleasedHead {
    /// The newest commit, without its ranges and files.
    newest: Commit,
    /// The object's e-tag: a different object under the same key isn't this commit.
    e_tag: String,
    hint: u64,
}

impl ReleasedHead {
    /// Returns that commit, without its ranges and files.
    pub fn newest(&self) -> &Commit {
        &self.newest
    }
}

/// Files of an earlier run's commit that can't be published because they are lost.
#[derive(Debug)]
pub struct Damage {
    /// The commit that lists them.
    pub commit: Commit,
    /// The lost files.
    pub files: Vec<CommittedFile>,
    /// The coverage of each stream before that commit.
    pub before: BTreeMap<String, RangeSet>,
    /// Whether rows are lost, and whether quarantine lines are.
    lost: (bool, bool),
}

impl Damage {
    /// Returns the entries of the commit whose records may be in the lost files.
    pub fn pulled(&self) -> impl Iterator<Item = &Pulled> {
        let (rows, lines) = self.lost;
        (self.commit.pulled.iter()).filter(move |pulled| {
            rows && pulled.counts.new > 0 || lines && pulled.counts.quarantined > 0
        })
    }
}

/// A commit of this run, with the attributes that distinguish its object from others under the same key.
#[derive(Debug, Clone)]
struct OwnCommit {
    commit: Commit,
    /// The object's e-tag, if the store returned one.
    e_tag: Option<String>,
    /// The object's size.
    bytes: u64,
}

/// A job's log, held by a run.
#[derive(Debug)]
pub struct JobLog {
    lake: Lake,
    keys: JobLayout,
    run: LogRun,
    /// The version and id of the commit before the claim.
    previous_commit: (u64, Uuid),
    /// The run that wrote that commit, and when.
    previous_writer: (Uuid, Timestamp),
    /// Whether this process made that commit and no one has committed since, so that there is nothing to recover.
    continues_own_commit: bool,
    /// Locked during a commit: a run makes one commit at a time, including renewals.
    head: Mutex<Head>,
}

#[derive(Debug)]
struct Head {
    /// This run's newest commit, or the commit that was found before the claim.
    newest: Commit,
    /// The commit up to which this run knows everything to be published. A renewal records it unchanged, and so never
    /// includes an unpublished commit.
    published: u64,
    /// The version in the hint.
    hint: u64,
    /// The e-tag of the object of `newest`, if the store returned one, and its size.
    e_tag: Option<String>,
    bytes: u64,
    /// Whether there may be committed files that this run doesn't know to be published.
    unpublished: bool,
    /// The earliest of the clocks that the run trusts, when it last compared them.
    now: Option<Timestamp>,
}

/// The changes of a data commit.
#[derive(Debug, Default)]
pub struct CommitChange {
    /// The account, connection and provider of the job.
    pub origin: Option<Origin>,
    /// The streams that the job pulls.
    pub streams: Vec<String>,
    /// The ranges pulled since the last commit.
    pub pulled: Vec<Pulled>,
    /// The staged files to publish.
    pub files: Vec<CommittedFile>,
    /// The progress of every stream.
    pub progress: BTreeMap<String, Progress>,
    /// Set when a scheduled run has completed its plan.
    pub planned_at: Option<Timestamp>,
    /// The local clock at that instant, if it differed.
    pub planned_by: Option<Timestamp>,
    /// The run's end, if this is its last commit. If the commit has no files, nothing is left to do under the claim, so
    /// the same commit also releases it.
    pub end: Option<RunEnd>,
}

/// The end of a run, recorded by the commit that releases its claim.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// The run's summary.
    pub summary: RunSummary,
    /// The job's consecutive failed runs at that time.
    pub failing: Option<FailureStreak>,
}

/// The version from which to list the log. Only a hint, from which nothing else is concluded.
#[derive(Debug, Serialize, Deserialize)]
struct ListingHint {
    version: u64,
}

/// Returns the newest commit of a job's log, or `None` if there is none.
pub async fn newest(lake: &Lake, job: &str) -> Result<Option<Commit>, LakeError> {
    Ok(find_newest(lake, &lake.layout.job(job)).await?.0)
}

/// Returns the commits up to `newest` whose files may not be published: a run is publishing them or was interrupted,
/// and the job's next run publishes them.
pub async fn unpublished(lake: &Lake, newest: &Commit) -> Result<Vec<Commit>, LakeError> {
    let keys = lake.layout.job(&newest.job);
    let mut found = Vec::new();
    for version in newest.published_through + 1..=newest.version {
        let Some(commit) = read_commit(lake, &keys, version).await? else {
            continue; // pruned meanwhile, so it is published
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
        hint = 0; // the log was deleted, or restored to a state before the hint
        version = newest_version(lake, keys, hint).await?;
    }
    let Some(version) = version else {
        return Ok((None, hint));
    };
    match read_commit(lake, keys, version).await? {
        Some(commit) => Ok((Some(commit), hint)),
        // pruned since the listing, so there is a newer one
        None => Err(LakeError::TakenOver { version }),
    }
}

/// Returns the highest version in the log from `from` on.
async fn newest_version(
    lake: &Lake,
    keys: &JobLayout,
    from: u64,
) -> Result<Option<u64>, LakeError> {
    let newest = newest_object(lake, keys, from).await?;
    Ok(newest.map(|(version, _)| version))
}

/// Returns the highest version in the log from `from` on, with the object's e-tag.
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

/// Lists the objects of the log from `from` on, each with its version.
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
        // some servers ignore the offset and list from the beginning
        let version = layout::version_of(&folder, &object.location);
        let version = version.filter(|&version| version >= from);
        std::future::ready(Ok(version.map(|version| (version, object))))
    })
}

/// Reads a commit. A commit that was copied from another log is refused.
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
    /// Claims the job for `run`, unless another run has a live claim.
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
        let log = Self::unclaimed(lake, run, found, published, hint);
        match log.append(CommitKind::Claim, CommitChange::default()).await {
            Ok(_) => Ok(ClaimOutcome::Mine(Box::new(log))),
            // a rival was faster
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

    /// Claims the job for a process that knows how it `left` the log, with fewer requests: if a listing shows that
    /// commit to be the newest still, it isn't read again. Otherwise that knowledge is dropped.
    ///
    /// The listing only determines the version of the next commit. A rival that commits between the listing and the
    /// claim, or that has committed and pruned before, is detected by the claim's own create and by the listing in
    /// [`JobLog::recover`].
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
        // it lists no files, and everything before it is published
        let mut log = Self::unclaimed(lake, run.clone(), left.newest, version, left.hint);
        log.continues_own_commit = true;
        match log.append(CommitKind::Claim, CommitChange::default()).await {
            Ok(_) => Ok(ClaimOutcome::Mine(Box::new(log))),
            Err(LakeError::TakenOver { .. }) => Self::claim(lake, run).await,
            Err(error) => Err(error),
        }
    }

    /// Creates the log that `run` is about to claim.
    fn unclaimed(lake: &Lake, run: LogRun, previous: Commit, published: u64, hint: u64) -> Self {
        Self {
            lake: lake.clone(),
            keys: lake.layout.job(&run.job),
            previous_commit: (previous.version, previous.id),
            previous_writer: (previous.run, previous.at),
            continues_own_commit: false,
            head: Mutex::new(Head {
                published,
                newest: previous,
                hint,
                e_tag: None,
                bytes: 0,
                unpublished: true,
                now: None,
            }),
            run,
        }
    }

    /// Returns the id of the commit directly before this run's claim. Only valid right after the claim.
    pub async fn previous_commit_id(&self) -> Option<Uuid> {
        let (version, id) = self.previous_commit;
        (self.head.lock().await.newest.version == version + 1).then_some(id)
    }

    /// Returns the run that wrote the commit before this run's claim, and when.
    pub fn previous_writer(&self) -> (Uuid, Timestamp) {
        self.previous_writer
    }

    /// Publishes the commits of earlier runs and deletes files that they didn't commit. Only then may the lake's ids be
    /// read.
    ///
    /// The order matters:
    /// - commits to publish are read *before* the log is listed, because a rival could publish and prune in between, and
    ///   the listing shows that this run still holds the job;
    /// - staging is also listed *before* the log, and nothing that appears later is deleted, as it may belong to a later
    ///   run;
    /// - deletion comes *after* publishing, as the same listing includes files of those commits.
    ///
    /// Returns the committed files that can't be published, because no complete copy of them is left. Until the caller
    /// has committed that their ranges are to be pulled again, no commit of this run records them as published, so that
    /// the next run handles them if this one dies.
    ///
    /// A run that continues where its own process left the log has nothing to read or publish, and doesn't clean up
    /// staging: no commit of its own lists those files, and deleting them only saves space. It still lists the log, and
    /// stops unless it holds the job. Every 64 commits, a run performs all steps.
    pub async fn recover(&self) -> Result<Vec<Damage>, LakeError> {
        let claimed = self.head.lock().await.made();
        if self.continues_own_commit {
            self.stop_unless_newest(&claimed).await?;
            self.all_is_published().await;
            return Ok(Vec::new());
        }
        let (first, version) = (claimed.commit.published_through, claimed.commit.version);
        let unpublished = self.commits_between(first, version).await?;
        let abandoned = self.staged_by_others().await?;
        let half_written = self.lake.half_written(&self.keys.staging());
        self.stop_unless_newest(&claimed).await?;
        // this run holds the job, so no rival has pruned these; if one is missing, its rows are lost
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
            let lost = publish::publish_recovered(&self.lake, &self.keys, &commit.files).await?;
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
            // they only take up space; the folder is removed with the last of them
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

    /// Commits the change and publishes its files. Called by the run's only task that commits data. Its one conditional
    /// request is the commit point: if publishing fails, the commit stands, and the next run publishes its files.
    pub async fn commit(&self, change: CommitChange) -> Result<Commit, LakeError> {
        let made = self.append(CommitKind::Data, change).await?;
        if !made.commit.files.is_empty() {
            // the log is listed, because version + 1 alone may already have been pruned
            self.stop_unless_newest(&made).await?;
            publish::publish_new(&self.lake, &made.commit.files).await?;
        }
        self.all_is_published().await;
        Ok(made.commit)
    }

    /// Renews the claim until it is lost. Returns the reason.
    pub async fn keep_alive(&self) -> LakeError {
        loop {
            let Some(renew_in) = self.time_to_half_life().await else {
                return std::future::pending().await; // the run's last commit has released it
            };
            tokio::time::sleep(renew_in).await;
            if self.time_to_half_life().await != Some(Duration::ZERO) {
                continue; // renewed by a data commit meanwhile
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

    /// Records the differences of the run's clocks for the next commit; `now` is the earliest trusted one. Entries of
    /// an earlier run about a clock that this run doesn't know are kept.
    pub async fn note_clocks(&self, mut skews: Vec<Skew>, known: &[ClockOwner], now: Timestamp) {
        let mut head = self.head.lock().await;
        let is_unknown = |whose: &ClockOwner| !known.contains(whose);
        let stays = |skew: &Skew| is_unknown(&skew.clock) || skew.of.iter().any(is_unknown);
        skews.extend(head.newest.clocks.drain(..).filter(stays));
        head.newest.clocks = skews;
        head.now = Some(now);
    }

    /// Removes the log's entries about the last plan, which are in the future.
    pub async fn void_plan(&self) {
        let newest = &mut self.head.lock().await.newest;
        (newest.planned_at, newest.planned_by) = (None, None);
    }

    /// Releases the claim, so that the next run doesn't have to wait until it expires. Returns the state of the log, if
    /// the next run of this process may continue from there.
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
            return Ok(None); // the next run performs all steps
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

    /// Returns the newest commit of this run.
    pub async fn newest(&self) -> Commit {
        self.head.lock().await.newest.clone()
    }

    /// Returns whether the lake is in a folder of this machine.
    pub fn is_in_a_folder(&self) -> bool {
        self.lake.is_in_a_folder()
    }

    /// Returns the run that holds the log.
    pub fn run(&self) -> &LogRun {
        &self.run
    }

    /// Creates the next commit, unless a rival has.
    async fn append(
        &self,
        kind: CommitKind,
        mut change: CommitChange,
    ) -> Result<OwnCommit, LakeError> {
        let mut head = self.head.lock().await;
        if kind == CommitKind::Renewal && head.newest.claim.is_none() {
            return Ok(head.made()); // the run's last commit has released the claim meanwhile
        }
        let end = change.end.take();
        let ends = kind == CommitKind::Release || end.is_some() && change.files.is_empty();
        head.unpublished |= !change.files.is_empty();
        let id = Uuid::now_v7(); // the commit's id, with any version and any number of attempts
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
            // it exists, or there was no answer: only the object itself can show which
            let failure = match (
                read_commit(&self.lake, &self.keys, commit.version).await,
                created,
            ) {
                (Ok(Some(found)), _) if found.id == id => {
                    head.newest = found;
                    head.e_tag = None;
                    return Ok(head.made());
                }
                // a renewal of this run whose answer was lost: take the next version
                (Ok(Some(found)), _) if found.run == self.run.id => {
                    commit.version += 1;
                    continue;
                }
                (Ok(Some(found)), _) => {
                    return Err(LakeError::TakenOver {
                        version: found.version,
                    });
                }
                (Ok(None), Ok(_)) => continue, // it has disappeared: treated as if it had never existed
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

    /// Stops a run whose commit is no longer the newest, because its successor publishes its commits and may have
    /// pruned them. Also stops a run whose own commit doesn't exist, because the store let a rival overwrite it or
    /// never wrote it.
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
            // a store without e-tags, or with different quoting: the object itself decides
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
            Some(newer) if newer.run == self.run.id => Ok(()), // a renewal meanwhile
            _ => Err(LakeError::TakenOver { version: newest }),
        }
    }

    /// Writes a commit of this run again, which the store confirmed but doesn't show, or shows truncated. While the
    /// claim lasts, the key is this run's: a rival that finds a truncated commit stops, and one that finds nothing
    /// creates its own.
    async fn write_again(&self, own: &Commit, mode: PutMode) -> Result<(), LakeError> {
        let key = self.keys.commit(own.version);
        let is_ours = (own.claim.as_ref()).is_some_and(|claim| real_now() < claim.expires_at);
        if is_ours {
            tracing::warn!(commit = %key, "the store answered that it wrote this, and didn't; it is written again");
            let payload = to_json(own, &key)?;
            let written = self.lake.store.put_opts(&key, payload, mode.into()).await;
            // the answer is ignored; the object shows the result
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

    /// Returns `None` after the claim was released.
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

    /// Reads the commits after `after` and before `before` that still exist.
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

    /// Deletes commits that were last modified before `before`, up to the version that `newest` itself records as
    /// published. If a run deleted more, based on knowledge that isn't in the log, a successor would miss commits that
    /// it has to read.
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

/// Returns whether two e-tags are equal. Some stores quote them differently in listings and in answers.
fn is_same_tag(one: &str, other: &str) -> bool {
    let bare = |tag: &str| tag.trim_start_matches("W/").trim_matches('"').to_owned();
    bare(one) == bare(other)
}

impl OwnCommit {
    /// Returns whether a listing contains this object, and not a different one under the same key.
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

    /// Returns the commit after the newest; values that the change doesn't contain stay the same.
    fn next(&self, run: &LogRun, kind: CommitKind, id: Uuid, change: CommitChange) -> Commit {
        let data = kind == CommitKind::Data;
        Commit {
            format: FORMAT,
            version: self.newest.version + 1,
            id,
            run: run.id,
            job: run.job.clone(),
            epoch: self.newest.epoch.or_else(|| Some(Uuid::now_v7())),
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

/// Returns the state before commit 1.
fn before_the_first(run: &LogRun) -> Commit {
    Commit {
        format: FORMAT,
        version: 0,
        id: Uuid::nil(),
        run: Uuid::nil(),
        job: run.job.clone(),
        epoch: None,
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

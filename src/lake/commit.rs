//! One entry of a job's log: the checkpoint. Its JSON is read by people and by later versions.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::de::IntoDeserializer;
use serde::de::value::StringDeserializer;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::streak::FailureStreak;
use crate::clocks::{Skew, TOLERANCE};
use crate::model::{Cursor, FailureKind, Range, RangeSet, Timestamp};

/// The format that this version writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// By how much a row can be late, in seconds: a minute, 5, 15, an hour, 6, a day, 3, a week.
pub const DELAYS: [u64; 8] = [60, 300, 900, 3_600, 21_600, 86_400, 259_200, 604_800];

/// One entry of a job's commit log.
///
/// Only the newest commit's `progress` counts; the `files` of every commit after `published_through` are still to be
/// published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// [`FORMAT`].
    pub format: u32,
    /// The number in its key.
    pub version: u64,
    /// This commit's own id: tells an answer that was lost from a rival's commit.
    pub id: Uuid,
    /// The run that wrote it.
    pub run: Uuid,
    /// The job.
    pub job: String,
    /// Why it was written.
    pub kind: CommitKind,
    /// When, by the writer's real clock.
    pub at: Timestamp,
    /// Who holds the job, and until when; nobody once a run has ended.
    pub claim: Option<Claim>,
    /// All commits up to this one are known to be published.
    pub published_through: u64,
    /// The instant up to which the last scheduled run planned, once it had gone through its plan.
    pub planned_at: Option<Timestamp>,
    /// This machine's clock at that instant, where it differed from that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_by: Option<Timestamp>,
    /// The clocks that were off when a run last compared them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<Skew>,
    /// Whose log it pulls, as its rows and their folders have it.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// The streams that the job pulls; `progress` remembers others, should they come back.
    #[serde(default)]
    pub streams: Vec<String>,
    /// What this commit adds.
    pub pulled: Vec<Pulled>,
    /// The files of this commit.
    pub files: Vec<CommittedFile>,
    /// Where every stream stands after this commit.
    pub progress: BTreeMap<String, Progress>,
    /// What the run says of itself, in its last commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<RunSummary>,
    /// The scheduled runs that failed in a row up to the last one that has ended; none if that one succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<FailureStreak>,
}

impl Commit {
    /// Where the streams that the job pulls stand.
    pub fn current(&self) -> impl Iterator<Item = (&String, &Progress)> {
        self.progress
            .iter()
            .filter(|(stream, _)| self.streams.contains(stream))
    }

    /// From where the job's next tick is counted, by this machine's clock; none if it never ran, or if what the log says
    /// lies beyond `now`: nobody waits for an instant that a wrong clock wrote.
    pub fn counted_from(&self, now: Timestamp) -> Option<Timestamp> {
        let planned = self.planned_by.or(self.planned_at);
        planned.filter(|at| *at <= now + TOLERANCE)
    }
}

/// Why a commit was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitKind {
    /// A run takes the job.
    Claim,
    /// A run keeps the job.
    Renewal,
    /// A run lands what it pulled.
    Data,
    /// A run leaves the job.
    Release,
}

/// Whose log a job pulls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The provider's kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The connection's name.
    pub connection: String,
    /// The account, where records don't name it themselves.
    pub account_id: String,
    /// What the text of records depends on, where ids are made of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wording: Option<String>,
    /// Where the provider's API is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// A hash of who signs in there, or of the account that is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// From where on it was checked that no other log of the account has pulled what this one pulls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
}

/// Who holds a job until when. It only saves work: safety rests on create-if-absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// By the holder's real clock.
    pub expires_at: Timestamp,
    /// The holder's host name, for people.
    pub host: String,
    /// The holder's process id on that host.
    pub pid: u32,
    /// What tells that process from any other, where the system says: the boot of its machine, its process namespace,
    /// and when it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

/// A process, as Linux tells it from any other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The boot of the machine, and the namespace in which the process id counts.
    pub place: String,
    /// When it was started, in clock ticks since that boot.
    pub started: u64,
}

/// What one commit adds to one range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulled {
    /// The stream.
    pub stream: String,
    /// The range.
    pub range: Range,
    /// Why it was pulled.
    pub work: Work,
    /// Whether this commit takes it to its last page.
    pub finished: bool,
    /// What this commit adds, not the range's whole.
    pub counts: RecordCounts,
    /// The provider's own count for the whole range, where it gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_total: Option<u64>,
    /// What an operator should know of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// The new rows by the UTC date of their event time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub days: BTreeMap<NaiveDate, u64>,
    /// The late rows by how late they were: the least of [`DELAYS`] that isn't below, in seconds; [`u64::MAX`] beyond.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub delays: BTreeMap<u64, u64>,
    /// Requests sent for it since the run's last commit that named it, retries included.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub calls: u64,
    /// Of these, how many were sent again after a passing failure.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The key of [`Pulled::delays`] for a row that is so late, in milliseconds.
pub fn delay(late_by_ms: i64) -> u64 {
    let late = u64::try_from(late_by_ms).unwrap_or_default();
    let least = DELAYS.into_iter().find(|delay| late <= delay * 1_000);
    least.unwrap_or(u64::MAX)
}

/// What a run says of itself when it gives the job up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// When it took the job, by its real clock.
    pub started_at: Timestamp,
    /// Whether it was stopped, or its turn was over, while work was left that it could have done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
    /// Requests sent for the run that no [`Pulled`] of its commits counts, retries included.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub calls: u64,
    /// Of these, how many were sent again after a passing failure.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u64,
    /// What failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<RunFailure>,
}

/// Why a stream didn't get further, or a run as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailure {
    /// The stream; none if the run failed as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The range that failed, with the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// Why it was pulled, with the stream, as far as this version knows the word.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "known"
    )]
    pub work: Option<Work>,
    /// What kind of failure, as far as this version knows the word.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "known"
    )]
    pub kind: Option<FailureKind>,
    /// The failure with its causes.
    pub error: String,
    /// How long the provider asked to be left alone, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Whether it was the lake that failed, not the provider.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_lake: bool,
    /// Whether its stream went on with other ranges: the provider works, and this range alone is tried again later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub went_on: bool,
}

/// A word of this version, or nothing: what is only told must not keep a version that is rolled back to from reading the
/// rest of a commit.
pub(super) fn known<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let word = Option::<String>::deserialize(from)?;
    Ok(word.and_then(|word| {
        let word: StringDeserializer<serde::de::value::Error> = word.into_deserializer();
        T::deserialize(word).ok()
    }))
}

/// Why a range is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// For the first time.
    Pull,
    /// Again, for late arrivals.
    Settle,
    /// By hand.
    Backfill,
    /// Not at all: records that were in quarantine are tried again.
    Replay,
}

impl Work {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pull, Self::Settle, Self::Backfill, Self::Replay];

    /// As commits and tables have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Settle => "settle",
            Self::Backfill => "backfill",
            Self::Replay => "replay",
        }
    }
}

/// Records of a range, by what became of them: `fetched` is the sum of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCounts {
    /// Received.
    pub fetched: u64,
    /// Landed.
    pub new: u64,
    /// In the lake already, in its quarantine too, or earlier in this run.
    pub duplicate: u64,
    /// Unreadable, put in quarantine now.
    pub quarantined: u64,
    /// Inside the bounds that were asked but not in the range: they wait for their own range.
    pub waiting: u64,
    /// Of the new ones: outside the bounds that were asked.
    pub outside: u64,
    /// Of the new ones: not seen by an earlier pull of their range.
    pub late: u64,
}

impl std::ops::AddAssign for RecordCounts {
    fn add_assign(&mut self, other: Self) {
        self.fetched += other.fetched;
        self.new += other.new;
        self.duplicate += other.duplicate;
        self.quarantined += other.quarantined;
        self.waiting += other.waiting;
        self.outside += other.outside;
        self.late += other.late;
    }
}

/// A file that a commit lists: where it is staged and the key under which it is published, for ever the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedFile {
    /// Its key until it is published.
    pub staged: String,
    /// Its final key.
    pub key: String,
    /// Rows, or lines of quarantine.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Where one stream stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The end of the last contiguous range, from the job's start, that was pulled to its last page.
    #[serde(default)]
    pub watermark: Option<Timestamp>,
    /// Everything that was pulled to its last page.
    #[serde(default)]
    pub coverage: RangeSet,
    /// Per settle delay in seconds: what that pass has still to read again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unsettled: BTreeMap<u64, RangeSet>,
    /// Unfinished ranges, each with the place to go on from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<OpenRange>,
    /// The window in seconds to which ranges are narrowed after one proved too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// What a `backfill --refetch` has still to read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refetch: Option<Refetch>,
    /// Ranges that failed while others of the stream could be pulled, each with the time of its next try. In order of
    /// time; those of one kind of work don't overlap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedRange>,
    /// Everything that the provider refused as too old and that was never pulled: it isn't asked for any more, and the
    /// watermark passes it.
    #[serde(default, skip_serializing_if = "RangeSet::is_empty")]
    pub unobtainable: RangeSet,
}

impl Progress {
    /// Everything that need not be pulled any more: what was pulled, and what can't be.
    #[must_use]
    pub fn passed(&self) -> RangeSet {
        let mut passed = self.coverage.clone();
        self.unobtainable
            .iter()
            .for_each(|range| passed.insert(range));
        passed
    }
}

/// A range that failed while others of its stream could be pulled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRange {
    /// The range.
    pub range: Range,
    /// Why it was pulled.
    pub work: Work,
    /// How often it has failed.
    pub attempts: u32,
    /// Not before this it is tried again.
    pub retry_at: Timestamp,
    /// What kind of failure the last one was, as far as this version knows the word.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "known"
    )]
    pub kind: Option<FailureKind>,
    /// The last failure with its causes.
    pub error: String,
}

/// An unfinished range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRange {
    /// The whole range.
    pub range: Range,
    /// Why it is pulled.
    pub work: Work,
    /// When its first page was asked for.
    pub asked_at: Timestamp,
    /// Where to go on: behind every record that this commit or an earlier one lists.
    pub cursor: Cursor,
}

/// A refetch that goes on when its command is repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refetch {
    /// The range that the command named.
    pub range: Range,
    /// What of it is still to be read again.
    pub left: RangeSet,
}

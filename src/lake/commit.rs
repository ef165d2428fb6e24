//! An entry of a job's commit log, which is the checkpoint. Its JSON is read by people and by other versions.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::de::IntoDeserializer;
use serde::de::value::StringDeserializer;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::clocks::{Skew, TOLERANCE};
use crate::model::{Cursor, FailureKind, Range, RangeSet, Timestamp};

/// The format that this version writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The classes of delays of late rows, in seconds: 1, 5 and 15 minutes, 1 and 6 hours, 1 and 3 days, a week.
pub const DELAYS: [u64; 8] = [60, 300, 900, 3_600, 21_600, 86_400, 259_200, 604_800];

/// An entry of a job's commit log.
///
/// Only the newest commit's `progress` is valid. The `files` of every commit after `published_through` may not be
/// published yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// [`FORMAT`].
    pub format: u32,
    /// The number in its key.
    pub version: u64,
    /// The commit's own id, which distinguishes a lost answer from a rival's commit.
    pub id: Uuid,
    /// The run that wrote it.
    pub run: Uuid,
    /// The job.
    pub job: String,
    /// The log's own id, made with its first commit and copied forward, which tells a log that was deleted and
    /// started again. Older versions don't write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Uuid>,
    /// The kind of commit.
    pub kind: CommitKind,
    /// When it was written, by the writer's real clock.
    pub at: Timestamp,
    /// The holder of the job and the claim's expiry; `None` after the end of a run.
    pub claim: Option<Claim>,
    /// All commits up to this one are known to be published.
    pub published_through: u64,
    /// The instant up to which the last scheduled run that completed its plan had planned.
    pub planned_at: Option<Timestamp>,
    /// The local clock at that instant, if it differed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_by: Option<Timestamp>,
    /// The clocks that were wrong when a run last compared them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<Skew>,
    /// The account, connection and provider, as in its rows and their folders.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// The streams that the job pulls; `progress` also keeps former ones, in case they return.
    #[serde(default)]
    pub streams: Vec<String>,
    /// The additions of this commit by range.
    pub pulled: Vec<Pulled>,
    /// The files of this commit.
    pub files: Vec<CommittedFile>,
    /// The progress of every stream after this commit.
    pub progress: BTreeMap<String, Progress>,
    /// The run's summary, in its last commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<RunSummary>,
    /// The streak of failed scheduled runs up to the last finished one; `None` if that one succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<FailureStreak>,
}

impl Commit {
    /// Returns the progress of the job's current streams.
    pub fn current(&self) -> impl Iterator<Item = (&String, &Progress)> {
        self.progress
            .iter()
            .filter(|(stream, _)| self.streams.contains(stream))
    }

    /// Returns the instant from which the job's next tick is computed, by the local clock. `None` if it never ran, or
    /// if the log's instant is after `now`, as written by a wrong clock.
    pub fn counted_from(&self, now: Timestamp) -> Option<Timestamp> {
        let planned = self.planned_by.or(self.planned_at);
        planned.filter(|at| *at <= now + TOLERANCE)
    }
}

/// The kind of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitKind {
    /// A run claims the job.
    Claim,
    /// A run renews its claim.
    Renewal,
    /// A run lands pulled records.
    Data,
    /// A run releases its claim.
    Release,
}

/// The account, connection and provider of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The kind of provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The connection's name.
    pub connection: String,
    /// The account, for records that don't contain it.
    pub account_id: String,
    /// The settings on which the text of records depends, if ids are derived from it.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "wording")]
    pub id_basis: Option<String>,
    /// The host of the provider's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// A hash of the signed-in client or user, or of the named account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The instant from which it was checked that no other log of the account has pulled the same data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
}

/// The holder of a job and the claim's expiry. Claims only save work; safety rests on create-if-absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The expiry by the holder's real clock.
    pub expires_at: Timestamp,
    /// The holder's host name, for display.
    pub host: String,
    /// The holder's process id on that host.
    pub pid: u32,
    /// The identity of that process, if the system provides it: the boot of its machine, its process namespace, and its
    /// start time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

/// The identity of a process on Linux.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The boot id of the machine, and the namespace of the process id.
    pub place: String,
    /// The start time in clock ticks since that boot.
    pub started: u64,
}

/// The additions of a commit to a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulled {
    /// The stream.
    pub stream: String,
    /// The range.
    pub range: Range,
    /// The kind of work.
    pub work: Work,
    /// Whether the range was pulled to its last page with this commit.
    pub finished: bool,
    /// The counts of this commit, not of the whole range.
    pub counts: RecordCounts,
    /// The provider's own count for the whole range, if it returns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_total: Option<u64>,
    /// Remarks for the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// The new rows by the UTC date of their event time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub days: BTreeMap<NaiveDate, u64>,
    /// The late rows by delay: the smallest of [`DELAYS`] that isn't below it, in seconds; [`u64::MAX`] beyond.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub delays: BTreeMap<u64, u64>,
    /// The requests sent for it since the run's last commit that listed it, including retries.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub calls: u64,
    /// The number of these that were retries after a transient failure.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Returns the key of [`Pulled::delays`] for a row with this delay in milliseconds.
pub fn delay(late_by_ms: i64) -> u64 {
    let late = u64::try_from(late_by_ms).unwrap_or_default();
    let least = DELAYS.into_iter().find(|delay| late <= delay * 1_000);
    least.unwrap_or(u64::MAX)
}

/// The summary of a run in its last commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// When it claimed the job, by its real clock.
    pub started_at: Timestamp,
    /// Whether it left work because it was stopped or its time was over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
    /// The requests sent for the run that aren't counted in any [`Pulled`] of its commits, including retries.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub calls: u64,
    /// The number of these that were retries after a transient failure.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u64,
    /// The failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<RunFailure>,
}

/// A failure of a stream, or of a run as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailure {
    /// The stream; `None` if the run failed as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The failed range, if a stream failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// The kind of work, if a stream failed and this version knows the kind.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "known"
    )]
    pub work: Option<Work>,
    /// The kind of failure, if this version knows it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "known"
    )]
    pub kind: Option<FailureKind>,
    /// The failure with its causes.
    pub error: String,
    /// The pause that the provider requested, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Whether the lake failed instead of the provider.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_lake: bool,
    /// Whether its stream continued with other ranges: the provider works, and only this range is retried later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub went_on: bool,
}

/// The consecutive failed scheduled runs of a job, up to the newest one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureStreak {
    /// When the first of them failed.
    pub since: Timestamp,
    /// When the last of them failed.
    pub at: Timestamp,
    /// The id of the last of them.
    pub run: Uuid,
    /// The number of failed runs in a row.
    pub runs: u32,
    /// The kind of the last run's failure: refused credentials, if there are any, or that of its first failure.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "known"
    )]
    pub kind: Option<FailureKind>,
    /// Whether the lake failed instead of the provider.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_lake: bool,
    /// That failure with its causes.
    pub error: String,
    /// The first twenty streams that failed in the last run; empty if it failed as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<String>,
    /// The number of streams that failed in the last run.
    #[serde(default)]
    pub failed_streams: u64,
    /// The end of the pause that the provider requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_until: Option<Timestamp>,
    /// The next scheduled run begins at the job's first tick that is not before this instant.
    pub retry_at: Timestamp,
}

/// Deserialises a value that is only reported. Unknown values become `None`, so that an older version can still read
/// the commit after a rollback.
pub(super) fn known<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let word = Option::<String>::deserialize(from)?;
    Ok(word.and_then(|word| {
        let word: StringDeserializer<serde::de::value::Error> = word.into_deserializer();
        T::deserialize(word).ok()
    }))
}

/// The kind of work on a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A first pull.
    Pull,
    /// A settle pass for late arrivals.
    Settle,
    /// A manual backfill.
    Backfill,
    /// A replay of quarantined records, which pulls nothing.
    Replay,
}

impl Work {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Pull, Self::Settle, Self::Backfill, Self::Replay];

    /// Returns the name in commits and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Settle => "settle",
            Self::Backfill => "backfill",
            Self::Replay => "replay",
        }
    }
}

/// The records of a range by outcome; `fetched` is the sum of `new`, `duplicate`, `quarantined` and `waiting`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCounts {
    /// The received records.
    pub fetched: u64,
    /// The landed records.
    pub new: u64,
    /// The records that were already in the lake or its quarantine, or seen earlier in this run.
    pub duplicate: u64,
    /// The unreadable records that were added to the quarantine.
    pub quarantined: u64,
    /// The records inside the requested bounds but not in the range, which wait for their own range.
    pub waiting: u64,
    /// The new records outside the requested bounds.
    pub outside: u64,
    /// The new records that an earlier pull of their range didn't return.
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

/// A file of a commit: its staging key, and its final key, which never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedFile {
    /// The key until it is published.
    pub staged: String,
    /// The final key.
    pub key: String,
    /// The number of rows, or of quarantine lines.
    pub rows: u64,
    /// The size in bytes.
    pub bytes: u64,
    /// The least `event_time` of its rows; older versions don't write it, and quarantine lines have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_event_time: Option<Timestamp>,
    /// The greatest `event_time` of its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_event_time: Option<Timestamp>,
}

/// The progress of a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The end of the last contiguous range, from the job's start, that was pulled to its last page.
    #[serde(deserialize_with = "Option::deserialize")] // required: every version writes it
    pub watermark: Option<Timestamp>,
    /// Everything that was pulled to its last page.
    pub coverage: RangeSet,
    /// The ranges that each settle pass has yet to re-read, by delay in seconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unsettled: BTreeMap<u64, RangeSet>,
    /// The unfinished ranges, each with its cursor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<OpenRange>,
    /// The reduced window in seconds, after a range was too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// The ranges that a `backfill --refetch` has yet to re-read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refetch: Option<Refetch>,
    /// The ranges that failed while others of the stream could be pulled, each with the time of its next attempt. In
    /// the order of time; ranges of the same kind of work don't overlap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedRange>,
    /// The ranges that the provider refused as too old and that were never pulled. They are no longer requested, and
    /// the watermark passes them.
    #[serde(default, skip_serializing_if = "RangeSet::is_empty")]
    pub unobtainable: RangeSet,
}

impl Progress {
    /// Returns the ranges that don't have to be pulled: those that were pulled, and those that can't be.
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
    /// The kind of work.
    pub work: Work,
    /// The number of failures.
    pub attempts: u32,
    /// The instant before which it isn't retried.
    pub retry_at: Timestamp,
    /// The kind of the last failure, if this version knows it.
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
    /// The kind of work.
    pub work: Work,
    /// When its first page was requested.
    pub asked_at: Timestamp,
    /// The cursor from which to continue, after all records that this commit or an earlier one lists.
    pub cursor: Cursor,
}

/// A refetch that continues when its command is repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refetch {
    /// The range of the command.
    pub range: Range,
    /// The parts that have yet to be re-read.
    pub left: RangeSet,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A damaged name must not read as a missing value.
    #[test]
    fn progress_without_watermark_or_coverage_is_refused() {
        let read = |json: &str| serde_json::from_str::<Progress>(json);
        assert!(read(r#"{ "watermark": null, "coverage": [] }"#).is_ok());
        assert!(read(r#"{ "~atermark": null, "coverage": [] }"#).is_err());
        assert!(read(r#"{ "watermark": null, "~overage": [] }"#).is_err());
    }
}

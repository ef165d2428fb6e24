//! The lake's quarantine: files of unreadable records, one JSON object a line, and the acknowledgements of lines.
//!
//! Neither is ever changed. A line is open until an acknowledgement in another file refers to it by file, number and
//! hash, so a new occurrence of the same bytes is open again. Foreign lines are reported and count as open, as their
//! meaning is unknown.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use futures_util::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::LakeError;
use super::layout;
use super::open::Lake;
use super::publish;
use crate::model::{Range, Timestamp, hex};

/// The maximum number of acknowledgements in a file.
const LINES_A_FILE: usize = 10_000;

/// One unreadable record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineLine {
    /// The hash of the record's bytes.
    pub id: String,
    /// The text as received. For a record that isn't UTF-8, invalid bytes are replaced with U+FFFD.
    pub raw: String,
    /// The bytes of a record that isn't UTF-8, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
    /// The reason why it couldn't be parsed.
    pub reason: String,
    /// The stream that returned it.
    pub stream: String,
    /// The requested bounds.
    #[serde(flatten)]
    pub asked: AskedRange,
    /// When it was received.
    pub pulled_at: Timestamp,
}

/// A range, written as `from` and `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FromTo", into = "FromTo")]
pub struct AskedRange(pub Range);

#[derive(Serialize, Deserialize)]
struct FromTo {
    from: Timestamp,
    to: Timestamp,
}

impl TryFrom<FromTo> for AskedRange {
    type Error = <Range as TryFrom<(Timestamp, Timestamp)>>::Error;

    fn try_from(text: FromTo) -> Result<Self, Self::Error> {
        Range::try_from((text.from, text.to)).map(Self)
    }
}

impl From<AskedRange> for FromTo {
    fn from(asked: AskedRange) -> Self {
        let (from, to) = asked.0.into();
        Self { from, to }
    }
}

impl QuarantineLine {
    /// Creates the line of a record.
    pub fn new(
        raw: impl AsRef<[u8]>,
        reason: String,
        stream: &str,
        asked: Range,
        pulled_at: Timestamp,
    ) -> Self {
        let raw = raw.as_ref();
        let is_text = std::str::from_utf8(raw).is_ok();
        Self {
            id: id_of(raw),
            raw: String::from_utf8_lossy(raw).into_owned(),
            raw_base64: (!is_text).then(|| BASE64_STANDARD.encode(raw)),
            reason,
            stream: stream.to_owned(),
            asked: AskedRange(asked),
            pulled_at,
        }
    }
}

impl QuarantineLine {
    /// Returns the record's bytes as received, unless the line was altered.
    fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        match &self.raw_base64 {
            None => Some(Cow::Borrowed(self.raw.as_bytes())),
            Some(base64) => BASE64_STANDARD.decode(base64).ok().map(Cow::Owned),
        }
    }
}

/// Returns the id of a record: a hash of its bytes, 32 hexadecimal digits.
pub fn id_of(raw: &[u8]) -> String {
    hex(&Sha256::digest(raw)[..16])
}

/// The location of a line, whose content never changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinePlace {
    /// The file's name in the quarantine's folder.
    pub file: String,
    /// The line's number from 1; empty lines count.
    pub line: u64,
}

/// `<file>:<line>`.
impl fmt::Display for LinePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl FromStr for LinePlace {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (file, line) = text.rsplit_once(':').unwrap_or((text, ""));
        Ok(Self {
            file: file.to_owned(),
            line: line.parse()?,
        })
    }
}

/// A line with its location and content.
#[derive(Debug)]
pub struct FoundLine<'a> {
    /// The location.
    pub place: LinePlace,
    /// The hash of the record's bytes; for a foreign line, of the line itself.
    pub id: String,
    /// The line's own bytes.
    pub bytes: &'a [u8],
    /// The record, or the reason why the line can't be parsed.
    pub line: Result<QuarantineLine, String>,
}

/// A file of a job's quarantine.
#[derive(Debug)]
pub struct QuarantineFile {
    name: String,
    key: Path,
}

impl QuarantineFile {
    /// Reads the content; `None` if the file is gone.
    pub async fn read(&self, lake: &Lake) -> Result<bytes::Bytes, LakeError> {
        Ok(lake.read_file(&self.key).await?.unwrap_or_default())
    }

    /// Returns the lines of the content.
    pub fn lines<'a>(&'a self, content: &'a [u8]) -> impl Iterator<Item = FoundLine<'a>> {
        let is_ours = layout::is_quarantined(&self.name);
        numbered(content).map(move |(number, bytes)| {
            let line = if is_ours {
                parse(bytes)
            } else {
                Err("it isn't in a file written by auditlake".to_owned())
            };
            FoundLine {
                place: LinePlace {
                    file: self.name.clone(),
                    line: number,
                },
                id: match &line {
                    Ok(line) => line.id.clone(),
                    Err(_) => id_of(bytes),
                },
                bytes,
                line,
            }
        })
    }
}

fn parse(bytes: &[u8]) -> Result<QuarantineLine, String> {
    let line: QuarantineLine = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if line.bytes().is_some_and(|raw| line.id == id_of(&raw)) {
        Ok(line)
    } else {
        Err("its id is not the hash of its record".to_owned())
    }
}

/// Returns the lines that aren't empty, with numbers from 1.
fn numbered(content: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    (1..)
        .zip(content.split(|&byte| byte == b'\n'))
        .filter(|(_, line)| !line.is_empty())
}

/// Lists the files of a job's quarantine by name.
pub async fn files(lake: &Lake, job: &str) -> Result<Vec<QuarantineFile>, LakeError> {
    in_folder(lake, &lake.layout.job(job).quarantine()).await
}

/// Passes each line of a job's quarantine to `take`, with one file in memory at a time.
pub async fn read(
    lake: &Lake,
    job: &str,
    mut take: impl FnMut(FoundLine<'_>),
) -> Result<(), LakeError> {
    for file in files(lake, job).await? {
        let content = file.read(lake).await?;
        file.lines(&content).for_each(&mut take);
    }
    Ok(())
}

async fn in_folder(lake: &Lake, folder: &Path) -> Result<Vec<QuarantineFile>, LakeError> {
    let mut files: Vec<QuarantineFile> = lake
        .store
        .list(Some(folder))
        .map_ok(|object| QuarantineFile {
            name: layout::name_in(folder, &object.location),
            key: object.location,
        })
        .try_collect()
        .await
        .map_err(LakeError::at("list", folder))?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// The origin of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcknowledgedBy {
    /// A user.
    Ack,
    /// A replay: the record is in the lake.
    Replay,
}

/// The acknowledgement of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The quarantine file's name.
    pub file: String,
    /// The line's number in it, from 1.
    pub line: u64,
    /// The line's id.
    pub id: String,
    /// What acknowledged it.
    pub by: AcknowledgedBy,
    /// The user, as `user@host` according to the operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// The user's note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was acknowledged.
    pub at: Timestamp,
}

/// Passes each acknowledgement of a job's quarantine to `take`. Foreign ones acknowledge nothing and are logged.
pub async fn read_acknowledgements(
    lake: &Lake,
    job: &str,
    mut take: impl FnMut(Acknowledgement),
) -> Result<(), LakeError> {
    for file in in_folder(lake, &lake.layout.job(job).acknowledged()).await? {
        let content = file.read(lake).await?;
        if !layout::is_acknowledgement(&file.name) {
            tracing::warn!(file = %file.key, "not a file written by auditlake; it acknowledges nothing");
            continue;
        }
        for (line, bytes) in numbered(&content) {
            match serde_json::from_slice(bytes) {
                Ok(acknowledgement) => take(acknowledgement),
                Err(error) => {
                    tracing::warn!(file = %file.key, line, error = error.to_string(), "a line can't be read; it acknowledges nothing");
                }
            }
        }
    }
    Ok(())
}

/// The acknowledged lines of a job's quarantine.
#[derive(Debug, Default)]
pub struct Acknowledged {
    by_file: HashMap<String, HashMap<u64, Vec<(String, AcknowledgedBy)>>>,
}

impl Acknowledged {
    /// Reads all current acknowledgements.
    pub async fn read(lake: &Lake, job: &str) -> Result<Self, LakeError> {
        let mut all = Self::default();
        read_acknowledgements(lake, job, |one| {
            let of_file = all.by_file.entry(one.file).or_default();
            of_file.entry(one.line).or_default().push((one.id, one.by));
        })
        .await?;
        Ok(all)
    }

    /// Returns the origin of the line's acknowledgement, if any; a replay takes precedence over a user.
    pub fn by(&self, place: &LinePlace, id: &str) -> Option<AcknowledgedBy> {
        let of_line = self.by_file.get(&place.file)?.get(&place.line)?;
        let mut by = of_line.iter().filter(|(of, _)| of == id).map(|(_, by)| *by);
        let first = by.next()?;
        Some(by.fold(first, |first, by| match by {
            AcknowledgedBy::Replay => by,
            AcknowledgedBy::Ack => first,
        }))
    }

    /// Returns whether the line isn't acknowledged.
    pub fn is_open(&self, found: &FoundLine<'_>) -> bool {
        self.by(&found.place, &found.id).is_none()
    }
}

/// The maximum number of reasons that [`count`] distinguishes.
const REASONS: usize = 50;

/// The counts of a job's quarantine, and its damaged files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// The open lines, including foreign ones.
    pub open: u64,
    /// The acknowledged lines.
    pub acknowledged: u64,
    /// The open lines by reason, for the first fifty reasons.
    pub reasons: BTreeMap<String, u64>,
    /// The keys of the remains of committed files that the store lost, until an operator deletes them.
    pub damaged: Vec<String>,
}

/// Counts the lines of a job's quarantine, and the open ones by reason.
pub async fn count(lake: &Lake, job: &str) -> Result<LineCounts, LakeError> {
    let acknowledged = Acknowledged::read(lake, job).await?;
    let mut counts = LineCounts {
        damaged: publish::damaged(lake, job).await?,
        ..LineCounts::default()
    };
    read(lake, job, |found| {
        if acknowledged.is_open(&found) {
            counts.open += 1;
            let reason = found
                .line
                .map_or_else(|problem| problem, |line| line.reason);
            if counts.reasons.len() < REASONS || counts.reasons.contains_key(&reason) {
                *counts.reasons.entry(reason).or_default() += 1;
            }
        } else {
            counts.acknowledged += 1;
        }
    })
    .await?;
    Ok(counts)
}

/// Returns the user of this process and its machine as `user@host`, or `uid 1000@host` if the user has no name.
fn who() -> String {
    let host = gethostname::gethostname();
    let user = fs::metadata("/proc/self").ok().map(|process| process.uid());
    let user = match user {
        Some(uid) => user_name(uid).unwrap_or_else(|| format!("uid {uid}")),
        None => "an unknown user".to_owned(),
    };
    format!("{user}@{}", host.to_string_lossy())
}

fn user_name(uid: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Acknowledges lines in separate files, in the name of this process's user. Acknowledging a line twice has no effect.
pub async fn acknowledge(
    lake: &Lake,
    job: &str,
    lines: &[(LinePlace, String)],
    by: AcknowledgedBy,
    note: Option<&str>,
    at: Timestamp,
) -> Result<(), LakeError> {
    let who = who();
    for some in lines.chunks(LINES_A_FILE) {
        let key = lake.layout.job(job).acknowledgement(Uuid::now_v7());
        let mut text = Vec::new();
        for (place, id) in some {
            let line = Acknowledgement {
                file: place.file.clone(),
                line: place.line,
                id: id.clone(),
                by,
                who: Some(who.clone()),
                note: note.map(str::to_owned),
                at,
            };
            serde_json::to_writer(&mut text, &line).map_err(|error| LakeError::Unreadable {
                key: key.to_string(),
                reason: error.to_string(),
            })?;
            text.push(b'\n');
        }
        let length = text.len() as u64;
        // no one else uses this key: an existing object means that only the answer was lost
        let _: bool = lake.create(&key, text.into()).await?;
        if publish::size(lake, &key).await? != Some(length) {
            return Err(LakeError::NotWritten {
                key: key.to_string(),
            });
        }
    }
    Ok(())
}

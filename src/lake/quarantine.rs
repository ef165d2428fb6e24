//! The lake's quarantine: files of unreadable records, one JSON object a line, and the acknowledgements of lines.
//!
//! Neither is ever changed. A line is open until another file says otherwise: an acknowledgement names exactly one line,
//! by its file, its number and its hash, so a new appearance of the same bytes is open again. A line that isn't ours is
//! reported and counts as open: nobody knows what it stands for.

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

/// How many acknowledgements one file holds.
const LINES_A_FILE: usize = 10_000;

/// One unreadable record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineLine {
    /// Hash of the record's bytes.
    pub id: String,
    /// The text as received. Of a record that isn't UTF-8, its text with U+FFFD in the place of what can't be read.
    pub raw: String,
    /// The bytes of a record that isn't UTF-8, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
    /// Why it couldn't be read.
    pub reason: String,
    /// The stream that showed it.
    pub stream: String,
    /// The bounds that were asked.
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
    /// The line of a record.
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
    /// The record's bytes as received, unless the line was altered.
    fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        match &self.raw_base64 {
            None => Some(Cow::Borrowed(self.raw.as_bytes())),
            Some(base64) => BASE64_STANDARD.decode(base64).ok().map(Cow::Owned),
        }
    }
}

/// The id of a record: a hash of its bytes, 32 hexadecimal digits.
pub fn id_of(raw: &[u8]) -> String {
    hex(&Sha256::digest(raw)[..16])
}

/// Where a line lies. What lies there never changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinePlace {
    /// The file's name in the quarantine's folder.
    pub file: String,
    /// From 1; empty lines count.
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

/// A line, where it lies, and what it holds.
#[derive(Debug)]
pub struct FoundLine<'a> {
    /// Where.
    pub place: LinePlace,
    /// The hash of the record's bytes; of a line that isn't ours, of the line itself.
    pub id: String,
    /// The line's own bytes.
    pub bytes: &'a [u8],
    /// What it holds, or why that can't be told.
    pub line: Result<QuarantineLine, String>,
}

/// One file of a job's quarantine.
#[derive(Debug)]
pub struct QuarantineFile {
    name: String,
    key: Path,
}

impl QuarantineFile {
    /// Its content; nothing if it is gone.
    pub async fn read(&self, lake: &Lake) -> Result<bytes::Bytes, LakeError> {
        Ok(lake.read_file(&self.key).await?.unwrap_or_default())
    }

    /// The lines of its content.
    pub fn lines<'a>(&'a self, content: &'a [u8]) -> impl Iterator<Item = FoundLine<'a>> {
        let is_ours = layout::is_quarantined(&self.name);
        numbered(content).map(move |(number, bytes)| {
            let line = if is_ours {
                parse(bytes)
            } else {
                Err("it lies in no file that auditlake wrote".to_owned())
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

/// The lines that aren't empty, numbered from 1.
fn numbered(content: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    (1..)
        .zip(content.split(|&byte| byte == b'\n'))
        .filter(|(_, line)| !line.is_empty())
}

/// The files of a job's quarantine, by name.
pub async fn files(lake: &Lake, job: &str) -> Result<Vec<QuarantineFile>, LakeError> {
    in_folder(lake, &lake.layout.job(job).quarantine()).await
}

/// Gives each line of a job's quarantine to `take`, one file in memory at a time.
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

/// What acknowledged a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcknowledgedBy {
    /// Somebody, by hand.
    Ack,
    /// A replay: the lake has its record.
    Replay,
}

/// Says of one line that it is done with.
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
    /// Who did: `user@host`, as the operating system names the process's user and its machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// What somebody had to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Gives each acknowledgement of a job's quarantine to `take`. One that isn't ours acknowledges nothing, and is logged.
pub async fn read_acknowledgements(
    lake: &Lake,
    job: &str,
    mut take: impl FnMut(Acknowledgement),
) -> Result<(), LakeError> {
    for file in in_folder(lake, &lake.layout.job(job).acknowledged()).await? {
        let content = file.read(lake).await?;
        if !layout::is_acknowledgement(&file.name) {
            tracing::warn!(file = %file.key, "this is no file that auditlake wrote; it acknowledges nothing");
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

/// Which lines of a job's quarantine are acknowledged.
#[derive(Debug, Default)]
pub struct Acknowledged {
    by_file: HashMap<String, HashMap<u64, Vec<(String, AcknowledgedBy)>>>,
}

impl Acknowledged {
    /// All that is acknowledged now.
    pub async fn read(lake: &Lake, job: &str) -> Result<Self, LakeError> {
        let mut all = Self::default();
        read_acknowledgements(lake, job, |one| {
            let of_file = all.by_file.entry(one.file).or_default();
            of_file.entry(one.line).or_default().push((one.id, one.by));
        })
        .await?;
        Ok(all)
    }

    /// What acknowledged the line, if anything has; a replay counts for more than a hand.
    pub fn by(&self, place: &LinePlace, id: &str) -> Option<AcknowledgedBy> {
        let of_line = self.by_file.get(&place.file)?.get(&place.line)?;
        let mut by = of_line.iter().filter(|(of, _)| of == id).map(|(_, by)| *by);
        let first = by.next()?;
        Some(by.fold(first, |first, by| match by {
            AcknowledgedBy::Replay => by,
            AcknowledgedBy::Ack => first,
        }))
    }

    /// Whether nothing has acknowledged the line.
    pub fn is_open(&self, found: &FoundLine<'_>) -> bool {
        self.by(&found.place, &found.id).is_none()
    }
}

/// How many reasons [`count`] tells apart.
const REASONS: usize = 50;

/// How many lines a job's quarantine has, and what else was put aside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Not acknowledged; with the lines that aren't ours.
    pub open: u64,
    /// Acknowledged.
    pub acknowledged: u64,
    /// The open ones by their reasons; those of reasons beyond the first fifty aren't in it.
    pub reasons: BTreeMap<String, u64>,
    /// The keys of what was left of committed files that the store lost, until somebody deletes them.
    pub damaged: Vec<String>,
}

/// Counts the lines of a job's quarantine, the open ones by their reasons, too.
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

/// The user of this process and its machine, `user@host`; `uid 1000@host` where the system has no name for the user.
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

/// Acknowledges lines, in files of their own, in the name of this process's user. A line may be acknowledged twice; that changes nothing.
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
        // nobody else makes this key: what exists there is ours, and only its answer was lost
        let _: bool = lake.create(&key, text.into()).await?;
        if publish::size(lake, &key).await? != Some(length) {
            return Err(LakeError::NotWritten {
                key: key.to_string(),
            });
        }
    }
    Ok(())
}

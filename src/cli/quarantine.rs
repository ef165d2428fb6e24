//! `quarantine`: lists, shows, replays and acknowledges records that couldn't be parsed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::once::when_free;
use super::report::{CommandError, Out};
use super::table::{Cell, ColumnKind};
use super::terminal::Tone;
use crate::clock::real_now;
use crate::config::Config;
use crate::foreign;
use crate::lake::Lake;
use crate::lake::quarantine::{
    self, Acknowledged, AcknowledgedBy, Acknowledgement, FoundLine, LinePlace, QuarantineLine,
};
use crate::run::{self, Job, LineOutcome, Replayed, ReplayedLine, RunOptions};
use crate::setup::ScheduledJob;
use crate::shutdown::Shutdown;
use crate::text;

/// The number of digits of an id that are shown, enough to refer to a line.
const SHORT: usize = 12;
/// The length of a reason in the table, in characters.
const REASON: usize = 120;
/// The number of reasons that are counted separately.
const REASONS: usize = 20;
/// The number of ids in a message.
const NAMED: usize = 5;

#[derive(Debug, Args)]
pub(super) struct QuarantineArgs {
    #[command(subcommand)]
    command: QuarantineCommand,
}

#[derive(Debug, Subcommand)]
enum QuarantineCommand {
    /// List the open lines, and count them by reason
    List(ListArgs),
    /// Show whole lines, with the record as received, as JSON
    Show(ShowArgs),
    /// Parse open lines again with this version, and land those that it can read
    Replay(ReplayArgs),
    /// Acknowledge open lines: they are kept but no longer count
    Ack(AckArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only this job; may be repeated
    #[arg(long = "job", value_name = "NAME")]
    jobs: Vec<String>,

    /// Acknowledged lines, too
    #[arg(long)]
    all: bool,

    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The job
    #[arg(long, value_name = "NAME")]
    job: String,

    /// The beginning of a line's id, or `<file>:<line>`
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The job
    #[arg(long, value_name = "NAME")]
    job: String,

    /// The beginning of a line's id, or `<file>:<line>`; every open line if there is none
    #[arg(value_name = "ID")]
    ids: Vec<String>,

    /// The outcome of each line as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct AckArgs {
    /// The job
    #[arg(long, value_name = "NAME")]
    job: String,

    /// The beginning of a line's id, or `<file>:<line>`
    #[arg(required_unless_present = "all", value_name = "ID")]
    ids: Vec<String>,

    /// Every open line
    #[arg(long, conflicts_with = "ids")]
    all: bool,

    /// A note for later readers
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,

    /// The number of lines as JSON
    #[arg(long)]
    json: bool,
}

impl QuarantineArgs {
    /// Returns whether a signal lets the command finish its current work.
    pub(super) fn lands(&self) -> bool {
        matches!(self.command, QuarantineCommand::Replay(_))
    }
}

pub(super) async fn run(
    config: &Config,
    args: &QuarantineArgs,
    shutdown: Option<&Shutdown>,
    out: &mut Out,
) -> Result<u8, CommandError> {
    match &args.command {
        QuarantineCommand::List(args) => list(config, args, out).await,
        QuarantineCommand::Show(args) => show(config, args, out).await,
        QuarantineCommand::Ack(args) => ack(config, args, out).await,
        QuarantineCommand::Replay(args) => replay(config, args, shutdown, out).await,
    }
}

fn job(config: &Config, name: &str) -> Result<Job, CommandError> {
    let jobs = super::jobs(config, &[name.to_owned()])?;
    let first = jobs.into_iter().next();
    first
        .map(|ScheduledJob { job, .. }| job)
        .ok_or_else(|| CommandError::usage(format!("there is no job `{name}`")))
}

/// Returns the state of a line: open, or the origin of its acknowledgement.
fn state(by: Option<AcknowledgedBy>) -> &'static str {
    match by {
        None => "open",
        Some(AcknowledgedBy::Ack) => "acknowledged",
        Some(AcknowledgedBy::Replay) => "replayed",
    }
}

async fn list(config: &Config, args: &ListArgs, out: &mut Out) -> Result<u8, CommandError> {
    // everything of a line except its record is kept
    let (mut rows, mut objects) = (Vec::new(), Vec::new());
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for ScheduledJob { job, .. } in super::jobs(config, &args.jobs)? {
        let acknowledged = Acknowledged::read(&job.lake, &job.log)
            .await
            .map_err(CommandError::lake)?;
        quarantine::read(&job.lake, &job.log, |found| {
            let by = acknowledged.by(&found.place, &found.id);
            if by.is_some() && !args.all {
                return;
            }
            if args.json {
                return objects.push(listed(&job.name, &found, by));
            }
            let row = row(&job.name, &found, by);
            *reasons.entry(row[7].clone()).or_default() += 1;
            let [job, id, stream, range, pulled_at, bytes, state, reason] = row.map(Cell::from);
            let tone = by.map_or(Tone::Warning, |_| Tone::Aside);
            let state = state.toned(tone);
            rows.push([job, id, stream, range, pulled_at, bytes, state, reason]);
        })
        .await
        .map_err(CommandError::lake)?;
    }
    if args.json {
        out.json(&objects.into());
    } else if rows.is_empty() {
        let open = if args.all { "" } else { "open " };
        out.line(format_args!("no {open}lines"));
    } else {
        let columns = [
            ("job", ColumnKind::Name),
            ("id", ColumnKind::Whole),
            ("stream", ColumnKind::Name),
            ("range", ColumnKind::Text),
            ("pulled at", ColumnKind::Text),
            ("bytes", ColumnKind::Number),
            ("state", ColumnKind::Whole),
            ("reason", ColumnKind::Text),
        ];
        out.table(columns, &rows);
        out.line(format_args!(""));
        let mut reasons: Vec<(String, u64)> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, lines)| std::cmp::Reverse(*lines));
        for (reason, lines) in reasons.iter().take(REASONS) {
            out.line(format_args!("{}: {reason}", text::counted(*lines, "line")));
        }
        if reasons.len() > REASONS {
            let lines: u64 = reasons[REASONS..].iter().map(|(_, lines)| lines).sum();
            let others = text::counted((reasons.len() - REASONS) as u64, "other reason");
            out.line(format_args!("{}: {others}", text::counted(lines, "line")));
        }
    }
    Ok(0)
}

fn row(job: &str, found: &FoundLine<'_>, by: Option<AcknowledgedBy>) -> [String; 8] {
    let (stream, range, pulled_at, bytes, reason) = match &found.line {
        Ok(line) => (
            line.stream.clone(),
            line.asked.0.to_string(),
            text::time(line.pulled_at),
            line.raw.len(),
            one_line(&line.reason),
        ),
        Err(reason) => (
            "-".to_owned(),
            found.place.to_string(),
            "-".to_owned(),
            found.bytes.len(),
            format!("not a line of auditlake: {}", one_line(reason)),
        ),
    };
    [
        job.to_owned(),
        found.id.chars().take(SHORT).collect(),
        stream,
        range,
        pulled_at,
        text::count(bytes as u64),
        state(by).to_owned(),
        reason,
    ]
}

/// Returns the beginning of a text as one line.
fn one_line(text: &str) -> String {
    let text = foreign::line(text);
    let mut line: String = text.chars().take(REASON).collect();
    if text.chars().nth(REASON).is_some() {
        line.push('…');
    }
    line
}

fn listed(job: &str, found: &FoundLine<'_>, by: Option<AcknowledgedBy>) -> Value {
    let mut listed = json!({
        "job": job,
        "id": found.id,
        "file": found.place.file,
        "line": found.place.line,
        "state": state(by),
    });
    match &found.line {
        Ok(line) => {
            listed["stream"] = json!(line.stream);
            listed["from"] = json!(line.asked.0.from());
            listed["to"] = json!(line.asked.0.to());
            listed["pulled_at"] = json!(line.pulled_at);
            listed["reason"] = json!(line.reason);
            listed["bytes"] = json!(line.raw.len());
        }
        Err(reason) => {
            listed["damaged"] = json!(reason);
            listed["bytes"] = json!(found.bytes.len());
        }
    }
    listed
}

async fn show(config: &Config, args: &ShowArgs, out: &mut Out) -> Result<u8, CommandError> {
    let job = job(config, &args.job)?;
    let named = named(&job.lake, &job.log, &args.ids).await?;
    let mut message: HashMap<LinePlace, Vec<Acknowledgement>> = HashMap::new();
    quarantine::read_acknowledgements(&job.lake, &job.log, |one| {
        let place = LinePlace {
            file: one.file.clone(),
            line: one.line,
        };
        if named
            .iter()
            .any(|(line, id)| *line == place && *id == one.id)
        {
            message.entry(place).or_default().push(one);
        }
    })
    .await
    .map_err(CommandError::lake)?;
    let places: BTreeSet<LinePlace> = named.into_iter().map(|(place, _)| place).collect();
    quarantine::read(&job.lake, &job.log, |found| {
        if places.contains(&found.place) {
            let message = message.remove(&found.place).unwrap_or_default();
            out.json(&whole(&found, &message));
        }
    })
    .await
    .map_err(CommandError::lake)?;
    Ok(0)
}

/// Returns all values of a line.
fn whole(found: &FoundLine<'_>, message: &[Acknowledgement]) -> Value {
    let mut whole = match &found.line {
        Ok(line) => {
            let QuarantineLine {
                id,
                raw,
                raw_base64,
                reason,
                stream,
                asked,
                pulled_at,
            } = line;
            let mut whole = json!({
                "id": id, "raw": raw, "reason": reason, "stream": stream,
                "from": asked.0.from(), "to": asked.0.to(), "pulled_at": pulled_at,
            });
            if let Some(bytes) = raw_base64 {
                whole["raw_base64"] = json!(bytes);
            }
            whole
        }
        Err(reason) => {
            let text = String::from_utf8_lossy(found.bytes);
            json!({ "id": found.id, "damaged": reason, "text": text })
        }
    };
    whole["file"] = json!(found.place.file);
    whole["line"] = json!(found.place.line);
    whole["acknowledged"] = (message.iter())
        .map(|one| {
            let mut entry = json!({ "by": one.by, "at": one.at });
            if let Some(who) = &one.who {
                entry["who"] = json!(who);
            }
            if let Some(note) = &one.note {
                entry["note"] = json!(note);
            }
            entry
        })
        .collect();
    whole
}

async fn ack(config: &Config, args: &AckArgs, out: &mut Out) -> Result<u8, CommandError> {
    let job = job(config, &args.job)?;
    let named = if args.all {
        None
    } else {
        Some(named(&job.lake, &job.log, &args.ids).await?)
    };
    let (open, closed) = open_of(&job, named.as_deref()).await?;
    let (lake, note) = (&job.lake, args.note.as_deref());
    quarantine::acknowledge(lake, &job.log, &open, AcknowledgedBy::Ack, note, real_now())
        .await
        .map_err(CommandError::lake)?;
    if args.json {
        out.json(&json!({
            "job": job.name,
            "acknowledged": open.len(),
            "done_with_already": closed,
        }));
        return Ok(0);
    }
    let closed = match closed {
        0 => String::new(),
        closed => format!("; already acknowledged: {}", text::count(closed)),
    };
    let acknowledged = text::counted(open.len() as u64, "line");
    out.line(format_args!(
        "{}: {acknowledged} acknowledged{closed}",
        job.name
    ));
    Ok(0)
}

/// Returns the open ones of these lines, or of all, and the number of named ones that aren't open.
async fn open_of(
    job: &Job,
    named: Option<&[(LinePlace, String)]>,
) -> Result<(Vec<(LinePlace, String)>, u64), CommandError> {
    let acknowledged = Acknowledged::read(&job.lake, &job.log)
        .await
        .map_err(CommandError::lake)?;
    let Some(named) = named else {
        let mut open = Vec::new();
        quarantine::read(&job.lake, &job.log, |found| {
            if acknowledged.is_open(&found) {
                open.push((found.place, found.id));
            }
        })
        .await
        .map_err(CommandError::lake)?;
        return Ok((open, 0));
    };
    let is_open = |(place, id): &&(LinePlace, String)| acknowledged.by(place, id).is_none();
    let open: Vec<_> = named.iter().filter(is_open).cloned().collect();
    let closed = named.len() - open.len();
    Ok((open, closed as u64))
}

async fn replay(
    config: &Config,
    args: &ReplayArgs,
    shutdown: Option<&Shutdown>,
    out: &mut Out,
) -> Result<u8, CommandError> {
    let job = job(config, &args.job)?;
    let named = match &args.ids[..] {
        [] => None,
        ids => Some(named(&job.lake, &job.log, ids).await?),
    };
    let (open, _) = open_of(&job, named.as_deref()).await?;
    if open.is_empty() {
        if args.json {
            out.json(&replayed_json(&job, &[], false));
        } else {
            out.line(format_args!("{}: no open lines to replay", job.name));
        }
        return Ok(0);
    }
    super::ready_jobs(config, std::slice::from_ref(&args.job)).await?;
    let these: Option<BTreeSet<LinePlace>> =
        named.map(|named| named.into_iter().map(|(place, _)| place).collect());
    let stop = shutdown.map(|shutdown| shutdown.stop.clone());
    let options = RunOptions::new(stop.unwrap_or_default());
    let replayed = when_free(&job, &options, async || {
        run::replay(&job, these.as_ref(), &options).await
    })
    .await?;
    if args.json {
        out.json(&replayed_json(&job, &replayed.lines, replayed.unfinished));
    } else {
        tell(&job, &replayed, out);
    }
    Ok(shutdown.and_then(Shutdown::exit_code).unwrap_or(0))
}

fn tell(job: &Job, replayed: &Replayed, out: &mut Out) {
    let (mut landed, mut duplicate, mut unreadable) = (0, 0, 0);
    for line in &replayed.lines {
        let id: String = line.id.chars().take(SHORT).collect();
        match &line.became {
            LineOutcome::Landed => {
                landed += 1;
                out.line(format_args!("{id} landed"));
            }
            LineOutcome::Duplicate => {
                duplicate += 1;
                out.line(format_args!("{id} duplicate: the lake has it"));
            }
            LineOutcome::Unreadable(reason) => {
                unreadable += 1;
                let reason = one_line(reason);
                out.line(format_args!("{id} still unreadable: {reason}"));
            }
        }
    }
    let rest = if replayed.unfinished {
        "; interrupted, repeat the command to resume"
    } else {
        ""
    };
    out.line(format_args!(
        "{}: {} landed, {} duplicate, {} still unreadable{rest}",
        job.name,
        text::count(landed),
        text::count(duplicate),
        text::count(unreadable),
    ));
}

fn replayed_json(job: &Job, tried: &[ReplayedLine], unfinished: bool) -> Value {
    let lines: Vec<_> = (tried.iter())
        .map(|line| match &line.became {
            LineOutcome::Landed => json!({ "id": line.id, "became": "landed" }),
            LineOutcome::Duplicate => json!({ "id": line.id, "became": "duplicate" }),
            LineOutcome::Unreadable(reason) => {
                json!({ "id": line.id, "became": "unreadable", "reason": reason })
            }
        })
        .collect();
    json!({ "job": job.name, "lines": lines, "unfinished": unfinished })
}

/// Returns the lines of the arguments in their order in the quarantine: each argument refers to an id, which several
/// lines may have.
async fn named(
    lake: &Lake,
    job: &str,
    names: &[String],
) -> Result<Vec<(LinePlace, String)>, CommandError> {
    let names: Vec<LineId> = names.iter().map(|name| LineId::of(name)).collect();
    let mut ids: Vec<BTreeSet<String>> = vec![BTreeSet::new(); names.len()];
    let mut lines = Vec::new();
    quarantine::read(lake, job, |found| {
        let mut is_named = false;
        for (name, ids) in names.iter().zip(&mut ids) {
            if name.is_of(&found.place, &found.id) {
                is_named = true;
                if ids.len() <= NAMED {
                    ids.insert(found.id.clone());
                }
            }
        }
        if is_named {
            lines.push((found.place, found.id));
        }
    })
    .await
    .map_err(CommandError::lake)?;
    for (name, ids) in names.iter().zip(ids) {
        name.must_be_one(job, &ids)?;
    }
    Ok(lines)
}

/// The reference to a line.
#[derive(Debug, PartialEq, Eq)]
enum LineId {
    Place(LinePlace),
    /// The beginning of an id.
    Id(String),
}

impl LineId {
    fn of(text: &str) -> Self {
        text.parse()
            .map_or_else(|_| Self::Id(text.to_ascii_lowercase()), Self::Place)
    }

    fn is_of(&self, place: &LinePlace, id: &str) -> bool {
        match self {
            Self::Place(this) => this == place,
            Self::Id(beginning) => !beginning.is_empty() && id.starts_with(beginning),
        }
    }

    fn must_be_one(&self, job: &str, ids: &BTreeSet<String>) -> Result<(), CommandError> {
        let name = match self {
            Self::Place(place) => place.to_string(),
            Self::Id(beginning) => beginning.clone(),
        };
        match ids.len() {
            1 => Ok(()),
            0 => Err(CommandError::usage(format!(
                "the quarantine of job `{job}` has no line `{name}`; `quarantine list --job {job} --all` lists them"
            ))),
            found => {
                let some: Vec<&str> = ids.iter().take(NAMED).map(String::as_str).collect();
                let more = if found > NAMED { "`, …" } else { "`" };
                Err(CommandError::usage(format!(
                    "`{name}` is the beginning of several ids: `{}{more}; write more of it",
                    some.join("`, `")
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_named_by_its_place_or_by_the_beginning_of_its_id() {
        let place = LinePlace {
            file: "0-1.jsonl".to_owned(),
            line: 3,
        };
        let id = "00ff31";
        let is_of = |name: &str| LineId::of(name).is_of(&place, id);
        assert!(is_of("00f") && is_of("00FF31") && is_of("0-1.jsonl:3"));
        assert!(!is_of("") && !is_of("ff") && !is_of("0-1.jsonl:4") && !is_of("0-1.jsonl"));
        let ids = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect();
        let refused = |found: BTreeSet<String>| {
            let refused = LineId::of("00").must_be_one("audits", &found).err();
            refused.map(|failure| (failure.code(), failure.message().to_owned()))
        };
        assert_eq!(refused(ids(&["00ff"])), None);
        let says = |found: &[&str]| {
            let (code, message) = refused(ids(found)).unwrap_or_default();
            assert_eq!(code, 2);
            message
        };
        insta::assert_snapshot!(says(&[]), @"the quarantine of job `audits` has no line `00`; `quarantine list --job audits --all` lists them");
        insta::assert_snapshot!(says(&["00ff", "00fe"]), @"`00` is the beginning of several ids: `00fe`, `00ff`; write more of it");
    }

    #[test]
    fn a_reason_keeps_to_its_line() {
        assert_eq!(one_line("a\nb\u{7}c"), "a b c");
        assert_eq!(one_line(&"é".repeat(200)), format!("{}…", "é".repeat(120)));
    }
}

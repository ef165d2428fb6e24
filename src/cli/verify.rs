//! `verify`: compares a range of the lake with the provider's current records; `--repair` lands missing ones.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use clap::Args;
use serde_json::json;

use super::backfill::{self, ByHand};
use super::progress::{Bar, Remaining, RowCounter};
use super::report::{self, CommandError, Out, complain};
use super::table::{Cell, ColumnKind};
use super::terminal::Tone;
use crate::clock::Clock;
use crate::config::Config;
use crate::cron::CronSchedule;
use crate::lake::{self, Commit};
use crate::model::{Range, RangeSet, Timestamp};
use crate::run::{Job, RunOptions, RunTotals};
use crate::setup::{self, ScheduledJob};
use crate::shutdown::Shutdown;
use crate::telemetry::error_chain;
use crate::text;
use crate::verify::{self, ComparedDay, Discrepancies, Verification};

/// The number of streams that are listed by name.
const NAMED: usize = 3;
/// The rows of a verification.
const READ: RowCounter = ("records read", |counts| counts.fetched);

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The job
    #[arg(long, value_name = "NAME")]
    job: String,

    /// First event time (RFC 3339 or a UTC date)
    #[arg(long, value_name = "T", value_parser = super::time)]
    from: Timestamp,

    /// First event time after the range
    #[arg(long, value_name = "T", value_parser = super::time)]
    to: Timestamp,

    /// Land missing records, and verify them again
    #[arg(long)]
    repair: bool,

    /// As JSON, with every day
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    config: &Config,
    args: &VerifyArgs,
    shutdown: &Shutdown,
    out: &mut Out,
) -> Result<u8, CommandError> {
    let range = super::range(args.from, args.to)?;
    let jobs = super::jobs(config, std::slice::from_ref(&args.job))?;
    let Some(scheduled) = jobs.into_iter().next() else {
        return Ok(0);
    };
    let job = &scheduled.job;
    // nothing is written unless there is something to repair
    job.lake
        .is_laid_out(&setup::layout(&config.lake))
        .await
        .map_err(CommandError::lake)?;
    let now = backfill::now_after(job, args.from, shutdown).await?;
    let mut verification = verify(&scheduled, range, now, shutdown).await?;
    let mut repaired = None;
    let mut failed = false;
    let to_repair = !verification.to_repair.is_empty() || !verification.to_pull.is_empty();
    if args.repair && to_repair && !shutdown.stop.is_cancelled() {
        if !args.json {
            tell(job, &verification, out);
        }
        let mut totals = RunTotals::default();
        failed = !repair(config, &scheduled, &verification, shutdown, &mut totals).await?;
        if !args.json {
            out.line(format_args!(
                "\nrepaired: {} landed, {} already there; verifying again\n",
                text::counted(totals.counts.new, "event"),
                text::count(totals.counts.duplicate)
            ));
        }
        repaired = Some(totals);
        let mut again = Vec::new();
        for range in verification.ranges_to_verify_again().iter() {
            again.push(verify(&scheduled, range, now, shutdown).await?);
        }
        verification = verification.after_repair(again);
    }
    if args.json {
        let json = to_json(job, &verification, repaired);
        out.json(&json);
    } else {
        tell(job, &verification, out);
    }
    complain_of(job, &verification);
    if !args.json {
        hint(&verification, args.repair, out);
    }
    let code = if verification.found_something() {
        3
    } else {
        u8::from(failed || verification.is_partial())
    };
    Ok(shutdown.exit_code().unwrap_or(code))
}

async fn verify(
    scheduled: &ScheduledJob,
    range: Range,
    now: Timestamp,
    shutdown: &Shutdown,
) -> Result<Verification, CommandError> {
    let ScheduledJob { schedule, job, .. } = scheduled;
    let newest = lake::newest(&job.lake, &job.log)
        .await
        .map_err(CommandError::lake)?;
    let total = newest
        .as_ref()
        .map_or(TimeDelta::zero(), |newest| pulled(newest, range));
    let left = Remaining {
        windows: None,
        time: total,
    };
    let bar = Bar::new(&job.name, &job.source.client, left, READ);
    let options = RunOptions {
        clock: Clock::AsOf(held_to(newest.as_ref(), schedule, now)),
        totals: bar.follow(RunTotals::default()),
        ..RunOptions::new(shutdown.stop.clone())
    };
    let verified = verify::verify(job, range, &options).await;
    let verified = verified.map_err(|error| CommandError::of_run(job, &error))?;
    let read = *options.totals.borrow();
    bar.leave(read);
    Ok(verified)
}

/// Returns the event time to re-read, summed over streams.
fn pulled(newest: &Commit, range: Range) -> TimeDelta {
    let lengths = newest.current().map(|(_, progress)| {
        let within = progress.coverage.within(range);
        within.iter().map(|range| range.length()).sum::<TimeDelta>()
    });
    lengths.sum()
}

/// Returns the instant up to which the job has to be up to date at `now`: until its next run is overdue, events since
/// its last one don't count as missing.
fn held_to(newest: Option<&Commit>, schedule: &CronSchedule, now: Timestamp) -> Timestamp {
    let is_running = |newest: &Commit| {
        let claim = newest.claim.as_ref();
        claim.is_some_and(|claim| claim.is_live(now))
    };
    let up_to_date = newest.and_then(|newest| {
        let at = newest.planned_at?;
        let next = schedule.next_after(at);
        (is_running(newest) || next.is_none_or(|next| next > now)).then_some(at)
    });
    // a plan in the future was made by a clock that was ahead
    up_to_date.map_or(now, |at| at.min(now))
}

/// Re-reads ranges with missing records, and pulls those that weren't pulled, as in every run. Returns `false` if a
/// part failed.
async fn repair(
    config: &Config,
    scheduled: &ScheduledJob,
    verification: &Verification,
    shutdown: &Shutdown,
    totals: &mut RunTotals,
) -> Result<bool, CommandError> {
    let ScheduledJob { schedule, job, .. } = scheduled;
    let layout = setup::layout(&config.lake);
    job.lake
        .prepare(&layout)
        .await
        .map_err(CommandError::lake)?;
    let again = verification.to_repair.iter().map(|range| (range, true));
    let lacking: RangeSet = verification.not_pulled.keys().copied().collect();
    let lacking = lacking.iter().map(|range| (range, false));
    let mut done = true;
    for (range, refetch) in again.chain(lacking) {
        let what = ByHand {
            range,
            refetch,
            concurrency: 4,
        };
        let pulled = backfill::in_turns(job, schedule, &what, shutdown).await?;
        report::failures(job, &pulled);
        *totals += pulled.totals;
        done &= pulled.failures.is_empty() && !pulled.unfinished;
        if shutdown.stop.is_cancelled() {
            return Ok(false);
        }
    }
    Ok(done)
}

fn tell(job: &Job, verification: &Verification, out: &mut Out) {
    let found = |count: u64| {
        let tone = if count > 0 { Tone::Bad } else { Tone::Plain };
        Cell::from(text::count(count)).toned(tone)
    };
    let row = |name: String, day: &ComparedDay| {
        [
            name.into(),
            text::count(day.shown).into(),
            text::count(day.rows).into(),
            found(day.missing.count),
            found(day.extra.count),
            found(day.altered.count),
            found(day.doubled.count),
            found(day.unreadable),
        ]
    };
    let total = verification.total();
    let with_findings = verification.days.iter().filter(|(_, day)| day.differs());
    let mut rows: Vec<_> = with_findings
        .map(|(date, day)| row(date.to_string(), day))
        .collect();
    rows.push(row("total".to_owned(), &total));
    out.line(format_args!("{} {}", job.name, verification.range));
    let columns = [
        ("day", ColumnKind::Whole),
        ("shown", ColumnKind::Number),
        ("rows", ColumnKind::Number),
        ("missing", ColumnKind::Number),
        ("extra", ColumnKind::Number),
        ("altered", ColumnKind::Number),
        ("doubled", ColumnKind::Number),
        ("unreadable", ColumnKind::Number),
    ];
    out.table(columns, &rows);
    let without = (verification.days.values())
        .filter(|day| !day.differs())
        .count();
    if without > 0 {
        out.line(format_args!(
            "the total includes {} without findings, not listed above",
            text::counted(without as u64, "day")
        ));
    }
    for (date, day) in &verification.days {
        for (what, found) in findings(day) {
            if let Some(examples) = examples(found) {
                let what = out.painted(Tone::Bad, what);
                out.line(format_args!("{what} {date}: {examples}"));
            }
        }
    }
    for (what, ranges) in [
        ("not pulled yet", &verification.not_pulled),
        (
            "not pulled, before the job's start",
            &verification.before_start,
        ),
    ] {
        for (range, streams) in ranges {
            out.line(format_args!("{what}: {range} of {}", named(streams)));
        }
    }
    if let Some(range) = verification.too_new {
        out.line(format_args!("not verified, too new: {range}"));
    }
    if total.unjudged > 0 {
        out.line(format_args!(
            "not judged: {} without a matching record, in ranges that weren't read completely",
            text::counted(total.unjudged, "row")
        ));
    }
    for note in &verification.notes {
        out.line(format_args!("note: {note}"));
    }
}

fn findings(day: &ComparedDay) -> [(&'static str, &Discrepancies); 4] {
    [
        ("missing", &day.missing),
        ("extra", &day.extra),
        ("altered", &day.altered),
        ("doubled", &day.doubled),
    ]
}

/// Formats as `id (time), id (time) and 12 more`.
fn examples(found: &Discrepancies) -> Option<String> {
    let shown = found.examples.iter().map(|example| {
        let id = &example.event_id;
        match example.event_time {
            Some(at) => format!("{id} ({})", text::time(at)),
            None => format!("{id} (unreadable, not in quarantine)"),
        }
    });
    let text = shown.collect::<Vec<_>>().join(", ");
    match found.count - found.examples.len() as u64 {
        0 if found.count == 0 => None,
        0 => Some(text),
        more => Some(format!("{text} and {} more", text::count(more))),
    }
}

/// Formats as `a, b, c and 12 others`.
fn named(streams: &[String]) -> String {
    let names = &streams[..streams.len().min(NAMED)];
    let others = (streams.len() - names.len()) as u64;
    match others {
        0 => names.join(", "),
        others => format!(
            "{} and {}",
            names.join(", "),
            text::counted(others, "other stream")
        ),
    }
}

/// Prints the parts that couldn't be verified on stderr, with equal failures in one line.
fn complain_of(job: &Job, verification: &Verification) {
    let mut alike: BTreeMap<(String, String), (Vec<String>, &verify::Unverified)> = BTreeMap::new();
    for part in &verification.unverified {
        let ranges: Vec<String> = part.ranges.iter().map(|range| range.to_string()).collect();
        let key = (error_chain(&part.error), ranges.join(", "));
        let (streams, _) = alike.entry(key).or_insert_with(|| (Vec::new(), part));
        streams.extend(part.stream.clone());
    }
    for ((message, ranges), (streams, part)) in alike {
        let what = match streams.as_slice() {
            [] => "the lake".to_owned(),
            streams => named(streams),
        };
        let kind = part.error.kind();
        complain(&format!(
            "job `{}`: {what}, {ranges}, could not be verified ({kind}): {message}{}",
            job.name,
            report::what_to_do_about(&part.error, &job.connection)
        ));
    }
    if verification.unfinished {
        complain("not all of the range was verified; repeat the command for the rest");
    }
}

fn hint(verification: &Verification, repaired: bool, out: &mut Out) {
    let total = verification.total();
    let lacks = total.missing.count > 0 || !verification.not_pulled.is_empty();
    if lacks && !repaired {
        out.line(format_args!(
            "hint: `--repair` lands missing records and pulls missing ranges"
        ));
    }
    if total.differs_for_good() {
        out.line(format_args!(
            "hint: extra, altered and doubled rows can't be repaired, as files in the table never change; see \
             docs/operations.md"
        ));
    }
}

fn to_json(
    job: &Job,
    verification: &Verification,
    repaired: Option<RunTotals>,
) -> serde_json::Value {
    let unverified: Vec<_> = (verification.unverified.iter())
        .map(|part| {
            json!({
                "stream": part.stream, "ranges": part.ranges,
                "kind": part.error.kind(), "error": error_chain(&part.error),
            })
        })
        .collect();
    let ranges = |ranges: &BTreeMap<Range, Vec<String>>| -> Vec<serde_json::Value> {
        let ranges = ranges.iter();
        ranges
            .map(|(range, streams)| json!({ "range": range, "streams": streams }))
            .collect()
    };
    json!({
        "job": job.name,
        "range": verification.range,
        "equal": !verification.found_something() && !verification.is_partial(),
        "total": verification.total(),
        "days": verification.days,
        "not_pulled": ranges(&verification.not_pulled),
        "before_start": ranges(&verification.before_start),
        "too_new": verification.too_new,
        "unverified": unverified,
        "unfinished": verification.unfinished,
        "repaired": repaired.map(|totals| totals.counts),
        "notes": verification.notes,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::lake::Claim;

    #[test]
    fn a_job_is_held_to_its_last_run_until_the_next_is_overdue() {
        let now: Timestamp = "2026-11-20T10:30:00Z".parse().unwrap();
        let newest = |planned: TimeDelta, claim: Option<Claim>| -> Commit {
            let planned = now - planned;
            let id = "01990000-0000-7000-8000-000000000001";
            serde_json::from_value(json!({
                "format": 1, "version": 1, "id": id, "run": id, "job": "audits", "kind": "data", "at": planned,
                "claim": claim, "published_through": 0, "planned_at": planned, "pulled": [], "files": [],
                "progress": {},
            }))
            .unwrap()
        };
        let hourly: CronSchedule = "@hourly".parse().unwrap();
        let held_to = |newest: &Commit| now - held_to(Some(newest), &hourly, now);
        assert_eq!(super::held_to(None, &hourly, now), now);
        let recent = TimeDelta::minutes(20);
        assert_eq!(held_to(&newest(recent, None)), recent);
        let overdue = TimeDelta::hours(3);
        assert_eq!(held_to(&newest(overdue, None)), TimeDelta::zero());
        // by a clock that was ahead
        assert_eq!(
            held_to(&newest(TimeDelta::days(-3), None)),
            TimeDelta::zero()
        );
        // a run is in progress
        let until = |seconds| Claim::of_this_process(now + TimeDelta::seconds(seconds));
        assert_eq!(held_to(&newest(overdue, Some(until(300)))), overdue);
        assert_eq!(
            held_to(&newest(overdue, Some(until(-1)))),
            TimeDelta::zero()
        );
    }
}

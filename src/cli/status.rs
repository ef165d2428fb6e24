//! `status`: where each job stands, from its commit log and its quarantine; `--check` says what somebody should look at.

use chrono::TimeDelta;
use clap::Args;

use super::report::{self, Failure, Out};
use super::table::{Cell, Kind};
use super::terminal::Tone;
use crate::clock::real_now;
use crate::config::Config;
use crate::history::{self, BuildError};
use crate::lake::Lake;
use crate::model::Timestamp;
use crate::standing::Standing;
use crate::telemetry::chain;
use crate::text;

/// The exit code of `--check` if it found something.
const FOUND: u8 = 3;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Only this job; may be repeated
    #[arg(long = "job", value_name = "NAME")]
    jobs: Vec<String>,

    /// Exit with 3 if a job has a gap, a stale watermark or open lines in quarantine; prints nothing else
    #[arg(long)]
    check: bool,

    /// As JSON, with every stream
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &StatusArgs, out: &mut Out) -> Result<u8, Failure> {
    let now = real_now();
    let mut standings = Vec::new();
    let mut code = 0;
    let jobs = super::jobs(config, &args.jobs)?;
    let history = match jobs.first() {
        Some(first) if !args.json => history_finding(&first.job.lake, now).await,
        _ => None,
    };
    for scheduled in jobs {
        match Standing::read(&scheduled, now).await {
            Ok(standing) => standings.push(standing),
            // the other jobs can still be told of
            Err(error) => {
                let failure = Failure::lake(error);
                report::complain(&format!(
                    "job `{}`: {}",
                    scheduled.job.name,
                    failure.message()
                ));
                code = code.max(failure.code());
            }
        }
    }
    let findings: usize = standings
        .iter()
        .map(|standing| standing.findings(now).len())
        .sum();
    let findings = findings + usize::from(history.is_some());
    if args.json {
        let all: Vec<_> = standings
            .iter()
            .map(|standing| standing.json(now))
            .collect();
        out.json(&all.into());
    } else if args.check {
        for finding in standings.iter().flat_map(|standing| standing.findings(now)) {
            out.finding(&finding);
        }
    } else {
        show(&standings, now, out);
    }
    if let Some(history) = history {
        out.line(format_args!("{history}"));
    }
    Ok(match code {
        0 if args.check && findings > 0 => FOUND,
        code => code,
    })
}

/// Whether what runs did is about to be lost, as no table has it yet and logs don't last.
async fn history_finding(lake: &Lake, now: Timestamp) -> Option<String> {
    let what = match history::about_to_be_lost(lake, now).await {
        Ok(since) => format!("lacks what runs did since {}", text::time(since?)),
        // it is told of each job
        Err(BuildError::Lake(_)) => return None,
        Err(error) => format!("can't be kept: {}", chain(&error)),
    };
    Some(format!(
        "history: the table audit_runs {what}, and the logs are pruned after 30 days; the daemon's log says why, \
         `run --once` tries again"
    ))
}

fn show(standings: &[Standing], now: Timestamp, out: &mut Out) {
    let rows: Vec<_> = standings
        .iter()
        .map(|standing| row(standing, now))
        .collect();
    let columns = [
        ("job", Kind::Name),
        ("state", Kind::Text),
        ("watermark", Kind::Text),
        ("lag", Kind::Number),
        ("last run", Kind::Text),
        ("next run", Kind::Text),
        ("gaps", Kind::Number),
        ("quarantine", Kind::Number),
        ("held by", Kind::Text),
    ];
    out.table(columns, &rows);
    for standing in standings {
        for gap in standing.gap_findings() {
            out.finding(&gap);
        }
    }
}

fn row(standing: &Standing, now: Timestamp) -> [Cell; 9] {
    let seconds =
        |at: Timestamp| at - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos()));
    let none = || Cell::from("-".to_owned());
    let shown = |at: Option<Timestamp>| at.map_or_else(none, |at| text::time(seconds(at)).into());
    let alarming = |is_so, tone| if is_so { tone } else { Tone::Plain };
    let is_stale = standing.fresh_until.is_some_and(|until| until < now);
    let (state, gaps, open) = (
        standing.state(now).as_str(),
        standing.gaps.len() as u64,
        standing.quarantine.open,
    );
    let tone = match state {
        "running" => Tone::Good,
        "never ran" => Tone::Warning,
        _ => Tone::Plain,
    };
    [
        standing.job.clone().into(),
        Cell::from(state.to_owned()).toned(tone),
        shown(standing.watermark),
        standing
            .watermark
            .map_or_else(none, |watermark| text::length(now - watermark).into())
            .toned(alarming(is_stale, Tone::Bad)),
        shown(standing.newest.as_ref().map(|newest| newest.at)),
        shown(standing.next_run.map(|next| next.max(now))),
        Cell::from(text::count(gaps)).toned(alarming(gaps > 0, Tone::Bad)),
        Cell::from(text::count(open)).toned(alarming(open > 0, Tone::Warning)),
        standing.holder(now).map_or_else(none, |claim| {
            let until = text::time(seconds(claim.expires_at));
            format!("{} on {} until {until}", claim.pid, claim.host).into()
        }),
    ]
}

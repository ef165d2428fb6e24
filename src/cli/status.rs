//! `status`: the status of each job, from its commit log and its quarantine; `--check` only shows problems that need
//! attention.

use std::sync::Arc;

use chrono::TimeDelta;
use clap::Args;

use super::report::{self, CommandError, Out};
use super::table::{Cell, ColumnKind};
use super::terminal::Tone;
use crate::clock::real_now;
use crate::config::Config;
use crate::history::{self, BuildError};
use crate::lake::Lake;
use crate::model::Timestamp;
use crate::status::{Finding, FindingKind, JobState, JobStatus, LastKnownStatus};
use crate::telemetry::error_chain;
use crate::text;

/// The exit code of `--check` if there are problems.
const FOUND: u8 = 3;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Only this job; may be repeated
    #[arg(long = "job", value_name = "NAME")]
    jobs: Vec<String>,

    /// Print only the problems, and exit with 3 if there are any: a failing job, a gap, a stale watermark, open lines in quarantine
    #[arg(long)]
    check: bool,

    /// As JSON, with every stream
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    config: &Config,
    args: &StatusArgs,
    out: &mut Out,
) -> Result<u8, CommandError> {
    let now = real_now();
    let mut statuses = Vec::new();
    let mut code = 0;
    let jobs = super::jobs(config, &args.jobs)?;
    let history = match jobs.first() {
        Some(first) if args.check || !args.json => history_finding(&first.job.lake, now).await,
        _ => None,
    };
    for scheduled in jobs {
        statuses.push(match JobStatus::read(&scheduled, now).await {
            Ok(status) => LastKnownStatus::read(Arc::new(status)),
            // the other jobs can still be reported
            Err(error) => {
                let failure = CommandError::lake(error);
                report::complain(&format!(
                    "job `{}`: {}",
                    scheduled.job.name,
                    failure.message()
                ));
                code = code.max(failure.code());
                LastKnownStatus::unreadable(&scheduled, failure.message().to_owned(), None, now)
            }
        });
    }
    let findings: Vec<_> = (statuses.iter())
        .flat_map(|status| status.findings(now))
        .collect();
    if args.json {
        let all: Vec<_> = statuses.iter().map(|status| status.json(now)).collect();
        out.json(&all.into());
    } else {
        if !args.check {
            show(&statuses, now, out);
        }
        // unreadable jobs are already on stderr
        let readable = |finding: &&Finding| finding.kind != FindingKind::Unreadable;
        for finding in findings.iter().filter(readable) {
            // the table contains their numbers
            let is_shown = matches!(finding.kind, FindingKind::Stale | FindingKind::Quarantine);
            if args.check || !is_shown {
                out.finding(finding);
            }
        }
    }
    let found = !findings.is_empty() || history.is_some();
    match history {
        Some(history) if args.json => report::complain(&history),
        Some(history) => out.line(format_args!("{history}")),
        None => {}
    }
    Ok(match code {
        0 if args.check && found => FOUND,
        code => code,
    })
}

/// Returns whether history is about to be lost, because no table contains it yet and logs are pruned.
async fn history_finding(lake: &Lake, now: Timestamp) -> Option<String> {
    let what = match history::about_to_be_lost(lake, now).await {
        Ok(since) => format!("lacks the history since {}", text::time(since?)),
        // reported for each job
        Err(BuildError::Lake(_)) => return None,
        Err(error) => format!("can't be kept: {}", error_chain(&error)),
    };
    Some(format!(
        "history: the table audit_runs {what}, and the logs are pruned after 30 days; the daemon's log says why, \
         `run --once` tries again"
    ))
}

fn show(statuses: &[LastKnownStatus], now: Timestamp, out: &mut Out) {
    let rows: Vec<_> = statuses.iter().map(|status| row(status, now)).collect();
    let columns = [
        ("job", ColumnKind::Name),
        ("state", ColumnKind::Text),
        ("watermark", ColumnKind::Text),
        ("lag", ColumnKind::Number),
        ("last run", ColumnKind::Text),
        ("next run", ColumnKind::Text),
        ("gaps", ColumnKind::Number),
        ("quarantine", ColumnKind::Number),
        ("held by", ColumnKind::Text),
    ];
    out.table(columns, &rows);
}

fn row(status: &LastKnownStatus, now: Timestamp) -> [Cell; 9] {
    let seconds =
        |at: Timestamp| at - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos()));
    let none = || Cell::from("-".to_owned());
    let shown = |at: Option<Timestamp>| at.map_or_else(none, |at| text::time(seconds(at)).into());
    let alarming = |is_so, tone| if is_so { tone } else { Tone::Plain };
    let state = status.state(now);
    let tone = match state {
        JobState::Unreadable | JobState::Failing => Tone::Bad,
        JobState::Running => Tone::Good,
        JobState::NeverRan | JobState::Interrupted => Tone::Warning,
        JobState::Due | JobState::Idle => Tone::Plain,
    };
    let job = status.job.clone().into();
    let state = Cell::from(state.as_str().to_owned()).toned(tone);
    let Some(last) = &status.last else {
        let [watermark, lag, last, next, gaps, open, holder] = [(); 7].map(|()| none());
        return [job, state, watermark, lag, last, next, gaps, open, holder];
    };
    let (gaps, open) = (last.gaps.len() as u64, last.quarantine.open);
    [
        job,
        state,
        shown(last.watermark),
        (last.lag(now))
            .map_or_else(none, |lag| text::length(lag).into())
            .toned(alarming(last.is_stale(now), Tone::Bad)),
        shown(last.newest.as_ref().map(|newest| newest.at)),
        shown(last.next_run.map(|next| next.max(now))),
        Cell::from(text::count(gaps)).toned(alarming(gaps > 0, Tone::Bad)),
        Cell::from(text::count(open)).toned(alarming(open > 0, Tone::Warning)),
        last.holder(now).map_or_else(none, |claim| {
            let until = text::time(seconds(claim.expires_at));
            format!("{} on {} until {until}", claim.pid, claim.host).into()
        }),
    ]
}

//! Recovery: publishes the commits of earlier runs, and uncovers ranges whose committed files are lost.

use std::collections::BTreeMap;

use super::error::RunError;
use super::job::Job;
use crate::lake::{CommitChange, Damage, JobLog, Pulled, RecordCounts};
use crate::model::{Range, RangeSet, Timestamp};
use crate::run::plan;
use crate::text;

/// Publishes the commits of earlier runs. Ranges whose committed files the store has lost are uncovered in a commit of
/// their own, so that the log no longer claims them, even if this run fails.
pub(super) async fn recover(job: &Job, log: &JobLog) -> Result<(), RunError> {
    let damage = log.recover().await?;
    if damage.is_empty() {
        return Ok(());
    }
    let newest = log.newest().await;
    let mut progress = newest.progress;
    let mut pulled = Vec::new();
    for damage in &damage {
        let remark = remark(damage);
        for of in damage.pulled() {
            let before = damage.before.get(&of.stream).cloned().unwrap_or_default();
            let progress = progress.entry(of.stream.clone()).or_default();
            plan::uncover(progress, of.range, &before, &job.policy);
            let mut remarks = vec![remark.clone()];
            remarks.extend(by_hand(job, of, &progress.passed()));
            pulled.push(again(of, remarks));
        }
    }
    let change = CommitChange {
        streams: newest.streams,
        pulled,
        progress,
        ..CommitChange::default()
    };
    log.commit(change).await?;
    Ok(())
}

fn remark(damage: &Damage) -> String {
    let keys: Vec<&str> = damage.files.iter().map(|file| file.key.as_str()).collect();
    format!(
        "commit {} listed {}without a complete copy: pulled again",
        damage.commit.version,
        keys.join(", ")
    )
}

/// Returns the advice for lost rows before the job's start, which no run pulls.
fn by_hand(job: &Job, of: &Pulled, passed: &RangeSet) -> Option<String> {
    let message = before_start(&job.name, job.policy.start, of.range, passed)?;
    let (job, stream) = (&job.name, &of.stream);
    tracing::warn!(job, stream, "committed rows are lost, and {message}");
    Some(message)
}

fn before_start(job: &str, start: Timestamp, range: Range, passed: &RangeSet) -> Option<String> {
    let early = Range::new(range.from(), range.to().min(start))?;
    let missing = passed.missing(early);
    let (first, last) = missing.iter().next().zip(missing.iter().next_back())?;
    let range = first.hull(&last);
    let (from, to) = (text::time(range.from()), text::time(range.to()));
    Some(format!(
        "{range} is before the job's `start`: only `backfill --job {job} --from {from} --to {to}` pulls it again"
    ))
}

/// an entry without counts, which explains why the range will be pulled again
fn again(of: &Pulled, remarks: Vec<String>) -> Pulled {
    Pulled {
        stream: of.stream.clone(),
        range: of.range,
        work: of.work,
        finished: false,
        counts: RecordCounts::default(),
        provider_total: None,
        remarks,
        days: BTreeMap::new(),
        delays: BTreeMap::new(),
        calls: 0,
        retries: 0,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_before_the_start_is_said_with_the_command_that_pulls_it() {
        let at =
            |hour: u32| -> Timestamp { format!("2026-11-20T{hour:02}:00:00Z").parse().unwrap() };
        let range = |from, to| Range::new(at(from), at(to)).unwrap();
        let message = |start, passed: &[Range]| {
            let passed = passed.iter().copied().collect();
            before_start("audits", at(start), range(4, 8), &passed)
        };
        let expected = "2026-11-20T04:00:00Z..2026-11-20T06:00:00Z is before the job's `start`: only `backfill --job \
                        audits --from 2026-11-20T04:00:00Z --to 2026-11-20T06:00:00Z` pulls it again";
        assert_eq!(message(6, &[]).as_deref(), Some(expected));
        assert_eq!(message(4, &[]), None, "all of it is pulled again");
        assert_eq!(message(6, &[range(0, 6)]), None, "a settle pass finds it");
    }
}

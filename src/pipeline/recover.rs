//! Step 1 of a run, its rest: what earlier runs committed is published, and what of it is lost is pulled again.

use std::collections::BTreeMap;

use super::Job;
use super::error::RunError;
use crate::lake::{Change, Counts, Damage, JobLog, Pulled};
use crate::model::{Range, RangeSet};
use crate::plan;
use crate::text;

/// Finishes what earlier runs committed. What they committed and the store has lost since becomes uncovered, in a commit
/// of its own: whatever happens to this run, the log no longer says that it was pulled.
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
            remarks.extend(by_hand(job, &of.stream, of.range, &progress.passed()));
            pulled.push(again(of, remarks));
        }
    }
    let change = Change {
        streams: newest.streams,
        pulled,
        progress,
        ..Change::default()
    };
    log.commit(change).await?;
    Ok(())
}

fn remark(damage: &Damage) -> String {
    let keys: Vec<&str> = damage.files.iter().map(|file| file.key.as_str()).collect();
    format!(
        "commit {} listed {}, of which no whole copy is left: pulled again",
        damage.commit.version,
        keys.join(", ")
    )
}

/// What to do about what lies before the job's start, as no run pulls that.
fn by_hand(job: &Job, stream: &str, range: Range, passed: &RangeSet) -> Option<String> {
    let early = Range::new(range.from(), range.to().min(job.policy.start))?;
    let missing = passed.missing(early);
    let (first, last) = missing.iter().next().zip(missing.iter().next_back())?;
    let lost = first.hull(&last);
    let (from, to) = (text::time(lost.from()), text::time(lost.to()));
    let name = &job.name;
    let remark = format!(
        "{lost} lies before the job's `start`: only `backfill --job {name} --from {from} --to {to}` pulls it again"
    );
    tracing::warn!(
        job = name,
        stream,
        "rows are lost that were committed, and {remark}"
    );
    Some(remark)
}

/// Nothing was pulled of it, but why it will be is worth a word.
fn again(of: &Pulled, remarks: Vec<String>) -> Pulled {
    Pulled {
        stream: of.stream.clone(),
        range: of.range,
        work: of.work,
        finished: false,
        counts: Counts::default(),
        provider_total: None,
        remarks,
        days: BTreeMap::new(),
        delays: BTreeMap::new(),
        calls: 0,
        retries: 0,
    }
}

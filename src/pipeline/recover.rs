//! Step 1 of a run, its rest: what earlier runs committed is published, and what of it is lost is pulled again.

use std::collections::BTreeMap;

use super::Job;
use super::error::RunError;
use crate::lake::{Change, Counts, Damage, JobLog, Pulled};
use crate::plan;

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
            pulled.push(again(of, remark.clone()));
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

/// Nothing was pulled of it, but why it will be is worth a word.
fn again(of: &Pulled, remark: String) -> Pulled {
    Pulled {
        stream: of.stream.clone(),
        range: of.range,
        work: of.work,
        finished: false,
        counts: Counts::default(),
        provider_total: None,
        remarks: vec![remark],
        days: BTreeMap::new(),
        delays: BTreeMap::new(),
        calls: 0,
        retries: 0,
    }
}

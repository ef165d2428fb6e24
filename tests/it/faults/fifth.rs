//! A fifth of all calls fails, each in another way, sign-ins and look-ups too: the lake becomes exact all the same.

use auditlake::model::FailureKind;
use auditlake::sim::{avaya, everyware, genesys, liveperson};

use super::kinds::{Named, all};
use super::worlds::*;
use crate::support::rig::{Rig, at};

const SHARE: f64 = 0.2;

/// A provider that takes few calls is tried under more seeds.
async fn becomes_exact<W: World>(seeds: u64) {
    let (mut all_calls, mut all_befallen) = (0, 0);
    for seed in 1..=seeds {
        let sim = W::start(400).await;
        let yaml = yaml(&sim, "1000000/s", "window: 1h");
        let mut rig: Rig<W> = Rig::of(sim, &yaml).await;
        rig.job.source.client = client(&yaml, impatient());
        let faults = all().into_iter().map(|Named { fault, .. }| fault);
        rig.sim.faults().at_random(seed, SHARE, faults.collect());
        let truth = rig.sim.truth();
        let (mut runs, mut new, mut failed) = (0, 0, 0);
        loop {
            runs += 1;
            assert!(runs < 300, "{}, seed {seed}: no progress", W::NAME);
            let ended = attempt_all(&rig, at(NOW)).await;
            assert!(
                !ended.kinds.contains(&FailureKind::Conflict),
                "{}, seed {seed}: {}",
                W::NAME,
                ended.message
            );
            new += ended
                .report
                .as_ref()
                .map_or(0, |report| report.totals.counts.new);
            let rows = rig.rows().await;
            assert_eq!(rows.len() as u64, new, "{}, seed {seed}", W::NAME);
            for row in rows {
                let is_true = truth.contains(&(row.time, row.raw));
                assert!(is_true, "{}, seed {seed}: {:?}", W::NAME, row.id);
            }
            if ended.kinds.is_empty() {
                break;
            }
            failed += 1;
            // a process that restarts: it knows of no requested pause and of no refusal
            rig.job.source.client = client(&yaml, impatient());
        }
        let befallen = rig.sim.faults().at_random_so_far();
        let calls = rig.sim.counters().total_calls();
        println!(
            "{}, seed {seed}: {calls} calls, {befallen} of them befallen, {failed} runs failed",
            W::NAME
        );
        all_calls += calls;
        all_befallen += befallen;
        rig.assert_holds(truth).await;
        assert_eq!(rig.quarantine().await.len(), 0);
    }
    println!(
        "tried: 20 % of calls go wrong, {}: {seeds} seeds, {all_calls} calls, {all_befallen} of them befallen",
        W::NAME
    );
    assert!(all_befallen > 10);
}

#[tokio::test]
async fn genesys_cloud() {
    becomes_exact::<genesys::Genesys>(3).await;
}

#[tokio::test]
async fn avaya_axp() {
    becomes_exact::<avaya::Avaya>(4).await;
}

#[tokio::test]
async fn live_person() {
    becomes_exact::<liveperson::LivePerson>(20).await;
}

#[tokio::test]
async fn everyware_cloud() {
    becomes_exact::<everyware::Everyware>(80).await;
}

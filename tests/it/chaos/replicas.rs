//! Three daemons on one lake: one is stopped past its claim and woken, one is killed, one is added.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use auditlake::lake::Commit;
use auditlake::sim::RateLimit;
use chrono::TimeDelta;

use super::kill::as_it_happens;
use super::world::{Job, Spec, World};
use crate::process::support::{Process, now, until};
use crate::s3::Store;

/// Three jobs share one connection, and so one budget.
const JOBS: &[Job] = &[
    ("people", "avaya", &["user"]),
    ("routing", "avaya", &["account", "inventory"]),
    ("others", "avaya", &["group", "match", "business_hours"]),
    ("liveperson", "liveperson", &[]),
];

/// Of ten seconds, eight a second. A replica spaces its calls by 3 / 8 s and 2 % more: 26 in ten seconds and one at their
/// beginning, and one that takes the place of another may call once more.
const BUDGET: (RateLimit, &str) = (
    RateLimit {
        calls: 82,
        per: Duration::from_secs(10),
    },
    "8/s",
);

/// Waits until `daemon` is within a run of `job`, and stops it there; returns its last commit.
async fn stop_within_a_run(world: &World, daemon: &Process, job: &str) -> Commit {
    let pid = daemon.id();
    let mut found = None;
    until("a replica is stopped within a run", async || {
        let held = async || {
            let newest = world.newest(job).await?;
            let claim = newest.claim.as_ref()?;
            (claim.pid == pid).then_some(newest)
        };
        if held().await.is_none() {
            return false;
        }
        daemon.signal("STOP").await;
        // it may have got on meanwhile
        found = held().await;
        if found.is_none() {
            daemon.signal("CONT").await;
        }
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test]
#[ignore = "needs SeaweedFS: `make test` runs it"]
async fn replicas_in_s3_lose_and_double_nothing_and_share_the_budget() {
    let store = Store::start().await;
    // a first load of several hundred calls, so that the budget is what they wait for
    let usual = as_it_happens(20);
    let spec = Spec {
        rate: BUDGET,
        from: usual.from - TimeDelta::minutes(15),
        jobs: JOBS,
        late_share: 0.0,
        yaml: "  schedule: '*/2 * * * * *'
  lag: 30s
  window: 1m
  settle: []
server: { listen: '127.0.0.1:0', replicas: 3 }",
        ..usual
    };
    let mut world = World::in_store(&spec, &store, &store.endpoint, "").await;
    let reader = world.reader().keep_looking();
    // each has work from the beginning, and each job another replica that can take it over
    let run_of = |jobs: &[&str]| {
        let of = jobs.iter().flat_map(|job| ["--job", job]);
        world.start(&std::iter::once("run").chain(of).collect::<Vec<_>>())
    };
    let sleeper = run_of(&["people"]);
    let victim = run_of(&["routing"]);
    // `people` takes longer than the others wait: its first owner keeps it
    until("the one to be stopped has its job", async || {
        let claim = world.newest("people").await.and_then(|newest| newest.claim);
        claim.is_some_and(|claim| claim.pid == sleeper.id())
    })
    .await;
    let third = run_of(&["others", "people"]);
    until("they are at it", async || world.calls() >= 40).await;

    let held = stop_within_a_run(&world, &sleeper, "people").await;
    victim.signalled("KILL").await;
    let added = run_of(&[]);
    // no other run may have the job before its claim has run out, and one must have it then
    until("the stopped replica's job is taken over", async || {
        world
            .newest("people")
            .await
            .is_some_and(|newest| newest.run != held.run)
    })
    .await;
    let successor = world.newest("people").await.unwrap();
    let expired = held.claim.unwrap().expires_at;
    assert!(successor.at >= expired, "{successor:?} before {expired}");
    // and a replica that sees that the process is dead doesn't have to wait
    added.says("run ended job=\"liveperson\"").await;
    added.says("run ended job=\"routing\"").await;
    third.says("run ended job=\"others\"").await;

    sleeper.signal("CONT").await;
    let line = sleeper.says("the run failed").await;
    assert!(line.contains("kind=conflict"), "{line}");
    reader.assert_content();

    for daemon in [sleeper, third, added] {
        daemon.signalled("TERM").await.assert_code(0);
    }
    let looks = reader.enough().await.looks();
    println!(
        "tried: three replicas, {} calls, {looks} looks of the reader",
        world.calls()
    );
    assert_eq!(
        world.rate_limited(),
        0,
        "calls beyond the budget, of {}",
        world.calls()
    );

    world.change(", replicas: 3", "");
    world.set_now(now());
    world.run(&["run", "--once"]).await.assert_code(0);
    world.assert_all_landed().await;
}

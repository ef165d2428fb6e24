//! `kill -9` at any moment, again and again, while data keeps appearing.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use auditlake::sim::Clock;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rand::Rng as _;
use rand::rngs::StdRng;

use super::proxy::{Fault, Proxy, Request};
use super::world::{FOUR, Spec, UNLIMITED, World};
use super::{random, rounds};
use crate::process::support::{Process, now};
use crate::s3::Store;

/// How long a round is given at most, and how much event time it is thought to need.
const ROUND: Duration = Duration::from_secs(4);

/// Events from ten minutes ago on, for as long as the rounds take, as they happen. Some come late.
pub(super) fn as_it_happens(rounds: u64) -> Spec {
    let now = DateTime::from_timestamp(now().timestamp(), 0).unwrap();
    let from = now - TimeDelta::minutes(10);
    let to = now
        + TimeDelta::seconds(60)
        + TimeDelta::from_std(ROUND).unwrap() * i32::try_from(rounds).unwrap();
    let seconds = usize::try_from((to - from).num_seconds()).unwrap();
    Spec {
        records: 8 * seconds,
        from,
        to,
        clock: Clock::System,
        late_share: 0.1,
        latest: Duration::from_mins(5),
        rate: UNLIMITED,
        yaml: "  schedule: '* * * * * *'
  lag: 30s
  settle: [1m, 3m]
server: { listen: '127.0.0.1:0' }",
        jobs: FOUR,
    }
}

/// When a process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// So long after its start.
    After(Duration),
    /// When it has written this number of log lines.
    Lines(usize),
    /// When the providers have been called so often.
    Calls(u64),
    /// When it has sent this number of requests to the store.
    Requests(u64),
    /// While its n-th request of a kind is on its way.
    Within(Step, usize, Fault),
    /// When it has said so for the n-th time.
    Says(&'static str, usize),
}

/// A request at which something is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Claim,
    Stage,
    Commit,
    Publish,
    Delete,
}

impl Step {
    fn is(self, request: &Request) -> bool {
        let commit = |kind: &str| {
            request.is_create() && request.body().contains(&format!("\"kind\": \"{kind}\""))
        };
        match self {
            Self::Claim => commit("claim"),
            Self::Stage => {
                request.line().starts_with("PUT") && request.line().contains("/staging/")
            }
            Self::Commit => commit("data"),
            Self::Publish => {
                request.line().starts_with("PUT") && request.line().contains("/audit_events/")
            }
            Self::Delete => request.line().starts_with("POST"),
        }
    }
}

impl Moment {
    fn any(random: &mut StdRng, store: bool) -> Self {
        match random.random_range(0..if store { 9 } else { 4 }) {
            0 => Self::After(Duration::from_millis(random.random_range(0..2_500))),
            1 => Self::Lines(random.random_range(1..60)),
            2 => Self::Calls(random.random_range(1..120)),
            3 => {
                let message = [
                    "committed",
                    "run ended",
                    "scheduling jobs",
                    "deleting staged files",
                ];
                Self::Says(
                    message[random.random_range(0..message.len())],
                    random.random_range(1..=2),
                )
            }
            4..=6 => {
                let steps = [
                    Step::Claim,
                    Step::Stage,
                    Step::Commit,
                    Step::Publish,
                    Step::Delete,
                ];
                let effect = [Fault::HeldBefore, Fault::HeldAfter];
                Self::Within(
                    steps[random.random_range(0..steps.len())],
                    random.random_range(1..=4),
                    effect[random.random_range(0..2)],
                )
            }
            _ => Self::Requests(random.random_range(1..160)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::After(_) => "a time",
            Self::Lines(_) => "lines of log",
            Self::Calls(_) => "calls of providers",
            Self::Requests(_) => "requests to the store",
            Self::Within(..) => "a request on its way",
            Self::Says(..) => "something said",
        }
    }
}

/// `run`, `run --once`, or a backfill of one job that reads everything again.
fn any_command(random: &mut StdRng, world: &Spec) -> Vec<String> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect();
    match random.random_range(0..5) {
        0 | 1 => words("-v run"),
        2 | 3 => words("-v run --once"),
        _ => {
            let job = ["genesys", "avaya", "liveperson", "everyware"][random.random_range(0..4)];
            let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
            let (from, to) = (time(world.from), time(now() - TimeDelta::seconds(40)));
            words(&format!(
                "-v backfill --refetch --job {job} --from {from} --to {to}"
            ))
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    kills: BTreeMap<&'static str, u64>,
    ended_before: u64,
    by_command: BTreeMap<String, u64>,
}

async fn kill_again_and_again(
    world: &World,
    spec: &Spec,
    proxy: Option<&Proxy>,
    rounds: u64,
    random: &mut StdRng,
) -> Tally {
    let mut totals = Tally::default();
    let reader = world.reader().keep_looking();
    for round in 1..=rounds {
        let command = any_command(random, spec);
        let moment = Moment::any(random, proxy.is_some());
        let name = if command.contains(&"--once".to_owned()) {
            "run --once"
        } else {
            &command[1]
        };
        *totals.by_command.entry(name.to_owned()).or_default() += 1;
        println!("round {round}: {moment:?} of {}", command.join(" "));
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let (calls, requests) = (world.calls(), proxy.map_or(0, Proxy::requests));
        let is_held = Arc::new(AtomicBool::new(false));
        if let (Some(proxy), Moment::Within(step, mut left, fault)) = (proxy, moment) {
            let is_held = Arc::clone(&is_held);
            proxy.choose(move |request| {
                left = left.saturating_sub(usize::from(step.is(request)));
                let now = left == 0 && !is_held.swap(left == 0, Ordering::SeqCst);
                now.then_some(fault)
            });
        }
        let mut process = world.start(&words);
        let begun = Instant::now();
        let is_here = |process: &Process| match moment {
            Moment::After(time) => begun.elapsed() >= time,
            Moment::Lines(lines) => process.stderr().lines().count() >= lines,
            Moment::Calls(more) => world.calls() >= calls + more,
            Moment::Requests(more) => {
                proxy.is_some_and(|proxy| proxy.requests() >= requests + more)
            }
            Moment::Within(..) => is_held.load(Ordering::SeqCst),
            Moment::Says(what, times) => process.stderr().matches(what).count() >= times,
        };
        // a daemon that has nothing left to do may never come there
        while !is_here(&process) && !process.has_ended() && begun.elapsed() < ROUND {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if process.has_ended() {
            totals.ended_before += 1;
            process.ended().await.assert_code(0);
        } else {
            // it may end by itself before the signal arrives
            match process.signalled("KILL").await.code {
                None => *totals.kills.entry(moment.name()).or_default() += 1,
                Some(0) => totals.ended_before += 1,
                code => panic!("it ended with {code:?}"),
            }
        }
        if let Some(proxy) = proxy {
            proxy.choose(|_| None);
        }
        reader.assert_content();
    }
    let looks = reader.enough().await.looks();
    println!("{looks} looks of the reader");
    totals
}

/// A clean run, and a last look for what came late: then the lake is as it should be.
async fn make_good(world: &World) -> usize {
    let end = now();
    world.set_now(end);
    world.run(&["run", "--once"]).await.assert_code(0);
    world.assert_prompt_landed().await;
    let from = world.start_time();
    for (job, to) in world.watermarks().await {
        let to = to.unwrap().to_rfc3339();
        world
            .run(&[
                "backfill",
                "--refetch",
                "--job",
                job,
                "--from",
                &from,
                "--to",
                &to,
            ])
            .await
            .assert_code(0);
    }
    world.assert_all_landed().await
}

#[tokio::test]
#[ignore = "needs SeaweedFS: `make test` runs it"]
async fn kill_9_loses_and_doubles_nothing_in_s3() {
    let (mut random, rounds) = (random("kill -9 on S3"), rounds(6));
    let store = Store::start().await;
    let proxy = Proxy::start(&store.endpoint).await;
    let spec = as_it_happens(rounds);
    let world = World::in_store(&spec, &store, &proxy.endpoint(), "").await;
    let begun = Instant::now();
    let totals = kill_again_and_again(&world, &spec, Some(&proxy), rounds, &mut random).await;
    let rows = make_good(&world).await;
    println!(
        "tried: kill -9 on S3, {rounds} rounds, {totals:?}, {rows} rows, {} requests, {:?}",
        proxy.requests(),
        begun.elapsed()
    );
}

#[tokio::test]
async fn kill_9_loses_and_doubles_nothing_on_disk() {
    let (mut random, rounds) = (random("kill -9 on a local lake"), rounds(6));
    let spec = as_it_happens(rounds);
    let world = World::on_disk(&spec).await;
    let begun = Instant::now();
    let totals = kill_again_and_again(&world, &spec, None, rounds, &mut random).await;
    let rows = make_good(&world).await;
    println!(
        "tried: kill -9 on disk, {rounds} rounds, {totals:?}, {rows} rows, {:?}",
        begun.elapsed()
    );
    let left = world.temporary_files();
    // of the log and of lake.json, a few KB each, which nobody reads; none where engines or the next run look
    let harmful = ["/audit_events/", "/staging/"];
    assert!(
        (left.iter()).all(|name| harmful.iter().all(|folder| !name.contains(folder))),
        "{left:?}"
    );
    println!("{} temporary files are left", left.len());
}

//! The rate budget at full load: how much of it a long backfill uses, and what that does to others. Time is simulated.
#![expect(clippy::print_stdout, reason = "the figures are for people")]

use std::time::Duration;

use auditlake::clock::Clock;
use auditlake::model::{Range, Timestamp};
use auditlake::providers::genesys::Mode;
use auditlake::run::plan::Policy;
use auditlake::run::{self, RunMode, RunOptions, RunOutcome, RunReport};
use auditlake::sim::genesys::endpoint::{SUBMIT, TOKEN};
use auditlake::sim::genesys::{DatasetSpec, GenesysSettings};
use auditlake::sim::{RateCount, RateLimit};
use chrono::TimeDelta;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::support::*;

const NOW: &str = "2026-06-01T01:00:00Z";
const MINUTE: Duration = Duration::from_mins(1);
const CALLS: u32 = 300;
/// How long a backfill is looked at.
const LONG: u32 = 10;

/// Three months in windows of ten minutes: more than can be read in the time that a test looks at.
fn long() -> Range {
    range("2026-03-01", "2026-06-01")
}

/// A provider with some latency that takes time for a query, allows 300 calls per minute, and refuses the next one
/// without advance notice.
fn strict(rate_count: RateCount) -> GenesysSettings {
    GenesysSettings {
        rate_limit: RateLimit {
            calls: CALLS,
            per: MINUTE,
        },
        rate_count,
        rate_headers: false,
        latency: Duration::from_millis(150),
        running_time: Duration::from_secs(1),
        ..prompt()
    }
}

async fn rig(rate_count: RateCount) -> Rig {
    let spec = DatasetSpec {
        from: at("2026-03-01"),
        to: at("2026-03-03"),
        ..day()
    };
    let policy = Policy {
        start: at("2026-06-01"),
        window: TimeDelta::minutes(10),
        ..policy()
    };
    let settings = strict(rate_count);
    let mut rig = Rig::with(&spec, settings, options(Mode::Async, &[FIRST]), policy).await;
    rig.job.source.client = client(&rig.sim, "sim-secret", (CALLS, MINUTE));
    rig.sim.set_now(at(NOW));
    rig
}

fn backfill(turn: TimeDelta) -> RunMode {
    RunMode::Backfill {
        range: long(),
        refetch: false,
        turn,
    }
}

async fn run(job: &run::Job, mode: RunMode, stop: &CancellationToken) -> RunReport {
    let options = RunOptions {
        clock: Clock::AsOf(at(NOW)),
        ..RunOptions::new(stop.clone())
    };
    match run::run(job, mode, &options).await.unwrap() {
        RunOutcome::Ran(report) => {
            assert_eq!(failures(&report), "");
            report
        }
        RunOutcome::Held(claim) => panic!("nobody else runs this job: {claim:?}"),
    }
}

/// The number of calls that a backfill makes in a number of minutes.
async fn calls_of_a_backfill(rig: &Rig) -> f64 {
    let stop = CancellationToken::new();
    let looking = async {
        tokio::time::sleep(LONG * MINUTE).await;
        let counters = rig.sim.counters();
        let calls = counters.total_calls() - counters.calls(TOKEN);
        stop.cancel();
        u32::try_from(calls).unwrap()
    };
    let (report, calls) =
        tokio::join!(run(&rig.job, backfill(TimeDelta::hours(1)), &stop), looking);
    assert!(report.unfinished, "it ended before it was looked at");
    assert!(report.totals.counts.new > 0);
    f64::from(calls)
}

#[tokio::test(start_paused = true)]
async fn figures_a_long_backfill_uses_the_budget_and_is_never_refused() {
    let allowed = f64::from(LONG * CALLS);
    let (mut least, mut refused) = (f64::MAX, 0);
    for rate_count in [
        RateCount::Fixed,
        RateCount::Sliding,
        RateCount::Bucket { holds: 5 },
    ] {
        let rig = rig(rate_count).await;
        let used = calls_of_a_backfill(&rig).await / allowed;
        refused += rig.sim.counters().rate_limited();
        println!("{rate_count:?}: {used:.3}");
        least = least.min(used);
    }
    println!("figure: rate_budget_use {least:.3}");
    println!("figure: rate_429 {refused}");
    assert_eq!(refused, 0);
    assert!(least >= 0.97, "{least}");
}

#[tokio::test(start_paused = true)]
async fn figures_two_connections_do_not_slow_each_other() {
    let alone = calls_of_a_backfill(&rig(RateCount::Fixed).await).await;
    let (one, other) = (rig(RateCount::Fixed).await, rig(RateCount::Fixed).await);
    let (of_one, of_other) = tokio::join!(calls_of_a_backfill(&one), calls_of_a_backfill(&other));
    let slowest = of_one.min(of_other) / alone;
    println!("figure: rate_beside_another_connection {slowest:.3}");
    assert!(slowest >= 0.99, "{of_one} and {of_other}, alone {alone}");
}

/// That the provider does refuse what is beyond its limit, in each of the ways of counting.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_a_twentieth_too_fast_is_refused() {
    for rate_count in [
        RateCount::Fixed,
        RateCount::Sliding,
        RateCount::Bucket { holds: 5 },
    ] {
        let mut rig = rig(rate_count).await;
        rig.job.source.client = client(&rig.sim, "sim-secret", (CALLS + CALLS / 20, MINUTE));
        let stop = CancellationToken::new();
        let stopping = async {
            rig.sim.counters().reached(SUBMIT, 200).await;
            stop.cancel();
        };
        tokio::join!(
            run(&rig.job, backfill(TimeDelta::hours(1)), &stop),
            stopping
        );
        assert!(rig.sim.counters().rate_limited() > 0, "{rate_count:?}");
    }
}

/// The time that a window takes while four are in flight, from the number at a time and the number per minute, by
/// Little's law.
async fn window(rig: &Rig) -> Duration {
    let began = Instant::now();
    let stop = CancellationToken::new();
    let report = run(&rig.job, backfill(TimeDelta::minutes(1)), &stop).await;
    let windows = u32::try_from(report.totals.windows).unwrap();
    assert!(windows > 40, "{windows}");
    began.elapsed() * 4 / windows
}

#[tokio::test(start_paused = true)]
async fn figures_a_backfill_delays_due_pulls_by_one_window_at_most() {
    let rig = rig(RateCount::Fixed).await;
    let stop = CancellationToken::new();
    window(&rig).await; // the first turn signs in, and learns how long a query takes
    let one = window(&rig).await.as_secs_f64();

    // the pull of the same job waits until the windows in flight at its tick have ended
    let mut latest = 0_f64;
    for tenths in (1..40).step_by(3) {
        let turn = Duration::from_secs_f64(one * f64::from(tenths) / 10.0);
        let began = Instant::now();
        run(
            &rig.job,
            backfill(TimeDelta::from_std(turn).unwrap()),
            &stop,
        )
        .await;
        let over = began.elapsed().saturating_sub(turn).as_secs_f64();
        latest = latest.max(over / one);
    }

    // another job of the connection shares the budget: what is due goes first
    let hours = |policy: &Policy| Policy {
        start: at(NOW) - TimeDelta::hours(2),
        ..policy.clone()
    };
    let due = |name: &str| {
        let mut job = rig.job.clone();
        rename(&mut job, name);
        job.policy = hours(&rig.job.policy);
        job
    };
    let pull = async |job: &run::Job| {
        let began = Instant::now();
        let report = run(job, RunMode::Due, &stop).await;
        assert!(report.totals.windows > 8);
        began.elapsed().as_secs_f64()
    };
    let alone = pull(&due("alone")).await;
    let enough = CancellationToken::new();
    let beside = async {
        tokio::time::sleep(MINUTE).await;
        let took = pull(&due("beside")).await;
        enough.cancel();
        took
    };
    let (_, beside) = tokio::join!(
        run(&rig.job, backfill(TimeDelta::hours(1)), &enough),
        beside
    );
    let slower = (beside - alone) / one;
    println!("a window {one:.2} s; a pull {alone:.2} s alone, {beside:.2} s beside a backfill");
    println!("figure: backfill_delay_windows {:.2}", latest.max(slower));
    assert!(latest <= 1.05, "{latest} windows late");
    assert!(slower <= 1.0, "{slower} windows slower");
}

/// A backfill yields, but isn't starved: it has what the due pulls leave.
#[tokio::test(start_paused = true)]
async fn a_backfill_goes_on_beside_due_pulls() {
    let rig = rig(RateCount::Fixed).await;
    let mut job = rig.job.clone();
    rename(&mut job, "due");
    let stop = CancellationToken::new();
    let now: Timestamp = at(NOW);
    job.policy.start = now - TimeDelta::hours(2);
    let (due, backfill) = tokio::join!(
        run(&job, RunMode::Due, &stop),
        run(&rig.job, backfill(TimeDelta::minutes(1)), &stop)
    );
    assert!(due.totals.windows > 8 && backfill.totals.windows > 40);
}

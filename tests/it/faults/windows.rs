//! Windows that fail while others don't: the stream continues, failed windows are tried again, slow ones are halved,
//! and those that are slow because of an outage aren't.

use std::time::Duration;

use auditlake::client::ClientLimits;
use auditlake::lake::Work;
use auditlake::model::{Range, Timestamp};
use auditlake::run::plan;
use auditlake::sim::{Fault, FaultRule, avaya, everyware, genesys, liveperson};
use chrono::TimeDelta;

use super::worlds::*;
use crate::support::rig::{Rig, at, range};

fn status(status: u16) -> Fault {
    Fault::Html { status }
}

/// A job of so long windows.
async fn rig_of<W: World>(records: usize, window: &str, limits: ClientLimits) -> Rig<W> {
    let sim = W::start(records).await;
    let yaml = yaml(&sim, "1000000/s", &format!("window: {window}"));
    let mut rig = Rig::of(sim, &yaml).await;
    rig.job.source.client = client(&yaml, limits);
    rig
}

/// Every call that asks for anything within a range fails.
fn poison<W: World>(rig: &Rig<W>, poisoned: Range, fault: Fault) {
    let chosen = Fault::chosen(move |asked| {
        let within = W::asked(asked)?.intersection(&poisoned);
        within.map(|_| fault.clone())
    });
    rig.sim.faults().clear();
    rig.sim.faults().always(W::ASKS, chosen);
}

async fn gaps<W: World>(rig: &Rig<W>) -> Vec<Range> {
    let newest = rig.newest().await;
    let gaps = plan::gaps(&newest, &rig.job.policy);
    gaps.map(|(_, gap)| gap).collect()
}

async fn watermark<W: World>(rig: &Rig<W>) -> Option<Timestamp> {
    let newest = rig.newest().await;
    plan::watermark(newest.current(), &rig.job.policy)
}

/// Four hours always fail: the twenty others land in the first run, the four are gaps, cost little, and are pulled once
/// that is over.
async fn four_bad_hours<W: World>(fault: Fault) {
    let rig: Rig<W> = rig_of(240, "1h", impatient()).await;
    let bad = range("2026-03-01T01:00:00Z", "2026-03-01T05:00:00Z");
    poison::<W>(&rig, bad, fault);
    let ended = attempt(&rig, at(NOW)).await;
    let report = ended.report.unwrap();
    assert!(report.failures.iter().all(|failure| failure.went_on));
    let failed = report.failures.iter().map(|failure| failure.range);
    let mut failed: Vec<Range> = failed.collect();
    failed.sort();
    let hours: Vec<Range> = bad.pieces(TimeDelta::hours(1)).collect();
    assert_eq!(failed, hours, "{}", ended.message);
    assert_eq!(gaps(&rig).await, [bad]);
    assert_eq!(watermark(&rig).await, Some(bad.from()));
    let is_good = |&(micros, _): &(i64, String)| {
        !bad.contains(chrono::DateTime::from_timestamp_micros(micros).unwrap())
    };
    rig.assert_holds(rig.sim.truth().into_iter().filter(is_good))
        .await;
    let newest = rig.newest().await;
    assert_eq!(newest.failing, None, "the job isn't backed off");
    let (_, progress) = newest.current().next().unwrap();
    assert_eq!(progress.window, None, "nothing was narrowed");
    assert_eq!(progress.failed.len(), 4);

    // fresh windows are pulled first; the four are tried again occasionally
    let before = rig.sim.counters().calls(W::ASKS);
    let hour = TimeDelta::hours(1);
    let report = attempt(&rig, at(NOW) + hour).await.report.unwrap();
    assert_eq!(report.totals.windows, 1);
    assert!(report.failures.len() <= 4);
    // three that fail one after the other are enough
    let calls = rig.sim.counters().calls(W::ASKS) - before;
    assert!(calls <= 30, "{calls}");

    rig.sim.faults().clear();
    let later = at(NOW) + hour * 3;
    rig.tick(later).await;
    rig.assert_holds(rig.sim.truth()).await;
    assert_eq!(gaps(&rig).await, []);
    let newest = rig.newest().await;
    assert!(
        newest
            .current()
            .all(|(_, progress)| progress.failed.is_empty())
    );
    assert_eq!(watermark(&rig).await, Some(later - TimeDelta::minutes(2)));
}

#[tokio::test]
async fn four_bad_hours_don_t_keep_the_others_out() {
    Box::pin(four_bad_hours::<avaya::Avaya>(status(520))).await;
    Box::pin(four_bad_hours::<avaya::Avaya>(Fault::ResetBefore)).await;
    // an answer that can't be read, and one that is refused
    Box::pin(four_bad_hours::<avaya::Avaya>(Fault::Html { status: 200 })).await;
    Box::pin(four_bad_hours::<avaya::Avaya>(status(400))).await;
    Box::pin(four_bad_hours::<genesys::Genesys>(status(520))).await;
    Box::pin(four_bad_hours::<genesys::Genesys>(status(404))).await;
}

/// A provider of days: one of them always fails.
async fn a_bad_day<W: World>() {
    let rig: Rig<W> = rig_of(60, "1d", impatient()).await;
    let bad = range("2026-03-04", "2026-03-05");
    poison::<W>(
        &rig,
        range("2026-03-04T12:00:00Z", "2026-03-04T13:00:00Z"),
        status(500),
    );
    // an extra day is requested on each side
    let ended = attempt(&rig, at("2026-03-09T00:02:00Z")).await;
    let report = ended.report.unwrap();
    assert!(
        report.failures.iter().all(|failure| failure.went_on),
        "{}",
        ended.message
    );
    rig.assert_holds(rig.sim.truth()).await;
    let gaps = gaps(&rig).await;
    assert!(
        gaps.len() == 1 && gaps[0].intersection(&bad) == Some(bad),
        "{gaps:?}"
    );
    assert!(gaps[0].length() <= TimeDelta::days(3));
    rig.sim.faults().clear();
    rig.tick(at("2026-03-09T01:02:00Z")).await;
    let now = at("2026-03-09T01:00:00Z");
    assert_eq!(watermark(&rig).await, Some(now));
}

#[tokio::test]
async fn a_bad_day_doesn_t_keep_the_others_out() {
    a_bad_day::<everyware::Everyware>().await;
    a_bad_day::<liveperson::LivePerson>().await;
}

/// One window is bad for a week: every hour lands in its time, and the bad one is requested less and less often.
#[tokio::test]
async fn a_bad_window_of_weeks_costs_little() {
    let rig: Rig<avaya::Avaya> = rig_of(60, "1h", impatient()).await;
    let bad = range("2026-03-01T05:00:00Z", "2026-03-01T06:00:00Z");
    poison(&rig, bad, status(520));
    rig.run(at("2026-03-01T05:02:00Z")).await;
    let hours = 24 * 7;
    let mut failed = 0;
    for hour in 0..hours {
        let now = at("2026-03-01T06:02:00Z") + TimeDelta::hours(hour);
        let ended = attempt(&rig, now).await;
        failed += ended.kinds.len();
        if hour > 0 {
            assert_eq!(gaps(&rig).await, [bad]);
            let newest = rig.newest().await;
            assert_eq!(newest.failing, None);
            let (_, progress) = newest.current().next().unwrap();
            let last = progress.coverage.iter().next_back().unwrap();
            assert_eq!(last.to(), now - TimeDelta::minutes(2));
        }
    }
    // at once, some hours by the hour, and four times a day thereafter
    assert!((28..=42).contains(&failed), "{failed}");
    let calls = rig.sim.counters().calls(avaya::endpoint::MATCH);
    let most = u64::try_from(hours).unwrap() + 6 + 42 * 9;
    assert!(calls <= most, "{calls} of {most}");
    rig.sim.faults().clear();
    rig.tick(at("2026-03-08T14:02:00Z")).await;
    rig.assert_holds(rig.sim.truth()).await;
    assert_eq!(gaps(&rig).await, []);
}

/// Whatever is asked fails: that is an outage, which costs some thirty calls, narrows nothing and blames no range.
async fn an_outage<W: World>(fault: Fault, window: &str, now: Timestamp, most: u64) {
    let rig: Rig<W> = rig_of(60, window, impatient()).await;
    rig.sim.faults().always(W::ASKS, fault);
    for _ in 0..2 {
        let before = rig.sim.counters().calls(W::ASKS);
        let ended = attempt(&rig, now).await;
        let calls = rig.sim.counters().calls(W::ASKS) - before;
        assert!((3..=most).contains(&calls), "{}: {calls} calls", W::NAME);
        assert_eq!(ended.kinds.len(), 1, "{}", ended.message);
        let report = ended.report.unwrap();
        assert!(!report.failures[0].went_on);
        let newest = rig.newest().await;
        assert!(newest.failing.is_some(), "the job is backed off");
        for (_, progress) in newest.current() {
            assert_eq!((progress.window, progress.failed.len()), (None, 0));
        }
        assert_eq!(gaps(&rig).await, []);
    }
    rig.sim.faults().clear();
    rig.tick(now).await;
    rig.assert_holds(rig.sim.truth()).await;
    assert_eq!(watermark(&rig).await, Some(now - TimeDelta::minutes(2)));
}

#[tokio::test]
async fn an_outage_costs_some_thirty_calls_and_narrows_nothing() {
    let days = at("2026-03-09T00:02:00Z");
    for fault in [
        status(502),
        status(504),
        status(524),
        Fault::ResetBefore,
        Fault::Html { status: 200 },
    ] {
        Box::pin(an_outage::<avaya::Avaya>(fault.clone(), "1h", at(NOW), 30)).await;
        Box::pin(an_outage::<genesys::Genesys>(
            fault.clone(),
            "1h",
            at(NOW),
            30,
        ))
        .await;
        Box::pin(an_outage::<everyware::Everyware>(
            fault.clone(),
            "1d",
            days,
            36,
        ))
        .await;
        Box::pin(an_outage::<liveperson::LivePerson>(fault, "1d", days, 30)).await;
    }
}

/// It was well, then it is down, then it is well again.
#[tokio::test]
async fn an_outage_in_the_middle_of_a_run_is_one() {
    let rig: Rig<avaya::Avaya> = rig_of(60, "1h", impatient()).await;
    rig.sim.faults().inject(FaultRule {
        endpoint: Some(avaya::endpoint::MATCH),
        skip: 12,
        times: u32::MAX,
        fault: status(502),
    });
    let ended = attempt(&rig, at(NOW)).await;
    assert_eq!(ended.kinds.len(), 1, "{}", ended.message);
    let calls = rig.sim.counters().calls(avaya::endpoint::MATCH);
    // up to four windows were in flight
    assert!(calls <= 12 + 5 * 9, "{calls}");
    let newest = rig.newest().await;
    assert!(
        newest
            .current()
            .all(|(_, progress)| progress.failed.is_empty())
    );
    rig.sim.faults().clear();
    rig.tick(at(NOW)).await;
    rig.assert_holds(rig.sim.truth()).await;
}

/// Ranges over half an hour are too slow in one way or another: they are made smaller, and all of it lands at once.
async fn too_slow<W: World>(fault: Fault, limits: ClientLimits) {
    let rig: Rig<W> = rig_of(60, "4h", limits).await;
    let name = format!("{fault:?}");
    let chosen = Fault::chosen(move |asked| {
        let asked = W::asked(asked)?;
        (asked.length() > TimeDelta::minutes(30)).then(|| fault.clone())
    });
    rig.sim.faults().always(W::ASKS, chosen);
    let now = at("2026-03-01T08:02:00Z");
    let ended = attempt(&rig, now).await;
    assert_eq!(ended.message, "", "{name}");
    let landed = rig.rows().await.len();
    assert!(landed > 0);
    assert_eq!(watermark(&rig).await, Some(at("2026-03-01T08:00:00Z")));
    let calls = rig.sim.counters().calls(W::ASKS);
    // sixteen ranges, as many that were tried too large again, and the retries of the first
    assert!(calls <= 80, "{name}: {calls}");
    let newest = rig.newest().await;
    let (_, progress) = newest.current().next().unwrap();
    assert!(progress.window.is_some(), "{name}");
    rig.sim.faults().clear();
    rig.tick(at(NOW)).await;
    rig.assert_holds(rig.sim.truth()).await;
    let newest = rig.newest().await;
    let (_, progress) = newest.current().next().unwrap();
    assert_eq!(progress.window, None, "{name}: windows grow again");
}

#[tokio::test]
async fn what_is_too_slow_for_the_gateway_is_made_smaller() {
    for code in [408, 500, 502, 503, 504, 520, 522, 524] {
        Box::pin(too_slow::<avaya::Avaya>(status(code), impatient())).await;
    }
    Box::pin(too_slow::<genesys::Genesys>(status(524), impatient())).await;
    Box::pin(too_slow::<genesys::Genesys>(status(504), impatient())).await;
}

#[tokio::test]
async fn what_stalls_or_breaks_off_is_made_smaller() {
    let hurried = || ClientLimits {
        read_timeout: Duration::from_millis(300),
        total_timeout: Duration::from_secs(2),
        attempts: 2,
        ..impatient()
    };
    for fault in [Fault::Stall, Fault::CutBody, Fault::Reset] {
        Box::pin(too_slow::<avaya::Avaya>(fault, hurried())).await;
    }
}

/// A backfill continues after a bad window and reports it; repeating it pulls the rest.
#[tokio::test]
async fn a_backfill_goes_on_after_a_bad_window() {
    let sim = <avaya::Avaya as World>::start(60).await;
    let yaml = yaml(&sim, "1000000/s", "window: 1h").replace(FROM, "2026-03-02");
    let mut rig = Rig::of(sim, &yaml).await;
    rig.job.source.client = client(&yaml, impatient());
    let bad = range("2026-03-01T05:00:00Z", "2026-03-01T06:00:00Z");
    let whole = range(FROM, TO);
    for refetch in [false, true] {
        poison(&rig, bad, status(520));
        let report = rig.backfill(whole, refetch, at(NOW)).await;
        let [failed] = &report.failures[..] else {
            panic!("{report:?}");
        };
        assert_eq!(
            (failed.range, failed.work, failed.went_on),
            (bad, Work::Backfill, true)
        );
        assert_eq!(report.totals.windows, 23);
        rig.sim.faults().clear();
        let report = rig.backfill(whole, refetch, at(NOW)).await;
        assert_eq!((report.failures.len(), report.totals.windows), (0, 1));
        rig.assert_holds(rig.sim.truth()).await;
    }
}

/// A settle pass that fails doesn't count as a gap, holds nothing up, and is repeated.
#[tokio::test]
async fn a_bad_settle_pass_is_tried_again() {
    let sim = <avaya::Avaya as World>::start(60).await;
    let yaml = yaml(&sim, "1000000/s", "window: 1h").replace("settle: []", "settle: [1h]");
    let mut rig = Rig::of(sim, &yaml).await;
    rig.job.source.client = client(&yaml, impatient());
    rig.tick(at("2026-03-01T03:30:00Z")).await;
    let bad = range("2026-03-01T02:30:00Z", "2026-03-01T03:00:00Z");
    poison(&rig, bad, status(520));
    let report = attempt(&rig, at("2026-03-01T04:30:00Z"))
        .await
        .report
        .unwrap();
    let [failed] = &report.failures[..] else {
        panic!("{report:?}");
    };
    assert_eq!((failed.work, failed.went_on), (Work::Settle, true));
    assert_eq!(gaps(&rig).await, []);
    assert_eq!(watermark(&rig).await, Some(at("2026-03-01T04:28:00Z")));
    rig.sim.faults().clear();
    rig.tick(at("2026-03-01T04:40:00Z")).await;
    let newest = rig.newest().await;
    let (_, progress) = newest.current().next().unwrap();
    assert_eq!(progress.failed, []);
}

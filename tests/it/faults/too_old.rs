//! Ranges that a provider refuses as too old: passed over and shown as lost, found in few calls, and not believed when that
//! can't be.

use auditlake::model::{Range, Timestamp};
use auditlake::run::plan;
use auditlake::sim::{Fault, avaya, everyware, genesys, liveperson};
use chrono::{DateTime, TimeDelta};

use super::worlds::*;
use crate::support::rig::{Rig, at, range};

/// Eleven days after noon of the day with records.
const LATER: &str = "2026-03-12T12:00:00Z";

/// A job that begins long before there are records.
async fn long_ago<W: World>(window: &str) -> Rig<W> {
    let sim = W::start(240).await;
    let job = format!("window: {window}");
    let yaml = yaml(&sim, "1000000/s", &job).replace(FROM, "2025-06-01");
    let mut rig = Rig::of(sim, &yaml).await;
    rig.job.source.client = client(&yaml, impatient());
    rig
}

/// Whatever begins before `oldest` is refused in these words.
fn forget<W: World>(rig: &Rig<W>, oldest: Timestamp, message: &str) {
    let body = W::refusal(message);
    rig.sim.faults().clear();
    let refuse = Fault::rewritten(move |_, answer| {
        answer.status = 400;
        answer.body = body.clone().into_bytes();
    });
    let chosen = Fault::chosen(move |asked| {
        let asked = W::asked(asked)?;
        (asked.from() < oldest).then(|| refuse.clone())
    });
    rig.sim.faults().always(W::ASKS, chosen);
}

async fn lost<W: World>(rig: &Rig<W>) -> Vec<(Range, Timestamp)> {
    let newest = rig.newest().await;
    let lost = plan::lost(&newest, &rig.job.policy);
    lost.map(|(_, range, oldest)| (range, oldest)).collect()
}

fn after(oldest: Timestamp) -> impl Fn(&(i64, String)) -> bool {
    move |(micros, _)| DateTime::from_timestamp_micros(*micros).unwrap() >= oldest
}

/// All that is older is lost, in few calls, and all that is newer lands in the same run.
async fn is_passed_over<W: World>(message: &str, most: u64) {
    let rig: Rig<W> = long_ago("1d").await;
    let oldest = at("2026-03-01T12:00:00Z");
    forget::<W>(&rig, oldest, message);
    let ended = attempt(&rig, at(LATER)).await;
    assert_eq!(ended.message, "", "{}: {message}", W::NAME);
    let newest = rig.newest().await;
    let now = at(LATER) - TimeDelta::minutes(2);
    assert_eq!(
        plan::watermark(newest.current(), &rig.job.policy),
        Some(now)
    );
    assert_eq!(plan::gaps(&newest, &rig.job.policy).count(), 0);
    let lost = lost(&rig).await;
    let [(range, given)] = lost[..] else {
        panic!("{lost:?}");
    };
    assert_eq!((range.from(), range.to()), (rig.job.policy.start, given));
    assert!(given >= oldest, "{given}");
    let days = rig.job.policy.grain > TimeDelta::zero();
    let margin = if days {
        TimeDelta::days(3)
    } else {
        TimeDelta::seconds(60)
    };
    assert!(given - oldest <= margin, "{given}");
    if days {
        // records of days that are requested together with others land, too
        let rows = rig.rows().await.len();
        let truth = rig.sim.truth();
        assert!(rows >= truth.iter().filter(|key| after(given)(key)).count());
    } else {
        rig.assert_holds(rig.sim.truth().into_iter().filter(after(given)))
            .await;
    }
    let calls = rig.sim.counters().calls(W::ASKS);
    assert!(calls <= most, "{}: {message}: {calls} calls", W::NAME);

    // it isn't asked for again
    rig.tick(at(LATER) + TimeDelta::hours(1)).await;
    let calls = rig.sim.counters().calls(W::ASKS) - calls;
    assert!(calls <= 2, "{calls}");
    assert_eq!(
        rig.backfill(range, false, at(LATER)).await.totals.windows,
        0
    );

    // unless by hand; what is given then is no longer lost
    rig.sim.faults().clear();
    let whole = crate::support::rig::range("2026-02-28", "2026-03-06");
    let report = rig.backfill(whole, true, at(LATER)).await;
    assert_eq!(report.failures.len(), 0);
    rig.assert_holds(rig.sim.truth()).await;
    assert!(lost_before(&rig, whole.from()).await);
}

async fn lost_before<W: World>(rig: &Rig<W>, to: Timestamp) -> bool {
    lost(rig).await.iter().all(|(range, _)| range.to() <= to)
}

#[tokio::test]
async fn what_is_too_old_is_passed_over_and_what_is_newer_lands() {
    // twelve days of pulls, and what is asked to find the oldest
    for (message, most) in [
        ("start is older than 11 days", 12 + 5),
        ("only the last 264 hours are available", 12 + 5),
        ("the range is beyond the retention period", 12 + 17),
        ("earliest available time is 2026-03-01T12:00:00Z", 12 + 5),
        ("data of that time has been purged", 12 + 19),
    ] {
        Box::pin(is_passed_over::<avaya::Avaya>(message, most)).await;
        Box::pin(is_passed_over::<genesys::Genesys>(message, most)).await;
        Box::pin(is_passed_over::<everyware::Everyware>(message, most)).await;
        Box::pin(is_passed_over::<liveperson::LivePerson>(message, most)).await;
    }
    // no word of age, only of the bounds
    Box::pin(is_passed_over::<genesys::Genesys>(
        "the interval is not valid",
        12 + 18,
    ))
    .await;
}

/// Two days ago isn't too old because a provider says so without saying since when: it is tried again, and lands once that
/// is over.
#[tokio::test]
async fn what_is_recent_is_not_believed_to_be_too_old() {
    for message in ["the range is too old", "start is older than 365 days"] {
        let rig: Rig<avaya::Avaya> = rig(60).await;
        forget(&rig, at(TO), message);
        let now = at("2026-03-03T00:02:00Z");
        let ended = attempt(&rig, now).await;
        let report = ended.report.unwrap();
        assert!(ended.message.contains("too recent"), "{}", ended.message);
        assert!(report.failures.iter().all(|failure| failure.went_on));
        assert_eq!(lost(&rig).await, []);
        let newest = rig.newest().await;
        let gaps: Vec<Range> = (plan::gaps(&newest, &rig.job.policy))
            .map(|(_, gap)| gap)
            .collect();
        assert_eq!(gaps, [range(FROM, TO)]);
        rig.sim.faults().clear();
        rig.tick(now + TimeDelta::hours(1)).await;
        rig.assert_holds(rig.sim.truth()).await;
        // a provider that says an age that fits is believed
        forget(&rig, at(TO), "start is older than 24 hours");
        let fresh: Rig<avaya::Avaya> = super::worlds::rig(60).await;
        forget(&fresh, at(TO), "start is older than 24 hours");
        assert_eq!(attempt(&fresh, now).await.message, "");
        assert_eq!(lost(&fresh).await.len(), 1);
    }
}

/// A provider that refuses everything loses nothing.
#[tokio::test]
async fn a_provider_that_finds_everything_too_old_loses_nothing() {
    let rig: Rig<avaya::Avaya> = long_ago("1d").await;
    forget(&rig, at("2027-01-01"), "start is older than 30 days");
    let ended = attempt(&rig, at(LATER)).await;
    assert_eq!(ended.kinds.len(), 1, "{}", ended.message);
    assert_eq!(lost(&rig).await, []);
    let calls = rig.sim.counters().calls(avaya::endpoint::MATCH);
    assert!(calls <= 16, "{calls}");
    rig.sim.faults().clear();
    rig.tick(at(LATER)).await;
    rig.assert_holds(rig.sim.truth()).await;
}

//! What can be seen later than it happened, or lies elsewhere than it shows.

use std::collections::BTreeMap;
use std::time::Duration;

use auditlake::providers::genesys::{GenesysOptions, Mode};
use auditlake::run::plan::Policy;
use auditlake::sim::genesys::{DatasetSpec, GenesysSettings};
use chrono::{DateTime, TimeDelta};

use super::support::*;

/// A day with late arrivals, pulled hourly with settle passes, as the job would be run.
fn late_day() -> DatasetSpec {
    DatasetSpec {
        late_share: 0.1,
        latest: Duration::from_hours(3),
        ..day()
    }
}

fn settling() -> Policy {
    Policy {
        window: TimeDelta::hours(1),
        settle: vec![TimeDelta::hours(1), TimeDelta::hours(6)],
        ..policy()
    }
}

/// Ticks from the dataset's start on; at each, by service, up to where first pulls went.
async fn ticks(rig: &Rig, first: &str, every: TimeDelta, until: &str) -> u64 {
    let (mut now, mut late) = (at(first), 0);
    while now <= at(until) {
        late += rig.tick(now).await.totals.counts.late;
        now += every;
    }
    late
}

#[tokio::test]
async fn settle_passes_find_late_arrivals_and_mark_just_them() {
    for mode in [Mode::Auto, Mode::Async] {
        let rig = Rig::with(&late_day(), prompt(), options(mode, &[]), settling()).await;
        let (first, every) = ("2026-03-01T00:20:00Z", TimeDelta::minutes(20));
        let counted = ticks(&rig, first, every, "2026-03-02T08:00:00Z").await;
        let (from, to) = (at("2026-03-01"), at("2026-03-02"));
        rig.assert_exact(from, to, at("2026-03-02T08:00:00Z")).await;

        // late is what could not be seen yet at the tick that pulled its time first
        let truth = rig
            .sim
            .dataset()
            .truth(from, to, at("2026-03-02T08:00:00Z"));
        let lag = settling().lag;
        let late: BTreeMap<String, bool> = truth
            .iter()
            .map(|truth| {
                let shown = DateTime::from_timestamp_micros(truth.event_time_micros).unwrap();
                let mut tick = at(first);
                while tick - lag <= shown {
                    tick += every;
                }
                (
                    truth.id.clone(),
                    truth.visible_at_micros > tick.timestamp_micros(),
                )
            })
            .collect();
        let rows = rig.rows().await;
        for row in &rows {
            assert_eq!(row.late_by_ms.is_some(), late[&row.id], "{row:?}");
            if let Some(late_by_ms) = row.late_by_ms {
                assert_eq!(late_by_ms, (row.ingested_at - row.time).div_euclid(1_000));
            }
        }
        let marked = rows.iter().filter(|row| row.late_by_ms.is_some()).count();
        assert!(marked > 20);
        assert_eq!(counted, marked as u64);
    }
}

#[tokio::test]
async fn a_week_pulled_hourly_is_the_truth() {
    let spec = DatasetSpec {
        records: 4_000,
        to: at("2026-03-08"),
        misfiled: 40,
        poison: 12,
        ..late_day()
    };
    let policy = Policy {
        // a record may be filed a day before it shows to have happened, and be late
        settle: vec![TimeDelta::hours(1), TimeDelta::hours(30)],
        ..settling()
    };
    let rig = Rig::with(&spec, prompt(), GenesysOptions::default(), policy).await;
    let every = TimeDelta::hours(1);
    ticks(&rig, "2026-03-01T01:00:00Z", every, "2026-03-08T02:00:00Z").await;
    let seen_at = at("2026-03-09T08:00:00Z");
    rig.tick(seen_at).await;
    rig.assert_exact_but_for_nameless(at("2026-03-01"), at("2026-03-08"), seen_at)
        .await;
}

/// Filed up to a day from the time that they show: they land with whatever range shows them, and are counted.
#[tokio::test]
async fn misfiled_records_land_where_they_are_found() {
    let spec = DatasetSpec {
        misfiled: 60,
        ..day()
    };
    for mode in [Mode::Auto, Mode::Async] {
        let rig = Rig::new(&spec, prompt(), options(mode, &[])).await;
        let report = rig.tick(at("2026-03-02T01:00:00Z")).await;
        let (from, to) = (at("2026-03-01"), at("2026-03-02"));
        rig.assert_exact(from, to, at("2026-03-02T01:00:00Z")).await;
        assert!(report.totals.counts.outside > 20, "{:?}", report.totals);
    }
}

/// A provider that files a record a moment after the time that it shows would, at each window's end, show it to the
/// next window only.
#[tokio::test]
async fn a_record_filed_across_a_windows_end_is_not_lost() {
    let spec = DatasetSpec {
        records: 800,
        to: at("2026-03-01T00:01:00Z"),
        misfiled: 600,
        misfiled_by: Duration::from_millis(900),
        largest_tie: 1,
        ..day()
    };
    let settings = || GenesysSettings {
        interval_end: auditlake::sim::genesys::IntervalBound::Exclusive,
        ..prompt()
    };
    // with short windows many of the misfiled records are near a window's end
    let narrow = Policy {
        window: TimeDelta::seconds(5),
        min_window: TimeDelta::seconds(1),
        ..policy()
    };
    let (from, to) = (at("2026-03-01"), at("2026-03-01T00:01:00Z"));
    for at_once in [true, false] {
        let rig = Rig::with(&spec, settings(), options(Mode::Async, &[]), narrow.clone()).await;
        let mut now = if at_once { to } else { from } + narrow.lag;
        while now < to + TimeDelta::minutes(3) {
            rig.tick(now).await;
            now += TimeDelta::seconds(7);
        }
        let seen_at = rig.sim.now();
        rig.assert_exact(from, to, seen_at).await;
    }
}

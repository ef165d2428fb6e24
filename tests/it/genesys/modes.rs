//! However the log is read, and whatever is unknown of the provider turns out to be: the lake holds the truth.

use std::time::{Duration, Instant};

use auditlake::providers::genesys::{Filter, FilterProperty, GenesysOptions, Mode};
use auditlake::sim::RateLimit;
use auditlake::sim::genesys::endpoint::{
    DOWNLOAD, REALTIME, REALTIME_SERVICES, RESULTS, SERVICES, STATUS, SUBMIT, TOKEN,
};
use auditlake::sim::genesys::{
    Compression, DatasetSpec, DownloadAddress, DownloadShape, GenesysSettings, IntervalBound,
    Totals,
};
use chrono::TimeDelta;

use super::support::*;

const NOW: &str = "2026-03-02T01:00:00Z";

async fn pull(spec: &DatasetSpec, settings: GenesysSettings, options: GenesysOptions) -> Rig {
    let rig = Rig::new(spec, settings, options).await;
    rig.tick(at(NOW)).await;
    rig.assert_exact(at("2026-03-01"), at("2026-03-02"), at(NOW))
        .await;
    rig
}

#[tokio::test]
async fn auto_takes_realtime_where_it_reaches() {
    let rig = pull(&day(), prompt(), GenesysOptions::default()).await;
    let calls = |endpoint| rig.sim.counters().calls(endpoint);
    assert!(calls(REALTIME) > 0 && calls(SUBMIT) > 0);
    assert_eq!(calls(TOKEN), 1);
    let commit = rig.newest().await;
    let streams: Vec<&str> = commit.progress.keys().map(String::as_str).collect();
    assert_eq!(streams, ["Billing", FIRST, ASYNC_ONLY]);
    for progress in commit.progress.values() {
        assert_eq!(progress.watermark, Some(at("2026-03-02T00:58:00Z")));
        assert!(progress.open.is_empty());
    }
}

/// The provider gives small pages, and says how many.
#[tokio::test]
async fn auto_goes_over_to_a_query_where_that_takes_fewer_calls() {
    let small = GenesysOptions {
        realtime_page_size: 20,
        ..options(Mode::Auto, &[FIRST])
    };
    let rig = Rig::new(&day(), prompt(), small).await;
    let report = rig.tick(at(NOW)).await;
    rig.assert_exact_for(Some(FIRST), at("2026-03-01"), at("2026-03-02"), at(NOW))
        .await;
    assert_eq!(
        report.totals.counts.duplicate, 0,
        "the query has read it all"
    );
    let calls = |endpoint| rig.sim.counters().calls(endpoint);
    // of five windows, the last is an hour without a record
    assert_eq!((calls(REALTIME), calls(SUBMIT)), (5, 4));
}

/// Nobody says what realtime does with what its mapping lacks; here it hides that.
#[tokio::test]
async fn auto_leaves_out_nothing_that_realtime_does_not_show() {
    let settings = GenesysSettings {
        realtime_lacks: vec!["Role".to_owned()],
        ..prompt()
    };
    let rig = pull(&day(), settings, GenesysOptions::default()).await;
    assert_eq!(rig.sim.counters().calls(REALTIME), 0);
}

#[tokio::test(start_paused = true)]
async fn which_services_there_are_is_asked_once_a_day_and_after_a_failure() {
    let rig = Rig::new(&day(), prompt(), GenesysOptions::default()).await;
    let asked = || {
        let counters = rig.sim.counters();
        (counters.calls(SERVICES), counters.calls(REALTIME_SERVICES))
    };
    rig.tick(at(NOW)).await;
    rig.tick(at(NOW) + TimeDelta::hours(1)).await;
    assert_eq!(asked(), (1, 1));
    tokio::time::advance(Duration::from_hours(24)).await;
    rig.tick(at(NOW) + TimeDelta::hours(2)).await;
    assert_eq!(asked(), (2, 2));
    rig.sim.forbid_service(ASYNC_ONLY);
    let report = rig.run(at(NOW) + TimeDelta::hours(3)).await;
    assert_eq!(report.failures.len(), 1);
    rig.sim.allow_service(ASYNC_ONLY);
    rig.tick(at(NOW) + TimeDelta::hours(4)).await;
    assert_eq!(asked(), (3, 3));
}

#[tokio::test]
async fn async_mode_makes_no_realtime_query() {
    let settings = GenesysSettings {
        running_polls: 1,
        submit_status: 200,
        terse_status: true,
        ..prompt()
    };
    let rig = pull(&day(), settings, options(Mode::Async, &[])).await;
    assert_eq!(rig.sim.counters().calls(REALTIME), 0);
    assert!(rig.sim.counters().calls(STATUS) > 0);
}

#[tokio::test]
async fn realtime_mode_makes_no_query_job() {
    for totals in [Totals::Shown, Totals::Null, Totals::LeftOut] {
        let settings = GenesysSettings {
            realtime_totals: totals,
            ..prompt()
        };
        let options = GenesysOptions {
            realtime_page_size: 100,
            ..options(Mode::Realtime, &[FIRST])
        };
        let rig = Rig::new(&day(), settings, options).await;
        rig.tick(at(NOW)).await;
        rig.assert_exact_for(Some(FIRST), at("2026-03-01"), at("2026-03-02"), at(NOW))
            .await;
        assert_eq!(rig.sim.counters().calls(SUBMIT), 0);
    }
}

/// Nobody knows whether an interval's ends belong to it. Ties of hundreds lie on windows' ends, too.
#[tokio::test]
async fn bounds_may_be_inclusive_or_exclusive() {
    let bounds = [IntervalBound::Inclusive, IntervalBound::Exclusive];
    // every record at a whole quarter of an hour, so that windows' ends cut through ties
    for (start, end) in bounds
        .into_iter()
        .flat_map(|start| bounds.map(|end| (start, end)))
    {
        let spec = DatasetSpec {
            records: 600,
            from: at("2026-03-01"),
            to: at("2026-03-01T00:01:00Z"),
            largest_tie: 100,
            ..day()
        };
        let settings = GenesysSettings {
            interval_start: start,
            interval_end: end,
            ..prompt()
        };
        for mode in [Mode::Auto, Mode::Async] {
            let policy = auditlake::run::plan::Policy {
                // 600 records in a minute, many of them at whole seconds: each second is a window's end
                window: TimeDelta::seconds(1),
                lag: TimeDelta::minutes(59),
                ..policy()
            };
            let options = options(mode, &[FIRST, ASYNC_ONLY]);
            let rig = Rig::with(&spec, settings.clone(), options, policy).await;
            rig.tick(at("2026-03-01T01:00:00Z")).await;
            rig.assert_exact(
                at("2026-03-01"),
                at("2026-03-01T00:01:00Z"),
                at("2026-03-01T01:00:00Z"),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn pages_may_be_empty_and_records_may_repeat() {
    let settings = GenesysSettings {
        empty_page_every: 2,
        repeat_records: true,
        ..prompt()
    };
    let policy = auditlake::run::plan::Policy {
        window: TimeDelta::days(2),
        ..policy()
    };
    let rig = Rig::with(&day(), settings, options(Mode::Async, &[]), policy).await;
    let report = rig.tick(at(NOW)).await;
    assert!(report.totals.counts.duplicate > 0);
    rig.assert_exact(at("2026-03-01"), at("2026-03-02"), at(NOW))
        .await;
}

#[tokio::test]
async fn large_results_come_in_every_form() {
    for shape in [
        DownloadShape::Object,
        DownloadShape::Array,
        DownloadShape::Lines,
        DownloadShape::Garbage,
    ] {
        for compression in [Compression::None, Compression::Encoded, Compression::File] {
            let address = match compression {
                Compression::None => DownloadAddress::Body,
                Compression::Encoded => DownloadAddress::Location,
                Compression::File => DownloadAddress::Both,
            };
            let settings = GenesysSettings {
                large_results_over: Some(100),
                download_records: 150,
                download_shape: shape,
                download_compression: compression,
                download_address: address,
                ..prompt()
            };
            let spec = DatasetSpec {
                records: 600,
                newlines: !matches!(shape, DownloadShape::Lines),
                ..day()
            };
            let rig = pull(&spec, settings, options(Mode::Async, &[])).await;
            let calls = |endpoint| rig.sim.counters().calls(endpoint);
            assert!(calls(DOWNLOAD) > 0 && calls(RESULTS) > 0);
        }
    }
}

#[tokio::test]
async fn downloads_that_expire_or_cannot_be_fetched_are_asked_for_inline() {
    let settings = GenesysSettings {
        large_results_over: Some(100),
        download_records: 150,
        download_lifetime: Duration::ZERO,
        ..prompt()
    };
    pull(&day(), settings, options(Mode::Async, &[])).await;

    // nobody is at home there
    let settings = GenesysSettings {
        large_results_over: Some(100),
        download_records: 150,
        ..prompt()
    };
    let rig = Rig::new(&day(), settings, options(Mode::Async, &[])).await;
    let failing = auditlake::sim::Fault::Status {
        status: 503,
        retry_after: None,
    };
    rig.sim.faults().next(DOWNLOAD, 10_000, failing);
    rig.tick(at(NOW)).await;
    rig.assert_exact(at("2026-03-01"), at("2026-03-02"), at(NOW))
        .await;
}

#[tokio::test]
async fn filters_are_the_providers_and_make_another_stream() {
    let filtered = |action: &str| GenesysOptions {
        filters: vec![Filter {
            property: FilterProperty::Action,
            value: action.to_owned(),
        }],
        ..options(Mode::Async, &[FIRST])
    };
    let mut rig = Rig::new(&day(), prompt(), filtered("Update")).await;
    rig.tick(at(NOW)).await;
    let updates = rig.rows().await;
    assert!(!updates.is_empty());
    assert!(updates.iter().all(|row| {
        let raw: serde_json::Value = serde_json::from_str(&row.raw).unwrap();
        raw["action"] == "Update"
    }));

    // other filters begin at the start, and what both let through is there once
    rig.set_options(options(Mode::Async, &[FIRST]));
    let report = rig.tick(at(NOW)).await;
    assert_eq!(report.totals.counts.duplicate, updates.len() as u64);
    rig.assert_exact_for(Some(FIRST), at("2026-03-01"), at("2026-03-02"), at(NOW))
        .await;
    let commit = rig.newest().await;
    assert_eq!(commit.progress.len(), 2, "{:?}", commit.progress.keys());
}

#[tokio::test]
async fn the_rate_budget_is_kept() {
    let settings = GenesysSettings {
        rate_limit: RateLimit {
            calls: 300,
            per: Duration::from_mins(1),
        },
        ..prompt()
    };
    let spec = DatasetSpec {
        records: 400,
        ..day()
    };
    let mut rig = Rig::new(&spec, settings, options(Mode::Async, &[FIRST])).await;
    rig.job.source.client = client(&rig.sim, "sim-secret", (300, Duration::from_mins(1)));
    let began = Instant::now();
    rig.tick(at(NOW)).await;
    let counters = rig.sim.counters();
    assert_eq!(counters.rate_limited(), 0);
    // 300 a minute, and a burst of 2 % of it
    let allowed = began.elapsed().as_secs_f64() * 5.0 + 7.0;
    let calls = counters.total_calls();
    assert!(calls > 10);
    assert!(
        f64::from(u32::try_from(calls).unwrap()) <= allowed,
        "{calls} {allowed}"
    );
    rig.assert_exact_for(Some(FIRST), at("2026-03-01"), at("2026-03-02"), at(NOW))
        .await;
}

#[tokio::test]
async fn auto_takes_query_jobs_for_what_realtime_no_longer_reaches() {
    let rig = Rig::new(&day(), prompt(), options(Mode::Auto, &[FIRST])).await;
    let now = at("2026-03-16T00:00:00Z");
    rig.tick(now).await;
    rig.assert_exact_for(Some(FIRST), at("2026-03-01"), at("2026-03-02"), now)
        .await;
    let calls = |endpoint| rig.sim.counters().calls(endpoint);
    // the first day and the margin of an hour are too old
    assert_eq!((calls(SUBMIT), calls(SUBMIT) + calls(REALTIME)), (5, 60));
}

/// A name may hold what separates the filters' hash from it in a stream's id.
#[tokio::test]
async fn services_of_any_name_are_pulled() {
    let names = ["a#b", "a", "a#", "#", "a/b", "a:b|c%2F", "Ünï ☃", "../x"];
    let spec = DatasetSpec {
        records: 400,
        services: names.map(str::to_owned).to_vec(),
        quiet_services: vec![],
        ..day()
    };
    for mode in [Mode::Async, Mode::Auto] {
        let rig = pull(&spec, prompt(), options(mode, &[])).await;
        let progress = rig.newest().await.progress;
        assert_eq!(progress.len(), names.len());
        assert!(
            names.iter().all(|name| progress.contains_key(*name)),
            "{progress:?}"
        );
    }
}

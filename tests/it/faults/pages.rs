//! Pages that never end, and pages that are too large.

use std::sync::atomic::{AtomicU64, Ordering};

use auditlake::client::ClientLimits;
use auditlake::model::FailureKind;
use auditlake::sim::{Fault, avaya, everyware, genesys, liveperson};

use super::worlds::*;
use crate::support::rig::{Rig, at};

/// The maximum number of pages of a range.
const MOST: usize = 20;

fn few_pages() -> ClientLimits {
    ClientLimits {
        pages: MOST,
        ..impatient()
    }
}

/// A rig whose windows aren't halved much.
async fn coarse<W: World>(records: usize) -> (Rig<W>, String) {
    let sim = W::start(records).await;
    let yaml = yaml(&sim, "1000000/s", "window: 1d\n    min_window: 6h");
    let mut rig: Rig<W> = Rig::of(sim, &yaml).await;
    rig.job.source.client = client(&yaml, few_pages());
    (rig, yaml)
}

/// A page of a query, with `cursor` as it is written.
fn results(numbers: std::ops::Range<u64>, cursor: &str) -> Vec<u8> {
    let records: Vec<String> = numbers
        .map(|number| {
            let id = format!("\"endless-{number}\"");
            genesys::Genesys::record(&id, "\"2026-03-01T10:00:00Z\"", "")
        })
        .collect();
    let list = records.join(",");
    format!(r#"{{"id":"q","pageSize":500,"entities":[{list}],"cursor":{cursor}}}"#).into_bytes()
}

/// Answers by number of the call, whatever was asked.
fn answers(body: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static) -> Fault {
    let calls = AtomicU64::new(0);
    Fault::rewritten(move |_, answer| {
        answer.status = 200;
        answer.body = body(calls.fetch_add(1, Ordering::Relaxed));
    })
}

#[tokio::test]
async fn the_pages_of_a_query_end_whatever_its_cursors_say() {
    let cases: [(&str, Fault, &str, u64); 6] = [
        (
            "the same cursor again",
            answers(|_| results(0..3, r#""again""#)),
            "data: the provider gave the cursor `again` twice",
            2,
        ),
        (
            "two cursors in turn",
            answers(|call| {
                let cursor = if call % 2 == 0 { r#""A""# } else { r#""B""# };
                results(call..call + 1, cursor)
            }),
            "data: the provider's pages are circular: one of them leads back to an earlier one",
            3,
        ),
        (
            "the same records under other cursors",
            answers(|call| results(0..3, &format!("\"{call}\""))),
            "data: 3 pages in a row have the same records",
            3,
        ),
        (
            "full pages without end",
            answers(|call| results(3 * call..3 * call + 3, &format!("\"{call}\""))),
            "there are more than 20 pages",
            64,
        ),
        (
            "empty pages without end",
            answers(|call| results(0..0, &format!("\"{call}\""))),
            "there are more than 20 pages",
            64,
        ),
        (
            "a cursor that is none",
            answers(|_| results(0..3, r#"{"next":"page"}"#)),
            "data: the answer's `cursor` isn't a text",
            1,
        ),
    ];
    for (name, fault, expected, most) in cases {
        let (mut rig, yaml) = coarse::<genesys::Genesys>(60).await;
        rig.sim.faults().always(genesys::endpoint::RESULTS, fault);
        let ended = attempt(&rig, at(NOW)).await;
        assert_eq!(
            ended.kinds,
            [FailureKind::Data],
            "{name}: {}",
            ended.message
        );
        assert!(
            ended.message.contains(expected),
            "{name}: {}",
            ended.message
        );
        let calls = rig.sim.counters().calls(genesys::endpoint::RESULTS);
        assert!(calls <= most, "{name}: {calls}");
        // the stored cursor belongs to a query of nonsense; the invented records have landed and aren't part of the
        // truth
        rig.sim.faults().clear();
        rig.job.source.client = client(&yaml, impatient());
        rig.tick(at(NOW)).await;
        let mut rows = rig.rows().await;
        rows.retain(|row| !row.raw.contains("endless-"));
        let mut rows: Vec<_> = rows.into_iter().map(|row| (row.time, row.raw)).collect();
        let mut truth = rig.sim.truth();
        rows.sort();
        truth.sort();
        assert_eq!(rows, truth, "{name}");
    }
}

/// What an earlier run's place leads to may be nonsense for as long as the provider keeps the query.
#[tokio::test]
async fn a_place_that_leads_to_no_page_is_begun_again_from_the_start() {
    let (mut rig, yaml) = coarse::<genesys::Genesys>(60).await;
    let circle = answers(|call| {
        let cursor = if call % 2 == 0 { r#""A""# } else { r#""B""# };
        results(call..call + 1, cursor)
    });
    rig.sim.faults().always(genesys::endpoint::RESULTS, circle);
    attempt(&rig, at(NOW)).await;
    let progress = rig.newest().await.progress;
    assert_eq!(progress["PeoplePermissions"].open.len(), 1);

    rig.sim.faults().clear();
    // not what the provider says of a cursor that it doesn't know, and that cures itself
    let nonsense = Fault::Html { status: 200 };
    rig.sim
        .faults()
        .next(genesys::endpoint::RESULTS, 1, nonsense);
    rig.job.source.client = client(&yaml, impatient());
    let submitted = rig.sim.counters().calls(genesys::endpoint::SUBMIT);
    rig.tick(at(NOW)).await;
    assert_eq!(
        rig.sim.counters().calls(genesys::endpoint::SUBMIT),
        submitted + 1
    );
    let commit = rig.newest().await;
    assert!(commit.progress["PeoplePermissions"].open.is_empty());
    // one that was begun here and now isn't begun again
    rig.sim
        .faults()
        .next(genesys::endpoint::RESULTS, 1, Fault::Html { status: 200 });
    let ended = attempt(&rig, at("2026-03-02T02:00:00Z")).await;
    assert_eq!(ended.kinds, [FailureKind::Data], "{}", ended.message);
}

/// Numbered pages that are always full: each has other records.
fn always_full<W: World>() -> Fault {
    answers(|call| {
        let record = |number: u64| {
            let id = format!("\"endless-{}\"", 50 * call + number);
            match W::NAME {
                "avaya_axp" => W::record(&id, "\"2026-03-01T10:00:00Z\"", ""),
                _ => W::record(&id, "\"2026-03-01 10:00:00.0\"", ""),
            }
        };
        let records: Vec<String> = (0..50).map(record).collect();
        let list = records.join(",");
        match W::NAME {
            "avaya_axp" => format!(r#"{{"pagination":{{"pageSize":50}},"auditRecords":[{list}]}}"#),
            _ => format!(r#"{{"data":{{"auditData":[{list}]}}}}"#),
        }
        .into_bytes()
    })
}

async fn numbered_pages_have_an_end<W: World>() {
    let (mut rig, yaml) = coarse::<W>(60).await;
    rig.sim.faults().always(W::DATA, always_full::<W>());
    let ended = attempt(&rig, at(NOW)).await;
    assert_eq!(ended.kinds, [FailureKind::Data], "{}", ended.message);
    assert!(
        ended.message.contains("there are more than 20 pages"),
        "{}",
        ended.message
    );
    assert!(rig.sim.counters().calls(W::DATA) <= 64);
    assert!(
        rig.rows().await.is_empty(),
        "a range without ids lands whole"
    );
    rig.sim.faults().clear();
    rig.job.source.client = client(&yaml, impatient());
    rig.tick(at(NOW)).await;
    rig.assert_holds(rig.sim.truth()).await;
}

#[tokio::test]
async fn pages_of_avaya_axp_have_an_end() {
    numbered_pages_have_an_end::<avaya::Avaya>().await;
}

#[tokio::test]
async fn pages_of_live_person_have_an_end() {
    numbered_pages_have_an_end::<liveperson::LivePerson>().await;
}

/// One that is larger than what may be held comes in pieces, in the same run.
async fn is_halved<W: World>(cap: u64) {
    let mut rig: Rig<W> = rig(400).await;
    let limits = ClientLimits {
        body_cap: cap,
        ..impatient()
    };
    renew(&mut rig, limits);
    let report = rig.tick(at(NOW)).await;
    assert!(report.totals.windows > 1);
    rig.assert_holds(rig.sim.truth()).await;
}

#[tokio::test]
async fn a_page_of_genesys_cloud_over_the_cap_is_halved() {
    is_halved::<genesys::Genesys>(200_000).await;
}

#[tokio::test]
async fn a_page_of_avaya_axp_over_the_cap_is_halved() {
    is_halved::<avaya::Avaya>(6_000).await;
}

/// Whole days can't be halved, but smaller pages can be requested.
#[tokio::test]
async fn a_page_of_live_person_over_the_cap_says_so_until_its_size_is_set() {
    let sim = <liveperson::LivePerson as World>::start(400).await;
    let yaml = yaml(&sim, "1000000/s", "window: 1d");
    let limits = ClientLimits {
        body_cap: 60_000,
        ..impatient()
    };
    let mut rig = Rig::of(sim, &yaml).await;
    rig.job.source.client = client(&yaml, limits.clone());
    let ended = attempt(&rig, at(NOW)).await;
    assert_eq!(ended.kinds, [FailureKind::Data], "{}", ended.message);
    assert!(
        ended.message.contains("is larger than N bytes"),
        "{}",
        ended.message
    );
    let yaml = yaml.replace("options: {}", "options: {page_size: 100}");
    let mut rig = Rig::of(rig.sim, &yaml).await;
    rig.job.source.client = client(&yaml, limits);
    rig.tick(at(NOW)).await;
    rig.assert_holds(rig.sim.truth()).await;
}

/// If a download can't be decompressed or isn't one, the results are requested inline.
#[tokio::test]
async fn a_download_that_cannot_be_unpacked_is_asked_for_inline() {
    let cut = super::kinds::gzip(b"[{}]");
    let cut = cut[..cut.len() - 5].to_vec();
    for body in [cut, vec![0x1f, 0x8b], Vec::new(), b"<html>".to_vec()] {
        let data = genesys::Dataset::generate(&genesys::DatasetSpec {
            records: 60,
            from: at(FROM),
            to: at(TO),
            services: vec!["PeoplePermissions".to_owned()],
            late_share: 0.0,
            ..genesys::DatasetSpec::default()
        });
        let settings = genesys::GenesysSettings {
            clock: auditlake::sim::Clock::Fixed(at(FROM)),
            running_polls: 0,
            large_results_over: Some(10),
            ..genesys::GenesysSettings::default()
        };
        let sim = genesys::start(settings, data).await.unwrap();
        let yaml = yaml(&sim, "1000000/s", "window: 1d");
        let rig = Rig::of(sim, &yaml).await;
        let fault = Fault::rewritten(move |_, answer| answer.body.clone_from(&body));
        rig.sim.faults().always(genesys::endpoint::DOWNLOAD, fault);
        rig.tick(at(NOW)).await;
        assert!(rig.sim.counters().calls(genesys::endpoint::DOWNLOAD) > 0);
        rig.assert_holds(rig.sim.truth()).await;
    }
}

/// Where a redirect leads is said, without what it carries; and that an answer is empty.
async fn no_answer<W: World>() {
    for (status, location, kind, part) in [
        (
            307,
            Some("https://moved.test:8443/x?token=canary"),
            FailureKind::Config,
            "it leads to `https://moved.test:8443`, and is not followed",
        ),
        (
            308,
            Some("https://"),
            FailureKind::Config,
            "a redirect without a target",
        ),
        (
            308,
            None,
            FailureKind::Config,
            "a redirect without a target",
        ),
        (204, None, FailureKind::Transient, "the answer is empty"),
    ] {
        // a list of nothing, as some servers write it
        if (W::NAME, status) == ("everyware_cloud", 204) {
            continue;
        }
        let rig: Rig<W> = rig(60).await;
        let fault = Fault::rewritten(move |_, answer| {
            answer.status = status;
            answer.body.clear();
            answer
                .headers
                .extend(location.map(|location| ("location", location.to_owned())));
        });
        rig.sim.faults().always(W::DATA, fault);
        let ended = attempt(&rig, at(NOW)).await;
        assert_eq!(ended.kinds, [kind], "{status}: {}", ended.message);
        assert!(ended.message.contains(part), "{status}: {}", ended.message);
        assert!(!ended.message.contains("canary"), "{}", ended.message);
    }
}

#[tokio::test]
async fn what_is_no_answer_is_said_to_be_none() {
    no_answer::<avaya::Avaya>().await;
    no_answer::<liveperson::LivePerson>().await;
    no_answer::<everyware::Everyware>().await;
}

//! What counts as a finding and what doesn't, on Genesys Cloud.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use auditlake::lake::CommitKind;
use auditlake::model::{FailureKind, PartitionColumn, Range};
use auditlake::providers::genesys::{Genesys as Adapter, GenesysOptions};
use auditlake::run::feed::Feed;
use auditlake::sim::genesys::endpoint::SUBMIT;
use auditlake::sim::genesys::{self, Dataset, DatasetSpec, Genesys, GenesysSettings};
use auditlake::sim::{Clock, Fault, FaultRule};
use chrono::TimeDelta;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::support::*;
use crate::support::rig::{Rig, Row, at, failures, range};

const BOTH: [&str; 2] = ["PeoplePermissions", "Routing"];

/// Three days of two services, all of it seen soon.
fn three_days() -> DatasetSpec {
    DatasetSpec {
        records: 600,
        to: at("2026-03-04"),
        services: BOTH.map(str::to_owned).to_vec(),
        quiet_services: Vec::new(),
        late_share: 0.0,
        largest_tie: 20,
        ..DatasetSpec::default()
    }
}

async fn rig(spec: &DatasetSpec, job: &str) -> Rig<Genesys> {
    let settings = GenesysSettings {
        clock: Clock::Fixed(at("2026-03-01")),
        running_polls: 0,
        token_lifetime: Duration::from_hours(24 * 365),
        ..GenesysSettings::default()
    };
    let sim = genesys::start(settings, Dataset::generate(spec))
        .await
        .unwrap();
    let keys = format!(
        "    base_url: {}\n    login_url: {}\n    client_id: sim-client\n    client_secret: sim-secret",
        sim.base_url(),
        sim.login_url()
    );
    Rig::of(sim, &jobs("genesys_cloud", &keys, job)).await
}

const DAILY: &str = "window: 1d\n    settle: []";
const NOW: &str = "2026-03-05T01:00:00Z";

/// All three days are pulled, day by day.
async fn pulled(spec: &DatasetSpec) -> Rig<Genesys> {
    let rig = rig(spec, DAILY).await;
    for day in ["2026-03-02T01:00:00Z", "2026-03-03T01:00:00Z", NOW] {
        rig.tick(at(day)).await;
    }
    rig
}

fn all() -> Range {
    range("2026-03-01", "2026-03-04")
}

fn streams(lacking: &BTreeMap<Range, Vec<String>>) -> BTreeMap<Range, Vec<&str>> {
    lacking
        .iter()
        .map(|(range, streams)| (*range, streams.iter().map(String::as_str).collect()))
        .collect()
}

#[tokio::test]
async fn what_the_provider_resolves_at_each_reading_alters_nothing() {
    let rig = pulled(&three_days()).await;
    let rows = rig.rows().await;
    let name = |row: &Row| {
        let raw: Value = serde_json::from_str(&row.raw).unwrap();
        raw["user"]["name"].as_str().map(str::to_owned)
    };
    let row = rows.iter().find(|row| name(row).is_some()).unwrap();
    let renamed = |raw: &str| {
        let mut raw: Value = serde_json::from_str(raw).unwrap();
        raw["user"]["name"] = "Somebody Else".into();
        raw.to_string()
    };
    rewrite(&rig, &row.file, |batch| {
        with_text(&batch, &row.id, "raw", renamed)
    })
    .await;
    let verification = verify(&rig, all(), at(NOW)).await;
    assert_eq!(findings(&verification), BTreeMap::new());

    rewrite(&rig, &row.file, |batch| {
        with_text(&batch, &row.id, "raw", tampered)
    })
    .await;
    let verification = verify(&rig, all(), at(NOW)).await;
    assert_eq!(
        findings(&verification),
        BTreeMap::from([(day_of(row), [0, 0, 1, 0])])
    );
}

#[tokio::test]
async fn a_record_filed_elsewhere_is_looked_for_in_its_own_day() {
    let spec = DatasetSpec {
        to: at("2026-03-06"),
        misfiled: 150,
        misfiled_by: Duration::from_hours(70),
        ..three_days()
    };
    let rig = rig(&spec, DAILY).await;
    let now = at("2026-03-07T01:00:00Z");
    rig.tick(now).await;
    let days = range("2026-03-01", "2026-03-06");
    let clean = verify(&rig, days, now).await;
    assert_eq!(findings(&clean), BTreeMap::new());
    assert_eq!(counts(&clean.total())[..2], [600, 600]);

    // for a part of the range, records filed there but with another time are compared with the lake, too
    let part = verify(&rig, range("2026-03-03", "2026-03-04"), now).await;
    assert_eq!(part.total().missing.count, 0);
    let rows = rig.rows().await;
    let lost: Vec<&Row> = rows
        .iter()
        .filter(|row| day_of(row) == "2026-03-02")
        .collect();
    let mut files: Vec<&str> = lost.iter().map(|row| row.file.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    for file in files {
        delete(&rig, file).await;
    }
    let broken = verify(&rig, days, now).await;
    assert_eq!(
        findings(&broken),
        BTreeMap::from([("2026-03-02".to_owned(), [lost.len() as u64, 0, 0, 0])])
    );
    let part = verify(&rig, range("2026-03-03", "2026-03-04"), now).await;
    let filed_there = part.days[&at("2026-03-02").date_naive()].missing.count;
    assert!((1..lost.len() as u64).contains(&filed_there));

    for range in broken.to_repair.iter() {
        let report = rig.backfill(range, true, now).await;
        assert_eq!(failures(&report), "");
    }
    let mended = verify(&rig, days, now).await;
    assert_eq!(findings(&mended), BTreeMap::new());
}

/// It waits for no pull of its own: it is shown where it is filed, and nowhere else.
#[tokio::test]
async fn a_record_filed_elsewhere_is_missed_though_its_own_time_was_not_pulled() {
    let spec = DatasetSpec {
        to: at("2026-03-06"),
        misfiled: 150,
        misfiled_by: Duration::from_hours(70),
        ..three_days()
    };
    let rig = rig(&spec, DAILY).await;
    let now = at("2026-03-07T01:00:00Z");
    let pulled = range("2026-03-03", "2026-03-06");
    rig.backfill(pulled, false, now).await;
    let rows = rig.rows().await;
    let elsewhere: Vec<&Row> = rows
        .iter()
        .filter(|row| day_of(row).as_str() < "2026-03-03")
        .collect();
    assert!(!elsewhere.is_empty());
    let asked = range("2026-03-01", "2026-03-06");
    let clean = verify(&rig, asked, now).await;
    assert_eq!(findings(&clean), BTreeMap::new());
    let mut files: Vec<&str> = elsewhere.iter().map(|row| row.file.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    for file in files {
        delete(&rig, file).await;
    }
    let broken = verify(&rig, asked, now).await;
    assert_eq!(broken.total().missing.count, elsewhere.len() as u64);
}

/// A record may name an account of its own.
#[tokio::test]
async fn rows_are_looked_for_in_all_accounts_folders() {
    let mut rig = rig(&three_days(), DAILY).await;
    rig.job.partition_by = vec![PartitionColumn::AccountId, PartitionColumn::EventDate];
    rig.tick(at(NOW)).await;
    let first = Path::from("audit_events/account_id=0/note.txt");
    rig.job.lake.store.put(&first, "x".into()).await.unwrap();
    let verification = verify(&rig, all(), at(NOW)).await;
    assert_eq!(findings(&verification), BTreeMap::new());
    assert_eq!(counts(&verification.total())[..2], [600, 600]);
}

#[tokio::test]
async fn what_was_not_pulled_is_named_and_not_counted_as_missing() {
    let rig = rig(&three_days(), DAILY).await;
    rig.tick(at("2026-03-02T06:02:00Z")).await;
    let now = at(NOW);
    let asked = range("2026-02-27", "2026-03-06");
    let before = verify(&rig, asked, now).await;
    assert_eq!(findings(&before), BTreeMap::new());
    assert!(before.found_something(), "the job should have pulled it");
    let lacking = Range::new(at("2026-03-02T06:00:00Z"), at("2026-03-05T00:58:00Z")).unwrap();
    assert_eq!(
        streams(&before.not_pulled),
        BTreeMap::from([(lacking, BOTH.to_vec())])
    );
    let early = range("2026-02-27", "2026-03-01");
    assert_eq!(
        streams(&before.before_start),
        BTreeMap::from([(early, BOTH.to_vec())])
    );
    let too_new = Range::new(lacking.to(), at("2026-03-06")).unwrap();
    assert_eq!(before.too_new, Some(too_new));
    // it is verified again in whole days
    assert_eq!(
        before.to_pull.iter().next().unwrap().from(),
        at("2026-03-02")
    );

    rig.backfill(lacking, false, now).await;
    let mut again = Vec::new();
    for range in before.ranges_to_verify_again().iter() {
        again.push(verify(&rig, range, now).await);
    }
    let after = before.after_repair(again);
    assert!(
        !after.found_something(),
        "what lies before the start is no finding"
    );
    assert_eq!(after.not_pulled, BTreeMap::new());
    let rows = rig.rows().await.len() as u64;
    assert_eq!(counts(&after.total())[..2], [rows, rows]);
}

#[tokio::test]
async fn a_stream_that_is_refused_is_not_verified_and_the_rest_is() {
    let rig = pulled(&three_days()).await;
    let rows = rig.rows().await;
    let truth = rig.sim.dataset();
    let truth = truth.truth_of(BOTH[0], at("2026-03-01"), at("2026-03-04"), at(NOW));
    let shown: BTreeSet<&str> = truth.iter().map(|truth| truth.id.as_str()).collect();
    let (lost, kept): (Vec<&Row>, Vec<&Row>) = (rows.iter())
        .filter(|row| shown.contains(row.id.as_str()))
        .partition(|row| day_of(row) == "2026-03-02");
    assert!(!lost.is_empty() && !kept.is_empty());
    let mut files: Vec<&str> = (rows.iter())
        .filter(|row| day_of(row) == "2026-03-02")
        .map(|row| row.file.as_str())
        .collect();
    files.sort_unstable();
    files.dedup();
    for file in files {
        delete(&rig, file).await;
    }
    rig.sim.forbid_service("Routing");
    let calls = rig.sim.counters().calls(SUBMIT);
    let verification = try_verify(&rig, all(), at(NOW)).await.unwrap();
    // asked once, not once a day
    assert_eq!(rig.sim.counters().calls(SUBMIT) - calls, 3 + 1);
    let [failed] = verification.unverified.as_slice() else {
        panic!("{verification:?}");
    };
    assert_eq!(failed.stream.as_deref(), Some("Routing"));
    assert_eq!(failed.error.kind(), FailureKind::Auth);
    assert!(failed.ranges.covers(all()));
    assert!(verification.is_partial());
    // no row of Routing is extra, though nobody shows it
    assert_eq!(
        findings(&verification),
        BTreeMap::from([("2026-03-02".to_owned(), [lost.len() as u64, 0, 0, 0])])
    );
    let left = rig.rows().await.len() - kept.len();
    assert_eq!(verification.total().unjudged, left as u64);
}

#[tokio::test]
async fn a_range_that_fails_is_passed_over_and_the_others_are_verified() {
    let spec = DatasetSpec {
        services: vec!["Routing".to_owned()],
        ..three_days()
    };
    let rig = pulled(&spec).await;
    let rows = rig.rows().await;
    let of_first_day = |row: &&Row| day_of(row) == "2026-03-01";
    let lost = rows.iter().rfind(of_first_day).unwrap();
    rewrite(&rig, &lost.file, |batch| without(&batch, &lost.id)).await;
    // a day, and its halves down to 84 seconds
    rig.sim.end_next_queries_as("Failed", 11);
    let verification = try_verify(&rig, all(), at(NOW)).await.unwrap();
    let [failed] = verification.unverified.as_slice() else {
        panic!("{verification:?}");
    };
    assert_eq!(failed.error.kind(), FailureKind::Data);
    let first = range("2026-03-01T00:00:00Z", "2026-03-01T00:01:24Z");
    assert!(failed.ranges.iter().eq([first]), "{failed:?}");
    assert_eq!(
        findings(&verification),
        BTreeMap::from([("2026-03-01".to_owned(), [1, 0, 0, 0])])
    );
}

#[tokio::test]
async fn a_damaged_file_leaves_its_day_unverified() {
    let rig = pulled(&three_days()).await;
    let rows = rig.rows().await;
    let file = rows.iter().find(|row| day_of(row) == "2026-03-02").unwrap();
    let key = Path::parse(&file.file).unwrap();
    rig.job.lake.store.put(&key, "PAR1".into()).await.unwrap();
    let verification = try_verify(&rig, all(), at(NOW)).await.unwrap();
    let [failed] = verification.unverified.as_slice() else {
        panic!("{verification:?}");
    };
    assert_eq!(
        (failed.stream.as_ref(), failed.error.kind()),
        (None, FailureKind::Data)
    );
    assert!(failed.error.to_string().contains(&file.file));
    assert!(failed.ranges.iter().eq([range("2026-03-02", "2026-03-03")]));
    // to land its rows again would double them once it is restored
    assert_eq!(findings(&verification), BTreeMap::new());
    assert!(verification.to_repair.is_empty());
    assert_eq!(verification.days.len(), 2);
}

#[tokio::test]
async fn one_row_is_found_in_two_months_of_days() {
    let spec = DatasetSpec {
        to: at("2026-04-30"),
        ..three_days()
    };
    let rig = rig(&spec, DAILY).await;
    let now = at("2026-05-01T01:00:00Z");
    rig.tick(now).await;
    let rows = rig.rows().await;
    let lost = rows.iter().find(|row| day_of(row) == "2026-03-29").unwrap();
    rewrite(&rig, &lost.file, |batch| without(&batch, &lost.id)).await;
    let calls = rig.sim.counters().calls(SUBMIT);
    let verification = verify(&rig, range("2026-03-01", "2026-05-01"), now).await;
    assert_eq!(
        findings(&verification),
        BTreeMap::from([("2026-03-29".to_owned(), [1, 0, 0, 0])])
    );
    let total = verification.total();
    assert_eq!([total.shown, total.rows], [600, 599]);
    assert!(
        verification
            .to_repair
            .iter()
            .eq([range("2026-03-29", "2026-03-30")])
    );
    assert_eq!(
        rig.sim.counters().calls(SUBMIT) - calls,
        2 * 61,
        "each window once"
    );
}

#[tokio::test]
async fn it_is_asked_in_the_way_that_takes_fewer_calls() {
    let rig = rig(&three_days(), "window: 6h\n    settle: []").await;
    rig.tick(at(NOW)).await;
    let calls = rig.sim.counters().calls(SUBMIT);
    verify(&rig, all(), at(NOW)).await;
    // of the two services, realtime knows one
    assert_eq!(rig.sim.counters().calls(SUBMIT) - calls, 3 * 4);
}

#[tokio::test]
async fn rows_that_land_meanwhile_are_not_extra_and_not_missing() {
    let spec = DatasetSpec {
        late_share: 0.3,
        latest: Duration::from_hours(40),
        ..three_days()
    };
    let rig = rig(&spec, "window: 1d\n    settle: [24h, 48h]").await;
    rig.tick(at("2026-03-03T01:00:00Z")).await;
    let known = rig.rows().await.len();
    let asked = rig.sim.counters().calls(SUBMIT);
    let hold = CancellationToken::new();
    // the first day is read, of two services; the second waits
    rig.sim.faults().inject(FaultRule {
        endpoint: Some(SUBMIT),
        skip: 2,
        times: 2,
        fault: Fault::Hold(hold.clone()),
    });
    let meanwhile = async {
        rig.sim.counters().reached(SUBMIT, asked + 4).await;
        rig.tick(at("2026-03-05T03:00:00Z")).await;
        hold.cancel();
    };
    let range = range("2026-03-01", "2026-03-03");
    let (verification, ()) =
        tokio::join!(verify(&rig, range, at("2026-03-03T01:00:00Z")), meanwhile);
    let first = &verification.days[&at("2026-03-01").date_naive()];
    assert!(first.rows > first.shown, "{known} rows then, {first:?}");
    assert_eq!(findings(&verification), BTreeMap::new());
}

#[tokio::test]
async fn what_a_dead_run_left_unpublished_is_missing_and_explained() {
    let rig = pulled(&three_days()).await;
    let store = &rig.job.lake.store;
    // as if the last run had died between its commit and its copies
    let commits = rig.job.lake.layout.job("audits").commits();
    let mut log: Vec<_> = store.list(Some(&commits)).try_collect().await.unwrap();
    log.sort_by(|one, other| one.location.cmp(&other.location));
    let newest = rig.newest().await;
    assert_eq!(newest.kind, CommitKind::Release);
    store.delete(&log.pop().unwrap().location).await.unwrap();
    let newest = rig.newest().await;
    assert!(!newest.files.is_empty());
    let mut rows = 0;
    for file in &newest.files {
        let (staged, key) = (
            Path::parse(&file.staged).unwrap(),
            Path::parse(&file.key).unwrap(),
        );
        store.rename(&key, &staged).await.unwrap();
        rows += file.rows;
    }
    let verification = verify(&rig, all(), at(NOW)).await;
    assert_eq!(verification.total().missing.count, rows);
    let [note] = verification.notes.as_slice() else {
        panic!("{:?}", verification.notes);
    };
    let begins = format!(
        "commit {} lists files that weren't published",
        newest.version
    );
    assert!(note.starts_with(&begins), "{note}");

    // its claim is of this very process, and never given up
    let mut commit = serde_json::to_value(&newest).unwrap();
    commit["claim"] = Value::Null;
    let key = rig.job.lake.layout.job("audits").commit(newest.version);
    store.put(&key, commit.to_string().into()).await.unwrap();
    rig.tick(at(NOW) + TimeDelta::hours(1)).await;
    let verification = verify(&rig, all(), at(NOW)).await;
    assert!(!verification.found_something() && verification.notes.is_empty());
}

#[tokio::test]
async fn rows_of_streams_that_the_job_no_longer_has_are_not_extra() {
    let mut rig = pulled(&three_days()).await;
    let options = GenesysOptions {
        services: vec!["Routing".to_owned()],
        ..GenesysOptions::default()
    };
    let client = rig.job.source.client.clone();
    rig.job.source = Feed::new(Arc::new(Adapter::new(options)), client);
    let verification = verify(&rig, all(), at(NOW)).await;
    assert_eq!(findings(&verification), BTreeMap::new());
    assert!(verification.total().unjudged > 0);
    assert!(verification.notes[0].starts_with("the job has also pulled streams"));
}

#[tokio::test]
async fn an_unreadable_record_that_is_not_in_quarantine_is_missing() {
    let spec = DatasetSpec {
        poison: 12,
        ..three_days()
    };
    let rig = pulled(&spec).await;
    let verification = verify(&rig, all(), at(NOW)).await;
    let unreadable = rig.quarantine().await.len() as u64;
    assert!(unreadable > 0);
    assert_eq!(verification.total().unreadable, unreadable);
    assert_eq!(findings(&verification), BTreeMap::new());

    let store = &rig.job.lake.store;
    let folder = rig.job.lake.layout.job("audits").quarantine();
    let files: Vec<_> = store.list(Some(&folder)).try_collect().await.unwrap();
    for file in files {
        store.delete(&file.location).await.unwrap();
    }
    let verification = verify(&rig, all(), at(NOW)).await;
    let total = verification.total();
    assert_eq!([total.unreadable, total.missing.count], [unreadable; 2]);
    assert!(
        total
            .missing
            .examples
            .iter()
            .all(|example| example.event_time.is_none())
    );
    for range in verification.to_repair.iter() {
        rig.backfill(range, true, at(NOW)).await;
    }
    assert_eq!(rig.quarantine().await.len() as u64, unreadable);
    let verification = verify(&rig, all(), at(NOW)).await;
    assert!(!verification.found_something());
}

#[tokio::test]
async fn a_job_that_reads_otherwise_now_is_not_compared() {
    let mut rig = pulled(&three_days()).await;
    rig.job.partition_by.push(PartitionColumn::AccountId);
    rig.job.account_id = "another".to_owned();
    let error = try_verify(&rig, all(), at(NOW)).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Config);
}

//! Each provider: a lake that was pulled as it should be verifies without a finding, with twins, late ones and poison in
//! it; then it is broken in every way, each finding is counted on its day, and what is missing comes back once.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use auditlake::model::Timestamp;
use auditlake::sim::{Clock, avaya, everyware, genesys, liveperson as lp};
use chrono::TimeDelta;
use chrono_tz::Tz;

use super::support::*;
use crate::support::rig::{Rig, Row, Simulator, at, range};

const LATEST: Duration = Duration::from_hours(30);
const LATE_SHARE: f64 = 0.15;
const POISON: usize = 9;
const EVER: Duration = Duration::from_hours(24 * 365);
const JOB: &str = "window: 3h\n    settle: [1h, 24h, 36h]";

fn clock() -> Clock {
    Clock::Fixed(at("2026-03-01"))
}

/// When all was shown and every pass was made.
fn end() -> Timestamp {
    at("2026-03-06T08:05:00Z")
}

/// Pulls three days, every eleven hours.
async fn pull<S: Simulator>(rig: &Rig<S>) {
    let mut now = at("2026-03-01T01:05:00Z");
    while now < end() {
        rig.tick(now).await;
        now += TimeDelta::hours(11);
    }
    rig.tick(end()).await;
}

/// A row that is out of several in its file, by file.
fn by_file(rows: &[Row], day: &str) -> BTreeMap<String, Vec<Row>> {
    let mut files: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows.iter().filter(|row| day_of(row) == day) {
        files.entry(row.file.clone()).or_default().push(row.clone());
    }
    files.retain(|_, rows| rows.len() > 5);
    files
}

fn keys(rows: Vec<Row>) -> Vec<(i64, String, String)> {
    let mut keys: Vec<_> = rows.into_iter().map(Row::into_key).collect();
    keys.sort();
    keys
}

async fn attack<S: Simulator>(rig: &Rig<S>, records: usize) {
    pull(rig).await;
    let all = range("2026-03-01", "2026-03-04");
    let objects = objects(rig).await;
    let clean = verify(rig, all, end()).await;
    assert!(
        objects == self::objects(rig).await,
        "verifying writes nothing"
    );
    let total = clean.total();
    assert_eq!(findings(&clean), BTreeMap::new());
    assert!(!clean.found_something());
    assert_eq!(clean.notes, Vec::<String>::new());
    let records = records as u64;
    assert_eq!(counts(&total), [records, records, 0, 0, 0, 0, 0]);
    assert!(total.unreadable > 0);
    assert_eq!(clean.days.len(), 3);

    // the first day loses a file; the second a row, a twin if there is one, and gets another twice; on the third one
    // row is altered and one invented
    let before = rig.rows().await;
    let (lost, _) = by_file(&before, "2026-03-01").pop_first().unwrap();
    let lost = delete(rig, &lost).await;
    let (file, rows) = by_file(&before, "2026-03-02").pop_last().unwrap();
    let twin = rows.iter().position(|row| row.id.contains('#'));
    let left_out = &rows[twin.unwrap_or(2)];
    let doubled = rows.iter().find(|row| row.id != left_out.id).unwrap();
    rewrite(rig, &file, |batch| {
        with_copy(&without(&batch, &left_out.id), &doubled.id)
    })
    .await;
    let (file, rows) = by_file(&before, "2026-03-03").pop_first().unwrap();
    let altered = &rows[1];
    let made_up = &rows[3];
    rewrite(rig, &file, |batch| {
        let batch = with_made_up(&batch, &made_up.id);
        with_text(&batch, &altered.id, "raw", tampered)
    })
    .await;

    let broken = verify(rig, all, end()).await;
    let expected = BTreeMap::from([
        ("2026-03-01".to_owned(), [lost.len() as u64, 0, 0, 0]),
        ("2026-03-02".to_owned(), [1, 0, 0, 1]),
        ("2026-03-03".to_owned(), [0, 1, 1, 0]),
    ]);
    assert_eq!(findings(&broken), expected);
    assert!(broken.found_something());
    let second = &broken.days[&at("2026-03-02").date_naive()];
    let third = &broken.days[&at("2026-03-03").date_naive()];
    for (found, id) in [
        (&second.missing, left_out.id.as_str()),
        (&second.doubled, &doubled.id),
        (&third.altered, &altered.id),
        (&third.extra, "made up"),
    ] {
        let example = found.examples.first().unwrap();
        assert_eq!(example.event_id, id);
    }
    assert!(broken.to_repair.covers(range("2026-03-01", "2026-03-03")));
    assert!(!broken.to_repair.contains(at("2026-03-03")));

    // what is missing is landed as any late event is
    let mut again = Vec::new();
    let broken_rows = keys(rig.rows().await);
    for part in broken.ranges_to_verify_again().iter() {
        let report = rig.backfill(part, true, end()).await;
        assert!(report.failures.is_empty());
        again.push(verify(rig, part, end()).await);
    }
    let repaired = broken.after_repair(again);
    let expected = BTreeMap::from([
        ("2026-03-02".to_owned(), [0, 0, 0, 1]),
        ("2026-03-03".to_owned(), [0, 1, 1, 0]),
    ]);
    assert_eq!(findings(&repaired), expected);
    let mut should = broken_rows;
    should.extend(keys(lost));
    should.push(left_out.clone().into_key());
    should.sort();
    assert!(keys(rig.rows().await) == should, "each is back, once");
    let once_more = verify(rig, all, end()).await;
    assert_eq!(findings(&once_more), expected);
    assert_eq!(counts(&once_more.total())[..2], [records, records + 2]);
}

#[tokio::test]
async fn genesys_cloud() {
    let data = genesys::Dataset::generate(&genesys::DatasetSpec {
        records: 900,
        to: at("2026-03-04"),
        services: vec!["PeoplePermissions".to_owned(), "Routing".to_owned()],
        late_share: LATE_SHARE,
        latest: LATEST,
        poison: POISON,
        largest_tie: 50,
        ..genesys::DatasetSpec::default()
    });
    let settings = genesys::GenesysSettings {
        clock: clock(),
        running_polls: 0,
        token_lifetime: EVER,
        ..genesys::GenesysSettings::default()
    };
    let sim = genesys::start(settings, data).await.unwrap();
    let keys = format!(
        "    base_url: {}\n    login_url: {}\n    client_id: sim-client\n    client_secret: sim-secret",
        sim.base_url(),
        sim.login_url()
    );
    let rig = Rig::of(sim, &jobs("genesys_cloud", &keys, JOB)).await;
    let truth = rig
        .sim
        .dataset()
        .truth(at("2026-03-01"), at("2026-03-04"), end())
        .len();
    // those are landed under a hash of what they say
    let poison = rig.sim.dataset().poison(end());
    let without_id = poison
        .iter()
        .filter(|poison| poison.kind == genesys::PoisonKind::NoId);
    attack(&rig, truth + without_id.count()).await;
}

#[tokio::test]
async fn avaya_axp() {
    let data = avaya::Dataset::generate(&avaya::DatasetSpec {
        records: 900,
        to: at("2026-03-04"),
        late_share: LATE_SHARE,
        latest: LATEST,
        twin_share: 0.3,
        poison: POISON,
        ..avaya::DatasetSpec::default()
    });
    let settings = avaya::AvayaSettings {
        clock: clock(),
        token_lifetime: EVER,
        ties: avaya::Ties::ByPage,
        ..avaya::AvayaSettings::default()
    };
    let account = settings.account_id.clone();
    let sim = avaya::start(settings, data).await.unwrap();
    let keys = format!(
        "    base_url: {}\n    account_id: {account}\n    app_key: sim-app-key\n    client_id: sim-client\n    client_secret: sim-secret",
        sim.base_url(),
    );
    let rig = Rig::of(sim, &jobs("avaya_axp", &keys, JOB)).await;
    let truth = rig
        .sim
        .dataset()
        .truth(at("2026-03-01"), at("2026-03-04"), end())
        .len();
    attack(&rig, truth).await;
}

#[tokio::test]
async fn liveperson() {
    let data = lp::Dataset::generate(&lp::DatasetSpec {
        records: 900,
        to: at("2026-03-04"),
        late_share: LATE_SHARE,
        latest: LATEST,
        twin_share: 0.3,
        poison: POISON,
        ..lp::DatasetSpec::default()
    });
    let settings = lp::LivePersonSettings {
        clock: clock(),
        token_lifetime: EVER,
        ties: lp::Ties::ByPage,
        ..lp::LivePersonSettings::default()
    };
    let account = data.account_id().to_owned();
    let sim = lp::start(settings, data).await.unwrap();
    let keys = format!(
        "    domain_url: {}\n    account_id: {account}\n    client_id: sim-client\n    client_secret: sim-secret",
        sim.domain_url(),
    );
    let rig = Rig::of(sim, &jobs("liveperson", &keys, JOB)).await;
    let fields = auditlake::providers::liveperson::FIELDS;
    let truth = rig
        .sim
        .dataset()
        .truth(at("2026-03-01"), at("2026-03-04"), end(), &fields, Tz::UTC)
        .len();
    attack(&rig, truth).await;
}

async fn everyware(poison: usize) -> Rig<everyware::Everyware> {
    let data = everyware::Dataset::generate(&everyware::DatasetSpec {
        records: 900,
        to: at("2026-03-04"),
        late_share: LATE_SHARE,
        latest: LATEST,
        times: everyware::TimeForm::Mixed,
        poison,
        ..everyware::DatasetSpec::default()
    });
    let settings = everyware::EverywareSettings {
        clock: clock(),
        timezone: Tz::America__New_York,
        pieces: vec![1, 7, 1_000, 65_536],
        ..everyware::EverywareSettings::default()
    };
    let sim = everyware::start(settings, data).await.unwrap();
    let keys = format!(
        "    base_url: {}\n    username: sim-user\n    password: sim-secret",
        sim.base_url()
    );
    Rig::of(sim, &jobs("everyware_cloud", &keys, JOB)).await
}

#[tokio::test]
async fn everyware_cloud() {
    let rig = everyware(POISON).await;
    let truth = rig
        .sim
        .dataset()
        .truth(at("2026-03-01"), at("2026-03-04"), end())
        .len();
    attack(&rig, truth).await;
}

#[tokio::test]
async fn what_a_day_shows_beyond_what_was_pulled_is_not_missing() {
    for poison in [0, 2 * POISON] {
        let rig = everyware(poison).await;
        rig.tick(at("2026-03-02T12:02:00Z")).await;
        let rows = rig.rows().await;
        let last = rows.last().unwrap();
        rewrite(&rig, &last.file, |batch| without(&batch, &last.id)).await;
        let later = at("2026-03-04T12:02:00Z");
        let verification = verify(&rig, range("2026-03-01", "2026-03-04"), later).await;
        let lacking: Vec<_> = verification.not_pulled.keys().collect();
        let noon = at("2026-03-02T12:00:00Z");
        assert_eq!(lacking[0].from(), noon);
        // what came late before noon is missing, what happened later isn't, though the same answer shows it
        let truth = rig.sim.dataset().truth(at("2026-03-01"), noon, later);
        let total = verification.total();
        let late = (truth.len() - rows.len() + 1) as u64;
        if poison == 0 {
            assert_eq!(total.missing.count, late);
        }
        // what can't be read may have happened in the afternoon, for all that anybody knows
        let second = &verification.days[&noon.date_naive()];
        assert!(second.unreadable > 0 || poison == 0);
        let mut missing = second.missing.examples.iter();
        assert!(missing.all(|example| example.event_time.is_some()));
        assert_eq!([total.extra.count, total.unjudged], [0, 0]);
    }
}

//! The process dies while it pulls a real provider: one whose ranges land whole as its records have no ids, and one
//! whose answers land while they arrive.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use auditlake::model::Timestamp;
use auditlake::sim::{Clock, avaya, everyware};
use chrono::TimeDelta;
use object_store::ObjectStore;
use object_store::memory::InMemory;

use crate::support::reader::{Reader, keys};
use crate::support::rig::{Rig, Simulator, at};
use crate::support::store::{Fault, FaultStore};

/// A first pull, and one that also reads all of it again for what came late.
const TICKS: [&str; 2] = ["2026-03-03T06:00:00Z", "2026-03-05"];
/// All of what the simulators hold has happened and can be seen by the last tick.
const FROM: &str = "2026-03-01";
const TO: &str = "2026-03-04";
const LATEST: Duration = Duration::from_hours(20);
/// The default `lag`.
const LAG: TimeDelta = TimeDelta::minutes(2);

/// A job with one connection and parts of a few records.
async fn rig<S: Simulator>(sim: S, provider: &str, connection: &str, options: &str) -> Rig<S> {
    let yaml = format!(
        "lake: {{url: memory://}}
connections:
  prod: {{provider: {provider}, allow_http: true, rate_limit: 1000000/s, {connection}}}
jobs:
  - {{name: job, connection: prod, schedule: '@hourly', start: {FROM}, window: 1d, settle: [24h], options: {{{options}}}}}
"
    );
    let mut rig = Rig::of(sim, &yaml).await;
    rig.job.target_file_size = 30_000;
    rig
}

/// Lives both ticks in an empty lake, with a fault in it: what the process leaves when it dies, the next one finishes.
/// How many calls to the store the first process made, and what is in quarantine.
async fn live<S: Simulator>(
    rig: &mut Rig<S>,
    fault: Fault,
    truth: impl Fn(&S, Timestamp) -> Vec<(i64, String)>,
) -> (u64, BTreeSet<String>) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let reader = Arc::<Reader>::default();
    let process = FaultStore::new(&store, &reader, fault);
    let mut died = false;
    for tick in TICKS {
        rig.job.lake = process.lake();
        if !died {
            died = tokio::select! {
                biased;
                () = process.died() => true,
                _ = rig.tick(at(tick)) => false,
            };
        }
        if died {
            rig.job.lake = FaultStore::new(&store, &reader, Fault::None).lake();
            rig.tick(at(tick)).await;
        }
        let mut truth = truth(&rig.sim, at(tick));
        truth.sort();
        let mut rows: Vec<_> = (reader.rows().into_iter())
            .map(|row| (row.event_time.timestamp_micros(), row.raw))
            .collect();
        rows.sort();
        assert_eq!(rows, truth, "{fault:?}, {tick}");
    }
    assert_eq!(reader.violations(), [""; 0], "{fault:?}");
    let staged = keys(&store, "_auditlake/jobs/job/staging").await;
    assert_eq!(staged, [], "{fault:?}");
    // equal ones of two ranges can't be distinguished
    let quarantined = reader.quarantined().into_iter();
    let quarantined: Vec<String> = quarantined.filter(|raw| raw != "null").collect();
    let distinct: BTreeSet<String> = quarantined.iter().cloned().collect();
    assert_eq!(quarantined.len(), distinct.len(), "{fault:?}");
    (process.calls(), distinct)
}

/// Dies at every third call, before or after its effect.
async fn suffer<S: Simulator>(
    mut rig: Rig<S>,
    truth: impl Fn(&S, Timestamp) -> Vec<(i64, String)>,
) {
    let (calls, quarantined) = live(&mut rig, Fault::None, &truth).await;
    assert!(calls > 40 && !quarantined.is_empty(), "{calls}");
    for n in (1..=calls).step_by(3) {
        let fault = match n % 2 {
            0 => Fault::DieBefore(n),
            _ => Fault::DieAfter(n),
        };
        let (_, again) = live(&mut rig, fault, &truth).await;
        assert_eq!(again, quarantined, "{fault:?}");
    }
}

#[tokio::test]
async fn a_crash_loses_and_doubles_nothing_of_records_without_ids() {
    let data = avaya::Dataset::generate(&avaya::DatasetSpec {
        records: 150,
        from: at(FROM),
        to: at(TO),
        types: vec!["PROFILE".to_owned()],
        late_share: 0.3,
        latest: LATEST,
        twin_share: 0.3,
        poison: 6,
        ..avaya::DatasetSpec::default()
    });
    let settings = avaya::AvayaSettings {
        clock: Clock::Fixed(at(FROM)),
        ..avaya::AvayaSettings::default()
    };
    let account = settings.account_id.clone();
    let sim = avaya::start(settings, data).await.unwrap();
    let keys = format!(
        "base_url: '{}', account_id: {account}, app_key: sim-app-key, client_id: sim-client, client_secret: sim-secret",
        sim.base_url(),
    );
    let rig = rig(sim, "avaya_axp", &keys, "types: [PROFILE]").await;
    suffer(rig, |sim, now| {
        let truth = sim.dataset().truth(at(FROM), now - LAG, now);
        let truth = truth.into_iter();
        truth
            .map(|truth| (truth.event_time_micros, truth.raw.to_owned()))
            .collect()
    })
    .await;
}

#[tokio::test]
async fn a_crash_loses_and_doubles_nothing_of_an_answer_that_lands_while_it_arrives() {
    let data = everyware::Dataset::generate(&everyware::DatasetSpec {
        records: 90,
        from: at(FROM),
        to: at(TO),
        late_share: 0.3,
        latest: LATEST,
        poison: 6,
        ..everyware::DatasetSpec::default()
    });
    let settings = everyware::EverywareSettings {
        clock: Clock::Fixed(at(FROM)),
        pieces: vec![1_000],
        ..everyware::EverywareSettings::default()
    };
    let sim = everyware::start(settings, data).await.unwrap();
    let keys = format!(
        "base_url: '{}', username: sim-user, password: sim-secret",
        sim.base_url()
    );
    let rig = rig(sim, "everyware_cloud", &keys, "").await;
    suffer(rig, |sim, now| {
        let truth = (sim.dataset()).truth(at(FROM), now - LAG, now);
        let truth = truth.into_iter();
        truth
            .map(|truth| (truth.event_time_micros, truth.raw.to_owned()))
            .collect()
    })
    .await;
}

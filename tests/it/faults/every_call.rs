//! One kind of fault at every call for data, until it is over.

use std::fmt::Write as _;
use std::time::Duration;

use auditlake::client::ClientLimits;
use auditlake::model::FailureKind;
use auditlake::sim::{avaya, everyware, genesys, liveperson};

use super::kinds::{Named, all, slow};
use super::worlds::*;
use crate::support::rig::{Rig, at};

/// What a run of one stream may cost that fails: eight attempts of one call and what leads to it, or an attempt at each of
/// a window's halves.
const MOST_CALLS: u64 = 64;

/// Sees every fault through with a provider: what the run said, a line each.
async fn every<W: World>(faults: Vec<Named>, limits: ClientLimits) -> String {
    let mut told = String::new();
    for Named { name, fault } in faults {
        let mut rig: Rig<W> = rig(60).await;
        renew(&mut rig, limits.clone());
        rig.sim.faults().always(W::DATA, fault);
        let ended = attempt(&rig, at(NOW)).await;
        let calls = rig.sim.counters().total_calls();
        assert!(calls <= MOST_CALLS, "{name}: {calls} calls");
        assert_eq!(ended.kinds.len(), usize::from(!ended.message.is_empty()));
        let message = match ended.message.as_str() {
            "" => "the right rows",
            message => message,
        };
        writeln!(told, "{name}: {message}").unwrap();
        if ended.kinds.is_empty() {
            assert_eq!(
                rig.rows().await.len(),
                rig.sim.truth().len(),
                "{name} passes for the truth"
            );
            rig.assert_holds(rig.sim.truth()).await;
        } else {
            // nothing counts as pulled that wasn't
            let rows: Vec<_> = rig.rows().await;
            let truth = rig.sim.truth();
            for row in rows {
                assert!(truth.contains(&(row.time, row.raw)), "{name}");
            }
        }
        // the same process, once it is over; what was paused for and remembered meanwhile is its client's
        rig.sim.faults().clear();
        renew(&mut rig, impatient());
        rig.tick(at(NOW)).await;
        rig.assert_holds(rig.sim.truth()).await;
        assert_eq!(rig.quarantine().await.len(), 0, "{name}");
    }
    told
}

/// A second of silence is too much.
fn hurried() -> ClientLimits {
    ClientLimits {
        read_timeout: Duration::from_secs(1),
        total_timeout: Duration::from_secs(5),
        stream_timeout: Duration::from_secs(2),
        body_cap: 4 << 20,
        attempts: 2,
        ..impatient()
    }
}

#[tokio::test]
async fn genesys_cloud() {
    insta::assert_snapshot!(every::<genesys::Genesys>(all(), impatient()).await);
}

#[tokio::test]
async fn avaya_axp() {
    insta::assert_snapshot!(every::<avaya::Avaya>(all(), impatient()).await);
}

#[tokio::test]
async fn live_person() {
    insta::assert_snapshot!(every::<liveperson::LivePerson>(all(), impatient()).await);
}

#[tokio::test]
async fn everyware_cloud() {
    insta::assert_snapshot!(every::<everyware::Everyware>(all(), impatient()).await);
}

#[tokio::test]
async fn genesys_cloud_slowly() {
    insta::assert_snapshot!(every::<genesys::Genesys>(slow(), hurried()).await);
}

#[tokio::test]
async fn avaya_axp_slowly() {
    insta::assert_snapshot!(every::<avaya::Avaya>(slow(), hurried()).await);
}

#[tokio::test]
async fn live_person_slowly() {
    insta::assert_snapshot!(every::<liveperson::LivePerson>(slow(), hurried()).await);
}

#[tokio::test]
async fn everyware_cloud_slowly() {
    insta::assert_snapshot!(every::<everyware::Everyware>(slow(), hurried()).await);
}

/// The sign-in fails as a call does; what isn't answered like a sign-in isn't tried again and again.
#[tokio::test]
async fn the_sign_in_of_genesys_cloud() {
    insta::assert_snapshot!(signing_in::<genesys::Genesys>().await);
}

#[tokio::test]
async fn the_sign_in_of_avaya_axp() {
    insta::assert_snapshot!(signing_in::<avaya::Avaya>().await);
}

#[tokio::test]
async fn the_sign_in_of_live_person() {
    insta::assert_snapshot!(signing_in::<liveperson::LivePerson>().await);
}

async fn signing_in<W: World>() -> String {
    let endpoint = W::SIGN_IN.unwrap();
    let mut told = String::new();
    for Named { name, fault } in all() {
        let mut rig: Rig<W> = rig(60).await;
        rig.sim.faults().always(endpoint, fault);
        let ended = attempt(&rig, at(NOW)).await;
        let again = attempt(&rig, at(NOW)).await;
        let calls = rig.sim.counters().calls(endpoint);
        // for a temporary failure, the attempts of two runs; otherwise one for both
        let most = match ended.kinds.first() {
            Some(FailureKind::Transient | FailureKind::RateLimited) => 16,
            _ => 1,
        };
        assert!(calls <= most, "{name}: {calls}");
        assert_eq!(ended.kinds, again.kinds, "{name}");
        let message = match ended.message.as_str() {
            "" => "the right rows",
            message => message,
        };
        writeln!(told, "{name}: {message}").unwrap();
        rig.sim.faults().clear();
        renew(&mut rig, impatient());
        rig.tick(at(NOW)).await;
        rig.assert_holds(rig.sim.truth()).await;
    }
    told
}

//! Each pitfall of the fact sheet, by its number.

use std::collections::BTreeSet;

use auditlake::providers::Adapter as _;
use auditlake::providers::avaya::Avaya;
use auditlake::sim::avaya::{AvayaSettings, Links};
use serde_json::Value;

use super::support::*;

#[test]
fn pitfall_1_every_search_has_its_type() {
    let adapter = Avaya::default();
    let types: BTreeSet<String> = adapter
        .listed_streams()
        .into_iter()
        .map(|stream| {
            let body = body(&adapter.call(&ask(&stream.id), None).unwrap());
            body["type"].as_str().unwrap().to_owned()
        })
        .collect();
    let all = [
        "ACCOUNT",
        "ATTRIBUTE",
        "ELEMENT",
        "GROUP",
        "PROFILE",
        "QUEUE",
        "RESOURCE_PARTITION",
        "TIMETABLE",
        "USER",
        "USERS_DEFAULT_RESOURCE",
    ];
    assert_eq!(types, all.map(str::to_owned).into());
}

/// The default of five records a page would cost ten times the calls.
#[tokio::test]
async fn pitfall_2_as_few_calls_are_made_as_can_be() {
    let rig = rig(&two_days(), settings(), "window: 1d\n    settle: []").await;
    rig.tick(at("2026-03-02T00:02:00Z")).await;
    let dataset = rig.sim.dataset();
    let (from, to) = (at("2026-03-01"), at("2026-03-02"));
    let needed = dataset.calls_needed(from, to, rig.sim.now());
    let made = rig.sim.searches();
    // the second more on the left may fill one more page, and a tie over a page's end is read twice
    assert!(
        made >= needed && made <= needed + 8,
        "{made} calls, {needed} needed"
    );
}

#[tokio::test]
async fn pitfall_3_links_are_never_followed() {
    let swapped = Avaya::default().page(
        &ask("user/PROFILE"),
        Some(&place(2, 5)),
        sample(200, "search_page2_swapped_links"),
    );
    assert!(outline(&swapped).ends_with(r#"next {"page":3,"size":50,"received":10}"#));
    for links in [
        Links::AsPublished,
        Links::Doubled,
        Links::Blank,
        Links::LeftOut,
    ] {
        let settings = AvayaSettings {
            links,
            ..settings()
        };
        rig(&two_days(), settings, SETTLED)
            .await
            .pull_two_days()
            .await;
    }
}

/// `%20` is a space whether or not the provider takes a `+` for one.
#[tokio::test]
async fn pitfall_4_the_order_is_asked_for_in_a_form_that_any_server_reads() {
    assert!(shown(&call(None)).contains(" orderBy=date asc\n"));
    for plus_is_space in [false, true] {
        let settings = AvayaSettings {
            plus_is_space,
            ..settings()
        };
        rig(&two_days(), settings, SETTLED)
            .await
            .pull_two_days()
            .await;
    }
}

#[test]
fn pitfall_5_without_an_earlier_state_nothing_is_known_to_have_changed() {
    let record = r#"{"date":"2026-03-01T10:00:00Z","event":"UPDATED","type":"USER","auditData":{"enabled":false}}"#;
    let adapter = Avaya::default();
    let read = adapter.record(record).unwrap();
    assert!(!adapter.has_ids());
    assert_eq!(read.event_id, "");
    assert!(read.changes.is_empty());
    assert_eq!(
        read.attributes,
        [("audit_data.enabled".into(), "false".into())]
    );
    let with = record.replace("}}", r#"},"previousData":{"enabled":true}}"#);
    let changes = adapter.record(&with).unwrap().changes;
    assert_eq!(changes[0].property.as_deref(), Some("enabled"));
    assert_eq!(
        (&*changes[0].old_values[0], &*changes[0].new_values[0]),
        ("true", "false")
    );
}

/// Rows are compared with the records byte for byte; there is text of every kind among them.
#[tokio::test]
async fn pitfall_6_audit_data_is_kept_as_it_is() {
    let spec = auditlake::sim::avaya::DatasetSpec {
        awkward_share: 1.0,
        ..two_days()
    };
    rig(&spec, settings(), SETTLED).await.pull_two_days().await;
}

/// The simulator refuses what lacks either of them, sign-in included: its tests say so.
#[tokio::test]
async fn pitfall_7_both_credentials_go_with_every_call() {
    let rig = rig(&two_days(), settings(), SETTLED).await;
    rig.pull_two_days().await;
    assert_eq!(rig.sim.counters().answers(401), 0);
}

#[test]
fn pitfall_8_bodies_are_json() {
    let body = call(None).body.unwrap();
    assert!(!body.contains("=>"));
    serde_json::from_str::<Value>(&body).unwrap();
}

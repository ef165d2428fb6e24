//! What answers hold, and in what form.

use std::collections::BTreeSet;

use chrono_tz::Tz;

use super::super::{Empty, HugeDay, PoisonKind, endpoint};
use super::*;
use crate::Fault;

#[tokio::test]
async fn a_day_holds_both_its_ends_in_the_servers_zone() {
    let spec = DatasetSpec {
        records: 4_000,
        ..DatasetSpec::default()
    };
    let dataset = Arc::new(Dataset::generate(&spec));
    for (zone, from, to) in [
        (Tz::UTC, "2026-03-02T00:00:00Z", "2026-03-04T00:00:00Z"),
        (
            Tz::America__New_York,
            "2026-03-02T05:00:00Z",
            "2026-03-04T05:00:00Z",
        ),
        (
            Tz::Europe__Rome,
            "2026-03-01T23:00:00Z",
            "2026-03-03T23:00:00Z",
        ),
        (
            Tz::Pacific__Kiritimati,
            "2026-03-01T10:00:00Z",
            "2026-03-03T10:00:00Z",
        ),
    ] {
        let settings = EverywareSettings {
            timezone: zone,
            ..settled()
        };
        let client = Client::on(settings, Arc::clone(&dataset)).await;
        let shown = sorted(client.days("03/02/2026", "03/03/2026").await);
        assert_eq!(shown, texts(&client, from, to), "{zone}");
        let mut days = Vec::new();
        for day in 1..=8 {
            let day = format!("03/{day:02}/2026");
            days.extend(client.days(&day, &day).await);
        }
        let before = client.get("?stopDate=02%2F28%2F2026").await.records();
        assert_eq!(
            sorted(days.into_iter().chain(before)).len(),
            4_000,
            "{zone}"
        );
    }
}

#[tokio::test]
async fn one_end_alone_leaves_the_other_open_and_ends_may_cross() {
    let client = Client::new(settled(), &small()).await;
    let from = client
        .get("?startDate=03%2F04%2F2026")
        .await
        .records()
        .len();
    let to = client.get("?stopDate=03%2F03%2F2026").await.records().len();
    assert_eq!(
        (from + to, client.get("").await.records().len()),
        (600, 600)
    );
    assert_eq!(client.days("03/05/2026", "03/02/2026").await, [""; 0]);
}

#[tokio::test]
async fn filters_narrow_and_the_four_actions_miss_other_types() {
    let client = Client::new(settled(), &small()).await;
    let mut found = 0;
    for action in ["LOGIN", "CREATE", "UPDATE", "DELETE"] {
        let mut both = 0;
        for result in ["TRUE", "FALSE"] {
            let query = format!("?action={action}&resultCode={result}");
            both += client.get(&query).await.records().len();
        }
        assert_eq!(
            client
                .get(&format!("?action={action}"))
                .await
                .records()
                .len(),
            both
        );
        found += both;
    }
    assert!(found < 600, "some have other types: {found}");
    let everyone: Vec<Value> = client
        .get("")
        .await
        .records()
        .iter()
        .map(|raw| serde_json::from_str(raw).unwrap())
        .collect();
    let name = everyone
        .iter()
        .find_map(|record| record["username"].as_str())
        .unwrap();
    let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    let of_one = client
        .get(&format!("?userName={name}"))
        .await
        .records()
        .len();
    assert!((1..600).contains(&of_one));
    assert_eq!(client.get("?userName=nobody").await.records(), [""; 0]);
}

#[tokio::test]
async fn no_order_is_kept_from_one_call_to_the_next() {
    let client = Client::new(settled(), &small()).await;
    let first = client.get("").await.records();
    let second = client.get("").await.records();
    assert_ne!(first, second);
    assert_eq!(sorted(first), sorted(second));
}

#[tokio::test]
async fn nothing_and_one_have_forms_of_their_own() {
    let spec = DatasetSpec {
        records: 1,
        awkward_share: 0.0,
        ..DatasetSpec::default()
    };
    let client = Client::new(settled(), &spec).await;
    let record = client.get("").await.records().remove(0);
    for (empty, text) in [
        (Empty::NoContent, ""),
        (Empty::List, r#"{"audit":[]}"#),
        (Empty::Null, r#"{"audit":null}"#),
        (Empty::Object, "{}"),
    ] {
        client.sim.change(|settings| settings.empty = empty);
        assert_eq!(client.get("?userName=nobody").await.text, text);
        assert_eq!(
            client.get("").await.text,
            format!(r#"{{"audit":[{record}]}}"#)
        );
    }
    client.sim.change(|settings| settings.tells_limit = true);
    assert_eq!(
        client.get("?userName=nobody").await.text,
        r#"{"limitExceeded":false}"#
    );
    client.sim.change(|settings| settings.lone_object = true);
    assert_eq!(
        client.get("").await.text,
        format!(r#"{{"audit":{record},"limitExceeded":false}}"#)
    );
}

#[tokio::test]
async fn a_hidden_cap_shows_less_and_says_nothing() {
    let client = Client::new(settled(), &small()).await;
    client.sim.change(|settings| settings.hidden_cap = Some(50));
    let reply = client.get("").await;
    assert_eq!(reply.records().len(), 50);
    assert!(!reply.text.contains("limitExceeded"));
    client.sim.change(|settings| settings.tells_limit = true);
    assert_eq!(client.get("").await.json()["limitExceeded"], true);
    client
        .sim
        .change(|settings| settings.hidden_cap = Some(600));
    assert_eq!(client.get("").await.json()["limitExceeded"], false);
}

#[tokio::test]
async fn what_is_late_is_seen_later() {
    let client = Client::new(
        settled(),
        &DatasetSpec {
            late_share: 0.5,
            ..small()
        },
    )
    .await;
    let mut before = 0;
    for hour in [0, 6, 12] {
        client
            .sim
            .set_now(at("2026-03-04T00:00:00Z") + chrono::TimeDelta::hours(hour));
        let shown = sorted(client.days("03/03/2026", "03/03/2026").await);
        assert_eq!(
            shown,
            texts(&client, "2026-03-03T00:00:00Z", "2026-03-04T00:00:00Z")
        );
        assert!(hour == 12 || shown.len() > before, "{hour}");
        before = shown.len();
    }
}

#[tokio::test]
async fn poison_is_served_as_it_is() {
    let spec = DatasetSpec {
        poison: 12,
        ..small()
    };
    let client = Client::new(settled(), &spec).await;
    let shown = sorted(client.get("").await.records());
    let poison = client.sim.dataset().poison(client.sim.now());
    assert_eq!((shown.len(), poison.len()), (612, 12));
    for one in &poison {
        assert!(shown.iter().any(|raw| raw == one.raw), "{one:?}");
    }
    let of = |kind| poison.iter().filter(|one| one.kind == kind).count();
    let kinds = [
        PoisonKind::NoOccurredOn,
        PoisonKind::GarbledOccurredOn,
        PoisonKind::NotAnObject,
        PoisonKind::Null,
    ];
    assert_eq!(kinds.map(of), [2, 4, 4, 2]);
}

#[tokio::test]
async fn a_body_goes_out_in_odd_pieces_and_can_be_cut() {
    let client = Client::new(settled(), &small()).await;
    client
        .sim
        .change(|settings| settings.pieces = vec![1, 7, 1_000, 333]);
    let whole = client.get("").await;
    assert_eq!(sorted(whole.records()).len(), 600);
    assert_eq!(whole.headers.get("content-length"), None);
    for pieces in [vec![], vec![977]] {
        client.sim.change(|settings| settings.pieces = pieces);
        client.sim.faults().next(endpoint::AUDIT, 1, Fault::CutBody);
        let mut cut = client.request("").send().await.unwrap();
        let mut got = 0;
        let error = loop {
            match cut.chunk().await {
                Ok(Some(piece)) => got += piece.len(),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        assert!(error.is_some(), "the end is missed");
        assert!((1_000..whole.text.len()).contains(&got), "{got}");
    }
}

#[tokio::test]
async fn a_huge_day_is_made_up_while_it_is_sent() {
    let huge = HugeDay {
        day: at("2026-03-03T00:00:00Z").date_naive(),
        records: 1_234,
        padding: 20,
    };
    let client = Client::new(
        EverywareSettings {
            huge_day: Some(huge),
            ..settled()
        },
        &small(),
    )
    .await;
    let beside = texts(&client, "2026-03-03T00:00:00Z", "2026-03-04T00:00:00Z").len();
    let shown = client.days("03/03/2026", "03/03/2026").await;
    assert_eq!(shown.len(), beside + 1_234);
    let shown: BTreeSet<String> = shown.into_iter().collect();
    for number in 0..1_234 {
        assert!(shown.contains(&huge.record(number).2));
    }
    assert!(client.days("03/04/2026", "03/04/2026").await.len() < 600);
    client.sim.faults().next_any(1, Fault::CutBody);
    let reply = client
        .request("?startDate=03%2F03%2F2026")
        .send()
        .await
        .unwrap();
    assert!(Reply::of(reply).await.is_err());
}

#[tokio::test]
async fn xml_holds_the_same_records() {
    let client = Client::new(settled(), &small()).await;
    let url = format!("{}/audit", client.sim.base_url());
    let call = client
        .http
        .get(url)
        .basic_auth("sim-user", Some("sim-secret"));
    let reply = Reply::of(call.send().await.unwrap()).await.unwrap();
    assert!(reply.text.starts_with(
        r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?><auditResult><audit>"#
    ));
    assert_eq!(reply.text.matches("</audit>").count(), 600);
    for truth in client.sim.dataset().truth(
        DateTime::<Utc>::MIN_UTC,
        DateTime::<Utc>::MAX_UTC,
        None,
        client.sim.now(),
    ) {
        assert!(reply.text.contains(&format!("<id>{}</id>", truth.id)));
    }
}
